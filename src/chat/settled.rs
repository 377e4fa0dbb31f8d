//! What is kept of lists that were settled, and of the messages that came from them.

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use crate::types::{Timestamp, Uuid};

/// A list that a server has kept, and how much of it is settled. Kept for ever.
#[derive(Clone, Copy)]
pub(super) struct SettledList {
    /// Counts the lists, in the order in which the log met them.
    pub(super) number: u64,
    pub(super) list: Uuid,
    /// The number of the last entry that was taken from it.
    pub(super) settled: u64,
}

impl SettledList {
    pub(super) fn digest(&self) -> u128 {
        let encoder = Encoder::new(Kind::SettledList).number(self.number);
        encoder.fixed(self.list.as_bytes()).number(self.settled).finish()
    }
}

impl Item for SettledList {
    fn key(&self) -> u64 {
        self.number
    }
}

/// Where a message comes from, of one that no majority took when its author sent it.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    /// The message.
    pub(super) seq: u64,
    /// When a server took it; of a notice, when the log did.
    pub(super) accepted_at: Timestamp,
    /// The fingerprint of what its author asked for, who may ask once more; it had recipients
    /// who were gone when it came into the log. None of a notice, for which nobody has asked.
    pub(super) asked: Option<u128>,
}

impl Origin {
    pub(super) fn digest(&self) -> u128 {
        let encoder = Encoder::new(Kind::Origin).number(self.seq).number(self.accepted_at.0);
        let encoder = encoder.number(u64::from(self.is_notice()));
        encoder.fixed(&self.asked.unwrap_or_default().to_le_bytes()).finish()
    }

    /// Whether the cluster itself says it.
    pub(super) fn is_notice(&self) -> bool {
        self.asked.is_none()
    }
}

impl Item for Origin {
    fn key(&self) -> u64 {
        self.seq
    }
}
