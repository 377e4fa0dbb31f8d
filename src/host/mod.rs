//! The seams: everything a replica takes from the machine that hosts it.
//!
//! Time, randomness, network and disk enter the system here and nowhere else,
//! so that the very code that ships also runs inside a deterministic
//! simulation (`tests/sim`), where clocks jump, disks tear writes and networks
//! cut off one direction. Two rules keep it that way:
//!
//! - A replica gets the time of day, random bytes, sockets and files through this
//!   module only. Monotonic time is `tokio::time`, which a simulation pauses and
//!   advances. `clippy.toml` bans the direct calls. (`config`, `backup`, `cluster` and
//!   `cli` open users' own files themselves.)
//! - Threads are spawned through [`Workers`] only, apart from those that do nothing
//!   ([`outlive_descriptors`]) and those that see another machine (`namespaces`).
//!
//! [`Host::real`] is the operating system. Dropping a [`Host`] ends nothing: a worker
//! is stopped through its own channel, by the code that spawned it.

mod bounded;
mod descriptors;
mod file_systems;
mod memory;
#[cfg(target_os = "linux")]
mod namespaces;
mod outlive;
mod private;
mod real;
mod service_manager;
mod signals;
mod stream;
mod threads;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

pub use self::bounded::read_bounded;
pub use self::descriptors::{allow_descriptors, close_inherited};
pub use self::memory::memory_bytes;
#[cfg(target_os = "linux")]
pub use self::namespaces::{Family, Namespaces};
pub use self::outlive::outlive_descriptors;
pub use self::private::{
    is_within, make_private_folders, open_private, replace_private, write_private,
};
pub use self::service_manager::{Notification, SERVICE_VARIABLES, ServiceManager};
pub use self::signals::{FILE_SIZE_LIMIT_REACHED, hangup_is_ignored};
pub use self::stream::{Binding, Connection, Elsewhere, Patience, Stream};

use crate::types::{Address, Timestamp, Uuid};

/// Begins a task. Consensus has a `spawn` of its own, as the engine's tasks draw from
/// the randomness of whoever spawned them; everybody else's begin here.
///
/// The task goes behind a pointer, so that what the runtime does with tasks is compiled
/// once a result instead of once a task.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let task: BoxFuture<'static, F::Output> = Box::pin(task);
    tokio::spawn(task)
}

/// A future on the heap: traits of this module must work behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// All seams together. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Byte streams to other processes.
    pub network: Arc<dyn Network>,
    /// Files and their locks.
    pub disk: Arc<dyn Disk>,
    /// Threads for work that blocks or computes.
    pub workers: Arc<dyn Workers>,
}

impl Host {
    /// The operating system.
    pub fn real() -> Host {
        real::host()
    }

    /// Sixteen random bytes as a version 4 UUID.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A random number from the whole range.
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Runs disk calls on a worker of this name and waits for what they give, so that
    /// a slow disk never holds up the runtime's own threads. `None`: the worker ended
    /// before its job. When the caller is cancelled the job still runs to its end.
    pub async fn on_worker<T: Send + 'static>(
        &self,
        name: &str,
        job: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let job = async move {
            // Nobody waits any more when the caller was cancelled.
            let _ = send.send(job.await);
        };
        self.workers.spawn(name, Box::pin(job));
        receive.await.ok()
    }

    /// Runs a computation that takes long, such as hashing a password, where
    /// it does not delay other tasks.
    pub async fn compute<T, F>(&self, computation: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (send, receive) = tokio::sync::oneshot::channel();
        self.workers.compute(Box::new(move || {
            // The receiver is gone when the caller was cancelled; then nobody
            // wants the result.
            let _ = send.send(computation());
        }));
        receive.await.expect("a computation runs to its end unless it panics")
    }
}

/// The time of day. It may jump; nothing but time-stamps and expiry depends on it.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A source of randomness fit for keys and tokens.
pub trait Random: Send + Sync {
    /// Fills the buffer with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// Connections to other processes and from them.
pub trait Network: Send + Sync {
    /// Opens a connection. No time limit of its own beyond the operating system's.
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>>;
    /// Binds an address; connections wait until they are accepted.
    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
}

/// A bound address.
pub trait Listener: Send + Sync {
    /// The next connection and the remote address (without its port, which
    /// says nothing about who it is).
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, String)>>;
    /// The address as bound, with the port that port 0 turned into.
    fn local_address(&self) -> Address;
}

/// Files of one machine. Every file is made with mode 0600 and every folder
/// with mode 0700, whatever the umask.
///
/// On the real host these calls block the calling thread, so they belong on
/// workers ([`Workers::spawn`]), or where a start-up may block. In a simulation
/// they take simulated time; a crash falls between any two of them. What was
/// written but not synced may be lost, whole or in part, by a crash of the
/// simulated machine; a crash of only the process loses nothing that was written.
pub trait Disk: Send + Sync {
    /// Makes a folder and its missing parents.
    fn create_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>>;
    /// Names of the entries of a folder, sorted.
    fn list(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<String>>>;
    /// Makes an empty file, replacing an old one.
    fn create(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>>;
    /// Renames a file or folder, replacing a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> BoxFuture<'static, io::Result<()>>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> BoxFuture<'static, io::Result<()>>;
    /// Removes a folder and everything in it.
    fn remove_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>>;
    /// Makes the entries of a folder (creations, renames, removals) durable. An
    /// error of opening it is a [`NotOpened`].
    fn sync_dir(&self, path: &Path) -> BoxFuture<'static, io::Result<()>>;
    /// Takes the exclusive lock of a file without waiting, making the file if
    /// it is missing. `None`: somebody else holds it.
    ///
    /// The lock is released when the guard is dropped or the process dies,
    /// and the file is never removed or replaced.
    fn try_lock(&self, path: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>>;
    /// Whether anybody holds the exclusive lock of an existing file. Asked by
    /// taking it shared for a moment, so that two who ask at once do not take
    /// each other for a holder.
    fn is_locked(&self, path: &Path) -> BoxFuture<'static, io::Result<bool>>;
    /// Which file a path leads to at the moment.
    fn file_id(&self, path: &Path) -> BoxFuture<'static, io::Result<FileId>>;
    /// What kind of file system a path is on.
    fn file_system(&self, path: &Path) -> BoxFuture<'static, io::Result<FileSystem>>;
    /// Bytes in the files below a path, for `status`.
    fn used_bytes(&self, path: &Path) -> BoxFuture<'static, io::Result<u64>>;
}

/// What is in an error of [`Disk::sync_dir`] when the folder could not be opened:
/// then nothing was synced, and nothing was lost by it either.
#[derive(Debug)]
pub struct NotOpened(pub io::Error);

impl NotOpened {
    /// The error that says so.
    pub fn error(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), NotOpened(error))
    }
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NotOpened {}

/// A file, whatever its name: unique on one machine until it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The file on it.
    pub inode: u64,
}

/// What is known of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name, or its number where it has none here.
    pub name: String,
    /// Whether a lock on it is held by one process of this machine, for certain
    /// and to its end. Not known of network and shared file systems.
    pub locks_are_local: bool,
}

/// A held exclusive lock; see [`Disk::try_lock`].
pub trait FileLock: Send + Sync {
    /// The file that is locked, which its name need not lead to any more.
    fn file_id(&self) -> BoxFuture<'_, io::Result<FileId>>;
    /// Replaces the file's content, so that others can read who holds it.
    fn write_holder(&mut self, text: &str) -> BoxFuture<'_, io::Result<()>>;
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> BoxFuture<'_, io::Result<u64>>;
    /// Writes all of `bytes` at the end of the file.
    fn append(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>>;
    /// Reads `length` bytes from `offset`; fewer at the end of the file.
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Vec<u8>>>;
    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> BoxFuture<'_, io::Result<()>>;
    /// Makes content and length durable (fdatasync).
    fn sync_data(&mut self) -> BoxFuture<'_, io::Result<()>>;
}

/// Work beside the tasks of the runtime.
pub trait Workers: Send + Sync {
    /// Runs a long-lived job that makes blocking [`Disk`] calls: a thread of
    /// its own on the real host, a task in a simulation. It may await channels
    /// and `tokio::time`.
    fn spawn(&self, name: &str, job: BoxFuture<'static, ()>);
    /// The same for a job that nobody waits for, such as writing a snapshot: on
    /// the real host it takes little of a processor that others want.
    fn spawn_patient(&self, name: &str, job: BoxFuture<'static, ()>) {
        self.spawn(name, job);
    }
    /// Runs a short computation off the runtime's threads.
    fn compute(&self, computation: Box<dyn FnOnce() + Send>);
}
