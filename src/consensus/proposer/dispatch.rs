//! The proposer's task: it dispatches batches and completes their operations.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::forward::{ForwardBodyOf, ForwardReply, ForwardResult};
use super::pending::{CompletedBatch, Completion, Load, PendingOperation};
use crate::chat::Batch;
use crate::consensus::Applied;
use crate::consensus::leadership::route::Route;
use crate::consensus::surroundings::{Surroundings, Written};
use crate::consensus::types::{CommittedLeaderId, Outcomes, Proposal};
use crate::error::ErrorCode;
use crate::host::BoxFuture;
use crate::limits::BATCH_MAX_OPERATIONS;
use crate::peer::CallError;
use crate::planted::{self, Bug};
use crate::protocol::peer::Call;
use crate::types::{ReplicaId, Timestamp, majority};

/// Batches under way at once. They keep the disk and the network busy while
/// the next batch gathers; more would only make batches smaller.
const IN_FLIGHT_MAX: usize = 4;

/// Pause before trying again when nothing else has changed.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// A queue of fewer operations is not searched for those that nobody waits for.
const FORGET_MIN: usize = BATCH_MAX_OPERATIONS;

/// See the head of the module.
pub(super) struct Task<S> {
    around: S,
    arrivals: mpsc::UnboundedReceiver<PendingOperation>,
    queue: VecDeque<PendingOperation>,
    /// At this length the queue is searched for operations that nobody waits for.
    forget_at: usize,
    in_flight: FuturesUnordered<BoxFuture<'static, CompletedBatch>>,
    /// Numbers all batches in the order in which they are dispatched.
    next_batch: u64,
    /// Where everything that is in flight went.
    target: Option<Route>,
    epoch: u64,
    /// Numbers the batches of an epoch.
    next_number: u64,
    last_at: Timestamp,
}

impl<S: Surroundings> Task<S> {
    /// A task that takes operations from `arrivals`.
    pub(super) fn new(around: S, arrivals: mpsc::UnboundedReceiver<PendingOperation>) -> Task<S> {
        Task {
            around,
            arrivals,
            queue: VecDeque::new(),
            forget_at: FORGET_MIN,
            in_flight: FuturesUnordered::new(),
            next_batch: 0,
            target: None,
            epoch: 0,
            next_number: 0,
            last_at: Timestamp(0),
        }
    }

    /// Runs until the queue is closed.
    pub(super) async fn run(mut self) {
        let mut arrived = Vec::new();
        // The operations of failed batches, while the other batches are awaited.
        let mut failed: Vec<(u64, Vec<PendingOperation>)> = Vec::new();
        let mut draining = false;
        loop {
            if draining && self.in_flight.is_empty() {
                failed.sort_by_key(|(number, _)| *number);
                for (_, batch) in failed.drain(..).rev() {
                    for pending in batch.into_iter().rev() {
                        self.queue.push_front(pending);
                    }
                }
                self.epoch += 1;
                self.next_number = 0;
                draining = false;
                if !self.pause_or_close(&mut arrived).await {
                    return;
                }
            }
            while !draining && !self.queue.is_empty() && self.in_flight.len() < IN_FLIGHT_MAX {
                match self.around.route() {
                    Some(Route::Here(_)) if !self.around.is_confirmed() => break,
                    Some(route) if self.may_dispatch(route) => {
                        draining = !self.dispatch(route).await;
                    }
                    Some(_) | None => break,
                }
            }
            let stranded = !draining && !self.queue.is_empty() && self.in_flight.is_empty();
            if stranded {
                // No leader is known, or this one is not confirmed by a majority.
                // Forwarded operations go back to their sender, which may know better.
                self.refuse_forwarded();
                if !self.queue.is_empty() {
                    if !self.pause_or_close(&mut arrived).await {
                        return;
                    }
                    continue;
                }
            }
            tokio::select! {
                biased;
                Some(completed) = self.in_flight.next() => {
                    let number = completed.number;
                    if let Some(again) = self.complete(completed) {
                        draining = true;
                        failed.push((number, again));
                    }
                }
                count = self.arrivals.recv_many(&mut arrived, BATCH_MAX_OPERATIONS) => {
                    if count == 0 {
                        return;
                    }
                    self.enqueue(&mut arrived);
                }
            }
        }
    }

    /// Rule 4: one target at a time. A new target begins a new epoch.
    fn may_dispatch(&mut self, route: Route) -> bool {
        if self.target != Some(route) {
            if !self.in_flight.is_empty() {
                return false;
            }
            self.target = Some(route);
            self.epoch += 1;
            self.next_number = 0;
        }
        true
    }

    /// Waits for a reason to try again; false when the queue is closed.
    async fn pause_or_close(&mut self, arrived: &mut Vec<PendingOperation>) -> bool {
        tokio::select! {
            biased;
            () = self.around.changed() => true,
            () = tokio::time::sleep(RETRY_PAUSE) => {
                self.forget();
                true
            }
            count = self.arrivals.recv_many(arrived, BATCH_MAX_OPERATIONS) => {
                self.enqueue(arrived);
                count > 0
            }
        }
    }

    /// Puts operations in line. Batches may be stuck for as long as the disks are full or a
    /// majority is frozen, while callers give up and try again: whenever the queue has
    /// doubled, what was given up leaves it.
    fn enqueue(&mut self, arrived: &mut Vec<PendingOperation>) {
        self.queue.extend(arrived.drain(..));
        if self.queue.len() >= self.forget_at {
            self.forget();
            self.forget_at = FORGET_MIN.max(2 * self.queue.len());
        }
    }

    /// Drops operations that nobody waits for any more, to free their memory. Nothing may
    /// follow them: their callers may not yet have broken the sequence, and what was
    /// forwarded behind one of them is refused.
    fn forget(&mut self) {
        self.queue.retain(|pending| {
            let forgotten = pending.reply.is_closed();
            if forgotten {
                pending.progress.abandon();
                if let Some(origin) = &pending.forwarded {
                    origin.refuse();
                }
            }
            !forgotten
        });
    }

    fn refuse_forwarded(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        for pending in queue {
            match &pending.forwarded {
                Some(origin) => {
                    origin.refuse();
                    pending.progress.leave();
                    pending.refuse(&self.around);
                }
                None => self.queue.push_back(pending),
            }
        }
    }

    /// Makes a batch of the head of the queue and sends it. False: it has failed
    /// already, and nothing may follow it.
    async fn dispatch(&mut self, route: Route) -> bool {
        let local = matches!(route, Route::Here(_));
        let term = route.term();
        let now = Instant::now();
        let (mut batch, mut load) = (Vec::new(), Load::default());
        while let Some(pending) = self.queue.front() {
            let Some(more) = load.with(&pending.operation) else { break };
            let pending = self.queue.pop_front().expect("looked at it");
            if let Some(origin) = &pending.forwarded
                && (!local || origin.term != term || origin.order.refuses(origin.epoch))
            {
                origin.refuse();
                pending.refuse(&self.around);
                continue;
            }
            if pending.deadline <= now {
                // Its caller is about to report that; operations behind it must not
                // enter in between.
                pending.progress.abandon();
            }
            if !pending.progress.enter() {
                // Its caller gets no reply and decides by `Progress`: unavailable if it
                // never entered a log, unknown otherwise.
                if let Some(origin) = &pending.forwarded {
                    origin.refuse();
                }
                continue;
            }
            load = more;
            batch.push(pending);
        }
        let bytes = load.bytes;
        if batch.is_empty() {
            return true;
        }
        let number = self.next_batch;
        self.next_batch += 1;
        match route {
            Route::Here(leader) => self.propose(number, batch, bytes, leader).await,
            Route::There(node, term) => {
                self.forward(number, batch, bytes, node.replica(), term);
                true
            }
        }
    }

    async fn propose(
        &mut self,
        number: u64,
        batch: Vec<PendingOperation>,
        bytes: usize,
        leader: CommittedLeaderId,
    ) -> bool {
        // The times of operations never run backwards within a leadership,
        // whatever the clocks do.
        self.last_at = self.around.now().max(self.last_at);
        let operations = batch.iter().map(|pending| pending.operation.clone()).collect();
        let (proposal, accepted) = Proposal::propose(Batch { at: self.last_at, operations }, bytes);
        let answer = self.around.write(proposal, leader).await;
        // Rule 1: wait until the log has taken the entry or refused it. The proposal is
        // dropped in either case, which ends this wait.
        let accepted = answer.is_some() && accepted.await.is_ok();
        let around = self.around.clone();
        let completion = async move {
            let written = match answer {
                Some(answer) => answer.await,
                None => None,
            };
            match written {
                Some(Written::Applied { index, outcomes: Outcomes(outcomes) }) => {
                    let replicas = around.replicas();
                    // Reported progress lags behind the commit that it made possible.
                    // What is applied is on a majority in any case.
                    let copies = around.copies(index).max(majority(replicas as usize) as u32);
                    let done = |outcome| Completion::Done(Applied { outcome, copies, replicas });
                    CompletedBatch::each(number, batch, outcomes.into_iter().map(done).collect())
                }
                Some(Written::Failed) if !accepted => {
                    CompletedBatch::all(number, batch, || Completion::Refused)
                }
                // The leader's log took it, and then leadership was lost or consensus
                // stopped.
                Some(Written::Failed) | None => {
                    CompletedBatch::all(number, batch, || Completion::Lost)
                }
            }
        };
        self.in_flight.push(Box::pin(completion));
        accepted
    }

    fn forward(
        &mut self,
        number: u64,
        batch: Vec<PendingOperation>,
        bytes: usize,
        leader: ReplicaId,
        term: u64,
    ) {
        let longest = batch.iter().map(|pending| pending.deadline).max();
        let remaining = longest.map_or(Duration::ZERO, |deadline| deadline - Instant::now());
        let body = ForwardBodyOf {
            term,
            epoch: self.epoch,
            number: self.next_number,
            timeout_ms: remaining.as_millis() as u64,
            operations: batch.iter().map(|pending| &pending.operation).collect(),
        };
        self.next_number += 1;
        let mut line = Vec::with_capacity(bytes);
        serde_json::to_writer(&mut line, &body).expect("plain data serializes");
        let Some(answer) = self.around.call(leader, Call::Propose, line.into()) else {
            let completed = CompletedBatch::all(number, batch, || Completion::Refused);
            self.in_flight.push(Box::pin(futures::future::ready(completed)));
            return;
        };
        let around = self.around.clone();
        let completion = async move {
            // Rule 5: nobody waits for a frozen leader once there is another.
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = around.superseded(term) => Err(CallError::Lost("another leads".into())),
            };
            match answer.map(|reply| serde_json::from_slice::<ForwardReply>(&reply)) {
                Ok(Ok(ForwardReply { results })) => {
                    let completions = results.into_iter().map(ForwardResult::completion).collect();
                    CompletedBatch::each(number, batch, completions)
                }
                Err(CallError::NotSent(_)) => {
                    CompletedBatch::all(number, batch, || Completion::Refused)
                }
                Err(CallError::Refused(error)) if error.code == ErrorCode::Unavailable => {
                    CompletedBatch::all(number, batch, || Completion::Refused)
                }
                Ok(Err(_)) | Err(CallError::Lost(_) | CallError::Refused(_)) => {
                    CompletedBatch::all(number, batch, || Completion::Lost)
                }
            }
        };
        self.in_flight.push(Box::pin(completion));
    }

    /// Answers what is done. After any failure returns what must be tried
    /// again here, which may be nothing.
    fn complete(&mut self, completed: CompletedBatch) -> Option<Vec<PendingOperation>> {
        let (mut again, mut failed) = (Vec::new(), false);
        for (mut pending, completion) in completed.operations {
            match completion {
                Completion::Done(applied) => {
                    // Its proposer may have stopped waiting.
                    let _ = pending.reply.send(Ok(applied));
                    continue;
                }
                Completion::Refused if planted::is(Bug::ClearDoubtWhenRefused) => {
                    pending.suspect = false;
                    pending.progress.leave();
                }
                Completion::Refused if !pending.suspect => pending.progress.leave(),
                Completion::Refused => {}
                Completion::Lost => pending.suspect = true,
            }
            failed = true;
            match &pending.forwarded {
                None => again.push(pending),
                // Whoever forwarded it tries again, elsewhere perhaps.
                Some(origin) => {
                    origin.refuse();
                    pending.refuse(&self.around);
                }
            }
        }
        failed.then_some(again)
    }
}
