//! The worker that changes the outbox: appends, removals, lists written anew, in the
//! order of their arrival.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::super::files::{self, Failure, sync_folder, temporary_of, without_restart};
use super::super::lock::OutboxShare;
use super::super::shortage::Shortage;
use super::super::{FatalHandler, Paths};
use super::format::{self, Header};
use super::state::{Claim, Held, full};
use super::{AppendedEntries, RelistChange, Shared};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, DiskFile};
use crate::limits::OUTBOX_FORMAT_VERSION;
use crate::planted::{self, Bug};
use crate::types::Uuid;

pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// Entries to be appended as one.
pub(super) struct Append {
    pub(super) entries: Vec<Bytes>,
    /// The room that was taken for them; `None` while something is in the way.
    pub(super) claim: Option<Claim>,
    pub(super) reply: Reply<AppendedEntries>,
}

/// What handles ask for.
pub(super) enum Command {
    Append(Append),
    Settle {
        list: Uuid,
        through: u64,
        reply: Reply<()>,
    },
    Relist {
        lists: Vec<Uuid>,
        change: RelistChange,
        reply: Reply<Option<Uuid>>,
    },
    /// To look whether what was in the way is still there.
    Look,
    Close(oneshot::Sender<()>),
}

/// Whoever asked may have been cancelled; what was asked for is done all the same.
fn answer<T>(reply: Reply<T>, result: Result<T>) {
    let _ = reply.send(result);
}

/// The list that this process appends to.
struct Current {
    list: Uuid,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// How much of the file is durable.
    bytes: u64,
    /// Whether something may stand behind what is durable.
    unclean: bool,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Command>,
    share: OutboxShare,
    fatal: FatalHandler,
    /// `None` until the first append, and after a list was settled.
    current: Option<Current>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Command>,
        share: OutboxShare,
        fatal: FatalHandler,
    ) -> Writer {
        Writer { shared, queue, share, fatal, current: None }
    }

    /// Works until the outbox is closed or all its handles are dropped.
    pub(super) async fn run(mut self) {
        let mut taken_back = None;
        let mut closing = None;
        loop {
            let command = match taken_back.take() {
                Some(command) => Some(command),
                None => self.queue.recv().await,
            };
            match command {
                None => break,
                Some(Command::Close(reply)) => {
                    closing = Some(reply);
                    break;
                }
                Some(Command::Append(append)) => taken_back = self.append_all(append).await,
                Some(Command::Look) => self.look_again().await,
                Some(Command::Settle { list, through, reply }) => match self.failed() {
                    Some(error) => answer(reply, Err(error)),
                    None => {
                        let result = self.settle(list, through).await;
                        self.report(result, |result| answer(reply, result)).await;
                    }
                },
                Some(Command::Relist { lists, change, reply }) => match self.failed() {
                    Some(error) => answer(reply, Err(error)),
                    None => {
                        let result = self.relist(&lists, change).await;
                        self.report(result, |result| answer(reply, result)).await;
                    }
                },
            }
        }
        self.end_current().await;
        // What is still queued learns from the end of its channel that nothing was done.
        let Writer { queue, share, current, .. } = self;
        drop((queue, share, current));
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Appends everything that is queued as appends with one sync. Returns a command of
    /// another kind that was met.
    async fn append_all(&mut self, first: Append) -> Option<Command> {
        let (mut group, mut next) = (Vec::new(), Some(Command::Append(first)));
        let other = loop {
            match next {
                Some(Command::Append(append)) => {
                    let append = self.admit(append).await;
                    group.extend(append);
                }
                other => break other,
            }
            next = self.queue.try_recv().ok();
        };
        if group.is_empty() {
            return other;
        }
        let entries: Vec<Bytes> =
            group.iter().flat_map(|append| append.entries.iter().cloned()).collect();
        let mut replies: Vec<(u64, Reply<AppendedEntries>)> = Vec::new();
        let mut claims = Vec::new();
        for Append { entries, claim, reply } in group {
            replies.push((entries.len() as u64, reply));
            claims.extend(claim);
        }
        if planted::is(Bug::AcknowledgeUnsyncedOutbox)
            && let Ok((list, first)) = self.place_of_next().await
        {
            hand_out(std::mem::take(&mut replies), list, Ok(first));
        }
        let result = self.append(entries).await;
        {
            let mut state = self.shared.state.lock();
            claims.into_iter().for_each(|claim| state.release(claim));
        }
        let report = |result: Result<AppendedEntries>| {
            let list = result.as_ref().map_or(Uuid::nil(), |appended| appended.list);
            hand_out(replies, list, result.map(|appended| appended.first));
        };
        self.report(result, report).await;
        other
    }

    /// Has room taken for an append for which that is still to be done; `None` after a
    /// refusal.
    async fn admit(&mut self, append: Append) -> Option<Append> {
        // Something may have come into the way since its room was taken.
        let obstacle = self.shared.state.lock().obstacle();
        if append.claim.is_some() && obstacle.is_none() {
            return Some(append);
        }
        self.look_again().await;
        let Append { entries, claim, reply } = append;
        let claimed = {
            let mut state = self.shared.state.lock();
            claim.into_iter().for_each(|claim| state.release(claim));
            state.claim(&entries, &self.shared.bounds)
        };
        match claimed {
            Ok(claim) => Some(Append { entries, claim: Some(claim), reply }),
            Err(error) => {
                answer(reply, Err(error));
                None
            }
        }
    }

    /// Looks which files that are in the way are still there.
    async fn look_again(&self) {
        let unusable = self.shared.state.lock().unusable.clone();
        let mut removed: Vec<PathBuf> = Vec::new();
        for unusable in unusable {
            let found = self.shared.host.disk.file_id(&unusable.path).await;
            if found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
                removed.push(unusable.path);
            }
        }
        self.shared.state.lock().forget_removed(&removed, &self.shared.paths);
    }

    async fn append(&mut self, entries: Vec<Bytes>) -> Result<AppendedEntries, Failure> {
        let (list, first) = self.place_of_next().await?;
        let current = self.current.as_mut().expect("a place is in it");
        let lengths: usize = entries.iter().map(|entry| entry.len() + 96).sum();
        let mut chunk = BytesMut::with_capacity(lengths);
        for (n, entry) in (first..).zip(&entries) {
            chunk.extend_from_slice(&format::entry_line(n, entry));
        }
        let written = chunk.len() as u64;
        // As long as that fails, nothing of these is written.
        current.clean().await?;
        match current.write(chunk.freeze()).await {
            Ok(()) => {
                let mut state = self.shared.state.lock();
                let appended = state.appended(list, entries.len() as u64, written);
                appended.map_err(Failure::Refused)?;
                Ok(AppendedEntries { list, first })
            }
            Err(Failure::Broken(error)) => Err(Failure::Broken(error)),
            Err(failure) => Err(self.take_back(list, first, failure).await),
        }
    }

    /// Takes back what was written of an append that has failed, which nobody may find
    /// later; returns what is to be told.
    async fn take_back(&mut self, list: Uuid, first: u64, failure: Failure) -> Failure {
        let current = self.current.as_mut().expect("it was appended to");
        let cut = match current.clean().await {
            Err(Failure::Broken(error)) => return Failure::Broken(error),
            cut => cut,
        };
        if first == 1 {
            match self.drop_empty(list).await {
                Err(broken) => return broken,
                Ok(true) => return failure,
                Ok(false) => {}
            }
        }
        match cut {
            Ok(()) => failure,
            // It is tried again before anything else is done with the list: see
            // `Current::clean`. If this process dies before that, the next one finds it.
            Err(uncut) => Failure::Refused(Error::outcome_unknown(format!(
                "{}, and what was written of it could not be cut off ({}); it may be delivered \
                 all the same, so repeat it with the same id",
                without_restart(failure.into()),
                without_restart(uncut.into())
            ))),
        }
    }

    /// Where the next entry goes; makes a list if there is none to append to.
    async fn place_of_next(&mut self) -> Result<(Uuid, u64), Failure> {
        let list = self.current.as_ref().map(|current| current.list);
        let given_up = list.filter(|list| self.shared.state.lock().is_given_up(*list));
        if let Some(list) = given_up {
            self.give_up_current(list).await?;
        }
        if self.current.is_none() {
            let (header, bounds) = (self.new_header(), &self.shared.bounds);
            let (size, bytes) = {
                let state = self.shared.state.lock();
                (state.size(), state.bytes_with_claimed() + header.line().len() as u64)
            };
            if size.lists >= bounds.lists_max || bytes > bounds.bytes_max {
                return Err(Failure::Refused(full(&size)));
            }
            let (list, disk) = (header.list, self.shared.host.disk.clone());
            let (file, bytes) = make(&*disk, &self.shared.paths, &header).await?;
            let held = Held { header, entries: 0, bytes, settled: 0 };
            self.shared.state.lock().lists.push(held);
            let path = self.shared.paths.outbox_list(list);
            self.current = Some(Current { list, path, file, bytes, unclean: false });
        }
        let list = self.current.as_ref().expect("made").list;
        let entries = self.shared.state.lock().find(list).map_or(0, |held| held.entries);
        Ok((list, entries + 1))
    }

    /// Removes a list whose first append has failed; whether that is durable. One that
    /// cannot be removed is for the next append.
    async fn drop_empty(&mut self, list: Uuid) -> Result<bool, Failure> {
        let path = self.shared.paths.outbox_list(list);
        let disk = self.shared.host.disk.clone();
        let removed = match files::remove(&*disk, &path).await {
            Err(Failure::Broken(error)) => return Err(Failure::Broken(error)),
            Err(_) if disk.file_id(&path).await.is_ok() => return Ok(false),
            removed => removed.is_ok(),
        };
        // Without its name nothing that is appended to it would be found.
        self.current = None;
        self.forget(&[list]);
        Ok(removed)
    }

    async fn settle(&mut self, list: Uuid, through: u64) -> Result<(), Failure> {
        let (all, replaced) = {
            let mut state = self.shared.state.lock();
            let Some(held) = state.find(list) else { return Ok(()) };
            held.settled = held.settled.max(through.min(held.entries));
            (held.settled == held.entries, held.header.instead_of.clone())
        };
        if !all {
            return Ok(());
        }
        self.give_up_current(list).await?;
        let disk = &*self.shared.host.disk;
        // Otherwise the next start would take those for what counts.
        remove_lists(disk, &self.shared.paths, &replaced).await?;
        remove_lists(disk, &self.shared.paths, &[list]).await?;
        self.forget(&[list]);
        Ok(())
    }

    /// Why nothing is changed any more.
    fn failed(&self) -> Option<Error> {
        self.shared.state.lock().failed.clone()
    }

    /// Nothing is appended to that list any more, and nothing is left in it of what was
    /// refused.
    pub(super) async fn give_up_current(&mut self, list: Uuid) -> Result<(), Failure> {
        if let Some(current) = self.current.as_mut().filter(|current| current.list == list) {
            current.clean().await?;
            self.current = None;
        }
        Ok(())
    }

    /// The same before the worker ends, as far as that is possible.
    async fn end_current(&mut self) {
        let Some(list) = self.current.as_ref().map(|current| current.list) else { return };
        match self.give_up_current(list).await {
            Ok(()) => {}
            Err(Failure::Broken(error)) => {
                self.report(Err(Failure::Broken(error)), |_: Result<()>| {}).await
            }
            Err(failure) => tracing::error!(
                "{}; the next start finds what was written last and not acknowledged",
                without_restart(failure.into())
            ),
        }
    }

    pub(super) fn forget(&self, lists: &[Uuid]) {
        self.shared.state.lock().lists.retain(|held| !lists.contains(&held.header.list));
    }

    pub(super) fn new_header(&self) -> Header {
        let (host, owner) = (&self.shared.host, &self.shared.owner);
        Header {
            format: OUTBOX_FORMAT_VERSION,
            cluster: owner.cluster,
            lineage: owner.lineage,
            list: host.uuid(),
            replica: owner.replica,
            incarnation: owner.incarnation,
            order: self.shared.state.lock().next_order(),
            made: host.clock.now(),
            instead_of: Vec::new(),
        }
    }

    /// Reports a result. After damage nothing is written any more, and the directory is
    /// marked first, so that no process of this boot trusts it. The fatal handler comes
    /// last, as it may end this process.
    async fn report<T>(&mut self, result: Result<T, Failure>, report: impl FnOnce(Result<T>)) {
        let failure = match result {
            Ok(done) => return report(Ok(done)),
            Err(broken @ Failure::Broken(_)) => broken,
            Err(failure) => return report(Err(refusal(failure))),
        };
        self.current = None;
        let error = self.share.lock().mark_if_broken(&self.shared.paths.root, failure).await;
        self.shared.state.lock().failed = Some(error.clone());
        report(Err(error.clone()));
        tracing::error!("{error}");
        (self.fatal)(error);
    }
}

impl Current {
    /// Cuts off, durably, what is left of a write that did not come to its end, so that
    /// what was refused does not come back after a crash.
    async fn clean(&mut self) -> Result<(), Failure> {
        if self.unclean {
            let cut = self.file.truncate(self.bytes).await;
            cut.map_err(|error| Failure::of_call("cut", &self.path, &error))?;
            if !planted::is(Bug::CutOutboxUnsynced) {
                let synced = self.file.sync_data().await;
                synced.map_err(|error| Failure::of_sync(&self.path, &error))?;
            }
            self.unclean = false;
        }
        Ok(())
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), Failure> {
        self.unclean = true;
        let bytes = chunk.len() as u64;
        let written = self.file.append(chunk).await;
        written.map_err(|error| Failure::of_call("write", &self.path, &error))?;
        let synced = self.file.sync_data().await;
        synced.map_err(|error| Failure::of_sync(&self.path, &error))?;
        self.bytes += bytes;
        self.unclean = false;
        Ok(())
    }
}

/// Makes a list with its header, durably; returns its file and size. It gets its name when
/// the header is durable: whatever a crash leaves of the header, it is no broken list.
pub(super) async fn make(
    disk: &dyn Disk,
    paths: &Paths,
    header: &Header,
) -> Result<(Box<dyn DiskFile>, u64), Failure> {
    let (folder, path) = (paths.outbox(), paths.outbox_list(header.list));
    let made = disk.create_dir_all(&folder).await;
    made.map_err(|error| Failure::of_call("make the folder", &folder, &error))?;
    sync_folder(disk, &paths.root).await?;
    let (line, temporary) = (header.line(), temporary_of(&path));
    let bytes = line.len() as u64;
    let making = async {
        let file = disk.create(&temporary).await;
        let mut file = file.map_err(|error| Failure::of_call("make", &temporary, &error))?;
        let written = file.append(line).await;
        written.map_err(|error| Failure::of_call("write", &temporary, &error))?;
        let synced = file.sync_data().await;
        synced.map_err(|error| Failure::of_sync(&temporary, &error))?;
        let named = disk.rename(&temporary, &path).await;
        named.map_err(|error| Failure::of_call("make", &path, &error))?;
        sync_folder(disk, &folder).await?;
        Ok(file)
    };
    match making.await {
        Ok(file) => Ok((file, bytes)),
        Err(failure) => {
            // Only for tidiness: the next start removes a list without entries.
            for path in [temporary, path] {
                if let Err(error) = disk.remove_file(&path).await {
                    tracing::debug!("{} is not there or left behind: {error}", path.display());
                }
            }
            Err(failure)
        }
    }
}

/// Removes lists durably, as far as they are there.
pub(super) async fn remove_lists(
    disk: &dyn Disk,
    paths: &Paths,
    lists: &[Uuid],
) -> Result<(), Failure> {
    for list in lists {
        files::remove(disk, &paths.outbox_list(*list)).await?;
    }
    Ok(())
}

/// Tells each append the first of its numbers.
fn hand_out(replies: Vec<(u64, Reply<AppendedEntries>)>, list: Uuid, first: Result<u64>) {
    let mut next = first;
    for (count, reply) in replies {
        let appended = next.clone().map(|first| AppendedEntries { list, first });
        next = next.map(|first| first + count);
        answer(reply, appended);
    }
}

/// A failure that leaves everything as it was.
fn refusal(failure: Failure) -> Error {
    let nothing_done = |error: Error, code| Error {
        code,
        message: format!("{}; nothing was done", error.message),
        ..error
    };
    match failure {
        Failure::Passing(Shortage::Room, error) => nothing_done(error, ErrorCode::DiskFull),
        Failure::Passing(Shortage::Resources, error) => nothing_done(error, ErrorCode::Unavailable),
        Failure::Refused(error) if error.code == ErrorCode::Io => {
            nothing_done(without_restart(error), ErrorCode::Unavailable)
        }
        Failure::Refused(error) | Failure::Broken(error) => error,
    }
}
