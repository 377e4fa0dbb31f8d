//! Which process runs a replica, and signals to it.
//!
//! Three mistakes must not happen:
//!
//! - A server crashes, and its `LOCK` still names process 4711. Days later 4711 is
//!   somebody's editor, and `cluster down` kills it.
//! - A cluster is reached by another path than the one that its servers were started
//!   with. They count as dead, and their data is removed while they live.
//! - Server 1 has adopted replica 2, whose `LOCK` therefore names server 1, and
//!   `cluster kill 2` kills the survivor.
//!
//! So nothing depends on how a path is spelled. The process that holds the lock of a
//! replica's `LOCK` runs the replica, and the file names it. A process is that of a
//! replica's server only if it has that very file open, by device and inode. A server
//! that has no lock yet, as it waits for one, is known by the replica's log: its
//! standard output goes there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::open_files::{self, HasOpen};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{FileId, read_bounded};
use crate::storage::{Holder, LOCK_FILE, LockContent};
use crate::types::ReplicaId;

/// How long a lock may be held by a process that cannot be seen: a server that has not
/// written its name yet, or one whose end is not complete.
const UNSEEN_MAX: Duration = Duration::from_secs(1);
/// Between two looks at such a lock.
const UNSEEN_PAUSE: Duration = Duration::from_millis(5);

/// Who runs a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// Nobody.
    Nobody,
    /// Its own server.
    Server(Server),
    /// The process of another replica's server.
    Adopter(u32),
    /// A process that cannot be seen from here. With the one that `LOCK` names.
    Unseen(Option<u32>),
}

impl Occupant {
    /// The replica's own server, if that runs it.
    pub fn server(self) -> Option<Server> {
        match self {
            Occupant::Server(server) => Some(server),
            _ => None,
        }
    }

    /// The process, if it can be seen.
    pub fn pid(self) -> Option<u32> {
        match self {
            Occupant::Server(server) => Some(server.pid),
            Occupant::Adopter(pid) => Some(pid),
            Occupant::Nobody | Occupant::Unseen(_) => None,
        }
    }
}

/// A process that is a replica's own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// The process.
    pub pid: u32,
    /// By which open file it is known: process ids are reused.
    file: FileId,
}

impl Server {
    /// Whether the process still is that server.
    pub fn runs(self) -> bool {
        // A process that cannot be seen belongs to another user, whose processes may
        // not be signalled either.
        open_files::has_open(self.pid, self.file) != HasOpen::No
    }

    /// Signals the server, if the process still is that. Returns whether it was.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the system refuses, as for another user's process.
    pub fn signal(self, signal: Signal) -> Result<bool> {
        let pid = self.pid;
        let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(target) = target.filter(|_| self.runs()) else { return Ok(false) };
        match kill_process(target, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(Error::new(
                ErrorCode::Io,
                format!("cannot signal process {pid}: {}", std::io::Error::from(error)),
            )),
        }
    }

    /// Waits until the server with this log is gone, at most `limit`. Returns whether
    /// it is. A server that has unlocked its directory and has not ended yet would be
    /// taken for one that waits for the lock.
    pub async fn wait_gone(self, log: &Path, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(5);
        let lingers = || waiting_server(log).is_some_and(|it| it.pid == self.pid);
        while self.runs() || open_files::is_ending(self.pid) || lingers() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        true
    }
}

/// Who runs a replica with this data directory, and this log of its server.
///
/// # Errors
/// [`ErrorCode::Io`] when `LOCK` cannot be looked at.
pub async fn occupant(id: ReplicaId, data_dir: &Path, log: &Path) -> Result<Occupant> {
    let path = data_dir.join(LOCK_FILE);
    let deadline = Instant::now() + UNSEEN_MAX;
    loop {
        let Some(file) = held(&path)? else {
            return Ok(waiting_server(log).map_or(Occupant::Nobody, Occupant::Server));
        };
        let named = named_in(&path);
        if let Some(Holder { pid, server, .. }) = named
            && open_files::has_open(pid, file) != HasOpen::No
        {
            if server == id {
                return Ok(Occupant::Server(Server { pid, file }));
            }
            return Ok(waiting_server(log).map_or(Occupant::Adopter(pid), Occupant::Server));
        }
        if Instant::now() >= deadline {
            return Ok(Occupant::Unseen(named.map(|holder| holder.pid)));
        }
        sleep(UNSEEN_PAUSE).await;
    }
}

/// The error for a data directory that is held by a process which we cannot stop.
pub fn unseen(data_dir: &Path, pid: Option<u32>) -> Error {
    let who = pid.map_or("another process".to_string(), |pid| format!("the process {pid}"));
    Error::new(
        ErrorCode::DirectoryInUse,
        format!(
            "the data directory {} is in use by {who}, which is not to be seen from here; stop it \
             where it runs",
            data_dir.display()
        ),
    )
}

/// The file that is locked, if it is.
fn held(lock: &Path) -> Result<Option<FileId>> {
    let look = || match fs4::FileExt::try_lock_shared(&File::open(lock)?) {
        // Closing the file lets go of it.
        Ok(()) => Ok(None),
        Err(fs4::TryLockError::WouldBlock) => file_id(lock).map(Some),
        Err(fs4::TryLockError::Error(error)) => Err(error),
    };
    match look() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        looked => looked.map_err(|error| Error::io("look at", lock, &error)),
    }
}

fn file_id(path: &Path) -> std::io::Result<FileId> {
    let metadata = fs::metadata(path)?;
    Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
}

/// Longest `LOCK` that is read: ours have some hundred bytes.
const LOCK_MAX_BYTES: u64 = 64 * 1024;

/// The process that `LOCK` names, dead or alive, ours or not.
fn named_in(lock: &Path) -> Option<Holder> {
    // Missing, or being written this very moment.
    LockContent::parse(&read_bounded(lock, LOCK_MAX_BYTES).ok()?).holder
}

/// Whether `LOCK` in a data directory names this process.
pub fn is_named(data_dir: &Path, pid: u32) -> bool {
    named_in(&data_dir.join(LOCK_FILE)).is_some_and(|holder| holder.pid == pid)
}

/// A server that was started for a replica and has no lock, whether it waits
/// for one or is about to take it.
fn waiting_server(log: &Path) -> Option<Server> {
    let file = file_id(log).ok()?;
    let pid = open_files::serving_with_output(file)?;
    Some(Server { pid, file })
}

/// If the process that `LOCK` names is about to end, waits until it has, at most
/// `limit`. A killed server holds its ports, and those of replicas that it had adopted,
/// for a moment after its locks are free.
pub async fn wait_ended(data_dir: &Path, limit: Duration) {
    let Some(Holder { pid, .. }) = named_in(&data_dir.join(LOCK_FILE)) else { return };
    let deadline = Instant::now() + limit;
    // If it takes longer, an error names the port that is taken.
    while open_files::is_ending(pid) && Instant::now() < deadline {
        sleep(UNSEEN_PAUSE).await;
    }
}

/// The locks of data directories, held so that no server can begin to run there.
///
/// # Errors
/// [`ErrorCode::DirectoryInUse`] when a server has one; [`ErrorCode::Io`].
pub async fn keep_out<'a>(data_dirs: impl Iterator<Item = &'a Path>) -> Result<Vec<File>> {
    let mut kept = Vec::new();
    for data_dir in data_dirs {
        let path = data_dir.join(LOCK_FILE);
        let deadline = Instant::now() + UNSEEN_MAX;
        loop {
            let locked = File::open(&path).map(|file| (fs4::FileExt::try_lock(&file), file));
            match locked {
                Ok((Ok(()), file)) => break kept.push(file),
                // A process that only polls the lock holds it for a moment.
                Ok((Err(fs4::TryLockError::WouldBlock), _)) if Instant::now() < deadline => {}
                Ok((Err(fs4::TryLockError::WouldBlock), _)) => {
                    return Err(unseen(data_dir, named_in(&path).map(|holder| holder.pid)));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Ok((Err(fs4::TryLockError::Error(error)), _)) | Err(error) => {
                    return Err(Error::io("lock", &path, &error));
                }
            }
            sleep(UNSEEN_PAUSE).await;
        }
    }
    Ok(kept)
}

#[cfg(test)]
pub(super) mod tests;
