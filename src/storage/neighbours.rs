//! What a replica knows about the others: where their data directories are, and which
//! feature level they know.
//!
//! A survivor can adopt a neighbour's replica only if it can find the directory and tell
//! it from a copy, also after all servers and the machine itself went down. So it writes
//! down what the others reported while they lived.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::errors::corrupted;
use super::files::{self, Durability};
use super::identity::is_zero;
use super::lock::LockShare;
use super::{DataDirectory, Paths, on_worker, record};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::protocol::peer::Location;
use crate::types::{NodeId, ReplicaId};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its number.
    pub replica: ReplicaId,
    /// Its incarnation.
    pub incarnation: u32,
    /// Where its data is.
    pub location: Location,
    /// The feature level that it knew when it was met last. Programs that know no
    /// levels neither say it nor keep it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub knows_level: u32,
}

impl Neighbour {
    /// The number by which consensus knows it.
    pub fn node(&self) -> NodeId {
        NodeId::new(self.replica, self.incarnation)
    }
}

/// The file `neighbours.json` of one data directory.
pub struct Neighbours {
    host: Host,
    paths: Paths,
    lock: LockShare,
    known: Vec<Neighbour>,
}

impl Neighbours {
    /// Reads what the directory remembers. What cannot be read is forgotten: the
    /// neighbours say it again when they are met.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`].
    pub async fn open(directory: &DataDirectory) -> Result<Neighbours> {
        let (host, paths) = (directory.host.clone(), directory.paths.clone());
        let lock = directory.lock.clone();
        let job_host = host.clone();
        let job_paths = paths.clone();
        let known = on_worker(&host, "read-neighbours", async move {
            let path = job_paths.neighbours();
            let read = match files::read(&*job_host.disk, &path).await {
                Ok(None) => Ok(Vec::new()),
                Ok(Some(payload)) => serde_json::from_slice(&payload)
                    .map_err(|e| corrupted(&path, 1, &format!("it names no neighbours: {e}"))),
                Err(error) if error.code == crate::error::ErrorCode::Corrupted => Err(error),
                Err(error) => return Err(error),
            };
            Ok(read.unwrap_or_else(|error: Error| {
                tracing::warn!(%error, "forgot where the neighbours live, until they are met again");
                Vec::new()
            }))
        })
        .await?;
        Ok(Neighbours { host, paths, lock, known })
    }

    /// All that are remembered.
    pub fn all(&self) -> &[Neighbour] {
        &self.known
    }

    /// One of them.
    pub fn get(&self, replica: ReplicaId) -> Option<&Neighbour> {
        self.known.iter().find(|neighbour| neighbour.replica == replica)
    }

    /// Remembers what a neighbour said of itself, durably.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`], [`crate::error::ErrorCode::DiskFull`];
    /// it is remembered until the process ends nevertheless.
    pub async fn remember(&mut self, neighbour: Neighbour) -> Result<()> {
        if self.get(neighbour.replica) == Some(&neighbour) {
            return Ok(());
        }
        self.known.retain(|known| known.replica != neighbour.replica);
        self.known.push(neighbour);
        self.known.sort_by_key(|known| known.replica);
        let payload = serde_json::to_vec(&self.known).expect("plain data serializes");
        let (host, path) = (self.host.clone(), self.paths.neighbours());
        // The job owns a share: it works on after its caller is gone.
        let lock = self.lock.clone();
        on_worker(&self.host, "write-neighbours", async move {
            let line: Bytes = record::encode(&payload);
            let written = files::replace(&*host.disk, &path, line, Durability::Durable).await;
            drop(lock);
            Ok(written?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::FileId;
    use crate::storage::testing;

    fn neighbour(opens: u64) -> Neighbour {
        let location = Location {
            boot: "b".into(),
            machine: "m".into(),
            path: "/d".into(),
            lock: FileId { device: 1, inode: 2 },
            opens,
            opening: None,
        };
        Neighbour { replica: ReplicaId(2), incarnation: 1, location, knows_level: 0 }
    }

    #[tokio::test]
    async fn the_last_word_is_remembered_and_rot_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = testing::directory(&Host::real(), folder.path()).await;
        let mut neighbours = Neighbours::open(&directory).await.expect("opens");
        assert!(neighbours.all().is_empty());
        for opens in [1, 2] {
            neighbours.remember(neighbour(opens)).await.expect("remembers");
        }
        let again = Neighbours::open(&directory).await.expect("opens");
        assert_eq!(again.all(), [neighbour(2)]);
        assert_eq!(again.get(ReplicaId(2)), Some(&neighbour(2)));

        std::fs::write(folder.path().join("neighbours.json"), "rot").expect("writes");
        let forgotten = Neighbours::open(&directory).await.expect("opens");
        assert!(forgotten.all().is_empty());
    }
}
