//! Which message comes behind which, when servers start and end around it.

use rustix::process::Signal;

use super::{await_newest_level, left_alone, left_behind, sent, thaw};
use crate::harness::place::random_id;
use crate::harness::{Cluster, wait_for};

/// What `send` says when it has waited in vain.
const OVERTAKES: &str = "may be delivered after this one";

/// Whoever repeats what a dead server has taken does not wait for that server.
#[test]
fn what_is_repeated_and_confirmed_is_waited_for_no_longer() {
    let cluster = Cluster::surviving();
    let [alice, bob, carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| cluster.person(name));
    let (left, frozen) = left_alone(&cluster);
    let (id, base) = (random_id(), random_id());
    let message = ["send", &bob.name, "one", "--id", &id, "--json"];
    assert_eq!(alice.does(&message).json()["confirmed"], false);
    let lines = carol.run(&["send", &bob.name, "--lines", "--id", &base]);
    let lines = lines.stdin("first\nsecond\n");
    let ids = lines.clone().end().ok();
    sent(&dave, &bob, "left behind");
    left_behind(&cluster, left, &frozen);

    let repeated = alice.does(&message);
    assert!(!repeated.stderr.contains(OVERTAKES), "{repeated:?}");
    assert_eq!(repeated.json()["confirmed"], true);
    let repeated = lines.end();
    assert!(!repeated.stderr.contains(OVERTAKES), "{repeated:?}");
    assert_eq!(repeated.ok(), ids);
    for person in [&alice, &carol] {
        let next = person.does(&["send", &bob.name, &format!("next of {}", person.name)]);
        assert!(!next.stderr.contains(OVERTAKES), "{next:?}");
        next.ok();
    }
    // This one is on no other disk, and its server may come back.
    let waited = dave.does(&["send", &bob.name, "behind it", "--timeout", "4s"]);
    let server = &cluster.addresses()[left as usize - 1];
    for word in [OVERTAKES, "waited 2s", server] {
        assert!(waited.stderr.contains(word), "{waited:?}");
    }
    waited.ok();

    cluster.start(left);
    thaw(&cluster, &[]);
    let mut texts = bob.texts();
    let of = |person: &str| format!("next of {person}");
    assert_eq!(texts.pop().as_deref(), Some("left behind"), "it was overtaken");
    let (alices, carols) = (of(&alice.name), of(&carol.name));
    assert_eq!(texts, ["one", "first", "second", &alices, &carols, "behind it"]);
}

/// Its server had it in its log before it was alone, and on the way to the others, who find it
/// when they go on. So it is there, though nobody has the list.
#[test]
fn what_the_others_have_in_their_logs_is_not_waited_for() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    await_newest_level(&cluster);
    let (leader, followers) = (cluster.leader(), cluster.followers());
    followers.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    assert_eq!(sent(&alice, &bob, "one")["confirmed"], false);
    left_behind(&cluster, leader, &followers);
    wait_for("what their logs have", || (bob.texts() == ["one"]).then_some(()));
    let next = alice.does(&["send", &bob.name, "two", "--timeout", "4s"]);
    assert!(!next.stderr.contains(OVERTAKES), "{next:?}");
    next.ok();
    cluster.start(leader);
    thaw(&cluster, &[]);
    assert_eq!(bob.texts(), ["one", "two"]);
}

/// It was led until the others vanished, and so it need not wait for them to start.
#[test]
fn a_server_that_was_led_a_moment_ago_goes_alone_long_before_fifteen_seconds_are_over() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    await_newest_level(&cluster);
    let id = cluster.followers()[0];
    cluster.crash(id);
    wait_for("the end of a server", || cluster.server(id).is_none().then_some(()));
    cluster.admin(&["start", &id.to_string()]).end().ok();
    let own = cluster.addresses()[id as usize - 1].clone();
    wait_for("a leader that it knows of", || {
        let status = cluster.run(&["status", "--json", "--servers", &own]).end();
        let status = crate::harness::running::json(&status.stdout);
        let replica = &status["replicas"][id as usize - 1];
        (status["leader"].is_u64() && replica["applied"] == status["commit"]).then_some(())
    });
    let others: Vec<u64> = (1..=3).filter(|other| *other != id).collect();
    others.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    // Within the usual ten seconds, of which a start takes no part.
    assert_eq!(sent(&alice, &bob, "alone")["confirmed"], false);
    thaw(&cluster, &others);
    assert_eq!(bob.texts(), ["alone"]);
}
