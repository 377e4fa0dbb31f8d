//! What servers took without a majority, once a majority is back.

use super::*;
use crate::limits::{LEVEL_OF_SETTLING, REPEAT_BYTES, REPEATS_PARTS, TOTAL_BYTES_MIN};
use crate::types::Place;

/// A list of a server that was alone, and a state that settles it.
struct Alone {
    chat: Chat,
    list: Uuid,
    last: u64,
}

impl Alone {
    fn new() -> Alone {
        Alone::with_window(1_000)
    }

    fn with_window(window: u64) -> Alone {
        let mut chat = Chat::with_window(window);
        chat.apply(Action::RaiseLevel { level: LEVEL_OF_SETTLING });
        Alone { chat, list: Uuid::from_u128(900), last: 0 }
    }

    /// The next entry of the list, taken now and tried nowhere else.
    fn entry(&mut self, author: User, act: Act) -> Delivery {
        self.last += 1;
        Delivery {
            place: Place { list: self.list, number: self.last },
            again: false,
            since: self.chat.index,
            accepted_at: self.chat.at,
            author: self.party(author),
            act,
        }
    }

    fn party(&self, user: User) -> Party {
        let name = self.chat.state.account(user.account).map(|it| it.name);
        Party { account: user.account, name: name.unwrap_or_else(name_of_the_gone) }
    }

    fn message(&mut self, author: User, to: &[User], text: &str) -> (Uuid, Delivery) {
        let to = to.iter().map(|user| self.party(*user)).collect();
        let entry = self.entry(author, Act::Send { to, text: text.into() });
        (self.chat.id(), entry)
    }

    fn settle(&mut self, id: Uuid, entry: &Delivery) -> u64 {
        let outcome = self.chat.apply_as(id, Action::Deliver(Box::new(entry.clone())));
        audit(&self.chat.state);
        match outcome {
            Outcome::Settled { settled } => settled,
            other => panic!("not settled: {other:?}"),
        }
    }

    fn all(&self, user: User) -> Vec<String> {
        self.chat.texts(user, Which::All)
    }

    /// The notices that somebody has.
    fn notices(&self, user: User) -> Vec<String> {
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        let messages = self.chat.page(user, &query).messages.into_iter();
        messages.filter(|message| message.notice).map(|message| message.text).collect()
    }
}

fn name_of_the_gone() -> AccountName {
    name("gone")
}

fn again(from: User, to: &[&str], text: &str) -> Action {
    let to = names(to);
    Action::Send { session: from.session, to, text: text.into(), again: true, after: None }
}

#[test]
fn entries_are_settled_once_and_in_their_order_whoever_brings_them() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let accepted_at = alone.chat.at;
    let entries: Vec<_> =
        ["a", "b", "c"].iter().map(|text| alone.message(alice, &[bob], text)).collect();
    alone.chat.at = alone.chat.at.plus_ms(HOUR);
    let [(a, first), (b, second), (c, third)] = &entries[..] else { panic!("three") };
    assert_eq!(alone.settle(*b, second), 0, "a gap changes nothing");
    assert_eq!(alone.settle(*a, first), 1);
    assert_eq!(alone.settle(*a, first), 1, "twice is once");
    assert_eq!(alone.settle(*c, third), 1);
    assert_eq!(alone.settle(*b, second), 2);
    assert_eq!(alone.settle(*c, third), 3);
    assert_eq!(alone.all(bob), ["a", "b", "c"]);
    assert_eq!(alone.chat.texts(alice, Which::Sent), ["a", "b", "c"]);
    let query = InboxQuery::default();
    for message in alone.chat.page(bob, &query).messages {
        assert_eq!(message.accepted_at, Some(accepted_at), "when it was written stays known");
        assert_eq!((message.at, message.notice), (alone.chat.at, false));
    }
    assert_eq!(alone.chat.state.settled(&alone.list), 3);
    assert_eq!(alone.chat.state.settled(&Uuid::from_u128(901)), 0, "another list is another");
}

#[test]
fn a_later_owner_of_a_name_gets_nothing_and_gives_nothing() {
    let mut alone = Alone::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| alone.chat.register(who));
    let to_two = alone.message(alice, &[bob, carol], "for two");
    let to_bob = alone.message(alice, &[bob], "for bob");
    let of_bob = alone.message(bob, &[alice], "of bob");
    alone.chat.apply(Action::DeleteAccount { session: bob.session });
    let other = alone.chat.register("bob");
    for (id, entry) in [&to_two, &to_bob, &of_bob] {
        alone.settle(*id, entry);
    }
    assert_eq!(alone.all(other), [""; 0]);
    assert_eq!(alone.all(carol), ["for two"]);
    let told = alone.notices(alice);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("to bob, carol did not reach bob: there is no"), "{}", told[0]);
    assert!(told[1].contains("It began: for bob"), "{}", told[1]);
    assert_eq!(alone.all(alice).len(), 2, "nothing under the name of somebody else");
    // And whoever asks a majority for the same once more does not find the new owner.
    let (code, _) = refusal(alone.chat.apply_as(to_bob.0, again(alice, &["bob"], "for bob")));
    assert_eq!(code, ErrorCode::UnknownAccount);
}

#[test]
fn a_message_that_was_tried_once_is_delivered_however_long_its_server_was_alone() {
    let mut alone = Alone::with_window(5);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "late");
    for number in 0..40 {
        alone.chat.send(bob, &["bob"], &number.to_string());
    }
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!(alone.all(bob).last().map(String::as_str), Some("late"));
    assert_eq!(alone.notices(alice), [""; 0]);
}

#[test]
fn what_a_majority_took_and_its_owner_deleted_does_not_come_back_with_the_first_try() {
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "once");
    // Its answer was lost, so the client asks a majority as well, and says so.
    alone.chat.apply_as(id, again(alice, &["bob"], "once"));
    alone.chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    alone.chat.apply(Action::DeleteAccount { session: alice.session });
    alone.chat.pass(20);
    assert!(!alone.chat.state.look(|look| look.remembers(id)), "the window has forgotten it");
    assert_eq!(alone.settle(id, &entry), 1);
    assert_eq!(alone.all(bob), [""; 0]);
}

#[test]
fn a_try_that_says_it_is_one_is_refused_where_more_than_the_id_is_forgotten() {
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let id = alone.chat.id();
    assert!(matches!(alone.chat.apply_as(id, again(alice, &["bob"], "x")), Outcome::Sent { .. }));
    for _ in 0..2 {
        // Out of both lists, and then out of the window.
        alone.chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    }
    let other = alone.chat.id();
    alone.chat.apply_as(other, again(alice, &["nobody"], "x"));
    alone.chat.apply(Action::DeleteAccount { session: alice.session });
    let alice = alone.chat.register("alice");
    alone.chat.pass(20);
    for (id, what) in [(id, "accepted before"), (other, "refused before")] {
        let (code, sentence) = refusal(alone.chat.apply_as(id, again(alice, &["bob"], "x")));
        assert_eq!(code, ErrorCode::IdConflict);
        assert!(sentence.contains(what), "{sentence}");
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
    assert!(told[0].contains("too long ago to tell"), "{}", told[0]);
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
    alone.chat.apply(Action::DeleteAccount { session: bob.session });
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
    alone.chat.apply(Action::DeleteAccount { session: bob.session });
    let alice_number = alone.chat.state.numbers[&alice.account];
    let seq = alone.chat.state.message_ids.get(&id).expect("alice has sent it");
    alone.chat.state.remove_from_sent(alone.chat.index, alice_number, seq);
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
fn what_follows_an_unconfirmed_message_waits_for_it() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (first, entry) = alone.message(alice, &[bob], "line 1");
    let after = Some(entry.place);
    let id = alone.chat.id();
    let second = |session| Action::Send {
        session,
        to: names(&["bob"]),
        text: "line 2".into(),
        again: false,
        after,
    };
    let (code, _) = refusal(alone.chat.apply_as(id, second(alice.session)));
    assert_eq!(code, ErrorCode::Behind);
    assert!(code.retryable());
    alone.settle(first, &entry);
    let outcome = alone.chat.apply_as(id, second(alice.session));
    assert!(matches!(outcome, Outcome::Sent { .. }), "it was not remembered: {outcome:?}");
    assert_eq!(alone.all(bob), ["line 1", "line 2"]);
}

#[test]
fn marks_deletions_and_ended_sessions_do_what_they_still_can() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let [kept, gone, marked] =
        ["kept", "gone", "marked"].map(|text| alone.chat.send(alice, &["bob"], text).0);
    let unknown = Uuid::from_u128(77);
    let mark = alone.entry(bob, Act::Mark { ids: vec![unknown, marked] });
    let delete = alone.entry(bob, Act::Delete { ids: vec![gone, unknown] });
    let wrong = Digest::of(b"of another cluster");
    let others = alone.entry(bob, Act::Close { session: bob.session, token_hash: wrong });
    let token_hash = alone.chat.state.data.sessions.get(bob.session).expect("open").token_hash;
    let close = alone.entry(bob, Act::Close { session: bob.session, token_hash });
    let ids = [(); 4].map(|()| alone.chat.id());
    alone.settle(ids[0], &mark);
    alone.settle(ids[1], &delete);
    assert_eq!(alone.chat.texts(bob, Which::Unread), ["kept"]);
    assert_eq!(alone.all(bob), ["kept", "marked"]);
    // Whoever got no answer asks a majority, and is told that it is done.
    let delete = |ids| Action::Delete { session: bob.session, ids };
    let outcome = alone.chat.apply_as(ids[1], delete(vec![gone, unknown]));
    assert_eq!(outcome, Outcome::Deleted { count: 1 });
    alone.settle(ids[2], &others);
    assert!(matches!(alone.chat.apply(delete(vec![kept])), Outcome::Deleted { .. }));
    alone.settle(ids[3], &close);
    assert_eq!(refusal(alone.chat.apply(delete(vec![marked]))).0, ErrorCode::SessionExpired);
    let logout = Action::CloseSession { session: bob.session };
    assert_eq!(alone.chat.apply_as(ids[3], logout), Outcome::Done);
}

#[test]
fn who_was_shut_out_meanwhile_is_told_that_nothing_went_out() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "hello");
    let change = Change::SetDisabled { name: name("alice"), disabled: true };
    alone.chat.apply(Action::Administer { by: "root@alpha".into(), change });
    alone.settle(id, &entry);
    assert_eq!(alone.all(bob), [""; 0]);
    assert!(alone.notices(alice)[0].contains("disabled meanwhile"));
}

#[test]
fn nothing_of_it_holds_below_its_level() {
    let mut chat = Chat::with_window(2);
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let mut alone = Alone { chat, list: Uuid::from_u128(900), last: 0 };
    let (id, entry) = alone.message(alice, &[bob], "x");
    let outcome = alone.chat.apply_as(id, Action::Deliver(Box::new(entry.clone())));
    assert_eq!(refusal(outcome).0, ErrorCode::Unavailable);
    let after = Some(entry.place);
    let action = |again| Action::Send {
        session: alice.session,
        to: names(&["bob"]),
        text: "y".into(),
        again,
        after,
    };
    assert!(matches!(alone.chat.apply_as(id, action(true)), Outcome::Sent { .. }));
    assert_eq!(alone.chat.state.data.repeats.len(), 0);
    // And nothing is taken for new that could have come before the level.
    alone.chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    alone.chat.apply(Action::RaiseLevel { level: LEVEL_OF_SETTLING });
    let (late, mut entry) = alone.message(alice, &[bob], "z");
    (entry.again, entry.since, entry.place.number) = (true, 3, 1);
    alone.settle(late, &entry);
    assert!(alone.notices(alice)[0].contains("too long ago"));
}

#[test]
fn ids_that_were_tried_again_have_a_bound_and_what_is_beyond_it_is_not_taken_for_new() {
    let mut alone = Alone::with_window(2);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let total = TOTAL_BYTES_MIN;
    let change =
        Change::SetBounds { account_bytes: None, total_bytes: Some(total), proposed: false };
    alone.chat.apply(Action::Administer { by: "root@alpha".into(), change });
    let most = (total / REPEATS_PARTS / REPEAT_BYTES) as usize;
    let (early, early_entry) = alone.message(alice, &[bob], "early");
    for _ in 0..most + 10 {
        let id = alone.chat.id();
        alone.chat.apply_as(id, again(alice, &["bob"], "x"));
        alone.chat.apply_as(Uuid::nil(), Action::Delete { session: bob.session, ids: vec![id] });
    }
    audit(&alone.chat.state);
    assert_eq!(alone.chat.state.data.repeats.len(), most);
    // It was tried once, but a second try could be among those that are forgotten.
    alone.settle(early, &early_entry);
    assert!(alone.notices(alice)[0].contains("too long ago"));
    let (late, mut late_entry) = alone.message(alice, &[bob], "late");
    late_entry.place.number = 2;
    alone.settle(late, &late_entry);
    assert_eq!(alone.all(bob).last().map(String::as_str), Some("late"));
}

#[test]
fn snapshots_keep_all_of_it_and_backups_what_another_cluster_needs() {
    let mut alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob], "hello");
    let (lost, lost_entry) = alone.message(alice, &[bob], "lost");
    let repeated = alone.chat.id();
    alone.chat.apply_as(repeated, again(alice, &["bob"], "again"));
    alone.chat.apply_as(lost, send(bob, &["bob"], "used up"));
    alone.settle(id, &entry);
    alone.settle(lost, &lost_entry);
    alone.chat.pass(10);
    let loaded = alone.chat.loaded(3);
    audit(&loaded.state);
    assert_eq!(loaded.state.hash(), alone.chat.state.hash());
    assert_eq!(lines(&loaded.state), lines(&alone.chat.state));
    assert_eq!(loaded.state.data.floors, alone.chat.state.data.floors);
    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    assert_eq!(loaded.page(alice, &query), alone.chat.page(alice, &query));

    let mut fresh = Alone { chat: Chat::with_window(3), list: alone.list, last: 0 };
    fresh.chat.apply(Action::RaiseLevel { level: LEVEL_OF_SETTLING });
    for step in restoring::steps(&restoring::backup(&alone.chat.state), 4) {
        fresh.chat.apply(step);
    }
    assert_eq!(fresh.chat.state.settled(&alone.list), 2, "it is settled there, too");
    assert_eq!(fresh.chat.state.repeat(&repeated), Some(false));
    assert_eq!(fresh.notices(alice), alone.notices(alice));
    assert_eq!(fresh.settle(id, &entry), 2);
}
