//! Replicas over the real host: founding, failover, a wiped disk.

mod alone;
mod backup;
mod clocks;
mod hanging;
mod level;
mod membership;
mod rekey;
mod starting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::BufReader;
use tokio::time::{Instant, timeout};

use super::*;
use crate::chat::{Action, Outcome};
use crate::host::Listener;
use crate::limits::{FEATURE_LEVEL_KNOWN, Limits};
use crate::protocol::administration::{Bounds, Registration};
use crate::protocol::client::{Member, ReplicaState, Survivor};
use crate::protocol::codec::read_line;
use crate::types::{AccountName, Address, Digest, Timestamp};

/// Longer than anything here may take on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

struct Cluster {
    limits: Limits,
    /// The feature level that each replica's program knows.
    known: [u32; 4],
    /// What the key file of each server has: the newest key, and the one before.
    key_files: [(u8, Option<u8>); 4],
    /// Who may register, as each proposes.
    registration: Registration,
    /// How much may be stored, as each proposes.
    bounds: [Option<Bounds>; 4],
    survivor: Survivor,
    folder: TempDir,
    members: Vec<Member>,
    running: BTreeMap<u32, Running>,
}

/// How long the processes of these tests have run when their replicas start.
const PROCESS_RUNS_SINCE: Duration = Duration::from_secs(1_000);

struct Running {
    replica: Replica,
    /// Dropped to close the listener and all connections.
    _serving: oneshot::Sender<()>,
}

/// Binds an address. An outgoing connection of another test may have been given
/// the port meanwhile, and gives it back.
async fn listen(address: &Address) -> Box<dyn Listener> {
    let bound = async {
        loop {
            match Host::real().network.listen(address).await {
                Ok(listener) => return listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("cannot listen on {address}: {error}"),
            }
        }
    };
    timeout(LONG, bound).await.expect("the port becomes free")
}

impl Cluster {
    /// Three replicas, of which none runs yet.
    async fn new() -> Cluster {
        let mut members = Vec::new();
        let mut held = Vec::new();
        for id in 1..=3 {
            let listener = listen(&"127.0.0.1:0".parse().expect("an address")).await;
            members.push(Member { id: ReplicaId(id), address: listener.local_address() });
            // Held until all have one, so that no port is given out twice.
            held.push(listener);
        }
        Cluster {
            limits: Limits::default(),
            known: [FEATURE_LEVEL_KNOWN; 4],
            key_files: [(3, None); 4],
            registration: Registration::Open,
            bounds: [None; 4],
            survivor: Survivor::Never,
            folder: TempDir::new().expect("a folder"),
            members,
            running: BTreeMap::new(),
        }
    }

    /// Three that run.
    async fn running() -> Cluster {
        let mut cluster = Cluster::new().await;
        for id in 1..=3 {
            cluster.start(id).await;
        }
        cluster
    }

    fn keys(&self, id: u32) -> Keys {
        let (newest, older) = self.key_files[id as usize - 1];
        let key = |byte| ClusterKey::new([byte; 32]);
        Keys::of(key(newest), older.map(key))
    }

    fn directory(&self, id: u32) -> PathBuf {
        self.folder.path().join(format!("replica-{id}"))
    }

    async fn start(&mut self, id: u32) {
        self.start_on(id, Host::real()).await;
    }

    async fn start_on(&mut self, id: u32, host: Host) {
        self.try_start_on(id, host).await.expect("starts");
    }

    async fn try_start(&mut self, id: u32) -> Result<()> {
        self.try_start_on(id, Host::real()).await
    }

    async fn try_start_on(&mut self, id: u32, host: Host) -> Result<()> {
        let address = self.members[id as usize - 1].address.clone();
        let listener = listen(&address).await;
        let config = ReplicaConfig {
            id: ReplicaId(id),
            listen: address,
            members: self.members.clone(),
            data_dir: self.directory(id),
            keys: self.keys(id),
            timing: Timing {
                heartbeat_interval_ms: 50,
                election_timeout_min_ms: 200,
                election_timeout_max_ms: 400,
            },
            limits: self.limits.clone(),
            survivor: self.survivor,
            registration: self.registration,
            bounds: self.bounds[id as usize - 1],
            process: ProcessInfo {
                pid: id,
                started_at: Timestamp(0),
                started: Instant::now() - PROCESS_RUNS_SINCE,
            },
            feature_level_known: self.known[id as usize - 1],
        };
        let replica = Replica::start(host, config).await?;
        let (serving, mut stopped) = oneshot::channel::<()>();
        let serve = replica.clone();
        crate::host::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, remote) = tokio::select! {
                    biased;
                    _ = &mut stopped => return,
                    accepted = listener.accept() => accepted.expect("accepts"),
                };
                let replica = serve.clone();
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut first = Vec::new();
                    if read_line(&mut stream, &mut first, 4096).await.unwrap_or(false) {
                        drop(replica.serve_peer(stream, first, remote, None).await);
                    }
                });
            }
        });
        self.running.insert(id, Running { replica, _serving: serving });
        Ok(())
    }

    async fn stop(&mut self, id: u32) {
        let running = self.running.remove(&id).expect("runs");
        running.replica.hand_over().await;
        running.replica.stop().await;
    }

    fn replica(&self, id: u32) -> &Replica {
        &self.running[&id].replica
    }

    /// Creates an account through a replica; a majority has to accept it.
    async fn add(&self, id: u32, name: &str) -> Applied {
        self.replica(id)
            .propose(register(name), Instant::now() + LONG, &Sequence::default())
            .await
            .expect("accepted by a majority")
    }

    async fn leader(&self) -> u32 {
        let found = async {
            loop {
                for (id, running) in &self.running {
                    if running.replica.status().writable {
                        return *id;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, found).await.expect("a leader is elected")
    }

    /// Who leads, once this one does not.
    async fn leader_other_than(&self, id: u32) -> u32 {
        loop {
            let leader = self.leader().await;
            if leader != id {
                return leader;
            }
            let consensus = self.replica(id).0.consensus().expect("runs");
            drop(consensus.transfer_to(ReplicaId(id % 3 + 1)).await);
        }
    }

    async fn until(
        &self,
        id: u32,
        condition: impl Fn(&crate::protocol::client::ServerStatus) -> bool,
    ) {
        let reached = async {
            while !condition(&self.replica(id).status()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(LONG, reached).await.is_err() {
            panic!("never came to it: {:?}", self.replica(id).status());
        }
    }
}

fn register(name: &str) -> Operation {
    let account = Host::real().uuid();
    Operation {
        id: Host::real().uuid(),
        action: Action::Register {
            account,
            name: AccountName::new(name).expect("a name"),
            password_hash: "x".into(),
            token_hash: Digest::of(name.as_bytes()),
            expires: Timestamp::MAX,
            invitation: None,
            from: None,
        },
    }
}

async fn knows(replica: &Replica, name: &str) -> bool {
    replica.confirm(Instant::now() + LONG).await.expect("confirmed");
    let name = AccountName::new(name).expect("a name");
    replica.look(|look| look.account_by_name(&name).is_some())
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_empty_replicas_found_a_cluster_that_survives_its_leader() {
    let mut cluster = Cluster::running().await;
    let leader = cluster.leader().await;
    let knows_another = |id| {
        move |it: &crate::protocol::client::ServerStatus| {
            it.leader.is_some_and(|leader| leader != ReplicaId(id)) && !it.writable
        }
    };
    let follower = leader % 3 + 1;
    cluster.until(follower, knows_another(follower)).await;
    // Through every replica, followers forward.
    for id in 1..=3 {
        let applied = cluster.add(id, &format!("before-{id}")).await;
        assert!(matches!(applied.outcome, Outcome::SessionOpened { .. }), "{applied:?}");
        assert!(applied.copies >= 2 && applied.replicas == 3, "{applied:?}");
    }
    for id in 1..=3 {
        assert!(knows(cluster.replica(id), "before-2").await);
    }
    cluster.stop(leader).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    let follower = 6 - leader - next;
    cluster.add(follower, "after").await;
    cluster.start(leader).await;
    assert!(knows(cluster.replica(leader), "after").await);
    cluster.until(leader, |status| status.hosted[0].state == ReplicaState::Follower).await;
    // Everything down, everything back.
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    for id in 1..=3 {
        assert!(knows(cluster.replica(id), "before-1").await);
        assert!(knows(cluster.replica(id), "after").await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_replica_comes_back_as_a_new_incarnation() {
    let mut cluster = Cluster::running().await;
    cluster.leader().await;
    cluster.add(1, "kept").await;
    cluster.stop(2).await;
    std::fs::remove_dir_all(cluster.directory(2)).expect("wiped");
    cluster.start(2).await;
    cluster.until(2, |status| status.hosted[0].state == ReplicaState::Follower).await;
    assert!(knows(cluster.replica(2), "kept").await);
    let identity =
        std::fs::read_to_string(cluster.directory(2).join("identity.json")).expect("there");
    // A lost answer may have used up a number.
    assert!(!identity.contains("\"incarnation\":1,"), "{identity}");
    // It counts: with another one gone it makes the majority.
    let other = if cluster.leader().await == 1 { 3 } else { 1 };
    cluster.stop(other).await;
    cluster.add(2, "later").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_directories_never_found_a_second_cluster() {
    let mut cluster = Cluster::new().await;
    // Two of three are up and empty. The third, which is down, may know more.
    cluster.start(1).await;
    cluster.start(2).await;
    cluster
        .until(1, |status| {
            status.notice.as_ref().is_some_and(|notice| notice.contains("replica 3"))
        })
        .await;
    assert_eq!(cluster.replica(1).cluster(), None);
    assert_eq!(entries(&cluster.directory(1)), ["LOCK"]);
    let error = cluster
        .replica(1)
        .propose(
            register("nobody"),
            Instant::now() + Duration::from_millis(100),
            &Sequence::default(),
        )
        .await
        .expect_err("no cluster");
    assert_eq!(error.code, ErrorCode::Unavailable);
    cluster.start(3).await;
    cluster.leader().await;
    let founded = cluster.replica(1).cluster().expect("founded");
    // Wiped together, two of three wait for the one that knows.
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    for id in 1..=2 {
        std::fs::remove_dir_all(cluster.directory(id)).expect("wiped");
        cluster.start(id).await;
    }
    cluster.start(3).await;
    cluster
        .until(1, |status| {
            status.notice.as_ref().is_some_and(|notice| notice.contains("cannot admit"))
        })
        .await;
    assert_eq!(cluster.replica(1).cluster(), None);
    assert_eq!(cluster.replica(3).cluster(), Some(founded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_acknowledged_and_the_missing_are_named() {
    let mut cluster = Cluster::running().await;
    let leader = cluster.leader().await;
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.stop(id).await;
    }
    let replica = cluster.replica(leader);
    cluster.until(leader, |status| !status.writable).await;
    let soon = || Instant::now() + Duration::from_millis(200);
    let error = replica
        .propose(register("lonely"), soon(), &Sequence::default())
        .await
        .expect_err("one of three");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains("1 of 3 replicas are no majority"), "{error}");
    let error = replica.confirm(soon()).await.expect_err("one of three");
    assert_eq!(error.code, ErrorCode::ReadNotConfirmed);
    // What was refused never appears.
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.start(id).await;
    }
    assert!(!knows(cluster.replica(leader), "lonely").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_too_long_for_the_log_gets_a_snapshot() {
    let mut cluster = Cluster::new().await;
    cluster.limits.snapshot_log_min_bytes = 4 * 1024;
    cluster.limits.log_entries_kept = 5;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let leader = cluster.leader().await;
    let away = if leader == 3 { 2 } else { 3 };
    // The leader shortens its log some time after its snapshot is there.
    let missing = cluster.replica(away).status().hosted[0].last_log + 1;
    cluster.stop(away).await;
    let mut newest = String::new();
    let shortened = async {
        for n in 1.. {
            newest = format!("a{n}");
            cluster.add(leader, &newest).await;
            let metrics = cluster.replica(leader).0.consensus().expect("leads").metrics();
            if metrics.purged.is_some_and(|purged| purged.index() >= missing) {
                break;
            }
        }
    };
    timeout(LONG, shortened).await.expect("a snapshot is taken and the log shortened");
    cluster.start(away).await;
    assert!(knows(cluster.replica(away), "a1").await);
    assert!(knows(cluster.replica(away), &newest).await);
    assert!(
        !entries(&cluster.directory(away).join("snapshot")).is_empty(),
        "it was sent a snapshot"
    );
    // What it got is what the others have, also after it starts from that.
    cluster.stop(away).await;
    cluster.start(away).await;
    assert!(knows(cluster.replica(away), &newest).await);
    let applied = |id| {
        let status = cluster.replica(id).status();
        (status.hosted[0].applied, status.hosted[0].state_hash.clone())
    };
    cluster.until(away, |status| status.hosted[0].applied >= applied(leader).0).await;
    if applied(away).0 == applied(leader).0 {
        assert_eq!(applied(away), applied(leader));
    }
}

/// Flips a bit in the middle of the first segment of a stopped replica's log.
fn damage(directory: &Path) {
    let log = directory.join("log");
    let segment = log.join(&entries(&log)[0]);
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_set_aside_and_fetched_anew() {
    let mut cluster = Cluster::running().await;
    cluster.leader().await;
    cluster.add(1, "kept").await;
    cluster.until(2, |status| status.hosted[0].applied > 1).await;
    cluster.stop(2).await;
    damage(&cluster.directory(2));
    cluster.start(2).await;
    cluster.until(2, |status| status.hosted[0].state == ReplicaState::Follower).await;
    assert!(knows(cluster.replica(2), "kept").await);
    assert!(entries(&cluster.directory(2)).contains(&"damaged-1".to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_directory_never_founds_a_cluster_in_the_place_of_the_old_one() {
    let mut cluster = Cluster::new().await;
    cluster.members.truncate(1);
    cluster.start(1).await;
    cluster.until(1, |status| status.writable).await;
    cluster.add(1, "only-here").await;
    cluster.stop(1).await;
    damage(&cluster.directory(1));
    // Also at the second start, when the directory is nothing but set aside.
    for _ in 0..2 {
        cluster.start(1).await;
        let told = |status: &crate::protocol::client::ServerStatus| {
            status.notice.as_ref().is_some_and(|notice| notice.contains("damaged"))
        };
        cluster.until(1, told).await;
        assert_eq!(cluster.replica(1).cluster(), None);
        cluster.stop(1).await;
    }
    assert_eq!(entries(&cluster.directory(1)), ["LOCK", "damaged-1"]);
}
