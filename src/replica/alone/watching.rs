//! Finds out whether a majority is there, and says when the server is alone.
//!
//! A question to a majority is always under way or just answered: who leads, as a read asks it.
//! A heartbeat that arrives proves less, since the way back may be cut. It counts only for a
//! server that has just been started: it need not wait for the others to start.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Alone;
use super::line::Way;
use super::majority::{Finding, Heard, Majority, TICK_MS};
use crate::consensus::Consensus;
use crate::limits::LEVEL_OF_SETTLING;
use crate::replica::{Inner, Phase};
use crate::types::Timestamp;

/// How long one question to a majority may take.
const QUESTION_MAX: Duration = Duration::from_secs(1);

/// Between an answer and the next question: often enough to notice within two seconds, and so
/// rarely that servers which have nothing to do cost little.
const QUESTION_PAUSE: Duration = Duration::from_millis(3 * TICK_MS);

/// Asks again and again whether a majority is there, until the replica stops.
pub async fn ask(replica: Weak<Inner>) {
    loop {
        {
            let Some(inner) = replica.upgrade() else { return };
            let (consensus, alone) = match &*inner.phase.borrow() {
                Phase::Running(consensus) => (Some(consensus.clone()), inner.alone.clone()),
                Phase::Starting(_) => (None, inner.alone.clone()),
                Phase::Stopped => return,
            };
            drop(inner);
            if let Some(consensus) = consensus {
                let answered = consensus.ask_majority(Instant::now() + QUESTION_MAX).await.is_ok();
                let signs = &alone.0.signs;
                let count = if answered { &signs.answers } else { &signs.failures };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(QUESTION_PAUSE).await;
    }
}

/// Counts ticks, until the replica stops.
pub async fn count(replica: Weak<Inner>) {
    let mut watch = Watch::default();
    loop {
        sleep(Duration::from_millis(TICK_MS)).await;
        let Some(inner) = replica.upgrade() else { return };
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        watch.tick(&inner);
    }
}

/// What the last tick has seen.
#[derive(Default)]
struct Watch {
    majority: Majority,
    answers: u64,
    failures: u64,
    led: u64,
    answered: u64,
    settled: u64,
}

impl Watch {
    fn tick(&mut self, inner: &Inner) {
        let alone = &inner.alone;
        let signs = &alone.0.signs;
        let (waits, answered) = {
            let line = alone.line();
            (line.any_waits(), line.answered)
        };
        let answers = signs.answers.load(Ordering::Relaxed);
        let failures = signs.failures.load(Ordering::Relaxed);
        let settled = signs.settled.load(Ordering::Relaxed);
        let consensus = inner.consensus().ok();
        // What was heard before the state had all of it counts when it has.
        let led = consensus.as_ref().and_then(Consensus::led).unwrap_or(self.led);
        let heard = Heard {
            answers: (answers - self.answers) as u32,
            failed: failures != self.failures,
            led: led != self.led,
            stuck: waits && answered == self.answered && settled == self.settled,
            settled: settled != self.settled,
            unsettled: alone.can_settle(),
            unwell: consensus.is_some_and(|consensus| !consensus.is_well()),
        };
        (self.answers, self.failures, self.led) = (answers, failures, led);
        (self.answered, self.settled) = (answered, settled);
        match self.majority.tick(heard) {
            Finding::Same => {}
            Finding::Lost if may_go_alone(inner) => {
                let now = inner.host.clock.now();
                let missed_ms = u64::from(self.majority.missed_for()) * TICK_MS;
                inner.go_alone(Timestamp(now.0.saturating_sub(missed_ms)));
            }
            Finding::Lost => self.majority.stays(),
            Finding::Back => {
                alone.line().way = Way::Back;
                signs.look.notify_one();
            }
        }
        if alone.line().way != Way::Log {
            // The state may have gone on, and must not go back.
            signs.look.notify_one();
        }
        signs.majority_is_there.store(self.majority.is_there(), Ordering::Relaxed);
        if alone.unsettled_entries() > 0 && self.majority.is_there() {
            signs.hand_over.notify_one();
        }
    }
}

/// Whether what this server knows is enough to take messages by itself.
fn may_go_alone(inner: &Inner) -> bool {
    let Phase::Running(consensus) = &*inner.phase.borrow() else { return false };
    let allowed = inner.config.survivor.goes_alone() && inner.host_replica.is_none();
    let ready =
        inner.machine.look(|look| look.level() >= LEVEL_OF_SETTLING && look.usable().is_ok());
    allowed && ready && consensus.has_confirmed_state() && inner.alone.outbox().is_some()
}

impl Inner {
    /// From now on this server takes messages by itself.
    fn go_alone(&self, since: Timestamp) {
        let alone = &self.alone;
        {
            let mut line = alone.line();
            let was_alone = line.way != Way::Log;
            line.go_alone();
            if was_alone {
                return;
            }
            *alone.0.missing_since.lock() = since;
        }
        let why = self.consensus().map(|consensus| consensus.absence().sentence);
        let why = why.unwrap_or_else(|error| error.message);
        tracing::warn!(
            %since,
            why,
            "this server is alone: it takes messages, which a majority confirms when it is back"
        );
        alone.0.signs.look.notify_one();
    }
}

impl Alone {
    /// Whether there is anything that the log has to take, and can.
    fn can_settle(&self) -> bool {
        self.outbox()
            .is_some_and(|outbox| outbox.size().unsettled > 0 && outbox.unusable().is_empty())
    }

    pub(super) fn unsettled_entries(&self) -> u64 {
        self.outbox().map_or(0, |outbox| outbox.size().unsettled)
    }
}
