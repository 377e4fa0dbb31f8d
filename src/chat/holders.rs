//! How many lists hold each message, counted while lists are read.
//!
//! Lists name messages all over the state. Looking each of them up there would take
//! a quarter of the time of loading a snapshot. Here a message is found by its place
//! among all `seq`s, which mostly have no gaps; a gap is where messages were deleted.

use super::items::AccountNumber;

/// What is told of a message when a list holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// What it takes.
    pub(super) bytes: u32,
    /// What it takes in all; 0 once an inbox of another than its sender holds it.
    pub(super) kept: u32,
    /// Who sent it.
    pub(super) from: AccountNumber,
}

/// Counts by `seq`.
#[derive(Default)]
pub(super) struct Holders {
    /// Ranges of `seq`s without a gap: the first, and its place in `counts`.
    ranges: Vec<(u64, usize)>,
    /// Of all messages, in their order.
    counts: Vec<u16>,
    /// What each takes and who sent it, for whoever adds up a list.
    held: Vec<Held>,
    /// Of the message added last.
    last: u64,
}

impl Holders {
    /// Adds a message that no list holds yet, behind all others.
    pub(super) fn add(&mut self, seq: u64, held: Held) {
        if self.counts.is_empty() || seq != self.last + 1 {
            self.ranges.push((seq, self.counts.len()));
        }
        self.counts.push(0);
        self.held.push(held);
        self.last = seq;
    }

    /// One list more holds a message; the inbox of `by`, if it is one. `None`: there is no
    /// such message, or 65,535 lists hold it already, which no message has recipients for.
    pub(super) fn hold(&mut self, seq: u64, by: Option<AccountNumber>) -> Option<Held> {
        let at = self.ranges.partition_point(|(first, _)| *first <= seq).checked_sub(1)?;
        let (first, place) = self.ranges[at];
        let end = self.ranges.get(at + 1).map_or(self.counts.len(), |(_, place)| *place);
        let offset = usize::try_from(seq - first).ok()?;
        let count = self.counts[place..end].get_mut(offset)?;
        *count = count.checked_add(1)?;
        let held = &mut self.held[place + offset];
        let told = *held;
        if by.is_some_and(|owner| owner != held.from) {
            held.kept = 0;
        }
        Some(told)
    }

    /// The counts of all messages, in their order.
    pub(super) fn counts(&self) -> &[u16] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Holders};

    #[test]
    fn messages_are_found_on_both_sides_of_gaps_and_nothing_in_them() {
        let held = Held { bytes: 7, kept: 8, from: 9 };
        let mut holders = Holders::default();
        assert_eq!(holders.hold(0, None), None);
        for seq in [3, 4, 5, 9, 11, 12, 1 << 61] {
            holders.add(seq, held);
        }
        for seq in [0, 1, 2, 6, 7, 8, 10, 13, (1 << 61) - 1, (1 << 61) + 1, u64::MAX] {
            assert_eq!(holders.hold(seq, None), None, "{seq}");
        }
        for seq in [3, 5, 9, 12, 12, 1 << 61] {
            assert_eq!(holders.hold(seq, None), Some(held), "{seq}");
        }
        assert_eq!(holders.counts(), [1, 0, 1, 1, 0, 2, 1]);
        assert_eq!((0..u16::MAX - 1).find(|_| holders.hold(3, None).is_none()), None);
        assert_eq!((holders.hold(3, None), holders.counts()[0]), (None, u16::MAX));
    }
    #[test]
    fn what_it_takes_is_told_until_an_inbox_of_another_holds_it() {
        let mut holders = Holders::default();
        holders.add(1, Held { bytes: 7, kept: 8, from: 9 });
        let kept = [None, Some(9), Some(3), Some(4)].map(|by| holders.hold(1, by));
        assert_eq!(kept.map(|held| held.map(|it| it.kept)), [8, 8, 8, 0].map(Some));
    }
}
