//! What is kept of an answer; `replies.rs` says what becomes of it.

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use crate::types::Uuid;

/// A message that answers another.
#[derive(Clone, Copy)]
pub(super) struct Reply {
    /// The answer.
    pub(super) seq: u64,
    /// What it answers.
    pub(super) to: Uuid,
}

impl Reply {
    pub(super) fn digest(&self) -> u128 {
        Encoder::new(Kind::Reply).number(self.seq).fixed(self.to.as_bytes()).finish()
    }
}

impl Item for Reply {
    fn key(&self) -> u64 {
        self.seq
    }
}
