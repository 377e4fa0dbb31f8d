//! Which forwarded batches of one connection are taken.

use crate::sync::Mutex;

/// Which forwarded batches of one connection are taken; see rule 3 in the head
/// of the room.
#[derive(Default)]
pub struct Gate(Mutex<GateState>);

#[derive(Default)]
struct GateState {
    epoch: u64,
    next: u64,
    refused: u64,
}

impl Gate {
    /// Whether a batch follows the one before. One that does not closes its epoch.
    pub(super) fn admit(&self, epoch: u64, number: u64) -> bool {
        let mut state = self.0.lock();
        let expected = if epoch > state.epoch { 0 } else { state.next };
        if epoch < state.epoch || epoch <= state.refused || number != expected {
            state.refused = state.refused.max(epoch);
            return false;
        }
        (state.epoch, state.next) = (epoch, number + 1);
        true
    }

    pub(super) fn refuse(&self, epoch: u64) {
        let mut state = self.0.lock();
        state.refused = state.refused.max(epoch);
    }

    pub(super) fn refuses(&self, epoch: u64) -> bool {
        self.0.lock().refused >= epoch
    }
}
