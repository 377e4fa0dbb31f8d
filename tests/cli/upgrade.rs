//! A cluster of the version before that is updated server by server under load,
//! and one that goes back: with the real programs of both versions.
//!
//! `scripts/previous-version` builds the older one out of the repository's history,
//! once; that takes minutes.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::alone::{left_alone, sent, thaw};
use crate::harness::cluster::PASSWORD;
use crate::harness::place::PROGRAM;
use crate::harness::running::json;
use crate::harness::{Cluster, Steady};

/// The program of the version before.
fn previous() -> &'static str {
    static PREVIOUS: OnceLock<String> = OnceLock::new();
    PREVIOUS.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/previous-version");
        let output = Command::new(script).output().expect("bash");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the version before could not be built: {said}");
        String::from_utf8(output.stdout).expect("a path").trim_end().to_string()
    })
}

/// The feature level that the new program knows.
const NEWEST_LEVEL: u64 = ftchat::limits::FEATURE_LEVEL_KNOWN as u64;

/// Restarts a server with a program.
fn restart(cluster: &Cluster, id: u64, program: &str) {
    cluster.admin(&["stop", &id.to_string()]).by(program).end().ok();
    cluster.admin(&["start", &id.to_string(), "--wait"]).by(program).end().ok();
}

/// The format that a replica's directory says it has.
fn format(cluster: &Cluster, id: u64) -> Value {
    let path = cluster.data_dir(id).join("identity.json");
    json(&std::fs::read_to_string(path).expect("an identity"))["data"]["format"].clone()
}

/// Waits for a status, as the newer program shows it, that is as wanted.
fn newer_status(cluster: &Cluster, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    cluster.place.use_program(PROGRAM);
    let status = cluster.await_status(what, wanted);
    cluster.place.use_program(previous());
    status
}

#[test]
fn a_rolling_update_under_load_loses_nothing_and_raises_the_level_at_its_end() {
    // Commands of the version before go on while servers are updated.
    let cluster = Cluster::by(previous());
    // The leader last, as people would.
    let order = [cluster.followers(), vec![cluster.leader()]].concat();
    let steady = Steady::start(&cluster);
    for id in &order {
        newer_status(&cluster, "the old level", |status| status["feature_level"] == 0);
        assert_eq!(format(&cluster, *id), 1, "nothing new before the last is updated");
        restart(&cluster, *id, PROGRAM);
        steady.goes_on();
    }
    newer_status(&cluster, "the new level", |status| status["feature_level"] == NEWEST_LEVEL);
    steady.goes_on();
    steady.all_arrived();
    cluster.place.use_program(PROGRAM);
    cluster.await_whole();

    // There is no way back.
    let id = order[0];
    assert_eq!(format(&cluster, id), 1 + NEWEST_LEVEL);
    cluster.admin(&["stop", &id.to_string()]).end().ok();
    let refused = cluster.admin(&["start", &id.to_string()]).by(previous()).end();
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(refused.stderr.contains(&format!("is of format {}", 1 + NEWEST_LEVEL)), "{refused:#?}");
    cluster.start(id);
    cluster.await_whole();
}

#[test]
fn two_of_three_are_updated_and_go_back() {
    let cluster = Cluster::by(previous());
    let alice = cluster.person("alice");
    let restart_by = |id: u64, program: &str| restart(&cluster, id, program);
    let start = |id: u64, program: &str| {
        cluster.admin(&["start", &id.to_string(), "--wait"]).by(program).end().ok();
    };
    alice.send(&alice, "before");
    for id in [1, 2] {
        restart_by(id, PROGRAM);
    }
    // As both versions see it, and with equal hashes.
    cluster.await_whole();
    cluster.admin(&["transfer", "1"]).by(PROGRAM).end().ok();
    let status = newer_status(&cluster, "who is too old", |status| {
        status["notices"].to_string().contains("server 3 runs an older program; update it")
    });
    assert_eq!(status["feature_level"], 0);
    for verb in [&["invite"][..], &["invites"], &["registration", "closed"]] {
        let early = cluster.admin(verb).by(PROGRAM).end();
        early.fails(1, &["needs feature level 2", "server 3 runs an older program"]);
    }
    let newer = alice.run(&["passwd", "--password-stdin", "--servers", &cluster.addresses()[0]]);
    let early = newer.stdin(format!("{PASSWORD}\n{PASSWORD}")).by(PROGRAM).end();
    early.fails(1, &["needs feature level 5", "server 3 runs an older program"]);
    alice.send(&alice, "between");

    // A survivor of the new version runs the others' replicas, also the old one's,
    // and gives them back; and the other way round.
    for (survivor, died) in
        [(1, [(2, PROGRAM), (3, previous())]), (3, [(1, PROGRAM), (2, PROGRAM)])]
    {
        for (id, _) in died {
            cluster.crash(id);
        }
        alice.send(&alice, &format!("through {survivor} alone"));
        for (id, program) in died {
            start(id, program);
        }
        cluster.await_whole();
    }
    for id in 1..=3 {
        assert_eq!(format(&cluster, id), 1, "nothing new is in replica {id}");
    }

    for id in [2, 1] {
        restart_by(id, previous());
    }
    alice.send(&alice, "after");
    let texts = ["before", "between", "through 1 alone", "through 3 alone", "after"];
    assert_eq!(alice.texts(), texts);
    cluster.await_whole();
    // Nothing hinders another try, whole this time.
    for id in [1, 2, 3] {
        restart_by(id, PROGRAM);
    }
    newer_status(&cluster, "the new level", |status| status["feature_level"] == NEWEST_LEVEL);
    assert_eq!(alice.texts(), texts);
}

/// It knows nothing of messages that are confirmed later, so it is not given any.
#[test]
fn a_client_of_the_version_before_gets_nothing_from_a_server_that_is_alone_and_loses_nothing() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "before");
    let (_, frozen) = left_alone(&cluster);
    sent(&alice, &bob, "of the new program");
    let older = |arguments: &[&str]| bob.run(arguments).and(&["--timeout", "2s"]).by(previous());
    older(&["send", &bob.name, "of the older program"]).end().fails(3, &["majority"]);
    older(&["inbox"]).end().fails(3, &["majority"]);
    let status = older(&["status", "--json"]).end().json();
    assert_eq!(status["writable"], false, "{status}");
    thaw(&cluster, &frozen);
    older(&["send", &bob.name, "of the older program, again"]).end().ok();
    let texts = ["before", "of the new program", "of the older program, again"];
    assert_eq!(bob.texts(), texts);
    let read = older(&["inbox", "--json"]).end().objects();
    assert_eq!(read.iter().map(|message| &message["text"]).collect::<Vec<_>>(), texts);
}
