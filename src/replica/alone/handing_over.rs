//! What was accepted alone goes into the log, once a majority is there.
//!
//! One list after the other, in order, a part at a time. An entry that is proposed twice, or
//! by a process that dies in between, is taken once: the log counts ([`crate::chat`]). An entry
//! is done when the *own* state says so, and leaves the disk when that state cannot go back
//! any more.
//!
//! An adopted directory brings its outbox along. The replica that has adopted it, its *host*,
//! hands over what is in it. Nothing leaves that disk: the owner has a state of its own, and
//! removes the file when that has all of it.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::line::Way;
use super::opening::read_entry;
use crate::chat::{Act, Outcome, Taken};
use crate::consensus::{Consensus, Sequence};
use crate::error::{Error, ErrorCode, Result};
use crate::planted::{self, Bug};
use crate::replica::{Inner, Phase};
use crate::storage::{ListedEntry, Outbox, OutboxReader};
use crate::types::{Place, Timestamp, Uuid};

/// About how many bytes of entries are proposed at once: enough to use a sync of the disk well,
/// and so few that others hardly wait.
const PART_BYTES: usize = 64 * 1024;

/// How long a part may take on its way through the log.
const PART_MAX: Duration = Duration::from_secs(5);

/// Between two looks at who may go on.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two attempts, when nothing else has changed.
const RETRY: Duration = Duration::from_millis(200);

/// Dropped from what is shown apart under one lock.
const DROPPED_AT_ONCE: u64 = 4_096;

/// Hands over until the replica stops.
pub async fn run(replica: Weak<Inner>) {
    let mut lists = BTreeMap::new();
    loop {
        let Some(inner) = replica.upgrade() else { return };
        let alone = inner.alone.clone();
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        let handed_over = inner.hand_over_all(&mut lists).await;
        drop(inner);
        match handed_over {
            // Whoever sees that there is something says so; and now and then a replica may
            // have stopped.
            Ok(()) => drop(timeout(PART_MAX, alone.0.signs.hand_over.notified()).await),
            Err(error) => {
                tracing::debug!(%error, "what was accepted alone is not handed over yet");
                sleep(RETRY).await;
            }
        }
    }
}

/// Lets go on what was held back, whenever the state has changed, until the replica stops.
pub async fn release(replica: Weak<Inner>) {
    let (mut applied, alone) = match replica.upgrade() {
        Some(inner) => (inner.machine.watch_applied(), inner.alone.clone()),
        None => return,
    };
    loop {
        drop(timeout(PART_MAX, alone.0.signs.held.notified()).await);
        loop {
            let Some(inner) = replica.upgrade() else { return };
            if matches!(*inner.phase.borrow(), Phase::Stopped) {
                return;
            }
            applied.mark_unchanged();
            alone.release(&inner);
            drop(inner);
            if alone.line().held.is_empty() {
                break;
            }
            // Also who stopped waiting goes by and by.
            drop(timeout(RETRY, applied.changed()).await);
            // Under load the state changes a thousand times a second.
            sleep(PAUSE).await;
        }
    }
}

/// How far a list is handed over.
struct HandedOver {
    /// What the log has said is settled, which the own state may not have yet.
    through: u64,
    entries: OutboxReader,
    messages: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl HandedOver {
    fn note(&mut self, taken: &Taken) {
        if matches!(taken.act, Act::Send { .. }) {
            self.messages += 1;
        }
        self.first.get_or_insert(taken.accepted_at);
        self.last = Some(taken.accepted_at);
    }
}

impl Inner {
    /// The replica that speaks for what the outbox holds, and has the state that tells what is
    /// settled of it.
    pub(super) fn speaker(&self) -> &Inner {
        self.host_replica.as_ref().map_or(self, |host| &host.0)
    }

    /// Hands over what the outbox holds, as far as a majority is there.
    async fn hand_over_all(&self, lists: &mut BTreeMap<Uuid, HandedOver>) -> Result<()> {
        let Some(outbox) = self.alone.outbox() else { return Ok(()) };
        let held = outbox.lists();
        lists.retain(|list, _| held.iter().any(|held| held.list == *list));
        for list in held {
            if !self.speaker().alone.0.signs.majority_is_there.load(Ordering::Relaxed) {
                return match self.host_replica {
                    None => Ok(()),
                    // Nobody says when there is one.
                    Some(_) => Err(Error::unavailable("no majority is there")),
                };
            }
            match self.hand_over(&outbox, list.list, lists).await {
                // It was given up, and stays so: `status` says it. Any other failure may pass, and
                // what comes later must not pass that list.
                Err(error) if error.code == ErrorCode::Io && !outbox.unusable().is_empty() => {
                    tracing::debug!(list = %list.list, %error, "a list cannot be handed over");
                }
                result => result?,
            }
        }
        let line = self.alone.line();
        if line.way == Way::Log && outbox.size().unsettled == 0 {
            self.alone.0.signs.holds.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn hand_over(
        &self,
        outbox: &Outbox,
        list: Uuid,
        lists: &mut BTreeMap<Uuid, HandedOver>,
    ) -> Result<()> {
        let speaker = self.speaker();
        let consensus = speaker.consensus()?;
        let settled = speaker.note_settled(list).await;
        let mut handed = lists.remove(&list).unwrap_or_else(|| HandedOver {
            through: settled,
            entries: outbox.entries(list, settled + 1),
            messages: 0,
            first: None,
            last: None,
        });
        loop {
            // After a failure a new reader begins anew.
            let part = handed.entries.next(PART_BYTES).await?;
            let Some(last) = part.last().map(|entry| entry.n) else { break };
            if let Err(error) = self.propose_part(&consensus, list, part, &mut handed).await {
                handed.entries = outbox.entries(list, handed.through + 1);
                lists.insert(list, handed);
                return Err(error);
            }
            handed.through = last;
            if planted::is(Bug::ForgetWhatTheLeaderHas) {
                speaker.machine.change_overlay(|overlay| overlay.settled(&list, last));
            }
            speaker.note_settled(list).await;
        }
        let through = handed.through;
        let (messages, times) = (handed.messages, handed.first.zip(handed.last));
        lists.insert(list, handed);
        speaker.wait_settled(list, through).await?;
        if self.host_replica.is_none() {
            consensus.sync_applied().await?;
            outbox.settle(list, through).await?;
        }
        if let Some((from, to)) = times {
            tracing::info!(messages, %from, %to, "what was accepted alone is confirmed");
        }
        if let Some(handed) = lists.get_mut(&list) {
            (handed.messages, handed.first, handed.last) = (0, None, None);
        }
        Ok(())
    }

    async fn propose_part(
        &self,
        consensus: &Consensus,
        list: Uuid,
        part: Vec<ListedEntry>,
        handed: &mut HandedOver,
    ) -> Result<()> {
        let (sequence, deadline) = (Sequence::default(), Instant::now() + PART_MAX);
        let (mut waiting, mut unreadable) = (Vec::with_capacity(part.len()), None);
        for ListedEntry { n, entry } in part {
            match read_entry(list, n, &entry) {
                Ok(taken) => {
                    handed.note(&taken);
                    let operation = taken.delivery(Place { list, number: n });
                    waiting.push(consensus.propose(operation, deadline, &sequence));
                }
                // What stands before it goes.
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        for applied in join_all(waiting).await {
            match applied?.outcome {
                Outcome::Settled { settled } => {
                    handed.through = handed.through.max(settled);
                    self.alone.0.signs.settled.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Refused(body) => return Err(body.into()),
                other => return Err(Error::internal(format!("an entry was answered {other:?}"))),
            }
        }
        unreadable.map_or(Ok(()), Err)
    }

    /// Drops from what is shown apart a part of what the state has of a list.
    pub(super) fn drop_settled(&self, list: Uuid) {
        let settled = self.machine.look(|look| look.settled(&list));
        if settled > 0 {
            self.machine.change_overlay(|overlay| {
                let first = overlay.first_of(&list).unwrap_or(settled);
                overlay.settled(&list, settled.min(first + DROPPED_AT_ONCE));
            });
        }
    }

    /// Drops from what is shown apart what the state has by now. Returns up to where that is.
    async fn note_settled(&self, list: Uuid) -> u64 {
        let settled = self.machine.look(|look| look.settled(&list));
        let mut dropped = self.machine.change_overlay(|overlay| overlay.first_of(&list));
        while let Some(first) = dropped.filter(|first| *first <= settled) {
            let through = settled.min(first + DROPPED_AT_ONCE);
            dropped = self.machine.change_overlay(|overlay| {
                overlay.settled(&list, through);
                overlay.first_of(&list)
            });
            yield_now().await;
        }
        settled
    }

    /// Waits until the own state has settled the list up to there.
    async fn wait_settled(&self, list: Uuid, through: u64) -> Result<()> {
        let mut applied = self.machine.watch_applied();
        let settled = async {
            while self.note_settled(list).await < through {
                // The machine lives as long as this.
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(PART_MAX, settled).await.map_err(|_| {
            Error::unavailable("this replica's state does not have yet what the log has taken")
        })
    }
}
