//! What replicas say to each other.
//!
//! ```text
//! → {"ftchat":1,"role":"peer","replica":2,"nonce":"…","cluster":"…","lineage":"…","incarnation":1}
//! ← {"ftchat":1,"replica":1,"nonce":"…","proof":"…","cluster":"…","lineage":"…","incarnation":1}
//! → {"proof":"…","location":{…}}
//! ← {"welcome":true,"location":{…}}
//! → {"id":1,"call":"read_index","body":{}}
//! ← {"id":1,"ok":{"index":17}}
//! ```
//!
//! Each side proves that it holds the cluster's key by an HMAC over both fresh
//! nonces and both introductions before a single frame is read. Frames of
//! consensus travel as raw JSON, which only `consensus/` understands.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::client::Role;
use crate::error::ErrorBody;
use crate::host::FileId;
use crate::types::{Digest, NodeId, ReplicaId, Timestamp, Uuid};

/// Who a replica is, as it tells a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Its number.
    pub replica: ReplicaId,
    /// Its cluster; absent while its directory is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Uuid>,
    /// The cluster's line of history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Uuid>,
    /// Its incarnation, from 1; absent while its directory is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u32>,
}

impl Introduction {
    /// The node id, unless the directory is empty.
    pub fn node(&self) -> Option<NodeId> {
        self.incarnation.map(|incarnation| NodeId::new(self.replica, incarnation))
    }
}

/// Where a replica's data directory is, precisely enough to find it again and
/// to tell it from a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Which boot of which machine said so. Empty where the system names none.
    pub boot: String,
    /// The machine, the same after a restart. Empty where the system names none.
    pub machine: String,
    /// The data directory, absolute.
    pub path: PathBuf,
    /// Its `LOCK`. Means something only during the same boot.
    pub lock: FileId,
    /// How often the directory had been opened to run the replica.
    pub opens: u64,
}

/// First line of a peer's connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerHello {
    /// The protocol version.
    pub ftchat: u32,
    /// Always [`Role::Peer`].
    pub role: Role,
    /// Fresh for this connection.
    pub nonce: Digest,
    /// Who calls.
    #[serde(flatten)]
    pub from: Introduction,
}

/// The answer to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerChallenge {
    /// The protocol version.
    pub ftchat: u32,
    /// Fresh for this connection.
    pub nonce: Digest,
    /// That the callee holds the key.
    pub proof: Digest,
    /// Who answers.
    #[serde(flatten)]
    pub from: Introduction,
}

/// The caller's second line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerProof {
    /// That the caller holds the key.
    pub proof: Digest,
    /// Where the caller's data is. The callee has proved itself by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// For how many log entries the caller remembers an operation id. Absent of
    /// who keeps no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

/// The callee's second line: frames may follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerWelcome {
    /// Always true; refusals are error lines.
    pub welcome: bool,
    /// Where the callee's data is. Said only now that both have proved
    /// themselves: strangers need not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// As [`PeerProof::window`], of the callee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// "Who are you, and have you a log?" → [`Standing`]
    Introduce,
    /// "I found this cluster; be its replica, if your directory is empty."
    Found,
    /// "My directory is empty; under which incarnation may I join?"
    Join,
    /// "I am ready under my new incarnation; make me a voter."
    Admit,
    /// "You run my replica; give its directory back." ([`Release`])
    Release,
    /// "Give leadership to this replica." ([`Lead`]) Asked of the leader by an
    /// administrator; see [`ADMINISTRATOR`].
    Lead,
    /// "Take a backup, whose parts I shall fetch here." ([`Backup`] →
    /// [`BackupHead`]) Asked by an administrator, like the next two.
    Backup,
    /// "The next part of it." The answer is an array of lines, each a JSON
    /// object; an empty one after the last.
    BackupPart,
    /// "Do this step of a restore." The body is a step as the state machine
    /// knows it; → [`RestoreProgress`].
    Restore,
    /// Consensus: "the leader's process is gone; how far is your log?"
    Contest,
    /// Consensus: "of all who answered you are the best to lead; ask for votes."
    Campaign,
    /// Forwarded operations, for the leader to order.
    Propose,
    /// Asks the leader for an index that contains every acknowledged write.
    ReadIndex,
    /// Consensus: AppendEntries.
    Append,
    /// Consensus: RequestVote.
    Vote,
    /// Consensus: the question before it.
    PreVote,
    /// Consensus: leadership is offered.
    TransferLeader,
    /// A snapshot begins.
    SnapshotBegin,
    /// Some of its lines.
    SnapshotLines,
    /// It is complete: install it.
    SnapshotEnd,
}

/// A request between replicas.
#[derive(Debug, Deserialize)]
pub struct CallLine<'a> {
    /// Names the answer.
    pub id: u64,
    /// What is asked.
    pub call: Call,
    /// Its arguments, read by whom they concern.
    #[serde(borrow)]
    pub body: &'a RawValue,
}

/// An answer between replicas.
#[derive(Debug, Deserialize)]
pub struct ReplyLine<'a> {
    /// The request's.
    pub id: u64,
    /// The result, which may be `null`.
    #[serde(default, borrow, deserialize_with = "present")]
    pub ok: Option<&'a RawValue>,
    /// Or the failure.
    #[serde(default)]
    pub error: Option<ErrorBody>,
}

/// Reads a field that is there, also as `null`, which would else read as absent:
/// an answer without content then broke the connection it came on.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

/// Where a replica stands while clusters are founded and joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Who it is.
    pub from: Introduction,
    /// Whether it has a log or a vote; absent while it loads and cannot say.
    /// A member without either was named a member of a cluster that has not begun.
    pub begun: Option<bool>,
}

/// The body of [`Call::Found`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The new cluster.
    pub cluster: Uuid,
    /// Its line of history.
    pub lineage: Uuid,
}

/// The answer to [`Call::Join`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The cluster.
    pub cluster: Uuid,
    /// Its line of history.
    pub lineage: Uuid,
    /// A number that this replica never had.
    pub incarnation: u32,
}

/// The body of [`Call::Admit`]. The answer is whether the node votes now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// The new incarnation.
    pub node: NodeId,
}

/// The number by which an administrator introduces itself, who holds the
/// cluster's key and is no replica. Replicas are numbered from 1.
pub const ADMINISTRATOR: ReplicaId = ReplicaId(0);

/// The body of [`Call::Lead`]. The answer comes when that replica leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// Who is to lead.
    pub replica: ReplicaId,
}

/// The body of [`Call::Backup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Whether a majority must confirm first that nothing is missing. Without
    /// it the backup is what this one replica knows.
    pub confirmed: bool,
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHead {
    /// The cluster.
    pub cluster: Uuid,
    /// The log entry up to which it has the state.
    pub index: u64,
    /// When it was taken.
    pub at: Timestamp,
    /// Fingerprint of the state, as `status` shows it for that entry.
    pub state_hash: String,
    /// Accounts in it.
    pub accounts: u64,
    /// Messages in it.
    pub messages: u64,
}

/// How far a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProgress {
    /// Lines of the backup that are there.
    pub lines: u64,
    /// Whether the backup is restored.
    pub done: bool,
}

/// The body of [`Call::Release`]: the directory, as the one who wants it sees it.
/// The answer comes when its lock is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The replica.
    pub replica: ReplicaId,
    /// Its data directory.
    pub path: PathBuf,
    /// The `LOCK` in it; absent when there is none yet.
    pub lock: Option<FileId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_content_is_an_answer() {
        let reply: ReplyLine<'_> = serde_json::from_str(r#"{"id":1,"ok":null}"#).expect("parses");
        assert_eq!(reply.ok.map(RawValue::get), Some("null"));
        let reply: ReplyLine<'_> = serde_json::from_str(r#"{"id":1}"#).expect("parses");
        assert!(reply.ok.is_none() && reply.error.is_none());
    }
}
