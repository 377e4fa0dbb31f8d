//! Clients that mean harm, on the real program over real sockets.
//!
//! `cargo test` runs a short attack of each kind and asserts what no load on the
//! machine changes: that the servers live on in the same processes, within their
//! memory, and that honest messages arrive. `scripts/attack` runs the full one
//! (a million malformed lines, ten thousand connections) on the release build
//! and prints how fast an honest client is answered, at rest and attacked.

mod kinds;
mod peers;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::json;

use self::kinds::{Attack, KINDS, Target};
use crate::harness::place::random_id;
use crate::harness::raw::Raw;
use crate::harness::{ByHand, Cluster, Person, wait_for};

/// What a server may hold in memory, whatever is done to it.
const RESIDENT_MAX_KIB: u64 = 256 * 1024;

/// How much is done to the servers.
#[derive(Clone, Copy)]
struct Scale {
    malformed_lines: usize,
    connections: usize,
    slow: usize,
    rounds: usize,
    sends: usize,
}

const SHORT: Scale =
    Scale { malformed_lines: 20_000, connections: 600, slow: 60, rounds: 1, sends: 50 };
const FULL: Scale =
    Scale { malformed_lines: 1_000_000, connections: 10_000, slow: 1_000, rounds: 3, sends: 150 };

/// The variable that asks for the full attack.
const FULL_ATTACK: &str = "FTCHAT_TEST_ATTACK";

pub fn token(person: &Person<'_>) -> String {
    let name = format!("{}.json", person.name);
    let find = |folder: &std::path::Path| {
        std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join(&name)).ok()?;
            let session: serde_json::Value = serde_json::from_str(&text).ok()?;
            session["token"].as_str().map(str::to_string)
        })
    };
    find(&person.sessions_dir()).expect("a session is kept")
}

/// The most memory that a process has had so far, and has now.
fn resident_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a process has it");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// A login that nobody can have.
fn guess_of(name: &str) -> serde_json::Value {
    let token = random_id().replace('-', "").repeat(2);
    let operation = random_id();
    json!({"login": {"operation": operation, "name": name, "password": "guess guess", "token": token}})
}

/// Sends messages one after the other, and returns how long each took.
fn send(honest: &mut Raw, to: &str, count: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        let request = json!({"send": {"operation": random_id(), "to": [to], "text": "honest"}});
        let answer = honest.ask(request).expect("an honest client is served");
        assert!(answer["result"]["sent"].is_object(), "{answer}");
        took.push(started.elapsed());
    }
    took
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1000.0
}

/// Does all that `kinds` has to three servers while an honest client talks.
fn attack(scale: Scale, cluster: &Cluster) {
    kinds::allow_connections(scale.connections as u64 + 1_000);
    let (honest, mallory) = (cluster.person("honest"), cluster.person("mallory"));
    let pids: Vec<u32> = (1..=3).map(|id| cluster.pid(id)).collect();
    let addresses = cluster.addresses();
    // Through a follower, so that both ways are measured.
    let server = addresses[cluster.followers()[0] as usize - 1].clone();
    let mut client = Raw::session(&server, &token(&honest)).expect("a server answers");
    let target = Target { addresses, scale, token: token(&mallory), name: mallory.name.clone() };
    send(&mut client, &honest.name, scale.sends);
    let mut sent = scale.sends;
    for (name, kind) in KINDS {
        let (mut at_rest, mut attacked, mut done) = (Vec::new(), Vec::new(), 0);
        for _ in 0..scale.rounds {
            at_rest.extend(send(&mut client, &honest.name, scale.sends));
            let stop = AtomicBool::new(false);
            let attack = &Attack::new(&target, &stop);
            std::thread::scope(|scope| {
                let running = scope.spawn(move || kind(attack));
                wait_for("an attack under way", || attack.has_begun().then_some(()));
                attacked.extend(send(&mut client, &honest.name, scale.sends));
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                done += running.join().expect("an attack does not panic");
            });
            sent += 2 * scale.sends;
        }
        let memory = pids.iter().map(|pid| resident_kib(*pid).0).max().expect("three servers");
        println!(
            "{name}: {done}; p99 {:.1} ms at rest, {:.1} ms attacked; at most {} MiB resident",
            percentile(&mut at_rest, 99),
            percentile(&mut attacked, 99),
            memory / 1024,
        );
        assert!(memory < RESIDENT_MAX_KIB, "{memory} KiB in a server after {name}");
    }
    // The same processes, all of them in step, and everything is there once.
    cluster.await_whole();
    let now: Vec<u32> = (1..=3).map(|id| cluster.pid(id)).collect();
    assert_eq!(now, pids, "a server was lost");
    let texts = honest.texts();
    assert_eq!(texts.iter().filter(|text| *text == "honest").count(), sent);
}

#[test]
fn servers_live_through_every_kind_of_attack() {
    match std::env::var(FULL_ATTACK).as_deref() {
        // With passwords as dear as they are.
        Ok("full") => {
            let dear = [("FTCHAT_PASSWORDS_MEMORY_KIB", "19456"), ("FTCHAT_PASSWORDS_PASSES", "2")];
            attack(FULL, &Cluster::with(&dear));
        }
        _ => attack(SHORT, &Cluster::new()),
    }
}

#[test]
fn a_flood_of_connections_leaves_a_server_its_files() {
    flood_with_descriptors(256);
}

#[test]
fn a_flood_of_connections_leaves_a_server_of_the_fewest_descriptors_its_files() {
    flood_with_descriptors(64);
}

fn flood_with_descriptors(count: u32) {
    let mut by_hand = ByHand::with(&[]);
    by_hand.kill(1);
    // So few descriptors that strangers have them soon, and so small files that
    // the server needs new ones all the time.
    let limited = ["sh", "-c", &format!(r#"ulimit -n {count}; exec "$@""#), "sh"];
    let run = by_hand.serve(1).env("FTCHAT_LIMITS_LOG_SEGMENT_MAX_BYTES", "4096");
    let server = run.under(&limited).start();
    by_hand.cluster.await_whole();
    let address = by_hand.cluster.addresses()[0].clone();
    let strangers: Vec<Raw> = (0..600).filter_map(|_| Raw::connect(&address).ok()).collect();
    let alice = by_hand.cluster.person("alice");
    alice.run(&["send", &alice.name, "--lines"]).stdin("x\n".repeat(500)).end().ok();
    let status = by_hand.cluster.await_whole();
    let one = &status["replicas"][0];
    assert_eq!(one["pid"], server.pid(), "the server that was flooded lives: {status}");
    assert!(one["error"].is_null(), "{status}");
    drop(strangers);
    server.signal(rustix::process::Signal::TERM);
    server.end().code(0);
    let folder = by_hand.cluster.data_dir(1);
    let lock = std::fs::read_to_string(folder.join("LOCK")).expect("reads");
    assert!(!lock.contains("poisoned"), "no descriptor left is no damage: {lock}");
    assert!(!folder.join("damaged-1").exists());
}

/// Memory that a few hashes at a time need must not add up. An allocator that kept
/// it for its threads held 650 MiB after a hundred logins at each server.
#[test]
fn a_flood_of_logins_leaves_no_memory_behind() {
    const EACH: usize = 5;
    let cluster = Cluster::with(&[
        ("FTCHAT_PASSWORDS_MEMORY_KIB", "19456"),
        ("FTCHAT_LIMITS_FAILED_LOGIN_BURST", "1000"),
    ]);
    let address = &cluster.addresses()[0];
    let (at_rest_kib, _) = resident_kib(cluster.pid(1));
    std::thread::scope(|scope| {
        for number in 0..16 {
            scope.spawn(move || {
                let mut raw = Raw::client(address).expect("a server answers");
                for guess in 0..EACH {
                    let name = format!("nobody-{number}-{guess}");
                    let answer = raw.ask(guess_of(&name)).expect("an answer");
                    assert_eq!(answer["error"]["code"], "login_refused", "{answer}");
                }
            });
        }
    });
    let (most_kib, now_kib) = resident_kib(cluster.pid(1));
    // Two hashes of 19 MiB at once, and what the server itself needs.
    assert!(most_kib < at_rest_kib + 60 * 1024, "{at_rest_kib} KiB before, {most_kib} at most");
    assert!(now_kib < at_rest_kib + 20 * 1024, "{at_rest_kib} KiB before, {now_kib} after");
}
