//! The proposer's task: batches take off, fly and land.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::forward::{ForwardBodyOf, ForwardReply, ForwardResult};
use super::pending::{Landed, Landing, Load, Ticket};
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
const FLIGHTS_MAX: usize = 4;

/// Pause before trying again when nothing else has changed.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// See the head of the room.
pub(super) struct Task<S> {
    around: S,
    tickets: mpsc::UnboundedReceiver<Ticket>,
    queue: VecDeque<Ticket>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    next_flight: u64,
    /// Where everything that is in flight went.
    course: Option<Route>,
    epoch: u64,
    next_number: u64,
    last_at: Timestamp,
}

impl<S: Surroundings> Task<S> {
    /// A task that takes operations from `tickets`.
    pub(super) fn new(around: S, tickets: mpsc::UnboundedReceiver<Ticket>) -> Task<S> {
        Task {
            around,
            tickets,
            queue: VecDeque::new(),
            flights: FuturesUnordered::new(),
            next_flight: 0,
            course: None,
            epoch: 0,
            next_number: 0,
            last_at: Timestamp(0),
        }
    }

    /// Runs until the queue is closed.
    pub(super) async fn run(mut self) {
        let mut arrived = Vec::new();
        // Tickets of failed flights, while the others are awaited.
        let mut failed: Vec<(u64, Vec<Ticket>)> = Vec::new();
        let mut draining = false;
        loop {
            if draining && self.flights.is_empty() {
                failed.sort_by_key(|(flight, _)| *flight);
                for (_, tickets) in failed.drain(..).rev() {
                    for ticket in tickets.into_iter().rev() {
                        self.queue.push_front(ticket);
                    }
                }
                self.epoch += 1;
                self.next_number = 0;
                draining = false;
                if !self.pause_or_close(&mut arrived).await {
                    return;
                }
            }
            while !draining && !self.queue.is_empty() && self.flights.len() < FLIGHTS_MAX {
                match self.around.route() {
                    Some(Route::Here(_)) if !self.around.is_confirmed() => break,
                    Some(route) if self.may_go(route) => draining = !self.take_off(route).await,
                    Some(_) | None => break,
                }
            }
            let stranded = !draining && !self.queue.is_empty() && self.flights.is_empty();
            if stranded {
                // No leader is known, or this one stands alone. Forwarded
                // operations go back to their sender, which may know better.
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
                Some(landed) = self.flights.next() => {
                    let flight = landed.flight;
                    if let Some(again) = self.land(landed) {
                        draining = true;
                        failed.push((flight, again));
                    }
                }
                count = self.tickets.recv_many(&mut arrived, BATCH_MAX_OPERATIONS) => {
                    if count == 0 {
                        return;
                    }
                    self.queue.extend(arrived.drain(..));
                }
            }
        }
    }

    /// Rule 4: one course at a time. A new course begins a new epoch.
    fn may_go(&mut self, route: Route) -> bool {
        if self.course != Some(route) {
            if !self.flights.is_empty() {
                return false;
            }
            self.course = Some(route);
            self.epoch += 1;
            self.next_number = 0;
        }
        true
    }

    /// Waits for a reason to try again; false when the queue is closed.
    async fn pause_or_close(&mut self, arrived: &mut Vec<Ticket>) -> bool {
        tokio::select! {
            biased;
            () = self.around.changed() => true,
            () = tokio::time::sleep(RETRY_PAUSE) => {
                self.forget();
                true
            }
            count = self.tickets.recv_many(arrived, BATCH_MAX_OPERATIONS) => {
                self.queue.extend(arrived.drain(..));
                count > 0
            }
        }
    }

    /// Drops operations that nobody waits for any more, which need no memory. What
    /// was forwarded behind one of them was to follow it.
    fn forget(&mut self) {
        self.queue.retain(|ticket| {
            let forgotten = ticket.reply.is_closed();
            if let Some(origin) = ticket.forwarded.as_ref().filter(|_| forgotten) {
                origin.refuse();
            }
            !forgotten
        });
    }

    fn refuse_forwarded(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        for ticket in queue {
            match &ticket.forwarded {
                Some(origin) => {
                    origin.refuse();
                    ticket.progress.leave();
                    ticket.refuse(&self.around);
                }
                None => self.queue.push_back(ticket),
            }
        }
    }

    /// Sends the head of the queue on its way. False: it is known already to
    /// have failed, and nothing may follow it.
    async fn take_off(&mut self, route: Route) -> bool {
        let local = matches!(route, Route::Here(_));
        let term = route.term();
        let now = Instant::now();
        let (mut tickets, mut load) = (Vec::new(), Load::default());
        while let Some(ticket) = self.queue.front() {
            let Some(more) = load.with(&ticket.operation) else { break };
            let ticket = self.queue.pop_front().expect("looked at it");
            if let Some(origin) = &ticket.forwarded
                && (!local || origin.term != term || origin.gate.refuses(origin.epoch))
            {
                origin.refuse();
                ticket.refuse(&self.around);
                continue;
            }
            if ticket.deadline <= now {
                // Whoever waits for it is about to say so; those behind it
                // must not slip through in between.
                ticket.progress.abandon();
            }
            if !ticket.progress.enter() {
                // Whoever waits for it tells the outcome by how far it came.
                if let Some(origin) = &ticket.forwarded {
                    origin.refuse();
                }
                continue;
            }
            load = more;
            tickets.push(ticket);
        }
        let bytes = load.bytes;
        if tickets.is_empty() {
            return true;
        }
        let flight = self.next_flight;
        self.next_flight += 1;
        match route {
            Route::Here(leader) => self.fly_here(flight, tickets, bytes, leader).await,
            Route::There(node, term) => {
                self.fly_there(flight, tickets, bytes, node.replica(), term);
                true
            }
        }
    }

    async fn fly_here(
        &mut self,
        flight: u64,
        tickets: Vec<Ticket>,
        bytes: usize,
        leader: CommittedLeaderId,
    ) -> bool {
        // The times of people's operations never run backwards within a leadership,
        // whatever the clocks do.
        self.last_at = self.around.now().max(self.last_at);
        let operations = tickets.iter().map(|ticket| ticket.operation.clone()).collect();
        let (proposal, accepted) = Proposal::propose(Batch { at: self.last_at, operations }, bytes);
        let answer = self.around.write(proposal, leader).await;
        // Rule 1: wait until the log has taken it or will not. The proposal is
        // dropped, and this ends, in either case.
        let accepted = answer.is_some() && accepted.await.is_ok();
        let around = self.around.clone();
        let landing = async move {
            let written = match answer {
                Some(answer) => answer.await,
                None => None,
            };
            match written {
                Some(Written::Applied { index, outcomes: Outcomes(outcomes) }) => {
                    let replicas = around.replicas();
                    // Progress is reported a moment later than the commit that it led to.
                    let copies = around.copies(index).max(majority(replicas as usize) as u32);
                    let done = |outcome| Landing::Done(Applied { outcome, copies, replicas });
                    Landed::each(flight, tickets, outcomes.into_iter().map(done).collect())
                }
                Some(Written::Failed) if !accepted => {
                    Landed::all(flight, tickets, || Landing::Refused)
                }
                // Taken by the log of a leader that then lost its office, or stopped.
                Some(Written::Failed) | None => Landed::all(flight, tickets, || Landing::Lost),
            }
        };
        self.flights.push(Box::pin(landing));
        accepted
    }

    fn fly_there(
        &mut self,
        flight: u64,
        tickets: Vec<Ticket>,
        bytes: usize,
        leader: ReplicaId,
        term: u64,
    ) {
        let longest = tickets.iter().map(|ticket| ticket.deadline).max();
        let patience = longest.map_or(Duration::ZERO, |deadline| deadline - Instant::now());
        let body = ForwardBodyOf {
            term,
            epoch: self.epoch,
            number: self.next_number,
            timeout_ms: patience.as_millis() as u64,
            operations: tickets.iter().map(|ticket| &ticket.operation).collect(),
        };
        self.next_number += 1;
        let mut line = Vec::with_capacity(bytes);
        serde_json::to_writer(&mut line, &body).expect("plain data serializes");
        let Some(answer) = self.around.call(leader, Call::Propose, line.into()) else {
            let landed = Landed::all(flight, tickets, || Landing::Refused);
            self.flights.push(Box::pin(futures::future::ready(landed)));
            return;
        };
        let around = self.around.clone();
        let landing = async move {
            // Rule 5: nobody waits for a frozen leader once there is another.
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = around.superseded(term) => Err(CallError::Lost("another leads".into())),
            };
            match answer.map(|reply| serde_json::from_slice::<ForwardReply>(&reply)) {
                Ok(Ok(ForwardReply { results })) => {
                    let landings = results.into_iter().map(ForwardResult::landing).collect();
                    Landed::each(flight, tickets, landings)
                }
                Err(CallError::NotSent(_)) => Landed::all(flight, tickets, || Landing::Refused),
                Err(CallError::Refused(error)) if error.code == ErrorCode::Unavailable => {
                    Landed::all(flight, tickets, || Landing::Refused)
                }
                Ok(Err(_)) | Err(CallError::Lost(_) | CallError::Refused(_)) => {
                    Landed::all(flight, tickets, || Landing::Lost)
                }
            }
        };
        self.flights.push(Box::pin(landing));
    }

    /// Answers what is done. After any failure returns what must be tried
    /// again here, which may be nothing.
    fn land(&mut self, landed: Landed) -> Option<Vec<Ticket>> {
        let (mut again, mut failed) = (Vec::new(), false);
        for (mut ticket, landing) in landed.tickets {
            match landing {
                Landing::Done(applied) => {
                    // Its proposer may have stopped waiting.
                    let _ = ticket.reply.send(Ok(applied));
                    continue;
                }
                Landing::Refused if planted::is(Bug::ClearDoubtWhenRefused) => {
                    ticket.suspect = false;
                    ticket.progress.leave();
                }
                Landing::Refused if !ticket.suspect => ticket.progress.leave(),
                Landing::Refused => {}
                Landing::Lost => ticket.suspect = true,
            }
            failed = true;
            match &ticket.forwarded {
                None => again.push(ticket),
                // Whoever forwarded it tries again, elsewhere perhaps.
                Some(origin) => {
                    origin.refuse();
                    ticket.refuse(&self.around);
                }
            }
        }
        failed.then_some(again)
    }
}
