//! Progress of a long start in the log, so that nobody takes it for one that hangs.

use tokio::time::timeout;

use super::engine::state_machine::{Machine, PROGRESS_INTERVAL};

/// Runs the start of a node, and reports how far the replay of its log is, whose
/// last entry is `last`.
pub(super) async fn of_replay<T>(
    machine: &Machine,
    last: Option<u64>,
    start: impl Future<Output = T>,
) -> T {
    tokio::pin!(start);
    let mut reported = machine.applied_index();
    loop {
        if let Ok(started) = timeout(PROGRESS_INTERVAL, &mut start).await {
            return started;
        }
        let applied = machine.applied_index();
        // Before that the snapshot is being loaded, which reports by itself.
        if applied > reported {
            tracing::info!(applied, last, "replaying the log");
            reported = applied;
        }
    }
}
