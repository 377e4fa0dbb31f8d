//! What a server took alone, in a backup that no majority confirms.
//!
//! When the other servers are gone for good, that backup is how the last one's messages come
//! into a new cluster, and the log there knows nothing of its outbox. So the entries are
//! settled here, as the log would do it, in a copy of the state that only the backup sees. The
//! outbox stays as it is: should a majority come back after all, it is handed over.

use crate::chat::{Batch, Effects, Operation, Restore, View};
use crate::error::{Error, Result};
use crate::replica::Inner;
use crate::storage::ListedEntry;
use crate::types::Place;

use super::opening::read_entry;

/// About how many bytes of entries are settled at once.
const PART_BYTES: usize = 1024 * 1024;

impl Inner {
    /// The state as it would be if the log had taken what the outbox holds, and how many
    /// changes that is. It needs room for a second state where there are any.
    ///
    /// # Errors
    /// Those of reading the outbox: nothing is left out.
    pub(in crate::replica) async fn with_what_waits(&self, view: View) -> Result<(View, u64)> {
        let Some(outbox) = self.alone.outbox().filter(|outbox| !outbox.lists().is_empty()) else {
            return Ok((view, 0));
        };
        let (at, mut index) = (self.time.now(), self.machine.applied_index());
        let window = self.config.limits.deduplication_window_entries;
        let settling = self.host.on_worker("backup", async move {
            let mut restore = Restore::new(window);
            for line in view.lines() {
                restore.line(&line)?;
            }
            let (mut state, mut count) = (restore.finish()?, 0);
            for held in outbox.lists() {
                let list = held.list;
                let mut entries = outbox.entries(list, state.settled(&list) + 1);
                loop {
                    let part = entries.next(PART_BYTES).await?;
                    if part.is_empty() {
                        break;
                    }
                    count += part.len() as u64;
                    let operation = |ListedEntry { n, entry }| {
                        Ok(read_entry(list, n, &entry)?.delivery(Place { list, number: n }))
                    };
                    let operations = part.into_iter().map(operation);
                    let operations = operations.collect::<Result<Vec<Operation>>>()?;
                    index += 1;
                    // Whoever follows follows another state.
                    state.apply(index, &Batch { at, operations }, &mut Effects::default());
                }
            }
            Ok((state.view(), count))
        });
        settling.await.unwrap_or_else(|| Err(Error::internal("settling was cut off")))
    }
}
