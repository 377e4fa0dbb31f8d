//! Directories that must not be run: damaged ones, somebody else's, copies.
//! They never take the survivor down, are left as they are, and `status` says
//! why nobody runs them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::{
    await_gone, await_refused, await_sentence, check_alone, check_talk, content, crash, others,
    replica,
};
use crate::harness::{Cluster, Steady};

/// What a server may say of a directory that it cannot believe.
const DAMAGED: [&str; 3] = ["damaged", "broken", "cannot be run"];
/// What it may say of one that is not its neighbour's.
const FOREIGN: [&str; 5] =
    ["another cluster", "another directory", "is not the", "moved", "replaced"];

/// Waits until a status says of a replica that nobody runs it, and why.
fn await_reason(cluster: &Cluster, id: u64, reasons: &[&str]) -> Value {
    let status = await_sentence(cluster, id, reasons);
    assert_eq!(replica(&status, id)["hosted_by"], Value::Null, "{status}");
    status
}

/// A server makes its directory ready for a new level before that is raised.
fn await_newest_level(cluster: &Cluster) {
    cluster.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
}

/// Something is done to the directory of one server while that server is
/// frozen, so that nobody can adopt it before; then it dies. Returns with the
/// directory's content as it was left.
fn spoil(cluster: &Cluster, id: u64, how: impl Fn(&Path)) -> Vec<(PathBuf, Vec<u8>)> {
    cluster.signal(id, Signal::STOP);
    how(&cluster.data_dir(id));
    let left = content(&cluster.data_dir(id));
    crash(cluster, &[id]);
    left
}

/// One directory is spoiled, and another server dies: the survivor goes on
/// with the one that is whole, leaves the other alone and says why. `how` is
/// told how long the log was when the survivor looked at it last: what a
/// survivor has read along is not read again when it adopts.
fn goes_on_without(how: impl Fn(&Cluster, &Path, u64), reasons: &[&str]) {
    let cluster = Cluster::surviving();
    await_newest_level(&cluster);
    let steady = Steady::start(&cluster);
    let survivor = cluster.followers()[0];
    let [spoiled, dead] = others(survivor);
    let pid = cluster.server(survivor);
    cluster.signal(survivor, Signal::STOP);
    let log = segment(&cluster.data_dir(spoiled));
    let seen = std::fs::metadata(log).expect("a file").len();
    steady.goes_on();
    let left = spoil(&cluster, spoiled, |path| how(&cluster, path, seen));
    cluster.signal(survivor, Signal::CONT);
    steady.goes_on();
    crash(&cluster, &[dead]);
    steady.goes_on();
    let status = await_reason(&cluster, spoiled, reasons);
    assert_eq!((&status["writable"], &status["leader"]), (&true.into(), &survivor.into()));
    assert_eq!(replica(&status, dead)["hosted_by"], survivor, "{status}");
    assert_eq!(cluster.server(survivor), pid, "the survivor itself goes on");
    assert_eq!(content(&cluster.data_dir(spoiled)), left, "what nobody may run was changed");
    steady.goes_on();
    steady.all_arrived();
}

fn segment(path: &Path) -> PathBuf {
    let folder = std::fs::read_dir(path.join("log")).expect("a log");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.remove(0)
}

/// Not a torn tail: complete records that are none.
const GARBAGE: &[u8] = b"this is no log\nnot a line of it\n";

fn spoil_log(path: &Path) {
    std::fs::write(segment(path), GARBAGE).expect("a file");
}

#[test]
fn a_log_of_garbage_is_not_run_and_takes_nobody_down() {
    goes_on_without(|_, path, _| spoil_log(path), &DAMAGED);
}

#[test]
fn an_identity_of_garbage_is_not_run_and_takes_nobody_down() {
    let spoil = |_: &Cluster, path: &Path, _| {
        std::fs::write(path.join("identity.json"), GARBAGE).expect("a file");
    };
    goes_on_without(spoil, &DAMAGED);
}

/// No record ends before its end, and none is cut short: only a checksum tells.
#[test]
fn a_flipped_bit_in_the_log_is_not_run_and_takes_nobody_down() {
    let spoil = |_: &Cluster, path: &Path, seen: u64| {
        let file = segment(path);
        let mut bytes = std::fs::read(&file).expect("a file");
        let middle = usize::midpoint(seen as usize, bytes.len());
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("a file");
    };
    goes_on_without(spoil, &DAMAGED);
}

#[test]
fn with_both_neighbours_damaged_the_survivor_stays_and_says_why() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "before");
    let survivor = cluster.leader();
    let pid = cluster.server(survivor);
    let spoiled = others(survivor);
    spoiled.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    let left = spoiled.map(|id| {
        spoil_log(&cluster.data_dir(id));
        content(&cluster.data_dir(id))
    });
    crash(&cluster, &spoiled);
    await_refused(&alice, &bob, &["majority"]);
    for id in spoiled {
        let status = await_reason(&cluster, id, &DAMAGED);
        assert_eq!((&status["confirming"], &status["tolerates"]), (&false.into(), &0.into()));
    }
    assert_eq!(cluster.server(survivor), pid);
    assert_eq!(spoiled.map(|id| content(&cluster.data_dir(id))), left);
}

#[test]
fn a_directory_that_may_not_be_opened_takes_nobody_down() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let survivor = cluster.leader();
    let pid = cluster.server(survivor);
    let [closed, dead] = others(survivor);
    let path = cluster.data_dir(closed);
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, permissions).expect("our own folder");
    };
    cluster.signal(closed, Signal::STOP);
    mode(0o000);
    crash(&cluster, &[closed, dead]);
    steady.goes_on();
    cluster.await_status("the survivor with the open directory", |status| {
        status["writable"] == true && replica(status, dead)["hosted_by"] == survivor
    });
    // Nothing is closed to root, who may as well run it.
    if rustix::process::geteuid().is_root() {
        cluster.await_status("the survivor with both", |status| {
            replica(status, closed)["hosted_by"] == survivor
        });
    } else {
        await_reason(&cluster, closed, &["ermission"]);
    }
    assert_eq!(cluster.server(survivor), pid, "the survivor itself goes on");
    mode(0o700);
    steady.goes_on();
    cluster.start(closed);
    steady.all_arrived();
}

/// Moves the directory away, which keeps its lock, and puts another in its place.
fn replace(path: &Path, by: &Path) {
    std::fs::rename(path, path.with_extension("away")).expect("one file system");
    let copied = Command::new("cp").arg("-a").args([by, path]).status();
    assert!(copied.expect("cp").success());
}

#[test]
fn the_directory_of_another_cluster_is_not_adopted() {
    let other = Cluster::surviving();
    // The same replica of the other one: only the cluster is wrong.
    (1..=3).for_each(|id| other.signal(id, Signal::STOP));
    goes_on_without(
        |_, path, _| {
            let name = path.file_name().expect("a name").to_str().expect("text");
            let id: u64 = name.strip_prefix("replica-").expect("ours").parse().expect("a number");
            replace(path, &other.data_dir(id));
        },
        &FOREIGN,
    );
    // Nothing has changed for those whose directory was copied.
    (1..=3).for_each(|id| other.signal(id, Signal::CONT));
    other.await_whole();
    check_talk(&other);
}

/// A copy holds what was true once: whatever was voted and acknowledged since
/// would be forgotten.
#[test]
fn a_copy_of_the_directory_is_not_adopted() {
    let by_copy = |_: &Cluster, path: &Path, _| {
        let copy = path.with_extension("copy");
        let copied = Command::new("cp").arg("-a").args([path, &copy]).status();
        assert!(copied.expect("cp").success());
        replace(path, &copy);
    };
    goes_on_without(by_copy, &FOREIGN);
}

#[test]
fn a_directory_that_is_gone_is_not_made_again() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let survivor = cluster.leader();
    let [gone, dead] = others(survivor);
    let path = cluster.data_dir(gone);
    cluster.signal(gone, Signal::STOP);
    std::fs::rename(&path, path.with_extension("away")).expect("one file system");
    cluster.crash(gone);
    await_gone(&cluster, &[gone]);
    steady.goes_on();
    crash(&cluster, &[dead]);
    steady.goes_on();
    let status = cluster.await_status("the survivor with what there is", |status| {
        status["writable"] == true && replica(status, dead)["hosted_by"] == survivor
    });
    assert_eq!(replica(&status, gone)["hosted_by"], Value::Null, "{status}");
    assert!(!path.exists(), "a directory was made where a disk may be missing");
    // Its disk is back: the owner comes back with it.
    std::fs::rename(path.with_extension("away"), &path).expect("one file system");
    cluster.start(gone);
    cluster.start(dead);
    cluster.await_whole();
    steady.all_arrived();
}

#[test]
fn a_whole_cluster_never_looks_at_its_neighbours_damage() {
    let cluster = Cluster::surviving();
    await_newest_level(&cluster);
    let dead = cluster.followers()[0];
    spoil(&cluster, dead, spoil_log);
    check_talk(&cluster);
    // The owner repairs itself from the others, who hold a majority.
    cluster.start(dead);
    cluster.await_whole();
    check_alone_after(&cluster, dead);
}

/// What was repaired counts like any other: it may be the last one.
fn check_alone_after(cluster: &Cluster, survivor: u64) {
    let steady = Steady::start(cluster);
    crash(cluster, &others(survivor));
    steady.goes_on();
    check_alone(cluster, survivor);
    steady.all_arrived();
}
