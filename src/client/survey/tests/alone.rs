//! Servers that go on without a majority.

use super::*;

/// A server that goes on alone where it must.
fn ready_to_be_alone(id: u32, own: ReplicaStatus) -> ServerStatus {
    let feature_level = Some(LEVEL_OF_SETTLING);
    let (survivor, goes_alone) = (Survivor::Auto, Some(true));
    ServerStatus { survivor, goes_alone, feature_level, ..status(id, vec![own]) }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_alone_takes_messages_that_nobody_confirms() {
    use ReplicaState::*;
    // It led once, and cannot know whether somebody else does by now.
    for state in [Candidate, Follower, Leader] {
        let mut own = replica(3, 3, state, 20);
        (own.alone_since, own.outbox) = (Some(Timestamp(5)), 14);
        let mut alone = ready_to_be_alone(3, own);
        (alone.writable, alone.leader) = (false, None);
        let seen = look([(3, Server::Says(alone.clone()))]).await;
        assert_eq!((seen.writable, seen.confirming, seen.leader), (true, false, None), "{state}");
        assert_eq!((seen.unconfirmed, seen.tolerates, seen.tolerates_alone), (14, 0, 0));
        assert_eq!(seen.health(), Health::Degraded);
        let json = serde_json::to_value(&seen).expect("plain data");
        assert_eq!(json["replicas"][2]["alone_since"], "1970-01-01T00:00:00.005Z");
        assert_eq!(json["replicas"][2]["outbox"], 14);
        assert_eq!(json["replicas"][0]["alone_since"], serde_json::Value::Null);
        // One whose disk is broken takes none, nor does one with a list that it cannot use.
        let mut unusable = alone.clone();
        unusable.hosted[0].outbox_unusable = true;
        alone.hosted[0].error = Some("the disk is full".to_string());
        for alone in [alone, unusable] {
            let seen = look([(3, Server::Says(alone))]).await;
            assert_eq!((seen.writable, seen.health()), (false, Health::Unavailable));
        }
    }
}

/// Somebody has to look at it; but its vote counts as ever.
#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_used_is_degraded_beside_a_majority() {
    let of = |outbox_unusable| {
        let own = replica(3, 3, ReplicaState::Follower, 20);
        let own = ready_to_be_alone(3, ReplicaStatus { outbox_unusable, ..own });
        [(1, leader()), (2, follower(2, 20)), (3, Server::Says(own))]
    };
    let (well, broken) = (look(of(false)).await, look(of(true)).await);
    assert_eq!((well.health(), broken.health()), (Health::Healthy, Health::Degraded));
    assert_eq!((broken.writable, broken.tolerates), (true, well.tolerates));
}

#[tokio::test(start_paused = true)]
async fn beside_a_majority_one_that_is_alone_is_no_more_than_degraded() {
    let mut own = replica(3, 3, ReplicaState::Candidate, 20);
    (own.alone_since, own.outbox) = (Some(Timestamp(5)), 2);
    let alone = Server::Says(ready_to_be_alone(3, own));
    let seen = look([(1, leader()), (2, follower(2, 20)), (3, alone)]).await;
    assert_eq!((seen.writable, seen.confirming, seen.unconfirmed), (true, true, 2));
    assert_eq!((seen.leader, seen.health()), (Some(ReplicaId(1)), Health::Degraded));
}

#[tokio::test(start_paused = true)]
async fn all_but_the_last_may_crash_where_servers_go_on_alone() {
    use ReplicaState::*;
    let three = || {
        let lead = ready_to_be_alone(1, replica(1, 1, Leader, 20));
        [lead, ready(2), ready(3)].map(|status| (status.replica.0, status))
    };
    fn ready(id: u32) -> ServerStatus {
        ready_to_be_alone(id, replica(id, id, ReplicaState::Follower, 20))
    }
    async fn seen(servers: impl IntoIterator<Item = (u32, ServerStatus)>) -> (u32, u32) {
        let servers = servers.into_iter().map(|(id, status)| (id, Server::Says(status)));
        let seen = look(servers.collect::<Vec<_>>()).await;
        (seen.tolerates, seen.tolerates_alone)
    }
    assert_eq!(seen(three()).await, (1, 2));
    assert_eq!(seen(three().into_iter().take(2)).await, (0, 1));
    // Not below the level at which the log settles that, nor where one does not.
    let mut old = three();
    old.iter_mut().for_each(|(_, status)| status.feature_level = Some(LEVEL_OF_SETTLING - 1));
    assert_eq!(seen(old).await, (1, 1));
    let mut strict = three();
    strict[2].1.goes_alone = Some(false);
    assert_eq!(seen(strict).await, (1, 1));
}

#[test]
fn older_programs_read_what_they_know_of_survivors() {
    for (survivor, written, goes_alone) in [
        (Survivor::Auto, "auto", true),
        (Survivor::Adopt, "auto", false),
        (Survivor::Never, "never", false),
    ] {
        let goes_alone = Some(goes_alone);
        let said = ServerStatus { survivor, goes_alone, ..status(1, vec![]) };
        let mut json = serde_json::to_value(&said).expect("plain data");
        assert_eq!(json["survivor"], written);
        let read = |json| serde_json::from_value::<ServerStatus>(json).expect("a status");
        assert_eq!(read(json.clone()).survivor(), survivor);
        // An older server does not say whether it goes on alone.
        json.as_object_mut().expect("an object").remove("goes_alone");
        let older = if written == "auto" { Survivor::Auto } else { Survivor::Never };
        assert_eq!(read(json).survivor(), older);
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_that_a_server_does_counts_for_all() {
    let with = |id: u32, survivor: Survivor| {
        let goes_alone = Some(survivor.goes_alone());
        (id, Server::Says(ServerStatus { survivor, goes_alone, ..status(id, vec![]) }))
    };
    use Survivor::*;
    for (both, counts) in
        [([Auto, Auto], "auto"), ([Auto, Adopt], "adopt"), ([Adopt, Never], "never")]
    {
        let seen = look([with(1, both[0]), with(2, both[1])]).await;
        assert_eq!(serde_json::to_value(&seen).expect("plain data")["survivor"], counts);
    }
}
