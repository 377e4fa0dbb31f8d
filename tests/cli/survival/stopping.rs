//! Servers that are asked to stop: nobody notices, and nobody adopts on the
//! way out.

use rustix::process::Signal;

use super::{await_alone, await_gone, check_alone, check_talk, crash, log, others};
use crate::harness::place::free_ports;
use crate::harness::{ByHand, Cluster, Place, Steady, wait_for};

/// Timeouts that no command lives to see: what is waited for one fails.
const NO_TIMEOUTS: [(&str, &str); 2] = [
    ("FTCHAT_TIMING_ELECTION_TIMEOUT_MIN_MS", "100000"),
    ("FTCHAT_TIMING_ELECTION_TIMEOUT_MAX_MS", "200000"),
];

fn stop(cluster: &Cluster, id: u64) {
    let stopped = cluster.admin(&["stop", &id.to_string(), "--json"]).end().json();
    assert_eq!((&stopped["id"], &stopped["ended"]), (&id.into(), &"stopped".into()));
    await_gone(cluster, &[id]);
}

/// Stops two servers and waits for no timeout.
fn two_stop(order: impl Fn(u64) -> [u64; 2]) {
    let cluster = Cluster::surviving_with(&NO_TIMEOUTS);
    let steady = Steady::start(&cluster);
    let leader = cluster.leader();
    let [first, second] = order(leader);
    stop(&cluster, first);
    steady.goes_on();
    let status = cluster.await_status("two servers that take writes", |status| {
        status["writable"] == true && status["tolerates"] == 1
    });
    assert_ne!(status["leader"], first, "{status}");
    stop(&cluster, second);
    steady.goes_on();
    check_alone(&cluster, 6 - first - second);
    steady.all_arrived();
}

#[test]
fn the_leader_stops_and_then_the_next_one_and_the_last_goes_on() {
    two_stop(|leader| [leader, leader % 3 + 1]);
}

#[test]
fn a_follower_stops_and_then_the_leader_and_the_last_goes_on() {
    two_stop(|leader| [leader % 3 + 1, leader]);
}

#[test]
fn the_followers_stop_one_after_the_other_and_the_leader_goes_on() {
    two_stop(others);
}

#[test]
fn leaders_stop_and_come_back_and_no_command_fails() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    for _ in 0..3 {
        let leader = cluster.leader();
        stop(&cluster, leader);
        steady.goes_on();
        assert_ne!(cluster.leader(), leader);
        cluster.start(leader);
        steady.goes_on();
        cluster.await_whole();
    }
    steady.all_arrived();
}

#[test]
fn a_rolling_restart_ends_with_everybody_at_home() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let before = [1, 2, 3].map(|id| cluster.server(id));
    cluster.admin(&["restart"]).end().ok();
    for (id, before) in (1..).zip(before) {
        assert_ne!(cluster.server(id), before);
    }
    cluster.await_whole();
    steady.all_arrived();
}

#[test]
fn servers_started_by_hand_stop_one_after_the_other() {
    let mut by_hand = ByHand::new();
    for id in [3, 1] {
        let server = by_hand.take(id);
        server.signal(Signal::TERM);
        server.end().code(0);
        check_talk(&by_hand.cluster);
    }
    check_alone(&by_hand.cluster, 2);
    let last = by_hand.take(2);
    last.signal(Signal::TERM);
    last.end().code(0);
    by_hand.cluster.run(&["status", "--check"]).end().code(3);
}

/// `down` has ended every server, and none of them has adopted another.
fn check_down(cluster: &Cluster) {
    let down = cluster.admin(&["down", "--json"]).end().json();
    for stopped in down["replicas"].as_array().expect("an array") {
        assert_eq!(stopped["ended"], "stopped", "{down}");
    }
    for id in 1..=3 {
        assert_eq!(cluster.server(id), None, "server {id} still runs");
        // On a busy machine the others may be gone before one of them gets to
        // know that it stops. It may have taken a lock by then, and runs nothing.
        assert!(!log(cluster, id).contains("adopted"), "{}", log(cluster, id));
    }
    cluster.run(&["status", "--check"]).end().code(3);
}

#[test]
fn when_all_stop_nobody_adopts() {
    let cluster = Cluster::surviving();
    // Whoever is fastest has the least time, so more than one look is better.
    for _ in 0..5 {
        check_talk(&cluster);
        check_down(&cluster);
        cluster.admin(&["up", "-d"]).end().ok();
        cluster.await_whole();
    }
}

#[test]
fn when_all_stop_and_two_are_frozen_nobody_adopts() {
    let cluster = Cluster::surviving();
    let frozen = cluster.followers();
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    check_down(&cluster);
    cluster.admin(&["up", "-d"]).end().ok();
    cluster.await_whole();
    check_talk(&cluster);
}

#[test]
fn a_server_that_runs_all_replicas_stops_with_all_of_them() {
    let cluster = Cluster::surviving();
    let survivor = cluster.leader();
    crash(&cluster, &others(survivor));
    await_alone(&cluster, survivor);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "to one alone");
    let down = cluster.admin(&["down", "--json"]).end().json();
    assert_eq!(down["replicas"][survivor as usize - 1]["ended"], "stopped", "{down}");
    for other in 1..=3 {
        assert_eq!(cluster.server(other), None, "server {other} still runs");
    }
    cluster.admin(&["up", "-d"]).end().ok();
    cluster.await_whole();
    assert_eq!(bob.ids(), [id]);
}

#[test]
fn ctrl_c_ends_a_cluster_in_the_foreground_without_any_adoption() {
    let place = Place::new();
    let base_port = free_ports(3);
    let dir = place.path().join("cluster").display().to_string();
    let up = ["cluster", "up", "--dir", &dir, "--base-port", &base_port.to_string()];
    let up = place.run(&up).start();
    up.said("Ctrl-C stops the servers");
    let servers = (base_port..base_port + 3).map(|port| format!("127.0.0.1:{port}"));
    let servers = servers.collect::<Vec<_>>().join(",");
    wait_for("a healthy cluster", || {
        let check = place.run(&["status", "--check", "--servers", &servers]).end();
        (check.code == Some(0)).then_some(())
    });
    up.signal(Signal::INT);
    up.end().code(0);
    for id in 1..=3 {
        let log = std::fs::read_to_string(format!("{dir}/replica-{id}.log")).expect("a log");
        assert!(log.contains("stopping") && !log.contains("adopted"), "{log}");
        let data_dir = std::path::PathBuf::from(format!("{dir}/replica-{id}"));
        assert_eq!(crate::harness::processes::serving(&data_dir), None);
    }
}
