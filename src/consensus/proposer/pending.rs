//! One pending operation: where it is, and what became of it.

use std::sync::{Arc, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::forward_order::ForwardOrder;
use super::sequence::Sequence;
use crate::chat::{Action, Operation, RestoreStep};
use crate::consensus::Applied;
use crate::consensus::surroundings::Surroundings;
use crate::error::{Error, Result};
use crate::limits::{BATCH_MAX_BYTES, BATCH_MAX_OPERATIONS, BATCH_MAX_STEPS};
use crate::sync::Mutex;

/// What a forwarded operation is bound to: the order on its connection, the epoch of its
/// batch, and a term.
pub(super) struct Origin {
    pub(super) order: Arc<ForwardOrder>,
    pub(super) epoch: u64,
    /// The only term in which it may be taken.
    pub(super) term: u64,
}

impl Origin {
    /// What follows it in its epoch is not taken any more.
    pub(super) fn refuse(&self) {
        self.order.refuse(self.epoch);
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

    /// Takes the operation into a log. False: it was given up, or one before
    /// it in its sequence was, and it must not enter any.
    pub(super) fn enter(&self) -> bool {
        let broken = self.sequence.lock();
        let mut place = self.place();
        if *broken || *place == Place::Abandoned {
            return false;
        }
        *place = Place::Entered;
        true
    }

    /// Gives up, and breaks the sequence. True: it is in no log and never will be.
    pub(super) fn abandon(&self) -> bool {
        let mut broken = self.sequence.lock();
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
        self.place.lock()
    }
}

/// Gives an operation up when it is dropped: a caller may stop waiting because its
/// connection broke, and an operation that has not left the queue by then never does.
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

/// An operation in a queue or in flight, until it has an answer.
pub(super) struct PendingOperation {
    pub(super) operation: Operation,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress>,
    /// Whether an earlier attempt may have brought it into a log.
    pub(super) suspect: bool,
    pub(super) forwarded: Option<Origin>,
    pub(super) reply: oneshot::Sender<Result<Applied>>,
}

impl PendingOperation {
    /// Answers that it was not done, or may have been.
    pub(super) fn refuse(self, around: &impl Surroundings) {
        let error = if self.suspect {
            Error::outcome_unknown("the leader changed while the operation was under way")
        } else {
            Error::unavailable(around.absence())
        };
        // The connection that forwarded it may be gone.
        let _ = self.reply.send(Err(error));
    }
}

/// What became of one operation of a batch.
pub(super) enum Completion {
    Done(Applied),
    /// Certainly in no log by this attempt.
    Refused,
    /// Perhaps in a log.
    Lost,
}

/// A batch that is no longer in flight.
pub(super) struct CompletedBatch {
    /// Its place in the order in which batches were dispatched.
    pub(super) number: u64,
    pub(super) operations: Vec<(PendingOperation, Completion)>,
}

impl CompletedBatch {
    /// All of its operations completed in the same way.
    pub(super) fn all(
        number: u64,
        batch: Vec<PendingOperation>,
        how: fn() -> Completion,
    ) -> CompletedBatch {
        let operations = batch.into_iter().map(|pending| (pending, how())).collect();
        CompletedBatch { number, operations }
    }

    /// Each completed in its own way. If the answer has more or fewer outcomes than
    /// there are operations, it is not known whose they are, and all count as lost.
    pub(super) fn each(
        number: u64,
        batch: Vec<PendingOperation>,
        completions: Vec<Completion>,
    ) -> CompletedBatch {
        if batch.len() != completions.len() {
            tracing::error!(
                operations = batch.len(),
                outcomes = completions.len(),
                "a batch was answered with another number of outcomes than it has operations"
            );
            return CompletedBatch::all(number, batch, || Completion::Lost);
        }
        CompletedBatch { number, operations: batch.into_iter().zip(completions).collect() }
    }
}

/// How much is in a batch.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    operations: usize,
    pub(super) bytes: usize,
    steps: usize,
}

impl Load {
    /// With one operation more; `None` if the batch is too full for it. The first
    /// one always fits.
    pub(super) fn with(self, operation: &Operation) -> Option<Load> {
        let load = Load {
            operations: self.operations + 1,
            bytes: self.bytes + weight(operation),
            steps: self.steps + operation.action.steps(),
        };
        let fits = load.operations <= BATCH_MAX_OPERATIONS
            && load.bytes <= BATCH_MAX_BYTES
            && load.steps <= BATCH_MAX_STEPS;
        (fits || self.operations == 0).then_some(load)
    }
}

/// About how many bytes an operation takes in a batch.
fn weight(operation: &Operation) -> usize {
    let content = match &operation.action {
        // Escapes are not counted: JSON writes a control character as six bytes, so a
        // batch may have six times its weight, which PEER_LINE_MAX_BYTES still holds.
        Action::Send { to, text, .. } => text.len() + 36 * to.len(),
        Action::Deliver(delivery) => 512 + delivery.act.bytes(),
        Action::MarkRead { seqs, .. } => 21 * seqs.len(),
        Action::Delete { ids, .. } => 39 * ids.len(),
        Action::Restore(RestoreStep::Lines { lines, .. }) => {
            lines.iter().map(|line| line.len() + 3).sum()
        }
        Action::ChangeMembers { founders, .. } => 512 + 300 * founders.len(),
        Action::Register { .. } | Action::ResetPassword { .. } => 512,
        Action::Own { change, .. } => change.bytes(),
        Action::Administer { by, .. } => by.len() + 256,
        Action::OpenSession { .. }
        | Action::CloseSession { .. }
        | Action::DeleteAccount { .. }
        | Action::AllocateIncarnation { .. }
        | Action::NoteTime { .. }
        | Action::RaiseLevel { .. }
        | Action::Restore(_) => 256,
    };
    content + 96
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECIPIENTS_MAX;
    use crate::types::{AccountName, Uuid};

    /// How many of them a batch takes, and in how many steps those are applied.
    fn taken(action: Action) -> (usize, usize) {
        let operation = Operation { id: Uuid::nil(), action };
        let (mut load, mut count) = (Load::default(), 0);
        while let Some(more) = load.with(&operation) {
            (load, count) = (more, count + 1);
        }
        (count, load.steps)
    }

    #[test]
    fn a_batch_is_bounded_by_the_work_of_applying_it_as_well() {
        let send = |count: usize, text: usize| Action::Send {
            session: 1,
            to: vec![AccountName::new("bob").expect("valid"); count],
            text: "x".repeat(text),
            again: false,
            after: None,
            reply_to: None,
        };
        assert_eq!(taken(send(1, 100)).0, BATCH_MAX_OPERATIONS, "what is usual is not held up");
        assert!(taken(send(1, 8_000)).0 > 100);
        for action in [
            send(RECIPIENTS_MAX, 1),
            Action::MarkRead { session: 1, seqs: vec![1; 1_000] },
            Action::Delete { session: 1, ids: vec![Uuid::nil(); 1_000] },
            Action::DeleteAccount { session: 1, verified: None },
        ] {
            let (count, steps) = taken(action);
            assert!(count > 0 && steps <= BATCH_MAX_STEPS, "{count} of {steps} steps");
        }
        let lines = vec!["x".repeat(BATCH_MAX_BYTES)];
        let step = RestoreStep::Lines { backup: Uuid::nil(), first: 1, lines };
        assert_eq!(taken(Action::Restore(step)).0, 1, "one alone always fits");
    }
}
