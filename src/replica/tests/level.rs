//! Replicas of programs that know different feature levels.

use super::*;
use crate::limits::{
    FEATURE_LEVEL_KNOWN, KEEP_DAYS_MAX, LEVEL_OF_ADMISSION, LEVEL_OF_BOUNDS, LEVEL_OF_KEEPING,
    data_format,
};
use crate::protocol::administration::{
    Bounds, ChangeRequest, Changed, Inspected, Question, Registration, RequestedChange,
};
use crate::storage::Identity;

/// What a replica's directory says.
fn identity(cluster: &Cluster, id: u32) -> Identity {
    let path = cluster.directory(id).join("identity.json");
    let line: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).expect("there")).expect("JSON");
    serde_json::from_value(line["data"].clone()).expect("an identity")
}

/// Waits until a server says that its state is at a level.
async fn at_level(cluster: &Cluster, id: u32, level: u32) {
    cluster.until(id, |status| status.feature_level == Some(level)).await;
}

async fn restart(cluster: &mut Cluster, id: u32, known: u32) {
    cluster.stop(id).await;
    cluster.known[id as usize - 1] = known;
    cluster.start(id).await;
    cluster.until(id, |status| status.hosted[0].state != ReplicaState::Starting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_is_raised_when_the_last_replica_knows_it_and_never_before() {
    let mut cluster = Cluster::new().await;
    cluster.known = [1, 1, 0, 1];
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let leader = cluster.leader().await;
    cluster.add(1, "before").await;
    if leader == 3 {
        // Its program knows nothing of levels, and says nothing.
        cluster.replica(3).hand_over().await;
    }
    let newer = async {
        loop {
            for id in [1, 2] {
                if cluster.replica(id).status().writable {
                    return id;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let newer = timeout(LONG, newer).await.expect("one of them leads");
    let waits = "feature level 0, as before; level 1 waits: server 3 runs an older program; \
                 update it";
    cluster.until(newer, |status| status.notice.as_deref() == Some(waits)).await;
    let error = cluster.replica(newer).require_level(1).await.expect_err("too old");
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("server 3 runs an older program"), "{error}");
    for id in 1..=3 {
        assert_eq!(cluster.replica(id).status().feature_level, Some(0));
        assert_eq!(identity(&cluster, id).format, data_format(0), "replica {id} can go back");
    }
    // Back and forth, while one of them is old.
    restart(&mut cluster, 2, 0).await;
    restart(&mut cluster, 3, 1).await;
    cluster.leader().await;
    cluster.add(3, "between").await;
    assert!((1..=3).all(|id| identity(&cluster, id).format == data_format(0)));

    restart(&mut cluster, 2, 1).await;
    for id in 1..=3 {
        at_level(&cluster, id, 1).await;
        assert_eq!(identity(&cluster, id).format, data_format(1));
        assert!(knows(cluster.replica(id), "before").await);
    }
    assert_eq!(cluster.replica(1).require_level(1).await, Ok(()));
    // Nobody goes back from here.
    cluster.stop(3).await;
    cluster.known[2] = 0;
    let error = cluster.try_start(3).await.expect_err("older than its directory");
    assert_eq!(error.code, ErrorCode::NewerFormat);
    assert!(error.message.contains("ready for feature level 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_away_counts_by_what_it_said_and_catches_up_at_the_new_level() {
    let mut cluster = Cluster::new().await;
    cluster.known = [0, 1, 1, 1];
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.leader().await;
    cluster.add(1, "before").await;
    let remembered = |id: u32| {
        let text = std::fs::read_to_string(cluster.directory(id).join("neighbours.json"));
        text.is_ok_and(|text| text.contains("\"knows_level\":1"))
    };
    let written = async {
        // All three have met, and each of the two has heard of the other.
        while ![2, 3].into_iter().all(remembered) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, written).await.expect("what was said is written down");
    cluster.stop(3).await;
    // Two of three are there, one of them for the first time with the new program.
    restart(&mut cluster, 1, 1).await;
    for id in [1, 2] {
        at_level(&cluster, id, 1).await;
    }
    assert_eq!(identity(&cluster, 3).format, data_format(0), "nothing is there yet");
    cluster.add(1, "after").await;
    cluster.start(3).await;
    at_level(&cluster, 3, 1).await;
    assert_eq!(identity(&cluster, 3).format, data_format(1));
    assert!(knows(cluster.replica(3), "after").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_program_on_an_empty_or_older_directory_is_turned_away() {
    let mut cluster = Cluster::running().await;
    for id in 1..=3 {
        at_level(&cluster, id, FEATURE_LEVEL_KNOWN).await;
    }
    cluster.stop(2).await;
    std::fs::remove_dir_all(cluster.directory(2)).expect("wiped");
    cluster.known[1] = 0;
    cluster.start(2).await;
    let told = format!(
        "this cluster is at feature level {FEATURE_LEVEL_KNOWN}, and the program of server 2 \
         knows levels up to 0: update server 2"
    );
    let says = |status: &crate::protocol::client::ServerStatus| {
        status.notice.as_ref().is_some_and(|notice| notice.contains(&told))
    };
    cluster.until(2, says).await;
    assert_eq!(cluster.replica(2).cluster(), None);
    // Updated, it joins under a new incarnation, and its directory is ready.
    cluster.stop(2).await;
    cluster.known[1] = FEATURE_LEVEL_KNOWN;
    cluster.start(2).await;
    at_level(&cluster, 2, FEATURE_LEVEL_KNOWN).await;
    let found = identity(&cluster, 2);
    assert!(found.incarnation > 1, "{found:?}");
    assert_eq!(found.format, data_format(FEATURE_LEVEL_KNOWN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_a_new_level_makes_the_directory_ready_before_it_is_there() {
    let mut cluster = Cluster::new().await;
    cluster.known = [1, 0, 1, 1];
    cluster.limits.snapshot_log_min_bytes = 4 * 1024;
    cluster.limits.log_entries_kept = 5;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.leader().await;
    cluster.add(1, "first").await;
    cluster.until(3, |status| status.hosted[0].applied > 1).await;
    // It knows the level, and has said so; it is away when the level is raised.
    cluster.stop(3).await;
    restart(&mut cluster, 2, 1).await;
    let leader = {
        at_level(&cluster, 1, 1).await;
        at_level(&cluster, 2, 1).await;
        cluster.leader().await
    };
    let shortened = async {
        for n in 1.. {
            cluster.add(leader, &format!("a{n}")).await;
            let metrics = cluster.replica(leader).0.consensus().expect("leads").metrics();
            let first = cluster.replica(leader).status().hosted[0].applied;
            if metrics
                .purged
                .is_some_and(|purged| purged.index() + 60 >= first && purged.index() > 30)
            {
                break;
            }
        }
    };
    timeout(LONG, shortened).await.expect("a snapshot is taken and the log shortened");
    assert_eq!(identity(&cluster, 3).format, data_format(0));
    cluster.start(3).await;
    at_level(&cluster, 3, 1).await;
    assert_eq!(identity(&cluster, 3).format, data_format(1));
    assert!(!entries(&cluster.directory(3).join("snapshot")).is_empty(), "it was sent one");
    assert!(knows(cluster.replica(3), "a1").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_register_is_decided_at_the_level_that_brought_it() {
    let mut cluster = Cluster::new().await;
    cluster.known = [1, LEVEL_OF_ADMISSION, LEVEL_OF_ADMISSION, LEVEL_OF_ADMISSION];
    cluster.registration = Registration::Invited;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    at_level(&cluster, 2, 1).await;
    let asked = ChangeRequest {
        operation: Uuid::from_u128(7),
        by: "root@alpha".into(),
        change: RequestedChange::SetRegistration { registration: Registration::Closed },
    };
    let error = cluster.replica(2).0.administer(asked.clone()).await.expect_err("too early");
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("server 1 runs an older program"), "{error}");
    let question = Question::Registration {};
    let error = cluster.replica(3).0.inspect(question.clone()).await.expect_err("too early");
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);

    restart(&mut cluster, 1, LEVEL_OF_ADMISSION).await;
    at_level(&cluster, 2, LEVEL_OF_ADMISSION).await;
    let holds = async |id, registration| {
        let decided = async {
            while cluster.replica(id).0.inspect(question.clone()).await
                != Ok(Inspected::Registration { registration })
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, decided).await.expect("it is decided");
    };
    // Proposed by the leader, known to all.
    for id in 1..=3 {
        holds(id, Registration::Invited).await;
    }
    let newcomer = cluster.replica(1).look(|it| it.may_register(Uuid::nil(), None, Timestamp(0)));
    let refused = newcomer.expect_err("no invitation");
    assert_eq!(refused.code, ErrorCode::InvitationRequired);
    // An administrator overrules it at any server, once however often that is asked for.
    for id in [3, 1, 2] {
        assert_eq!(cluster.replica(id).0.administer(asked.clone()).await, Ok(Changed::Done {}));
    }
    holds(2, Registration::Closed).await;
    let Ok(Inspected::Actions(actions)) =
        cluster.replica(1).0.inspect(Question::Actions { after: 0 }).await
    else {
        panic!("no actions");
    };
    let by: Vec<&str> = actions.iter().map(|action| action.by.as_str()).collect();
    assert_eq!(by.len(), 2, "{by:?}");
    assert!(by[0].starts_with("the configuration of server ") && by[1] == "root@alpha", "{by:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_much_may_be_stored_is_decided_at_its_level_and_the_smallest_machine_counts() {
    let mut cluster = Cluster::new().await;
    cluster.known = [LEVEL_OF_ADMISSION, LEVEL_OF_BOUNDS, LEVEL_OF_BOUNDS, LEVEL_OF_BOUNDS];
    let bounds = |total_bytes| Bounds {
        account_bytes: 1 << 20,
        total_bytes,
        account_proposed: true,
        total_proposed: true,
        keep_messages_days: 0,
    };
    cluster.bounds = [5 << 20, 4 << 20, 8 << 20, 0].map(|bytes| Some(bounds(bytes)));
    for id in 1..=3 {
        cluster.start(id).await;
    }
    at_level(&cluster, 2, LEVEL_OF_ADMISSION).await;
    let set = |account_bytes, total_bytes| ChangeRequest {
        operation: Uuid::from_u128(7),
        by: "root@alpha".into(),
        change: RequestedChange::SetBounds { account_bytes, total_bytes },
    };
    let asked = set(None, Some(12 << 20));
    let error = cluster.replica(2).0.administer(asked.clone()).await.expect_err("too early");
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("server 1 runs an older program"), "{error}");
    let error = cluster.replica(3).0.inspect(Question::Bounds {}).await.expect_err("too early");
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert_eq!(cluster.replica(2).status().stored_bytes_max, None);

    restart(&mut cluster, 1, LEVEL_OF_BOUNDS).await;
    for id in 1..=3 {
        cluster.until(id, |status| status.stored_bytes_max == Some(3 << 20)).await;
    }
    let wrong = cluster.replica(1).0.administer(set(Some(1), None)).await.expect_err("too low");
    assert!(wrong.message.contains("64 KiB to"), "{wrong}");
    assert_eq!(cluster.replica(1).0.administer(asked).await, Ok(Changed::Done {}));
    for id in 1..=3 {
        cluster.until(id, |status| status.stored_bytes_max == Some(9 << 20)).await;
        assert_eq!(cluster.replica(id).status().notice, None);
    }
    // What a server says that starts later changes nothing any more.
    restart(&mut cluster, 2, LEVEL_OF_BOUNDS).await;
    cluster.add(2, "after").await;
    let Ok(Inspected::Bounds { bounds, stored_bytes }) =
        cluster.replica(2).0.inspect(Question::Bounds {}).await
    else {
        panic!("no bounds");
    };
    let holds = Bounds {
        account_bytes: 1 << 20,
        total_bytes: 12 << 20,
        account_proposed: true,
        total_proposed: false,
        keep_messages_days: 0,
    };
    assert_eq!(bounds, holds);
    assert!(stored_bytes > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_messages_are_kept_is_said_when_the_last_server_knows_it() {
    let mut cluster = Cluster::new().await;
    cluster.known = [LEVEL_OF_KEEPING, LEVEL_OF_BOUNDS, LEVEL_OF_KEEPING, LEVEL_OF_KEEPING];
    for id in 1..=3 {
        cluster.start(id).await;
    }
    at_level(&cluster, 1, LEVEL_OF_BOUNDS).await;
    let set = |total_bytes, keep_messages_days| ChangeRequest {
        operation: Uuid::from_u128(7),
        by: "root@alpha".into(),
        change: RequestedChange::SetLimits { account_bytes: None, total_bytes, keep_messages_days },
    };
    let asked = set(Some(12 << 20), 30);
    for id in [1, 2, 3] {
        let error = cluster.replica(id).0.administer(asked.clone()).await.expect_err("too early");
        assert_eq!(error.code, ErrorCode::UnsupportedVersion);
        assert!(error.message.contains("server 2 runs an older program"), "{error}");
    }
    restart(&mut cluster, 2, LEVEL_OF_KEEPING).await;
    for id in 1..=3 {
        at_level(&cluster, id, LEVEL_OF_KEEPING).await;
    }
    let long = cluster.replica(1).0.administer(set(None, KEEP_DAYS_MAX + 1)).await;
    assert!(long.expect_err("too long").message.contains("1 to 3650, or none"));
    assert_eq!(cluster.replica(1).0.administer(asked).await, Ok(Changed::Done {}));
    let Ok(Inspected::Bounds { bounds, .. }) =
        cluster.replica(3).0.inspect(Question::Bounds {}).await
    else {
        panic!("no bounds");
    };
    assert_eq!((bounds.total_bytes, bounds.keep_messages_days), (12 << 20, 30));
}
