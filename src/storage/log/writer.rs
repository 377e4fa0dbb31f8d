//! The worker that writes: appends, votes, removals, in the order of their
//! arrival.
//!
//! Everything it does to the disk is a [`Step`]. A step that finds the disk full, or no
//! descriptor left, leaves nothing half done and is tried again until it succeeds. A
//! step that fails in any other way is the last one: everything that waits fails, the
//! directory is marked if the disk is broken, and from then on the worker only refuses.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::directory::read_identity;
use super::super::errors::corrupted_whole;
use super::super::files::{self, Durability, Failure, sync_folder};
use super::super::lock::LockShare;
use super::super::shortage::Shortage;
use super::commands::{Action, Command, answer};
use super::state::Cut;
use super::{AppendDone, FatalHandler, Shared, closed, encode};
use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile};
use crate::planted::{self, Bug};

/// Pause between two attempts at a step while room or descriptors are short.
pub(super) const SHORTAGE_RETRY: Duration = Duration::from_millis(200);

/// Shortest time between two writes of the commit hint.
const COMMITTED_INTERVAL: Duration = Duration::from_secs(1);

/// The same while somebody is to follow it; see [`super::Log::write_commit_hints_often`].
const COMMITTED_INTERVAL_OFTEN: Duration = Duration::from_millis(100);

/// Why a step was not done.
enum Stopped {
    /// A failure that nothing may follow.
    Failed(Failure),
    /// Nobody wants to wait any more, or there was a failure before.
    GivenUp(Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped::Failed(failure)
    }
}

/// One change on disk that can be tried again when there was no room for it.
enum Step {
    /// Writes to the end of the last segment: records of these lengths.
    Write { chunk: Bytes, lengths: Vec<u32> },
    /// Makes the last segment's content durable.
    Sync,
    /// Makes an empty segment, makes its name durable, and makes it the last one.
    Create(u64),
    /// Cuts a segment, durably, and makes it the last one.
    Cut { segment: u64, length: u64 },
    /// Gives a segment another name, durably, and makes it the last one.
    Rename { from: u64, to: u64 },
    /// Removes a file, durably.
    Remove(PathBuf),
    /// Replaces a file, durably.
    Replace(PathBuf, Bytes),
}

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Command>,
    lock: LockShare,
    fatal: FatalHandler,
    /// The last segment's file.
    active: Box<dyn DiskFile>,
    /// Whether it may end in a part of a record that was not written to its end.
    half_written: bool,
    committed_due: Option<Instant>,
    committed_written: Option<Instant>,
    opened: Instant,
    /// Why nothing is written any more.
    failed: Option<Error>,
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Command>,
        lock: LockShare,
        fatal: FatalHandler,
        active: Box<dyn DiskFile>,
    ) -> Writer {
        let (committed_due, committed_written, failed) = (None, None, None);
        Writer {
            disk,
            shared,
            queue,
            lock,
            fatal,
            active,
            half_written: false,
            committed_due,
            committed_written,
            opened: Instant::now(),
            failed,
        }
    }

    /// Works until the log is closed or all its handles are dropped.
    pub(super) async fn run(mut self) {
        let mut taken_back = None;
        let mut closing = None;
        loop {
            let command = match taken_back.take() {
                Some(command) => Some(command),
                None => self.next_command().await,
            };
            match command {
                None => break,
                Some(Command::Perform { action: Action::Close, reply }) => {
                    closing = Some(reply);
                    break;
                }
                Some(Command::Perform { action: Action::RaiseFormat(format), reply }) => {
                    self.raise_format(format, reply).await;
                }
                Some(Command::Perform { action, reply }) => self.perform(action, reply).await,
                Some(Command::Append { first_index, lines, done }) => {
                    taken_back = self.append(first_index, lines, done).await;
                }
            }
        }
        self.write_committed().await;
        self.queue.close();
        while let Ok(command) = self.queue.try_recv() {
            command.refuse_when_closed(closed(&self.shared.paths));
        }
        let Writer { active, lock, failed, .. } = self;
        drop((active, lock));
        if let Some(reply) = closing {
            answer(reply, failed.map_or(Ok(()), Err));
        }
    }

    async fn next_command(&mut self) -> Option<Command> {
        loop {
            let due = self.committed_due;
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or(self.opened)), if due.is_some() => {
                    self.write_committed().await;
                }
                () = self.shared.committed_changed.notified(), if due.is_none() => {
                    self.committed_due = Some(self.next_commit_hint());
                }
                command = self.queue.recv() => return command,
            }
        }
    }

    /// When a new commit hint is to be written.
    fn next_commit_hint(&self) -> Instant {
        let often = self.shared.commit_hints_often.load(Ordering::Relaxed);
        match self.committed_written {
            Some(written) if often => written + COMMITTED_INTERVAL_OFTEN,
            // An owner may be back before the first interval is over.
            None if often => self.opened,
            written => written.unwrap_or(self.opened) + COMMITTED_INTERVAL,
        }
    }

    /// Writes everything that is queued as appends, syncs once, and calls the
    /// `done`s in order. Returns a command of another kind that was met.
    async fn append(
        &mut self,
        first_index: u64,
        lines: Vec<Bytes>,
        done: AppendDone,
    ) -> Option<Command> {
        let mut expected = self.shared.state.lock().written();
        let (mut batch, mut dones) = (Vec::new(), Vec::new());
        let mut next = Some(Command::Append { first_index, lines, done });
        let other = loop {
            match next {
                Some(Command::Append { first_index, lines, done }) if first_index == expected => {
                    expected += lines.len() as u64;
                    batch.extend(lines);
                    dones.push(done);
                }
                Some(Command::Append { first_index, done, .. }) => {
                    // Queued behind a removal that was not awaited, or after a
                    // failure; written here it would get another index.
                    let error = self.failed.clone().unwrap_or_else(|| {
                        Error::internal(format!(
                            "entry {first_index} was appended where {expected} comes next"
                        ))
                    });
                    done(Err(error));
                }
                other => break other,
            }
            next = self.queue.try_recv().ok();
        };
        if planted::is(Bug::AcknowledgeBeforeSync) {
            dones.drain(..).for_each(|done| done(Ok(())));
        }
        let result = self.write(batch).await;
        self.settle(result, |result| dones.into_iter().for_each(|done| done(result.clone()))).await;
        other
    }

    async fn write(&mut self, lines: Vec<Bytes>) -> Result<(), Stopped> {
        let segment_max_bytes = u64::from(self.shared.options.segment_max_bytes);
        let mut length = self.shared.state.lock().active_length();
        // In one piece: a chunk that grows is copied again and again.
        let bytes = lines.iter().map(Bytes::len).sum();
        let (mut chunk, mut lengths) = (BytesMut::with_capacity(bytes), Vec::new());
        for line in lines {
            if length >= segment_max_bytes && length > 0 {
                let (chunk, lengths) = (chunk.split().freeze(), std::mem::take(&mut lengths));
                self.take(Step::Write { chunk, lengths }).await?;
                // Only the last segment may lose its end in a crash.
                self.take(Step::Sync).await?;
                let first = self.shared.state.lock().written();
                self.take(Step::Create(first)).await?;
                self.shared.state.lock().add_segment();
                length = 0;
            }
            length += line.len() as u64;
            lengths.push(line.len() as u32);
            chunk.extend_from_slice(&line);
        }
        self.take(Step::Write { chunk: chunk.freeze(), lengths }).await?;
        self.take(Step::Sync).await
    }

    async fn perform(&mut self, action: Action, reply: oneshot::Sender<Result<()>>) {
        if let Err(error) = self.check(&action) {
            return answer(reply, Err(error));
        }
        let result = self.change(action).await;
        self.settle(result, |result| answer(reply, result)).await;
    }

    /// Refuses an index that the log does not have.
    fn check(&self, action: &Action) -> Result<()> {
        let state = self.shared.state.lock();
        let (first, next) = (state.first(), state.written());
        match action {
            Action::TruncateFrom(index) if !(first..=next).contains(index) => {
                Err(Error::internal(format!("cannot cut a log of {first}..{next} at {index}")))
            }
            Action::PurgeThrough(index) if *index >= next => {
                Err(Error::internal(format!("cannot purge {index} of a log of {first}..{next}")))
            }
            _ => Ok(()),
        }
    }

    async fn change(&mut self, action: Action) -> Result<(), Stopped> {
        // The state changes first: nobody reads from a file that is going away.
        match action {
            Action::Vote(payload) => {
                let path = self.shared.paths.vote();
                self.take(Step::Replace(path, encode(&payload))).await?;
                self.shared.state.lock().vote = Some(payload);
            }
            Action::Committed { index, payload } => {
                let payload = self.shared.state.lock().committed_at_least(index, payload);
                let path = self.shared.paths.committed();
                self.take(Step::Replace(path, encode(&payload))).await?;
            }
            Action::TruncateFrom(index) => {
                let cut = self.shared.state.lock().truncate_from(index);
                let Cut { removed, segment, length } = cut;
                self.remove_segments(removed).await?;
                self.take(Step::Cut { segment, length }).await?;
            }
            Action::PurgeThrough(index) => {
                let removed = self.shared.state.lock().purge_through(index);
                self.remove_segments(removed).await?;
            }
            Action::Reset(next) => {
                // A log without any segment counts as lost, so the first one is
                // emptied and takes the name of the new one.
                let mut removed = self.shared.state.lock().reset(next);
                let first = removed.pop();
                self.remove_segments(removed).await?;
                if let Some(first) = first {
                    self.take(Step::Cut { segment: first, length: 0 }).await?;
                    if first != next {
                        self.take(Step::Rename { from: first, to: next }).await?;
                    }
                }
            }
            Action::NoteDroppedTail(tail) => {
                let path = self.shared.paths.dropped_tail();
                self.take(Step::Replace(path, tail.encode())).await?;
            }
            Action::SettleDroppedTail => {
                self.take(Step::Remove(self.shared.paths.dropped_tail())).await?;
            }
            // Done elsewhere: they need more than a step.
            Action::RaiseFormat(_) | Action::Close => {}
        }
        Ok(())
    }

    /// Raises the format in `identity.json` if it is lower. An unreadable identity is told
    /// to the caller and does not fail the log: nothing was written, and the next start
    /// finds it.
    async fn raise_format(&mut self, format: u32, reply: oneshot::Sender<Result<()>>) {
        let path = self.shared.paths.identity();
        let mut identity = match read_identity(&*self.disk, &self.shared.paths).await {
            Ok(Some(identity)) if identity.format >= format => return answer(reply, Ok(())),
            Ok(Some(identity)) => identity,
            Ok(None) => return answer(reply, Err(corrupted_whole(&path, "is gone"))),
            Err(error) => return answer(reply, Err(error)),
        };
        identity.format = format;
        let result = self.take(Step::Replace(path, identity.encode())).await;
        self.settle(result, |result| answer(reply, result)).await;
    }

    async fn remove_segments(&mut self, firsts: Vec<u64>) -> Result<(), Stopped> {
        for first in firsts {
            self.take(Step::Remove(self.shared.paths.segment(first))).await?;
        }
        Ok(())
    }

    /// Takes a step, as often as it needs.
    async fn take(&mut self, step: Step) -> Result<(), Stopped> {
        if let Some(error) = &self.failed {
            return Err(Stopped::GivenUp(error.clone()));
        }
        loop {
            match self.try_step(&step).await {
                Err(Failure::Passing(shortage, error)) => self.wait_for(shortage, error).await?,
                result => {
                    if self.shared.shortage.send_replace(None).is_some() {
                        tracing::info!("writing goes on in {}", self.root());
                    }
                    return Ok(result?);
                }
            }
        }
    }

    async fn try_step(&mut self, step: &Step) -> Result<(), Failure> {
        let (disk, paths) = (&*self.disk, &self.shared.paths);
        match step {
            Step::Write { chunk, .. } if chunk.is_empty() => Ok(()),
            Step::Write { chunk, lengths } => {
                let (path, length) = self.shared.state.lock().active(paths);
                self.cut_half_written(&path, length).await?;
                if let Err(error) = self.active.append(chunk.clone()).await {
                    // Cut off what was written of it. Otherwise the next attempt would
                    // append its records behind half a record.
                    self.half_written = true;
                    self.cut_half_written(&path, length).await?;
                    return Err(Failure::of_call("write", &path, &error));
                }
                let recent_max_bytes = self.shared.options.recent_max_bytes;
                self.shared.state.lock().wrote(lengths, recent_max_bytes);
                Ok(())
            }
            Step::Sync => {
                let synced = self.active.sync_data().await;
                let path = || self.shared.state.lock().active(paths).0;
                synced.map_err(|error| Failure::of_sync(&path(), &error))
            }
            Step::Create(first) => {
                let path = paths.segment(*first);
                let file = disk.create(&path).await;
                self.active = file.map_err(|e| Failure::of_call("make", &path, &e))?;
                sync_folder(disk, &paths.log()).await
            }
            Step::Cut { segment, length } => {
                let path = paths.segment(*segment);
                let file = disk.open(&path).await;
                self.active = file.map_err(|e| Failure::of_call("open", &path, &e))?;
                let cut = self.active.truncate(*length).await;
                cut.map_err(|e| Failure::of_call("cut", &path, &e))?;
                let synced = self.active.sync_data().await;
                synced.map_err(|e| Failure::of_sync(&path, &e))
            }
            Step::Rename { from, to } => {
                let (from, to) = (paths.segment(*from), paths.segment(*to));
                match disk.rename(&from, &to).await {
                    // Done the time before, and then not made durable.
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound
                            && disk.file_id(&to).await.is_ok() => {}
                    renamed => renamed.map_err(|e| Failure::of_call("rename", &from, &e))?,
                }
                sync_folder(disk, &paths.log()).await?;
                let file = disk.open(&to).await;
                self.active = file.map_err(|e| Failure::of_call("open", &to, &e))?;
                Ok(())
            }
            Step::Remove(path) => files::remove(disk, path).await,
            Step::Replace(path, line) => {
                files::replace(disk, path, line.clone(), Durability::Durable).await
            }
        }
    }

    /// Cuts off what is left of a write that did not come to its end.
    async fn cut_half_written(&mut self, path: &Path, length: u64) -> Result<(), Failure> {
        if self.half_written {
            let cut = self.active.truncate(length).await;
            cut.map_err(|error| Failure::of_call("cut", path, &error))?;
            self.half_written = false;
        }
        Ok(())
    }

    /// Waits a moment; fails when nobody wants to wait any more.
    async fn wait_for(&mut self, shortage: Shortage, error: Error) -> Result<(), Stopped> {
        if self.shared.shortage.send_replace(Some(shortage)) != Some(shortage) {
            tracing::warn!("{error}; this replica stores nothing more until that has passed");
        }
        let mut closing = self.shared.closing.subscribe();
        if self.queue.is_closed() {
            return Err(Stopped::GivenUp(error));
        }
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(Stopped::GivenUp(error)),
            () = sleep(SHORTAGE_RETRY) => Ok(()),
        }
    }

    /// Reports a result. After any failure nothing is written any more. One that proves
    /// damage marks the directory first, so that no process of this boot trusts it. The
    /// fatal handler comes last, as it may end this process; it is not called when a wait
    /// was given up.
    async fn settle(&mut self, result: Result<(), Stopped>, report: impl FnOnce(Result<()>)) {
        let (error, damaged, given_up) = match result {
            Ok(()) => return report(Ok(())),
            Err(Stopped::GivenUp(error)) => (error, false, true),
            Err(Stopped::Failed(Failure::Broken(error))) => (error, true, false),
            Err(Stopped::Failed(failure)) => (failure.into(), false, false),
        };
        // Also after giving up on a full disk: what comes behind an entry that
        // was not written cannot be written either.
        self.failed = Some(error.clone());
        if damaged && let Err(mark) = self.lock.mark_poisoned().await {
            tracing::error!("cannot mark {} as poisoned: {mark}", self.root());
        }
        report(Err(error.clone()));
        if !given_up {
            tracing::error!("{error}");
            (self.fatal)(error);
        }
    }

    /// Writes the commit hint, if that can be done. It may get lost, and the one before it does
    /// not; if the disk is broken, the next write that matters reports it.
    async fn write_committed(&mut self) {
        self.committed_due = None;
        self.committed_written = Some(Instant::now());
        if self.shared.state.lock().committed_waits() {
            self.committed_due = Some(Instant::now() + COMMITTED_INTERVAL_OFTEN);
        }
        let hint = self.shared.state.lock().new_committed();
        let (Some(hint), None) = (hint, &self.failed) else { return };
        let path = self.shared.paths.committed();
        let written = files::replace(&*self.disk, &path, encode(&hint), Durability::Lazy).await;
        if let Err(error) = written.map_err(Error::from) {
            tracing::debug!("passed over: {error}");
        }
    }

    fn root(&self) -> std::path::Display<'_> {
        self.shared.paths.root.display()
    }
}
