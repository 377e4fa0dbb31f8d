//! How much may be stored, of one account and of all.
//!
//! Everything here is in memory, on every server. So what has no bound lets whoever has
//! an account end every server. Two numbers in the replicated state are the bounds, and
//! every replica refuses the same messages: an administrator sets them, and what
//! configurations propose counts until then.
//!
//! # What is counted
//! - **For an account**: the messages of its inbox, each as of
//!   [`Message::stored_bytes`], also when other inboxes hold it too. Of that one sender may
//!   fill a part ([`SENDER_PARTS`]), so that no stranger closes an inbox; its owner may
//!   fill all of it.
//! - **In all**: each message once ([`Message::kept_bytes`]), as long as a list holds it;
//!   accounts, sessions, and what is remembered of operations. Not the sentences of
//!   refusals, which servers of two versions may word differently.
//!
//! All of it follows from the data and is kept by adding and subtracting (`usage.rs`), so a
//! state that was loaded from a snapshot or a backup counts alike.
//!
//! # What it promises
//! - A message that is over a bound of one recipient goes to nobody, and its sender is told
//!   which.
//! - What was deleted makes room at once. When room is short, a message that the last
//!   recipient deletes leaves its sender's list, too: or a sender could hold what others
//!   have deleted.
//! - A sender's list keeps the newest messages: those beyond the bound of an account leave
//!   it, the oldest first, a bounded number an entry.
//! - Operation ids take at most a part of the bound in all ([`REMEMBERED_PARTS`]): beyond it
//!   the oldest are forgotten before the window ends.
//!
//! Nothing of it holds below feature level [`LEVEL_OF_BOUNDS`], and nothing while no bound
//! is set.

#[cfg(doc)]
use super::items::Message;
use super::items::{AccountNumber, Recipients, kept_bytes};
use super::state::State;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    ACCOUNT_OVERHEAD_BYTES, LEVEL_OF_BOUNDS, ORPHANS_REMOVED_PER_ENTRY_MAX, REMEMBERED_PARTS,
    SENDER_PARTS, SESSION_OVERHEAD_BYTES,
};
use crate::protocol::administration::{Bounds, Recorded};
use crate::types::format_size;

impl State {
    /// The bounds that hold; zeros where none does.
    pub fn bounds(&self) -> Bounds {
        match self.level() {
            LEVEL_OF_BOUNDS.. => self.data.settings.bounds.unwrap_or_default(),
            _ => Bounds::default(),
        }
    }

    /// Whether a configuration that has this number for the bytes in all may still propose
    /// bounds: there are none yet, or others' proposals, of which the lowest counts.
    pub fn bounds_are_undecided(&self, total_bytes: u64) -> bool {
        self.data
            .settings
            .bounds
            .is_none_or(|bounds| bounds.proposed && total_bytes > 0 && bounds.is_above(total_bytes))
    }

    /// What is stored in all, in bytes.
    pub fn stored_bytes(&self) -> u64 {
        let accounts = self.data.accounts.len() as u64 * ACCOUNT_OVERHEAD_BYTES;
        let sessions = self.data.sessions.len() as u64 * SESSION_OVERHEAD_BYTES;
        self.usage.bytes() + accounts + sessions
    }

    /// Whether so many bytes more may be stored.
    ///
    /// # Errors
    /// [`ErrorCode::StorageFull`]; `nothing` says what was not done.
    pub(super) fn check_stored(&self, more: u64, nothing: &str) -> Result<()> {
        let most = self.bounds().total_bytes;
        if most == 0 || self.stored_bytes() + more <= most {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::StorageFull,
            format!(
                "the servers hold as much as they may, which is {}; {nothing}. Deleting messages \
                 makes room; whoever runs the cluster can raise total_bytes",
                format_size(most)
            ),
        ))
    }

    /// Whether a message has room in every inbox and in all.
    ///
    /// # Errors
    /// [`ErrorCode::InboxFull`] names the first account that is full, in the order of the
    /// recipients; [`ErrorCode::StorageFull`].
    pub(super) fn check_room(
        &self,
        sender: AccountNumber,
        to: &Recipients,
        bytes: u64,
        text: &str,
    ) -> Result<()> {
        let most = self.bounds().account_bytes;
        if most > 0 {
            for recipient in &to.labels {
                let inbox = self.data.accounts.get(recipient.number);
                let stored = inbox.map_or(0, |account| account.inbox_bytes);
                let name = &recipient.name;
                if stored + bytes > most {
                    return Err(inbox_full(format!(
                        "the inbox of {name} is full: it holds as much as an inbox may, which is \
                         {}; nothing was sent, to nobody. {name} has to delete messages first",
                        format_size(most)
                    )));
                }
                let share = most / SENDER_PARTS;
                let own = recipient.number == sender;
                if !own && self.usage.from(recipient.number, sender) + bytes > share {
                    return Err(inbox_full(format!(
                        "the inbox of {name} holds as much from you as one sender may fill, which \
                         is {} of {}; nothing was sent, to nobody. {name} has to delete some of \
                         it first",
                        format_size(share),
                        format_size(most)
                    )));
                }
            }
        }
        self.check_stored(kept_bytes(text, to.labels.len()), "nothing was sent")
    }

    /// Whether so much is stored that what is of little use goes.
    pub(super) fn room_is_short(&self) -> bool {
        let most = self.bounds().total_bytes;
        most > 0 && self.stored_bytes() > most - most / 4
    }

    /// Whether what is remembered takes more than its part.
    pub(super) fn remembers_too_much(&self) -> bool {
        let most = self.bounds().total_bytes;
        most > 0 && self.usage.remembered_bytes() > most / REMEMBERED_PARTS
    }

    /// Takes the oldest messages out of the lists of those who have just sent, as far as
    /// they are beyond the bound of an account: at most so many in one entry.
    ///
    /// `last_seq` is that of the entry before.
    pub(super) fn shorten_sent(&mut self, index: u64, last_seq: u64) {
        let most = self.bounds().account_bytes;
        if most == 0 {
            return;
        }
        let mut left = ORPHANS_REMOVED_PER_ENTRY_MAX;
        for seq in last_seq + 1..=self.data.counters.last_seq {
            let sender = self.data.messages.get(seq).map(|message| message.from.number);
            while left > 0
                && let Some(sender) = sender
                && let Some(account) = self.data.accounts.get(sender)
                && account.sent_bytes > most
                && let Some(oldest) = account.sent.first().map(|entry| entry.0)
            {
                left -= 1;
                self.remove_from_sent(index, sender, oldest);
            }
        }
    }

    /// Sets bounds. What is proposed counts only while nobody has set any: the first
    /// proposal, and of the bytes in all the lowest.
    pub(super) fn set_bounds(
        &mut self,
        account_bytes: Option<u64>,
        total_bytes: Option<u64>,
        proposed: bool,
    ) -> Option<Recorded> {
        let before = self.data.settings.bounds;
        let mut bounds = before.unwrap_or_default();
        match before {
            Some(before) if proposed => {
                let lower = total_bytes.filter(|bytes| *bytes > 0 && before.is_above(*bytes));
                if before.proposed
                    && let Some(lower) = lower
                {
                    bounds.total_bytes = lower;
                }
            }
            _ => {
                bounds.account_bytes = account_bytes.unwrap_or(bounds.account_bytes);
                bounds.total_bytes = total_bytes.unwrap_or(bounds.total_bytes);
                bounds.proposed = proposed;
            }
        }
        self.data.settings.bounds = Some(bounds);
        let Bounds { account_bytes, total_bytes, .. } = bounds;
        let changed = !proposed && before != Some(bounds);
        changed.then_some(Recorded::SetBounds { account_bytes, total_bytes })
    }
}

fn inbox_full(message: String) -> Error {
    Error::new(ErrorCode::InboxFull, message)
}
