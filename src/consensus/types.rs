//! The types that consensus is configured with.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::oneshot;

use crate::chat::{Batch, Outcome};
use crate::error::{Error, ErrorCode};
use crate::sync::Mutex;
use crate::types::NodeId;

/// Where consensus takes its tasks, timers and random numbers from.
///
/// The random numbers (election jitter) come from a seed in the task, which
/// [`crate::consensus::runtime::scoped`] sets: from the operating system in production, from
/// the simulation's seed in a simulation. It is the same code in both.
pub type Runtime = DeterministicRng<TokioRuntime>;

openraft::declare_raft_types!(
    /// Binds consensus to this system's types.
    pub TypeConfig:
        D = Proposal,
        R = Outcomes,
        NodeId = NodeId,
        Node = openraft::BasicNode,
        AsyncRuntime = Runtime,
);

/// Position of an entry: leadership (term and node) and index.
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// A vote, or the leadership that followed it.
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
/// Leadership as it stands in a [`LogId`].
pub type CommittedLeaderId = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
/// A log entry.
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// The content of an entry: nothing, operations or a membership.
pub type EntryPayload = openraft::alias::PayloadOf<TypeConfig>;
/// Voters, learners and their addresses.
pub type Membership = openraft::Membership<NodeId, openraft::BasicNode>;
/// A membership and the entry that it came with.
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// What the engine tells of itself.
pub type Metrics = openraft::RaftMetrics<TypeConfig>;
/// What a snapshot contains.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// Operations on their way through the log, with the bytes that stand for them.
///
/// Serialized once: by the leader when it proposes, or never on a follower,
/// which keeps the bytes it received. The same bytes go to the disk and to both
/// followers.
#[derive(Clone)]
pub struct Proposal(Arc<ProposalInner>);

struct ProposalInner {
    /// The operations, once somebody has asked for them.
    batch: OnceLock<Batch>,
    /// The batch as JSON.
    json: Bytes,
    /// The whole record line, once the entry has a place in the log.
    record: OnceLock<(LogId, Bytes)>,
    /// Sent to when the leader's log has taken the entry.
    accepted: Mutex<Option<oneshot::Sender<()>>>,
}

impl Proposal {
    /// A batch and its JSON.
    pub fn new(batch: Batch, json: Bytes) -> Self {
        Self::with(OnceLock::from(batch), json)
    }

    /// The JSON of a batch. Parsed when the operations are asked for, which
    /// nobody does with an entry that is only passed on.
    pub fn unread(json: Bytes) -> Self {
        Self::with(OnceLock::new(), json)
    }

    fn with(batch: OnceLock<Batch>, json: Bytes) -> Self {
        Proposal(Arc::new(ProposalInner {
            batch,
            json,
            record: OnceLock::new(),
            accepted: Mutex::new(None),
        }))
    }

    /// Serializes a batch that is to be proposed. The receiver resolves when the leader's
    /// log has taken it, and fails if it never does. `bytes` is about how many there will
    /// be.
    pub fn propose(batch: Batch, bytes: usize) -> (Self, oneshot::Receiver<()>) {
        let mut json = Vec::with_capacity(bytes);
        serde_json::to_writer(&mut json, &batch).expect("plain data serializes");
        let proposal = Proposal::new(batch, json.into());
        let (send, receive) = oneshot::channel();
        *proposal.0.accepted.lock() = Some(send);
        (proposal, receive)
    }

    /// The operations.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] when they were not parsed so far and are none.
    pub fn batch(&self) -> Result<&Batch, Error> {
        if let Some(batch) = self.0.batch.get() {
            return Ok(batch);
        }
        let batch = serde_json::from_slice(&self.0.json).map_err(|error| {
            let what = format!("a log entry's operations are not readable: {error}");
            Error::new(ErrorCode::Corrupted, what)
        })?;
        Ok(self.0.batch.get_or_init(|| batch))
    }

    /// The feature level that the operations raise the state to; 0 when they raise
    /// none, or were not parsed so far.
    pub fn raises_level_to(&self) -> u32 {
        self.0.batch.get().map_or(0, Batch::raises_level_to)
    }

    /// The batch as JSON.
    pub fn json(&self) -> &Bytes {
        &self.0.json
    }

    /// The record line that was made for this place in the log, if any.
    pub fn record(&self, log_id: &LogId) -> Option<Bytes> {
        self.0.record.get().filter(|(at, _)| at == log_id).map(|(_, line)| line.clone())
    }

    /// Remembers the record line. Only the first call counts; a proposal stands
    /// in one place of the log.
    pub fn remember_record(&self, log_id: LogId, line: Bytes) {
        // Losing the race to an equal line changes nothing.
        let _ = self.0.record.set((log_id, line));
    }

    /// The leader's log has taken the entry.
    pub fn mark_accepted(&self) {
        if let Some(send) = self.0.accepted.lock().take() {
            // The proposer may have given up waiting.
            let _ = send.send(());
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts and hashes never reach a log file.
        write!(f, "Proposal({} bytes)", self.0.json.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operations of {} bytes", self.0.json.len())
    }
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.batch().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let batch = Batch::deserialize(deserializer)?;
        let json = serde_json::to_vec(&batch).expect("plain data serializes");
        Ok(Proposal::new(batch, json.into()))
    }
}

/// What became of the operations of an entry, in their order; empty for an
/// entry without operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes(pub Vec<Outcome>);

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} outcomes", self.0.len())
    }
}
