//! What a server with a majority asks the overlay while it is not settled.

use super::shown::Shown;
use crate::error::{Error, ErrorCode, Result};
use crate::planted::{self, Bug};
use crate::types::Uuid;

impl Shown<'_> {
    /// See [`Look::places_of`](crate::chat::Look::places_of).
    pub(in crate::chat) fn places_of(&self, account: &Uuid, ids: &[Uuid]) -> Result<Vec<u64>> {
        let inbox = self.state.find_account(*account).map(|account| &account.inbox);
        let place = |id: &Uuid| {
            let seq = self.state.message_ids.get(id);
            let there = seq.filter(|seq| inbox.is_some_and(|inbox| inbox.get(*seq).is_some()));
            there.ok_or_else(|| match self.overlay.is_empty() {
                true => Error::new(
                    ErrorCode::UnknownMessage,
                    format!("no message {id} is in this inbox; nothing was marked"),
                ),
                false => not_settled(),
            })
        };
        if planted::is(Bug::MarkWhatIsKnown) {
            return Ok(ids.iter().filter_map(|id| place(id).ok()).collect());
        }
        ids.iter().map(place).collect()
    }

    /// See [`Look::waits`](crate::chat::Look::waits).
    pub(in crate::chat) fn waits(&self, account: &Uuid, ids: &[Uuid]) -> bool {
        let Some(holdings) = self.overlay.accounts.get(account) else { return false };
        let unconfirmed = |id: &&Uuid| !self.state.message_ids.contains(id);
        let mut orders = ids.iter().filter(unconfirmed).filter_map(|id| self.overlay.ids.get(id));
        orders.any(|order| holdings.inbox.get(order).is_some())
    }
}

fn not_settled() -> Error {
    Error::new(
        ErrorCode::Behind,
        "this server has not handed over yet what it took while it was alone, and this may name \
         some of it; nothing was done: try again soon",
    )
}
