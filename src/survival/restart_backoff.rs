//! Servers that die again and again.
//!
//! Each death costs an adoption, and each return a hand-back. A server that is
//! restarted by its supervisor and crashes at once would have its replica move
//! to and fro for ever, with one copy less each time for a moment. So from its
//! third death within ten seconds on, its replica is kept for a while before it
//! is given back. Nobody but the owner waits: the replica runs here meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::types::ReplicaId;

/// So many deaths within [`WINDOW`] are a habit.
const MANY: usize = 3;

/// See [`MANY`]. A server that lives so long has given the habit up.
const WINDOW: Duration = Duration::from_secs(10);

/// How long the replica is kept after the death that made it a habit. Doubled
/// with every further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// When servers died whose replicas were then adopted here.
#[derive(Default)]
pub struct Deaths(BTreeMap<ReplicaId, Record>);

#[derive(Default)]
struct Record {
    /// Within [`WINDOW`].
    recent: Vec<Instant>,
    /// Deaths out of habit, one after the other.
    habitual: u32,
}

impl Record {
    fn pause(&self) -> Duration {
        match self.habitual {
            0 => Duration::ZERO,
            // More than five doublings are beyond the longest pause anyway.
            times => (PAUSE * (1 << times.min(5)) / 2).min(PAUSE_MAX),
        }
    }

    /// How long ago the last one was.
    fn elapsed(&self) -> Duration {
        self.recent.last().map_or(Duration::MAX, Instant::elapsed)
    }
}

impl Deaths {
    /// A server has died, and its replica was adopted.
    pub fn note(&mut self, server: ReplicaId) {
        let record = self.0.entry(server).or_default();
        if record.elapsed() > WINDOW + record.pause() {
            *record = Record::default();
        }
        record.recent.retain(|at| at.elapsed() <= WINDOW);
        record.recent.push(Instant::now());
        if record.habitual > 0 || record.recent.len() >= MANY {
            record.habitual += 1;
            let pause_ms = record.pause().as_millis() as u64;
            tracing::warn!(%server, pause_ms, "a server dies again and again; keeping its replica");
        }
    }

    /// Whether a server's replica is not given back yet.
    pub fn keep(&self, server: ReplicaId) -> bool {
        self.0.get(&server).is_some_and(|record| record.elapsed() < record.pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ReplicaId = ReplicaId(2);

    /// How long the replica is kept from now on.
    async fn kept(deaths: &Deaths) -> Duration {
        let began = Instant::now();
        while deaths.keep(SERVER) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn from_the_third_death_in_a_row_on_the_replica_is_kept_longer_and_longer() {
        let mut deaths = Deaths::default();
        let mut pauses_ms = Vec::new();
        for _ in 0..9 {
            deaths.note(SERVER);
            assert!(!deaths.keep(ReplicaId(3)), "another one's");
            pauses_ms.push(kept(&deaths).await.as_millis());
        }
        assert_eq!(pauses_ms, [0, 0, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        tokio::time::sleep(WINDOW + PAUSE_MAX + Duration::from_millis(1)).await;
        deaths.note(SERVER);
        assert!(!deaths.keep(SERVER), "it had lived for a while");
    }

    #[tokio::test(start_paused = true)]
    async fn deaths_that_lie_apart_are_no_habit() {
        let mut deaths = Deaths::default();
        for _ in 0..10 {
            deaths.note(SERVER);
            assert!(!deaths.keep(SERVER));
            tokio::time::sleep(WINDOW / 2 + Duration::from_millis(1)).await;
        }
    }
}
