//! What the log would do to the applied state if all entries came into it now, one after
//! the other. By the very rules of `settling.rs`: here it is only asked, nothing changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entry::{Addressees, Context, Deed, Entry};
use super::held::Overlay;
#[cfg(test)]
use super::held::nothing;
use super::holdings::Holdings;
use crate::chat::budget::Budget;
use crate::chat::delivery::{Party, SessionNumber};
use crate::chat::items::Account;
use crate::chat::settling::Letter;
use crate::chat::state::{Caller, State};
use crate::chat::undelivered::Reason;
use crate::planted::{self, Bug};
use crate::types::{Timestamp, Uuid};

/// Steps that it takes to find out what becomes of an entry.
const STEPS_PER_ENTRY: usize = 10;

/// Steps to find out whether a message is delivered, and what was done to it.
pub(super) const STEPS_PER_MESSAGE: usize = 16;

/// A state, and what an overlay makes of it.
#[derive(Clone, Copy)]
pub(in crate::chat) struct Shown<'a> {
    pub(super) state: &'a State,
    pub(super) overlay: &'a Overlay,
    /// When it is asked: whether a session has run out depends on it.
    now: Timestamp,
    /// Whether entries count that are on their way to the disk.
    hidden: bool,
}

impl<'a> Shown<'a> {
    pub(in crate::chat) fn new(state: &'a State, overlay: &'a Overlay, now: Timestamp) -> Self {
        Shown { state, overlay, now, hidden: false }
    }

    /// A state beside which nothing was taken.
    #[cfg(test)]
    pub(in crate::chat) fn confirmed(state: &'a State) -> Self {
        Shown::new(state, nothing(), Timestamp(0))
    }

    /// The same, with what is on its way to the disk.
    pub(super) fn with_hidden(self) -> Self {
        Shown { hidden: true, ..self }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// What an account has in the overlay, while the account is there.
    pub(super) fn holdings(&self, account: &Uuid) -> Option<(&'a Account, &'a Holdings)> {
        let holdings = self.overlay.accounts.get(account)?;
        Some((self.state.find_account(*account)?, holdings))
    }

    /// An entry that the state has not settled, if no earlier one has its id; and its author,
    /// who must be there.
    ///
    /// Of two with one id, as the lists of two servers may have them, the log takes the first
    /// that comes, and mostly nothing of the other one. So that one is left to the log.
    fn pending(&self, order: u64) -> Option<(&'a Entry, Caller)> {
        let entry = self.overlay.entries.get(order)?;
        let pending = match self.overlay.places.place_of(order) {
            Some(place) => self.state.settled(&place.list) < place.number,
            None => self.hidden,
        };
        let first = self.overlay.ids.get(&entry.id) == Some(order);
        let author = self.state.author(&entry.context.author.account)?;
        (pending && first).then_some((entry, author))
    }

    fn shut_out(&self, entry: &Entry, author: Caller) -> Option<Reason> {
        let session = entry.context.session.as_ref();
        let by_state = self.state.is_shut_out(author, self.now, session);
        by_state.or_else(|| {
            let session = session.filter(|session| self.now < session.expires)?;
            self.closing(session.number, entry.order).then_some(Reason::Ended)
        })
    }

    /// Whether an entry before this one ends a session.
    fn closing(&self, session: SessionNumber, before: u64) -> bool {
        let mut closes = self.overlay.closes.range((session, 0)..(session, before));
        closes.any(|(_, order)| self.closes(session, *order))
    }

    fn closes(&self, session: SessionNumber, order: u64) -> bool {
        self.pending(order).is_some_and(|(entry, author)| {
            let used = entry.context.session.as_ref();
            let shut_out = self.state.is_shut_out(author, self.now, used);
            !self.state.is_void(&entry.id, shut_out) && self.state.still_open(used) == Some(session)
        })
    }

    /// Whether an entry ends a session.
    pub(in crate::chat) fn is_closed(&self, session: SessionNumber) -> bool {
        self.closing(session, u64::MAX) && !planted::is(Bug::LiveOnWhereEnded)
    }

    /// A message that is delivered.
    pub(super) fn message(&self, order: u64) -> Option<Delivered<'a>> {
        let (entry, author) = self.pending(order)?;
        let Entry { id, again, .. } = *entry;
        let Deed::Send { to, text } = &entry.deed else { return None };
        let Context { since, .. } = *entry.context;
        let (parties, reply_to) = (&*to.parties, self.state.answered(to.reply_to));
        let letter = Letter { id, author, again, since, to: parties, text, reply_to };
        let undelivered = self.state.undelivered(&letter, self.shut_out(entry, author));
        let shown = undelivered.is_none() || planted::is(Bug::ShowUnconfirmedWhatIsKnown);
        shown.then_some(Delivered { entry, author, to, text })
    }

    /// Whether one of these entries does what it is for; none of them is a message.
    fn any_done(&self, entries: &BTreeSet<(Uuid, u64)>, id: Uuid, after: u64) -> bool {
        let mut entries = entries.range((id, after + 1)..=(id, u64::MAX));
        entries.any(|(_, order)| {
            self.pending(*order).is_some_and(|(entry, author)| {
                !self.state.is_void(&entry.id, self.shut_out(entry, author))
            })
        })
    }

    /// Whether an entry behind another takes a message out of an inbox.
    pub(super) fn is_deleted(&self, holdings: &Holdings, id: Uuid, after: u64) -> bool {
        self.any_done(&holdings.deleted, id, after) && !planted::is(Bug::ShowDeleted)
    }

    /// Whether an entry behind another marks a message as read.
    pub(super) fn is_marked(&self, holdings: &Holdings, id: Uuid, after: u64) -> bool {
        self.any_done(&holdings.marked, id, after)
    }

    /// Whether a message that is in an account's list of unconfirmed ones is in its inbox.
    pub(super) fn received(&self, holdings: &Holdings, order: u64) -> Option<Delivered<'a>> {
        let message = self.message(order)?;
        let owner = self.state.find_account(holdings.party.account)?;
        if owner.blocked.contains(message.author.number) {
            return None;
        }
        (!self.is_deleted(holdings, message.entry.id, order)).then_some(message)
    }

    /// The number of an unconfirmed message in an account's inbox.
    pub(super) fn find(&self, account: &Uuid, id: &Uuid) -> Option<u64> {
        let order = self.overlay.ids.get(id)?;
        let (_, holdings) = self.holdings(account)?;
        holdings.inbox.get(order)?;
        self.received(holdings, order).map(|_| order)
    }

    /// What was done to the confirmed messages of an inbox.
    pub(in crate::chat) fn touches(&self, account: Uuid) -> Touches<'a> {
        let holdings = self.overlay.accounts.get(&account);
        let touched = |it: &&Holdings| it.marked.len() + it.deleted.len() > 0;
        Touches { shown: *self, holdings: holdings.filter(touched) }
    }

    /// Looks at an account's unconfirmed messages for the ids of those that are in its inbox,
    /// from behind an entry on. Returns where to go on; `None`: there are no more.
    pub(in crate::chat) fn ids_after(
        &self,
        account: &Uuid,
        mut after: u64,
        budget: &mut Budget,
        mut found: impl FnMut(Uuid) -> usize,
    ) -> Option<u64> {
        let (_, holdings) = self.holdings(account)?;
        for listed in holdings.inbox.runs_after(after).flat_map(|(run, _)| run) {
            if !budget.lasts() {
                return Some(after);
            }
            after = listed.0;
            budget.spend(STEPS_PER_ENTRY);
            if let Some(message) = self.received(holdings, after) {
                budget.spend(found(message.entry.id));
            }
        }
        None
    }
}

/// A message that the log would deliver.
pub(super) struct Delivered<'a> {
    pub(super) entry: &'a Entry,
    pub(super) author: Caller,
    pub(super) to: &'a Arc<Addressees>,
    pub(super) text: &'a str,
}

impl Delivered<'_> {
    pub(super) fn parties(&self) -> &[Arc<Party>] {
        &self.to.parties
    }
}

/// What entries do to the confirmed messages of an inbox.
#[derive(Clone, Copy)]
pub(in crate::chat) struct Touches<'a> {
    shown: Shown<'a>,
    /// None if nothing.
    holdings: Option<&'a Holdings>,
}

impl Touches<'_> {
    /// Whether a message that is there is shown as read; `None`: it is not shown.
    pub(in crate::chat) fn read(&self, id: Uuid, read: bool, budget: &mut Budget) -> Option<bool> {
        let Some(holdings) = self.holdings else { return Some(read) };
        let touching = |set: &BTreeSet<(Uuid, u64)>| set.range((id, 0)..=(id, u64::MAX)).count();
        let touching = touching(&holdings.deleted) + touching(&holdings.marked);
        budget.spend(1 + STEPS_PER_ENTRY * touching);
        if touching == 0 {
            return Some(read);
        }
        if self.shown.is_deleted(holdings, id, 0) {
            return None;
        }
        Some(read || self.shown.is_marked(holdings, id, 0))
    }

    /// Whether a message that is there is shown.
    pub(in crate::chat) fn shows(&self, id: Uuid, budget: &mut Budget) -> bool {
        self.read(id, true, budget).is_some()
    }
}
