//! Says in the log what time it is, by which messages are kept or go.
//!
//! The head of `chat/keeping.rs` tells which time that is: one that the clocks of a majority
//! of the voters confirm. Replicas tell each other their clocks
//! ([`super::clocks`]); the leader alone writes it, and only where the state says that it
//! changes something: once a day for messages that came since, and while any are to go. A
//! leader that knows the clocks of no majority writes nothing.
//!
//! If it fails, the next look tries again, perhaps that of another leader. Each entry is true
//! by itself, so it does no harm when one comes late or twice.

use std::sync::Weak;

use tokio::time::{Instant, sleep};

use super::{Inner, Phase};
use crate::chat::{Action, Operation, Outcome};
use crate::consensus::{Applied, Sequence};
use crate::error::{Error, Result};
use crate::limits::{CLOCK_LOOK_INTERVAL, LEVEL_OF_KEEPING};

/// Looks from time to time, until the replica stops.
pub async fn watch(replica: Weak<Inner>) {
    loop {
        // Clocks are heard of no more often.
        sleep(CLOCK_LOOK_INTERVAL).await;
        loop {
            let Some(inner) = replica.upgrade() else { return };
            if matches!(*inner.phase.borrow(), Phase::Stopped) {
                return;
            }
            match inner.note_time().await {
                // Perhaps there is more to do, and one entry after the other does it: what
                // users send comes in between.
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(%error, "the time was not noted yet");
                    break;
                }
            }
        }
    }
}

impl Inner {
    /// On a leader: writes what time it is, if that changes something; whether it did.
    pub(super) async fn note_time(&self) -> Result<bool> {
        let consensus = self.consensus()?;
        if !consensus.leads() || self.feature_level() < LEVEL_OF_KEEPING {
            return Ok(false);
        }
        // Before the clocks are looked at: it was stored by then.
        let seq = self.machine.look(|look| look.last_seq());
        let confirmed = self.time.confirmed(&consensus.voters(), self.config.id);
        let Some(at) = confirmed.filter(|at| self.machine.look(|look| look.heeds_time(*at))) else {
            return Ok(false);
        };
        let operation = Operation { id: self.host.uuid(), action: Action::NoteTime { seq, at } };
        let deadline = Instant::now() + CLOCK_LOOK_INTERVAL;
        match consensus.propose(operation, deadline, &Sequence::default()).await? {
            Applied { outcome: Outcome::Done, .. } => Ok(true),
            Applied { outcome, .. } => {
                Err(Error::internal(format!("noting the time: {outcome:?}")))
            }
        }
    }
}
