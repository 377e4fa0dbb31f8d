//! The proposer among surroundings that the test plays.

mod deadlines;
mod forwarded;
mod forwarding;
mod leading;

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::forward::ForwardResult;
use super::*;
use crate::consensus::surroundings::fake::{
    Asked, Fake, Scene, Write, here, node, number, operation, outcome, pause, settle, there,
};
use crate::error::ErrorCode;
use crate::types::Timestamp;

/// Longer than any test.
const LONG_MS: u64 = 60_000;

/// A proposer, and everything around it.
struct Stage {
    scene: Scene,
    proposer: Proposer<Fake>,
}

/// What became of an operation, once that is known.
struct Pending {
    number: u32,
    answer: JoinHandle<Result<Applied>>,
}

/// What the other end of a connection hears of a forwarded batch.
type Forwarded = JoinHandle<ForwardReply>;

impl Stage {
    fn new() -> Stage {
        let scene = Scene::new();
        let proposer = Proposer::start(&Host::real(), scene.around.clone());
        Stage { scene, proposer }
    }

    fn propose_in(&self, number: u32, timeout_ms: u64, sequence: &Sequence) -> Pending {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        let proposed = self.proposer.propose(operation(number), deadline, sequence);
        Pending { number, answer: crate::host::spawn(proposed) }
    }

    fn propose(&self, number: u32) -> Pending {
        self.propose_in(number, LONG_MS, &Sequence::default())
    }

    /// On the leader: as many batches of one operation as can be under way, so that what
    /// comes now waits in the queue. The log has taken them, and nothing is committed.
    async fn fill(&mut self, first: u32) -> (Vec<Pending>, Vec<Write>) {
        let (mut pending, mut writes) = (Vec::new(), Vec::new());
        for number in first..first + 4 {
            pending.push(self.propose(number));
            writes.push(self.scene.write().await.accept());
        }
        (pending, writes)
    }

    /// What a follower's call brings.
    fn forward(&self, order: &Arc<ForwardOrder>, body: ForwardBody) -> Forwarded {
        crate::host::spawn(self.proposer.forwarded(body, order))
    }
}

impl Pending {
    /// It has its own outcome, and no other.
    async fn done(self) {
        let applied = self.answer.await.expect("no panic").expect("done");
        assert_eq!(applied.outcome, outcome(&operation(self.number)));
    }

    async fn fails_as(self, code: ErrorCode) {
        let error = self.answer.await.expect("no panic").expect_err("not done");
        assert_eq!(error.code, code, "{error}");
    }

    /// It is in no log and never will be.
    async fn ends_refused(self) {
        self.fails_as(ErrorCode::Unavailable).await;
    }

    async fn ends_in_doubt(self) {
        self.fails_as(ErrorCode::OutcomeUnknown).await;
    }

    fn is_open(&self) -> bool {
        !self.answer.is_finished()
    }
}

/// A batch as a follower sends it.
fn body(term: u64, epoch: u64, batch: u64, numbers: &[u32]) -> ForwardBody {
    let operations = numbers.iter().map(|number| operation(*number)).collect();
    ForwardBody { term, epoch, number: batch, timeout_ms: LONG_MS, operations }
}

/// Per operation: nothing if it was done, and the error's code if not.
async fn codes(forwarded: Forwarded) -> Vec<Option<ErrorCode>> {
    let reply = forwarded.await.expect("no panic");
    let code = |result| match result {
        ForwardResult::Ok(_) => None,
        ForwardResult::Error(error) => Some(error.code),
    };
    reply.results.into_iter().map(code).collect()
}

/// How many of a call's operations are done, before one that is not; and how
/// that one ended, with those behind it.
fn reply(asked: &Asked, done: usize, then: ErrorCode) -> ForwardReply {
    let operations = asked.body::<ForwardBody>().operations;
    let result = |(place, operation): (usize, &Operation)| match place < done {
        true => {
            let outcome = outcome(operation);
            ForwardResult::Ok(Applied { outcome, copies: 2, replicas: 3 })
        }
        false => ForwardResult::Error(Error::new(then, "as the test wants it").into()),
    };
    ForwardReply { results: operations.iter().enumerate().map(result).collect() }
}

/// Answers a call: all of it is done.
fn done(asked: Asked) {
    let reply = reply(&asked, usize::MAX, ErrorCode::Internal);
    asked.answer(Ok(reply));
}

/// To whom, under which epoch and number, and what.
fn seen(asked: &Asked) -> (u32, u64, u64, Vec<u32>) {
    let body: ForwardBody = asked.body();
    (asked.peer.0, body.epoch, body.number, body.operations.iter().map(number).collect())
}

#[test]
fn forwarded_batches_are_taken_one_after_the_other_and_none_behind_a_gap() {
    let order = ForwardOrder::default();
    assert!(order.admit(1, 0) && order.admit(1, 1));
    assert!(!order.admit(1, 3), "one is missing");
    assert!(!order.admit(1, 2), "it came too late");
    assert!(order.refuses(1) && !order.refuses(2));
    assert!(order.admit(2, 0), "a new epoch begins with number 0");
    assert!(!order.admit(1, 4) && order.admit(2, 1), "the old one is over, the new one goes on");
    assert!(!order.admit(2, 1), "the same batch again");
    assert!(!order.admit(4, 1), "its first batch went with an older connection");
    assert!(order.refuses(4) && !order.admit(3, 0), "nothing of an epoch before the refused one");
}
