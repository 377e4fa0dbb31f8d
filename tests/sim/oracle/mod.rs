//! The oracle: could a correct service have shown what clients saw?
//!
//! Clients record every operation when it begins and when it ends ([`Recorder`]).
//! Then [`messages::check`] searches the history for contradictions,
//! [`linearizable::check`] looks for an order of each conversation, and [`replicas`] compares what servers report about themselves.
//! [`export`] writes histories for checkers that are not part of this program. The
//! oracle knows only the contract, and nothing of how the program keeps it.
//!
//! Names come back: an account is deleted, and another user registers its name anew. So
//! an operation names its *owner*. For such names that is `name#1`, `name#2` and so on;
//! for all others it is the name itself. Recipients of a message are names, as the
//! service has them.

mod accounts;
pub mod export;
mod facts;
pub mod linearizable;
pub mod messages;
mod order;
mod pages;
pub mod replicas;
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ftchat::error::ErrorCode;
use ftchat::protocol::client::InboxQuery;
use ftchat::types::{Timestamp, Uuid};

/// A message as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// Its place in the total order.
    pub seq: u64,
    /// The name of who sent it.
    pub from: String,
    /// How many it was sent to.
    pub recipients: usize,
    /// What it says.
    pub text: String,
    /// When it was taken.
    pub at: Timestamp,
    /// Whether it is marked as read.
    pub read: bool,
}

/// A place in a sequence of messages that must keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Which sequence.
    pub stream: Uuid,
    /// Which message of it, ascending.
    pub number: u64,
    /// What it is a sequence of.
    pub of: Stream,
}

/// See [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Lines of one `send --lines`.
    Pipeline,
    /// Requests of one connection, whose answers are recorded as they come.
    Connection,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A message to accounts.
    Send { id: Uuid, from: String, to: Vec<String>, text: String, line: Option<Line> },
    /// A page of messages.
    Read { owner: String, query: InboxQuery },
    /// Marks messages of an inbox as read.
    Mark { owner: String, seqs: Vec<u64> },
    /// Removal of a message from an inbox.
    Delete { owner: String, id: Uuid },
    /// A new account.
    Register { owner: String },
    /// Removal of an account.
    DeleteAccount { owner: String },
    /// Bounds on what is stored, from here on: lists of what was sent grow shorter.
    SetBounds {},
}

/// What the client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message is accepted.
    Sent { seq: u64, at: Timestamp },
    /// A page, and whether more follows after it.
    Page { messages: Vec<Seen>, more: bool },
    /// So many messages were unread before.
    Marked { count: u64 },
    /// The message, or the account, is removed.
    Deleted,
    /// The account is there.
    Registered,
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

impl Operation {
    /// Its reply, if it has one.
    fn reply(&self) -> Option<&Reply> {
        self.ended.as_ref().map(|(_, reply)| reply)
    }

    /// Whether it was told that nothing was done.
    fn is_refused(&self) -> bool {
        matches!(self.reply(), Some(Reply::Refused(_)))
    }
}

/// The name of an owner.
pub fn name_of(owner: &str) -> &str {
    owner.split_once('#').map_or(owner, |(name, _)| name)
}

/// Whether an owner's name had other owners, or may have.
pub fn comes_back(owner: &str) -> bool {
    owner.contains('#')
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
