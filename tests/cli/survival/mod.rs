//! Servers die until one is left, and nobody who talks is to notice: the last
//! one runs the replicas of the others, until their own servers are back.
//!
//! | file | what |
//! |---|---|
//! | [`adoption`] | the last server runs all replicas, and says so |
//! | [`hand_back`] | the owners come back, well or badly |
//! | [`alone`] | all are dead, and any one is started |
//! | [`frozen`] | a lock that is held is never stolen |
//! | [`unsuitable`] | directories that must not be run |
//! | [`stopping`] | nobody adopts on the way out |
//! | [`dying`] | what makes a death show early |
//! | [`scripted`] | one-shot commands in a loop, while servers are killed |

mod adoption;
mod alone;
mod dying;
mod frozen;
mod hand_back;
mod scripted;
mod stopping;
mod unsuitable;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::harness::{ByHand, Cluster, Output, Person, wait_for};

/// The two others.
fn others(id: u64) -> [u64; 2] {
    let others: Vec<u64> = (1..=3).filter(|other| *other != id).collect();
    others.try_into().expect("one of three")
}

/// The replica's part of a status.
fn replica(status: &Value, id: u64) -> &Value {
    &status["replicas"][id as usize - 1]
}

/// Kills servers at once, and returns when their processes are gone.
fn crash(cluster: &Cluster, ids: &[u64]) {
    ids.iter().for_each(|id| cluster.crash(*id));
    await_gone(cluster, ids);
}

fn await_gone(cluster: &Cluster, ids: &[u64]) {
    for id in ids {
        wait_for("the end of a server", || cluster.server(*id).is_none().then_some(()));
    }
}

/// Starts servers again, `ftchat cluster start` each, and waits until all is
/// as it was.
fn start(cluster: &Cluster, ids: &[u64]) {
    for id in ids {
        cluster.admin(&["start", &id.to_string()]).end().ok();
    }
    cluster.await_whole();
}

/// Waits until one server runs and leads all replicas, and each knows it: an
/// adopted one may have led before, as the one with the longest log.
#[track_caller]
fn await_alone(cluster: &Cluster, id: u64) -> Value {
    cluster.await_status("one server that runs all replicas", |status| {
        status["writable"] == true
            && status["leader"] == id
            && (1..=3)
                .map(|hosted| replica(status, hosted))
                .all(|replica| replica["hosted_by"] == id && replica["term"] == status["term"])
    })
}

/// Checks all that is to be seen when one server has adopted both others.
fn check_alone(cluster: &Cluster, id: u64) {
    let pid = cluster.server(id).expect("the survivor runs");
    let status = await_alone(cluster, id);
    assert_eq!(status["tolerates"], 0, "{status}");
    for hosted in 1..=3 {
        let replica = replica(&status, hosted);
        assert_eq!(replica["pid"], pid, "{status}");
        assert_eq!(replica["address"], cluster.addresses()[hosted as usize - 1], "{status}");
        // An adopted voter keeps no second copy of the state.
        assert_eq!(replica["state_hash"].is_string(), hosted == id, "{status}");
        if hosted != id {
            assert!(matches!(replica["state"].as_str(), Some("follower")), "{status}");
            assert_eq!(cluster.server(hosted), None, "nothing is started again");
        }
        check_holder(cluster, hosted, id, pid);
        check_modes(&cluster.data_dir(hosted));
    }
    cluster.run(&["status", "--check"]).end().code(1);
}

/// `LOCK` of a replica says that this server's process holds it.
fn check_holder(cluster: &Cluster, hosted: u64, server: u64, pid: u32) {
    let holder = cluster.holder(hosted);
    assert_eq!((&holder["pid"], &holder["server"]), (&pid.into(), &server.into()), "{holder}");
    let address = &cluster.addresses()[server as usize - 1];
    assert_eq!(holder["address"], address.as_str(), "{holder}");
    let started_at = holder["started_at"].as_str().expect("an instant");
    assert!(started_at.contains('T') && started_at.ends_with('Z'), "{holder}");
    let own = cluster.holder(server);
    assert_eq!(holder["started_at"], own["started_at"], "of the process, not of the adoption");
}

/// Nobody else may read what is in a data directory.
fn check_modes(path: &Path) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        // Replaced or removed while this looks, as temporary files are.
        return;
    };
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    let mode = metadata.permissions().mode() & 0o7777;
    assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder of our own").flatten() {
            check_modes(&entry.path());
        }
    }
}

/// All sentences of a status for people, in one.
fn sentences(status: &Value) -> String {
    let errors = status["replicas"].as_array().expect("an array").iter().map(|r| &r["error"]);
    let notices = status["notices"].as_array().expect("an array").iter();
    notices.chain(errors).filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// Waits until a sentence of a status names a replica, its server or its
/// directory, and one of `reasons`.
#[track_caller]
fn await_sentence(cluster: &Cluster, id: u64, reasons: &[&str]) -> Value {
    let what = format!("a status that says of replica {id} one of {reasons:?}");
    // The last is one of several of which the same is said: "servers 2 (…) and 3 (…): …".
    let names = [
        format!("server {id} "),
        format!("replica {id} "),
        format!("replica-{id}"),
        format!(" {id} ("),
    ];
    let says = |line: &str| {
        names.iter().any(|name| line.contains(name))
            && reasons.iter().any(|reason| line.contains(reason))
    };
    cluster.await_status(&what, |status| {
        // A replica's own error need not name it.
        let error = replica(status, id)["error"].as_str().unwrap_or_default();
        reasons.iter().any(|reason| error.contains(reason)) || sentences(status).lines().any(says)
    })
}

/// Tries to send until nothing is done for want of a majority. A leader may
/// take a message into its log before it notices that it stands alone.
#[track_caller]
fn await_refused(from: &Person<'_>, to: &Person<'_>, words: &[&str]) -> Output {
    let refused = wait_for("a message that is refused", || {
        let strict = ["send", &to.name, "refused", "--confirm", "majority", "--timeout", "1s"];
        let sent = from.does(&strict);
        assert!(matches!(sent.code, Some(3 | 6)), "{sent:?}");
        (sent.code == Some(3) && words.iter().all(|word| sent.stderr.contains(word)))
            .then_some(sent)
    });
    assert_eq!(refused.stdout, "", "{refused:?}");
    refused
}

/// Sends a message each way that must go at once, and finds it in the inbox.
fn check_talk(cluster: &Cluster) {
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "still here");
    let messages = bob.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!((&messages[0]["id"], &messages[0]["text"]), (&id.into(), &"still here".into()));
}

/// What a server of `cluster up` has logged since its first start.
fn log(cluster: &Cluster, id: u64) -> String {
    std::fs::read_to_string(format!("{}/replica-{id}.log", cluster.dir())).expect("a log")
}

/// Every file of a directory with its content, but for `LOCK`, which a
/// survivor may have looked at.
fn content(path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(content(&path));
        } else if path.file_name().is_some_and(|name| name != "LOCK") {
            found.push((path.clone(), std::fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

/// Three servers by hand, of which two are dead and the third runs all.
fn by_hand_alone(survivor: u64) -> ByHand {
    let mut by_hand = ByHand::new();
    let [first, second] = others(survivor);
    by_hand.kill(first);
    by_hand.kill(second);
    await_alone(&by_hand.cluster, survivor);
    by_hand
}
