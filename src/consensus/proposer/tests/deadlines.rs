//! Operations that are given up, and what follows them.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_leader_it_is_known_that_nothing_happened() {
    let stage = Stage::new();
    let begun = Instant::now();
    stage.propose_in(1, 250, &Sequence::default()).ends_refused().await;
    assert_eq!(begun.elapsed(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_failure_takes_with_it_what_follows_in_its_sequence_and_nothing_else() {
    let mut stage = Stage::new();
    let sequence = Sequence::default();
    let before = stage.propose_in(1, LONG_MS, &sequence);
    let given_up = stage.propose_in(2, 50, &sequence);
    let behind = stage.propose_in(3, LONG_MS, &sequence);
    let other = stage.propose(4);
    given_up.ends_refused().await;
    assert!(sequence.is_broken());
    let too_late = stage.propose_in(5, LONG_MS, &sequence);
    stage.scene.lead(here(1));
    settle().await;
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [4]);
    write.apply();
    other.done().await;
    for pending in [before, behind, too_late] {
        pending.ends_refused().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_at_this_moment_does_not_enter_and_neither_does_what_follows() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let sequence = Sequence::default();
    let first = stage.propose(1);
    let write = stage.scene.write().await;
    // The proposer is at work when time is up, before whoever waits has noticed.
    let deadline = Instant::now() + Duration::from_millis(5);
    let due = stage.proposer.propose(operation(2), deadline, &sequence);
    let behind = stage.propose_in(3, LONG_MS, &sequence);
    tokio::time::sleep_until(deadline).await;
    write.apply();
    first.done().await;
    stage.scene.nothing().await;
    behind.ends_refused().await;
    let error = due.await.expect_err("given up");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_time_is_up_is_in_doubt_and_what_follows_is_not_taken() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let sequence = Sequence::default();
    let entered = stage.propose_in(1, 50, &sequence);
    let write = stage.scene.write().await;
    let behind = stage.propose_in(2, LONG_MS, &sequence);
    entered.ends_in_doubt().await;
    write.apply();
    stage.scene.nothing().await;
    behind.ends_refused().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_takes_its_waiting_operations_with_it() {
    let mut stage = Stage::new();
    let sequence = Sequence::default();
    let pending: Vec<Pending> =
        (1..=3).map(|number| stage.propose_in(number, LONG_MS, &sequence)).collect();
    settle().await;
    pending[1].answer.abort();
    settle().await;
    let other = stage.propose(4);
    stage.scene.lead(here(1));
    settle().await;
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [4]);
    write.apply();
    other.done().await;
    stage.scene.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_before_it_waits_takes_its_operations_with_it_as_well() {
    let mut stage = Stage::new();
    let sequence = Sequence::default();
    let deadline = Instant::now() + Duration::from_millis(LONG_MS);
    drop(stage.proposer.propose(operation(1), deadline, &sequence));
    let behind = stage.propose_in(2, LONG_MS, &sequence);
    let other = stage.propose(3);
    stage.scene.lead(here(1));
    settle().await;
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [3]);
    write.apply();
    other.done().await;
    stage.scene.nothing().await;
    assert!(sequence.is_broken());
    drop(behind);
}

/// A first attempt that is lost, and then what `retries` are; then time is up.
async fn doubt(retries: &[fn(Asked)]) -> Pending {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let pending = stage.propose_in(1, 1_000, &Sequence::default());
    stage.scene.call().await.lose();
    for (retry, term) in retries.iter().zip(2..) {
        stage.scene.lead(there(3, term));
        pause().await;
        retry(stage.scene.call().await);
    }
    stage.scene.lead(None);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    stage.scene.nothing().await;
    pending
}

#[tokio::test(start_paused = true)]
async fn a_refused_retry_does_not_clear_the_doubt_of_an_earlier_attempt() {
    let unavailable = |asked: Asked| {
        let reply = reply(&asked, 0, ErrorCode::Unavailable);
        asked.answer(Ok(reply));
    };
    let call_refused = |asked: Asked| {
        let error = Error::unavailable("an adopted replica takes no operations");
        asked.answer(Err::<(), _>(crate::peer::CallError::Refused(error)));
    };
    doubt(&[]).await.ends_in_doubt().await;
    for retry in [Asked::do_not_send, unavailable, call_refused] {
        doubt(&[retry]).await.ends_in_doubt().await;
        doubt(&[retry, retry]).await.ends_in_doubt().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_retry_on_the_leader_does_not_clear_it_either() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let pending = stage.propose_in(1, 1_000, &Sequence::default());
    stage.scene.call().await.lose();
    stage.scene.lead(here(2));
    pause().await;
    stage.scene.write().await.fail();
    stage.scene.lead(None);
    pending.ends_in_doubt().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_each_time_never_happened() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let pending = stage.propose_in(1, 1_000, &Sequence::default());
    stage.scene.call().await.do_not_send();
    stage.scene.lead(there(3, 2));
    pause().await;
    let asked = stage.scene.call().await;
    let reply = reply(&asked, 0, ErrorCode::Unavailable);
    asked.answer(Ok(reply));
    stage.scene.lead(here(3));
    pause().await;
    stage.scene.write().await.fail();
    stage.scene.lead(None);
    pending.ends_refused().await;
}
