//! Sending, marking, deleting.

use super::*;
use crate::limits::{IDS_PER_REQUEST_MAX, RECIPIENTS_MAX, TEXT_MAX_BYTES};

#[test]
fn a_message_to_several_accounts_is_kept_once_and_seen_by_all() {
    let mut chat = Chat::new();
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|who| chat.register(who));
    let id = chat.id();
    let outcome = chat.apply_as(id, send(alice, &["bob", "CAROL", "Bob", "alice"], "hello"));
    let Outcome::Sent { seq, at, to } = outcome else { panic!("not sent: {outcome:?}") };
    assert_eq!((seq, at), (1, chat.at));
    let to: Vec<&str> = to.iter().map(AccountName::as_str).collect();
    assert_eq!(to, ["Bob", "Carol", "Alice"], "each once, as they write themselves");
    assert_eq!(chat.state.counts().messages, 1);
    let accounts = [bob.account, carol.account, alice.account];
    assert_eq!(chat.effects.delivered, accounts.map(|account| (account, 1)));
    assert_eq!(chat.effects.sent, [(alice.account, 1)]);
    for user in [alice, bob, carol] {
        let page = chat.page(user, &InboxQuery::default());
        let [message] = page.messages.as_slice() else { panic!("one message") };
        assert_eq!((message.id, message.seq, message.read), (id, Some(1), false));
        assert_eq!((message.from.as_str(), message.text.as_str()), ("Alice", "hello"));
        assert_eq!(*message.to, names(&["bob", "carol", "alice"]));
    }
    assert_eq!(chat.texts(alice, Which::Sent), ["hello"]);
    assert_eq!(chat.texts(bob, Which::Sent), [""; 0]);
    assert_eq!(chat.send(bob, &["alice"], "next").1, 2);
    assert_eq!(chat.state.last_seq(), 2);
}

#[test]
fn a_message_with_one_unknown_recipient_goes_to_nobody() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let (code, message) = refusal(chat.apply(send(alice, &["bob", "Zoe"], "hello")));
    assert_eq!(code, ErrorCode::UnknownAccount);
    assert!(message.contains("Zoe"), "{message}");
    let many: Vec<String> = (0..50).map(|n| format!("nobody{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (_, message) = refusal(chat.apply(send(alice, &many, "hello")));
    assert!(message.contains("nobody2, 47 more") && !message.contains("nobody3"), "{message}");
    assert_eq!(chat.texts(bob, Which::All), [""; 0]);
    assert_eq!((chat.state.last_seq(), chat.state.counts().messages), (0, 0));
    assert_eq!(chat.effects, Effects::default());
}

#[test]
fn texts_and_recipients_have_bounds() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let longest = "x".repeat(TEXT_MAX_BYTES);
    assert!(matches!(chat.apply(send(alice, &["alice"], &longest)), Outcome::Sent { .. }));
    let longer = "x".repeat(TEXT_MAX_BYTES + 1);
    for (to, text, expected) in [
        (&["alice"][..], "", ErrorCode::InvalidText),
        (&["alice"][..], &longer, ErrorCode::InvalidText),
        (&[][..], "x", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(refusal(chat.apply(send(alice, to, text))).0, expected);
    }
    let same = ["alice"; RECIPIENTS_MAX + 1];
    assert!(matches!(chat.apply(send(alice, &same, "once")), Outcome::Sent { .. }));
    let crowd: Vec<String> = (0..=RECIPIENTS_MAX).map(|n| format!("n{n}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    assert_eq!(refusal(chat.apply(send(alice, &crowd, "x"))).0, ErrorCode::TooMany);
    let ids = vec![Uuid::nil(); IDS_PER_REQUEST_MAX + 1];
    let delete = Action::Delete { session: alice.session, ids };
    assert_eq!(refusal(chat.apply(delete)).0, ErrorCode::TooMany);
    let seqs = vec![1; IDS_PER_REQUEST_MAX + 1];
    let mark = Action::MarkRead { session: alice.session, seqs };
    assert_eq!(refusal(chat.apply(mark)).0, ErrorCode::TooMany);
}

#[test]
fn marking_counts_what_was_unread_and_passes_over_the_rest() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    for text in ["one", "two", "three"] {
        chat.send(alice, &["bob"], text);
    }
    let session = bob.session;
    let mark = |seqs: &[u64]| Action::MarkRead { session, seqs: seqs.to_vec() };
    assert_eq!(chat.apply(mark(&[2, 2, 1, 99, 0, u64::MAX])), Outcome::Marked { count: 2 });
    assert_eq!(chat.apply(mark(&[1, 2, 3])), Outcome::Marked { count: 1 });
    assert_eq!(chat.texts(bob, Which::Unread), [""; 0]);
    assert_eq!(chat.texts(bob, Which::All), ["one", "two", "three"]);
    chat.send(alice, &["bob"], "four");
    assert_eq!(chat.texts(bob, Which::Unread), ["four"]);
}

#[test]
fn deleting_is_all_or_none_and_touches_my_inbox_only() {
    let mut chat = Chat::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    let (first, _) = chat.send(alice, &["bob", "carol"], "first");
    let (second, _) = chat.send(alice, &["carol"], "second");
    let session = bob.session;
    let delete = |ids: &[Uuid]| Action::Delete { session, ids: ids.to_vec() };
    let (code, message) = refusal(chat.apply(delete(&[first, second])));
    assert_eq!(code, ErrorCode::UnknownMessage);
    assert!(message.contains(&second.to_string()), "{message}");
    assert_eq!(chat.texts(bob, Which::All), ["first"]);
    assert_eq!(chat.apply(delete(&[first, first])), Outcome::Deleted { count: 1 });
    assert_eq!(chat.texts(bob, Which::All), [""; 0]);
    assert_eq!(refusal(chat.apply(delete(&[first]))).0, ErrorCode::UnknownMessage);
    assert_eq!(chat.texts(carol, Which::All), ["first", "second"]);
    assert_eq!(chat.texts(alice, Which::Sent), ["first", "second"]);
}

#[test]
fn a_body_goes_with_its_last_copy() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let (id, _) = chat.send(alice, &["bob", "alice"], "secret");
    chat.apply(Action::DeleteAccount { session: alice.session, verified: None });
    assert_eq!(chat.state.counts().messages, 1, "bob still has it");
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    assert_eq!(chat.state.counts().messages, 0);
    let all = lines(&chat.state).concat();
    assert!(!String::from_utf8_lossy(&all).contains("secret"));
}
