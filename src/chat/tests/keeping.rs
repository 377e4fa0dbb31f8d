//! How long messages are kept.

use proptest::prelude::*;

use super::bounds::set_bounds;
use super::restoring::{backup, steps};
use super::*;
use crate::limits::{
    EXPIRED_LISTS_PER_ENTRY, LEVEL_OF_BOUNDS, LEVEL_OF_KEEPING, MARKS_MAX, RECIPIENTS_MAX,
};

const DAY: u64 = 24 * HOUR;

/// Days after the first, as clocks say.
fn day(days: u64) -> Timestamp {
    Timestamp((10_000 + days) * DAY)
}

fn keep(days: u32) -> Action {
    let (account_bytes, total_bytes, proposed) = (None, None, false);
    let keep_messages_days = Some(days);
    let change = Change::SetBounds { account_bytes, total_bytes, keep_messages_days, proposed };
    Action::Administer { by: "root@alpha".into(), change }
}

fn at_level() -> Chat {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_KEEPING });
    chat
}

impl Chat {
    /// What a leader writes that has just looked.
    fn note(&mut self, at: Timestamp) {
        let seq = self.state.last_seq();
        assert_eq!(self.apply(Action::NoteTime { seq, at }), Outcome::Done);
    }

    /// The same until there is no more to do; how often that was.
    fn note_all(&mut self, at: Timestamp) -> usize {
        let mut entries = 0;
        while self.state.heeds_time(at) {
            self.note(at);
            entries += 1;
        }
        entries
    }

    fn count(&self) -> usize {
        self.state.counts().messages
    }
}

#[test]
fn a_message_goes_from_all_lists_when_it_is_as_old_as_was_said_and_not_before() {
    let mut chat = at_level();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    assert!(!chat.state.heeds_time(day(0)), "there is nothing to mark");
    chat.send(alice, &["bob", "carol"], "old");
    assert_eq!(chat.note_all(day(0)), 1);
    chat.send(bob, &["alice"], "newer");
    assert!(!chat.state.heeds_time(Timestamp(day(1).0 - 1)), "a mark a day");
    assert_eq!(chat.note_all(day(1)), 1);
    assert_eq!(chat.apply(keep(30)), Outcome::Done);
    assert!(!chat.state.heeds_time(Timestamp(day(30).0 - 1)));
    chat.note(Timestamp(day(30).0 - 1));
    assert_eq!(chat.count(), 2);
    let before = chat.state.stored_bytes();
    chat.note_all(day(30));
    for who in [bob, carol] {
        assert_eq!(chat.texts(who, Which::All), [""; 0]);
    }
    assert_eq!(chat.texts(alice, Which::Sent), [""; 0]);
    assert_eq!(chat.texts(alice, Which::All), ["newer"]);
    assert!(chat.state.stored_bytes() < before);
    chat.note_all(day(31));
    assert_eq!(chat.count(), 0);
    assert!(!chat.state.heeds_time(day(5_000)), "nothing is left to do");
}

#[test]
fn what_messages_are_stamped_with_makes_none_go_early_and_none_stay() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    chat.apply(keep(2));
    let right = chat.at;
    for (stamp, text) in [(right, "right"), (Timestamp(0), "early"), (Timestamp::MAX, "late")] {
        chat.at = stamp;
        let id = chat.id();
        let outcome = chat.apply_as(id, send(alice, &["alice"], text));
        // The session has ended by the last one.
        assert_eq!(matches!(outcome, Outcome::Sent { .. }), text != "late", "{outcome:?}");
        chat.at = right;
    }
    chat.note(day(0));
    chat.note(day(1));
    assert_eq!(chat.count(), 2, "one that seems to be of 1970 is not yet old");
    chat.note_all(day(2));
    assert_eq!(chat.count(), 0);
}

#[test]
fn a_message_that_is_gone_does_not_come_back_when_it_is_sent_again_inside_the_window() {
    let mut chat = Chat { state: State::new(20), ..at_level() };
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_KEEPING });
    let alice = chat.register("alice");
    chat.apply(keep(1));
    let (id, seq) = chat.send(alice, &["alice"], "once");
    chat.note(day(0));
    chat.note_all(day(1));
    assert_eq!(chat.count(), 0);
    let again = chat.apply_as(id, send(alice, &["alice"], "once"));
    assert!(matches!(again, Outcome::Sent { seq: other, .. } if other == seq), "{again:?}");
    let (code, _) = refusal(chat.apply_as(id, send(alice, &["alice"], "another")));
    assert_eq!((code, chat.count()), (ErrorCode::IdConflict, 0));
    let mine = chat.apply(Action::Delete { session: alice.session, ids: vec![id] });
    assert_eq!(refusal(mine).0, ErrorCode::UnknownMessage);
    // Where the window does not reach back to it, it takes no place there.
    chat.send(alice, &["alice"], "long ago");
    chat.note_all(day(2));
    chat.pass(21);
    assert_eq!(chat.state.usage.remembered_bytes(), 0);
    chat.note_all(day(3));
    assert_eq!((chat.count(), chat.state.usage.remembered_bytes()), (0, 0));
}

#[test]
fn what_goes_is_spread_over_entries_and_a_server_that_restarts_in_between_goes_on_alike() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    let everybody: Vec<String> = (0..RECIPIENTS_MAX).map(|n| format!("u{n}")).collect();
    for who in &everybody {
        let action = chat.register_action(who);
        let id = chat.id();
        chat.apply_as(id, action);
    }
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    // The entry that comes to the last of these has used up all but two lists.
    let small = EXPIRED_LISTS_PER_ENTRY / 2 - 1;
    for _ in 0..3 {
        for _ in 0..small {
            chat.send(alice, &["alice"], "x");
        }
        chat.send(alice, &everybody, "to all");
    }
    chat.note(day(0));
    chat.apply(keep(1));
    let (mut entries, mut before) = (0, chat.count());
    while chat.state.heeds_time(day(1)) {
        let mut other = chat.loaded(1_000);
        let action = Action::NoteTime { seq: chat.state.last_seq(), at: day(1) };
        let id = chat.id();
        meter::taken();
        chat.apply_as(id, action.clone());
        let worked = meter::taken();
        assert!(worked <= action.steps(), "{worked} steps");
        assert!(before - chat.count() <= EXPIRED_LISTS_PER_ENTRY);
        other.apply_as(id, action);
        assert_eq!(other.state.hash(), chat.state.hash());
        audit(&other.state);
        (entries, before) = (entries + 1, chat.count());
    }
    assert_eq!(before, 0);
    assert!(entries >= 3, "{entries} entries");
}

#[test]
fn another_bound_holds_from_its_entry_on_and_none_keeps_what_is_left() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    let more = EXPIRED_LISTS_PER_ENTRY;
    for _ in 0..more {
        chat.send(alice, &["alice"], "x");
    }
    chat.note(day(0));
    chat.apply(keep(10));
    chat.note(day(10));
    let left = chat.count();
    assert!((1..more).contains(&left), "{left} of {more}");
    chat.apply(keep(0));
    assert_eq!(chat.note_all(day(500)), 0);
    assert_eq!(chat.count(), left);
    let recorded = chat.state.look(|look| look.actions(0)).pop().expect("an action").what;
    assert_eq!(serde_json::to_value(recorded).expect("JSON").get("keep_messages_days"), None);
    chat.apply(keep(500));
    chat.note_all(day(499));
    assert_eq!(chat.count(), left);
    chat.note_all(day(500));
    assert_eq!(chat.count(), 0);
    chat.apply(set_bounds(Some(0), None, false));
    assert_eq!(chat.state.bounds().keep_messages_days, 500, "another bound leaves it");
}

#[test]
fn an_entry_that_comes_late_or_twice_changes_nothing_and_a_time_to_come_is_dropped() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    chat.apply(keep(5));
    chat.send(alice, &["alice"], "first");
    let late = Action::NoteTime { seq: 1, at: day(0) };
    chat.apply(late.clone());
    chat.send(alice, &["alice"], "second");
    chat.note(day(1));
    let hash = chat.state.hash();
    chat.apply(late);
    assert_eq!(chat.state.hash(), hash);
    // Clocks that were wrong together, and are right again.
    chat.send(alice, &["alice"], "third");
    chat.note(day(4));
    chat.note(day(1));
    chat.note_all(day(6));
    assert_eq!(chat.texts(alice, Which::All), ["third"]);
    chat.note_all(day(10));
    assert_eq!(chat.texts(alice, Which::All), ["third"], "it counts from day 6");
    chat.note_all(day(11));
    assert_eq!(chat.count(), 0);
    // A message that is not there yet is not marked.
    chat.apply(Action::NoteTime { seq: u64::MAX >> 3, at: day(12) });
    chat.send(alice, &["alice"], "fourth");
    chat.note(day(13));
    chat.note_all(day(17));
    assert_eq!(chat.count(), 1);
}

#[test]
fn marks_are_as_many_as_there_may_be_and_the_oldest_messages_stay_longer() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    for n in 0..MARKS_MAX as u64 + 10 {
        let id = chat.id();
        chat.at = Timestamp(HOUR);
        chat.apply_as(id, send(alice, &["alice"], "x"));
        let seq = chat.state.last_seq();
        let id = chat.id();
        chat.apply_as(id, Action::NoteTime { seq, at: day(n) });
    }
    audit(&chat.state);
    assert_eq!(chat.state.data.marks.len(), MARKS_MAX);
    assert_eq!(chat.loaded(1_000).state.hash(), chat.state.hash());
}

#[test]
fn below_its_level_nothing_is_marked_and_nothing_goes() {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    let alice = chat.register("alice");
    chat.send(alice, &["alice"], "old");
    chat.apply(keep(1));
    assert_eq!(chat.state.bounds().keep_messages_days, 0);
    let hash = chat.state.hash();
    for days in [0, 1, 2] {
        assert!(!chat.state.heeds_time(day(days)));
        chat.note(day(days));
    }
    assert_eq!((chat.state.hash(), chat.count()), (hash, 1));
    assert!(!lines(&chat.state).iter().any(|line| line.starts_with(b"{\"marks\"")));
}

#[test]
fn what_is_restored_is_as_old_as_it_was() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    chat.apply(keep(1));
    chat.send(alice, &["alice"], "old");
    chat.pass(100);
    chat.note(day(0));
    let lines = backup(&chat.state);
    let mut fresh = at_level();
    steps(&lines, 2).into_iter().for_each(|step| drop(fresh.apply(step)));
    assert_eq!(fresh.count(), 1);
    assert!(!fresh.state.heeds_time(day(100)), "the new cluster keeps all");
    fresh.apply(keep(30));
    fresh.note_all(Timestamp(day(30).0 - 1));
    assert_eq!(fresh.count(), 1);
    fresh.note_all(day(30));
    assert_eq!(fresh.count(), 0);
}

#[test]
fn marks_of_a_snapshot_that_cannot_be_are_refused() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    for n in 0..2 {
        chat.send(alice, &["alice"], "x");
        chat.note(day(n));
    }
    let written = lines(&chat.state);
    let at = written.iter().position(|line| line.starts_with(b"{\"marks\"")).expect("marks");
    let text = String::from_utf8(written[at].clone()).expect("JSON");
    let (first, second) = (day(0).to_string(), day(1).to_string());
    for (from, to) in
        [(&second[..], &first[..]), ("\"seq\":2", "\"seq\":1"), ("\"seq\":2", "\"seq\":3")]
    {
        let mut wrong = written.clone();
        let replaced = text.replace(from, to);
        assert_ne!(replaced, text);
        wrong[at] = replaced.into();
        let error = restore(1_000, &wrong).expect_err(to);
        assert!(error.message.contains("out of order"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever is sent when, and whenever leaders look: nothing goes before its time, and
    /// all goes at most a day and a look later.
    #[test]
    fn every_message_is_kept_for_as_long_as_was_said_and_about_a_day_more(
        days in 1u32..5,
        // Hours that pass, whether something is sent then, and a look at the clocks.
        steps in prop::collection::vec((0u64..30, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let mut chat = at_level();
        let alice = chat.register("alice");
        chat.apply(keep(days));
        let mut now = day(0);
        let mut sent: Vec<(u64, Timestamp)> = Vec::new();
        for (hours, sends, looks) in steps {
            let before = chat.state.last_seq();
            now = now.plus_ms(hours * HOUR);
            if sends {
                sent.push((chat.send(alice, &["alice"], "x").1, now));
            }
            if looks {
                // The entry says what was there when the leader looked, or less.
                chat.apply(Action::NoteTime { seq: before, at: now });
                while chat.state.expired_mark(now).is_some() {
                    chat.apply(Action::NoteTime { seq: before, at: now });
                }
            }
            for (seq, at) in &sent {
                let is_young = now < at.plus_ms(u64::from(days) * DAY);
                prop_assert!(!is_young || chat.state.data.messages.get(*seq).is_some());
            }
        }
        // From here on leaders look each hour.
        for hour in 0..(u64::from(days) + 1) * 24 + 1 {
            chat.note_all(now.plus_ms(hour * HOUR));
        }
        prop_assert_eq!(chat.count(), 0);
    }
}
