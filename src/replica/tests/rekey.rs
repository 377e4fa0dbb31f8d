//! A new key while replicas stop and come back.

use super::*;
use crate::peer::ask;
use crate::protocol::peer::{ADMINISTRATOR, Call, ChangeMembers, Introduction, Rekey, Rekeyed};
use crate::types::{Fingerprint, KeyStage, MemberChange, MemberEntry};

/// The key that clusters of these tests begin with, and the one that they get.
const OLD: u8 = 3;
const NEW: u8 = 4;

fn key(byte: u8) -> ClusterKey {
    ClusterKey::new([byte; 32])
}

fn print(byte: u8) -> Fingerprint {
    key(byte).identity().fingerprint()
}

impl Cluster {
    /// Asks the leader for the change, whoever that is.
    async fn rekey(&self, force: bool) -> Result<Rekeyed> {
        let succession = Some(key(OLD).identity().succeeded_by(print(NEW)));
        self.ask_for(Rekey { old: print(OLD), new: print(NEW), succession, force }).await
    }

    async fn ask_for(&self, asked: Rekey) -> Result<Rekeyed> {
        let asking = async {
            loop {
                let leader = self.leader().await;
                match self.replica(leader).0.rekey(asked.clone()).await {
                    Err(error) if error.code == ErrorCode::Unavailable => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    answer => return answer,
                }
            }
        };
        timeout(LONG, asking).await.expect("there is a leader that answers")
    }

    /// Puts the file with both keys where the server of a replica looks for it.
    fn carry(&mut self, id: u32) {
        self.key_files[id as usize - 1] = (NEW, Some(OLD));
        if let Some(running) = self.running.get(&id) {
            running.replica.0.credentials.keys().learn(vec![key(NEW), key(OLD)]);
        }
    }

    fn known(&self, id: u32) -> Vec<Fingerprint> {
        self.replica(id).0.credentials.keys().fingerprints()
    }

    async fn until_known(&self, id: u32, wanted: &[u8]) {
        let wanted: Vec<Fingerprint> = wanted.iter().map(|byte| print(*byte)).collect();
        let known = async {
            while self.known(id) != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(LONG, known).await;
        reached.unwrap_or_else(|_| panic!("replica {id} knows {:?}", self.known(id)));
    }

    /// Whether an administrator with this key is listened to.
    async fn listens_to(&self, id: u32, byte: u8) -> bool {
        let replica = self.replica(id);
        let from = Introduction {
            replica: ADMINISTRATOR,
            cluster: replica.cluster(),
            lineage: None,
            incarnation: None,
        };
        let member = self.members[id as usize - 1].clone();
        let (host, keys) = (Host::real(), key(byte).into());
        let spawn = |task| drop(crate::host::spawn(task));
        ask(&host, &keys, from, &member, Call::Introduce, "{}".into(), LONG, spawn).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_key_goes_on_whoever_stops_between_its_stages() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    let begun = cluster.rekey(true).await.expect("possible");
    assert_eq!(begun.stage, KeyStage::Announced);
    let waits = begun.waits_for.expect("nobody knows the new key");
    assert!(waits.contains("servers 1, 2 and 3 do not know the new key"), "{waits}");
    for id in [1, 2] {
        cluster.carry(id);
    }
    // Whoever leads goes, and comes back with its file.
    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    cluster.start(leader).await;
    cluster.add(leader, "while").await;
    assert!((1..=3).all(|id| cluster.known(id)[0] == print(OLD)), "nobody may use it yet");
    // The last one gets its file while it is away.
    cluster.stop(3).await;
    cluster.carry(3);
    cluster.start(3).await;
    for id in 1..=3 {
        cluster.until_known(id, &[NEW]).await;
        assert!(cluster.listens_to(id, NEW).await && !cluster.listens_to(id, OLD).await, "{id}");
    }
    let done = cluster.rekey(false).await.expect("the same again");
    assert_eq!((done.stage, done.waits_for), (KeyStage::Done, None));
    cluster.add(2, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_is_not_known_again_from_a_file_that_has_it() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    cluster.rekey(false).await.expect("possible");
    (1..=3).for_each(|id| cluster.carry(id));
    for id in 1..=3 {
        cluster.until_known(id, &[NEW]).await;
    }
    let file = cluster.directory(2).join("forgotten-keys.json");
    let written = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, written).await.expect("it is written down");
    cluster.stop(2).await;
    cluster.start(2).await;
    // At once, not when it has loaded its state.
    assert_eq!(cluster.known(2), [print(NEW)]);
    cluster.add(2, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_left_out_by_force_joins_when_it_has_its_file() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    cluster.stop(3).await;
    cluster.rekey(false).await.expect("possible");
    (1..=2).for_each(|id| cluster.carry(id));
    let held_up = cluster.rekey(false).await.expect("the same again");
    assert_eq!(held_up.stage, KeyStage::Announced, "{held_up:?}");
    let forced = async {
        while cluster.rekey(true).await.expect("the same again").stage != KeyStage::Done {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, forced).await.expect("two of three are enough");
    cluster.start(3).await;
    cluster
        .until(3, |status| status.notice.as_ref().is_some_and(|it| it.contains("new cluster.key")))
        .await;
    cluster.carry(3);
    cluster.until_known(3, &[NEW]).await;
    cluster.add(3, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_change_and_a_replica_more_wait_for_the_end_of_a_change_of_key() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    let wrong = Rekey { old: print(9), new: print(NEW), succession: None, force: false };
    let refused = cluster.ask_for(wrong).await.expect_err("not its key");
    assert_eq!(refused.code, ErrorCode::WrongCluster);
    cluster.rekey(false).await.expect("possible");
    let other = Rekey { old: print(OLD), new: print(9), succession: None, force: false };
    let refused = cluster.ask_for(other).await.expect_err("one at a time");
    assert_eq!(refused.code, ErrorCode::ChangeUnderWay);
    let stolen = Rekey { old: print(OLD), new: print(NEW), succession: None, force: false };
    let refused = cluster.ask_for(stolen).await.expect_err("begun otherwise");
    assert!(refused.message.contains("begun without --compromised"), "{refused}");
    let address = "127.0.0.1:1".parse().expect("an address");
    let entry = MemberEntry { id: ReplicaId(4), address, replaces: None };
    let add = ChangeMembers { change: MemberChange::Add(entry), force: false };
    let leader = cluster.leader().await;
    let refused = cluster.replica(leader).0.change_members(add).await.expect_err("it would wait");
    assert_eq!(refused.code, ErrorCode::ChangeUnderWay);
    (1..=3).for_each(|id| cluster.carry(id));
    for id in 1..=3 {
        cluster.until_known(id, &[NEW]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_key_names_the_servers_that_are_too_old_for_it() {
    let mut cluster = Cluster::new().await;
    cluster.known[1] = crate::limits::LEVEL_OF_REKEY - 1;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.add(1, "before").await;
    let refused = cluster.rekey(false).await.expect_err("server 2 is old");
    assert_eq!(refused.code, ErrorCode::UnsupportedVersion);
    assert!(refused.message.contains("server 2 runs an older program"), "{refused}");
}
