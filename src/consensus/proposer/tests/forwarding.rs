//! Another node leads: batches are forwarded to it.

use super::*;

#[tokio::test(start_paused = true)]
async fn batches_of_an_epoch_are_numbered_and_a_new_leadership_begins_another() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let mut asked = Vec::new();
    for number in 1..=2 {
        stage.propose(number);
        asked.push(stage.scene.call().await);
    }
    let seen_first: Vec<_> = asked.iter().map(seen).collect();
    let epoch = seen_first[0].1;
    assert!(epoch > 0, "an order begins with epoch 0, which is nobody's");
    assert_eq!(seen_first, [(2, epoch, 0, vec![1]), (2, epoch, 1, vec![2])]);
    let term = asked[0].body::<ForwardBody>().term;
    assert_eq!(term, 1);
    asked.into_iter().for_each(done);
    settle().await;
    stage.scene.lead(there(3, 2));
    stage.propose(3);
    let asked = stage.scene.call().await;
    let (to, later, number, operations) = seen(&asked);
    assert!(later > epoch);
    assert_eq!((to, number, operations, asked.body::<ForwardBody>().term), (3, 0, vec![3], 2));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_leaves_until_all_are_back_and_then_in_the_old_order() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let (mut pending, mut asked) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        pending.push(stage.propose(number));
        asked.push(stage.scene.call().await);
    }
    let epoch = seen(&asked[0]).1;
    asked.remove(1).do_not_send();
    pending.push(stage.propose(4));
    stage.scene.nothing().await;
    asked.remove(1).lose();
    pending.push(stage.propose(5));
    stage.scene.nothing().await;
    done(asked.remove(0));
    pause().await;
    let again = stage.scene.call().await;
    assert_eq!(seen(&again), (2, epoch + 1, 0, vec![2, 3, 4, 5]));
    done(again);
    for pending in pending {
        pending.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_leaves_undone_is_tried_again() {
    let mut stage = Stage::new();
    let pending: Vec<Pending> = (1..=3).map(|number| stage.propose(number)).collect();
    stage.scene.lead(there(2, 1));
    let asked = stage.scene.call().await;
    let partial = reply(&asked, 1, ErrorCode::Unavailable);
    asked.answer(Ok(partial));
    pause().await;
    let again = stage.scene.call().await;
    assert_eq!(seen(&again).3, [2, 3]);
    done(again);
    for pending in pending {
        pending.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_with_another_number_of_results_counts_for_none() {
    let mut stage = Stage::new();
    let pending: Vec<Pending> =
        (1..=3).map(|number| stage.propose_in(number, 100, &Sequence::default())).collect();
    stage.scene.lead(there(2, 1));
    let asked = stage.scene.call().await;
    let mut short = reply(&asked, 3, ErrorCode::Internal);
    short.results.remove(0);
    asked.answer(Ok(short));
    pause().await;
    assert!(pending.iter().all(Pending::is_open), "whose results they are is not known");
    let again = stage.scene.call().await;
    assert_eq!(seen(&again).3, [1, 2, 3]);
    again.answer(Ok("no reply at all"));
    stage.scene.lead(None);
    for pending in pending {
        pending.ends_in_doubt().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_leaders_of_one_term_are_two_targets() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 5));
    let first = stage.propose(1);
    let asked = stage.scene.call().await;
    let second = stage.propose(2);
    let other = stage.scene.call().await;
    stage.scene.lead(there(3, 5));
    let third = stage.propose(3);
    for _ in 0..20 {
        stage.scene.nothing().await;
    }
    asked.lose();
    stage.scene.nothing().await;
    done(other);
    pause().await;
    let again = stage.scene.call().await;
    let (to, _, number, operations) = seen(&again);
    assert_eq!((to, number, operations), (3, 0, vec![1, 3]));
    done(again);
    for pending in [first, second, third] {
        pending.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_is_not_waited_for_once_another_leads_in_a_later_term() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let pending = stage.propose(1);
    let frozen = stage.scene.call().await;
    for route in [None, there(3, 1)] {
        stage.scene.lead(route);
        for _ in 0..20 {
            stage.scene.nothing().await;
        }
    }
    stage.scene.lead(there(3, 2));
    pause().await;
    let again = stage.scene.call().await;
    assert_eq!(seen(&again).3, [1]);
    // What the frozen one says later is nobody's business any more.
    done(frozen);
    assert!(pending.is_open());
    done(again);
    pending.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_told_how_long_it_is_waited_for() {
    let mut stage = Stage::new();
    for (number, timeout_ms) in [(1, 700), (2, 1_500), (3, 100)] {
        stage.propose_in(number, timeout_ms, &Sequence::default());
    }
    settle().await;
    stage.scene.lead(there(2, 1));
    let asked = stage.scene.call().await;
    assert_eq!(seen(&asked).3, [1, 2, 3]);
    assert_eq!(asked.body::<ForwardBody>().timeout_ms, 1_499, "a millisecond has gone");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_no_link_leads_to_gets_nothing_and_leaves_no_doubt() {
    let mut stage = Stage::new();
    stage.scene.lead(there(9, 1));
    let pending = stage.propose_in(1, 100, &Sequence::default());
    for _ in 0..30 {
        stage.scene.nothing().await;
    }
    pending.ends_refused().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_forwarded_here_is_not_forwarded_again() {
    let mut stage = Stage::new();
    stage.scene.lead(there(2, 1));
    let order = Arc::default();
    let forwarded = stage.forward(&order, body(1, 1, 0, &[1]));
    stage.scene.nothing().await;
    assert_eq!(codes(forwarded).await, [Some(ErrorCode::Unavailable)]);
    assert!(order.refuses(1));
}
