//! A backoff for servers that die again and again.
//!
//! Each death costs an adoption, and each return a hand-back. A server that
//! crashes whenever its supervisor restarts it would have its replica move to and
//! fro for ever, with one copy less for a moment each time. So from a server's
//! third death within ten seconds on, its replica is kept for a while before it
//! is given back. Only that owner waits: its replica runs here, and others are served.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::types::ReplicaId;

/// So many deaths within [`WINDOW`] begin the backoff.
const DEATHS_MIN: usize = 3;

/// See [`DEATHS_MIN`]. A server that lives so long begins anew.
const WINDOW: Duration = Duration::from_secs(10);

/// How long the replica is kept after the first death that counts. Doubled with
/// every further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// When servers died whose replicas were then adopted here.
#[derive(Default)]
pub struct RestartBackoff(BTreeMap<ReplicaId, Record>);

#[derive(Default)]
struct Record {
    /// Within [`WINDOW`].
    recent: Vec<Instant>,
    /// Deaths since the backoff began, each soon after the one before.
    in_backoff: u32,
}

impl Record {
    fn pause(&self) -> Duration {
        match self.in_backoff {
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

impl RestartBackoff {
    /// A server has died, and its replica was adopted.
    pub fn note_death(&mut self, server: ReplicaId) {
        let record = self.0.entry(server).or_default();
        if record.elapsed() > WINDOW + record.pause() {
            *record = Record::default();
        }
        record.recent.retain(|at| at.elapsed() <= WINDOW);
        record.recent.push(Instant::now());
        if record.in_backoff > 0 || record.recent.len() >= DEATHS_MIN {
            record.in_backoff += 1;
            let pause_ms = record.pause().as_millis() as u64;
            tracing::warn!(%server, pause_ms, "a server dies again and again; keeping its replica");
        }
    }

    /// Whether a server's replica is not given back yet.
    pub fn is_active(&self, server: ReplicaId) -> bool {
        self.0.get(&server).is_some_and(|record| record.elapsed() < record.pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ReplicaId = ReplicaId(2);

    /// How long the replica is kept from now on.
    async fn kept(backoff: &RestartBackoff) -> Duration {
        let began = Instant::now();
        while backoff.is_active(SERVER) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn from_the_third_death_in_a_row_on_the_replica_is_kept_longer_and_longer() {
        let mut backoff = RestartBackoff::default();
        let mut pauses_ms = Vec::new();
        for _ in 0..9 {
            backoff.note_death(SERVER);
            assert!(!backoff.is_active(ReplicaId(3)), "another one's");
            pauses_ms.push(kept(&backoff).await.as_millis());
        }
        assert_eq!(pauses_ms, [0, 0, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        tokio::time::sleep(WINDOW + PAUSE_MAX + Duration::from_millis(1)).await;
        backoff.note_death(SERVER);
        assert!(!backoff.is_active(SERVER), "it had lived for a while");
    }

    #[tokio::test(start_paused = true)]
    async fn deaths_that_lie_apart_begin_no_backoff() {
        let mut backoff = RestartBackoff::default();
        for _ in 0..10 {
            backoff.note_death(SERVER);
            assert!(!backoff.is_active(SERVER));
            tokio::time::sleep(WINDOW / 2 + Duration::from_millis(1)).await;
        }
    }
}
