//! A leader whose own disk does not keep up with those of the others.
//!
//! A majority commits without the leader's disk. So a leader goes on when its own is
//! full or hangs while the others write: it keeps in memory what it cannot write, more
//! and more of it, and acknowledges messages of which it has nothing itself.
//!
//! # The rule
//! A leader that has not on its own disk what was committed [`BEHIND_MAX`] ago gives
//! leadership to a voter that has: one that has just written what it could not.
//!
//! Where the disks of a majority are short nothing commits, so nobody hands over, and
//! leadership does not wander between servers that are all in trouble.
//!
//! # How it fails
//! The former leader cannot save the next leader's vote before its disk is well again,
//! so it takes no part until then: people go on at the others. While it knows that its
//! disk is short it refuses all that would have to be saved first
//! ([`Consensus::check_can_save`]), so that its task is never stuck in it, and adopts
//! nobody. If the disk hangs, its server ends as one that is stuck. If the successor's
//! disk fails in the same moment, the election timeout of the third replica decides. A
//! successor that runs in this very process would end with it, so it is none; while there
//! is no other the leader stays.

use std::time::Duration;

use crate::consensus::Consensus;
use crate::consensus::leadership::route::Route;

/// How old a committed entry may be that the leader has not on its own disk. A sync that
/// takes half a second is slow and nothing is wrong.
const BEHIND_MAX: Duration = Duration::from_secs(1);

impl Consensus {
    /// Keeps the rule that stands at the head of the file. Never ends by itself.
    pub(in crate::consensus) async fn leave_a_disk_behind(self) {
        loop {
            let before = self.metrics();
            tokio::time::sleep(BEHIND_MAX).await;
            let (Some(Route::Here(leadership)), Some(entry)) =
                (self.0.router.route(), before.local_committed)
            else {
                continue;
            };
            // What earlier leaders committed is on this disk, or this node did not lead.
            let committed = entry.index();
            let is_own = *entry.committed_leader_id() == leadership;
            let is_behind = is_own && !self.have_on_disk(committed, |node| node == self.0.node);
            // A leader that has handed over is confirmed by nobody.
            if !is_behind || !self.0.router.is_confirmed() {
                continue;
            }
            let Some(successor) = self.successor(committed) else { continue };
            tracing::warn!(
                to = %successor.replica(),
                "handing leadership over: the disk of this server has not taken for {} ms what \
                 the others have written",
                BEHIND_MAX.as_millis()
            );
            if let Err(error) = self.transfer(successor).await {
                tracing::warn!(%error, "leadership was not handed over");
            }
        }
    }
}
