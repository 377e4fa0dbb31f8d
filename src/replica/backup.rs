//! Takes a backup and restores one, for an administrator who holds the cluster's key.
//!
//! A backup is the state at one index of the log. It is taken as snapshots are: from
//! an immutable view, by a worker, while writes go on. A majority has confirmed it
//! before, so it has every message that was acknowledged before it was asked for. One that
//! no majority confirms has also what this server took alone.
//! Parts are made as they are fetched. An administrator who fetches none for a while,
//! or goes away, gets no more: otherwise the view would keep memory from being freed.
//!
//! What comes back goes through the log, as [`RestoreStep`]s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Inner;
use super::alone::Rescued;
use crate::chat::{Action, Operation, Outcome, RestoreStep};
use crate::consensus::Sequence;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::FEATURE_LEVEL_LOOK_INTERVAL;
use crate::planted::{self, Bug};
use crate::protocol::peer::{Backup, BackupHead, RestoreProgress};

/// How long a restore waits for a feature level that is about to be raised.
const LEVEL_AWAITED_MAX: Duration = Duration::from_secs(3);

/// Bytes of lines in one part, apart from one line that is longer alone.
const PART_BYTES: usize = 512 * 1024;

/// Parts that are made before they are asked for.
const PARTS_AHEAD: usize = 2;

/// How long a part waits for being fetched before the backup is given up.
const PART_WAITS_MAX: Duration = Duration::from_secs(60);

/// How long confirming the state, or one step of a restore, may take here. The
/// administrator asks again, perhaps elsewhere.
const STEP_MAX: Duration = Duration::from_secs(5);

/// The parts of the backup that goes over one connection.
pub type Parts = Arc<Mutex<Option<mpsc::Receiver<Vec<u8>>>>>;

impl Inner {
    /// Begins a backup; its parts come from [`next_part`].
    pub async fn begin_backup(&self, asked: Backup, parts: Parts) -> Result<BackupHead> {
        let consensus = self.consensus()?;
        let early = planted::is(Bug::BackupBeforeConfirmed).then(|| self.machine.view());
        if asked.confirmed {
            consensus.confirm(Instant::now() + STEP_MAX).await?;
        }
        let cluster = self.credentials.introduction().cluster;
        let cluster = cluster.ok_or_else(|| Error::unavailable("there is no cluster yet"))?;
        self.machine.look(|look| look.usable())?;
        let Rescued { view, index, taken_alone } = match asked.confirmed {
            true => {
                let (index, view) = early.unwrap_or_else(|| self.machine.view());
                Rescued { view, index, taken_alone: 0 }
            }
            false => self.with_what_waits().await?,
        };
        let (tell, told) = oneshot::channel();
        let (send, receive) = mpsc::channel(PARTS_AHEAD);
        let job = async move {
            // The receiver is gone when the connection broke meanwhile.
            let _ = tell.send((view.hash().to_string(), view.counts()));
            let view = view.for_backup();
            let mut part = Vec::new();
            let mut lines = view.lines();
            loop {
                let line = lines.next();
                let length = line.as_ref().map_or(0, Vec::len);
                let last = line.is_none();
                if last || (!part.is_empty() && part.len() + length > PART_BYTES) {
                    part.push(b']');
                    let sent = timeout(PART_WAITS_MAX, send.send(std::mem::take(&mut part))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return;
                    }
                }
                let Some(line) = line else { break };
                part.push(if part.is_empty() { b'[' } else { b',' });
                part.extend_from_slice(&line);
            }
            // An empty part says that all went out, whoever waits for it.
            drop(timeout(PART_WAITS_MAX, send.send(b"[]".to_vec())).await);
        };
        self.host.workers.spawn("backup", Box::pin(job));
        let cut_off = |_| Error::internal("taking a backup was cut off");
        let (state_hash, (accounts, messages)) = told.await.map_err(cut_off)?;
        *parts.lock().await = Some(receive);
        let at = self.time.now();
        Ok(BackupHead { cluster, index, at, state_hash, accounts, messages, taken_alone })
    }

    /// Has a step of a restore applied; how far it has come then.
    pub async fn restore_step(&self, step: RestoreStep) -> Result<RestoreProgress> {
        if let RestoreStep::Begin { .. } = step {
            self.await_level().await;
        }
        let operation = Operation { id: self.host.uuid(), action: Action::Restore(step) };
        let deadline = Instant::now() + STEP_MAX;
        let applied = self.consensus()?.propose(operation, deadline, &Sequence::default()).await?;
        match applied.outcome {
            Outcome::Restoring { lines, done } => Ok(RestoreProgress { lines, done }),
            Outcome::Done => Ok(RestoreProgress { lines: 0, done: false }),
            Outcome::Refused(error) => {
                let error = Error::from(error);
                let own = self.feature_level();
                if error.code == ErrorCode::NewerFormat && own < self.config.feature_level_known {
                    // This server could read it, so say who cannot.
                    self.require_level(own + 1).await?;
                }
                Err(error)
            }
            outcome => Err(Error::internal(format!("a restore got {outcome:?}"))),
        }
    }

    /// Gives a cluster that has just been founded the time to raise its feature level:
    /// a backup of a higher level would be refused by the one that it begins with. It
    /// is over at once where the level is what this program knows.
    async fn await_level(&self) {
        let raised = async {
            while self.feature_level() < self.config.feature_level_known {
                tokio::time::sleep(FEATURE_LEVEL_LOOK_INTERVAL / 4).await;
            }
        };
        // Where a server is too old for it, the level stays, and the backup decides.
        drop(timeout(LEVEL_AWAITED_MAX, raised).await);
    }
}

/// The next part: an array of lines as JSON, empty after the last one.
pub async fn next_part(parts: Parts) -> Result<Vec<u8>> {
    let given_up = || Error::unavailable("no backup is under way on this connection (any more)");
    let mut parts = parts.lock().await;
    parts.as_mut().ok_or_else(given_up)?.recv().await.ok_or_else(given_up)
}
