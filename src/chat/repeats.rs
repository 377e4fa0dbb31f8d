//! Operation ids that were tried more than once, remembered beyond the window.
//!
//! A message that a server took alone may come into the log a month later. If its client
//! got no answer and tried a majority as well, the log has met its id before, perhaps so
//! long ago that the window has forgotten it, and the message may have been deleted since.
//! That second try said that it is one (`again`). So ids of such requests are kept apart,
//! with nothing but whether they were refused: far fewer than all, for far longer.
//!
//! What has left the window or this memory is not simply unknown: the state keeps up to
//! which log index either may have forgotten something ([`Floors`]). An entry that was taken
//! later than that by a server which did not know its id is certainly new.

use super::chunks::Item;
use super::operation::{Action, Operation, Outcome};
use super::remembered::{Floors, Repeat};
use super::state::State;
use crate::error::{Error, ErrorCode};
use crate::limits::{LEVEL_OF_SETTLING, REPEAT_BYTES, REPEATS_PARTS, REPEATS_REMEMBERED_MAX};
use crate::types::Uuid;

impl State {
    /// Whether an operation that no server knew at log index `since` may have come into the
    /// log after that and be forgotten again.
    pub(super) fn is_forgotten(&self, since: u64, again: bool) -> bool {
        let Floors { window, repeats } = self.data.floors;
        // What came later than `since` has a higher index.
        since + 1 < repeats || (again && since + 1 < window)
    }

    /// Whether an id that was tried more than once is remembered, and if so, whether it
    /// was refused.
    pub(super) fn repeat(&self, id: &Uuid) -> Option<bool> {
        let serial = self.repeat_ids.get(id)?;
        self.data.repeats.get(serial).map(|repeat| repeat.refused)
    }

    /// What became of an operation that says it was tried before, where only its id is
    /// remembered.
    pub(super) fn recall_repeat(&self, operation: &Operation) -> Option<Outcome> {
        if !self.keeps_repeats(&operation.action) {
            return None;
        }
        let what = match self.repeat(&operation.id)? {
            true => "was refused before",
            false => "was accepted before, and is not sent twice",
        };
        Some(Outcome::refused(Error::new(
            ErrorCode::IdConflict,
            format!(
                "the message with the id {} {what}; more is not remembered of it. A new message \
                 needs a new id",
                operation.id
            ),
        )))
    }

    /// Whether ids of such requests are remembered beyond the window.
    pub(super) fn keeps_repeats(&self, action: &Action) -> bool {
        matches!(action, Action::Send { again: true, .. }) && self.level() >= LEVEL_OF_SETTLING
    }

    /// Notes the id of a request that says it was tried before.
    pub(super) fn note_repeat(&mut self, index: u64, id: Uuid, again: bool, refused: bool) {
        if !again || self.repeat_ids.contains(&id) {
            return;
        }
        let most = self.bounds().total_bytes / REPEATS_PARTS / REPEAT_BYTES;
        let most = match most {
            0 => REPEATS_REMEMBERED_MAX,
            most => REPEATS_REMEMBERED_MAX.min(most as usize),
        };
        // Two for each that comes: so the bound may be lowered at any time.
        for _ in 0..2 {
            if self.data.repeats.len() >= most {
                self.forget_repeat();
            }
        }
        self.remember_repeat(Repeat { serial: 0, id, index, refused });
    }

    /// Puts an id behind all others.
    pub(super) fn remember_repeat(&mut self, mut repeat: Repeat) {
        repeat.serial = self.data.repeats.last().map_or(0, Item::key).max(self.last_repeat) + 1;
        self.last_repeat = repeat.serial;
        self.repeat_ids.insert(repeat.id, repeat.serial);
        self.data.sum.add(repeat.digest());
        self.data.repeats.push(repeat);
    }

    fn forget_repeat(&mut self) {
        let Some(oldest) = self.data.repeats.first().map(Item::key) else { return };
        let Some(oldest) = self.data.repeats.remove(oldest) else { return };
        self.repeat_ids.remove(&oldest.id);
        self.data.sum.subtract(oldest.digest());
        self.data.floors.repeats = self.data.floors.repeats.max(oldest.index + 1);
    }
}
