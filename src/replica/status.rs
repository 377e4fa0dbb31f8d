//! What `status` shows of a replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::pace::Place;
use super::{Inner, Phase, Replica, clocks};
use crate::consensus::Obstacle;
use crate::limits::SHORT_ROOM_PARTS;
use crate::protocol::client::{ReplicaState, ReplicaStatus, ServerStatus};
use crate::storage::Outbox;
use crate::types::{ReplicaId, format_size};

/// How often the size of the data directory is measured.
const DISK_MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// The notice of a replica that abstains.
const ABSTAINS: &str = "the end of its log was lost; it does not vote until it has caught up";

impl Replica {
    /// This server's view. Needs no quorum and waits for nobody.
    pub fn status(&self) -> ServerStatus {
        let inner = &self.0;
        let phase = inner.phase.borrow().clone();
        let before = inner.pace.before();
        let mut own = self.starting_status(before);
        let (mut leader, mut writable, mut commit) = (None, false, 0);
        let mut explained = BTreeSet::new();
        let notice = match phase {
            Phase::Running(consensus) => {
                let node = consensus.status();
                own.state = node.state;
                own.term = node.term;
                own.last_log = node.last_log;
                own.applied = node.applied;
                own.lag = node.commit.saturating_sub(node.applied);
                own.state_hash = node.state_hash;
                own.votes = !consensus.abstains();
                own.error = node.failure;
                commit = node.commit;
                leader = consensus.leader();
                writable = node.confirmed && node.shortage.is_none();
                if let Some(shortage) = node.shortage {
                    own.error.get_or_insert_with(|| shortage.notice().into());
                }
                let leads = leader == Some(inner.config.id);
                if consensus.abstains() {
                    Some(ABSTAINS.into())
                } else if leader.is_none() || (leads && !node.confirmed) {
                    let absence = consensus.absence();
                    explained = absence.explained;
                    Some(absence.sentence)
                } else {
                    self.running_notice(leads)
                }
            }
            Phase::Starting(why) => Some(why),
            Phase::Stopped => Some("this server is stopping".into()),
        };
        let (alone_since, outbox) = (inner.alone.since(), inner.alone.outbox());
        own.alone_since = alone_since;
        own.outbox = inner.held_unsettled();
        let unusable = outbox.and_then(|outbox| outbox_notice(&outbox));
        own.outbox_unusable = unusable.is_some();
        let notice = unusable.or(notice);
        if let Some(failure) = &*inner.failure.borrow() {
            own.error = Some(failure.message.clone());
        }
        let (stored_bytes, bounds) = self.look(|look| (look.stored_bytes(), look.bounds()));
        let stored_bytes_max = Some(bounds.room_bytes()).filter(|bytes| *bytes > 0);
        ServerStatus {
            cluster: self.cluster(),
            replica: inner.config.id,
            members: inner.members(),
            leader,
            term: own.term,
            writable,
            commit,
            commit_before: before.map(|before| before.commit),
            feature_level: Some(inner.feature_level()),
            stored_bytes: Some(stored_bytes),
            stored_bytes_max,
            survivor: inner.config.survivor,
            goes_alone: Some(inner.config.survivor.goes_alone()),
            adoptable: self.adoptable(),
            hosted: vec![own],
            notice: with_obstacles(notice, &inner.links.obstacles(), &explained),
        }
    }

    /// The status of this replica, with nothing of its node of consensus yet.
    fn starting_status(&self, before: Option<Place>) -> ReplicaStatus {
        let inner = &self.0;
        ReplicaStatus {
            id: inner.config.id,
            // Where it is, even if it is to be looked for elsewhere by now.
            address: inner.config.address().clone(),
            state: ReplicaState::Starting,
            term: 0,
            last_log: 0,
            applied: 0,
            lag: 0,
            applied_before: before.map(|before| before.applied),
            stalled: false,
            votes: true,
            hosted_by: Some(inner.hosted_by()),
            pid: Some(inner.config.process.pid),
            version: Some(env!("CARGO_PKG_VERSION").to_string()),
            uptime_s: Some(inner.config.process.started.elapsed().as_secs()),
            alone_since: None,
            outbox: 0,
            outbox_unusable: false,
            disk_bytes: Some(*inner.disk_bytes.borrow()),
            state_hash: None,
            error: None,
        }
    }

    /// What users are to know when little more can be stored.
    fn storage_notice(&self) -> Option<String> {
        let (stored, bounds) = self.look(|look| (look.stored_bytes(), look.bounds()));
        let most = bounds.room_bytes();
        (most > 0 && stored >= most - most / SHORT_ROOM_PARTS).then(|| {
            format!(
                "{} of {} are stored; beyond that no message is taken. Delete messages or \
                 accounts, or raise total_bytes of the cluster's limits",
                format_size(stored),
                format_size(most)
            )
        })
    }

    /// What users are to know of a replica that runs and has a leader; `None` when
    /// all is well.
    fn running_notice(&self, leads: bool) -> Option<String> {
        if leads && let Some(lines) = self.look(|look| look.restored_lines()) {
            Some(format!(
                "a backup is being restored, {lines} lines so far; until its end nobody can \
                 register or log in"
            ))
        } else if let Some(wrong) = clocks::notice(&self.0.time) {
            Some(wrong)
        } else if leads {
            self.0
                .membership_notice()
                .or_else(|| self.0.keys_notice())
                .or_else(|| self.storage_notice())
                .or_else(|| self.0.level_notice())
        } else {
            self.0.keys_notice()
        }
    }
}

/// What users are to know of lists that are in the way, or were cut short; `None` when all
/// is well.
fn outbox_notice(outbox: &Outbox) -> Option<String> {
    let unusable = outbox.unusable().into_iter().map(|it| it.sentence);
    unusable.reduce(|before, next| format!("{before}; {next}"))
}

/// A notice, after the obstacles that it does not explain itself.
fn with_obstacles(
    notice: Option<String>,
    obstacles: &BTreeMap<ReplicaId, Obstacle>,
    explained: &BTreeSet<ReplicaId>,
) -> Option<String> {
    let others = obstacles.iter().filter(|(replica, _)| !explained.contains(replica));
    let sentences = others.map(|(replica, obstacle)| obstacle.sentence(*replica));
    sentences.chain(notice).reduce(|before, next| format!("{before}; {next}"))
}

/// Keeps the size of the data directory current. Ends with the replica.
pub async fn measure_disk(replica: Weak<Inner>) {
    loop {
        let Some(inner) = replica.upgrade() else { return };
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        measure_once(inner).await;
        tokio::time::sleep(DISK_MEASURE_INTERVAL).await;
    }
}

async fn measure_once(inner: Arc<Inner>) {
    let (disk, path) = (inner.host.disk.clone(), inner.config.data_dir.clone());
    let job = async move { disk.used_bytes(&path).await };
    // Segments may vanish while they are counted; the next count comes soon.
    if let Some(Ok(bytes)) = inner.host.on_worker("disk-usage", job).await {
        inner.disk_bytes.send_replace(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Subject;

    #[test]
    fn an_obstacle_is_named_once() {
        let obstacle = |subject, why: &str| Obstacle { subject, why: why.into() };
        let obstacles = BTreeMap::from([
            (ReplicaId(1), obstacle(Subject::Server, "holds its lock")),
            (ReplicaId(2), obstacle(Subject::Replica, "cannot be taken over")),
            (ReplicaId(3), obstacle(Subject::Other, "its directory was replaced")),
        ]);
        let absence = || Some("1 of 4 replicas are no majority".to_string());
        let named = |explained: &[u32]| {
            let explained = explained.iter().map(|id| ReplicaId(*id)).collect();
            with_obstacles(absence(), &obstacles, &explained).expect("a notice")
        };
        assert_eq!(named(&[1, 2, 3]), "1 of 4 replicas are no majority");
        assert_eq!(
            named(&[]),
            "server 1 holds its lock; replica 2 cannot be taken over; its directory was replaced; \
             1 of 4 replicas are no majority"
        );
        assert_eq!(with_obstacles(None, &BTreeMap::new(), &BTreeSet::new()), None);
    }
}
