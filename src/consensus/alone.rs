//! What a node without a majority has to know of itself: whether one is there, and what its
//! own log holds beyond its state.
//!
//! Nothing here changes the log or takes part in an election. A node that takes messages
//! alone keeps them elsewhere, and proposes them when a majority is back.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::Consensus;
use crate::chat::Operation;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::planted::{self, Bug};

impl Consensus {
    /// Returns once a majority has confirmed who leads, after this was asked. Unlike
    /// [`Consensus::confirm`] it does not wait for this node's state.
    ///
    /// # Errors
    /// [`ErrorCode::ReadNotConfirmed`], naming who is missing.
    pub async fn ask_majority(&self, deadline: Instant) -> Result<()> {
        self.0.reader.ask_majority(deadline).await
    }

    /// How often, since it was started, a leader was heard of; `None` while the state lacks
    /// something that one said is committed.
    pub fn led(&self) -> Option<u64> {
        let led = self.0.led.load(Ordering::Acquire);
        let committed = self.0.leader_committed.load(Ordering::Relaxed);
        (self.0.machine.applied_index() >= committed).then_some(led)
    }

    /// How many replicas vote.
    pub fn replicas(&self) -> u32 {
        self.0.router.replicas()
    }

    /// Whether the state is one that a majority has confirmed, and the node a voter that holds
    /// to it. Not so: a learner, a node that takes the place of a former self, one whose log
    /// has lost its end, and one that has applied nothing.
    pub fn has_confirmed_state(&self) -> bool {
        let (applied, _) = self.0.machine.position();
        applied.is_some() && self.is_voter() && !self.replaces_another() && !self.abstains()
    }

    /// Makes durable that all which the state contains is committed, so that the state does
    /// not go back when the process starts again. Returns the index of the last entry in it.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn sync_applied(&self) -> Result<u64> {
        let (applied, _) = self.0.machine.position();
        let Some(applied) = applied else { return Ok(0) };
        if planted::is(Bug::ForgetHowFarTheStateGoes) {
            return Ok(applied.index());
        }
        self.0.store.sync_committed(applied).await?;
        Ok(applied.index())
    }

    /// What was asked for in entries of the own log that the state does not contain, in order.
    /// Some of it may be committed, and some of it was perhaps never seen by anybody else.
    ///
    /// # Errors
    /// Those of reading the log.
    pub async fn unapplied(&self) -> Result<Vec<Operation>> {
        if planted::is(Bug::LeaveTheEndOfTheLog) {
            return Ok(Vec::new());
        }
        self.0.store.operations_behind(self.0.machine.applied_index()).await
    }
}
