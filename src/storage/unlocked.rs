//! Reading a data directory that another process holds, as an owner does that
//! comes back while a survivor runs its replica: loading takes seconds when
//! there is much, and the replica need not be without a process meanwhile. Or
//! as a server does that may have to go on in a neighbour's place.
//!
//! Nothing is locked and nothing is written. What is read is verified as ever.
//! It counts only if, when the directory is opened at last, it is still the
//! same one, with the same log up to where it was read.

use std::path::Path;

use bytes::Bytes;

use super::directory::read_identity;
use super::log::LogAhead;
use super::snapshot::latest_unlocked;
use super::{Identity, Paths, SnapshotReader, files, on_worker};
use crate::error::Result;
use crate::host::Host;

/// A directory as seen from outside.
#[derive(Clone)]
pub struct DirectoryAhead {
    host: Host,
    paths: Paths,
    identity: Identity,
    log: LogAhead,
}

impl DirectoryAhead {
    /// Looks at a directory; `None` when it is empty.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`], [`crate::error::ErrorCode::NewerFormat`],
    /// [`crate::error::ErrorCode::Io`].
    pub async fn look(host: &Host, path: &Path) -> Result<Option<DirectoryAhead>> {
        let (disk, paths) = (host.disk.clone(), Paths { root: path.to_path_buf() });
        let log = LogAhead::new(host.clone(), paths.clone());
        let looked = paths.clone();
        let identity =
            on_worker(
                host,
                "look-at-directory",
                async move { read_identity(&*disk, &looked).await },
            );
        let found = identity.await?;
        Ok(found.map(|identity| DirectoryAhead { host: host.clone(), paths, identity, log }))
    }

    /// Whose it was when it was looked at.
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

    /// See [`LogAhead::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_log(&mut self, through: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        self.log.read(through, max_bytes).await
    }

    /// See [`LogAhead::verify`].
    ///
    /// # Errors
    /// As there.
    pub async fn verify_log(&mut self, through: u64, max_bytes: usize) -> Result<bool> {
        self.log.verify(through, max_bytes).await
    }

    /// Whose directory it is, and what was read of its log.
    pub fn into_parts(self) -> (Identity, LogAhead) {
        (self.identity, self.log)
    }
}
