//! Takes changes while the server is alone: one task, one order.
//!
//! What has gathered while the disk was busy is tested one after the other, against the state
//! and all that was taken before it, and appended as one. It is shown and answered when it is
//! durable.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::line::Asked;
use super::{Accepted, Queue};
use crate::chat::{Action, Given, Operation};
use crate::consensus::{Applied, Consensus, Takes};
use crate::error::{Error, ErrorCode, Result};
use crate::replica::{Inner, Phase};
use crate::types::{Place, majority};

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
    /// Whether what the own log holds beyond the state is in the list.
    has_log_end: bool,
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
        if queue.is_empty() && alone.0.signs.back.swap(false, Ordering::Relaxed) {
            line.alone = None;
            alone.0.since.send_replace(None);
            acceptor.has_log_end = false;
            let unsettled = alone.outbox().map_or(0, |outbox| outbox.size().unsettled);
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
        if inner.alone.since().is_none() && batch.is_empty() {
            return Ok(());
        }
        let consensus = inner.consensus()?;
        if self.synced < inner.machine.applied_index() || !self.has_log_end {
            let synced = timeout(NOTE_MAX, consensus.sync_applied()).await;
            self.synced = synced.map_err(|_| {
                Error::unavailable("its disk does not take how far its state goes")
            })??;
        }
        if !self.has_log_end {
            let left = consensus.unapplied().await?.into_iter().map(Asked::of_log);
            self.accept(inner, &consensus, left.collect()).await?;
            self.has_log_end = true;
        }
        self.accept(inner, &consensus, std::mem::take(batch)).await
    }

    /// Tests changes, appends those that may be taken, and answers all of them.
    ///
    /// # Errors
    /// Why the outbox did not take them.
    async fn accept(&self, inner: &Inner, consensus: &Consensus, batch: Vec<Asked>) -> Result<()> {
        let replicas = consensus.replicas();
        let (mut lines, mut pending, mut concerned) = (Vec::new(), Vec::new(), Vec::new());
        for mut asked in batch {
            if !asked.is_wanted() {
                continue;
            }
            if asked.confirm.is_majority() {
                asked.refuse(inner.needs_majority());
                continue;
            }
            asked.say_what_is_known();
            let (now, accepted_at) = (inner.time.now(), inner.host.clock.now());
            let (operation, ids) = (&asked.operation, &asked.mark_ids);
            match inner.machine.take(operation, ids, now, accepted_at) {
                Ok(Takes::Known(outcome)) => {
                    let copies = majority(replicas as usize) as u32;
                    asked.answer(Ok(Accepted::Confirmed(Applied { outcome, copies, replicas })));
                }
                Ok(Takes::Held { place: Some(place), answer, .. }) => {
                    asked.accept(place, answer, replicas);
                }
                Ok(Takes::Held { place: None, order, answer }) => {
                    pending.push(Pending { order, asked, answer });
                }
                Ok(Takes::New { order, taken, answer }) => {
                    let line = serde_json::to_vec(&taken).expect("plain data serializes");
                    lines.push((order, Bytes::from(line)));
                    concerned.extend(taken.accounts());
                    pending.push(Pending { order, asked, answer });
                }
                Err(error) => asked.refuse(error),
            }
        }
        let Some(first) = lines.first().map(|(order, _)| *order) else { return Ok(()) };
        let appended = match inner.alone.outbox() {
            Some(outbox) => outbox.append(lines.into_iter().map(|(_, line)| line).collect()).await,
            None => Err(Error::unavailable("its directory is not open")),
        };
        match appended {
            Ok(appended) => {
                let place = Place { list: appended.list, number: appended.first };
                inner.machine.reveal(first, place, concerned.into_iter());
                for Pending { order, asked, answer } in pending {
                    let number = place.number + (order - first);
                    asked.accept(Place { number, ..place }, answer, replicas);
                }
            }
            Err(error) => {
                inner.machine.change_overlay(|overlay| overlay.retract(first));
                pending.into_iter().for_each(|pending| pending.asked.refuse(error.clone()));
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Asked {
    /// What was found in the own log, for which nobody waits here.
    fn of_log(operation: Operation) -> Asked {
        let (reply, _) = oneshot::channel();
        let deadline = Instant::now() + NOTE_MAX;
        let (stream, confirm) = (Default::default(), crate::protocol::client::Confirm::Any);
        let mark_ids = Vec::new();
        Asked { operation, mark_ids, deadline, stream, confirm, waited: true, in_log: true, reply }
    }

    /// Whether anybody waits for it, in time.
    fn is_wanted(&self) -> bool {
        self.in_log || !(self.reply.is_closed() || self.deadline <= Instant::now())
    }

    /// A message whose id may be in a log says so; and it comes behind what was accepted
    /// before it on its connection.
    fn say_what_is_known(&mut self) {
        if let Action::Send { again, after, .. } = &mut self.operation.action {
            *again |= self.waited;
            *after = after.or_else(|| self.stream.place());
        }
    }

    fn answer(self, result: Result<Accepted>) {
        // Whoever asked may have gone.
        let _ = self.reply.send(result);
    }

    fn accept(self, place: Place, answer: Given, replicas: u32) {
        if matches!(self.operation.action, Action::Send { .. }) {
            self.stream.is_at(place);
        }
        self.answer(Ok(Accepted::Unconfirmed { place, answer, replicas }));
    }

    /// It is not taken. What has waited may be in a log all the same.
    fn refuse(self, error: Error) {
        let error = match self.waited && error.code != ErrorCode::OutcomeUnknown {
            true => Error::outcome_unknown(format!(
                "whether operation {} was accepted is not known: {}; repeating it with the same \
                 id is safe",
                self.operation.id, error.message
            )),
            false => error,
        };
        self.answer(Err(error));
    }
}
