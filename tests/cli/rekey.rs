//! A new key for a cluster while people go on sending.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::by_hand::ByHand;
use crate::harness::{Cluster, Place, Steady, wait_for};

/// The word that names a cluster, and its fingerprint.
fn word(cluster: &Cluster) -> (String, String) {
    let shown = cluster.admin(&["address", "--json"]).end().json();
    let text = |field: &str| shown[field].as_str().expect("a text").to_string();
    (text("connect"), text("fingerprint"))
}

fn rekey(cluster: &Cluster, flags: &[&str]) -> Value {
    let rekeyed = cluster.admin(&["rekey", "--json"]).and(flags).end().json();
    assert_eq!((&rekeyed["stage"], &rekeyed["waits_for"]), (&"done".into(), &Value::Null));
    rekeyed
}

fn key_lines(file: impl AsRef<Path>) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a key file");
    text.lines().map(str::to_string).collect()
}

fn key_file(cluster: &Cluster) -> String {
    format!("{}/cluster.key", cluster.dir())
}

/// Asks as an administrator who has this key.
fn with_key(place: &Place, key: &Path, servers: &str, code: i32) -> String {
    let list = ["cluster", "account", "list", "--timeout", "2s", "--servers", servers];
    let asked = place.run(&list).and(&["--cluster-key-file", &key.display().to_string()]).end();
    let asked = asked.code(code);
    asked.stderr
}

#[test]
fn a_local_cluster_gets_a_new_key_and_a_steady_sender_notices_nothing() {
    let cluster = Cluster::surviving();
    let (_, before) = word(&cluster);
    let old = cluster.place.path().join("old.key");
    std::fs::copy(key_file(&cluster), &old).expect("a copy");
    let steady = Steady::start(&cluster);
    let rekeyed = rekey(&cluster, &[]);
    steady.goes_on();
    let (after, fingerprint) = word(&cluster);
    assert_eq!(rekeyed["fingerprint"], fingerprint.as_str());
    assert_eq!(rekeyed["old_fingerprint"], before.as_str());
    assert_eq!(rekeyed["connect"], after.as_str());
    assert_eq!(key_lines(key_file(&cluster)).len(), 1, "the old key is nowhere");
    assert!(
        !std::fs::read_to_string(&old).expect("a file").contains(&key_lines(key_file(&cluster))[0])
    );

    // The old key is worth nothing any more, and says so.
    let servers = cluster.addresses().join(",");
    let refused = with_key(&cluster.place, &old, &servers, 1);
    assert!(refused.contains(&before) && refused.contains(&fingerprint), "{refused}");
    with_key(&cluster.place, Path::new(&key_file(&cluster)), &servers, 0);
    // Servers that start again know only the new one.
    cluster.admin(&["restart"]).end().ok();
    steady.goes_on();
    let third = rekey(&cluster, &[]);
    assert_eq!(third["old_fingerprint"], fingerprint.as_str());
    steady.goes_on();
    steady.all_arrived();
    cluster.admin(&["down", "--purge"]).end().ok();
    assert!(!Path::new(&cluster.dir()).exists());
}

#[test]
fn a_change_of_key_whose_command_was_killed_is_finished_by_the_same_command() {
    let cluster = Cluster::surviving();
    let command = cluster.admin(&["rekey"]).start();
    command.said("changing over to the new key");
    command.signal(Signal::KILL);
    command.end().code(137);
    let begun = key_lines(key_file(&cluster));
    assert_eq!(begun.len(), 2, "the new key, and the old one");
    // Whoever led may be gone as well.
    let leader = cluster.leader();
    cluster.signal(leader, Signal::KILL);
    let rekeyed = rekey(&cluster, &[]);
    assert_eq!(key_lines(key_file(&cluster)), begun[..1], "no third key was made");
    cluster.start(leader);
    cluster.await_whole();
    assert_eq!(rekeyed["fingerprint"], word(&cluster).1.as_str());
}

#[test]
fn a_profile_follows_a_planned_change_and_refuses_one_after_a_theft() {
    let cluster = Cluster::new();
    let place = Place::new();
    let (first_word, first) = word(&cluster);
    place.run(&["connect", &first_word, "--name", "work"]).end().ok();
    rekey(&cluster, &[]);
    rekey(&cluster, &[]);
    let (second_word, second) = word(&cluster);
    // It has missed one, and follows both.
    let status = place.run(&["status"]).end().code(0);
    for text in [&first, &second, "profile work"] {
        assert!(status.stderr.contains(text), "{status:#?}");
    }
    let kept = place.run(&["profiles", "--json"]).end().objects();
    assert_eq!(kept[0]["connect"], second_word.as_str());
    assert!(!place.run(&["status"]).end().code(0).stderr.contains(&second), "it is told once");
    // Whoever pastes the old word is told the new one.
    let pasted = place.run(&["status", "--servers", &first_word]).end().code(0);
    assert!(pasted.stderr.contains(&second_word), "{pasted:#?}");
    let connected = place.run(&["connect", &first_word, "--name", "again", "--json"]).end().json();
    assert_eq!(connected["fingerprint"], second.as_str());

    rekey(&cluster, &["--compromised"]);
    let (third_word, third) = word(&cluster);
    let refused = place.run(&["whoami", "--profile", "work", "--timeout", "2s"]).end();
    refused.fails(1, &[&second, &third]);
    let json = place.run(&["whoami", "--servers", &first_word, "--timeout", "2s", "--json"]).end();
    json.refused(1, "wrong_cluster");
    place.run(&["status", "--servers", &third_word]).end().code(0);
    let kept = place.run(&["profiles", "--json"]).end().objects();
    assert!(kept.iter().all(|profile| profile["fingerprint"] == second.as_str()), "{kept:?}");
}

/// The folder of a change, asked for with the old key of servers that were started by hand.
fn rekey_by_hand(by_hand: &ByHand, old: &Path, out: &str, flags: &[&str]) -> Value {
    let place = &by_hand.cluster.place;
    let rekey = place.run(&["cluster", "rekey", "--json", "--out", out]);
    let rekey = rekey.and(&["--cluster-key-file", &old.display().to_string()]).and(flags);
    rekey.end().json()
}

#[test]
fn servers_with_files_of_their_own_change_over_when_the_last_one_has_the_new_key() {
    let mut by_hand = ByHand::with_own_keys(&["--survivor", "never"]);
    let path = |name: &str| by_hand.cluster.place.path().join(name);
    let (out, old, keys) = (path("new"), path("old.key"), [1, 2, 3].map(|id| by_hand.key_file(id)));
    let new = out.join("cluster.key");
    std::fs::copy(&keys[0], &old).expect("a copy");
    let out = out.display().to_string();
    let carry = |id: usize| std::fs::copy(&new, &keys[id - 1]).map(drop).expect("carried");

    let begun = rekey_by_hand(&by_hand, &old, &out, &[]);
    assert_eq!(begun["stage"], "announced", "{begun}");
    assert!(begun["waits_for"].as_str().expect("for all").contains("1, 2 and 3"), "{begun}");
    carry(1);
    // The one that has it may be restarted, and one that has not may be dead meanwhile.
    by_hand.kill(1);
    by_hand.start(1);
    by_hand.cluster.await_whole();
    carry(2);
    by_hand.kill(3);
    let waits = wait_for("only server 3 is waited for", || {
        let begun = rekey_by_hand(&by_hand, &old, &out, &[]);
        assert_eq!(begun["stage"], "announced", "nobody uses what server 3 does not know");
        let waits = begun["waits_for"].as_str().expect("for one").to_string();
        waits.contains("from server 3").then_some(waits)
    });
    assert!(waits.contains("--force"), "{waits}");
    by_hand
        .cluster
        .await_status("the notice", |status| status.to_string().contains("from server 3"));
    // It comes back with the old key alone and takes part as before.
    by_hand.start(3);
    by_hand.cluster.await_whole();
    carry(3);
    let done = wait_for("the old key is forgotten", || {
        let rekeyed = rekey_by_hand(&by_hand, &old, &out, &[]);
        (rekeyed["stage"] == "done").then_some(rekeyed)
    });
    assert_eq!(done["waits_for"], Value::Null);
    assert_eq!(key_lines(&new).len(), 1, "the folder has only the new key by now");
    by_hand.cluster.await_status("files with the old key", |it| {
        it.to_string().contains("still holds the old key")
    });
    // A restart does not know the old key again, though the file still has it.
    by_hand.kill(2);
    by_hand.start(2);
    by_hand.cluster.await_whole();
    let servers = by_hand.cluster.addresses().join(",");
    with_key(&by_hand.cluster.place, &old, &servers, 1);
    (1..=3).for_each(carry);
    by_hand.cluster.await_status("nothing to say", |it| !it.to_string().contains("old key"));
}

#[test]
fn a_server_that_was_left_out_says_what_it_needs_and_joins_when_it_has_it() {
    let mut by_hand = ByHand::with_own_keys(&["--survivor", "never"]);
    let path = |name: &str| by_hand.cluster.place.path().join(name);
    let (out, old, keys) = (path("new"), path("old.key"), [1, 2, 3].map(|id| by_hand.key_file(id)));
    let new = out.join("cluster.key");
    std::fs::copy(&keys[0], &old).expect("a copy");
    let out = out.display().to_string();
    by_hand.kill(3);
    rekey_by_hand(&by_hand, &old, &out, &["--compromised"]);
    for key in &keys[..2] {
        std::fs::copy(&new, key).expect("carried");
    }
    wait_for("the old key is forgotten", || {
        let rekeyed = rekey_by_hand(&by_hand, &old, &out, &["--compromised", "--force"]);
        (rekeyed["stage"] == "done").then_some(())
    });
    by_hand.start(3);
    let at = by_hand.cluster.addresses().swap_remove(2);
    let file = keys[2].display().to_string();
    wait_for("it says which file to replace", || {
        let status = by_hand.cluster.place.run(&["status", "--servers", &at, "--json"]).end();
        (status.stdout.contains("new cluster.key") && status.stdout.contains(&file)).then_some(())
    });
    std::fs::copy(&new, &keys[2]).expect("carried");
    by_hand.cluster.await_whole();
}

#[test]
fn what_cannot_be_is_refused_and_the_key_stays() {
    let cluster = Cluster::new();
    let place = &cluster.place;
    let full = place.path().join("full").display().to_string();
    std::fs::create_dir(&full).expect("a folder");
    place.write("full/mine", "mine");
    let before = key_lines(key_file(&cluster));
    cluster.admin(&["rekey", "--out", &full]).end().fails(2, &["--out is for other machines"]);
    // As an administrator from elsewhere, with the fingerprint in the word.
    let (connect, _) = word(&cluster);
    let elsewhere = |key: &str, out: &str| {
        let rekey = place.run(&["cluster", "rekey", "--servers", &connect, "--timeout", "3s"]);
        let rekey = rekey.and(&["--cluster-key-file", key]);
        if out.is_empty() { rekey.end() } else { rekey.and(&["--out", out]).end() }
    };
    let key = key_file(&cluster);
    elsewhere(&key, "").fails(2, &["--out the folder"]);
    elsewhere(&key, &full).fails(1, &["is not empty"]);
    let wrong = place.write("wrong.key", format!("{}\n", "ab".repeat(32))).display().to_string();
    std::process::Command::new("chmod").args(["600", &wrong]).status().expect("chmod");
    let out = place.path().join("out").display().to_string();
    elsewhere(&wrong, &out).fails(1, &["another cluster's"]);
    std::process::Command::new("chmod").args(["644", &wrong]).status().expect("chmod");
    elsewhere(&wrong, &out).fails(2, &["others can read the cluster's secret"]);
    assert!(!Path::new(&out).exists());
    // A second change while one runs, and the same one asked for otherwise.
    elsewhere(&key, &out).code(0);
    let other = place.path().join("other").display().to_string();
    elsewhere(&key, &other).fails(1, &["is being changed from", "one change is made at a time"]);
    let again =
        place.run(&["cluster", "rekey", "--servers", &connect, "--compromised", "--out", &out]);
    again.and(&["--cluster-key-file", &key]).end().fails(2, &["without --compromised"]);
    let add = cluster.admin(&["add"]).end();
    add.fails(1, &["is being changed from"]);
    assert_eq!(key_lines(key_file(&cluster)), before);
}
