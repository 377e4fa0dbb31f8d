//! What `ftchat status --json` prints: one object for the whole cluster.
//!
//! No server sends it; a client puts it together from the answers of all
//! servers. The names are a contract with scripts, hence they stand here.

use serde::{Deserialize, Serialize};

use super::client::{ReplicaState, ReplicaStatus, Survivor, UNKNOWN};
use crate::types::{Address, ReplicaId, Uuid};

/// A cluster as seen from one client at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster; `None` when no server answered, or none has been founded.
    pub cluster: Option<Uuid>,
    /// Whether messages are taken: by a majority, or by a server that is alone.
    pub writable: bool,
    /// Whether what is taken is confirmed at once: the leader itself answered and said that
    /// a majority has confirmed it lately.
    pub confirming: bool,
    /// Messages, marks and deletions that servers took alone and no majority has confirmed.
    pub unconfirmed: u64,
    /// The replica that answered as leader of a majority.
    pub leader: Option<ReplicaId>,
    /// The highest term that anybody knows.
    pub term: u64,
    /// The highest commit index that anybody knows.
    pub commit: u64,
    /// How many more server processes may crash, in the worst order, with
    /// writes still confirmed.
    pub tolerates: u32,
    /// How many more may crash with messages still taken, confirmed or not: all but the
    /// last where servers go on alone.
    pub tolerates_alone: u32,
    /// The feature level: what belongs to a higher one waits until all servers are
    /// updated. `None` when no server answered.
    pub feature_level: Option<u32>,
    /// What is stored in all, in bytes, as the server says that has applied most. `None`
    /// when no server says so.
    #[serde(default)]
    pub stored_bytes: Option<u64>,
    /// How much that may be; `None` when no server says so, and where there is no bound.
    #[serde(default)]
    pub stored_bytes_max: Option<u64>,
    /// Every configured replica, sorted by number, also those that do not answer.
    /// If no server reported the numbers: in the order of the list, without numbers.
    pub replicas: Vec<ReplicaStatus>,
    /// Whether survivors adopt dead neighbours; `None` when no server answered.
    pub survivor: Option<Survivor>,
    /// Sentences for users about what is wrong or waited for.
    pub notices: Vec<String>,
}

impl std::fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            ReplicaState::Leader => "leader",
            ReplicaState::Follower => "follower",
            ReplicaState::Candidate => "candidate",
            ReplicaState::Learner => "learner",
            ReplicaState::Starting => "starting",
            ReplicaState::Unreachable => "unreachable",
        })
    }
}

/// A cluster's health in one word, and the exit code of `status --check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Writes are taken and every replica runs on its own server, caught up
    /// but for what is under way.
    Healthy,
    /// Messages are taken, but not confirmed, or a replica is missing, adopted, alone or
    /// not yet in step, or stands still, or may not vote.
    Degraded,
    /// No messages are taken, or nobody answers.
    Unavailable,
}

impl ClusterStatus {
    /// Whether any server answered.
    pub fn answered(&self) -> bool {
        self.replicas.iter().any(|replica| replica.state != ReplicaState::Unreachable)
    }

    /// The cluster's health.
    pub fn health(&self) -> Health {
        if !self.writable {
            return Health::Unavailable;
        }
        let in_place = |replica: &ReplicaStatus| {
            matches!(replica.state, ReplicaState::Leader | ReplicaState::Follower)
                && replica.hosted_by == Some(replica.id)
                && replica.votes
                && !replica.stalled
                && replica.alone_since.is_none()
                && !replica.outbox_unusable
                && replica.error.is_none()
        };
        match self.confirming && self.replicas.iter().all(in_place) {
            true => Health::Healthy,
            false => Health::Degraded,
        }
    }

    /// Fills in the numbers of replicas that no server reported.
    pub fn number<'a>(&mut self, members: impl Iterator<Item = (ReplicaId, &'a Address)>) {
        for (id, address) in members {
            let unnumbered = |it: &&mut ReplicaStatus| it.id == UNKNOWN && it.address == *address;
            if let Some(replica) = self.replicas.iter_mut().find(unnumbered) {
                replica.id = id;
            }
        }
        self.replicas.sort_by_key(|replica| replica.id);
    }

    /// The replica of that number.
    pub fn replica(&self, id: ReplicaId) -> Option<&ReplicaStatus> {
        self.replicas.iter().find(|replica| replica.id == id)
    }
}
