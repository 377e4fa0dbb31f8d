//! The oracle: what clients saw, and whether a correct service can have shown
//! them that.
//!
//! Clients record every operation when it begins and when it ends
//! ([`Recorder`]); [`messages::check`] then searches the history for
//! contradictions, [`linearizable::check`] asks a checker that knows nothing of
//! ours whether each conversation has an order at all, and [`replicas`] compares
//! what servers say of themselves.
//! The oracle knows the contract only, nothing of how it is kept.

pub mod linearizable;
pub mod messages;
pub mod replicas;
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ftchat::error::ErrorCode;
use ftchat::types::Uuid;

/// A message as a page of an inbox shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// Its place in the total order.
    pub seq: u64,
    /// Who sent it.
    pub from: String,
    /// What it says.
    pub text: String,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A message to accounts.
    Send { id: Uuid, from: String, to: Vec<String>, text: String },
    /// The messages of an inbox, read or not, with a greater `seq`.
    Read { owner: String, after: u64 },
    /// Removal of a message from an inbox.
    Delete { owner: String, id: Uuid },
}

/// What the client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message is accepted.
    Sent { seq: u64 },
    /// A page, and whether more follows after it.
    Page { messages: Vec<Seen>, more: bool },
    /// The message is removed.
    Deleted,
    /// A definite no: nothing was done, and nothing will be.
    Refused(ErrorCode),
    /// It may have been done, or be done later.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub client: String,
    /// What for.
    pub call: Call,
    /// When it began: its place among all beginnings and ends.
    pub began: u64,
    /// When it ended and how; `None` while it runs, or when its client died.
    pub ended: Option<(u64, Reply)>,
}

/// Collects operations. Cheap to clone; shared by all clients of a world.
///
/// Beginnings and ends are ordered as the simulation executed them. That order
/// is the real-time order that linearizability speaks of: between the end of
/// one client's operation and the beginning of another's lies at least the
/// point at which both were executed, and a message takes a tick to travel.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<(u64, Vec<Operation>)>>);

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Operation>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins; returns its number.
    pub fn begin(&self, client: &str, call: Call) -> usize {
        let (events, operations) = &mut *self.lock();
        *events += 1;
        operations.push(Operation { client: client.into(), call, began: *events, ended: None });
        operations.len() - 1
    }

    /// An operation ends.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn end(&self, operation: usize, reply: Reply) {
        let (events, operations) = &mut *self.lock();
        *events += 1;
        let ended = &mut operations[operation].ended;
        assert!(ended.is_none(), "an operation ends once: {:?}", operations[operation].call);
        *ended = Some((*events, reply));
    }

    /// Looks at all operations so far, in the order in which they began.
    pub fn look<T>(&self, look: impl FnOnce(&[Operation]) -> T) -> T {
        look(&self.lock().1)
    }
}
