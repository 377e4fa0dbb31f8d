//! Small files that hold one record: written whole, read whole.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::errors::corrupted;
use super::record;
use super::shortage::{Shortage, Verdict, verdict};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, NotOpened};

/// Why a write did not happen, which decides what may be done next.
#[derive(Debug)]
pub(super) enum Failure {
    /// It passes. What was to be written can be tried again.
    Passing(Shortage, Error),
    /// The system does not allow the call, which proves nothing about the disk.
    Refused(Error),
    /// Above all a failed fsync: nothing may be written again, and nothing
    /// believed that was.
    Broken(Error),
}

/// What people are told of a call that the system does not allow.
const PUT_RIGHT: &str = "; what was written before is not in doubt: put that right, and start \
                         this server again";

/// The same error where nothing ends by it: what is to be put right, without the advice to
/// start the server again.
pub(super) fn without_restart(error: Error) -> Error {
    let message = error.message.strip_suffix(PUT_RIGHT).unwrap_or(&error.message).to_string();
    Error { message, ..error }
}

impl Failure {
    /// Of any call except an fsync.
    pub(super) fn of_call(action: &str, path: &Path, error: &io::Error) -> Failure {
        let failure = failed_call(action, path, error);
        match verdict(error) {
            Verdict::Short(shortage) => Failure::Passing(shortage, failure),
            Verdict::Refused => Failure::Refused(Error {
                message: format!("{}{PUT_RIGHT}", failure.message),
                ..failure
            }),
            Verdict::Damage => Failure::Broken(failure),
        }
    }

    /// Of an fsync. "No space left" is no excuse here: the kernel may have
    /// dropped the pages that it could not write, and reports that only once.
    pub(super) fn of_sync(path: &Path, error: &io::Error) -> Failure {
        let message = format!(
            "cannot make {} durable: {error}; nothing more is written there, as what the system \
             shows of it may never have reached the disk",
            path.display()
        );
        Failure::Broken(Error::new(ErrorCode::Io, message).because(error))
    }

    /// Of a folder's fsync, for which it is opened first.
    pub(super) fn of_folder_sync(folder: &Path, error: &io::Error) -> Failure {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<NotOpened>()) {
            Some(NotOpened(error)) => Failure::of_call("open", folder, error),
            None => Failure::of_sync(folder, error),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Passing(_, error) | Failure::Refused(error) | Failure::Broken(error) => error,
        }
    }
}

/// A failed call other than an fsync. If it may be tried again, its code is
/// [`ErrorCode::DiskFull`] or [`ErrorCode::Unavailable`].
pub(super) fn failed_call(action: &str, path: &Path, error: &io::Error) -> Error {
    let failure = Error::io(action, path, error);
    match verdict(error) {
        Verdict::Short(Shortage::Room) => Error { code: ErrorCode::DiskFull, ..failure },
        Verdict::Short(Shortage::Resources) => Error { code: ErrorCode::Unavailable, ..failure },
        Verdict::Refused | Verdict::Damage => failure,
    }
}

/// Whether a new content must survive a crash of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It does from the moment the call returns.
    Durable,
    /// It may be lost. Then the content before it is there.
    Lazy,
}

/// Replaces a file's content by one record line. A reader finds the old or the
/// new content, after a crash too.
///
/// So also a content that may be lost is synced before it takes the place of one that may
/// not: a file that is renamed first may be empty or torn when the power comes back.
///
/// Its errors say which step failed, because a full disk may be waited for and a
/// failed fsync may not.
pub(super) async fn replace(
    disk: &dyn Disk,
    path: &Path,
    line: Bytes,
    durability: Durability,
) -> Result<(), Failure> {
    let temporary = temporary_of(path);
    let failed = |error: &io::Error| Failure::of_call("write", &temporary, error);
    let mut file = disk.create(&temporary).await.map_err(|error| failed(&error))?;
    file.append(line).await.map_err(|error| failed(&error))?;
    file.sync_data().await.map_err(|error| Failure::of_sync(&temporary, &error))?;
    drop(file);
    let renamed = disk.rename(&temporary, path).await;
    renamed.map_err(|error| Failure::of_call("replace", path, &error))?;
    match durability {
        Durability::Durable => sync_folder_of(disk, path).await,
        Durability::Lazy => Ok(()),
    }
}

/// The name under which a file is written before it takes its place.
pub(super) fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".tmp");
    name.into()
}

/// Makes the folder's entries durable.
pub(super) async fn sync_folder(disk: &dyn Disk, folder: &Path) -> Result<(), Failure> {
    disk.sync_dir(folder).await.map_err(|error| Failure::of_folder_sync(folder, &error))
}

/// Makes the entry of this path durable.
pub(super) async fn sync_folder_of(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(disk, folder).await,
        // A bare name lies in the working directory; the root has no entry.
        Some(_) => sync_folder(disk, Path::new(".")).await,
        None => Ok(()),
    }
}

/// Removes a file durably. One that is not there is removed already.
pub(super) async fn remove(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    match disk.remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::of_call("remove", path, &error))
        }
        _ => sync_folder_of(disk, path).await,
    }
}

/// The payload of a file of one record; `None` when there is no such file.
///
/// # Errors
/// [`ErrorCode::Corrupted`] unless the file is exactly one whole record: such
/// files are replaced atomically, so no crash leaves half of one.
pub(super) async fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Bytes>> {
    let content = match disk.read(path).await {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path, &error)),
    };
    let Some(line) = content.strip_suffix(b"\n") else {
        return Err(corrupted(path, 1, "it does not end with a newline"));
    };
    let payload = record::decode(line).map_err(|damage| corrupted(path, 1, damage.what))?;
    Ok(Some(Bytes::copy_from_slice(payload)))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::host::Host;
    use crate::storage::testing::{FaultyDisk, flip_every_bit};

    #[tokio::test]
    async fn a_file_of_one_record_is_replaced_and_read() {
        let (disk, folder) = (Host::real().disk, tempfile::tempdir().expect("a folder"));
        let path = folder.path().join("vote.json");
        assert_eq!(read(&*disk, &path).await, Ok(None));
        for payload in ["1", "{\"x\":2}"] {
            let line = record::encode(payload.as_bytes());
            replace(&*disk, &path, line, Durability::Durable).await.expect("writes");
            assert_eq!(read(&*disk, &path).await, Ok(Some(Bytes::from(payload))));
        }
        assert_eq!(disk.list(folder.path()).await.expect("lists"), ["vote.json"]);
        remove(&*disk, &path).await.expect("removes");
        assert_eq!(read(&*disk, &path).await, Ok(None));
    }

    #[tokio::test]
    async fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let (disk, folder) = (Host::real().disk, tempfile::tempdir().expect("a folder"));
        let path = folder.path().join("vote.json");
        let line = record::encode(br#"{"term":3,"voted_for":2}"#);
        for broken in flip_every_bit(&line).chain((0..line.len()).map(|n| line[..n].to_vec())) {
            std::fs::write(&path, &broken).expect("writes");
            let error = read(&*disk, &path).await.expect_err("noticed");
            assert_eq!(error.code, ErrorCode::Corrupted);
            assert!(error.message.contains("vote.json") && error.message.contains("line 1"));
        }
    }

    #[test]
    fn a_folder_that_did_not_open_lost_nothing_and_one_that_did_not_sync_may_have() {
        let number = |number: Errno| io::Error::from_raw_os_error(number.raw_os_error());
        let of = |error| Failure::of_folder_sync(Path::new("log"), &error);
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            let failure = of(NotOpened::error(number(error)));
            assert!(matches!(failure, Failure::Passing(Shortage::Resources, _)), "{failure:?}");
        }
        let failure = of(NotOpened::error(number(Errno::ACCESS)));
        assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
        for error in [Errno::IO, Errno::NOSPC, Errno::NOMEM, Errno::ACCESS] {
            let failure = of(number(error));
            assert!(matches!(failure, Failure::Broken(_)), "{failure:?}");
        }
    }

    #[tokio::test]
    async fn a_full_disk_and_a_failed_sync_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, disk) = (folder.path().join("vote.json"), FaultyDisk::new());
        let line = || record::encode(b"1");
        disk.set_room(Some(3));
        let failure = replace(&disk, &path, line(), Durability::Durable).await;
        assert!(matches!(failure, Err(Failure::Passing(_, e)) if e.code == ErrorCode::DiskFull));
        disk.set_room(None);
        disk.fail_syncs(true);
        for durability in [Durability::Durable, Durability::Lazy] {
            let failure = replace(&disk, &path, line(), durability).await;
            assert!(matches!(failure, Err(Failure::Broken(e)) if e.code == ErrorCode::Io));
        }
        assert_eq!(read(&disk, &path).await, Ok(None), "nothing unsynced takes its place");
    }
}
