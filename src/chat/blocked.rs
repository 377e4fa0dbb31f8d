//! Whom an account has blocked: a set of accounts, with a digest that is kept as they come
//! and go. Plain data; `affairs.rs` says what it is for, and `items.rs` what the numbers are.

use std::collections::BTreeSet;

use super::hash::{Encoder, Kind, StateHash};

/// Accounts by their numbers, which are never given to another one. Some may be gone.
#[derive(Clone, Default)]
pub(super) struct Blocked {
    numbers: BTreeSet<u64>,
    /// Sum of the digests of all of them.
    sum: StateHash,
}

impl Blocked {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }

    /// In ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.numbers.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether it was not there.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let is_new = self.numbers.insert(number);
        if is_new {
            self.sum.add(digest(number));
        }
        is_new
    }

    pub(super) fn remove(&mut self, number: u64) {
        if self.numbers.remove(&number) {
            self.sum.subtract(digest(number));
        }
    }

    /// Adds what it is to an account's digest: nothing while it is empty, as at lower feature
    /// levels.
    pub(super) fn encode(&self, encoder: Encoder) -> Encoder {
        match self.numbers.is_empty() {
            true => encoder,
            false => encoder.text("blocked").fixed(&self.sum.0.to_le_bytes()),
        }
    }
}

fn digest(number: u64) -> u128 {
    Encoder::new(Kind::Account).text("blocked").number(number).finish()
}
