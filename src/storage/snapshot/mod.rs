//! Snapshots: the state up to an index, as a file of records.
//!
//! ```text
//! {"length":..,"crc32":"..","data":META}
//! {"length":..,"crc32":"..","data":LINE}                 any number of these
//! {"length":..,"crc32":"..","data":{"end":{"records":2,"bytes":123,"crc32":".."}}}
//! ```
//!
//! META and LINE belong to the owner. The end has the number of lines, the number of
//! bytes before it, and their CRC32, so a snapshot that lost lines is as broken as one
//! with a wrong line.
//!
//! A snapshot is written under a temporary name, synced, and renamed, and the folder is
//! synced. Older ones are removed only then. So a file with the final name was complete
//! at some time: if its end is missing, that is corruption, which is reported and not
//! passed over. The log before it may be purged, and a replica that silently started
//! without its snapshot would have forgotten acknowledged messages.
//!
//! A reader keeps its file open, and reads on undisturbed when a newer snapshot replaces
//! it.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::reader::SnapshotReader;
pub use self::writer::{CompleteSnapshot, SnapshotWriter};

use super::files::{failed_call, sync_folder};
use super::lock::LockShare;
use super::{DataDirectory, Paths, index_of_name, on_worker};
use crate::error::Result;
use crate::host::Host;

/// Bytes per write and per read.
const CHUNK_BYTES: usize = 256 * 1024;

/// The payload of the last record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    end: Totals,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    /// Lines between meta and end.
    records: u64,
    /// Bytes before the end record.
    bytes: u64,
    /// CRC32 of those bytes, in hexadecimal.
    crc32: String,
}

impl Totals {
    fn new(records: u64, bytes: u64, hasher: &crc32fast::Hasher) -> Totals {
        Totals { records, bytes, crc32: format!("{:08x}", hasher.clone().finalize()) }
    }
}

/// The snapshots of one directory. Clones are the same ones.
///
/// Each clone, reader and writer owns a share of the directory's lock.
#[derive(Clone)]
pub struct Snapshots {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    paths: Paths,
    /// Held as long as anyone reads or writes a snapshot; `None` where somebody
    /// only reads in a directory that another process holds.
    _lock: Option<LockShare>,
    /// Tells apart writers at work at the same time.
    started: AtomicU64,
}

impl Snapshots {
    /// Opens the snapshots of a directory; removes what was never finished.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`] or [`crate::error::ErrorCode::DiskFull`].
    /// A directory without identity is refused.
    pub async fn open(directory: &DataDirectory) -> Result<Snapshots> {
        directory.require_identity()?;
        let inner = Arc::new(Inner {
            host: directory.host.clone(),
            paths: directory.paths.clone(),
            _lock: Some(directory.lock.clone()),
            started: AtomicU64::new(0),
        });
        let (job, lock) = (inner.clone(), directory.lock.clone());
        on_worker(&directory.host, "open-snapshots", async move {
            let (disk, folder) = (&*job.host.disk, job.paths.snapshots());
            let made = disk.create_dir_all(&folder).await;
            made.map_err(|e| failed_call("make the folder", &folder, &e))?;
            for name in job.names().await?.iter().filter(|name| name.ends_with(".tmp")) {
                job.remove(folder.join(name)).await?;
            }
            // A predecessor may have died between a rename and its sync.
            for folder in [&folder, &job.paths.root] {
                if let Err(failure) = sync_folder(disk, folder).await {
                    return Err(lock.mark_if_broken(&job.paths.root, failure).await);
                }
            }
            Ok(())
        })
        .await?;
        Ok(Snapshots { inner })
    }

    /// Starts a snapshot of the state up to `last_index`. `meta` is one JSON
    /// value. Nothing is visible before [`SnapshotWriter::finish`].
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`] or [`crate::error::ErrorCode::DiskFull`].
    pub async fn begin(&self, meta: Bytes, last_index: u64) -> Result<SnapshotWriter> {
        SnapshotWriter::begin(self.inner.clone(), meta, last_index).await
    }

    /// Opens the newest snapshot; `None` when there is none.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] when its meta or end is broken
    /// (its lines are verified as they are read), [`crate::error::ErrorCode::Io`].
    pub async fn latest(&self) -> Result<Option<SnapshotReader>> {
        latest(self.inner.clone()).await
    }
}

/// The newest snapshot of a directory that another process holds.
///
/// # Errors
/// As [`Snapshots::latest`].
pub(super) async fn latest_unlocked(host: &Host, paths: &Paths) -> Result<Option<SnapshotReader>> {
    let (host, paths) = (host.clone(), paths.clone());
    latest(Arc::new(Inner { host, paths, _lock: None, started: AtomicU64::new(0) })).await
}

async fn latest(inner: Arc<Inner>) -> Result<Option<SnapshotReader>> {
    on_worker(&inner.host.clone(), "open-snapshot", async move {
        loop {
            let Some(last_index) = inner.indexes().await?.pop() else { return Ok(None) };
            match SnapshotReader::open(inner.clone(), last_index).await? {
                Some(reader) => return Ok(Some(reader)),
                // Replaced by a newer one since the folder was listed.
                None => continue,
            }
        }
    })
    .await
}

impl Inner {
    async fn names(&self) -> Result<Vec<String>> {
        let folder = self.paths.snapshots();
        self.host.disk.list(&folder).await.map_err(|e| failed_call("list", &folder, &e))
    }

    /// The last indexes of finished snapshots, ascending.
    async fn indexes(&self) -> Result<Vec<u64>> {
        Ok(self.names().await?.iter().filter_map(|name| index_of_name(name)).collect())
    }

    async fn remove(&self, path: PathBuf) -> Result<()> {
        match self.host.disk.remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed_call("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    fn temporary(&self, last_index: u64) -> PathBuf {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        self.paths.snapshots().join(format!("{last_index:020}.{number}.tmp"))
    }
}
