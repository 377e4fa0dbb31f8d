//! Whoever holds the lock of a data directory runs it, by whatever path the
//! directory is reached and however its server was started.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Cluster, Run, wait_for};

/// `ftchat cluster …` for a cluster that is reached by another path.
fn admin(cluster: &Cluster, dir: &Path, arguments: &[&str]) -> Run {
    let dir = dir.display().to_string();
    cluster.place.run(&["cluster"]).and(arguments).and(&["--dir", &dir, "--json"])
}

/// Paths that lead to the cluster's folder, none of them spelled like another.
fn spellings(cluster: &Cluster) -> Vec<PathBuf> {
    let (place, dir) = (cluster.place.path(), PathBuf::from(cluster.dir()));
    symlink(place, place.join("parent")).expect("a link");
    symlink(&dir, place.join("itself")).expect("a link");
    vec![
        place.join("parent/cluster"),
        place.join("itself"),
        place.join("home/../cluster"),
        place.join("cluster/../cluster/"),
    ]
}

fn ended(stopped: &Value) -> Vec<&str> {
    let replicas = stopped["replicas"].as_array().expect("an array");
    replicas.iter().map(|it| it["ended"].as_str().expect("a word")).collect()
}

#[test]
fn a_cluster_is_the_same_by_whatever_path_it_is_reached() {
    let cluster = Cluster::new();
    let pids = || [1, 2, 3].map(|id| cluster.pid(id));
    let before = pids();
    for dir in spellings(&cluster) {
        admin(&cluster, &dir, &["up", "-d"]).end().ok();
        let started = admin(&cluster, &dir, &["start", "2"]).end().json();
        assert_eq!(started["already_running"], true, "{}", dir.display());
        admin(&cluster, &dir, &["up", "-d", "--survivor", "auto"]).end().code(2);
    }
    assert_eq!(pids(), before);
    let [one, two] = ["parent/cluster", "itself"].map(|name| cluster.place.path().join(name));
    assert_eq!(admin(&cluster, &one, &["stop", "1"]).end().json()["pid"], before[0]);
    assert_eq!(admin(&cluster, &two, &["kill", "2"]).end().json()["pid"], before[1]);
    let down = admin(&cluster, &one, &["down", "--purge"]).end().json();
    assert_eq!(ended(&down), ["not_running", "not_running", "stopped"]);
    assert_eq!(down["purged"], true);
    assert_eq!([1, 2, 3].map(|id| cluster.server(id)), [None; 3]);
}

#[test]
fn a_folder_that_was_moved_still_is_that_of_its_servers() {
    let cluster = Cluster::new();
    let moved = cluster.place.path().join("elsewhere");
    std::fs::rename(cluster.dir(), &moved).expect("one file system");
    let pid = cluster.server(1).expect("it runs");
    assert_eq!(admin(&cluster, &moved, &["start", "1"]).end().json()["pid"], pid);
    let down = admin(&cluster, &moved, &["down", "--purge"]).end().json();
    assert_eq!(ended(&down), ["stopped"; 3]);
    assert!(!moved.exists());
    assert_eq!([1, 2, 3].map(|id| cluster.server(id)), [None; 3]);
}

#[test]
fn a_server_that_was_started_by_hand_is_known_by_what_it_holds() {
    let cluster = Cluster::new();
    cluster.admin(&["stop", "3"]).end().ok();
    let peers: Vec<String> =
        (1..).zip(cluster.addresses()).map(|(id, address)| format!("{id}={address}")).collect();
    // Not a word on its command line says which directory it has.
    let server = cluster
        .run(&["serve"])
        .env("FTCHAT_SERVE_ID", "3")
        .env("FTCHAT_SERVE_PEERS", &peers.join(","))
        .env("FTCHAT_SERVE_DATA_DIR", &cluster.data_dir(3).display().to_string())
        .env("FTCHAT_SERVE_CLUSTER_KEY_FILE", &format!("{}/cluster.key", cluster.dir()))
        .start();
    wait_for("its name in LOCK", || (cluster.pid(3) == server.pid()).then_some(()));
    cluster.admin(&["up", "-d"]).end().ok();
    assert_eq!(cluster.pid(3), server.pid());
    let stopped = cluster.admin(&["stop", "3", "--json"]).end().json();
    assert_eq!(stopped["pid"], server.pid());
    server.end().ok();
}

#[test]
fn a_directory_that_somebody_holds_is_neither_free_nor_removed() {
    let cluster = Cluster::new();
    cluster.admin(&["kill", "2"]).end().ok();
    // This very process has the lock now, and is no server that could be stopped.
    let lock = std::fs::File::open(cluster.data_dir(2).join("LOCK")).expect("LOCK");
    fs4::FileExt::try_lock(&lock).expect("its server is dead");
    let dir = cluster.data_dir(2).display().to_string();
    for action in [&["up", "-d"][..], &["start", "2"], &["stop", "2"], &["kill", "2"]] {
        cluster.admin(action).end().fails(1, &[&dir, "in use"]);
        cluster.admin(action).and(&["--json"]).end().refused(1, "directory_in_use");
    }
    // Those that can be stopped are, and what they did is told.
    let down = cluster.admin(&["down", "--purge", "--json"]).end().code(1);
    assert!(down.stderr.contains("directory_in_use"), "{down:?}");
    assert_eq!([1, 3].map(|id| cluster.server(id)), [None; 2]);
    assert!((1..=3).all(|id| cluster.data_dir(id).join("identity.json").exists()));
    drop(lock);
    let down = cluster.admin(&["down", "--purge", "--json"]).end().json();
    assert_eq!((ended(&down), &down["purged"]), (vec!["not_running"; 3], &true.into()));
}

#[test]
fn an_address_that_a_survivor_serves_is_not_another_programs() {
    let cluster = Cluster::surviving();
    cluster.admin(&["kill", "2"]).end().ok();
    cluster.admin(&["kill", "3"]).end().ok();
    cluster.await_status("one server that runs all", |status| {
        let replicas = status["replicas"].as_array().expect("an array");
        status["writable"] == true && replicas.iter().all(|it| it["hosted_by"] == 1)
    });
    let address = &cluster.addresses()[1];
    wait_for("its door", || std::net::TcpStream::connect(address).ok());
    // What it holds has no name any more, and its address still is taken.
    // It may be writing there.
    wait_for("its removal", || std::fs::remove_dir_all(cluster.data_dir(2)).ok());
    let started = cluster.admin(&["start", "2", "--wait", "--json"]).end().json();
    assert_eq!(started["already_running"], false);
    cluster.admin(&["start", "3", "--wait"]).end().ok();
    cluster.await_whole();
}

#[test]
fn a_server_that_waits_for_its_directory_is_stopped_with_the_others() {
    let cluster = Cluster::surviving();
    cluster.admin(&["kill", "2"]).end().ok();
    cluster.admin(&["kill", "3"]).end().ok();
    cluster.await_status("one server that runs all", |status| {
        status["replicas"][1]["hosted_by"] == 1 && status["replicas"][2]["hosted_by"] == 1
    });
    // It is asked for the directory and does not hear it.
    cluster.signal(1, rustix::process::Signal::STOP);
    cluster.admin(&["start", "2", "--timeout", "1s"]).end().code(3);
    let waiting = cluster.server(2).expect("it waits");
    let down = cluster.admin(&["down", "--purge", "--json"]).end().json();
    assert_eq!(ended(&down), ["stopped", "stopped", "not_running"]);
    assert_eq!(down["replicas"][1]["pid"], waiting);
    assert_eq!([1, 2, 3].map(|id| cluster.server(id)), [None; 3]);
    assert!(!PathBuf::from(cluster.dir()).exists());
}
