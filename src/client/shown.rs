//! What a follow has shown, so that it shows nothing twice.
//!
//! A confirmed message has its place in the total order, and a follow that goes on behind
//! the last place it has shown neither repeats one nor leaves one out. An unconfirmed
//! message has no place yet, and may be met twice: at two servers that both took it, and
//! later as the confirmed message that became of it. It keeps its id, so ids tell.
//!
//! # The rule
//! An unconfirmed message is shown only if it is certain that it was not shown before.
//! - As an unconfirmed one it was not if its id is not among [`Shown::unconfirmed`].
//! - As a confirmed one it may have been: the server that took it is behind, and did not
//!   know yet that a majority had confirmed it already. But it knew everything up to
//!   `seen_to` when it took the message, which was not there. So the confirmed message, if
//!   there is one, comes behind `seen_to`; and it was not shown if its id is not among the
//!   ids of what was shown from there on.
//!
//! The last ids are kept together with their places, so they say this only if none that is
//! not kept comes behind `seen_to`. What is not kept ends at [`Shown::floor`]: where the
//! follow began, as whoever asked for that may have shown all before, and later the place of
//! the last one that had to make room. So the message is shown if `floor <= seen_to`. One of
//! which this is not certain is not lost: it is shown when it is confirmed.

use std::collections::{BTreeSet, VecDeque};

use crate::planted::{self, Bug};
use crate::protocol::client::Message;
use crate::types::Uuid;

/// Confirmed messages whose ids are kept: what passes in minutes at full load, while a
/// server that is alone lags by less than a second when it takes its first message. Three
/// megabytes.
const CONFIRMED_MAX: usize = 65_536;

/// Unconfirmed messages whose ids are kept: as many as the outbox of a server may hold.
/// What comes beyond is shown when it is confirmed.
const UNCONFIRMED_MAX: usize = 1_000_000;

/// See the head of this file.
pub(super) struct Shown {
    /// The place behind which the follow goes on: that of the last confirmed message.
    after: Option<u64>,
    /// Shown and not known to be confirmed.
    unconfirmed: BTreeSet<Uuid>,
    /// The confirmed ones that were shown last, oldest first, and their ids.
    confirmed: VecDeque<(u64, Uuid)>,
    ids: BTreeSet<Uuid>,
    confirmed_max: usize,
    /// What was shown up to here need not be among them.
    floor: u64,
}

/// What becomes of a message that a server has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not shown before.
    Show,
    /// It was shown before, and is confirmed now.
    Confirmed,
    /// It was shown before, or it may have been.
    PassOver,
}

impl Shown {
    /// Nothing is shown that comes up to `after`: somebody else may have shown it.
    pub(super) fn behind(after: Option<u64>) -> Shown {
        Shown::keeping(CONFIRMED_MAX, after)
    }

    fn keeping(confirmed_max: usize, after: Option<u64>) -> Shown {
        Shown {
            after,
            unconfirmed: BTreeSet::new(),
            confirmed: VecDeque::new(),
            ids: BTreeSet::new(),
            confirmed_max,
            floor: after.unwrap_or(0),
        }
    }

    /// Where to go on.
    pub(super) fn after(&self) -> Option<u64> {
        self.after
    }

    /// Whether an unconfirmed message was shown and is not confirmed yet.
    pub(super) fn is_unconfirmed(&self, id: Uuid) -> bool {
        self.unconfirmed.contains(&id)
    }

    /// Decides about a message, and notes that it is shown if it is to be.
    pub(super) fn take(&mut self, message: &Message) -> Verdict {
        match message.seq {
            Some(seq) => self.take_confirmed(seq, message.id),
            None => self.take_unconfirmed(message),
        }
    }

    fn take_confirmed(&mut self, seq: u64, id: Uuid) -> Verdict {
        if self.after.is_some_and(|after| seq <= after) {
            return Verdict::PassOver;
        }
        self.after = Some(seq);
        self.confirmed.push_back((seq, id));
        self.ids.insert(id);
        if self.confirmed.len() > self.confirmed_max
            && let Some((seq, id)) = self.confirmed.pop_front()
        {
            self.ids.remove(&id);
            self.floor = self.floor.max(seq);
        }
        match self.unconfirmed.remove(&id) {
            true if planted::is(Bug::ShowAgainWhenConfirmed) => Verdict::Show,
            true => Verdict::Confirmed,
            false => Verdict::Show,
        }
    }

    fn take_unconfirmed(&mut self, message: &Message) -> Verdict {
        let id = message.id;
        let is_certain = self.floor <= message.seen_to.unwrap_or(0);
        let was_confirmed = self.ids.contains(&id) && !planted::is(Bug::ShowAgainWhoeverIsBehind);
        let is_known = self.unconfirmed.contains(&id) || was_confirmed;
        if is_known || !is_certain || self.unconfirmed.len() >= UNCONFIRMED_MAX {
            return Verdict::PassOver;
        }
        self.unconfirmed.insert(id);
        Verdict::Show
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::*;
    use super::*;
    use crate::types::{AccountName, Names, Timestamp};

    fn message(id: u128, seq: Option<u64>, seen_to: Option<u64>) -> Message {
        Message {
            id: Uuid::from_u128(id),
            from: AccountName::new("alice").expect("valid"),
            to: Names::from_iter([]),
            text: String::new(),
            at: Timestamp(0),
            seq,
            confirmed: seq.is_some(),
            place: None,
            seen_to,
            read: false,
            accepted_at: None,
            notice: false,
            mention: false,
            reply_to: None,
            answers: None,
            read_by: None,
        }
    }

    fn confirmed(id: u128, seq: u64) -> Message {
        message(id, Some(seq), None)
    }

    fn unconfirmed(id: u128, seen_to: u64) -> Message {
        message(id, None, Some(seen_to))
    }

    #[test]
    fn an_unconfirmed_message_moves_no_cursor_and_is_shown_once_in_all_its_forms() {
        let mut shown = Shown::behind(None);
        assert_eq!(shown.take(&confirmed(1, 10)), Show);
        assert_eq!(shown.take(&unconfirmed(2, 10)), Show);
        assert_eq!((shown.after(), shown.is_unconfirmed(Uuid::from_u128(2))), (Some(10), true));
        assert_eq!(shown.take(&unconfirmed(2, 10)), PassOver, "another server has it as well");
        assert_eq!(shown.take(&confirmed(3, 11)), Show);
        assert_eq!(shown.take(&confirmed(2, 12)), Confirmed);
        assert_eq!((shown.after(), shown.is_unconfirmed(Uuid::from_u128(2))), (Some(12), false));
        assert_eq!(shown.take(&confirmed(2, 12)), PassOver);
        assert_eq!(shown.take(&unconfirmed(2, 10)), PassOver, "a server that is behind");
    }

    #[test]
    fn what_was_shown_as_confirmed_is_not_shown_by_a_server_that_is_behind() {
        let mut shown = Shown::behind(None);
        for seq in 1..=5 {
            assert_eq!(shown.take(&confirmed(seq.into(), seq)), Show);
        }
        assert_eq!(shown.take(&unconfirmed(4, 3)), PassOver);
        assert_eq!(shown.take(&unconfirmed(6, 3)), Show);
    }

    #[test]
    fn what_may_have_made_room_waits_for_its_confirmation() {
        let mut shown = Shown::keeping(3, None);
        // Places have gaps: others' messages are there. Of 10, 20, … 60 three are kept.
        for seq in 1..=6 {
            assert_eq!(shown.take(&confirmed(seq.into(), 10 * seq)), Show);
        }
        // The server knew up to 29 when it took it, and it may be the one at 30.
        assert_eq!(shown.take(&unconfirmed(3, 29)), PassOver);
        assert_eq!(shown.take(&unconfirmed(7, 29)), PassOver, "and so may be one that is not");
        // Everything that was shown behind 30 is kept.
        assert_eq!(shown.take(&unconfirmed(8, 30)), Show);
        assert_eq!(shown.take(&unconfirmed(5, 30)), PassOver);
        assert_eq!(shown.take(&confirmed(7, 70)), Show, "it comes in the end");
        assert_eq!(shown.take(&confirmed(8, 80)), Confirmed);
    }

    #[test]
    fn a_follow_that_begins_in_the_middle_does_not_show_what_came_before_its_beginning() {
        // Whoever asked for what is behind 50 may have shown 41 to 50.
        let mut shown = Shown::behind(Some(50));
        assert_eq!(shown.take(&unconfirmed(1, 40)), PassOver);
        assert_eq!(shown.take(&unconfirmed(1, 50)), Show);
        assert_eq!(shown.take(&message(2, None, None)), PassOver, "nobody says what was known");
        // One that begins at the beginning has shown all there is.
        let mut shown = Shown::behind(None);
        assert_eq!(shown.take(&unconfirmed(1, 40)), Show);
        assert_eq!(shown.take(&message(2, None, None)), Show);
    }

    #[test]
    fn of_all_histories_of_two_servers_nothing_is_shown_twice_or_left_out() {
        // Twelve messages are confirmed one after the other. A server that is behind by
        // `lag` shows those that it does not know as unconfirmed ones, at any time.
        for (kept, lag, every) in (1..14).flat_map(|kept| {
            (0..12).flat_map(move |lag| (1..4).map(move |every| (kept, lag, every)))
        }) {
            let mut shown = Shown::keeping(kept, None);
            let mut times = [0; 13];
            for seq in 1..=12u64 {
                let mut note = |message: &Message, index: u64| {
                    times[index as usize] += usize::from(shown.take(message) == Show);
                };
                note(&confirmed(seq.into(), seq), seq);
                if seq % every == 0 {
                    let known = seq.saturating_sub(lag);
                    (known + 1..=12).for_each(|it| note(&unconfirmed(it.into(), known), it));
                }
            }
            assert_eq!(times[1..], [1; 12], "{kept} kept, {lag} behind, each {every}");
        }
    }
}
