//! Two of three die, and the last one runs all three replicas.

use rustix::process::Signal;

use super::{
    await_alone, await_gone, await_refused, check_alone, check_talk, crash, log, others, replica,
};
use crate::harness::{ByHand, Cluster, Steady, Terminal, wait_for};

/// Two servers die one after the other; `order` names them when it is known
/// who leads.
fn one_after_the_other(cluster: &Cluster, order: impl Fn(u64) -> [u64; 2]) {
    let steady = Steady::start(cluster);
    let whole = cluster.await_status("a cluster that may lose two", |s| s["tolerates"] == 2);
    assert_eq!(whole["survivor"], "auto", "{whole}");
    cluster.run(&["status", "--check"]).end().code(0);
    let leader = cluster.leader();
    let [first, second] = order(leader);
    let survivor = 6 - first - second;
    let pid = cluster.server(survivor);

    crash(cluster, &[first]);
    steady.goes_on();
    let status = cluster.await_status("a cluster that may lose one", |status| {
        status["writable"] == true && status["tolerates"] == 1
    });
    for alive in others(first) {
        assert_eq!(replica(&status, alive)["hosted_by"], alive, "{status}");
    }
    crash(cluster, &[second]);
    steady.goes_on();
    check_alone(cluster, survivor);
    steady.goes_on();
    assert_eq!(cluster.server(survivor), pid, "the survivor itself goes on");
    steady.all_arrived();
    check_talk(cluster);
    check_alone(cluster, survivor);
}

#[test]
fn the_last_one_goes_on_when_leaders_die_one_after_the_other() {
    let cluster = Cluster::surviving();
    one_after_the_other(&cluster, |leader| [leader, leader % 3 + 1]);
}

#[test]
fn the_last_one_goes_on_when_a_follower_dies_and_then_the_leader() {
    let cluster = Cluster::surviving();
    one_after_the_other(&cluster, |leader| [leader % 3 + 1, leader]);
}

#[test]
fn a_leader_goes_on_when_its_followers_die_one_after_the_other() {
    let cluster = Cluster::surviving();
    one_after_the_other(&cluster, others);
}

#[test]
fn servers_started_by_hand_survive_without_any_flag() {
    let by_hand = ByHand::new();
    one_after_the_other(&by_hand.cluster, |leader| [leader, leader % 3 + 1]);
}

#[test]
fn servers_started_by_hand_survive_two_crashes_at_once() {
    let mut by_hand = ByHand::new();
    let leader = by_hand.cluster.leader();
    let steady = Steady::start(&by_hand.cluster);
    crash(&by_hand.cluster, &[leader, leader % 3 + 1]);
    steady.goes_on();
    let survivor = 6 - leader - (leader % 3 + 1);
    check_alone(&by_hand.cluster, survivor);
    steady.all_arrived();
    // What was adopted goes down with its host, as it should.
    let server = by_hand.take(survivor);
    server.signal(Signal::TERM);
    let ended = server.end().code(0);
    assert!(ended.stderr.contains("adopted"), "{ended:?}");
}

#[test]
fn a_leader_whose_followers_die_at_once_adopts_them() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let leader = cluster.leader();
    crash(&cluster, &others(leader));
    steady.goes_on();
    check_alone(&cluster, leader);
    steady.all_arrived();
    assert!(log(&cluster, leader).contains("adopted"), "{}", log(&cluster, leader));
}

#[test]
fn a_follower_left_alone_at_once_adopts_the_leader_too() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let survivor = cluster.followers()[0];
    crash(&cluster, &others(survivor));
    steady.goes_on();
    check_alone(&cluster, survivor);
    steady.all_arrived();
}

/// With timeouts that no client waits for, only evidence gets anywhere.
#[test]
fn crashes_are_noticed_without_any_timeout() {
    let cluster = Cluster::surviving_with(&[
        ("FTCHAT_TIMING_ELECTION_TIMEOUT_MIN_MS", "100000"),
        ("FTCHAT_TIMING_ELECTION_TIMEOUT_MAX_MS", "200000"),
    ]);
    let steady = Steady::start(&cluster);
    let leader = cluster.leader();
    crash(&cluster, &[leader]);
    steady.goes_on();
    let second = cluster.leader();
    assert_ne!(second, leader);
    crash(&cluster, &[second]);
    steady.goes_on();
    check_alone(&cluster, 6 - leader - second);
    steady.all_arrived();
}

#[test]
fn clients_that_know_only_a_dead_servers_address_are_served() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let survivor = cluster.followers()[1];
    crash(&cluster, &others(survivor));
    await_alone(&cluster, survivor);
    let mut expected = Vec::new();
    for (n, dead) in others(survivor).into_iter().enumerate() {
        let at = ["--servers", &cluster.addresses()[dead as usize - 1]];
        for m in 0..3 {
            expected.push(format!("message {n}.{m}"));
            let text = expected.last().expect("just pushed");
            alice.run(&["send", &bob.name, text]).and(&at).end().ok();
        }
        let inbox = bob.run(&["inbox", "--all", "--peek", "--json"]).and(&at).end().objects();
        let texts: Vec<&str> =
            inbox.iter().filter_map(|message| message["text"].as_str()).collect();
        assert_eq!(texts, expected);
        let status = cluster.run(&["status", "--json"]).and(&at).end().json();
        assert_eq!(status["leader"], survivor, "{status}");
        for id in 1..=3 {
            assert_eq!(replica(&status, id)["hosted_by"], survivor, "{status}");
        }
    }
    // The survivor's own address is as good.
    let own = ["--servers", &cluster.addresses()[survivor as usize - 1]];
    assert_eq!(bob.run(&["inbox", "--json"]).and(&own).end().objects().len(), expected.len());
}

#[test]
fn a_terminal_shows_who_runs_what() {
    let cluster = Cluster::surviving();
    let survivor = cluster.leader();
    crash(&cluster, &others(survivor));
    await_alone(&cluster, survivor);
    let (code, shown) = Terminal::start(cluster.run(&["status", "--color", "never"])).end();
    assert_eq!(code, Some(0), "{shown}");
    let line = format!("server {survivor} runs replicas 1, 2 and 3");
    assert!(shown.to_lowercase().contains(&line), "no {line:?} in {shown}");
    // A script sees it in the column of hosts.
    let plain = cluster.run(&["status"]).end().ok();
    let hosts: Vec<&str> = plain.lines().filter_map(|line| line.split('\t').nth(6)).collect();
    assert_eq!(hosts, vec![survivor.to_string(); 3], "{plain}");
}

#[test]
fn killing_or_stopping_an_adopted_replica_leaves_the_survivor_alone() {
    let cluster = Cluster::surviving();
    let survivor = cluster.leader();
    crash(&cluster, &others(survivor));
    await_alone(&cluster, survivor);
    let pid = cluster.server(survivor).expect("it runs");
    for (verb, dead) in ["stop", "kill"].into_iter().zip(others(survivor)) {
        let ended = cluster.admin(&[verb, &dead.to_string(), "--json"]).end().json();
        assert_eq!((&ended["ended"], &ended["pid"]), (&"not_running".into(), &().into()));
        assert_eq!(ended["adopted_by_pid"], pid, "{ended}");
    }
    assert_eq!(cluster.server(survivor), Some(pid));
    check_alone(&cluster, survivor);
    check_talk(&cluster);
}

/// Two dead, and nobody may adopt.
fn nobody_adopts(cluster: &Cluster) {
    let whole = cluster.await_status("a whole cluster", |status| status["tolerates"] == 1);
    assert_eq!(whole["survivor"], "never", "{whole}");
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "before");
    let survivor = cluster.leader();
    let dead = others(survivor);
    let before = dead.map(|id| cluster.holder(id));
    crash(cluster, &dead);
    let refused = await_refused(&alice, &bob, &["majority"]);
    assert!(refused.stderr.starts_with("ftchat: "), "{refused:?}");
    let status = cluster.await_status("writes that are refused", |s| s["writable"] == false);
    assert_eq!(status["tolerates"], 0);
    for (id, before) in dead.into_iter().zip(before) {
        assert_eq!(replica(&status, id)["hosted_by"], serde_json::Value::Null, "{status}");
        assert_eq!(cluster.holder(id), before);
    }
    cluster.run(&["status", "--check"]).end().code(3);
}

#[test]
fn with_survivor_never_nobody_adopts() {
    let cluster = Cluster::new();
    cluster.await_whole();
    nobody_adopts(&cluster);
    let survivor = (1..=3).find(|id| cluster.server(*id).is_some()).expect("one is left");
    assert!(!log(&cluster, survivor).contains("adopted"), "{}", log(&cluster, survivor));
}

#[test]
fn with_survivor_never_servers_started_by_hand_adopt_nobody() {
    let by_hand = ByHand::with(&["--survivor", "never"]);
    nobody_adopts(&by_hand.cluster);
}

/// Somebody who follows sees every message once, whoever serves them.
#[test]
fn a_follower_of_an_inbox_is_carried_along() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let follow = bob.run(&["inbox", "--follow", "--json"]).start();
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(alice.send(&bob, &format!("message {n}")));
        assert_eq!(follow.json()["id"], ids[n].as_str());
        if n < 2 {
            let leader = cluster.leader();
            cluster.crash(leader);
            await_gone(&cluster, &[leader]);
            wait_for("another leader", || (cluster.leader() != leader).then_some(()));
        }
    }
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code(130).stdout, "", "something came twice");
    assert_eq!(bob.messages().len(), ids.len());
}
