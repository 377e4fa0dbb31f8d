//! Servers that crash, freeze and come back under people who talk.
//!
//! With `--survivor never`, so that exactly one of three may be missing.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Cluster, Person, Running, Steady, wait_for};

/// Somebody who sends lines and somebody who reads along, while servers fail.
struct Talk<'a> {
    sender: Running,
    reader: Running,
    bob: Person<'a>,
    written: usize,
}

impl<'a> Talk<'a> {
    fn new(cluster: &'a Cluster) -> Talk<'a> {
        let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
        let line = ["send", &bob.name, "--lines", "--json", "--timeout", "30s"];
        let sender = alice.run(&line).start();
        let reader = bob.run(&["inbox", "--follow", "--json"]).start();
        let mut talk = Talk { sender, reader, bob, written: 0 };
        talk.write(20);
        for _ in 0..20 {
            talk.sender.line();
            talk.reader.line();
        }
        talk
    }

    /// Writes lines without waiting for them.
    fn write(&mut self, count: usize) {
        for n in self.written..self.written + count {
            self.sender.write(&format!("line {n}\n"));
        }
        self.written += count;
    }

    /// Everything written arrives, acknowledged and read once, in order.
    fn all_arrives(mut self) {
        self.write(30);
        let expected: Vec<String> = (0..self.written).map(|n| format!("line {n}")).collect();
        let read: Vec<Value> = (20..self.written).map(|_| self.reader.json()).collect();
        let sent = self.sender.end();
        let stderr = sent.stderr.clone();
        let sent = sent.objects();
        assert_eq!(sent.len(), self.written - 20);
        let column = |rows: &[Value], name: &str| -> Vec<Value> {
            rows.iter().map(|row| row[name].clone()).collect()
        };
        assert_eq!(column(&sent, "id"), column(&read, "id"));
        assert_eq!(column(&sent, "seq"), column(&read, "seq"));
        let seqs = column(&sent, "seq");
        assert!(seqs.is_sorted_by_key(|seq| seq.as_u64()), "out of order: {seqs:?}; {stderr}");
        assert_eq!(self.bob.texts(), expected);
        // All of it gets marked as read, across the failover.
        wait_for("an inbox without unread messages", || {
            self.bob.does(&["inbox", "--peek"]).ok().is_empty().then_some(())
        });
        self.reader.signal(Signal::INT);
        let reader = self.reader.end().code(130);
        assert_eq!(reader.stdout, "", "something came twice: {reader:?}");
    }
}

#[test]
fn a_crash_of_the_leader_is_not_noticed() {
    let cluster = Cluster::new();
    let mut talk = Talk::new(&cluster);
    let leader = cluster.leader();
    talk.write(300);
    cluster.crash(leader);
    talk.write(30);
    let carol = cluster.person("carol");
    assert_eq!(carol.does(&["whoami"]).ok().trim(), carol.name);
    carol.send(&carol, "to myself");
    talk.write(30);
    talk.all_arrives();

    let status = cluster.status();
    assert_eq!((&status["writable"], &status["tolerates"]), (&true.into(), &0.into()), "{status}");
    cluster.run(&["status", "--check"]).end().code(1);
    let dead = &status["replicas"][leader as usize - 1];
    assert_eq!((&dead["state"], &dead["hosted_by"]), (&"unreachable".into(), &().into()));
    assert!(dead["error"].is_string(), "{status}");

    let started = cluster.start(leader);
    assert_eq!((&started["id"], &started["caught_up"]), (&leader.into(), &true.into()));
    cluster.await_whole();
    cluster.run(&["status", "--check"]).end().code(0);
    // What it missed it has now: it and one more are a majority.
    let other = cluster.leader();
    cluster.crash(if other == leader { leader % 3 + 1 } else { other });
    assert_eq!(carol.texts(), ["to myself"]);
    carol.send(&carol, "still here");
}

#[test]
fn a_frozen_leader_is_passed_over_and_catches_up() {
    let cluster = Cluster::new();
    let mut talk = Talk::new(&cluster);
    let leader = cluster.leader();
    talk.write(100);
    cluster.signal(leader, Signal::STOP);
    talk.write(30);
    let carol = cluster.person("carol");
    carol.send(&carol, "to myself");
    assert_eq!(carol.texts(), ["to myself"]);
    let status = cluster.status();
    let frozen = &status["replicas"][leader as usize - 1];
    assert!(frozen["error"].as_str().is_some_and(|error| error.contains("frozen")), "{status}");
    talk.all_arrives();
    cluster.signal(leader, Signal::CONT);
    cluster.await_whole();
    assert_eq!(carol.texts(), ["to myself"]);
}

#[test]
fn a_leader_that_is_stopped_hands_over() {
    let cluster = Cluster::new();
    let mut talk = Talk::new(&cluster);
    let leader = cluster.leader();
    talk.write(100);
    let stopped = cluster.admin(&["stop", &leader.to_string(), "--json"]).end().json();
    assert_eq!((&stopped["id"], &stopped["ended"]), (&leader.into(), &"stopped".into()));
    talk.write(30);
    talk.all_arrives();
    assert_ne!(cluster.leader(), leader);
}

#[test]
fn one_shot_commands_notice_no_crash_no_freeze_and_no_stop() {
    let cluster = Cluster::new();
    cluster.await_whole();
    let steady = Steady::start(&cluster);
    let leader = cluster.leader();
    cluster.crash(leader);
    steady.goes_on();
    cluster.start(leader);
    cluster.await_whole();
    let leader = cluster.leader();
    cluster.signal(leader, Signal::STOP);
    steady.goes_on();
    cluster.signal(leader, Signal::CONT);
    cluster.await_whole();
    let leader = cluster.leader();
    cluster.admin(&["stop", &leader.to_string()]).end().ok();
    steady.goes_on();
    cluster.start(leader);
    steady.goes_on();
    steady.all_arrived();
}

#[test]
fn a_rolling_restart_is_not_noticed() {
    let cluster = Cluster::new();
    let mut talk = Talk::new(&cluster);
    let before = (1..=3).map(|id| cluster.pid(id)).collect::<Vec<_>>();
    talk.write(100);
    let restarted = cluster.admin(&["restart", "--json"]).end().json();
    let restarted = restarted["replicas"].as_array().expect("an array");
    assert_eq!(restarted.len(), 3);
    assert!(restarted.iter().all(|replica| replica["caught_up"] == true), "{restarted:?}");
    for id in 1..=3 {
        assert_ne!(cluster.pid(id), before[id as usize - 1]);
    }
    talk.all_arrives();
}

#[test]
fn everything_is_back_after_all_are_stopped_or_killed() {
    let cluster = Cluster::new();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut expected = Vec::new();
    let crash_all = || (1..=3).for_each(|id| cluster.crash(id));
    let stop_all = || drop(cluster.admin(&["down"]).end().ok());
    for (n, end) in [&stop_all as &dyn Fn(), &crash_all].into_iter().enumerate() {
        for m in 0..10 {
            expected.push(format!("message {n}.{m}"));
            alice.send(&bob, expected.last().expect("just pushed"));
        }
        end();
        alice.does(&["send", &bob.name, "to nobody", "--timeout", "300ms"]).fails(3, &["refused"]);
        cluster.admin(&["up", "-d"]).end().ok();
        assert_eq!(bob.texts(), expected);
        assert_eq!(alice.does(&["whoami"]).ok().trim(), alice.name);
    }
    cluster.await_whole();
}

#[test]
fn an_emptied_directory_comes_back_as_a_new_incarnation() {
    let cluster = Cluster::new();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "before");
    let lost = cluster.followers()[0];
    cluster.crash(lost);
    wait_for("the end of the killed server", || {
        let stop = cluster.admin(&["stop", &lost.to_string(), "--json"]).end().json();
        (stop["ended"] == "not_running").then_some(())
    });
    std::fs::remove_dir_all(cluster.data_dir(lost)).expect("a data directory");
    alice.send(&bob, "without it");
    cluster.start(lost);
    cluster.await_whole();
    let identity = std::fs::read_to_string(cluster.data_dir(lost).join("identity.json"));
    let identity = identity.expect("an identity");
    assert!(identity.contains(r#""incarnation":2"#), "{identity}");
    // It votes again: with it, one of the others may go.
    cluster.crash(cluster.followers().into_iter().find(|id| *id != lost).unwrap_or(lost));
    alice.send(&bob, "with it");
    assert_eq!(bob.texts(), ["before", "without it", "with it"]);
}
