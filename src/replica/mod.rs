//! One replica as a value: started, stopped, asked. It has no globals, so that
//! one process can run several.
//!
//! A [`Replica`] owns a data directory, its links to the peers, the state
//! machine and, once it is a member of a cluster, its node of consensus. It is
//! in one of these phases ([`startup`]):
//!
//! ```text
//!   open directory ──► empty? ──► found or join ──┐
//!        │                                        ▼
//!        └──► member ───────────────────► load, run, enable elections
//!                                            │
//!                                            └─► not a voter? be admitted
//! ```
//!
//! # What it promises
//! - An empty directory founds a cluster only when every configured replica
//!   answered and is empty too. Otherwise it waits for one that knows more, so
//!   that two unmounted disks never found a second, empty cluster.
//! - A directory that is empty because it was damaged and set aside never
//!   founds a cluster at all.
//! - A replica that lost its disk comes back under an incarnation that was
//!   never used before, handed out through the log.
//! - Until peers that form a majority have answered, it does not ask for votes.
//!
//! # How it fails
//! While it starts, writes and reads wait until their deadlines. Then they are
//! refused as unavailable, and the error says what is waited for, as `status` does. A
//! failed disk or a stopped consensus is final: [`Replica::failed`] resolves, and the
//! process should end.

mod administration;
mod adoption;
mod alone;
mod backup;
mod clocks;
mod config;
mod credentials;
mod keeping;
mod level;
mod links;
mod membership;
mod neighbours;
mod pace;
mod peer_calls;
mod start_guard;
mod start_queue;
mod startup;
mod status;
#[cfg(test)]
mod tests;
mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub use crate::config::Timing;
pub use crate::consensus::{Applied, Obstacle, Sequence, Subject, VerifiedLog, WarmState};
pub use crate::peer::{ClusterKey, Keys, LocalTransport};

pub use self::adoption::ReleaseRequest;
pub use self::alone::{Accepted, Change, ChangeStream, HandOver, TakenOver};
pub use self::config::{Opened, Preloaded, ProcessInfo, ReplicaConfig};

use self::alone::Alone;
use self::peer_calls::MemberService;
use self::start_queue::StartQueue;
use crate::chat::{Look, News, Operation};
use crate::consensus::{self, Consensus, Links, Machine, Time};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{BoxFuture, Host, Stream};
use crate::limits::FIRST_LINE_MAX_BYTES;
use crate::peer::{self, Credentials, Met};
use crate::protocol::administration::Registration;
use crate::protocol::client::{self, Confirm, Mode};
use crate::protocol::codec::read_line;
use crate::storage::{DataDirectory, Identity, Neighbours, Unlocked};
use crate::types::{Address, NodeId, ReplicaId, Timestamp, Uuid};

/// A running replica. Clones share it.
#[derive(Clone)]
pub struct Replica(Arc<Inner>);

struct Inner {
    host: Host,
    config: ReplicaConfig,
    time: Time,
    credentials: Credentials,
    machine: Machine,
    alone: Alone,
    links: Links,
    connector: links::Connector,
    membership_changes: membership::Changes,
    /// Replicas that called and that this one has not heard of, with their addresses.
    callers: watch::Sender<BTreeMap<ReplicaId, Address>>,
    phase: watch::Sender<Phase>,
    start_queue: StartQueue,
    /// "Found this cluster", from a peer to the start-up task.
    founded: mpsc::UnboundedSender<startup::FoundRequest>,
    /// The replica of the process that runs this one in the place of its owner.
    host_replica: Option<Replica>,
    /// What the other replicas have said of where they live.
    neighbours: tokio::sync::Mutex<Option<Neighbours>>,
    /// The nodes of which that is known.
    located: watch::Sender<Vec<NodeId>>,
    /// "Give my directory back", from a peer to whoever hosts several replicas.
    releases: watch::Sender<Option<mpsc::UnboundedSender<ReleaseRequest>>>,
    failure: watch::Sender<Option<Error>>,
    /// Whether the directory is empty only because it was damaged and set
    /// aside: then it must never found a cluster in the place of the old one.
    damaged: AtomicBool,
    pace: pace::Pace,
    disk_bytes: watch::Sender<u64>,
    unlocked: Unlocked,
    /// The identity of the directory that it runs on.
    identity: watch::Sender<Option<Identity>>,
    /// Replicas that do not know the next feature level, as a leader sees it.
    older: watch::Sender<BTreeSet<ReplicaId>>,
}

/// See the head of the module.
#[derive(Clone)]
enum Phase {
    /// Not yet running; what is waited for.
    Starting(String),
    /// Running.
    Running(Consensus),
    /// Stopped for good.
    Stopped,
}

impl Replica {
    /// Opens the data directory and starts the replica on it; see
    /// [`Replica::start_on`].
    ///
    /// # Errors
    /// Those of [`Replica::start_on`], and [`ErrorCode::DirectoryInUse`].
    pub async fn start(host: Host, config: ReplicaConfig) -> Result<Replica> {
        let holder = config.holder();
        let directory = DataDirectory::open(&host, &config.data_dir, holder).await?;
        let opened = Opened { directory, preloaded: Preloaded::Nothing };
        Replica::start_on(host, config, opened, LocalTransport::default(), None).await
    }

    /// Starts the replica on its open directory; founding, joining and loading
    /// go on in the background. With `host_replica` it is adopted: it votes in
    /// the place of its dead owner and keeps no state.
    ///
    /// # Errors
    /// [`ErrorCode::WrongCluster`], [`ErrorCode::NewerFormat`], [`ErrorCode::Io`],
    /// [`ErrorCode::DiskFull`] and [`ErrorCode::InvalidConfig`], each naming the thing.
    pub async fn start_on(
        host: Host,
        config: ReplicaConfig,
        opened: Opened,
        local_transport: LocalTransport,
        host_replica: Option<Replica>,
    ) -> Result<Replica> {
        if !config.members.iter().any(|member| member.id == config.id) {
            return Err(Error::new(
                ErrorCode::InvalidConfig,
                format!("replica {} is not among the configured replicas", config.id),
            ));
        }
        let Opened { mut directory, preloaded } = opened;
        let adopted = host_replica.is_some();
        let credentials = credentials::of(&config, &mut directory, adopted).await?;
        let connector = links::Connector::new(&host, &config, &credentials, &local_transport);
        let (machine, preverified_log) = preloaded.of(&directory);
        let machine = match (machine, &host_replica) {
            (Some(machine), _) => machine,
            (None, None) => Machine::new(host.clone(), config.limits.deduplication_window_entries),
            (None, Some(_)) => Machine::adopted(host.clone()),
        };
        #[cfg(debug_assertions)]
        machine.is_of_program(config.feature_level_known);
        let (founded, found_requests) = mpsc::unbounded_channel();
        let (alone, asked_alone) = Alone::new();
        let time = Time::new(host.clone(), credentials.clocks().clone(), machine.clone());
        let replica = Replica(Arc::new(Inner {
            time,
            credentials,
            machine,
            alone,
            links: Links::default(),
            connector,
            membership_changes: membership::Changes::default(),
            callers: watch::Sender::default(),
            phase: watch::Sender::new(Phase::Starting("reading the data directory".into())),
            start_queue: StartQueue::default(),
            founded,
            host_replica,
            neighbours: tokio::sync::Mutex::default(),
            located: watch::Sender::new(Vec::new()),
            releases: watch::Sender::new(None),
            failure: watch::Sender::new(None),
            damaged: AtomicBool::new(false),
            pace: pace::Pace::default(),
            disk_bytes: watch::Sender::new(0),
            unlocked: directory.unlocked(),
            identity: watch::Sender::new(None),
            older: watch::Sender::default(),
            host: host.clone(),
            config,
        }));
        replica.0.connect_members(&[]);
        replica.register_with(&local_transport);
        consensus::spawn(
            &host,
            startup::run(replica.0.clone(), directory, preverified_log, found_requests),
        );
        consensus::spawn(&host, status::measure_disk(Arc::downgrade(&replica.0)));
        consensus::spawn(&host, pace::watch(Arc::downgrade(&replica.0)));
        consensus::spawn(&host, clocks::watch(Arc::downgrade(&replica.0)));
        consensus::spawn(&host, membership::watch(replica.0.clone()));
        // An adopted one is not watched: a bad disk of its owner must not take this
        // server down. And it has no state that tells its level.
        if replica.0.host_replica.is_none() {
            consensus::spawn(&host, level::watch(Arc::downgrade(&replica.0)));
            consensus::spawn(&host, administration::propose(Arc::downgrade(&replica.0)));
            consensus::spawn(&host, keeping::watch(Arc::downgrade(&replica.0)));
            replica.0.go_on_alone(asked_alone);
            consensus::spawn(&host, watchdog::watch(Arc::downgrade(&replica.0)));
        } else {
            replica.0.hand_over_for_owner();
        }
        Ok(replica)
    }

    /// Lets links of this process find the replica without the network.
    fn register_with(&self, local_transport: &LocalTransport) {
        let weak = Arc::downgrade(&self.0);
        let host = self.0.host.clone();
        let endpoint = move |stream: Stream| {
            let Some(inner) = weak.upgrade() else { return };
            consensus::spawn(&host, Replica(inner).serve_local(stream));
        };
        local_transport.register(self.0.config.id, Arc::new(endpoint));
    }

    /// Serves a connection from this very process.
    async fn serve_local(self, stream: Stream) {
        let mut stream = BufReader::with_capacity(64 * 1024, stream);
        let mut first_line = Vec::new();
        // The other end notices what breaks here.
        if let Ok(true) = read_line(&mut stream, &mut first_line, FIRST_LINE_MAX_BYTES).await {
            drop(self.serve_peer(stream, first_line, "this process".into(), None).await);
        }
    }

    /// Its number.
    pub fn id(&self) -> ReplicaId {
        self.0.config.id
    }

    /// What time it is, as the replicas agree; see [`Time::now`].
    pub fn now(&self) -> Timestamp {
        self.0.time.now()
    }

    /// When something begins that the log is to end; see [`Time::beginning`].
    pub fn beginning(&self) -> Timestamp {
        self.0.time.beginning()
    }

    /// Who may register in a cluster that this replica helps to found, as its configuration
    /// proposes.
    pub fn proposed_registration(&self) -> Registration {
        self.0.config.registration
    }

    /// Its cluster, once it is a member of one.
    pub fn cluster(&self) -> Option<Uuid> {
        self.0.credentials.introduction().cluster
    }

    /// Where the leader listens, as far as this replica knows. Its server may
    /// have died since, or another may have adopted it.
    pub fn leader(&self) -> Option<Address> {
        let Phase::Running(consensus) = &*self.0.phase.borrow() else { return None };
        let leader = consensus.leader()?;
        self.0.membership().get(leader).map(|member| member.address.clone())
    }

    /// Queues an operation, at once; the future is its outcome.
    /// Operations are ordered as this was called. When one fails, those of the
    /// same sequence that have not entered a log fail with it.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`]: it has never been in a log and never will.
    /// [`ErrorCode::OutcomeUnknown`]: it may have.
    pub fn propose(
        &self,
        operation: Operation,
        deadline: Instant,
        sequence: &Sequence,
    ) -> impl Future<Output = Result<Applied>> + Send + use<> {
        self.0.start_queue.propose(operation, deadline, sequence)
    }

    /// The same for a change that a client asks for: where no majority is there and the client
    /// is content with this server, it is accepted here alone; see [`alone`].
    ///
    /// # Errors
    /// As [`Replica::propose`]; and [`ErrorCode::NeedsMajority`] and [`ErrorCode::Behind`]:
    /// it has never been in a log by this and never will.
    pub fn change(
        &self,
        change: Change,
        deadline: Instant,
        stream: &ChangeStream,
        confirm: Confirm,
    ) -> BoxFuture<'static, Result<Accepted>> {
        self.0.alone.propose(&self.0, change, deadline, stream, confirm)
    }

    /// Returns once a read may be answered: the state contains every write acknowledged before
    /// the call, or this server is alone, and that will do. Says whether it is.
    ///
    /// # Errors
    /// [`ErrorCode::ReadNotConfirmed`], naming who is missing; [`ErrorCode::NeedsMajority`].
    pub async fn vouch(
        &self,
        deadline: Instant,
        confirm: Confirm,
    ) -> Result<Option<client::Alone>> {
        self.0.alone.vouch(&self.0, self.confirm(deadline), confirm).await
    }

    /// Who takes what this server takes, and since when it is alone if it is.
    pub fn mode(&self) -> (Mode, Option<Timestamp>) {
        self.0.alone.mode()
    }

    /// Returns once the state contains every write acknowledged before the call.
    ///
    /// # Errors
    /// [`ErrorCode::ReadNotConfirmed`], naming who is missing.
    pub async fn confirm(&self, deadline: Instant) -> Result<()> {
        let mut phase = self.0.phase.subscribe();
        let started = phase.wait_for(|phase| !matches!(phase, Phase::Starting(_)));
        // `consensus` says whether it has started by now.
        drop(tokio::time::timeout_at(deadline, started).await);
        match self.0.consensus() {
            Ok(consensus) => consensus.confirm(deadline).await,
            Err(error) => Err(Error::new(ErrorCode::ReadNotConfirmed, error.message)),
        }
    }

    /// Lets a question look at the state. While the replica starts, the state is
    /// empty or old; [`Replica::confirm`] tells.
    pub fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        self.0.machine.look(question)
    }

    /// Changes whenever something is delivered to the account or withdrawn from it, or
    /// one of its sessions ends.
    pub fn watch(&self, account: Uuid) -> watch::Receiver<News> {
        self.0.machine.watch(account)
    }

    /// Takes over a connection whose first line said that a peer calls, until
    /// it ends. `stream` has what was read beyond that line. Sends on `proved`
    /// once the caller has proved that it holds the cluster's key; until then
    /// the time that it takes is the caller's to bound.
    ///
    /// # Errors
    /// Why the peer was refused, in words of this replica's own: nothing that an
    /// unauthenticated peer wrote is in them. [`ErrorCode::Io`] when the connection broke.
    pub async fn serve_peer(
        &self,
        stream: BufReader<Stream>,
        first_line: Vec<u8>,
        remote: String,
        proved: Option<oneshot::Sender<()>>,
    ) -> Result<()> {
        let inner = self.0.clone();
        let mut stopped = self.0.phase.subscribe();
        let credentials = self.0.credentials.bound_to(stream.get_ref().binding());
        let (reader, writer) = tokio::io::split(stream);
        let reader = BufReader::with_capacity(32 * 1024, reader);
        let service = |caller: Met| {
            // A caller that does not ask for it does not bound it.
            let _ = proved.map(|proved| proved.send(()));
            inner.note_caller(&caller);
            if let Some(pair) = inner.links.get(caller.who.replica) {
                for link in [&pair.consensus, &pair.service] {
                    link.called_in();
                    caller.address.iter().for_each(|address| link.heard_of(address));
                }
            }
            MemberService::new(inner, caller)
        };
        let serving =
            peer::accept(&self.0.host, &credentials, &first_line, reader, writer, service);
        tokio::select! {
            biased;
            result = serving => {
                if let Err(error) = &result {
                    tracing::debug!(remote, %error, "a peer's connection ended");
                }
                result
            }
            _ = stopped.wait_for(|phase| matches!(phase, Phase::Stopped)) => Ok(()),
        }
    }

    /// Whether the replica can no longer do its duty.
    pub fn has_failed(&self) -> bool {
        self.0.failure.borrow().is_some()
    }

    /// Resolves when the replica can no longer do its duty, with the reason.
    pub async fn failed(&self) -> Error {
        let mut failure = self.0.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await.map(|failure| failure.clone());
        match failed {
            Ok(failure) => failure.expect("waited for it"),
            Err(_) => std::future::pending().await,
        }
    }

    /// Prepares to stop: leadership goes to another replica, and what is under
    /// way is finished by it. The replica goes on as a follower.
    pub async fn hand_over(&self) {
        if let Ok(consensus) = self.0.consensus() {
            consensus.hand_over().await;
        }
    }

    /// Stops, closes and unlocks the directory.
    pub async fn stop(&self) {
        let phase = self.0.phase.send_replace(Phase::Stopped);
        self.0.start_queue.close();
        // It holds a share of the directory's lock.
        drop(self.0.neighbours.lock().await.take());
        drop(self.0.membership_changes.forgotten_keys.lock().await.take());
        self.0.alone.close().await;
        if let Phase::Running(consensus) = phase {
            consensus.stop().await;
        }
        // For those that wait for the directory, or rely on its being closed.
        self.0.unlocked.clone().wait().await;
    }

    /// Resolves when the replica has loaded its data, or never will.
    pub async fn loaded(&self) {
        let mut phase = self.0.phase.subscribe();
        let mut failure = self.0.failure.subscribe();
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| !matches!(phase, Phase::Starting(_))) => {}
            _ = failure.wait_for(Option::is_some) => {}
        }
    }
}

impl Inner {
    fn consensus(&self) -> Result<Consensus> {
        match &*self.phase.borrow() {
            Phase::Running(consensus) => Ok(consensus.clone()),
            Phase::Starting(notice) => {
                Err(Error::unavailable(format!("replica {} is starting: {notice}", self.config.id)))
            }
            Phase::Stopped => {
                Err(Error::unavailable(format!("replica {} is stopping", self.config.id)))
            }
        }
    }

    fn fail(&self, error: Error) {
        tracing::error!(%error, "this replica cannot go on");
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(error);
            first
        });
    }
}
