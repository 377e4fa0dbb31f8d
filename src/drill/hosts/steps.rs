//! One fault after the other: doing it, healing, and waiting until all is confirmed.

use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::machine::Machine;
use super::plan::{MACHINES, Plan};
use super::settling::Settling;
use super::{Drill, Machines};
use crate::drill::{Dice, Fault, Faults, STEP_MAX, Step, Unconfirmed, wait_for};
use crate::error::{Error, Result};
use crate::limits::FEATURE_LEVEL_KNOWN;
use crate::protocol::client::{ReplicaState, ReplicaStatus, ServerStatus};

/// How long a fault lasts once everybody can send who is promised that: whoever is cut off
/// also sends when nothing changes any more.
const LASTS: Duration = Duration::from_millis(500);

/// How long servers may take to load their data, if they go on telling their logs of it. A
/// build that is not optimized takes half a minute for a log of 50,000 entries.
const LOADING_MAX: Duration = Duration::from_secs(180);

/// Between two looks at servers.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

impl Faults for Drill<'_> {
    fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    async fn step(&mut self, number: usize, round: u32, fault: Fault) -> Result<Step> {
        let plan = Plan::of(fault, &mut self.dice)?;
        let (before, began) = (self.shared.record.count(), Instant::now());
        self.machines.break_down(&plan).await?;
        let sent = self.wait_for_senders(Instant::now(), &plan).await;
        if sent.is_ok() {
            sleep(LASTS).await;
        }
        self.machines.heal(&plan).await?;
        sent?;
        let healed = Instant::now();
        let late = self.machines.settle().await?;
        let settled_ms = healed.elapsed().as_secs_f64() * 1_000.0;
        self.wait_for_senders(Instant::now(), &Plan::default()).await?;
        self.wait_for_readers(number).await;
        let record = &self.shared.record;
        let (unconfirmed, confirmed) = record.unconfirmed(number);
        let senders = (0..MACHINES).filter(|machine| plan.can_send(*machine));
        let pauses = senders.map(|sender| record.longest_pause_of_ms(sender, began));
        Ok(Step {
            round,
            fault,
            servers: plan.victims.iter().map(|victim| self.machines.all[*victim].id).collect(),
            pause_ms: pauses.fold(0.0, f64::max),
            acknowledged: record.count() - before,
            alone: Some(Unconfirmed { unconfirmed, confirmed, late }),
            settled_ms: Some(settled_ms),
        })
    }
}

impl Drill<'_> {
    /// Everybody who can send has had a line acknowledged that was written after an instant.
    pub(super) async fn wait_for_senders(&mut self, since: Instant, plan: &Plan) -> Result<()> {
        let promised: Vec<usize> =
            (0..MACHINES).filter(|machine| plan.can_send(*machine)).collect();
        let waited = wait_for("not everybody can send who reaches a server", || async {
            let senders = self.shared.record.senders_begun_since(since);
            promised.iter().all(|sender| senders.contains(sender))
        });
        waited.await.map_err(|error| {
            let senders = self.shared.record.senders_begun_since(since);
            let silent = promised.iter().filter(|sender| !senders.contains(sender));
            let silent: Vec<String> =
                silent.map(|machine| self.machines.all[*machine].id.to_string()).collect();
            let what = format!("{} (of machine {})", error.message, silent.join(" and "));
            Error { message: self.machines.with_ended(what), ..error }
        })
    }

    /// Waits until somebody has been shown as confirmed what this step's senders were told is
    /// not. What has not been shown by then is counted so.
    async fn wait_for_readers(&self, step: usize) {
        let waited = wait_for("not everything is shown", || async {
            let (unconfirmed, confirmed) = self.shared.record.unconfirmed(step);
            unconfirmed == confirmed
        });
        drop(waited.await);
    }
}

impl Machines {
    /// Does what a fault does. The cables come first: a machine without power says nothing of
    /// its end.
    async fn break_down(&mut self, plan: &Plan) -> Result<()> {
        self.router.cut(&plan.cut)?;
        for machine in &plan.killed {
            self.all[*machine].kill().await?;
        }
        for machine in &plan.frozen {
            self.all[*machine].signal(Signal::STOP)?;
        }
        Ok(())
    }

    /// Undoes it.
    async fn heal(&mut self, plan: &Plan) -> Result<()> {
        for machine in &plan.frozen {
            self.all[*machine].signal(Signal::CONT)?;
        }
        self.router.cut(&Plan::default().cut)?;
        for machine in &plan.killed {
            self.all[*machine].boot(&self.host)?;
            self.all[*machine].start(&self.family, &self.program)?;
        }
        Ok(())
    }

    /// Waits until all servers are as they should be and hold nothing unconfirmed. How much
    /// came later than it should.
    pub(super) async fn settle(&mut self) -> Result<u64> {
        let mut settling: [Settling; MACHINES] = Default::default();
        let (begun, mut progressed_at) = (Instant::now(), Instant::now());
        let mut logged = 0;
        loop {
            let looks = join_all(self.all.iter().map(|machine| machine.status())).await;
            let now = Instant::now();
            for (number, look) in looks.iter().enumerate() {
                if let Some(own) = self.own(number, look.as_ref()) {
                    settling[number].note(now, own.alone_since.is_some(), own.outbox);
                }
            }
            // Who is not at the newest level may not go alone.
            let level = Some(FEATURE_LEVEL_KNOWN);
            let is_whole = |number| {
                let own = self.own(number, looks[number].as_ref());
                own.is_some_and(is_in_step)
                    && looks[number].as_ref().is_some_and(|look| look.feature_level == level)
            };
            let leads = |look: &Option<ServerStatus>| look.as_ref().is_some_and(|it| it.writable);
            if (0..MACHINES).all(is_whole) && looks.iter().any(leads) {
                return Ok(settling.iter().map(Settling::late).sum());
            }
            let logged_now = self.all.iter().map(Machine::logged_bytes).sum();
            if std::mem::replace(&mut logged, logged_now) != logged_now {
                progressed_at = now;
            }
            if now > (progressed_at + STEP_MAX).min(begun + LOADING_MAX) {
                return Err(self.not_whole(&looks, now - begun));
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Why a cluster that was healed so long ago is not as it should be.
    fn not_whole(&mut self, looks: &[Option<ServerStatus>], healed: Duration) -> Error {
        let state = |number: usize| match self.own(number, looks[number].as_ref()) {
            None => format!("{} does not answer", self.all[number].id),
            Some(own) => {
                let alone = if own.alone_since.is_some() { " and alone" } else { "" };
                format!("{} is {}{alone}, with {} unconfirmed", own.id, own.state, own.outbox)
            }
        };
        let states: Vec<String> = (0..MACHINES).map(state).collect();
        let what = format!(
            "the drill has failed: {} seconds after it was healed the cluster is not whole: {}",
            healed.as_secs(),
            states.join("; ")
        );
        Error::unavailable(self.with_ended(what))
    }

    /// What a machine's server says of its own replica.
    fn own<'a>(&self, number: usize, look: Option<&'a ServerStatus>) -> Option<&'a ReplicaStatus> {
        look?.hosted.iter().find(|replica| replica.id == self.all[number].id)
    }

    /// A sentence, and which servers have ended by themselves.
    fn with_ended(&mut self, what: String) -> String {
        let ended = self.all.iter_mut().filter_map(|machine| machine.ended());
        [what].into_iter().chain(ended).collect::<Vec<_>>().join("; ")
    }
}

/// Whether a replica votes, follows or leads, and holds nothing that is not confirmed.
fn is_in_step(own: &ReplicaStatus) -> bool {
    matches!(own.state, ReplicaState::Leader | ReplicaState::Follower)
        && own.votes
        && own.alone_since.is_none()
        && own.outbox == 0
        && own.error.is_none()
}
