//! Giving leadership to another node, in good order.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::consensus::Consensus;
use crate::consensus::runtime;
use crate::error::{Error, ErrorCode, Result};
use crate::types::{NodeId, ReplicaId};

/// How long a leader that stops waits for its successor.
const HANDOVER_MAX: Duration = Duration::from_secs(2);

/// After which it asks again.
const HANDOVER_RETRY: Duration = Duration::from_millis(100);

impl Consensus {
    /// Asks for no votes any more, and gives leadership, if this node has it,
    /// to the follower with the longest log. Returns when another leads, when
    /// nobody is left who could, or after [`HANDOVER_MAX`].
    pub async fn hand_over(&self) {
        self.disable_elections();
        let handing_over = async {
            while self.leads() && self.0.router.is_confirmed() {
                let Some(successor) = self.successor(0) else { return };
                tracing::info!(to = %successor.replica(), "handing leadership over");
                if let Err(error) = self.transfer(successor).await {
                    tracing::warn!(%error, "leadership was not handed over");
                    return;
                }
                // Asked again, and perhaps somebody else, if that one stops as well.
                let _ = tokio::time::timeout(HANDOVER_RETRY, self.0.router.changed()).await;
            }
        };
        if tokio::time::timeout(HANDOVER_MAX, handing_over).await.is_err() {
            tracing::warn!("nobody took leadership over in time; stopping nevertheless");
        }
    }

    /// On the leader: gives leadership to another replica, and returns when that
    /// one leads.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownReplica`]; [`ErrorCode::Unavailable`] when this node
    /// does not lead or the other cannot, for now.
    pub async fn transfer_to(&self, replica: ReplicaId) -> Result<()> {
        let metrics = self.metrics();
        let mut voters = metrics.membership_config.membership().voter_ids();
        let Some(target) = voters.find(|id| id.replica() == replica) else {
            return Err(Error::new(
                ErrorCode::UnknownReplica,
                format!("replica {replica} has no vote in this cluster, so it cannot lead"),
            ));
        };
        if target == self.0.node {
            return Ok(());
        }
        if let Some(pair) = self.0.links.get(replica) {
            pair.consensus.peer().map_err(|why| {
                Error::unavailable(format!("replica {replica} cannot lead now: {why}"))
            })?;
            if pair.consensus.is_local() {
                return Err(Error::new(
                    ErrorCode::NotConfirmed,
                    format!(
                        "replica {replica} runs in server {} until its own server is back, and \
                         cannot lead there; start its server first",
                        self.0.node.replica()
                    ),
                ));
            }
        }
        let transferring = async {
            while self.leads() {
                self.transfer(target).await?;
                // Asked again if it was not ready.
                let _ = tokio::time::timeout(HANDOVER_RETRY, self.0.router.changed()).await;
            }
            while self.leader().is_none() {
                self.0.router.changed().await;
            }
            Ok::<(), Error>(())
        };
        let too_long =
            || Error::unavailable(format!("replica {replica} did not take over in time"));
        tokio::time::timeout(HANDOVER_MAX, transferring).await.map_err(|_| too_long())??;
        match self.leader() {
            Some(leader) if leader == replica => Ok(()),
            _ => Err(too_long()),
        }
    }

    /// Asks the engine to give leadership to a node.
    pub(in crate::consensus) async fn transfer(&self, to: NodeId) -> Result<()> {
        let raft = self.0.raft.clone();
        let transfer = async move { raft.trigger().transfer_leader(to).await };
        let asked = runtime::scoped(&self.0.host, transfer).await;
        asked.map_err(|error| Error::internal(error.to_string()))
    }

    /// On the leader: the reachable voter with the longest log, apart from this node,
    /// which has the entry at `index` on its disk. One that runs in this very process
    /// would end with it.
    pub(super) fn successor(&self, index: u64) -> Option<NodeId> {
        self.successor_among(index, |_| true)
    }

    /// The same among some.
    pub fn successor_among(&self, index: u64, may_lead: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let metrics = self.metrics();
        let voters: BTreeSet<NodeId> = metrics.membership_config.membership().voter_ids().collect();
        let reachable = |id: &NodeId| {
            self.0
                .links
                .get(id.replica())
                .is_some_and(|pair| pair.consensus.peer().is_ok() && !pair.consensus.is_local())
        };
        let replication = metrics.replication.unwrap_or_default();
        replication
            .iter()
            .filter(|(id, _)| **id != self.0.node && voters.contains(id) && may_lead(**id))
            .filter(|(id, _)| reachable(id))
            .filter(|(_, matched)| matched.map_or(0, |log_id| log_id.index()) >= index)
            .max_by_key(|(_, matched)| **matched)
            .map(|(id, _)| *id)
    }
}
