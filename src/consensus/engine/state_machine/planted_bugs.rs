//! Only with planted bugs. After a restart the last entry is applied once more, past
//! the de-duplication that would notice it; and the state learns which program
//! applies.

use std::sync::atomic::Ordering;

use openraft::storage::RaftLogReader;

use super::Machine;
use crate::chat::Effects;
use crate::consensus::engine::log_store::LogStore;
use crate::consensus::types::EntryPayload;
use crate::error::{Error, Result};
use crate::types::Uuid;

impl Machine {
    /// Its program knows this feature level.
    pub fn is_of_program(&self, level_known: u32) {
        self.0.level_known.store(level_known, Ordering::Relaxed);
        self.pass_level_to_state();
    }

    /// Passes the level that its program knows on to a new state.
    pub(super) fn pass_level_to_state(&self) {
        let level_known = self.0.level_known.load(Ordering::Relaxed);
        let state = &mut self.0.shown.write().state;
        state.set_level_known(level_known);
    }

    /// Applies what the state contains last a second time, under other ids.
    ///
    /// # Errors
    /// Those of reading the log.
    pub async fn apply_again(&self, store: &LogStore) -> Result<()> {
        let index = self.applied_index();
        let read = store.clone().try_get_log_entries(index..=index).await;
        for entry in read.map_err(|error| Error::internal(error.to_string()))? {
            if let (EntryPayload::Normal(proposal), false) = (&entry.payload, self.0.adopted) {
                let mut batch = proposal.batch()?.clone();
                for operation in &mut batch.operations {
                    operation.id = Uuid::from_u128(operation.id.as_u128() ^ 1);
                }
                let state = &mut self.0.shown.write().state;
                state.apply(index, &batch, &mut Effects::default());
            }
        }
        Ok(())
    }
}
