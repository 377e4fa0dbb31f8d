//! Surroundings that do what a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::TryFutureExt;
use openraft::vote::RaftLeaderId as _;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, sleep};

use super::*;
use crate::chat::{Action, Operation, Outcome};
use crate::error::Error;
use crate::types::{NodeId, Timestamp, Uuid};

/// Replicas that vote.
pub const REPLICAS: u32 = 3;

/// What the proposer or the reader is given.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    route: watch::Sender<Option<Route>>,
    confirmed: AtomicBool,
    /// Whether the engine has stopped.
    stopped: AtomicBool,
    /// What time it is.
    now_ms: AtomicU64,
    write: mpsc::UnboundedSender<Write>,
    question: mpsc::UnboundedSender<oneshot::Sender<Result<u64>>>,
    call: mpsc::UnboundedSender<Asked>,
}

/// What the test has: the other side of everything.
pub struct Scene {
    /// For the proposer or the reader.
    pub around: Fake,
    /// Proposals, in the order in which they came to the engine.
    pub writes: mpsc::UnboundedReceiver<Write>,
    /// Questions for the index that a read must see, to this node as a leader.
    pub questions: mpsc::UnboundedReceiver<oneshot::Sender<Result<u64>>>,
    /// Calls to other replicas.
    pub calls: mpsc::UnboundedReceiver<Asked>,
}

/// A proposal in the engine's queue. Dropped, the engine has stopped.
pub struct Write {
    /// Under whose leadership alone it may be taken.
    pub leader: CommittedLeaderId,
    proposal: Proposal,
    answer: oneshot::Sender<Written>,
}

/// A call on its way to a replica.
pub struct Asked {
    /// Which.
    pub peer: ReplicaId,
    /// What is called.
    pub call: Call,
    body: Bytes,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

/// The node of a replica that has not lost anything so far.
pub fn node(replica: u32) -> NodeId {
    NodeId::new(ReplicaId(replica), 1)
}

/// This node, which is replica 1, leads in this term.
pub fn here(term: u64) -> Option<Route> {
    Some(Route::Here(CommittedLeaderId::new(term, node(1))))
}

/// Another replica leads.
pub fn there(replica: u32, term: u64) -> Option<Route> {
    Some(Route::There(node(replica), term))
}

/// An operation that is known by a small number.
pub fn operation(number: u32) -> Operation {
    let action = Action::AllocateIncarnation { replica: ReplicaId(number) };
    Operation { id: Uuid::from_u128(number.into()), action }
}

/// What becomes of it, and of no other.
pub fn outcome(operation: &Operation) -> Outcome {
    Outcome::Incarnation { incarnation: number(operation) }
}

/// The number of an operation.
pub fn number(operation: &Operation) -> u32 {
    operation.id.as_u128() as u32
}

/// Lets everybody go on until nobody can, which takes a simulated millisecond.
pub async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// The same, until nobody pauses any more before trying again.
pub async fn pause() {
    sleep(Duration::from_millis(12)).await;
}

impl Scene {
    /// Nobody leads yet.
    pub fn new() -> Scene {
        let (write, writes) = mpsc::unbounded_channel();
        let (question, questions) = mpsc::unbounded_channel();
        let (call, calls) = mpsc::unbounded_channel();
        let inner = Inner {
            route: watch::Sender::new(None),
            confirmed: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            now_ms: AtomicU64::new(0),
            write,
            question,
            call,
        };
        Scene { around: Fake(Arc::new(inner)), writes, questions, calls }
    }

    /// Changes who leads.
    pub fn lead(&self, route: Option<Route>) {
        self.around.0.route.send_replace(route);
    }

    /// Whether a majority stands behind this node.
    pub fn confirm(&self, confirmed: bool) {
        self.around.0.confirmed.store(confirmed, Ordering::SeqCst);
    }

    /// Changes what time it is.
    pub fn set_time(&self, now: Timestamp) {
        self.around.0.now_ms.store(now.0, Ordering::SeqCst);
    }

    /// Ends the engine.
    pub fn stop_engine(&self) {
        self.around.0.stopped.store(true, Ordering::SeqCst);
    }

    /// The next proposal, which must be there when nobody can go on.
    pub async fn write(&mut self) -> Write {
        settle().await;
        self.writes.try_recv().expect("a proposal")
    }

    /// The next call.
    pub async fn call(&mut self) -> Asked {
        settle().await;
        self.calls.try_recv().expect("a call")
    }

    /// Nothing leaves this node.
    pub async fn nothing(&mut self) {
        settle().await;
        if let Ok(write) = self.writes.try_recv() {
            panic!("proposed: {:?}", write.numbers());
        }
        if let Ok(asked) = self.calls.try_recv() {
            panic!("{:?} to {}", asked.call, asked.peer);
        }
        assert!(self.questions.try_recv().is_err(), "asked for an index");
    }
}

impl Write {
    /// Its operations.
    pub fn operations(&self) -> &[Operation] {
        &self.proposal.batch().expect("parsed").operations
    }

    /// Their numbers.
    pub fn numbers(&self) -> Vec<u32> {
        self.operations().iter().map(number).collect()
    }

    /// When the leader took it.
    pub fn at(&self) -> Timestamp {
        self.proposal.batch().expect("parsed").at
    }

    /// The leader's log has it.
    pub fn accept(self) -> Write {
        self.proposal.mark_accepted();
        self
    }

    /// Committed and applied.
    pub fn apply(self) {
        let outcomes = self.operations().iter().map(outcome).collect();
        self.apply_as(outcomes);
    }

    /// Committed and applied, with this for its outcomes.
    pub fn apply_as(self, outcomes: Vec<Outcome>) {
        self.proposal.mark_accepted();
        let applied = Written::Applied { index: 1, outcomes: Outcomes(outcomes) };
        assert!(self.answer.send(applied).is_ok(), "awaited");
    }

    /// The node does not lead, or no longer; the proposal goes away.
    pub fn fail(self) {
        let Write { proposal, answer, .. } = self;
        drop(proposal);
        assert!(answer.send(Written::Failed).is_ok(), "awaited");
    }
}

impl Asked {
    /// What it says.
    pub fn body<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("of the right form")
    }

    /// Answers.
    pub fn answer(self, answer: Result<impl serde::Serialize, CallError>) {
        let answer = answer.map(|body| serde_json::to_vec(&body).expect("serializes").into());
        // It may be given up already.
        let _ = self.answer.send(answer);
    }

    /// The connection breaks: it may have arrived.
    pub fn lose(self) {
        self.answer(Err::<(), _>(CallError::Lost("the connection broke".into())));
    }

    /// It never leaves.
    pub fn do_not_send(self) {
        self.answer(Err::<(), _>(CallError::NotSent("not connected".into())));
    }
}

impl Surroundings for Fake {
    fn route(&self) -> Option<Route> {
        *self.0.route.borrow()
    }

    fn is_confirmed(&self) -> bool {
        self.0.confirmed.load(Ordering::SeqCst)
    }

    async fn changed(&self) {
        let mut route = self.0.route.subscribe();
        route.changed().await.expect("the scene is there");
    }

    async fn superseded(&self, term: u64) {
        let mut route = self.0.route.subscribe();
        let later = |route: &Option<Route>| route.is_some_and(|route| route.term() > term);
        route.wait_for(later).await.expect("the scene is there");
    }

    fn absence(&self) -> String {
        "as the test wants it".into()
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.0.now_ms.load(Ordering::SeqCst))
    }

    fn replicas(&self) -> u32 {
        REPLICAS
    }

    fn copies(&self, _index: u64) -> u32 {
        REPLICAS
    }

    async fn write(
        &self,
        proposal: Proposal,
        leader: CommittedLeaderId,
    ) -> Option<impl Future<Output = Option<Written>> + Send + 'static> {
        if self.0.stopped.load(Ordering::SeqCst) {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        assert!(
            self.0.write.send(Write { leader, proposal, answer }).is_ok(),
            "the scene is there"
        );
        Some(answered.map(|answer| answer.ok()))
    }

    async fn read_index(&self) -> Result<u64> {
        let (answer, answered) = oneshot::channel();
        self.0.question.send(answer).expect("the scene is there");
        answered.await.unwrap_or_else(|_| Err(Error::unavailable("the engine has stopped")))
    }

    fn call(
        &self,
        peer: ReplicaId,
        call: Call,
        body: Bytes,
    ) -> Option<impl Future<Output = Result<Bytes, CallError>> + Send + 'static> {
        if peer.0 > REPLICAS {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let sent = self.0.call.send(Asked { peer, call, body, answer });
        assert!(sent.is_ok(), "the scene is there");
        let lost = |_| CallError::Lost("the connection broke".into());
        Some(answered.map_err(lost).map(|answer| answer.and_then(|answer| answer)))
    }
}
