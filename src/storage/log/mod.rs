//! The log: consecutive entries in append-only segments.
//!
//! A segment `log/<first index>.jsonl` holds one record a line; the entry in line
//! `n` has the index `first + n - 1`. So the log is whole when every segment begins
//! where the one before it ends.
//!
//! # Group commit
//! One worker per log writes. [`Log::append`] only queues. While the worker waits for
//! one fdatasync, more appends gather in the queue and share the next one. A second
//! worker reads, so that reading old entries never delays a write. Recent entries are
//! kept in memory, where replication finds them.
//!
//! # Order of durable steps
//! A crash may come between any two steps, so each step leaves a log that is whole:
//!
//! - A segment is synced before the next one is made, and the folder is synced before
//!   anything in the new segment counts.
//! - A conflict removes segments from the last to the first, with a sync of the folder
//!   after each, and cuts the last one that stays.
//! - A purge removes segments from the first to the last.
//!
//! # What it asks of its owner
//! `truncate_from`, `purge_through` and `reset` are awaited before the next
//! append, and appended indexes are consecutive. An append out of turn is
//! refused, never written.

mod commands;
mod preverified;
mod reader;
mod recovery;
mod scan;
mod state;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::preverified::PreverifiedLog;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use self::commands::{Action, Closed, Command};
use self::reader::{ReadCommand, ReadRequest, Reader};
use self::writer::Writer;
use super::{DataDirectory, Paths, Shortage, on_worker, record};
use crate::error::{Error, ErrorCode, Result};

/// Called once with the outcome of an append: from the log's worker, or on the caller's
/// thread when [`Log::append`] refuses at once.
pub type AppendDone = Box<dyn FnOnce(Result<()>) + Send>;

/// Called at most once, from the log's worker, when the log cannot go on. By then whatever
/// shared the failed step is answered, and the directory is marked as poisoned if the disk
/// is in question. Commands still queued fail afterwards, if the handler returns.
pub type FatalHandler = Arc<dyn Fn(Error) + Send + Sync>;

/// What may be tuned.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A segment that has grown to this size gets no further record. Old
    /// entries go by whole segments, so this is how finely a purge frees room.
    pub segment_max_bytes: u32,
    /// Recent entries kept in memory, in bytes. A follower that lags by less
    /// costs no reading from disk. Entries not yet written come on top.
    pub recent_max_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_max_bytes: 16 * 1024 * 1024, recent_max_bytes: 1024 * 1024 }
    }
}

/// The end of the log is lost: a record was cut short and was dropped, or others know
/// of entries that are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedTail {
    /// The segment's file name; empty when no record was cut.
    pub file: String,
    /// An entry that is lost. Others may have followed it.
    pub index: u64,
    /// How many bytes there were of the record that was cut.
    pub bytes: u64,
}

impl DroppedTail {
    /// As the line of its file.
    fn encode(&self) -> Bytes {
        record::encode(&serde_json::to_vec(self).expect("plain data serializes"))
    }
}

/// What opening a log has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecovery {
    /// The end of the log that is lost, noted by this start or by an earlier one and not
    /// yet settled. This entry and later ones may have been acknowledged. So the replica
    /// must neither vote nor ask for votes until it has them again; then call
    /// [`Log::settle_dropped_tail`].
    pub dropped: Option<DroppedTail>,
}

/// What handle, writer and reader share.
struct Shared {
    paths: Paths,
    options: LogOptions,
    state: state::Guarded,
    /// What the writer waits for.
    shortage: watch::Sender<Option<Shortage>>,
    /// Set when the log is to be closed, so that nobody waits for room any more.
    closing: watch::Sender<bool>,
    /// There is a new commit hint for `committed.json`.
    committed_changed: Notify,
    /// See [`Log::write_commit_hints_often`].
    commit_hints_often: AtomicBool,
}

/// A handle on the log of one directory. Clones are the same log.
///
/// When every clone is dropped, the workers finish what is queued and end.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    reads: mpsc::UnboundedSender<ReadCommand>,
}

impl Log {
    /// Opens the log of a directory, verifying every record that is not
    /// `preverified`, and starts its workers. A directory without a log gets an empty
    /// one that begins at 0.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] names file and line of a broken record in log
    /// or vote; [`ErrorCode::Io`]; [`ErrorCode::DiskFull`] may pass, so open
    /// again later. A directory without identity is refused.
    pub async fn open(
        directory: &DataDirectory,
        options: LogOptions,
        fatal: FatalHandler,
        preverified: Option<PreverifiedLog>,
    ) -> Result<(Log, LogRecovery)> {
        directory.require_identity()?;
        let (host, paths) = (directory.host.clone(), directory.paths.clone());
        // The job owns a share as well: it works on after its caller is gone.
        let lock = directory.lock.clone();
        let job_host = host.clone();
        let recovered = on_worker(&host, "open-log", async move {
            match recovery::recover(&*job_host.disk, &paths, preverified).await {
                Ok(recovered) => Ok(recovered),
                Err(failed) => Err(failed.told(&lock, &paths).await),
            }
        })
        .await?;
        let shared = Arc::new(Shared {
            paths: directory.paths.clone(),
            options,
            state: state::Guarded::new(recovered.state),
            shortage: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            committed_changed: Notify::new(),
            commit_hints_often: AtomicBool::new(false),
        });
        let (commands, queue) = mpsc::unbounded_channel();
        let (reads, read_queue) = mpsc::unbounded_channel();
        let disk = host.disk.clone();
        let lock = directory.lock.clone();
        let reader = Reader::new(disk.clone(), shared.clone(), read_queue, lock.clone());
        let active = recovered.active;
        let writer = Writer::new(disk, shared.clone(), queue, lock, fatal, active);
        host.workers.spawn("log-writer", Box::pin(writer.run()));
        host.workers.spawn("log-reader", Box::pin(reader.run()));
        let recovery = LogRecovery { dropped: recovered.dropped };
        Ok((Log { shared, commands, reads }, recovery))
    }

    /// The index of the first entry that is there, or would be.
    pub fn first(&self) -> u64 {
        self.shared.state.lock().first()
    }

    /// The index after the last entry appended, durable or not.
    pub fn next(&self) -> u64 {
        self.shared.state.lock().next
    }

    /// Queues entries and returns at once; they can be read from now on. Lines
    /// come from [`record::encode`]; one from elsewhere (a leader) must have
    /// passed [`record::decode`] and ends with its newline. `done` is called from the worker when
    /// they are durable, in the order of the appends.
    ///
    /// While the disk is full ([`Log::shortage`]) the queue keeps them, so the
    /// owner should stop taking more. A log that is closed, or a `first_index`
    /// other than [`Log::next`], fails `done` at once, on the caller's thread.
    pub fn append(&self, first_index: u64, lines: Vec<Bytes>, done: AppendDone) {
        debug_assert!(
            lines.iter().all(|line| line
                .strip_suffix(b"\n")
                .map(record::decode)
                .is_some_and(|r| r.is_ok())),
            "only whole records are appended"
        );
        let mut state = self.shared.state.lock();
        if first_index != state.next {
            let next = state.next;
            drop(state);
            return done(Err(Error::internal(format!(
                "entry {first_index} was appended to a log whose next one is {next}"
            ))));
        }
        state.push(&lines);
        // Sent under the lock, so that the queue is in the order of the indexes.
        let sent = self.commands.send(Command::Append { first_index, lines, done });
        drop(state);
        if let Err(mpsc::error::SendError(command)) = sent {
            command.refuse_when_closed(self.closed());
        }
    }

    /// Reads entries `from..to`, verifying those that come from disk. Stops
    /// early when the records would be more than `max_bytes` together, but
    /// returns at least one entry if `from < to`.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] names file and line; [`ErrorCode::Io`];
    /// [`ErrorCode::Internal`] for entries that the log does not have;
    /// [`ErrorCode::Unavailable`] once it is closed.
    pub async fn read(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        let lines = self.read_lines(from, to, max_bytes).await?;
        Ok(lines.iter().map(record::payload_of_trusted).collect())
    }

    /// The same, as whole record lines, newlines included, to be passed on.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub async fn read_lines(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        if let Some(recent) = self.shared.state.lock().recent(from, to, max_bytes, 1)? {
            return Ok(recent);
        }
        let (reply, answer) = oneshot::channel();
        let request = ReadRequest { from, to, max_bytes, reply };
        self.reads.send(ReadCommand::Read(request)).map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// The last vote written, or found when the log was opened.
    pub fn read_vote(&self) -> Option<Bytes> {
        self.shared.state.lock().vote.clone()
    }

    /// Writes a vote: one JSON value. It is durable when this returns, and so is
    /// everything appended before. Waits while the disk is full.
    ///
    /// # Errors
    /// Once the log has failed or is closed; then either vote may be there.
    pub async fn write_vote(&self, payload: Bytes) -> Result<()> {
        self.perform(Action::Vote(payload)).await
    }

    /// The commit hint left by [`Log::note_committed`], if a whole one is there.
    pub fn read_committed(&self) -> Option<Bytes> {
        self.shared.state.lock().committed.clone()
    }

    /// Notes a commit hint (one JSON value), which says how far the log is committed.
    /// It reaches the disk later: at most once a second, but see
    /// [`Log::write_commit_hints_often`], and when the log is closed. It may be lost, and then
    /// the one before it is there: what was made durable is never forgotten.
    /// It is not written before the entry at `index` is durable, since a log that ends
    /// below its commit hint has lost something.
    pub fn note_committed(&self, index: u64, payload: Bytes) {
        self.shared.state.lock().note_committed(index, payload);
        self.shared.committed_changed.notify_one();
    }

    /// Writes a commit hint as [`Log::note_committed`] does, but it is durable when this
    /// returns, and so is everything appended before. Waits while the disk is full.
    ///
    /// # Errors
    /// As of [`Log::write_vote`].
    pub async fn write_committed(&self, index: u64, payload: Bytes) -> Result<()> {
        self.perform(Action::Committed { index, payload }).await
    }

    /// From here on the first commit hint since the log was opened is written at once,
    /// and later ones up to ten times a second: another process is to read along, and
    /// can read no further than the commit hint goes.
    pub fn write_commit_hints_often(&self) {
        self.shared.commit_hints_often.store(true, Ordering::Relaxed);
    }

    /// Removes the entry `index` and everything after it, durably.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] unless `first() <= index <= next()`; otherwise
    /// only once the log has failed or is closed.
    pub async fn truncate_from(&self, index: u64) -> Result<()> {
        self.perform(Action::TruncateFrom(index)).await
    }

    /// Removes whole segments that end at or below `index`; the one that is
    /// written to always stays. [`Log::first`] returns how far it went.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] unless `index < next()` (see [`Log::reset`]);
    /// otherwise only once the log has failed or is closed.
    pub async fn purge_through(&self, index: u64) -> Result<()> {
        self.perform(Action::PurgeThrough(index)).await
    }

    /// Drops every entry; the log goes on at `next_index`. For a snapshot that
    /// is durable and reaches beyond the log. After a crash in the middle the
    /// log is a beginning of the old one, or empty: reset it again when it ends
    /// below the snapshot.
    ///
    /// # Errors
    /// Once the log has failed or is closed.
    pub async fn reset(&self, next_index: u64) -> Result<()> {
        self.perform(Action::Reset(next_index)).await
    }

    /// Notes durably that the end of the log is lost, for [`LogRecovery::dropped`]
    /// of the next start: others know of entries that are not there.
    ///
    /// # Errors
    /// Once the log has failed or is closed.
    pub async fn note_dropped_tail(&self, tail: DroppedTail) -> Result<()> {
        self.perform(Action::NoteDroppedTail(tail)).await
    }

    /// Forgets [`LogRecovery::dropped`]: the replica has made up for it.
    ///
    /// # Errors
    /// Once the log has failed or is closed.
    pub async fn settle_dropped_tail(&self) -> Result<()> {
        self.perform(Action::SettleDroppedTail).await
    }

    /// Raises the format in `identity.json`, durably, if it is lower. Afterwards content
    /// may be written that only programs with this format know. Waits
    /// while the disk is full.
    ///
    /// # Errors
    /// Once the log has failed or is closed; [`ErrorCode::Corrupted`] when the
    /// identity is broken.
    pub async fn raise_format(&self, format: u32) -> Result<()> {
        self.perform(Action::RaiseFormat(format)).await
    }

    /// What the writer waits for, such as room on the disk.
    pub fn shortage(&self) -> Option<Shortage> {
        *self.shared.shortage.borrow()
    }

    /// Follows [`Log::shortage`].
    pub fn watch_shortage(&self) -> watch::Receiver<Option<Shortage>> {
        self.shared.shortage.subscribe()
    }

    /// Lets what waits for room on a full disk, or for descriptors, fail from now on.
    pub fn stop_waiting(&self) {
        self.shared.closing.send_replace(true);
    }

    /// Finishes what is queued, ends the workers and drops their shares of the
    /// directory's lock. What waits for room on a full disk fails instead.
    ///
    /// # Errors
    /// The failure after which the log had stopped writing, if any.
    pub async fn close(&self) -> Result<()> {
        self.stop_waiting();
        let (reply, ended) = oneshot::channel();
        if self.reads.send(ReadCommand::Close(reply)).is_ok() {
            // Refused only by a reader that has ended anyway.
            let _ = ended.await;
        }
        // One that was closed before is closed.
        self.ask_writer(Action::Close).await.unwrap_or(Ok(()))
    }

    async fn perform(&self, action: Action) -> Result<()> {
        self.ask_writer(action).await.unwrap_or_else(|Closed| Err(self.closed()))
    }

    /// Has the writer do something, and returns what it answers.
    async fn ask_writer(&self, action: Action) -> Result<Result<()>, Closed> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Perform { action, reply });
        sent.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }

    fn closed(&self) -> Error {
        closed(&self.shared.paths)
    }
}

fn closed(paths: &Paths) -> Error {
    let message = format!("the log in {} is closed", paths.root.display());
    Error::new(ErrorCode::Unavailable, message)
}

/// A payload as the line that goes to disk.
fn encode(payload: &Bytes) -> Bytes {
    record::encode(payload)
}
