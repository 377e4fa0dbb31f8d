//! What is left in the data directory of a server that does not run.
//!
//! It is read as far as it is sound, for whoever makes a new cluster out of it. Nothing in it
//! is written, cut, moved or removed, whatever a start would do: whoever is not content with
//! the result has everything still as it was.
//!
//! # What it promises
//! - Its lock is held meanwhile, so no server runs it. A folder without a `LOCK`, such as one
//!   that was set aside as damaged, gets none.
//! - What is given out was verified, as always. Where something broken comes, reading ends
//!   there, and says so.

use std::path::Path;

use super::directory::read_identity;
use super::files::failed_call;
use super::lock::{LockShare, UnannouncedLock};
use super::outbox::{ListRemains, remains};
use super::quarantine::SET_ASIDE;
use super::records::{Next, Records, Stopped};
use super::snapshot::latest_unlocked;
use super::{Identity, Paths, SnapshotReader, files, index_of_name, on_worker};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, Host};

use bytes::Bytes;

/// See the head of this file. Its calls that read log and outbox make disk calls: they are for
/// a worker.
pub struct Remains {
    host: Host,
    paths: Paths,
    identity: Identity,
    lock: Option<UnannouncedLock>,
}

impl Remains {
    /// Takes the lock of a directory and reads whose it is.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`] names the server that runs it; [`ErrorCode::Corrupted`]:
    /// nothing says whose it is; [`ErrorCode::NewerFormat`]; [`ErrorCode::Io`].
    pub async fn open(host: &Host, path: &Path) -> Result<Remains> {
        let (host, paths) = (host.clone(), Paths { root: path.to_path_buf() });
        on_worker(&host.clone(), "open-remains", async move {
            let disk = &*host.disk;
            let listed = disk.list(&paths.root).await;
            listed.map_err(|error| failed_call("list", &paths.root, &error))?;
            // Taking the lock makes the file.
            let lock = match disk.file_id(&paths.lock()).await {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed_call("look at", &paths.lock(), &error)),
                Ok(_) => Some(LockShare::take(disk, &paths.root).await?),
            };
            let identity = match read_identity(disk, &paths).await? {
                Some(identity) => identity,
                None => identity_set_aside(disk, &paths).await?,
            };
            Ok(Remains { host, paths, identity, lock })
        })
        .await
    }

    /// Whose it was.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether an fsync has failed in it since this machine started, so that what the system
    /// shows of it may never have reached the disk.
    pub fn is_in_doubt(&self) -> bool {
        self.lock.as_ref().is_some_and(UnannouncedLock::poisoned)
    }

    /// Whether its server has noted that the end of the log was lost, and did not have it again.
    pub async fn has_lost_its_end(&self) -> bool {
        !matches!(files::read(&*self.host.disk, &self.paths.dropped_tail()).await, Ok(None))
    }

    /// Its newest snapshot.
    ///
    /// # Errors
    /// As [`super::Snapshots::latest`].
    pub async fn snapshot(&self) -> Result<Option<SnapshotReader>> {
        // Somebody may have copied what has something in it.
        match self.host.disk.list(&self.paths.snapshots()).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            _ => {}
        }
        latest_unlocked(&self.host, &self.paths).await
    }

    /// Up to where its server knew the log to be committed: what was given to
    /// [`super::Log::note_committed`]. `None` also where that cannot be read: it is a hint.
    pub async fn committed(&self) -> Option<Bytes> {
        files::read(&*self.host.disk, &self.paths.committed()).await.ok().flatten()
    }

    /// Hands the payloads of the log's entries to `each`, from the first one that is there, up
    /// to the end or to what is broken. What is broken in a file of which nothing is needed, as
    /// the entry `needed` stands behind it, is passed over with the rest of that file. Returns
    /// what is wrong, in sentences.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub async fn read_log(
        &self,
        needed: u64,
        each: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<Vec<String>> {
        let (disk, folder) = (&*self.host.disk, self.paths.log());
        let names = match disk.list(&folder).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(|error| failed_call("list", &folder, &error))?,
        };
        let firsts: Vec<u64> = names.iter().filter_map(|name| index_of_name(name)).collect();
        let mut problems = Vec::new();
        for (number, first) in firsts.iter().enumerate() {
            let (path, next) = (self.paths.segment(*first), firsts.get(number + 1).copied());
            let mut end = *first;
            let damage = self.read_segment(&path, &mut end, each).await;
            let damage = damage.or_else(|| {
                let next = next.filter(|next| *next != end)?;
                let path = path.display();
                Some(format!("{path} ends before entry {end}, and the next file begins at {next}"))
            });
            if let Some(damage) = damage {
                problems.push(damage);
                if next.is_none_or(|next| next > needed) {
                    break;
                }
            }
        }
        Ok(problems)
    }

    async fn read_segment(
        &self,
        path: &Path,
        index: &mut u64,
        each: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Option<String> {
        let unread = |error: &std::io::Error| format!("cannot read {}: {error}", path.display());
        let first = *index;
        let broken = |index: u64, what: &str| {
            let line = index - first + 1;
            format!("line {line} of {} is broken: {what}", path.display())
        };
        let file = match self.host.disk.open(path).await {
            Ok(file) => file,
            Err(error) => return Some(unread(&error)),
        };
        let mut records = Records::new(&*file, 0);
        loop {
            match records.next().await {
                Ok(Next::Record(payload)) => {
                    if let Err(error) = each(records.payload(payload)) {
                        return Some(broken(*index, &error.message));
                    }
                    *index += 1;
                }
                Ok(Next::End { torn_bytes: 0 }) => return None,
                Ok(Next::End { torn_bytes }) => {
                    return Some(broken(
                        *index,
                        &format!("only its first {torn_bytes} bytes are there"),
                    ));
                }
                Err(Stopped::Damaged(damage)) => return Some(broken(*index, damage.what)),
                Err(Stopped::Unread(error)) => return Some(unread(&error)),
            }
        }
    }

    /// The lists of its outbox, in their order, and what is wrong there, in sentences.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub async fn outbox(&self) -> Result<(Vec<ListRemains>, Vec<String>)> {
        remains::lists(&*self.host.disk, &self.paths, &self.identity).await
    }

    /// Hands the entries of a list to `each`, with their numbers.
    ///
    /// # Errors
    /// What `each` returned; [`ErrorCode::Corrupted`]: the list is not as it was found.
    pub async fn read_list(
        &self,
        list: &ListRemains,
        each: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        remains::read(&*self.host.disk, list, each).await
    }
}

/// Whose a directory was of which everything but the outbox was set aside as damaged.
async fn identity_set_aside(disk: &dyn Disk, paths: &Paths) -> Result<Identity> {
    let names = disk.list(&paths.root).await;
    let names = names.map_err(|error| failed_call("list", &paths.root, &error))?;
    for name in names.iter().filter(|name| name.starts_with(SET_ASIDE)) {
        let aside = Paths { root: paths.root.join(name) };
        if let Ok(Some(identity)) = read_identity(disk, &aside).await {
            return Ok(identity);
        }
    }
    let what = format!("{} holds no replica's data", paths.root.display());
    Err(Error::new(ErrorCode::Corrupted, what))
}
