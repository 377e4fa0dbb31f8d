//! What was measured, as it is measured.

use std::collections::HashMap;
use std::sync::MutexGuard;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Delivery, Options, Pace, Report, Work};
use crate::sync::Mutex;
use crate::types::Uuid;

/// Longest time that is told apart, in microseconds: ten minutes, above every
/// timeout.
const LONGEST_US: u64 = 600_000_000;

/// Percentiles, in milliseconds, exact to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// Half of all took no longer.
    pub p50: f64,
    /// Nine in ten took no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// A histogram of times.
struct Times(Histogram<u32>);

impl Times {
    fn new() -> Times {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Times(histogram.expect("the bounds are constant and in order"))
    }

    fn note(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros() as u64);
    }

    fn latency(&self) -> Latency {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Latency {
            min: ms(self.0.min()),
            mean: (self.0.mean()).round() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(self.0.max()),
        }
    }
}

/// One request that was answered.
pub(super) struct Answered {
    pub(super) begun: Instant,
    pub(super) repeated: bool,
    pub(super) sent_bytes: usize,
    pub(super) received_bytes: usize,
}

/// See the head of this file.
pub(super) struct Record {
    inner: Mutex<Inner>,
    /// Deliveries that are still to come; `None` without followers.
    awaited: Option<watch::Sender<i64>>,
}

struct Inner {
    times: Times,
    answered: u64,
    repeated: u64,
    sent_bytes: u64,
    received_bytes: u64,
    last_answer: Option<Instant>,
    deliveries: Times,
    last_deliveries: Times,
    messages: HashMap<Uuid, Journey>,
}

/// A message on its way to those who follow.
#[derive(Default)]
struct Journey {
    acknowledged: Option<Instant>,
    /// Followers that it has still to reach; below zero while the
    /// acknowledgement, which says how many there are, is not there.
    awaited: i64,
    /// When it reached followers before the acknowledgement did us.
    early: u32,
    last: Option<Instant>,
}

impl Record {
    pub(super) fn new(follows: bool) -> Record {
        Record {
            inner: Mutex::new(Inner {
                times: Times::new(),
                answered: 0,
                repeated: 0,
                sent_bytes: 0,
                received_bytes: 0,
                last_answer: None,
                deliveries: Times::new(),
                last_deliveries: Times::new(),
                messages: HashMap::new(),
            }),
            awaited: follows.then(|| watch::Sender::new(0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// A request was answered; `counts` if it is measured.
    pub(super) fn answer(&self, answered: &Answered, counts: bool) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.answered += 1;
        if counts {
            inner.times.note(now - answered.begun);
            inner.repeated += u64::from(answered.repeated);
            inner.sent_bytes += answered.sent_bytes as u64;
            inner.received_bytes += answered.received_bytes as u64;
            inner.last_answer = Some(now);
        }
    }

    /// How many requests were answered so far, measured or not.
    pub(super) fn answered(&self) -> u64 {
        self.lock().answered
    }

    /// A message was acknowledged that so many followers are to see.
    pub(super) fn acknowledged(&self, id: Uuid, followers: usize) {
        let Some(awaited) = &self.awaited else { return };
        if followers > 0 {
            self.travel(id, awaited, |journey, now| {
                journey.acknowledged = Some(now);
                journey.awaited += followers as i64;
            });
        }
    }

    /// A message has reached a follower.
    pub(super) fn delivered(&self, id: Uuid) {
        let Some(awaited) = &self.awaited else { return };
        self.travel(id, awaited, |journey, now| {
            journey.awaited -= 1;
            journey.last = Some(now);
            journey.early += u32::from(journey.acknowledged.is_none());
        });
    }

    fn travel(
        &self,
        id: Uuid,
        awaited: &watch::Sender<i64>,
        step: impl FnOnce(&mut Journey, Instant),
    ) {
        let now = Instant::now();
        let mut inner = self.lock();
        let journey = inner.messages.entry(id).or_default();
        let before = journey.awaited;
        step(journey, now);
        let (after, acknowledged) = (journey.awaited, journey.acknowledged);
        let early = acknowledged.map_or(0, |_| std::mem::take(&mut journey.early));
        let last = journey.last;
        awaited.send_modify(|total| *total += after - before);
        let Some(acknowledged) = acknowledged else { return };
        for _ in 0..early {
            inner.deliveries.note(Duration::ZERO);
        }
        if after < before {
            inner.deliveries.note(now - acknowledged);
        }
        if after == 0 {
            let last = last.unwrap_or(acknowledged);
            inner.last_deliveries.note(last.saturating_duration_since(acknowledged));
            inner.messages.remove(&id);
        }
    }

    /// Resolves when every message that was acknowledged has reached all who
    /// follow it.
    pub(super) async fn all_delivered(&self) {
        let Some(awaited) = &self.awaited else { return };
        // The sender is a part of this record, so this cannot fail.
        let _ = awaited.subscribe().wait_for(|awaited| *awaited == 0).await;
    }

    pub(super) fn report(
        &self,
        options: &Options,
        pace: Pace,
        clients: usize,
        measured_from: Instant,
    ) -> Report {
        let inner = self.lock();
        let elapsed = inner.last_answer.map_or(Duration::ZERO, |last| last - measured_from);
        let messages = inner.times.0.len();
        let (mode, in_flight, rate_asked) = match pace {
            Pace::Closed { in_flight } => ("closed", Some(in_flight), None),
            Pace::Open { rate } => ("open", None, Some(rate)),
        };
        let (work, size_bytes, recipients, page) = match options.work {
            Work::Send { size_bytes, recipients } => {
                ("send", Some(size_bytes), Some(recipients), None)
            }
            Work::Inbox { messages } => ("inbox", None, None, Some(messages)),
        };
        let rate = match elapsed.is_zero() {
            true => 0.0,
            false => (messages as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0,
        };
        Report {
            work,
            mode,
            clients,
            accounts: options.accounts,
            in_flight,
            rate_asked,
            size_bytes,
            recipients,
            page,
            messages,
            repeated: inner.repeated,
            elapsed_s: (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            rate,
            latency_ms: inner.times.latency(),
            sent_bytes: inner.sent_bytes,
            received_bytes: inner.received_bytes,
            delivery: self.awaited.is_some().then(|| Delivery {
                followers: options.followers,
                deliveries: inner.deliveries.0.len(),
                latency_ms: inner.deliveries.latency(),
                last_ms: inner.last_deliveries.latency(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_noted() {
        let mut times = Times::new();
        for us in 1..=1_000 {
            times.note(Duration::from_micros(us));
        }
        let Latency { min, mean, p50, p90, p99, p999, max } = times.latency();
        assert_eq!((min, p50, p90, p99), (0.001, 0.5, 0.9, 0.99));
        assert_eq!((mean, p999, max), (0.501, 0.999, 1.0));
        times.note(Duration::from_secs(9_999));
        assert!(times.latency().max >= 600_000.0, "too long is longest");
        assert_eq!(Times::new().latency(), Latency::default());
    }

    #[tokio::test]
    async fn a_message_is_delivered_when_it_has_reached_all_who_follow() {
        let record = Record::new(true);
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        record.delivered(one);
        record.acknowledged(one, 2);
        record.acknowledged(two, 1);
        let awaited = || *record.awaited.as_ref().expect("follows").borrow();
        assert_eq!(awaited(), 2);
        record.delivered(two);
        record.delivered(one);
        record.all_delivered().await;
        let inner = record.lock();
        assert_eq!((inner.deliveries.0.len(), inner.last_deliveries.0.len()), (3, 2));
        assert_eq!(inner.deliveries.0.min(), 0, "one came before its acknowledgement");
        assert!(inner.messages.is_empty());
    }
}
