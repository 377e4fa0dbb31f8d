//! Terminals that go away, and readers that do.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::place::free_ports;
use crate::harness::processes::serving;
use crate::harness::{ByHand, Cluster, Place, Running, wait_for};

/// The program that a shell runs, which was started as a wrapper.
fn child_of(shell: &Running) -> Pid {
    let shell = shell.pid().to_string();
    let children = format!("/proc/{shell}/task/{shell}/children");
    let is_ours = |pid: &str| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split('\0').any(|word| word == "cluster")
    };
    wait_for("the program in its shell", || {
        let children = std::fs::read_to_string(&children).ok()?;
        let pid = children.split_whitespace().find(|pid| is_ours(pid))?;
        Pid::from_raw(pid.parse().ok()?)
    })
}

#[test]
fn a_drill_whose_terminal_is_gone_leaves_neither_servers_nor_folders() {
    for how in [Signal::HUP, Signal::TERM] {
        let place = Place::new();
        let drill = place.run(&["drill", "--rounds", "99", "--json"]).start();
        let dir = drill.json()["dir"].as_str().expect("a folder").to_string();
        let data_dirs =
            [1, 2, 3].map(|id| std::path::Path::new(&dir).join(format!("replica-{id}")));
        // A fault was done, so that everything runs.
        drill.line();
        drill.signal(how);
        drill.end().code(130);
        assert!(!std::path::Path::new(&dir).exists());
        assert_eq!(data_dirs.each_ref().map(|data_dir| serving(data_dir)), [None; 3]);
    }
}

#[test]
fn a_drill_that_nobody_reads_any_more_leaves_nothing_either() {
    let place = Place::new();
    let temporary = place.path().display().to_string();
    let wrapper = ["sh", "-c", "\"$@\" | head -n 1", "sh"];
    let drill = place.run(&["drill", "--faults", "kill_leader,kill_follower", "--json"]);
    let announced = drill.env("TMPDIR", &temporary).under(&wrapper).end().json();
    let dir = announced["dir"].as_str().expect("a folder");
    assert!(dir.starts_with(&temporary) && !std::path::Path::new(dir).exists(), "{dir}");
}

fn up(place: &Place, dir: &str) -> crate::harness::Run {
    let base = free_ports(3).to_string();
    place.run(&["cluster", "up", "--dir", dir, "--base-port", &base, "--survivor", "never"])
}

#[test]
fn a_cluster_in_the_foreground_stops_its_servers_when_its_terminal_is_gone() {
    let place = Place::new();
    let dir = place.path().join("cluster").display().to_string();
    let up = up(&place, &dir).start();
    up.said("Ctrl-C stops the servers");
    up.signal(Signal::HUP);
    let ended = up.end().code(0);
    assert!(ended.stdout.contains("stopped"), "{ended:?}");
    let down = place.run(&["cluster", "down", "--dir", &dir, "--json"]).end().json();
    let replicas = down["replicas"].as_array().expect("an array");
    assert!(replicas.iter().all(|it| it["ended"] == "not_running"), "{down}");
}

#[test]
fn a_cluster_in_the_foreground_goes_on_when_nobody_reads_what_happens() {
    let place = Place::new();
    let dir = place.path().join("cluster").display().to_string();
    let wrapper = ["sh", "-c", "\"$@\" | head -n 1", "sh"];
    let up = up(&place, &dir).under(&wrapper).start();
    up.said("Ctrl-C stops the servers");
    let program = child_of(&up);
    let does = |arguments: &[&str]| -> Value {
        place.run(&["cluster"]).and(arguments).and(&["--dir", &dir, "--json"]).end().json()
    };
    let pids = ["1", "3"].map(|id| does(&["start", id])["pid"].clone());
    // Each of these is an event that nobody reads.
    for _ in 0..3 {
        does(&["kill", "2"]);
        does(&["start", "2", "--wait"]);
    }
    assert_eq!(["1", "3"].map(|id| does(&["start", id])["pid"].clone()), pids);
    kill_process(program, Signal::INT).expect("it goes on");
    up.said("Stopping");
    up.end().code(0);
}

#[test]
fn a_cluster_in_the_foreground_goes_on_when_what_happens_cannot_be_written() {
    let place = Place::new();
    let dir = place.path().join("cluster").display().to_string();
    let up = up(&place, &dir).under(&["sh", "-c", "exec \"$@\" >/dev/full", "sh"]).start();
    up.said("the servers go on");
    let started = place.run(&["cluster", "start", "1", "--dir", &dir, "--json"]).end().json();
    assert_eq!(started["already_running"], true);
    up.signal(Signal::INT);
    // What was asked for was done, but for the words.
    up.end().fails(1, &["cannot write to standard output"]);
}

#[test]
fn a_server_hands_over_before_it_ends_by_a_hangup() {
    let mut by_hand = ByHand::new();
    let leader = by_hand.cluster.leader();
    let server = by_hand.take(leader);
    server.signal(Signal::HUP);
    let ended = server.end().code(0);
    assert!(ended.stderr.contains("handing leadership over"), "{ended:?}");
    by_hand.cluster.await_status("another leader", |status| status["leader"] != leader);
}

#[test]
fn a_server_that_is_to_outlive_its_terminal_does() {
    let cluster = Cluster::under(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let pids = [1, 2, 3].map(|id| cluster.pid(id));
    (1..=3).for_each(|id| cluster.signal(id, Signal::HUP));
    cluster.person("alice");
    cluster.await_whole();
    assert_eq!([1, 2, 3].map(|id| cluster.server(id)), pids.map(Some));
}
