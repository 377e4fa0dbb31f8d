//! What a peer may ask of this replica.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::alone::HandOver;
use super::backup::{self, Parts};
use super::startup::FoundRequest;
use super::{Inner, Phase};
use crate::chat::{Action, Operation, Outcome};
use crate::consensus::{self, PeerService, Sequence};
use crate::error::{Error, ErrorCode, Result};
use crate::peer::{Met, Reply, Service};
use crate::protocol::peer::{
    ADMINISTRATOR, Admit, Call, Found, Introduction, Joined, Lead, Standing,
};

/// How long a request for an incarnation may take.
const JOIN_MAX: Duration = Duration::from_millis(1_500);

/// Serves one peer's connection.
pub struct MemberService {
    inner: Arc<Inner>,
    caller: Introduction,
    consensus: Option<PeerService>,
    /// The parts of the backup that this connection fetches.
    parts: Parts,
}

impl MemberService {
    /// A service for a new connection of `caller`, who has proved that it
    /// holds the cluster's key.
    pub fn new(inner: Arc<Inner>, met: Met) -> MemberService {
        let caller = met.who.clone();
        let remembering = inner.clone();
        consensus::spawn(&inner.host, async move { remembering.remember_neighbour(met).await });
        MemberService { inner, caller, consensus: None, parts: Parts::default() }
    }
}

impl Service for MemberService {
    fn begin(&mut self, call: Call, body: &[u8], reply: Reply) {
        if self.caller.replica == ADMINISTRATOR && !is_for_administrators(call) {
            return reply.error(Error::new(
                ErrorCode::PermissionDenied,
                "an administrator is no replica, and may not speak as one",
            ));
        }
        match call {
            Call::Introduce => reply.ok(&self.inner.standing()),
            Call::Found => {
                let inner = self.inner.clone();
                self.answer(body, reply, move |it| async move { inner.be_founded(it).await });
            }
            Call::Join => {
                let (inner, caller) = (self.inner.clone(), self.caller.replica);
                self.spawn(async move { reply.result(inner.hand_out_incarnation(caller).await) });
            }
            Call::Admit => {
                let (inner, caller) = (self.inner.clone(), self.caller.replica);
                self.answer(body, reply, move |it| async move { inner.admit(caller, it).await });
            }
            Call::Lead => {
                let inner = self.inner.clone();
                self.answer(body, reply, move |it| async move { inner.lead(it).await });
            }
            Call::ChangeMembers => self.begin_change(body, reply),
            Call::Keys => reply.ok(&self.inner.known_keys()),
            Call::Rekey => self.begin_rekey(body, reply),
            Call::Backup
            | Call::BackupPart
            | Call::Restore
            | Call::Administer
            | Call::Inspect
            | Call::HandOver => self.begin_with_state(call, body, reply),
            Call::Release => {
                let inner = self.inner.clone();
                self.answer(body, reply, move |it| async move { inner.release(it).await });
            }
            Call::Append
            | Call::Contest
            | Call::Vote
            | Call::PreVote
            | Call::Campaign
            | Call::TransferLeader
            | Call::Propose
            | Call::ReadIndex
            | Call::SnapshotBegin
            | Call::SnapshotLines
            | Call::SnapshotEnd => self.begin_in_consensus(call, body, reply),
        }
    }
}

/// Whether whoever is no replica may make a call.
fn is_for_administrators(call: Call) -> bool {
    matches!(
        call,
        Call::Introduce
            | Call::Lead
            | Call::ChangeMembers
            | Call::Rekey
            | Call::Backup
            | Call::BackupPart
            | Call::Restore
            | Call::Administer
            | Call::Inspect
            | Call::HandOver
    )
}

impl MemberService {
    /// This replica, or the one of its host if it is adopted and has no state.
    fn with_state(&self) -> Arc<Inner> {
        let host = self.inner.host_replica.as_ref().map(|host| host.0.clone());
        host.unwrap_or_else(|| self.inner.clone())
    }

    /// Begins what is about the state.
    fn begin_with_state(&self, call: Call, body: &[u8], reply: Reply) {
        let inner = self.with_state();
        match call {
            Call::Backup => {
                let parts = self.parts.clone();
                let begin = move |it| async move { inner.begin_backup(it, parts).await };
                self.answer(body, reply, begin);
            }
            Call::BackupPart => {
                let parts = self.parts.clone();
                self.spawn(async move {
                    match backup::next_part(parts).await {
                        Ok(part) => reply.ok_raw(&part),
                        Err(error) => reply.error(error),
                    }
                });
            }
            Call::Restore => {
                self.answer(body, reply, move |it| async move { inner.restore_step(it).await });
            }
            Call::Administer => {
                self.answer(body, reply, move |it| async move { inner.administer(it).await });
            }
            Call::Inspect => {
                self.answer(body, reply, move |it| async move { inner.inspect(it).await });
            }
            Call::HandOver => {
                self.answer::<HandOver, _, _>(body, reply, move |it| async move {
                    inner.take_over(it).await
                });
            }
            other => reply.error(Error::internal(format!("{other:?} is not about the state"))),
        }
    }

    fn begin_change(&self, body: &[u8], reply: Reply) {
        let inner = self.inner.clone();
        self.answer(body, reply, move |it| async move { inner.change_members(it).await });
    }

    fn begin_rekey(&self, body: &[u8], reply: Reply) {
        let inner = self.inner.clone();
        self.answer(body, reply, move |it| async move { inner.rekey(it).await });
    }

    /// Begins a call to this replica's node, if it runs.
    fn begin_in_consensus(&mut self, call: Call, body: &[u8], reply: Reply) {
        if self.consensus.is_none() {
            match self.inner.consensus() {
                Ok(consensus) => self.consensus = Some(PeerService::new(consensus)),
                Err(error) => return reply.error(error),
            }
        }
        if let Some(consensus) = &mut self.consensus {
            consensus.begin(call, body, reply);
        }
    }

    /// Answers a call whose body is a `Q` with what `answer` makes of it.
    fn answer<Q, A, F>(&self, body: &[u8], reply: Reply, answer: impl FnOnce(Q) -> F)
    where
        Q: DeserializeOwned,
        A: Serialize,
        F: Future<Output = Result<A>> + Send + 'static,
    {
        match parse(body) {
            Ok(asked) => {
                let answer = answer(asked);
                self.spawn(async move { reply.result(answer.await) });
            }
            Err(error) => reply.error(error),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        consensus::spawn(&self.inner.host, task);
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        Error::new(ErrorCode::InvalidRequest, format!("a malformed call: {error}"))
    })
}

impl Inner {
    fn standing(&self) -> Standing {
        let introduction = self.credentials.introduction();
        let begun = match &*self.phase.borrow() {
            Phase::Running(consensus) => Some(!consensus.is_pristine()),
            Phase::Starting(_) | Phase::Stopped
                if introduction.cluster.is_none() && !self.damaged.load(Ordering::Acquire) =>
            {
                Some(false)
            }
            Phase::Starting(_) | Phase::Stopped => None,
        };
        Standing { from: introduction, begun, clock: Some(self.host.clock.now()) }
    }

    async fn be_founded(&self, found: Found) -> Result<()> {
        match self.credentials.introduction().cluster {
            Some(cluster) if cluster == found.cluster => return Ok(()),
            Some(_) => {
                return Err(Error::new(
                    ErrorCode::WrongCluster,
                    "this replica belongs to another cluster",
                ));
            }
            None if self.damaged.load(Ordering::Acquire) => {
                return Err(Error::new(
                    ErrorCode::WrongCluster,
                    "this replica's directory was damaged and set aside; it joins, but founds no cluster",
                ));
            }
            None => {}
        }
        let (reply, written) = oneshot::channel();
        let stopping = || Error::unavailable("this replica is stopping");
        self.founded.send(FoundRequest { found, reply }).map_err(|_| stopping())?;
        written.await.map_err(|_| stopping())?
    }

    /// Hands leadership to the replica that is to have it.
    async fn lead(&self, lead: Lead) -> Result<()> {
        match self.consensus() {
            Ok(consensus) if consensus.leads() => consensus.transfer_to(lead.replica).await,
            Ok(_) => Err(Error::unavailable("this replica does not lead")),
            Err(error) => Err(error),
        }
    }

    /// Hands the caller an incarnation that it never had.
    async fn hand_out_incarnation(&self, replica: crate::types::ReplicaId) -> Result<Joined> {
        if let Some(host) = &self.host_replica {
            // It has the state that counts incarnations.
            return Box::pin(host.0.hand_out_incarnation(replica)).await;
        }
        let own = self.credentials.introduction();
        let (Some(cluster), Some(lineage)) = (own.cluster, own.lineage) else {
            return Err(Error::unavailable("this replica has no cluster yet"));
        };
        let operation =
            Operation { id: self.host.uuid(), action: Action::AllocateIncarnation { replica } };
        let applied = self
            .consensus()?
            .propose(operation, Instant::now() + JOIN_MAX, &Sequence::default())
            .await?;
        match applied.outcome {
            Outcome::Incarnation { incarnation } => Ok(Joined { cluster, lineage, incarnation }),
            Outcome::Refused(error) => Err(error.into()),
            outcome => Err(Error::internal(format!("asked for an incarnation, got {outcome:?}"))),
        }
    }

    async fn admit(&self, caller: crate::types::ReplicaId, admit: Admit) -> Result<bool> {
        let changing = self.membership_changes.alone.try_lock();
        let _changing = changing.map_err(|_| {
            Error::unavailable("the membership is being changed; it asks again in a moment")
        })?;
        let membership = self.membership();
        let member = membership.get(caller).filter(|it| it.id == admit.node.replica());
        let Some(member) = member else {
            return Err(Error::new(
                ErrorCode::UnknownReplica,
                format!(
                    "the cluster has no replica {caller}, as far as replica {} knows",
                    self.config.id
                ),
            ));
        };
        self.consensus()?.admit(admit.node, &member.address, &membership).await
    }
}
