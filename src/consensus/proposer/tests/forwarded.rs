//! This node leads, and others forward to it.

use super::*;

const REFUSED: Option<ErrorCode> = Some(ErrorCode::Unavailable);
const LOST: Option<ErrorCode> = Some(ErrorCode::OutcomeUnknown);

#[tokio::test(start_paused = true)]
async fn forwarded_batches_join_the_queue_in_their_order() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let own = stage.propose(9);
    let write = stage.scene.write().await;
    let order = Arc::default();
    let first = stage.forward(&order, body(1, 1, 0, &[1, 2]));
    let second = stage.forward(&order, body(1, 1, 1, &[3]));
    stage.scene.nothing().await;
    write.apply();
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [1, 2, 3]);
    write.apply();
    own.done().await;
    assert_eq!(codes(first).await, [None, None]);
    assert_eq!(codes(second).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn behind_a_gap_nothing_of_an_epoch_is_taken() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let order = Arc::default();
    let first = stage.forward(&order, body(1, 1, 0, &[1]));
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [1]);
    let forwarded = [(1, &[2][..]), (3, &[4]), (2, &[3])]
        .map(|(batch, numbers)| stage.forward(&order, body(1, 1, batch, numbers)));
    let next = stage.forward(&order, body(1, 2, 0, &[5]));
    let other = stage.forward(&Arc::default(), body(1, 1, 0, &[6]));
    settle().await;
    write.apply();
    assert_eq!(codes(first).await, [None], "it was on its way already");
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [5, 6], "of epoch 1 goes what still waits, too");
    write.apply();
    for forwarded in forwarded {
        assert_eq!(codes(forwarded).await, [REFUSED]);
    }
    assert_eq!(codes(next).await, [None]);
    assert_eq!(codes(other).await, [None], "another connection has an order of its own");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_taken_in_the_term_in_which_it_was_sent_or_never() {
    let mut stage = Stage::new();
    stage.scene.lead(here(3));
    for term in [2, 4] {
        let order = Arc::default();
        let forwarded = stage.forward(&order, body(term, 1, 0, &[1]));
        let behind = stage.forward(&order, body(3, 1, 1, &[2]));
        assert_eq!(codes(forwarded).await, [REFUSED]);
        assert_eq!(codes(behind).await, [REFUSED]);
        stage.scene.nothing().await;
    }
    let (order, blocking) = (Arc::default(), stage.propose(9));
    let write = stage.scene.write().await;
    let forwarded = stage.forward(&order, body(3, 1, 0, &[1]));
    settle().await;
    // While it waits, this node leads again in another term.
    stage.scene.lead(here(5));
    write.fail();
    assert_eq!(codes(forwarded).await, [REFUSED]);
    pause().await;
    assert_eq!(stage.scene.write().await.numbers(), [9]);
    assert!(blocking.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_takes_with_it_what_follows_in_its_epoch() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let order = Arc::default();
    let first = stage.forward(&order, body(1, 1, 0, &[1]));
    let refused = stage.scene.write().await;
    let second = stage.forward(&order, body(1, 1, 1, &[2]));
    settle().await;
    refused.fail();
    assert_eq!(codes(first).await, [REFUSED]);
    assert_eq!(codes(second).await, [REFUSED]);
    let third = stage.forward(&order, body(1, 1, 2, &[3]));
    assert_eq!(codes(third).await, [REFUSED]);
    stage.scene.nothing().await;
    let next = stage.forward(&order, body(1, 2, 0, &[1, 2, 3]));
    pause().await;
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [1, 2, 3]);
    write.apply();
    assert_eq!(codes(next).await, [None; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_by_a_leader_that_stands_alone_takes_with_it_what_follows() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    stage.scene.confirm(false);
    let order = Arc::default();
    let first = stage.forward(&order, body(1, 1, 0, &[1]));
    assert_eq!(codes(first).await, [REFUSED]);
    stage.scene.confirm(true);
    let second = stage.forward(&order, body(1, 1, 1, &[2]));
    assert_eq!(codes(second).await, [REFUSED], "the one before it will come again");
    stage.scene.nothing().await;
    let next = stage.forward(&order, body(1, 2, 0, &[1, 2]));
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [1, 2]);
    write.apply();
    assert_eq!(codes(next).await, [None; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_deposed_leaves_a_doubt_about_what_its_log_has() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let order = Arc::default();
    let in_log = stage.forward(&order, body(1, 1, 0, &[1]));
    let write = stage.scene.write().await.accept();
    let on_its_way = stage.forward(&order, body(1, 1, 1, &[2]));
    let refused = stage.scene.write().await;
    let waiting = stage.forward(&order, body(1, 1, 2, &[3]));
    stage.scene.lead(there(2, 2));
    settle().await;
    refused.fail();
    write.fail();
    assert_eq!(codes(in_log).await, [LOST]);
    assert_eq!(codes(on_its_way).await, [REFUSED]);
    assert_eq!(codes(waiting).await, [REFUSED]);
    stage.scene.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_operation_whose_time_is_up_takes_with_it_what_follows() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let blocking = stage.propose(9);
    let write = stage.scene.write().await;
    let order = Arc::default();
    let due = ForwardBody { timeout_ms: 20, ..body(1, 1, 0, &[1]) };
    let due = stage.forward(&order, due);
    let behind = stage.forward(&order, body(1, 1, 1, &[2]));
    assert_eq!(codes(due).await, [REFUSED]);
    write.apply();
    blocking.done().await;
    stage.scene.nothing().await;
    assert_eq!(codes(behind).await, [REFUSED]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_in_a_pause_takes_with_it_what_follows() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let (blocking, writes) = stage.fill(6).await;
    let order = Arc::default();
    let due = ForwardBody { timeout_ms: 20, ..body(1, 1, 0, &[1]) };
    let due = stage.forward(&order, due);
    let behind = stage.forward(&order, body(1, 1, 1, &[2]));
    tokio::time::sleep(Duration::from_millis(15)).await;
    // The proposer pauses for ten milliseconds, and time is up in the middle.
    writes.into_iter().for_each(Write::fail);
    assert_eq!(codes(due).await, [REFUSED]);
    pause().await;
    let again = stage.scene.write().await;
    assert_eq!(again.numbers(), [6, 7, 8, 9]);
    again.apply();
    for blocking in blocking {
        blocking.done().await;
    }
    assert_eq!(codes(behind).await, [REFUSED]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_takes_its_waiting_operations_with_it() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let blocking = stage.propose(9);
    let write = stage.scene.write().await;
    let forwarded = stage.forward(&Arc::default(), body(1, 1, 0, &[1]));
    settle().await;
    forwarded.abort();
    settle().await;
    write.apply();
    blocking.done().await;
    stage.scene.nothing().await;
}
