//! Writing a snapshot.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};

use super::super::files::{Failure, failed_call, sync_folder};
use super::super::on_worker;
use super::super::record::{self, Frame};
use super::{CHUNK_BYTES, End, Inner, Totals};
use crate::error::{Error, ErrorCode, Result};
use crate::host::DiskFile;

/// After so many bytes what is written is synced. One sync of everything at the
/// end would keep the disk busy for seconds, and the log's own syncs with it.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

/// A snapshot that is being written. Dropped unfinished, it leaves a temporary
/// file, which goes when the directory is opened again; better abandon it.
///
/// After an error the snapshot cannot be finished and is to be abandoned.
pub struct SnapshotWriter {
    inner: Arc<Inner>,
    last_index: u64,
    path: PathBuf,
    /// `None` while a worker has it, hence also after a failure.
    file: Option<Box<dyn DiskFile>>,
    buffer: BytesMut,
    hasher: crc32fast::Hasher,
    records: u64,
    bytes: u64,
    unsynced_bytes: u64,
}

impl SnapshotWriter {
    pub(super) async fn begin(inner: Arc<Inner>, meta: Bytes, last_index: u64) -> Result<Self> {
        let path = inner.temporary(last_index);
        let (job, job_path) = (inner.clone(), path.clone());
        let file = on_worker(&inner.host, "begin-snapshot", async move {
            let file = job.host.disk.create(&job_path).await;
            file.map_err(|e| failed_call("make", &job_path, &e))
        })
        .await?;
        let mut writer = SnapshotWriter {
            inner,
            last_index,
            path,
            file: Some(file),
            buffer: BytesMut::new(),
            hasher: crc32fast::Hasher::new(),
            records: 0,
            bytes: 0,
            unsynced_bytes: 0,
        };
        writer.push(&record::encode(&meta));
        Ok(writer)
    }

    /// Adds a line: one JSON value.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] or [`ErrorCode::DiskFull`].
    pub async fn line(&mut self, payload: &[u8]) -> Result<()> {
        self.push(&record::encode(payload));
        self.records += 1;
        self.write_full_chunk().await
    }

    /// Adds lines as [`super::SnapshotReader::next_raw`] gives them, verifying
    /// each.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] when a record is broken or not whole;
    /// [`ErrorCode::Io`] or [`ErrorCode::DiskFull`].
    pub async fn raw(&mut self, lines: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < lines.len() {
            let what = match record::frame(&lines[at..]) {
                Ok(Frame::Whole { length, .. }) => {
                    self.push(&lines[at..at + length]);
                    self.records += 1;
                    at += length;
                    continue;
                }
                Ok(Frame::Short) => "it is cut short",
                Err(damage) => damage.what,
            };
            return Err(Error::new(
                ErrorCode::Corrupted,
                format!("record {} of a received snapshot is broken: {what}", self.records + 1),
            ));
        }
        self.write_full_chunk().await
    }

    /// Writes its end and makes all of it durable. Nobody sees it yet.
    ///
    /// # Errors
    /// [`ErrorCode::Io`], [`ErrorCode::DiskFull`] or [`ErrorCode::Unavailable`].
    pub async fn complete(mut self) -> Result<CompleteSnapshot> {
        let end = End { end: Totals::new(self.records, self.bytes, &self.hasher) };
        self.push(&record::encode(&serde_json::to_vec(&end).expect("plain data serializes")));
        self.write(true).await?;
        drop(self.file.take());
        let SnapshotWriter { inner, path, last_index, .. } = self;
        Ok(CompleteSnapshot { inner, path, last_index, renamed: Arc::default() })
    }

    /// Makes it the newest snapshot, durably, and removes older ones.
    ///
    /// # Errors
    /// As [`SnapshotWriter::complete`]. Then the older snapshot is still there, and
    /// this one may be as well.
    pub async fn finish(self) -> Result<()> {
        self.complete().await?.place().await
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when it cannot be removed.
    pub async fn abandon(mut self) -> Result<()> {
        drop(self.file.take());
        let (inner, path) = (self.inner, self.path);
        on_worker(&inner.host.clone(), "abandon-snapshot", async move { inner.remove(path).await })
            .await
    }

    fn push(&mut self, line: &[u8]) {
        self.hasher.update(line);
        self.bytes += line.len() as u64;
        self.buffer.extend_from_slice(line);
    }

    async fn write_full_chunk(&mut self) -> Result<()> {
        match self.buffer.len() >= CHUNK_BYTES {
            true => self.write(false).await,
            false => Ok(()),
        }
    }

    /// Hands the buffer to the disk.
    async fn write(&mut self, sync: bool) -> Result<()> {
        let chunk = self.buffer.split().freeze();
        self.unsynced_bytes += chunk.len() as u64;
        let sync = sync || self.unsynced_bytes >= SYNC_BYTES;
        let path = self.path.clone();
        let Some(mut file) = self.file.take() else {
            let path = path.display();
            return Err(Error::internal(format!("writing {path} failed before or was cancelled")));
        };
        // The share of the lock stays with the job if the caller goes away.
        let inner = self.inner.clone();
        let file = on_worker(&self.inner.host, "write-snapshot", async move {
            let written = file.append(chunk).await;
            written.map_err(|e| failed_call("write", &path, &e))?;
            if sync {
                let synced = file.sync_data().await;
                synced.map_err(|e| Error::from(Failure::of_sync(&path, &e)))?;
            }
            drop(inner);
            Ok(file)
        })
        .await?;
        self.file = Some(file);
        if sync {
            self.unsynced_bytes = 0;
        }
        Ok(())
    }
}

/// A snapshot that is on the disk, whole, and does not count yet. Dropped, it leaves
/// a temporary file as a [`SnapshotWriter`] does.
pub struct CompleteSnapshot {
    inner: Arc<Inner>,
    last_index: u64,
    path: PathBuf,
    /// Shared with the job that does it, which outlives a caller that goes away.
    renamed: Arc<AtomicBool>,
}

impl CompleteSnapshot {
    /// Makes it the newest snapshot, durably, and removes older ones.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]; [`ErrorCode::DiskFull`] or [`ErrorCode::Unavailable`], after
    /// which this can be called again.
    pub async fn place(&self) -> Result<()> {
        let (inner, path, last_index) = (self.inner.clone(), self.path.clone(), self.last_index);
        let renamed = self.renamed.clone();
        on_worker(&self.inner.host, "finish-snapshot", async move {
            let (disk, target) = (&*inner.host.disk, inner.paths.snapshot(last_index));
            if !renamed.load(Ordering::Relaxed) {
                let done = disk.rename(&path, &target).await;
                done.map_err(|e| failed_call("replace", &target, &e))?;
                renamed.store(true, Ordering::Relaxed);
            }
            sync_folder(disk, &inner.paths.snapshots()).await?;
            // The newest stays, which another writer may have finished by now.
            let mut older = inner.indexes().await?;
            older.pop();
            for index in older {
                inner.remove(inner.paths.snapshot(index)).await?;
            }
            Ok(())
        })
        .await
    }
}
