//! Replicas that come, go and move while people go on sending.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::by_hand::ByHand;
use crate::harness::place::free_ports;
use crate::harness::{Cluster, Place, Steady, wait_for};

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn ids(status: &Value) -> Vec<u64> {
    let replicas = status["replicas"].as_array().expect("a list");
    replicas.iter().map(|replica| replica["id"].as_u64().expect("a number")).collect()
}

/// The status, once all of these are in step.
fn whole(cluster: &Cluster) -> Value {
    wait_for("all replicas in step", || {
        (cluster.run(&["status", "--check"]).end().code == Some(0)).then(|| cluster.status())
    })
}

fn admin(cluster: &Cluster, arguments: &[&str]) -> Value {
    cluster.admin(arguments).and(&["--json"]).end().json()
}

#[test]
fn replicas_come_go_and_move_and_a_steady_sender_notices_nothing() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let port = free_ports(3);
    let added = admin(&cluster, &["add", &address(port)]);
    assert_eq!((&added["id"], &added["waits_for"]), (&Value::from(4), &Value::Null), "{added}");
    assert_eq!(ids(&whole(&cluster)), [1, 2, 3, 4]);
    steady.goes_on();

    let leader = cluster.leader();
    let removed = admin(&cluster, &["remove", &leader.to_string()]);
    assert_eq!(removed["voters"], 3, "{removed}");
    let left: Vec<u64> = (1..=4).filter(|id| *id != leader).collect();
    assert_eq!(ids(&whole(&cluster)), left);
    assert!(cluster.data_dir(leader).join("identity.json").exists(), "its data stays");
    steady.goes_on();

    let replaced = left.iter().find(|id| **id != 4).expect("two are").to_string();
    let new = admin(&cluster, &["replace", &replaced, &address(port + 1)]);
    assert_eq!((&new["id"], &new["waits_for"]), (&Value::from(5), &Value::Null), "{new}");
    steady.goes_on();

    admin(&cluster, &["move", "4", &address(port + 2)]);
    let status = whole(&cluster);
    let four = &status["replicas"][ids(&status).iter().position(|id| *id == 4).expect("there")];
    assert_eq!(four["address"], address(port + 2));
    steady.goes_on();
    steady.all_arrived();
    // Nobody remembers more than the cluster does.
    cluster.admin(&["down", "--purge"]).end().ok();
    assert!(!std::path::Path::new(&cluster.dir()).exists());
}

#[test]
fn an_addition_whose_command_was_killed_is_finished_by_the_same_command() {
    let cluster = Cluster::surviving();
    let command = cluster.admin(&["add"]).start();
    command.said("replica 4: starting");
    command.signal(Signal::KILL);
    command.end().code(137);
    let added = admin(&cluster, &["add"]);
    assert_eq!((&added["id"], &added["waits_for"]), (&Value::from(4), &Value::Null), "{added}");
    assert_eq!(ids(&whole(&cluster)), [1, 2, 3, 4]);
}

#[test]
fn the_only_replica_is_replaced_as_well() {
    let place = Place::new();
    let dir = place.path().join("one").display().to_string();
    let run = |arguments: &[&str]| place.run(arguments).and(&["--dir", &dir]);
    let first = free_ports(2).to_string();
    run(&["cluster", "up", "-d", "--replicas", "1", "--base-port", &first]).end().ok();
    let new = run(&["cluster", "replace", "1", "--json"]).end().json();
    assert_eq!((&new["id"], &new["waits_for"]), (&Value::from(2), &Value::Null), "{new}");
    let servers = new["members"][0]["address"].as_str().expect("an address").to_string();
    wait_for("the new one leads", || {
        let check = place.run(&["status", "--servers", &servers, "--check"]).end();
        (check.code == Some(0)).then_some(())
    });
    run(&["cluster", "down", "--purge"]).end().ok();
}

#[test]
fn a_second_replica_waits_for_a_third_and_both_begin_to_vote() {
    let place = Place::new();
    let port = free_ports(3);
    let dir = place.path().join("one").display().to_string();
    let run = |arguments: &[&str]| place.run(arguments).and(&["--dir", &dir]);
    let (first, servers) = (port.to_string(), address(port));
    run(&["cluster", "up", "-d", "--replicas", "1", "--base-port", &first]).end().ok();
    let second = run(&["cluster", "add", "--json"]).end().json();
    let waits = second["waits_for"].as_str().expect("for a third");
    assert!(waits.contains("votes when there is a third"), "{waits}");
    let status = place.run(&["status", "--servers", &servers, "--json"]).end().json();
    assert_eq!(status["replicas"][1]["state"], "learner", "{status}");
    let third = run(&["cluster", "add", "--json"]).end().json();
    assert_eq!((&third["voters"], &third["waits_for"]), (&Value::from(3), &Value::Null), "{third}");
    wait_for("both vote", || {
        let check = place.run(&["status", "--servers", &servers, "--check"]).end();
        (check.code == Some(0)).then_some(())
    });
    run(&["cluster", "down", "--purge"]).end().ok();
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let cluster = Cluster::new();
    let place = &cluster.place;
    let taken = cluster.addresses().swap_remove(1);
    let out = place.path().join("out").display().to_string();
    let new = address(free_ports(1));
    let in_use = format!("2={new}");
    for (arguments, code, told) in [
        (&["add", &in_use][..], 1, "the number 2 is in use"),
        (&["add", &taken], 1, &*format!("replica 2 is at {taken} already")),
        (&["add", "10.9.9.9:1"], 2, "is not on this machine"),
        (&["add", &new, "--out", &out], 2, "--out is for a new machine"),
        (&["remove", "7"], 5, "replica 7 is not there; the cluster has 1, 2, 3"),
        (&["remove", "1"], 1, "no failure would be tolerated"),
        (&["replace", "9", &new], 5, "replica 9 is not there"),
        (&["move", "1", &taken], 1, "replica 2 is at"),
        (&["move", "9", &new], 5, "replica 9 is not there"),
    ] {
        cluster.admin(arguments).end().fails(code, &[told]);
    }
    let refused = cluster.admin(&["add", "127.0.0.1:70000"]).end().code(2);
    assert!(refused.stderr.contains("127.0.0.1:70000"), "{refused:#?}");
    let key = format!("{}/cluster.key", cluster.dir());
    let elsewhere = ["cluster", "add", "delta", "--cluster-key-file", &key];
    place.run(&elsewhere).end().fails(2, &["with --out the folder"]);
    let full = cluster.dir();
    place.run(&elsewhere).and(&["--out", &full]).end().fails(1, &["is not empty"]);
    assert_eq!(ids(&whole(&cluster)), [1, 2, 3]);
    assert!(!std::path::Path::new(&out).exists());
}

/// Once it dies before it is removed, and once it learns of that while it goes on.
#[test]
fn what_a_removed_server_took_alone_is_handed_over_by_those_that_are_left() {
    for dies in [true, false] {
        let mut by_hand = ByHand::new();
        let newest = ftchat::limits::FEATURE_LEVEL_KNOWN;
        let at_newest = |status: &Value| status["feature_level"] == newest;
        by_hand.cluster.await_status("the newest level", at_newest);
        let (alice, bob) =
            (by_hand.cluster.person("alice").name, by_hand.cluster.person("bob").name);
        [1, 2].into_iter().for_each(|id| by_hand.server(id).signal(Signal::STOP));
        let send = ["send", &bob, "while alone", "--json"];
        assert_eq!(by_hand.cluster.known(&alice).does(&send).json()["confirmed"], false);
        let last = if dies { Signal::KILL } else { Signal::STOP };
        by_hand.server(3).signal(last);
        if dies {
            by_hand.take(3).end();
        }
        [1, 2].into_iter().for_each(|id| by_hand.server(id).signal(Signal::CONT));
        let key = by_hand.cluster.place.path().join("common.key").display().to_string();
        let remove = ["cluster", "remove", "3", "--force", "--cluster-key-file", &key, "--json"];
        assert_eq!(by_hand.cluster.run(&remove).end().json()["id"], 3);
        let told = "replica 3 was removed from the cluster";
        let handed_over = "1 change that it took without a majority: handed over";
        let ended = match dies {
            true => by_hand.serve(3).end(),
            false => {
                by_hand.server(3).signal(Signal::CONT);
                by_hand.take(3).end()
            }
        };
        ended.fails(7, &[told, handed_over]);
        let inbox = by_hand.cluster.known(&bob).messages();
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        assert_eq!(
            (&inbox[0]["text"], &inbox[0]["confirmed"]),
            (&"while alone".into(), &true.into())
        );
        let ended = by_hand.serve(3).end();
        assert!(!ended.stderr.contains("without a majority"), "{ended:?}");
        ended.fails(7, &[told]);
    }
}

#[test]
fn a_server_whose_replica_was_removed_ends_with_7_whenever_it_is_started() {
    let mut by_hand = ByHand::with(&["--survivor", "never"]);
    let key = by_hand.cluster.place.path().join("common.key").display().to_string();
    let remove = ["cluster", "remove", "3", "--force", "--cluster-key-file", &key, "--json"];
    let removed = by_hand.cluster.place.run(&remove).end().json();
    assert_eq!((&removed["id"], &removed["voters"]), (&Value::from(3), &Value::from(2)));
    let told = "replica 3 was removed from the cluster";
    by_hand.take(3).end().fails(7, &[told]);
    // Neither its data nor an empty directory brings it back.
    by_hand.serve(3).end().fails(7, &[told]);
    let empty = by_hand.cluster.place.path().join("empty");
    by_hand.serve_in(3, &empty).end().fails(7, &[told]);
    assert!(by_hand.cluster.data_dir(3).join("identity.json").exists());
    let alice = by_hand.cluster.person("alice");
    alice.send(&alice, "two are left");
    assert_eq!(alice.texts(), ["two are left"]);
}
