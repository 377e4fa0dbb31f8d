//! Who is to lead when the leader is known to be dead.
//!
//! Raft waits for a timeout because silence proves nothing. Where a process is
//! known to be gone, there is nothing to wait for. But two followers that both
//! campaign at once refuse each other and then wait longer than a timeout, so
//! they first compare: the one with the longest log campaigns, and of equal
//! ones the greater number. Whoever finds out first asks all others how far
//! they are and tells the best one, which may be itself, to campaign.
//!
//! The campaign itself is that of a leadership transfer (Raft dissertation,
//! section 3.10), handed over in the name of the dead leader: voters grant it
//! although they have heard of that leader a moment ago. Everything else is
//! Raft as ever. Were the evidence wrong, there would be one election too many
//! and nothing worse; if this fails half-way, the timeout still comes.

use std::cmp::Reverse;
use std::time::Duration;

use futures::future::join_all;
use openraft::ServerState;
use openraft::raft::TransferLeaderRequest;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::network::Addressed;
use super::types::{LogId, TypeConfig, Vote};
use super::{Consensus, runtime};
use crate::protocol::peer::Call;
use crate::types::NodeId;

/// How long the others may take to say how far they are. One that is frozen
/// says nothing.
const ANSWER_MAX: Duration = Duration::from_millis(30);

/// How far a node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidacy {
    node: NodeId,
    vote: Vote,
    last: Option<LogId>,
    /// Whether it may lead: it votes, and nothing keeps it from asking for votes.
    eligible: bool,
    /// Whether it runs in the place of a dead process, without a state.
    adopted: bool,
}

impl Candidacy {
    fn rank(&self) -> (Option<LogId>, Reverse<bool>, NodeId) {
        (self.last, Reverse(self.adopted), self.node)
    }
}

impl Consensus {
    /// How far this node is.
    pub(super) fn candidacy(&self) -> Candidacy {
        Candidacy {
            node: self.0.node,
            vote: self.metrics().vote,
            last: self.0.store.last_log_id(),
            eligible: self.is_voter()
                && self.0.elections.load(std::sync::atomic::Ordering::Acquire)
                && !self.abstains(),
            adopted: self.0.machine.is_adopted(),
        }
    }

    /// Sees to it that somebody campaigns at once: the leader that was followed
    /// is known to be gone. Does nothing when this node leads, when another
    /// campaign has begun, or when no majority can be reached.
    pub async fn contest(&self) {
        let metrics = self.metrics();
        let own = self.candidacy();
        if metrics.state == ServerState::Leader {
            return;
        }
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().filter(|id| *id != own.node).collect();
        let answers = join_all(voters.iter().map(|node| self.ask_candidacy(*node))).await;
        let mut known: Vec<Candidacy> = answers.into_iter().flatten().collect();
        known.push(own.clone());
        let begun = known.iter().any(|it| it.vote.leader_id() > own.vote.leader_id());
        if known.len() * 2 <= voters.len() + 1 || begun {
            return;
        }
        let best = known.into_iter().filter(|it| it.eligible).max_by_key(Candidacy::rank);
        let Some(best) = best else { return };
        tracing::info!(candidate = %best.node.replica(), "the leader is gone; asking for votes at once");
        let request = TransferLeaderRequest::new(best.vote, best.node, best.last);
        if best.node == own.node {
            self.campaign(request).await;
        } else if let Some(pair) = self.0.links.get(best.node.replica()) {
            let body = Addressed { to: best.node, message: request };
            let body = serde_json::to_vec(&body).expect("plain data serializes");
            // Should it be lost, that one finds out by itself.
            drop(pair.consensus.call(Call::TransferLeader, body.into()));
        }
    }

    async fn campaign(&self, request: TransferLeaderRequest<TypeConfig>) {
        let raft = self.0.raft.clone();
        let campaign = async move { raft.handle_transfer_leader(request).await };
        match runtime::scoped(&self.0.host, campaign).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "did not campaign at once"),
            Err(error) => tracing::debug!(%error, "did not campaign: consensus has stopped"),
        }
    }

    async fn ask_candidacy(&self, node: NodeId) -> Option<Candidacy> {
        let pair = self.0.links.get(node.replica())?;
        let body = Addressed { to: node, message: () };
        let body = serde_json::to_vec(&body).expect("plain data serializes");
        let answer = timeout(ANSWER_MAX, pair.consensus.call(Call::Contest, body.into())).await;
        serde_json::from_slice(&answer.ok()?.ok()?).ok()
    }
}
