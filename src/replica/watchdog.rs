//! Ends a server whose consensus does not move any more.
//!
//! A process that lives and does nothing is worse than a dead one: it keeps its
//! lock, so nobody may adopt its replica. When the task of consensus is stuck, on a
//! disk that does not come back or by a defect, the server ends itself. Then its lock
//! is free and a neighbour goes on.
//!
//! Unanswered questions are counted, not time: a process that was frozen for a minute
//! has missed one question when it goes on, and is not stuck.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Inner, Phase};
use crate::error::Error;

/// How long one question waits for its answer. The next one is asked when this
/// time is over, whether there was an answer or not.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// So many unanswered ones in a row, which is five seconds, are the end.
const MISSES_MAX: u32 = 10;

/// What came of one question.
enum Reply {
    /// Consensus moves, or there is a reason why it need not.
    Answer,
    /// Nothing, within [`ANSWER_MAX`].
    Nothing,
    /// There is nobody to ask any more.
    Ended,
}

/// Asks consensus again and again; the replica fails when it does not answer.
/// Ends with the replica.
pub async fn watch(replica: Weak<Inner>) {
    if !is_stuck(|| ask(&replica)).await {
        return;
    }
    let Some(inner) = replica.upgrade() else { return };
    inner.fail(Error::internal(format!(
        "consensus has not moved for {} seconds, perhaps as the disk of {} hangs; this \
         server ends, so that another one can go on with its data",
        (MISSES_MAX * ANSWER_MAX).as_secs(),
        inner.config.data_dir.display()
    )));
}

async fn ask(replica: &Weak<Inner>) -> Reply {
    let Some(inner) = replica.upgrade() else { return Reply::Ended };
    let consensus = match &*inner.phase.borrow() {
        Phase::Running(consensus) => consensus.clone(),
        Phase::Starting(_) => return Reply::Answer,
        Phase::Stopped => return Reply::Ended,
    };
    drop(inner);
    // A full disk is waited for, and `status` says so.
    match consensus.answers(ANSWER_MAX).await || consensus.status().shortage.is_some() {
        true => Reply::Answer,
        false => Reply::Nothing,
    }
}

/// Asks until too many questions in a row were not answered, or there is nobody
/// to ask any more.
async fn is_stuck<F: Future<Output = Reply>>(mut ask: impl FnMut() -> F) -> bool {
    let mut misses = 0;
    loop {
        let next = Instant::now() + ANSWER_MAX;
        match ask().await {
            Reply::Answer => misses = 0,
            Reply::Nothing => misses += 1,
            Reply::Ended => return false,
        }
        if misses == MISSES_MAX {
            return true;
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Asks somebody who answers until a time, and then once more at `late`.
    async fn stuck_after(silent_from: Duration, late: Option<Duration>) -> Duration {
        let (start, answered) = (Instant::now(), Cell::new(false));
        let stuck = is_stuck(async || {
            let asked = start.elapsed();
            let late = late.filter(|late| asked >= *late && !answered.replace(asked >= *late));
            if asked < silent_from || late.is_some() {
                return Reply::Answer;
            }
            tokio::time::sleep(ANSWER_MAX).await;
            Reply::Nothing
        });
        assert!(stuck.await);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn five_seconds_without_an_answer_are_the_end_and_not_ten() {
        assert_eq!(stuck_after(Duration::ZERO, None).await, Duration::from_secs(5));
        let minute = Duration::from_secs(60);
        assert_eq!(stuck_after(minute, None).await, minute + Duration::from_secs(5));
        // An answer in between, and all begins anew.
        let late = Duration::from_secs(4);
        let took = stuck_after(Duration::ZERO, Some(late)).await;
        assert_eq!(took, late + ANSWER_MAX + Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_frozen_has_missed_one_question() {
        let (start, mut frozen) = (Instant::now(), true);
        let stuck = is_stuck(|| {
            let long = std::mem::take(&mut frozen);
            let ended = start.elapsed() > Duration::from_secs(120);
            async move {
                if long {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    return Reply::Nothing;
                }
                if ended { Reply::Ended } else { Reply::Answer }
            }
        });
        assert!(!stuck.await);
    }
}
