//! Operations that must keep their order even when one of them fails.

use std::sync::{Arc, MutexGuard};

use crate::sync::Mutex;

/// The operations of one client's connection, in the order of its requests.
///
/// When one of them fails for good (its deadline has passed), those behind it must not
/// enter a log any more. The client will repeat all of them in order, and one that
/// entered before would be out of order for ever, whatever the client does. So a
/// sequence breaks with its first failure, at the same instant, and everything of it
/// that is still in a queue is refused.
#[derive(Clone, Default)]
pub struct Sequence(Arc<Mutex<bool>>);

impl Sequence {
    /// Whether an operation of it has failed, so that no other may follow.
    pub fn is_broken(&self) -> bool {
        *self.lock()
    }

    /// An operation of it fails before it has come to a proposer. Call this before the
    /// operation leaves its queue: then no later operation passes it in between.
    pub fn break_off(&self) {
        *self.lock() = true;
    }

    /// Locks the flag: while the guard is held, nothing breaks the sequence and nothing of
    /// it enters a log.
    pub(super) fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock()
    }

    /// How many operations share it.
    #[cfg(test)]
    pub(super) fn operations(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
