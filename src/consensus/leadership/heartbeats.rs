//! Heartbeats, at a pace of their own.
//!
//! The engine can send them by itself. Then it waits for each answer no longer than until
//! the next one is due, so between replicas whose messages take longer there and back none
//! is ever answered in time: the leader counts as one that nobody confirms, although all
//! follow it, and takes nothing. So heartbeats are sent from here, and the engine's own
//! interval is only the time that an answer may take ([`answer_max_ms`]). It has one
//! heartbeat under way to each follower: where an answer takes longer than the interval,
//! the next one follows the answer.

use std::time::Duration;

use crate::config::Timing;
use crate::consensus::Consensus;
use crate::consensus::leadership::route::Route;

/// Longest wait for the answer to a heartbeat. The engine looks five times as often whether
/// an election is due, and no less often than every fifth of a second.
const ANSWER_MAX_MS: u64 = 1_000;

/// How long the engine waits for the answer to a heartbeat, in milliseconds: well below the
/// time after which a leader that nobody has answered is none any more.
pub fn answer_max_ms(timing: &Timing) -> u64 {
    (timing.election_timeout_min_ms * 2 / 3).min(ANSWER_MAX_MS)
}

impl Consensus {
    /// Sends heartbeats while this node leads. Never ends by itself.
    pub(in crate::consensus) async fn send_heartbeats(self, interval: Duration) {
        let leads = |route: Option<Route>| matches!(route, Some(Route::Here(_)));
        loop {
            self.0.router.until(leads).await;
            if let Err(error) = self.0.raft.trigger().heartbeat().await {
                return tracing::debug!(%error, "no more heartbeats: consensus has stopped");
            }
            tokio::time::sleep(interval).await;
        }
    }
}
