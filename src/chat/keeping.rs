//! How long messages are kept.
//!
//! An administrator may have messages kept for a number of days. What is older goes: out of
//! all inboxes and out of its sender's list, as if all had deleted it.
//!
//! # Which time counts
//! What goes does not come back, and one wrong clock must not make it go. So the time-stamps
//! of messages decide nothing: each is what one leader believed. There are *marks* instead.
//! A leader for whom the clocks of a majority confirm a time (so many have reached it, and so
//! many are not beyond it) writes an entry that
//! says so ([`Action::NoteTime`]), and which message was the last one before it looked at
//! them. Both are true whenever the entry is applied, and by whomever it was written. One a
//! day is kept as a mark: all messages up to that one had been sent by then. They are old
//! enough when another such entry says that so many days have gone by since. So a message is
//! kept for as long as was said, and for up to a day more.
//!
//! Marks are in the order of the log, and so messages go in that order, whatever they are
//! stamped with: a leader whose clock was wrong in the past makes none go early or stay.
//! They are made whether or not there is a bound, so that one that is set later knows how
//! old everything is. What was sent before feature level [`LEVEL_OF_KEEPING`] counts from
//! the first mark on.
//!
//! # What it promises
//! - Nothing goes before a majority of clocks says so. Clocks that are wrong together are
//!   believed; all servers of one machine have one clock.
//! - No entry takes long: an entry takes a bounded number of messages away, and the leader
//!   writes the next one until all are gone. A message goes as a whole.
//! - An operation id means what it meant: a message that is gone is remembered in the window
//!   like one that was deleted, so it does not come back when it is sent again with the same
//!   id. Only where its own entry is further back than the window reaches, or what is
//!   remembered takes more than its part, it is not remembered: or ten years of messages that
//!   go together would take the place of all else.
//! - The order of entries decides: setting another bound in between, or none, holds from
//!   there on. Nothing brings back what is gone.
//!
//! # What others see of it
//! What they see when an owner deletes a message: pages and follows pass over it, `read`
//! passes over its place, and deleting it again is refused as for any message that is not
//! there. What is stored becomes less by it (`usage.rs`).
//!
//! # Backups
//! Marks are part of a backup, so what is restored is as old as it was. How long messages are
//! kept is what the new cluster says.
//!
//! # How it fails
//! If a majority of clocks was ahead for a while, marks say a time that is still to come.
//! Those that are more than a day ahead of a later entry are dropped, and their messages
//! count with the next mark: they stay longer. If a majority was behind, and all that the
//! log holds with it, the messages of that time go too early: clocks that are wrong together are
//! believed. Without a majority nothing goes.

use super::chunks::Item;
use super::mark::Mark;
#[cfg(doc)]
use super::operation::Action;
use super::state::State;
use crate::limits::{
    EXPIRED_LISTS_PER_ENTRY, LEVEL_OF_KEEPING, MARK_INTERVAL_MS, MARKS_DROPPED_PER_ENTRY, MARKS_MAX,
};
use crate::types::Timestamp;

/// A day in milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1000;

impl State {
    /// Whether an entry that says that it is `at` would change anything.
    pub fn heeds_time(&self, at: Timestamp) -> bool {
        self.level() >= LEVEL_OF_KEEPING
            && (self.mark_is_due(self.data.counters.last_seq, at)
                || self.has_impossible_mark(at)
                || self.expired_mark(at).is_some())
    }

    /// Takes notice of the time: message `seq` had been stored before the clocks of a
    /// majority were seen to have reached `at`.
    pub(super) fn note_time(&mut self, index: u64, seq: u64, at: Timestamp) {
        if self.level() < LEVEL_OF_KEEPING {
            return;
        }
        for _ in 0..MARKS_DROPPED_PER_ENTRY {
            match self.data.marks.last().map(Item::key) {
                Some(last) if self.has_impossible_mark(at) => self.remove_mark(last),
                _ => break,
            }
        }
        let seq = seq.min(self.data.counters.last_seq);
        if !self.has_impossible_mark(at) && self.mark_is_due(seq, at) {
            self.drop_useless_marks();
            let mark = Mark { seq, at, index };
            self.data.sum.add(mark.digest());
            self.data.marks.push(mark);
        }
        self.expire_messages(index, at);
    }

    /// Whether there are messages behind the last mark, and that is a day old.
    fn mark_is_due(&self, seq: u64, at: Timestamp) -> bool {
        let (marked, next) = match self.data.marks.last() {
            Some(mark) => (mark.seq, mark.at.plus_ms(MARK_INTERVAL_MS)),
            None => (0, Timestamp(0)),
        };
        let newest = self.data.messages.last().map_or(0, Item::key);
        seq > marked && newest > marked && next <= at
    }

    /// Whether the last mark says a time that is still to come.
    fn has_impossible_mark(&self, at: Timestamp) -> bool {
        self.data.marks.last().is_some_and(|mark| mark.at > at.plus_ms(MARK_INTERVAL_MS))
    }

    /// Drops marks that no message stands behind, and the oldest if there are too many.
    fn drop_useless_marks(&mut self) {
        let oldest = self.data.messages.first().map_or(u64::MAX, Item::key);
        for _ in 0..MARKS_DROPPED_PER_ENTRY {
            match self.data.marks.first().map(Item::key) {
                Some(first) if first < oldest || self.data.marks.len() >= MARKS_MAX => {
                    self.remove_mark(first);
                }
                _ => return,
            }
        }
    }

    fn remove_mark(&mut self, seq: u64) {
        if let Some(mark) = self.data.marks.remove(seq) {
            self.data.sum.subtract(mark.digest());
        }
    }

    /// The oldest mark, if the time of the messages before it is over.
    pub(super) fn expired_mark(&self, at: Timestamp) -> Option<Mark> {
        let keep_ms = DAY_MS * u64::from(self.bounds().keep_messages_days);
        let oldest = self.data.marks.first().copied().filter(|_| keep_ms > 0)?;
        (oldest.at.plus_ms(keep_ms) <= at).then_some(oldest)
    }

    /// Takes away messages whose time is over, in the order of the log, as many as one entry
    /// may. Those that stay are found by the mark that stays with them.
    fn expire_messages(&mut self, index: u64, at: Timestamp) {
        let mut left = EXPIRED_LISTS_PER_ENTRY;
        while let Some(mark) = self.expired_mark(at) {
            // Their own entries are no later than that of the mark.
            let is_forgotten = index.saturating_sub(mark.index) > self.deduplication_window_entries;
            // Nor do ids of what is long gone take the place of those of today.
            let is_forgotten = is_forgotten || self.remembers_too_much();
            let remember_at = (!is_forgotten).then_some(index);
            if is_forgotten {
                self.note_forgotten(mark.index);
            }
            while let Some(oldest) = self.data.messages.first()
                && oldest.seq <= mark.seq
            {
                if left == 0 {
                    return;
                }
                let (seq, lists) = (oldest.seq, oldest.to.labels.len() + 1);
                left = left.saturating_sub(lists);
                self.expire_message(remember_at, seq);
            }
            if left == 0 {
                return;
            }
            left -= 1;
            self.remove_mark(mark.seq);
        }
    }

    fn expire_message(&mut self, remember_at: Option<u64>, seq: u64) {
        let Some(message) = self.data.messages.get(seq) else { return };
        let (to, sender) = (message.to.clone(), message.from.number);
        for recipient in &to.labels {
            self.remove_from_inbox(remember_at, recipient.number, seq);
        }
        self.remove_from_sent(remember_at, sender, seq);
    }
}
