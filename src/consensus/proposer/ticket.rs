//! One operation on its way: where it is, and how it came back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::gate::Gate;
use crate::chat::{Action, Operation};
use crate::consensus::Applied;
use crate::consensus::route::Router;
use crate::error::{Error, Result};

/// Where an operation is, as far as its proposer can know.
#[derive(Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const QUEUED: u8 = 0;
    const ENTERED: u8 = 1;
    const ABANDONED: u8 = 2;

    /// Claims the operation for a log. False: whoever proposed it has been
    /// told that nothing happened, and so nothing may.
    pub(super) fn enter(&self) -> bool {
        self.0
            .compare_exchange(Self::QUEUED, Self::ENTERED, Ordering::AcqRel, Ordering::Acquire)
            .map_or_else(|now| now == Self::ENTERED, |_| true)
    }

    /// Gives up. True: it has never left the queue.
    pub(super) fn abandon(&self) -> bool {
        self.0
            .compare_exchange(Self::QUEUED, Self::ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// It was refused before it reached any log.
    pub(super) fn leave(&self) {
        // An abandoned operation stays abandoned.
        let _ = self.0.compare_exchange(
            Self::ENTERED,
            Self::QUEUED,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }
}

/// An operation in a queue or in flight.
pub(super) struct Ticket {
    pub(super) operation: Operation,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress>,
    /// Whether an earlier flight may have brought it into a log.
    pub(super) suspect: bool,
    pub(super) forwarded: Option<(Arc<Gate>, u64)>,
    pub(super) reply: oneshot::Sender<Result<Applied>>,
}

impl Ticket {
    /// Answers that it was not done, or may have been.
    pub(super) fn refuse(self, router: &Router) {
        let error = if self.suspect {
            Error::outcome_unknown("the leader changed while the operation was under way")
        } else {
            Error::unavailable(format!("this server cannot take it: {}", router.absence()))
        };
        // The connection that forwarded it may be gone.
        let _ = self.reply.send(Err(error));
    }
}

/// How one ticket came back from a flight.
pub(super) enum Landing {
    Done(Applied),
    /// Certainly in no log by this flight.
    Refused,
    /// Perhaps in a log.
    Lost,
}

pub(super) struct Landed {
    pub(super) flight: u64,
    pub(super) tickets: Vec<Ticket>,
    pub(super) landings: Vec<Landing>,
}

/// About how many bytes an operation takes in a batch.
pub(super) fn weight(operation: &Operation) -> usize {
    let content = match &operation.action {
        // JSON writes a control character as six bytes.
        Action::Send { to, text, .. } => text.len() + 36 * to.len(),
        Action::MarkRead { seqs, .. } => 21 * seqs.len(),
        Action::Delete { ids, .. } => 39 * ids.len(),
        Action::Register { .. } => 512,
        Action::OpenSession { .. }
        | Action::CloseSession { .. }
        | Action::DeleteAccount { .. }
        | Action::AllocateIncarnation { .. } => 256,
    };
    content + 96
}
