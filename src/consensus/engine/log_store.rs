//! The log and the vote, as openraft wants them, on [`storage::Log`](crate::storage::Log).
//!
//! Recent entries stay in memory, decoded, because the leader sends them to its
//! followers and every replica applies them soon after they came. Older ones are read
//! back from disk.
//!
//! `append` returns before its fdatasync, as openraft allows. A follower may
//! therefore commit an entry that the leader never wrote. That is safe as long
//! as a restarted leader does not go on in its old term, which
//! `enable_leader_restore: false` ensures. Restored in the same term, the leader
//! could give that log id to another entry.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use crate::chat::Operation;
use crate::consensus::engine::disk_errors::Faults;
use crate::consensus::engine::key_log_ids;
use crate::consensus::engine::recent::Recent;
use crate::consensus::level::LevelGuard;
use crate::consensus::types::{Entry, EntryPayload, LogId, TypeConfig, Vote};
use crate::consensus::wire::entry;
use crate::error::{Error, ErrorCode};
use crate::planted::{self, Bug};
use crate::storage::Log;
use crate::sync::Mutex;

/// Bytes of entries that are read back at once to be applied, apart from one
/// entry that is larger alone.
const READ_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of entries that one replication request carries at most, apart from
/// one entry that is larger alone. A follower that was away is sent thousands
/// of entries. While the leader makes one request, everybody else waits. So it
/// makes small ones, and does not parse what it only passes on. With requests of a
/// mebibyte, parsed, senders wait for up to 270 ms.
const REQUEST_MAX_BYTES: usize = 128 * 1024;

/// The adapter. Clones share everything.
#[derive(Clone)]
pub struct LogStore {
    log: Log,
    recent: Arc<Mutex<Recent>>,
    memory: Arc<Mutex<Memory>>,
    appended_bytes: Arc<AtomicU64>,
    faults: Faults,
    level: LevelGuard,
}

#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Whether the log was found to end below what was committed.
    ends_below_commit: bool,
}

impl LogStore {
    /// Opens the adapter on a recovered log. `snapshot` is the last log id that
    /// the latest snapshot contains.
    ///
    /// # Errors
    /// A record that holds its checksum but cannot be read.
    pub async fn open(
        log: Log,
        snapshot: Option<LogId>,
        faults: Faults,
    ) -> Result<LogStore, Error> {
        let vote = match log.read_vote().filter(|_| !planted::is(Bug::ForgetVote)) {
            Some(payload) => Some(serde_json::from_slice(&payload).map_err(|error| {
                Error::new(ErrorCode::Corrupted, format!("vote.json holds no vote: {error}"))
            })?),
            None => None,
        };
        let store = LogStore {
            log,
            recent: Arc::default(),
            memory: Arc::default(),
            appended_bytes: Arc::default(),
            faults,
            level: LevelGuard::default(),
        };
        let (first, next) = (store.log.first(), store.log.next());
        let covered = snapshot.map_or(0, |log_id| log_id.index() + 1);
        let purged = match first {
            0 => None,
            // After a snapshot was installed the log begins right behind it.
            _ if first == covered => snapshot,
            // Whole segments are purged, so the first entry that is left is
            // one that the snapshot contains; see `purge`.
            _ if first < covered && first < next => {
                store.read(first, first + 1, 1).await?.first().map(|entry| entry.log_id)
            }
            // The log was to go on behind the snapshot, and a crash came in between.
            _ if first < covered => {
                store.log.reset(covered).await?;
                snapshot
            }
            _ => {
                return Err(Error::new(
                    ErrorCode::Corrupted,
                    format!("entries {covered} to {} are in neither snapshot nor log", first - 1),
                ));
            }
        };
        let last = match first < next {
            true => store.read(next - 1, next, 1).await?.first().map(|entry| entry.log_id),
            false => purged,
        };
        // The commit hint may be ahead of a log whose tail was lost. What is left of that
        // log is a prefix of what was committed.
        let noted: Option<LogId> = match store.log.read_committed() {
            Some(payload) => match serde_json::from_slice::<LogId>(&payload) {
                Ok(noted) => Some(noted),
                Err(error) => {
                    tracing::warn!(%error, "committed.json is not readable; going on without the hint");
                    None
                }
            },
            None => None,
        };
        let committed = last.min(noted);
        let ends_below_commit = noted > last;
        *store.memory.lock() = Memory { vote, committed, purged, last, ends_below_commit };
        Ok(store)
    }

    /// The same with another guard of its feature level.
    pub fn guarded_by(self, level: LevelGuard) -> LogStore {
        LogStore { level, ..self }
    }

    /// Makes the directory ready for a feature level; see [`LevelGuard::make_ready`].
    ///
    /// # Errors
    /// As there.
    pub async fn make_ready_for_level(&self, level: u32) -> Result<(), Error> {
        self.level.make_ready(&self.log, level).await
    }

    /// The log below.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The last entry of the log.
    pub fn last_log_id(&self) -> Option<LogId> {
        self.memory.lock().last
    }

    /// Up to where the log is committed, as far as it was noted.
    pub fn committed(&self) -> Option<LogId> {
        self.memory.lock().committed
    }

    /// Whether the log, when it was opened, ended below what was noted as
    /// committed: entries that were on the disk are gone.
    pub fn ends_below_commit(&self) -> bool {
        self.memory.lock().ends_below_commit
    }

    /// Notes up to where the log is committed; see [`Log::note_committed`].
    pub fn note_committed(&self, committed: LogId) {
        self.memory.lock().committed = Some(committed);
        let hint = serde_json::to_vec(&committed).expect("plain data serializes");
        self.log.note_committed(committed.index(), hint.into());
    }

    /// Makes it durable that the log is committed up to there.
    ///
    /// # Errors
    /// Once the log has failed or is closed.
    pub async fn sync_committed(&self, committed: LogId) -> Result<(), Error> {
        let payload = serde_json::to_vec(&committed).expect("plain data serializes");
        self.log.write_committed(committed.index(), payload.into()).await
    }

    /// What users and servers have asked for in entries behind the one at `index`, in order.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`], [`ErrorCode::Io`].
    pub async fn operations_behind(&self, index: u64) -> Result<Vec<Operation>, Error> {
        let (mut from, to) = ((index + 1).max(self.log.first()), self.log.next());
        let mut operations = Vec::new();
        while from < to {
            let part = self.read(from, to, READ_MAX_BYTES).await?;
            from += part.len().max(1) as u64;
            for entry in &part {
                if let EntryPayload::Normal(proposal) = &entry.payload {
                    operations.extend(proposal.batch()?.operations.iter().cloned());
                }
            }
        }
        Ok(operations)
    }

    /// The log id of the entry at `index`; `None` when the log does not have it.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`], [`ErrorCode::Io`].
    pub async fn log_id_at(&self, index: u64) -> Result<Option<LogId>, Error> {
        if index < self.log.first() || index >= self.log.next() {
            return Ok(None);
        }
        let lines = self.log.read(index, index + 1, 1).await?;
        lines.first().map(|payload| read_log_id(payload, index)).transpose()
    }

    /// The vote that is on disk, but for the mark that its election was won.
    pub fn vote(&self) -> Option<Vote> {
        self.memory.lock().vote
    }

    /// Bytes appended since this was asked last.
    pub fn take_appended_bytes(&self) -> u64 {
        self.appended_bytes.swap(0, Ordering::Relaxed)
    }

    /// Entries whose operations are parsed when they are asked for.
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Entry>, Error> {
        if from >= to {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.recent.lock().range(from, to, max_bytes) {
            return Ok(entries);
        }
        let lines = self.log.read_lines(from, to, max_bytes).await?;
        let mut entries = Vec::with_capacity(lines.len());
        for (line, index) in lines.into_iter().zip(from..) {
            let entry = entry::decode_to_pass_on(line)?;
            check_index(&entry.log_id, index)?;
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn read_log_id(payload: &[u8], index: u64) -> Result<LogId, Error> {
    let log_id = entry::decode_log_id(payload)?;
    check_index(&log_id, index)?;
    Ok(log_id)
}

fn check_index(log_id: &LogId, index: u64) -> Result<(), Error> {
    if log_id.index() != index {
        return Err(Error::new(
            ErrorCode::Corrupted,
            format!("the log holds entry {} where {index} belongs", log_id.index()),
        ));
    }
    Ok(())
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        // Whole files are purged, so more may be there than counts.
        let purged = self.memory.lock().purged;
        let first = purged.map_or(0, |log_id| log_id.index() + 1).max(self.log.first());
        let (mut from, to) = (start.max(first), end.min(self.log.next()));
        let mut entries = Vec::new();
        while from < to {
            let part = self
                .read(from, to, READ_MAX_BYTES)
                .await
                .map_err(|error| self.faults.note(error))?;
            if part.is_empty() {
                return Err(io::Error::other(format!("log entry {from} is missing")));
            }
            from += part.len() as u64;
            entries.extend(part);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.vote())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let end = end.min(self.log.next());
        self.read(start, end, REQUEST_MAX_BYTES).await.map_err(|error| self.faults.note(error))
    }

    async fn get_key_log_ids(
        &mut self,
        range: RangeInclusive<LogId>,
    ) -> Result<Vec<LogId>, io::Error> {
        let read = |index| {
            let store = self.clone();
            async move {
                store.log_id_at(index).await?.ok_or_else(|| {
                    Error::new(ErrorCode::Corrupted, format!("log entry {index} is missing"))
                })
            }
        };
        key_log_ids::last_of_each(range, read).await.map_err(|error| self.faults.note(error))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let memory = self.memory.lock();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    /// A vote is durable before it is sent to anybody. The engine saves it once more when
    /// its election was won. That mark is not written, because it is not needed after a
    /// crash: a leader does not go on in its old term, and a follower accepts the same
    /// leader again (Raft, section 5.1, has no such mark). Writing it would add two syncs,
    /// one after the other, to every failover.
    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let only_won = self.vote().is_some_and(|known| known.leader_id == vote.leader_id);
        if !only_won || planted::is(Bug::RestoreLeaderInOldTerm) {
            let payload = serde_json::to_vec(vote).expect("plain data serializes");
            self.log.write_vote(payload.into()).await.map_err(|error| self.faults.note(error))?;
        }
        self.memory.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        if let Some(committed) = committed {
            self.note_committed(committed);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.memory.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        // The caller has done this before, where a full or broken disk does not hold up
        // everything else. Here it is done again, so that no entry gets around it.
        let ready = self.make_ready_for_level(entry::level_of(&entries)).await;
        ready.map_err(|error| self.faults.note(error))?;
        let (mut lines, mut first, mut bytes) = (Vec::new(), None, 0);
        {
            let mut recent = self.recent.lock();
            let mut memory = self.memory.lock();
            for entry in entries {
                let line = entry::encode(&entry);
                first.get_or_insert(entry.log_id.index());
                memory.last = Some(entry.log_id);
                if let EntryPayload::Normal(proposal) = &entry.payload {
                    proposal.mark_accepted();
                }
                bytes += line.len();
                recent.push(entry, line.len());
                lines.push(line);
            }
        }
        let Some(first) = first else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        self.appended_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let faults = self.faults.clone();
        self.log.append(
            first,
            lines,
            Box::new(move |result| {
                callback.io_completed(result.map_err(|error| faults.note(error)));
            }),
        );
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let index = last_log_id.map_or(0, |log_id| log_id.index() + 1);
        if index >= self.log.next() {
            return Ok(());
        }
        self.recent.lock().truncate_from(index);
        self.log.truncate_from(index).await.map_err(|error| self.faults.note(error))?;
        self.memory.lock().last = last_log_id;
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let index = log_id.index();
        self.recent.lock().purge_through(index);
        if index >= self.log.next() {
            self.log.reset(index + 1).await.map_err(|error| self.faults.note(error))?;
            self.memory.lock().last = Some(log_id);
        } else if index > 0 {
            // The entry at `index` itself stays on disk: at the next start the
            // first entry that is left counts as purged, so it must be one
            // that the snapshot contains.
            self.log.purge_through(index - 1).await.map_err(|error| self.faults.note(error))?;
        }
        self.memory.lock().purged = Some(log_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
