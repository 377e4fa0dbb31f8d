//! All three are dead, and any one of them is started: it has everything.

use super::{await_alone, await_gone, check_alone, crash, others, replica, start};
use crate::harness::{ByHand, Cluster, Person};

/// Sends some messages to a person; `expected` grows by what was acknowledged.
fn talk(alice: &Person<'_>, bob: &Person<'_>, what: &str, expected: &mut Vec<String>) {
    for n in 0..10 {
        expected.push(alice.send(bob, &format!("{what} {n}")));
    }
}

#[test]
fn any_one_of_three_that_were_killed_at_once_has_everything() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut expected = Vec::new();
    for id in 1..=3 {
        talk(&alice, &bob, &format!("before {id}"), &mut expected);
        crash(&cluster, &[1, 2, 3]);
        alice.does(&["send", &bob.name, "to nobody", "--timeout", "300ms"]).fails(3, &["refused"]);
        let started = cluster.start(id);
        assert_eq!((&started["id"], &started["already_running"]), (&id.into(), &false.into()));
        assert_eq!(bob.ids(), expected);
        talk(&alice, &bob, &format!("alone {id}"), &mut expected);
        check_alone(&cluster, id);
        start(&cluster, &others(id));
        assert_eq!(bob.ids(), expected);
    }
}

#[test]
fn any_one_of_three_that_were_killed_one_after_the_other_has_everything() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut expected = Vec::new();
    for id in 1..=3 {
        // The one that is started first was killed first, and has missed the
        // most: the rest stands in directories that others have written since.
        let [second, last] = others(id);
        for dead in [id, second] {
            crash(&cluster, &[dead]);
            talk(&alice, &bob, &format!("without {dead}"), &mut expected);
        }
        await_alone(&cluster, last);
        crash(&cluster, &[last]);
        cluster.start(id);
        check_alone(&cluster, id);
        assert_eq!(bob.ids(), expected);
        talk(&alice, &bob, &format!("alone {id}"), &mut expected);
        start(&cluster, &[second, last]);
        assert_eq!(bob.ids(), expected);
    }
}

#[test]
fn any_one_of_three_started_by_hand_has_everything() {
    let mut by_hand = ByHand::new();
    let mut expected = Vec::new();
    let (alice, bob) = {
        let people = ["alice", "bob"].map(|name| by_hand.cluster.person(name).name);
        people.into()
    };
    for id in 1..=3 {
        let known = |by_hand: &ByHand, expected: &mut Vec<String>, what: &str| {
            let (alice, bob) = (by_hand.cluster.known(&alice), by_hand.cluster.known(&bob));
            assert_eq!(bob.ids(), *expected, "{what}");
            talk(&alice, &bob, what, expected);
        };
        known(&by_hand, &mut expected, "whole");
        crash(&by_hand.cluster, &[1, 2, 3]);
        by_hand.start(id);
        await_alone(&by_hand.cluster, id);
        known(&by_hand, &mut expected, "alone");
        check_alone(&by_hand.cluster, id);
        for other in others(id) {
            by_hand.start(other);
        }
        by_hand.cluster.await_whole();
        known(&by_hand, &mut expected, "whole again");
    }
}

#[test]
fn any_one_of_three_that_were_stopped_has_everything() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut expected = Vec::new();
    for id in 1..=3 {
        talk(&alice, &bob, &format!("before {id}"), &mut expected);
        cluster.admin(&["down"]).end().ok();
        await_gone(&cluster, &[1, 2, 3]);
        cluster.start(id);
        assert_eq!(bob.ids(), expected);
        talk(&alice, &bob, &format!("alone {id}"), &mut expected);
        let status = await_alone(&cluster, id);
        assert_eq!(replica(&status, id)["state"], "leader");
        start(&cluster, &others(id));
    }
    assert_eq!(bob.ids(), expected);
}
