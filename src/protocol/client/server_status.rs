//! What one server says of itself and of its cluster.

use serde::{Deserialize, Serialize};

use crate::protocol::replica::ReplicaStatus;
use crate::protocol::survivor::{self, Survivor};
use crate::types::{Address, ReplicaId, Uuid};

/// What one server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The cluster; absent before it is founded.
    pub cluster: Option<Uuid>,
    /// The replica whose server answers.
    pub replica: ReplicaId,
    /// Every configured replica and its address.
    pub members: Vec<Member>,
    /// The leader as this server knows it.
    pub leader: Option<ReplicaId>,
    /// The highest term this server knows.
    pub term: u64,
    /// Whether this server runs the leader, a majority has confirmed it lately,
    /// and its disk has room. Never true of a server that knows a leader
    /// elsewhere: only the leader knows whether it is one still. A cluster takes
    /// writes if any of its servers says so, and all of them take them then.
    pub writable: bool,
    /// The highest commit index this server knows.
    pub commit: u64,
    /// `commit` as it was five seconds ago; `null` when the server runs for less.
    #[serde(default)]
    pub commit_before: Option<u64>,
    /// The cluster's feature level; absent of a program that knows no levels: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u32>,
    /// What is stored in all, in bytes; absent before the state is there, and of a program
    /// that does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// How much that may be; absent where there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes_max: Option<u64>,
    /// What a server does that is left without a majority; older programs know `auto` and
    /// `never` only, and are told `auto` of one that adopts.
    #[serde(serialize_with = "survivor::for_older_programs")]
    pub survivor: Survivor,
    /// Whether it goes on alone where nothing proves that the others are off. Older servers
    /// leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_alone: Option<bool>,
    /// Replicas that this server could adopt if their processes died: it knows
    /// where their data is.
    #[serde(default)]
    pub adoptable: Vec<ReplicaId>,
    /// Every replica that this process runs.
    pub hosted: Vec<ReplicaStatus>,
    /// A sentence for users about what is wrong or waited for, if anything.
    pub notice: Option<String>,
}

impl ServerStatus {
    /// What the server does that is left without a majority. One that says nothing of
    /// going on alone does not, and calls that `auto`.
    pub fn survivor(&self) -> Survivor {
        match (self.survivor, self.goes_alone) {
            (Survivor::Auto, Some(false)) => Survivor::Adopt,
            (survivor, _) => survivor,
        }
    }
}

/// A configured replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: ReplicaId,
    /// Where it listens.
    pub address: Address,
}
