//! Reads among surroundings that the test plays.

use tokio::sync::oneshot::Sender;
use tokio::task::JoinHandle;

use super::*;
use crate::consensus::surroundings::fake::{Fake, Scene, here, node, pause, settle, there};
use crate::consensus::types::{Entry, EntryPayload};
use crate::consensus::wire::entry::log_id;

/// Bounds one question.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(300);

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

struct Stage {
    scene: Scene,
    machine: Machine,
    reader: Reader<Fake>,
}

type Read = JoinHandle<Result<()>>;

impl Stage {
    /// With a state that contains `applied` entries.
    fn new(applied: u64) -> Stage {
        let (host, scene) = (Host::real(), Scene::new());
        let machine = Machine::new(host.clone(), 1);
        let reader = Reader::start(&host, scene.around.clone(), machine.clone(), QUESTION_TIMEOUT);
        let mut stage = Stage { scene, machine, reader };
        stage.apply_through(applied);
        stage
    }

    fn apply_through(&mut self, index: u64) {
        for index in self.machine.applied_index() + 1..=index {
            let entry = Entry { log_id: log_id(1, node(1), index), payload: EntryPayload::Blank };
            self.machine.replay(entry).expect("applies");
        }
    }

    fn read_within(&self, limit: Duration) -> Read {
        let (reader, deadline) = (self.reader.clone(), Instant::now() + limit);
        crate::host::spawn(async move { reader.confirm(deadline).await })
    }

    fn read(&self) -> Read {
        self.read_within(LONG)
    }

    /// The leader, which is this node, is asked.
    async fn question(&mut self) -> Sender<Result<u64>> {
        settle().await;
        self.scene.questions.try_recv().expect("a question")
    }
}

async fn is_confirmed(read: Read) {
    assert_eq!(read.await.expect("no panic"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_until_the_state_has_what_the_leader_said() {
    let mut stage = Stage::new(5);
    stage.scene.lead(here(1));
    let read = stage.read();
    let question = stage.question().await;
    assert!(!read.is_finished(), "not before the leader has confirmed");
    question.send(Ok(7)).expect("awaited");
    for index in 6..=7 {
        settle().await;
        assert!(!read.is_finished(), "not before the state contains entry 7");
        stage.apply_through(index);
    }
    is_confirmed(read).await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_comes_while_a_question_is_under_way_is_not_answered_by_it() {
    let mut stage = Stage::new(9);
    stage.scene.lead(here(1));
    let first = stage.read();
    let question = stage.question().await;
    let later = [stage.read(), stage.read()];
    settle().await;
    question.send(Ok(5)).expect("awaited");
    is_confirmed(first).await;
    let question = stage.question().await;
    assert!(later.iter().all(|read| !read.is_finished()), "it was asked before they came");
    question.send(Ok(9)).expect("awaited");
    for read in later {
        is_confirmed(read).await;
    }
    stage.scene.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn on_a_follower_the_leader_is_asked() {
    let mut stage = Stage::new(5);
    stage.scene.lead(there(3, 2));
    let read = stage.read();
    let asked = stage.scene.call().await;
    assert_eq!((asked.peer.0, asked.call), (3, Call::ReadIndex));
    asked.answer(Ok(6));
    settle().await;
    assert!(!read.is_finished());
    stage.apply_through(6);
    is_confirmed(read).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_confirm_is_asked_again_and_another_leader_at_once() {
    let mut stage = Stage::new(5);
    let read = stage.read();
    stage.scene.nothing().await;
    stage.scene.lead(there(2, 1));
    stage.scene.call().await.do_not_send();
    pause().await;
    stage.scene.call().await.lose();
    pause().await;
    stage.scene.call().await.answer(Ok("no index"));
    stage.scene.lead(here(2));
    pause().await;
    let question = stage.question().await;
    question.send(Err(Error::unavailable("no majority"))).expect("awaited");
    pause().await;
    stage.question().await.send(Ok(5)).expect("awaited");
    is_confirmed(read).await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_is_not_waited_for_once_another_leads() {
    let mut stage = Stage::new(5);
    stage.scene.lead(there(2, 1));
    let (begun, read) = (Instant::now(), stage.read());
    let frozen = stage.scene.call().await;
    stage.scene.lead(there(3, 2));
    settle().await;
    settle().await;
    let asked = stage.scene.call().await;
    assert_eq!(asked.peer.0, 3);
    frozen.answer(Ok(1));
    settle().await;
    assert!(!read.is_finished(), "what the old one says does not count");
    asked.answer(Ok(5));
    is_confirmed(read).await;
    assert!(begun.elapsed() < QUESTION_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_is_asked_again_after_a_while() {
    let mut stage = Stage::new(5);
    stage.scene.lead(there(2, 1));
    let read = stage.read();
    let silent = stage.scene.call().await;
    tokio::time::sleep(QUESTION_TIMEOUT / 2).await;
    stage.scene.nothing().await;
    tokio::time::sleep(QUESTION_TIMEOUT).await;
    stage.scene.call().await.answer(Ok(5));
    is_confirmed(read).await;
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_confirmed_in_time_says_so() {
    let mut stage = Stage::new(5);
    let begun = Instant::now();
    let limit = Duration::from_millis(100);
    let no_leader = stage.read_within(limit);
    let error = no_leader.await.expect("no panic").expect_err("nobody leads");
    assert_eq!(error.code, ErrorCode::ReadNotConfirmed);
    assert!(error.message.contains("as the test wants it"), "{error}");
    assert_eq!(begun.elapsed(), limit);
    stage.scene.nothing().await;

    // The leader has confirmed, but the state does not get there.
    stage.scene.lead(here(1));
    let behind = stage.read_within(limit);
    stage.question().await.send(Ok(6)).expect("awaited");
    let error = behind.await.expect("no panic").expect_err("entry 6 does not come");
    assert_eq!(error.code, ErrorCode::ReadNotConfirmed);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_a_read_that_nobody_waits_for() {
    let mut stage = Stage::new(5);
    let read = stage.read();
    settle().await;
    read.abort();
    tokio::time::sleep(Duration::from_millis(20)).await;
    stage.scene.lead(here(1));
    stage.scene.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_confirm_is_asked_less_and_less_often() {
    let mut stage = Stage::new(5);
    stage.scene.lead(here(1));
    for _ in 0..2 {
        let (read, mut asked) = (stage.read(), Vec::new());
        for _ in 0..6 {
            let question = stage.scene.questions.recv().await.expect("a question");
            asked.push(Instant::now());
            question.send(Err(Error::unavailable("no majority"))).expect("awaited");
        }
        let pauses: Vec<u128> =
            asked.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10], "from the beginning after each success");
        let question = stage.scene.questions.recv().await.expect("a question");
        question.send(Ok(5)).expect("awaited");
        is_confirmed(read).await;
    }
}
