//! The same id again.

use super::*;
use crate::limits::IDS_FORGOTTEN_PER_ENTRY;

#[test]
fn a_repeated_request_changes_nothing_and_is_answered_alike() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let (message, _) = chat.send(bob, &["alice"], "to delete");
    for action in [
        send(alice, &["bob"], "hello"),
        send(alice, &["nobody"], "hello"),
        Action::MarkRead { session: alice.session, seqs: vec![1] },
        Action::Delete { session: alice.session, ids: vec![message] },
        Action::Delete { session: alice.session, ids: vec![message, Uuid::nil()] },
        Action::AllocateIncarnation { replica: crate::types::ReplicaId(1) },
        chat.register_action("alice"),
        chat.register_action("carol"),
        Action::CloseSession { session: bob.session },
        Action::DeleteAccount { session: alice.session, verified: None },
    ] {
        let id = chat.id();
        let first = chat.apply_as(id, action.clone());
        let (hash, counts) = (chat.state.hash(), chat.state.counts());
        assert_eq!(chat.apply_as(id, action.clone()), first, "{action:?}");
        assert_eq!((chat.state.hash(), chat.state.counts()), (hash, counts));
        assert_eq!(chat.effects, Effects::default());
    }
}

#[test]
fn an_id_with_another_content_is_refused() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let (id, _) = chat.send(alice, &["alice", "bob"], "hello");
    let hash = chat.state.hash();
    for action in [
        send(alice, &["alice", "bob"], "hello!"),
        send(alice, &["bob", "alice"], "hello"),
        send(alice, &["alice"], "hello"),
        send(bob, &["alice", "bob"], "hello"),
        Action::MarkRead { session: alice.session, seqs: vec![1] },
    ] {
        let (code, message) = refusal(chat.apply_as(id, action));
        assert_eq!(code, ErrorCode::IdConflict);
        assert!(message.contains(&id.to_string()), "{message}");
    }
    let id = chat.id();
    let mark = |user: User, seq| Action::MarkRead { session: user.session, seqs: vec![seq] };
    assert_eq!(chat.apply_as(id, mark(alice, 1)), Outcome::Marked { count: 1 });
    for action in [mark(alice, 2), mark(bob, 1), send(alice, &["bob"], "x")] {
        assert_eq!(refusal(chat.apply_as(id, action)).0, ErrorCode::IdConflict);
    }
    assert_ne!(chat.state.hash(), hash);
    assert_eq!(chat.texts(bob, Which::Unread), ["hello"]);
}

#[test]
fn a_retry_may_come_through_another_session_and_another_server() {
    let mut chat = Chat::new();
    let id = chat.id();
    let action = chat.register_action("alice");
    let alice = opened(chat.apply_as(id, action.clone()));
    let Action::Register { name, token_hash, .. } = action else { unreachable!("as made") };
    // Another server salts the password anew, draws another identity and has
    // another clock.
    let retry = Action::Register {
        account: Uuid::from_u128(77),
        name: name.clone(),
        password_hash: "$argon2id$other".to_string(),
        token_hash,
        expires: Timestamp(7),
        invitation: None,
        from: None,
    };
    assert_eq!(opened(chat.apply_as(id, retry)).account, alice.account);
    let other = Action::Register {
        account: alice.account,
        name,
        password_hash: String::new(),
        token_hash: Digest::of(b"other token"),
        expires: Timestamp(7),
        invitation: None,
        from: None,
    };
    assert_eq!(refusal(chat.apply_as(id, other)).0, ErrorCode::IdConflict);

    let again = opened(chat.log_in(alice.account));
    let id = chat.id();
    let first = chat.apply_as(id, send(alice, &["alice"], "hello"));
    assert_eq!(chat.apply_as(id, send(again, &["ALICE", "alice"], "hello")), first);
    assert_eq!(chat.texts(alice, Which::All), ["hello"]);
}

#[test]
fn a_refusal_stays_a_refusal_when_its_reason_is_gone() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let id = chat.id();
    let refused = chat.apply_as(id, send(alice, &["bob"], "hello"));
    let bob = chat.register("bob");
    // A late copy of what alice was told had failed must not arrive after all.
    assert_eq!(chat.apply_as(id, send(alice, &["bob"], "hello")), refused);
    assert_eq!(chat.texts(bob, Which::All), [""; 0]);
}

#[test]
fn who_was_told_to_log_in_again_may_repeat_the_same_id() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    chat.apply(Action::CloseSession { session: alice.session });
    let id = chat.id();
    let refused = chat.apply_as(id, send(alice, &["alice"], "hello"));
    assert_eq!(refusal(refused.clone()).0, ErrorCode::SessionExpired);
    assert_eq!(chat.apply_as(id, send(alice, &["alice"], "hello")), refused);
    let again = opened(chat.log_in(alice.account));
    let sent = chat.apply_as(id, send(again, &["alice"], "hello"));
    assert!(matches!(sent, Outcome::Sent { .. }));
    // A late copy of the refused try finds it done.
    assert_eq!(chat.apply_as(id, send(alice, &["alice"], "hello")), sent);
    assert_eq!(chat.texts(again, Which::All), ["hello"]);
}

#[test]
fn the_window_is_counted_in_entries() {
    let mut chat = Chat::with_window(10);
    let alice = chat.register("alice");
    let id = chat.id();
    let close = |session| Action::CloseSession { session };
    assert_eq!(chat.apply_as(id, close(alice.session)), Outcome::Done);
    chat.pass(9);
    assert_eq!(chat.apply_as(id, close(alice.session)), Outcome::Done, "10 entries later");
    assert_eq!(chat.state.counts().remembered, 1);
    // Recalling does not prolong: the entry's own index counts.
    let forgotten = chat.apply_as(id, close(alice.session));
    assert_eq!(refusal(forgotten).0, ErrorCode::SessionExpired);
    assert_eq!(chat.state.counts().remembered, 0);
}

#[test]
fn a_stored_message_keeps_its_id_beyond_the_window_and_then_as_long_again() {
    let mut chat = Chat::with_window(10);
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let id = chat.id();
    let hello = || send(alice, &["bob"], "hello");
    let sent = chat.apply_as(id, hello());
    chat.pass(50);
    assert_eq!(chat.state.counts().remembered, 0, "it costs the window nothing");
    assert_eq!(chat.apply_as(id, hello()), sent);
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    chat.apply(Action::DeleteAccount { session: alice.session, verified: None });
    assert_eq!(chat.state.counts().messages, 0);
    chat.pass(9);
    assert_eq!(chat.apply_as(id, hello()), sent, "a tombstone stands for it");
    assert_eq!(chat.texts(bob, Which::All), [""; 0]);
    let outcome = chat.apply_as(id, send(bob, &["bob"], "another"));
    assert!(matches!(outcome, Outcome::Sent { .. }), "the id is free again: {outcome:?}");
    audit(&chat.state);
}

/// A state that remembers many ids of a restored backup, just before they are too old.
fn full_of_restored_ids(level: u32, ids: usize) -> Chat {
    let mut chat = Chat::with_window(1_000_000);
    let alice = chat.register("alice");
    let ids: Vec<Uuid> = (0..ids).map(|_| chat.id()).collect();
    for id in &ids {
        chat.apply_as(*id, send(alice, &["nobody"], "x"));
    }
    let steps = super::restoring::steps(&super::restoring::backup(&chat.state), 100);
    let mut fresh = Chat { next_id: 1 << 60, ..Chat::with_window(1_000) };
    fresh.apply(Action::RaiseLevel { level });
    for step in steps {
        fresh.apply(step);
    }
    assert_eq!(fresh.state.counts().remembered, ids.len());
    fresh.pass(1_000 - fresh.index);
    fresh
}

#[test]
fn ids_that_become_too_old_together_are_forgotten_by_several_entries() {
    let many = 3 * IDS_FORGOTTEN_PER_ENTRY;
    let mut chat = full_of_restored_ids(1, many);
    let mut twin = chat.loaded(1_000);
    for entry in 1..=3 {
        let old = chat.state.counts().remembered;
        meter::taken();
        chat.pass(1);
        assert!(meter::taken() <= 16 * IDS_FORGOTTEN_PER_ENTRY, "work of one entry");
        assert_eq!(chat.state.counts().remembered, old - IDS_FORGOTTEN_PER_ENTRY);
        twin.pass(1);
        assert_eq!(twin.state.hash(), chat.state.hash(), "a loaded snapshot, entry {entry}");
    }
    assert_eq!(chat.state.counts().remembered, 0);
}

#[test]
fn at_level_0_ids_are_forgotten_as_programs_do_that_know_no_levels() {
    let mut chat = full_of_restored_ids(0, IDS_FORGOTTEN_PER_ENTRY + 100);
    chat.pass(1);
    assert_eq!(chat.state.counts().remembered, 0);
}

#[test]
fn an_entry_forgets_more_than_it_adds() {
    let mut chat = full_of_restored_ids(1, 3 * IDS_FORGOTTEN_PER_ENTRY);
    let alice = chat.register("bob");
    let old = chat.state.counts().remembered;
    let many = 2 * IDS_FORGOTTEN_PER_ENTRY / 16;
    let operations = (0..many)
        .map(|_| Operation { id: chat.id(), action: send(alice, &["nobody"], "x") })
        .collect();
    chat.index += 1;
    let batch = Batch { at: chat.at, operations };
    chat.state.apply(chat.index, &batch, &mut Effects::default());
    let new = chat.state.counts().remembered;
    assert!(new + IDS_FORGOTTEN_PER_ENTRY <= old, "{old} ids, then {new}");
}
