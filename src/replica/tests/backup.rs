use super::hanging::{Hanging, host_with_a_disk_that_hangs};
use super::*;
use crate::chat::RestoreStep;
use crate::protocol::peer::Backup;
use crate::replica::backup::Parts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_at_a_replica_that_lags_has_what_was_acknowledged_before_it() {
    let disk = Arc::<Hanging>::default();
    let mut cluster = Cluster::new().await;
    for id in 1..=2 {
        cluster.start(id).await;
    }
    cluster.start_on(3, host_with_a_disk_that_hangs(&disk)).await;
    let leader = cluster.leader_other_than(3).await;
    assert!(!knows(cluster.replica(3), "nobody").await);
    disk.hang();
    for number in 0..20 {
        cluster.add(leader, &format!("a{number}")).await;
    }
    let (acknowledged, has) = {
        let applied = |id| cluster.replica(id).status().hosted[0].applied;
        (applied(leader), applied(3))
    };
    assert!(has < acknowledged, "replica 3 does not lag: {has} of {acknowledged}");
    let inner = cluster.replica(3).0.clone();
    let asked = Backup { confirmed: true };
    let mut backup = std::pin::pin!(inner.begin_backup(asked, Parts::default()));
    // It is on its way before the replica catches up.
    assert!(futures::poll!(&mut backup).is_pending(), "it waits for what is missing");
    disk.go_on();
    let head = timeout(LONG, backup).await.expect("in time").expect("confirmed");
    assert!(head.index >= acknowledged, "{} of {acknowledged}", head.index);
    assert!(head.accounts >= 20, "{} accounts", head.accounts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_half_restored_is_no_backup() {
    let mut cluster = Cluster::new().await;
    cluster.members.truncate(1);
    cluster.start(1).await;
    cluster.until(1, |status| status.writable).await;
    let inner = cluster.replica(1).0.clone();
    let begin = async |confirmed| {
        let begun = inner.begin_backup(Backup { confirmed }, Parts::default()).await;
        begun.map(|head| head.accounts).map_err(|error| error.code)
    };
    let restored = RestoreStep::Begin { backup: Host::real().uuid() };
    inner.restore_step(restored).await.expect("the cluster is empty");
    for confirmed in [true, false] {
        assert_eq!(begin(confirmed).await, Err(ErrorCode::Restoring));
    }
    inner.restore_step(RestoreStep::Abandon {}).await.expect("abandoned");
    for confirmed in [true, false] {
        assert_eq!(begin(confirmed).await, Ok(0));
    }
}
