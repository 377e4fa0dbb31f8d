//! What a server took alone, in a backup that no majority confirms.
//!
//! When the other servers are gone for good, that backup is how the last one's messages come
//! into a new cluster, and the log there knows nothing of its outbox. So the entries are
//! settled here, as the log would do it, in a copy of the state that only the backup sees. The
//! outbox stays as it is: should a majority come back after all, it is handed over.
//!
//! # How it fails
//! The copy takes as much memory as the state. There is one at a time, whoever asks, and however
//! soon whoever asked has gone away.

use crate::chat::{Batch, Effects, Restore, State, View};
use crate::error::{Error, Result};
use crate::replica::Inner;
use crate::storage::{Outbox, OutboxList};
use crate::types::Timestamp;

use super::opening::operations;

/// About how many bytes of entries are settled at once.
const PART_BYTES: usize = 1024 * 1024;

/// A view of the state, and what it is of.
pub struct Rescued {
    pub view: View,
    /// The log entry up to which it has the state.
    pub index: u64,
    /// How many changes are in it besides, which no majority has confirmed.
    pub taken_alone: u64,
}

impl Inner {
    /// The state as it would be if the log had taken what the outbox holds.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorCode::Unavailable) while that is done for another, and
    /// when the log has taken some of it meanwhile; those of reading the outbox. Nothing is left
    /// out in silence.
    pub(in crate::replica) async fn with_what_waits(&self) -> Result<Rescued> {
        // What is settled between the two is in both, and counts once.
        let outbox = self.alone.outbox();
        let lists = outbox.as_ref().map(Outbox::lists).unwrap_or_default();
        let (index, view) = self.machine.view();
        let Some(outbox) = outbox.filter(|_| !lists.is_empty()) else {
            return Ok(Rescued { view, index, taken_alone: 0 });
        };
        let busy = |_| Error::unavailable("a copy of its state is being made for another backup");
        let alone = self.alone.0.rescues.clone().try_lock_owned().map_err(busy)?;
        let (at, window) = (self.time.now(), self.config.limits.deduplication_window_entries);
        let copying = self.host.on_worker("backup", async move {
            let mut restore = Restore::new(window);
            for line in view.lines() {
                restore.line(&line)?;
            }
            let mut copy = Copy { state: restore.finish()?, index, at, taken_alone: 0 };
            for list in lists {
                copy.settle(&outbox, &list).await?;
            }
            drop(alone);
            Ok(Rescued { view: copy.state.view(), index, taken_alone: copy.taken_alone })
        });
        copying.await.unwrap_or_else(|| Err(Error::internal("copying the state was cut off")))
    }
}

/// A state beside that of the replica.
struct Copy {
    state: State,
    index: u64,
    at: Timestamp,
    taken_alone: u64,
}

impl Copy {
    async fn settle(&mut self, outbox: &Outbox, held: &OutboxList) -> Result<()> {
        let list = held.list;
        let mut entries = outbox.entries(list, self.state.settled(&list) + 1);
        loop {
            let part = entries.next(PART_BYTES).await?;
            if part.is_empty() {
                break;
            }
            self.taken_alone += part.len() as u64;
            self.index += 1;
            // Whoever follows follows another state.
            let batch = Batch { at: self.at, operations: operations(list, part)? };
            self.state.apply(self.index, &batch, &mut Effects::default());
        }
        // The list is gone when the log has all of it.
        match self.state.settled(&list) >= held.entries {
            true => Ok(()),
            false => Err(Error::unavailable("what it took alone is being handed over just now")),
        }
    }
}
