//! How one server is, in a sentence: what its service manager shows of it.
//!
//! A server knows itself, and of the others what it has heard. So the sentence says what
//! its replica does and what is wrong with it, and leaves to `status`, which asks all
//! servers, how many more may fail.

use super::sanitize;
use crate::protocol::client::{ReplicaState, ServerStatus};
use crate::types::ReplicaId;

/// One line that is safe to show.
pub fn server_sentence(status: &ServerStatus) -> String {
    let own = status.hosted.iter().find(|replica| replica.id == status.replica);
    let state = own.map_or(ReplicaState::Starting, |replica| replica.state);
    let alone = own.filter(|replica| replica.alone_since.is_some());
    let error = own.and_then(|replica| replica.error.as_deref());
    let does = match alone {
        Some(own) => format!("goes on alone; {} wait to be confirmed", own.outbox),
        None => does(state, status),
    };
    let mut text = format!("Replica {} {does}", status.replica);
    // An error is the reason of the notice where there are both.
    if let Some(why) = error.or(status.notice.as_deref()) {
        text.push_str(&format!(" ({})", sanitize(why)));
    }
    text.push('.');
    let others: Vec<String> = status
        .hosted
        .iter()
        .filter(|replica| replica.id != status.replica)
        .map(|replica| replica.id.to_string())
        .collect();
    match others.as_slice() {
        [] => {}
        [one] => text.push_str(&format!(" This server also runs replica {one}.")),
        [first @ .., last] => text
            .push_str(&format!(" This server also runs replicas {} and {last}.", first.join(", "))),
    }
    text
}

fn does(state: ReplicaState, status: &ServerStatus) -> String {
    let others: Option<ReplicaId> = status.leader.filter(|leader| *leader != status.replica);
    match (state, others) {
        (ReplicaState::Leader, _) if status.writable => "leads; writes are taken".to_string(),
        (ReplicaState::Leader, _) => "leads; writes are not taken".to_string(),
        (ReplicaState::Follower, Some(leader)) => format!("follows replica {leader}"),
        (ReplicaState::Follower, None) => "knows no leader".to_string(),
        (ReplicaState::Candidate, _) => "asks for votes".to_string(),
        (ReplicaState::Learner, _) => "catches up and has no vote yet".to_string(),
        (ReplicaState::Starting | ReplicaState::Unreachable, _) => "is starting".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sentence(state: &str, change: impl FnOnce(&mut Value)) -> String {
        let replica = |id: u32, state: &str| {
            json!({
                "id": id, "address": "127.0.0.1:8091", "state": state, "term": 3, "last_log": 9,
                "applied": 9, "lag": 0, "hosted_by": 1, "pid": 101, "version": "0.1.0",
                "uptime_s": 75, "disk_bytes": 1, "state_hash": null, "error": null,
            })
        };
        let mut status = json!({
            "cluster": null, "replica": 1, "members": [], "leader": 1, "term": 3,
            "writable": false, "commit": 9, "survivor": "auto", "notice": null,
            "hosted": [replica(1, state), replica(2, "follower"), replica(3, "follower")],
        });
        change(&mut status);
        server_sentence(&serde_json::from_value(status).expect("a status"))
    }

    fn only_own(status: &mut Value) {
        status["hosted"].as_array_mut().expect("a list").truncate(1);
    }

    #[test]
    fn it_says_what_the_replica_does() {
        for (state, leader, words) in [
            ("leader", json!(1), "Replica 1 leads; writes are not taken."),
            ("follower", json!(2), "Replica 1 follows replica 2."),
            ("follower", json!(null), "Replica 1 knows no leader."),
            ("candidate", json!(null), "Replica 1 asks for votes."),
            ("learner", json!(2), "Replica 1 catches up and has no vote yet."),
            ("starting", json!(null), "Replica 1 is starting."),
        ] {
            let text = sentence(state, |status| {
                only_own(status);
                status["leader"] = leader;
            });
            assert_eq!(text, words);
        }
        let leads = sentence("leader", |status| {
            only_own(status);
            status["writable"] = json!(true);
        });
        assert_eq!(leads, "Replica 1 leads; writes are taken.");
    }

    #[test]
    fn it_says_that_it_is_alone() {
        let text = sentence("candidate", |status| {
            only_own(status);
            status["hosted"][0]["alone_since"] = json!("2026-11-30T20:31:00.000Z");
            status["hosted"][0]["outbox"] = json!(14);
        });
        assert_eq!(text, "Replica 1 goes on alone; 14 wait to be confirmed.");
    }

    #[test]
    fn it_says_what_is_wrong_and_what_else_runs_here_in_one_harmless_line() {
        let text = sentence("starting", |status| {
            only_own(status);
            status["notice"] = json!("waits for\n\x1b[2Jreplica 2");
        });
        assert_eq!(text, "Replica 1 is starting (waits for\\n\\u{1b}[2Jreplica 2).");
        let failed = sentence("follower", |status| {
            only_own(status);
            (status["leader"], status["notice"]) = (json!(2), json!("it is stopping"));
            status["hosted"][0]["error"] = json!("the disk is broken");
        });
        assert_eq!(failed, "Replica 1 follows replica 2 (the disk is broken).");
        let alone = sentence("leader", |status| status["writable"] = json!(true));
        assert_eq!(
            alone,
            "Replica 1 leads; writes are taken. This server also runs replicas 2 and 3."
        );
    }
}
