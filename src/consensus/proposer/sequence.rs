//! Operations that must keep their order even when one of them fails.

use std::sync::{Arc, MutexGuard};

use crate::sync::Mutex;

/// The operations of one client's connection, in the order of its requests.
///
/// When one of them fails for good (its deadline has passed), those behind it
/// must not enter a log any more: the client will repeat all of them in order,
/// and one that had slipped through would be out of order for ever, whatever
/// the client does. So a sequence breaks with its first failure, at the same
/// instant, and everything of it that is still in a queue is refused.
#[derive(Clone, Default)]
pub struct Sequence(Arc<Mutex<bool>>);

impl Sequence {
    /// Whether an operation of it has failed, so that no other may follow.
    pub fn is_broken(&self) -> bool {
        *self.broken()
    }

    /// An operation of it fails before it has come to a proposer. Whoever gives one up
    /// says so before it can no longer be taken: then nothing passes it in between.
    pub fn break_off(&self) {
        *self.broken() = true;
    }

    /// Holds the moment: nothing breaks it and nothing follows meanwhile.
    pub(super) fn broken(&self) -> MutexGuard<'_, bool> {
        self.0.lock()
    }
}
