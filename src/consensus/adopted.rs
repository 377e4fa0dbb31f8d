//! What a node does for the host that adopted it, and what it takes from it.
//!
//! An adopted replica has a log and a vote, and no state. Reading its whole log
//! to find out what it has applied would take as long as starting a server,
//! while people wait. But its host has applied the same log: two logs that
//! agree in one entry agree in all before it (Log Matching; Raft dissertation,
//! section 3.5). So one entry is compared, and the adopted replica stands where
//! its host does.

use openraft::ServerState;

use super::log_store::LogStore;
use super::{Consensus, Machine, runtime};
use crate::error::{Error, Result};
use crate::types::NodeId;

/// Puts an adopted replica where its host is, if its log agrees with the
/// host's; else it finds its place by reading its log.
///
/// # Errors
/// What reading one of the logs found.
pub async fn stand_beside(host: &Consensus, store: &LogStore, machine: &Machine) -> Result<()> {
    let (Some(applied), membership) = host.0.machine.position() else { return Ok(()) };
    let Some(last) = store.last_log_id() else { return Ok(()) };
    let index = applied.index().min(last.index());
    let membership_index = membership.log_id().map_or(0, |log_id| log_id.index());
    if membership_index > index {
        return Ok(());
    }
    let (own, theirs) = (store.log_id_at(index).await?, host.0.store.log_id_at(index).await?);
    if let Some(own) = own
        && Some(own) == theirs
    {
        machine.begin_at(own, membership);
    }
    Ok(())
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
        if voters.contains(&host) && has_all {
            let raft = self.0.raft.clone();
            let transfer = async move { raft.trigger().transfer_leader(host).await };
            if let Err(error) = runtime::scoped(&self.0.host, transfer).await {
                tracing::warn!(%error, "an adopted replica did not give leadership to its host");
            }
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
        let triggered = self.0.raft.trigger().snapshot().await;
        triggered.map_err(|error| Error::internal(error.to_string()))
    }
}

fn last_index(meta: &[u8]) -> Result<u64> {
    Ok(Machine::parse_meta(meta)?.last_log_id.map_or(0, |log_id| log_id.index()))
}
