//! Replicas that come back with less log than they had acknowledged.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use crate::harness::{Cluster, wait_for};

/// The last segment of a replica's log.
fn last_segment(cluster: &Cluster, id: u64) -> PathBuf {
    let folder = cluster.data_dir(id).join("log");
    let segments = fs::read_dir(folder).expect("a log").map(|entry| entry.expect("reads").path());
    segments.max().expect("a segment")
}

/// Cuts a log so that so many of its last bytes are gone.
fn cut(cluster: &Cluster, id: u64, keep: impl FnOnce(&[u8]) -> usize) {
    let path = last_segment(cluster, id);
    let content = fs::read(&path).expect("reads");
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    file.set_len(keep(&content) as u64).expect("cuts");
}

/// Where the line before the last `count` lines ends.
fn without_lines(content: &[u8], count: usize) -> usize {
    let ends: Vec<usize> = (0..content.len()).filter(|at| content[*at] == b'\n').collect();
    ends[ends.len() - 1 - count] + 1
}

/// Who sent what to whom.
struct Sent {
    alice: String,
    bob: String,
    ids: Vec<String>,
}

/// A cluster led by replica 3 in which replica 1 was killed after messages that it
/// had acknowledged.
fn cluster() -> (Cluster, Sent) {
    let cluster = Cluster::new();
    cluster.admin(&["transfer", "3"]).end().ok();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let ids = (0..5).map(|number| alice.send(&bob, &number.to_string())).collect();
    let sent = Sent { alice: alice.name.clone(), bob: bob.name.clone(), ids };
    in_step(&cluster);
    cluster.crash(1);
    wait_for("the end of server 1", || cluster.server(1).is_none().then_some(()));
    (cluster, sent)
}

/// Waits until every replica has applied the same.
fn in_step(cluster: &Cluster) {
    cluster.await_status("three replicas in step", |status| {
        let applied = |id: usize| status["replicas"][id]["applied"].as_u64();
        applied(0) == applied(2) && applied(1) == applied(2)
    });
}

/// Replica 1 comes back, catches up, and is worth a vote: with it a second server
/// may die.
fn comes_back(cluster: &Cluster, sent: Sent) {
    let Sent { alice, bob, mut ids } = sent;
    let started = cluster.admin(&["start", "1", "--wait", "--timeout", "20s"]).end();
    started.ok();
    let (alice, bob) = (cluster.known(&alice), cluster.known(&bob));
    let healthy = cluster.run(&["status", "--check"]).end();
    assert_eq!(healthy.code, Some(0), "{healthy:#?}");
    cluster.crash(2);
    ids.push(alice.send(&bob, "with one less"));
    assert_eq!(bob.ids(), ids);
    let status = cluster.status();
    let hash = |id: usize| status["replicas"][id]["state_hash"].clone();
    let applied = |id: usize| status["replicas"][id]["applied"].clone();
    assert!(applied(0) != applied(2) || hash(0) == hash(2), "{status}");
}

#[test]
fn a_follower_whose_last_record_was_cut_short_catches_up() {
    let (cluster, sent) = cluster();
    cut(&cluster, 1, |content| content.len() - 5);
    comes_back(&cluster, sent);
}

#[test]
fn a_follower_that_lost_whole_records_catches_up() {
    let (cluster, sent) = cluster();
    cut(&cluster, 1, |content| without_lines(content, 3));
    comes_back(&cluster, sent);
}

#[test]
fn a_follower_whose_log_is_empty_catches_up() {
    let (cluster, sent) = cluster();
    cut(&cluster, 1, |_| 0);
    comes_back(&cluster, sent);
}

#[test]
fn a_follower_without_its_vote_or_its_segments_comes_back_as_a_new_incarnation() {
    for gone in ["vote.json", "log"] {
        let (cluster, sent) = cluster();
        let path = match gone {
            "log" => last_segment(&cluster, 1),
            file => cluster.data_dir(1).join(file),
        };
        fs::remove_file(path).expect("removes");
        comes_back(&cluster, sent);
        assert!(cluster.data_dir(1).join("damaged-1").is_dir(), "without {gone}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("lists") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("reads");
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).expect("copies")),
        }
    }
}

#[test]
fn an_older_copy_of_a_directory_comes_back_as_a_new_incarnation() {
    let (cluster, mut sent) = cluster();
    let (folder, kept) = (cluster.data_dir(1), cluster.place.path().join("kept"));
    copy(&folder, &kept);
    cluster.start(1);
    sent.ids.push(cluster.known(&sent.alice).send(&cluster.known(&sent.bob), "since"));
    in_step(&cluster);
    cluster.crash(1);
    wait_for("the end of server 1", || cluster.server(1).is_none().then_some(()));
    fs::remove_dir_all(&folder).expect("removes");
    copy(&kept, &folder);
    comes_back(&cluster, sent);
    assert!(folder.join("damaged-1").is_dir(), "it votes as if it were what it was");
}
