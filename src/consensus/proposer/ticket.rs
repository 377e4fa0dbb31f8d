//! One operation on its way: where it is, and how it came back.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::gate::Gate;
use super::sequence::Sequence;
use crate::chat::{Action, Operation, RestoreStep};
use crate::consensus::Applied;
use crate::consensus::route::Router;
use crate::error::{Error, Result};

/// Where a forwarded operation came from.
pub(super) struct Origin {
    pub(super) gate: Arc<Gate>,
    pub(super) epoch: u64,
    /// In which alone it may be taken.
    pub(super) term: u64,
}

impl Origin {
    /// What follows it in its epoch is not taken any more.
    pub(super) fn refuse(&self) {
        self.gate.refuse(self.epoch);
    }
}

/// Where an operation is, as far as its proposer can know.
pub(super) struct Progress {
    sequence: Sequence,
    place: Mutex<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Queued,
    /// On its way into a log, or in one.
    Entered,
    /// Whoever proposed it has been told that nothing happened.
    Abandoned,
}

impl Progress {
    pub(super) fn new(sequence: Sequence) -> Arc<Progress> {
        Arc::new(Progress { sequence, place: Mutex::new(Place::Queued) })
    }

    /// Claims the operation for a log. False: it was given up, or one before
    /// it in its sequence was, and it must not enter any.
    pub(super) fn enter(&self) -> bool {
        let broken = self.sequence.broken();
        let mut place = self.place();
        if *broken || *place == Place::Abandoned {
            return false;
        }
        *place = Place::Entered;
        true
    }

    /// Gives up, and breaks the sequence. True: it is in no log and never will be.
    pub(super) fn abandon(&self) -> bool {
        let mut broken = self.sequence.broken();
        *broken = true;
        let mut place = self.place();
        let outside = *place != Place::Entered;
        if outside {
            *place = Place::Abandoned;
        }
        outside
    }

    /// It was refused before it reached any log.
    pub(super) fn leave(&self) {
        let mut place = self.place();
        if *place == Place::Entered {
            *place = Place::Queued;
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().expect("no panic while held")
    }
}

/// Gives an operation up when it goes away: whoever waited may stop waiting,
/// as its connection broke, and what has not left the queue then never does.
pub(super) struct Abandon(Option<Arc<Progress>>);

impl Abandon {
    pub(super) fn unless_done(progress: Arc<Progress>) -> Abandon {
        Abandon(Some(progress))
    }

    /// It has its outcome.
    pub(super) fn done(mut self) {
        self.0 = None;
    }

    /// See [`Progress::abandon`].
    pub(super) fn abandon(&self) -> bool {
        self.0.as_ref().is_none_or(|progress| progress.abandon())
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// An operation in a queue or in flight.
pub(super) struct Ticket {
    pub(super) operation: Operation,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress>,
    /// Whether an earlier flight may have brought it into a log.
    pub(super) suspect: bool,
    pub(super) forwarded: Option<Origin>,
    pub(super) reply: oneshot::Sender<Result<Applied>>,
}

impl Ticket {
    /// Answers that it was not done, or may have been.
    pub(super) fn refuse(self, router: &Router) {
        let error = if self.suspect {
            Error::outcome_unknown("the leader changed while the operation was under way")
        } else {
            Error::unavailable(router.absence())
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
        Action::Restore(RestoreStep::Lines { lines, .. }) => {
            lines.iter().map(|line| line.len() + 3).sum()
        }
        Action::Register { .. } => 512,
        Action::OpenSession { .. }
        | Action::CloseSession { .. }
        | Action::DeleteAccount { .. }
        | Action::AllocateIncarnation { .. }
        | Action::Restore(_) => 256,
    };
    content + 96
}
