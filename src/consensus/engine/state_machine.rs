//! The state machine as openraft wants it: the chat state, in memory, with its
//! place in the log and its snapshots.
//!
//! A lock guards the state. It is held for one entry or one [`Look`] at a time and
//! never across an await. A worker builds a snapshot from an immutable view, which is
//! taken in microseconds, while writes go on.

mod building;
mod loading;
mod overlay;
#[cfg(debug_assertions)]
mod planted_bugs;
#[cfg(test)]
mod tests;
mod watchers;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftStateMachine};
use tokio::sync::watch;

use self::building::{Builder, SHORTAGE_RETRY};
pub use self::loading::PROGRESS_INTERVAL;
pub use self::overlay::Takes;
use self::watchers::Watchers;
use crate::chat::{Effects, Look, News, Overlay, State, View};
use crate::consensus::engine::disk_errors::Faults;
use crate::consensus::types::{
    Entry, EntryPayload, LogId, Outcomes, SnapshotMeta, StoredMembership, TypeConfig,
};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::limits::QUERY_STEPS_MAX;
use crate::storage::{CompleteSnapshot, SnapshotReader, Snapshots};
use crate::sync::{Mutex, RwLock};
use crate::types::{Membership, Timestamp, Uuid};

/// What openraft passes around as a snapshot.
pub enum SnapshotData {
    /// One that is on disk, whole.
    Stored(SnapshotReader),
    /// One that has arrived from the leader, whole, but is not yet in place.
    Received(CompleteSnapshot),
    /// One that is on disk and cannot be opened now, for this shortage.
    Unopened(Error),
}

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// The state and its watchers. Clones share it.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    host: Host,
    /// See [`Machine::adopted`].
    adopted: bool,
    /// A snapshot of the same history that another replica of this process has
    /// taken; see [`Machine::offer`].
    offered: Mutex<Option<SnapshotReader>>,
    snapshots: Mutex<Option<Snapshots>>,
    window: u64,
    faults: Faults,
    shown: RwLock<Shown>,
    position: Mutex<Position>,
    applied: watch::Sender<u64>,
    /// See [`Machine::watch_membership`].
    membership: watch::Sender<Arc<Membership>>,
    /// See [`Machine::latest_at`], in milliseconds.
    latest_at_ms: AtomicU64,
    watchers: Mutex<Watchers>,
    newest: Mutex<Newest>,
    /// See [`Machine::is_of_program`].
    #[cfg(debug_assertions)]
    level_known: std::sync::atomic::AtomicU32,
}

/// What readers see.
struct Shown {
    state: State,
    /// What this server has taken by itself, and the state does not contain.
    overlay: Overlay,
}

impl Shown {
    fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        self.state.look_over(&self.overlay, question)
    }
}

/// The snapshot that was built or installed last.
#[derive(Default)]
struct Newest {
    bytes: u64,
    meta: Option<SnapshotMeta>,
}

#[derive(Clone, Default)]
struct Position {
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    /// An empty state. `window` is the de-duplication window in log entries.
    pub fn new(host: Host, window: u64) -> Machine {
        Machine::make(host, window, false)
    }

    /// The machine of an adopted replica. It votes and keeps a log, but no state: the host
    /// has the same state already, as equal index means equal state. It keeps only the
    /// place in the log and the membership.
    pub fn adopted(host: Host) -> Machine {
        Machine::make(host, 1, true)
    }

    fn make(host: Host, window: u64, adopted: bool) -> Machine {
        Machine(Arc::new(Inner {
            host,
            adopted,
            offered: Mutex::default(),
            snapshots: Mutex::new(None),
            window,
            faults: Faults::default(),
            shown: RwLock::new(Shown { state: State::new(window), overlay: Overlay::default() }),
            position: Mutex::default(),
            applied: watch::Sender::new(0),
            membership: watch::Sender::default(),
            latest_at_ms: AtomicU64::new(0),
            watchers: Mutex::default(),
            newest: Mutex::default(),
            #[cfg(debug_assertions)]
            level_known: crate::limits::FEATURE_LEVEL_KNOWN.into(),
        }))
    }

    /// Sets the place of an adopted replica, before its node starts.
    pub(in crate::consensus) fn begin_at(&self, applied: LogId, membership: StoredMembership) {
        let mut position = self.0.position.lock();
        *position = Position { applied: Some(applied), membership };
        self.0.applied.send_replace(applied.index());
    }

    /// The last entry applied, and the membership at that place.
    pub(in crate::consensus) fn position(&self) -> (Option<LogId>, StoredMembership) {
        let position = self.0.position.lock().clone();
        (position.applied, position.membership)
    }

    /// Whether it keeps no state of its own.
    pub fn is_adopted(&self) -> bool {
        self.0.adopted
    }

    /// Has the next snapshot of an adopted replica be a copy of this one, which
    /// must contain nothing beyond what the replica knows to be committed.
    pub fn offer(&self, snapshot: SnapshotReader) {
        *self.0.offered.lock() = Some(snapshot);
    }

    /// Where errors of the disk are kept.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Forgets everything: the directory that the state came from was set aside.
    pub fn reset(&self) {
        let replaced = {
            let mut shown = self.0.shown.write();
            *self.0.position.lock() = Position::default();
            *self.0.newest.lock() = Newest::default();
            self.0.applied.send_replace(0);
            // It is read from the outbox again.
            shown.overlay = Overlay::default();
            std::mem::replace(&mut shown.state, State::new(self.0.window))
        };
        self.note_membership(&Arc::default());
        #[cfg(debug_assertions)]
        self.pass_level_to_state();
        self.free(replaced);
    }

    /// Frees a state on a worker, where nobody waits: a million messages take half a
    /// second.
    fn free(&self, state: State) {
        self.0.host.workers.spawn("state-drop", Box::pin(async move { drop(state) }));
    }

    /// Where snapshots are kept, once the directory is open.
    pub fn attach(&self, snapshots: Snapshots) {
        *self.0.snapshots.lock() = Some(snapshots);
    }

    /// Drops the share of the directory; the state stays readable.
    pub fn detach(&self) {
        *self.0.snapshots.lock() = None;
    }

    /// The snapshots of the open directory.
    ///
    /// # Errors
    /// When the replica has been stopped.
    pub fn snapshots(&self) -> Result<Snapshots> {
        self.0
            .snapshots
            .lock()
            .clone()
            .ok_or_else(|| Error::unavailable("this replica is stopping"))
    }

    /// Lets a question look at the state, with the lock held: the only way to
    /// read it. `applied` and the position change only under the same lock.
    pub fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        self.0.shown.read().look(question)
    }

    /// The feature level of the state.
    pub fn level(&self) -> u32 {
        self.look(|look| look.level())
    }

    /// Which replicas the cluster has, as the state says. An adopted replica's says
    /// nothing.
    pub fn watch_membership(&self) -> watch::Receiver<Arc<Membership>> {
        self.0.membership.subscribe()
    }

    fn note_membership(&self, now: &Arc<Membership>) {
        self.0.membership.send_if_modified(|known| {
            let modified = !Arc::ptr_eq(known, now) && known != now;
            if modified {
                known.clone_from(now);
            }
            modified
        });
    }

    /// The index of the last entry that the state contains.
    pub fn applied_index(&self) -> u64 {
        *self.0.applied.borrow()
    }

    /// The latest time in the log, as far as it was applied: that of an entry, or of
    /// the newest message where a snapshot was loaded.
    pub(in crate::consensus) fn latest_at(&self) -> Timestamp {
        Timestamp(self.0.latest_at_ms.load(Ordering::Relaxed))
    }

    fn is_at_least(&self, at: Timestamp) {
        self.0.latest_at_ms.fetch_max(at.0, Ordering::Relaxed);
    }

    /// State fingerprint and the index to which it belongs, taken together.
    pub fn fingerprint(&self) -> (u64, Option<String>) {
        let (applied, hash) = self.look(|look| (self.applied_index(), look.hash()));
        (applied, (!self.0.adopted).then(|| hash.to_string()))
    }

    /// The state as it is now, for reading at leisure, and the index of the last
    /// entry that it contains.
    pub fn view(&self) -> (u64, View) {
        self.look(|look| (self.applied_index(), look.view()))
    }

    /// The index of the last entry that the state contains, as it changes.
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// Resolves once the state contains the entry at `index`.
    pub async fn wait_applied(&self, index: u64) {
        let mut applied = self.0.applied.subscribe();
        // The sender lives as long as the machine, so this cannot fail.
        let _ = applied.wait_for(|applied| *applied >= index).await;
    }

    /// Changes whenever something is delivered to the account or withdrawn from it, or
    /// one of its sessions ends.
    pub fn watch(&self, account: Uuid) -> watch::Receiver<News> {
        self.0.watchers.lock().subscribe(account)
    }

    fn has_newest(&self, reader: &SnapshotReader, meta: &SnapshotMeta) {
        let newest = Newest { bytes: reader.file_bytes(), meta: Some(meta.clone()) };
        *self.0.newest.lock() = newest;
    }

    fn newest_meta(&self) -> Option<SnapshotMeta> {
        self.0.newest.lock().meta.clone()
    }

    /// Opens the newest snapshot, when there is a descriptor for it.
    async fn open_latest(&self) -> Result<Option<SnapshotReader>> {
        self.repeat_while_short(|snapshots| async move { snapshots.latest().await }).await
    }

    /// Does something with snapshots, and tries again while there is no room or no
    /// descriptor for it, until the replica stops: to openraft a failure would be the end
    /// of the node.
    async fn repeat_while_short<T, F>(&self, mut attempt: impl FnMut(Snapshots) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        loop {
            match attempt(self.snapshots()?).await {
                Err(error) if error.retryable() => {
                    tracing::warn!(%error, "a snapshot has to wait; trying again");
                    tokio::time::sleep(SHORTAGE_RETRY).await;
                }
                result => return result,
            }
        }
    }

    /// Bytes of the last snapshot that was built or installed.
    pub fn snapshot_bytes(&self) -> u64 {
        self.0.newest.lock().bytes
    }

    fn wake(&self, effects: &Effects) {
        self.0.watchers.lock().note(effects);
    }

    /// Whether applying an entry takes so long that others should run after it.
    fn takes_long(&self, entry: &Entry) -> bool {
        match &entry.payload {
            EntryPayload::Normal(proposal) if !self.0.adopted => {
                proposal.batch().is_ok_and(|batch| batch.steps() > 4 * QUERY_STEPS_MAX)
            }
            EntryPayload::Normal(_) | EntryPayload::Blank | EntryPayload::Membership(_) => false,
        }
    }

    /// Applies the next entry.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] as of [`crate::consensus::types::Proposal::batch`].
    pub(in crate::consensus) fn replay(&self, entry: Entry) -> Result<Outcomes> {
        let index = entry.log_id.index();
        let batch = match &entry.payload {
            // The replica that has the state applies it as well.
            EntryPayload::Normal(_) if self.0.adopted => None,
            EntryPayload::Normal(proposal) => Some(proposal.batch()?),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        if let Some(batch) = batch {
            self.is_at_least(batch.at);
        }
        let mut effects = Effects::default();
        let outcomes = {
            let mut shown = self.0.shown.write();
            let state = &mut shown.state;
            let outcomes =
                batch.map_or_else(Vec::new, |batch| state.apply(index, batch, &mut effects));
            let mut position = self.0.position.lock();
            position.applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                position.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            self.0.applied.send_replace(index);
            self.note_membership(state.membership());
            outcomes
        };
        self.wake(&effects);
        Ok(Outcomes(outcomes))
    }

    /// Replaces the state by that of a snapshot. `in_background`: a majority works meanwhile,
    /// and must not be slowed down.
    ///
    /// # Errors
    /// What reading it found.
    pub(in crate::consensus) async fn restore(
        &self,
        reader: SnapshotReader,
        in_background: bool,
    ) -> Result<()> {
        let meta = Machine::parse_meta(reader.meta())?;
        self.has_newest(&reader, &meta);
        if self.0.adopted {
            let mut position = self.0.position.lock();
            position.applied = meta.last_log_id;
            position.membership = meta.last_membership;
            self.0.applied.send_replace(meta.last_log_id.map_or(0, |log_id| log_id.index()));
            return Ok(());
        }
        let loading = loading::load(&self.0.host, reader, self.0.window, in_background);
        let state =
            loading.await.map_err(|_| Error::internal("loading a snapshot was cut off"))??;
        let replaced = {
            let mut shown = self.0.shown.write();
            let replaced = std::mem::replace(&mut shown.state, state);
            let mut position = self.0.position.lock();
            position.applied = meta.last_log_id;
            position.membership = meta.last_membership;
            self.0.applied.send_replace(meta.last_log_id.map_or(0, |log_id| log_id.index()));
            replaced
        };
        self.note_membership(&self.look(|look| look.membership()));
        if let Some(at) = self.look(|look| look.newest_at()) {
            self.is_at_least(at);
        }
        #[cfg(debug_assertions)]
        self.pass_level_to_state();
        self.free(replaced);
        // Everybody may have got something.
        self.0.watchers.lock().wake_all();
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.position())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: futures::Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>>
            + Unpin
            + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let long = self.takes_long(&entry);
            let outcomes = self.replay(entry).map_err(|error| self.0.faults.note(error))?;
            if let Some(responder) = responder {
                responder.send(outcomes);
            }
            if long {
                // Now readers that wait for the lock run, and whatever
                // else waits for this thread.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let (view, position) = self.look(|look| {
            let position = self.0.position.lock().clone();
            (look.view(), position)
        });
        Builder::new(self.clone(), view, position)
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let (reader, in_background) = match snapshot {
            SnapshotData::Stored(reader) => (reader, false),
            SnapshotData::Received(complete) => {
                let placed = self.repeat_while_short(|_| complete.place()).await;
                placed.map_err(|error| self.0.faults.note(error))?;
                let gone = || io::Error::other("the snapshot just installed is gone");
                let latest = self.open_latest().await.map_err(|error| self.0.faults.note(error))?;
                (latest.ok_or_else(gone)?, true)
            }
            SnapshotData::Unopened(error) => return Err(self.0.faults.note(error)),
        };
        self.restore(reader, in_background).await.map_err(|error| self.0.faults.note(error))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let opened = match self.snapshots() {
            Ok(snapshots) => snapshots.latest().await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(None) => Ok(None),
            Ok(Some(reader)) => {
                let meta = Machine::parse_meta(reader.meta())
                    .map_err(|error| self.0.faults.note(error))?;
                Ok(Some(Snapshot { meta, snapshot: SnapshotData::Stored(reader) }))
            }
            // Waiting here would hold up what is applied. Whoever is to send it fails
            // and asks again, after a pause.
            Err(error) => match self.newest_meta().filter(|_| error.retryable()) {
                Some(meta) => Ok(Some(Snapshot { meta, snapshot: SnapshotData::Unopened(error) })),
                None => Err(self.0.faults.note(error)),
            },
        }
    }
}
