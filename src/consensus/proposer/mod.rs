//! How operations get into the log: gathered, in order, by whoever leads.
//!
//! Every replica has one proposer, a task with a queue. While one batch is on its
//! way into the log, operations that arrive gather for the next one. On the leader
//! a batch becomes a log entry. On a follower it is forwarded to the leader's
//! proposer, whose queue it joins.
//!
//! # What it promises
//!
//! - **Order.** Operations enter the log in the order in which they were proposed
//!   here, and none overtakes an earlier one that is retried. When one is given up,
//!   all that follow it on the same client's connection are given up with it
//!   ([`Sequence`]). A client that sends line 5 and line 6 on one connection never
//!   finds 6 before 5, however often it has to repeat them.
//! - **Honest failures.** An operation that failed as [`ErrorCode::Unavailable`]
//!   has never been in any log and never will be. Once it has left the queue
//!   towards a log the worst answer is [`ErrorCode::OutcomeUnknown`].
//!
//! # How order survives failovers
//!
//! Batches are pipelined. When one fails, those behind it may still be in flight,
//! and the next leader could accept one of them while the failed one waits to be
//! tried again. Five rules prevent that:
//!
//! 1. The next batch is handed to the leader's log only when the log has taken
//!    the one before, and each only under the leadership under which it was
//!    sent. An entry that follows a lost entry is lost with it.
//! 2. After a failure a proposer sends nothing until everything in flight has come
//!    back. Then it puts what failed back at the head of its queue, in the old
//!    order, and starts a new *epoch*.
//! 3. Forwarded batches are numbered within their epoch. A leader takes number
//!    0 first and then one after the other, on one connection ([`ForwardOrder`]).
//!    After a gap (a batch lost with an old connection) or a refusal it refuses
//!    everything of that epoch, also what it could take now.
//! 4. All batches in flight go to the same leadership. When the leader changes, a
//!    proposer waits for what it sent to the old one before it sends anything to
//!    the new one, which may be itself.
//! 5. A forwarded batch is taken in the term in which it was sent or never. So
//!    once somebody leads in a later term, a proposer does not wait for what it
//!    sent to a former leader, which may be frozen and never answer. Terms ascend
//!    in a log (Raft, section 5.3): whichever log still has that batch has it
//!    before everything that is sent in a later term.
//!
//! An operation that a retry brought into the log twice is applied once, by its id.

mod dispatch;
mod forward;
mod forward_order;
mod pending;
mod sequence;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use forward::{ForwardBody, ForwardReply};
pub use forward_order::ForwardOrder;
pub use sequence::Sequence;

use self::dispatch::Task;
use self::forward::ForwardResult;
use self::pending::{Abandon, Origin, PendingOperation, Progress};
use super::Applied;
use super::leadership::route::Router;
use super::runtime;
use super::surroundings::Surroundings;
use crate::chat::Operation;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::limits::TIMEOUT_MAX;

/// The sending end of the proposer's queue. Clones share the queue.
#[derive(Clone)]
pub struct Proposer<S = Router> {
    queue: mpsc::UnboundedSender<PendingOperation>,
    around: S,
}

impl<S: Surroundings> Proposer<S> {
    /// Starts the task.
    pub fn start(host: &Host, around: S) -> Proposer<S> {
        let (queue, arrivals) = mpsc::unbounded_channel();
        runtime::spawn(host, Task::new(around.clone(), arrivals).run());
        Proposer { queue, around }
    }

    /// Puts an operation in line, at once; the future is its outcome.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`]: it never entered a log.
    /// [`ErrorCode::OutcomeUnknown`]: it may have.
    pub fn propose(
        &self,
        operation: Operation,
        deadline: Instant,
        sequence: &Sequence,
    ) -> impl Future<Output = Result<Applied>> + Send + use<S> {
        self.submit(operation, deadline, sequence, None)
    }

    fn submit(
        &self,
        operation: Operation,
        deadline: Instant,
        sequence: &Sequence,
        forwarded: Option<Origin>,
    ) -> impl Future<Output = Result<Applied>> + Send + use<S> {
        let progress = Progress::new(sequence.clone());
        let (reply, answer) = oneshot::channel();
        let id = operation.id;
        let pending = PendingOperation {
            operation,
            deadline,
            progress: Arc::clone(&progress),
            suspect: false,
            forwarded,
            reply,
        };
        let queued = self.queue.send(pending).is_ok();
        let around = self.around.clone();
        let waiting = Abandon::unless_done(progress);
        async move {
            match timeout_at(deadline, answer).await {
                Ok(Ok(Ok(applied))) => {
                    waiting.done();
                    return Ok(applied);
                }
                Ok(Ok(Err(error))) => return Err(error),
                Ok(Err(_)) | Err(_) => {}
            }
            Err(if !queued || waiting.abandon() {
                Error::unavailable(around.absence())
            } else {
                Error::outcome_unknown(format!(
                    "it is not known whether operation {id} was accepted: {}; repeating it with the same id is safe",
                    around.absence()
                ))
            })
        }
    }

    /// Takes what another replica forwarded, in order.
    pub fn forwarded(
        &self,
        body: ForwardBody,
        order: &Arc<ForwardOrder>,
    ) -> impl Future<Output = ForwardReply> + Send + use<S> {
        if !order.admit(body.epoch, body.number) {
            // Found out by the proposer, in line with what came before.
            order.refuse(body.epoch);
        }
        let remaining = Duration::from_millis(body.timeout_ms).min(TIMEOUT_MAX);
        let deadline = Instant::now() + remaining;
        let waiting: Vec<_> = body
            .operations
            .into_iter()
            .map(|operation| {
                let (order, epoch, term) = (order.clone(), body.epoch, body.term);
                // A sequence of its own: `order` keeps the order.
                let origin = Some(Origin { order, epoch, term });
                self.submit(operation, deadline, &Sequence::default(), origin)
            })
            .collect();
        async move {
            let mut results = Vec::with_capacity(waiting.len());
            for answer in waiting {
                results.push(match answer.await {
                    Ok(applied) => ForwardResult::Ok(applied),
                    Err(error) => ForwardResult::Error(error.into()),
                });
            }
            ForwardReply { results }
        }
    }
}
