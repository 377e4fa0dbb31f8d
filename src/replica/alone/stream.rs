//! The changes that one client's connection asks for, in their order.

use std::sync::Arc;

use crate::consensus::Sequence;
use crate::sync::Mutex;
use crate::types::Place;

/// Keeps the changes of one connection in order, through everything that may happen to
/// them. Clones are the same stream.
///
/// While a majority is there they follow each other into the log ([`Sequence`]). A server that
/// is alone puts them into its list, in the same order. Behind that the stream has a *place*:
/// its next changes come into the log behind that entry. When one of them fails, on either
/// way, the stream is broken, and none that was asked for before its client could know of the
/// failure is taken.
#[derive(Clone, Default)]
pub struct ChangeStream(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sequence: Sequence,
    place: Option<Place>,
    /// How many of its changes are held back.
    held: usize,
}

impl ChangeStream {
    /// What keeps the order on the way into the log.
    pub(super) fn sequence(&self) -> Sequence {
        self.0.lock().sequence.clone()
    }

    /// Whether a change of it has failed, so that no other may follow.
    pub fn is_broken(&self) -> bool {
        self.0.lock().sequence.is_broken()
    }

    /// A change of it has failed.
    pub fn break_off(&self) {
        self.0.lock().sequence.break_off();
    }

    /// Begins anew: everything that failed has been answered. The place stays.
    pub fn mend(&self) {
        self.0.lock().sequence = Sequence::default();
    }

    /// What is on its way into the log goes another way from now on, and the end of that
    /// first way is no failure. A stream that is broken stays so.
    pub(super) fn turn(&self) {
        let mut state = self.0.lock();
        if !state.sequence.is_broken() {
            state.sequence = Sequence::default();
        }
    }

    /// Its last change that was accepted alone, unless that is known to be settled.
    pub(super) fn place(&self) -> Option<Place> {
        self.0.lock().place
    }

    pub(super) fn is_at(&self, place: Place) {
        self.0.lock().place = Some(place);
    }

    /// That place is settled.
    pub(super) fn is_settled(&self, place: Place) {
        let mut state = self.0.lock();
        if state.place == Some(place) {
            state.place = None;
        }
    }

    /// Whether a change of it is held back.
    pub(super) fn is_held(&self) -> bool {
        self.0.lock().held > 0
    }

    pub(super) fn hold(&self) {
        self.0.lock().held += 1;
    }

    pub(super) fn let_go(&self) {
        let mut state = self.0.lock();
        state.held = state.held.saturating_sub(1);
    }
}
