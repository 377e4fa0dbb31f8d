//! The folder of a cluster, and the lock by which one command keeps others from it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::{KEY_FILE, LOCK_FILE, TEMPORARY_FILE};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{make_private_folders, open_private};

/// Between two attempts to take that lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the folder in which to take the lock.
///
/// A command makes its files after the lock file and removes them before it. So
/// as long as that file is there, what stands beside it may be another command's
/// that is just at work: whose it is can only be told by who has the lock.
pub(super) fn make_folder_to_lock(dir: &Path) -> Result<()> {
    let lock = dir.join(LOCK_FILE);
    let locked_before = lock.exists();
    match make_folder(dir)? {
        Some(foreign) if !locked_before && !lock.exists() => Err(not_empty(dir, &foreign)),
        _ => Ok(()),
    }
}

/// Makes the folder, and returns a name in it that no interrupted `up` has left.
/// A cluster must not spread over somebody's home.
pub(super) fn make_folder(dir: &Path) -> Result<Option<OsString>> {
    let list = || -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    let names = loop {
        make_private_folders(dir).map_err(|error| Error::io("make the folder", dir, &error))?;
        match list() {
            Ok(names) => break names,
            // Another command has removed its cluster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("list", dir, &error)),
        }
    };
    let ours = [KEY_FILE, LOCK_FILE, TEMPORARY_FILE];
    Ok(names.into_iter().find(|name| !ours.iter().any(|own| name == own)))
}

pub(super) fn not_empty(dir: &Path, foreign: &OsStr) -> Error {
    Error::new(
        ErrorCode::InvalidConfig,
        format!(
            "{} holds {:?} and no cluster; choose an empty folder for a new cluster",
            dir.display(),
            foreign.to_string_lossy()
        ),
    )
}

/// Takes the lock of a cluster's folder for one command, waiting at most
/// `limit` for another command to end. `missing` is called when the folder is
/// gone, and decides whether there is any use in going on.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when another keeps it; [`ErrorCode::Io`]; those of
/// `missing`.
pub(super) async fn lock(
    dir: &Path,
    limit: Duration,
    missing: impl Fn() -> Result<()>,
) -> Result<fs::File> {
    let path = dir.join(LOCK_FILE);
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = match open_private(&mut options, &path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing()?;
                continue;
            }
            Err(error) => return Err(Error::io("open", &path, &error)),
        };
        match fs4::FileExt::try_lock(&file) {
            // A command that removed the cluster has removed this file as well,
            // and the next one may have made another.
            Ok(()) if same_file(&file, &path) => return Ok(file),
            Ok(()) => continue,
            Err(fs4::TryLockError::WouldBlock) => {}
            Err(fs4::TryLockError::Error(error)) => return Err(Error::io("lock", &path, &error)),
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::unavailable(format!(
                "another command is at work on the cluster in {}; try again when it has ended",
                dir.display()
            )));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

pub(in crate::cluster) fn same_file(file: &fs::File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => id(file) == id(path),
        _ => false,
    }
}
