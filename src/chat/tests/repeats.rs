//! Operation ids that were tried more than once, and messages that come late.

use super::settling::{Alone, again};
use super::*;
use crate::limits::{REPEAT_BYTES, REPEATS_PARTS, TOTAL_BYTES_MIN};

#[test]
fn what_a_majority_took_and_its_owner_deleted_does_not_come_back_with_the_first_try() {
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "once");
    // Its answer was lost, so the client asks a majority as well, and says so.
    alone.chat.apply_as(id, again(alice, &["bob"], "once"));
    alone.forget(alice, bob, id);
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!((alone.all(bob), alone.notices(alice)), (vec![], vec![]));
}

#[test]
fn an_id_that_a_stranger_has_used_and_forgotten_is_no_answer_to_its_author() {
    let mut alone = Alone::with_window(3);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob, carol], "for both");
    // Bob has seen it while it was unconfirmed, and makes a message of his own with its id.
    alone.chat.apply_as(id, again(bob, &["bob"], "mine"));
    alone.forget(bob, bob, id);
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!(
        (alone.all(bob), alone.all(carol)),
        (vec!["for both".into()], vec!["for both".into()])
    );
}

#[test]
fn what_a_stranger_was_refused_does_not_stop_a_message() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "hello");
    alone.chat.apply_as(id, again(bob, &["nobody"], "hello"));
    alone.settle(id, &entry);
    let told = alone.notices(alice);
    assert!(told[0].contains("its id means another message"), "{}", told[0]);
}

#[test]
fn another_try_of_a_message_that_some_could_not_get_any_more_is_the_same_message() {
    for deleted in [false, true] {
        let mut alone = Alone::new();
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| alone.chat.register(who));
        let (id, entry) = alone.message(alice, &[bob, carol], "for both");
        alone.chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
        alone.settle(id, &entry);
        if deleted {
            alone.chat.apply(Action::Delete { session: carol.session, ids: vec![id] });
            let number = alone.chat.state.numbers[&alice.account];
            let seq = alone.chat.state.message_ids.get(&id).expect("it was sent");
            alone.chat.state.remove_from_sent(Some(alone.chat.index), number, seq);
        }
        let outcome = alone.chat.apply_as(id, again(alice, &["bob", "carol"], "for both"));
        assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
        assert_eq!(alone.all(carol).len(), usize::from(!deleted));
        // Nor does another server's list deliver it, or tell of it once more.
        let mut other = entry.clone();
        other.place.list = Uuid::from_u128(901);
        alone.settle(id, &other);
        assert_eq!(alone.all(carol).len(), usize::from(!deleted));
        assert_eq!(alone.notices(alice).len(), 1);
    }
}

#[test]
fn a_message_is_refused_where_no_more_than_its_id_is_remembered() {
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let id = alone.chat.id();
    assert!(matches!(alone.chat.apply_as(id, again(alice, &["bob"], "x")), Outcome::Sent { .. }));
    let other = alone.chat.id();
    alone.chat.apply_as(other, again(alice, &["nobody"], "x"));
    alone.forget(alice, bob, id);
    for (id, what) in [(id, "accepted before"), (other, "refused before")] {
        // The first try may have lain in the socket of a server that was frozen.
        for action in [again(alice, &["bob"], "x"), send(alice, &["bob"], "x")] {
            let (code, sentence) = refusal(alone.chat.apply_as(id, action));
            assert_eq!(code, ErrorCode::IdForgotten);
            assert!(sentence.contains(what), "{sentence}");
        }
    }
    assert_eq!(alone.all(bob), [""; 0]);
}

#[test]
fn an_author_is_told_once_what_cannot_be_told_any_more() {
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, mut entry) = alone.message(alice, &[bob], "perhaps");
    entry.again = true;
    for _ in 0..20 {
        let (sent, _) = alone.chat.send(bob, &["bob"], "x");
        alone.chat.apply(Action::Delete { session: bob.session, ids: vec![sent] });
    }
    // A refusal is remembered, and forgotten like the rest.
    alone.chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    alone.chat.pass(10);
    assert_eq!(alone.settle(id, &entry), 1);
    let told = alone.notices(alice);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("cannot be told any more"), "{}", told[0]);
    assert_eq!(alone.all(bob), [""; 0]);
    // Another server has taken it as well, and the author has thrown the notice away.
    let inbox = alone.chat.page(alice, &InboxQuery::default());
    let ids = vec![inbox.messages[0].id];
    alone.chat.apply(Action::Delete { session: alice.session, ids });
    alone.chat.pass(20);
    entry.place.list = Uuid::from_u128(901);
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!(alone.notices(alice), [""; 0]);
    assert_eq!(alone.all(bob), [""; 0]);
}

#[test]
fn what_a_majority_has_refused_is_not_delivered_and_its_author_is_told() {
    let mut alone = Alone::with_window(50);
    let alice = alone.chat.register("alice");
    let bob = alone.chat.register("bob");
    let (id, entry) = alone.message(alice, &[bob], "hello");
    alone.chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    assert_eq!(
        refusal(alone.chat.apply_as(id, again(alice, &["bob"], "hello"))).0,
        ErrorCode::UnknownAccount
    );
    for forgotten in [false, true] {
        let mut alone = Alone { chat: alone.chat.loaded(50), ..Alone::with_window(50) };
        if forgotten {
            alone.chat.pass(100);
            assert!(!alone.chat.state.look(|look| look.remembers(id)));
        }
        assert_eq!(alone.settle(id, &entry), 1);
        let told = alone.notices(alice);
        assert_eq!(told.len(), 1, "{forgotten}");
        assert!(told[0].contains("another try of it was refused"), "{}", told[0]);
    }
}

#[test]
fn whether_an_account_that_is_gone_got_a_message_is_not_claimed() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[alice, bob], "hello");
    alone.chat.apply_as(id, again(alice, &["alice", "bob"], "hello"));
    // The message leaves all lists, and its id is remembered with the names alone.
    alone.chat.apply(Action::Delete { session: alice.session, ids: vec![id] });
    alone.chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    let alice_number = alone.chat.state.numbers[&alice.account];
    let seq = alone.chat.state.message_ids.get(&id).expect("alice has sent it");
    alone.chat.state.remove_from_sent(Some(alone.chat.index), alice_number, seq);
    alone.settle(id, &entry);
    let told = alone.notices(alice);
    assert!(told[0].contains("may not have reached everybody"), "{}", told[0]);
}

#[test]
fn an_id_that_somebody_has_used_up_costs_its_author_no_message_without_a_word() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "hello");
    // Bob has seen it while it was unconfirmed.
    alone.chat.apply_as(id, send(bob, &["bob"], "mine"));
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!(alone.all(bob), ["mine"]);
    let told = alone.notices(alice);
    assert!(told[0].contains("its id means another message"), "{}", told[0]);
    // Nobody else can make a message that is a notice, or one with its id.
    alone.chat.send(bob, &["alice"], &told[0]);
    assert_eq!(alone.notices(alice).len(), 1);
}

#[test]
fn ids_that_were_tried_again_have_a_bound_and_what_is_beyond_it_is_not_taken_for_new() {
    let mut alone = Alone::with_window(2);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let total = TOTAL_BYTES_MIN;
    let change = Change::SetBounds {
        account_bytes: None,
        total_bytes: Some(total),
        keep_messages_days: None,
        proposed: false,
    };
    alone.chat.apply(Action::Administer { by: "root@alpha".into(), change });
    let most = (total / REPEATS_PARTS / REPEAT_BYTES) as usize;
    let (early, early_entry) = alone.message(alice, &[bob], "early");
    let (honest, honest_entry) = alone.message(bob, &[bob], "of somebody else");
    for _ in 0..most + 10 {
        let id = alone.chat.id();
        alone.chat.apply_as(id, again(alice, &["alice"], "x"));
        alone.chat.apply(Action::Delete { session: alice.session, ids: vec![id] });
    }
    assert_eq!(alone.chat.state.data.repeats.len(), most);
    // It was tried once, but a second try could be among those that are forgotten.
    alone.settle(early, &early_entry);
    assert!(alone.notices(alice)[0].contains("cannot be told any more"));
    let (late, late_entry) = alone.message(alice, &[bob], "late");
    // Whoever has not filled it loses nothing by it.
    alone.settle(honest, &honest_entry);
    alone.settle(late, &late_entry);
    assert_eq!(alone.all(bob), ["of somebody else", "late"]);
}

#[test]
fn what_has_gone_with_its_time_is_not_taken_for_new() {
    const DAY: u64 = 24 * HOUR;
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, mut entry) = alone.message(alice, &[bob], "kept for a day");
    // A majority has taken the first try, and the server that is alone the second.
    entry.again = true;
    alone.chat.apply_as(id, send(alice, &["bob"], "kept for a day"));
    let change = Change::SetBounds {
        account_bytes: None,
        total_bytes: None,
        keep_messages_days: Some(1),
        proposed: false,
    };
    alone.chat.apply(Action::Administer { by: "root@alpha".into(), change });
    for day in [1, 3] {
        let (seq, at) = (alone.chat.state.last_seq(), Timestamp(day * DAY));
        alone.chat.apply(Action::NoteTime { seq, at });
        alone.chat.pass(20);
    }
    assert_eq!((alone.chat.state.counts().messages, alone.all(bob)), (0, vec![]));
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!(alone.all(bob), [""; 0]);
    assert!(alone.notices(alice)[0].contains("cannot be told any more"));
}
