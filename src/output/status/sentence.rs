//! The one sentence of a status that matters: whether messages are taken, and by whom.

use crate::output::local_minute;
use crate::protocol::client::{ReplicaState, ReplicaStatus};
use crate::protocol::status::ClusterStatus;
use crate::types::Timestamp;

/// Whether writes are taken, and what else may fail. `now` is for times of today.
pub fn sentence(status: &ClusterStatus, now: Option<Timestamp>) -> String {
    if !status.answered() {
        return "No server answers.".to_string();
    }
    if !status.confirming && status.writable {
        return alone(status, now);
    }
    if !status.writable {
        return match status.leader {
            None => "Writes are not taken: there is no leader at the moment.".to_string(),
            Some(leader) => {
                format!("Writes are not taken: leader {leader} has no confirmation by a majority.")
            }
        };
    }
    match status.tolerates {
        0 => "Writes are taken. No further server may fail.".to_string(),
        1 => "Writes are taken. One more server may fail.".to_string(),
        n => format!("Writes are taken. {n} more servers may fail, one after the other."),
    }
}

/// Of servers that take messages without a majority.
fn alone(status: &ClusterStatus, now: Option<Timestamp>) -> String {
    let alone: Vec<&ReplicaStatus> =
        status.replicas.iter().filter(|it| it.alone_since.is_some()).collect();
    let since = alone.iter().filter_map(|it| it.alone_since).min();
    let since = since.map_or(String::new(), |since| format!(" since {}", local_minute(since, now)));
    let ids = |replicas: &[&ReplicaStatus]| {
        replicas.iter().map(|it| it.id.to_string()).collect::<Vec<_>>().join(", ")
    };
    let silent: Vec<&ReplicaStatus> =
        status.replicas.iter().filter(|it| it.state == ReplicaState::Unreachable).collect();
    let why = match silent.is_empty() {
        true => "no majority within reach; no proof that the others are off".to_string(),
        false => format!("no answer from {}; no proof that they are off", ids(&silent)),
    };
    let wait = match status.unconfirmed {
        0 => "nothing waits to be confirmed".to_string(),
        1 => "1 waits to be confirmed".to_string(),
        count => format!("{count} wait to be confirmed"),
    };
    let who = match alone.as_slice() {
        [one] => format!("Server {} is alone{since} ({why}). It takes", one.id),
        several => format!("Servers {} are each alone{since} ({why}). They take", ids(several)),
    };
    format!("{who} messages; {wait}. Accounts, passwords wait for a majority.")
}
