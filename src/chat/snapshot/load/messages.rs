//! Messages and whom they name, from the lines of a view.

use std::sync::Arc;

use super::{Restore, check_order, corrupted};
use crate::chat::holders::Held;
use crate::chat::items::{AccountNumber, Label, Message, Recipients};
use crate::chat::mentions::Mentions;
use crate::chat::snapshot::format::{LabelLine, MessageLine};
use crate::error::Result;

impl Restore {
    pub(super) fn label(&mut self, line: LabelLine) -> Result<()> {
        let LabelLine { number, account, name } = line;
        match self.labels.insert(number, Label::new(number, account, name)) {
            None => Ok(()),
            Some(_) => corrupted(format!("label {number} is there twice")),
        }
    }

    pub(super) fn message(&mut self, line: MessageLine<'_>) -> Result<()> {
        let MessageLine { seq, id, at, from, to, text } = line;
        let last = self.state.data.messages.last().map_or(0, |last| last.seq);
        check_order(seq, last, self.state.data.counters.last_seq, "message")?;
        let from = self.find_label(from)?;
        let to = match to.as_slice() {
            [] => return corrupted(format!("message {seq} has no recipient")),
            [one] => match self.sole_recipients.get(one) {
                Some(sole_recipient) => sole_recipient.clone(),
                None => {
                    let sole_recipient = Recipients::one(self.find_label(*one)?);
                    self.sole_recipients.insert(*one, sole_recipient.clone());
                    sole_recipient
                }
            },
            many => {
                let labels: Result<_> =
                    many.iter().map(|number| self.find_label(*number)).collect();
                Recipients::many(labels?)
            }
        };
        let (at, text) = (at.into(), text.into());
        let message = Message { seq, id, at, from, to, text, holders: 0 };
        let bytes = u32::try_from(message.stored_bytes()).unwrap_or(u32::MAX);
        let kept = u32::try_from(message.kept_bytes()).unwrap_or(u32::MAX);
        self.holders.add(seq, Held { bytes, kept, from: message.from.number });
        let mentions = Mentions::of(&message.text);
        if !mentions.is_empty() {
            self.with_mentions.push((seq, mentions));
        }
        self.state.usage.add_message(&message);
        self.state.conversations.add(&message);
        self.state.data.sum.add(message.digest());
        self.state.data.messages.push(message);
        if self.backup {
            // Spread over the lines, which come one log entry after the other.
            let twice = self.state.message_ids.insert(id, seq).is_some();
            if twice || self.state.window_ids.contains(&id) {
                return corrupted(format!("the id {id} is there twice"));
            }
        }
        Ok(())
    }

    pub(super) fn find_label(&self, number: AccountNumber) -> Result<Arc<Label>> {
        match self.labels.get(&number) {
            Some(label) => Ok(label.clone()),
            None => corrupted(format!("a message names account {number}, which is not there")),
        }
    }

    /// Whether a message mentions an account.
    pub(super) fn mentions(&self, account: AccountNumber, seq: u64) -> bool {
        let found = self.with_mentions.binary_search_by_key(&seq, |(seq, _)| *seq);
        let account = self.state.data.accounts.get(account);
        found.ok().zip(account).is_some_and(|(place, account)| {
            self.with_mentions[place].1.include(&account.label.name)
        })
    }
}
