//! What replicas say to each other.
//!
//! ```text
//! → {"ftchat":1,"role":"peer","replica":2,"nonce":"…","cluster":"…","lineage":"…","incarnation":1}
//! ← {"ftchat":1,"replica":1,"nonce":"…","proof":"…","cluster":"…","lineage":"…","incarnation":1}
//! → {"proof":"…","location":{…},"level":1}
//! ← {"welcome":true,"location":{…},"level":1}
//! → {"id":1,"call":"read_index","body":{}}
//! ← {"id":1,"ok":17}
//! ```
//!
//! Before a single frame is read, each side proves that it holds the cluster's key, by
//! an HMAC over both fresh nonces and both introductions. The body of a frame is raw
//! JSON here: only the module that answers the call reads it.

use std::path::PathBuf;

use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};

use super::client::Role;
use super::codec::number_after;
pub use super::membership::{ChangeMembers, KnownKeys, MembersChanged, Rekey, Rekeyed};
use crate::error::ErrorBody;
use crate::host::FileId;
use crate::types::{Address, Digest, Fingerprint, NodeId, ReplicaId, Timestamp, Uuid};

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
    /// The random id of the last of those openings. Older programs make none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Uuid>,
}

impl Location {
    /// The opening of the directory that said so.
    pub fn opening(&self) -> Opening {
        Opening { number: self.opens, id: self.opening }
    }
}

/// One opening of a data directory to run its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The how-manieth it was.
    pub number: u64,
    /// Its random id; older programs make none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
}

/// What a replica remembers of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Which incarnation of it.
    pub incarnation: u32,
    /// The last opening of its directory that was heard of.
    pub opening: Opening,
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
    /// Which key the caller uses, for a callee that knows two. Older programs know one, and
    /// do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
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
    /// What the callee remembers of the caller, for the caller to find out that its
    /// directory is an old copy before it says anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembers: Option<Remembered>,
    /// Who answers.
    #[serde(flatten)]
    pub from: Introduction,
}

/// The caller's second line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerProof {
    /// That the caller holds the key.
    pub proof: Digest,
    /// What the caller remembers of the callee, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembers: Option<Remembered>,
    /// Where the caller's data is. The callee has proved itself by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// For how many log entries the caller remembers an operation id. Absent of
    /// who keeps no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// The highest feature level that the caller knows. Absent of a program that
    /// knows no levels, which is level 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub level: u32,
    /// What the clock of the caller's machine shows. Older programs do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// Where the caller is to be looked for. Older programs do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

fn is_zero(level: &u32) -> bool {
    *level == 0
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
    /// As [`PeerProof::level`], of the callee.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub level: u32,
    /// As [`PeerProof::clock`], of the callee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// As [`PeerProof::address`], of the callee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
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
    /// "Change which replicas the cluster has." ([`ChangeMembers`] → [`MembersChanged`])
    /// Asked of the leader by an administrator.
    ChangeMembers,
    /// "Which keys does your server know?" ([`KnownKeys`]) Asked by the leader while the
    /// cluster gets a new one.
    Keys,
    /// "Give the cluster a new key." ([`Rekey`] → [`Rekeyed`]) Asked of the leader by an
    /// administrator.
    Rekey,
    /// "Take a backup, whose parts I shall fetch here." ([`Backup`] →
    /// [`BackupHead`]) Asked by an administrator, like the next two.
    Backup,
    /// "The next part of it." The answer is an array of lines, each a JSON
    /// object; an empty one after the last.
    BackupPart,
    /// "Do this step of a restore." The body is a step as the state machine
    /// knows it; → [`RestoreProgress`].
    Restore,
    /// "Change who may come in." ([`ChangeRequest`] → [`Changed`]) Asked by an
    /// administrator, like the next one.
    ///
    /// [`ChangeRequest`]: super::administration::ChangeRequest
    /// [`Changed`]: super::administration::Changed
    Administer,
    /// "Tell who may come in, and what was changed." ([`Question`] → [`Inspected`])
    ///
    /// [`Question`]: super::administration::Question
    /// [`Inspected`]: super::administration::Inspected
    Inspect,
    /// "I was removed from the cluster; propose what I took without a majority." The body is
    /// entries as the state machine knows them, and the answer how many of them are settled.
    /// An administrator asks it for a machine of the cluster that this one was made out of.
    HandOver,
    /// Consensus: "how far is your log?", when the leader's process is gone, and when a
    /// node has to find out whether it has lost something.
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

/// A request between replicas, in the one form that [`CallLine::push`] writes:
/// the body of an append is long, and nobody looks for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLine<'a> {
    /// Names the answer.
    pub id: u64,
    /// What is asked.
    pub call: Call,
    /// Its arguments as JSON, read, and found wrong, by whom they concern.
    pub body: &'a [u8],
}

impl<'a> CallLine<'a> {
    /// Reads a line without its newline; `None` if it has another form.
    pub fn parse(line: &'a [u8]) -> Option<CallLine<'a>> {
        let (id, rest) = number_after(line, "{\"id\":")?;
        let rest = rest.strip_prefix(b",\"call\":\"")?;
        let (name, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
        let name: StrDeserializer<'_, serde::de::value::Error> =
            str::from_utf8(name).ok()?.into_deserializer();
        let call = Call::deserialize(name).ok()?;
        let body = rest.strip_prefix(b"\",\"body\":")?.strip_suffix(b"}")?;
        (!body.is_empty()).then_some(CallLine { id, call, body })
    }

    /// Appends it as a line with its newline.
    pub fn push(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(b"{\"id\":");
        push(buffer, &self.id);
        buffer.extend_from_slice(b",\"call\":");
        push(buffer, &self.call);
        buffer.extend_from_slice(b",\"body\":");
        buffer.extend_from_slice(self.body);
        buffer.extend_from_slice(b"}\n");
    }
}

/// An answer between replicas, in the one form that [`ReplyLine::push`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    /// The request's.
    pub id: u64,
    /// The result as JSON, which may be `null`; or the failure.
    pub result: Result<&'a [u8], ErrorBody>,
}

impl<'a> ReplyLine<'a> {
    /// Reads a line without its newline; `None` if it has another form.
    pub fn parse(line: &'a [u8]) -> Option<ReplyLine<'a>> {
        let (id, rest) = number_after(line, "{\"id\":")?;
        let rest = rest.strip_suffix(b"}")?;
        let result = match rest.strip_prefix(b",\"ok\":") {
            Some(ok) if !ok.is_empty() => Ok(ok),
            Some(_) => return None,
            None => Err(serde_json::from_slice(rest.strip_prefix(b",\"error\":")?).ok()?),
        };
        Some(ReplyLine { id, result })
    }

    /// Appends it as a line with its newline.
    pub fn push(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(b"{\"id\":");
        push(buffer, &self.id);
        match &self.result {
            Ok(ok) => {
                buffer.extend_from_slice(b",\"ok\":");
                buffer.extend_from_slice(ok);
            }
            Err(error) => {
                buffer.extend_from_slice(b",\"error\":");
                push(buffer, error);
            }
        }
        buffer.extend_from_slice(b"}\n");
    }
}

fn push<T: Serialize>(buffer: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(buffer, value).expect("plain data serializes");
}

/// Where a replica stands while clusters are founded and joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Who it is.
    pub from: Introduction,
    /// Whether it has a log or a vote; absent while it loads and cannot say.
    /// A member without either was named a member of a cluster that has not begun.
    pub begun: Option<bool>,
    /// What the clock of its machine shows. Older programs do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
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
    /// Fingerprint of the state, as `status` shows it for that entry if nothing is in it that
    /// was taken alone.
    pub state_hash: String,
    /// Accounts in it.
    pub accounts: u64,
    /// Messages in it.
    pub messages: u64,
    /// Changes in it that the server took without a majority. Servers of an older version leave
    /// them out.
    #[serde(default)]
    pub taken_alone: u64,
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
    use crate::error::Error;

    #[test]
    fn an_answer_without_content_is_an_answer() {
        let reply = ReplyLine::parse(br#"{"id":1,"ok":null}"#).expect("parses");
        assert_eq!(reply, ReplyLine { id: 1, result: Ok(b"null") });
        assert_eq!(ReplyLine::parse(br#"{"id":1,"ok":}"#), None);
        assert_eq!(ReplyLine::parse(br#"{"id":1}"#), None);
    }

    #[test]
    fn lines_read_back_as_they_were_written_and_in_no_other_form() {
        let error = ErrorBody::from(Error::unavailable("no, \"not\" now"));
        for result in [Ok(&b"{}"[..]), Err(error)] {
            let (reply, mut line) = (ReplyLine { id: 7, result }, Vec::new());
            reply.push(&mut line);
            assert_eq!(ReplyLine::parse(line.strip_suffix(b"\n").expect("a line")), Some(reply));
            assert_eq!(ReplyLine::parse(&line), None, "with its newline");
        }
        for call in [Call::Append, Call::SnapshotBegin, Call::Propose] {
            let (asked, mut line) = (CallLine { id: 9, call, body: b"[1,{}]" }, Vec::new());
            asked.push(&mut line);
            assert_eq!(CallLine::parse(line.strip_suffix(b"\n").expect("a line")), Some(asked));
            assert_eq!(CallLine::parse(&line), None, "with its newline");
        }
        for other in [
            "",
            "{}",
            r#"{"id":1,"call":"vote"}"#,
            r#"{"id":1,"call":"vote","body":}"#,
            r#"{"id":1,"call":"vote","body":1"#,
            r#"{"id":01,"call":"vote","body":1}"#,
            r#"{"id":1,"call":"revolt","body":1}"#,
            r#"{"id":1, "call":"vote","body":1}"#,
            r#"{"id":1,"call": "vote","body":1}"#,
            r#"{"id":1,"call":"vo\u0074e","body":1}"#,
            r#"{"call":"vote","id":1,"body":1}"#,
        ] {
            assert_eq!(CallLine::parse(other.as_bytes()), None, "{other}");
            assert_eq!(ReplyLine::parse(other.as_bytes()), None, "{other}");
        }
    }
}
