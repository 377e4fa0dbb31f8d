//! Replicas that come, go and move while the cluster runs.

use super::*;
use crate::protocol::peer::{ChangeMembers, MembersChanged};
use crate::types::{MemberChange, MemberEntry};

fn add(id: u32, address: &Address, replaces: Option<u32>) -> MemberChange {
    let replaces = replaces.map(ReplicaId);
    MemberChange::Add(MemberEntry { id: ReplicaId(id), address: address.clone(), replaces })
}

fn remove(id: u32) -> MemberChange {
    MemberChange::Remove { id: ReplicaId(id) }
}

impl Cluster {
    /// Asks the leader for a change, whoever that is.
    async fn change(&self, change: MemberChange) -> Result<MembersChanged> {
        self.change_by(change, false).await
    }

    async fn change_by(&self, change: MemberChange, force: bool) -> Result<MembersChanged> {
        let asked = async {
            loop {
                let leader = self.leader().await;
                let asked = ChangeMembers { change: change.clone(), force };
                match self.replica(leader).0.change_members(asked).await {
                    Err(error) if error.code == ErrorCode::Unavailable => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    answer => return answer,
                }
            }
        };
        timeout(LONG, asked).await.expect("there is a leader that answers")
    }

    /// Asks until it is done.
    async fn complete(&self, change: MemberChange) -> MembersChanged {
        let done = async {
            loop {
                let changed = self.change(change.clone()).await.expect("possible");
                if changed.waits_for.is_none() {
                    return changed;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, done).await.expect("it is done one day")
    }

    /// An address for one more, which begins with the configuration of today.
    async fn prepare(&mut self) -> (u32, Address) {
        let listener = listen(&"127.0.0.1:0".parse().expect("an address")).await;
        let (id, address) = (self.members.len() as u32 + 1, listener.local_address());
        self.members.push(Member { id: ReplicaId(id), address: address.clone() });
        (id, address)
    }

    fn voters(&self, id: u32) -> Vec<u32> {
        let consensus = self.replica(id).0.consensus().expect("runs");
        consensus.voters().into_iter().map(|replica| replica.0).collect()
    }

    async fn ended_as_removed(&mut self, id: u32) {
        let failed = timeout(LONG, self.replica(id).failed()).await.expect("it is told");
        assert_eq!(failed.code, ErrorCode::ReplicaRemoved, "{failed}");
        assert!(failed.message.contains(&format!("replica {id} was removed")), "{failed}");
        self.stop(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_added_and_another_removed_and_what_was_accepted_stays() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    let (id, address) = cluster.prepare().await;
    let pending = cluster.change(add(0, &address, None)).await.expect("possible");
    assert_eq!((pending.replica, pending.voters), (ReplicaId(id), 4));
    let waits = pending.waits_for.expect("nobody listens there");
    assert!(waits.contains(&format!("nobody answers as replica 4 at {address}")), "{waits}");
    // Another change has to wait, the same one not.
    let elsewhere = "127.0.0.1:1".parse().expect("an address");
    let refused = cluster.change(add(0, &elsewhere, None)).await.expect_err("one at a time");
    assert_eq!(refused.code, ErrorCode::ChangeUnderWay);
    assert!(refused.message.contains("replica 4 is being added"), "{refused}");
    cluster.start(id).await;
    cluster.complete(add(id, &address, None)).await;
    assert_eq!(cluster.voters(4), [1, 2, 3, 4]);
    cluster.add(4, "between").await;
    // The one that leads, too, gives way.
    let leader = cluster.leader().await;
    let done = cluster.complete(remove(leader)).await;
    assert_eq!((done.replica, done.voters), (ReplicaId(leader), 3));
    cluster.ended_as_removed(leader).await;
    for id in (1..=4).filter(|id| *id != leader) {
        assert!(knows(cluster.replica(id), "between").await);
        assert!(!cluster.voters(id).contains(&leader));
        let status = cluster.replica(id).status();
        assert!(status.members.iter().all(|it| it.id != ReplicaId(leader)), "{status:?}");
    }
    // It comes back, finds out, and harms nobody; nor does it when it has forgotten all.
    for wiped in [false, true] {
        if wiped {
            std::fs::remove_dir_all(cluster.directory(leader)).expect("wiped");
        }
        cluster.start(leader).await;
        cluster.ended_as_removed(leader).await;
    }
    let other = (1..=4).find(|id| *id != leader).expect("three are left");
    cluster.add(other, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_the_place_of_a_dead_one() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    let leader = cluster.leader().await;
    let dead = leader % 3 + 1;
    cluster.stop(dead).await;
    let (id, address) = cluster.prepare().await;
    let change = add(id, &address, Some(dead));
    cluster.change(change.clone()).await.expect("possible");
    cluster.start(id).await;
    cluster.complete(change).await;
    let mut wanted = vec![leader, 6 - leader - dead, 4];
    wanted.sort_unstable();
    assert_eq!(cluster.voters(4), wanted);
    // It counts: with another one gone it makes the majority.
    cluster.stop(6 - leader - dead).await;
    cluster.add(4, "after").await;
    assert!(knows(cluster.replica(4), "before").await);
    cluster.start(dead).await;
    cluster.ended_as_removed(dead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_was_away_during_a_change_makes_the_majority_of_today() {
    let mut cluster = Cluster::running().await;
    for id in 1..=3 {
        cluster.add(id, &format!("by-{id}")).await;
    }
    let leader = cluster.leader().await;
    let [away, replaced] = [leader % 3 + 1, (leader + 1) % 3 + 1];
    cluster.stop(away).await;
    let (id, address) = cluster.prepare().await;
    let change = add(id, &address, Some(replaced));
    cluster.change(change.clone()).await.expect("possible");
    cluster.start(id).await;
    cluster.complete(change).await;
    cluster.ended_as_removed(replaced).await;
    // Of the voters of today the new one and the one that was away are left; the latter
    // remembers one that is gone and one that was removed.
    cluster.stop(leader).await;
    cluster.start(away).await;
    cluster.add(id, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_cost_the_majority_or_the_last_failure_tolerated_is_refused() {
    let mut cluster = Cluster::running().await;
    for id in 1..=3 {
        cluster.add(id, &format!("by-{id}")).await;
    }
    let leader = cluster.leader().await;
    let all_are_here = async {
        let here = |id| id == leader || cluster.replica(leader).reaches(ReplicaId(id));
        while !(1..=3).all(here) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, all_are_here).await.expect("they meet");
    let refused = cluster.change(remove(leader)).await.expect_err("nothing would be tolerated");
    assert_eq!(refused.code, ErrorCode::UnsafeChange);
    assert!(refused.message.contains("no failure would be tolerated"), "{refused}");
    let dead = leader % 3 + 1;
    let alive = 6 - leader - dead;
    cluster.stop(dead).await;
    let refused = cluster.change_by(remove(alive), true).await.expect_err("no majority");
    assert_eq!(refused.code, ErrorCode::UnsafeChange);
    assert!(refused.message.contains("no majority"), "{refused}");
    // The dead one, which nobody counts on, may go without its help.
    cluster.complete(remove(dead)).await;
    let refused = cluster.change(remove(7)).await.expect_err("there is none");
    assert_eq!(refused.code, ErrorCode::UnknownReplica);
    cluster.add(alive, "two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_addition_that_leads_nowhere_is_taken_back() {
    let mut cluster = Cluster::running().await;
    let (id, address) = cluster.prepare().await;
    cluster.change(add(id, &address, None)).await.expect("possible");
    // As many as before are needed for a majority.
    let gone = cluster.leader().await;
    cluster.stop(gone).await;
    cluster.add(gone % 3 + 1, "written").await;
    cluster.start(gone).await;
    cluster.complete(remove(id)).await;
    let refused = cluster.change(add(id, &address, None)).await.expect_err("used");
    assert_eq!(refused.code, ErrorCode::IdConflict);
    assert!(refused.message.contains("of the past"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_replicas_move_at_once_and_find_each_other() {
    let mut cluster = Cluster::running().await;
    cluster.add(1, "before").await;
    let old = cluster.members.clone();
    let mut new = Vec::new();
    for id in 1..=3u32 {
        let listener = listen(&"127.0.0.1:0".parse().expect("an address")).await;
        let address = listener.local_address();
        let change = MemberChange::Move { id: ReplicaId(id), address: address.clone() };
        cluster.complete(change).await;
        new.push(address);
    }
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    // Each knows where it listens itself, and where the others were.
    for id in 1..=3u32 {
        cluster.members.clone_from(&old);
        cluster.members[id as usize - 1].address = new[id as usize - 1].clone();
        cluster.start(id).await;
    }
    cluster.add(2, "after").await;
    assert!(knows(cluster.replica(3), "before").await);
    let shown: Vec<Address> =
        cluster.replica(1).members().into_iter().map(|member| member.address).collect();
    assert_eq!(shown, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_program_is_older_nothing_is_changed_and_it_is_named() {
    let mut cluster = Cluster::new().await;
    cluster.known[1] = 1;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let leader = cluster.leader().await;
    let older = |status: &crate::protocol::client::ServerStatus| status.feature_level == Some(1);
    cluster.until(leader, older).await;
    let refused = cluster.change(remove(3)).await.expect_err("the level is not there");
    assert_eq!(refused.code, ErrorCode::UnsupportedVersion);
    assert!(refused.message.contains("server 2 runs an older program"), "{refused}");
}
