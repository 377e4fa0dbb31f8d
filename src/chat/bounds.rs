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
//!   fill a part ([`SENDER_PARTS`]); its owner may fill all of it.
//! - **With others**: what inboxes of others hold from an account, each message once
//!   ([`Message::kept_bytes`]), may be as much as its own inbox may hold. So it takes more
//!   than one account to fill what all may hold. It is by account: one that is deleted and
//!   registers again begins anew.
//! - **In all**: each message once, as long as a list holds it, accounts and sessions. They
//!   may take all but one part of the bound ([`Bounds::room_bytes`]); the sessions of accounts
//!   that are there may go beyond it, or nobody could log in to delete something. That is
//!   bounded by itself: an account has at most [`SESSIONS_PER_ACCOUNT_MAX`], whose oldest goes
//!   for the next one, and no account is made where there is no room.
//! - **Operation ids** have that part to themselves ([`REMEMBERED_PARTS`]), each counted with
//!   about what it takes; a refusal with its sentence takes up to half as much again. Beyond it the oldest are forgotten before the window
//!   ends.
//!
//! All of it follows from the data and is kept by adding and subtracting (`usage.rs`), so a
//! state that was loaded from a snapshot or a backup counts alike.
//!
//! # What it promises
//! - A message that is over a bound of one recipient goes to nobody, and its sender is told
//!   which.
//! - What is deleted never takes more room than before. When room is short, messages that no
//!   inbox holds any more leave their senders' lists, the oldest first, a bounded number an
//!   entry: or a sender could hold what others have deleted.
//! - A sender's list keeps the newest messages: those beyond the bound of an account leave
//!   it, the oldest first, a bounded number an entry.
//!
//! Nothing of it holds below feature level [`LEVEL_OF_BOUNDS`], and nothing while no bound
//! is set.

use super::items::{Label, Message, Recipients, kept_bytes, stored_bytes};
use super::state::State;
use crate::error::{Error, ErrorCode, Result};
#[cfg(doc)]
use crate::limits::SESSIONS_PER_ACCOUNT_MAX;
use crate::limits::{
    ACCOUNT_OVERHEAD_BYTES, LEVEL_OF_BOUNDS, LEVEL_OF_KEEPING, ORPHANS_REMOVED_PER_ENTRY_MAX,
    REMEMBERED_PARTS, SENDER_PARTS, SESSION_OVERHEAD_BYTES, SHORT_ROOM_PARTS,
};
use crate::protocol::administration::{Bounds, Recorded};
use crate::types::{Uuid, format_size};

/// What is to be stored beside what is: entries that are not settled yet. Accounts are told
/// by their identities.
pub(super) trait Beside {
    /// Bytes in an inbox.
    fn in_inbox(&self, owner: &Uuid) -> u64;
    /// Bytes in an inbox from a sender.
    fn from(&self, owner: &Uuid, sender: &Uuid) -> u64;
    /// Bytes that inboxes of others hold from a sender, each message once.
    fn with_others(&self, sender: &Uuid) -> u64;
    /// Bytes in all.
    fn total(&self) -> u64;
}

/// Nothing.
impl Beside for () {
    fn in_inbox(&self, _: &Uuid) -> u64 {
        0
    }
    fn from(&self, _: &Uuid, _: &Uuid) -> u64 {
        0
    }
    fn with_others(&self, _: &Uuid) -> u64 {
        0
    }
    fn total(&self) -> u64 {
        0
    }
}

impl State {
    /// The bounds that hold; zeros where none does.
    pub fn bounds(&self) -> Bounds {
        match self.level() {
            LEVEL_OF_BOUNDS.. => self.data.settings.bounds.unwrap_or_default(),
            _ => Bounds::default(),
        }
    }

    /// Whether what a configuration proposes would change the bounds.
    ///
    /// # Errors
    /// [`ErrorCode::StorageFull`]: more is stored already than it proposes for all.
    pub fn heeds(&self, proposal: &Bounds) -> Result<bool> {
        let open = Bounds { account_proposed: true, total_proposed: true, ..Bounds::default() };
        let before = self.data.settings.bounds;
        let bounds = before.unwrap_or(open);
        let lowered = bounds.with_proposal(proposal);
        let stored = self.stored_bytes();
        // The room in it, or a stranger's flood would stop everybody as soon as a smaller
        // machine joins.
        if lowered.total_bytes != bounds.total_bytes && stored > lowered.room_bytes() {
            return Err(Error::new(
                ErrorCode::StorageFull,
                format!(
                    "this server proposes that {} may be stored, and {} are; what was set before \
                     holds. Give its machine more memory, or delete messages, or set total_bytes",
                    format_size(lowered.room_bytes()),
                    format_size(stored)
                ),
            ));
        }
        Ok(before.is_none() || lowered != bounds)
    }

    /// What messages, accounts and sessions take in all, in bytes. What is remembered of
    /// operations has a part of its own.
    pub fn stored_bytes(&self) -> u64 {
        let accounts = self.data.accounts.len() as u64 * ACCOUNT_OVERHEAD_BYTES;
        let sessions = self.data.sessions.len() as u64 * SESSION_OVERHEAD_BYTES;
        self.usage.message_bytes() + accounts + sessions
    }

    /// Whether so many bytes more may be stored.
    ///
    /// # Errors
    /// [`ErrorCode::StorageFull`]; `nothing` says what was not done.
    pub(super) fn check_stored(&self, more: u64, nothing: &str) -> Result<()> {
        let room = self.bounds().room_bytes();
        if room == 0 || self.stored_bytes() + more <= room {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::StorageFull,
            format!(
                "the servers hold as much as they may, which is {}; {nothing}. Once messages \
                 are deleted, or whoever runs the cluster has raised total_bytes, try again with \
                 a new id",
                format_size(room)
            ),
        ))
    }

    /// Whether a message has room in every inbox and in all.
    ///
    /// # Errors
    /// [`ErrorCode::InboxFull`] names the first account that is full, in the order of the
    /// recipients; [`ErrorCode::StorageFull`] when others hold too much from this sender, or
    /// there is no room in all.
    pub(super) fn check_room(
        &self,
        from: &Label,
        to: &Recipients,
        text: &str,
        beside: &impl Beside,
    ) -> Result<()> {
        let bytes = stored_bytes(text);
        let most = self.bounds().account_bytes;
        let kept = kept_bytes(text, to.labels.len());
        let sender = from.number;
        if most > 0 {
            for recipient in &to.labels {
                let inbox = self.data.accounts.get(recipient.number);
                let stored = inbox.map_or(0, |account| account.inbox_bytes)
                    + beside.in_inbox(&recipient.account);
                let name = &recipient.name;
                if stored + bytes > most {
                    return Err(inbox_full(format!(
                        "the inbox of {name} is full: it holds as much as an inbox may, which is \
                         {}; nothing was sent, to nobody. {name} has to delete messages first; \
                         then send it again with a new id",
                        format_size(most)
                    )));
                }
                let share = most / SENDER_PARTS;
                let own = recipient.number == sender;
                let sent = self.usage.from(recipient.number, sender)
                    + beside.from(&recipient.account, &from.account);
                if !own && sent + bytes > share {
                    return Err(inbox_full(format!(
                        "the inbox of {name} holds as much from you as one sender may fill, which \
                         is {} of {}; nothing was sent, to nobody. {name} has to delete some of \
                         it first; then send it again with a new id",
                        format_size(share),
                        format_size(most)
                    )));
                }
            }
            let spread = self.usage.with_others(sender) + beside.with_others(&from.account);
            if to.has_others_than(sender) && spread + kept > most {
                return Err(Error::new(
                    ErrorCode::StorageFull,
                    format!(
                        "others hold as much from you as one account may have with them, which \
                         is {}; nothing was sent. Once they have deleted some of it, or whoever \
                         runs the cluster has raised account_bytes, send it again with a new id",
                        format_size(most)
                    ),
                ));
            }
        }
        self.check_stored(kept + beside.total(), "nothing was sent")
    }

    /// Whether an inbox that is not its sender's holds a message.
    pub(super) fn is_with_others(&self, seq: u64) -> bool {
        let Some(message) = self.data.messages.get(seq) else { return false };
        if message.holders > 2 {
            return true;
        }
        let own = self.data.accounts.get(message.from.number).map_or(0, |sender| {
            u16::from(sender.inbox.get(seq).is_some()) + u16::from(sender.sent.get(seq).is_some())
        });
        message.holders > own
    }

    /// Whether only its sender's list holds a message.
    pub(super) fn is_sent_only(&self, message: &Message) -> bool {
        let sender = || self.data.accounts.get(message.from.number);
        message.holders == 1 && sender().is_some_and(|it| it.sent.get(message.seq).is_some())
    }

    /// Whether so much is stored that what is of little use goes.
    pub(super) fn room_is_short(&self) -> bool {
        let room = self.bounds().room_bytes();
        room > 0 && self.stored_bytes() >= room - room / SHORT_ROOM_PARTS
    }

    /// Whether what is remembered takes more than its part.
    pub(super) fn remembers_too_much(&self) -> bool {
        let most = self.bounds().total_bytes;
        most > 0 && self.usage.remembered_bytes() > most / REMEMBERED_PARTS
    }

    /// Takes the oldest messages out of the lists of those who have just sent, as far as
    /// they are beyond the bound of an account: at most so many in one entry.
    ///
    /// Then, while room is short, the oldest that no inbox holds any more, whoever has sent
    /// them.
    ///
    /// `last_seq` is that of the entry before.
    pub(super) fn shorten_sent(&mut self, index: u64, last_seq: u64) {
        let mut left = ORPHANS_REMOVED_PER_ENTRY_MAX;
        self.shorten_long_ones(index, last_seq, &mut left);
        while left > 0
            && self.room_is_short()
            && let Some(seq) = self.sent_only.first().copied()
            && let Some(message) = self.data.messages.get(seq)
        {
            left -= 1;
            self.remove_from_sent(Some(index), message.from.number, seq);
        }
    }

    fn shorten_long_ones(&mut self, index: u64, last_seq: u64, left: &mut usize) {
        let most = self.bounds().account_bytes;
        if most == 0 {
            return;
        }
        for seq in last_seq + 1..=self.data.counters.last_seq {
            let sender = self.data.messages.get(seq).map(|message| message.from.number);
            while *left > 0
                && let Some(sender) = sender
                && let Some(account) = self.data.accounts.get(sender)
                && account.sent_bytes > most
                && let Some(oldest) = account.sent.first().map(|entry| entry.0)
            {
                *left -= 1;
                self.remove_from_sent(Some(index), sender, oldest);
            }
        }
    }

    /// Sets bounds, which configurations then change no more.
    pub(super) fn set_bounds(
        &mut self,
        account_bytes: Option<u64>,
        total_bytes: Option<u64>,
        keep_messages_days: Option<u32>,
    ) -> Option<Recorded> {
        let open = Bounds { account_proposed: true, total_proposed: true, ..Bounds::default() };
        let before = self.data.settings.bounds;
        let mut bounds = before.unwrap_or(open);
        if let Some(bytes) = account_bytes {
            (bounds.account_bytes, bounds.account_proposed) = (bytes, false);
        }
        if let Some(bytes) = total_bytes {
            (bounds.total_bytes, bounds.total_proposed) = (bytes, false);
        }
        if let Some(days) = keep_messages_days
            && self.level() >= LEVEL_OF_KEEPING
        {
            bounds.keep_messages_days = days;
        }
        self.data.settings.bounds = Some(bounds);
        (before != Some(bounds)).then(|| recorded(&bounds))
    }

    /// Takes what a configuration proposes, as far as no administrator has set it: of each
    /// bound the lowest counts. What lowers one that held already is recorded.
    ///
    /// # Errors
    /// Those of [`State::heeds`]: nothing changes then.
    pub(super) fn propose_bounds(
        &mut self,
        account_bytes: Option<u64>,
        total_bytes: Option<u64>,
    ) -> Result<Option<Recorded>> {
        let proposal = Bounds {
            account_bytes: account_bytes.unwrap_or_default(),
            total_bytes: total_bytes.unwrap_or_default(),
            account_proposed: true,
            total_proposed: true,
            // What makes messages go is said by an administrator alone.
            keep_messages_days: 0,
        };
        if !self.heeds(&proposal)? {
            return Ok(None);
        }
        let before = self.data.settings.bounds;
        let bounds = before.map_or(proposal, |before| before.with_proposal(&proposal));
        self.data.settings.bounds = Some(bounds);
        Ok(before.map(|_| recorded(&bounds)))
    }
}

fn recorded(bounds: &Bounds) -> Recorded {
    let Bounds { account_bytes, total_bytes, keep_messages_days, .. } = *bounds;
    Recorded::SetBounds { account_bytes, total_bytes, keep_messages_days }
}

fn inbox_full(message: String) -> Error {
    Error::new(ErrorCode::InboxFull, message)
}
