//! Operations that arrive while the replica starts wait here, in order.
//!
//! Refusing them would be simpler and wrong: of two operations that a client
//! sent in a row, the first could be refused while the replica starts, and the
//! second accepted a moment later.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::chat::Operation;
use crate::consensus::{Applied, Consensus, Sequence};
use crate::error::{Error, Result};
use crate::host::BoxFuture;

#[derive(Default)]
pub struct Line(Mutex<State>);

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
    /// line, so that whoever stopped waiting has certainly not sent it.
    claimed: oneshot::Sender<oneshot::Receiver<Outcome>>,
    deadline: Instant,
    sequence: Sequence,
}

impl Line {
    /// Puts an operation in line, at once; the future is its outcome.
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
        async move {
            let mut claim = match place {
                Ok(outcome) => return outcome.await,
                Err(Some(claim)) => claim,
                Err(None) => return Err(stopping()),
            };
            let claimed = match timeout_at(deadline, &mut claim).await {
                Ok(claimed) => claimed.map_err(|_| stopping())?,
                Err(_) => {
                    claim.close();
                    // From here on it can no longer be claimed, unless it was.
                    claim.try_recv().map_err(|_| {
                        Error::unavailable("no write was made: this replica is still starting")
                    })?
                }
            };
            claimed.await.map_err(|_| stopping())?.await
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
        self.0.lock().expect("no panic while held")
    }
}

fn stopping() -> Error {
    Error::unavailable("this replica is stopping")
}
