//! Views, their lines, and states made from them.

use super::*;
use crate::limits::{RECIPIENTS_MAX, TEXT_MAX_BYTES};

/// A state in which everything occurs, also what remains of deleted accounts.
pub(super) fn eventful() -> Chat {
    let mut chat = Chat::with_window(100);
    let [alice, bob, carol] = ["Alice", "bob", "carol"].map(|who| chat.register(who));
    chat.send(alice, &["bob", "carol"], "one \u{1} \"two\" \u{202e}");
    let (id, seq) = chat.send(bob, &["alice"], "for alice");
    chat.apply(Action::MarkRead { session: alice.session, seqs: vec![seq] });
    chat.apply(send(bob, &["nobody"], "lost"));
    chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    chat.register("Bob");
    chat.apply(send(carol, &["bob"], "for the second bob"));
    chat.apply(Action::AllocateIncarnation { replica: crate::types::ReplicaId(3) });
    chat.apply(Action::Delete { session: alice.session, ids: vec![id] });
    chat
}

#[test]
fn a_restored_state_is_the_state_that_was_written() {
    let chat = eventful();
    let written = lines(&chat.state);
    let restored = restore(100, &written).expect("own lines");
    audit(&restored);
    assert_eq!(restored.hash(), chat.state.hash());
    assert_eq!(lines(&restored), written);
    assert_eq!(restored.counts(), chat.state.counts());
    assert_eq!(restored.last_seq(), chat.state.last_seq());
}

#[test]
fn an_empty_state_can_be_restored() {
    let restored = restore(5, &lines(&State::new(5))).expect("empty");
    assert_eq!(restored.hash(), State::new(5).hash());
}

#[test]
fn lines_are_json_objects_of_bounded_length() {
    let mut chat = Chat::new();
    let crowd: Vec<String> = (0..RECIPIENTS_MAX).map(|n| format!("{n:0>32}")).collect();
    let users: Vec<User> = crowd
        .iter()
        .map(|who| {
            let (id, action) = (chat.id(), chat.register_action(who));
            opened(chat.apply_as(id, action))
        })
        .collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    // Control characters take six bytes each in JSON.
    chat.send(users[0], &crowd, &"\u{1}".repeat(TEXT_MAX_BYTES));
    for _ in 0..2_000 {
        chat.send(users[1], &["00000000000000000000000000000002"], "x");
    }
    for user in &users[3..] {
        let id = chat.id();
        chat.apply_as(id, Action::DeleteAccount { session: user.session, verified: None });
    }
    let written = lines(&chat.state);
    for line in &written {
        assert!(line.len() <= 64 * 1024, "{} bytes", line.len());
        let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(1));
    }
    assert!(written.len() < 100, "small items share lines: {}", written.len());
    assert_eq!(restore(1_000, &written).expect("own lines").hash(), chat.state.hash());
}

#[test]
fn a_line_that_is_missing_or_doubled_or_moved_is_noticed() {
    let chat = eventful();
    let written = lines(&chat.state);
    for at in 0..written.len() {
        let mut missing = written.clone();
        missing.remove(at);
        let mut doubled = written.clone();
        doubled.insert(at, written[at].clone());
        for wrong in [missing, doubled] {
            let error = restore(100, &wrong).expect_err("not the same lines");
            assert_eq!(error.code, ErrorCode::Corrupted, "{error}");
        }
    }
}

#[test]
fn lines_of_a_newer_program_are_not_taken_for_broken_ones() {
    let line = br#"{"header":[{"format":99,"last_seq":0,"last_session":0,"last_account":0}]}"#;
    let error = Restore::new(1).line(line).expect_err("newer");
    assert_eq!(error.code, ErrorCode::NewerFormat);
}

#[test]
fn a_counter_that_would_overflow_later_is_refused() {
    for counter in ["last_seq", "last_session", "last_account"] {
        let mut line = lines(&State::new(1)).remove(0);
        let text = String::from_utf8(line).expect("UTF-8");
        line = text
            .replace(&format!("\"{counter}\":0"), &format!("\"{counter}\":{}", u64::MAX))
            .into();
        let error = Restore::new(1).line(&line).expect_err(counter);
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains("line 1"), "{error}");
    }
}

#[test]
fn what_names_something_that_is_not_there_is_refused_at_its_line() {
    let id = Uuid::nil();
    let (sum, at) = (Digest::of(b""), Timestamp(0));
    let account = |number: u64, gone: bool| {
        format!(
            r#"{{"accounts":[{{"number":{number},"account":"{id}","name":"a","password_hash":"",
            "gone":{gone}}}]}}"#
        )
    };
    let session = format!(
        r#"{{"sessions":[{{"number":1,"account":1,"token_hash":"{sum}","expires":"{at}"}}]}}"#
    );
    let message = |from: u64, to: &str| {
        format!(
            r#"{{"messages":[{{"seq":1,"id":"{id}","at":"{at}","from":{from},"to":{to},
            "text":"x"}}]}}"#
        )
    };
    let inbox = r#"{"inboxes":[{"account":1,"read":[1],"unread":[1]}]}"#.to_string();
    let sent = |account: u64| format!(r#"{{"sent":[{{"account":{account},"seqs":[1]}}]}}"#);
    for (before, wrong, why) in [
        (vec![], session.clone(), "no account"),
        (vec![account(1, true)], session.clone(), "no account"),
        (vec![account(1, false), session.clone()], session.clone(), "out of order"),
        (vec![account(1, false)], account(2, false), "name or identity"),
        (vec![], account(10, false), "out of order"),
        (vec![account(1, false)], message(1, "[]"), "no recipient"),
        (vec![account(1, false)], message(1, "[2]"), "not there"),
        (vec![account(1, false)], message(2, "[1]"), "not there"),
        (vec![account(1, false), message(1, "[1]")], inbox.clone(), "no place"),
        (vec![account(1, false), message(1, "[1]")], sent(2), "account 2"),
        (vec![account(1, false)], sent(1), "not there"),
    ] {
        let header = r#"{"header":[{"format":1,"last_seq":9,"last_session":9,"last_account":9}]}"#;
        let mut restore = Restore::new(1);
        restore.line(header.as_bytes()).expect("a header");
        for line in before {
            restore.line(line.as_bytes()).expect("right so far");
        }
        let error = restore.line(wrong.as_bytes()).expect_err(why);
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains(why), "{why}: {error}");
    }
}

#[test]
fn no_secret_is_printed_for_debugging() {
    let chat = eventful();
    let printed = format!("{:?} {:?}", chat.state, chat.state.view());
    assert!(!printed.contains("argon2") && !printed.contains("alice"), "{printed}");
}

#[test]
fn a_view_of_a_hundred_thousand_messages_is_not_disturbed_by_what_follows() {
    let mut chat = Chat::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    let mut ids = Vec::new();
    for n in 0..100_000 {
        let to = if n % 3 == 0 { &["bob", "carol"][..] } else { &["bob"] };
        ids.push(chat.send(alice, to, "hello").0);
    }
    let view = chat.state.view();
    let hash = chat.state.hash();
    assert_eq!(view.hash(), hash);
    #[expect(clippy::disallowed_methods, reason = "a view is read beside the writer, truly")]
    let worker = std::thread::spawn(move || {
        let mut restore = Restore::new(1_000);
        view.lines().try_for_each(|line| restore.line(&line)).expect("own lines");
        (restore.finish().expect("own lines"), view)
    });
    for (n, chunk) in ids.chunks(1_000).enumerate() {
        let first = n as u64 * 1_000;
        let seqs = (first + 1..=first + 1_000).step_by(7).collect();
        for action in [
            Action::Delete { session: bob.session, ids: chunk.to_vec() },
            Action::MarkRead { session: carol.session, seqs },
            send(bob, &["carol"], "new"),
        ] {
            let id = chat.id();
            let outcome = chat.apply_as(id, action);
            assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        }
    }
    let (id, action) =
        (chat.id(), Action::DeleteAccount { session: alice.session, verified: None });
    chat.apply_as(id, action);
    let (restored, view) = worker.join().expect("the worker ends");
    assert_ne!(chat.state.hash(), hash);
    assert_eq!((view.hash(), recompute(&view.data)), (hash, hash));
    assert_eq!(restored.hash(), hash);
    assert_eq!(restored.counts().messages, 100_000);
    audit(&restored);
}
