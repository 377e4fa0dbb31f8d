//! What a long start tells in the log, so that nobody takes it for one that hangs.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Machine;
use crate::storage::SnapshotReader;

/// Pause between two lines. A start that is shorter tells nothing.
const INTERVAL: Duration = Duration::from_secs(2);

/// How far the loading of a snapshot is.
pub(super) struct Loading {
    told: Instant,
    lines: u64,
}

impl Loading {
    pub(super) fn begin() -> Loading {
        Loading { told: Instant::now(), lines: 0 }
    }

    /// One more line is in.
    pub(super) fn line(&mut self, reader: &SnapshotReader) {
        self.lines += 1;
        if self.told.elapsed() >= INTERVAL {
            self.told = Instant::now();
            tracing::info!(lines = self.lines, of = reader.records(), "loading the snapshot");
        }
    }
}

/// Runs the start of a node, and tells how far the replay of its log is, whose
/// last entry is `last`.
pub(super) async fn of_replay<T>(
    machine: &Machine,
    last: Option<u64>,
    start: impl Future<Output = T>,
) -> T {
    tokio::pin!(start);
    let mut told = machine.applied_index();
    loop {
        if let Ok(started) = timeout(INTERVAL, &mut start).await {
            return started;
        }
        let applied = machine.applied_index();
        // Before that the snapshot is being loaded, which tells by itself.
        if applied > told {
            tracing::info!(applied, last, "replaying the log");
            told = applied;
        }
    }
}
