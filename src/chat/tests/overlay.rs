//! What a server has taken without a majority, as it is shown there.

use super::settling::Alone;
use super::*;
use crate::protocol::client;
use crate::types::Place;

/// A server that is alone: a state that stands still or is behind, and what it takes.
pub(super) struct Lonely {
    pub(super) alone: Alone,
    pub(super) overlay: Overlay,
    /// What stands on its disk.
    pub(super) outbox: Vec<(Place, Taken)>,
}

impl Lonely {
    pub(super) fn new() -> Lonely {
        Lonely { alone: Alone::new(), overlay: Overlay::default(), outbox: Vec::new() }
    }

    pub(super) fn register(&mut self, who: &str) -> User {
        self.alone.chat.register(who)
    }

    pub(super) fn id(&mut self) -> Uuid {
        self.alone.chat.id()
    }

    pub(super) fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        self.alone.chat.state.look_over(&self.overlay, question)
    }

    pub(super) fn ask(&self, id: Uuid, action: Action) -> crate::error::Result<Acceptance> {
        let (now, since) = (self.alone.chat.at, self.alone.chat.index);
        self.look(|look| look.take(&Operation { id, action }, now, now, since))
    }

    /// A mark of messages by their ids.
    pub(super) fn mark(&mut self, user: User, ids: &[Uuid]) -> crate::error::Result<Acceptance> {
        let (now, since, id) = (self.alone.chat.at, self.alone.chat.index, self.id());
        let asked = MarkAsked { id, session: user.session, seqs: &[], ids };
        self.look(|look| look.take_mark(&asked, now, now, since))
    }

    /// It is taken, and on its way to the disk.
    pub(super) fn add(&mut self, acceptance: crate::error::Result<Acceptance>) -> (u64, Taken) {
        match acceptance {
            Ok(Acceptance::New { taken, .. }) => (self.overlay.add((*taken).clone()), *taken),
            other => panic!("not taken: {other:?}"),
        }
    }

    /// It is on the disk.
    pub(super) fn write(&mut self, (order, taken): (u64, Taken)) -> Place {
        self.alone.last += 1;
        let place = Place { list: self.alone.list, number: self.alone.last };
        self.overlay.reveal(order, place);
        self.outbox.push((place, taken));
        place
    }

    pub(super) fn take(&mut self, action: Action) -> (Uuid, Place) {
        let id = self.id();
        let taken = self.add(self.ask(id, action));
        (id, self.write(taken))
    }

    pub(super) fn send(&mut self, from: User, to: &[&str], text: &str) -> (Uuid, Place) {
        self.take(send(from, to, text))
    }

    /// The log settles the next entry, and the server learns it or not.
    pub(super) fn settle(&mut self, learns: bool) {
        let (place, taken) = self.outbox.remove(0);
        let Operation { id, action } = taken.delivery(place);
        self.alone.chat.apply_as(id, action);
        audit(&self.alone.chat.state);
        if learns {
            self.overlay.settled(&place.list, place.number);
        }
    }

    pub(super) fn unconfirmed(&self, user: User, which: Which) -> Vec<client::Message> {
        let query = InboxQuery { which, after: Some(99), limit: Some(0), ..InboxQuery::default() };
        let now = self.alone.chat.at;
        let page =
            self.look(|look| look.unconfirmed(user.account, &query, now, 0, 100, usize::MAX));
        assert!(!page.more);
        page.messages.into_iter().map(|(_, message)| message).collect()
    }

    /// Texts of what is confirmed, and of what is not.
    pub(super) fn texts(&self, user: User, which: Which) -> (Vec<String>, Vec<String>) {
        let query = InboxQuery { which, ..InboxQuery::default() };
        let page = self.look(|look| look.messages(user.account, &query, 100, usize::MAX));
        let texts = |messages: Vec<client::Message>| {
            messages.into_iter().map(|message| message.text).collect()
        };
        (texts(page.messages), texts(self.unconfirmed(user, which)))
    }

    pub(super) fn is_alive(&self, user: User) -> bool {
        let now = self.alone.chat.at;
        self.look(|look| look.session_by_number(user.session, now)).is_ok()
    }
}

pub(super) fn delete(user: User, ids: &[Uuid]) -> Action {
    Action::Delete { session: user.session, ids: ids.to_vec() }
}

pub(super) fn close(user: User) -> Action {
    Action::CloseSession { session: user.session }
}

pub(super) fn disable(who: &str, disabled: bool) -> Action {
    let change = Change::SetDisabled { name: name(who), disabled };
    Action::Administer { by: "root@alpha".into(), change }
}

const NONE: [&str; 0] = [];

#[test]
fn an_unconfirmed_message_is_shown_at_once_and_does_not_vanish_when_it_is_confirmed() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    lonely.alone.chat.send(alice, &["bob"], "before");
    let (id, place) = lonely.send(alice, &["BOB", "alice", "bob"], "alone");
    let shown = client::Message {
        id,
        from: name("alice"),
        to: names(&["bob", "alice"]).into_iter().collect(),
        text: "alone".into(),
        at: lonely.alone.chat.at,
        seq: None,
        read: false,
        confirmed: false,
        place: Some(place),
        seen_to: Some(1),
        accepted_at: Some(lonely.alone.chat.at),
        notice: false,
        mention: false,
        reply_to: None,
        answers: None,
        read_by: None,
    };
    assert_eq!(lonely.unconfirmed(bob, Which::Unread), std::slice::from_ref(&shown));
    assert_eq!(lonely.unconfirmed(alice, Which::All), std::slice::from_ref(&shown));
    let sent = client::Message { read: true, ..shown };
    assert_eq!(lonely.unconfirmed(alice, Which::Sent), [sent]);
    assert_eq!(lonely.texts(bob, Which::All), (vec!["before".into()], vec!["alone".into()]));
    lonely.settle(false);
    let confirmed: Vec<String> = vec!["before".into(), "alone".into()];
    assert_eq!(lonely.texts(bob, Which::All), (confirmed.clone(), vec![]), "never twice");
    lonely.overlay.settled(&place.list, place.number);
    assert_eq!(lonely.texts(bob, Which::All), (confirmed, vec![]));
    assert!(lonely.overlay.is_empty());
}

#[test]
fn what_another_server_has_brought_into_the_log_is_not_shown_twice() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (id, _) = lonely.send(alice, &["bob"], "hello");
    lonely.alone.chat.apply_as(id, send(alice, &["bob"], "hello"));
    assert_eq!(lonely.texts(bob, Which::All), (vec!["hello".into()], vec![]));
    // Nor does it come back when a majority has deleted it.
    lonely.alone.chat.apply(delete(bob, &[id]));
    assert_eq!(lonely.texts(bob, Which::All), (vec![], vec![]));
    assert_eq!(lonely.overlay.len(), 1, "it waits for its turn all the same");
}

#[test]
fn what_is_not_on_the_disk_is_shown_to_nobody_and_passed_over_by_nobody() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    lonely.send(alice, &["bob"], "one");
    let [second, third] = ["two", "three"].map(|text| {
        let id = lonely.id();
        lonely.add(lonely.ask(id, send(alice, &["bob"], text)))
    });
    assert_eq!(lonely.texts(bob, Which::All).1, ["one"]);
    let query = InboxQuery::default();
    let now = lonely.alone.chat.at;
    let page = lonely.look(|look| look.unconfirmed(bob.account, &query, now, 0, 9, 9));
    assert_eq!((page.scanned_to, page.more), (second.0 - 1, false));
    // An append that fails takes along all that came behind it.
    assert_eq!((lonely.overlay.len(), lonely.overlay.waiting()), (3, 1));
    lonely.overlay.retract(third.0);
    lonely.write(second);
    assert_eq!(lonely.texts(bob, Which::All).1, ["one", "two"]);
    let page =
        lonely.look(|look| look.unconfirmed(bob.account, &query, now, page.scanned_to, 9, 9));
    assert_eq!(page.messages.len(), 1, "a follower goes on where it was");
    let id = third.1.id;
    let again = lonely.ask(id, send(alice, &["bob"], "three"));
    assert!(matches!(again, Ok(Acceptance::New { .. })), "it never was: {again:?}");
    assert_eq!((lonely.overlay.len(), lonely.overlay.oldest()), (2, Some(now)));
}

#[test]
fn a_later_owner_of_a_name_sees_nothing() {
    let mut lonely = Lonely::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| lonely.register(who));
    lonely.send(alice, &["bob", "carol"], "for two");
    lonely.send(alice, &["bob"], "for bob");
    lonely.send(bob, &["carol"], "of bob");
    lonely.alone.chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    let other = lonely.register("bob");
    assert_eq!(lonely.texts(other, Which::All).1, NONE);
    assert_eq!(lonely.texts(other, Which::Sent).1, NONE);
    assert_eq!(lonely.texts(bob, Which::All).1, NONE);
    let shown = lonely.unconfirmed(carol, Which::All);
    assert_eq!(shown.len(), 1, "nothing under the name of somebody else: {shown:?}");
    assert_eq!(shown[0].to.as_ref(), names(&["carol"]), "to those who are left");
    assert_eq!(lonely.texts(alice, Which::Sent).1, ["for two"]);
}

#[test]
fn who_is_shut_out_by_a_majority_is_shown_no_more() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let kept = lonely.alone.chat.send(bob, &["alice"], "kept").0;
    lonely.send(alice, &["bob"], "hello");
    lonely.take(delete(alice, &[kept]));
    assert_eq!(lonely.texts(alice, Which::All).0, NONE);
    lonely.alone.chat.apply(disable("alice", true));
    assert_eq!(lonely.texts(bob, Which::All).1, NONE);
    assert_eq!(lonely.texts(alice, Which::All).0, ["kept"]);
    lonely.alone.chat.apply(disable("alice", false));
    assert_eq!(lonely.texts(bob, Which::All).1, NONE, "its session stays ended");
    // But who has run out by now had the right when it asked.
    lonely.alone.chat.at = lonely.alone.chat.at.plus_ms(100 * HOUR);
    assert_eq!(lonely.texts(bob, Which::All).1, ["hello"]);
}

#[test]
fn marks_and_deletions_count_at_once_for_what_is_confirmed_and_what_is_not() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let sent = ["a", "b", "c"].map(|text| lonely.alone.chat.send(alice, &["bob", "alice"], text));
    let alone = ["x", "y", "z"].map(|text| lonely.send(alice, &["bob", "alice"], text).0);
    lonely.take(Action::MarkRead { session: bob.session, seqs: vec![sent[0].1] });
    let mark = lonely.mark(bob, &[alone[0], sent[1].0]);
    let mark = lonely.add(mark);
    lonely.write(mark);
    assert_eq!(lonely.texts(bob, Which::Unread), (vec!["c".into()], vec!["y".into(), "z".into()]));
    let read = |messages: Vec<client::Message>| messages.iter().map(|it| it.read).collect();
    let read: Vec<bool> = read(lonely.unconfirmed(bob, Which::All));
    assert_eq!(read, [true, false, false]);
    lonely.take(delete(bob, &[alone[1], sent[0].0]));
    let left = (vec!["b".into(), "c".into()], vec!["x".into(), "z".into()]);
    assert_eq!(lonely.texts(bob, Which::All), left);
    let seqs = sent.map(|it| it.1);
    let marks = |which, user: User| lonely.look(|look| look.marks(user.account, which, &seqs).0);
    assert_eq!(marks(Which::All, bob), [None, Some(true), Some(false)]);
    assert_eq!(marks(Which::Sent, alice), [Some(true); 3]);
    let all = |first: &[&str]| first.iter().map(ToString::to_string).collect::<Vec<_>>();
    for which in [Which::All, Which::Sent, Which::Unread] {
        let others = (all(&["a", "b", "c"]), all(&["x", "y", "z"]));
        assert_eq!(lonely.texts(alice, which), others, "nothing is done to others");
    }
    for _ in 0..6 {
        lonely.settle(true);
    }
    assert_eq!(lonely.texts(bob, Which::All).0, ["b", "c", "x", "z"]);
    assert_eq!(lonely.texts(bob, Which::Unread).0, ["c", "z"]);
}

#[test]
fn a_session_that_was_ended_alone_is_over_at_once_and_stays_so() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    lonely.send(alice, &["bob"], "before");
    let id = lonely.id();
    let closing = lonely.add(lonely.ask(id, close(alice)));
    assert!(lonely.is_alive(alice), "nobody is told so before it is on the disk");
    let late = lonely.ask(Uuid::from_u128(5), send(alice, &["bob"], "late"));
    assert_eq!(late.expect_err("ended").code, ErrorCode::NeedsMajority, "yet nothing is taken");
    lonely.write(closing);
    assert!(!lonely.is_alive(alice));
    let token = lonely.outbox[0].1.session.as_ref().expect("used").token_hash;
    let by_token = lonely.look(|look| look.session(&token, Timestamp(0)));
    assert_eq!(by_token.expect_err("ended").code, ErrorCode::SessionExpired);
    assert_eq!(lonely.texts(bob, Which::All).1, ["before"], "what was asked before stands");
    // Its answer was lost, and it is asked for once more.
    let again = lonely.ask(id, close(alice));
    assert!(matches!(again, Ok(Acceptance::Held { answer: Given::Done, place: Some(_), .. })));
    // The log has it, and this server's state not yet, or has it and has not dropped it.
    lonely.settle(false);
    assert!(!lonely.is_alive(alice));
    lonely.settle(false);
    assert!(!lonely.is_alive(alice));
    assert_eq!(lonely.ask(id, close(alice)), Ok(Acceptance::Known(Outcome::Done)));
}

#[test]
fn ids_are_found_by_their_beginnings_whether_confirmed_or_not() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let id = |n: u128| Uuid::from_u128(0xabcd << 112 | n);
    lonely.alone.chat.apply_as(id(1), send(alice, &["bob"], "x"));
    for n in [2, 3] {
        let taken = lonely.add(lonely.ask(id(n), send(alice, &["bob"], "x")));
        lonely.write(taken);
    }
    let find = |lonely: &Lonely, user: User, prefix: &str| {
        let mut search = IdSearch::new(user.account, &[prefix.to_string()]).expect("valid");
        while lonely.look(|look| look.ids(&mut search)) == Step::More {}
        search.matches().remove(0)
    };
    assert_eq!(find(&lonely, bob, "abcd"), [id(1), id(2)]);
    assert_eq!(find(&lonely, bob, &id(3).to_string()), [id(3)]);
    assert!(find(&lonely, alice, "abcd").is_empty());
    lonely.take(delete(bob, &[id(1), id(3)]));
    assert_eq!(find(&lonely, bob, "abcd"), [id(2)]);
    lonely.settle(false);
    assert_eq!(find(&lonely, bob, "abcd"), [id(2)], "not twice, and so not ambiguous");
}

#[test]
fn pages_keep_to_their_bounds_and_filters_look_at_when_it_was_written() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    for n in 0..5 {
        lonely.alone.chat.at = Timestamp(HOUR + n);
        lonely.send(if n % 2 == 0 { alice } else { bob }, &["bob"], &format!("text {n}"));
    }
    let page = |query: &InboxQuery, after, limit, bytes| {
        let now = lonely.alone.chat.at;
        let page =
            lonely.look(|look| look.unconfirmed(bob.account, query, now, after, limit, bytes));
        let texts = page.messages.iter().map(|it| it.1.text.clone()).collect::<Vec<_>>();
        (texts.join(","), page.more, page.scanned_to)
    };
    let all = InboxQuery::default();
    assert_eq!(page(&all, 0, 2, 99), ("text 0,text 1".into(), true, 2));
    assert_eq!(page(&all, 2, 9, 13), ("text 2,text 3".into(), true, 4));
    assert_eq!(page(&all, 4, 9, 0), ("text 4".into(), false, 5), "a first one comes always");
    assert_eq!(page(&all, 5, 9, 9), (String::new(), false, 5));
    let of_bob = InboxQuery { from: Some("BOB".into()), ..InboxQuery::default() };
    assert_eq!(page(&of_bob, 0, 9, 99), ("text 1,text 3".into(), false, 5));
    let late = InboxQuery { since: Some(Timestamp(HOUR + 3)), ..InboxQuery::default() };
    assert_eq!(page(&late, 0, 9, 99), ("text 3,text 4".into(), false, 5));
}

#[test]
fn of_two_lists_that_have_the_same_message_one_is_shown() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    lonely.send(alice, &["bob"], "hello");
    let (place, taken) = lonely.outbox[0].clone();
    let adopted = Place { list: Uuid::from_u128(901), number: 7 };
    lonely.overlay.load(adopted, taken.clone());
    lonely.overlay.load(adopted, taken);
    assert_eq!((lonely.overlay.len(), lonely.overlay.has(&adopted)), (2, true));
    assert_eq!(lonely.texts(bob, Which::All).1, ["hello"]);
    lonely.overlay.settled(&place.list, place.number);
    assert_eq!(lonely.texts(bob, Which::All).1, ["hello"], "the other one is there still");
    lonely.overlay.settled(&adopted.list, adopted.number);
    assert!(lonely.overlay.is_empty());
}

#[test]
fn what_the_log_has_settled_and_forgotten_is_not_shown_again() {
    let mut lonely = Lonely::new();
    lonely.alone = Alone::with_window(3);
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (id, _) = lonely.send(alice, &["bob"], "hello");
    lonely.settle(false);
    lonely.alone.forget(alice, bob, id);
    assert_eq!(lonely.texts(bob, Which::All), (vec![], vec![]), "a deleted message is not back");
}

#[test]
fn the_end_of_a_session_of_another_cluster_ends_none_here() {
    let mut lonely = Lonely::new();
    let alice = lonely.register("alice");
    let id = lonely.id();
    let (order, mut taken) = lonely.add(lonely.ask(id, close(alice)));
    lonely.overlay.retract(order);
    let used = taken.session.as_mut().expect("used");
    (used.token_hash, used.expires) = (Digest::of(b"another"), Timestamp(0));
    lonely.overlay.load(Place { list: Uuid::from_u128(901), number: 1 }, taken);
    assert!(lonely.is_alive(alice));
}

#[test]
fn what_a_list_of_another_server_asks_for_behind_the_end_of_its_session_is_not_shown() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let id = lonely.id();
    let (order, taken) = lonely.add(lonely.ask(id, send(alice, &["bob"], "of another list")));
    lonely.overlay.retract(order);
    lonely.take(close(alice));
    lonely.overlay.load(Place { list: Uuid::from_u128(901), number: 1 }, taken);
    assert_eq!(lonely.texts(bob, Which::All).1, NONE);
}

#[test]
fn what_stands_on_the_disk_stays_readable() {
    let mut lonely = Lonely::new();
    let alice = lonely.register("alice");
    lonely.send(alice, &["alice"], "hello");
    let (_, taken) = &lonely.outbox[0];
    let json = serde_json::to_value(taken).expect("plain data");
    let party = serde_json::json!({ "account": alice.account, "name": "alice" });
    let session = taken.session.as_ref().expect("used");
    let expected = serde_json::json!({
        "id": taken.id,
        "since": 2,
        "seen_to": 0,
        "at": "1970-01-01T01:00:00.000Z",
        "author": party,
        "session": {
            "number": 1,
            "token_hash": session.token_hash,
            "expires": session.expires,
        },
        "act": { "send": { "to": [party], "text": "hello" } },
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Taken>(json).expect("own"), *taken);
    assert!(taken.bytes() >= expected.to_string().len());
}
