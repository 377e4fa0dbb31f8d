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

/// Places in the total order, ascending. There may be as many pairs as messages, so one place
/// takes no more than itself.
enum Places {
    One(u64),
    Many(Box<Chunks<SentEntry>>),
}

impl Places {
    fn before(&self, before: u64) -> impl Iterator<Item = u64> {
        let (one, many) = match self {
            Places::One(seq) => (Some(*seq).filter(|seq| *seq < before), None),
            Places::Many(seqs) => (None, Some(seqs.before(before).map(Item::key))),
        };
        one.into_iter().chain(many.into_iter().flatten())
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
            let places = places.or_insert(Places::One(*seq));
            match places {
                Places::One(first) if first == seq => {}
                Places::One(first) => {
                    let mut seqs = Chunks::default();
                    seqs.push(SentEntry(*first));
                    seqs.push(SentEntry(*seq));
                    *places = Places::Many(Box::new(seqs));
                }
                Places::Many(seqs) => seqs.push(SentEntry(*seq)),
            }
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
            let left = match self.between.get_mut(&pair) {
                Some(Places::Many(seqs)) => {
                    seqs.remove(*seq);
                    seqs.len()
                }
                Some(Places::One(_)) | None => 0,
            };
            if left == 0 {
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
