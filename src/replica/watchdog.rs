//! Whether consensus still moves.
//!
//! A process that lives and does nothing is worse than a dead one: it keeps its
//! lock, so nobody may take over. When the task of consensus is stuck, on a
//! disk that does not come back or by a mistake of ours, the server ends
//! itself, so that its lock is free and a neighbour goes on.
//!
//! Time is counted in questions that were not answered, not by a clock: a
//! process that was frozen for a minute has missed one question when it goes
//! on, and is not stuck.

use std::sync::Weak;
use std::time::Duration;

use super::{Inner, Phase};
use crate::error::Error;

/// How long one question waits for its answer.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// So many unanswered ones in a row, which is five seconds, are the end.
const MISSES_MAX: u32 = 10;

/// Asks consensus again and again; the replica fails when it does not answer.
/// Ends with the replica.
pub async fn watch(replica: Weak<Inner>) {
    let mut misses = 0;
    loop {
        tokio::time::sleep(ANSWER_MAX).await;
        let Some(inner) = replica.upgrade() else { return };
        let consensus = match &*inner.phase.borrow() {
            Phase::Running(consensus) => consensus.clone(),
            Phase::Starting(_) => continue,
            Phase::Stopped => return,
        };
        // A full disk is waited for, and `status` says so.
        if consensus.answers(ANSWER_MAX).await || consensus.status().disk_full {
            misses = 0;
            continue;
        }
        misses += 1;
        if misses >= MISSES_MAX {
            inner.fail(Error::internal(format!(
                "consensus has not moved for {} seconds, perhaps as the disk of {} hangs; this \
                 server ends, so that another one can go on with its data",
                MISSES_MAX as u64 * ANSWER_MAX.as_millis() as u64 / 1000,
                inner.config.data_dir.display()
            )));
            return;
        }
    }
}
