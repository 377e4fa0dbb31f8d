//! Reads that see every write acknowledged before them: ReadIndex (Raft
//! dissertation, section 6.4).
//!
//! A read asks the leader for its commit index. The leader answers after a majority has
//! confirmed its leadership. Then the read waits until this replica's state contains
//! that index. No clock is trusted: a lease would be wrong on a machine that was frozen.
//!
//! Reads that arrive while a question is under way share the next question, which is
//! asked after they arrived.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::engine::state_machine::Machine;
use super::leadership::route::{Route, Router};
use super::surroundings::Surroundings;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::protocol::peer::Call;

/// Pause before asking again when nothing else has changed. It doubles each time:
/// a leader that was elected a moment ago cannot confirm anything until its first
/// entry is on a majority of disks, which takes a millisecond or two.
const RETRY_MIN: Duration = Duration::from_millis(1);

/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_millis(10);

type Waiting = oneshot::Sender<u64>;

/// The queue's end that reads are put in. Clones share the queue.
#[derive(Clone)]
pub struct Reader<S = Router> {
    queue: mpsc::UnboundedSender<Waiting>,
    machine: Machine,
    around: S,
}

impl<S: Surroundings> Reader<S> {
    /// Starts the task. `question_timeout` bounds one question to the leader.
    pub fn start(
        host: &Host,
        around: S,
        machine: Machine,
        question_timeout: Duration,
    ) -> Reader<S> {
        let (queue, waiting) = mpsc::unbounded_channel();
        let task = Task { around: around.clone(), question_timeout };
        super::runtime::spawn(host, task.run(waiting));
        Reader { queue, machine, around }
    }

    /// Returns once the state contains every write acknowledged before the call.
    ///
    /// # Errors
    /// [`ErrorCode::ReadNotConfirmed`], naming who is missing.
    pub async fn confirm(&self, deadline: Instant) -> Result<()> {
        let confirmed = async {
            let index = self.read_index().await?;
            self.machine.wait_applied(index).await;
            Some(())
        };
        self.within(deadline, confirmed).await
    }

    /// The same, but does not wait for the state.
    ///
    /// # Errors
    /// As [`Reader::confirm`].
    pub async fn ask_majority(&self, deadline: Instant) -> Result<()> {
        self.within(deadline, async { self.read_index().await.map(drop) }).await
    }

    async fn read_index(&self) -> Option<u64> {
        let (send, receive) = oneshot::channel();
        self.queue.send(send).ok()?;
        receive.await.ok()
    }

    async fn within(
        &self,
        deadline: Instant,
        confirmed: impl Future<Output = Option<()>>,
    ) -> Result<()> {
        match timeout_at(deadline, confirmed).await {
            Ok(Some(())) => Ok(()),
            Ok(None) | Err(_) => Err(Error::new(
                ErrorCode::ReadNotConfirmed,
                format!("the read could not be confirmed: {}", self.around.absence()),
            )),
        }
    }
}

struct Task<S> {
    around: S,
    question_timeout: Duration,
}

impl<S: Surroundings> Task<S> {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Waiting>) {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut pause = RETRY_MIN;
        loop {
            if waiting.is_empty() && queue.recv_many(&mut waiting, usize::MAX).await == 0 {
                return;
            }
            // Whoever came meanwhile shares this question; later ones do not.
            while let Ok(one) = queue.try_recv() {
                waiting.push(one);
            }
            waiting.retain(|one| !one.is_closed());
            if waiting.is_empty() {
                continue;
            }
            let asked = timeout_at(Instant::now() + self.question_timeout, self.ask()).await;
            if let Ok(Some(index)) = asked {
                pause = RETRY_MIN;
                for one in waiting.drain(..) {
                    // The reader may have stopped waiting.
                    let _ = one.send(index);
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.around.changed() => {}
                () = tokio::time::sleep(pause) => pause = (2 * pause).min(RETRY_MAX),
            }
        }
    }

    async fn ask(&self) -> Option<u64> {
        match self.around.route()? {
            Route::Here(_) => self.around.read_index().await.ok(),
            Route::There(node, term) => {
                let body = b"{}".as_slice().into();
                let answer = self.around.call(node.replica(), Call::ReadIndex, body)?;
                // A frozen leader never answers, and another leads by then.
                let reply = tokio::select! {
                    biased;
                    reply = answer => reply.ok()?,
                    () = self.around.superseded(term) => return None,
                };
                serde_json::from_slice(&reply).ok()
            }
        }
    }
}
