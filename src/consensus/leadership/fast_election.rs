//! Electing a leader at once when the last one is known to be gone.
//!
//! Raft waits for a timeout because silence proves nothing. Where a process is
//! known to be gone, there is nothing to wait for. But two followers that both
//! campaign at once refuse each other and then wait longer than a timeout. So
//! they first compare: the one with the longest log campaigns, and of equal
//! ones the greater number. Whoever finds out first asks all others how far
//! they are and tells the best one, which may be itself, to campaign.
//!
//! Voters refuse a candidate while they have heard of a leader lately. So before
//! anybody campaigns, each voter is told that the leader which it follows has
//! handed over, as in a leadership transfer (Raft dissertation, section 3.10). A
//! voter that has found another leader meanwhile does not follow the one that is
//! named, and goes on refusing. Everything else is an ordinary election. If the
//! evidence is wrong, there is one election too many and nothing worse; if this
//! fails half-way, the timeout still comes.
//!
//! A vote that is later than one's own mostly means that somebody campaigns
//! already, and two campaigns are worse than one. But a candidate may die as well,
//! its vote with it or on the disk of a replica that is adopted then. Such a
//! campaign is over: nobody waits for it, and the next one begins in a later term.
//! When two servers are killed at once, the second has often just voted for itself.
//!
//! Evidence differs in what it says ([`Loss`]). A process that is dead is dead for all. A
//! machine that acknowledges nothing may only be cut off from the one that asked. If that
//! one had its way, a leader that serves everybody else would be deposed by whoever has a
//! bad cable, again and again. So then a majority must miss the leader's machine, each by
//! its own connection. Whoever finds out last of that majority has the others' word.
//!
//! Asking once is not enough. A server that has just come up answers a little
//! later; a candidate is told to campaign, and dies. So until somebody leads, all
//! are asked again after pauses that grow, and a campaign that has elected nobody
//! for [`CAMPAIGN_MAX`] is not waited for any more. Nor is one for which too few could
//! vote, once more of them can.
//!
//! The engine offers a leadership transfer too, which is not used here: its
//! receiver waits until it has flushed the log that it is told of, and one that
//! has written nothing since its process started, as after an adoption or a
//! restart, does not count what it found on its disk. It would wait until the
//! timeout.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use openraft::ServerState;
use openraft::errors::Fatal;
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};

use crate::consensus::Consensus;
use crate::consensus::runtime;
use crate::consensus::types::{LogId, TypeConfig, Vote};
use crate::consensus::wire::calls::Addressed;
use crate::peer::Link;
use crate::protocol::peer::Call;
use crate::types::{NodeId, ReplicaId, Uuid, is_majority};

/// How long the others may take to answer how far they are, apart from the way there and
/// back. One that is frozen does not answer.
const ANSWER_MAX: Duration = Duration::from_millis(30);

/// How long the rest may take once a majority has answered. That majority can
/// elect, and the best one of it has everything that was acknowledged.
const REST_MAX: Duration = Duration::from_millis(2);

/// How often all are asked again while the best one may not campaign yet.
const ATTEMPTS_MAX: u32 = 10;

/// Between two of these questions.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(5);

/// The pauses after which it is checked whether somebody leads. Together they are
/// about as long as an election timeout, which takes over then.
const PAUSES_MS: [u64; 4] = [40, 80, 160, 0];

/// For how long a campaign may go on until another one is begun, apart from its messages'
/// ways. A voter's sync takes some milliseconds; a voter that is about to be connected is
/// waited for.
const CAMPAIGN_MAX: Duration = Duration::from_millis(150);

/// How many terms a campaign may skip. A candidate that is further behind learns of
/// the later term from those who refuse, and campaigns again after its timeout.
const TERMS_MAX: u64 = 8;

/// How it is known that the leader is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its process is, or nobody listens at its address.
    Process,
    /// The machine of this replica acknowledges nothing, as seen from here.
    Machine(ReplicaId),
}

/// How far a node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidacy {
    pub(in crate::consensus) node: NodeId,
    pub(in crate::consensus) vote: Vote,
    /// Whether it has that vote from its disk, as an earlier process left it.
    found: bool,
    pub(in crate::consensus) last: Option<LogId>,
    /// Whether it may lead: it votes, and nothing keeps it from asking for votes.
    eligible: bool,
    /// Whether it runs in the place of a dead process, without a state.
    adopted: bool,
    /// Whether it leads, as far as it knows.
    pub(in crate::consensus) leads: bool,
    /// The run of its process; see [`crate::consensus::rejoin`]. Older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::consensus) run: Option<Uuid>,
    /// Whether it has lost the end of its log and abstains.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::consensus) lost: bool,
    /// On the leader: up to where it has counted which node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::consensus) replicated: Vec<(NodeId, LogId)>,
    /// The replicas that vote as far as it knows, and the entry that says so. Older programs
    /// do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::consensus) voters: Option<(LogId, Vec<ReplicaId>)>,
    /// Whose machines acknowledge nothing, or have nobody who listens, as far as it can see.
    /// Older programs do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    misses: Vec<ReplicaId>,
}

/// Tells a node to ask for votes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Campaign {
    /// The vote that it reported. With another one it does not campaign.
    #[serde(rename = "said")]
    reported: Vote,
    /// The latest term that any voter knows of.
    term: u64,
}

impl Candidacy {
    /// Whether it may as well be so for this node.
    fn agrees(&self, loss: Loss) -> bool {
        match loss {
            Loss::Process => true,
            Loss::Machine(leader) => self.misses.contains(&leader),
        }
    }

    fn rank(&self) -> (Option<LogId>, Reverse<bool>, NodeId) {
        (self.last, Reverse(self.adopted), self.node)
    }
}

impl Consensus {
    /// How far this node is; `None` when consensus has stopped. The vote is the
    /// current one: that in the metrics of a node that has just started is not.
    pub(in crate::consensus) async fn candidacy(&self) -> Option<Candidacy> {
        let raft = self.0.raft.clone();
        let state = async move {
            raft.with_raft_state(|state| (*state.vote_ref(), state.server_state)).await
        };
        let (vote, state) = runtime::scoped(&self.0.host, state).await.ok()?;
        let metrics = self.metrics();
        let known_by = *metrics.membership_config.log_id();
        let replication = metrics.replication.unwrap_or_default();
        Some(Candidacy {
            node: self.0.node,
            vote,
            found: self.0.found_vote.is_some_and(|found| found.leader_id == vote.leader_id),
            last: self.0.store.last_log_id(),
            eligible: self.is_voter() && self.elects(),
            adopted: self.0.machine.is_adopted(),
            leads: state == ServerState::Leader,
            run: Some(self.0.run),
            lost: self.abstains(),
            replicated: replication
                .into_iter()
                .filter_map(|(node, counted)| Some((node, counted?)))
                .collect(),
            voters: known_by.map(|entry| (entry, self.voters().into_iter().collect())),
            misses: self.missing_peers(),
        })
    }

    /// Those of whom there is evidence that they are gone, or cut off from here. Whoever
    /// hears of the leader does not miss it: its acknowledgements are late, or the way to it
    /// alone is cut, which it will notice itself.
    fn missing_peers(&self) -> Vec<ReplicaId> {
        let unheard_max = Duration::from_millis(2 * self.0.timing.heartbeat_interval_ms);
        let heard_of =
            self.leader().filter(|_| self.0.leader_contact_at.lock().elapsed() < unheard_max);
        let misses = |peer: &ReplicaId, link: &Link| {
            link.is_gone() || (link.is_silent() && heard_of != Some(*peer))
        };
        let peers = self.0.links.all().into_iter();
        peers.filter(|(peer, pair)| misses(peer, &pair.consensus)).map(|(peer, _)| peer).collect()
    }

    /// Has the best candidate campaign at once: the leader that was followed is
    /// known to be gone. Goes on until somebody leads, until it is called again, or
    /// until a timeout would have come anyway.
    ///
    /// Those who are left may be a majority of which too few vote: one has lost the end of
    /// its log. `too_few` is told so, and whoever can help adopts the dead.
    pub async fn run_fast_election(&self, loss: Loss, too_few: impl Fn()) {
        let number = self.0.fast_elections.fetch_add(1, Ordering::AcqRel) + 1;
        let Some(own) = self.candidacy().await else { return };
        let mut waited_for = None;
        // The campaign for which too few could vote.
        let mut futile = None;
        for (round, pause) in PAUSES_MS.into_iter().enumerate() {
            let known = self.eligible_candidates().await;
            let latest = known.iter().map(|it| *it.vote.leader_id()).max();
            if known.iter().any(|it| it.leads && Some(*it.vote.leader_id()) == latest) {
                return;
            }
            let begun = latest.filter(|_| self.has_begun(&own, &known)).map(|latest| {
                let since = waited_for.filter(|(it, _)| *it == latest);
                since.unwrap_or((latest, Instant::now()))
            });
            waited_for = begun;
            let total = self.others().len() + 1;
            let voting = known.iter().filter(|it| !it.lost).count();
            // In the first round somebody may just be coming up. Whoever does not answer may
            // only be slow.
            let enough = is_majority(voting, total);
            if round > 0 && is_majority(known.len(), total) && !enough {
                too_few();
                futile = latest;
            }
            let campaign_max = CAMPAIGN_MAX + 4 * self.0.links.longest_round_trip();
            let elects_nobody = enough && futile.is_some() && futile == latest;
            let goes_on =
                !elects_nobody && begun.is_some_and(|(_, since)| since.elapsed() < campaign_max);
            let agreeing = known.iter().filter(|it| it.agrees(loss)).count();
            if is_majority(agreeing, total) && !goes_on {
                self.have_best_campaign(&known).await;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.0.fast_elections.load(Ordering::Acquire) != number {
                return;
            }
        }
    }

    /// The other nodes that vote.
    fn others(&self) -> Vec<NodeId> {
        let membership = self.metrics().membership_config;
        membership.membership().voter_ids().filter(|id| *id != self.0.node).collect()
    }

    /// The candidates that are known. Waits a little until the best one of them may
    /// campaign.
    async fn eligible_candidates(&self) -> Vec<Candidacy> {
        let mut known = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let others = self.others();
            known = self.candidates(&others).await;
            if !is_majority(known.len(), others.len() + 1) {
                break;
            }
            if known.iter().max_by_key(|it| it.rank()).is_none_or(|best| best.eligible) {
                break;
            }
            // One that was adopted just now will soon be eligible.
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
        known
    }

    async fn have_best_campaign(&self, known: &[Candidacy]) {
        if let Some(best) = known.iter().filter(|it| it.eligible).max_by_key(|it| it.rank()) {
            self.request_campaign(best, known).await;
        }
    }

    /// Whether the latest vote that is known is of a campaign, or a leader, that may go
    /// on: it is later than this node's own vote at the start, and the process that
    /// began it may still be there.
    fn has_begun(&self, own: &Candidacy, known: &[Candidacy]) -> bool {
        let Some(latest) = known.iter().map(|it| it.vote.leader_id()).max() else { return false };
        if latest <= own.vote.leader_id() {
            return false;
        }
        match known.iter().find(|it| it.node == latest.node_id) {
            Some(candidate) => !(candidate.found && candidate.vote.leader_id() == latest),
            None => {
                let link = self.0.links.get(latest.node_id.replica());
                link.is_some_and(|pair| pair.consensus.peer().is_ok())
            }
        }
    }

    /// How far this node is, and those of the other voters that answer in time.
    async fn candidates(&self, others: &[NodeId]) -> Vec<Candidacy> {
        let mut known = Vec::from_iter(self.candidacy().await);
        let mut answers: FuturesUnordered<_> =
            others.iter().map(|node| self.ask_candidacy(*node)).collect();
        let mut until = Instant::now() + self.answer_max();
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            known.extend(answer);
            // One that has lost the end of its log elects nobody. Whoever campaigns without
            // the answer of the other voter may do so in a term in which that one has voted.
            let voting = known.iter().filter(|it| !it.lost).count();
            if is_majority(voting, others.len() + 1) {
                until = until.min(Instant::now() + REST_MAX);
            }
        }
        known
    }

    async fn request_campaign(&self, best: &Candidacy, known: &[Candidacy]) {
        tracing::info!(candidate = %best.node.replica(), "the leader is gone; asking for votes at once");
        let others = known.iter().filter(|it| it.node != best.node);
        join_all(others.map(|other| self.release_voter(other, best))).await;
        let terms = known.iter().map(|it| it.vote.leader_id().term);
        let campaign = Campaign { reported: best.vote, term: terms.max().unwrap_or_default() };
        if best.node == self.0.node {
            self.campaign(campaign).await;
        } else {
            // If the request is lost, that one finds out by itself.
            let _: Option<()> = self.call(best.node, Call::Campaign, campaign).await;
        }
    }

    /// Tells a voter that the leader which it follows has handed over to `best`.
    async fn release_voter(&self, voter: &Candidacy, best: &Candidacy) {
        let request = TransferLeaderRequest::new(voter.vote, best.node, best.last);
        if voter.node != self.0.node {
            // A voter that does not receive it refuses; the others may be enough.
            let _: Option<TransferLeaderResponse<TypeConfig>> =
                self.call(voter.node, Call::TransferLeader, request).await;
            return;
        }
        let raft = self.0.raft.clone();
        let released = async move { raft.handle_transfer_leader(request).await };
        if let Err(error) = runtime::scoped(&self.0.host, released).await {
            tracing::debug!(%error, "consensus has stopped");
        }
    }

    /// Asks for votes at once, unless the node's vote is not the one that it reported:
    /// all others may find out at the same time, and one campaign is enough.
    pub(in crate::consensus) async fn campaign(&self, Campaign { reported, term }: Campaign) {
        if !self.elects() {
            return;
        }
        let raft = self.0.raft.clone();
        let campaign = async move {
            let unchanged =
                raft.with_raft_state(move |state| *state.vote_ref() == reported).await?;
            // A campaign is one term later than the candidate's vote; and in a
            // term in which they have voted already, voters refuse.
            let behind = term.saturating_sub(reported.leader_id().term).min(TERMS_MAX);
            let campaigns = if unchanged { behind + 1 } else { 0 };
            for _ in 0..campaigns {
                raft.trigger().elect(false).await?;
            }
            Ok::<(), Fatal<TypeConfig>>(())
        };
        if let Err(error) = runtime::scoped(&self.0.host, campaign).await {
            tracing::debug!(%error, "did not campaign: consensus has stopped");
        }
    }

    fn answer_max(&self) -> Duration {
        ANSWER_MAX + 2 * self.0.links.longest_round_trip()
    }

    pub(in crate::consensus) async fn ask_candidacy(&self, node: NodeId) -> Option<Candidacy> {
        self.call::<Option<Candidacy>>(node, Call::Contest, ()).await?
    }

    async fn call<A: DeserializeOwned>(
        &self,
        node: NodeId,
        call: Call,
        message: impl Serialize,
    ) -> Option<A> {
        let pair = self.0.links.get(node.replica())?;
        let body = Addressed { to: node, message };
        let body = serde_json::to_vec(&body).expect("plain data serializes");
        let answer = timeout(self.answer_max(), pair.consensus.call(call, body.into())).await;
        serde_json::from_slice(&answer.ok()?.ok()?).ok()
    }
}
