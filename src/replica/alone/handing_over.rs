//! What was accepted alone goes into the log, once a majority is there.
//!
//! One list after the other, in order, a part at a time. An entry that is proposed twice, or
//! by a process that dies in between, is taken once: the log counts ([`crate::chat`]). An entry
//! is done when the *own* state says so, and leaves the disk when that state cannot go back
//! any more.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::opening::read_entry;
use crate::chat::{Act, Outcome, Taken};
use crate::consensus::{Consensus, Sequence};
use crate::error::{Error, Result};
use crate::replica::{Inner, Phase};
use crate::storage::{ListedEntry, Outbox};
use crate::types::{Place, Timestamp, Uuid};

/// About how many bytes of entries are proposed at once: enough to use a sync of the disk well,
/// and so few that others hardly wait.
const PART_BYTES: usize = 64 * 1024;

/// How long a part may take on its way through the log.
const PART_MAX: Duration = Duration::from_secs(5);

/// Between two attempts, when nothing else has changed.
const RETRY: Duration = Duration::from_millis(200);

/// Hands over until the replica stops.
pub async fn run(replica: Weak<Inner>) {
    loop {
        let Some(inner) = replica.upgrade() else { return };
        let alone = inner.alone.clone();
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        match inner.hand_over_all().await {
            Ok(()) => {
                drop(inner);
                alone.0.signs.hand_over.notified().await;
            }
            Err(error) => {
                tracing::debug!(%error, "what was accepted alone is not handed over yet");
                drop(inner);
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
        alone.0.signs.held.notified().await;
        while !alone.line().held.is_empty() {
            let Some(inner) = replica.upgrade() else { return };
            if matches!(*inner.phase.borrow(), Phase::Stopped) {
                return;
            }
            applied.mark_unchanged();
            alone.release(&inner);
            drop(inner);
            // Also who stopped waiting goes by and by.
            let _ = timeout(RETRY, applied.changed()).await;
        }
    }
}

/// What was handed over of a list.
#[derive(Default)]
struct Account {
    messages: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Account {
    fn note(&mut self, taken: &Taken) {
        if matches!(taken.act, Act::Send { .. }) {
            self.messages += 1;
        }
        self.first.get_or_insert(taken.accepted_at);
        self.last = Some(taken.accepted_at);
    }
}

impl Inner {
    /// Hands over what the outbox holds, as far as a majority is there.
    async fn hand_over_all(&self) -> Result<()> {
        let Some(outbox) = self.alone.outbox() else { return Ok(()) };
        for list in outbox.lists() {
            if !self.alone.0.signs.majority_is_there.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.hand_over(&outbox, list.list).await?;
        }
        Ok(())
    }

    async fn hand_over(&self, outbox: &Outbox, list: Uuid) -> Result<()> {
        let consensus = self.consensus()?;
        let settled = self.note_settled(list);
        let mut entries = outbox.entries(list, settled + 1);
        let (mut account, mut through) = (Account::default(), settled);
        loop {
            let part = entries.next(PART_BYTES).await?;
            let Some(last) = part.last().map(|entry| entry.n) else { break };
            self.propose_part(&consensus, list, part, &mut account).await?;
            through = last;
            self.note_settled(list);
        }
        self.wait_settled(list, through).await?;
        consensus.sync_applied().await?;
        outbox.settle(list, through).await?;
        if let (Some(from), Some(to)) = (account.first, account.last) {
            let messages = account.messages;
            tracing::info!(messages, %from, %to, "what was accepted alone is confirmed");
        }
        Ok(())
    }

    async fn propose_part(
        &self,
        consensus: &Consensus,
        list: Uuid,
        part: Vec<ListedEntry>,
        account: &mut Account,
    ) -> Result<()> {
        let (sequence, deadline) = (Sequence::default(), Instant::now() + PART_MAX);
        let mut waiting = Vec::with_capacity(part.len());
        for ListedEntry { n, entry } in part {
            let taken = read_entry(list, n, &entry)?;
            account.note(&taken);
            let operation = taken.delivery(Place { list, number: n });
            waiting.push(consensus.propose(operation, deadline, &sequence));
        }
        for applied in join_all(waiting).await {
            match applied?.outcome {
                Outcome::Settled { .. } => {
                    self.alone.0.signs.settled.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Refused(body) => return Err(body.into()),
                other => return Err(Error::internal(format!("an entry was answered {other:?}"))),
            }
        }
        Ok(())
    }

    /// Drops from what is shown apart what the state has by now. Returns up to where that is.
    fn note_settled(&self, list: Uuid) -> u64 {
        let settled = self.machine.look(|look| look.settled(&list));
        self.machine.change_overlay(|overlay| overlay.settled(&list, settled));
        settled
    }

    /// Waits until the own state has settled the list up to there.
    async fn wait_settled(&self, list: Uuid, through: u64) -> Result<()> {
        let mut applied = self.machine.watch_applied();
        let settled = async {
            while self.note_settled(list) < through {
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
