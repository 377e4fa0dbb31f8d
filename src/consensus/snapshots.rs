//! What a running node does beside taking part: it takes snapshots in time.

use std::time::Duration;

use super::Consensus;
use super::runtime;
use crate::error::{Error, Result};

/// How often housekeeping checks whether a snapshot is due.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(250);

/// See [`Consensus::housekeeping`].
const REPLICAS_IN_TURN: u64 = 3;

impl Consensus {
    /// Whether the task of consensus answers within `limit`, or has ended, which
    /// [`Consensus::failed`] reports.
    pub async fn answers(&self, limit: Duration) -> bool {
        let raft = self.0.raft.clone();
        let asking = runtime::scoped(&self.0.host, async move {
            // An error is the end of the task, which is an answer as well.
            drop(raft.with_raft_state(|_| ()).await);
        });
        tokio::time::timeout(limit, asking).await.is_ok()
    }

    /// Asks the engine to take a snapshot.
    pub(super) async fn snapshot(&self) -> Result<()> {
        let raft = self.0.raft.clone();
        let snapshot = async move { raft.trigger().snapshot().await };
        let asked = runtime::scoped(&self.0.host, snapshot).await;
        asked.map_err(|error| Error::internal(error.to_string()))
    }

    /// Takes a snapshot when the log has outgrown the last one. Ends when
    /// consensus stops.
    pub(super) async fn housekeeping(self, snapshot_log_min_bytes: u64) {
        let mut grown = 0;
        // Replicas have the same log. They would write their snapshots at the same time
        // and all be slow together. So the first ones are taken in turn, and with them
        // those that follow: a majority never writes one at the same time.
        let mut ahead = u64::from(self.0.node.replica().0) % REPLICAS_IN_TURN;
        loop {
            tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
            if self.metrics().running_state.is_err() {
                return;
            }
            if self.0.machine.is_adopted() {
                // See `Consensus::copy_snapshot_of`.
                continue;
            }
            grown += self.0.store.take_appended_bytes();
            let due = snapshot_log_min_bytes.max(self.0.machine.snapshot_bytes() / 4 * 3);
            if grown >= due - due / REPLICAS_IN_TURN * ahead {
                (grown, ahead) = (0, 0);
                if let Err(error) = self.snapshot().await {
                    tracing::warn!(%error, "no snapshot was taken");
                }
            }
        }
    }
}
