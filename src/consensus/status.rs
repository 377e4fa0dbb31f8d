//! What `status` shows of a node.

use openraft::async_runtime::WatchReceiver as _;
use openraft::{Instant, ServerState};

use super::Consensus;
use super::types::Metrics;
use crate::protocol::client::ReplicaState;
use crate::storage::Shortage;

/// One node's view.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// What it is doing.
    pub state: ReplicaState,
    /// The highest term it knows.
    pub term: u64,
    /// Index of its last log entry.
    pub last_log: u64,
    /// Index of the last entry in its state.
    pub applied: u64,
    /// The highest commit index it knows.
    pub commit: u64,
    /// Fingerprint of the state at `applied`; `None` on an adopted replica.
    pub state_hash: Option<String>,
    /// On the leader: whether a majority has confirmed it within the longest
    /// election timeout.
    pub confirmed: bool,
    /// Why the node has stopped taking part, if it has.
    pub failure: Option<String>,
    /// What its log waits for, such as room on the disk.
    pub shortage: Option<Shortage>,
}

impl Consensus {
    /// The engine's own metrics, which may be a moment old.
    pub(crate) fn metrics(&self) -> Metrics {
        self.0.raft.metrics().borrow_watched().clone()
    }

    /// The last entry in the state, and the highest commit index that is known.
    pub fn position(&self) -> (u64, u64) {
        let metrics = self.metrics();
        (self.0.machine.applied_index(), commit(&metrics))
    }

    /// This node's view.
    pub fn status(&self) -> NodeStatus {
        let metrics = self.metrics();
        let (applied, state_hash) = self.0.machine.fingerprint();
        let state = match metrics.state {
            ServerState::Leader => ReplicaState::Leader,
            ServerState::Candidate => ReplicaState::Candidate,
            // Not a voter like the others before its former self has lost its
            // vote: until then that one, which is gone, counts against it.
            ServerState::Follower if self.replaces_another() => ReplicaState::Learner,
            ServerState::Follower => ReplicaState::Follower,
            ServerState::Learner => ReplicaState::Learner,
            ServerState::Shutdown => ReplicaState::Starting,
        };
        let lease = std::time::Duration::from_millis(self.0.raft.config().election_timeout_max);
        // The engine notes acknowledgements of others only; a cluster of one is
        // its own majority.
        let alone = metrics.membership_config.membership().voter_ids().eq([metrics.id]);
        NodeStatus {
            state,
            term: metrics.current_term,
            last_log: metrics.last_log_index.unwrap_or(0),
            applied,
            commit: commit(&metrics),
            state_hash,
            confirmed: metrics.state == ServerState::Leader
                && (alone
                    || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < lease)),
            failure: metrics.running_state.err().map(|fatal| fatal.to_string()),
            shortage: self.0.store.log().shortage(),
        }
    }
}

fn commit(metrics: &Metrics) -> u64 {
    let index = |log_id: Option<super::types::LogId>| log_id.map_or(0, |log_id| log_id.index());
    index(metrics.local_committed).max(index(metrics.cluster_committed))
}
