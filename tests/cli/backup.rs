//! `backup` and `restore`: from one cluster into another, whoever dies meanwhile.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::alone::await_newest_level;
use crate::harness::cluster::PASSWORD;
use crate::harness::processes::ending_signals;
use crate::harness::{Cluster, Person, Run, Running, wait_for};

fn backup(cluster: &Cluster, file: &Path) -> Run {
    cluster.run(&["backup", text(file), "--json", "--dir", &cluster.dir()])
}

fn restore(cluster: &Cluster, file: &Path) -> Run {
    cluster.run(&["restore", text(file), "--json", "--dir", &cluster.dir()])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// The same person in another cluster, logged in.
fn again<'a>(cluster: &'a Cluster, person: &Person<'_>) -> Person<'a> {
    let known = cluster.known(&person.name);
    known.run(&["login", &known.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    known
}

/// All that a person sees of their messages.
fn everything(person: &Person<'_>) -> Vec<Value> {
    let mut all = person.messages();
    all.extend(person.does(&["inbox", "--sent", "--json"]).objects());
    all
}

/// Two people with enough messages that copying them takes a while.
fn talkative(cluster: &Cluster) -> [Person<'_>; 2] {
    let people @ [alice, bob] = &[cluster.person("alice"), cluster.person("bob")];
    let lines: String = (0..800).map(|n| format!("{n} {}\n", "x".repeat(8_000))).collect();
    let send = alice.run(&["send", &bob.name, "--lines", "--timeout", "1m"]);
    send.stdin(lines).end().ok();
    bob.send(alice, "one that was read");
    alice.does(&["inbox"]).ok();
    bob.send(alice, "one that was not");
    let [alice, bob] = people;
    [cluster.known(&alice.name), cluster.known(&bob.name)]
}

#[test]
fn everything_comes_back_into_a_new_cluster() {
    let (old, new) = (Cluster::surviving(), Cluster::surviving());
    await_newest_level(&old);
    let [alice, bob, gone] = ["alice", "bob", "gone"].map(|name| old.person(name));
    let id = alice.send(&bob, "first \u{202e} \"quoted\"");
    let deleted = gone.send(&alice, "from one who is gone, and deleted");
    gone.send(&alice, "from one who is gone");
    alice.does(&["delete", &deleted]).ok();
    bob.does(&["inbox"]).ok();
    bob.does(&["send", &format!("{},{}", alice.name, bob.name), "to both"]).ok();
    let confirm = ["delete-account", "--confirm", &gone.name, "--password-stdin"];
    gone.run(&confirm).stdin(PASSWORD).end().ok();
    let before = [everything(&alice), everything(&bob)];

    let file = old.place.path().join("backup.jsonl");
    std::fs::write(&file, "an older one").expect("a file");
    let taken = backup(&old, &file).end().json();
    assert_eq!((&taken["accounts"], &taken["messages"]), (&2.into(), &3.into()), "{taken}");
    let metadata = std::fs::metadata(&file).expect("the backup");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(taken["bytes"], metadata.len());
    assert!(taken["index"].as_u64() <= old.status()["commit"].as_u64(), "{taken}");
    let streamed = old.run(&["backup", "-", "--dir", &old.dir()]).end().ok();
    assert_eq!(streamed.lines().count() as u64, taken["lines"].as_u64().expect("a number") + 2);

    let checked = new.run(&["restore", "--check", text(&file), "--json"]).end().json();
    assert_eq!(checked["sha256"], taken["sha256"], "no server was needed, none was asked");
    restore(&old, &file).end().refused(1, "not_empty");
    let restored = restore(&new, &file).end().json();
    assert_eq!((&restored["messages"], &restored["already"]), (&3.into(), &false.into()));
    assert_eq!(restored["restored_into"], new.status()["cluster"]);
    new.await_whole();
    let [alice_again, bob_again] = [&alice, &bob].map(|person| again(&new, person));
    assert_eq!([everything(&alice_again), everything(&bob_again)], before);
    let whoami = |person: &Person<'_>| person.does(&["whoami", "--json"]).json()["account"].clone();
    assert_eq!(whoami(&alice_again), whoami(&alice));
    // The id of a stored message is that message; a name that was free is free.
    let repeat = ["send", &bob.name, "first \u{202e} \"quoted\"", "--id", &id];
    alice_again.does(&repeat).ok();
    let conflict = ["send", &bob.name, "another", "--id", &id, "--json"];
    alice_again.does(&conflict).refused(1, "id_conflict");
    let name = ["register", &gone.name, "--password-stdin"];
    new.known(&gone.name).run(&name).stdin(PASSWORD).end().ok();
    let newer = alice_again.does(&["send", &bob.name, "new", "--json"]).json();
    let last = before.iter().flatten().filter_map(|message| message["seq"].as_u64()).max();
    assert!(newer["seq"].as_u64() > last, "the order goes on: {newer}");

    // Given again it is done already; another one is refused.
    let repeated = restore(&new, &file).end().json();
    assert_eq!(repeated["already"], true);
    let other = old.place.path().join("other.jsonl");
    alice.send(&bob, "later");
    backup(&old, &other).end().json();
    restore(&new, &other).end().refused(1, "not_empty");
}

#[test]
fn a_damaged_or_interrupted_backup_is_refused_and_nothing_is_changed() {
    let cluster = Cluster::surviving();
    // The last changes that the cluster makes by itself: each server proposes its bounds.
    cluster.await_status("the highest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
            && status["stored_bytes_max"].is_u64()
    });
    let file = cluster.place.path().join("backup.jsonl");
    // Of this cluster, while it is empty: that is a backup, too.
    backup(&cluster, &file).end().json();
    let whole = std::fs::read(&file).expect("the backup");
    let broken = cluster.place.path().join("broken.jsonl");
    let before = cluster.await_whole();
    let step = whole.len() / 7;
    for at in (0..whole.len()).step_by(step.max(1)) {
        std::fs::write(&broken, &whole[..at]).expect("a file");
        let error = restore(&cluster, &broken).end().refused(1, "corrupted");
        assert!(error["message"].as_str().is_some_and(|it| it.contains("line")), "{error}");
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        std::fs::write(&broken, flipped).expect("a file");
        let check = cluster.run(&["restore", "--check", text(&broken), "--json"]);
        check.end().refused(1, "corrupted");
    }
    let after = cluster.await_whole();
    assert_eq!(after["replicas"][0]["state_hash"], before["replicas"][0]["state_hash"]);
    assert_eq!(restore(&cluster, &file).end().json()["accounts"], 0);
}

#[test]
fn only_who_holds_the_key_takes_a_backup() {
    let cluster = Cluster::shared();
    let key = cluster.place.path().join("another.key");
    crate::harness::place::write_key(&key, 0o600);
    let file = cluster.place.path().join("stolen.jsonl");
    let refused = cluster
        .run(&["backup", text(&file), "--cluster-key-file", text(&key), "--timeout", "1s"])
        .end();
    refused.fails(1, &["shows the fingerprint", "it belongs to another cluster"]);
    let left = std::fs::read_dir(cluster.place.path()).expect("a folder");
    let names: Vec<_> =
        left.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    assert!(!names.iter().any(|name| name.contains("stolen")), "{names:?}");
    let own = ["--cluster-key-file", &format!("{}/cluster.key", cluster.dir())];
    cluster.run(&["backup", text(&file)]).and(&own).end().ok();
    // No device is replaced by a file.
    let device = cluster.run(&["backup", "/dev/null"]).and(&own).end();
    device.fails(2, &["/dev/null", "no regular file"]);
    cluster.run(&["restore"]).end().code(2);
}

/// Freezes a command in the middle of its work, which `begun` tells; `None`
/// when it was done too fast.
fn freeze(mut command: Running, begun: impl Fn() -> bool) -> Option<Running> {
    while !begun() {
        if command.has_ended() {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    command.signal(Signal::STOP);
    (!command.has_ended()).then_some(command)
}

/// Kills a server and waits until it is gone.
fn crash(cluster: &Cluster, id: u64) {
    cluster.crash(id);
    wait_for("the end of a server", || cluster.server(id).is_none().then_some(()));
}

/// The unfinished file beside `file`, if it has grown.
fn unfinished(file: &Path) -> Option<PathBuf> {
    let folder = std::fs::read_dir(file.parent().expect("a folder")).expect("a folder");
    let mut paths = folder.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| {
        let temporary = path.extension().is_some_and(|extension| extension == "tmp");
        temporary && std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 300_000)
    })
}

#[test]
fn a_backup_and_a_restore_go_on_when_servers_are_killed_meanwhile() {
    let old = Cluster::surviving();
    await_newest_level(&old);
    let people = talkative(&old);
    let before: Vec<_> = people.iter().map(everything).collect();
    let file = old.place.path().join("backup.jsonl");

    // The leader and the follower that gives the backup die in the middle.
    let leader = old.leader();
    let frozen = wait_for("a backup that is frozen in the middle", || {
        let frozen = freeze(backup(&old, &file).start(), || unfinished(&file).is_some())?;
        let middle = unfinished(&file).is_some() && !file.exists();
        if !middle {
            frozen.signal(Signal::CONT);
            frozen.end().ok();
            std::fs::remove_file(&file).expect("it was whole");
            return None;
        }
        Some(frozen)
    });
    for id in [leader, old.followers()[0]] {
        crash(&old, id);
    }
    frozen.signal(Signal::CONT);
    let taken = crate::harness::running::json(&frozen.end().ok());
    assert_eq!(taken["messages"], 802, "{taken}");
    assert!(unfinished(&file).is_none());
    restore_through_failures(&people, &before, &file);
}

/// Whoever restores is killed, then the leader; all the while nobody can use
/// what is half there.
fn restore_through_failures(people: &[Person<'_>], before: &[Vec<Value>], file: &Path) {
    let new = Cluster::surviving();
    let restoring = || {
        let notices = new.status()["notices"].to_string();
        notices.contains("being restored")
    };
    let killed = freeze(restore(&new, file).start(), restoring).expect("it takes a while");
    killed.signal(Signal::KILL);
    killed.end().code(128 + 9);
    let told = new.run(&["status"]).end().ok();
    assert!(told.contains("being restored"), "also in a pipe: {told}");
    let stranger = new.stranger("early");
    let early = ["register", &stranger.name, "--password-stdin", "--timeout", "1s", "--json"];
    let early = || stranger.run(&early).stdin(PASSWORD).end();
    // On a machine under load the second may be over before it is refused.
    let refused = early();
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    let login = ["login", &people[0].name, "--password-stdin", "--timeout", "1s", "--json"];
    let refused = new.known(&people[0].name).run(&login).stdin(PASSWORD).end();
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    let unfinished = new.place.path().join("unfinished.jsonl");
    backup(&new, &unfinished).and(&["--timeout", "1s"]).end().refused(3, "restoring");

    // Given again it goes on; the leader dies.
    let frozen = freeze(restore(&new, file).start(), restoring).expect("it takes a while");
    let leader = new.leader();
    crash(&new, leader);
    // The leader may have died with it in its hands.
    let refused = early();
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    frozen.signal(Signal::CONT);
    let restored = crate::harness::running::json(&frozen.end().ok());
    assert_eq!((&restored["messages"], &restored["already"]), (&802.into(), &false.into()));
    early().ok();
    new.start(leader);
    new.await_whole();
    for (person, before) in people.iter().zip(before) {
        assert!(everything(&again(&new, person)) == *before, "{} has it all", person.name);
    }
    // A wiped replica learns it like everything else.
    let wiped = new.followers()[0];
    // Frozen while it is wiped, so that nobody adopts it before.
    new.signal(wiped, Signal::STOP);
    std::fs::remove_dir_all(new.data_dir(wiped)).expect("its directory");
    crash(&new, wiped);
    // A process that dies gives its port back last, and without its directory
    // nobody can tell that it was its.
    let address = new.addresses()[wiped as usize - 1].clone();
    wait_for("its port", || std::net::TcpListener::bind(&address).ok());
    new.start(wiped);
    new.await_whole();
}

#[test]
fn a_restore_that_was_begun_can_be_abandoned() {
    let (old, new) = (Cluster::shared(), Cluster::surviving());
    let [alice, bob] = talkative(&old);
    assert_eq!(bob.ids().len(), 800);
    let file = old.place.path().join("abandoned.jsonl");
    backup(&old, &file).end().json();
    let restoring = || new.status()["notices"].to_string().contains("being restored");
    let begun = freeze(restore(&new, &file).start(), restoring).expect("it takes a while");
    let abandon = ["restore", "--abandon", "--json", "--dir", &new.dir()];
    let abandoned = new.run(&abandon).end().json();
    assert_eq!(abandoned["cluster"], new.status()["cluster"]);
    begun.signal(Signal::CONT);
    begun.end().code(1);
    assert!(!restoring());
    new.person("carol");
    restore(&new, &file).end().refused(1, "not_empty");
    drop((alice, bob));
}

#[test]
fn a_backup_that_is_ended_leaves_nothing_behind() {
    let cluster = Cluster::shared();
    let people = talkative(&cluster);
    let folder = cluster.place.path().join("ended");
    std::fs::create_dir(&folder).expect("a new folder");
    let file = folder.join("backup.jsonl");
    let left = || std::fs::read_dir(&folder).expect("a folder").count();
    for signal in ending_signals() {
        wait_for("a backup that is ended in the middle", || {
            let frozen = freeze(backup(&cluster, &file).start(), || unfinished(&file).is_some());
            let ended = frozen.map(|frozen| {
                frozen.signal(signal);
                frozen.signal(Signal::CONT);
                frozen.end()
            });
            // It may have been too fast; then it has done all of it.
            if ended.as_ref().is_none_or(|ended| ended.code == Some(0)) {
                std::fs::remove_file(&file).expect("it was whole");
                return None;
            }
            Some(ended.expect("just looked at").code(130))
        });
        assert_eq!(left(), 0, "{signal:?}");
    }
    // A file that may not grow is a disk that is full: no server's fault.
    let small = ["sh", "-c", r#"ulimit -f 100; exec "$@""#, "sh"];
    let error = backup(&cluster, &file).under(&small).end().refused(1, "io");
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("ended/backup.jsonl") && message.contains("large"), "{error}");
    assert_eq!(left(), 0);
    // Nobody takes the half of one for the whole.
    let head = ["sh", "-c", r#"{ "$@"; echo "ended with $?" >&2; } | head -c 100"#, "sh"];
    let cut = cluster.run(&["backup", "-", "--dir", &cluster.dir()]).under(&head).end();
    assert!(cut.stderr.ends_with("ended with 1\n"), "{cut:?}");
    drop(people);
}

#[test]
fn what_comes_from_a_pipe_is_restored_and_what_does_not_end_well_changes_nothing() {
    let (old, new) = (Cluster::surviving(), Cluster::surviving());
    let [alice, bob] = [old.person("alice"), old.person("bob")];
    for n in 0..20 {
        alice.send(&bob, &format!("{n} {}", "x".repeat(5_000)));
    }
    let file = old.place.path().join("backup.jsonl");
    let taken = backup(&old, &file).end().json();
    let whole = std::fs::read(&file).expect("the backup");
    let dir = new.dir();
    let from = |name: &str, bytes: &[u8]| {
        new.run(&["restore", name, "--json", "--dir", &dir]).stdin(bytes).end()
    };
    // `-` and a path that leads to a pipe.
    for name in ["-", "/dev/stdin"] {
        let error = from(name, &whole[..whole.len() - 100]).refused(1, "corrupted");
        let message = error["message"].as_str().expect("a text").to_string();
        assert!(message.ends_with("Nothing was changed"), "{message}");
        let check = new.run(&["restore", "--check", name, "--json"]).stdin(&whole).end().json();
        assert_eq!((&check["sha256"], &check["file"]), (&taken["sha256"], &name.into()));
    }
    from("-", b"").refused(1, "corrupted");
    // Nothing was begun: whoever comes may register, somewhere else as here.
    assert!(!new.status()["notices"].to_string().contains("restored"));
    let nowhere = ["restore", "-", "--json", "--dir", &dir];
    let error = new.run(&nowhere).env("TMPDIR", "/nonexistent").stdin(&whole).end();
    error.refused(1, "io");
    let restored = from("/dev/stdin", &whole).json();
    assert_eq!((&restored["messages"], &restored["already"]), (&20.into(), &false.into()));
    let bob_again = again(&new, &bob);
    assert_eq!(everything(&bob_again), everything(&bob));
    assert_eq!(from("-", &whole).json()["already"], true);
    let left = std::fs::read_dir(new.place.path().join("home")).expect("a folder");
    let names = left.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert!(!names.into_iter().any(|name| name.contains("tmp")), "nothing is left in TMPDIR");
}
