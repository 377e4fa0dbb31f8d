//! Bodies of the calls that consensus makes, which [`crate::consensus::wire::records`] may follow.

use serde::{Deserialize, Serialize};

use crate::consensus::types::{SnapshotMeta, Vote};
use crate::types::NodeId;

/// A call's body: which incarnation it is for, and its content. The receiver
/// refuses what was meant for an earlier incarnation of its replica.
#[derive(Serialize, Deserialize)]
pub struct Addressed<T> {
    /// The node that is meant.
    pub to: NodeId,
    /// The content.
    pub message: T,
}

/// Begins a snapshot transfer.
#[derive(Serialize, Deserialize)]
pub struct SnapshotBegin {
    /// The leader's vote.
    pub vote: Vote,
    /// What the snapshot contains.
    pub meta: SnapshotMeta,
    /// The feature level that the leader's directory is ready for: at least that of
    /// the snapshot.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub level: u32,
}

fn is_zero(level: &u32) -> bool {
    *level == 0
}

/// The head of a part of a snapshot; its lines follow as [`crate::consensus::wire::records`].
#[derive(Serialize, Deserialize)]
pub struct SnapshotPart {
    /// The node that is meant.
    pub to: NodeId,
}
