//! Which message comes behind which, when servers start and end around it.

use rustix::process::Signal;

use super::{await_newest_level, sent, thaw};
use crate::harness::{Cluster, wait_for};

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
