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
//! so it takes no part until then: people go on at the others. If that disk hangs, its
//! server ends as one that is stuck. If the successor's disk fails in the same moment,
//! the election timeout of the third replica decides. A successor that runs in this very
//! process would end with it, so it is none; while there is no other the leader stays.

use std::time::Duration;

use crate::consensus::Consensus;

/// How old a committed entry may be that the leader has not on its own disk. A sync that
/// takes half a second is slow and nothing is wrong.
const BEHIND_MAX: Duration = Duration::from_secs(1);

impl Consensus {
    /// Keeps the rule that stands at the head of the file. Never ends by itself.
    pub(in crate::consensus) async fn leave_a_disk_behind(self) {
        loop {
            let before = self.metrics();
            tokio::time::sleep(BEHIND_MAX).await;
            let Some(committed) = before.local_committed.map(|entry| entry.index()) else {
                continue;
            };
            let leads = self.leads() && self.metrics().current_term == before.current_term;
            if !leads || self.have_on_disk(committed, |node| node == self.0.node) {
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
