//! One data directory: a lock, an identity, a vote, a log and snapshots.
//!
//! This module knows bytes and checksums. The modules that hand the bytes over
//! (chat, consensus) know what they mean. Everything is JSON, one record a line,
//! readable with `jq .data`:
//!
//! | file | content | replaced |
//! |---|---|---|
//! | `LOCK` | who holds the directory ([`Holder`]), perhaps the mark of a failed fsync | in place, never removed |
//! | `identity.json` | [`Identity`] | atomically |
//! | `vote.json` | whom this replica voted for | atomically |
//! | `committed.json` | the commit hint: how far the log is known to be committed | whole, but the last one may be lost |
//! | `neighbours.json` | where the other replicas live ([`Neighbours`]) | atomically |
//! | `forgotten-keys.json` | which keys the cluster has forgotten ([`ForgottenKeys`]) | atomically |
//! | `dropped-tail.json` | a torn tail that was cut off, until settled | atomically |
//! | `log/<first index>.jsonl` | log entries, one a line | appended to |
//! | `snapshot/<last index>.jsonl` | the state up to that index | atomically |
//! | `outbox/<list>.log` | what a server without a majority has accepted ([`Outbox`]) | appended to, removed when settled |
//! | `damaged-<n>/` | what was set aside for an operator to look at | never |
//!
//! # What it promises
//! - What was reported durable is there after a crash of the process or the machine,
//!   or its loss is noticed: every record carries its length and a CRC32 over both
//!   ([`record`]).
//! - No wrong byte is ever served. Records are verified when a directory is opened,
//!   and again whenever one is read from disk.
//! - One process at a time runs a directory: it holds the lock of `LOCK`. Every handle
//!   and worker made from a directory owns a share of its lock; the last one that is
//!   dropped unlocks.
//!
//! # How it fails
//! - **A torn tail**: the last record of the last segment is cut short. A crash in
//!   the middle of a write leaves that. It is cut off with a notice ([`LogRecovery`]),
//!   which is kept on disk until the caller settles it.
//! - **Any other broken record** is [`ErrorCode::Corrupted`]: nothing is
//!   repaired by guessing. [`DataDirectory::set_aside`] makes room for a new
//!   incarnation.
//! - **A full disk**, or no file descriptor left: appends and votes wait until
//!   there is one ([`Log::shortage`]); reading goes on.
//! - **A broken disk** (a failed fsync, an I/O error): the log writes a mark into
//!   `LOCK`, fails everything that waits, calls the owner's fatal handler and never
//!   writes again. `shortage` lists the errors that prove damage; any other error ends
//!   the server and marks nothing. After a failed fsync the page cache may show bytes
//!   that the disk never got, so even a new process cannot trust what it reads until
//!   the machine restarts (Rebello et al., "Can Applications Recover from fsync
//!   Failures?", USENIX ATC 2020).
//!
//! Nothing here blocks a task of the runtime: disk calls run on workers.

mod adoption;
mod directory;
mod errors;
mod files;
mod forgotten;
#[cfg(test)]
mod fuzz;
mod identity;
mod lock;
mod log;
mod neighbours;
mod outbox;
mod place;
mod quarantine;
pub mod record;
mod records;
mod remains;
mod shortage;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
mod unlocked;

use std::future::Future;
use std::path::PathBuf;

pub use adoption::{is_adoptable, is_free, is_in_place};
pub use directory::DataDirectory;
pub use forgotten::ForgottenKeys;
pub use identity::Identity;
pub use lock::{Holder, LOCK_FILE, LockContent, Unlocked, in_use, read_lock};
pub use log::{
    AppendDone, DroppedTail, FatalHandler, Log, LogOptions, LogRecovery, PreverifiedLog,
};
pub use neighbours::{Neighbour, Neighbours};
pub use outbox::{
    AppendedEntries, ListRemains, ListedEntry, Outbox, OutboxBounds, OutboxList, OutboxReader,
    OutboxSize, RelistChange, Unusable, UnusableList,
};
pub use quarantine::SET_ASIDE;
pub use remains::Remains;
pub use shortage::Shortage;
pub use snapshot::{CompleteSnapshot, SnapshotReader, SnapshotWriter, Snapshots};
pub use unlocked::UnlockedDirectory;

#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::types::Uuid;

/// The folder of what this server has taken without a majority. It stays in place when
/// everything else is set aside.
const OUTBOX_FOLDER: &str = "outbox";

/// Digits of an index in a file name, so that names sort as numbers do.
const INDEX_DIGITS: usize = 20;

/// The name of a segment or snapshot.
fn indexed_name(index: u64) -> String {
    format!("{index:0INDEX_DIGITS$}.jsonl")
}

/// The index in the name of a segment or snapshot; `None` for a file that is
/// neither, which is left alone.
fn index_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".jsonl")?;
    let all_digits = digits.len() == INDEX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// Runs disk calls on a worker: [`Host::on_worker`].
async fn on_worker<T, F>(host: &Host, name: &str, job: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let ended = || Error::internal(format!("the worker {name:?} ended before its job"));
    host.on_worker(name, job).await.ok_or_else(ended)?
}

/// Where things are in a data directory.
#[derive(Clone, Debug)]
struct Paths {
    root: PathBuf,
}

impl Paths {
    fn lock(&self) -> PathBuf {
        self.root.join(LOCK_FILE)
    }
    fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }
    fn vote(&self) -> PathBuf {
        self.root.join("vote.json")
    }
    fn committed(&self) -> PathBuf {
        self.root.join("committed.json")
    }
    fn dropped_tail(&self) -> PathBuf {
        self.root.join("dropped-tail.json")
    }
    fn neighbours(&self) -> PathBuf {
        self.root.join("neighbours.json")
    }
    fn forgotten_keys(&self) -> PathBuf {
        self.root.join("forgotten-keys.json")
    }
    fn log(&self) -> PathBuf {
        self.root.join("log")
    }
    fn segment(&self, first: u64) -> PathBuf {
        self.log().join(indexed_name(first))
    }
    fn outbox(&self) -> PathBuf {
        self.root.join(OUTBOX_FOLDER)
    }
    fn outbox_list(&self, list: Uuid) -> PathBuf {
        self.outbox().join(format!("{list}.log"))
    }
    fn snapshots(&self) -> PathBuf {
        self.root.join("snapshot")
    }
    fn snapshot(&self, last_index: u64) -> PathBuf {
        self.snapshots().join(indexed_name(last_index))
    }
}

#[cfg(test)]
mod tests;
