//! A frozen process keeps its locks, and nobody steals them: there are never
//! two leaders, and never two processes on one directory.

use rustix::process::Signal;

use super::{
    await_alone, await_gone, await_refused, await_sentence, by_hand_alone, check_talk, crash,
    others, replica,
};
use crate::harness::{Cluster, Steady, wait_for};

/// What a server says of a neighbour that is frozen.
const HOLDS: &str = "holds its lock";

fn with_two_frozen(which: impl Fn(&Cluster) -> [u64; 2]) {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "before");
    // Until then nobody could settle what a server takes alone.
    let newest = ftchat::limits::FEATURE_LEVEL_KNOWN;
    cluster.await_status("the newest level", |status| status["feature_level"] == newest);
    let pids = [1, 2, 3].map(|id| cluster.server(id));
    let locks = [1, 2, 3].map(|id| cluster.holder(id));
    let frozen = which(&cluster);
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::STOP));

    let refused = await_refused(&alice, &bob, &[HOLDS]);
    assert!(refused.stderr.starts_with("ftchat: "), "{refused:?}");
    for id in frozen {
        let status = await_sentence(&cluster, id, &[HOLDS]);
        assert_eq!((&status["confirming"], &status["tolerates"]), (&false.into(), &0.into()));
        assert_ne!(replica(&status, id)["state"], "leader", "{status}");
        assert_eq!(replica(&status, id)["hosted_by"], serde_json::Value::Null, "{status}");
    }
    cluster.await_status("the last one alone", |status| {
        status["writable"] == true && status["confirming"] == false
    });
    cluster.run(&["status", "--check"]).end().code(1);
    assert_eq!([1, 2, 3].map(|id| cluster.holder(id)), locks, "a lock was stolen");

    frozen.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    cluster.await_whole();
    let steady = Steady::start(&cluster);
    assert_eq!([1, 2, 3].map(|id| cluster.server(id)), pids);
    assert_eq!([1, 2, 3].map(|id| cluster.holder(id)), locks, "a lock was stolen");
    // What was in doubt may be there, what was acknowledged must be.
    let messages = bob.messages();
    let before = messages.iter().filter(|message| message["id"] == id.as_str()).count();
    assert_eq!(before, 1, "{messages:?}");
    steady.all_arrived();
}

#[test]
fn with_two_followers_frozen_the_leader_confirms_nothing_and_says_why() {
    with_two_frozen(|cluster| cluster.followers().try_into().expect("two"));
}

#[test]
fn with_the_leader_and_a_follower_frozen_the_last_one_confirms_nothing_and_says_why() {
    with_two_frozen(|cluster| [cluster.leader(), cluster.followers()[0]]);
}

/// One is frozen, another is killed, and the third goes on.
fn frozen_and_killed(which: impl Fn(&Cluster) -> [u64; 2], frozen_first: bool) {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let [frozen, killed] = which(&cluster);
    let survivor = 6 - frozen - killed;
    let (lock, pid) = (cluster.holder(frozen), cluster.server(frozen));
    let freeze = || {
        cluster.signal(frozen, Signal::STOP);
        steady.goes_on();
    };
    let kill = || {
        crash(&cluster, &[killed]);
        steady.goes_on();
    };
    if frozen_first {
        freeze();
        kill();
    } else {
        kill();
        freeze();
    }
    let status = cluster.await_status("the survivor with the dead one's replica", |status| {
        status["writable"] == true
            && status["leader"] == survivor
            && replica(status, killed)["hosted_by"] == survivor
    });
    assert_eq!(replica(&status, frozen)["hosted_by"], serde_json::Value::Null, "{status}");
    assert_eq!(status["tolerates"], 0, "{status}");
    assert_eq!(cluster.holder(frozen), lock, "the lock was stolen");
    steady.goes_on();

    cluster.signal(frozen, Signal::CONT);
    cluster.await_status("the frozen one in step again", |status| {
        let back = replica(status, frozen);
        status["writable"] == true && back["hosted_by"] == frozen && back["lag"] == 0
    });
    assert_eq!((cluster.holder(frozen), cluster.server(frozen)), (lock, pid));
    steady.goes_on();
    cluster.start(killed);
    cluster.await_whole();
    steady.all_arrived();
}

#[test]
fn with_the_leader_frozen_and_a_follower_killed_the_last_one_goes_on() {
    frozen_and_killed(|cluster| [cluster.leader(), cluster.followers()[0]], true);
}

#[test]
fn with_a_follower_frozen_and_the_leader_killed_the_last_one_goes_on() {
    frozen_and_killed(|cluster| [cluster.followers()[0], cluster.leader()], true);
}

#[test]
fn with_a_follower_killed_and_then_the_other_frozen_the_leader_goes_on() {
    frozen_and_killed(|cluster| cluster.followers().try_into().expect("two"), false);
}

#[test]
fn with_a_follower_killed_and_then_the_leader_frozen_the_last_one_goes_on() {
    frozen_and_killed(|cluster| [cluster.leader(), cluster.followers()[0]], false);
}

#[test]
fn all_frozen_go_on_together() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "before");
    let locks = [1, 2, 3].map(|id| cluster.holder(id));
    (1..=3).for_each(|id| cluster.signal(id, Signal::STOP));
    cluster.run(&["status", "--check"]).end().code(3);
    (1..=3).for_each(|id| cluster.signal(id, Signal::CONT));
    cluster.await_whole();
    assert_eq!([1, 2, 3].map(|id| cluster.holder(id)), locks, "a lock was stolen");
    assert_eq!(bob.ids(), [id]);
    check_talk(&cluster);
}

/// A frozen adopter keeps what it has adopted, also from the owner, who waits
/// and gets it when the adopter goes on.
#[test]
fn an_owner_does_not_steal_its_directory_from_a_frozen_adopter() {
    let mut by_hand = by_hand_alone(1);
    let holder = by_hand.server(1).pid();
    let lock = by_hand.cluster.holder(2);
    by_hand.server(1).signal(Signal::STOP);
    by_hand.start(2);
    by_hand.server(2).said(&holder.to_string());
    assert!(!by_hand.server(2).has_ended());
    assert_eq!(by_hand.cluster.holder(2), lock, "the lock was stolen");
    by_hand.server(1).signal(Signal::CONT);
    let pid = by_hand.server(2).pid();
    wait_for("the owner in LOCK", || (by_hand.cluster.pid(2) == pid).then_some(()));
    by_hand.start(3);
    by_hand.cluster.await_whole();
    check_talk(&by_hand.cluster);
}

/// A frozen adopter that is killed lets go of everything at once.
#[test]
fn a_frozen_adopter_that_is_killed_is_adopted_itself() {
    let cluster = Cluster::surviving();
    let survivor = cluster.leader();
    crash(&cluster, &others(survivor));
    await_alone(&cluster, survivor);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "to one alone");
    cluster.signal(survivor, Signal::STOP);
    cluster.crash(survivor);
    await_gone(&cluster, &[survivor]);
    let next = others(survivor)[1];
    cluster.start(next);
    await_alone(&cluster, next);
    assert_eq!(bob.ids(), [id]);
}
