//! De-duplication: the same operation id is applied once.
//!
//! A client whose answer was lost repeats its request, perhaps at another server,
//! perhaps when the first attempt is in the log already. So every operation id is
//! remembered with its outcome for a number of log entries, the window. Refusals are
//! remembered like successes: a client that was told "unknown account" must not see a
//! late copy of the same request delivered after all.
//!
//! Six outcomes need no place in the window:
//! - A message that is stored is found by its id, and its outcome follows from it. A
//!   tombstone enters the window only when the last copy of the message is removed.
//! - "Session expired" is answered for a session number that never comes back, so a
//!   late copy of that request is refused again anyway. And a user who logs in again
//!   may repeat the same id and have it done this time.
//! - "Behind" is answered to a message that comes too early, or to what was asked by the rules
//!   of another feature level, and the same comes again.
//! - What became of an entry of a list is told by its place there.
//! - A conflict of ids changes nothing of what the id means.
//! - Steps of restoring a backup may come twice, and a client that was told to wait
//!   for the end of a restore may ask for the same again afterwards.
//!
//! Forgetting costs as much as remembering. The window is a queue by log index, and
//! every entry takes from its front what has become too old. From feature level 1 on
//! it takes a bounded number, since the ids of a restored backup become too old
//! together; the rest is remembered a little longer. From feature level 3 on the oldest go
//! before that when all of them take more than their part of what may be stored. So from
//! there on the time that an id is remembered for has no lower bound where accounts ask for
//! much at once: `limits.changes_per_account_per_s` is what keeps it long.

use std::sync::Arc;

use super::fingerprint::{distinct_folded, fingerprint, send_fingerprint};
use super::items::Message;
use super::operation::{Action, Operation, Outcome};
use super::remembered::DeduplicationEntry;
use super::settled::Origin;
use super::state::{Actor, State};
use crate::error::{Error, ErrorCode};
use crate::limits::{IDS_FORGOTTEN_PER_ENTRY, LEVEL_OF_SETTLING};
use crate::types::Uuid;

impl State {
    /// What became of an operation with this id before, if that is known.
    ///
    /// The caller counts as the same when it is the same account, or when the session
    /// has ended meanwhile: servers propose only for sessions that they have seen, so
    /// it was the operation's own session. (A `DeleteAccount` ends its own session; a
    /// late copy of it is still answered "done".)
    pub(super) fn recall(&self, operation: &Operation, actor: &Actor) -> Option<Outcome> {
        if matches!(operation.action, Action::Deliver(_)) {
            // Its place says whether it was taken.
            return None;
        }
        let (same_content, by, outcome) = if let Some(serial) = self.window_ids.get(&operation.id) {
            let remembered = self.data.window.get(serial)?;
            let same = remembered.fingerprint == fingerprint(&operation.action);
            (same, remembered.actor, remembered.outcome.clone())
        } else {
            let message = self.data.messages.get(self.message_ids.get(&operation.id)?)?;
            let asked = self.data.origins.get(message.seq).and_then(|origin| origin.asked);
            let same = match asked {
                Some(asked) => asked == fingerprint(&operation.action),
                None => {
                    let reply_to = self.reply_to(message.seq);
                    is_content_of(&operation.action, message, reply_to)
                }
            };
            (same, Some(message.from.account), message.outcome())
        };
        let same_actor = match actor {
            Actor::Account(caller) => by == Some(caller.uuid),
            Actor::NotNeeded | Actor::SessionEnded => true,
        };
        Some(if same_content && same_actor {
            outcome
        } else {
            Outcome::refused(Error::new(
                ErrorCode::IdConflict,
                format!(
                    "the operation id {} was used before, for something else; make a new one",
                    operation.id
                ),
            ))
        })
    }

    /// Whether an outcome is remembered in the window. The head of this file says why the
    /// others need no place there.
    pub(super) fn enters_window(outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Sent { .. } | Outcome::Settled { .. } | Outcome::Restoring { .. } => false,
            Outcome::Refused(body) => {
                use ErrorCode::{Behind, Restoring, SessionExpired};
                !matches!(body.code, SessionExpired | Restoring | Behind)
            }
            Outcome::SessionOpened { .. }
            | Outcome::Done
            | Outcome::Marked { .. }
            | Outcome::Deleted { .. }
            | Outcome::Incarnation { .. }
            | Outcome::Invited { .. }
            | Outcome::MembersChanged { .. } => true,
        }
    }

    /// Puts an operation into the window, behind all others.
    pub(super) fn remember(&mut self, mut remembered: DeduplicationEntry) {
        self.last_serial += 1;
        remembered.serial = self.last_serial;
        self.window_ids.insert(remembered.id, remembered.serial);
        self.data.sum.add(remembered.digest());
        self.usage.add_remembered(&remembered);
        self.data.window.push(Arc::new(remembered));
    }

    /// Remembers a message whose last copy is going.
    pub(super) fn remember_message(
        &mut self,
        index: u64,
        message: &Message,
        reply_to: Option<Uuid>,
        origin: Option<Origin>,
    ) {
        let folded: Vec<_> = message.to.labels.iter().map(|label| label.name.folded()).collect();
        self.remember(DeduplicationEntry {
            serial: 0,
            id: message.id,
            index,
            actor: Some(message.from.account),
            fingerprint: origin.and_then(|origin| origin.asked).unwrap_or_else(|| {
                let folded = folded.iter().map(|name| name.as_str());
                send_fingerprint(folded, &message.text, reply_to.as_ref())
            }),
            outcome: message.outcome(),
        });
    }

    /// Forgets what is too far behind log entry `index`, whose operations take so many
    /// steps.
    pub(super) fn forget_old(&mut self, index: u64, steps: usize) {
        let at_most = match self.level() {
            0 => usize::MAX,
            _ => IDS_FORGOTTEN_PER_ENTRY + steps,
        };
        self.forget(index, at_most);
    }

    /// Ids of operations up to a log entry may be forgotten from now on.
    pub(super) fn note_forgotten(&mut self, index: u64) {
        if self.level() >= LEVEL_OF_SETTLING {
            self.data.floors.window = self.data.floors.window.max(index.saturating_add(1));
        }
    }

    /// Forgets at most so many ids that are too far behind log entry `index`.
    pub(super) fn forget(&mut self, index: u64, at_most: usize) {
        for _ in 0..at_most {
            let Some(oldest) = self.data.window.first() else { return };
            let is_old = index.saturating_sub(oldest.index) > self.deduplication_window_entries;
            if !is_old && !self.remembers_too_much() {
                return;
            }
            let serial = oldest.serial;
            let Some(oldest) = self.data.window.remove(serial) else {
                return;
            };
            self.window_ids.remove(&oldest.id);
            self.data.sum.subtract(oldest.digest());
            self.usage.remove_remembered(&oldest);
            self.note_forgotten(oldest.index);
        }
    }
}

fn is_content_of(action: &Action, message: &Message, answers: Option<Uuid>) -> bool {
    let Action::Send { to, text, reply_to, .. } = action else {
        return false;
    };
    **text == *message.text && *reply_to == answers && {
        let folded = distinct_folded(to);
        folded.len() == message.to.labels.len()
            && folded
                .iter()
                .zip(&message.to.labels)
                .all(|(asked, label)| label.name.as_str().eq_ignore_ascii_case(asked))
    }
}
