//! A data directory as a whole: opened, locked, and known by its identity.

use std::io;
use std::path::Path;

use super::errors::corrupted_whole;
use super::files::{self, Durability, Failure, sync_folder};
use super::identity::Identity;
use super::lock::{Holder, LockShare, Unlocked};
use super::place::Place;
use super::{Paths, index_of_name, on_worker};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, FileId, Host};
use crate::protocol::peer::Location;
use crate::types::{ReplicaId, Uuid};

/// A data directory whose lock this process holds.
///
/// Logs and snapshots made from it own shares of the lock, so dropping it
/// unlocks only when they are gone as well.
pub struct DataDirectory {
    pub(super) host: Host,
    pub(super) paths: Paths,
    pub(super) lock: LockShare,
    /// `Err`: why nothing in the directory can be believed.
    pub(super) identity: Result<Option<Identity>>,
    pub(super) place: Place,
}

impl DataDirectory {
    /// Makes the folder if it is missing, takes its lock and reads its identity.
    ///
    /// A damaged directory opens too, so that it can be set aside:
    /// [`DataDirectory::identity`] returns why.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`] names the holder; [`ErrorCode::NewerFormat`];
    /// [`ErrorCode::Io`] and [`ErrorCode::DiskFull`] name the path, also on a
    /// read-only file system or without permission.
    pub async fn open(host: &Host, path: &Path, holder: Holder) -> Result<DataDirectory> {
        let (host, paths) = (host.clone(), Paths { root: path.to_path_buf() });
        on_worker(&host.clone(), "open-directory", async move {
            let disk = &*host.disk;
            let made = disk.create_dir_all(&paths.root).await;
            made.map_err(|e| Error::io("make the folder", &paths.root, &e))?;
            let unannounced = LockShare::take(disk, &paths.root).await?;
            let (lock_file, poisoned) =
                (unannounced.file_id(&paths.root).await?, unannounced.poisoned());
            let lock = unannounced.announce(&paths.root, holder).await?;
            remove_temporaries(disk, &paths).await?;
            let identity = match read_identity(disk, &paths).await {
                Err(error) if error.code == ErrorCode::Corrupted => Err(error),
                Ok(_) if poisoned => Err(corrupted_whole(
                    &paths.root,
                    "was marked as poisoned: an fsync failed in it since this machine started, so \
                     what the system shows of it may not be on the disk",
                )),
                identity => Ok(identity?),
            };
            if let Ok(None) = identity {
                sync_ways_to(disk, &paths.root).await?;
            }
            // A process may have died between a rename and its sync. What is
            // relied on from here must survive this machine as well.
            if let Err(failure) = sync_folder(disk, &paths.root).await {
                return Err(lock.mark_if_broken(&paths.root, failure).await);
            }
            let place = Place::of(disk, &paths.root, lock_file).await;
            Ok(DataDirectory { host, paths, lock, identity, place })
        })
        .await
    }

    /// Where the directory is, for the neighbours to know; `None` while it has
    /// no identity that could have been opened.
    pub fn location(&self) -> Option<Location> {
        let identity = self.identity.as_ref().ok()?.as_ref()?;
        Some(self.place.location(identity.opening()))
    }

    /// Tells when the directory is free again.
    pub fn unlocked(&self) -> Unlocked {
        self.lock.unlocked()
    }

    /// Its `LOCK`.
    pub fn lock_file(&self) -> FileId {
        self.place.lock
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.paths.root
    }

    /// Who the directory belongs to; `None` when it is empty.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] when nothing in it can be believed: the identity
    /// is broken, or missing where other files are there, or the directory was
    /// marked after a failed fsync.
    pub fn identity(&self) -> Result<Option<&Identity>> {
        self.identity.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// Refuses a directory of another replica, or of another cluster if one is
    /// named. An empty directory is everybody's.
    ///
    /// # Errors
    /// [`ErrorCode::WrongCluster`] names both sides; and as [`DataDirectory::identity`].
    pub fn expect(&self, cluster: Option<Uuid>, replica: ReplicaId) -> Result<()> {
        match self.identity()? {
            Some(identity) => identity.expect(&self.paths.root, cluster, replica),
            None => Ok(()),
        }
    }

    /// Replaces the identity, durably.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] or [`ErrorCode::DiskFull`]; then either identity may
    /// be on disk. And as [`DataDirectory::identity`].
    pub async fn write_identity(&mut self, identity: Identity) -> Result<()> {
        self.identity()?;
        let (host, path, line) = (self.host.clone(), self.paths.identity(), identity.encode());
        on_worker(&self.host, "write-identity", async move {
            Ok(files::replace(&*host.disk, &path, line, Durability::Durable).await?)
        })
        .await?;
        self.identity = Ok(Some(identity));
        Ok(())
    }

    /// Raises [`Identity::opens`] by one, durably, and returns the new identity.
    /// To be called once whenever a directory is opened to run its replica,
    /// before the replica speaks to anyone. Its owner notes which feature level it
    /// knows; whoever adopts it leaves that as it is.
    ///
    /// # Errors
    /// As [`DataDirectory::write_identity`]; [`ErrorCode::Internal`] for an
    /// empty directory.
    pub async fn count_open(&mut self, owner_knows_level: Option<u32>) -> Result<Identity> {
        let mut identity = self.require_identity()?.clone();
        identity.count_opening(self.host.uuid());
        identity.knows_level = owner_knows_level.unwrap_or(identity.knows_level);
        self.write_identity(identity.clone()).await?;
        Ok(identity)
    }

    /// The identity of a directory that must have one by now: a log without
    /// identity counts as damage when it is opened the next time.
    pub(super) fn require_identity(&self) -> Result<&Identity> {
        self.identity()?.ok_or_else(|| {
            let path = self.paths.root.display();
            Error::internal(format!("{path} has no identity, which must be written first"))
        })
    }
}

/// Makes the name of a folder durable, and those of the folders above it, which
/// may have been made with it.
async fn sync_ways_to(disk: &dyn Disk, root: &Path) -> Result<()> {
    for folder in root.ancestors().skip(1) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let synced = disk.sync_dir(folder).await;
        match synced.map_err(|error| (error.kind(), Failure::of_folder_sync(folder, &error))) {
            // Of one that is not ours to open nothing was made either, and some
            // file systems have nothing to sync.
            Ok(())
            | Err((_, Failure::Refused(_)))
            | Err((io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported, _)) => {}
            Err((_, failure)) => return Err(failure.into()),
        }
    }
    Ok(())
}

/// Removes what a crash left in the middle of replacing a file.
pub(super) async fn remove_temporaries(disk: &dyn Disk, paths: &Paths) -> Result<()> {
    for path in [
        paths.identity(),
        paths.vote(),
        paths.committed(),
        paths.dropped_tail(),
        paths.neighbours(),
        paths.forgotten_keys(),
    ] {
        let path = files::temporary_of(&path);
        match disk.remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) async fn read_identity(disk: &dyn Disk, paths: &Paths) -> Result<Option<Identity>> {
    let path = paths.identity();
    if let Some(payload) = files::read(disk, &path).await? {
        return Identity::decode(&path, &payload).map(Some);
    }
    if has_content(disk, paths).await? {
        return Err(corrupted_whole(&paths.root, "has a log or vote, but no identity.json"));
    }
    Ok(None)
}

/// Whether there is anything that only a replica with an identity writes.
async fn has_content(disk: &dyn Disk, paths: &Paths) -> Result<bool> {
    let names = disk.list(&paths.root).await.map_err(|e| Error::io("list", &paths.root, &e))?;
    let singles = [paths.vote(), paths.committed(), paths.dropped_tail()];
    if names.iter().any(|name| singles.contains(&paths.root.join(name))) {
        return Ok(true);
    }
    for folder in [paths.log(), paths.snapshots()] {
        if names.iter().any(|name| paths.root.join(name) == folder) {
            let files = disk.list(&folder).await.map_err(|e| Error::io("list", &folder, &e))?;
            if files.iter().any(|name| index_of_name(name).is_some()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::storage::testing::{
        self, FaultyDisk, flip_every_bit, holder, identity, unsynced_host,
    };

    async fn open(path: &Path) -> Result<DataDirectory> {
        DataDirectory::open(&Host::real(), path, holder()).await
    }

    #[tokio::test]
    async fn an_empty_directory_becomes_somebodys_and_counts_its_opens() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/for/it");
        let mut directory = open(&path).await.expect("opens");
        assert_eq!(directory.identity(), Ok(None));
        assert_eq!(directory.expect(None, ReplicaId(9)), Ok(()));
        assert_eq!(directory.count_open(None).await.expect_err("empty").code, ErrorCode::Internal);
        directory.write_identity(identity()).await.expect("writes");
        for opens in 1..=2 {
            assert_eq!(directory.count_open(None).await.map(|identity| identity.opens), Ok(opens));
        }
        let error = open(&path).await.err().expect("held");
        assert_eq!(error.code, ErrorCode::DirectoryInUse);
        drop(directory);

        std::fs::write(path.join("identity.json.tmp"), "left by a crash").expect("writes");
        let directory = open(&path).await.expect("opens");
        let found = directory.identity().expect("whole").expect("there");
        let openings = found.openings.clone();
        assert_eq!(found, &Identity { opens: 2, openings, ..identity() });
        assert!(!path.join("identity.json.tmp").exists());
        assert_eq!(directory.expect(Some(identity().cluster), ReplicaId(1)), Ok(()));
        let error = directory.expect(None, ReplicaId(2)).expect_err("another's");
        assert_eq!(error.code, ErrorCode::WrongCluster);
    }

    #[tokio::test]
    async fn a_flipped_bit_in_the_identity_is_damage_and_opens_for_repair_only() {
        let folder = tempfile::tempdir().expect("a folder");
        testing::directory(&Host::real(), folder.path()).await;
        let path = folder.path().join("identity.json");
        let content = std::fs::read(&path).expect("reads");
        for flipped in flip_every_bit(&content) {
            std::fs::write(&path, &flipped).expect("writes");
            let opened = DataDirectory::open(&unsynced_host(), folder.path(), holder()).await;
            let mut directory = opened.expect("opens, to be repaired");
            assert_eq!(directory.identity().expect_err("noticed").code, ErrorCode::Corrupted);
            assert!(directory.write_identity(identity()).await.is_err(), "nothing is overwritten");
        }
    }

    #[tokio::test]
    async fn whatever_only_a_replica_writes_is_damage_where_there_is_no_identity() {
        let paths = |root: &Path| Paths { root: root.to_path_buf() };
        type Name = fn(&Paths) -> PathBuf;
        let names: [(Name, bool); 7] = [
            (Paths::vote, true),
            (Paths::committed, true),
            (Paths::dropped_tail, true),
            (|paths| paths.segment(0), true),
            (|paths| paths.snapshot(7), true),
            (Paths::neighbours, false),
            (|paths| paths.log().join("notes.txt"), false),
        ];
        for (name, damage) in names {
            let folder = tempfile::tempdir().expect("a folder");
            let path = name(&paths(folder.path()));
            std::fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            std::fs::write(&path, "").expect("writes");
            let directory = open(folder.path()).await.expect("opens, to be set aside");
            let found = directory.identity().map_err(|error| error.code);
            let expected = if damage { Err(ErrorCode::Corrupted) } else { Ok(None) };
            assert_eq!(found, expected, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn a_newer_format_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let newer = Identity { format: 99, ..identity() };
        std::fs::write(folder.path().join("identity.json"), newer.encode()).expect("writes");
        let error = open(folder.path()).await.err().expect("refused");
        assert_eq!(error.code, ErrorCode::NewerFormat);
    }

    #[tokio::test]
    async fn a_disk_that_cannot_be_written_is_named() {
        let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
        disk.read_only(true);
        let opened = DataDirectory::open(&disk.host(), folder.path(), holder()).await;
        let error = opened.err().expect("refused");
        assert_eq!(error.code, ErrorCode::Io);
        assert!(error.message.contains(&folder.path().display().to_string()), "{error}");

        let file = folder.path().join("a-file");
        std::fs::write(&file, "").expect("writes");
        let error = open(&file.join("below")).await.err().expect("refused");
        assert_eq!(error.code, ErrorCode::Io);
        assert!(error.message.contains("a-file/below"), "{error}");
    }

    #[tokio::test]
    async fn a_log_without_identity_is_damage_and_can_be_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for round in 1..=2 {
            let (log, _) =
                testing::open_log(Host::real(), root, Default::default()).await.expect("opens");
            log.write_vote("1".into()).await.expect("votes");
            log.close().await.expect("closes");
            std::fs::remove_file(root.join("identity.json")).expect("removes");
            let mut directory = open(root).await.expect("opens");
            let error = directory.identity().expect_err("damage");
            assert_eq!(error.code, ErrorCode::Corrupted);
            assert!(error.message.contains("no identity.json"), "{error}");

            let aside = directory.set_aside().await.expect("moves");
            assert_eq!(aside, root.join(format!("damaged-{round}")));
            assert!(aside.join("vote.json").exists() && aside.join("log").is_dir());
            assert!(!root.join("vote.json").exists() && root.join("LOCK").exists());
            assert_eq!(directory.identity(), Ok(None));
            directory.write_identity(identity()).await.expect("begins again");
        }
    }

    #[tokio::test]
    async fn what_is_in_use_is_not_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut directory = testing::directory(&Host::real(), folder.path()).await;
        let snapshots = crate::storage::Snapshots::open(&directory).await.expect("opens");
        let error = directory.set_aside().await.expect_err("in use");
        assert_eq!(error.code, ErrorCode::Internal);
        drop(snapshots);
        directory.set_aside().await.expect("free now");
    }
}
