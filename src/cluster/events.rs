//! What changed between two looks at a cluster.

use serde::Serialize;

use crate::host::Host;
use crate::protocol::client::ReplicaState;
use crate::protocol::status::ClusterStatus;
use crate::types::{ReplicaId, Timestamp};

/// Something that happened to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterEvent {
    /// When it was noticed.
    pub at: Timestamp,
    /// What kind of thing, for scripts: `replica_state`, `replica_host`,
    /// `leader`, `writable`, `server_ended`.
    pub event: &'static str,
    /// To which replica, if to one.
    pub replica: Option<ReplicaId>,
    /// What, as a sentence.
    pub text: String,
}

impl ClusterEvent {
    /// An event of now.
    pub fn new(
        host: &Host,
        event: &'static str,
        replica: Option<ReplicaId>,
        text: String,
    ) -> ClusterEvent {
        ClusterEvent { at: host.clock.now(), event, replica, text }
    }
}

/// The events that lead from one status to the next, the most telling last.
pub fn events(host: &Host, before: &ClusterStatus, after: &ClusterStatus) -> Vec<ClusterEvent> {
    let mut changes = changes(before, after);
    changes
        .drain(..)
        .map(|(event, replica, text)| ClusterEvent::new(host, event, replica, text))
        .collect()
}

type Change = (&'static str, Option<ReplicaId>, String);

fn changes(before: &ClusterStatus, after: &ClusterStatus) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for now in &after.replicas {
        let Some(then) = before.replica(now.id) else { continue };
        let id = now.id;
        if then.state != now.state {
            let text = match (now.state, &now.error) {
                (ReplicaState::Unreachable, Some(error)) => {
                    format!("replica {id} is down: {error}")
                }
                (state, _) => format!("replica {id}: {} -> {state}", then.state),
            };
            changes.push(("replica_state", Some(id), text));
        }
        let host = now.hosted_by.filter(|host| then.hosted_by != Some(*host));
        match host {
            Some(host) if host != id => changes.push((
                "replica_host",
                Some(id),
                format!("server {host} has taken over replica {id}"),
            )),
            Some(_) if then.hosted_by.is_some() => changes.push((
                "replica_host",
                Some(id),
                format!("replica {id} is back on its own server"),
            )),
            _ => {}
        }
    }
    if before.leader != after.leader {
        let text = match after.leader {
            Some(leader) => format!("replica {leader} leads in term {}", after.term),
            None => "there is no leader".to_string(),
        };
        changes.push(("leader", after.leader, text));
    }
    if before.writable != after.writable {
        let text = if after.writable { "writes are taken" } else { "writes are not taken" };
        changes.push(("writable", None, text.to_string()));
    }
    // Else the sentence above has told.
    if before.writable && after.writable && before.confirming != after.confirming {
        let text = match after.confirming {
            true => "a majority confirms messages again",
            false => "messages are taken without a majority, and wait to be confirmed",
        };
        changes.push(("confirming", None, text.to_string()));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::client::ReplicaStatus;

    fn replica(id: u32, state: ReplicaState, host: Option<u32>) -> ReplicaStatus {
        ReplicaStatus {
            id: ReplicaId(id),
            address: "h:1".parse().expect("valid"),
            state,
            term: 1,
            last_log: 1,
            applied: 1,
            lag: 0,
            applied_before: None,
            stalled: false,
            votes: true,
            hosted_by: host.map(ReplicaId),
            pid: None,
            version: None,
            uptime_s: None,
            alone_since: None,
            outbox: 0,
            outbox_unusable: false,
            disk_bytes: None,
            state_hash: None,
            error: (state == ReplicaState::Unreachable).then(|| "connection refused".to_string()),
        }
    }

    fn status(leader: Option<u32>, replicas: Vec<ReplicaStatus>) -> ClusterStatus {
        ClusterStatus {
            cluster: None,
            writable: leader.is_some(),
            confirming: leader.is_some(),
            unconfirmed: 0,
            tolerates_alone: 0,
            leader: leader.map(ReplicaId),
            term: 7,
            commit: 1,
            tolerates: 0,
            feature_level: Some(1),
            stored_bytes: None,
            stored_bytes_max: None,
            replicas,
            survivor: None,
            notices: Vec::new(),
        }
    }

    fn texts(before: &ClusterStatus, after: &ClusterStatus) -> Vec<String> {
        changes(before, after).into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn that_messages_wait_to_be_confirmed_is_told() {
        let whole = status(Some(1), vec![]);
        let mut alone = status(None, vec![]);
        alone.writable = true;
        let told = texts(&whole, &alone);
        assert_eq!(told[1..], ["messages are taken without a majority, and wait to be confirmed"]);
        assert_eq!(texts(&alone, &whole)[1..], ["a majority confirms messages again"]);
        assert_eq!(texts(&status(None, vec![]), &alone), ["writes are taken"]);
    }

    #[test]
    fn a_dead_leader_and_its_successor_are_told_in_order() {
        use ReplicaState::*;
        let before =
            status(Some(1), vec![replica(1, Leader, Some(1)), replica(2, Follower, Some(2))]);
        let gap = status(None, vec![replica(1, Unreachable, None), replica(2, Candidate, Some(2))]);
        let after =
            status(Some(2), vec![replica(1, Unreachable, None), replica(2, Leader, Some(2))]);
        assert_eq!(
            texts(&before, &gap),
            [
                "replica 1 is down: connection refused",
                "replica 2: follower -> candidate",
                "there is no leader",
                "writes are not taken"
            ]
        );
        assert_eq!(
            texts(&gap, &after),
            ["replica 2: candidate -> leader", "replica 2 leads in term 7", "writes are taken"]
        );
        assert_eq!(texts(&after, &after), Vec::<String>::new());
    }

    #[test]
    fn moving_a_replica_between_servers_is_told() {
        use ReplicaState::*;
        let own = status(Some(1), vec![replica(2, Follower, Some(2))]);
        let adopted = status(Some(1), vec![replica(2, Follower, Some(1))]);
        assert_eq!(texts(&own, &adopted), ["server 1 has taken over replica 2"]);
        assert_eq!(texts(&adopted, &own), ["replica 2 is back on its own server"]);
    }
}
