//! A replica's state, loaded while another process still runs the replica.
//!
//! An owner that comes back finds its replica adopted. If it asked for its
//! directory first and loaded afterwards, the replica would be without a process
//! for as long as loading takes, which is seconds for millions of messages. So it
//! reads snapshot and log as they lie there, up to what is known to be committed,
//! again and again until little is left. Only then it asks.
//!
//! What is committed never changes, so all that must be checked in the end is
//! that the log still has the last entry that the state contains: two logs that
//! agree in one entry agree in all before it (Log Matching; Raft dissertation,
//! section 3.5). If it has not, the state is thrown away and loaded as usual.
//!
//! A survivor keeps no state of what it adopts, but it opens the log, and that
//! verifies all of it: 12 ms for 30 MB on two cores, which is most of an adoption.
//! So it verifies its neighbours' logs while they live ([`VerifiedLog`]),
//! and has only the newest entries left when one dies.

use std::path::Path;

use super::Machine;
use super::engine::log_store::LogStore;
use super::types::LogId;
use super::wire::entry;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::storage::{Identity, PreverifiedLog, UnlockedDirectory};
use crate::types::NodeId;

/// Bytes of log that are read and applied in one go.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// A state that is loaded before its directory is locked; see the head of the file.
pub struct WarmState {
    directory: UnlockedDirectory,
    machine: Machine,
}

impl WarmState {
    /// Loads the snapshot of a directory and replays its log. `window` is the
    /// de-duplication window in log entries. `None`: the directory is empty.
    ///
    /// # Errors
    /// What reading found, such as a log that was cut short at its beginning
    /// meanwhile because of a newer snapshot.
    pub async fn load(host: &Host, path: &Path, window: u64) -> Result<Option<WarmState>> {
        let Some(directory) = UnlockedDirectory::open(host, path).await? else { return Ok(None) };
        let machine = Machine::new(host.clone(), window);
        if let Some(snapshot) = directory.snapshot().await? {
            machine.restore(snapshot, false).await?;
        }
        let mut warm = WarmState { directory, machine };
        warm.catch_up().await?;
        Ok(Some(warm))
    }

    /// Replays what has been committed since. Returns how many entries that were.
    ///
    /// # Errors
    /// As [`WarmState::load`].
    pub async fn catch_up(&mut self) -> Result<u64> {
        let Some(committed) = committed(&self.directory).await? else { return Ok(0) };
        let mut replayed = 0;
        loop {
            let payloads = self.directory.read_log(committed.index(), READ_BYTES).await?;
            if payloads.is_empty() {
                return Ok(replayed);
            }
            for payload in payloads {
                let entry = entry::decode(&payload)?;
                let index = entry.log_id.index();
                let next = self.machine.position().0.map_or(0, |log_id| log_id.index() + 1);
                if index > next {
                    return Err(Error::new(
                        ErrorCode::Corrupted,
                        format!("the log goes on at {index} and the state ends before {next}"),
                    ));
                }
                if index == next {
                    self.machine.replay(entry)?;
                    replayed += 1;
                }
            }
        }
    }

    /// Whose directory it was, its state, and what was read of its log.
    pub fn into_parts(self) -> (Identity, Machine, PreverifiedLog) {
        let (identity, log) = self.directory.into_parts();
        (identity, self.machine, log)
    }
}

/// The committed part of a log that another process writes, verified.
#[derive(Clone)]
pub struct VerifiedLog {
    directory: UnlockedDirectory,
    /// Up to where all is verified, as it was committed then.
    whole_to: Option<LogId>,
}

impl VerifiedLog {
    /// Begins with nothing. `None`: the directory is empty.
    ///
    /// # Errors
    /// As [`UnlockedDirectory::open`].
    pub async fn of(host: &Host, path: &Path) -> Result<Option<VerifiedLog>> {
        let directory = UnlockedDirectory::open(host, path).await?;
        Ok(directory.map(|directory| VerifiedLog { directory, whole_to: None }))
    }

    /// Whose log it is.
    pub fn node(&self) -> NodeId {
        self.directory.identity().node()
    }

    /// Verifies what has been committed since, about `max_bytes` of it. Returns
    /// whether there may be more.
    ///
    /// # Errors
    /// What reading found, such as a log that was cut short at its beginning.
    pub async fn verify_more(&mut self, max_bytes: usize) -> Result<bool> {
        let Some(committed) = committed(&self.directory).await? else { return Ok(false) };
        if self.whole_to == Some(committed) {
            return Ok(false);
        }
        let more = self.directory.verify_log(committed.index(), max_bytes).await?;
        self.whole_to = (!more).then_some(committed);
        Ok(more)
    }

    /// Whose directory it is, and what was verified of its log.
    pub fn into_parts(self) -> (Identity, PreverifiedLog) {
        self.directory.into_parts()
    }
}

/// Up to where the log of a directory is committed, by its commit hint.
async fn committed(directory: &UnlockedDirectory) -> Result<Option<LogId>> {
    let Some(hint) = directory.committed().await? else { return Ok(None) };
    let read = serde_json::from_slice(&hint);
    read.map(Some).map_err(|error| {
        Error::new(ErrorCode::Corrupted, format!("committed.json is not readable: {error}"))
    })
}

/// Throws a state away that was loaded ahead and does not belong to the log.
///
/// # Errors
/// What reading the log found.
pub async fn check(machine: &Machine, store: &LogStore) -> Result<()> {
    let (Some(applied), _) = machine.position() else { return Ok(()) };
    if store.log_id_at(applied.index()).await? != Some(applied) {
        tracing::info!(%applied, "what was loaded ahead is not in the log; loading it again");
        machine.reset();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{Entry, EntryPayload};
    use crate::storage::testing;
    use crate::types::ReplicaId;

    #[tokio::test]
    async fn what_was_loaded_ahead_counts_only_if_the_log_has_it() {
        let node = NodeId::new(ReplicaId(1), 1);
        let ids = [1, 1, 2].into_iter().zip(0..);
        let ids: Vec<_> = ids.map(|(term, index)| entry::log_id(term, node, index)).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let log = testing::log(folder.path()).await;
        let lines = ids
            .iter()
            .map(|log_id| entry::encode(&Entry { log_id: *log_id, payload: EntryPayload::Blank }));
        testing::append_lines(&log, 0, lines.collect()).await.expect("durable");
        let store = LogStore::open(log, None, Default::default()).await.expect("opens");
        for (term, index, kept) in [(1, 1, true), (2, 2, true), (1, 2, false), (2, 3, false)] {
            let machine = Machine::new(Host::real(), 1);
            let applied = entry::log_id(term, node, index);
            machine.begin_at(applied, Default::default());
            check(&machine, &store).await.expect("readable");
            let after = (machine.position().0, machine.applied_index());
            let expected = if kept { (Some(applied), index) } else { (None, 0) };
            assert_eq!(after, expected, "{applied}");
        }
    }
}
