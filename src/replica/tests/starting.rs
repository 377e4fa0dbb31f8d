//! What comes while a replica starts, and who may come back.

use super::*;
use crate::limits::DATA_FORMAT_FIRST;
use crate::peer::CallError;
use crate::protocol::peer::{Admit, Call, Found};
use crate::storage::{Holder, Identity};
use crate::types::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_the_start_enters_the_log_in_the_order_in_which_it_came() {
    let mut cluster = Cluster::new().await;
    cluster.start(1).await;
    let (sequence, deadline) = (Sequence::default(), Instant::now() + LONG);
    let waiting = (0..20).map(|_| {
        let action = Action::AllocateIncarnation { replica: ReplicaId(9) };
        let operation = Operation { id: Host::real().uuid(), action };
        cluster.replica(1).propose(operation, deadline, &sequence)
    });
    let waiting: Vec<_> = waiting.collect();
    for id in 2..=3 {
        cluster.start(id).await;
    }
    let mut numbers = Vec::new();
    for applied in futures::future::join_all(waiting).await {
        match applied.expect("accepted by a majority").outcome {
            Outcome::Incarnation { incarnation } => numbers.push(incarnation),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(numbers, (2..22).collect::<Vec<_>>());
}

/// The final refusal of a call from one replica to another.
async fn refusal(cluster: &Cluster, from: u32, to: u32, call: Call, body: &[u8]) -> ErrorCode {
    let asking = async {
        loop {
            let link = &cluster.replica(from).0.links.get(ReplicaId(to)).expect("a peer").service;
            match link.call(call, body.to_vec().into()).await {
                Err(CallError::Refused(error)) if !error.retryable() => return error.code,
                Ok(_) => panic!("{call:?} was answered"),
                // The link is being made.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(LONG, asking).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_speaks_for_its_newest_incarnation_only_and_for_no_other_replica() {
    let mut cluster = Cluster::running().await;
    cluster.leader().await;
    cluster.stop(3).await;
    std::fs::remove_dir_all(cluster.directory(3)).expect("wiped");
    cluster.start(3).await;
    cluster.until(3, |status| status.hosted[0].state == ReplicaState::Follower).await;
    let leader = cluster.leader_other_than(3).await;
    let admit = |incarnation| {
        let node = NodeId::new(ReplicaId(3), incarnation);
        serde_json::to_vec(&Admit { node }).expect("plain data")
    };
    let code = refusal(&cluster, 3, leader, Call::Admit, &admit(1)).await;
    assert_eq!(code, ErrorCode::WrongCluster);
    let code = refusal(&cluster, 3 - leader, leader, Call::Admit, &admit(9)).await;
    assert_eq!(code, ErrorCode::UnknownReplica);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_directory_was_damaged_has_no_part_in_a_founding() {
    let mut cluster = Cluster::new().await;
    std::fs::create_dir_all(cluster.directory(3).join("damaged-1")).expect("made");
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let waits = |status: &crate::protocol::client::ServerStatus| {
        status.notice.as_ref().is_some_and(|notice| notice.contains("replica 3 is loading"))
    };
    cluster.until(1, waits).await;
    let found = Found { cluster: Host::real().uuid(), lineage: Host::real().uuid() };
    let found = serde_json::to_vec(&found).expect("plain data");
    let code = refusal(&cluster, 1, 3, Call::Found, &found).await;
    assert_eq!(code, ErrorCode::WrongCluster);
    for id in 1..=3 {
        assert_eq!(cluster.replica(id).cluster(), None);
    }
    assert_eq!(entries(&cluster.directory(3)), ["LOCK", "damaged-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_only_one_has_heard_of_is_the_one_that_is_founded() {
    for heard in [2, 3] {
        let mut cluster = Cluster::new().await;
        let told = Identity {
            format: DATA_FORMAT_FIRST,
            cluster: Host::real().uuid(),
            lineage: Host::real().uuid(),
            replica: ReplicaId(heard),
            incarnation: 1,
            opens: 1,
            openings: Vec::new(),
            knows_level: 0,
        };
        let holder = Holder {
            pid: 1,
            started_at: Timestamp(0),
            address: cluster.members[0].address.clone(),
            server: ReplicaId(heard),
        };
        let directory = cluster.directory(heard);
        let opened = DataDirectory::open(&Host::real(), &directory, holder).await;
        let mut directory = opened.expect("opens");
        directory.write_identity(told.clone()).await.expect("writes");
        drop(directory);
        for id in 1..=3 {
            cluster.start(id).await;
        }
        cluster.leader().await;
        for id in 1..=3 {
            cluster.until(id, |status| status.cluster == Some(told.cluster)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_uptime_is_that_of_the_process_and_not_of_a_replica_that_it_adopted_later() {
    let mut cluster = Cluster::new().await;
    cluster.start(1).await;
    let uptime_s = cluster.replica(1).status().hosted[0].uptime_s.expect("it runs");
    assert!(uptime_s >= PROCESS_RUNS_SINCE.as_secs(), "{uptime_s}");
}
