//! A mark: how old messages are at least. Plain data; `keeping.rs` says what it is for.

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use crate::types::Timestamp;

/// By then a message and all before it had been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The message.
    pub(super) seq: u64,
    /// What the clocks of a majority had reached when it was stored already.
    pub(super) at: Timestamp,
    /// The log entry that brought the mark; 0 in a backup, whose log it was not.
    pub(super) index: u64,
}

impl Mark {
    pub(super) fn digest(&self) -> u128 {
        let encoder = Encoder::new(Kind::Mark).number(self.seq).number(self.at.0);
        encoder.number(self.index).finish()
    }
}

impl Item for Mark {
    fn key(&self) -> u64 {
        self.seq
    }
}
