//! Quarantine: files that cannot be believed are moved aside.

use std::path::PathBuf;

use super::files::{Failure, sync_folder};
use super::lock::{LOCK_FILE, read_lock};
use super::{DataDirectory, OUTBOX_FOLDER, Paths, on_worker, outbox};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::host::Disk;

/// How the names of folders begin in which a replica's damaged files are; a number follows.
pub const SET_ASIDE: &str = "damaged-";

impl DataDirectory {
    /// Whether anything was ever set aside here.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the directory cannot be listed.
    pub async fn has_set_aside(&self) -> Result<bool> {
        let (disk, root) = (self.host.disk.clone(), self.paths.root.clone());
        on_worker(&self.host, "list-directory", async move {
            let names = disk.list(&root).await.map_err(|e| Error::io("list", &root, &e))?;
            Ok(names.iter().any(|name| name.starts_with(SET_ASIDE)))
        })
        .await
    }

    /// Moves everything but `LOCK`, the outbox (and what was set aside before) into a new
    /// folder `damaged-<n>`, whose path it returns. The directory is then
    /// empty, so the replica can come back as a new incarnation. The mark of a
    /// failed fsync is removed with it.
    ///
    /// The identity goes first. After a crash in the middle the rest is a directory
    /// without identity, hence damaged, and is set aside in turn. If the identity
    /// went last, a crash would leave a voter that has forgotten its votes.
    ///
    /// The outbox has entries that are nowhere else, and whichever incarnation may hand
    /// them over. Where the mark is, its files are written anew first, as one of them may
    /// be what the mark is about.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] or [`ErrorCode::DiskFull`] of a failed call, and
    /// [`ErrorCode::Internal`] while a log, snapshot or outbox of this directory is open.
    pub async fn set_aside(&mut self) -> Result<PathBuf> {
        if !self.lock.is_the_only_share() {
            return Err(Error::internal(format!(
                "the log, outbox and snapshots of {} must be closed before it is set aside",
                self.paths.root.display()
            )));
        }
        let (host, paths, lock) = (self.host.clone(), self.paths.clone(), self.lock.clone());
        let folder = on_worker(&host.clone(), "set-aside", async move {
            if read_lock(&*host.disk, &paths.root).await?.poisoned.is_some() {
                outbox::rewrite(&*host.disk, &paths).await?;
            }
            let folder = move_all(&*host.disk, &paths).await?;
            lock.remove_mark().await.map_err(|e| Error::io("write", &paths.lock(), &e))?;
            Ok(folder)
        })
        .await?;
        self.identity = Ok(None);
        tracing::warn!("what was in {} is now in {}", self.path().display(), folder.display());
        Ok(folder)
    }
}

async fn move_all(disk: &dyn Disk, paths: &Paths) -> Result<PathBuf> {
    let root = &paths.root;
    let names = disk.list(root).await.map_err(|e| Error::io("list", root, &e))?;
    let number = |name: &String| name.strip_prefix(SET_ASIDE)?.parse::<u64>().ok();
    let next = names.iter().filter_map(number).max().map_or(1, |last| last.saturating_add(1));
    let folder = root.join(format!("{SET_ASIDE}{next}"));
    let made = disk.create_dir_all(&folder).await;
    made.map_err(|e| Error::io("make the folder", &folder, &e))?;
    sync_folder(disk, root).await?;

    let identity = "identity.json".to_string();
    let (first, rest): (Vec<_>, Vec<_>) = names
        .into_iter()
        .filter(|name| name != LOCK_FILE && name != OUTBOX_FOLDER)
        .filter(|name| !name.starts_with(SET_ASIDE))
        .partition(|name| *name == identity);
    for group in [first, rest] {
        for name in group {
            let (from, to) = (root.join(&name), folder.join(&name));
            let moved = disk.rename(&from, &to).await;
            moved.map_err(|e| Error::from(Failure::of_call("set aside", &from, &e)))?;
        }
        // The new place first: a file may be in both after a crash, never in none.
        sync_folder(disk, &folder).await?;
        sync_folder(disk, root).await?;
    }
    Ok(folder)
}
