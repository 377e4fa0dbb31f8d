//! Writing a snapshot of the state while it changes.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::RaftSnapshotBuilder;
use tokio::sync::oneshot;

use super::{Machine, Position, Snapshot, SnapshotData};
use crate::chat::View;
use crate::consensus::types::{SnapshotMeta, TypeConfig};
use crate::error::{Error, Result};
use crate::limits::SNAPSHOT_PART_BYTES;
use crate::storage::{SnapshotReader, Snapshots};

/// Pause before a snapshot is tried again for which there was no room, or no
/// descriptor.
pub(super) const SHORTAGE_RETRY: Duration = Duration::from_secs(1);

/// Writes one snapshot from a view of the state.
pub struct Builder {
    machine: Machine,
    view: Option<View>,
    position: Position,
}

impl Builder {
    /// A builder that writes this view, which is the state at this place in the log.
    pub(super) fn new(machine: Machine, view: View, position: Position) -> Builder {
        Builder { machine, view: Some(view), position }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        if self.machine.0.adopted {
            return self.copy().await.map_err(|error| self.machine.0.faults.note(error));
        }
        let view =
            self.view.take().ok_or_else(|| io::Error::other("this view was written already"))?;
        let meta = SnapshotMeta {
            last_log_id: self.position.applied,
            last_membership: self.position.membership.clone(),
        };
        let snapshots =
            self.machine.snapshots().map_err(|error| self.machine.0.faults.note(error))?;
        let payload = Bytes::from(serde_json::to_vec(&meta).expect("plain data serializes"));
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index());
        let (send, receive) = oneshot::channel();
        let job = async move {
            let written = loop {
                match write(&snapshots, &payload, index, &view).await {
                    // For openraft a failed snapshot is the end of the node. A
                    // full disk is not: the log is there, and room comes back.
                    Err(error) if error.retryable() && !send.is_closed() => {
                        tracing::warn!(%error, "a snapshot cannot be written now; trying again");
                        tokio::time::sleep(SHORTAGE_RETRY).await;
                    }
                    written => break written,
                }
            };
            // The receiver is gone when the replica was stopped meanwhile.
            let _ = send.send(written);
        };
        self.machine.0.host.workers.spawn_patient("snapshot-write", Box::pin(job));
        let reader = receive
            .await
            .map_err(|_| io::Error::other("writing a snapshot was cut off"))?
            .map_err(|error| self.machine.0.faults.note(error))?
            .ok_or_else(|| io::Error::other("the snapshot just written is gone"))?;
        self.machine.has_newest(&reader, &meta);
        Ok(Snapshot { meta, snapshot: SnapshotData::Stored(reader) })
    }
}

impl Builder {
    /// Copies the snapshot that was offered, or gives the one that is there.
    async fn copy(&self) -> Result<Snapshot> {
        let offered = self.machine.0.offered.lock().take();
        if let Some(reader) = offered {
            match self.copy_from(reader).await {
                Err(error) if error.retryable() => not_copied(&error),
                copied => copied?,
            }
        }
        let missing = || Error::unavailable("there is no snapshot to copy yet");
        let reader = self.machine.open_latest().await?.ok_or_else(missing)?;
        let meta = Machine::parse_meta(reader.meta())?;
        self.machine.has_newest(&reader, &meta);
        Ok(Snapshot { meta, snapshot: SnapshotData::Stored(reader) })
    }

    async fn copy_from(&self, mut offered: SnapshotReader) -> Result<()> {
        let meta = Bytes::copy_from_slice(offered.meta());
        let index = Machine::parse_meta(&meta)?.last_log_id.map_or(0, |log_id| log_id.index());
        let mut writer = self.machine.snapshots()?.begin(meta, index).await?;
        let copied = async {
            while let Some(lines) = offered.next_raw(SNAPSHOT_PART_BYTES).await? {
                for line in lines {
                    writer.raw(&line).await?;
                }
            }
            Ok(())
        };
        match copied.await {
            Ok(()) => writer.finish().await,
            Err(error) => {
                not_copied(&error);
                writer.abandon().await
            }
        }
    }
}

/// The log stays longer, that is all.
fn not_copied(error: &Error) {
    tracing::warn!(%error, "no snapshot was copied for an adopted replica");
}

/// Writes a snapshot, or leaves nothing of it behind.
async fn write(
    snapshots: &Snapshots,
    meta: &Bytes,
    index: u64,
    view: &View,
) -> Result<Option<SnapshotReader>> {
    let mut writer = snapshots.begin(meta.clone(), index).await?;
    for line in view.lines() {
        if let Err(error) = writer.line(&line).await {
            writer.abandon().await?;
            return Err(error);
        }
    }
    writer.finish().await?;
    snapshots.latest().await
}
