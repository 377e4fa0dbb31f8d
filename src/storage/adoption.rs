//! Taking over the data directory of a dead neighbour.
//!
//! A voter is its durable state, and any process that holds the lock of that state
//! may be the voter. But it must be that very state, and not a copy, an older backup
//! in its place, another cluster's directory under the same name, or a directory whose
//! lock means nothing because another machine sees it too. So these things are checked
//! before a byte is written:
//!
//! - The file system is one on which the kernel decides who holds a lock.
//! - During the boot in which the neighbour spoke last, its `LOCK` is the very file
//!   that it named. After a restart of the machine, which may number files anew, it is
//!   the same machine and path, and the directory was not opened less often than the
//!   neighbour had reported, which keeps copies out.
//! - After locking, the path still leads to the locked file.
//! - Cluster, lineage, replica and incarnation are those of the neighbour, and no fsync
//!   has failed there since this boot.

use std::path::Path;

use super::directory::{read_identity, remove_temporaries};
use super::errors::corrupted_whole;
use super::files::sync_folder;
use super::lock::{Holder, LOCK_FILE, LockShare, boot_id};
use super::place::{Place, machine_id};
use super::{DataDirectory, Identity, Neighbour, Paths, on_worker};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, FileId, Host};
use crate::protocol::peer::Location;

impl DataDirectory {
    /// Takes a dead neighbour's directory, or leaves it as it is. `own` is the
    /// identity of the replica whose server does so.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`]: it is held, so its process lives, if only
    /// frozen. [`ErrorCode::Corrupted`]: nothing in it can be believed.
    /// [`ErrorCode::WrongCluster`]: it is not, or cannot be known to be, what
    /// the neighbour left. [`ErrorCode::Io`]: it cannot be opened.
    pub async fn adopt(
        host: &Host,
        neighbour: &Neighbour,
        own: &Identity,
        holder: Holder,
    ) -> Result<DataDirectory> {
        let (host, neighbour, own) = (host.clone(), neighbour.clone(), own.clone());
        on_worker(&host.clone(), "adopt-directory", async move {
            let disk = &*host.disk;
            let paths = Paths { root: neighbour.location.path.clone() };
            check_file_system(disk, &paths.root).await?;
            let found = lock_file(disk, &paths.root).await?;
            check_place(disk, &neighbour.location, found).await?;
            let unannounced = LockShare::take(disk, &paths.root).await?;
            let locked = unannounced.file_id(&paths.root).await?;
            // The name may have been given to another file between the look
            // and the lock, or the lock have made a new one.
            if locked != found || lock_file(disk, &paths.root).await? != found {
                return Err(not_it(&paths.root, "its LOCK was replaced a moment ago"));
            }
            if unannounced.poisoned() {
                return Err(corrupted_whole(
                    &paths.root,
                    "was marked as poisoned: an fsync failed in it since this machine started",
                ));
            }
            let Some(identity) = read_identity(disk, &paths).await? else {
                return Err(not_it(&paths.root, "it is empty"));
            };
            check_identity(&paths.root, &identity, &neighbour, &own)?;
            let lock = unannounced.announce(&paths.root, holder).await?;
            remove_temporaries(disk, &paths).await?;
            // Its process may have died between a rename and its sync.
            sync_folder(disk, &paths.root).await?;
            let place = Place::of(disk, &paths.root, locked).await;
            Ok(DataDirectory { host, paths, lock, identity: Ok(Some(identity)), place })
        })
        .await
    }
}

/// Whether a neighbour's directory is where it said, on a file system whose
/// locks prove something: it could be adopted, as far as that can be seen while
/// its process lives.
pub async fn is_adoptable(disk: &dyn Disk, location: &Location) -> bool {
    let looking = async {
        check_file_system(disk, &location.path).await?;
        let found = lock_file(disk, &location.path).await?;
        check_place(disk, location, found).await
    };
    looking.await.is_ok()
}

/// Whether the process that ran a neighbour's directory is gone: the `LOCK`
/// that the neighbour named during this boot is there, and nobody holds it.
/// `None` when that cannot be known.
pub async fn is_free(disk: &dyn Disk, location: &Location) -> Option<bool> {
    if location.boot.is_empty() || boot_id(disk).await.ok()?? != location.boot {
        return None;
    }
    let path = location.path.join(LOCK_FILE);
    if disk.file_id(&path).await.ok()? != location.lock {
        return None;
    }
    disk.is_locked(&path).await.ok().map(|locked| !locked)
}

/// Whether the path still leads to the `LOCK` that is held.
pub async fn is_in_place(disk: &dyn Disk, directory: &Path, lock: FileId) -> bool {
    disk.file_id(&directory.join(LOCK_FILE)).await.is_ok_and(|found| found == lock)
}

async fn lock_file(disk: &dyn Disk, directory: &Path) -> Result<FileId> {
    let path = directory.join(LOCK_FILE);
    disk.file_id(&path).await.map_err(|error| Error::io("look at", &path, &error))
}

async fn check_file_system(disk: &dyn Disk, directory: &Path) -> Result<()> {
    let kind = disk.file_system(directory).await;
    let kind = kind.map_err(|error| Error::io("look at", directory, &error))?;
    if kind.locks_are_local {
        return Ok(());
    }
    Err(not_it(
        directory,
        &format!(
            "a lock on its file system ({}) does not prove that nobody on another machine holds it",
            kind.name
        ),
    ))
}

async fn check_place(disk: &dyn Disk, named: &Location, found: FileId) -> Result<()> {
    let boot = boot_id(disk).await.ok().flatten();
    let same_boot = !named.boot.is_empty() && boot.as_ref() == Some(&named.boot);
    if same_boot {
        return match found == named.lock {
            true => Ok(()),
            false => Err(not_it(&named.path, "it is not the directory that its server had opened")),
        };
    }
    let same_machine =
        !named.machine.is_empty() && machine_id(disk).await.as_ref() == Some(&named.machine);
    match same_machine {
        true => Ok(()),
        false => Err(not_it(&named.path, "its server ran on another machine, as far as is known")),
    }
}

fn check_identity(
    path: &Path,
    found: &Identity,
    neighbour: &Neighbour,
    own: &Identity,
) -> Result<()> {
    if (found.cluster, found.lineage) != (own.cluster, own.lineage) {
        return Err(not_it(path, "it belongs to another cluster"));
    }
    if found.node() != neighbour.node() {
        let what = format!("it holds {}, and not {}", found.node(), neighbour.node());
        return Err(not_it(path, &what));
    }
    let remembered = neighbour.location.opening();
    if !found.continues(&remembered) {
        return Err(not_it(
            path,
            &format!(
                "it is an old copy, which was opened {} times and not in the same way as what its \
                 server had opened {} times",
                found.opens, remembered.number
            ),
        ));
    }
    Ok(())
}

fn not_it(path: &Path, why: &str) -> Error {
    let message = format!("the data directory {} is left alone: {why}", path.display());
    Error::new(ErrorCode::WrongCluster, message)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::storage::testing::{self, holder, identity};
    use crate::types::{ReplicaId, Uuid};

    /// A directory that its server has opened twice, and what is remembered of that.
    async fn opened() -> (TempDir, DataDirectory, Neighbour) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut directory = testing::directory(&Host::real(), folder.path()).await;
        let mut opened = identity();
        for _ in 0..2 {
            opened = directory.count_open(None).await.expect("writes");
        }
        let location = directory.location().expect("it has an identity");
        let Identity { replica, incarnation, knows_level, .. } = opened;
        (folder, directory, Neighbour { replica, incarnation, location, knows_level })
    }

    async fn adopt(neighbour: &Neighbour) -> Result<DataDirectory> {
        let own = Identity { replica: ReplicaId(2), ..identity() };
        DataDirectory::adopt(&Host::real(), neighbour, &own, holder()).await
    }

    async fn refused(neighbour: &Neighbour) -> Error {
        adopt(neighbour).await.err().expect("refused")
    }

    #[tokio::test]
    async fn a_directory_is_adopted_when_its_server_is_gone_and_not_before() {
        let (_folder, directory, neighbour) = opened().await;
        let disk = Host::real().disk;
        assert_eq!(refused(&neighbour).await.code, ErrorCode::DirectoryInUse);
        assert_eq!(is_free(&*disk, &neighbour.location).await, Some(false));
        drop(directory);
        assert_eq!(is_free(&*disk, &neighbour.location).await, Some(true));
        let adopted = adopt(&neighbour).await.expect("left to whoever takes it");
        assert_eq!(adopted.location(), Some(neighbour.location));
    }

    #[tokio::test]
    async fn what_its_server_had_not_opened_is_left_alone() {
        let (folder, directory, neighbour) = opened().await;
        drop(directory);
        let disk = Host::real().disk;
        let path = folder.path().join("identity.json");
        let last = std::fs::read(&path).expect("reads");
        let mut opened = testing::directory(&Host::real(), folder.path()).await;
        for (opens, why) in [(1, "an old copy"), (2, "an old copy"), (3, "an old copy")] {
            // Opened so many times, and each time by somebody else.
            let openings = (0..opens).map(|_| Host::real().uuid()).collect();
            let copy = Identity { opens, openings, ..identity() };
            opened.write_identity(copy).await.expect("writes");
            drop(opened);
            let error = refused(&neighbour).await;
            assert!(error.message.contains(why), "{opens}: {error}");
            opened = DataDirectory::open(&Host::real(), folder.path(), holder())
                .await
                .expect("nobody has it");
        }
        drop(opened);
        for (other, why) in [
            (Identity { cluster: Uuid::nil(), ..identity() }, "another cluster"),
            (Identity { lineage: Uuid::nil(), ..identity() }, "another cluster"),
            (Identity { incarnation: 2, ..identity() }, "it holds"),
            (Identity { replica: ReplicaId(3), ..identity() }, "it holds"),
        ] {
            std::fs::write(&path, other.encode()).expect("writes");
            let error = refused(&neighbour).await;
            assert_eq!(error.code, ErrorCode::WrongCluster);
            assert!(error.message.contains(why), "{error}");
        }
        std::fs::write(&path, last).expect("writes");
        drop(adopt(&neighbour).await.expect("it is as its server left it"));

        // A lock file that is free says nothing of whoever holds the other one.
        let lock = folder.path().join("LOCK");
        std::fs::rename(&lock, folder.path().join("LOCK.old")).expect("renames");
        std::fs::write(&lock, "").expect("writes");
        assert_eq!(is_free(&*disk, &neighbour.location).await, None);
        assert!(!is_adoptable(&*disk, &neighbour.location).await);
        assert_eq!(refused(&neighbour).await.code, ErrorCode::WrongCluster);
    }

    #[tokio::test]
    async fn a_directory_in_which_an_fsync_has_failed_is_left_alone() {
        let (_folder, directory, neighbour) = opened().await;
        directory.lock.mark_poisoned().await.expect("marks");
        drop(directory);
        let error = refused(&neighbour).await;
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains("poisoned"), "{error}");
    }
}
