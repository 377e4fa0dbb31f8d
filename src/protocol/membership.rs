//! What is asked and answered when replicas come, go and move, and when the cluster gets a new
//! key: bodies of the calls of [`super::peer`].

use serde::{Deserialize, Serialize};

use super::client::Member;
use crate::types::{Fingerprint, KeyStage, MemberChange, ReplicaId, Succession};

/// The body of [`ChangeMembers`](super::peer::Call::ChangeMembers). The same again asks how
/// far the change has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeMembers {
    /// What to change. A replica to add that has number 0 gets the next free one.
    pub change: MemberChange,
    /// Whether to do it although the cluster then tolerates no failure any more.
    #[serde(default)]
    pub force: bool,
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersChanged {
    /// The replica that it is about.
    pub replica: ReplicaId,
    /// All replicas of the cluster.
    pub members: Vec<Member>,
    /// What is waited for, as a sentence; `None` when all is done.
    pub waits_for: Option<String>,
    /// Whether nothing more will happen before somebody does something else.
    pub settled: bool,
    /// How many voters the cluster has, or will have.
    pub voters: u32,
}

/// The answer to [`Keys`](super::peer::Call::Keys): fingerprints, as no key is ever sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKeys {
    /// Those of all that the server knows, the one that it uses first.
    pub known: Vec<Fingerprint>,
    /// Whether it is another server than the replica's own, whose file may hold others.
    pub adopted: bool,
}

/// The body of [`Rekey`](super::peer::Call::Rekey). The same again asks how far the change
/// has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekey {
    /// The key that is used.
    pub old: Fingerprint,
    /// The key that is to be used.
    pub new: Fingerprint,
    /// By which clients follow; `None` after a theft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<Succession>,
    /// Whether to go on without servers that do not answer.
    #[serde(default)]
    pub force: bool,
}

/// How far a change of key has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekeyed {
    /// The stage that the cluster is in.
    pub stage: KeyStage,
    /// All replicas of the cluster.
    pub members: Vec<Member>,
    /// What is waited for, as a sentence; `None` when all is done.
    pub waits_for: Option<String>,
}
