//! `ftchat cluster`: starting, stopping and looking at a local cluster.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::place::free_ports;
use crate::harness::{Cluster, Place, wait_for};

#[test]
fn up_is_idempotent_and_starts_only_what_does_not_run() {
    let cluster = Cluster::new();
    let pids = || [1, 2, 3].map(|id| cluster.pid(id));
    let before = pids();
    let status = cluster.admin(&["up", "-d", "--json"]).end().json();
    assert_eq!(status["writable"], true);
    assert_eq!(pids(), before);
    let killed = cluster.admin(&["kill", "2", "--json"]).end().json();
    assert_eq!((&killed["id"], &killed["ended"]), (&2.into(), &"killed".into()));
    assert_eq!(killed["pid"], before[1]);
    cluster.admin(&["up", "-d"]).end().ok();
    let after = pids();
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert_ne!(after[1], before[1]);
}

#[test]
fn a_cluster_of_one_takes_messages() {
    let place = Place::new();
    let (dir, port) = (place.path().join("cluster").display().to_string(), free_ports(1));
    let up = ["cluster", "up", "-d", "--dir", &dir, "--replicas", "1", "--base-port"];
    let status = place.run(&up).and(&[&port.to_string()]).and(&["--json"]).end().json();
    assert_eq!((&status["writable"], &status["tolerates"]), (&true.into(), &0.into()));
    let servers = format!("127.0.0.1:{port}");
    place.run(&["status", "--check", "--servers", &servers]).end().code(0);
}

#[test]
fn stopping_and_starting_have_their_json_and_tell_when_there_is_nothing_to_do() {
    let cluster = Cluster::new();
    let follower = cluster.followers()[0].to_string();
    let does = |verb: &str| cluster.admin(&[verb, &follower, "--json"]).end().json();
    assert_eq!(does("stop")["ended"], "stopped");
    for verb in ["stop", "kill"] {
        let again = does(verb);
        assert_eq!((&again["ended"], &again["pid"]), (&"not_running".into(), &Value::Null));
    }
    let started = does("start");
    assert_eq!(started["already_running"], false);
    assert!(started["pid"].is_u64(), "{started}");
    assert_eq!(does("start")["already_running"], true);
    let restarted = does("restart");
    assert_eq!(restarted["replicas"][0]["caught_up"], true);
    cluster.admin(&["stop", "9"]).end().fails(5, &["9", "1, 2, 3"]);
    cluster.admin(&["start", "9", "--json"]).end().refused(5, "unknown_replica");
    cluster.admin(&["stop", "first"]).end().code(2);

    let down = cluster.admin(&["down", "--json"]).end().json();
    assert_eq!(down["replicas"].as_array().map(Vec::len), Some(3));
    assert_eq!(down["purged"], false);
    assert!(cluster.data_dir(1).exists());
    let purged = cluster.admin(&["down", "--purge", "--json"]).end().json();
    assert_eq!(purged["purged"], true);
    assert!(!cluster.data_dir(1).exists());
}

#[test]
fn the_environment_points_at_the_cluster() {
    let cluster = Cluster::shared();
    let servers = cluster.addresses().join(",");
    let plain = cluster.admin(&["env"]).end().ok();
    assert_eq!(plain, format!("export FTCHAT_SERVERS='{servers}'\n"));
    let json = cluster.admin(&["env", "--json"]).end().json();
    assert_eq!(json["FTCHAT_SERVERS"], servers);
}

#[test]
fn logs_are_shown_for_one_or_all_and_followed() {
    let cluster = Cluster::new();
    let one = cluster.admin(&["logs", "2", "-n", "3", "--json"]).end().objects();
    assert_eq!(one.len(), 3);
    assert!(one.iter().all(|line| line["replica"] == 2 && line["line"].is_string()), "{one:?}");
    let all = cluster.admin(&["logs", "-n", "1"]).end().ok();
    let replicas: Vec<&str> = all.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(replicas, ["1", "2", "3"]);
    let follow = cluster.admin(&["logs", "1", "-f", "-n", "1"]).start();
    follow.line();
    cluster.admin(&["restart", "1"]).end().ok();
    wait_for("the restart in the log", || follow.line().contains("stopping").then_some(()));
    follow.signal(Signal::INT);
    follow.end().code(130);
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let place = Place::new();
    let dir = place.path().join("nowhere").display().to_string();
    for action in [&["down"][..], &["start", "1"], &["kill", "1"], &["env"], &["logs"]] {
        let run = || place.run(&["cluster"]).and(action).and(&["--dir", &dir]);
        run().end().fails(5, &[&dir, "ftchat cluster up"]);
        run().and(&["--json"]).end().refused(5, "unknown_cluster");
    }
    assert!(!place.path().join("nowhere").exists());
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_started() {
    let place = Place::new();
    let base = free_ports(3);
    let taken = std::net::TcpListener::bind(("127.0.0.1", base + 1)).expect("a free port");
    let dir = place.path().join("cluster").display().to_string();
    let up = || {
        let base = base.to_string();
        place.run(&["cluster", "up", "-d", "--dir", &dir, "--base-port", &base])
    };
    let port = (base + 1).to_string();
    up().end().fails(1, &[&port, "replica 2", "nothing was started", "--base-port"]);
    up().and(&["--json"]).end().refused(1, "address_in_use");
    let status = place.run(&["status", "--json", "--servers", &format!("127.0.0.1:{base}")]);
    status.end().code(3);
    drop(taken);
    up().end().ok();
}

#[test]
fn a_cluster_that_is_there_does_not_become_another_one() {
    let cluster = Cluster::shared();
    let up = |flags: &[&str]| cluster.admin(&["up", "-d"]).and(flags).end();
    up(&["--replicas", "5"]).fails(2, &["3 replicas", "5"]);
    up(&["--base-port", "1024"]).fails(2, &["port", "1024"]);
    up(&["--survivor", "auto"]).fails(2, &["--survivor"]);
    up(&["--replicas", "0"]).fails(2, &["--replicas"]);
    up(&["--base-port", "65535"]).code(2);
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let place = Place::new();
    let dir = place.path().join("home");
    std::fs::write(dir.join("letter.txt"), "dear").expect("a file");
    let dir = dir.display().to_string();
    let up = place.run(&["cluster", "up", "-d", "--dir", &dir]).end();
    up.fails(2, &["letter.txt", "empty folder"]);
}

#[test]
fn in_the_foreground_it_tells_what_happens_and_stops_its_servers() {
    let place = Place::new();
    let base = free_ports(3).to_string();
    let dir = place.path().join("cluster").display().to_string();
    let line = ["cluster", "up", "--dir", &dir, "--base-port", &base, "--survivor", "never"];
    let up = place.run(&line).start();
    up.said("Ctrl-C stops the servers");
    place.run(&["cluster", "kill", "1", "--dir", &dir]).end().ok();
    wait_for("the event", || up.line().contains("replica 1").then_some(()));
    up.signal(Signal::INT);
    let ended = up.end().code(0);
    assert!(ended.stdout.contains("stopped"), "{ended:?}");
    let servers = format!("127.0.0.1:{}", base.parse::<u16>().expect("a port") + 1);
    place.run(&["status", "--servers", &servers]).end().code(3);
}

#[test]
fn the_status_names_everything_of_the_contract() {
    let cluster = Cluster::shared();
    let status = cluster.await_whole();
    for field in ["cluster", "writable", "leader", "term", "commit", "tolerates", "replicas"] {
        assert!(!status[field].is_null(), "{field}: {status}");
    }
    assert_eq!(status["tolerates"], 1);
    for (n, replica) in (1..).zip(status["replicas"].as_array().expect("an array")) {
        assert_eq!((&replica["id"], &replica["hosted_by"]), (&n.into(), &n.into()));
        assert_eq!(replica["pid"], cluster.pid(n));
        assert_eq!(replica["address"], cluster.addresses()[n as usize - 1]);
        assert_eq!((&replica["lag"], &replica["error"]), (&0.into(), &Value::Null));
        assert_eq!(replica["version"], env!("CARGO_PKG_VERSION"));
        for field in ["term", "last_log", "applied", "uptime_s", "disk_bytes"] {
            assert!(replica[field].is_u64(), "{field}: {status}");
        }
        assert!(replica["state_hash"].is_string(), "{status}");
    }
    // One server is enough to see all of them.
    let one = cluster.run(&["status", "--json", "--servers", &cluster.addresses()[2]]).end();
    assert_eq!(one.json()["replicas"].as_array().map(Vec::len), Some(3));
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.run(&["completions", shell]).end().ok().contains("ftchat"));
    }
    place.run(&["completions", "cmd.exe"]).end().code(2);
    place.run(&["man", "--help"]).end().ok();
}

#[test]
fn logs_do_not_grow_for_ever() {
    let cluster =
        Cluster::with(&[("FTCHAT_LOG", "debug"), ("FTCHAT_SERVE_LOG_FILE_MAX_BYTES", "8192")]);
    let alice = cluster.person("alice");
    let folder = std::path::PathBuf::from(cluster.dir());
    let older = folder.join("replica-1.log.1");
    wait_for("a log that was full", || {
        alice.send(&alice, "another line for the logs");
        older.exists().then_some(())
    });
    for log in [&older, &folder.join("replica-1.log")] {
        let bytes = std::fs::metadata(log).expect("it is there").len();
        assert!(bytes < 16_384, "{} has {bytes} bytes", log.display());
    }
    // Also when the newer of the two was emptied just now.
    assert!(cluster.admin(&["logs", "1"]).end().ok().lines().count() > 0);
    cluster.admin(&["down", "--purge"]).end().ok();
    assert!(!folder.exists(), "the older logs are the cluster's as well");
}
