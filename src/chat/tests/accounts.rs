//! Accounts, sessions, incarnations.

use super::*;
use crate::limits::{ORPHANS_REMOVED_PER_ENTRY_MAX, SESSIONS_PER_ACCOUNT_MAX};
use crate::types::ReplicaId;

#[test]
fn registering_makes_an_account_and_a_session() {
    let mut chat = Chat::new();
    let action = chat.register_action("Alice");
    let Action::Register { account, token_hash, expires, password_hash, .. } = action.clone()
    else {
        unreachable!("a registration")
    };
    let alice = opened(chat.apply(action));
    assert_eq!((alice.account, alice.session), (account, 1));
    let view = chat.state.account_by_name(&name("aLICE")).expect("registered");
    assert_eq!((view.account, view.name.as_str()), (account, "Alice"));
    assert_eq!(&*view.password_hash, password_hash);
    assert!(!format!("{view:?}").contains("argon2"), "hashes stay out of logs");
    let session = chat.state.session(&token_hash, chat.at).expect("alive");
    assert_eq!((session.number, session.account, session.expires), (1, account, expires));
    assert_eq!(session.name.as_str(), "Alice");
}

#[test]
fn a_name_in_another_case_is_the_same_name_and_taken() {
    let mut chat = Chat::new();
    chat.register("Alice");
    let action = chat.register_action("ALICE");
    let (code, message) = refusal(chat.apply(action));
    assert_eq!(code, ErrorCode::NameTaken);
    assert!(message.contains("Alice"), "{message}");
    assert_eq!(chat.state.counts().accounts, 1);
}

#[test]
fn identities_and_tokens_are_not_shared() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let mut action = chat.register_action("bob");
    if let Action::Register { account, .. } = &mut action {
        *account = alice.account;
    }
    assert_eq!(refusal(chat.apply(action)).0, ErrorCode::IdConflict);
    let token_hash = Digest::of(b"token");
    let expires = chat.at.plus_ms(HOUR);
    let open = Action::OpenSession {
        account: alice.account,
        token_hash,
        expires,
        verified: None,
        from: None,
    };
    opened(chat.apply(open.clone()));
    assert_eq!(refusal(chat.apply(open)).0, ErrorCode::IdConflict);
}

#[test]
fn logging_in_to_an_account_that_is_gone_is_refused() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    chat.apply(Action::DeleteAccount { session: alice.session, verified: None });
    assert_eq!(refusal(chat.log_in(alice.account)).0, ErrorCode::LoginRefused);
}

#[test]
fn a_session_that_was_closed_has_no_say() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    assert_eq!(chat.apply(Action::CloseSession { session: alice.session }), Outcome::Done);
    assert_eq!(chat.effects.ended_sessions, [(alice.account, alice.session)]);
    let refused = chat.apply(send(alice, &["alice"], "late"));
    assert_eq!(refusal(refused).0, ErrorCode::SessionExpired);
    let view = chat.state.session_by_number(alice.session, chat.at);
    assert_eq!(view.expect_err("closed").code, ErrorCode::SessionExpired);
    assert_eq!(opened(chat.log_in(alice.account)).session, 2, "numbers are not reused");
}

#[test]
fn a_session_ends_at_its_hour_even_when_the_next_leaders_clock_is_behind() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let soon = chat.at.plus_ms(HOUR);
    let expiring = opened(chat.apply(Action::OpenSession {
        account: alice.account,
        token_hash: Digest::of(b"short"),
        expires: soon,
        verified: None,
        from: None,
    }));
    let short = Digest::of(b"short");
    assert!(chat.state.session(&short, Timestamp(soon.0 - 1)).is_ok());
    let expired = chat.state.session(&short, soon).expect_err("expired");
    assert_eq!(expired.code, ErrorCode::SessionExpired);
    assert!(expired.message.contains(&soon.to_string()), "{expired}");
    chat.at = soon;
    let refused = chat.apply(send(expiring, &["alice"], "too late"));
    assert_eq!(refusal(refused).0, ErrorCode::SessionExpired);
    assert_eq!(chat.effects.ended_sessions, [(expiring.account, expiring.session)]);
    chat.at = Timestamp(0);
    let refused = chat.apply(send(expiring, &["alice"], "too late"));
    assert_eq!(refusal(refused).0, ErrorCode::SessionExpired);
    assert!(matches!(chat.apply(send(alice, &["alice"], "x")), Outcome::Sent { .. }));
}

#[test]
fn a_session_that_was_over_when_it_began_is_of_no_use_even_within_its_entry() {
    let mut chat = Chat::new();
    let mut action = chat.register_action("alice");
    if let Action::Register { expires, .. } = &mut action {
        *expires = chat.at;
    }
    let ids = [chat.id(), chat.id()];
    let send = Action::Send {
        session: 1,
        to: names(&["alice"]),
        text: "x".to_string(),
        again: false,
        after: None,
        reply_to: None,
    };
    let operations = std::iter::zip(ids, [action, send.clone()]);
    let operations = operations.map(|(id, action)| Operation { id, action }).collect();
    let outcomes = chat.state.apply(1, &Batch { at: chat.at, operations }, &mut chat.effects);
    assert!(matches!(outcomes[0], Outcome::SessionOpened { session: 1, .. }));
    assert_eq!(refusal(outcomes[1].clone()).0, ErrorCode::SessionExpired);
    // What was refused stays refused, whatever the next leader's clock says.
    chat.at = Timestamp(0);
    assert_eq!(refusal(chat.apply_as(ids[1], send)).0, ErrorCode::SessionExpired);
    audit(&chat.state);
}

#[test]
fn one_login_too_many_ends_the_oldest() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let bob = chat.register("bob");
    for _ in 1..SESSIONS_PER_ACCOUNT_MAX {
        chat.log_in(alice.account);
    }
    assert!(chat.state.session_by_number(alice.session, chat.at).is_ok());
    opened(chat.log_in(alice.account));
    assert_eq!(chat.effects.ended_sessions, [(alice.account, alice.session)]);
    assert!(chat.state.session_by_number(alice.session, chat.at).is_err());
    assert!(chat.state.session_by_number(bob.session, chat.at).is_ok());
    assert_eq!(chat.state.counts().sessions, SESSIONS_PER_ACCOUNT_MAX + 1);
}

#[test]
fn a_later_owner_of_a_name_sees_nothing_of_the_former_one() {
    let mut chat = Chat::new();
    let (alice, bob) = (chat.register("alice"), chat.register("Bob"));
    let second = opened(chat.log_in(bob.account));
    chat.send(alice, &["bob"], "for the first bob");
    chat.send(bob, &["alice"], "from the first bob");
    assert_eq!(
        chat.apply(Action::DeleteAccount { session: second.session, verified: None }),
        Outcome::Done
    );
    assert_eq!(chat.effects.ended_accounts, [bob.account]);
    assert_eq!(
        chat.effects.ended_sessions,
        [(bob.account, bob.session), (second.account, second.session)]
    );
    assert!(chat.state.account(bob.account).is_none());

    let heir = chat.register("BOB");
    assert_ne!(heir.account, bob.account);
    assert_eq!(chat.texts(heir, Which::All), [""; 0]);
    assert_eq!(chat.texts(heir, Which::Sent), [""; 0]);
    assert_eq!(chat.texts(bob, Which::All), [""; 0]);
    // What the first bob sent stays with those he sent it to, under his name.
    let page = chat.page(alice, &InboxQuery::default());
    assert_eq!(page.messages[0].from.as_str(), "Bob");
    assert_eq!(chat.texts(alice, Which::Sent), ["for the first bob"]);
    chat.send(alice, &["bob"], "for the heir");
    assert_eq!(chat.texts(heir, Which::All), ["for the heir"]);
}

/// Entries without operations make the same of two states, whatever they have in mind.
fn pass_alike(chat: &mut Chat, twin: &mut Chat) {
    for _ in 0..3 {
        assert_eq!(chat.state.hash(), twin.state.hash());
        chat.pass(1);
        twin.pass(1);
    }
    assert_eq!(chat.state.hash(), twin.state.hash());
}

#[test]
fn a_large_account_goes_in_portions_and_nobody_sees_it_meanwhile() {
    let mut chat = Chat::with_window(10_000);
    let (alice, bob) = (chat.register("alice"), chat.register("bob"));
    let many = ORPHANS_REMOVED_PER_ENTRY_MAX + 100;
    let operations = |chat: &mut Chat| {
        (0..many).map(|_| Operation { id: chat.id(), action: send(alice, &["bob"], "x") }).collect()
    };
    let batch = Batch { at: chat.at, operations: operations(&mut chat) };
    chat.index += 1;
    chat.state.apply(chat.index, &batch, &mut chat.effects);
    chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    assert_eq!(chat.state.counts().emptying, 1);
    assert_eq!(chat.texts(bob, Which::All), [""; 0]);
    // Whoever loads a snapshot in between goes on emptying it.
    let mut twin = chat.loaded(10_000);
    pass_alike(&mut chat, &mut twin);
    assert_eq!((chat.state.counts().emptying, chat.state.counts().messages), (0, many));
    // Now the sender goes too, and with her the last copies.
    chat.apply(Action::DeleteAccount { session: alice.session, verified: None });
    assert_eq!(chat.state.counts().emptying, 1);
    let mut twin = chat.loaded(10_000);
    pass_alike(&mut chat, &mut twin);
    assert_eq!((chat.state.counts().emptying, chat.state.counts().messages), (0, 0));
    assert!(chat.state.counts().remembered >= many, "their ids are remembered");
}

#[test]
fn every_wiped_replica_gets_a_number_that_never_existed() {
    let mut chat = Chat::new();
    let mut allocate =
        |replica| chat.apply(Action::AllocateIncarnation { replica: ReplicaId(replica) });
    assert_eq!(allocate(1), Outcome::Incarnation { incarnation: 2 });
    assert_eq!(allocate(1), Outcome::Incarnation { incarnation: 3 });
    assert_eq!(allocate(2), Outcome::Incarnation { incarnation: 2 });
    chat.state.data.counters.incarnations.insert(ReplicaId(7), u32::MAX);
    let outcome = chat.apply(Action::AllocateIncarnation { replica: ReplicaId(7) });
    assert_eq!(refusal(outcome).0, ErrorCode::TooMany);
}
