//! `cluster.json`, and the folder it stands in.

mod folder;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::folder::same_file;
use self::folder::{lock, make_folder, make_folder_to_lock, not_empty};
use super::process::is_named;
use super::rotating::{older_log, unfinished_copy};
use crate::config::{ClusterSettings, CommandLines, key_file};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Random, read_bounded, replace_private};
use crate::protocol::client::{ReplicaStatus, Survivor};
use crate::protocol::status::ClusterStatus;
use crate::protocol::survivor::in_a_file;
use crate::types::{Address, MemberEntry, ReplicaId};

/// Longest description that is read: nine replicas have some kilobytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Version of `cluster.json`.
const FORMAT: u32 = 1;
const DESCRIPTION_FILE: &str = "cluster.json";
const KEY_FILE: &str = "cluster.key";
const LOCK_FILE: &str = "cluster.lock";
/// The description, while it is written.
const TEMPORARY_FILE: &str = "cluster.json.tmp";

/// What `cluster.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this file: 1. Also tells it from other programs' files.
    pub ftchat_cluster: u32,
    /// The cluster's name.
    pub name: String,
    /// What a server does that is left without a majority.
    #[serde(flatten, with = "in_a_file")]
    pub survivor: Survivor,
    /// The replicas, sorted by number.
    pub replicas: Vec<LocalReplica>,
    /// Replicas that the cluster had. Their data stays until the cluster is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<ReplicaId>,
    /// The replica that a command has begun to add. Its number is 0 until the cluster has
    /// given it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adding: Option<MemberEntry>,
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

impl LocalReplica {
    /// Those of a new cluster.
    ///
    /// # Errors
    /// None, as ports were checked before.
    pub(super) fn all_of(settings: &ClusterSettings) -> Result<Vec<LocalReplica>> {
        let replica = |id| {
            let port = u32::from(settings.base_port) + id - 1;
            Ok(LocalReplica {
                id: ReplicaId(id),
                address: format!("127.0.0.1:{port}").parse()?,
                data_dir: data_dir_name(ReplicaId(id)),
            })
        };
        (1..=settings.replicas).map(replica).collect()
    }
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
        Description::new(settings, dir, random)
    }

    /// Makes key and description of a new cluster in a folder that is there.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub(super) fn new(
        settings: &ClusterSettings,
        dir: &Path,
        random: &dyn Random,
    ) -> Result<Description> {
        let key = dir.join(KEY_FILE);
        if !key.exists() {
            let mut bytes = zeroize::Zeroizing::new([0; key_file::KEY_BYTES]);
            random.fill(&mut *bytes);
            key_file::write_new(&key, &bytes)?;
        }
        let replicas = LocalReplica::all_of(settings)?;
        let description = Description {
            ftchat_cluster: FORMAT,
            name: settings.name.clone(),
            survivor: settings.survivor,
            replicas,
            removed: Vec::new(),
            adding: None,
            dir: dir.to_path_buf(),
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

    /// The same cluster with one replica more, or with one at another address, written
    /// down.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub fn with_replica(mut self, id: ReplicaId, address: &Address) -> Result<Description> {
        self.replicas.retain(|replica| replica.id != id);
        let (address, data_dir) = (address.clone(), data_dir_name(id));
        self.replicas.push(LocalReplica { id, address, data_dir });
        self.replicas.sort_by_key(|replica| replica.id);
        self.write()?;
        Ok(self)
    }

    /// The same cluster with what is begun, written down, so that the command that began it
    /// goes on with it when it is repeated.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub fn with_adding(mut self, adding: Option<MemberEntry>) -> Result<Description> {
        self.adding = adding;
        self.write()?;
        Ok(self)
    }

    /// The same cluster without a replica, written down. Its data stays where it is.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub fn without_replica(mut self, id: ReplicaId) -> Result<Description> {
        self.replicas.retain(|replica| replica.id != id);
        if !self.removed.contains(&id) {
            self.removed.push(id);
        }
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

    /// Those whose data is still there, as they were.
    pub fn removed_replicas(&self) -> impl Iterator<Item = LocalReplica> + '_ {
        let address = &self.replicas[0].address;
        self.removed.iter().map(|id| LocalReplica {
            id: *id,
            address: address.clone(),
            data_dir: data_dir_name(*id),
        })
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
        for replica in self.replicas.iter().cloned().chain(self.removed_replicas()) {
            let data_dir = self.data_dir(&replica);
            gone(&data_dir, fs::remove_dir_all(&data_dir))?;
            for log in self.log_files(&replica) {
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

#[cfg(test)]
pub(super) mod tests;
