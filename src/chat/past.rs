//! Looking back: messages of an account from the newest to the oldest, of one conversation
//! or of all, and those alone that have words.
//!
//! An account may see what is in its inbox and what it has sent, and nothing else;
//! [`State::standing`] says so.

use super::budget::Budget;
use super::chunks::Item;
use super::conversations::descending;
use super::items::{Account, AccountNumber, Message};
use super::overlay::{Shown, Touches};
use super::past_page::{Past, PastPage, RECIPIENTS_PER_STEP};
use super::state::State;
use crate::types::Uuid;

/// Steps to look at a message, and whether it is in the lists of an account.
const STEPS_PER_MESSAGE: usize = 3;

impl State {
    /// Whether an account may see a message, and then whether it is read: one that it has
    /// sent always is.
    pub(super) fn standing(
        account: &Account,
        message: &Message,
        touches: Touches<'_>,
        budget: &mut Budget,
    ) -> Option<bool> {
        let received = account.inbox.get(message.seq);
        let received = received.and_then(|it| touches.read(message.id, it.read(), budget));
        // Sent messages are looked up last, as few are in both lists.
        received.or_else(|| account.sent.get(message.seq).map(|_| true))
    }

    /// See [`Look::standings`](super::Look::standings).
    pub(super) fn standings(
        &self,
        account: Uuid,
        seqs: &[u64],
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> Vec<Option<bool>> {
        let Some(reader) = self.find_account(account) else { return vec![None; seqs.len()] };
        let touches = shown.touches(account);
        let mut standing = |message: &Message| State::standing(reader, message, touches, budget);
        seqs.iter().map(|seq| standing(self.data.messages.get(*seq)?)).collect()
    }

    /// See [`Look::seen_at`](super::Look::seen_at).
    pub(super) fn seen_at(
        &self,
        account: Uuid,
        with: Option<Uuid>,
        id: &Uuid,
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> Option<u64> {
        budget.spend(STEPS_PER_MESSAGE);
        let seq = self.message_ids.get(id)?;
        let message = self.data.messages.get(seq)?;
        let reader = self.find_account(account)?;
        State::standing(reader, message, shown.touches(account), budget)?;
        let with = with.map(|with| self.numbers.get(&with).copied().unwrap_or(0));
        is_with(message, reader.label.number, with, budget).then_some(seq)
    }

    /// See [`Look::past`](super::Look::past).
    pub(super) fn past(
        &self,
        past: &mut Past<'_>,
        before: u64,
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> PastPage {
        let mut page = PastPage::from(before);
        let Some(account) = self.find_account(past.account) else { return page };
        let touches = shown.touches(past.account);
        let with = past.with.map(|with| self.numbers.get(&with).copied().unwrap_or(0));
        let number = account.label.number;
        let places: Box<dyn Iterator<Item = u64>> = match with {
            Some(with) => Box::new(self.conversations.before(number, with, before)),
            None => {
                let received = account.inbox.before(before).map(Item::key);
                Box::new(descending(received, account.sent.before(before).map(Item::key)))
            }
        };
        for seq in places {
            if !budget.lasts() {
                return page.cut(true);
            }
            budget.spend(STEPS_PER_MESSAGE);
            let message =
                self.data.messages.get(seq).filter(|it| is_with(it, number, with, budget));
            let standing = message.and_then(|message| {
                let read = State::standing(account, message, touches, budget)?;
                Some((message, read))
            });
            if let Some((message, read)) = standing {
                let written = (message.from.name.as_str(), message.at.into(), &*message.text);
                if past.matches(written, self.is_notice(seq), budget) {
                    if !page.has_room(past, &message.text) {
                        return page.cut(false);
                    }
                    let told = self.told(message, account, read, (shown, &mut *budget));
                    page.push(seq, told);
                }
            }
            page.scanned_to = seq;
        }
        page
    }
}

/// Whether a message that an account may see is one of its conversation with another.
fn is_with(
    message: &Message,
    account: AccountNumber,
    with: Option<AccountNumber>,
    budget: &mut Budget,
) -> bool {
    let Some(with) = with else { return true };
    if message.from.number != account {
        return message.from.number == with;
    }
    budget.spend(message.to.labels.len() / RECIPIENTS_PER_STEP);
    message.to.labels.iter().any(|label| label.number == with)
}
