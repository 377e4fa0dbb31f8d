//! The receiving end of [`network`](super::engine::network): one peer's connection.
//!
//! Appends begin in the order in which they came, and do not wait until the one before
//! is on the disk, so that several share an fdatasync. Parts of a snapshot are written
//! one after the other.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest,
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::Consensus;
use super::engine::state_machine::SnapshotData;
use super::leadership::fast_election::Campaign;
use super::proposer::{ForwardBody, ForwardOrder};
use super::surroundings::read_index;
use super::types::TypeConfig;
use super::wire::append;
use super::wire::calls::{Addressed, SnapshotBegin, SnapshotPart};
use super::wire::{entry, records};
use crate::error::{Error, ErrorCode, Result};
use crate::host::BoxFuture;
use crate::peer::Reply;
use crate::protocol::peer::Call;
use crate::storage::SnapshotWriter;
use crate::types::NodeId;

/// How long a follower that installs a snapshot lets the leader wait for a
/// sign of life.
const INSTALL_SIGN_OF_LIFE: Duration = Duration::from_millis(300);

/// Serves one connection's calls to this node.
pub struct PeerService {
    consensus: Consensus,
    forward_order: Arc<ForwardOrder>,
    appends: mpsc::UnboundedSender<(AppendEntriesRequest<TypeConfig>, Reply)>,
    transfer: mpsc::UnboundedSender<(Step, Reply)>,
}

/// A part of a snapshot's transfer.
enum Step {
    Begin(Box<SnapshotBegin>),
    Lines(Vec<u8>),
    End,
}

impl PeerService {
    /// A service for a new connection. Its tasks end with it.
    pub fn new(consensus: Consensus) -> PeerService {
        let (appends, appending) = mpsc::unbounded_channel();
        let (transfer, transferring) = mpsc::unbounded_channel();
        let service = PeerService { forward_order: Arc::default(), appends, transfer, consensus };
        service.spawn(append_in_order(service.consensus.clone(), appending));
        service.spawn(receive_snapshots(service.consensus.clone(), transferring));
        service
    }

    /// Begins a call. Never blocks.
    pub fn begin(&mut self, call: Call, body: &[u8], reply: Reply) {
        match call {
            Call::Append => match self.append(body) {
                // The task ends only with the connection, which drops the reply.
                Ok(request) => drop(self.appends.send((request, reply))),
                Err(error) => reply.error(error),
            },
            Call::Vote | Call::PreVote => match self.message::<VoteRequest<TypeConfig>>(body) {
                Ok(request) => self.vote(call, request, reply),
                Err(error) => reply.error(error),
            },
            Call::TransferLeader => match self.message::<TransferLeaderRequest<TypeConfig>>(body) {
                Ok(request) => self.transfer_leader(request, reply),
                Err(error) => reply.error(error),
            },
            Call::Contest => match self.message::<()>(body) {
                Ok(()) => {
                    let consensus = self.consensus.clone();
                    self.spawn(async move { reply.ok(&consensus.candidacy().await) });
                }
                Err(error) => reply.error(error),
            },
            Call::Campaign => match self.message::<Campaign>(body) {
                Ok(campaign) => {
                    let consensus = self.consensus.clone();
                    self.spawn(async move {
                        consensus.campaign(campaign).await;
                        reply.ok(&());
                    });
                }
                Err(error) => reply.error(error),
            },
            Call::Propose if self.consensus.0.machine.is_adopted() => {
                // It could not tell the outcome: it has no state. It leads only
                // until the host has caught up.
                reply.error(Error::unavailable(
                    "an adopted replica takes no operations; its host will lead in a moment",
                ));
            }
            Call::Propose => match parse::<ForwardBody>(body) {
                Ok(forwarded) => {
                    let done = self.consensus.0.proposer.forwarded(forwarded, &self.forward_order);
                    self.spawn(async move { reply.ok(&done.await) });
                }
                Err(error) => reply.error(error),
            },
            Call::ReadIndex => {
                let raft = self.consensus.0.raft.clone();
                self.spawn(async move { reply.result(read_index(&raft).await) });
            }
            Call::SnapshotBegin | Call::SnapshotLines | Call::SnapshotEnd => {
                match self.snapshot_step(call, body) {
                    Ok(step) => drop(self.transfer.send((step, reply))),
                    Err(error) => reply.error(error),
                }
            }
            Call::Introduce
            | Call::Found
            | Call::Join
            | Call::Admit
            | Call::Release
            | Call::Lead
            | Call::ChangeMembers
            | Call::Keys
            | Call::Rekey
            | Call::Backup
            | Call::BackupPart
            | Call::Restore
            | Call::Administer
            | Call::Inspect
            | Call::HandOver => {
                reply.error(Error::internal(format!("{call:?} is no call for consensus")));
            }
        }
    }

    fn vote(&self, call: Call, request: VoteRequest<TypeConfig>, reply: Reply) {
        let may = self.consensus.check_vote(request.last_log_id);
        if let Err(error) = may.and_then(|()| self.consensus.check_can_save(&request.vote)) {
            return reply.error(error);
        }
        let raft = self.consensus.0.raft.clone();
        self.spawn(async move {
            let response = match call {
                Call::PreVote => raft.pre_vote(request).await,
                _ => raft.vote(request).await,
            };
            reply.result(response.map_err(stopped));
        });
    }

    fn transfer_leader(&self, request: TransferLeaderRequest<TypeConfig>, reply: Reply) {
        if !self.may_be_led_to(&request) {
            return reply.error(Error::unavailable(
                "this replica takes no leadership until it knows that its log is whole",
            ));
        }
        let raft = self.consensus.0.raft.clone();
        self.spawn(async move {
            reply.result(raft.handle_transfer_leader(request).await.map_err(stopped));
        });
    }

    /// Whether a leader may hand over as it asks: to another node, or to this one
    /// if it may lead.
    fn may_be_led_to(&self, request: &TransferLeaderRequest<TypeConfig>) -> bool {
        let consensus = &self.consensus;
        *request.to_node_id() != consensus.0.node
            || (consensus.trusts_its_log() && consensus.is_well())
    }

    /// Refuses what was meant for another incarnation of this replica.
    fn check(&self, to: NodeId) -> Result<()> {
        if to == self.consensus.0.node {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::WrongCluster,
            format!("this is node {}, not {to}", self.consensus.0.node),
        ))
    }

    /// The entries that a leader appends, if they are meant for this very process.
    fn append(&self, body: &[u8]) -> Result<AppendEntriesRequest<TypeConfig>> {
        let append = append::decode(body)?;
        self.check(append.to)?;
        self.consensus.check_run(append.run)?;
        Ok(append.request)
    }

    /// What a call of a snapshot's transfer asks for.
    fn snapshot_step(&self, call: Call, body: &[u8]) -> Result<Step> {
        Ok(match call {
            Call::SnapshotBegin => Step::Begin(Box::new(self.message(body)?)),
            Call::SnapshotLines => Step::Lines(self.lines(body)?),
            _ => {
                self.message::<()>(body)?;
                Step::End
            }
        })
    }

    fn message<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        let addressed: Addressed<T> = parse(body)?;
        self.check(addressed.to)?;
        Ok(addressed.message)
    }

    /// The lines of a part of a snapshot, as they stand in the file.
    fn lines(&self, body: &[u8]) -> Result<Vec<u8>> {
        let (part, records) = records::decode::<SnapshotPart>(body)?;
        self.check(part.to)?;
        let mut lines = Vec::with_capacity(body.len());
        for record in records {
            lines.extend_from_slice(record?);
            lines.push(b'\n');
        }
        Ok(lines)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        super::runtime::spawn(&self.consensus.0.host, task);
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::InvalidRequest, format!("a malformed call: {error}"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(malformed)
}

fn stopped(error: impl std::fmt::Display) -> Error {
    Error::outcome_unknown(format!("consensus has stopped on this replica: {error}"))
}

async fn append_in_order(
    consensus: Consensus,
    mut requests: mpsc::UnboundedReceiver<(AppendEntriesRequest<TypeConfig>, Reply)>,
) {
    let mut begun: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = begun.next() => {}
            request = requests.recv() => {
                let Some((request, reply)) = request else { return };
                let level = entry::level_of(&request.entries);
                let ready = consensus.0.store.make_ready_for_level(level).await;
                if let Err(error) = ready.and_then(|()| consensus.check_can_save(&request.vote)) {
                    reply.error(error);
                    continue;
                }
                let (raft, obeying) = (consensus.0.raft.clone(), consensus.clone());
                let committed = request.leader_commit.map_or(0, |log_id| log_id.index());
                let mut append: BoxFuture<'static, ()> = Box::pin(async move {
                    let response: Result<AppendEntriesResponse<TypeConfig>> =
                        raft.append_entries(request).await.map_err(stopped);
                    if !matches!(response, Err(_) | Ok(AppendEntriesResponse::HigherVote(_))) {
                        obeying.note_leader_contact(committed);
                    }
                    reply.result(response);
                });
                // Polled once, it is in the queue of consensus, before the next one.
                if futures::poll!(append.as_mut()).is_pending() {
                    begun.push(append);
                }
            }
        }
    }
}

async fn receive_snapshots(
    consensus: Consensus,
    mut steps: mpsc::UnboundedReceiver<(Step, Reply)>,
) {
    let mut receiving: Option<(SnapshotBegin, SnapshotWriter)> = None;
    let mut installing: Option<BoxFuture<'static, Result<SnapshotResponse<TypeConfig>>>> = None;
    while let Some((step, reply)) = steps.recv().await {
        match step {
            Step::Begin(begin) => {
                installing = None;
                if let Some((_, writer)) = receiving.take() {
                    // A left-over file is removed at the next start.
                    if let Err(error) = writer.abandon().await {
                        tracing::warn!(%error, "a broken-off snapshot was not removed");
                    }
                }
                match begin_snapshot(&consensus, &begin).await {
                    Ok(writer) => {
                        receiving = Some((*begin, writer));
                        reply.ok(&());
                    }
                    Err(error) => reply.error(error),
                }
            }
            Step::Lines(lines) => match &mut receiving {
                Some((_, writer)) => reply.result(writer.raw(&lines).await),
                None => reply.error(no_transfer()),
            },
            Step::End => {
                if let Some((begin, writer)) = receiving.take() {
                    let complete = match writer.complete().await {
                        Ok(complete) => complete,
                        Err(error) => {
                            reply.error(error);
                            continue;
                        }
                    };
                    let raft = consensus.0.raft.clone();
                    installing = Some(Box::pin(async move {
                        let snapshot = openraft::alias::SnapshotOf::<TypeConfig, SnapshotData> {
                            meta: begin.meta,
                            snapshot: SnapshotData::Received(complete),
                        };
                        raft.install_full_snapshot(begin.vote, snapshot).await.map_err(stopped)
                    }));
                }
                let Some(install) = &mut installing else {
                    reply.error(no_transfer());
                    continue;
                };
                match tokio::time::timeout(INSTALL_SIGN_OF_LIFE, install).await {
                    Ok(result) => {
                        installing = None;
                        reply.result(result.map(Some));
                    }
                    Err(_) => reply.ok(&None::<SnapshotResponse<TypeConfig>>),
                }
            }
        }
    }
}

async fn begin_snapshot(consensus: &Consensus, begin: &SnapshotBegin) -> Result<SnapshotWriter> {
    // It may hold what that level brought.
    consensus.0.store.make_ready_for_level(begin.level).await?;
    let index = begin.meta.last_log_id.map_or(0, |log_id| log_id.index());
    let meta = serde_json::to_vec(&begin.meta).expect("plain data serializes");
    consensus.0.machine.snapshots()?.begin(meta.into(), index).await
}

fn no_transfer() -> Error {
    Error::new(ErrorCode::InvalidRequest, "no snapshot is being transferred on this connection")
}
