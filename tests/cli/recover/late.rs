//! A machine of the old cluster turns up when the new one has gone on without it.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::{back, copy, id_in, text, wipe};
use crate::harness::cluster::PASSWORD;
use crate::harness::{Cluster, Person};

/// A cluster of which each server can be without the others, and adopts nobody.
fn old(variables: &[(&str, &str)]) -> Cluster {
    let old = Cluster::with(variables);
    old.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    old
}

/// What a server leaves behind that is stopped now, when all is confirmed.
fn set_apart(old: &Cluster, id: u64) -> PathBuf {
    old.admin(&["stop", &id.to_string()]).end().ok();
    let folder = old.place.path().join(format!("apart-{id}"));
    copy(&old.data_dir(id), &folder);
    std::fs::remove_dir_all(old.data_dir(id)).expect("its directory");
    folder
}

/// A cluster that was made out of one directory.
fn recovered(from: &Path) -> Cluster {
    let (new, _) = Cluster::recovered(&["--from", &text(from), "--others-are-gone", &id_in(from)]);
    new.await_whole();
    new
}

fn hand_over(new: &Cluster, from: &str) -> Value {
    new.admin(&["hand-over", "--from", from, "--json"]).end().json()
}

fn counts(handed: &Value) -> [u64; 4] {
    ["messages_handed_over", "not_delivered", "read", "deleted"]
        .map(|field| handed[field].as_u64().expect("a count"))
}

fn texts(person: &Person<'_>) -> Vec<String> {
    person.texts()
}

/// Two go on when the third is lost, are lost themselves when it is back, and turn up when a
/// cluster was made out of that.
fn two_turn_up_later(variables: &[(&str, &str)], more: usize) {
    let old = old(variables);
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let ids: Vec<String> = (0..4).map(|n| alice.send(&bob, &format!("both {n}"))).collect();
    old.await_whole();
    let third = set_apart(&old, old.followers()[0]);
    // Only the two know these.
    bob.does(&["delete", &ids[0]]).ok();
    bob.does(&["inbox", "--limit", "1"]).ok();
    let carol = old.person("carol");
    let gone = alice.send(&bob, "there, and deleted");
    bob.does(&["delete", &gone]).ok();
    let later: Vec<String> = (0..3).map(|n| alice.send(&bob, &format!("there {n}"))).collect();
    carol.send(&alice, "from a newcomer");
    let lines: String = (0..more).map(|n| format!("line {n}\n")).collect();
    alice.run(&["send", &carol.name, "--lines"]).stdin(lines).end().ok();
    alice.does(&["send", &format!("{},{}", bob.name, carol.name), "to both"]).ok();
    old.admin(&["down"]).end().ok();

    let new = recovered(&third);
    let (alice, bob) = (back(&new, &alice.name), back(&new, &bob.name));
    assert_eq!(texts(&bob), ["both 0", "both 1", "both 2", "both 3"]);
    alice.send(&bob, "here");
    bob.does(&["delete", &ids[3]]).ok();

    let sources = [1, 2, 3].map(|id| old.data_dir(id));
    let late: Vec<String> = sources.iter().filter(|it| it.is_dir()).map(|it| text(it)).collect();
    let handed = hand_over(&new, &late[0]);
    let brought = 5 + more as u64;
    assert_eq!(counts(&handed), [brought, 0, 1, 1], "{handed}");
    assert_eq!(handed["accounts_handed_over"], Value::from(vec![carol.name.clone()]), "{handed}");
    assert_eq!(handed["clashes"], Value::from(Vec::<Value>::new()), "{handed}");
    let as_it_is_to_be = ["both 1", "both 2", "here", "there 0", "there 1", "there 2", "to both"];
    assert_eq!(texts(&bob), as_it_is_to_be);
    let read: Vec<bool> = bob.messages().iter().map(|it| it["read"] == true).collect();
    assert_eq!(read, [true, false, false, false, false, false, false]);
    assert!(bob.ids().ends_with(&[later[2].clone(), bob.ids()[6].clone()]), "the same ids");
    assert_eq!(texts(&alice), ["from a newcomer"]);
    let carol = back(&new, &carol.name);
    assert_eq!(texts(&carol).len(), more + 1);
    let lines: Vec<String> = (0..more).map(|n| format!("line {n}")).collect();
    assert_eq!(texts(&carol)[..more], lines);

    // Whatever is done here meanwhile, nothing comes twice, and nothing that is gone comes back.
    bob.does(&["delete", &later[0]]).ok();
    for source in late.iter().chain([&text(&third)]) {
        let again = hand_over(&new, source);
        assert_eq!(counts(&again), [0, 0, 0, 0], "{source}: {again}");
        assert_eq!(again["accounts_handed_over"], Value::from(Vec::<Value>::new()), "{again}");
    }
    assert_eq!(texts(&bob), [&as_it_is_to_be[..3], &as_it_is_to_be[4..]].concat());
    assert_eq!(texts(&carol).len(), more + 1);
}

#[test]
fn machines_that_turn_up_later_hand_over_what_only_they_knew_and_only_once() {
    two_turn_up_later(&[], 0);
}

/// Then no entry of the log says any more what was done behind the common place.
#[test]
fn what_only_a_snapshot_has_is_handed_over_as_well() {
    let small = [
        ("FTCHAT_LIMITS_SNAPSHOT_LOG_MIN_BYTES", "6000"),
        ("FTCHAT_LIMITS_LOG_ENTRIES_KEPT", "5"),
        ("FTCHAT_LIMITS_LOG_SEGMENT_MAX_BYTES", "4096"),
    ];
    two_turn_up_later(&small, 300);
}

/// Each of two was alone, and the second is thought to be gone for good.
#[test]
fn what_a_late_machine_had_taken_alone_is_handed_over_and_what_was_tried_on_both_once() {
    let old = super::old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    alice.send(&bob, "both");
    old.await_whole();
    let (first, second) = (old.followers()[0], old.followers()[1]);
    let leader = old.leader();
    let lonely = |id: u64, lines: &[(&str, &str)]| {
        let others = [first, second, leader].into_iter().filter(|other| *other != id);
        for other in others {
            if old.server(other).is_some() {
                old.signal(other, Signal::STOP);
            }
        }
        for (text, id) in lines {
            let send = ["send", &bob.name, text, "--id", id, "--timeout", "20s", "--json"];
            assert_eq!(alice.does(&send).json()["confirmed"], false);
        }
        old.crash(id);
        let folder = old.place.path().join(format!("lonely-{id}"));
        copy(&old.data_dir(id), &folder);
        std::fs::remove_dir_all(old.data_dir(id)).expect("its directory");
        folder
    };
    let [twice, one, two] = [1, 2, 3].map(|n| format!("00000000-0000-4000-8000-00000000000{n}"));
    let late = lonely(first, &[("twice", &twice), ("one", &one)]);
    old.signal(second, Signal::CONT);
    let kept = lonely(second, &[("twice", &twice), ("two", &two)]);
    wipe(&old, &[leader]);

    let new = recovered(&kept);
    let bob = back(&new, &bob.name);
    assert_eq!(texts(&bob), ["both", "twice", "two"]);
    let handed = hand_over(&new, &text(&late));
    assert_eq!(counts(&handed), [1, 0, 0, 0], "{handed}");
    assert_eq!(texts(&bob), ["both", "twice", "two", "one"]);
    assert_eq!(bob.ids()[1..], [twice, two, one]);
}

/// The others have confirmed another message at the place that it had in its log.
#[test]
fn what_a_leader_promised_when_it_was_alone_is_handed_over_although_others_went_on() {
    let old = super::old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    alice.send(&bob, "both");
    old.await_whole();
    let (leader, others) = (old.leader(), old.followers());
    others.iter().for_each(|id| old.signal(*id, Signal::STOP));
    let alone = alice.does(&["send", &bob.name, "promised", "--timeout", "20s", "--json"]).json();
    assert_eq!(alone["confirmed"], false, "{alone}");
    old.crash(leader);
    let late = old.place.path().join("leader");
    copy(&old.data_dir(leader), &late);
    std::fs::remove_dir_all(old.data_dir(leader)).expect("its directory");
    // What waits in their sockets goes with them.
    others.iter().for_each(|id| old.crash(*id));
    for id in &others {
        old.admin(&["start", &id.to_string()]).end().ok();
    }
    // Somebody else, who does not follow what waits.
    let carol = old.person("carol");
    carol.send(&bob, "confirmed");
    old.admin(&["down"]).end().ok();

    let new = recovered(&old.data_dir(others[0]));
    let bob = back(&new, &bob.name);
    assert_eq!(texts(&bob), ["both", "confirmed"]);
    for (brought, all) in [(1, 3), (0, 3)] {
        let handed = hand_over(&new, &text(&late));
        assert_eq!(counts(&handed), [brought, 0, 0, 0], "{handed}");
        assert_eq!(texts(&bob)[..all], ["both", "confirmed", "promised"]);
    }
}

#[test]
fn an_account_that_was_brought_and_deleted_does_not_come_back_and_one_shut_out_stays_so() {
    let old = old(&[]);
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    alice.send(&bob, "both");
    old.await_whole();
    let third = set_apart(&old, old.followers()[0]);
    let (carol, mallory) = (old.person("carol"), old.person("mallory"));
    carol.send(&bob, "from carol");
    mallory.send(&bob, "from mallory");
    old.admin(&["account", "disable", &mallory.name]).end().ok();
    old.admin(&["down"]).end().ok();

    let new = recovered(&third);
    let late = (1..=3).map(|id| old.data_dir(id)).find(|it| it.is_dir());
    let late = text(&late.expect("one of two"));
    let handed = hand_over(&new, &late);
    assert_eq!(handed["accounts_handed_over"].as_array().map(Vec::len), Some(2), "{handed}");
    assert_eq!(counts(&handed)[..2], [2, 0], "what she sent before she was shut out: {handed}");
    let (carol, mallory) = (back(&new, &carol.name), new.known(&mallory.name));
    let login = ["login", &mallory.name, "--password-stdin"];
    mallory.run(&login).stdin(PASSWORD).end().fails(4, &["disabled"]);
    let confirm = ["delete-account", "--confirm", &carol.name, "--password-stdin"];
    carol.run(&confirm).stdin(PASSWORD).end().ok();
    for _ in 0..2 {
        let again = hand_over(&new, &late);
        assert_eq!(again["accounts_handed_over"], Value::from(Vec::<Value>::new()), "{again}");
        assert_eq!(counts(&again), [0, 0, 0, 0], "{again}");
    }
    carol.run(&["login", &carol.name, "--password-stdin"]).stdin(PASSWORD).end().code(4);
}

#[test]
fn what_both_clusters_have_decided_is_said_and_the_running_one_is_right() {
    let old = old(&[]);
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let (dora, emil) = (old.person("dora"), old.person("emil"));
    alice.send(&bob, "both");
    old.await_whole();
    let third = set_apart(&old, old.followers()[0]);
    let taken = old.person("taken");
    taken.send(&bob, "from somebody whose name is gone");
    alice.send(&taken, "to somebody whose name is gone");
    let confirm = ["delete-account", "--confirm", &dora.name, "--password-stdin"];
    dora.run(&confirm).stdin(PASSWORD).end().ok();
    old.admin(&["account", "disable", &emil.name]).end().ok();
    old.admin(&["down"]).end().ok();

    let new = recovered(&third);
    let other = new.known(&taken.name);
    other.run(&["register", &taken.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    let late = (1..=3).map(|id| old.data_dir(id)).find(|it| it.is_dir());
    let late = text(&late.expect("one of two"));
    let handed = hand_over(&new, &late);
    assert_eq!(counts(&handed)[..2], [0, 2], "{handed}");
    for (name, what) in [
        (&taken.name, "the name belongs to somebody else"),
        (&dora.name, "deleted there"),
        (&emil.name, "disabled there"),
    ] {
        let clashes = handed["clashes"].as_array().expect("some");
        let is_said = |it: &&Value| {
            it["name"] == **name && it["what"].as_str().is_some_and(|it| it.contains(what))
        };
        assert!(clashes.iter().any(|it| is_said(&it)), "{name}: {handed}");
    }
    let alice = back(&new, &alice.name);
    let notice = texts(&alice).pop().expect("a notice");
    assert!(notice.contains("did not reach"), "{notice}");
    assert_eq!(texts(&other), Vec::<String>::new(), "a later owner of a name gets nothing");
    let said = new.admin(&["hand-over", "--from", &late]).end().ok();
    assert!(said.contains(&format!("clash\t{}\twas deleted there", dora.name)), "{said}");
}

#[test]
fn only_a_cluster_that_was_made_out_of_it_takes_what_a_machine_hands_over() {
    let (one, other) = (old(&[]), old(&[]));
    let (alice, bob) = (one.person("alice"), one.person("bob"));
    alice.send(&bob, "of another cluster");
    one.await_whole();
    let running = one.data_dir(1);
    let from = |folder: &str| {
        other.admin(&["hand-over", "--from", folder, "--timeout", "3s", "--json"]).end()
    };
    from(&text(&running)).refused(1, "directory_in_use");
    one.admin(&["down"]).end().ok();
    from(&text(&running)).refused(1, "wrong_cluster");
    from(&text(&one.place.path().join("nothing"))).refused(1, "corrupted");
    // Where accounts are not let in, nothing comes before they are.
    let third = one.place.path().join("third");
    copy(&running, &third);
    let new = recovered(&third);
    one.admin(&["up", "-d"]).end().ok();
    let carol = one.person("carol");
    carol.send(&bob, "later");
    one.admin(&["down"]).end().ok();
    new.admin(&["registration", "closed"]).end().ok();
    let late = text(&one.data_dir(2));
    let hand_over_to = |new: &Cluster| new.admin(&["hand-over", "--from", &late]).end();
    hand_over_to(&new).fails(1, &[&carol.name, "ftchat cluster registration open"]);
    let bob = back(&new, &bob.name);
    assert_eq!(texts(&bob), ["of another cluster"]);
    new.admin(&["registration", "open"]).end().ok();
    hand_over_to(&new).ok();
    assert_eq!(texts(&bob), ["of another cluster", "later"]);
    // While no majority is there nothing is handed over.
    let frozen = new.followers();
    frozen.iter().for_each(|id| new.signal(*id, Signal::STOP));
    new.admin(&["hand-over", "--from", &late, "--timeout", "2s"]).end().fails(3, &[]);
    frozen.iter().for_each(|id| new.signal(*id, Signal::CONT));
    assert_eq!(texts(&bob), ["of another cluster", "later"]);
}
