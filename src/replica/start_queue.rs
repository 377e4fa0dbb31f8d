//! Operations that arrive while the replica starts wait here, in order.
//!
//! Refusing them would be simpler and wrong: of two operations that a client sent in a
//! row, the first could be refused while the replica starts, and the second accepted a
//! moment later. An operation whose time runs out here breaks its sequence, as it would
//! in the proposer's queue.

use std::sync::MutexGuard;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::chat::Operation;
use crate::consensus::{Applied, Consensus, Sequence};
use crate::error::{Error, Result};
use crate::host::BoxFuture;
use crate::sync::Mutex;

#[derive(Default)]
pub struct StartQueue(Mutex<State>);

enum State {
    Waiting(Vec<Waiting>),
    Open(Consensus),
    Closed,
}

impl Default for State {
    fn default() -> Self {
        State::Waiting(Vec::new())
    }
}

type Outcome = BoxFuture<'static, Result<Applied>>;

struct Waiting {
    operation: Operation,
    /// Gets what will bring the outcome. Sent before the operation leaves this
    /// queue, so that whoever stopped waiting has certainly not sent it.
    claimed: oneshot::Sender<oneshot::Receiver<Outcome>>,
    deadline: Instant,
    sequence: Sequence,
}

impl StartQueue {
    /// Queues an operation, at once; the future is its outcome.
    pub fn propose(
        &self,
        operation: Operation,
        deadline: Instant,
        sequence: &Sequence,
    ) -> impl Future<Output = Result<Applied>> + Send + use<> {
        let place = match &mut *self.state() {
            State::Open(consensus) => Ok(consensus.propose(operation, deadline, sequence)),
            State::Waiting(waiting) => {
                let (claimed, claim) = oneshot::channel();
                waiting.push(Waiting { operation, claimed, deadline, sequence: sequence.clone() });
                Err(Some(claim))
            }
            State::Closed => Err(None),
        };
        let sequence = sequence.clone();
        async move {
            let mut claim = match place {
                Ok(outcome) => return outcome.await,
                Err(Some(claim)) => claim,
                Err(None) => return Err(stopping(&sequence)),
            };
            let claimed = match timeout_at(deadline, &mut claim).await {
                Ok(claimed) => claimed.map_err(|_| stopping(&sequence))?,
                Err(_) => {
                    sequence.break_off();
                    claim.close();
                    // From here on it can no longer be claimed, unless it was.
                    claim.try_recv().map_err(|_| {
                        Error::unavailable("no write was made: this replica is still starting")
                    })?
                }
            };
            claimed.await.map_err(|_| stopping(&sequence))?.await
        }
    }

    /// Lets everybody in, in order.
    pub fn open(&self, consensus: &Consensus) {
        let mut state = self.state();
        if let State::Waiting(waiting) = &mut *state {
            for Waiting { operation, claimed, deadline, sequence } in waiting.drain(..) {
                let (bring, outcome) = oneshot::channel();
                if claimed.send(outcome).is_ok() {
                    // Whoever claimed it may go away; the operation is on its way.
                    drop(bring.send(Box::pin(consensus.propose(operation, deadline, &sequence))));
                }
            }
            *state = State::Open(consensus.clone());
        }
    }

    /// Refuses everybody who waits or comes.
    pub fn close(&self) {
        *self.state() = State::Closed;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

fn stopping(sequence: &Sequence) -> Error {
    sequence.break_off();
    Error::unavailable("this replica is stopping")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::Action;
    use crate::types::{ReplicaId, Uuid};

    fn operation(number: u32) -> Operation {
        let action = Action::AllocateIncarnation { replica: ReplicaId(number) };
        Operation { id: Uuid::from_u128(number.into()), action }
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_time_runs_out_in_line_lets_none_of_its_sequence_pass() {
        let queue = StartQueue::default();
        let within = |ms| Instant::now() + Duration::from_millis(ms);
        let (sequence, other) = (Sequence::default(), Sequence::default());
        let first = queue.propose(operation(1), within(100), &sequence);
        let second = queue.propose(operation(2), within(1_000), &sequence);
        let third = queue.propose(operation(3), within(1_000), &other);
        assert!(first.await.expect_err("too late").message.contains("still starting"));
        assert!(sequence.is_broken(), "the second must not follow");
        assert!(!other.is_broken(), "nobody else is held up");
        queue.close();
        for (waiting, sequence) in [(second, sequence), (third, other)] {
            drop(waiting.await.expect_err("stopping"));
            assert!(sequence.is_broken());
        }
        let late = Sequence::default();
        let never = queue.propose(operation(4), within(1_000), &late);
        drop(never.await.expect_err("stopping"));
        assert!(late.is_broken());
    }
}
