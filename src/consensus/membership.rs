//! Who belongs to the cluster: founding it, and replicas that join or come back
//! with a new incarnation.
//!
//! To Raft each incarnation of a replica is another node. A replica that has started
//! from nothing learns first, then votes in the place of its former self, so that a
//! voter that has forgotten its votes never votes as the one that it was.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;

use super::leadership::route;
use super::{Consensus, runtime};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::Member;
use crate::types::{Address, Membership, NodeId, ReplicaId};

/// A learner that is at most so many entries behind the leader may vote, and a voter is in
/// step.
const CAUGHT_UP_WITHIN: u64 = 1_000;

/// Of every replica only its newest incarnation. A change that was cut off by the death of
/// a leader leaves two of one replica as voters; taken over into the next change, the one
/// that is gone for ever would count against every majority from then on.
fn newest(nodes: impl Iterator<Item = NodeId>) -> BTreeMap<ReplicaId, NodeId> {
    let mut newest: BTreeMap<ReplicaId, NodeId> = BTreeMap::new();
    for id in nodes {
        newest.entry(id.replica()).and_modify(|known| *known = id.max(*known)).or_insert(id);
    }
    newest
}

/// The voters that are to go on: the newest incarnation of each member, unless the one that
/// takes its place votes already. It depends on nothing but these two, so whoever finishes
/// a change that was cut off finishes the same one.
fn staying(voters: &BTreeSet<NodeId>, members: &Membership) -> BTreeMap<ReplicaId, NodeId> {
    let votes = |id: ReplicaId| voters.iter().any(|voter| voter.replica() == id);
    let mut staying = newest(voters.iter().copied());
    staying
        .retain(|id, _| members.get(*id).is_some() && !members.successor(*id).is_some_and(votes));
    staying
}

/// The nodes that are to go: those of replicas that are no members, and learners that have
/// come back as a later incarnation. One of those would count as somebody whose program is
/// not known, for ever.
fn leaving(nodes: &[NodeId], voters: &BTreeSet<NodeId>, members: &Membership) -> BTreeSet<NodeId> {
    let newest = newest(nodes.iter().copied());
    let goes = |id: &NodeId| {
        let came_back = newest.get(&id.replica()).is_some_and(|newest| newest > id);
        members.get(id.replica()).is_none() || (came_back && !voters.contains(id))
    };
    nodes.iter().copied().filter(goes).collect()
}

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
    pub async fn admit(
        &self,
        node: NodeId,
        address: &Address,
        members: &Membership,
    ) -> Result<bool> {
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
        let replaced = members.get(node.replica()).and_then(|member| member.replaces);
        let mut wanted = newest(voters.iter().copied().chain([node]));
        if let Some(replaced) = replaced {
            wanted.remove(&replaced);
        }
        if membership.get_joint_config().len() == 1 && voters.iter().eq(wanted.values()) {
            return Ok(true);
        }
        let raft = self.0.raft.clone();
        if membership.get_node(&node).is_none() {
            let address = openraft::BasicNode::new(address);
            let change = async move { raft.add_learner(node, address, false).await };
            runtime::scoped(&self.0.host, change).await.map_err(|error| refused(&error))?;
            return Ok(false);
        }
        let replication = metrics.replication.unwrap_or_default();
        let has_caught_up = |node: &NodeId| {
            let matched = replication.get(node).copied().flatten().map(|log_id| log_id.index());
            matched.is_some_and(|matched| {
                matched + CAUGHT_UP_WITHIN >= metrics.last_log_index.unwrap_or(0)
            })
        };
        if !has_caught_up(&node) {
            return Ok(false);
        }
        if newest(voters.iter().copied()).len() == 1 && wanted.len() == 2 {
            // Two voters tolerate less than one: either's death stops both. A second one
            // waits for a third, and both begin to vote together.
            let learners = membership.nodes().map(|(id, _)| *id);
            let ready =
                learners.filter(|id| members.get(id.replica()).is_some() && has_caught_up(id));
            wanted = newest(wanted.into_values().chain(ready));
            if wanted.len() == 2 {
                return Ok(false);
            }
        }
        if replaced == Some(self.0.node.replica()) {
            // Whoever leads goes on with it. If nobody else votes yet, the new one does first,
            // beside this one.
            if self.successor_among(0, |id| wanted.contains_key(&id.replica())).is_none() {
                let both = newest(voters.iter().copied().chain([node]));
                self.change_voters(both).await.map_err(|error| refused(&error))?;
            }
            self.pass_leadership_to(&wanted).await?;
            return Ok(false);
        }
        self.change_voters(wanted).await.map_err(|error| refused(&error))?;
        Ok(true)
    }

    async fn change_voters(&self, voters: BTreeMap<ReplicaId, NodeId>) -> Result<()> {
        let raft = self.0.raft.clone();
        let voters: BTreeSet<NodeId> = voters.into_values().collect();
        let change = async move {
            raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await
        };
        let changed = runtime::scoped(&self.0.host, change).await;
        changed.map(drop).map_err(|error| Error::unavailable(error.to_string()))
    }

    /// On the leader: counts from now on without the replicas that are no members, or whose
    /// successor votes. One step; returns whether something was done. Repeating it is safe.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when it is to leave itself and nobody can lead in its
    /// place, or there is no majority.
    pub async fn leave_out(&self, members: &Membership) -> Result<bool> {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let staying = staying(&voters, members);
        if staying.is_empty() {
            return Err(Error::unavailable("none of the voters is a member"));
        }
        if !staying.contains_key(&self.0.node.replica()) {
            self.pass_leadership_to(&staying).await?;
            return Ok(false);
        }
        if !voters.iter().eq(staying.values()) || self.is_changing() {
            self.change_voters(staying).await?;
            return Ok(true);
        }
        let leaving = leaving(&self.nodes(), &voters, members);
        if leaving.is_empty() {
            return Ok(false);
        }
        let raft = self.0.raft.clone();
        let change =
            async move { raft.change_membership(ChangeMembers::RemoveNodes(leaving), false).await };
        let changed = runtime::scoped(&self.0.host, change).await;
        changed.map_err(|error| Error::unavailable(error.to_string()))?;
        Ok(true)
    }

    /// On a leader that is about to leave: gives leadership to one of those who stay.
    async fn pass_leadership_to(&self, staying: &BTreeMap<ReplicaId, NodeId>) -> Result<()> {
        let stays = |id: NodeId| staying.contains_key(&id.replica());
        let Some(successor) = self.successor_among(0, stays) else {
            return Err(Error::unavailable("nobody else can lead now"));
        };
        tracing::info!(to = %successor.replica(), "handing leadership over, to leave");
        self.transfer(successor).await
    }

    /// Whether [`Consensus::leave_out`] has nothing to do.
    pub fn is_settled_on(&self, members: &Membership) -> bool {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        voters.iter().eq(staying(&voters, members).values())
            && leaving(&self.nodes(), &voters, members).is_empty()
            && membership.get_joint_config().len() == 1
    }

    /// On the leader: whether a replica has acknowledged almost all that is committed. Under
    /// load nobody has all of it.
    pub fn is_kept_up_with_by(&self, peer: ReplicaId) -> bool {
        let committed = self.metrics().local_committed.map_or(0, |log_id| log_id.index());
        let almost = committed.saturating_sub(CAUGHT_UP_WITHIN);
        self.have_on_disk(almost, |node| node.replica() == peer)
    }

    /// Whether majorities of two sets of voters are needed at the moment.
    pub fn is_changing(&self) -> bool {
        self.metrics().membership_config.membership().get_joint_config().len() > 1
    }

    /// The replicas that vote, as far as this node knows.
    pub fn voters(&self) -> BTreeSet<ReplicaId> {
        route::voters(&self.metrics(), &self.0.links)
    }

    /// Resolves when the nodes of consensus are others than these.
    pub async fn nodes_changed_from(&self, known: &[NodeId]) {
        use openraft::async_runtime::WatchReceiver;
        let mut metrics = self.0.raft.server_metrics();
        while self.nodes() == known {
            if metrics.changed().await.is_err() {
                // Consensus has stopped.
                std::future::pending::<()>().await;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{MemberChange, MemberEntry};

    fn entry(id: u32, replaces: Option<u32>) -> MemberEntry {
        let address = format!("h{id}:1").parse().expect("an address");
        MemberEntry { id: ReplicaId(id), address, replaces: replaces.map(ReplicaId) }
    }

    fn node(id: u32, incarnation: u32) -> NodeId {
        NodeId::new(ReplicaId(id), incarnation)
    }

    #[test]
    fn strangers_go_and_learners_that_came_back() {
        let three = Membership::founded((1..=3).map(|id| entry(id, None)).collect());
        let four = three.changed(&MemberChange::Add(entry(4, None))).expect("free");
        let voters: BTreeSet<NodeId> = (1..=3).map(|id| node(id, 1)).collect();
        let with =
            |more: &[NodeId]| -> Vec<NodeId> { voters.iter().chain(more).copied().collect() };
        let going = |more: &[NodeId], members: &Membership| -> Vec<NodeId> {
            leaving(&with(more), &voters, members).into_iter().collect()
        };
        assert_eq!(going(&[node(4, 2), node(4, 3)], &four), [node(4, 2)]);
        assert_eq!(going(&[node(4, 2)], &three), [node(4, 2)]);
        // A voter that comes back votes on until its next incarnation does.
        assert_eq!(going(&[node(2, 2)], &four), []);
    }

    #[test]
    fn who_goes_on_to_vote_depends_on_members_and_voters_alone() {
        let founded = Membership::founded((1..=3).map(|id| entry(id, None)).collect());
        let replacing = founded.changed(&MemberChange::Add(entry(4, Some(2)))).expect("free");
        let removed = founded.changed(&MemberChange::Remove { id: ReplicaId(3) }).expect("there");
        for (members, voters, wanted) in [
            (&founded, vec![node(1, 1), node(2, 1), node(3, 1)], vec![(1, 1), (2, 1), (3, 1)]),
            // A change that was cut off left both incarnations as voters.
            (
                &founded,
                vec![node(1, 1), node(2, 1), node(2, 3), node(3, 1)],
                vec![(1, 1), (2, 3), (3, 1)],
            ),
            // The old one goes on until the new one votes, and not a moment longer.
            (&replacing, vec![node(1, 1), node(2, 1), node(3, 1)], vec![(1, 1), (2, 1), (3, 1)]),
            (
                &replacing,
                vec![node(1, 1), node(2, 1), node(3, 1), node(4, 2)],
                vec![(1, 1), (3, 1), (4, 2)],
            ),
            (&removed, vec![node(1, 1), node(2, 1), node(3, 1)], vec![(1, 1), (2, 1)]),
        ] {
            let staying = staying(&voters.iter().copied().collect(), members);
            let wanted: Vec<NodeId> = wanted.into_iter().map(|(id, it)| node(id, it)).collect();
            assert_eq!(staying.into_values().collect::<Vec<_>>(), wanted, "of {voters:?}");
        }
    }
}
