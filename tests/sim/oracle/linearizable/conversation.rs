//! A conversation as a little state machine, and what clients saw of it.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::random::splitmix64;

/// What is asked of a conversation, with what was answered.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A message was accepted at `seq`, the next one of the conversation after `previous`
    /// (0: it is the first). At or below the last place it repeats one that is there.
    Sent { seq: u64, previous: u64 },
    /// Of the messages in a range, these are shown, and these of them as read.
    Showed(Shown),
    /// The message was there and is not any more.
    Deleted(u64),
    /// The message was not there.
    Missing(u64),
    /// A deletion without an answer: it removed the message, or found none.
    MayBeDeleted(u64),
    /// The messages are read, as far as they are there.
    Marked(Vec<u64>),
}

/// What a page shows of a conversation.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The range begins after this place.
    pub after: u64,
    /// It ends with this one.
    pub until: u64,
    /// Whether only unread ones are shown.
    pub unread: bool,
    /// The messages that are shown.
    pub seqs: Vec<u64>,
    /// Those of them that are shown as read.
    pub read: BTreeSet<u64>,
    /// All places of the conversation.
    pub all: Arc<Vec<u64>>,
}

/// Messages are sent up to a place; some of them were deleted or read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Messages {
    last: u64,
    deleted: Places,
    read: Places,
}

impl Messages {
    /// The state after an observation; `None` if it cannot be made in this one.
    pub fn after(&self, observation: &Observation) -> Option<Messages> {
        let mut next = self.clone();
        let possible = match observation {
            Observation::Sent { seq, previous } if self.last == *previous => {
                next.last = *seq;
                true
            }
            Observation::Sent { seq, .. } => *seq <= self.last,
            Observation::Showed(page) => self.shows(page),
            Observation::Deleted(seq) => self.has(*seq) && next.deleted.insert(*seq),
            Observation::Missing(seq) => !self.has(*seq),
            Observation::MayBeDeleted(seq) => !self.has(*seq) || next.deleted.insert(*seq),
            Observation::Marked(seqs) => {
                for seq in seqs.iter().filter(|seq| self.has(**seq)) {
                    next.read.insert(*seq);
                }
                true
            }
        };
        possible.then_some(next)
    }

    /// Whether an observation can be made, and changes neither this state nor any that
    /// comes after it.
    pub fn leaves_no_trace(&self, observation: &Observation) -> bool {
        match observation {
            Observation::Sent { seq, .. } => *seq <= self.last,
            Observation::Showed(page) => self.shows(page),
            Observation::Deleted(_) => false,
            Observation::Missing(seq) => !self.has(*seq),
            Observation::MayBeDeleted(seq) => self.deleted.contains(*seq),
            Observation::Marked(seqs) => {
                seqs.iter().all(|seq| self.read.contains(*seq) || self.deleted.contains(*seq))
            }
        }
    }

    fn has(&self, seq: u64) -> bool {
        seq <= self.last && !self.deleted.contains(seq)
    }

    fn shows(&self, page: &Shown) -> bool {
        let first = page.all.partition_point(|seq| *seq <= page.after);
        let end = page.all.partition_point(|seq| *seq <= page.until.min(self.last));
        let live = page.all[first..end.max(first)]
            .iter()
            .filter(|seq| self.has(**seq))
            .filter(|seq| !page.unread || !self.read.contains(**seq));
        live.eq(&page.seqs)
            && page.seqs.iter().all(|seq| page.read.contains(seq) == self.read.contains(*seq))
    }
}

/// A set of places. It is shared by the many states in which it is the same, and is
/// hashed without being read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    set: Arc<BTreeSet<u64>>,
    hash: u64,
}

impl Places {
    fn contains(&self, seq: u64) -> bool {
        self.set.contains(&seq)
    }

    /// Returns whether it is new.
    fn insert(&mut self, seq: u64) -> bool {
        if self.contains(seq) {
            return false;
        }
        self.hash ^= splitmix64(&mut seq.clone());
        Arc::make_mut(&mut self.set).insert(seq)
    }
}

impl Hash for Places {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}
