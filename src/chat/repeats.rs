//! Operation ids that were tried more than once, remembered beyond the window.
//!
//! A message that a server took alone may come into the log a month later. If its client
//! got no answer and tried a majority as well, the log has met its id before, perhaps so
//! long ago that the window has forgotten it, and the message may have been deleted since.
//! That second try said that it is one (`again`). So ids of such requests are kept apart,
//! with whose they are and little else: far fewer than all, for far longer.
//!
//! What has left the window or this memory is not simply unknown: the state keeps up to
//! which log index each may have forgotten something ([`Floors`], and for each account what
//! this memory has forgotten of its ids). So nobody's ids matter to anybody else's. An entry
//! of this cluster that was taken later than that, by a server which did not know its id, is
//! new.

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use super::items::AccountNumber;
use super::operation::{Action, Operation, Outcome};
use super::remembered::{Fate, Floors, Repeat};
use super::state::{Actor, Caller, State};
use crate::error::{Error, ErrorCode};
use crate::limits::{LEVEL_OF_SETTLING, REPEAT_BYTES, REPEATS_PARTS, REPEATS_REMEMBERED_MAX};
use crate::planted::{self, Bug};
use crate::types::Uuid;

impl State {
    /// Whether an operation of an account, which a server did not know at log index
    /// `since`, may have come into the log after that and be forgotten again.
    pub(super) fn is_forgotten(&self, author: AccountNumber, since: u64, again: bool) -> bool {
        let Floors { window, level, before: _ } = self.data.floors;
        let repeats = self.data.accounts.get(author).map_or(0, |author| author.repeats_floor);
        // What came later than `since` has a higher index.
        let first = since.saturating_add(1);
        let again = (again && !planted::is(Bug::TakeRepeatForFirst))
            || planted::is(Bug::TakeFirstForRepeat);
        first < level || first < repeats || (again && first < window)
    }

    /// What is remembered of an account's id that was tried more than once.
    pub(super) fn repeat(&self, author: &Uuid, id: &Uuid) -> Option<Fate> {
        let serial = self.repeat_ids.get(&key(author, id))?;
        self.data.repeats.get(serial).map(|repeat| repeat.fate)
    }

    /// What became of a message that was tried before, where only its id is remembered. The
    /// request at hand may be the first try, which lay somewhere all the time.
    pub(super) fn recall_repeat(&self, operation: &Operation, actor: &Actor) -> Option<Outcome> {
        let (Action::Send { .. }, Actor::Account(caller)) = (&operation.action, actor) else {
            return None;
        };
        if self.level() < LEVEL_OF_SETTLING {
            return None;
        }
        let what = match self.repeat(&caller.uuid, &operation.id)? {
            Fate::Delivered => "was accepted before, and is not sent twice",
            Fate::Refused => "was refused before, and nothing was sent",
            Fate::Unclear => "was tried before, and a notice in your inbox says what is known",
        };
        Some(Outcome::refused(Error::new(
            ErrorCode::IdForgotten,
            format!(
                "the message with the id {} {what}; more is not remembered of it. A new message \
                 needs a new id",
                operation.id
            ),
        )))
    }

    /// Notes the id of a request that says it was tried before, if such are remembered beyond
    /// the window.
    pub(super) fn note_tried(
        &mut self,
        index: u64,
        operation: &Operation,
        actor: &Actor,
        outcome: &Outcome,
    ) {
        let (Action::Send { again: true, .. }, Actor::Account(caller)) = (&operation.action, actor)
        else {
            return;
        };
        let fate = match outcome {
            Outcome::Refused(_) if State::enters_window(outcome) => Fate::Refused,
            Outcome::Sent { .. } => Fate::Delivered,
            _ => return,
        };
        if self.level() >= LEVEL_OF_SETTLING {
            self.note_repeat(index, *caller, operation.id, fate);
        }
    }

    /// Notes an account's id.
    pub(super) fn note_repeat(&mut self, index: u64, author: Caller, id: Uuid, fate: Fate) {
        let Caller { number: account, uuid } = author;
        self.keep_repeat(Repeat { serial: 0, key: key(&uuid, &id), account, index, fate });
    }

    /// Notes the id of a notice. If it is forgotten, the author may be told once more, and
    /// that is all.
    pub(super) fn note_notice(&mut self, index: u64, author: &Uuid, id: &Uuid) {
        let (key, fate) = (key(author, id), Fate::Delivered);
        self.keep_repeat(Repeat { serial: 0, key, account: 0, index, fate });
    }

    fn keep_repeat(&mut self, repeat: Repeat) {
        if self.repeat_ids.contains(&repeat.key) || planted::is(Bug::ForgetRepeats) {
            return;
        }
        let most = match self.bounds().total_bytes {
            0 => REPEATS_REMEMBERED_MAX,
            total => {
                let most = (total / REPEATS_PARTS / REPEAT_BYTES).max(1);
                REPEATS_REMEMBERED_MAX.min(usize::try_from(most).unwrap_or(usize::MAX))
            }
        };
        // Two for each that comes: so the bound may be lowered at any time.
        for _ in 0..2 {
            if self.data.repeats.len() >= most {
                self.forget_repeat();
            }
        }
        self.remember_repeat(repeat);
    }

    /// Puts an id behind all others.
    pub(super) fn remember_repeat(&mut self, mut repeat: Repeat) {
        self.last_repeat += 1;
        repeat.serial = self.last_repeat;
        self.repeat_ids.insert(repeat.key, repeat.serial);
        self.data.sum.add(repeat.digest());
        self.data.repeats.push(repeat);
    }

    fn forget_repeat(&mut self) {
        let Some(oldest) = self.data.repeats.first().map(Item::key) else { return };
        let Some(oldest) = self.data.repeats.remove(oldest) else { return };
        self.repeat_ids.remove(&oldest.key);
        self.data.sum.subtract(oldest.digest());
        self.change_account(oldest.account, |account| {
            account.repeats_floor = account.repeats_floor.max(oldest.index.saturating_add(1));
        });
    }
}

/// By what an account's id is known here. Two accounts may have used the same id, and the
/// one has no say about the other's message.
fn key(author: &Uuid, id: &Uuid) -> Uuid {
    let encoder = Encoder::new(Kind::Repeat).fixed(author.as_bytes());
    Uuid::from_u128(encoder.fixed(id.as_bytes()).finish())
}
