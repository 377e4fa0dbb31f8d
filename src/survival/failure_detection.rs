//! Whether a neighbour's process is gone.
//!
//! When a process dies the kernel frees its memory first and closes its files then, in
//! the order of their numbers. So its lock may be free a moment after its connections
//! are closed, or before. Mostly that is tenths of a millisecond, so the lock is polled
//! several times in a row, then every millisecond for a while, and then less often for as
//! long as the neighbour does not answer. Polling shares the lock for a moment, which
//! cannot be mistaken for holding it.
//!
//! There is no lock to poll of a neighbour on another host, or of one that was never
//! met. The next best evidence is that nobody listens at its address any more. It is
//! good enough to elect without waiting, as an election is always safe, and never good
//! enough to adopt. A machine that has lost its power refuses nothing: then the evidence
//! is that it acknowledges nothing any more, on which more than one must agree.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Hosting;
use crate::consensus::Loss;
use crate::storage::{Neighbour, is_free};
use crate::types::ReplicaId;

/// Looks without a pause; each takes about a tenth of a millisecond.
const LOOKS_IN_A_ROW: u32 = 16;

/// Between two looks after that. Timers are no finer.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// So many looks, those in a row included, before the pause grows to [`LATER_PAUSE`].
const LOOKS: u32 = 66;

/// Between two looks afterwards.
const LATER_PAUSE: Duration = Duration::from_millis(20);

/// What is known of a neighbour whose connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its lock is free: its process is dead.
    LockFree,
    /// Nobody listens at its address.
    Refused,
    /// Its machine acknowledges nothing: it is gone, or the way to it.
    Silent,
}

/// A neighbour of whom there is evidence.
pub struct Gone {
    /// What it is.
    pub evidence: Evidence,
    /// Since when.
    pub since: Instant,
}

impl Gone {
    /// What that is for whoever followed it.
    pub fn loss(&self, leader: ReplicaId) -> Loss {
        match self.evidence {
            Evidence::LockFree | Evidence::Refused => Loss::Process,
            Evidence::Silent => Loss::Machine(leader),
        }
    }
}

/// Looks until there is evidence, or the neighbour answers again (`None`).
pub async fn gather(hosting: &Hosting, peer: ReplicaId) -> Option<Evidence> {
    let own = hosting.own_replica();
    let neighbour = own.neighbour(peer).await;
    let mut looks = 0;
    while !own.reaches(peer) {
        if let Some(neighbour) = &neighbour
            && let Some(free) = look_at_lock(hosting, neighbour).await
        {
            if free {
                return Some(Evidence::LockFree);
            }
            // It is held: the process is ending, frozen, or starting again.
        } else if own.is_gone(peer) {
            return Some(Evidence::Refused);
        } else if own.is_silent(peer) {
            return Some(Evidence::Silent);
        }
        looks += 1;
        if looks < LOOKS_IN_A_ROW {
            tokio::task::yield_now().await;
        } else {
            sleep(if looks < LOOKS { LOOK_PAUSE } else { LATER_PAUSE }).await;
        }
    }
    None
}

/// Whether a neighbour does not answer and its lock is free at this moment.
pub async fn is_dead(hosting: &Hosting, peer: ReplicaId) -> bool {
    if hosting.own_replica().reaches(peer) {
        return false;
    }
    match hosting.own_replica().neighbour(peer).await {
        Some(neighbour) => look_at_lock(hosting, &neighbour).await == Some(true),
        None => false,
    }
}

async fn look_at_lock(hosting: &Hosting, neighbour: &Neighbour) -> Option<bool> {
    let (disk, location) = (hosting.0.host.disk.clone(), neighbour.location.clone());
    hosting.0.host.on_worker("neighbour", async move { is_free(&*disk, &location).await }).await?
}
