//! Whether a majority is there: counted in ticks that this process has executed.
//!
//! Ticks and not time, because a process may stand still. When it goes on, everybody may be
//! there as ever, and by the clock they would all have been silent for hours.

/// Between two ticks.
pub(super) const TICK_MS: u64 = 100;

/// After so many ticks without a majority a server is alone: two seconds. An election between
/// machines takes less.
const ALONE_AFTER_TICKS: u32 = 20;

/// The same for a process to which no majority has answered since it started: fifteen seconds.
/// The others may be starting as well. One that a leader has led knows that they were there,
/// and counts from when it was led last.
const ALONE_AFTER_START_TICKS: u32 = 150;

/// For so many ticks a majority must have been there before a server is alone no longer: one
/// second. A link that comes and goes would make a new list each time.
const BACK_AFTER_TICKS: u32 = 10;

/// How often it must have been heard of within these.
const BACK_AFTER_ANSWERS: u32 = 2;

/// A majority counts as there for so many ticks after it was heard of, if no question has
/// failed since: a question and the pause behind it take no longer.
const HEARD_FOR_TICKS: u32 = 14;

/// What a tick has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing that changes anything.
    Same,
    /// No majority has been there for too long.
    Lost,
    /// A majority is back, and stays.
    Back,
}

/// What has happened since the last tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// How often a majority has confirmed who leads.
    pub(super) answers: u32,
    /// Whether it did not in time.
    pub(super) failed: bool,
    /// Whether a leader was heard of whose commits the state had. The way back to it may be
    /// cut, so this counts only as long as nothing was ever answered.
    pub(super) led: bool,
    /// Whether changes wait that this server has to make, and nothing was answered. The disks
    /// of the others may hang, though they say that they are there.
    pub(super) stuck: bool,
    /// Whether the log has taken something that was accepted alone.
    pub(super) settled: bool,
    /// Whether anything is left that it has to take.
    pub(super) unsettled: bool,
    /// Whether this server's own disk takes nothing, as far as is known. Then that may be why
    /// nobody is heard of, and alone it would be of no use.
    pub(super) unwell: bool,
}

/// Counts ticks.
#[derive(Debug, Default)]
pub(super) struct Majority {
    alone: bool,
    /// Whether one has ever answered.
    known: bool,
    /// Before that, if a leader was heard of: ticks since it was, as those of `missed`.
    unled: Option<u32>,
    /// Ticks since it was heard of last.
    silent: u32,
    /// Of these, the last ones in which nothing was wrong with the own disk.
    missed: u32,
    /// Ticks for which it has been there without a break, and how often it was heard of.
    there: u32,
    answers: u32,
    /// Ticks for which changes were stuck.
    stuck: u32,
    /// Whether that is why the server is alone: it has to see that the log takes something.
    stalled: bool,
}

impl Majority {
    /// Another tick was executed.
    pub(super) fn tick(&mut self, heard: Heard) -> Finding {
        match heard.answers {
            0 => self.silent = self.silent.saturating_add(1),
            _ => (self.known, self.silent) = (true, 0),
        }
        let missed = self.missed.saturating_add(1).min(self.silent);
        self.missed = if heard.unwell { 0 } else { missed };
        self.unled = match heard {
            _ if self.known => None,
            Heard { led: true, .. } => Some(0),
            Heard { unwell: true, .. } => self.unled.map(|_| 0),
            _ => self.unled.map(|ticks| ticks.saturating_add(1)),
        };
        if heard.failed || !self.known || self.silent > HEARD_FOR_TICKS {
            (self.there, self.answers) = (0, 0);
        } else {
            self.there = self.there.saturating_add(1);
            self.answers = self.answers.saturating_add(heard.answers);
        }
        // Where nobody answers, that is enough.
        let stuck = heard.stuck && self.is_there() && !heard.unwell;
        self.stuck = if stuck { self.stuck.saturating_add(1) } else { 0 };
        self.stalled &= !heard.settled;
        let patience = if self.known { ALONE_AFTER_TICKS } else { ALONE_AFTER_START_TICKS };
        let missed = self.missed >= patience || self.is_left();
        if !self.alone && (missed || self.stuck >= ALONE_AFTER_TICKS) {
            self.stalled = self.stuck >= ALONE_AFTER_TICKS;
            (self.alone, self.stuck, self.there, self.answers) = (true, 0, 0, 0);
            return Finding::Lost;
        }
        let stays = self.there >= BACK_AFTER_TICKS && self.answers >= BACK_AFTER_ANSWERS;
        if self.alone && stays && !(self.stalled && heard.unsettled) {
            (self.alone, self.stalled) = (false, false);
            return Finding::Back;
        }
        Finding::Same
    }

    /// It was found that the server is alone, and it may not go on.
    pub(super) fn stays(&mut self) {
        (self.alone, self.stalled) = (false, false);
    }

    /// For how many ticks no majority was heard of, while this server could have stored things.
    pub(super) fn missed_for(&self) -> u32 {
        self.unled.filter(|_| self.is_left()).unwrap_or(self.missed)
    }

    /// Whether it was led since it started, and is no longer.
    fn is_left(&self) -> bool {
        self.unled.is_some_and(|ticks| ticks >= ALONE_AFTER_TICKS)
    }

    /// Whether a majority is there, as far as the last tick could tell.
    pub(super) fn is_there(&self) -> bool {
        self.there > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Heard = Heard {
        answers: 0,
        failed: false,
        led: false,
        stuck: false,
        settled: false,
        unsettled: false,
        unwell: false,
    };
    const HEARD: Heard = Heard { answers: 1, ..SILENT };
    const FAILED: Heard = Heard { failed: true, ..SILENT };
    const LED: Heard = Heard { led: true, ..SILENT };

    /// After how many such ticks something is found, at most a thousand.
    fn until(majority: &mut Majority, heard: Heard) -> (u32, Finding) {
        for tick in 1..=1_000 {
            match majority.tick(heard) {
                Finding::Same => {}
                finding => return (tick, finding),
            }
        }
        (1_000, Finding::Same)
    }

    fn running() -> Majority {
        let mut majority = Majority::default();
        majority.tick(HEARD);
        majority
    }

    #[test]
    fn two_seconds_of_silence_are_too_long_and_fifteen_after_a_start() {
        assert_eq!(until(&mut running(), SILENT), (20, Finding::Lost));
        assert_eq!(until(&mut Majority::default(), SILENT), (150, Finding::Lost));
        assert_eq!(until(&mut running(), HEARD), (1_000, Finding::Same));
    }

    #[test]
    fn who_was_led_since_its_start_waits_two_seconds_from_when_that_ended() {
        let mut majority = Majority::default();
        // A start under load: questions fail, and a heartbeat comes every now and then.
        for _ in 0..5 {
            assert_eq!(majority.tick(LED), Finding::Same);
            (0..19).for_each(|_| assert_eq!(majority.tick(FAILED), Finding::Same));
        }
        majority.tick(LED);
        assert_eq!(
            (until(&mut majority, SILENT), majority.missed_for()),
            ((20, Finding::Lost), 20)
        );
        let mut unwell = Majority::default();
        unwell.tick(LED);
        until(&mut unwell, Heard { unwell: true, ..SILENT });
        assert_eq!(until(&mut unwell, SILENT), (20, Finding::Lost), "its disk was full before");
    }

    #[test]
    fn a_leader_that_is_heard_and_cannot_be_asked_is_no_majority() {
        let mut majority = Majority::default();
        assert_eq!((until(&mut majority, LED), majority.missed_for()), ((150, Finding::Lost), 150));
        assert_eq!(until(&mut majority, LED), (1_000, Finding::Same), "nor does it bring one back");
        assert_eq!(until(&mut running(), LED), (20, Finding::Lost));
    }

    #[test]
    fn a_link_that_comes_and_goes_makes_no_majority() {
        let mut majority = running();
        until(&mut majority, SILENT);
        for _ in 0..100 {
            for heard in [HEARD, HEARD, SILENT, SILENT, FAILED, SILENT] {
                assert_eq!(majority.tick(heard), Finding::Same);
            }
        }
        for _ in 0..100 {
            // One answer, and nothing more for as long as a question may take.
            majority.tick(HEARD);
            (0..14).for_each(|_| assert_eq!(majority.tick(SILENT), Finding::Same));
            assert_eq!(majority.tick(FAILED), Finding::Same);
        }
        assert_eq!(until(&mut majority, HEARD), (10, Finding::Back));
        assert_eq!(until(&mut majority, SILENT), (20, Finding::Lost), "and all over again");
    }

    #[test]
    fn answers_may_take_as_long_as_a_question_may() {
        let mut majority = running();
        until(&mut majority, SILENT);
        let mut found = Vec::new();
        for _ in 0..4 {
            let slow = std::iter::repeat_n(SILENT, 10).chain([HEARD]);
            found.extend(slow.map(|heard| majority.tick(heard)).filter(|it| *it != Finding::Same));
        }
        assert_eq!(found, [Finding::Back]);
    }

    #[test]
    fn others_that_are_there_and_take_nothing_are_no_majority_until_they_take_something() {
        let mut majority = running();
        assert_eq!(until(&mut majority, Heard { stuck: true, ..HEARD }), (20, Finding::Lost));
        let held = Heard { unsettled: true, ..HEARD };
        assert_eq!(until(&mut majority, held), (1_000, Finding::Same));
        assert_eq!(majority.tick(Heard { settled: true, ..held }), Finding::Back);
    }

    #[test]
    fn what_was_taken_has_a_second_to_come_onto_the_disk() {
        let mut majority = running();
        until(&mut majority, Heard { stuck: true, ..HEARD });
        (0..9).for_each(|_| assert_eq!(majority.tick(HEARD), Finding::Same));
        let held = Heard { unsettled: true, ..HEARD };
        assert_eq!(until(&mut majority, held), (1_000, Finding::Same));
    }

    #[test]
    fn changes_that_wait_for_the_start_say_nothing_about_the_others() {
        let waits = Heard { stuck: true, ..SILENT };
        assert_eq!(until(&mut Majority::default(), waits), (150, Finding::Lost));
    }

    #[test]
    fn whose_own_disk_takes_nothing_is_not_alone_and_counts_anew_when_it_does() {
        let mut majority = running();
        for heard in [SILENT, Heard { stuck: true, ..HEARD }] {
            let unwell = Heard { unwell: true, ..heard };
            assert_eq!(until(&mut majority, unwell), (1_000, Finding::Same));
        }
        assert_eq!(until(&mut majority, Heard { unwell: true, ..SILENT }), (1_000, Finding::Same));
        assert_eq!(until(&mut majority, SILENT), (20, Finding::Lost));
    }

    #[test]
    fn who_holds_nothing_need_not_see_that_the_log_takes_something() {
        let mut majority = running();
        until(&mut majority, Heard { stuck: true, ..HEARD });
        assert_eq!(until(&mut majority, HEARD), (10, Finding::Back));
    }
}
