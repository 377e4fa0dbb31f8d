//! Who is to lead when the leader is known to be dead.
//!
//! Raft waits for a timeout because silence proves nothing. Where a process is
//! known to be gone, there is nothing to wait for. But two followers that both
//! campaign at once refuse each other and then wait longer than a timeout, so
//! they first compare: the one with the longest log campaigns, and of equal
//! ones the greater number. Whoever finds out first asks all others how far
//! they are and tells the best one, which may be itself, to campaign.
//!
//! Voters refuse whoever campaigns while they have heard of a leader a moment
//! ago. So before anybody campaigns each of them is told that the leader which
//! it follows has handed over, as in a leadership transfer (Raft dissertation,
//! section 3.10). A voter that has found another leader meanwhile does not
//! follow the one that is named, and goes on refusing. Everything else is an
//! election as ever. Were the evidence wrong, there would be one election too
//! many and nothing worse; if this fails half-way, the timeout still comes.
//!
//! A transfer as such, which the engine offers as well, is not what is done:
//! its receiver waits until it has flushed the log that it is told of, and one
//! that has written nothing since its process started, as after an adoption or
//! a restart, does not count what it found on its disk. It once waited for
//! that until the timeout came: every third time that two servers were killed
//! at once, nobody led for half a second.

use std::cmp::Reverse;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use openraft::ServerState;
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};

use super::network::Addressed;
use super::types::{LogId, TypeConfig, Vote};
use super::{Consensus, runtime};
use crate::protocol::peer::Call;
use crate::types::NodeId;

/// How long the others may take to say how far they are. One that is frozen
/// says nothing.
const ANSWER_MAX: Duration = Duration::from_millis(30);

/// How long the rest may take once a majority has said so. It can elect, and
/// the best one of it has everything that was acknowledged.
const REST_MAX: Duration = Duration::from_millis(2);

/// How often is asked again when the best one may not campaign yet.
const ATTEMPTS_MAX: u32 = 10;

/// Before it is asked again.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(5);

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
    /// How far this node is; `None` when consensus has stopped. The vote is that
    /// of this moment: what metrics say of a node that has just started is not.
    pub(super) async fn candidacy(&self) -> Option<Candidacy> {
        let raft = self.0.raft.clone();
        let vote = async move { raft.with_raft_state(|state| *state.vote_ref()).await };
        let vote = runtime::scoped(&self.0.host, vote).await.ok()?;
        Some(Candidacy {
            node: self.0.node,
            vote,
            last: self.0.store.last_log_id(),
            eligible: self.is_voter()
                && self.0.elections.load(std::sync::atomic::Ordering::Acquire)
                && !self.abstains(),
            adopted: self.0.machine.is_adopted(),
        })
    }

    /// Sees to it that somebody campaigns at once: the leader that was followed
    /// is known to be gone. Does nothing when this node leads, when another
    /// campaign has begun, or when no majority can be reached.
    pub async fn contest(&self) {
        let metrics = self.metrics();
        let Some(own) = self.candidacy().await else { return };
        if metrics.state == ServerState::Leader {
            return;
        }
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().filter(|id| *id != own.node).collect();
        for attempt in 1.. {
            let known = self.candidates(&voters).await;
            let begun = known.iter().any(|it| it.vote.leader_id() > own.vote.leader_id());
            if known.len() * 2 <= voters.len() + 1 || begun {
                return;
            }
            let best = known.iter().max_by_key(|it| it.rank());
            if best.is_some_and(|best| !best.eligible) && attempt < ATTEMPTS_MAX {
                // One that was adopted a moment ago is about to be.
                tokio::time::sleep(ATTEMPT_PAUSE).await;
                continue;
            }
            let best = known.iter().filter(|it| it.eligible).max_by_key(|it| it.rank());
            if let Some(best) = best {
                self.send_to_campaign(best, &known).await;
            }
            return;
        }
    }

    /// How far this node and the other voters are, those that say so in time.
    async fn candidates(&self, others: &[NodeId]) -> Vec<Candidacy> {
        let mut known = Vec::from_iter(self.candidacy().await);
        let mut answers: FuturesUnordered<_> =
            others.iter().map(|node| self.ask_candidacy(*node)).collect();
        let mut until = Instant::now() + ANSWER_MAX;
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            known.extend(answer);
            if known.len() * 2 > others.len() + 1 {
                until = until.min(Instant::now() + REST_MAX);
            }
        }
        known
    }

    async fn send_to_campaign(&self, best: &Candidacy, known: &[Candidacy]) {
        tracing::info!(candidate = %best.node.replica(), "the leader is gone; asking for votes at once");
        let others = known.iter().filter(|it| it.node != best.node);
        join_all(others.map(|other| self.release_voter(other, best))).await;
        if best.node == self.0.node {
            self.campaign(best.vote).await;
        } else {
            // Should it be lost, that one finds out by itself.
            let _: Option<()> = self.tell(best.node, Call::Campaign, best.vote).await;
        }
    }

    /// Tells a voter that the leader which it follows has handed over to `best`.
    async fn release_voter(&self, voter: &Candidacy, best: &Candidacy) {
        let request = TransferLeaderRequest::new(voter.vote, best.node, best.last);
        if voter.node != self.0.node {
            // A voter that does not hear it refuses, and the others may do.
            let _: Option<TransferLeaderResponse<TypeConfig>> =
                self.tell(voter.node, Call::TransferLeader, request).await;
            return;
        }
        let raft = self.0.raft.clone();
        let released = async move { raft.handle_transfer_leader(request).await };
        if let Err(error) = runtime::scoped(&self.0.host, released).await {
            tracing::debug!(%error, "consensus has stopped");
        }
    }

    /// Asks for votes at once, unless the node's vote is another one than it
    /// said: all others may find out at the same time, and one campaign will do.
    pub(super) async fn campaign(&self, said: Vote) {
        let raft = self.0.raft.clone();
        let campaign = async move {
            match raft.with_raft_state(move |state| *state.vote_ref() == said).await? {
                true => raft.trigger().elect(false).await,
                false => Ok(()),
            }
        };
        if let Err(error) = runtime::scoped(&self.0.host, campaign).await {
            tracing::debug!(%error, "did not campaign: consensus has stopped");
        }
    }

    async fn ask_candidacy(&self, node: NodeId) -> Option<Candidacy> {
        self.tell::<Option<Candidacy>>(node, Call::Contest, ()).await?
    }

    async fn tell<A: DeserializeOwned>(
        &self,
        node: NodeId,
        call: Call,
        message: impl Serialize,
    ) -> Option<A> {
        let pair = self.0.links.get(node.replica())?;
        let body = Addressed { to: node, message };
        let body = serde_json::to_vec(&body).expect("plain data serializes");
        let answer = timeout(ANSWER_MAX, pair.consensus.call(call, body.into())).await;
        serde_json::from_slice(&answer.ok()?.ok()?).ok()
    }
}
