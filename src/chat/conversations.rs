//! Who has written to whom: of each two accounts the messages between them, so that a
//! conversation is found without looking at all others. It follows from the messages and is
//! neither hashed nor in a snapshot.
//!
//! A message to a few is in the list of each pair. One to many is in one list of its sender
//! alone, which both sides look through: otherwise a message to a thousand would be taken
//! out of a thousand lists when it is deleted.
//!
//! A message stays as long as anybody has it. Whether one of the two still has it in a list
//! is for the reader to see.

use std::collections::BTreeMap;

use super::chunks::{Chunks, Item};
use super::items::{AccountNumber, Message, SentEntry};
use super::meter;

/// Recipients of a message that is in the lists of their pairs.
const FEW_RECIPIENTS: usize = 8;

/// Which messages there are between accounts.
#[derive(Default)]
pub(super) struct Conversations {
    /// Of two accounts, the lower number first.
    between: BTreeMap<(AccountNumber, AccountNumber), Places>,
    /// Messages of an account to many.
    to_many: BTreeMap<AccountNumber, Chunks<SentEntry>>,
}

/// Most places that are kept in one piece.
const FEW_PLACES: usize = 32;

/// Places in the total order, ascending. There may be as many pairs as messages, so one place
/// takes no more than itself, and a few not much more.
enum Places {
    One(u64),
    // The vector itself would make all of them larger.
    #[allow(clippy::box_collection)]
    Few(Box<Vec<u64>>),
    Many(Box<Chunks<SentEntry>>),
}

impl Places {
    fn before(&self, before: u64) -> impl Iterator<Item = u64> {
        let few = match self {
            Places::One(seq) => std::slice::from_ref(seq),
            Places::Few(seqs) => seqs,
            Places::Many(_) => &[],
        };
        let many = match self {
            Places::Many(seqs) => Some(seqs.before(before).map(Item::key)),
            Places::One(_) | Places::Few(_) => None,
        };
        let few = few.iter().rev().copied().filter(move |seq| *seq < before);
        few.chain(many.into_iter().flatten())
    }

    /// Adds a place behind all others; one that is there already counts once.
    fn push(&mut self, seq: u64) {
        match self {
            Places::One(first) if *first == seq => {}
            Places::One(first) => *self = Places::Few(Box::new(vec![*first, seq])),
            Places::Few(seqs) if seqs.last() == Some(&seq) => {}
            Places::Few(seqs) if seqs.len() < FEW_PLACES => seqs.push(seq),
            Places::Few(seqs) => {
                let mut many = Chunks::default();
                seqs.iter().for_each(|seq| many.push(SentEntry(*seq)));
                many.push(SentEntry(seq));
                *self = Places::Many(Box::new(many));
            }
            Places::Many(seqs) if seqs.last().map(Item::key) == Some(seq) => {}
            Places::Many(seqs) => seqs.push(SentEntry(seq)),
        }
    }

    /// Takes a place out. Returns whether any is left.
    fn remove(&mut self, seq: u64) -> bool {
        match self {
            Places::One(_) => false,
            Places::Few(seqs) => {
                meter::work(1);
                if let Ok(place) = seqs.binary_search(&seq) {
                    seqs.remove(place);
                }
                !seqs.is_empty()
            }
            Places::Many(seqs) => {
                seqs.remove(seq);
                seqs.len() > 0
            }
        }
    }
}

fn pair(one: AccountNumber, other: AccountNumber) -> (AccountNumber, AccountNumber) {
    (one.min(other), one.max(other))
}

impl Conversations {
    /// A message was stored, behind all others.
    pub(super) fn add(&mut self, message: &Message) {
        let Message { seq, from, to, .. } = message;
        if to.labels.len() > FEW_RECIPIENTS {
            meter::work(1);
            self.to_many.entry(from.number).or_default().push(SentEntry(*seq));
            return;
        }
        for recipient in &to.labels {
            let places = self.between.entry(pair(from.number, recipient.number));
            places.or_insert(Places::One(*seq)).push(*seq);
        }
    }

    /// A message is gone.
    pub(super) fn remove(&mut self, message: &Message) {
        let Message { seq, from, to, .. } = message;
        if to.labels.len() > FEW_RECIPIENTS {
            meter::work(1);
            if let Some(seqs) = self.to_many.get_mut(&from.number) {
                seqs.remove(*seq);
                if seqs.len() == 0 {
                    self.to_many.remove(&from.number);
                }
            }
            return;
        }
        for recipient in &to.labels {
            let pair = pair(from.number, recipient.number);
            let left = self.between.get_mut(&pair).is_some_and(|places| places.remove(*seq));
            if !left {
                self.between.remove(&pair);
            }
        }
    }

    /// Places below `before` of all messages that may be between two accounts, the last one
    /// first: those of one account to many may be for others.
    pub(super) fn before(
        &self,
        one: AccountNumber,
        other: AccountNumber,
        before: u64,
    ) -> impl Iterator<Item = u64> {
        let between = self.between.get(&pair(one, other));
        let between = between.into_iter().flat_map(move |places| places.before(before));
        let others = Some(other).filter(|other| *other != one);
        let theirs = others.into_iter().flat_map(move |other| self.to_many(other, before));
        descending(between, descending(self.to_many(one, before), theirs))
    }

    fn to_many(&self, account: AccountNumber, before: u64) -> impl Iterator<Item = u64> {
        let seqs = self.to_many.get(&account).into_iter();
        seqs.flat_map(move |seqs| seqs.before(before).map(Item::key))
    }

    /// How many messages there are in all lists together, for tests.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = ((AccountNumber, AccountNumber), u64)> {
        let between = self.between.iter();
        let between = between.flat_map(|(pair, it)| it.before(u64::MAX).map(|seq| (*pair, seq)));
        let to_many = self.to_many.iter();
        between.chain(to_many.flat_map(|(from, seqs)| seqs.iter().map(|it| ((*from, 0), it.0))))
    }
}

/// Joins two descending sequences; what is in both comes once.
pub(super) fn descending(
    one: impl Iterator<Item = u64>,
    other: impl Iterator<Item = u64>,
) -> impl Iterator<Item = u64> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let highest = one.peek().max(other.peek()).copied()?;
        one.next_if_eq(&highest);
        other.next_if_eq(&highest);
        Some(highest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descending_sequences_become_one() {
        let joined = |one: &[u64], other: &[u64]| -> Vec<u64> {
            descending(one.iter().copied(), other.iter().copied()).collect()
        };
        assert_eq!(joined(&[9, 5, 2], &[8, 5, 1]), [9, 8, 5, 2, 1]);
        assert_eq!(joined(&[], &[3, 1]), [3, 1]);
        assert_eq!(joined(&[3, 1], &[]), [3, 1]);
        assert!(joined(&[], &[]).is_empty());
    }
}
