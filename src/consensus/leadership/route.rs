//! Who leads, who is missing, and how many copies there are: one view of
//! openraft's metrics for everything that needs to decide by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use crate::consensus::Raft;
use crate::consensus::engine::links::{Links, Pair};
use crate::consensus::obstacle::{Obstacle, Subject};
use crate::consensus::time::Time;
use crate::consensus::types::{CommittedLeaderId, Metrics};
use crate::peer::Unreached;
use crate::storage::Shortage;
use crate::types::{NodeId, ReplicaId, is_majority};

/// Where operations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// This node leads, under this leadership.
    Here(CommittedLeaderId),
    /// That node leads, in this term.
    There(NodeId, u64),
}

impl Route {
    /// Of the leadership.
    pub fn term(self) -> u64 {
        match self {
            Route::Here(leader) => leader.term,
            Route::There(_, term) => term,
        }
    }
}

/// See the head of this file. Clones share everything.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    raft: Raft,
    links: Links,
    route: watch::Receiver<Option<Route>>,
    shortage: watch::Receiver<Option<Shortage>>,
    time: Time,
}

impl Router {
    /// Starts watching.
    pub fn start(
        host: &crate::host::Host,
        raft: Raft,
        links: Links,
        shortage: watch::Receiver<Option<Shortage>>,
        time: Time,
    ) -> Router {
        let (send, route) = watch::channel(current(&raft));
        let watched = raft.clone();
        crate::consensus::runtime::spawn(host, async move {
            let mut metrics = watched.server_metrics();
            loop {
                let now = current(&watched);
                send.send_if_modified(|route| {
                    let modified = *route != now;
                    *route = now;
                    modified
                });
                // Ends when consensus is shut down or nobody asks any more.
                tokio::select! {
                    biased;
                    changed = metrics.changed() => if changed.is_err() { return },
                    () = send.closed() => return,
                }
            }
        });
        Router(Arc::new(Inner { raft, links, route, shortage, time }))
    }

    /// The engine.
    pub(in crate::consensus) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    /// The ways to the peers.
    pub(in crate::consensus) fn links(&self) -> &Links {
        &self.0.links
    }

    /// What time it is.
    pub(in crate::consensus) fn time(&self) -> &Time {
        &self.0.time
    }

    /// Where operations go now; `None` while no leader is known.
    pub fn route(&self) -> Option<Route> {
        *self.0.route.borrow()
    }

    /// Whether a majority stands behind this node's leadership: one has
    /// acknowledged it within the longest election timeout, or it is too new for
    /// that. A leader that stands alone takes nothing into its log of which it
    /// could not tell the outcome.
    pub fn is_confirmed(&self) -> bool {
        use openraft::Instant as _;
        let metrics = self.0.raft.metrics().borrow_watched().clone();
        let lease = std::time::Duration::from_millis(self.0.raft.config().election_timeout_max);
        let alone = metrics.membership_config.membership().voter_ids().eq([metrics.id]);
        alone || metrics.last_quorum_acked.is_none_or(|acked| acked.elapsed() < lease)
    }

    /// Resolves when somebody leads in a later term.
    pub async fn superseded(&self, term: u64) {
        self.until(|route| route.is_some_and(|route| route.term() > term)).await;
    }

    /// Resolves when the route is such, which it may be now. Never after consensus has
    /// stopped.
    pub async fn until(&self, is_such: impl Fn(Option<Route>) -> bool) {
        let mut route = self.0.route.clone();
        if route.wait_for(|route| is_such(*route)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the route changes.
    pub async fn changed(&self) {
        let mut route = self.0.route.clone();
        route.mark_unchanged();
        if route.changed().await.is_err() {
            // Consensus has stopped, so the route will not change.
            std::future::pending::<()>().await;
        }
    }

    /// The number of replicas that vote. While a wiped replica takes the place
    /// of its former self both are voters; people know one replica.
    pub fn replicas(&self) -> u32 {
        let metrics = self.0.raft.metrics().borrow_watched().clone();
        voters(&metrics, &self.0.links).len() as u32
    }

    /// On the leader: replicas known to have the entry at `index` on disk. The
    /// leader counts itself only when its own log says so, as replication
    /// progress does.
    pub fn copies(&self, index: u64) -> u32 {
        let metrics = self.0.raft.metrics().borrow_watched().clone();
        let Some(replication) = metrics.replication else { return 0 };
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let holders: BTreeSet<ReplicaId> = replication
            .iter()
            .filter(|(node, _)| voters.contains(node))
            .filter(|(_, matched)| matched.as_ref().is_some_and(|at| at.index() >= index))
            .map(|(node, _)| node.replica())
            .collect();
        holders.len() as u32
    }

    /// Why nothing is confirmed.
    pub fn absence(&self) -> Absence {
        if let Some(shortage) = *self.0.shortage.borrow() {
            return Absence::of(shortage.sentence());
        }
        let metrics = self.0.raft.metrics().borrow_watched().clone();
        let voters = voters(&metrics, &self.0.links);
        // A frozen peer is noticed on the connection that carries heartbeats.
        let unreachable = |pair: &Pair| pair.consensus.peer().and(pair.service.peer()).err();
        let missing: Vec<Missing> = self
            .0
            .links
            .all()
            .into_iter()
            .filter(|(id, _)| voters.contains(id))
            .filter_map(|(id, pair)| {
                // What stands in the way of helping it says more.
                Some(Missing::new(id, unreachable(&pair)?, self.0.links.obstacle(id)))
            })
            .collect();
        let total = voters.len();
        if missing.is_empty() {
            return Absence::of(match self.route() {
                None => "no leader is elected yet",
                Some(_) => "the leader did not confirm it in time",
            });
        }
        let here = total - missing.len();
        let (explained, together) =
            (missing.iter().map(|one| one.id).collect(), together(&missing));
        let sentence = if is_majority(here, total) {
            format!("a majority is up, but no leader took it; {together}")
        } else {
            format!("{here} of {total} replicas are no majority; {together}; bring them back")
        };
        Absence { sentence, explained }
    }
}

/// Why nothing is confirmed.
pub struct Absence {
    /// The end of a sentence that explains a failure.
    pub sentence: String,
    /// The replicas whose obstacles are named in it.
    pub explained: BTreeSet<ReplicaId>,
}

impl Absence {
    fn of(sentence: &str) -> Absence {
        Absence { sentence: sentence.to_string(), explained: BTreeSet::new() }
    }
}

/// A replica that is not reached.
struct Missing {
    id: ReplicaId,
    subject: Subject,
    /// Its number and its address.
    who: String,
    /// What is wrong.
    why: String,
}

impl Missing {
    fn new(id: ReplicaId, unreached: Unreached, obstacle: Option<Obstacle>) -> Missing {
        let who = match unreached.address {
            Some(address) => format!("{id} ({address})"),
            None => id.to_string(),
        };
        if let Some(Obstacle { subject, why }) = obstacle {
            return Missing { id, subject, who, why };
        }
        // Everybody knows that an error of the system has a number.
        let why = unreached.why.split_once(" (os error").map_or(&*unreached.why, |(why, _)| why);
        Missing { id, subject: Subject::Replica, who, why: why.to_string() }
    }
}

/// What is missing as one sentence, in which no replica is named twice and the
/// same is said once of all it is true of.
fn together(missing: &[Missing]) -> String {
    let mut groups: Vec<(&Missing, Vec<&str>)> = Vec::new();
    for one in missing {
        let same = |it: &&Missing| (it.subject, &it.why) == (one.subject, &one.why);
        match groups.iter_mut().find(|(it, _)| same(it)) {
            Some((_, who)) => who.push(&one.who),
            None => groups.push((one, vec![&one.who])),
        }
    }
    let say = |(Missing { subject, why, .. }, who): &(&Missing, Vec<&str>)| {
        let kind = subject.kind();
        match who.as_slice() {
            [who] if kind.is_empty() => format!("{who}: {why}"),
            [who] => format!("{kind} {who}: {why}"),
            [first @ .., last] => format!("{kind}s {} and {last}: {why}", first.join(", ")),
            [] => String::new(),
        }
    };
    groups.iter().map(say).collect::<Vec<_>>().join("; ")
}

/// The replicas that vote, as far as this node knows. Before it has a log: all that it is
/// configured with.
pub(in crate::consensus) fn voters(metrics: &Metrics, links: &Links) -> BTreeSet<ReplicaId> {
    let voters = metrics.membership_config.membership().voter_ids();
    let voters: BTreeSet<ReplicaId> = voters.map(NodeId::replica).collect();
    match voters.is_empty() {
        false => voters,
        true => links.peers().into_iter().chain([metrics.id.replica()]).collect(),
    }
}

fn current(raft: &Raft) -> Option<Route> {
    let metrics = raft.server_metrics().borrow_watched().clone();
    let leader = metrics.current_leader?;
    if leader == metrics.id {
        let vote = metrics.vote;
        return (vote.is_committed() && vote.leader_id().node_id == metrics.id)
            .then(|| Route::Here(openraft::vote::RaftLeaderId::to_committed(vote.leader_id())));
    }
    Some(Route::There(leader, metrics.vote.leader_id().term))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_once() {
        let unreached = |id: u32| Unreached {
            peer: ReplicaId(id),
            address: Some(format!("[::1]:809{id}").parse().expect("an address")),
            why: "Connection refused (os error 111)".into(),
        };
        let missing = |id, obstacle| Missing::new(ReplicaId(id), unreached(id), obstacle);
        let refused = |id| missing(id, None);
        let frozen = |id| {
            let why = "does not answer but holds its lock: frozen?".to_string();
            missing(id, Some(Obstacle { subject: Subject::Server, why }))
        };
        assert_eq!(together(&[refused(2)]), "replica 2 ([::1]:8092): Connection refused");
        assert_eq!(
            together(&[refused(2), refused(3), refused(5)]),
            "replicas 2 ([::1]:8092), 3 ([::1]:8093) and 5 ([::1]:8095): Connection refused"
        );
        assert_eq!(
            together(&[frozen(1), refused(2), frozen(3)]),
            "servers 1 ([::1]:8091) and 3 ([::1]:8093): does not answer but holds its lock: \
             frozen?; replica 2 ([::1]:8092): Connection refused"
        );
        let why = "server 3 runs replica 1 and does not answer: frozen?".to_string();
        let other = missing(1, Some(Obstacle { subject: Subject::Other, why }));
        let told = "1 ([::1]:8091): server 3 runs replica 1 and does not answer: frozen?";
        assert_eq!(together(&[other]), told);
    }
}
