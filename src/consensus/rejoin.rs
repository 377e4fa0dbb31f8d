//! A node that comes back with less in its log than it had acknowledged: what that
//! node does, and what a leader does about it.
//!
//! A leader counts a follower that has acknowledged an entry, for as long as it leads.
//! The argument that two majorities have a node in common counts it too. A disk that
//! loses what it had synced breaks that: the log of a node that comes back ends below
//! what it acknowledged. Raft has no answer to this, so this module has three rules.
//!
//! # A node that has lost the end of its log does not vote
//! It knows about the loss by a trace: a record cut short at the end, a log that ends
//! below what `committed.json` names, or a leader that has counted it further than its
//! log goes. The trace is written down durably. Until it is settled, the node neither
//! asks for votes nor takes leadership when it is offered. It accepts and acknowledges
//! entries as usual, as those are really there.
//!
//! Without its vote the other nodes elect among themselves, and a majority of them has
//! everything that was committed with its acknowledgement. For a commit needs a
//! majority, and an election without this node needs one as well, so both have a node
//! in common that is not this one. So the log of any leader that this node follows has
//! all that it had acknowledged. The loss is settled when its own log is as far as
//!
//! - the log of the leader that it follows, as that leader reported after the loss;
//! - or, where nobody leads, the logs of all other replicas. Then it has the best of
//!   what is left. Until then it votes for candidates whose logs are that far;
//!   otherwise nobody could be elected when every node has lost something.
//!
//! "As far" compares the last log ids, term first, as elections do (Raft dissertation,
//! section 3.6.1).
//!
//! # A node votes only when it has asked whether its log is whole
//! A log that was cut between two records shows no trace. So a node that comes back
//! with a log first asks all others how far they are, and a leader answers how far it
//! has counted the asking node. The node votes when the leader has answered, or a
//! majority without a leader, of the voters that the newest membership among the answers
//! names. A majority that does not include the leader may miss the
//! loss: those are two faults, of which the first left no trace.
//!
//! # A leader appends only to a process that it has asked
//! When a follower has less than was counted, the engine takes that for a bug of its
//! own: it stops sending to that follower for ever, or panics in a debug build. So
//! before the first append the engine must learn, once and for that one follower, that
//! the follower may have gone back. Each process of a node draws a random number, its
//! run. Whoever connects asks for it, together with the end of the log. A leader
//! compares, has the engine count anew what is needed if the other abstains, and puts
//! the run into every append. A process refuses appends that are meant for an earlier
//! one. Older programs name no run, and get appends without one.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::Consensus;
use super::engine::log_store::LogStore;
use super::leadership::fast_election::Candidacy;
use super::runtime;
use super::types::{LogId, Vote};
use crate::error::{Error, ErrorCode, Result};
use crate::planted::{self, Bug};
use crate::storage::DroppedTail;
use crate::types::{NodeId, ReplicaId, Uuid, is_majority};

/// Between two checks while a loss is not settled.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// First and longest pause between two questions to a peer that is loading, or that
/// has to find out first that it has lost something.
const PEER_RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// Whether a node may rely on the end of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// Nobody has answered yet whether anything is missing.
    Unchecked,
    /// It is lost. Candidates whose logs are as far as `floor` may have the vote;
    /// `None`: it is not known yet how far the others are.
    Lost {
        /// The last log id of the best log that is left.
        floor: Option<LogId>,
    },
    /// Nothing is missing.
    Whole,
}

/// Refuses a directory whose vote is gone: it might be given a second time. Only the
/// entry that founds a cluster is older than the first vote.
///
/// # Errors
/// [`ErrorCode::Corrupted`].
pub fn check_vote_is_there(store: &LogStore, has_snapshot: bool) -> Result<()> {
    match store.log().read_vote() {
        None if store.log().next() > 1 || has_snapshot => Err(Error::new(
            ErrorCode::Corrupted,
            "vote.json is missing, and the replica has a log: it may have been removed",
        )),
        _ => Ok(()),
    }
}

/// What a node knows of the end of its log when it starts. `lost_end`: there is a
/// trace in its directory. An adopted one has a host beside it, which may have
/// counted it.
pub fn log_end_at_start(
    node: NodeId,
    store: &LogStore,
    lost_end: bool,
    host_node: Option<&Consensus>,
) -> LogEnd {
    let lost = LogEnd::Lost { floor: None };
    let last = store.last_log_id();
    if lost_end || store.ends_below_commit() {
        return lost;
    }
    match host_node {
        Some(host) => {
            let replication = host.metrics().replication.unwrap_or_default();
            let counted = replication.get(&node).copied().flatten();
            if counted > last { lost } else { LogEnd::Whole }
        }
        // It has nothing that could have had an end.
        None if last.is_none() && store.vote().is_none() => LogEnd::Whole,
        None => LogEnd::Unchecked,
    }
}

impl Consensus {
    /// Whether the node has lost the end of its log and does not have it again.
    pub fn abstains(&self) -> bool {
        matches!(*self.0.log_end.borrow(), LogEnd::Lost { .. })
    }

    /// Whether nothing keeps the node from voting for anybody.
    pub fn trusts_its_log(&self) -> bool {
        *self.0.log_end.borrow() == LogEnd::Whole || planted::is(Bug::VoteWithoutLogEnd)
    }

    /// Lets the node ask for votes, once it may rely on its log.
    pub fn enable_elections(&self) {
        self.want_elections(true);
    }

    pub(super) fn disable_elections(&self) {
        self.want_elections(false);
    }

    /// Whether the node may ask for votes.
    pub fn elects(&self) -> bool {
        *self.0.elections_wanted.lock() && self.trusts_its_log() && self.is_well()
    }

    /// Whether its log can be written, as far as is known.
    pub fn is_well(&self) -> bool {
        self.0.store.log().shortage().is_none()
    }

    /// Whether what comes with this vote can be answered. A later one must be saved first,
    /// and the engine does nothing else meanwhile: on a disk that is full it would not even
    /// stop.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] says why not.
    pub(super) fn check_can_save(&self, vote: &Vote) -> Result<()> {
        let saved = self.0.store.vote().is_some_and(|saved| saved.leader_id == vote.leader_id);
        match self.0.store.log().shortage().filter(|_| !saved) {
            None => Ok(()),
            Some(shortage) => Err(Error::unavailable(shortage.sentence())),
        }
    }

    /// Asks for no votes while its log cannot be written.
    pub(super) async fn watch_shortage(self) {
        let mut shortage = self.0.store.log().watch_shortage();
        while shortage.changed().await.is_ok() {
            let wanted = self.0.elections_wanted.lock();
            self.0.raft.runtime_config().elect(*wanted && self.trusts_its_log() && self.is_well());
        }
    }

    fn want_elections(&self, wanted: bool) {
        let mut now = self.0.elections_wanted.lock();
        *now = wanted;
        self.0.raft.runtime_config().elect(wanted && self.trusts_its_log() && self.is_well());
    }

    /// Changes what is known of the end of the log, unless that is no longer what it
    /// was when it was read.
    fn change_log_end(&self, seen: LogEnd, end: LogEnd) {
        self.0.log_end.send_if_modified(|now| {
            let changes = *now == seen && seen != end;
            if changes {
                *now = end;
            }
            changes
        });
        // Under the lock, so that the engine gets the last decision last.
        let wanted = self.0.elections_wanted.lock();
        self.0.raft.runtime_config().elect(*wanted && self.trusts_its_log() && self.is_well());
    }

    /// Whether a candidate with that log may have the vote.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] says why not.
    pub(super) fn check_vote(&self, candidate: Option<LogId>) -> Result<()> {
        // Copied: while it is borrowed, a writer that waits would block a second read.
        let end = *self.0.log_end.borrow();
        match end {
            _ if self.trusts_its_log() => Ok(()),
            LogEnd::Whole => Ok(()),
            LogEnd::Lost { floor: Some(floor) } if candidate >= Some(floor) => Ok(()),
            LogEnd::Lost { .. } => Err(Error::unavailable(
                "this replica lost the end of its log and does not vote until it has caught up",
            )),
            LogEnd::Unchecked => Err(Error::unavailable(
                "this replica does not vote until the others have said how far their logs are",
            )),
        }
    }

    /// Whether an append is for this process, and not for an earlier one.
    ///
    /// # Errors
    /// [`ErrorCode::WrongCluster`].
    pub(super) fn check_run(&self, run: Option<Uuid>) -> Result<()> {
        match run {
            Some(run) if run != self.0.run => Err(Error::new(
                ErrorCode::WrongCluster,
                format!("replica {} has been started anew", self.0.node.replica()),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Watches the end of the log of this node and of its peers, until consensus is
    /// stopped.
    pub(super) fn watch_log_ends(&self) {
        self.spawn_until_stopped(self.clone().watch_log_end());
        let (consensus, links) = (self.clone(), self.0.links.clone());
        self.spawn_until_stopped(async move {
            links.with_each(|peer| consensus.clone().watch_peer(peer)).await;
        });
    }

    pub(super) fn spawn_until_stopped(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopped = self.0.stopped.subscribe();
        runtime::spawn(&self.0.host, async move {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = task => {}
            }
        });
    }

    /// Finds out whether the end of the log is there, now and whenever it is found
    /// missing later.
    async fn watch_log_end(self) {
        let mut end = self.0.log_end.subscribe();
        while end.wait_for(|end| *end != LogEnd::Whole).await.is_ok() {
            if let Err(error) = self.check_log_end().await {
                // The log has failed, which ends the node.
                tracing::error!(%error, "whether the log is whole cannot be noted");
                return;
            }
            if *self.0.log_end.borrow() != LogEnd::Whole {
                sleep(CHECK_INTERVAL).await;
            }
        }
    }

    async fn check_log_end(&self) -> Result<()> {
        let Some(own) = self.candidacy().await else { return Ok(()) };
        let pairs = self.0.links.all();
        let nodes = pairs.iter().filter_map(|(_, pair)| pair.consensus.peer().ok()?.node());
        let asked = join_all(nodes.map(|node| self.ask_candidacy(node))).await;
        let answers: Vec<Candidacy> = asked.into_iter().flatten().collect();
        let leader =
            answers.iter().find(|it| it.leads && it.vote.leader_id() >= own.vote.leader_id());
        if let Some(leader) = leader {
            self.note_loss_known_to(leader, own.last).await?;
        }
        let voters = self.newest_voters(&own, &answers);
        let answered = answers.iter().map(|it| it.node.replica()).chain([own.node.replica()]);
        let answered: BTreeSet<ReplicaId> = answered.filter(|it| voters.contains(it)).collect();
        let all_answered = answered.len() == voters.len();
        let end = *self.0.log_end.borrow();
        match end {
            LogEnd::Whole => Ok(()),
            LogEnd::Unchecked => {
                if leader.is_some() || is_majority(answered.len(), voters.len()) {
                    self.change_log_end(end, LogEnd::Whole);
                }
                Ok(())
            }
            LogEnd::Lost { .. } => {
                let floor = match leader {
                    Some(leader) => leader.last,
                    None if all_answered => answers.iter().filter_map(|it| it.last).max(),
                    None => return Ok(()),
                };
                if own.last >= floor {
                    // Behind everything that was appended, so that is durable as well.
                    self.0.store.log().settle_dropped_tail().await?;
                    tracing::info!("the log is as far as it was; this replica votes again");
                    self.change_log_end(end, LogEnd::Whole);
                } else {
                    self.change_log_end(end, LogEnd::Lost { floor });
                }
                Ok(())
            }
        }
    }

    /// The voters by the newest membership that anybody knows. One that was away while
    /// replicas came and went would wait in vain for those that it remembers, and they would
    /// wait for its vote.
    fn newest_voters(&self, own: &Candidacy, answers: &[Candidacy]) -> BTreeSet<ReplicaId> {
        let known = answers.iter().chain([own]).filter_map(|it| it.voters.as_ref());
        match known.max_by_key(|(entry, _)| *entry) {
            Some((_, voters)) => voters.iter().copied().collect(),
            None => self.voters(),
        }
    }

    /// Notes that the end of the log is lost, if a leader has counted this node
    /// further than its log goes.
    async fn note_loss_known_to(&self, leader: &Candidacy, last: Option<LogId>) -> Result<()> {
        let counted = leader.replicated.iter().find(|(node, _)| *node == self.0.node);
        let Some((_, counted)) = counted.filter(|(_, counted)| Some(*counted) > last) else {
            return Ok(());
        };
        let seen = *self.0.log_end.borrow();
        if let LogEnd::Lost { .. } = seen {
            return Ok(());
        }
        let next = last.map_or(0, |last| last.index() + 1);
        tracing::warn!(
            from = next,
            to = counted.index(),
            "entries that this replica had acknowledged are gone from its log; it does not vote \
             until it has them again"
        );
        self.change_log_end(seen, LogEnd::Lost { floor: None });
        let tail = DroppedTail { file: String::new(), index: counted.index(), bytes: 0 };
        self.0.store.log().note_dropped_tail(tail).await
    }

    /// Asks every process that runs a peer's node, as soon as it is reached, and again
    /// when an append was refused.
    async fn watch_peer(self, peer: ReplicaId) {
        let Some(pair) = self.0.links.get(peer) else { return };
        let mut changes = pair.consensus.watch();
        let mut pause = PEER_RETRY.0;
        loop {
            let node = pair.consensus.peer().ok().and_then(|peer| peer.node());
            let Some(node) = node else {
                self.0.runs.forget_replica(peer);
                changes.changed().await;
                continue;
            };
            if !self.0.runs.has(node) && !self.check_peer(node).await {
                drop(timeout(pause, changes.changed()).await);
                pause = (2 * pause).min(PEER_RETRY.1);
                continue;
            }
            pause = PEER_RETRY.0;
            tokio::select! {
                biased;
                () = changes.changed() => self.0.runs.forget_replica(peer),
                () = self.0.runs.forgotten(node) => {}
            }
        }
    }

    /// Asks a peer's process how far its log is. Returns whether appends may be sent
    /// to it.
    async fn check_peer(&self, node: NodeId) -> bool {
        let Some(theirs) = self.ask_candidacy(node).await else { return false };
        let Some(own) = self.candidacy().await else { return false };
        if theirs.leads
            && theirs.vote.leader_id() >= own.vote.leader_id()
            && let Err(error) = self.note_loss_known_to(&theirs, own.last).await
        {
            tracing::error!(%error, "that the end of the log is lost was not written down");
            return false;
        }
        if own.leads && !self.count_anew(&theirs).await {
            return false;
        }
        self.0.runs.know(node, theirs.run);
        true
    }

    /// On the leader: has the engine count a follower anew that has less than it
    /// had acknowledged. `false`: it must not be sent anything yet.
    async fn count_anew(&self, follower: &Candidacy) -> bool {
        let replication = self.metrics().replication.unwrap_or_default();
        let counted = replication.get(&follower.node).copied().flatten();
        if counted <= follower.last {
            return true;
        }
        if !follower.lost {
            tracing::debug!(
                replica = %follower.node.replica(),
                "it has less in its log than it had acknowledged, and has not noticed yet"
            );
            return false;
        }
        let (raft, node) = (self.0.raft.clone(), follower.node);
        let allowed = async move { raft.trigger().allow_next_revert(&node, true).await };
        match runtime::scoped(&self.0.host, allowed).await {
            Ok(Ok(())) => {
                tracing::warn!(
                    replica = %node.replica(),
                    "it has lost the end of its log; sending it what is missing"
                );
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "leads no more");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "consensus has stopped");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
