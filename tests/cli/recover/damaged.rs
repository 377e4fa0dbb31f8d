//! Directories that are damaged: used as far as they are sound, and said.

use std::path::Path;

use crate::harness::{Cluster, Place, wait_for};

use super::{NAME, back, content, copy, id_in, old, text, wipe};

/// The middle of the log is broken in a copy.
fn broken_copy(of: &Path, to: &Path) {
    copy(of, to);
    let log = content(&to.join("log"));
    let (path, bytes) = log.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a log");
    let mut bytes = bytes.clone();
    // In the last message but one, whose text is its own.
    let at = bytes.windows(8).position(|it| it == b"broken-4").expect("in the log");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("a file");
}

#[test]
fn a_damaged_log_is_used_as_far_as_it_is_sound_and_that_is_said() {
    let old = old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let sent: Vec<String> = (0..6).map(|n| alice.send(&bob, &format!("broken-{n}"))).collect();
    old.await_whole();
    old.admin(&["down"]).end().ok();
    let folder = old.place.path().join("broken");
    broken_copy(&old.data_dir(1), &folder);
    let id = id_in(&folder);

    let (new, made) = Cluster::recovered(&["--from", &text(&folder), "--others-are-gone", &id]);
    let problems = made["from"]["directories"][0]["problems"].to_string();
    assert!(problems.contains("log/") && problems.contains("is broken"), "{made}");
    assert_eq!(made["from"]["confirmed_may_be_missing"], true, "{made}");
    assert_eq!(back(&new, &bob.name).ids(), sent[..4]);

    // Beside a whole one it costs nothing.
    let whole = text(&old.data_dir(2));
    let from = ["--from", &text(&folder), &whole, "--others-are-gone", NAME];
    let (new, made) = Cluster::recovered(&from);
    assert_eq!(made["from"]["directories"][1]["is_base"], true, "{made}");
    assert_eq!(back(&new, &bob.name).ids(), sent);
}

/// With snapshots, and logs that no longer reach back to the beginning.
#[test]
fn a_snapshot_and_the_log_behind_it_come_over_and_without_it_only_what_another_has() {
    let small = [
        ("FTCHAT_LIMITS_SNAPSHOT_LOG_MIN_BYTES", "6000"),
        ("FTCHAT_LIMITS_LOG_ENTRIES_KEPT", "5"),
        ("FTCHAT_LIMITS_LOG_SEGMENT_MAX_BYTES", "4096"),
    ];
    let old = Cluster::surviving_with(&small);
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let long = "x".repeat(900);
    let mut sent: Vec<String> = (0..24).map(|_| alice.send(&bob, &long)).collect();
    let has_snapshot = |id: u64| !content(&old.data_dir(id).join("snapshot")).is_empty();
    wait_for("snapshots", || (1..=3).all(has_snapshot).then_some(()));
    sent.push(alice.send(&bob, "last"));
    old.await_whole();
    old.admin(&["down"]).end().ok();
    let whole = text(&old.data_dir(2));
    let (new, made) = Cluster::recovered(&["--from", &whole, "--others-are-gone", NAME]);
    let directory = &made["from"]["directories"][0];
    assert!(directory["snapshot"].as_u64() <= directory["last_log"].as_u64(), "{made}");
    assert!(directory["snapshot"].as_u64() > Some(0), "{made}");
    assert_eq!(back(&new, &bob.name).ids(), sent);

    // What is broken in the log before the snapshot is not needed.
    let folder = old.place.path().join("before");
    copy(&old.data_dir(3), &folder);
    let (path, mut bytes) = content(&folder.join("log")).pop_first().expect("a log");
    bytes[40] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    let place = Place::new();
    let out = text(&place.path().join("out"));
    let id = made["from"]["cluster"].as_str().expect("an id");
    let named = ["cluster", "recover", "--out", &out, "--others-are-gone", id, "--json"];
    let before = place.run(&named).and(&["--from", &text(&folder)]).end().json();
    assert_eq!(before["from"]["messages"], 25, "{before}");
    assert!(before["from"]["directories"][0]["problems"].to_string().contains("is broken"));

    // One bit of the snapshot is wrong.
    let folder = old.place.path().join("broken");
    copy(&old.data_dir(1), &folder);
    let (path, mut bytes) = content(&folder.join("snapshot")).pop_first().expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    let place = Place::new();
    let out = text(&place.path().join("out"));
    let recover = ["cluster", "recover", "--out", &out, "--others-are-gone", NAME, "--json"];
    let alone = place.run(&recover).and(&["--from", &text(&folder)]).end();
    let id = made["from"]["cluster"].as_str().expect("an id");
    alone.refused(1, "not_confirmed");
    let named = ["cluster", "recover", "--out", &out, "--others-are-gone", id, "--json"];
    let refused = place.run(&named).and(&["--from", &text(&folder)]).end().refused(1, "corrupted");
    let why = refused["message"].as_str().expect("said");
    assert!(why.contains("snapshot/") && why.contains("is broken"), "{why}");
    assert!(!Path::new(&out).exists());
    let made = place.run(&named).and(&["--from", &text(&folder), &whole]).end().json();
    assert_eq!(made["from"]["messages"], 25, "{made}");
    assert_eq!(made["from"]["directories"][1]["is_base"], true, "{made}");
    assert_eq!(made["from"]["confirmed_may_be_missing"], true, "{made}");
}

/// One log is broken early, the other ends early, and together they have everything.
#[test]
fn what_comes_behind_damage_is_reached_through_another_log() {
    let old = Cluster::surviving_with(&[("FTCHAT_LIMITS_LOG_SEGMENT_MAX_BYTES", "4096")]);
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let long = "x".repeat(900);
    let sent: Vec<String> = (0..24).map(|_| alice.send(&bob, &long)).collect();
    old.await_whole();
    old.admin(&["down"]).end().ok();
    let [short, broken] = ["short", "broken"].map(|name| old.place.path().join(name));
    copy(&old.data_dir(1), &short);
    copy(&old.data_dir(2), &broken);
    let segments: Vec<_> = content(&short.join("log")).into_keys().collect();
    assert!(segments.len() >= 6, "{segments:?}");
    segments.iter().rev().take(2).for_each(|path| std::fs::remove_file(path).expect("a file"));
    let (path, mut bytes) = content(&broken.join("log")).into_iter().nth(2).expect("a third one");
    bytes[100] ^= 1;
    std::fs::write(path, bytes).expect("a file");

    let recover = |from: &[&Path]| {
        let place = Place::new();
        let out = text(&place.path().join("out"));
        let id = id_in(&short);
        let named = ["cluster", "recover", "--out", &out, "--others-are-gone", &id, "--json"];
        let from: Vec<String> = from.iter().map(|path| text(path)).collect();
        let from: Vec<&str> = from.iter().map(String::as_str).collect();
        place.run(&named).and(&["--from"]).and(&from).end().json()
    };
    for from in [[&*short, &*broken], [&*broken, &*short]] {
        let made = recover(&from);
        assert_eq!(made["from"]["messages"], sent.len(), "{made}");
        assert_eq!(made["from"]["confirmed_may_be_missing"], true, "{made}");
    }
    // By itself it says what it cannot reach.
    let made = recover(&[&broken]);
    assert!(made["from"]["messages"].as_u64() < Some(sent.len() as u64), "{made}");
    let problems = made["from"]["directories"][0]["problems"].to_string();
    assert!(problems.contains("what leads there is missing"), "{made}");
}

/// A server that finds its files damaged sets them aside and waits for the others, which are
/// gone. What it had taken alone has stayed in its place.
#[test]
fn what_a_server_has_set_aside_as_damaged_is_found_with_its_outbox() {
    let old = old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let mut sent: Vec<String> = (0..5).map(|n| alice.send(&bob, &format!("broken-{n}"))).collect();
    old.await_whole();
    let (wiped, third) = (old.followers(), old.leader());
    wipe(&old, &wiped);
    let alone = alice.does(&["send", &bob.name, "alone", "--json"]).json();
    assert_eq!(alone["confirmed"], false, "{alone}");
    old.crash(third);
    let whole = old.place.path().join("whole");
    copy(&old.data_dir(third), &whole);
    std::fs::remove_dir_all(old.data_dir(third)).expect("its directory");
    broken_copy(&whole, &old.data_dir(third));
    let start = old.admin(&["start", &third.to_string(), "--timeout", "3s"]).end();
    assert!(matches!(start.code, Some(0 | 3)), "{start:?}");
    let aside = old.data_dir(third).join("damaged-1");
    wait_for("files set aside", || aside.join("log").is_dir().then_some(()));
    old.admin(&["down"]).end().ok();

    let (new, made) = Cluster::recovered(&["--from", &old.dir(), "--others-are-gone", NAME]);
    let directories = made["from"]["directories"].as_array().expect("both");
    assert_eq!(directories.len(), 2, "{made}");
    assert_eq!(directories[0]["outbox"], 1, "{made}");
    let problems = directories[1]["problems"].to_string();
    assert!(problems.contains("has set it aside"), "{made}");
    assert_eq!(directories[1]["is_base"], true, "{made}");
    assert_eq!(made["from"]["confirmed_may_be_missing"], true, "{made}");
    sent.truncate(4);
    sent.push(alone["id"].as_str().expect("an id").to_string());
    assert_eq!(back(&new, &bob.name).ids(), sent);
}
