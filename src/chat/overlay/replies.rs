//! What an answer answers, as far as whoever reads it may see that.

use super::shown::Shown;
use crate::chat::budget::Budget;
use crate::chat::items::Account;
use crate::chat::state::State;
use crate::limits::QUOTED_CHARS_MAX;
use crate::protocol::client::Quote;
use crate::types::{AccountName, Uuid};

/// Steps to find a message by its id.
const STEPS_PER_ID: usize = 4;

impl<'a> Shown<'a> {
    /// The beginning of a message, for an account that may see it.
    pub(in crate::chat) fn quote(
        &self,
        reader: &Account,
        id: &Uuid,
        budget: &mut Budget,
    ) -> Option<Quote> {
        let (from, text) = self.seen_by(reader, id, budget)?;
        let text = text.chars().take(QUOTED_CHARS_MAX).collect();
        Some(Quote { from: from.clone(), text })
    }

    /// Who sent a message and what it says, if an account may see it.
    fn seen_by(
        &self,
        reader: &Account,
        id: &Uuid,
        budget: &mut Budget,
    ) -> Option<(&'a AccountName, &'a str)> {
        budget.spend(STEPS_PER_ID);
        let (state, account) = (self.state, reader.label.account);
        let confirmed = state.message_ids.get(id).and_then(|seq| state.data.messages.get(seq));
        if let Some(message) = confirmed
            && State::standing(reader, message, self.touches(account), budget).is_some()
        {
            return Some((&message.from.name, &message.text));
        }
        let order = self.overlay.ids.get(id)?;
        let (_, holdings) = self.holdings(&account)?;
        let (message, _) = self.standing(holdings, order)?;
        let author = state.account_label(message.author.number)?;
        Some((&author.name, message.text))
    }
}
