//! What is stored, added up as items come and go. `bounds.rs` says what it is held against.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use super::items::{AccountNumber, InboxEntry, Label, Message};
use super::meter;
use super::operation::Outcome;
use super::remembered::DeduplicationEntry;
use crate::limits::{REMEMBERED_BYTES, REMEMBERED_NAME_BYTES};

/// What is stored, added up.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// What the inbox of the first has from the second, if it has anything.
    from: BTreeMap<(AccountNumber, AccountNumber), Received>,
    /// What inboxes of others hold of an account, each message once; no zeros.
    spread: BTreeMap<AccountNumber, u64>,
    /// Of all messages.
    messages: u64,
    /// Of the window.
    remembered: u64,
}

/// What an inbox has from one account.
#[derive(Clone)]
pub(super) struct Received {
    /// Who sent it: an account that may be gone.
    pub(super) from: Arc<Label>,
    bytes: u64,
    /// How many messages of it are unread.
    pub(super) unread: u32,
    /// Of these, those that mention the owner.
    pub(super) mentions: u32,
}

impl PartialEq for Received {
    fn eq(&self, other: &Received) -> bool {
        let counts = |it: &Received| (it.from.number, it.bytes, it.unread, it.mentions);
        counts(self) == counts(other)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Received { from: _, bytes, unread, mentions } = self;
        write!(f, "{bytes} bytes, {unread} unread, {mentions} mentions")
    }
}

impl Received {
    fn add_unread(&mut self, entry: InboxEntry) {
        self.unread += u32::from(!entry.read());
        self.mentions += u32::from(!entry.read() && entry.mention());
    }

    fn remove_unread(&mut self, entry: InboxEntry) {
        self.unread = self.unread.saturating_sub(u32::from(!entry.read()));
        let mention = u32::from(!entry.read() && entry.mention());
        self.mentions = self.mentions.saturating_sub(mention);
    }
}

impl Usage {
    /// Of all messages.
    pub(super) fn message_bytes(&self) -> u64 {
        self.messages
    }

    /// Of what is remembered alone.
    pub(super) fn remembered_bytes(&self) -> u64 {
        self.remembered
    }

    pub(super) fn add_message(&mut self, message: &Message) {
        self.messages += message.kept_bytes();
    }

    pub(super) fn remove_message(&mut self, message: &Message) {
        self.messages = self.messages.saturating_sub(message.kept_bytes());
    }

    pub(super) fn add_remembered(&mut self, entry: &DeduplicationEntry) {
        self.remembered += remembered_bytes(entry);
    }

    pub(super) fn remove_remembered(&mut self, entry: &DeduplicationEntry) {
        self.remembered = self.remembered.saturating_sub(remembered_bytes(entry));
    }

    /// An inbox has a message more.
    pub(super) fn receive(
        &mut self,
        (owner, sender): (AccountNumber, &Arc<Label>),
        entry: InboxEntry,
        bytes: u64,
    ) {
        meter::work(1);
        let received = self.from.entry((owner, sender.number)).or_insert_with(|| Received {
            from: Arc::clone(sender),
            bytes: 0,
            unread: 0,
            mentions: 0,
        });
        received.bytes += bytes;
        received.add_unread(entry);
    }

    /// An inbox has a message less.
    pub(super) fn let_go(
        &mut self,
        (owner, sender): (AccountNumber, AccountNumber),
        entry: InboxEntry,
        bytes: u64,
    ) {
        meter::work(1);
        if let Some(received) = self.from.get_mut(&(owner, sender)) {
            received.bytes = received.bytes.saturating_sub(bytes);
            received.remove_unread(entry);
            if received.bytes == 0 {
                self.from.remove(&(owner, sender));
            }
        }
    }

    /// A message of an inbox, which was `entry` before, is read now.
    pub(super) fn mark(
        &mut self,
        (owner, sender): (AccountNumber, AccountNumber),
        entry: InboxEntry,
    ) {
        meter::work(1);
        if let Some(received) = self.from.get_mut(&(owner, sender)) {
            received.remove_unread(entry);
        }
    }

    /// What an inbox has from each account whose number is higher than `after`.
    pub(super) fn received(
        &self,
        owner: AccountNumber,
        after: Option<AccountNumber>,
    ) -> impl Iterator<Item = (AccountNumber, &Received)> {
        let first = after.map_or(Bound::Included((owner, 0)), |it| Bound::Excluded((owner, it)));
        let all = self.from.range((first, Bound::Included((owner, AccountNumber::MAX))));
        all.map(|((_, sender), received)| (*sender, received))
    }

    /// An inbox that is not its sender's is the first one to hold a message.
    pub(super) fn spread(&mut self, sender: AccountNumber, kept_bytes: u64) {
        meter::work(1);
        *self.spread.entry(sender).or_default() += kept_bytes;
    }

    /// No inbox but its sender's holds a message any more.
    pub(super) fn withdraw(&mut self, sender: AccountNumber, kept_bytes: u64) {
        meter::work(1);
        if let Some(spread) = self.spread.get_mut(&sender) {
            *spread = spread.saturating_sub(kept_bytes);
            if *spread == 0 {
                self.spread.remove(&sender);
            }
        }
    }

    /// What inboxes of others hold of an account, each message once.
    pub(super) fn with_others(&self, sender: AccountNumber) -> u64 {
        meter::work(1);
        self.spread.get(&sender).copied().unwrap_or_default()
    }

    /// What an inbox has from a sender.
    pub(super) fn from(&self, owner: AccountNumber, sender: AccountNumber) -> u64 {
        meter::work(1);
        self.from.get(&(owner, sender)).map_or(0, |received| received.bytes)
    }
}

/// About what a remembered operation takes in memory.
fn remembered_bytes(entry: &DeduplicationEntry) -> u64 {
    match &entry.outcome {
        Outcome::Sent { to, .. } => REMEMBERED_BYTES + REMEMBERED_NAME_BYTES * to.len() as u64,
        _ => REMEMBERED_BYTES,
    }
}
