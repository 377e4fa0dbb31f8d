//! What was acknowledged to the drill's senders, and what came of it.
//!
//! The record is independent of everything that is being tried. It holds what senders
//! were told, and compares that with what followers saw as it came and with what every
//! server shows in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;

use tokio::time::Instant;

use crate::sync::Mutex;
use crate::types::Uuid;

/// One acknowledged message.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Its id.
    pub id: Uuid,
    /// Who sent it, as a number.
    pub sender: usize,
    /// To whom.
    pub recipient: usize,
    /// What it says.
    pub text: String,
    /// Whether its sender waited for the one before.
    pub in_order: bool,
    /// When the sender heard of it.
    pub at: Instant,
    /// Which step of the drill was under way.
    pub step: usize,
}

/// A message as somebody was shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// What it says.
    pub text: String,
    /// Its place in the cluster's order.
    pub seq: Option<u64>,
}

/// What happened so far. Shared by all who send.
#[derive(Default)]
pub struct Record(Mutex<State>);

#[derive(Default)]
struct State {
    step: usize,
    acknowledged: Vec<Acknowledged>,
    /// By step: sends and commands that failed although they should not, in words.
    failed: Vec<(usize, String)>,
}

impl Record {
    /// From now on everything belongs to this step.
    pub fn begin_step(&self, step: usize) {
        self.state().step = step;
    }

    /// A message was acknowledged.
    pub fn acknowledge(
        &self,
        id: Uuid,
        (sender, recipient): (usize, usize),
        text: String,
        in_order: bool,
    ) {
        let mut state = self.state();
        let (at, step) = (Instant::now(), state.step);
        state.acknowledged.push(Acknowledged { id, sender, recipient, text, in_order, at, step });
    }

    /// Something failed that should not have.
    pub fn fail(&self, what: String) {
        let mut state = self.state();
        let step = state.step;
        state.failed.push((step, what));
    }

    /// How many were acknowledged.
    pub fn count(&self) -> u64 {
        self.state().acknowledged.len() as u64
    }

    /// Senders of the messages acknowledged after an instant, without those of
    /// one-shot commands.
    pub fn senders_since(&self, since: Instant) -> BTreeSet<usize> {
        let state = self.state();
        let recent = state.acknowledged.iter().rev().take_while(|it| it.at > since);
        recent.filter(|it| it.in_order).map(|it| it.sender).collect()
    }

    /// The longest time between two acknowledgements from an instant on, in
    /// milliseconds; the last one before it counts as the first.
    pub fn longest_pause_ms(&self, since: Instant) -> f64 {
        let state = self.state();
        let all = &state.acknowledged;
        let first = all.partition_point(|it| it.at <= since).saturating_sub(1);
        let pauses = all[first..].windows(2).map(|pair| pair[1].at - pair[0].at);
        pauses.max().unwrap_or_default().as_secs_f64() * 1_000.0
    }

    /// How many each step acknowledged.
    pub fn counts(&self) -> BTreeMap<usize, u64> {
        let mut counts = BTreeMap::new();
        for it in &self.state().acknowledged {
            *counts.entry(it.step).or_default() += 1;
        }
        counts
    }

    /// What failed, by step.
    pub fn failures(&self) -> Vec<(usize, String)> {
        self.state().failed.clone()
    }

    /// Ids that a recipient must have.
    pub fn expected(&self, recipient: usize) -> BTreeSet<Uuid> {
        let state = self.state();
        let theirs = state.acknowledged.iter().filter(|it| it.recipient == recipient);
        theirs.map(|it| it.id).collect()
    }

    /// Compares what one place showed of a recipient's messages, in the order in
    /// which it showed them, with what was acknowledged.
    pub fn compare(&self, recipient: usize, seen: &[Seen], verdict: &mut Verdict) {
        let state = self.state();
        let mut places: BTreeMap<Uuid, Vec<(usize, &Seen)>> = BTreeMap::new();
        for (place, message) in seen.iter().enumerate() {
            places.entry(message.id).or_default().push((place, message));
        }
        // The last place at which each sender's messages stood.
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for it in state.acknowledged.iter().filter(|it| it.recipient == recipient) {
            let shown = places.get(&it.id).map(Vec::as_slice).unwrap_or_default();
            let Some((place, message)) = shown.first() else {
                verdict.lost.insert((it.step, it.id));
                continue;
            };
            if message.text != it.text {
                verdict.lost.insert((it.step, it.id));
            }
            if it.in_order && last.insert(it.sender, *place).is_some_and(|before| before > *place) {
                verdict.out_of_order.insert((it.step, it.id));
            }
        }
        let steps: BTreeMap<Uuid, usize> =
            state.acknowledged.iter().map(|it| (it.id, it.step)).collect();
        let step_of = |id: &Uuid| steps.get(id).copied().unwrap_or(state.step);
        for (id, shown) in &places {
            if shown.len() > 1 {
                verdict.doubled.insert((step_of(id), *id));
            }
        }
        for pair in seen.windows(2) {
            if pair[1].seq <= pair[0].seq && pair[1].id != pair[0].id {
                verdict.out_of_order.insert((step_of(&pair[1].id), pair[1].id));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// Messages that are not as they should be, with the step of their
/// acknowledgement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged, and missing or altered somewhere.
    pub lost: BTreeSet<(usize, Uuid)>,
    /// Shown more than once somewhere.
    pub doubled: BTreeSet<(usize, Uuid)>,
    /// Shown before one that was acknowledged earlier by the same sender, or
    /// against the cluster's own order.
    pub out_of_order: BTreeSet<(usize, Uuid)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn seen(n: u128) -> Seen {
        Seen { id: id(n), text: format!("text {n}"), seq: Some(n as u64) }
    }

    fn record(count: u128) -> Record {
        let record = Record::default();
        for n in 1..=count {
            record.begin_step(n as usize);
            record.acknowledge(id(n), (0, 1), format!("text {n}"), true);
        }
        record
    }

    fn verdict(seen: &[Seen]) -> Verdict {
        let mut verdict = Verdict::default();
        record(3).compare(1, seen, &mut verdict);
        verdict
    }

    #[test]
    fn all_there_once_and_in_order_is_all_right() {
        assert_eq!(verdict(&[seen(1), seen(2), seen(3)]), Verdict::default());
        // A message whose outcome is not known may be there or not.
        assert_eq!(verdict(&[seen(1), seen(2), seen(3), seen(9)]), Verdict::default());
    }

    #[test]
    fn what_is_missing_or_altered_is_lost() {
        let lost = verdict(&[seen(1), seen(3)]).lost;
        assert_eq!(lost, BTreeSet::from([(2, id(2))]));
        let altered = Seen { text: "other".into(), ..seen(2) };
        assert_eq!(verdict(&[seen(1), altered, seen(3)]).lost, lost);
    }

    #[test]
    fn what_is_there_twice_is_doubled() {
        let again = Seen { seq: Some(4), ..seen(2) };
        let found = verdict(&[seen(1), seen(2), seen(3), again]);
        assert_eq!(found.doubled, BTreeSet::from([(2, id(2))]));
        assert!(found.lost.is_empty());
    }

    #[test]
    fn an_order_other_than_the_senders_or_the_clusters_is_noticed() {
        let swapped = [seen(1), Seen { seq: Some(2), ..seen(3) }, Seen { seq: Some(3), ..seen(2) }];
        assert_eq!(verdict(&swapped).out_of_order, BTreeSet::from([(3, id(3))]));
        let against = [seen(1), Seen { seq: Some(9), ..seen(2) }, seen(3)];
        assert_eq!(verdict(&against).out_of_order, BTreeSet::from([(3, id(3))]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_begins_with_the_last_word_before_it() {
        let record = record(1);
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
        let since = Instant::now();
        tokio::time::advance(std::time::Duration::from_millis(30)).await;
        record.acknowledge(id(2), (0, 1), "later".into(), true);
        assert!((record.longest_pause_ms(since) - 40.0).abs() < 1.0);
        assert_eq!(record.senders_since(since), BTreeSet::from([0]));
    }
}
