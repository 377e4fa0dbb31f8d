//! What a service manager such as systemd hears of a server and of a local cluster, by a
//! socket of the test's own.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::place::{free_ports, random_id, write_key};
use crate::harness::processes::serving;
use crate::harness::{Place, Run, WAIT_MAX};

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// At a path.
    fn at_path(place: &Place) -> Manager {
        let path = place.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a new path");
        Manager::new(socket, path.display().to_string())
    }

    /// At an abstract address.
    fn abstract_one() -> Manager {
        let name = format!("ftchat-test-{}", random_id());
        let address = SocketAddr::from_abstract_name(&name).expect("short");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody has that name");
        Manager::new(socket, format!("@{name}"))
    }

    fn new(socket: UnixDatagram, name: String) -> Manager {
        socket.set_read_timeout(Some(WAIT_MAX)).expect("not zero");
        Manager { socket, name }
    }

    /// Starts what it is told by, and has a sign of life from it within these microseconds.
    fn starts(&self, run: Run, watchdog_us: u64) -> Run {
        // Whose process id it is to be is known in the process alone.
        let named = r#"WATCHDOG_PID=$$ exec "$@""#;
        run.env("NOTIFY_SOCKET", &self.name)
            .env("WATCHDOG_USEC", &watchdog_us.to_string())
            .under(&["sh", "-c", named, "sh"])
    }

    /// The lines of the next notification.
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a notification");
        let text = String::from_utf8(bytes[..length].to_vec()).expect("text");
        text.lines().map(str::to_string).collect()
    }

    /// The first notification from now on with this line, after what came before it.
    fn until(&self, line: &str) -> Vec<Vec<String>> {
        let (mut heard, deadline) = (Vec::new(), Instant::now() + WAIT_MAX);
        loop {
            heard.push(self.next());
            if heard.last().is_some_and(|lines| lines.iter().any(|it| it == line)) {
                return heard;
            }
            assert!(Instant::now() < deadline, "never {line:?}, but {heard:?}");
        }
    }
}

/// `serve` for a cluster of one replica.
fn serve_one(place: &mut Place) -> Run {
    let key = place.path().join("cluster.key");
    write_key(&key, 0o600);
    serve_with(place, &key)
}

/// The same with this file for the key.
fn serve_with(place: &mut Place, key: &Path) -> Run {
    let port = free_ports(1);
    place.set("FTCHAT_SERVERS", format!("127.0.0.1:{port}"));
    place.run(&["serve", "--id", "1", "--peers", &format!("1=127.0.0.1:{port}")]).and(&[
        "--data-dir",
        &place.path().join("data").display().to_string(),
        "--cluster-key-file",
        &key.display().to_string(),
    ])
}

fn has(heard: &[Vec<String>], begin: &str) -> bool {
    heard.iter().flatten().any(|line| line.starts_with(begin))
}

#[test]
fn a_server_says_that_it_answers_how_it_is_that_it_moves_and_that_it_ends() {
    let mut place = Place::new();
    let manager = Manager::at_path(&place);
    let server = manager.starts(serve_one(&mut place), 2_000_000).start();
    let before = manager.until("READY=1");
    // Once, at once: it answers by now.
    let status = place.run(&["status", "--json", "--timeout", "5s"]).end().json();
    assert_eq!(status["replicas"][0]["pid"], server.pid(), "{status}");
    assert!(has(&before[before.len() - 1..], "STATUS=Replica 1 "), "{before:?}");
    let after = manager.until("STATUS=Replica 1 leads; writes are taken.");
    assert!(!has(&after, "READY") && !has(&after, "STOPPING"), "{after:?}");
    // A quarter of the two seconds, again and again.
    for _ in 0..3 {
        let heard = manager.until("WATCHDOG=1");
        assert!(!has(&heard, "EXTEND_TIMEOUT_USEC"), "only a start takes longer: {heard:?}");
    }
    server.signal(Signal::TERM);
    manager.until("STOPPING=1");
    server.end().ok();
}

#[test]
fn a_server_that_waits_for_its_data_asks_for_more_time() {
    let mut place = Place::new();
    let manager = Manager::at_path(&place);
    let data = place.path().join("data");
    std::fs::create_dir(&data).expect("a new folder");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).expect("ours");
    // Another server is said to run the replica, and does not answer.
    let holder = json!({
        "pid": std::process::id(), "started_at": "2026-01-01T00:00:00.000Z", "server": 2,
        "address": format!("127.0.0.1:{}", free_ports(1)),
    });
    let lock = data.join("LOCK");
    std::fs::write(&lock, format!("{holder}\n")).expect("a new file");
    let held = std::fs::File::open(&lock).expect("it was just made");
    held.lock().expect("nobody else has it");
    let server = manager.starts(serve_one(&mut place), 60_000_000).start();
    for _ in 0..2 {
        let heard = manager.until("EXTEND_TIMEOUT_USEC=30000000");
        assert!(!has(&heard, "READY"), "{heard:?}");
    }
    drop(held);
    manager.until("READY=1");
    server.signal(Signal::TERM);
    server.end().ok();
}

#[test]
fn why_a_server_ends_is_told() {
    let mut place = Place::new();
    let manager = Manager::at_path(&place);
    let key = place.path().join("none.key");
    let run = |run: Run| run.env("NOTIFY_SOCKET", &manager.name);
    run(serve_with(&mut place, &key)).end().fails(2, &["is missing"]);
    let heard = manager.until(&format!(
        "STATUS=the cluster key file {} is missing; every server of a cluster needs a copy of \
         the same key",
        key.display()
    ));
    assert!(!has(&heard, "READY"), "{heard:?}");
    // What no server could satisfy, or nobody understands.
    let impatient = run(serve_with(&mut place, &key)).env("WATCHDOG_USEC", "999999");
    impatient.end().fails(2, &["WatchdogSec=", "1s or more"]);
    let strange = serve_with(&mut place, &key).env("NOTIFY_SOCKET", "vsock:2:1");
    strange.end().fails(2, &["NOTIFY_SOCKET", "vsock:2:1"]);
}

#[test]
fn a_copy_of_the_key_that_only_the_service_can_read_is_taken() {
    let mut place = Place::new();
    let manager = Manager::at_path(&place);
    let credentials = place.path().join("credentials");
    std::fs::create_dir(&credentials).expect("a new folder");
    let key = credentials.join("cluster.key");
    // As an access control list makes it look that lets the service read.
    write_key(&key, 0o440);
    let serve = |place: &mut Place| serve_with(place, &key).env("NOTIFY_SOCKET", &manager.name);
    serve(&mut place).end().fails(2, &["mode 0440"]);
    let credentials = credentials.display().to_string();
    let server = serve(&mut place).env("CREDENTIALS_DIRECTORY", &credentials).start();
    manager.until("READY=1");
    server.signal(Signal::TERM);
    server.end().ok();
}

#[test]
fn a_local_cluster_in_the_foreground_is_one_service() {
    let place = Place::new();
    let manager = Manager::abstract_one();
    let dir = place.path().join("cluster").display().to_string();
    let base_port = free_ports(3).to_string();
    let up = ["cluster", "up", "--dir", &dir, "--base-port", &base_port];
    let cluster = manager.starts(place.run(&up), 60_000_000).start();
    let whole = "STATUS=Writes are taken. 2 more servers may fail, one after the other.";
    let heard = manager.until(whole);
    // No server speaks in the name of the command.
    let ready = heard.iter().filter(|lines| lines.contains(&"READY=1".to_string()));
    assert_eq!(ready.count(), 1, "{heard:?}");
    assert!(!has(&heard, "STATUS=Replica") && !has(&heard, "WATCHDOG"), "{heard:?}");
    for id in 1..=3 {
        let data = place.path().join(format!("cluster/replica-{id}"));
        let pid = serving(&data).expect("its server");
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("our process");
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(environment.contains("PATH="), "it can be read");
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
            assert!(!environment.contains(variable), "server {id} has {variable}");
        }
    }
    place.run(&["cluster", "kill", "3", "--dir", &dir]).end().ok();
    manager.until("STATUS=Writes are taken. One more server may fail.");
    cluster.signal(Signal::TERM);
    manager.until("STOPPING=1");
    cluster.end().ok();
}
