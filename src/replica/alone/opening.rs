//! The outbox of the directory that the replica runs on: opened with it, closed with it.

use std::sync::atomic::Ordering;

use super::Alone;
use crate::chat::{Operation, Taken};
use crate::error::{Error, ErrorCode, Result};
use crate::replica::Inner;
use crate::storage::{DataDirectory, FatalHandler, ListedEntry, Outbox, OutboxBounds};
use crate::types::{Place, Uuid};

/// About how many bytes of entries are read at once.
const PART_BYTES: usize = 1024 * 1024;

impl Alone {
    /// Closes the outbox, so that the directory can be closed, or set aside.
    pub(in crate::replica) async fn close(&self) {
        // Those that wait for work see that there is none.
        self.0.signs.hand_over.notify_one();
        self.0.signs.held.notify_one();
        let outbox = self.0.outbox.lock().take();
        if let Some(outbox) = outbox
            && let Err(error) = outbox.close().await
        {
            tracing::error!(%error, "the outbox was not closed cleanly");
        }
    }
}

impl Inner {
    /// Opens the outbox.
    ///
    /// # Errors
    /// As [`Outbox::open`].
    pub(in crate::replica) async fn open_outbox(
        &self,
        directory: &DataDirectory,
        fatal: FatalHandler,
    ) -> Result<()> {
        let outbox = Outbox::open(directory, OutboxBounds::default(), fatal).await?;
        for unusable in outbox.unusable() {
            tracing::error!("{}", unusable.sentence);
        }
        *self.alone.0.outbox.lock() = Some(outbox);
        self.alone.0.opened.send_replace(true);
        self.alone.0.signs.hand_over.notify_one();
        Ok(())
    }

    /// Shows what an earlier process has left in the outbox, once there is a state.
    pub(in crate::replica) async fn show_outbox(&self) {
        let Some(outbox) = self.alone.outbox() else { return };
        for held in outbox.lists() {
            let settled = self.machine.look(|look| look.settled(&held.list));
            if settled >= held.entries {
                // The state that says so may go back, until its end is durable.
                continue;
            }
            self.alone.0.signs.holds.store(true, Ordering::Relaxed);
            if let Err(error) = self.show(&outbox, held.list, settled).await {
                // The rest of the server can do its duty.
                tracing::error!(list = %held.list, %error, "a list of the outbox is not shown");
            }
        }
    }

    /// How many entries the outbox holds of which the state does not say that they are settled.
    pub(in crate::replica) fn held_unsettled(&self) -> u64 {
        let Some(outbox) = self.alone.outbox() else { return 0 };
        if self.host_replica.is_none() {
            return outbox.size().unsettled;
        }
        let lists = outbox.lists();
        self.speaker().machine.look(|look| {
            let left = lists.iter().map(|it| it.entries.saturating_sub(look.settled(&it.list)));
            left.sum()
        })
    }

    async fn show(&self, outbox: &Outbox, list: Uuid, settled: u64) -> Result<()> {
        let mut entries = outbox.entries(list, settled + 1);
        loop {
            let part = entries.next(PART_BYTES).await?;
            if part.is_empty() {
                return Ok(());
            }
            let part: Vec<(u64, Taken)> = part
                .into_iter()
                .map(|ListedEntry { n, entry }| Ok((n, read_entry(list, n, &entry)?)))
                .collect::<Result<_>>()?;
            self.machine.change_overlay(|overlay| {
                for (number, taken) in part {
                    overlay.load(Place { list, number }, taken);
                }
            });
        }
    }
}

/// What the log is to be told of entries of a list.
///
/// # Errors
/// Those of [`read_entry`].
pub(super) fn operations(list: Uuid, entries: Vec<ListedEntry>) -> Result<Vec<Operation>> {
    let operation = |ListedEntry { n, entry }| {
        Ok(read_entry(list, n, &entry)?.delivery(Place { list, number: n }))
    };
    entries.into_iter().map(operation).collect()
}

/// An entry as it was written.
///
/// # Errors
/// [`ErrorCode::Io`], naming the list and the entry: whole bytes that this program cannot
/// understand, though the file says that it can.
pub(super) fn read_entry(list: Uuid, number: u64, entry: &[u8]) -> Result<Taken> {
    serde_json::from_slice(entry).map_err(|error| {
        let message = format!("entry {number} of the list {list} cannot be understood: {error}");
        Error::new(ErrorCode::Io, message)
    })
}
