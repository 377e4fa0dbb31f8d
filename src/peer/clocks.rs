//! What time it is, when the clock of a server may be wrong.
//!
//! The leader stamps messages and ends sessions by the time that it writes into the
//! log. A leader whose clock is a hundred days ahead would end all sessions for good,
//! and one wrong clock must not do that. So replicas report their clocks to each other,
//! in every handshake and every second. Each reckons on from what it received, by its
//! own monotonic clock, so what it knows of another's clock stays right when its own
//! jumps. It forgets a clock after a minute without an answer: somebody may have set
//! the clock of a server that is cut off.
//!
//! # The rule
//! A replica's time is its own clock, brought to within [`CLOCK_LEAD_MAX_MS`] of the
//! clock in the middle of all that it knows, its own among them. If their number is
//! even, that is the lower of the two in the middle: time that stands still for a while
//! can be made up for, a session that has ended cannot.
//!
//! A clock that is behind what the log says by more than that bound is known to be
//! wrong, and is left out: a machine without a battery begins in 1970.
//!
//! # How it fails
//! Clocks that are wrong together outvote the right ones, as two of three. Of two
//! clocks, when the third is not known, the lower one is believed unless the log is
//! later. Programs that report no clock are not counted. While a machine sleeps its
//! monotonic clock stands still: when it wakes, the others seem to be behind until they
//! are asked again, which is a second.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::limits::{CLOCK_BELIEVED_MAX, CLOCK_LEAD_MAX_MS};
use crate::protocol::peer::ADMINISTRATOR;
use crate::sync::Mutex;
use crate::types::{ReplicaId, Timestamp};

/// What the other replicas have said of their clocks. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Clocks(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    readings: BTreeMap<ReplicaId, Reading>,
    /// What the own clock showed when something was last confirmed, and when that was.
    own: Option<(Instant, Timestamp)>,
    /// Readings from before this are of no use where something cannot be undone.
    doubted_at: Option<Instant>,
}

impl Known {
    /// Compares the own clock with the time that has passed. Where they differ, either the
    /// clock was set, or this machine slept while its monotonic clock stood still: then the
    /// others seem to be behind until they have said what time it is.
    fn note_own(&mut self, own: Timestamp) {
        let now = Instant::now();
        if let Some((at, clock)) = self.own.replace((now, own)) {
            let expected = clock.plus_ms(now.duration_since(at).as_millis() as u64);
            if expected.0.abs_diff(own.0) > CLOCK_LEAD_MAX_MS {
                self.doubted_at = Some(now);
            }
        }
    }
}

/// What a clock showed, and when that was received.
#[derive(Clone, Copy, Debug)]
struct Reading {
    clock: Timestamp,
    at: Instant,
}

impl Reading {
    /// What it shows now, if nobody has set it since.
    fn now(self) -> Timestamp {
        self.clock.plus_ms(self.at.elapsed().as_millis() as u64)
    }
}

impl Clocks {
    /// A replica has just reported its clock, unless its program reports none.
    pub fn record(&self, replica: ReplicaId, clock: Option<Timestamp>) {
        let Some(clock) = clock.filter(|_| replica != ADMINISTRATOR) else { return };
        let reading = Reading { clock, at: Instant::now() };
        self.0.lock().readings.insert(replica, reading);
    }

    /// The time, for a replica whose own clock shows `own`, and whose log says that it
    /// is `latest` at least. See the head of the file.
    pub fn time(&self, own: Timestamp, latest: Timestamp) -> Timestamp {
        let others: Vec<Timestamp> = {
            let known = self.0.lock();
            let readings = &known.readings;
            let fresh =
                readings.values().filter(|reading| reading.at.elapsed() < CLOCK_BELIEVED_MAX);
            fresh.map(|reading| reading.now()).collect()
        };
        agreed(own, &others, latest)
    }

    /// What time it is as the clocks of so many confirm, of a voter whose own clock shows
    /// `own`, and the `others`, and whose log says that it is `latest` at least. By this goes
    /// what cannot be undone, so nobody's clock alone decides, neither one that is ahead nor one
    /// that is behind: so many have reached it, and so many are not beyond it by more than
    /// [`CLOCK_LEAD_MAX_MS`].
    ///
    /// `None` where not so many are known, where they differ, where all are behind the log,
    /// and until the others have been asked again after the own clock was set or this machine
    /// has slept.
    pub fn confirmed(
        &self,
        own: Timestamp,
        others: &[ReplicaId],
        majority: usize,
        latest: Timestamp,
    ) -> Option<Timestamp> {
        let mut known = self.0.lock();
        known.note_own(own);
        let readings = others.iter().filter_map(|replica| known.readings.get(replica));
        let fresh = readings.filter(|reading| {
            let asked_since = known.doubted_at.is_none_or(|doubted_at| reading.at > doubted_at);
            asked_since && reading.at.elapsed() < CLOCK_BELIEVED_MAX
        });
        let clocks = fresh.map(|reading| reading.now()).chain([own]).collect();
        confirmed_by(clocks, majority).filter(|time| time.plus_ms(CLOCK_LEAD_MAX_MS) >= latest)
    }
}

/// The latest time that a majority of clocks has reached, where a majority is not beyond it;
/// see [`Clocks::confirmed`].
fn confirmed_by(mut clocks: Vec<Timestamp>, majority: usize) -> Option<Timestamp> {
    clocks.sort_unstable();
    let place = majority.checked_sub(1)?;
    let at_most = clocks.get(place)?;
    let reached = clocks.get(clocks.len().checked_sub(majority)?)?;
    (reached.plus_ms(CLOCK_LEAD_MAX_MS) >= *at_most).then_some(*reached)
}

fn agreed(own: Timestamp, others: &[Timestamp], latest: Timestamp) -> Timestamp {
    let mut credible: Vec<Timestamp> = others.iter().copied().chain([own]).collect();
    credible.retain(|clock| clock.plus_ms(CLOCK_LEAD_MAX_MS) >= latest);
    credible.sort_unstable();
    let Some(last) = credible.len().checked_sub(1) else { return own };
    let middle = credible[last / 2];
    let earliest = Timestamp(middle.0.saturating_sub(CLOCK_LEAD_MAX_MS));
    own.clamp(earliest, middle.plus_ms(CLOCK_LEAD_MAX_MS))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// A day, in seconds.
    const DAY: i64 = 86_400;

    /// Some day, so many seconds later.
    fn at(seconds: i64) -> Timestamp {
        Timestamp((2_000_000_000_000 + seconds * 1000) as u64)
    }

    #[test]
    fn one_wrong_clock_is_outvoted() {
        let bound = CLOCK_LEAD_MAX_MS as i64 / 1000;
        let never = Timestamp(0);
        for (own, others, latest, time, why) in [
            (at(0), vec![], never, at(0), "nobody else is known"),
            (at(3), vec![at(0), at(1)], never, at(3), "a little ahead, as clocks are"),
            (at(-3), vec![at(0), at(1)], never, at(-3), "a little behind"),
            (at(100 * DAY), vec![at(0), at(1)], never, at(1 + bound), "ahead"),
            (at(-100 * DAY), vec![at(0), at(1)], never, at(-bound), "behind"),
            (at(0), vec![at(100 * DAY), at(1)], never, at(0), "another one is ahead"),
            (at(0), vec![Timestamp(0), at(1)], never, at(0), "another one has no battery"),
            (at(100 * DAY), vec![at(0)], never, at(bound), "ahead of the only other one"),
            (at(0), vec![at(100 * DAY)], never, at(0), "the only other one is ahead"),
            (at(0), vec![Timestamp(0)], at(-5), at(0), "the log knows that it is later"),
            (Timestamp(0), vec![at(0)], at(-5), at(-bound), "the log knows it of the own one"),
            (at(0), vec![at(0), at(1)], at(9 * DAY), at(0), "all are behind the log"),
            (Timestamp(0), vec![], at(0), Timestamp(0), "behind the log, and nobody else is known"),
        ] {
            assert_eq!(agreed(own, &others, latest), time, "{why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_is_reckoned_on() {
        let clocks = Clocks::default();
        clocks.record(ReplicaId(2), Some(at(0)));
        clocks.record(ReplicaId(3), Some(at(-100 * DAY)));
        clocks.record(ReplicaId(3), Some(at(0)));
        clocks.record(ReplicaId(3), None);
        clocks.record(ADMINISTRATOR, Some(at(-100 * DAY)));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(clocks.time(at(51), Timestamp(0)), at(51));
        let latest = at(50).plus_ms(CLOCK_LEAD_MAX_MS);
        assert_eq!(clocks.time(at(100 * DAY), Timestamp(0)), latest);
        tokio::time::advance(CLOCK_BELIEVED_MAX).await;
        let alone = at(100 * DAY);
        assert_eq!(clocks.time(alone, Timestamp(0)), alone, "what was read long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn an_administrators_clock_is_none_of_the_clusters() {
        let clocks = Clocks::default();
        clocks.record(ADMINISTRATOR, Some(at(-100 * DAY)));
        assert_eq!(clocks.time(at(0), Timestamp(0)), at(0), "alone");
        clocks.record(ReplicaId(2), Some(at(-100 * DAY)));
        clocks.record(ReplicaId(3), Some(at(0)));
        assert_eq!(clocks.time(at(0), Timestamp(0)), at(0), "it makes no majority");
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_is_confirmed_when_a_majority_has_reached_it() {
        let (voters, ahead) = ([ReplicaId(2), ReplicaId(3)], at(3_650 * DAY));
        let clocks = Clocks::default();
        let confirmed = |own: Timestamp, voters: &[ReplicaId], majority: usize| {
            // As if it were the first time that anybody asks.
            clocks.0.lock().own = None;
            clocks.confirmed(own, voters, majority, at(0))
        };
        assert_eq!(confirmed(at(0), &voters, 2), None, "nobody else is known");
        assert_eq!(confirmed(at(0), &[], 1), Some(at(0)), "there is nobody else");
        assert_eq!(confirmed(at(-DAY), &[], 1), None, "behind the log");
        clocks.record(ReplicaId(4), Some(ahead));
        assert_eq!(confirmed(ahead, &voters, 2), None, "one that has no vote");
        clocks.record(ReplicaId(3), Some(at(0)));
        assert_eq!(confirmed(ahead, &voters, 2), None, "one of two is wrong");
        assert_eq!(confirmed(Timestamp(0), &voters, 2), None, "one of two is wrong, behind");
        assert_eq!(confirmed(at(2), &voters, 2), Some(at(0)), "two that are about right");
        clocks.record(ReplicaId(2), Some(at(1)));
        assert_eq!(confirmed(ahead, &voters, 2), Some(at(1)), "ahead of two");
        assert_eq!(confirmed(Timestamp(0), &voters, 2), Some(at(0)), "behind two");
        clocks.record(ReplicaId(2), Some(ahead));
        assert_eq!(confirmed(at(2), &voters, 2), Some(at(2)), "another one is ahead");
        clocks.record(ReplicaId(2), Some(Timestamp(0)));
        assert_eq!(confirmed(Timestamp(0), &voters, 2), None, "two that begin in 1970");
        tokio::time::advance(CLOCK_BELIEVED_MAX).await;
        assert_eq!(confirmed(at(0), &voters, 2), None, "what was read long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_has_slept_asks_again_before_anything_is_final() {
        let voters = [ReplicaId(2), ReplicaId(3)];
        let clocks = Clocks::default();
        clocks.record(ReplicaId(2), Some(at(0)));
        clocks.record(ReplicaId(3), Some(at(0)));
        let confirmed = |own| clocks.confirmed(own, &voters, 2, at(0));
        assert_eq!(confirmed(at(0)), Some(at(0)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(confirmed(at(1)), Some(at(1)));
        // A month goes by, of which the monotonic clock shows a second.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(confirmed(at(30 * DAY)), None, "the others have said nothing since");
        clocks.record(ReplicaId(2), Some(at(30 * DAY)));
        assert_eq!(confirmed(at(30 * DAY)), None, "not of this very moment");
        tokio::time::advance(Duration::from_millis(1)).await;
        clocks.record(ReplicaId(2), Some(at(30 * DAY)));
        assert_eq!(confirmed(at(30 * DAY)), Some(at(30 * DAY)));
    }

    proptest! {
        /// With a majority of right clocks the time is right, whatever the others show.
        #[test]
        fn a_majority_of_right_clocks_is_right(
            right in proptest::collection::vec(0i64..2, 2..5),
            wrong in proptest::collection::vec(-1_000_000i64..1_000_000, 0..2),
            own_is_wrong: bool,
        ) {
            let mut clocks: Vec<Timestamp> = right.iter().map(|it| at(*it)).collect();
            let wrong = &wrong[..wrong.len().min(right.len() - 1)];
            clocks.extend(wrong.iter().map(|it| at(*it)));
            let own = if own_is_wrong { clocks.len() - 1 } else { 0 };
            let own = clocks.remove(own);
            let time = agreed(own, &clocks, Timestamp(0)).0;
            let bound = CLOCK_LEAD_MAX_MS;
            prop_assert!((at(0).0 - bound..=at(1).0 + bound).contains(&time), "{time}");
        }
    }
}
