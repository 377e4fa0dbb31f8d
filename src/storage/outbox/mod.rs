//! The outbox: what a server without a majority has accepted, until the replicated log
//! has it.
//!
//! A **list** `outbox/<list>.log` holds entries numbered 1, 2, 3…; its UUID is made with
//! the file. The replicated state remembers how far each list is settled, so an entry is
//! known for ever by its list and number. What an entry says is the caller's: here it is
//! one JSON value.
//!
//! # What it promises
//! - **An append that succeeded is on the disk** (fdatasync; appends that wait together
//!   share one), and stays there until [`Outbox::settle`] has said that the whole list
//!   is settled. One that failed is not there, also not after a crash, as long as the
//!   disk itself is not broken.
//! - **A number is given once.** A list is appended to by the process that made it, and
//!   never again after that has ended: whoever starts makes a new list with its first
//!   append. If numbers were continued behind what was found, an entry that was seen
//!   without being durable, or is missing in an older image of the disk, would have a
//!   number that the replicated state counts as settled, and its successor would be lost.
//! - **No wrong byte is served**: every record is verified when the outbox is opened, and
//!   again when it is read.
//! - There is no file while nothing is held.
//! - What is written anew under another UUID ([`Outbox::relist`]) is at every moment
//!   held by exactly one list that counts, the old one or the new one.
//!
//! # How it fails
//! - **A torn end** was never acknowledged, and is cut off, durably. A file without a
//!   whole header, or without an entry, is removed. As a disk that has lost what it had
//!   synced looks the same, both are counted ([`Outbox::cut_at_start`]).
//! - **Any other damage**: what stands before it stays in use under its numbers, as these
//!   are final, and the file as it was found is kept as `<list>.log.damaged` and never
//!   touched again. A crash leaves such a thing too, in what was never acknowledged, where
//!   a system writes the parts of a file in any order. While that file is there, or a list
//!   of another cluster, of a newer format or one that cannot be read, nothing is accepted
//!   ([`Outbox::obstacle`]); the lists that are whole are read and settled as ever. It says
//!   itself what to do, and need not be told when that was done.
//! - **Damage that a reader meets**: nothing is appended to that list any more, and it is
//!   in the way like one that was found broken. What stands before the damage stays in use
//!   from the next start on. The code of that error is never [`ErrorCode::Corrupted`]: with
//!   that the owner sets the whole directory aside, whose log is not in doubt here.
//! - **No room, no descriptor, a call that is not allowed**: the append is refused at
//!   once, and the file cut back, durably, before anything else is done with it and before
//!   the worker ends. If it cannot be cut at once, the outcome is open, and the error says
//!   so. The log would wait; but whoever asks here has other servers to ask.
//! - **A failed fsync or an I/O error**: as in the log, the directory is marked as
//!   poisoned, and the owner's fatal handler called. Nothing is written again. While the
//!   outbox is opened it is marked as well, and not opened.
//!
//! # Another lineage
//! In a cluster that was founded anew from what one server had, or from a backup, what the
//! replicated state says is settled may lie before what a list has dropped, or count
//! entries that the new history does not have. The numbers of such a list mean nothing
//! there. So its owner drops what the new state knows as settled, and writes the rest anew
//! under another UUID ([`Outbox::relist`]), changed so that each entry says that it may
//! have been tried before. A list of another *cluster* is never used: nobody here can tell
//! its accounts.
//!
//! # A new incarnation
//! [`super::DataDirectory::set_aside`] leaves the outbox in its place, and writes its
//! lists anew if an fsync had failed: that the log was lost is no reason to lose what
//! this outbox alone has. It does not matter which incarnation hands an entry over.

mod format;
mod reader;
mod recovery;
mod relist;
pub(super) mod remains;
mod salvage;
mod state;
mod writer;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use self::reader::{ListedEntry, OutboxReader};
pub use self::remains::ListRemains;
pub(super) use self::salvage::rewrite;
use self::state::State;
use self::writer::{Append, Command, Writer};
use super::{DataDirectory, FatalHandler, Paths, on_worker};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_ENTRIES_MAX, OUTBOX_LISTS_MAX};
use crate::sync::Mutex;
use crate::types::{ReplicaId, Timestamp, Uuid};

/// Between two looks for somebody who only asks what is in the way.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How much may be held, in all lists together.
#[derive(Clone, Debug)]
pub struct OutboxBounds {
    /// Entries, those included that are settled while their list is there.
    pub entries_max: u64,
    /// Bytes of all files.
    pub bytes_max: u64,
    /// Files.
    pub lists_max: u64,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        OutboxBounds {
            entries_max: OUTBOX_ENTRIES_MAX,
            bytes_max: OUTBOX_BYTES_MAX,
            lists_max: OUTBOX_LISTS_MAX,
        }
    }
}

/// Which numbers the entries of an append have got, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedEntries {
    /// In which list.
    pub list: Uuid,
    /// The number of the first of them; the others follow.
    pub first: u64,
}

/// A list that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxList {
    /// Its id.
    pub list: Uuid,
    /// Who made it.
    pub replica: ReplicaId,
    /// Which incarnation of it.
    pub incarnation: u32,
    /// When, by that machine's clock.
    pub made: Timestamp,
    /// Whether it was made in another lineage than the directory's. Then what the
    /// replicated state says is settled may lie before what the list has: see
    /// [`Outbox::relist`].
    pub of_another_lineage: bool,
    /// How many entries its file has: numbers 1 to this one.
    pub entries: u64,
    /// Up to which number [`Outbox::settle`] has said that they are settled; 0 after a
    /// start.
    pub settled: u64,
    /// The size of its file.
    pub bytes: u64,
}

/// How much is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxSize {
    /// Lists with entries.
    pub lists: u64,
    /// Entries in their files.
    pub entries: u64,
    /// Of those, entries of which nobody has said yet that they are settled.
    pub unsettled: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Why a list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is broken: what is whole of it is in use, and the rest was set aside.
    Damaged,
    /// It belongs to another cluster.
    OfAnotherCluster,
    /// A newer program has written it.
    NewerFormat,
    /// The system does not let it be read, or it is no file.
    Unreadable,
}

/// A file in the outbox that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableList {
    /// Where it is now.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub why: Unusable,
    /// The same for people, with what they can do.
    pub sentence: String,
}

/// Changes an entry for its new list; an error ends the relisting with nothing done.
pub type RelistChange = Box<dyn FnMut(&[u8]) -> Result<Bytes> + Send>;

/// Who writes lists here.
#[derive(Clone)]
struct Owner {
    cluster: Uuid,
    lineage: Uuid,
    replica: ReplicaId,
    incarnation: u32,
}

/// What handle, worker and readers share.
struct Shared {
    host: Host,
    paths: Paths,
    owner: Owner,
    bounds: OutboxBounds,
    state: Mutex<State>,
}

/// A handle on the outbox of one directory. Clones are the same outbox.
///
/// When every clone is dropped, the worker finishes what is queued and ends.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Outbox {
    /// Opens the outbox of a directory, verifying every record, and starts its worker.
    /// Without lists nothing is made. What is found is durable when this returns.
    ///
    /// # Errors
    /// [`ErrorCode::Io`], [`ErrorCode::DiskFull`] and [`ErrorCode::Unavailable`] (no
    /// descriptor) when files cannot be cut, synced or moved; after a failed sync the
    /// directory is marked as poisoned. A list that cannot be used is no error:
    /// [`Outbox::unusable`]. [`ErrorCode::Corrupted`] only as of
    /// [`DataDirectory::identity`], never for what is in a list. A directory without
    /// identity is refused, and one whose outbox is open already, until that is closed
    /// or the worker of a dropped one has ended.
    pub async fn open(
        directory: &DataDirectory,
        bounds: OutboxBounds,
        fatal: FatalHandler,
    ) -> Result<Outbox> {
        let identity = directory.require_identity()?;
        let owner = Owner {
            cluster: identity.cluster,
            lineage: identity.lineage,
            replica: identity.replica,
            incarnation: identity.incarnation,
        };
        let share = directory.lock.take_outbox().ok_or_else(|| {
            let root = directory.paths.root.display();
            Error::internal(format!("the outbox in {root} is open already"))
        })?;
        let (host, paths) = (directory.host.clone(), directory.paths.clone());
        let (job_host, cluster) = (host.clone(), owner.cluster);
        // The job has the share: it works on after its caller is gone.
        let (state, share) = on_worker(&host, "open-outbox", async move {
            match recovery::recover(&*job_host.disk, &paths, cluster).await {
                Ok(state) => Ok((state, share)),
                Err(failure) => Err(share.lock().mark_if_broken(&paths.root, failure).await),
            }
        })
        .await?;
        let (commands, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            host: host.clone(),
            paths: directory.paths.clone(),
            owner,
            bounds,
            state: Mutex::new(state),
        });
        let writer = Writer::new(shared.clone(), queue, share, fatal);
        host.workers.spawn("outbox-writer", Box::pin(writer.run()));
        Ok(Outbox { shared, commands })
    }

    /// Appends entries, each one JSON value in one line, in this order and as one: all
    /// of them are durable when this returns, or none is there. Appends that come while
    /// one is synced share the next sync. When the caller is cancelled, they may be
    /// appended all the same.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] or [`ErrorCode::DiskFull`]: nothing was done; the bound
    /// is reached, there is no room or no descriptor, or [`Outbox::obstacle`].
    /// [`ErrorCode::OutcomeUnknown`]: it failed in the middle and could not be cut off
    /// again, so the next start may find some of it. Any other error comes after the fatal
    /// one, and then either may be the case.
    pub async fn append(&self, entries: Vec<Bytes>) -> Result<AppendedEntries> {
        if entries.is_empty() || entries.iter().any(|entry| !format::is_entry(entry)) {
            return Err(Error::internal("an append is of entries, each one line of JSON"));
        }
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.shared.state.lock();
            let in_the_way = state.failed.is_none() && !state.unusable.is_empty();
            let claim = match in_the_way {
                // The worker looks whether it still is.
                true => None,
                false => Some(state.claim(&entries, &self.shared.bounds)?),
            };
            let append = Append { entries, claim, reply };
            self.commands.send(Command::Append(append)).map_err(|_| self.closed())?;
        }
        answer.await.map_err(|_| self.closed())?
    }

    /// Says that the entries of a list are settled up to a number: the replicated state
    /// says so, in a state that is durable on this disk. When all are, the file is
    /// removed, durably; until then all stay in it. A list that is not there is settled.
    ///
    /// # Errors
    /// [`ErrorCode::DiskFull`], [`ErrorCode::Unavailable`], [`ErrorCode::Io`] when the file
    /// could not be removed: it is held on, so say it again later.
    pub async fn settle(&self, list: Uuid, through: u64) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Settle { list, through, reply }, answer).await
    }

    /// Writes what is not settled of some lists, in this order, as one list under a new
    /// UUID, and removes them when that is durable. The new list has the place of the first
    /// of them among the others. Returns it; `None` when nothing was left. For a state in
    /// which their counters lie before what they have dropped: another lineage, or a
    /// restored backup. The bounds do not hold here: what was accepted is kept, and for a
    /// moment both are on the disk.
    ///
    /// # Errors
    /// What `change` returned, or that there is no such list, no room, or damage in what is
    /// read: then all stays as it was, except that lists which are wholly settled may be
    /// gone.
    pub async fn relist(&self, lists: Vec<Uuid>, change: RelistChange) -> Result<Option<Uuid>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Relist { lists, change, reply }, answer).await
    }

    /// The entries of a list from a number on, to be read from the disk in parts.
    pub fn entries(&self, list: Uuid, from: u64) -> OutboxReader {
        OutboxReader::new(self.shared.clone(), list, from)
    }

    /// The lists that hold something, in the order in which they were made.
    pub fn lists(&self) -> Vec<OutboxList> {
        self.shared.state.lock().described(self.shared.owner.lineage)
    }

    /// How much is held, for `status`.
    pub fn size(&self) -> OutboxSize {
        self.shared.state.lock().size()
    }

    /// How many lists the start has cut short or found without an entry: a crash may have
    /// left them so, and so may a disk that has lost what it had synced. For `status`.
    pub fn cut_at_start(&self) -> u64 {
        self.shared.state.lock().cut_at_start
    }

    /// The files that are in the way, as far as is known; see [`Outbox::obstacle`].
    pub fn unusable(&self) -> Vec<UnusableList> {
        self.look_again();
        self.shared.state.lock().unusable.clone()
    }

    /// Why nothing is accepted, whatever it is; `None` when appends are. Asking has the
    /// worker look whether files that are in the way were removed, at most once in
    /// [`LOOK_INTERVAL`], so whoever asks again learns it.
    pub fn obstacle(&self) -> Option<Error> {
        self.look_again();
        self.shared.state.lock().obstacle()
    }

    fn look_again(&self) {
        let mut state = self.shared.state.lock();
        let due = state.looked.is_none_or(|looked| looked.elapsed() >= LOOK_INTERVAL);
        if due && !state.unusable.is_empty() {
            state.looked = Some(Instant::now());
            // A closed outbox stays as it is.
            let _ = self.commands.send(Command::Look);
        }
    }

    /// Finishes what is queued, ends the worker and drops its share of the directory's
    /// lock.
    ///
    /// # Errors
    /// The failure after which nothing was written any more, if any.
    pub async fn close(&self) -> Result<()> {
        let (reply, ended) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).is_ok() {
            // One that was closed meanwhile is closed.
            let _ = ended.await;
        }
        self.shared.state.lock().failed.clone().map_or(Ok(()), Err)
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        self.commands.send(command).map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    fn closed(&self) -> Error {
        let root = self.shared.paths.root.display();
        let message = format!("the outbox in {root} is closed");
        Error::new(crate::error::ErrorCode::Unavailable, message)
    }
}
