//! What a server that is alone takes, and what it refuses.

use super::overlay::{Lonely, close, delete, disable};
use super::settling::again;
use super::*;
use crate::error::Error;
use crate::limits::{
    IDS_PER_REQUEST_MAX, LEVEL_OF_SETTLING, MESSAGE_OVERHEAD_BYTES, RECIPIENTS_MAX, TEXT_MAX_BYTES,
};
use crate::types::Place;

/// What was found, of a refusal that decides nothing.
fn undecided(asked: crate::error::Result<Acceptance>) -> String {
    let Error { code, message, .. } = asked.expect_err("refused");
    assert_eq!(code, ErrorCode::NeedsMajority, "{message}");
    assert!(code.retryable());
    // It may have been done elsewhere.
    assert!(!message.contains("nothing"), "{message}");
    assert!(message.starts_with("this server is alone, and as far as it knows "), "{message}");
    message
}

fn after(from: User, text: &str, after: Place) -> Action {
    let to = names(&["bob"]);
    Action::Send {
        session: from.session,
        to,
        text: text.into(),
        again: false,
        after: Some(after),
        reply_to: None,
    }
}

fn bounds(account_bytes: u64, total_bytes: u64) -> Action {
    let change = Change::SetBounds {
        account_bytes: Some(account_bytes),
        total_bytes: Some(total_bytes),
        keep_messages_days: None,
        proposed: false,
    };
    Action::Administer { by: "root@alpha".into(), change }
}

#[test]
fn every_refusal_decides_nothing() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (seen, seq) = lonely.alone.chat.send(bob, &["alice"], "seen");
    let id = Uuid::from_u128(1);
    let too_long = "x".repeat(TEXT_MAX_BYTES + 1);
    let everybody: Vec<String> = (0..=RECIPIENTS_MAX).map(|n| format!("u{n}")).collect();
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    let stranger = User { session: 77, ..alice };
    let mark = |seqs| Action::MarkRead { session: alice.session, seqs };
    let refused = [
        (send(alice, &["nobody", "bob"], "x"), "no account is named nobody"),
        (send(alice, &["bob"], ""), "a message needs a text"),
        (send(alice, &["bob"], &too_long), "at most 8192 bytes"),
        (send(alice, &everybody, "x"), "at most 1000 recipients"),
        (send(alice, &[], "x"), "a message needs a recipient"),
        (send(stranger, &["bob"], "x"), "the session has ended"),
        (delete(alice, &[seen, Uuid::from_u128(9)]), "no message 00000000-0000-0000-0000-0000"),
        (delete(bob, &[seen]), "in this inbox"),
        (delete(alice, &vec![seen; IDS_PER_REQUEST_MAX + 1]), "at most 1000 messages"),
        (mark(vec![seq; IDS_PER_REQUEST_MAX + 1]), "at most 1000 messages"),
        (mark(vec![seq, seq + 1]), "no message 2 yet"),
        (lonely.alone.chat.register_action("carol"), "a majority"),
        (Action::DeleteAccount { session: alice.session, verified: None }, "a majority"),
    ];
    for (action, found) in refused {
        let why = undecided(lonely.ask(id, action));
        assert!(why.contains(found), "{why}");
    }
    assert!(undecided(lonely.mark(alice, &[Uuid::from_u128(9)])).contains("no message"));
    // An id that means something else, in the state or in the overlay.
    let (unconfirmed, _) = lonely.send(alice, &["bob"], "unconfirmed");
    for id in [seen, unconfirmed] {
        for action in [send(alice, &["bob"], "other"), delete(alice, &[seen]), close(alice)] {
            assert!(undecided(lonely.ask(id, action)).contains("used before"));
        }
        assert!(undecided(lonely.ask(id, send(bob, &["bob"], "unconfirmed"))).contains("used"));
    }
    lonely.alone.chat.at = lonely.alone.chat.at.plus_ms(100 * HOUR);
    assert!(undecided(lonely.ask(id, send(alice, &["bob"], "x"))).contains("has ended"));
}

#[test]
fn nothing_is_taken_where_the_log_could_not_settle_it() {
    let mut lonely = Lonely::new();
    lonely.alone.chat = Chat::new();
    let alice = lonely.register("alice");
    lonely.alone.chat.apply(Action::RaiseLevel { level: LEVEL_OF_SETTLING - 1 });
    let why = undecided(lonely.ask(Uuid::from_u128(1), send(alice, &["alice"], "x")));
    assert!(why.contains("feature level 4"), "{why}");
    let mut restoring = Lonely::new();
    let backup = Uuid::from_u128(3);
    restoring.alone.chat.apply(Action::Restore(RestoreStep::Begin { backup }));
    undecided(restoring.ask(Uuid::from_u128(1), send(alice, &["alice"], "x")));
}

#[test]
fn what_the_applied_state_knows_is_answered_as_a_majority_has_decided_it() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (id, _) = lonely.alone.chat.send(alice, &["bob"], "hello");
    lonely.alone.chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    let other = lonely.register("bob");
    let known = lonely.ask(id, again(alice, &["bob"], "hello"));
    assert!(matches!(known, Ok(Acceptance::Known(Outcome::Sent { seq: 1, .. }))), "{known:?}");
    assert_eq!(lonely.texts(other, Which::All), (vec![], vec![]), "not for the new owner");
    let refused = lonely.id();
    lonely.alone.chat.apply_as(refused, send(alice, &["nobody"], "x"));
    let known = lonely.ask(refused, send(alice, &["nobody"], "x"));
    let Ok(Acceptance::Known(Outcome::Refused(body))) = known else { panic!("{known:?}") };
    assert_eq!(body.code, ErrorCode::UnknownAccount, "that was decided");
    // A mark whose first try named places is known, whatever this one names.
    let (message, seq) = lonely.alone.chat.send(alice, &["alice"], "mine");
    let id = lonely.id();
    let session = alice.session;
    lonely.alone.chat.apply_as(id, Action::MarkRead { session, seqs: vec![seq] });
    let asked = MarkAsked { id, session, seqs: &[], ids: &[message] };
    let known = lonely.look(|look| look.take_mark(&asked, Timestamp(0), Timestamp(0), 0));
    assert_eq!(known, Ok(Acceptance::Known(Outcome::Marked { count: 1 })));
}

#[test]
fn the_same_again_gets_the_same_answer_and_place() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let id = lonely.id();
    let asked = lonely.ask(id, send(alice, &["Bob", "ALICE"], "hello"));
    let Ok(Acceptance::New { answer: first, .. }) = &asked else { panic!("{asked:?}") };
    let (first, at) = (first.clone(), lonely.alone.chat.at);
    assert_eq!(first, Given::Sent { at, to: names(&["bob", "alice"]).into_iter().collect() });
    let taken = lonely.add(asked);
    lonely.alone.chat.at = at.plus_ms(5);
    let held = |lonely: &Lonely, id, action| match lonely.ask(id, action) {
        Ok(Acceptance::Held { order, place, answer }) => (order, place, answer),
        other => panic!("{other:?}"),
    };
    let (order, place, answer) = held(&lonely, id, again(alice, &["bob", "alice"], "hello"));
    assert_eq!((order, place, answer), (1, None, first.clone()), "on its way to the disk");
    let written = lonely.write(taken);
    let (_, place, answer) = held(&lonely, id, again(alice, &["bob", "alice"], "hello"));
    assert_eq!((place, answer), (Some(written), first));
    let (seen, seq) = lonely.alone.chat.send(alice, &["bob"], "seen");
    let mark = Action::MarkRead { session: bob.session, seqs: vec![seq, 0] };
    let (marked, _) = lonely.take(mark.clone());
    assert_eq!(held(&lonely, marked, mark).2, Given::Marked { count: 1 });
    let (deleted, _) = lonely.take(delete(bob, &[seen, id, seen]));
    assert_eq!(held(&lonely, deleted, delete(bob, &[id, seen])).2, Given::Deleted { count: 2 });
}

#[test]
fn lines_of_a_stream_are_taken_behind_each_other_or_not_at_all() {
    let mut lonely = Lonely::new();
    let alice = lonely.register("alice");
    lonely.register("bob");
    let elsewhere = Place { list: Uuid::from_u128(901), number: 3 };
    let id = lonely.id();
    let behind = lonely.ask(id, after(alice, "line 2", elsewhere)).expect_err("line 1 is missing");
    assert_eq!(behind.code, ErrorCode::Behind);
    let (_, own) = lonely.send(alice, &["bob"], "line 1");
    let next = Place { number: own.number + 1, ..own };
    assert!(lonely.ask(id, after(alice, "line 2", next)).is_err());
    let second = lonely.add(lonely.ask(id, after(alice, "line 2", own)));
    lonely.write(second);
    lonely.settle(true);
    lonely.settle(true);
    let third = lonely.id();
    let taken = lonely.ask(third, after(alice, "line 3", next));
    assert!(matches!(taken, Ok(Acceptance::New { .. })), "the state has it: {taken:?}");
}

#[test]
fn marks_become_ids_and_pass_over_only_what_is_gone() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let sent = ["a", "b", "c"].map(|text| lonely.alone.chat.send(alice, &["bob"], text));
    lonely.alone.chat.apply(delete(bob, &[sent[0].0]));
    let session = bob.session;
    let seqs: Vec<u64> = sent.iter().map(|it| it.1).collect();
    lonely.alone.chat.apply(Action::MarkRead { session, seqs: vec![sent[1].1] });
    lonely.take(Action::MarkRead { session, seqs: seqs.clone() });
    assert_eq!(lonely.outbox[0].1.act, Act::Mark { ids: vec![sent[2].0] });
    // Nothing grows when the same is marked again and again; another session may need it.
    lonely.take(Action::MarkRead { session, seqs: seqs.clone() });
    assert_eq!(lonely.outbox[1].1.act, Act::Mark { ids: vec![] });
    let other = opened(lonely.alone.chat.log_in(bob.account));
    lonely.take(Action::MarkRead { session: other.session, seqs });
    assert_eq!(lonely.outbox[2].1.act, Act::Mark { ids: vec![sent[2].0] });
    lonely.alone.chat.apply(close(bob));
    assert_eq!(lonely.texts(bob, Which::Unread).0, [""; 0], "the other one's counts");
}

#[test]
fn a_majority_has_marks_and_deletions_of_what_is_not_settled_wait() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (seen, seq) = lonely.alone.chat.send(alice, &["bob"], "seen");
    let unknown = Uuid::from_u128(9);
    let places = |lonely: &Lonely, ids: &[Uuid]| {
        lonely.look(|look| look.places_of(bob.account, ids)).map_err(|error| error.code)
    };
    let waits = |lonely: &Lonely, user: User, id| {
        lonely.look(|look| look.waits(user.account, &[unknown, id]))
    };
    assert_eq!(places(&lonely, &[seen]), Ok(vec![seq]));
    assert_eq!(places(&lonely, &[seen, unknown]), Err(ErrorCode::UnknownMessage));
    let (id, _) = lonely.send(alice, &["bob"], "unconfirmed");
    assert_eq!(places(&lonely, &[seen, id]), Err(ErrorCode::Behind));
    assert_eq!(places(&lonely, &[unknown]), Err(ErrorCode::Behind), "it may be settled by now");
    assert!(waits(&lonely, bob, id) && !waits(&lonely, alice, id) && !waits(&lonely, bob, seen));
    lonely.settle(false);
    assert_eq!(places(&lonely, &[id, seen]), Ok(vec![seq + 1, seq]));
    assert!(!waits(&lonely, bob, id));
    lonely.overlay.settled(&lonely.alone.list.clone(), 1);
    assert_eq!(places(&lonely, &[unknown]), Err(ErrorCode::UnknownMessage));
}

#[test]
fn what_is_deleted_alone_cannot_be_deleted_or_marked_once_more() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (seen, seq) = lonely.alone.chat.send(alice, &["bob"], "seen");
    let (id, _) = lonely.send(alice, &["bob"], "unconfirmed");
    let deletion = lonely.id();
    // Not on the disk yet, and it counts.
    let deletion = lonely.add(lonely.ask(deletion, delete(bob, &[seen, id])));
    for gone in [seen, id] {
        undecided(lonely.ask(Uuid::from_u128(1), delete(bob, &[gone])));
        undecided(lonely.mark(bob, &[gone]));
    }
    let mark = Action::MarkRead { session: bob.session, seqs: vec![seq] };
    let mark = lonely.ask(Uuid::from_u128(1), mark);
    assert!(matches!(mark, Ok(Acceptance::New { answer: Given::Marked { count: 0 }, .. })));
    assert_eq!(lonely.texts(bob, Which::All).0, ["seen"], "nobody is shown it");
    lonely.overlay.retract(deletion.0);
    assert!(lonely.ask(Uuid::from_u128(1), delete(bob, &[seen, id])).is_ok());
}

#[test]
fn room_is_counted_with_what_is_not_settled() {
    let one = MESSAGE_OVERHEAD_BYTES + 1;
    let fill = |bounds: Action, senders: usize, to: &[&str]| {
        let mut lonely = Lonely::new();
        lonely.register("bob");
        lonely.register("carol");
        let users: Vec<User> = (0..senders).map(|n| lonely.register(&format!("u{n}"))).collect();
        lonely.alone.chat.apply(bounds);
        let mut taken = 0;
        loop {
            let from = users[taken % senders];
            let id = lonely.id();
            let asked = lonely.ask(id, send(from, to, "x"));
            if asked.is_err() {
                let why = undecided(asked);
                // On its way to the disk or not, settled or not: the next one has no room.
                let id = lonely.id();
                while !lonely.outbox.is_empty() {
                    lonely.settle(true);
                    assert!(lonely.ask(id, send(from, to, "x")).is_err());
                }
                return (taken, why);
            }
            let added = lonely.add(asked);
            lonely.write(added);
            taken += 1;
            assert!(taken < 200, "nothing is refused");
        }
    };
    let many = 1 << 40;
    let (taken, why) = fill(bounds(12 * one, many), 1, &["bob"]);
    assert_eq!(taken, 3);
    assert!(why.contains("as much from you as one sender may fill"), "{why}");
    let (taken, why) = fill(bounds(12 * one, many), 6, &["bob"]);
    assert_eq!(taken, 12);
    assert!(why.contains("the inbox of bob is full"), "{why}");
    let (taken, why) = fill(bounds(1 << 30, 20_000), 2, &["carol", "bob"]);
    assert!(taken > 5, "{taken}");
    assert!(why.contains("the servers hold as much as they may"), "{why}");
}

/// It was confirmed to its author, perhaps, and this server only did not hear of that.
#[test]
fn what_another_had_taken_alone_is_shown_here_and_delivered_once() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (id, _) = lonely.send(alice, &["bob"], "from another list");
    let (place, taken) = lonely.outbox.remove(0);
    let elsewhere = Place { list: Uuid::from_u128(0xe15e), number: 1 };
    // Its server proposed it, and this one lost its majority before it knew what came of that.
    let mut lonely = Lonely { overlay: Overlay::default(), ..lonely };
    lonely.alone.last = place.number - 1;
    let proposed = taken.delivery(elsewhere);
    let adopted = lonely.add(lonely.ask(id, proposed.action.clone()));
    assert!(adopted.1.again, "its own server hands it over as well");
    lonely.write(adopted);
    let (no_more, shown) = (Vec::<String>::new(), vec!["from another list".to_string()]);
    assert_eq!(lonely.texts(bob, Which::All), (no_more.clone(), shown.clone()));
    let held = lonely.ask(id, proposed.action.clone());
    assert!(matches!(held, Ok(Acceptance::Held { .. })), "{held:?}");
    lonely.settle(true);
    let settled = lonely.alone.chat.apply_as(id, proposed.action.clone());
    assert_eq!(settled, Outcome::Settled { settled: 1 });
    assert_eq!(lonely.texts(bob, Which::All), (shown, no_more));
    let known = lonely.ask(id, proposed.action);
    assert_eq!(known, Ok(Acceptance::Known(Outcome::Settled { settled: 1 })));
}

#[test]
fn a_disabled_account_has_no_session_to_ask_with() {
    let mut lonely = Lonely::new();
    let alice = lonely.register("alice");
    lonely.alone.chat.apply(disable("alice", true));
    undecided(lonely.ask(Uuid::from_u128(1), send(alice, &["alice"], "x")));
}
