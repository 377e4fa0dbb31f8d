//! The status of one replica, from its server and from a client that asks all servers.

use serde::{Deserialize, Serialize};

use crate::types::{Address, ReplicaId, Timestamp};

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Orders writes.
    Leader,
    /// Follows the leader.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Catching up; has no vote yet.
    Learner,
    /// Loading its disk, or waiting for others to found or join the cluster.
    Starting,
    /// Does not answer.
    Unreachable,
}

/// Stands for the number of a replica that nobody has told.
pub const UNKNOWN: ReplicaId = ReplicaId(0);

/// `null` in JSON where a number is [`UNKNOWN`].
mod number {
    use super::{Deserialize, ReplicaId, Serialize, UNKNOWN};

    pub fn serialize<S: serde::Serializer>(id: &ReplicaId, s: S) -> Result<S::Ok, S::Error> {
        Some(*id).filter(|id| *id != UNKNOWN).serialize(s)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<ReplicaId, D::Error> {
        Ok(Option::deserialize(d)?.unwrap_or(UNKNOWN))
    }
}

/// One replica as `status` shows it. The fields are a contract with scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Its number; [`UNKNOWN`] where no server answered that could tell.
    #[serde(with = "number")]
    pub id: ReplicaId,
    /// Where it listens.
    pub address: Address,
    /// What it is doing.
    pub state: ReplicaState,
    /// The highest term it knows.
    pub term: u64,
    /// Index of its last log entry.
    pub last_log: u64,
    /// Index of the last entry that its state contains.
    pub applied: u64,
    /// The highest commit index seen anywhere, minus `applied`.
    pub lag: u64,
    /// `applied` as it was five seconds ago; `null` when it runs for less.
    #[serde(default)]
    pub applied_before: Option<u64>,
    /// Whether it lags and has gained nothing for five seconds.
    #[serde(default)]
    pub stalled: bool,
    /// Whether it may vote. One that has lost the end of its log may not before it
    /// has caught up.
    #[serde(default = "yes")]
    pub votes: bool,
    /// The server whose process runs it.
    pub hosted_by: Option<ReplicaId>,
    /// That process.
    pub pid: Option<u32>,
    /// The program's version.
    pub version: Option<String>,
    /// Seconds since the process started.
    pub uptime_s: Option<u64>,
    /// Since when its server has no majority and takes messages by itself; `null` where it
    /// does not.
    #[serde(default)]
    pub alone_since: Option<Timestamp>,
    /// Messages, marks and deletions that it holds and no majority has confirmed.
    #[serde(default)]
    pub outbox: u64,
    /// Whether a list of these is broken, or not its own: a notice names it. Until it is moved
    /// away the server takes nothing alone, and somebody may wait for a message that is in it.
    #[serde(default)]
    pub outbox_unusable: bool,
    /// Bytes in its data directory.
    pub disk_bytes: Option<u64>,
    /// Fingerprint of the state; equal on replicas with equal `applied`.
    pub state_hash: Option<String>,
    /// What is wrong with it, as a sentence.
    pub error: Option<String>,
}

/// What servers that say nothing of it mean.
fn yes() -> bool {
    true
}
