//! What people change about their own accounts.

use super::settling::Alone;
use super::*;
use crate::limits::FEATURE_LEVEL_KNOWN;
use crate::protocol::client;
use crate::types::Place;

/// A state in which people's own affairs are known.
pub(super) fn chat() -> Chat {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS });
    chat
}

pub(super) fn own(user: User, change: OwnChange) -> Action {
    Action::Own { session: user.session, change }
}

/// What a server asks for that verifies the old password now.
fn new_password(chat: &Chat, user: User, hash: &str) -> Action {
    let verified = chat.verified(user.account).expect("the level is reached");
    own(user, OwnChange::ChangePassword { verified, password_hash: hash.to_string() })
}

fn password_hash(chat: &Chat, user: User) -> String {
    chat.state.account(user.account).expect("registered").password_hash.to_string()
}

#[test]
fn a_new_password_ends_every_session_but_the_one_that_set_it() {
    let mut chat = chat();
    let (first, bob) = (chat.register("alice"), chat.register("bob"));
    let second = opened(chat.log_in(first.account));
    let third = opened(chat.log_in(first.account));
    let change = new_password(&chat, second, "another hash");
    assert_eq!(chat.apply(change), Outcome::Done);
    assert_eq!(password_hash(&chat, first), "another hash");
    let ended = [first, third].map(|it| (it.account, it.session));
    assert_eq!(chat.effects.ended_sessions, ended, "whoever follows is told");
    for (user, alive) in [(first, false), (second, true), (third, false), (bob, true)] {
        assert_eq!(chat.state.session_by_number(user.session, chat.at).is_ok(), alive);
    }
    let late = chat.apply(send(first, &["bob"], "asked before, applied behind it"));
    assert_eq!(refusal(late).0, ErrorCode::SessionExpired);
    assert!(matches!(chat.apply(send(second, &["bob"], "x")), Outcome::Sent { .. }));
}

#[test]
fn what_was_verified_before_the_password_changed_is_not_done_behind_it() {
    let mut chat = chat();
    let alice = chat.register("alice");
    // Three servers have verified the old password a moment before.
    let verified = chat.verified(alice.account);
    let token_hash = Digest::of(b"of a thief");
    let expires = chat.at.plus_ms(HOUR);
    let login =
        Action::OpenSession { account: alice.account, token_hash, expires, verified, from: None };
    let end = Action::DeleteAccount { session: alice.session, verified };
    let other = new_password(&chat, alice, "that of a thief");
    let change = new_password(&chat, alice, "another hash");
    assert_eq!(chat.apply(change), Outcome::Done);
    for late in [login.clone(), end, other] {
        let (code, sentence) = refusal(chat.apply(late));
        assert_eq!(code, ErrorCode::LoginRefused);
        assert!(sentence.contains("changed a moment ago"), "{sentence}");
    }
    assert_eq!(password_hash(&chat, alice), "another hash");
    assert_eq!(chat.state.counts().sessions, 1);
    let (id, late) = (chat.id(), login);
    assert_eq!(refusal(chat.apply_as(id, late.clone())).0, ErrorCode::LoginRefused);
    assert_eq!(refusal(chat.apply_as(id, late)).0, ErrorCode::LoginRefused, "each time");
    opened(chat.log_in(alice.account));
}

#[test]
fn a_login_with_a_password_that_was_reset_meanwhile_is_refused_also_when_a_new_one_is_set() {
    let mut chat = chat();
    let alice = chat.register("alice");
    let verified = chat.verified(alice.account);
    let code_hash = Digest::of(b"code");
    let change = Change::ResetAccount { name: name("alice"), code_hash, expires: Timestamp::MAX };
    chat.apply(Action::Administer { by: "root@alpha".into(), change });
    let expires = chat.at.plus_ms(HOUR);
    opened(chat.apply(Action::ResetPassword {
        account: alice.account,
        code_hash,
        password_hash: "another hash".into(),
        token_hash: Digest::of(b"owner"),
        expires,
        from: None,
    }));
    let token_hash = Digest::of(b"of a thief");
    let late =
        Action::OpenSession { account: alice.account, token_hash, expires, verified, from: None };
    assert_eq!(refusal(chat.apply(late)).0, ErrorCode::LoginRefused);
}

#[test]
fn a_change_whose_answer_was_lost_is_answered_again_and_nothing_happens_twice() {
    let mut chat = chat();
    let alice = chat.register("alice");
    let id = chat.id();
    let change = new_password(&chat, alice, "another hash");
    assert_eq!(chat.apply_as(id, change), Outcome::Done);
    let second = opened(chat.log_in(alice.account));
    // Hashed anew, and nothing was verified: see the server.
    let verified = verified_against("");
    let again = own(alice, OwnChange::ChangePassword { verified, password_hash: "salted".into() });
    assert_eq!(chat.apply_as(id, again.clone()), Outcome::Done);
    assert_eq!(password_hash(&chat, alice), "another hash");
    assert!(chat.state.session_by_number(second.session, chat.at).is_ok());
    assert_eq!(refusal(chat.apply(again)).0, ErrorCode::LoginRefused, "by itself it does nothing");
    audit(&chat.state);
}

#[test]
fn what_servers_of_two_levels_ask_for_while_the_level_rises_is_asked_for_again_and_done() {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS - 1 });
    let (alice, bob) = (chat.register("alice"), chat.register("bob"));
    let change = OwnChange::ChangePassword {
        verified: verified_against(&password_hash(&chat, alice)),
        password_hash: "another hash".into(),
    };
    let ids = [chat.id(), chat.id(), chat.id()];
    // Asked for too early, which no server does.
    let change = own(alice, change);
    assert_eq!(refusal(chat.apply_as(ids[0], change.clone())).0, ErrorCode::Behind);
    let expires = chat.at.plus_ms(HOUR);
    let (account, token_hash) = (bob.account, Digest::of(b"bob's"));
    let login =
        |verified| Action::OpenSession { account, token_hash, expires, verified, from: None };
    let end = |verified| Action::DeleteAccount { session: bob.session, verified };
    chat.apply(Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN });
    // Asked for before the level was known there.
    assert_eq!(refusal(chat.apply_as(ids[1], login(None))).0, ErrorCode::Behind);
    assert_eq!(refusal(chat.apply_as(ids[2], end(None))).0, ErrorCode::Behind);
    assert_eq!(chat.apply_as(ids[0], change), Outcome::Done);
    let verified = chat.verified(bob.account);
    opened(chat.apply_as(ids[1], login(verified)));
    assert_eq!(chat.apply_as(ids[2], end(verified)), Outcome::Done);
    audit(&chat.state);
}

/// What is shown of the sessions of an account.
fn sessions(chat: &Chat, user: User) -> Vec<client::OwnSession> {
    chat.state.look(|look| look.sessions_of(user.account, chat.at))
}

#[test]
fn a_session_says_since_when_it_is_from_where_and_when_it_changed_something_within_the_hour() {
    let mut chat = chat();
    let begun = chat.at;
    let mut action = chat.register_action("alice");
    let address = "192.0.2.1".parse().expect("an address");
    if let Action::Register { from, .. } = &mut action {
        *from = Some(address);
    }
    let alice = opened(chat.apply(action));
    let shown = |chat: &Chat| sessions(chat, alice).remove(0);
    let expires = begun.plus_ms(100 * HOUR);
    let (id, current, from) = (alice.session, false, Some(address));
    let (started, last_used) = (Some(begun), Some(begun));
    let expected = client::OwnSession { id, current, started, last_used, from, expires };
    assert_eq!(shown(&chat), expected);
    // Not for every change, and never back.
    for (later_ms, noted) in [(HOUR - 1, 0), (HOUR, HOUR), (2 * HOUR - 1, HOUR), (0, HOUR)] {
        chat.at = begun.plus_ms(later_ms);
        chat.send(alice, &["alice"], "x");
        audit(&chat.state);
        assert_eq!(shown(&chat).last_used, Some(begun.plus_ms(noted)), "after {later_ms}");
    }
    // Also of what is refused or was done before: it was used.
    chat.at = begun.plus_ms(3 * HOUR);
    refusal(chat.apply(send(alice, &["nobody"], "x")));
    assert_eq!(shown(&chat).last_used, Some(chat.at));
    let loaded = chat.loaded(1_000);
    assert_eq!(sessions(&loaded, alice), sessions(&chat, alice), "a snapshot has it");
    chat.at = expires;
    assert_eq!(sessions(&chat, alice), [], "what has run out is not shown");
}

#[test]
fn of_a_session_from_before_only_its_use_is_known() {
    let mut chat = Chat::new();
    let mut action = chat.register_action("alice");
    if let Action::Register { from, .. } = &mut action {
        *from = Some("192.0.2.1".parse().expect("an address"));
    }
    let alice = opened(chat.apply(action));
    chat.send(alice, &["alice"], "x");
    let shown = sessions(&chat, alice).remove(0);
    assert_eq!((shown.started, shown.last_used, shown.from), (None, None, None));
    chat.apply(Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN });
    chat.send(alice, &["alice"], "x");
    audit(&chat.state);
    let shown = sessions(&chat, alice).remove(0);
    assert_eq!((shown.started, shown.last_used, shown.from), (None, Some(chat.at), None));
}

#[test]
fn sessions_are_ended_all_or_none_and_only_ones_own() {
    let mut chat = chat();
    let (first, bob) = (chat.register("alice"), chat.register("bob"));
    let others: Vec<User> = (0..4).map(|_| opened(chat.log_in(first.account))).collect();
    let end = |user: User, sessions: &[u64]| {
        own(user, OwnChange::EndSessions { sessions: sessions.to_vec() })
    };
    let numbers = |chat: &Chat| -> Vec<u64> {
        sessions(chat, first).iter().map(|session| session.id).collect()
    };
    let before = numbers(&chat);
    assert_eq!(before.len(), 5);
    for wrong in [bob.session, 0, 999] {
        let (code, sentence) = refusal(chat.apply(end(first, &[others[0].session, wrong])));
        assert_eq!(code, ErrorCode::UnknownSession);
        assert!(sentence.contains(&format!("no session {wrong}")), "{sentence}");
    }
    assert_eq!(numbers(&chat), before);
    let (id, both) = (chat.id(), end(first, &[others[0].session, others[1].session]));
    assert_eq!(chat.apply_as(id, both.clone()), Outcome::Done);
    let ended = [others[0], others[1]].map(|it| (it.account, it.session));
    assert_eq!(chat.effects.ended_sessions, ended);
    assert_eq!(chat.apply_as(id, both), Outcome::Done, "whose answer was lost");
    assert_eq!(numbers(&chat), [first, others[2], others[3]].map(|it| it.session));
    assert_eq!(chat.apply(own(first, OwnChange::EndOtherSessions {})), Outcome::Done);
    assert_eq!(numbers(&chat), [first.session]);
    let id = chat.id();
    for _ in 0..2 {
        assert_eq!(chat.apply_as(id, end(first, &[first.session])), Outcome::Done, "its own");
    }
    assert_eq!(sessions(&chat, bob).len(), 1);
    audit(&chat.state);
}

/// Who has read a user's messages, as that user is told.
fn readers(chat: &Chat, user: User) -> Vec<Vec<String>> {
    let query = InboxQuery { which: Which::Sent, read_by: true, ..InboxQuery::default() };
    let messages = chat.page(user, &query).messages.into_iter();
    let names = |names: crate::types::Names| names.iter().map(ToString::to_string).collect();
    messages.map(|message| message.read_by.map(names).expect("asked for")).collect()
}

#[test]
fn a_sender_is_told_who_has_read_a_message_unless_they_keep_that_to_themselves() {
    let mut chat = chat();
    let alice = chat.register("alice");
    let [bob, carol] = ["Bob", "carol"].map(|it| chat.register(it));
    let (id, seq) = chat.send(alice, &["bob", "carol", "alice"], "x");
    assert_eq!(readers(&chat, alice), [[""; 0]]);
    for user in [carol, bob] {
        chat.apply(Action::MarkRead { session: user.session, seqs: vec![seq] });
    }
    assert_eq!(readers(&chat, alice), [["Bob", "carol"]], "in the order of the recipients");
    let page = chat.page(alice, &InboxQuery { which: Which::Sent, ..InboxQuery::default() });
    assert_eq!(page.messages[0].read_by, None, "only if it is asked for");
    let receipts = |on| own(bob, OwnChange::SetReceipts { on });
    for (on, expected) in [
        (false, &["carol"][..]),
        (false, &["carol"]),
        (true, &["Bob", "carol"]),
        (false, &["carol"]),
    ] {
        assert_eq!(chat.apply(receipts(on)), Outcome::Done);
        assert_eq!(chat.state.look(|look| look.settings_of(bob.account)).receipts, on);
        assert_eq!(readers(&chat, alice), [expected]);
        assert_eq!(readers(&chat.loaded(1_000), alice), [expected], "a snapshot has it");
    }
    chat.apply(Action::Delete { session: carol.session, ids: vec![id] });
    assert_eq!(readers(&chat, alice), [[""; 0]], "what is deleted is not there to be read");
    chat.apply(receipts(true));
    let verified = chat.verified(bob.account);
    chat.apply(Action::DeleteAccount { session: bob.session, verified });
    assert_eq!(readers(&chat, alice), [[""; 0]]);
}

#[test]
fn what_was_taken_alone_for_a_session_that_its_owner_has_ended_is_not_delivered_when_that_is_over()
{
    for spared in [false, true] {
        let mut alone = Alone::new();
        alone.chat.apply(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS });
        let [alice, bob] = ["alice", "bob"].map(|who| alone.chat.register(who));
        let thief = opened(alone.chat.log_in(alice.account));
        let session = alone.chat.state.data.sessions.get(thief.session).expect("open");
        let used = SessionUsed {
            number: session.number,
            token_hash: session.token_hash,
            expires: session.expires,
        };
        let (by, expires) = (if spared { thief } else { alice }, used.expires);
        let change = new_password(&alone.chat, by, "another hash");
        assert_eq!(alone.chat.apply(change), Outcome::Done);
        alone.chat.at = expires.plus_ms(HOUR);
        let delivery = Delivery {
            place: Place { list: alone.list, number: 1 },
            again: false,
            since: alone.chat.index,
            accepted_at: Timestamp(1),
            author: Party { account: alice.account, name: name("alice") },
            session: Some(used),
            act: Act::Send {
                to: vec![Party { account: bob.account, name: name("bob") }],
                text: "for a session that has run out by now".into(),
                reply_to: None,
            },
        };
        alone.chat.apply(Action::Deliver(Box::new(delivery)));
        let delivered = alone.chat.texts(bob, Which::All).len();
        assert_eq!(delivered, usize::from(spared), "who changed the password may have sent it");
        let loaded = alone.chat.loaded(1_000);
        assert_eq!(loaded.state.hash(), alone.chat.state.hash());
    }
}
