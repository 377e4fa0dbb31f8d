//! How a change was accepted.

use crate::chat::{Given, Operation};
use crate::consensus::Applied;
use crate::types::{Place, Uuid};

/// A change that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As the log takes it.
    pub operation: Operation,
    /// Messages that a mark names by their ids, beside those that it names by their places. Only
    /// a server that is alone takes these; elsewhere their places are looked up before.
    pub mark_ids: Vec<Uuid>,
    /// The message that stands at the place behind which a message comes, if its client says so.
    pub after_id: Option<Uuid>,
}

impl From<Operation> for Change {
    fn from(operation: Operation) -> Change {
        Change { operation, mark_ids: Vec::new(), after_id: None }
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The log has it: a majority, and this server's state or that of the leader.
    Confirmed(Applied),
    /// This server alone has it, on its disk. The log settles it later.
    Unconfirmed {
        /// Where it stands.
        place: Place,
        /// What its author is told.
        answer: Given,
        /// How many replicas there are.
        replicas: u32,
    },
}
