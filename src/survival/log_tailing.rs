//! Verifies the neighbours' logs while the neighbours live.
//!
//! A server that adopts a replica opens its log and verifies every record of it. That
//! takes milliseconds and grows with the log, and nobody can write meanwhile. So each
//! server tails the logs of its neighbours: it verifies a little at a time until it is
//! up to date, then once a second, and more often while a neighbour is dead and another
//! may be next. What is committed does not change any more, so an adoption has only the
//! last moments left to verify.
//!
//! What was verified counts only if the directory, once locked, still belongs to the same
//! incarnation. A log that cannot be read is left for later: the adoption says what is wrong
//! with it.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Hosting;
use crate::error::Result;
use crate::replica::{Preloaded, VerifiedLog};
use crate::sync::Mutex;
use crate::types::ReplicaId;

/// Bytes that are verified in one go: about two milliseconds of one core.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Between two steps while there is more: so many times as long as a step took, as
/// others need the processors as well, and at least [`STEP_PAUSE_MIN`].
const STEP_PAUSES: u32 = 2;

/// At least between two steps.
const STEP_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Between two looks for more while somebody is dead.
const ALERT_PAUSE: Duration = Duration::from_millis(100);

/// Between two looks for more.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Before a log that could not be read is looked at again.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

/// What has been verified, by replica.
#[derive(Default)]
pub struct Verified(Mutex<BTreeMap<ReplicaId, VerifiedLog>>);

impl Verified {
    /// What is known of a replica's log that is adopted now. It is kept as well:
    /// once the replica is given back, its owner may die again before all of the
    /// log was read anew.
    pub fn of(&self, replica: ReplicaId) -> Preloaded {
        self.logs().get(&replica).cloned().map_or(Preloaded::Nothing, Preloaded::Log)
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, VerifiedLog>> {
        self.0.lock()
    }
}

/// Reads along with one neighbour until the server stops.
pub async fn tail_log(hosting: Hosting, peer: ReplicaId) {
    let mut stopped = hosting.0.stopped.subscribe();
    let reading = async {
        loop {
            let begun = Instant::now();
            let pause = match step(&hosting, peer).await {
                Ok(true) => STEP_PAUSE_MIN.max(begun.elapsed() * STEP_PAUSES),
                Ok(false) if hosting.misses_anybody() => ALERT_PAUSE,
                Ok(false) => LOOK_PAUSE,
                Err(error) => {
                    tracing::debug!(%peer, %error, "a neighbour's log cannot be read along");
                    FAILED_PAUSE
                }
            };
            sleep(pause).await;
        }
    };
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = reading => {}
    }
}

/// Verifies a little more of a neighbour's log, where it may be adopted one day.
/// Returns whether there may be more.
async fn step(hosting: &Hosting, peer: ReplicaId) -> Result<bool> {
    let own = hosting.own_replica();
    if !hosting.adopts() || hosting.is_adopted(peer) || !own.adoptable().contains(&peer) {
        return Ok(false);
    }
    let Some(neighbour) = own.neighbour(peer).await else { return Ok(false) };
    // A copy is extended. If the neighbour dies meanwhile, an adoption still finds the
    // original.
    let known = hosting.0.verified.logs().get(&peer).cloned();
    let log = match known.filter(|log| log.node() == neighbour.node()) {
        Some(log) => Some(log),
        None => VerifiedLog::of(&hosting.0.host, &neighbour.location.path).await?,
    };
    let Some(mut log) = log else { return Ok(false) };
    let more = log.verify_more(STEP_BYTES).await;
    let mut logs = hosting.0.verified.logs();
    match &more {
        Ok(_) => drop(logs.insert(peer, log)),
        // Begins anew: the log may have lost its beginning to a snapshot.
        Err(_) => drop(logs.remove(&peer)),
    }
    more
}
