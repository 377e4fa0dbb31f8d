//! What this server has taken without a majority, beside the state and under the same lock: so
//! an entry leaves the overlay in the very moment in which the state has it.

use super::Machine;
use crate::chat::{Acceptance, Action, Given, MarkAsked, Operation, Outcome, Overlay, Taken};
use crate::error::Result;
use crate::types::{Place, Timestamp, Uuid};

/// What becomes of a change that is to be taken without a majority.
pub enum Takes {
    /// The state knows it: this became of it.
    Known(Outcome),
    /// It was taken before, and this was its answer.
    Held {
        /// Its number in the overlay.
        order: u64,
        /// Where it stands; none while it is on its way to the disk.
        place: Option<Place>,
        /// What its author is told.
        answer: Given,
    },
    /// It is in the overlay, and nobody is shown it before [`Machine::reveal`].
    New {
        /// Its number in the overlay.
        order: u64,
        /// What is to come onto the disk.
        taken: Box<Taken>,
        /// What its author is told.
        answer: Given,
    },
}

impl Machine {
    /// Tests a change against the state and all that was taken before, and adds it. A mark may
    /// name more messages by their ids.
    ///
    /// # Errors
    /// [`ErrorCode::NeedsMajority`](crate::error::ErrorCode::NeedsMajority) and
    /// [`ErrorCode::Behind`](crate::error::ErrorCode::Behind): this server cannot take it.
    pub fn take(
        &self,
        operation: &Operation,
        mark_ids: &[Uuid],
        now: Timestamp,
        accepted_at: Timestamp,
    ) -> Result<Takes> {
        let mut shown = self.0.shown.write();
        let since = self.applied_index();
        let acceptance = shown.look(|look| match &operation.action {
            Action::MarkRead { session, seqs } => {
                let (id, session) = (operation.id, *session);
                let asked = MarkAsked { id, session, seqs, ids: mark_ids };
                look.take_mark(&asked, now, accepted_at, since)
            }
            _ => look.take(operation, now, accepted_at, since),
        })?;
        Ok(match acceptance {
            Acceptance::Known(outcome) => Takes::Known(outcome),
            Acceptance::Held { order, place, answer } => Takes::Held { order, place, answer },
            Acceptance::New { taken, answer } => {
                let order = shown.overlay.add((*taken).clone());
                Takes::New { order, taken, answer }
            }
        })
    }

    /// Changes the overlay.
    pub fn change_overlay<T>(&self, change: impl FnOnce(&mut Overlay) -> T) -> T {
        change(&mut self.0.shown.write().overlay)
    }

    /// The entries from a number on are durable and stand from this place on. Whoever follows
    /// one of these accounts is woken.
    pub fn reveal(&self, first: u64, place: Place, accounts: impl Iterator<Item = Uuid>) {
        self.change_overlay(|overlay| overlay.reveal(first, place));
        self.0.watchers.lock().wake(accounts);
    }
}
