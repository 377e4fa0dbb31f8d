//! Reading a data directory that another process holds.
//!
//! An owner that comes back does so while a survivor runs its replica: loading
//! takes seconds when there is much, and meanwhile the replica need not be without
//! a process. A server that may have to adopt its neighbour's replica does so too.
//!
//! Nothing is locked and nothing is written. What is read is verified as always.
//! It counts only if the directory, when it is opened and locked later, is still the
//! same one, with the same log up to where it was read.

use std::path::Path;

use bytes::Bytes;

use super::directory::read_identity;
use super::log::PreverifiedLog;
use super::snapshot::latest_unlocked;
use super::{Identity, Paths, SnapshotReader, files, on_worker};
use crate::error::Result;
use crate::host::Host;

/// A directory as seen from outside.
#[derive(Clone)]
pub struct UnlockedDirectory {
    host: Host,
    paths: Paths,
    identity: Identity,
    log: PreverifiedLog,
}

impl UnlockedDirectory {
    /// Reads whose directory it is; `None` when it is empty.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`], [`crate::error::ErrorCode::NewerFormat`],
    /// [`crate::error::ErrorCode::Io`].
    pub async fn open(host: &Host, path: &Path) -> Result<Option<UnlockedDirectory>> {
        let (disk, paths) = (host.disk.clone(), Paths { root: path.to_path_buf() });
        let log = PreverifiedLog::new(host.clone(), paths.clone());
        let identity_paths = paths.clone();
        let identity = on_worker(host, "look-at-directory", async move {
            read_identity(&*disk, &identity_paths).await
        });
        let found = identity.await?;
        Ok(found.map(|identity| UnlockedDirectory { host: host.clone(), paths, identity, log }))
    }

    /// Whose it was when it was opened.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its newest snapshot.
    ///
    /// # Errors
    /// As [`super::Snapshots::latest`].
    pub async fn snapshot(&self) -> Result<Option<SnapshotReader>> {
        latest_unlocked(&self.host, &self.paths).await
    }

    /// Up to where the log is committed, as its holder has noted lately: what
    /// was given to [`super::Log::note_committed`].
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] also when it is just being written.
    pub async fn committed(&self) -> Result<Option<Bytes>> {
        let (disk, path) = (self.host.disk.clone(), self.paths.committed());
        on_worker(&self.host, "read-hint", async move { files::read(&*disk, &path).await }).await
    }

    /// See [`PreverifiedLog::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_log(&mut self, through: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        self.log.read(through, max_bytes).await
    }

    /// See [`PreverifiedLog::verify`].
    ///
    /// # Errors
    /// As there.
    pub async fn verify_log(&mut self, through: u64, max_bytes: usize) -> Result<bool> {
        self.log.verify(through, max_bytes).await
    }

    /// Whose directory it is, and what was read of its log.
    pub fn into_parts(self) -> (Identity, PreverifiedLog) {
        (self.identity, self.log)
    }
}
