//! Consensus: one order of all operations, agreed by a majority and on its
//! disks. The only module that names openraft.
//!
//! The algorithm is Raft (Ongaro and Ousterhout, 2014) with pre-vote and leadership
//! transfer, as openraft implements it. This module adds:
//!
//! - [`engine`]: the log on disk ([`LogStore`]), the state in memory ([`Machine`]) and
//!   calls on authenticated links, as openraft wants them.
//! - [`wire`]: entries and calls as bytes; an entry is serialized once.
//! - [`proposer`]: operations gathered into entries, forwarded to the leader,
//!   in order and with honest failures.
//! - [`reads`]: linearizable reads from any replica.
//! - [`leadership`]: where the leader is, who is to lead when it is known to be dead,
//!   and how a leader gives leadership to another.
//! - [`membership`]: founding a cluster, and replicas that join it or come back.
//! - [`rejoin`]: a node that has lost the end of its log.
//! - [`alone`]: what a node without a majority has to know of itself.
//! - [`adoption`], [`warm_state`]: replicas that run in another server's process, and
//!   how their owners get them back.
//!
//! # What it promises
//! An operation that was answered is on the disks of a majority and in the
//! state of the leader. All replicas apply the same operations in the same
//! order. A read that was confirmed sees every operation answered before it.
//!
//! # How it fails
//! Without a majority, writes and reads wait until their deadlines. When the log
//! cannot be written, the node stops taking part for good, and the process ends.
//!
//! # Settings that are not a matter of taste
//! - `enable_leader_restore: false`: see [`engine::log_store`].
//! - `enable_elect: false` at the start: a replica that comes back must not depose a
//!   good leader before it has heard of it. [`Consensus::enable_elections`] follows
//!   when peers have answered.
//! - `enable_pre_vote`: a replica that was cut off does not raise the term.

mod adoption;
mod alone;
mod engine;
#[cfg(test)]
mod fuzz;
mod leadership;
mod level;
mod membership;
mod obstacle;
mod peer_calls;
mod progress;
mod proposer;
mod reads;
mod rejoin;
pub mod remains;
mod runs;
mod runtime;
mod snapshots;
mod start;
mod status;
mod surroundings;
mod time;
mod types;
mod warm_state;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

pub use engine::links::{Links, Pair};
pub use engine::state_machine::{Machine, Takes};
pub use leadership::fast_election::Loss;
pub use leadership::route::Absence;
pub use level::LevelGuard;
pub use obstacle::{Obstacle, Subject};
pub use peer_calls::PeerService;
pub use proposer::{ForwardBody, ForwardReply, Sequence};
pub use runtime::spawn;
pub use start::{NodeParts, Stored};
pub use status::NodeStatus;
pub use time::Time;
pub use warm_state::{VerifiedLog, WarmState};

use self::engine::log_store::LogStore;
use self::leadership::route::{Route, Router};
use self::proposer::Proposer;
use self::reads::Reader;
use self::rejoin::LogEnd;
use self::runs::Runs;
use self::types::{TypeConfig, Vote};
use crate::chat::{Operation, Outcome};
use crate::config::Timing;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::sync::Mutex;
use crate::types::{NodeId, ReplicaId, Uuid};

type Raft = openraft::Raft<TypeConfig, Machine>;

/// A log filter that leaves out what the engine logs for its own developers: fifty
/// times a second that a dead replica is not reached, or that it was asked something
/// while it stops.
pub const LOG_FILTER: &str = "info,openraft=error,openraft::raft::raft_inner=off";

/// The same, a step louder.
pub const LOG_FILTER_VERBOSE: &str = "debug,openraft=warn";

/// What became of a proposed operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its outcome.
    pub outcome: Outcome,
    /// Replicas known to have it on disk: a quorum or more.
    pub copies: u32,
    /// How many replicas vote.
    pub replicas: u32,
}

/// One running node of the cluster. Clones share it.
#[derive(Clone)]
pub struct Consensus(Arc<Inner>);

struct Inner {
    node: NodeId,
    raft: Raft,
    store: LogStore,
    machine: Machine,
    links: Links,
    router: Router,
    proposer: Proposer,
    reader: Reader,
    host: Host,
    /// Drawn for this process; see [`rejoin`].
    run: Uuid,
    runs: Runs,
    log_end: watch::Sender<LogEnd>,
    /// Ends what goes on beside the engine.
    stopped: watch::Sender<bool>,
    /// The vote that an earlier process left on the disk.
    found_vote: Option<Vote>,
    /// How often a fast election was begun; the last one goes on.
    fast_elections: AtomicU64,
    /// Whether the node may ask for votes, once it relies on its log.
    elections_wanted: Mutex<bool>,
    timing: Timing,
    /// When a leader was last heard of, or the node started.
    leader_contact_at: Mutex<Instant>,
    /// How often one was heard of, and how far it said that it had committed.
    led: AtomicU64,
    leader_committed: AtomicU64,
}

impl Consensus {
    /// This node.
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// Puts an operation in line, at once, and returns its outcome.
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
        self.0.proposer.propose(operation, deadline, sequence)
    }

    /// Returns once the state contains every write acknowledged before the call.
    ///
    /// # Errors
    /// [`ErrorCode::ReadNotConfirmed`], naming who is missing.
    pub async fn confirm(&self, deadline: Instant) -> Result<()> {
        self.0.reader.confirm(deadline).await
    }

    /// A leader was heard of, which has committed as far as `committed`.
    fn note_leader_contact(&self, committed: u64) {
        *self.0.leader_contact_at.lock() = Instant::now();
        self.0.leader_committed.fetch_max(committed, Ordering::Relaxed);
        self.0.led.fetch_add(1, Ordering::Release);
    }

    /// How long no majority has been heard of: on the leader since one has
    /// acknowledged it, elsewhere since a leader was heard of.
    pub fn time_without_quorum(&self) -> Duration {
        use openraft::Instant as _;
        let metrics = self.metrics();
        let since_contact = self.0.leader_contact_at.lock().elapsed();
        match metrics.last_quorum_acked {
            Some(acked) if metrics.state == openraft::ServerState::Leader => {
                // The election of a new leader counts as such a contact.
                acked.elapsed().min(since_contact)
            }
            _ => since_contact,
        }
    }

    /// Whether this node leads, and a majority has said so lately.
    pub fn leads(&self) -> bool {
        matches!(self.0.router.route(), Some(Route::Here(_)))
    }

    /// Whether a peer is in step: on the leader, whether it has acknowledged all
    /// that is committed; elsewhere that counts as so.
    pub fn is_followed_by(&self, peer: ReplicaId) -> bool {
        let committed = self.metrics().local_committed.map_or(0, |log_id| log_id.index());
        self.have_on_disk(committed, |node| node.replica() == peer)
    }

    /// On the leader, whether one of these nodes is known to have an entry on its disk;
    /// elsewhere that cannot be known, and counts as so.
    fn have_on_disk(&self, index: u64, nodes: impl Fn(NodeId) -> bool) -> bool {
        let Some(replication) = self.metrics().replication else { return true };
        let mut progress = replication.iter().filter(|(node, _)| nodes(**node));
        progress.any(|(_, matched)| matched.map_or(0, |log_id| log_id.index()) >= index)
    }

    /// The replica that leads, as far as this node knows.
    pub fn leader(&self) -> Option<ReplicaId> {
        match self.0.router.route() {
            Some(Route::Here(_)) => Some(self.0.node.replica()),
            Some(Route::There(node, _)) => Some(node.replica()),
            None => None,
        }
    }

    /// Why writes cannot be taken, as the end of a sentence.
    pub fn absence(&self) -> Absence {
        self.0.router.absence()
    }

    /// Resolves when the leader changes.
    pub async fn leader_changed(&self) {
        self.0.router.changed().await;
    }

    /// Resolves when the node has stopped taking part for good, with the reason.
    pub async fn failed(&self) -> Error {
        use openraft::async_runtime::WatchReceiver;
        let mut metrics = self.0.raft.metrics();
        loop {
            if let Err(fatal) = &self.metrics().running_state {
                let stopped = || Error::internal(format!("consensus has stopped: {fatal}"));
                return self.0.machine.faults().take().unwrap_or_else(stopped);
            }
            if metrics.changed().await.is_err() {
                return Error::internal("consensus has stopped");
            }
        }
    }

    /// Stops. What was proposed and not answered ends as unknown.
    pub async fn stop(&self) {
        self.0.stopped.send_replace(true);
        // The core may wait for room for a vote, and would not hear that it is to end.
        self.0.store.log().stop_waiting();
        // The core ends either way; a panic of it has been logged by then.
        let raft = self.0.raft.clone();
        let ended = runtime::scoped(&self.0.host, async move { raft.shutdown().await });
        if let Err(error) = ended.await {
            tracing::error!(%error, "consensus did not stop cleanly");
        }
        self.0.machine.detach();
        if let Err(error) = self.0.store.log().close().await {
            tracing::error!(%error, "the log was not closed cleanly");
        }
    }
}
