//! Disks that are full, that fail, and that are gone for good.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::cluster::PASSWORD;
use crate::harness::faults::{self, Fault};
use crate::harness::place::{free_ports, random_id, write_key};
use crate::harness::{Cluster, Place, Run, Steady, wait_for};

fn with_faults() -> Cluster {
    Cluster::surviving_with(&[("LD_PRELOAD", faults::library())])
}

fn replica(status: &Value, id: u64) -> Value {
    status["replicas"][id as usize - 1].clone()
}

fn says_full(status: &Value, id: u64) -> bool {
    replica(status, id)["error"].as_str().is_some_and(|error| error.contains("full"))
}

/// Waits until a replica leads that is not this one.
fn await_another_leader(cluster: &Cluster, former: u64) -> u64 {
    let leads = |status: &Value| status["leader"].as_u64().is_some_and(|it| it != former);
    let status = cluster.await_status("another leader", leads);
    status["leader"].as_u64().expect("one leads")
}

#[test]
fn one_full_disk_of_three_stops_nobody_and_goes_on_by_itself() {
    let cluster = with_faults();
    let steady = Steady::start(&cluster);
    for leads in [false, true] {
        let id = if leads { cluster.leader() } else { cluster.followers()[0] };
        let folder = cluster.data_dir(id);
        faults::begin(&folder, Fault::Full);
        cluster.await_status("a replica that says it is full", |status| says_full(status, id));
        // Without the disk of the leader the others commit, and keep what it cannot.
        await_another_leader(&cluster, id);
        steady.goes_on();
        let status = cluster.status();
        assert_eq!(status["writable"], true, "{status}");
        assert_eq!(replica(&status, id)["state"], "follower", "{status}");
        faults::end(&folder, Fault::Full);
        steady.goes_on();
        cluster.await_status("a replica that goes on", |status| !says_full(status, id));
    }
    steady.all_arrived();
    let whole = cluster.await_whole();
    assert_eq!(whole["tolerates"], 2, "{whole}");
}

/// Whoever cannot store is no help to anybody: it takes over no replica, and still ends
/// when it is told to.
#[test]
fn a_former_leader_with_a_full_disk_is_in_nobodys_way() {
    let cluster = with_faults();
    let steady = Steady::start(&cluster);
    let full = cluster.leader();
    let folder = cluster.data_dir(full);
    faults::begin(&folder, Fault::Full);
    let next = await_another_leader(&cluster, full);
    steady.goes_on();
    cluster.crash(next);
    steady.goes_on();
    let hosted = |status: &Value| replica(status, next)["hosted_by"].as_u64();
    let adopted = cluster.await_status("a replica that is adopted", |it| hosted(it).is_some());
    assert_ne!(hosted(&adopted), Some(full), "{adopted}");
    let stopped = cluster.admin(&["stop", &full.to_string(), "--json"]).end().json();
    assert_eq!(stopped["ended"], "stopped", "not killed: {stopped}");
    steady.goes_on();
    faults::end(&folder, Fault::Full);
    [full, next].into_iter().for_each(|id| drop(cluster.start(id)));
    cluster.await_whole();
    steady.all_arrived();
}

/// A hanging disk says nothing. What shows it is what the others have written.
#[test]
fn a_leader_whose_disk_hangs_gives_way_and_its_server_ends() {
    let cluster = with_faults();
    let steady = Steady::start(&cluster);
    let id = cluster.leader();
    let folder = cluster.data_dir(id);
    faults::begin(&folder, Fault::Hanging);
    await_another_leader(&cluster, id);
    steady.goes_on();
    wait_for("the end of a server", || cluster.server(id).is_none().then_some(()));
    steady.goes_on();
    faults::end(&folder, Fault::Hanging);
    cluster.start(id);
    cluster.await_whole();
    steady.all_arrived();
}

/// Who has neither a majority nor a disk has nothing to offer. When its disk is well again and
/// the others still are not there, it goes on alone.
#[test]
fn a_server_with_a_full_disk_does_not_go_on_alone_before_there_is_room() {
    let cluster = with_faults();
    cluster.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let full = cluster.leader();
    let others: Vec<u64> = (1..=3).filter(|id| *id != full).collect();
    let folder = cluster.data_dir(full);
    faults::begin(&folder, Fault::Full);
    let before = alice.send(&bob, "before");
    cluster.await_status("a replica that says it is full", |status| says_full(status, full));
    others.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    // Longer than a server waits for a majority.
    let id = random_id();
    let send = |limit: &str| {
        alice.does(&["send", &bob.name, "later", "--id", &id, "--timeout", limit, "--json"])
    };
    let refused = send("4s");
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    assert!(refused.stderr.contains("full"), "{refused:?}");
    let status = cluster.status();
    assert_eq!(replica(&status, full)["alone_since"], Value::Null, "{status}");
    faults::end(&folder, Fault::Full);
    assert_eq!(send("20s").json()["confirmed"], false);
    others.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    cluster.await_whole();
    assert_eq!(bob.ids(), [before, id]);
}

#[test]
fn when_all_disks_are_full_nothing_is_acknowledged_that_could_be_lost() {
    let cluster = with_faults();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut expected = vec![alice.send(&bob, "before")];
    let all = [1, 2, 3].map(|id| cluster.data_dir(id));
    all.iter().for_each(|folder| faults::begin(folder, Fault::Full));
    let ids: Vec<String> = (0..3).map(|_| random_id()).collect();
    let send = |id: &str| alice.does(&["send", &bob.name, "later", "--id", id, "--timeout", "2s"]);
    for id in &ids {
        let refused = send(id);
        assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
        assert!(refused.stderr.contains("full"), "{refused:?}");
    }
    let status = cluster.await_status("a cluster that says it is full", |status| {
        status["writable"] == false && (1..=3).any(|id| says_full(status, id))
    });
    assert_eq!(cluster.run(&["status", "--check"]).end().code, Some(3), "{status}");
    // What was acknowledged is on the disks, whatever happens now.
    (1..=3).for_each(|id| cluster.crash(id));
    wait_for("the end of all", || (1..=3).all(|id| cluster.server(id).is_none()).then_some(()));
    all.iter().for_each(|folder| faults::end(folder, Fault::Full));
    for id in 1..=3_u64 {
        cluster.admin(&["start", &id.to_string()]).end().ok();
    }
    cluster.await_whole();
    assert_eq!(bob.ids()[..1], expected);
    // Each of the others is there once, as soon as it is acknowledged.
    for id in ids {
        send(&id).ok();
        expected.push(id);
    }
    let mut there = bob.ids();
    there.sort();
    expected.sort();
    assert_eq!(there, expected);
}

/// After a failed fsync nobody knows what is on the disk: the process ends, and
/// the files are never used again.
#[test]
fn a_failed_fsync_ends_the_process_and_the_replica_comes_back_from_the_others() {
    let cluster = with_faults();
    let steady = Steady::start(&cluster);
    for leads in [false, true] {
        let id = if leads { cluster.leader() } else { cluster.followers()[0] };
        let folder = cluster.data_dir(id);
        faults::begin(&folder, Fault::Failing);
        wait_for("the end of a server", || cluster.server(id).is_none().then_some(()));
        let lock = std::fs::read_to_string(folder.join("LOCK")).expect("LOCK");
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
        assert!(lock.contains(&format!("poisoned {}", boot.trim())), "{lock}");
        steady.goes_on();
        faults::end(&folder, Fault::Failing);

        let before = replica(&cluster.status(), id)["hosted_by"].clone();
        assert_eq!(before, Value::Null, "nobody runs what cannot be believed");
        cluster.start(id);
        cluster.await_whole();
        assert!(folder.join("damaged-1").is_dir());
        let said = std::fs::read_to_string(format!("{}.log", folder.display())).expect("a log");
        assert!(said.contains("poisoned"), "{said}");
        std::fs::remove_dir_all(folder.join("damaged-1")).expect("a folder that nobody needs");
        steady.goes_on();
    }
    steady.all_arrived();
}

/// The trace of a crash in the middle of a write, at several bytes of the last
/// record: it is cut off with a notice, and the replica goes on as it was.
#[test]
fn a_torn_tail_is_dropped_with_a_notice() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut expected = Vec::new();
    for left in [1, 20, 60, usize::MAX] {
        expected.push(alice.send(&bob, "before"));
        cluster.await_whole();
        let id = cluster.leader();
        let folder = cluster.data_dir(id);
        cluster.crash(id);
        wait_for("the end of a server", || cluster.server(id).is_none().then_some(()));
        expected.push(alice.send(&bob, "while one is down"));
        let segment = folder.join("log/00000000000000000000.jsonl");
        let bytes = std::fs::read(&segment).expect("the log");
        let whole = bytes.strip_suffix(b"\n").expect("a whole record");
        let last = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = last.saturating_add(left).min(bytes.len() - 1);
        std::fs::write(&segment, &bytes[..end]).expect("the log");
        let server_log = format!("{}.log", folder.display());
        let said_before = std::fs::read(&server_log).expect("a log").len();

        cluster.start(id);
        cluster.await_whole();
        let said = std::fs::read(&server_log).expect("a log").split_off(said_before);
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("cut short; dropped entry"), "{said}");
        assert!(said.contains(&segment.display().to_string()), "{said}");
        assert!(!folder.join("damaged-1").exists(), "a torn tail is no damage");
        assert_eq!(bob.ids(), expected);
    }
}

/// `serve` for a cluster of one replica.
fn alone(place: &Place, port: u16, data_dir: &Path) -> Run {
    let (key, data_dir) = (key(place), data_dir.display().to_string());
    let peers = format!("1=127.0.0.1:{port}");
    let flags = ["--data-dir", &data_dir, "--cluster-key-file", &key];
    place.run(&["serve", "--id", "1", "--peers", &peers]).and(&flags)
}

fn key(place: &Place) -> String {
    let key = place.path().join("cluster.key");
    if !key.exists() {
        write_key(&key, 0o600);
    }
    key.display().to_string()
}

#[test]
fn where_no_other_is_left_damage_is_refused_and_a_backup_helps() {
    let mut place = Place::new();
    let port = free_ports(1);
    place.set("FTCHAT_SERVERS", format!("127.0.0.1:{port}"));
    let data = place.path().join("data");
    let server = alone(&place, port, &data).start();
    place.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    place.run(&["send", "alice", "kept"]).end().ok();
    let file = place.path().join("backup.jsonl").display().to_string();
    let key = ["--cluster-key-file", &key(&place)];
    place.run(&["backup", &file]).and(&key).end().ok();
    place.run(&["send", "alice", "lost"]).end().ok();
    server.signal(Signal::KILL);
    server.end().code(128 + 9);

    let segment = data.join("log/00000000000000000000.jsonl");
    let mut bytes = std::fs::read(&segment).expect("the log");
    let middle = bytes.len() / 2;
    let line = bytes[..middle].iter().filter(|byte| **byte == b'\n').count() + 1;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).expect("the log");
    let server = alone(&place, port, &data).start();
    server.said(&format!("line {line} of {}", segment.display()));
    let status = wait_for("a status with the reason", || {
        let status = place.run(&["status", "--json"]).end();
        let status = crate::harness::running::json(&status.stdout);
        status["notices"].to_string().contains("damaged").then_some(status)
    });
    assert_eq!(status["writable"], false, "{status}");
    assert!(status["notices"].to_string().contains("ftchat restore"), "{status}");
    place.run(&["send", "alice", "x", "--timeout", "1s"]).end().code(3);
    place.run(&["inbox", "--timeout", "1s"]).end().code(3);
    assert_eq!(
        std::fs::read(data.join("damaged-1/log").join(segment.file_name().expect("a name")))
            .expect("set aside"),
        bytes
    );
    server.signal(Signal::TERM);
    server.end().ok();

    let server = alone(&place, port, &place.path().join("new")).start();
    place.run(&["restore", &file]).and(&key).end().ok();
    place.run(&["login", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    let messages = place.run(&["inbox", "--json"]).end().objects();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["text"], "kept");
    server.signal(Signal::TERM);
    server.end().ok();
}

#[test]
fn what_the_third_of_three_knows_can_be_saved_when_two_are_wiped() {
    let (old, new) = (Cluster::surviving(), Cluster::surviving());
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let expected: Vec<String> = (0..5).map(|n| alice.send(&bob, &n.to_string())).collect();
    old.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    let whole = old.await_whole();
    let wiped = old.followers();
    for id in &wiped {
        old.signal(*id, Signal::STOP);
        std::fs::remove_dir_all(old.data_dir(*id)).expect("its directory");
        old.crash(*id);
    }
    wait_for("the end of two", || wiped.iter().all(|id| old.server(*id).is_none()).then_some(()));
    // Nobody is left but the third, and it goes on.
    let alone = alice.does(&["send", &bob.name, "5", "--json"]).json();
    assert_eq!(alone["confirmed"], false, "{alone}");
    for id in &wiped {
        // It cannot catch up with anybody.
        let start = old.admin(&["start", &id.to_string(), "--timeout", "3s"]).end();
        assert!(matches!(start.code, Some(0 | 3)), "{start:?}");
    }
    let file = old.place.path().join("saved.jsonl").display().to_string();
    let backup = || old.run(&["backup", &file, "--json", "--dir", &old.dir()]);
    backup().and(&["--timeout", "2s"]).end().code(3);
    let saved = backup().and(&["--unconfirmed"]).end();
    assert!(saved.stderr.contains("no majority has confirmed: 1"), "{saved:?}");
    let saved = saved.json();
    assert_eq!((&saved["messages"], &saved["confirmed"]), (&6.into(), &false.into()));
    assert!(saved["index"].as_u64() >= whole["commit"].as_u64(), "{saved} {whole}");
    new.run(&["restore", &file, "--dir", &new.dir()]).end().ok();
    let bob = new.known(&bob.name);
    bob.run(&["login", &bob.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    let id = alone["id"].as_str().expect("an id").to_string();
    assert_eq!(bob.ids(), [expected, vec![id]].concat());
}

#[test]
fn a_server_that_may_hold_too_few_files_says_so_and_touches_nothing() {
    let place = Place::new();
    let key = place.path().join("key");
    write_key(&key, 0o600);
    let port = free_ports(1);
    let limited = ["sh", "-c", r#"ulimit -n 63; exec "$@""#, "sh"];
    let data_dir = place.path().join("data");
    let arguments = ["serve", "--id", "1", "--peers", &format!("1=127.0.0.1:{port}")];
    let run = place.run(&arguments).and(&["--data-dir", &data_dir.display().to_string()]);
    let run = run.and(&["--cluster-key-file", &key.display().to_string()]);
    run.under(&limited).end().fails(2, &["63 files and connections", "needs 64", "ulimit -n"]);
    assert!(!data_dir.exists());
}
