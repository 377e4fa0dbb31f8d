//! The messages between a follower's proposer and the leader's.

use serde::{Deserialize, Serialize};

use super::pending::Completion;
use crate::chat::Operation;
use crate::consensus::Applied;
use crate::error::{ErrorBody, ErrorCode};
#[cfg(doc)]
use crate::protocol::peer::Call;

/// The body of a [`Call::Propose`], as it arrives.
#[derive(Deserialize)]
pub struct ForwardBody {
    /// The term in which it may be taken; in any other it is refused.
    pub term: u64,
    /// Raised by the sender after every failure; from 1.
    pub epoch: u64,
    /// Counts the batches of the epoch, from 0.
    pub number: u64,
    /// How long the sender waits, in milliseconds from its arrival.
    pub timeout_ms: u64,
    /// In order.
    pub operations: Vec<Operation>,
}

/// [`ForwardBody`] as it is sent, borrowing the operations.
#[derive(Serialize)]
pub(super) struct ForwardBodyOf<'a> {
    pub(super) term: u64,
    pub(super) epoch: u64,
    pub(super) number: u64,
    pub(super) timeout_ms: u64,
    pub(super) operations: Vec<&'a Operation>,
}

/// The answer: one result for each operation, in order.
#[derive(Serialize, Deserialize)]
pub struct ForwardReply {
    pub(super) results: Vec<ForwardResult>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ForwardResult {
    Ok(Applied),
    Error(ErrorBody),
}

impl ForwardResult {
    /// What the answer means for the operation.
    pub(super) fn completion(self) -> Completion {
        match self {
            ForwardResult::Ok(applied) => Completion::Done(applied),
            ForwardResult::Error(error) if error.code == ErrorCode::Unavailable => {
                Completion::Refused
            }
            ForwardResult::Error(_) => Completion::Lost,
        }
    }
}
