//! What the tests of this module share: a disk that fails on demand, and data.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::Semaphore;

use super::{
    DataDirectory, FatalHandler, Holder, Identity, Log, LogOptions, LogRecovery, Snapshots,
};
use crate::error::Result;
use crate::host::{BoxFuture, Disk, DiskFile, FileId, FileLock, FileSystem, Host, NotOpened};
use crate::limits::DATA_FORMAT_FIRST;
use crate::sync::Mutex;
use crate::types::{ReplicaId, Timestamp, Uuid};

/// The real disk, with faults that a test switches on and off.
#[derive(Clone)]
pub(crate) struct FaultyDisk(Arc<Faults>);

struct Faults {
    disk: Arc<dyn Disk>,
    /// Bytes that still fit; `None`: no bound.
    room: Mutex<Option<usize>>,
    fail_syncs: AtomicBool,
    fail_folder_syncs: AtomicBool,
    skip_syncs: AtomicBool,
    fail_writes: AtomicBool,
    read_only: AtomicBool,
    /// With which error number files and folders do not open.
    unopened: Mutex<Option<i32>>,
    /// A file that does not open, and with which error number.
    unopened_file: Mutex<Option<(PathBuf, i32)>>,
    /// With which error number files outside of data directories are not read.
    unread: Mutex<Option<i32>>,
    refusals: AtomicUsize,
    /// With which error number writes end in the middle, and files are not cut.
    half_written: Mutex<Option<i32>>,
    syncs: AtomicUsize,
    /// Taken by every sync of a file while the gate is closed.
    gate: Semaphore,
    gated: AtomicBool,
}

impl FaultyDisk {
    pub(crate) fn new() -> FaultyDisk {
        FaultyDisk(Arc::new(Faults {
            disk: Host::real().disk,
            room: Mutex::new(None),
            fail_syncs: AtomicBool::new(false),
            fail_folder_syncs: AtomicBool::new(false),
            skip_syncs: AtomicBool::new(false),
            fail_writes: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            unopened: Mutex::new(None),
            unopened_file: Mutex::new(None),
            unread: Mutex::new(None),
            refusals: AtomicUsize::new(0),
            half_written: Mutex::new(None),
            syncs: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            gated: AtomicBool::new(false),
        }))
    }

    pub(crate) fn host(&self) -> Host {
        Host { disk: Arc::new(self.clone()), ..Host::real() }
    }

    /// How many more bytes fit on the disk.
    pub(super) fn set_room(&self, bytes: Option<usize>) {
        *self.0.room.lock() = bytes;
    }

    /// Whether every sync fails.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.0.fail_syncs.store(fail, Ordering::SeqCst);
    }

    /// Whether every sync of a folder fails.
    pub(super) fn fail_folder_syncs(&self, fail: bool) {
        self.0.fail_folder_syncs.store(fail, Ordering::SeqCst);
    }

    /// Whether every write fails with an I/O error.
    pub(crate) fn fail_writes(&self, fail: bool) {
        self.0.fail_writes.store(fail, Ordering::SeqCst);
    }

    /// Whether locks and files cannot be made.
    pub(super) fn read_only(&self, read_only: bool) {
        self.0.read_only.store(read_only, Ordering::SeqCst);
    }

    /// With which error files and folders do not open.
    pub(crate) fn refuse_to_open(&self, error: Option<Errno>) {
        *self.0.unopened.lock() = error.map(Errno::raw_os_error);
    }

    /// With which error this file does not open.
    pub(super) fn refuse_to_open_file(&self, path: &Path, error: Errno) {
        *self.0.unopened_file.lock() = Some((path.to_path_buf(), error.raw_os_error()));
    }

    /// With which error the system's own files are not read.
    pub(super) fn refuse_to_read_system_files(&self, error: Option<Errno>) {
        *self.0.unread.lock() = error.map(Errno::raw_os_error);
    }

    /// How often something did not open.
    pub(crate) fn refusals(&self) -> usize {
        self.0.refusals.load(Ordering::SeqCst)
    }

    /// With which error writes end in the middle, and files are not cut.
    pub(super) fn write_halves(&self, error: Option<Errno>) {
        *self.0.half_written.lock() = error.map(Errno::raw_os_error);
    }

    /// Syncs of files so far, the waiting ones included.
    pub(super) fn syncs(&self) -> usize {
        self.0.syncs.load(Ordering::SeqCst)
    }

    /// Makes syncs of files wait.
    pub(super) fn close_gate(&self) {
        self.0.gated.store(true, Ordering::SeqCst);
    }

    /// Lets waiting and later syncs pass.
    pub(super) fn open_gate(&self) {
        self.0.gated.store(false, Ordering::SeqCst);
        self.0.gate.add_permits(1_000);
    }

    fn refused<T: 'static + Send>(&self) -> Option<BoxFuture<'static, io::Result<T>>> {
        let read_only = self.0.read_only.load(Ordering::SeqCst);
        let read_only = read_only.then(|| io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
        read_only.map(failing).or_else(|| self.unopened())
    }

    fn unopened<T: 'static + Send>(&self) -> Option<BoxFuture<'static, io::Result<T>>> {
        self.unopened_error().map(failing)
    }

    fn unopened_error(&self) -> Option<io::Error> {
        let refused = self.0.unopened.lock().map(io::Error::from_raw_os_error);
        self.0.refusals.fetch_add(usize::from(refused.is_some()), Ordering::SeqCst);
        refused
    }

    fn wrap(
        &self,
        file: BoxFuture<'static, io::Result<Box<dyn DiskFile>>>,
    ) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        let disk = self.clone();
        Box::pin(async move {
            Ok(Box::new(FaultyFile { file: file.await?, disk }) as Box<dyn DiskFile>)
        })
    }
}

fn failing<T: 'static + Send>(error: io::Error) -> BoxFuture<'static, io::Result<T>> {
    Box::pin(std::future::ready(Err(error)))
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.refused().unwrap_or_else(|| self.0.disk.create_dir_all(path))
    }
    fn list(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        self.0.disk.list(path)
    }
    fn create(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        self.refused().unwrap_or_else(|| self.wrap(self.0.disk.create(path)))
    }
    fn open(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        if let Some((of, number)) = &*self.0.unopened_file.lock()
            && of == path
        {
            return failing(io::Error::from_raw_os_error(*number));
        }
        self.unopened().unwrap_or_else(|| self.wrap(self.0.disk.open(path)))
    }
    fn read(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        let of_system = !path.starts_with(std::env::temp_dir());
        let unread = *self.0.unread.lock();
        match unread.filter(|_| of_system) {
            Some(number) => failing(io::Error::from_raw_os_error(number)),
            None => self.unopened().unwrap_or_else(|| self.0.disk.read(path)),
        }
    }
    fn rename(&self, from: &Path, to: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.0.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.0.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.0.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        if let Some(error) = self.unopened_error() {
            return failing(NotOpened::error(error));
        }
        if self.0.fail_folder_syncs.load(Ordering::SeqCst) {
            return failing(io::Error::other("injected sync error"));
        }
        match self.0.skip_syncs.load(Ordering::SeqCst) {
            true => Box::pin(std::future::ready(Ok(()))),
            false => self.0.disk.sync_dir(path),
        }
    }
    fn try_lock(&self, path: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        self.refused().unwrap_or_else(|| self.0.disk.try_lock(path))
    }
    fn is_locked(&self, path: &Path) -> BoxFuture<'static, io::Result<bool>> {
        self.0.disk.is_locked(path)
    }
    fn file_id(&self, path: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        self.0.disk.file_id(path)
    }
    fn file_system(&self, path: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        self.0.disk.file_system(path)
    }
    fn used_bytes(&self, path: &Path) -> BoxFuture<'static, io::Result<u64>> {
        self.0.disk.used_bytes(path)
    }
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    disk: FaultyDisk,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> BoxFuture<'_, io::Result<u64>> {
        self.file.len()
    }

    /// On a full disk what fits is written, as by the real one.
    fn append(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        let faults = self.disk.0.clone();
        if faults.fail_writes.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(io::Error::other("injected write error"))));
        }
        let half_written = *faults.half_written.lock();
        let mut room = faults.room.lock();
        let fitting = room.map_or(bytes.len(), |room| room.min(bytes.len()));
        *room = room.map(|room| room - fitting);
        drop(room);
        let part = bytes.slice(..half_written.map_or(fitting, |_| fitting / 2));
        Box::pin(async move {
            self.file.append(part).await?;
            if let Some(number) = half_written {
                return Err(io::Error::from_raw_os_error(number));
            }
            match fitting == bytes.len() {
                true => Ok(()),
                false => Err(io::Error::from(io::ErrorKind::StorageFull)),
            }
        })
    }

    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        self.file.read_at(offset, length)
    }

    fn truncate(&mut self, length: u64) -> BoxFuture<'_, io::Result<()>> {
        match *self.disk.0.half_written.lock() {
            Some(number) => failing(io::Error::from_raw_os_error(number)),
            None => self.file.truncate(length),
        }
    }

    fn sync_data(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let faults = self.disk.0.clone();
            faults.syncs.fetch_add(1, Ordering::SeqCst);
            if faults.gated.load(Ordering::SeqCst) {
                faults.gate.acquire().await.expect("never closed").forget();
            }
            match faults.fail_syncs.load(Ordering::SeqCst) {
                true => Err(io::Error::other("injected sync error")),
                false if faults.skip_syncs.load(Ordering::SeqCst) => Ok(()),
                false => self.file.sync_data().await,
            }
        })
    }
}

/// For tests that open a directory thousands of times: the real machine, except
/// that nothing is synced.
pub(super) fn unsynced_host() -> Host {
    let disk = FaultyDisk::new();
    disk.0.skip_syncs.store(true, Ordering::SeqCst);
    disk.host()
}

pub(super) fn holder() -> Holder {
    Holder {
        pid: 4711,
        started_at: Timestamp(1_000),
        address: "127.0.0.1:8091".parse().expect("an address"),
        server: ReplicaId(1),
    }
}

pub(super) fn identity() -> Identity {
    Identity {
        format: DATA_FORMAT_FIRST,
        cluster: Uuid::from_u128(1),
        lineage: Uuid::from_u128(2),
        replica: ReplicaId(1),
        incarnation: 1,
        opens: 0,
        openings: Vec::new(),
        knows_level: 0,
    }
}

/// A directory with an identity, made if it is empty.
pub(super) async fn directory(host: &Host, path: &Path) -> DataDirectory {
    let mut directory = DataDirectory::open(host, path, holder()).await.expect("opens");
    if directory.identity().expect("undamaged").is_none() {
        directory.write_identity(identity()).await.expect("writes");
    }
    directory
}

/// A fatal handler for tests in which nothing may fail.
pub(super) fn never_fatal() -> FatalHandler {
    Arc::new(|error| panic!("unexpected fatal error: {error}"))
}

/// Opens a log; the directory's own share of the lock is dropped.
pub(super) async fn open_log(
    host: Host,
    path: &Path,
    options: LogOptions,
) -> Result<(Log, LogRecovery)> {
    Log::open(&directory(&host, path).await, options, never_fatal(), None).await
}

/// The payload of a log entry, another for every index.
pub(super) fn entry(index: u64) -> Bytes {
    Bytes::from(format!(r#"{{"index":{index},"text":"{}"}}"#, "JZ*".repeat(index as usize % 5)))
}

/// Appends entries and waits until they are durable.
pub(super) async fn append(log: &Log, indexes: std::ops::Range<u64>) -> Result<()> {
    let lines = indexes.clone().map(|index| super::record::encode(&entry(index))).collect();
    append_lines(log, indexes.start, lines).await
}

pub(crate) async fn append_lines(log: &Log, first: u64, lines: Vec<Bytes>) -> Result<()> {
    let (send, receive) = tokio::sync::oneshot::channel();
    let done = move |result| send.send(result).expect("the test waits");
    log.append(first, lines, Box::new(done));
    receive.await.expect("done is called")
}

/// A log on the real disk, in a new data directory.
pub(crate) async fn log(path: &Path) -> Log {
    log_and_snapshots(path).await.0
}

/// The same, and the snapshots beside it.
pub(crate) async fn log_and_snapshots(path: &Path) -> (Log, Snapshots) {
    log_and_snapshots_on(&Host::real(), path).await
}

/// The same on a disk that may fail.
pub(crate) async fn log_and_snapshots_on(host: &Host, path: &Path) -> (Log, Snapshots) {
    let directory = directory(host, path).await;
    let opened = Log::open(&directory, LogOptions::default(), never_fatal(), None).await;
    let snapshots = Snapshots::open(&directory).await.expect("opens");
    (opened.expect("opens").0, snapshots)
}

/// All entries of a log, which must be those of [`entry`].
pub(super) async fn assert_entries(log: &Log, indexes: std::ops::Range<u64>) {
    assert_eq!((log.first(), log.next()), (indexes.start, indexes.end));
    let read = log.read(indexes.start, indexes.end, usize::MAX).await.expect("reads");
    assert_eq!(read, indexes.map(entry).collect::<Vec<_>>());
}

/// The content with one bit flipped, for each of its bits.
pub(super) fn flip_every_bit(content: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
    let content = content.to_vec();
    (0..content.len() * 8).map(move |bit| {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}
