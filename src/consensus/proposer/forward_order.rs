//! The order of the batches that one connection forwards.

use crate::sync::Mutex;

/// Takes the forwarded batches of one connection in their order only; see rule 3 in
/// the head of the module.
#[derive(Default)]
pub struct ForwardOrder(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The epoch of the batch that was admitted last.
    epoch: u64,
    /// The number that its next batch must have.
    next: u64,
    /// Every epoch up to this one is refused.
    refused: u64,
}

impl ForwardOrder {
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
