//! A request in progress, as a future of its connection's task.
//!
//! A connection runs its requests within its own task: a spawned task for each
//! of fifty thousand messages a second would cost more than the messages.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use crate::chat::{Given, Outcome, SessionView};
use crate::error::{Error, Result};
use crate::host::BoxFuture;
use crate::protocol::client::{Answer, Sent};
use crate::replica::{Accepted, Applied};
use crate::types::Uuid;

/// A request in progress.
pub(super) enum Work {
    /// A change whose answer needs nothing but its outcome: the hot path.
    Proposal(Proposal),
    /// Everything else.
    Other(BoxFuture<'static, Finished>),
}

/// A change on its way through the log.
pub(super) struct Proposal {
    id: u64,
    operation: Uuid,
    answer: fn(Uuid, Accepted) -> Result<Answer>,
    applied: BoxFuture<'static, Result<Accepted>>,
}

/// A request that is done.
pub(super) struct Finished {
    pub(super) id: u64,
    pub(super) result: Result<Answer>,
    /// What it changes about the connection.
    pub(super) effect: Effect,
    /// Whether later requests waited for it.
    pub(super) was_barrier: bool,
    /// Whether it was a [`Proposal`] that had to wait.
    pub(super) was_proposal: bool,
}

/// What a finished request changes about its connection.
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// The connection speaks for this session from now on.
    Bind(Arc<SessionView>),
    /// The connection speaks for nobody from now on.
    Unbind,
}

impl Proposal {
    /// Takes the proposal's place in line, which is what its first poll does.
    ///
    /// That poll is made here and not left to the set of pending futures: it
    /// must happen in the order of the requests, and without tokio's budget
    /// for cooperation, which could turn it into a poll that does nothing and
    /// let a later request overtake this one.
    pub(super) fn start(
        id: u64,
        operation: Uuid,
        answer: fn(Uuid, Accepted) -> Result<Answer>,
        mut applied: BoxFuture<'static, Result<Accepted>>,
    ) -> Result<Finished, Work> {
        let mut first_poll = tokio::task::unconstrained(applied.as_mut());
        // This context wakes nobody, and need not: the set polls a future that was
        // added to it before it waits.
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut first_poll).poll(&mut context) {
            Poll::Ready(result) => Ok(finish(id, operation, answer, result)),
            Poll::Pending => Err(Work::Proposal(Proposal { id, operation, answer, applied })),
        }
    }
}

fn finish(
    id: u64,
    operation: Uuid,
    answer: fn(Uuid, Accepted) -> Result<Answer>,
    result: Result<Accepted>,
) -> Finished {
    let result = result.and_then(|accepted| answer(operation, accepted));
    Finished { id, result, effect: Effect::Nothing, was_barrier: false, was_proposal: true }
}

impl Future for Work {
    type Output = Finished;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        match self.get_mut() {
            Work::Proposal(proposal) => {
                let result = ready!(proposal.applied.as_mut().poll(cx));
                Poll::Ready(finish(proposal.id, proposal.operation, proposal.answer, result))
            }
            Work::Other(future) => future.as_mut().poll(cx),
        }
    }
}

/// The answer to `send`.
pub(super) fn sent(id: Uuid, accepted: Accepted) -> Result<Answer> {
    let (applied, copies, replicas) = match accepted {
        Accepted::Confirmed(Applied { outcome, copies, replicas }) => (outcome, copies, replicas),
        Accepted::Unconfirmed { place, answer: Given::Sent { at, to }, replicas } => {
            let (seq, copies, confirmed, place) = (None, 1, false, Some(place));
            return Ok(Answer::Sent(Sent { id, to, at, seq, copies, replicas, confirmed, place }));
        }
        Accepted::Unconfirmed { .. } => return Err(of_another_kind()),
    };
    match applied {
        Outcome::Sent { seq, at, to } => {
            let (seq, confirmed, place) = (Some(seq), true, None);
            Ok(Answer::Sent(Sent { id, to, at, seq, copies, replicas, confirmed, place }))
        }
        other => Err(refusal(other)),
    }
}

/// The answer to `mark_read`.
pub(super) fn marked(_: Uuid, accepted: Accepted) -> Result<Answer> {
    match accepted {
        Accepted::Unconfirmed { answer: Given::Marked { count }, .. } => {
            Ok(Answer::Marked { count, confirmed: false })
        }
        accepted => match confirmed(accepted)? {
            Outcome::Marked { count } => Ok(Answer::Marked { count, confirmed: true }),
            other => Err(refusal(other)),
        },
    }
}

/// The answer to `delete`.
pub(super) fn deleted(_: Uuid, accepted: Accepted) -> Result<Answer> {
    match accepted {
        Accepted::Unconfirmed { answer: Given::Deleted { count }, .. } => {
            Ok(Answer::Deleted { count, confirmed: false })
        }
        accepted => match confirmed(accepted)? {
            Outcome::Deleted { count } => Ok(Answer::Deleted { count, confirmed: true }),
            other => Err(refusal(other)),
        },
    }
}

/// The answer to `logout`, `delete_account` and what changes an account's own affairs.
pub(super) fn done(_: Uuid, accepted: Accepted) -> Result<Answer> {
    match accepted {
        Accepted::Unconfirmed { answer: Given::Done, .. } => Ok(Answer::Done { confirmed: false }),
        accepted => match confirmed(accepted)? {
            Outcome::Done => Ok(Answer::done()),
            other => Err(refusal(other)),
        },
    }
}

/// The outcome of a change that the log has.
///
/// # Errors
/// When it was accepted as another kind of change.
pub(super) fn confirmed(accepted: Accepted) -> Result<Outcome> {
    match accepted {
        Accepted::Confirmed(applied) => Ok(applied.outcome),
        Accepted::Unconfirmed { .. } => Err(of_another_kind()),
    }
}

/// Why an operation has not the outcome that its kind has.
pub(super) fn refusal(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Refused(body) => body.into(),
        _ => of_another_kind(),
    }
}

/// An id that was used for another kind of operation is refused by the state machine, so this
/// is a defect.
fn of_another_kind() -> Error {
    Error::internal("an operation has the outcome of another kind of operation")
}
