//! Who belongs to the cluster: founding it, and replicas that join or come back
//! with a new incarnation.
//!
//! To Raft each incarnation of a replica is another node. A replica that has started
//! from nothing learns first, then votes in the place of its former self, so that a
//! voter that has forgotten its votes never votes as the one that it was.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;

use super::{Consensus, runtime};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::Member;
use crate::types::{NodeId, ReplicaId};

/// A learner that is at most so many entries behind the leader may vote.
const CAUGHT_UP_WITHIN: u64 = 1_000;

impl Consensus {
    /// Founds the cluster: its first log entry names the voters. Harmless when
    /// another founder has done so with the same voters.
    ///
    /// # Errors
    /// A node that already has a log, unless the entry is the same.
    pub async fn found(&self, members: &[Member]) -> Result<()> {
        let voters: BTreeMap<NodeId, openraft::BasicNode> = members
            .iter()
            .map(|member| (NodeId::new(member.id, 1), openraft::BasicNode::new(&member.address)))
            .collect();
        let founded = runtime::scoped(&self.0.host, {
            let raft = self.0.raft.clone();
            async move { raft.initialize(voters).await }
        });
        match founded.await {
            Ok(()) => Ok(()),
            Err(openraft::errors::RaftError::APIError(
                openraft::errors::InitializeError::NotAllowed(_),
            )) => Ok(()),
            Err(error) => {
                Err(Error::internal(format!("the cluster could not be founded: {error}")))
            }
        }
    }

    /// Whether the node has neither log nor vote: it was named a member and
    /// nothing has happened since.
    pub fn is_pristine(&self) -> bool {
        self.0.store.last_log_id().is_none() && self.0.store.vote().is_none()
    }

    /// On the leader: takes the next step in making a node that has started
    /// from nothing a voter, in the place of the earlier incarnations of the
    /// same replica. First it learns; when it has caught up it votes. Returns
    /// whether it votes; to be asked again until then. Repeating it is safe.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when this node does not lead, another change
    /// is under way, or there is no majority. [`ErrorCode::WrongCluster`] when
    /// the node has been replaced by a later incarnation.
    pub async fn admit(&self, node: NodeId, member: &Member) -> Result<bool> {
        let refused = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("replica {} was not admitted: {error}", node.replica()))
        };
        if !self.leads() {
            return Err(refused(&"this replica does not lead"));
        }
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership().clone();
        if self.newest_incarnation(node.replica()).is_some_and(|newest| newest > node) {
            return Err(Error::new(
                ErrorCode::WrongCluster,
                format!(
                    "{node} has been replaced by a later incarnation: its directory is an old copy"
                ),
            ));
        }
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        // Of every replica only its newest incarnation. A change that was cut
        // off by the death of a leader leaves two of one replica as voters;
        // taken over into the next change, the one that is gone for ever would
        // count against every majority from then on.
        let mut wanted: BTreeMap<ReplicaId, NodeId> = BTreeMap::new();
        for id in voters.iter().copied().chain([node]) {
            wanted.entry(id.replica()).and_modify(|known| *known = id.max(*known)).or_insert(id);
        }
        let wanted: BTreeSet<NodeId> = wanted.into_values().collect();
        if membership.get_joint_config().len() == 1 && voters == wanted {
            return Ok(true);
        }
        let raft = self.0.raft.clone();
        if membership.get_node(&node).is_none() {
            let address = openraft::BasicNode::new(&member.address);
            let change = async move { raft.add_learner(node, address, false).await };
            runtime::scoped(&self.0.host, change).await.map_err(|error| refused(&error))?;
            return Ok(false);
        }
        let replication = metrics.replication.unwrap_or_default();
        let matched =
            replication.get(&node).and_then(|log_id| *log_id).map(|log_id| log_id.index());
        if matched
            .is_none_or(|matched| matched + CAUGHT_UP_WITHIN < metrics.last_log_index.unwrap_or(0))
        {
            return Ok(false);
        }
        let change = async move {
            raft.change_membership(ChangeMembers::ReplaceAllVoters(wanted), false).await
        };
        runtime::scoped(&self.0.host, change).await.map_err(|error| refused(&error))?;
        Ok(true)
    }

    /// The highest incarnation of a replica that any membership known here names.
    pub fn newest_incarnation(&self, replica: ReplicaId) -> Option<NodeId> {
        let metrics = self.metrics();
        let nodes = metrics.membership_config.membership().clone();
        nodes.nodes().map(|(id, _)| *id).filter(|id| id.replica() == replica).max()
    }

    /// Whether this node has a vote.
    pub fn is_voter(&self) -> bool {
        self.metrics().membership_config.membership().voter_ids().any(|id| id == self.0.node)
    }

    /// Whether this node has a vote and the change of membership that gave it
    /// has come to its end. In between its former self votes as well, and a
    /// leader that dies there leaves the change to whoever asks for it again.
    pub fn is_settled(&self) -> bool {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let mut replicas: BTreeSet<ReplicaId> = BTreeSet::new();
        membership.get_joint_config().len() == 1
            && membership.voter_ids().all(|id| replicas.insert(id.replica()))
            && self.is_voter()
    }

    /// Whether an earlier incarnation of this replica still has a vote.
    pub fn replaces_another(&self) -> bool {
        let metrics = self.metrics();
        let mut voters = metrics.membership_config.membership().voter_ids();
        voters.any(|id| id.replica() == self.0.node.replica() && id != self.0.node)
    }
}
