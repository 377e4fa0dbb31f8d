//! What is unread of what a server has without a majority, and what of the rest it has read.

use std::ops::Bound;

use super::shown::{STEPS_PER_MESSAGE, Shown};
use crate::chat::budget::Budget;
use crate::chat::items::AccountNumber;
use crate::chat::mentions::Mentions;
use crate::types::Uuid;

impl Shown<'_> {
    /// How many entries there are that have to do with an account's inbox. They become fewer
    /// only where some are settled.
    pub(in crate::chat) fn concerning(&self, account: &Uuid) -> usize {
        let holdings = self.holdings(account).map(|(_, holdings)| holdings);
        holdings.map_or(0, |it| it.inbox.len() + it.marked.len() + it.deleted.len())
    }

    /// The next message of an account, in the order of ids, that an entry marks or removes.
    pub(in crate::chat) fn touched_after(
        &self,
        account: &Uuid,
        after: Option<Uuid>,
    ) -> Option<Uuid> {
        let (_, holdings) = self.holdings(account)?;
        let first = after.map_or(Bound::Unbounded, |after| Bound::Excluded((after, u64::MAX)));
        let [marked, deleted] = [&holdings.marked, &holdings.deleted]
            .map(|set| set.range((first, Bound::Unbounded)).next().map(|(id, _)| *id));
        marked.into_iter().chain(deleted).min()
    }

    /// Looks at the unconfirmed messages in an account's inbox, from behind an entry on, and
    /// tells of each that is unread who sent it and whether it mentions the account. Returns
    /// where to go on; `None`: there are no more.
    pub(in crate::chat) fn unread_after(
        &self,
        account: &Uuid,
        mut after: u64,
        budget: &mut Budget,
        mut found: impl FnMut(AccountNumber, bool),
    ) -> Option<u64> {
        let (reader, holdings) = self.holdings(account)?;
        let hidden_from = self.overlay.first_hidden().unwrap_or(u64::MAX);
        for listed in holdings.inbox.runs_after(after).flat_map(|(run, _)| run) {
            if listed.0 >= hidden_from {
                return None;
            }
            if !budget.lasts() {
                return Some(after);
            }
            after = listed.0;
            budget.spend(STEPS_PER_MESSAGE);
            if let Some(message) = self.received(holdings, after)
                && !self.is_marked(holdings, message.entry.id, after)
            {
                let mention = Mentions::of(message.text).include(&reader.label.name);
                found(message.author.number, mention);
            }
        }
        None
    }
}
