//! Whether servers hand over in time what they took alone.

use std::time::Duration;

use tokio::time::Instant;

/// So many messages may take a second.
const A_SECOND: u64 = 10_000;

/// What one server holds that no majority has confirmed, as it is looked at again and again.
#[derive(Default)]
pub struct Settling {
    /// The most that it held.
    held: u64,
    /// Until when all of it should be confirmed; not before a majority is back.
    due: Option<Instant>,
    late: u64,
}

impl Settling {
    /// Notes what the server says: whether it is alone, and how much it holds.
    pub fn note(&mut self, now: Instant, is_alone: bool, outbox: u64) {
        self.held = self.held.max(outbox);
        if is_alone {
            self.due = None;
            return;
        }
        let due = *self
            .due
            .get_or_insert_with(|| now + Duration::from_secs(self.held.div_ceil(A_SECOND)));
        if now > due {
            self.late = self.late.max(outbox);
        }
    }

    /// How many messages were not confirmed when they should have been.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_for_longer_than_a_second_for_ten_thousand_is_late() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut few = Settling::default();
        few.note(at(0), true, 7);
        few.note(at(60_000), true, 9);
        few.note(at(60_100), false, 9);
        few.note(at(61_100), false, 3);
        assert_eq!(few.late(), 0, "its time begins when it is not alone any more");
        few.note(at(61_101), false, 3);
        few.note(at(61_200), false, 1);
        assert_eq!(few.late(), 3);

        let mut many = Settling::default();
        many.note(at(0), false, 20_001);
        many.note(at(3_000), false, 1);
        assert_eq!(many.late(), 0);
        many.note(at(3_001), false, 1);
        assert_eq!(many.late(), 1);
    }

    #[test]
    fn a_majority_that_goes_again_gives_it_new_time() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut settling = Settling::default();
        settling.note(at(0), false, 5);
        settling.note(at(900), true, 5);
        settling.note(at(1_900), false, 5);
        settling.note(at(2_800), false, 5);
        assert_eq!(settling.late(), 0);
    }
}
