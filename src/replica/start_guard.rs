//! What a start has opened so far, so that it can be stopped at any moment.
//!
//! A start that is to end is cut short wherever it waits. By then the state may
//! hold a share of the directory's lock, or consensus may be running already
//! although nobody has it yet. Neither ends by itself, and a server that is to
//! stop would wait for them for ever.

use std::sync::Arc;

use super::Inner;
use crate::consensus::{Consensus, NodeParts, Stored};
use crate::error::Result;
use crate::storage::Identity;
use crate::sync::Mutex;

/// See the head of the file. Clones are the same start.
#[derive(Clone, Default)]
pub struct StartGuard(Arc<Mutex<Stage>>);

#[derive(Default)]
enum Stage {
    /// There is at most a state, which may have the directory.
    #[default]
    Unloaded,
    /// Consensus runs, and only the start knows it.
    Loaded(Consensus),
    /// The replica has it, and stops it when it stops.
    HandedOver,
}

impl StartGuard {
    /// Loads snapshot and log, and starts consensus.
    ///
    /// # Errors
    /// As [`Consensus::start`].
    pub async fn load(
        &self,
        inner: &Inner,
        identity: &Identity,
        stored: Stored,
    ) -> Result<Consensus> {
        let host_node = inner.host_consensus();
        let parts = NodeParts {
            node: identity.node(),
            timing: inner.config.timing,
            limits: &inner.config.limits,
            machine: inner.machine.clone(),
            links: inner.links.clone(),
            time: inner.time.clone(),
            host_node: host_node.as_ref(),
        };
        let consensus = Consensus::start(&inner.host, stored, parts).await?;
        self.replace(Stage::Loaded(consensus.clone()));
        Ok(consensus)
    }

    /// The replica runs, and whoever stops it stops consensus.
    pub fn hand_over(&self) {
        self.replace(Stage::HandedOver);
    }

    /// Stops and closes what there is, unless it was handed over.
    pub async fn abandon(&self, inner: &Inner) {
        match self.replace(Stage::Unloaded) {
            Stage::Unloaded => inner.machine.detach(),
            Stage::Loaded(consensus) => consensus.stop().await,
            Stage::HandedOver => self.hand_over(),
        }
    }

    fn replace(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *self.0.lock(), stage)
    }
}
