//! Two of three servers are frozen and nothing proves them dead: the third goes on alone.
//! What it takes is seen at once, and confirmed when the others go on.
//!
//! | file | what |
//! |---|---|
//! | [`people`] | what is shown of unconfirmed messages, and what needs a majority |
//! | [`order`] | what comes behind what: after a start, behind a server that is gone |
//! | [`sides`] | two sides that contradict each other |
//! | [`damaged`] | lists that are torn, broken or of others; full disks |
//! | [`hard`] | a long list and a restart, clocks that jump |

#[cfg(target_os = "linux")]
mod damaged;
#[cfg(target_os = "linux")]
mod hard;
mod order;
mod people;
mod sides;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::running::json;
use crate::harness::{Cluster, Person, wait_for};

/// Until then nobody could settle what a server takes alone, and all else waits that a level
/// has brought.
pub fn await_newest_level(cluster: &Cluster) {
    let newest = ftchat::limits::FEATURE_LEVEL_KNOWN;
    cluster.await_status("the newest level", |status| status["feature_level"] == newest);
}

/// A cluster at the newest feature level, of which one server is left alone, and that one.
pub fn left_alone(cluster: &Cluster) -> (u64, Vec<u64>) {
    await_newest_level(cluster);
    let frozen = cluster.followers();
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    let left = 6 - frozen.iter().sum::<u64>();
    cluster.await_status("one that is alone", |status| {
        status["replicas"][left as usize - 1]["alone_since"].is_string()
    });
    (left, frozen)
}

/// Sends a message; what the program says of it.
pub fn sent(from: &Person<'_>, to: &Person<'_>, text: &str) -> Value {
    json(&from.does(&["send", &to.name, text, "--json"]).ok())
}

/// The lonely server dies, and the others go on.
fn left_behind(cluster: &Cluster, left: u64, frozen: &[u64]) {
    cluster.crash(left);
    wait_for("the end of the one that was alone", || cluster.server(left).is_none().then_some(()));
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    cluster.await_status("a majority without it", |status| status["confirming"] == true);
}

/// Lets servers go on, and waits until nothing is unconfirmed any more.
pub fn thaw(cluster: &Cluster, frozen: &[u64]) {
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    cluster.await_status("all that was taken alone is confirmed", |status| {
        let mut replicas = status["replicas"].as_array().expect("an array").iter();
        let together = replicas.all(|replica| replica["alone_since"].is_null());
        status["confirming"] == true && status["unconfirmed"] == 0 && together
    });
    cluster.await_whole();
}

#[test]
fn the_one_that_is_left_takes_messages_shows_them_and_hands_them_over() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let before = alice.send(&bob, "before");
    let (left, frozen) = left_alone(&cluster);

    let taken = sent(&alice, &bob, "while alone");
    let expected = serde_json::json!({"confirmed": false, "seq": null, "copies": 1, "replicas": 3});
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&taken[field], value, "{field} of {taken}");
    }
    assert_eq!(taken["place"]["n"], 1, "{taken}");
    let again = ["send", &bob.name, "while alone", "--json", "--id"];
    let id = taken["id"].as_str().expect("an id").to_string();
    let repeated = json(&alice.run(&again).and(&[&id]).end().ok());
    assert_eq!(repeated["place"], taken["place"], "the same again is the same message");

    let read = bob.run(&["inbox", "--peek", "--json"]).end();
    assert!(read.stderr.contains(&format!("server {left} is alone since")), "{read:?}");
    let shown = read.objects();
    assert_eq!([&shown[0]["id"], &shown[1]["id"]], [&Value::from(before), &taken["id"]]);
    assert_eq!([&shown[0]["confirmed"], &shown[1]["confirmed"]], [true, false]);
    assert_eq!((&shown[1]["seq"], shown[1]["accepted_at"].is_string()), (&Value::Null, true));
    let plain = bob.does(&["inbox", "--peek"]).ok();
    assert_eq!(plain.lines().filter(|line| line.contains('~')).count(), 1, "{plain}");
    assert_eq!(bob.does(&["inbox", "--peek", "--confirmed"]).ok().lines().count(), 1);

    let status = cluster.status();
    for (field, value) in [
        ("writable", Value::from(true)),
        ("confirming", false.into()),
        ("unconfirmed", 1.into()),
        ("leader", Value::Null),
        ("tolerates", 0.into()),
    ] {
        assert_eq!(status[field], value, "{field} of {status}");
    }
    cluster.run(&["status", "--check"]).end().code(1);
    let plain = cluster.run(&["status"]).end().ok();
    assert!(plain.contains("unconfirmed\t1\n"), "{plain}");

    thaw(&cluster, &frozen);
    let messages = bob.messages();
    assert_eq!(bob.texts(), ["before", "while alone"]);
    assert_eq!((&messages[1]["confirmed"], &messages[1]["id"]), (&true.into(), &taken["id"]));
    assert!(messages[1]["accepted_at"].is_string(), "{messages:?}");
    assert_eq!(cluster.run(&["status", "--check"]).end().code, Some(0));
}

/// A majority is there again before the server that was alone has handed anything over.
#[test]
fn separate_commands_keep_their_order_when_the_others_go_on() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (_, frozen) = left_alone(&cluster);
    let mut confirmed = Vec::new();
    let mut send = |text: &str| {
        let sent = sent(&alice, &bob, text);
        confirmed.push(sent["confirmed"].as_bool().expect("it is or is not"));
    };
    send("1");
    send("2");
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    send("3");
    let lines = alice.run(&["send", &bob.name, "--lines"]).stdin("4\n5\n").end().ok();
    assert_eq!(lines.lines().count(), 2);
    send("6");
    thaw(&cluster, &frozen);
    send("7");
    assert_eq!(bob.texts(), ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!((confirmed[1], confirmed.last()), (false, Some(&true)), "{confirmed:?}");
}

/// Its server dies with what it took, and then another one: the last one has it all.
#[test]
fn an_adopted_directory_brings_along_what_its_server_took_alone() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (left, frozen) = left_alone(&cluster);
    sent(&alice, &bob, "while alone");
    cluster.crash(left);
    wait_for("the end of the one that was alone", || cluster.server(left).is_none().then_some(()));
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    let [survivor, dead] = [frozen[0], frozen[1]];
    cluster.await_status("a leader among those that go on", |it| it["writable"] == true);
    cluster.crash(dead);
    let adopted = cluster.await_status("all that was taken alone is confirmed", |status| {
        let left = &status["replicas"][left as usize - 1];
        left["hosted_by"] == survivor && status["unconfirmed"] == 0 && bob.texts().len() == 1
    });
    assert_eq!(bob.texts(), ["while alone"], "{adopted}");
    // The owner finds that it is done.
    cluster.start(left);
    cluster.start(dead);
    cluster.await_whole();
    assert_eq!(bob.texts(), ["while alone"]);
    let outbox = cluster.data_dir(left).join("outbox");
    wait_for("an outbox without a list", || {
        let mut lists = std::fs::read_dir(&outbox).expect("the folder").flatten();
        lists.next().is_none().then_some(())
    });
}

#[test]
fn whoever_follows_sees_each_message_once_through_it_all() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let follow = bob.run(&["inbox", "-f", "--json"]).start();
    alice.send(&bob, "before");
    assert_eq!(follow.json()["text"], "before");
    let (_, frozen) = left_alone(&cluster);
    let taken = sent(&alice, &bob, "while alone");
    let shown = follow.json();
    assert_eq!((&shown["id"], &shown["confirmed"]), (&taken["id"], &false.into()));
    thaw(&cluster, &frozen);
    alice.send(&bob, "after");
    assert_eq!(follow.json()["text"], "after", "and the one before is not shown again");
}

#[test]
fn marks_deletions_and_logouts_are_taken_as_well() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let unwanted = alice.send(&bob, "unwanted");
    let (_, frozen) = left_alone(&cluster);
    sent(&alice, &bob, "while alone");
    bob.does(&["delete", &unwanted]).ok();
    let read = bob.does(&["inbox"]).ok();
    assert_eq!(read.lines().count(), 1, "{read}");
    assert_eq!(bob.does(&["inbox"]).ok(), "", "what was printed is marked");
    alice.does(&["logout"]).ok();
    thaw(&cluster, &frozen);
    assert_eq!(bob.texts(), ["while alone"]);
    assert_eq!(bob.does(&["inbox"]).ok(), "");
    alice.does(&["whoami"]).code(4);
}

#[test]
fn lines_keep_their_order_from_the_majority_to_the_lonely_one_and_back() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut lines = alice.run(&["send", &bob.name, "--lines", "--timeout", "60s"]).start();
    lines.write("1\n2\n");
    wait_for("the first lines", || (bob.texts().len() == 2).then_some(()));
    let (_, frozen) = left_alone(&cluster);
    lines.write("3\n4\n");
    let all = || bob.run(&["inbox", "--all", "--peek", "--json"]).end().ok().lines().count();
    wait_for("the lines that were taken alone", || (all() == 4).then_some(()));
    thaw(&cluster, &frozen);
    lines.write("5\n6\n");
    lines.close();
    assert_eq!(lines.end().ok().lines().count(), 6);
    assert_eq!(bob.texts(), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_message_that_was_shown_and_goes_to_nobody_is_withdrawn() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let follow = bob.run(&["inbox", "-f", "--json"]).start();
    alice.send(&bob, "before");
    follow.json();
    let (left, frozen) = left_alone(&cluster);
    let taken = sent(&alice, &bob, "while alone");
    assert_eq!(follow.json()["id"], taken["id"]);
    // The others do not know of it, and shut its author out.
    cluster.signal(left, Signal::STOP);
    frozen.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    cluster.await_status("a majority without it", |status| status["confirming"] == true);
    cluster.admin(&["account", "disable", &alice.name]).end().ok();
    thaw(&cluster, &[left]);
    let id = taken["id"].as_str().expect("an id");
    let told = follow.said(&format!("message {id}, which was shown, is not delivered"));
    assert!(told.ends_with("its author may not send it any more"), "{told}");
    assert_eq!(bob.texts(), ["before"]);
}
