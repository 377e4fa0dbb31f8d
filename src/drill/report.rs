//! What a drill did and what came of it, as scripts get it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::record::{Record, Verdict};
use super::{Fault, Options};
use crate::types::ReplicaId;

/// One fault, done with.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Of which round, from 1.
    pub round: u32,
    /// What was done.
    pub fault: Fault,
    /// To which servers, in order.
    pub servers: Vec<ReplicaId>,
    /// The longest time without an acknowledgement, from the fault until all
    /// servers were back. With hosts: of each sender by itself that could reach a server.
    pub pause_ms: f64,
    /// How many messages were acknowledged meanwhile.
    pub acknowledged: u64,
    /// Of those, what became of messages that a server took alone; only of a drill with hosts.
    #[serde(flatten)]
    pub alone: Option<Unconfirmed>,
    /// From the moment when the network was whole and all servers were started until no server
    /// held anything unconfirmed any more; only of a drill with hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_ms: Option<f64>,
}

/// What became of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing was lost, doubled, out of order or failed.
    pub ok: bool,
    /// The seed, to repeat it.
    pub seed: u64,
    /// How many rounds.
    pub rounds: u32,
    /// By fault, in the order of [`Fault`].
    pub faults: Vec<Row>,
    /// The sums over all of them.
    pub total: Counts,
    /// What failed, in words; the first few.
    pub failures: Vec<String>,
    /// Where the cluster's data was left to be looked at, when something is wrong.
    pub dir: Option<PathBuf>,
}

/// One fault over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub fault: Fault,
    /// How often it was done.
    pub times: u64,
    /// Median of the pauses.
    pub pause_median_ms: f64,
    /// The longest pause.
    pub pause_worst_ms: f64,
    /// The longest of [`Step::settled_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_worst_ms: Option<f64>,
    /// What came of its messages.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What came of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Acknowledged to their senders.
    pub acknowledged: u64,
    /// Of those: missing or altered.
    pub lost: u64,
    /// Of those: there more than once.
    pub doubled: u64,
    /// Of those: before one that was acknowledged earlier.
    pub out_of_order: u64,
    /// Sends and commands that failed.
    pub failed: u64,
    /// What became of messages that a server took alone; only of a drill with hosts.
    #[serde(flatten)]
    pub alone: Option<Unconfirmed>,
}

/// What became of messages that were acknowledged without a majority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unconfirmed {
    /// How many there were.
    pub unconfirmed: u64,
    /// Of those: shown as confirmed to somebody who follows, by the end of the step.
    pub confirmed: u64,
    /// Of those: still unconfirmed when their server had been with a majority again for longer
    /// than it may take, which is a second for each 10,000 of them, begun ones counted whole.
    pub late: u64,
}

impl Unconfirmed {
    fn add(&mut self, other: Unconfirmed) {
        self.unconfirmed += other.unconfirmed;
        self.confirmed += other.confirmed;
        self.late += other.late;
    }
}

/// Puts together what was done and what came of it.
pub(super) fn report(
    options: &Options,
    steps: &[Step],
    record: &Record,
    verdict: &Verdict,
) -> Report {
    let acknowledged = record.counts();
    let failures = record.failures();
    let count = |set: &BTreeSet<(usize, _)>, step: usize| {
        set.iter().filter(|(at, _)| *at == step).count() as u64
    };
    let counts = |step: usize| Counts {
        alone: steps[step].alone,
        acknowledged: acknowledged.get(&step).copied().unwrap_or(0),
        lost: count(&verdict.lost, step),
        doubled: count(&verdict.doubled, step),
        out_of_order: count(&verdict.out_of_order, step),
        failed: failures.iter().filter(|(at, _)| *at == step).count() as u64,
    };
    let (mut faults, mut total) = (Vec::new(), Counts::default());
    let done: BTreeSet<Fault> = steps.iter().map(|step| step.fault).collect();
    for fault in done {
        let (mut pauses, mut settled) = (Vec::new(), None);
        let mut sum = Counts::default();
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| step.fault == fault) {
            pauses.push(step.pause_ms);
            settled = step.settled_ms.map(|ms| ms.max(settled.unwrap_or(0.0))).or(settled);
            sum.add(counts(number));
        }
        pauses.sort_by(f64::total_cmp);
        if let Some(worst) = pauses.last() {
            total.add(sum);
            faults.push(Row {
                fault,
                times: pauses.len() as u64,
                pause_median_ms: pauses[(pauses.len() - 1) / 2],
                pause_worst_ms: *worst,
                settled_worst_ms: settled,
                counts: sum,
            });
        }
    }
    Report {
        ok: total.is_as_promised(),
        seed: options.seed,
        rounds: options.rounds,
        faults,
        total,
        failures: failures.into_iter().map(|(_, what)| what).take(10).collect(),
        dir: None,
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.failed += other.failed;
        if let Some(alone) = other.alone {
            self.alone.get_or_insert_default().add(alone);
        }
    }

    /// How long something took is shown and decides nothing: a machine may be slow.
    fn is_as_promised(&self) -> bool {
        let Counts { lost, doubled, out_of_order, failed, alone, acknowledged: _ } = *self;
        let all_settled = alone.is_none_or(|it| it.unconfirmed == it.confirmed);
        lost + doubled + out_of_order + failed == 0 && all_settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(fault: Fault, alone: Option<Unconfirmed>) -> Step {
        let settled_ms = alone.map(|it| it.unconfirmed as f64);
        let servers = vec![ReplicaId(1)];
        Step { round: 1, fault, servers, pause_ms: 7.0, acknowledged: 0, alone, settled_ms }
    }

    fn report_of(steps: &[Step]) -> Report {
        let options = Options { rounds: 1, seed: 5, faults: Fault::HOSTS.to_vec() };
        report(&options, steps, &Record::default(), &Verdict::default())
    }

    #[test]
    fn what_was_taken_alone_is_summed_up_and_is_as_promised_when_all_is_confirmed() {
        let alone = |unconfirmed, late| Unconfirmed { unconfirmed, confirmed: 3, late };
        let steps = [
            step(Fault::PartitionAll, Some(alone(3, 1))),
            step(Fault::FreezeTwo, Some(alone(3, 0))),
            step(Fault::PartitionAll, Some(alone(3, 0))),
        ];
        let good = report_of(&steps);
        assert_eq!(good.faults.iter().map(|it| it.times).collect::<Vec<_>>(), [1, 2]);
        let sum = Unconfirmed { unconfirmed: 9, confirmed: 9, late: 1 };
        assert_eq!((good.total.alone, good.ok), (Some(sum), true), "what is late is only slow");
        let bad = report_of(&[step(Fault::PartitionAll, Some(alone(4, 0)))]);
        assert!(!bad.ok, "one was never confirmed");
        assert_eq!(bad.faults[0].settled_worst_ms, Some(4.0));
    }

    #[test]
    fn a_drill_on_one_machine_prints_the_fields_that_it_always_had() {
        let text = serde_json::to_value(report_of(&[step(Fault::KillLeader, None)])).expect("JSON");
        let names = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        let counts = ["acknowledged", "doubled", "failed", "lost", "out_of_order"];
        assert_eq!(names(&text["total"]), counts);
        let mut row: Vec<&str> = counts.to_vec();
        row.extend(["fault", "pause_median_ms", "pause_worst_ms", "times"]);
        row.sort_unstable();
        let mut found = names(&text["faults"][0]);
        found.sort_unstable();
        assert_eq!(found, row);
    }
}
