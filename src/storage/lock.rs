//! `LOCK`: one process at a time, and who it is.
//!
//! The lock is an flock on the file. The kernel releases it when, and only when, its
//! holder is gone. The file's first line tells operators and other servers who holds
//! it. The file is never removed or replaced, since a lock on a file that no longer
//! has the name protects nothing. The text outlives the holder, so it means something
//! only while the lock is held.
//!
//! A second line, `poisoned <boot id>`, is written before a process ends because an
//! fsync failed. Until the machine restarts, every reader shares a page cache that may
//! show bytes which the disk does not have. So nobody may run the directory in that
//! time; see [`super::DataDirectory::set_aside`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use super::files::Failure;
use super::shortage::{Verdict, verdict};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, FileId, FileLock};
use crate::types::{Address, ReplicaId, Timestamp};

/// The file whose lock decides who runs a data directory, and which says who that is.
pub const LOCK_FILE: &str = "LOCK";
const POISONED: &str = "poisoned ";
/// Where Linux names the current boot.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";
/// Stands for a boot id where the system has none. Such a mark never expires.
const UNKNOWN_BOOT: &str = "unknown";

/// Who holds a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// When that process started.
    pub started_at: Timestamp,
    /// Where it listens.
    pub address: Address,
    /// The replica whose server it is. Another one than the directory's when a
    /// survivor runs the directory in the place of its dead owner.
    pub server: ReplicaId,
}

/// The content of a `LOCK` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockContent {
    /// Who holds the lock or held it last; `None` when the file does not say
    /// so, as while it is being written for the first time.
    pub holder: Option<Holder>,
    /// The boot (or `unknown`) in which an fsync failed.
    pub poisoned: Option<String>,
}

impl LockContent {
    /// Reads as much of it as is there.
    pub fn parse(bytes: &[u8]) -> LockContent {
        // Read while another process may be writing: what does not parse is
        // not there yet.
        let text = String::from_utf8_lossy(bytes);
        let holder = text.lines().next().and_then(|line| serde_json::from_str(line).ok());
        let mark = text.lines().find_map(|line| line.strip_prefix(POISONED));
        LockContent { holder, poisoned: mark.map(|boot| boot.trim().to_string()) }
    }

    fn text(holder: &Holder, poisoned: Option<&str>) -> String {
        let mut text = serde_json::to_string(holder).expect("plain data serializes");
        text.push('\n');
        if let Some(boot) = poisoned {
            text.push_str(&format!("{POISONED}{boot}\n"));
        }
        text
    }
}

/// Reads a data directory's `LOCK` without touching the lock itself.
///
/// # Errors
/// [`ErrorCode::Io`] when it cannot be read. A missing file reads as empty.
pub async fn read_lock(disk: &dyn Disk, directory: &Path) -> Result<LockContent> {
    let path = directory.join(LOCK_FILE);
    match disk.read(&path).await {
        Ok(bytes) => Ok(LockContent::parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LockContent::default()),
        Err(error) => Err(Error::io("read", &path, &error)),
    }
}

/// A share of a held lock. The last share to be dropped unlocks.
#[derive(Clone)]
pub(super) struct LockShare(Arc<Held>);

struct Held {
    holder: Holder,
    boot: Option<String>,
    guard: Mutex<Box<dyn FileLock>>,
    /// Whether the outbox of the directory is open.
    has_outbox: AtomicBool,
    /// The last of the fields, so that it is dropped after the guard: its end
    /// reports that the lock is free.
    free: watch::Sender<()>,
}

/// Tells when a lock that this process held is free again.
#[derive(Clone)]
pub struct Unlocked(watch::Receiver<()>);

impl Unlocked {
    /// Resolves when the last share of the lock is gone.
    pub async fn wait(mut self) {
        // Nothing is ever sent: an error is the end of the sender.
        while self.0.changed().await.is_ok() {}
    }
}

/// For how many probes of others an attempt to lock waits, one after the other.
const PROBES_MAX: u32 = 100;

/// Between two attempts while another process only probes the lock.
const PROBE_PAUSE: Duration = Duration::from_millis(1);

/// A lock that is held and not yet written to: others still read who held it
/// before. When it is dropped, nothing has changed.
pub(super) struct UnannouncedLock {
    guard: Box<dyn FileLock>,
    poisoned: Option<String>,
    boot: Option<String>,
}

impl LockShare {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`] when it is held, [`ErrorCode::Io`] when it
    /// cannot be taken.
    pub(super) async fn take(disk: &dyn Disk, directory: &Path) -> Result<UnannouncedLock> {
        let path: PathBuf = directory.join(LOCK_FILE);
        let failed = |error: io::Error| Error::io("lock", &path, &error);
        let mut probes = 0;
        let guard = loop {
            if let Some(guard) = disk.try_lock(&path).await.map_err(failed)? {
                break guard;
            }
            // A neighbour that probes whether the lock is free holds it shared for
            // a moment. That must not keep the owner out.
            probes += 1;
            if probes > PROBES_MAX || disk.is_locked(&path).await.map_err(failed)? {
                return Err(in_use(directory, read_lock(disk, directory).await?.holder));
            }
            tokio::time::sleep(PROBE_PAUSE).await;
        };
        let mark = read_lock(disk, directory).await?.poisoned;
        // A boot id that cannot be read now is not unknown: if it were taken for
        // that, an old mark would hold, and a new one would hold for ever.
        let boot = boot_id(disk).await;
        let boot = boot.map_err(|e| Error::io("read", Path::new(BOOT_ID_PATH), &e))?;
        let poisoned = mark
            .filter(|mark| mark == UNKNOWN_BOOT || boot.as_ref().is_none_or(|boot| boot == mark));
        Ok(UnannouncedLock { guard, poisoned, boot })
    }
}

impl UnannouncedLock {
    /// The file that is locked.
    pub(super) async fn file_id(&self, directory: &Path) -> Result<FileId> {
        let failed = |error| Error::io("look at", &directory.join(LOCK_FILE), &error);
        self.guard.file_id().await.map_err(failed)
    }

    /// Whether an fsync has failed in the directory since this boot. The mark
    /// is kept until it is removed.
    pub(super) fn poisoned(&self) -> bool {
        self.poisoned.is_some()
    }

    /// Writes who holds the lock.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub(super) async fn announce(mut self, directory: &Path, holder: Holder) -> Result<LockShare> {
        let text = LockContent::text(&holder, self.poisoned.as_deref());
        let written = self.guard.write_holder(&text).await;
        written.map_err(|e| Error::io("write", &directory.join(LOCK_FILE), &e))?;
        let (guard, free) = (Mutex::new(self.guard), watch::Sender::new(()));
        let has_outbox = AtomicBool::new(false);
        let held = Held { holder, boot: self.boot, guard, has_outbox, free };
        Ok(LockShare(Arc::new(held)))
    }
}

impl LockShare {
    /// Marks the directory as not to be believed before the next boot.
    pub(super) async fn mark_poisoned(&self) -> io::Result<()> {
        let boot = self.0.boot.as_deref().unwrap_or(UNKNOWN_BOOT);
        self.write(Some(boot)).await
    }

    /// What is told of a failure. One that proves damage marks the directory first, so
    /// that no process of this boot trusts it: the system reports a page that it could not
    /// write once, and takes it for written from then on.
    pub(super) async fn mark_if_broken(&self, root: &Path, failure: Failure) -> Error {
        let broken = matches!(failure, Failure::Broken(_));
        if broken && let Err(mark) = self.mark_poisoned().await {
            tracing::error!("cannot mark {} as poisoned: {mark}", root.display());
        }
        failure.into()
    }

    /// The share of whoever opens the outbox; `None` while another one has it.
    pub(super) fn take_outbox(&self) -> Option<OutboxShare> {
        let taken = self.0.has_outbox.swap(true, Ordering::AcqRel);
        (!taken).then(|| OutboxShare(self.clone()))
    }

    /// Removes the mark; what it was about is gone.
    pub(super) async fn remove_mark(&self) -> io::Result<()> {
        self.write(None).await
    }

    async fn write(&self, poisoned: Option<&str>) -> io::Result<()> {
        let text = LockContent::text(&self.0.holder, poisoned);
        self.0.guard.lock().await.write_holder(&text).await
    }

    pub(super) fn unlocked(&self) -> Unlocked {
        Unlocked(self.0.free.subscribe())
    }

    pub(super) fn is_the_only_share(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A share of the lock, and the right to write the directory's outbox. There is one at a
/// time, until it is dropped.
pub(super) struct OutboxShare(LockShare);

impl OutboxShare {
    pub(super) fn lock(&self) -> &LockShare {
        &self.0
    }
}

impl Drop for OutboxShare {
    fn drop(&mut self) {
        self.0.0.has_outbox.store(false, Ordering::Release);
    }
}

/// The current boot; `None` where the system does not name it.
///
/// # Errors
/// It may name it, but cannot be asked at the moment.
pub(super) async fn boot_id(disk: &dyn Disk) -> io::Result<Option<String>> {
    let bytes = match disk.read(Path::new(BOOT_ID_PATH)).await {
        Ok(bytes) => bytes,
        Err(error) if verdict(&error) == Verdict::Refused => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8(bytes).ok().map(|text| text.trim().to_string());
    Ok(text.filter(|id| !id.is_empty()))
}

/// That a directory is in use, and by whom.
pub fn in_use(directory: &Path, holder: Option<Holder>) -> Error {
    let who = match holder {
        Some(Holder { pid, started_at, address, server: _ }) => {
            format!("the process {pid} (listening on {address}, started {started_at})")
        }
        None => "another process, which has not said yet who it is".to_string(),
    };
    Error::new(
        ErrorCode::DirectoryInUse,
        format!(
            "the data directory {} is in use by {who}; stop that process first, or name another \
             directory",
            directory.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::storage::testing::holder;

    #[test]
    fn the_content_is_read_back_and_half_of_it_is_nobody() {
        let content = LockContent { holder: Some(holder()), poisoned: Some("b-1".to_string()) };
        let text = LockContent::text(&holder(), Some("b-1"));
        assert_eq!(LockContent::parse(text.as_bytes()), content);
        assert_eq!(LockContent::parse(b"{\"pid\":12,"), LockContent::default());
        assert_eq!(LockContent::parse(&[0xff, b'\n']), LockContent::default());
    }

    async fn known_boot(host: &Host) -> Option<String> {
        boot_id(&*host.disk).await.expect("can be asked")
    }

    async fn take(host: &Host, folder: &Path) -> Result<(LockShare, bool)> {
        let unannounced = LockShare::take(&*host.disk, folder).await?;
        let poisoned = unannounced.poisoned();
        Ok((unannounced.announce(folder, holder()).await?, poisoned))
    }

    #[tokio::test]
    async fn who_only_looks_does_not_keep_the_owner_out() {
        let (host, folder) = (Host::real(), tempfile::tempdir().expect("a folder"));
        let path = folder.path().join("LOCK");
        let shared = std::fs::File::create(&path).expect("makes it");
        fs4::FileExt::try_lock_shared(&shared).expect("nobody has it");
        let let_go = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(shared);
        };
        let (taken, ()) = tokio::join!(take(&host, folder.path()), let_go);
        let (lock, _) = taken.expect("the prober went away");
        assert!(host.disk.is_locked(&path).await.expect("looks"));
        drop(lock);
        assert!(!host.disk.is_locked(&path).await.expect("looks"));
    }

    #[tokio::test]
    async fn the_second_one_is_told_who_was_first_until_the_last_share_goes() {
        let (host, folder) = (Host::real(), tempfile::tempdir().expect("a folder"));
        let take = || take(&host, folder.path());
        let (first, poisoned) = take().await.expect("free");
        assert!(!poisoned);
        let share = first.clone();
        assert!(!first.is_the_only_share());
        drop(first);
        let error = take().await.err().expect("held");
        assert_eq!(error.code, ErrorCode::DirectoryInUse);
        for part in ["process 4711", "127.0.0.1:8091", "stop that process"] {
            assert!(error.message.contains(part), "{error}");
        }
        drop(share);
        take().await.expect("free again");
    }

    #[tokio::test]
    async fn a_mark_holds_for_this_boot_and_until_it_is_removed() {
        let (host, folder) = (Host::real(), tempfile::tempdir().expect("a folder"));
        let take = || take(&host, folder.path());
        let (lock, _) = take().await.expect("free");
        lock.mark_poisoned().await.expect("marks");
        drop(lock);
        for _ in 0..2 {
            let (_lock, poisoned) = take().await.expect("free");
            assert!(poisoned, "the mark must survive whoever looks at it");
        }
        let content = read_lock(&*host.disk, folder.path()).await.expect("reads");
        assert_eq!(content.holder, Some(holder()));
        assert_eq!(content.poisoned, known_boot(&host).await.or(Some("unknown".to_string())));

        let (lock, _) = take().await.expect("free");
        lock.remove_mark().await.expect("removes it");
        drop(lock);
        assert!(!take().await.expect("free").1);

        let old = LockContent::text(&holder(), Some("a boot of the past"));
        std::fs::write(folder.path().join("LOCK"), old).expect("writes");
        let known = known_boot(&host).await.is_some();
        assert_eq!(take().await.expect("free").1, !known);
    }
}
