//! The task that watches over the neighbours.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{join, join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::adopted::NotAdopted;
use super::failure_detection::{Evidence, Gone, gather, is_dead};
use super::log_tailing::tail_log;
use super::restart_backoff::RestartBackoff;
use super::{Hosting, RELEASED_PAUSE};
use crate::config::shell_word;
use crate::consensus::{self, Consensus, Loss};
use crate::error::{Error, ErrorCode};
use crate::replica::{Obstacle, ReleaseRequest, Subject};
use crate::types::{ReplicaId, is_majority, majority};

/// How often the neighbours are looked after when nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// Longest addition to a tick, so that survivors do not keep step.
const TICK_JITTER_MAX_MS: u64 = 50;

/// Once enough of the dead for a majority are adopted, the others wait this long. Starting
/// them at once would slow the election, on the processors and on the disk.
const ELECTION_FIRST: Duration = Duration::from_millis(100);

/// A server whose tick took so much longer was frozen, or as good as that. It has
/// heard of nobody meanwhile because it did not listen. Without this bound it would
/// take its own absence for a lost majority, and adopt a replica without need.
const OVERSLEPT: Duration = Duration::from_millis(200);

/// A tick while an owner waits for its replica.
const BUSY_TICK: Duration = Duration::from_millis(10);

/// Pause before a directory that was refused is tried again; only an operator can repair
/// one.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// How often the place of adopted directories is checked, and unbound addresses
/// are tried.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a release waits for the previous owner to be in step again.
const OWNER_MAX: Duration = Duration::from_secs(5);

enum Event {
    /// A neighbour's connection was closed, and there is evidence.
    Gone(ReplicaId, Evidence),
    /// An adopted replica can no longer do its duty.
    Failed(ReplicaId, Error),
    /// A majority answers, of which too few vote to elect anybody.
    TooFewVote,
}

struct Task {
    hosting: Hosting,
    events: mpsc::UnboundedSender<Event>,
    /// Neighbours that are known to be dead until they answer again.
    gone: BTreeMap<ReplicaId, Gone>,
    /// Until when a neighbour's lock is left alone.
    paused_until: BTreeMap<ReplicaId, Instant>,
    restart_backoff: RestartBackoff,
    /// Owners that want their replicas back, in order.
    waiting: VecDeque<ReleaseRequest>,
    /// The replica given back last, and when.
    last_release: Option<(ReplicaId, Instant)>,
    next_check: Instant,
    /// Since when this task has run without a freeze.
    awake_since: Instant,
    /// From when the dead are adopted that are not needed for a majority.
    others_from: Instant,
}

/// Watches over the neighbours until the server stops.
pub async fn run(hosting: Hosting) {
    let (events, mut happened) = mpsc::unbounded_channel();
    let mut releases = hosting.own_replica().take_release_requests();
    let mut stopped = hosting.0.stopped.subscribe();
    consensus::spawn(&hosting.0.host, watch_neighbours(hosting.clone(), events.clone()));
    let mut task = Task {
        hosting: hosting.clone(),
        events,
        gone: BTreeMap::new(),
        paused_until: BTreeMap::new(),
        restart_backoff: RestartBackoff::default(),
        waiting: VecDeque::new(),
        last_release: None,
        next_check: Instant::now() + CHECK_INTERVAL,
        awake_since: Instant::now(),
        others_from: Instant::now(),
    };
    loop {
        let jitter = Duration::from_millis(hosting.0.host.random_u64() % TICK_JITTER_MAX_MS);
        let tick = if task.waiting.is_empty() { TICK + jitter } else { BUSY_TICK };
        let step = async {
            let resting = Instant::now();
            let (mut event, mut request) = (None, None);
            tokio::select! {
                biased;
                Some(it) = happened.recv() => event = Some(it),
                Some(it) = releases.recv() => request = Some(it),
                () = sleep(tick) => {}
            }
            if resting.elapsed() > tick + OVERSLEPT {
                task.awake_since = Instant::now();
            }
            if let Some(event) = event {
                task.event(event).await;
            }
            task.waiting.extend(request);
            task.look_after().await;
        };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = step => {}
        }
    }
}

/// Watches over each neighbour, and reads along in its log, while it is one.
async fn watch_neighbours(hosting: Hosting, events: mpsc::UnboundedSender<Event>) {
    let mut stopped = hosting.0.stopped.subscribe();
    let each = hosting.own_replica().with_each_peer(|peer| {
        let watching = watch_neighbour(hosting.clone(), peer, events.clone());
        join(watching, tail_log(hosting.clone(), peer)).map(|((), ())| ())
    });
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = each => {}
    }
}

/// Gathers evidence whenever a neighbour's connection is closed.
async fn watch_neighbour(hosting: Hosting, peer: ReplicaId, events: mpsc::UnboundedSender<Event>) {
    let mut stopped = hosting.0.stopped.subscribe();
    let watching = async {
        let Some(mut changes) = hosting.own_replica().watch_peer(peer) else { return };
        loop {
            while !hosting.own_replica().reaches(peer) {
                changes.changed().await;
            }
            while hosting.own_replica().reaches(peer) {
                changes.changed().await;
            }
            if hosting.is_adopted(peer) {
                continue;
            }
            if let Some(evidence) = gather(&hosting, peer).await {
                // Nobody listens when the server stops.
                drop(events.send(Event::Gone(peer, evidence)));
            }
        }
    };
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = watching => {}
    }
}

impl Task {
    fn own_consensus(&self) -> Option<Consensus> {
        self.hosting.own_replica().consensus().filter(|consensus| !consensus.is_pristine())
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Gone(peer, evidence) => {
                if !self.hosting.own_replica().reaches(peer) && !self.hosting.is_adopted(peer) {
                    tracing::info!(%peer, ?evidence, "a neighbour is gone");
                    self.gone.insert(peer, Gone { evidence, since: Instant::now() });
                    self.act_on_evidence(peer).await;
                }
            }
            Event::TooFewVote => {
                let dead = self.proved_dead().await;
                if self.hosting.adopts() {
                    self.adopt(dead.into_iter().map(|(_, peer)| peer)).await;
                }
            }
            Event::Failed(id, error) => {
                tracing::error!(replica = %id, %error, "an adopted replica failed and is let go");
                self.hosting.let_go(id).await;
                self.refuse(id, Obstacle { subject: Subject::Other, why: error.message });
            }
        }
    }

    /// Which voters are dead for certain, with the time at which that was found out.
    async fn proved_dead(&self) -> Vec<(Instant, ReplicaId)> {
        let Some(consensus) = self.own_consensus() else { return Vec::new() };
        let voters = consensus.voters();
        // Evidence is about a process, and a neighbour that answers again has
        // another one. So each lock is looked at once more. Otherwise this server
        // could count one that died a moment ago together with one that came back
        // since, take itself for the last one, and adopt a replica without need.
        let voter = |peer: &ReplicaId| voters.contains(peer);
        let proved = self
            .gone
            .iter()
            .filter(|(peer, gone)| gone.evidence == Evidence::LockFree && voter(peer));
        let looks = proved.map(async |(peer, gone)| {
            is_dead(&self.hosting, *peer).await.then_some((gone.since, *peer))
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// This one is known to be gone. If a majority is left, it elects; if not,
    /// as many of the dead are adopted as make one.
    async fn act_on_evidence(&mut self, peer: ReplicaId) {
        let Some(consensus) = self.own_consensus() else { return };
        let total = consensus.voters().len();
        let mut dead = self.proved_dead().await;
        // Those who are left elect, if they are enough, while the dead are adopted. If
        // no leader is known, or the known one is dead or adopted, an election deposes
        // nobody who is needed.
        let leader = consensus.leader().unwrap_or(peer);
        let gone = self.gone.get(&leader).map(|gone| gone.loss(leader));
        if let Some(loss) = gone.or(self.hosting.is_adopted(leader).then_some(Loss::Process)) {
            self.start_fast_election(loss);
        }
        // Whoever died last has the longest log, most likely, and is adopted
        // first. The others follow with a later tick.
        dead.sort();
        let mut missing = dead.len();
        while !is_majority(total - missing, total) && !dead.is_empty() && self.hosting.adopts() {
            let wanted = (majority(total) - (total - missing)).min(dead.len());
            let next = dead.split_off(dead.len() - wanted);
            missing -= self.adopt(next.into_iter().map(|(_, peer)| peer)).await;
            self.others_from = Instant::now() + ELECTION_FIRST;
        }
    }

    /// Sees to it that somebody leads.
    fn start_fast_election(&self, loss: Loss) {
        if let Some(own) = self.own_consensus() {
            let events = self.events.clone();
            // Nobody listens when the server stops.
            let too_few = move || drop(events.send(Event::TooFewVote));
            let electing = async move { own.run_fast_election(loss, too_few).await };
            consensus::spawn(&self.hosting.0.host, electing);
        }
    }

    /// Whether no other server is left. Then the dead are adopted also when the
    /// replicas of this process are a majority by themselves: for their copies,
    /// and for whoever calls their addresses.
    fn is_last(&self, dead: &[ReplicaId]) -> bool {
        let mut others = self.hosting.own_replica().peers().into_iter();
        others.all(|id| self.hosting.is_adopted(id) || dead.contains(&id))
    }

    /// Adopts replicas, all at once. Each that is here may be the one that makes a
    /// majority, so leadership need not wait for the others.
    /// Returns how many of them vote.
    async fn adopt(&mut self, peers: impl IntoIterator<Item = ReplicaId>) -> usize {
        // A server whose own disk is full is cut off, not the last one: others who are
        // well adopt, and if there are none, nothing could be written anyway.
        if self.own_consensus().is_none_or(|consensus| !consensus.is_well()) {
            return 0;
        }
        let now = Instant::now();
        let due: Vec<ReplicaId> = peers
            .into_iter()
            .filter(|peer| self.paused_until.get(peer).is_none_or(|until| *until <= now))
            .collect();
        let hosting = self.hosting.clone();
        let mut adopting: FuturesUnordered<_> =
            due.iter().map(|peer| hosting.adopt(*peer).map(|result| (*peer, result))).collect();
        let mut voting = 0;
        while let Some((peer, result)) = adopting.next().await {
            match result {
                Ok(()) => {
                    let consensus = self.hosting.replica(peer).and_then(|it| it.consensus());
                    voting += usize::from(consensus.is_some_and(|it| !it.abstains()));
                    self.gone.remove(&peer);
                    self.restart_backoff.note_death(peer);
                    self.watch_adopted(peer);
                    self.next_check = Instant::now();
                    self.start_fast_election(Loss::Process);
                }
                Err(NotAdopted::Held(obstacle)) => {
                    self.gone.remove(&peer);
                    self.note(peer, obstacle);
                }
                Err(NotAdopted::Refused(error)) => {
                    let why = format!("cannot be taken over: {}", error.message);
                    self.refuse(peer, Obstacle { subject: Subject::Replica, why });
                }
            }
        }
        voting
    }

    fn watch_adopted(&self, id: ReplicaId) {
        let Some(replica) = self.hosting.replica(id) else { return };
        let (events, mut stopped) = (self.events.clone(), self.hosting.0.stopped.subscribe());
        consensus::spawn(&self.hosting.0.host, async move {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = replica.stopped() => {}
                // Nobody listens when the server stops.
                error = replica.failed() => drop(events.send(Event::Failed(id, error))),
            }
        });
    }

    fn note(&self, peer: ReplicaId, obstacle: Obstacle) {
        let why = obstacle.sentence(peer);
        if self.hosting.own_replica().note_obstacle(peer, Some(obstacle)) {
            tracing::warn!(%peer, why, "a neighbour that does not answer is not taken over");
        }
    }

    fn refuse(&mut self, peer: ReplicaId, obstacle: Obstacle) {
        self.note(peer, obstacle);
        self.paused_until.insert(peer, Instant::now() + REFUSED_PAUSE);
    }

    /// Does what is due whether something happened or not.
    async fn look_after(&mut self) {
        let hosting = self.hosting.clone();
        let own = hosting.own_replica();
        let answering = |peer: &ReplicaId| own.reaches(*peer);
        // Whoever answers is not dead, and needs no pause.
        self.gone.retain(|peer, _| !answering(peer));
        self.paused_until.retain(|peer, until| *until > Instant::now() && !answering(peer));
        for peer in own.peers().into_iter().filter(answering) {
            own.note_obstacle(peer, None);
        }
        self.serve_owners().await;
        self.adopt_missing().await;
        if self.next_check <= Instant::now() {
            self.next_check = Instant::now() + CHECK_INTERVAL;
            self.check_adopted().await;
            hosting.open_listeners().await;
        }
    }

    /// Tries to adopt every neighbour that does not answer, with or without evidence of
    /// its death: when no majority has been heard of for an election timeout, or when
    /// only replicas of this process are left.
    async fn adopt_missing(&mut self) {
        let Some(consensus) = self.own_consensus() else { return };
        let timeout_ms = self.hosting.0.config.timing.election_timeout_max_ms;
        let own = self.hosting.own_replica();
        let waited = consensus.time_without_quorum().min(self.awake_since.elapsed());
        let timed_out = waited >= Duration::from_millis(timeout_ms);
        let missing: Vec<ReplicaId> = own
            .peers()
            .into_iter()
            .filter(|id| !self.hosting.is_adopted(*id) && !own.reaches(*id))
            .collect();
        let hosts = !self.hosting.state().adopted.is_empty() && self.others_from <= Instant::now();
        if !self.hosting.adopts() || !(timed_out || (hosts && self.is_last(&missing))) {
            return;
        }
        self.adopt(missing).await;
    }

    /// Gives replicas back, one at a time.
    async fn serve_owners(&mut self) {
        loop {
            self.waiting.retain(|request| !request.reply.is_closed());
            let Some(place) = first_served(&self.waiting, &self.restart_backoff) else { return };
            if !self.last_owner_answers(self.waiting[place].release.replica) {
                return;
            }
            let Some(request) = self.waiting.remove(place) else { return };
            let answer = self.release(&request).await;
            // The owner notices by the lock as well.
            drop(request.reply.send(answer));
        }
    }

    /// Whether the owner that was served last is back at work, or has failed to
    /// come back in time.
    fn last_owner_answers(&mut self, next: ReplicaId) -> bool {
        let Some((last, at)) = self.last_release else { return true };
        if last == next || self.hosting.is_adopted(last) {
            return true;
        }
        if at.elapsed() > OWNER_MAX {
            tracing::warn!(replica = %last, "the owner of a replica is not back at work in time");
            self.last_release = None;
            return true;
        }
        let Some(consensus) = self.own_consensus() else { return true };
        let answers = self.hosting.own_replica().reaches(last) && consensus.is_followed_by(last);
        if answers {
            tracing::info!(replica = %last, "the owner of a replica is back at work");
            self.last_release = None;
        }
        answers
    }

    async fn release(&mut self, request: &ReleaseRequest) -> Result<(), Error> {
        let release = &request.release;
        let (id, config) = (release.replica, &self.hosting.0.config);
        if id == config.id {
            let pid = config.process.pid;
            return Err(Error::new(
                ErrorCode::DirectoryInUse,
                format!("server {id} runs already, as the process {pid}"),
            ));
        }
        let held = self.hosting.state().adopted.get(&id).map(|it| (it.lock, it.path.clone()));
        let Some((lock, path)) = held else {
            // Given back already, or never taken: the lock tells.
            return Ok(());
        };
        if release.lock != Some(lock) && self.hosting.is_in_place(id).await {
            return Err(Error::new(
                ErrorCode::WrongCluster,
                format!(
                    "server {} runs replica {id} on the data directory {}, and not on {}; start it \
                     with --data-dir {}",
                    config.id,
                    path.display(),
                    release.path.display(),
                    shell_word(path.as_os_str())
                ),
            ));
        }
        self.hosting.let_go(id).await;
        self.paused_until.insert(id, Instant::now() + RELEASED_PAUSE);
        self.last_release = Some((id, Instant::now()));
        Ok(())
    }

    /// Lets go of adopted replicas whose directory is gone, or that have begun
    /// anew elsewhere.
    async fn check_adopted(&mut self) {
        let adopted: Vec<ReplicaId> = self.hosting.state().adopted.keys().copied().collect();
        for id in adopted {
            let replaced = self.own_consensus().is_some_and(|consensus| {
                let node = self.hosting.replica(id).and_then(|replica| replica.node());
                node.is_some_and(|node| {
                    consensus.newest_incarnation(id).is_some_and(|it| it > node)
                })
            });
            if replaced || !self.hosting.is_in_place(id).await {
                tracing::warn!(replica = %id, "the directory of an adopted replica was replaced");
                self.hosting.let_go(id).await;
                let why = format!("the data directory of replica {id} was replaced");
                self.refuse(id, Obstacle { subject: Subject::Other, why });
            }
        }
    }
}

/// Which owner in line is served first. One that waits for its backoff keeps nobody
/// behind it from being served.
fn first_served(waiting: &VecDeque<ReleaseRequest>, backoff: &RestartBackoff) -> Option<usize> {
    waiting.iter().position(|request| !backoff.is_active(request.release.replica))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::protocol::peer::Release;

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_dies_again_and_again_keeps_no_other_waiting() {
        let owner = |id: u32| ReleaseRequest {
            release: Release { replica: ReplicaId(id), path: "/".into(), lock: None },
            reply: oneshot::channel().0,
        };
        let mut backoff = RestartBackoff::default();
        (0..3).for_each(|_| backoff.note_death(ReplicaId(1)));
        let mut waiting = VecDeque::from([owner(1)]);
        assert_eq!(first_served(&waiting, &backoff), None, "its backoff goes on");
        waiting.extend([owner(2), owner(3)]);
        assert_eq!(first_served(&waiting, &backoff), Some(1), "the next in line");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(first_served(&waiting, &backoff), Some(0), "its backoff is over");
    }
}
