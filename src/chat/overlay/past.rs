//! Looking back at what an account has without a majority.

use super::holdings::Holdings;
use super::shown::{Delivered, STEPS_PER_MESSAGE, Shown};
use crate::chat::budget::Budget;
use crate::chat::chunks::Item;
use crate::chat::conversations::descending;
use crate::chat::past_page::{Past, PastPage, RECIPIENTS_PER_STEP};
use crate::types::{Timestamp, Uuid};

impl<'a> Shown<'a> {
    /// See [`Look::past_unconfirmed`](crate::chat::Look::past_unconfirmed).
    pub(in crate::chat) fn past(
        &self,
        past: &mut Past<'_>,
        before: u64,
        budget: &mut Budget,
    ) -> PastPage {
        let mut page = PastPage::from(before);
        let Some((reader, holdings)) = self.holdings(&past.account) else { return page };
        // Whoever is gone has no conversations.
        if past.with.is_some_and(|with| self.state.find_account(with).is_none()) {
            return page;
        }
        let before = before.min(self.overlay.first_hidden().unwrap_or(u64::MAX));
        let received = holdings.inbox.before(before).map(Item::key);
        for order in descending(received, holdings.sent.before(before).map(Item::key)) {
            if !budget.lasts() {
                return page.cut(true);
            }
            budget.spend(STEPS_PER_MESSAGE);
            let standing = self.standing(holdings, order);
            let (account, with) = (past.account, past.with);
            let standing = standing.filter(|(message, _)| is_with(message, account, with, budget));
            if let Some((message, read)) = standing
                && self.matches(&message, past, budget)
            {
                if !page.has_room(past, message.text) {
                    return page.cut(false);
                }
                if let Some(told) = self.told((order, &message), reader, read, budget) {
                    page.push(order, told);
                }
            }
            page.scanned_to = order;
        }
        page
    }

    /// Whether an account may see a message that is in one of its lists, and then whether it
    /// is read: one that it has sent always is.
    pub(super) fn standing(
        &self,
        holdings: &Holdings,
        order: u64,
    ) -> Option<(Delivered<'a>, bool)> {
        if holdings.inbox.get(order).is_some()
            && let Some(message) = self.received(holdings, order)
        {
            let read = self.is_marked(holdings, message.entry.id, order);
            return Some((message, read));
        }
        holdings.sent.get(order)?;
        Some((self.message(order)?, true))
    }

    fn matches(&self, message: &Delivered<'_>, past: &mut Past<'_>, budget: &mut Budget) -> bool {
        let Some(author) = self.state.account_label(message.author.number) else { return false };
        let at = Timestamp::from(message.entry.accepted_at);
        past.matches((author.name.as_str(), at, message.text), false, budget)
    }
}

/// Whether a message that an account may see is one of its conversation with another.
fn is_with(
    message: &Delivered<'_>,
    account: Uuid,
    with: Option<Uuid>,
    budget: &mut Budget,
) -> bool {
    let Some(with) = with else { return true };
    if message.author.uuid != account {
        return message.author.uuid == with;
    }
    budget.spend(message.parties().len() / RECIPIENTS_PER_STEP);
    message.parties().iter().any(|party| party.account == with)
}
