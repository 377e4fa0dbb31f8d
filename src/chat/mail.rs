//! Sending, reading and removing messages.

use std::sync::Arc;

use super::chunks::Item;
use super::effects::Effects;
use super::fingerprint::distinct_folded;
use super::items::{
    AccountNumber, Data, InboxEntry, Label, Message, Recipients, SentEntry, stored_bytes,
};
use super::mentions::Mentions;
use super::meter;
use super::operation::Outcome;
use super::state::{Content, State};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    IDS_PER_REQUEST_MAX, ORPHANS_REMOVED_PER_ENTRY_MAX, RECIPIENTS_MAX, TEXT_MAX_BYTES,
};
use crate::types::{AccountName, FoldedName, Timestamp, Uuid};

/// Missing recipients that a refusal names.
const MISSING_NAMED: usize = 3;

/// A message on its way into inboxes.
pub(super) struct Post<'a> {
    /// When the log took it.
    pub(super) at: Timestamp,
    pub(super) id: Uuid,
    pub(super) from: Arc<Label>,
    pub(super) to: Arc<Recipients>,
    pub(super) text: &'a str,
    /// The message that it answers.
    pub(super) reply_to: Option<Uuid>,
    /// Whether it comes into the list of what its sender has sent.
    pub(super) sent: bool,
}

impl State {
    pub(super) fn send(
        &mut self,
        at: Timestamp,
        id: Uuid,
        sender: AccountNumber,
        Content { to, text, reply_to }: Content<'_>,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        check_text(text)?;
        let to = self.recipients(to)?;
        let Some(from) = self.data.accounts.get(sender).map(|account| account.label.clone()) else {
            return Err(super::state::session_expired());
        };
        self.check_room(&from, &to, text, &())?;
        self.put(Post { at, id, from, to, text, reply_to, sent: true }, effects);
        let message = self.data.messages.last().map(Message::outcome);
        message.ok_or_else(|| Error::internal("a message that was stored is not there"))
    }

    /// Puts a message into the inboxes of its recipients, whose number and text have been
    /// checked, but for those who have blocked its sender: nobody else can tell. Returns its
    /// place in the total order.
    pub(super) fn put(&mut self, post: Post<'_>, effects: &mut Effects) -> u64 {
        let Post { at, id, from, to, text, reply_to, sent } = post;
        let (sender, bytes) = (from.number, stored_bytes(text));
        self.data.counters.last_seq += 1;
        let seq = self.data.counters.last_seq;
        let mentions = Mentions::of(text);
        // At most RECIPIENTS_MAX inboxes and one sent list.
        let (mut holders, mut with_others) = (u16::from(sent), false);
        for recipient in &to.labels {
            let mention = mentions.include(&recipient.name);
            let entry = InboxEntry::new(seq, false).mentioning(mention);
            let taken = self.data.accounts.update(recipient.number, |account| {
                // Looked at before it is changed: a change copies what a view shares.
                let taken = !account.blocked.contains(sender);
                if taken {
                    let account = Arc::make_mut(account);
                    account.inbox.push(entry);
                    account.inbox_bytes += bytes;
                }
                taken
            });
            if taken == Some(false) {
                continue;
            }
            holders += 1;
            with_others |= recipient.number != sender;
            self.data.sum.add(entry.digest(recipient.number));
            self.usage.receive((recipient.number, &from), entry, bytes);
            effects.delivered.push((recipient.account, seq));
        }
        if sent {
            let entry = SentEntry(seq);
            self.data.sum.add(entry.digest(sender));
            self.data.update_account(sender, |account| {
                account.sent.push(entry);
                account.sent_bytes += bytes;
            });
            effects.sent.push((from.account, seq));
        }
        let (at, text) = (at.into(), text.into());
        let message = Message { seq, id, at, from, to, text, holders };
        if with_others {
            self.usage.spread(sender, message.kept_bytes());
        }
        self.data.sum.add(message.digest());
        self.usage.add_message(&message);
        self.conversations.add(&message);
        if holders == 1 && sent {
            // Everybody it is for has blocked its sender.
            self.sent_only.insert(seq);
        }
        self.data.messages.push(message);
        self.message_ids.insert(id, seq);
        self.note_reply(seq, reply_to);
        seq
    }

    /// The accounts of all names, each once, or none.
    pub(super) fn recipients(&self, names: &[AccountName]) -> Result<Arc<Recipients>> {
        if let [name] = names
            && let Some(label) = self.names.get(name.folded().as_str())
            && let Some(account) = self.data.accounts.get(label.number)
        {
            return Ok(account.sole_recipient.clone());
        }
        let folded = distinct_folded(names);
        if folded.is_empty() {
            return Err(Error::new(ErrorCode::InvalidRequest, "a message needs a recipient"));
        }
        if folded.len() > RECIPIENTS_MAX {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!(
                    "a message has at most {RECIPIENTS_MAX} recipients, not {}; send it in parts",
                    folded.len()
                ),
            ));
        }
        let mut labels = Vec::with_capacity(folded.len());
        let mut missing = Vec::new();
        for name in &folded {
            match self.names.get(name.as_str()) {
                Some(label) => labels.push(label.clone()),
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            return Err(unknown_accounts(names, &missing));
        }
        if let [label] = labels.as_slice()
            && let Some(account) = self.data.accounts.get(label.number)
        {
            // The same name more than once.
            return Ok(account.sole_recipient.clone());
        }
        Ok(Recipients::many(labels))
    }

    pub(super) fn mark_read(&mut self, owner: AccountNumber, seqs: &[u64]) -> Result<Outcome> {
        check_count(seqs.len())?;
        let Data { sum, accounts, messages, .. } = &mut self.data;
        let count = accounts.update(owner, |account| {
            let inbox = &mut Arc::make_mut(account).inbox;
            let mut count = 0;
            for seq in seqs {
                let unread = |entry: &InboxEntry| !entry.read();
                let marked = inbox.update_if(*seq, unread, |entry| {
                    let unread = *entry;
                    sum.subtract(unread.digest(owner));
                    *entry = unread.marked();
                    sum.add(entry.digest(owner));
                    unread
                });
                let Some(unread) = marked else { continue };
                if let Some(message) = messages.get(*seq) {
                    self.usage.mark((owner, message.from.number), unread);
                }
                count += 1;
            }
            count
        });
        Ok(Outcome::Marked { count: count.unwrap_or(0) })
    }

    pub(super) fn delete(
        &mut self,
        index: u64,
        owner: AccountNumber,
        ids: &[Uuid],
    ) -> Result<Outcome> {
        check_count(ids.len())?;
        let mut seqs = Vec::with_capacity(ids.len());
        for id in ids {
            let seq = self.message_ids.get(id).filter(|seq| {
                let account = self.data.accounts.get(owner);
                account.is_some_and(|account| account.inbox.get(*seq).is_some())
            });
            seqs.push(seq.ok_or_else(|| {
                Error::new(
                    ErrorCode::UnknownMessage,
                    format!("no message {id} is in this inbox; nothing was deleted"),
                )
            })?);
        }
        seqs.sort_unstable();
        seqs.dedup();
        for seq in &seqs {
            self.remove_from_inbox(Some(index), owner, *seq);
        }
        Ok(Outcome::Deleted { count: seqs.len() as u64 })
    }

    /// The account is gone at once for everybody; emptying its lists, which may
    /// hold a million messages, is spread over the entries that follow.
    pub(super) fn delete_account(
        &mut self,
        number: AccountNumber,
        effects: &mut Effects,
    ) -> Outcome {
        let sessions = self.data.accounts.get(number).map(|account| account.sessions.clone());
        for session in sessions.unwrap_or_default() {
            self.end_session(session, effects);
        }
        let sum = &mut self.data.sum;
        let label = self.data.accounts.update(number, |account| {
            let account = Arc::make_mut(account);
            sum.subtract(account.digest());
            account.deleted = true;
            account.disabled = false;
            account.reset = None;
            account.last_login = None;
            account.receipts_off = false;
            account.ended = (0, 0);
            account.blocked = Arc::default();
            // Of no use any more, and not to be kept longer than of use.
            account.password_hash = "".into();
            sum.add(account.digest());
            account.label.clone()
        });
        if let Some(label) = label {
            self.numbers.remove(&label.account);
            self.names.remove(label.name.folded().as_str());
            self.emptying.insert(number);
            effects.ended_accounts.push(label.account);
        }
        Outcome::Done
    }

    /// Takes messages out of the lists of deleted accounts, a bounded
    /// number an entry, and then the accounts.
    ///
    /// Doing it all in the entry that deletes the account would hold up every
    /// reader and writer for seconds when a million messages go.
    pub(super) fn empty_deleted_accounts(&mut self, index: u64) {
        let mut left = ORPHANS_REMOVED_PER_ENTRY_MAX;
        while let Some(number) = self.emptying.first().copied() {
            while let Some(seq) = self.last_in(number, |account| account.inbox.last()) {
                if left == 0 {
                    return;
                }
                left -= 1;
                self.remove_from_inbox(Some(index), number, seq);
            }
            while let Some(seq) = self.last_in(number, |account| account.sent.last()) {
                if left == 0 {
                    return;
                }
                left -= 1;
                self.remove_from_sent(Some(index), number, seq);
            }
            if let Some(account) = self.data.accounts.remove(number) {
                self.data.sum.subtract(account.digest());
            }
            self.emptying.remove(&number);
        }
    }

    fn last_in<T: Item>(
        &self,
        number: AccountNumber,
        last: impl FnOnce(&super::items::Account) -> Option<&T>,
    ) -> Option<u64> {
        self.data.accounts.get(number).and_then(|account| last(account).map(Item::key))
    }

    /// Takes a message out of an inbox. Where that was its last list, it is remembered from
    /// log entry `remember_at` on, or not at all.
    pub(super) fn remove_from_inbox(
        &mut self,
        remember_at: Option<u64>,
        owner: AccountNumber,
        seq: u64,
    ) {
        let Some(message) = self.data.messages.get(seq) else { return };
        let (sender, bytes) = (message.from.number, message.stored_bytes());
        let kept = message.kept_bytes();
        let removed = self.data.update_account(owner, |account| {
            let removed = account.inbox.remove(seq)?;
            account.inbox_bytes = account.inbox_bytes.saturating_sub(bytes);
            Some(removed)
        });
        if let Some(entry) = removed.flatten() {
            self.data.sum.subtract(entry.digest(owner));
            self.usage.let_go((owner, sender), entry, bytes);
            self.release(remember_at, seq);
            if owner != sender && !self.is_with_others(seq) {
                self.usage.withdraw(sender, kept);
            }
            if self.sent_only.contains(&seq) && self.room_is_short() {
                self.remove_from_sent(remember_at, sender, seq);
            }
        }
    }

    /// Takes a message out of its sender's list; see [`State::remove_from_inbox`].
    pub(super) fn remove_from_sent(
        &mut self,
        remember_at: Option<u64>,
        owner: AccountNumber,
        seq: u64,
    ) {
        let Some(bytes) = self.data.messages.get(seq).map(|it| it.stored_bytes()) else { return };
        let removed = self.data.update_account(owner, |account| {
            let removed = account.sent.remove(seq)?;
            account.sent_bytes = account.sent_bytes.saturating_sub(bytes);
            Some(removed)
        });
        if let Some(entry) = removed.flatten() {
            self.data.sum.subtract(entry.digest(owner));
            self.release(remember_at, seq);
        }
    }

    /// One list fewer holds a message; the last one takes the message with it.
    fn release(&mut self, remember_at: Option<u64>, seq: u64) {
        let mut holders = 0;
        let released = self.data.messages.update_or_remove(seq, |message| {
            message.holders = message.holders.saturating_sub(1);
            holders = message.holders;
            holders == 0
        });
        if let Some(Some(message)) = released {
            self.data.sum.subtract(message.digest());
            self.usage.remove_message(&message);
            self.conversations.remove(&message);
            self.sent_only.remove(&seq);
            self.message_ids.remove(&message.id);
            let origin = self.forget_origin(&message);
            let reply_to = self.forget_reply(&message);
            if let Some(index) = remember_at {
                self.remember_message(index, &message, reply_to, origin);
            }
        } else if holders == 1
            && self.data.messages.get(seq).is_some_and(|message| self.is_sent_only(message))
        {
            meter::work(1);
            self.sent_only.insert(seq);
        }
    }
}

pub(super) fn check_text(text: &str) -> Result<()> {
    match text.len() {
        1..=TEXT_MAX_BYTES => Ok(()),
        0 => Err(Error::new(ErrorCode::InvalidText, "a message needs a text")),
        length => Err(Error::new(
            ErrorCode::InvalidText,
            format!("a text has at most {TEXT_MAX_BYTES} bytes, not {length}; send it in parts"),
        )),
    }
}

pub(super) fn check_count(count: usize) -> Result<()> {
    match count {
        0..=IDS_PER_REQUEST_MAX => Ok(()),
        _ => Err(Error::new(
            ErrorCode::TooMany,
            format!(
                "one request names at most {IDS_PER_REQUEST_MAX} messages, not {count}; \
                 do it in parts"
            ),
        )),
    }
}

/// Names the missing ones as the sender wrote them, the first few.
fn unknown_accounts(names: &[AccountName], missing: &[&FoldedName]) -> Error {
    let written = |folded: &&&FoldedName| {
        let name = names.iter().find(|name| name.as_str().eq_ignore_ascii_case(folded));
        name.map_or_else(|| folded.to_string(), AccountName::to_string)
    };
    let mut list: Vec<String> = missing.iter().take(MISSING_NAMED).map(|n| written(&n)).collect();
    if missing.len() > MISSING_NAMED {
        list.push(format!("{} more", missing.len() - MISSING_NAMED));
    }
    Error::new(
        ErrorCode::UnknownAccount,
        format!("no account is named {}; nothing was sent", list.join(", ")),
    )
}
