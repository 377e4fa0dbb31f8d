//! Takes changes while the server is alone: one task, one order.
//!
//! What has gathered while the disk was busy is tested one after the other, against the state
//! and all that was taken before it, and appended as one. It is shown and answered when it is
//! durable. What is not taken breaks its stream: nothing that was asked for behind it is taken
//! before its client knows.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::line::{Asked, Wanted, Way};
use super::{Accepted, ChangeStream, Queue};
use crate::chat::{Action, Given, Operation, Overlay};
use crate::consensus::{Applied, Consensus, Takes};
use crate::error::{Error, ErrorCode, Result};
use crate::planted::{self, Bug};
use crate::protocol::client::Confirm;
use crate::replica::{Inner, Phase};
use crate::types::{Place, Uuid, majority};

/// Changes that are appended as one.
const TOGETHER_MAX: usize = 1_024;

/// How long the disk may take to note how far the state goes.
const NOTE_MAX: Duration = Duration::from_secs(5);

/// A change that is taken and not durable yet.
struct Pending {
    /// Its number in the overlay.
    order: u64,
    asked: Asked,
    answer: Given,
}

/// See the head of this file.
#[derive(Default)]
struct Acceptor {
    /// For which time alone what the own log holds beyond the state is in the list.
    log_end_taken: u64,
    /// Up to where it is durable that the log is committed.
    synced: u64,
    /// Why nothing was taken last, as it was logged.
    told: Option<String>,
}

/// Accepts until the replica stops.
pub async fn run(replica: Weak<Inner>, queue: Queue) {
    let Queue(mut queue) = queue;
    let (mut stopped, alone) = match replica.upgrade() {
        Some(inner) => (inner.phase.subscribe(), inner.alone.clone()),
        None => return,
    };
    let (mut acceptor, mut batch) = (Acceptor::default(), Vec::new());
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|phase| matches!(phase, Phase::Stopped)) => return,
            count = queue.recv_many(&mut batch, TOGETHER_MAX) => if count == 0 { return },
            () = alone.0.signs.look.notified() => {}
        }
        let Some(inner) = replica.upgrade() else { return };
        let taken = acceptor.take(&inner, &mut batch).await;
        acceptor.tell(&taken);
        if let Err(error) = taken {
            batch.drain(..).for_each(|asked| asked.refuse(error.clone()));
        }
        let mut line = alone.line();
        if line.way == Way::Back && queue.is_empty() {
            line.way = Way::Log;
            alone.0.since.send_replace(None);
            drop(line);
            alone.0.signs.held.notify_one();
            if planted::is(Bug::HideWhenBack) {
                inner.machine.change_overlay(|overlay| *overlay = Overlay::default());
            }
            let unsettled = alone.unsettled_entries();
            tracing::info!(unsettled, "a majority is back: this server is alone no longer");
        }
    }
}

impl Acceptor {
    /// Logs why nothing is taken, once for each reason.
    fn tell(&mut self, taken: &Result<()>) {
        let why = taken.as_ref().err().map(|error| error.message.clone());
        if let Some(why) = why.as_ref().filter(|why| self.told.as_ref() != Some(why)) {
            tracing::warn!(why, "this server is alone, and cannot take anything");
        }
        self.told = why;
    }

    /// Takes changes, and before the first one what the own log holds.
    async fn take(&mut self, inner: &Inner, batch: &mut Vec<Asked>) -> Result<()> {
        let (way, times) = {
            let line = inner.alone.line();
            (line.way, line.times_alone)
        };
        if way == Way::Log && batch.is_empty() {
            return Ok(());
        }
        let consensus = inner.consensus()?;
        if self.synced < inner.machine.applied_index() || self.log_end_taken != times {
            let synced = timeout(NOTE_MAX, consensus.sync_applied()).await;
            let slow = |_| Error::unavailable("its disk does not note how far its state goes");
            self.synced = synced.map_err(slow)??;
        }
        if self.log_end_taken != times {
            let left = in_their_lists(consensus.unapplied().await?, |list| {
                inner.machine.look(|look| look.settled(list))
            });
            let mut left = left.into_iter().map(Asked::of_log).peekable();
            while left.peek().is_some() {
                let some = left.by_ref().take(TOGETHER_MAX).collect();
                self.accept(inner, &consensus, some).await?;
                yield_now().await;
            }
            self.log_end_taken = times;
        }
        if way == Way::Acceptor && inner.alone.since().is_none() {
            let since = *inner.alone.0.missing_since.lock();
            inner.alone.0.since.send_replace(Some(since));
        }
        self.accept(inner, &consensus, std::mem::take(batch)).await
    }

    /// Tests changes, appends those that may be taken, and answers all of them.
    ///
    /// # Errors
    /// Why the outbox did not take them.
    async fn accept(&self, inner: &Inner, consensus: &Consensus, batch: Vec<Asked>) -> Result<()> {
        let mut taking = Taking { replicas: consensus.replicas(), ..Taking::default() };
        for asked in batch {
            taking.test(inner, asked);
        }
        let Taking { replicas, lines, pending, concerned } = taking;
        let Some(first) = lines.first().map(|(order, _)| *order) else { return Ok(()) };
        inner.alone.0.signs.holds.store(true, Ordering::Relaxed);
        let appended = match inner.alone.outbox() {
            Some(outbox) => outbox.append(lines.into_iter().map(|(_, line)| line).collect()).await,
            None => Err(Error::unavailable("its directory is not open")),
        };
        match appended {
            Ok(appended) => {
                let place = Place { list: appended.list, number: appended.first };
                inner.machine.reveal(first, place, concerned.into_iter());
                // A majority that is back may have settled it since it was durable.
                inner.drop_settled(place.list);
                for Pending { order, asked, answer } in pending {
                    let number = place.number + (order - first);
                    asked.accept(Place { number, ..place }, answer, replicas);
                }
                Ok(())
            }
            Err(error) => {
                inner.machine.change_overlay(|overlay| overlay.retract(first));
                // Only these two say that nothing was done.
                let error = match error.code {
                    ErrorCode::Unavailable | ErrorCode::DiskFull => error,
                    _ => Error::outcome_unknown(error.message),
                };
                pending.into_iter().for_each(|pending| pending.asked.refuse(error.clone()));
                Err(error)
            }
        }
    }
}

/// Changes that are taken together.
#[derive(Default)]
struct Taking {
    replicas: u32,
    /// What is to come onto the disk, each with its number in the overlay.
    lines: Vec<(u64, Bytes)>,
    pending: Vec<Pending>,
    /// The accounts whose lists change.
    concerned: Vec<Uuid>,
}

impl Taking {
    fn test(&mut self, inner: &Inner, mut asked: Asked) {
        let replicas = self.replicas;
        if asked.wanted.confirm.is_majority() {
            return asked.refuse(inner.needs_majority());
        }
        if let Some(error) = asked.comes_too_late() {
            return asked.refuse(error);
        }
        asked.say_what_is_known(inner);
        let (now, accepted_at) = (inner.time.now(), inner.host.clock.now());
        let (operation, ids) = (&asked.wanted.operation, &asked.wanted.mark_ids);
        match inner.machine.take(operation, ids, now, accepted_at) {
            Ok(Takes::Known(outcome)) => {
                let copies = majority(replicas as usize) as u32;
                asked.answer(Ok(Accepted::Confirmed(Applied { outcome, copies, replicas })));
            }
            Ok(Takes::Held { place: Some(place), answer, .. }) => {
                asked.accept(place, answer, replicas);
            }
            Ok(Takes::Held { place: None, order, answer }) => {
                self.pending.push(Pending { order, asked, answer });
            }
            Ok(Takes::New { order, taken, answer }) => {
                let line = serde_json::to_vec(&taken).expect("plain data serializes");
                self.lines.push((order, Bytes::from(line)));
                self.concerned.extend(taken.accounts());
                self.pending.push(Pending { order, asked, answer });
            }
            Err(error) => asked.refuse(error),
        }
    }
}

/// Operations of the own log without those entries of other servers' lists that the log would
/// pass over, as one before them is missing.
fn in_their_lists(
    mut operations: Vec<Operation>,
    settled: impl Fn(&Uuid) -> u64,
) -> Vec<Operation> {
    let mut next = BTreeMap::new();
    operations.retain(|operation| {
        let Action::Deliver(delivery) = &operation.action else { return true };
        let Place { list, number } = delivery.place;
        let next = next.entry(list).or_insert_with(|| settled(&list) + 1);
        let is_next = number == *next;
        *next += u64::from(is_next);
        is_next
    });
    operations
}

impl Asked {
    /// What was found in the own log, for which nobody waits here.
    fn of_log(operation: Operation) -> Asked {
        let wanted = Wanted {
            operation,
            mark_ids: Vec::new(),
            after_id: None,
            deadline: Instant::now() + NOTE_MAX,
            stream: ChangeStream::default(),
            confirm: Confirm::Any,
        };
        Asked { wanted, waited: true, in_log: true, reply: oneshot::channel().0 }
    }

    /// Why it is not taken any more, if nobody waits for it, or one before it was not taken.
    fn comes_too_late(&self) -> Option<Error> {
        if self.in_log {
            return None;
        }
        if self.wanted.stream.is_broken() {
            let why = "a change that was asked for before it has failed, and it must not pass";
            return Some(Error::unavailable(why));
        }
        let late = self.reply.is_closed() || self.wanted.deadline <= Instant::now();
        late.then(|| Error::unavailable("its time was up before this server could take it"))
    }

    /// A message whose id may be in a log says so; and it comes behind what was accepted
    /// before it on its connection.
    fn say_what_is_known(&mut self, inner: &Inner) {
        let Wanted { operation, stream, after_id, .. } = &mut self.wanted;
        if let Action::Send { again, after, .. } = &mut operation.action {
            *again |= self.waited;
            *after = inner.not_before(*after, *after_id).or_else(|| stream.place());
        }
    }

    fn answer(self, result: Result<Accepted>) {
        // Whoever asked may have gone.
        let _ = self.reply.send(result);
    }

    fn accept(self, place: Place, answer: Given, replicas: u32) {
        self.wanted.stream.is_at(place);
        self.answer(Ok(Accepted::Unconfirmed { place, answer, replicas }));
    }

    /// It is not taken. What has waited may be in a log all the same.
    fn refuse(self, error: Error) {
        self.wanted.stream.break_off();
        let error = match self.waited && error.code != ErrorCode::OutcomeUnknown {
            true => Error::outcome_unknown(format!(
                "whether operation {} was accepted is not known: {}; repeating it with the same \
                 id is safe",
                self.wanted.operation.id, error.message
            )),
            false => error,
        };
        self.answer(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Act, Delivery, Party};
    use crate::types::{AccountName, Timestamp};

    fn entry(list: Uuid, number: u64) -> Operation {
        let name = AccountName::new("alice").expect("a name");
        let delivery = Delivery {
            place: Place { list, number },
            again: false,
            since: 0,
            accepted_at: Timestamp(0),
            author: Party { account: Uuid::from_u128(1), name },
            session: None,
            act: Act::Close {},
        };
        Operation { id: Uuid::nil(), action: Action::Deliver(Box::new(delivery)) }
    }

    #[test]
    fn entries_that_the_log_would_pass_over_are_not_taken() {
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let close = Operation { id: Uuid::nil(), action: Action::CloseSession { session: 1 } };
        let numbers = [(one, 3), (one, 4), (other, 2), (one, 4), (one, 6), (other, 1), (other, 2)];
        let mut operations: Vec<Operation> = numbers.map(|(list, n)| entry(list, n)).into();
        operations.insert(2, close.clone());
        let settled = |list: &Uuid| if *list == one { 2 } else { 0 };
        let mut expected: Vec<Operation> =
            [(one, 3), (one, 4), (other, 1), (other, 2)].map(|(list, n)| entry(list, n)).into();
        expected.insert(2, close);
        assert_eq!(in_their_lists(operations, settled), expected);
    }
}
