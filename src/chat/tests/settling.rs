//! What servers took without a majority, once a majority is back.

use super::*;
use crate::chat::remembered::Fate;
use crate::limits::LEVEL_OF_SETTLING;
use crate::types::Place;

/// A list of a server that was alone, and a state that settles it.
pub(super) struct Alone {
    pub(super) chat: Chat,
    pub(super) list: Uuid,
    pub(super) last: u64,
}

impl Alone {
    pub(super) fn new() -> Alone {
        Alone::with_window(1_000)
    }

    pub(super) fn with_window(window: u64) -> Alone {
        let mut chat = Chat::with_window(window);
        chat.apply(Action::RaiseLevel { level: LEVEL_OF_SETTLING });
        Alone { chat, list: Uuid::from_u128(900), last: 0 }
    }

    /// The next entry of the list, taken now and tried nowhere else.
    pub(super) fn entry(&mut self, author: User, act: Act) -> Delivery {
        self.last += 1;
        Delivery {
            place: Place { list: self.list, number: self.last },
            again: false,
            since: self.chat.index,
            accepted_at: self.chat.at,
            author: self.party(author),
            session: self.used(author),
            act,
        }
    }

    pub(super) fn used(&self, user: User) -> Option<SessionUsed> {
        let session = self.chat.state.data.sessions.get(user.session)?;
        let (token_hash, expires) = (session.token_hash, session.expires);
        Some(SessionUsed { number: user.session, token_hash, expires })
    }

    /// A message leaves all lists, as if there were bounds, and then the window.
    pub(super) fn forget(&mut self, from: User, to: User, id: Uuid) {
        self.chat.apply(Action::Delete { session: to.session, ids: vec![id] });
        let number = self.chat.state.numbers[&from.account];
        let seq = self.chat.state.message_ids.get(&id).expect("it was sent");
        self.chat.state.remove_from_sent(Some(self.chat.index), number, seq);
        self.chat.pass(20);
        assert!(!self.chat.state.look(|look| look.remembers(id)), "the window has forgotten it");
    }

    pub(super) fn party(&self, user: User) -> Party {
        let name = self.chat.state.account(user.account).map(|it| it.name);
        Party { account: user.account, name: name.unwrap_or_else(name_of_the_gone) }
    }

    pub(super) fn message(&mut self, author: User, to: &[User], text: &str) -> (Uuid, Delivery) {
        let to = to.iter().map(|user| self.party(*user)).collect();
        let entry = self.entry(author, Act::Send { to, text: text.into(), reply_to: None });
        (self.chat.id(), entry)
    }

    pub(super) fn settle(&mut self, id: Uuid, entry: &Delivery) -> u64 {
        let outcome = self.chat.apply_as(id, Action::Deliver(Box::new(entry.clone())));
        audit(&self.chat.state);
        match outcome {
            Outcome::Settled { settled } => settled,
            other => panic!("not settled: {other:?}"),
        }
    }

    pub(super) fn all(&self, user: User) -> Vec<String> {
        self.chat.texts(user, Which::All)
    }

    /// The notices that somebody has.
    pub(super) fn notices(&self, user: User) -> Vec<String> {
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        let messages = self.chat.page(user, &query).messages.into_iter();
        messages.filter(|message| message.notice).map(|message| message.text).collect()
    }
}

fn name_of_the_gone() -> AccountName {
    name("gone")
}

pub(super) fn again(from: User, to: &[&str], text: &str) -> Action {
    let to = names(to);
    Action::Send {
        session: from.session,
        to,
        text: text.into(),
        again: true,
        after: None,
        reply_to: None,
    }
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
    alone.chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
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
fn what_an_ended_session_had_asked_for_is_not_done() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let kept = alone.chat.send(alice, &["bob"], "kept").0;
    let (id, entry) = alone.message(bob, &[alice], "of a thief");
    let delete = alone.entry(bob, Act::Delete { ids: vec![kept] });
    let (late, mut ran_out) = alone.message(bob, &[alice], "a session that ran out");
    ran_out.session.as_mut().expect("used").expires = alone.chat.at;
    alone.chat.apply(Action::CloseSession { session: bob.session });
    alone.settle(id, &entry);
    let delete_id = alone.chat.id();
    alone.settle(delete_id, &delete);
    alone.settle(late, &ran_out);
    assert_eq!(alone.all(alice), ["a session that ran out"]);
    assert_eq!(alone.all(bob)[0], "kept");
    assert!(alone.notices(bob)[0].contains("was ended meanwhile"));
}

#[test]
fn what_a_majority_has_refused_is_not_done_by_a_list_either() {
    let mut alone = Alone::new();
    let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
    let (kept, _) = alone.chat.send(alice, &["bob"], "kept");
    let (id, unconfirmed) = alone.message(alice, &[bob], "unconfirmed");
    let delete = alone.entry(bob, Act::Delete { ids: vec![kept, id] });
    let delete_id = alone.chat.id();
    let asked = Action::Delete { session: bob.session, ids: vec![kept, id] };
    let outcome = alone.chat.apply_as(delete_id, asked);
    assert_eq!(refusal(outcome).0, ErrorCode::UnknownMessage);
    alone.settle(id, &unconfirmed);
    alone.settle(delete_id, &delete);
    assert_eq!(alone.all(bob), ["kept", "unconfirmed"], "nothing was deleted, as it was told");
}

#[test]
fn nothing_is_settled_before_anybody_is_there() {
    let mut alone = Alone::new();
    let ghost = User { account: Uuid::from_u128(5), session: 1 };
    let (id, entry) = alone.message(ghost, &[ghost], "x");
    let outcome = alone.chat.apply_as(id, Action::Deliver(Box::new(entry.clone())));
    assert_eq!(refusal(outcome).0, ErrorCode::Unavailable);
    assert_eq!(alone.chat.state.settled(&entry.place.list), 0, "a backup may still come");
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
        reply_to: None,
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
    let mut others = alone.entry(bob, Act::Close {});
    others.session.as_mut().expect("used").token_hash = Digest::of(b"of another cluster");
    let close = alone.entry(bob, Act::Close {});
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
    let withdrawn = alone.chat.effects.withdrawn.clone();
    assert_eq!(alone.all(bob), [""; 0]);
    assert!(alone.notices(alice)[0].contains("disabled meanwhile"));
    // Whoever may have been shown it is told, and nothing of the author's rights.
    let told = Withdrawn { id, reason: "its author may not send it any more" };
    let mut both = [(alice.account, told), (bob.account, told)];
    both.sort_by_key(|(account, _)| *account);
    assert_eq!(withdrawn, both);
}

#[test]
fn those_who_were_shown_a_message_are_told_when_its_author_is_gone() {
    let mut alone = Alone::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| alone.chat.register(who));
    let (id, entry) = alone.message(alice, &[bob, carol], "hello");
    let mark = alone.entry(alice, Act::Mark { ids: vec![id] });
    alone.chat.apply(Action::DeleteAccount { session: alice.session, verified: None });
    alone.settle(id, &entry);
    let told = alone.chat.effects.withdrawn.iter();
    let told: Vec<Uuid> = told.filter(|(_, it)| it.id == id).map(|(account, _)| *account).collect();
    assert!([bob, carol].iter().all(|it| told.contains(&it.account)), "{told:?}");
    let unseen = alone.chat.id();
    alone.settle(unseen, &mark);
    assert_eq!(alone.chat.effects.withdrawn, [], "nobody was shown a mark");
    // What is delivered, or was before, is not withdrawn.
    let (id, entry) = alone.message(bob, &[carol], "hello");
    alone.settle(id, &entry);
    assert_eq!(alone.chat.effects.withdrawn, []);
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
        reply_to: None,
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
    assert_eq!(fresh.chat.state.repeat(&alice.account, &repeated), Some(Fate::Delivered));
    let floors = alone.chat.state.data.floors;
    assert_eq!(fresh.chat.state.data.floors.before, floors.window, "by the old log's indexes");
    assert!(fresh.chat.state.data.floors.window < floors.window);
    assert_eq!(fresh.notices(alice), alone.notices(alice));
    assert_eq!(fresh.settle(id, &entry), 2);
}
