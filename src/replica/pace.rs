//! Where a replica was some seconds ago, which shows whether it makes progress.
//!
//! One look cannot tell a replica that catches up from one that stands still: both
//! are behind. So every replica remembers where it was, and a client that asks all of
//! them sees which has gained nothing although there was something to gain.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Inner, Phase};
use crate::sync::Mutex;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How far back a replica is compared with itself.
const BEFORE: Duration = Duration::from_secs(5);

/// Where a replica was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the last entry in its state.
    pub applied: u64,
    /// The highest commit index that it knew.
    pub commit: u64,
}

/// Where a replica was at its last looks, oldest first.
#[derive(Debug, Default)]
pub struct Pace(Mutex<VecDeque<(Instant, Place)>>);

impl Pace {
    fn note(&self, now: Instant, place: Place) {
        let mut places = self.0.lock();
        places.push_back((now, place));
        // The oldest that is kept is the youngest that is old enough.
        while places.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= BEFORE) {
            places.pop_front();
        }
    }

    /// Where it was five seconds ago, or a moment earlier; `None` when it has not
    /// run for so long.
    pub fn before(&self) -> Option<Place> {
        let places = self.0.lock();
        let (at, place) = places.front()?;
        (at.elapsed() >= BEFORE).then_some(*place)
    }
}

/// Looks where a replica is, until it stops.
pub async fn watch(replica: Weak<Inner>) {
    loop {
        let Some(inner) = replica.upgrade() else { return };
        look(&inner);
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        drop(inner);
        sleep(LOOK_INTERVAL).await;
    }
}

fn look(inner: &Arc<Inner>) {
    let Phase::Running(consensus) = &*inner.phase.borrow() else { return };
    let (applied, commit) = consensus.position();
    inner.pace.note(Instant::now(), Place { applied, commit });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn before_is_five_seconds_ago_and_nothing_while_it_runs_for_less() {
        let pace = Pace::default();
        for second in 0..20 {
            pace.note(Instant::now(), Place { applied: second, commit: 2 * second });
            let before =
                second.checked_sub(5).map(|then| Place { applied: then, commit: 2 * then });
            assert_eq!(pace.before(), before, "after {second} s");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(pace.0.lock().len() <= 7, "old ones go");
    }
}
