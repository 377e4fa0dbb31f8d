//! Who speaks as a replica without holding the cluster's key is refused before
//! anything is believed, and the log says so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::place::free_ports;
use crate::harness::raw::Raw;
use crate::harness::{ByHand, Cluster, wait_for};

/// A vote that would depose every leader.
const HIGHER_TERM: &str = r#"{"id":1,"call":"vote","body":{"vote":{"leader_id":{"term":999999,"node_id":4294967297},"committed":false},"last_log_id":null}}"#;

fn hello(cluster: &Value, replica: u64) -> Value {
    json!({
        "ftchat": 1, "role": "peer", "replica": replica, "nonce": "5".repeat(64),
        "cluster": cluster, "lineage": cluster, "incarnation": 1,
    })
}

fn code(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
    value["error"]["code"].as_str().unwrap_or("none").to_string()
}

/// How often replica 1 has warned of a refused peer, held back ones included.
fn warnings(cluster: &Cluster) -> usize {
    let log = cluster.admin(&["logs", "1"]).end().ok();
    let lines = log.lines().filter(|line| line.contains("refused a peer"));
    let held_back = |line: &str| {
        let (_, number) = line.split_once("held_back=")?;
        number.split_whitespace().next()?.parse::<usize>().ok()
    };
    lines.map(|line| 1 + held_back(line).unwrap_or(0)).sum()
}

#[test]
fn frames_without_the_key_are_refused_unread_and_logged() {
    let cluster = Cluster::new();
    let before = cluster.await_whole();
    let address = cluster.addresses()[0].clone();
    let hello = hello(&before["cluster"], 2).to_string();
    let proof = json!({"proof": "0".repeat(64)}).to_string();
    for (lines, refusal) in [
        // Frames at once, as if the hello were a formality.
        (vec![r#"{"ftchat":1,"role":"peer"}"#, HIGHER_TERM], "invalid_request"),
        (vec![&hello, HIGHER_TERM], "invalid_request"),
        // A proof that is none, and then frames.
        (vec![&hello, &proof, HIGHER_TERM], "permission_denied"),
    ] {
        let mut raw = Raw::connect(&address).expect("it listens");
        raw.write((lines.join("\n") + "\n").as_bytes()).expect("it reads");
        let said = raw.rest();
        let last = said.lines().last().expect("a refusal");
        assert_eq!(code(last), refusal, "{said}");
        assert!(!said.contains("welcome") && !said.contains("location"), "{said}");
    }
    wait_for("three warnings", || (warnings(&cluster) >= 1).then_some(()));
    let after = cluster.status();
    assert_eq!(after["term"], before["term"], "nobody believed the higher term");
    assert_eq!(after["leader"], before["leader"]);
    let log = cluster.admin(&["logs", "1"]).end().ok();
    assert!(!log.contains("999999"), "what was refused is in the log: {log}");
}

/// Passes connections on to `to`, and keeps what those who connect say.
fn tap(to: String) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let port = free_ports(1);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let said = Arc::clone(&heard);
    // Ends with the test program.
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            let (Ok(mut caller), Ok(mut callee)) = (caller, TcpStream::connect(&to)) else {
                continue;
            };
            let number = {
                let mut said = said.lock().expect("no panic");
                said.push(Vec::new());
                said.len() - 1
            };
            let mut back = (callee.try_clone().expect("ours"), caller.try_clone().expect("ours"));
            std::thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count) = caller.read(&mut buffer) {
                    if count == 0 || callee.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                    said.lock().expect("no panic")[number].extend(&buffer[..count]);
                }
            });
        }
    });
    (port, heard)
}

#[test]
fn a_recorded_handshake_convinces_nobody() {
    let mut by_hand = ByHand::new();
    let address = by_hand.cluster.addresses()[1].clone();
    let (port, heard) = tap(address.clone());
    by_hand.kill(1);
    // Server 1 reaches server 2 through the tap, and proves itself to it there.
    let run = by_hand.serve_with_peer(1, 2, &format!("127.0.0.1:{port}"));
    let server = run.start();
    let recorded = wait_for("a handshake of two lines", || {
        let heard = heard.lock().expect("no panic");
        let lines = |bytes: &Vec<u8>| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().take(2).map(str::to_string).collect::<Vec<_>>()
        };
        heard
            .iter()
            .map(lines)
            .find(|lines| lines.len() == 2 && lines[1].contains("proof") && lines[1].ends_with('}'))
    });
    let before = by_hand.cluster.await_status("a leader", |status| status["leader"].is_u64());
    let mut raw = Raw::connect(&address).expect("it listens");
    raw.send_line(&recorded[0]).expect("it reads");
    let challenge = raw.receive().expect("it answers");
    assert!(challenge.contains("nonce"), "{challenge}");
    raw.send_line(&recorded[1]).expect("it reads");
    raw.send_line(HIGHER_TERM).expect("it reads");
    let said = raw.rest();
    assert_eq!(code(said.trim()), "permission_denied", "{said}");
    by_hand.server(2).said("refused a peer");
    let after = by_hand.cluster.await_status("a leader", |status| status["leader"].is_u64());
    assert!(after["term"].as_u64() < Some(before["term"].as_u64().expect("a term") + 100));
    drop(server);
}
