//! This node leads: batches into its own log.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_arrives_meanwhile_gathers_and_waits_until_the_log_has_the_one_before() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let first = stage.propose(1);
    let write = stage.scene.write().await;
    assert_eq!(write.numbers(), [1]);
    let later: Vec<Pending> = (2..=4).map(|number| stage.propose(number)).collect();
    stage.scene.nothing().await;
    let write = write.accept();
    let next = stage.scene.write().await;
    assert_eq!(next.numbers(), [2, 3, 4]);
    next.apply();
    write.apply();
    first.done().await;
    for pending in later {
        pending.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_batches_are_under_way_at_once_and_no_more() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let (_pending, mut writes) = stage.fill(1).await;
    stage.propose(5);
    stage.propose(6);
    stage.scene.nothing().await;
    writes.remove(0).apply();
    assert_eq!(stage.scene.write().await.numbers(), [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_bound_in_operations_and_in_bytes() {
    let mut stage = Stage::new();
    let count = crate::limits::BATCH_MAX_OPERATIONS as u32;
    for number in 0..=count {
        stage.propose(number);
    }
    stage.scene.lead(here(1));
    let write = stage.scene.write().await.accept();
    assert_eq!(write.numbers(), (0..count).collect::<Vec<_>>());
    assert_eq!(stage.scene.write().await.accept().numbers(), [count]);

    let mut stage = Stage::new();
    let large = |number: u32| Operation {
        action: crate::chat::Action::Send {
            session: 1,
            to: Vec::new(),
            text: "x".repeat(crate::limits::BATCH_MAX_BYTES * 2 / 3),
            again: false,
            after: None,
            reply_to: None,
        },
        ..operation(number)
    };
    let deadline = Instant::now() + Duration::from_millis(LONG_MS);
    for number in 10..12 {
        let proposed = stage.proposer.propose(large(number), deadline, &Sequence::default());
        crate::host::spawn(proposed);
    }
    settle().await;
    stage.scene.lead(here(1));
    let first = stage.scene.write().await.accept();
    let second = stage.scene.write().await.accept();
    assert_eq!((first.numbers(), second.numbers()), (vec![10], vec![11]));
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_leadership_leaves_is_tried_again_in_the_old_order() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let (mut pending, mut writes) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        pending.push(stage.propose(number));
        writes.push(stage.scene.write().await.accept());
    }
    pending.push(stage.propose(4));
    let refused = stage.scene.write().await;
    pending.push(stage.propose(5));
    // The engine answers in any order, and the middle one is committed all the same.
    refused.fail();
    writes.remove(0).fail();
    stage.scene.nothing().await;
    writes.remove(0).apply();
    stage.scene.nothing().await;
    writes.remove(0).fail();
    pause().await;
    let again = stage.scene.write().await;
    assert_eq!(again.numbers(), [1, 3, 4, 5]);
    again.apply();
    for pending in pending {
        pending.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_gets_nothing_while_something_is_under_way_to_the_old_one() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let (mut pending, mut writes) = stage.fill(1).await;
    pending.push(stage.propose(5));
    stage.scene.lead(there(2, 2));
    stage.scene.nothing().await;
    for write in writes.drain(..2) {
        write.apply();
        stage.scene.nothing().await;
    }
    for write in writes {
        write.fail();
    }
    pause().await;
    let asked = stage.scene.call().await;
    let (to, _, number, operations) = seen(&asked);
    assert_eq!((to, number, operations), (2, 0, vec![3, 4, 5]));
    done(asked);
    for pending in pending {
        pending.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_gets_what_is_addressed_to_its_own_leadership() {
    let mut stage = Stage::new();
    stage.scene.lead(here(7));
    stage.propose(1);
    let write = stage.scene.write().await;
    assert_eq!((write.leader.term, write.leader.node_id), (7, node(1)));
    write.fail();
    // Elected again in the next term, it takes it there.
    stage.scene.lead(here(8));
    pause().await;
    assert_eq!(stage.scene.write().await.leader.term, 8);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stands_alone_takes_nothing() {
    let mut stage = Stage::new();
    stage.scene.confirm(false);
    stage.scene.lead(here(1));
    let pending = stage.propose_in(1, 100, &Sequence::default());
    for _ in 0..50 {
        stage.scene.nothing().await;
    }
    let (order, begun) = (Arc::default(), Instant::now());
    let forwarded = stage.forward(&order, body(1, 1, 0, &[2]));
    assert_eq!(codes(forwarded).await, [Some(ErrorCode::Unavailable)], "it may know better");
    assert!(begun.elapsed() < Duration::from_millis(50), "at once");
    pending.ends_refused().await;
    let pending = stage.propose(3);
    stage.scene.confirm(true);
    pause().await;
    stage.scene.write().await.apply();
    pending.done().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_another_number_of_outcomes_counts_for_none() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let pending: Vec<Pending> = (1..=3).map(|number| stage.propose(number)).collect();
    for missing in [1, 3] {
        let write = stage.scene.write().await;
        assert_eq!(write.numbers(), [1, 2, 3]);
        let outcomes = write.operations()[missing..].iter().map(outcome).collect();
        write.apply_as(outcomes);
        pause().await;
        assert!(pending.iter().all(Pending::is_open), "whose outcomes they are is not known");
    }
    stage.scene.write().await.apply();
    for pending in pending {
        pending.done().await;
    }

    let pending: Vec<Pending> =
        (4..=5).map(|number| stage.propose_in(number, 20, &Sequence::default())).collect();
    let write = stage.scene.write().await;
    let outcomes = [4, 5, 6].map(|number| outcome(&operation(number))).into();
    write.apply_as(outcomes);
    stage.scene.lead(None);
    for pending in pending {
        pending.ends_in_doubt().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stops_leaves_a_doubt() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let in_queue = stage.propose_in(1, 50, &Sequence::default());
    drop(stage.scene.write().await);
    stage.scene.stop_engine();
    let never = stage.propose_in(2, 50, &Sequence::default());
    in_queue.ends_in_doubt().await;
    never.ends_in_doubt().await;
}

#[tokio::test(start_paused = true)]
async fn time_stamps_never_run_backwards_within_a_leadership() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    for (now, at) in [(5_000, 5_000), (3_000, 5_000), (6_000, 6_000)] {
        stage.scene.set_time(Timestamp(now));
        stage.propose(now as u32);
        let write = stage.scene.write().await;
        assert_eq!(write.at(), Timestamp(at));
        write.apply();
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_handle() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let pending = stage.propose(1);
    let write: Write = stage.scene.write().await.accept();
    drop(stage.proposer);
    settle().await;
    pending.ends_in_doubt().await;
    drop(write);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_leaves_the_queue_while_batches_are_stuck() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let (_pending, stuck) = stage.fill(1).await;
    let sequence = Sequence::default();
    for number in 0..8 * crate::limits::BATCH_MAX_OPERATIONS as u32 {
        stage.propose_in(5 + number, 10, &sequence).ends_refused().await;
    }
    let queued = sequence.operations();
    assert!(queued <= 2 * crate::limits::BATCH_MAX_OPERATIONS, "{queued} are in the queue");
    stage.propose(0);
    stuck.into_iter().for_each(Write::apply);
    assert_eq!(stage.scene.write().await.numbers(), [0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_what_leaves_the_queue_before_its_caller_has_given_it_up() {
    let mut stage = Stage::new();
    stage.scene.lead(here(1));
    let (_pending, stuck) = stage.fill(1).await;
    let sequence = Sequence::default();
    let (reply, answer) = oneshot::channel();
    drop(answer);
    let pending = PendingOperation {
        operation: operation(5),
        deadline: Instant::now() + Duration::from_millis(LONG_MS),
        progress: Progress::new(sequence.clone()),
        suspect: false,
        forwarded: None,
        reply,
    };
    stage.proposer.queue.send(pending).unwrap_or_else(|_| panic!("the task runs"));
    let behind = stage.propose_in(6, LONG_MS, &sequence);
    // As many as make the queue worth a search.
    (0..crate::limits::BATCH_MAX_OPERATIONS as u32).for_each(|n| drop(stage.propose(7 + n)));
    stage.scene.nothing().await;
    stuck.into_iter().for_each(Write::apply);
    assert_eq!(stage.scene.write().await.numbers()[0], 7);
    behind.ends_refused().await;
}
