//! What was acknowledged to the drill's senders, and what came of it.
//!
//! The record is independent of everything that is being tried. It holds what senders
//! were told, and compares that with what followers saw as it came and with what every
//! server shows in the end.
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "some of it is for machines, which only Linux can make")
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;
use crate::types::Uuid;

/// A message, and what its sender was told of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its id.
    pub id: Uuid,
    /// Who sent it, as a number.
    pub sender: usize,
    /// To whom.
    pub recipients: Vec<usize>,
    /// What it says.
    pub text: String,
    /// In which of its sender's streams it follows the one before; `None`: in none.
    pub stream: Option<u32>,
    /// When it was handed to the client.
    pub asked_at: Instant,
    /// Whether a majority had it.
    pub confirmed: bool,
}

/// One acknowledged message.
#[derive(Clone, Debug)]
struct Acknowledged {
    told: Told,
    /// When the sender heard of it.
    at: Instant,
    /// Which step of the drill was under way.
    step: usize,
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
    /// Messages that somebody was shown as confirmed.
    confirmed: BTreeSet<Uuid>,
    /// By step: sends and commands that failed although they should not, in words.
    failed: Vec<(usize, String)>,
}

impl Record {
    /// From now on everything belongs to this step.
    pub fn begin_step(&self, step: usize) {
        self.state().step = step;
    }

    /// A message was acknowledged.
    pub fn acknowledge(&self, told: Told) {
        let mut state = self.state();
        let (at, step) = (Instant::now(), state.step);
        state.acknowledged.push(Acknowledged { told, at, step });
    }

    /// Somebody was shown a message as a confirmed one.
    pub fn confirm(&self, id: Uuid) {
        self.state().confirmed.insert(id);
    }

    /// How many of the messages that this step acknowledged no majority had then, and how many
    /// of these are confirmed by now.
    pub fn unconfirmed(&self, step: usize) -> (u64, u64) {
        let state = self.state();
        let of_step = state.acknowledged.iter().rev().take_while(|it| it.step >= step);
        let alone = of_step.filter(|it| it.step == step && !it.told.confirmed);
        let settled = |it: &&Acknowledged| state.confirmed.contains(&it.told.id);
        let (settled, open): (Vec<_>, Vec<_>) = alone.partition(settled);
        ((settled.len() + open.len()) as u64, settled.len() as u64)
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
        self.senders(since, |_| true)
    }

    /// The same, of messages that were also handed over after it.
    pub fn senders_begun_since(&self, since: Instant) -> BTreeSet<usize> {
        self.senders(since, |told| told.asked_at > since)
    }

    fn senders(&self, since: Instant, counts: impl Fn(&Told) -> bool) -> BTreeSet<usize> {
        let state = self.state();
        let recent = state.acknowledged.iter().rev().take_while(|it| it.at > since);
        let of_streams = recent.filter(|it| it.told.stream.is_some() && counts(&it.told));
        of_streams.map(|it| it.told.sender).collect()
    }

    /// The longest time between two acknowledgements from an instant on, in
    /// milliseconds; the last one before it counts as the first.
    pub fn longest_pause_ms(&self, since: Instant) -> f64 {
        self.longest_pause(since, |_| true)
    }

    /// The same of one sender's messages.
    pub fn longest_pause_of_ms(&self, sender: usize, since: Instant) -> f64 {
        self.longest_pause(since, |told| told.sender == sender)
    }

    fn longest_pause(&self, since: Instant, counts: impl Fn(&Told) -> bool) -> f64 {
        let state = self.state();
        let mut longest = Duration::ZERO;
        let mut later = None;
        for it in state.acknowledged.iter().rev().filter(|it| counts(&it.told)) {
            longest = longest.max(later.map_or(Duration::ZERO, |later: Instant| later - it.at));
            later = Some(it.at);
            if it.at <= since {
                break;
            }
        }
        longest.as_secs_f64() * 1_000.0
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
        let all = state.acknowledged.iter().map(|it| &it.told);
        all.filter(|told| told.recipients.contains(&recipient)).map(|told| told.id).collect()
    }

    /// Compares what one place showed of a recipient's messages, in the order in
    /// which it showed them, with what was acknowledged. Order is only judged among those
    /// that were shown as confirmed; in the end (`all_confirmed`) all have to be.
    pub fn compare(
        &self,
        recipient: usize,
        seen: &[Seen],
        all_confirmed: bool,
        verdict: &mut Verdict,
    ) {
        let state = self.state();
        let mut places: BTreeMap<Uuid, Vec<(usize, &Seen)>> = BTreeMap::new();
        for (place, message) in seen.iter().enumerate() {
            places.entry(message.id).or_default().push((place, message));
        }
        // The last place at which a message of each stream stood.
        let mut last: BTreeMap<(usize, u32), usize> = BTreeMap::new();
        for Acknowledged { told, step, .. } in &state.acknowledged {
            if !told.recipients.contains(&recipient) {
                continue;
            }
            let shown = places.get(&told.id).map(Vec::as_slice).unwrap_or_default();
            let Some((place, message)) = shown.first() else {
                verdict.lost.insert((*step, told.id));
                continue;
            };
            if message.text != told.text || (all_confirmed && message.seq.is_none()) {
                verdict.lost.insert((*step, told.id));
            }
            if let (Some(stream), Some(_)) = (told.stream, message.seq) {
                let before = last.insert((told.sender, stream), *place);
                if before.is_some_and(|before| before > *place) {
                    verdict.out_of_order.insert((*step, told.id));
                }
            }
        }
        let steps: BTreeMap<Uuid, usize> =
            state.acknowledged.iter().map(|it| (it.told.id, it.step)).collect();
        let step_of = |id: &Uuid| steps.get(id).copied().unwrap_or(state.step);
        for (id, shown) in &places {
            if shown.len() > 1 {
                verdict.doubled.insert((step_of(id), *id));
            }
        }
        let confirmed: Vec<&Seen> = seen.iter().filter(|it| it.seq.is_some()).collect();
        for pair in confirmed.windows(2) {
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
    /// Shown, confirmed, before one that was acknowledged earlier in the same stream, or against
    /// the cluster's own order.
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
            record.acknowledge(told(n));
        }
        record
    }

    fn told(n: u128) -> Told {
        let (id, text, asked_at) = (id(n), format!("text {n}"), Instant::now());
        let (recipients, stream) = (vec![1], Some(0));
        Told { id, sender: 0, recipients, text, stream, asked_at, confirmed: true }
    }

    fn verdict(seen: &[Seen]) -> Verdict {
        let mut verdict = Verdict::default();
        record(3).compare(1, seen, true, &mut verdict);
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

    #[test]
    fn a_message_shown_before_it_is_confirmed_keeps_no_order_but_is_there_once() {
        let early = |n| Seen { seq: None, ..seen(n) };
        let shown = [seen(1), early(3), seen(2)];
        let mut verdict = Verdict::default();
        record(3).compare(1, &shown, false, &mut verdict);
        assert_eq!(verdict, Verdict::default());
        record(3).compare(1, &[seen(1), early(3), seen(2), seen(3)], false, &mut verdict);
        assert_eq!(verdict.doubled, BTreeSet::from([(3, id(3))]));
        // In the end everything has to be confirmed.
        record(3).compare(1, &shown, true, &mut verdict);
        assert_eq!(verdict.lost, BTreeSet::from([(3, id(3))]));
    }

    #[test]
    fn what_no_majority_had_is_counted_with_its_step_until_somebody_sees_it_confirmed() {
        let record = Record::default();
        for n in 1..=3 {
            record.begin_step(n as usize);
            record.acknowledge(told(10 * n));
            record.acknowledge(Told { confirmed: false, ..told(n) });
        }
        assert_eq!(record.unconfirmed(2), (1, 0));
        record.confirm(id(2));
        record.confirm(id(10));
        assert_eq!(
            [1, 2, 3, 4].map(|step| record.unconfirmed(step)),
            [(1, 0), (1, 1), (1, 0), (0, 0)]
        );
    }

    #[test]
    fn two_streams_of_one_sender_have_no_order_between_them() {
        let record = Record::default();
        record.acknowledge(told(1));
        record.acknowledge(Told { stream: Some(1), ..told(2) });
        let mut verdict = Verdict::default();
        let swapped = [Seen { seq: Some(1), ..seen(2) }, Seen { seq: Some(2), ..seen(1) }];
        record.compare(1, &swapped, true, &mut verdict);
        assert_eq!(verdict, Verdict::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_begins_with_the_last_word_before_it() {
        let record = record(1);
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
        let since = Instant::now();
        tokio::time::advance(std::time::Duration::from_millis(30)).await;
        let before = told(2);
        record.acknowledge(Told { asked_at: since, ..before });
        assert!((record.longest_pause_ms(since) - 40.0).abs() < 1.0);
        assert!((record.longest_pause_of_ms(0, since) - 40.0).abs() < 1.0);
        assert!(record.longest_pause_of_ms(1, since).abs() < 1.0);
        assert_eq!(record.senders_since(since), BTreeSet::from([0]));
        assert_eq!(record.senders_begun_since(since), BTreeSet::new());
        record.acknowledge(told(3));
        assert_eq!(record.senders_begun_since(since), BTreeSet::from([0]));
    }
}
