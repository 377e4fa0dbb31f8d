//! What is stored, added up as items come and go. `bounds.rs` says what it is held against.

use std::collections::BTreeMap;

use super::items::{AccountNumber, Message};
use super::meter;
use super::operation::Outcome;
use super::remembered::DeduplicationEntry;
use crate::limits::{REMEMBERED_BYTES, REMEMBERED_NAME_BYTES};

/// What is stored, added up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// What the inbox of the first has from the second; no zeros.
    from: BTreeMap<(AccountNumber, AccountNumber), u64>,
    /// What inboxes of others hold of an account, each message once; no zeros.
    spread: BTreeMap<AccountNumber, u64>,
    /// Of all messages.
    messages: u64,
    /// Of the window.
    remembered: u64,
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
    pub(super) fn receive(&mut self, owner: AccountNumber, sender: AccountNumber, bytes: u64) {
        meter::work(1);
        *self.from.entry((owner, sender)).or_default() += bytes;
    }

    /// An inbox has a message less.
    pub(super) fn let_go(&mut self, owner: AccountNumber, sender: AccountNumber, bytes: u64) {
        meter::work(1);
        if let Some(stored) = self.from.get_mut(&(owner, sender)) {
            *stored = stored.saturating_sub(bytes);
            if *stored == 0 {
                self.from.remove(&(owner, sender));
            }
        }
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
        self.from.get(&(owner, sender)).copied().unwrap_or_default()
    }
}

/// About what a remembered operation takes in memory.
fn remembered_bytes(entry: &DeduplicationEntry) -> u64 {
    match &entry.outcome {
        Outcome::Sent { to, .. } => REMEMBERED_BYTES + REMEMBERED_NAME_BYTES * to.len() as u64,
        _ => REMEMBERED_BYTES,
    }
}
