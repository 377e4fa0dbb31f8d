//! The consensus of an adopted replica, beside that of its host.
//!
//! An adopted replica has a log and a vote, and no state. Reading its whole log to find
//! out what it has applied would take as long as starting a server, while clients wait.
//! But its host has applied the same log: two logs that agree in one entry agree in all
//! before it (Log Matching; Raft dissertation, section 3.5). So one entry is compared,
//! and the adopted replica begins where its host is.
//!
//! All entries up to there are committed. The adopted replica writes that into its
//! directory at once, and often from then on: an owner that comes back reads along only
//! as far as is known to be committed ([`super::WarmState`]). Without it, an owner whose process died young
//! would replay the whole log after the hand-back, while clients wait.

use openraft::ServerState;

use super::engine::log_store::LogStore;
use super::types::LogId;
use super::{Consensus, Machine};
use crate::error::Result;
use crate::types::NodeId;

/// Puts an adopted replica where its host is, as far as their logs agree. If no entry
/// is found in both, it reads its whole log. From now on its directory has up to where
/// its log is committed.
///
/// # Errors
/// What reading one of the logs found.
pub async fn take_position_of(host: &Consensus, store: &LogStore, machine: &Machine) -> Result<()> {
    store.log().write_commit_hints_often();
    let (Some(applied), membership) = host.0.machine.position() else { return Ok(()) };
    let Some(last) = store.last_log_id() else { return Ok(()) };
    let committed = store.committed().unwrap_or(last);
    let places = [last, committed].map(|own| own.index().min(applied.index()));
    if let Some(common) = common(&host.0.store, store, places).await?
        && membership.log_id().is_none_or(|log_id| log_id.index() <= common.index())
    {
        machine.begin_at(common, membership);
        if store.committed() < Some(common) {
            store.note_committed(common);
        }
    }
    Ok(())
}

/// The first of some places at which two logs have the same entry. There are several
/// places because the last entries of a dead leader may be in no other log, and no
/// place in common means that the whole log is read.
async fn common(
    theirs: &LogStore,
    own: &LogStore,
    places: impl IntoIterator<Item = u64>,
) -> Result<Option<LogId>> {
    for index in places {
        let found = own.log_id_at(index).await?;
        if found.is_some() && found == theirs.log_id_at(index).await? {
            return Ok(found);
        }
    }
    Ok(None)
}

impl Consensus {
    /// On an adopted replica that leads: gives leadership to the replica of its
    /// host, once that has all entries. Returns whether there was anything to do.
    pub async fn yield_to(&self, host: NodeId) -> bool {
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader {
            return false;
        }
        let voters: Vec<NodeId> = metrics.membership_config.membership().voter_ids().collect();
        let replication = metrics.replication.unwrap_or_default();
        let matched = replication.get(&host).and_then(|log_id| *log_id);
        let has_all = matched.map(|log_id| log_id.index()) >= metrics.last_log_index;
        if voters.contains(&host)
            && has_all
            && let Err(error) = self.transfer(host).await
        {
            tracing::warn!(%error, "an adopted replica did not give leadership to its host");
        }
        true
    }

    /// On an adopted replica, which has no state to take a snapshot of: copies
    /// the last one of its host when that is newer than its own, so that its
    /// log does not grow for as long as its owner is away.
    pub async fn copy_snapshot_of(&self, host: &Consensus) {
        if let Err(error) = self.try_copy_snapshot_of(&host.0.machine).await {
            tracing::warn!(%error, "no snapshot was copied for an adopted replica");
        }
    }

    async fn try_copy_snapshot_of(&self, host: &Machine) -> Result<()> {
        let Some(theirs) = host.snapshots()?.latest().await? else { return Ok(()) };
        let own = match self.0.machine.snapshots()?.latest().await? {
            Some(own) => last_index(own.meta())?,
            None => 0,
        };
        let theirs_index = last_index(theirs.meta())?;
        if theirs_index <= own || theirs_index > self.0.machine.applied_index() {
            return Ok(());
        }
        self.0.machine.offer(theirs);
        self.snapshot().await
    }
}

fn last_index(meta: &[u8]) -> Result<u64> {
    Ok(Machine::parse_meta(meta)?.last_log_id.map_or(0, |log_id| log_id.index()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{Entry, EntryPayload};
    use crate::consensus::wire::entry;
    use crate::storage::testing;
    use crate::types::ReplicaId;

    /// A log with an entry for each of these terms, committed up to some index.
    async fn store(terms: &[u64], committed: Option<usize>) -> (LogStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let node = NodeId::new(ReplicaId(1), 1);
        let ids: Vec<LogId> =
            terms.iter().zip(0..).map(|(term, index)| entry::log_id(*term, node, index)).collect();
        let log = testing::log(folder.path()).await;
        let lines = ids
            .iter()
            .map(|log_id| entry::encode(&Entry { log_id: *log_id, payload: EntryPayload::Blank }));
        testing::append_lines(&log, 0, lines.collect()).await.expect("durable");
        if let Some(index) = committed {
            log.note_committed(0, serde_json::to_vec(&ids[index]).expect("serializes").into());
        }
        let store = LogStore::open(log, None, Default::default()).await.expect("opens");
        (store, folder)
    }

    #[tokio::test]
    async fn an_entry_that_only_the_dead_leader_had_hides_nothing_of_the_rest() {
        let (host, _a) = store(&[1, 1, 1, 1, 2, 2, 2], None).await;
        let places = |store: &LogStore| {
            let last = store.last_log_id().expect("not empty");
            [last, store.committed().unwrap_or(last)].map(|log_id| log_id.index())
        };
        for (terms, committed, agreed) in [
            (&[1, 1, 1, 1, 2][..], None, Some(4)),
            (&[1, 1, 1, 1, 1], Some(2), Some(2)),
            (&[1, 1, 1, 1, 1], Some(3), Some(3)),
            (&[1, 1, 1, 1, 1], None, None),
            (&[3, 3], None, None),
        ] {
            let (own, _b) = store(terms, committed).await;
            let found = common(&host, &own, places(&own)).await.expect("readable");
            assert_eq!(found.map(|log_id| log_id.index()), agreed, "{terms:?} {committed:?}");
        }
    }
}
