//! `cluster.json`, and the folder it stands in.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::is_named;
use super::rotating::{older_log, unfinished_copy};
use crate::config::{ClusterSettings, CommandLines, key_file};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Random, make_private_folders, open_private, read_bounded, replace_private};
use crate::protocol::client::{ReplicaStatus, Survivor};
use crate::protocol::status::ClusterStatus;
use crate::types::{Address, ReplicaId};

/// Longest description that is read: nine replicas have some kilobytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Version of `cluster.json`.
const FORMAT: u32 = 1;
const DESCRIPTION_FILE: &str = "cluster.json";
const KEY_FILE: &str = "cluster.key";
const LOCK_FILE: &str = "cluster.lock";
/// The description, while it is written.
const TEMPORARY_FILE: &str = "cluster.json.tmp";
/// Between two attempts to take that lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What `cluster.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this file: 1. Also tells it from other programs' files.
    pub ftchat_cluster: u32,
    /// The cluster's name.
    pub name: String,
    /// Whether survivors adopt dead neighbours.
    pub survivor: Survivor,
    /// The replicas, sorted by number.
    pub replicas: Vec<LocalReplica>,
    /// The folder; not in the file, so that it may be moved.
    #[serde(skip)]
    dir: PathBuf,
    /// Command lines about it; not in the file, as they depend on how it was found.
    #[serde(skip)]
    command_lines: CommandLines,
}

/// One replica of a local cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalReplica {
    /// Its number.
    pub id: ReplicaId,
    /// Where its server listens.
    pub address: Address,
    /// Its data directory's name within the folder: `replica-N`.
    pub data_dir: String,
}

fn data_dir_name(id: ReplicaId) -> String {
    format!("replica-{id}")
}

impl Description {
    /// Reads the cluster in a folder. `None`: there is none.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when the file is not one of ours,
    /// [`ErrorCode::NewerFormat`] when a newer program wrote it,
    /// [`ErrorCode::Io`] when it cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Description>> {
        let path = dir.join(DESCRIPTION_FILE);
        let bytes = match read_bounded(&path, FILE_MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::own_file("read", &path, &error)),
        };
        let broken = |why: String| {
            Error::new(
                ErrorCode::InvalidConfig,
                format!("{} does not describe a cluster: {why}", path.display()),
            )
        };
        let mut description: Description =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if description.ftchat_cluster > FORMAT {
            return Err(Error::new(
                ErrorCode::NewerFormat,
                format!("{} was written by a newer ftchat; use that one", path.display()),
            ));
        }
        let sorted = description.replicas.is_sorted_by(|a, b| a.id < b.id);
        if description.ftchat_cluster != FORMAT || description.replicas.is_empty() || !sorted {
            return Err(broken("version or replicas are impossible".to_string()));
        }
        // Purging removes these folders, so nothing but the names that this
        // program gives is believed.
        for replica in &description.replicas {
            if replica.id.0 == 0 || replica.data_dir != data_dir_name(replica.id) {
                return Err(broken(format!("{:?} is no data directory of ours", replica.data_dir)));
            }
        }
        description.dir = dir.to_path_buf();
        Ok(Some(description))
    }

    /// Reads the cluster that a command is about.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownCluster`] when there is none; else as [`Description::load`].
    pub fn existing(settings: &ClusterSettings) -> Result<Description> {
        Description::found(settings)?.ok_or_else(|| {
            Error::new(
                ErrorCode::UnknownCluster,
                format!(
                    "there is no local cluster in {}; make one with: {}",
                    settings.dir.display(),
                    settings.command_lines.line("cluster up", &[])
                ),
            )
        })
    }

    fn found(settings: &ClusterSettings) -> Result<Option<Description>> {
        let command_lines = settings.command_lines.clone();
        let found = Description::load(&settings.dir)?;
        Ok(found.map(|description| Description { command_lines, ..description }))
    }

    /// The local cluster that a status is about, if it is one of these: it has
    /// the same addresses, and where servers answered they are its own.
    pub fn of(status: &ClusterStatus, known: &[ClusterSettings]) -> Option<Description> {
        known.iter().find_map(|settings| {
            // A folder beside it that no program of ours made is not the cluster.
            let cluster = Description::found(settings).ok().flatten()?;
            let of_it = |replica: &ReplicaStatus| {
                let own = cluster.replicas.iter().find(|own| own.address == replica.address);
                let Some(own) = own else { return false };
                match (replica.hosted_by == Some(own.id), replica.pid) {
                    (true, Some(pid)) => is_named(&cluster.data_dir(own), pid),
                    _ => true,
                }
            };
            status.replicas.iter().all(of_it).then_some(cluster)
        })
    }

    /// A command line about this cluster.
    pub fn line(&self, verb: &str, arguments: &[&str]) -> String {
        self.command_lines.line(&format!("cluster {verb}"), arguments)
    }

    /// Command lines about this cluster.
    pub fn command_lines(&self) -> &CommandLines {
        &self.command_lines
    }

    /// Reads the cluster that a command is about, and keeps other commands from
    /// it until the lock is dropped.
    ///
    /// # Errors
    /// Those of [`Description::existing`]; [`ErrorCode::Unavailable`] when another
    /// command keeps the lock for `limit`.
    pub async fn lock_existing(
        settings: &ClusterSettings,
        limit: Duration,
    ) -> Result<(Description, fs::File)> {
        // Nothing is made in a folder that holds no cluster.
        Description::existing(settings)?;
        let lock = lock(&settings.dir, limit, || Description::existing(settings).map(drop)).await?;
        // The command that had it may have removed the cluster.
        Ok((Description::existing(settings)?, lock))
    }

    /// The same for the cluster of `up`, which is made if there is none. If two commands
    /// find none, the second one gets what the first one made.
    ///
    /// # Errors
    /// Those of [`Description::existing_or_new`]; [`ErrorCode::Unavailable`].
    pub async fn lock_existing_or_new(
        settings: &ClusterSettings,
        random: &dyn Random,
        limit: Duration,
    ) -> Result<(Description, fs::File)> {
        let prepare = || match Description::load(&settings.dir)? {
            Some(_) => Ok(()),
            None => make_folder_to_lock(&settings.dir),
        };
        prepare()?;
        let lock = lock(&settings.dir, limit, prepare).await?;
        Ok((Description::existing_or_new(settings, random)?, lock))
    }

    /// Reads the cluster of `up`, or makes its folder, key and description.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when the cluster there is another than the
    /// one asked for, or the folder holds something else.
    pub fn existing_or_new(settings: &ClusterSettings, random: &dyn Random) -> Result<Description> {
        if let Some(description) = Description::found(settings)? {
            description.check_against(settings)?;
            return Ok(description);
        }
        let dir = &settings.dir;
        if let Some(foreign) = make_folder(dir)? {
            return Err(not_empty(dir, &foreign));
        }
        let key = dir.join(KEY_FILE);
        if !key.exists() {
            let mut bytes = zeroize::Zeroizing::new([0; key_file::KEY_BYTES]);
            random.fill(&mut *bytes);
            key_file::write_new(&key, &bytes)?;
        }
        let replicas = (1..=settings.replicas)
            .map(|id| {
                let port = u32::from(settings.base_port) + id - 1;
                Ok(LocalReplica {
                    id: ReplicaId(id),
                    address: format!("127.0.0.1:{port}").parse()?,
                    data_dir: data_dir_name(ReplicaId(id)),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let description = Description {
            ftchat_cluster: FORMAT,
            name: settings.name.clone(),
            survivor: settings.survivor,
            replicas,
            dir: dir.clone(),
            command_lines: settings.command_lines.clone(),
        };
        description.write()?;
        Ok(description)
    }

    /// An existing cluster keeps its shape: another number of replicas would be
    /// another membership, and other ports would hide it from its clients.
    fn check_against(&self, settings: &ClusterSettings) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::new(
                ErrorCode::InvalidConfig,
                format!(
                    "the cluster in {} {what}; leave the flag out, or make another cluster \
                     with --name, or remove this one with: {}",
                    self.dir.display(),
                    self.line("down --purge", &[])
                ),
            ))
        };
        let (replicas, base_port) = (self.replicas.len(), self.replicas[0].address.port());
        if settings.replicas_given && replicas != settings.replicas as usize {
            return refuse(format!("has {replicas} replicas, not {}", settings.replicas));
        }
        if settings.base_port_given && base_port != settings.base_port {
            return refuse(format!("begins at port {base_port}, not {}", settings.base_port));
        }
        Ok(())
    }

    /// The same cluster with another choice for survivors, written down.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub fn with_survivor(mut self, survivor: Survivor) -> Result<Description> {
        self.survivor = survivor;
        self.write()?;
        Ok(self)
    }

    /// Replaces the file so that a crash leaves the old or the new one, whole.
    fn write(&self) -> Result<()> {
        let path = self.dir.join(DESCRIPTION_FILE);
        let temporary = self.dir.join(TEMPORARY_FILE);
        let mut json = serde_json::to_vec_pretty(self).expect("plain data serializes");
        json.push(b'\n');
        let write = || {
            let mut file = replace_private(fs::OpenOptions::new().write(true), &temporary)?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| Error::io("write", &path, &error))
    }

    /// The replica of that number.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownReplica`] that lists the numbers there are.
    pub fn replica(&self, id: ReplicaId) -> Result<&LocalReplica> {
        self.replicas.iter().find(|replica| replica.id == id).ok_or_else(|| {
            let ids: Vec<String> = self.replicas.iter().map(|r| r.id.to_string()).collect();
            Error::new(
                ErrorCode::UnknownReplica,
                format!("the cluster has no replica {id}; it has {}", ids.join(", ")),
            )
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the servers listen, in the order of their numbers.
    pub fn addresses(&self) -> Vec<Address> {
        self.replicas.iter().map(|replica| replica.address.clone()).collect()
    }

    /// A replica's data directory.
    pub fn data_dir(&self, replica: &LocalReplica) -> PathBuf {
        self.dir.join(&replica.data_dir)
    }

    /// The log of a replica's server.
    pub fn log_file(&self, replica: &LocalReplica) -> PathBuf {
        self.dir.join(format!("{}.log", replica.data_dir))
    }

    /// Every file that the log of a replica's server may consist of.
    fn log_files(&self, replica: &LocalReplica) -> [PathBuf; 3] {
        let log = self.log_file(replica);
        let older = older_log(&log);
        [unfinished_copy(&older), older, log]
    }

    /// The cluster's key.
    pub fn key_file(&self) -> PathBuf {
        self.dir.join(KEY_FILE)
    }

    /// Removes the cluster. Its servers must have stopped. Returns whether the
    /// folder is gone: it stays when it holds something that is not the
    /// cluster's.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]; what is left can be removed by the same call again,
    /// since the description goes after all that it tells of.
    pub fn purge(self) -> Result<bool> {
        for replica in &self.replicas {
            let data_dir = self.data_dir(replica);
            gone(&data_dir, fs::remove_dir_all(&data_dir))?;
            for log in self.log_files(replica) {
                gone(&log, fs::remove_file(&log))?;
            }
        }
        // The lock after all that it protects.
        for name in [KEY_FILE, TEMPORARY_FILE, DESCRIPTION_FILE, LOCK_FILE] {
            let path = self.dir.join(name);
            gone(&path, fs::remove_file(&path))?;
        }
        match fs::remove_dir(&self.dir) {
            Ok(()) => Ok(true),
            // Without the lock file another command may have done it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => Err(Error::io("remove", &self.dir, &error)),
        }
    }
}

fn gone(path: &Path, removed: io::Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Makes the folder in which to take the lock.
///
/// A command makes its files after the lock file and removes them before it. So
/// as long as that file is there, what stands beside it may be another command's
/// that is just at work: whose it is can only be told by who has the lock.
fn make_folder_to_lock(dir: &Path) -> Result<()> {
    let lock = dir.join(LOCK_FILE);
    let locked_before = lock.exists();
    match make_folder(dir)? {
        Some(foreign) if !locked_before && !lock.exists() => Err(not_empty(dir, &foreign)),
        _ => Ok(()),
    }
}

/// Makes the folder, and returns a name in it that no interrupted `up` has left.
/// A cluster must not spread over somebody's home.
fn make_folder(dir: &Path) -> Result<Option<OsString>> {
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

fn not_empty(dir: &Path, foreign: &OsStr) -> Error {
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
async fn lock(dir: &Path, limit: Duration, missing: impl Fn() -> Result<()>) -> Result<fs::File> {
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

fn same_file(file: &fs::File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => id(file) == id(path),
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests;
