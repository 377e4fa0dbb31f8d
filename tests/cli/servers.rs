//! `serve` alone: directories and addresses that cannot be used, and disks that
//! cannot be written.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::cluster::PASSWORD;
use crate::harness::place::{free_ports, random_id, write_key};
use crate::harness::{Cluster, Place, Run, Running, wait_for};

/// `serve` for a cluster of one replica.
fn serve_one(place: &Place, port: u16, data_dir: &Path) -> Run {
    let key = place.path().join("cluster.key");
    if !key.exists() {
        write_key(&key, 0o600);
    }
    place.run(&["serve", "--id", "1", "--peers", &format!("1=127.0.0.1:{port}")]).and(&[
        "--data-dir",
        &data_dir.display().to_string(),
        "--cluster-key-file",
        &key.display().to_string(),
    ])
}

/// A command that runs another one with a small file system of its own at
/// `folder`; `None`, said aloud, where the system does not let us mount.
fn with_file_system(folder: &Path, options: &str) -> Option<Vec<String>> {
    with_mount(&format!(r#"mount -t tmpfs -o "{options}" ftchat-test "{}""#, folder.display()))
}

/// A command that runs another one after this one has mounted something for
/// both alone.
fn with_mount(mount: &str) -> Option<Vec<String>> {
    let script = format!(r#"{mount} && exec "$@""#);
    let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
    let words: Vec<String> = words.map(str::to_string).to_vec();
    let tried = Command::new(&words[0]).args(&words[1..]).arg("true").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(words);
    }
    // Not through a macro: those are silent in a test that passes.
    let _ = std::io::stderr().write_all(b"skipped: cannot mount here\n");
    None
}

#[test]
fn one_server_alone_works_and_ends_with_0_when_asked_to() {
    let mut place = Place::new();
    let port = free_ports(1);
    place.set("FTCHAT_SERVERS", format!("127.0.0.1:{port}"));
    let server = serve_one(&place, port, &place.path().join("data")).start();
    let register = place.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD);
    register.end().ok();
    let sent = place.run(&["send", "alice", "hello", "--json"]).end().json();
    assert_eq!((&sent["copies"], &sent["replicas"]), (&1.into(), &1.into()));
    server.signal(Signal::TERM);
    assert_eq!(server.end().ok(), "", "the log does not belong on standard output");
    let again = serve_one(&place, port, &place.path().join("data")).start();
    assert_eq!(place.run(&["inbox", "--json"]).end().json()["text"], "hello");
    again.signal(Signal::INT);
    again.end().ok();
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_touched() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let data = place.path().join("data");
    let address = format!("127.0.0.1:{port}");
    serve_one(&place, port, &data).end().fails(1, &[&address, "taken", "--listen"]);
    serve_one(&place, port, &data).and(&["--json"]).end().refused(1, "address_in_use");
    assert!(!data.exists());
}

#[test]
fn the_bound_address_decides_whether_plain_text_is_spoken() {
    let mut place = Place::new();
    let port = free_ports(1);
    place.set("FTCHAT_SERVERS", format!("127.0.0.1:{port}"));
    let serve = |host: &str| {
        let listen = format!("{host}:{port}");
        serve_one(&place, port, &place.path().join("data")).and(&["--listen", &listen])
    };
    let status = |word: Option<&str>| {
        let servers = word.map(|word| vec!["--servers", word]).unwrap_or_default();
        place.run(&["status", "--check"]).and(&servers).end()
    };
    let ends = |server: Running| {
        server.signal(Signal::TERM);
        server.end().ok();
    };
    let is_spoken = |run: Run| {
        let server = run.start();
        wait_for("an answer", || (status(None).code == Some(0)).then_some(()));
        ends(server);
    };
    is_spoken(serve("LOCALHOST"));
    let key = place.path().join("cluster.key").display().to_string();
    let word = place.run(&["cluster", "address", "--cluster-key-file", &key]).end().ok();
    let is_not_spoken = |run: Run| {
        let server = run.start();
        wait_for("an answer", || (status(Some(word.trim_end())).code == Some(0)).then_some(()));
        let refused = status(None);
        assert!(refused.stdout.contains("only TLS is spoken"), "{refused:?}");
        ends(server);
    };
    is_not_spoken(serve("0.0.0.0"));
    let hosts = place.write("hosts", "0.0.0.0 localhost\n127.0.0.1 vm\n");
    let Some(mount) = with_mount(&format!("mount --bind '{}' /etc/hosts", hosts.display())) else {
        return;
    };
    // What a name stands for counts, and not the name.
    is_not_spoken(serve("localhost").under(&mount));
    is_spoken(serve("vm").under(&mount));
}

#[test]
fn there_is_nothing_left_to_permit() {
    let place = Place::new();
    let serve = || serve_one(&place, free_ports(1), &place.path().join("data"));
    serve().and(&["--insecure"]).end().fails(2, &["--insecure", "is gone", "speak TLS"]);
    let by_variable = serve().env("FTCHAT_SERVE_INSECURE", "true");
    by_variable.end().fails(2, &["FTCHAT_SERVE_INSECURE", "is gone"]);
    let config = place.write("old.toml", "[serve]\ninsecure = true\n").display().to_string();
    serve().and(&["--config", &config]).end().fails(2, &["old.toml:2", "serve.insecure is gone"]);
}

#[test]
fn a_directory_in_use_names_its_holder() {
    let cluster = Cluster::shared();
    let data = cluster.data_dir(1);
    let lock = std::fs::read(data.join("LOCK")).expect("LOCK");
    let pid = cluster.pid(1).to_string();
    let second = || serve_one(&cluster.place, free_ports(1), &data);
    second().end().fails(1, &[&data.display().to_string(), "in use", &pid]);
    second().and(&["--json"]).end().refused(1, "directory_in_use");
    assert_eq!(std::fs::read(data.join("LOCK")).expect("LOCK"), lock);
}

/// `serve` for a replica of a cluster that runs, on any directory and with the
/// cluster's own key.
fn serve_for(cluster: &Cluster, id: u64, data_dir: &Path) -> Run {
    let peers: Vec<String> =
        (1..).zip(cluster.addresses()).map(|(id, address)| format!("{id}={address}")).collect();
    cluster.run(&["serve", "--id", &id.to_string(), "--peers", &peers.join(",")]).and(&[
        "--data-dir",
        &data_dir.display().to_string(),
        "--cluster-key-file",
        &format!("{}/cluster.key", cluster.dir()),
    ])
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status();
    assert!(status.expect("cp").success());
}

#[test]
fn a_directory_of_another_replica_cluster_or_format_is_refused() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    for cluster in [&cluster, &other] {
        cluster.admin(&["stop", "3"]).end().ok();
    }
    let place = cluster.place.path();
    // Of another replica.
    copy(&cluster.data_dir(3), &place.join("three"));
    let port = format!("127.0.0.1:{}", free_ports(1));
    let wrong = serve_for(&cluster, 2, &place.join("three")).and(&["--listen", &port]);
    wrong.end().fails(1, &["three", "replica 3", "replica 2"]);
    // Of another cluster, though with the same key.
    copy(&other.data_dir(3), &place.join("stranger"));
    let wrong = || serve_for(&cluster, 3, &place.join("stranger"));
    wrong().and(&["--json"]).end().refused(1, "wrong_cluster");
    wrong().end().fails(1, &["stranger", "belongs to another cluster"]);
    // Of a newer format.
    copy(&cluster.data_dir(3), &place.join("newer"));
    let identity = place.join("newer/identity.json");
    write_newer_format(&identity);
    let before = std::fs::read(&identity).expect("an identity");
    let newer = || serve_for(&cluster, 3, &place.join("newer"));
    newer().end().fails(1, &["identity.json", "format 99", "newer program"]);
    newer().and(&["--json"]).end().refused(1, "newer_format");
    assert_eq!(std::fs::read(&identity).expect("an identity"), before);
    // Nothing of that hurts: the right directory works.
    cluster.start(3);
    cluster.await_whole();
}

/// Rewrites an identity as a newer program would, checksum included.
fn write_newer_format(path: &Path) {
    let text = std::fs::read_to_string(path).expect("an identity");
    let record: Value = serde_json::from_str(text.trim_end()).expect("JSON");
    let start = text.find(r#""data":"#).expect("a record") + r#""data":"#.len();
    let payload = text[start..].trim_end().strip_suffix('}').expect("an object");
    assert_eq!(serde_json::from_str::<Value>(payload).expect("JSON"), record["data"]);
    let own = format!("\"format\":{}", record["data"]["format"]);
    let newer = payload.replace(&own, r#""format":99"#);
    assert_ne!(newer, payload);
    // The checksum is over the digits of the length and the payload.
    let length = newer.len();
    let checksum = crc32fast::hash(format!("{length}{newer}").as_bytes());
    let line = format!("{{\"length\":{length},\"crc32\":\"{checksum:08x}\",\"data\":{newer}}}\n");
    std::fs::write(path, line).expect("a file");
}

#[test]
fn a_key_that_others_can_read_or_that_is_missing_is_refused() {
    let place = Place::new();
    let run = |key: &Path| {
        place.run(&["serve", "--id", "1", "--peers", "1=127.0.0.1:9"]).and(&[
            "--data-dir",
            &place.path().join("data").display().to_string(),
            "--cluster-key-file",
            &key.display().to_string(),
        ])
    };
    let open = place.path().join("open.key");
    write_key(&open, 0o644);
    run(&open).end().fails(2, &["open.key", "0644", "chmod 600"]);
    run(&place.path().join("missing.key")).end().code(2);
    let without = place.run(&["serve", "--id", "1", "--peers", "1=127.0.0.1:9"]);
    without.and(&["--data-dir", "data"]).end().fails(2, &["--cluster-key-file"]);
    place.run(&["serve"]).end().fails(2, &["serve.id", "--id"]);
    assert!(!place.path().join("data").exists());
}

#[test]
fn a_read_only_directory_is_named() {
    let place = Place::new();
    let folder = place.path().join("data");
    std::fs::create_dir(&folder).expect("a folder");
    let Some(mount) = with_file_system(&folder, "ro") else { return };
    let serve = serve_one(&place, free_ports(1), &folder).under(&mount).end();
    serve.fails(1, &[&folder.display().to_string(), "Read-only"]);

    // A session that cannot be kept is not asked for.
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    let folder = alice.sessions_dir();
    std::fs::create_dir(&folder).expect("a folder");
    let mount = with_file_system(&folder, "ro").expect("it worked above");
    let register = || alice.run(&["register", &alice.name, "--password-stdin"]).stdin(PASSWORD);
    let named = folder.display().to_string();
    register().under(&mount).end().fails(1, &[&named, "Read-only"]);
    register().end().ok();
}

/// A path as the processes in another mount namespace see it.
fn inside(server: &Running, path: &Path) -> std::path::PathBuf {
    let root = format!("/proc/{}/root", server.pid());
    Path::new(&root).join(path.strip_prefix("/").expect("an absolute path"))
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else_until_there_is_room() {
    let mut place = Place::new();
    let port = free_ports(1);
    place.set("FTCHAT_SERVERS", format!("127.0.0.1:{port}"));
    let folder = place.path().join("data");
    std::fs::create_dir(&folder).expect("a folder");
    let Some(mount) = with_file_system(&folder, "size=4m") else { return };
    let server = serve_one(&place, port, &folder).under(&mount).start();
    place.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    place.run(&["send", "alice", "before"]).end().ok();

    let filler = inside(&server, &folder).join("filler");
    fill(&filler);
    let id = random_id();
    let send = |id: &str| {
        let text = "x".repeat(8_000);
        place.run(&["send", "alice", &text, "--id", id, "--timeout", "2s"]).end()
    };
    // What fits into the last page is still taken.
    let refused = wait_for("a refused message", || {
        Some(send(&random_id())).filter(|sent| sent.code != Some(0))
    });
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    assert!(refused.stderr.contains("full"), "{refused:?}");
    let doubtful = send(&id);
    assert!(matches!(doubtful.code, Some(3 | 6)), "{doubtful:?}");

    let messages = place.run(&["inbox", "--peek", "--json"]).end().objects();
    assert_eq!(messages[0]["text"], "before");
    let status = place.run(&["status", "--json"]).end();
    let status = crate::harness::running::json(&status.stdout);
    let error = status["replicas"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("full") || error.contains("space"), "{status}");

    std::fs::remove_file(&filler).expect("the filler");
    wait_for("a message that is taken again", || (send(&id).code == Some(0)).then_some(()));
    wait_for("a status that says so", || {
        (place.run(&["status", "--check"]).end().code == Some(0)).then_some(())
    });
    let messages = place.run(&["inbox", "--peek", "--json"]).end().objects();
    let same = messages.iter().filter(|message| message["id"] == id.as_str()).count();
    assert_eq!(same, 1);
    server.signal(Signal::TERM);
    server.end().ok();
}

/// Writes until the disk is full.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    for size in [64 * 1024, 1] {
        let full = std::iter::repeat_with(|| file.write_all(&vec![0; size])).take(100_000);
        let error = full.filter_map(Result::err).next().expect("a small disk");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}
