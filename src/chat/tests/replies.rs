//! Messages that answer others.

use super::overlay::{Lonely, delete};
use super::*;
use crate::limits::{FEATURE_LEVEL_KNOWN, LEVEL_OF_CONVERSATIONS, QUOTED_CHARS_MAX};
use crate::protocol::client;

fn chat() -> Chat {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN });
    chat
}

fn answer(from: User, to: &[&str], text: &str, answered: Uuid) -> Action {
    match send(from, to, text) {
        Action::Send { session, to, text, again, after, .. } => {
            Action::Send { session, to, text, again, after, reply_to: Some(answered) }
        }
        _ => unreachable!("it is a message"),
    }
}

/// What the last message of an inbox answers.
fn last(chat: &Chat, user: User) -> (Option<Uuid>, Option<String>) {
    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    let message = chat.page(user, &query).messages.pop().expect("a message");
    (message.reply_to, message.answers.map(|quote| format!("{}: {}", quote.from, quote.text)))
}

#[test]
fn an_answer_shows_what_it_answers_to_those_who_may_see_that_and_to_nobody_else() {
    let mut chat = chat();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    let long = "x".repeat(QUOTED_CHARS_MAX + 1);
    let (question, _) = chat.send(alice, &["bob"], &format!("{long} the end"));
    chat.apply(answer(bob, &["alice", "carol"], "yes", question));
    let quote = Some(format!("alice: {}", &long[..QUOTED_CHARS_MAX]));
    assert_eq!(last(&chat, alice), (Some(question), quote.clone()), "she has sent it");
    assert_eq!(last(&chat, carol), (Some(question), None), "it was never hers");
    // An id says nothing of what is in it, whoever answers.
    chat.apply(answer(carol, &["bob", "carol"], "what?", question));
    assert_eq!(last(&chat, bob), (Some(question), quote.clone()));
    assert_eq!(last(&chat, carol), (Some(question), None));
    // What is gone is quoted no more, and its answer stays an answer.
    chat.apply(Action::Delete { session: bob.session, ids: vec![question] });
    let (own, _) = chat.send(bob, &["bob"], "note");
    chat.apply(answer(bob, &["bob"], "to my note", own));
    assert_eq!(last(&chat, bob), (Some(own), Some("bob: note".into())));
    chat.apply(Action::Delete { session: bob.session, ids: vec![own] });
    assert_eq!(last(&chat, bob), (Some(own), Some("bob: note".into())), "he has it among the sent");
    let loaded = chat.loaded(1_000);
    audit(&loaded.state);
    assert_eq!(loaded.state.hash(), chat.state.hash());
    assert_eq!(last(&loaded, alice), (Some(question), quote));
}

#[test]
fn the_same_id_with_another_answered_message_is_another_message() {
    let mut chat = chat();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let [one, two] = ["one", "two"].map(|text| chat.send(alice, &["bob"], text).0);
    let id = chat.id();
    let first = chat.apply_as(id, answer(bob, &["alice"], "yes", one));
    assert!(matches!(first, Outcome::Sent { .. }), "{first:?}");
    assert_eq!(chat.apply_as(id, answer(bob, &["alice"], "yes", one)), first);
    for other in [answer(bob, &["alice"], "yes", two), send(bob, &["alice"], "yes")] {
        assert_eq!(refusal(chat.apply_as(id, other)).0, ErrorCode::IdConflict);
    }
    // Nor does it change when the message is gone and only its id is remembered.
    let session = alice.session;
    chat.apply(Action::Delete { session, ids: vec![id] });
    let verified = chat.verified(alice.account);
    chat.apply(Action::DeleteAccount { session, verified });
    chat.pass(3);
    assert_eq!(chat.apply_as(id, answer(bob, &["alice"], "yes", one)), first);
}

#[test]
fn below_its_level_nothing_is_an_answer() {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS - 1 });
    let alice = chat.register("alice");
    // An older program reads the same entry without what it does not know.
    let outcome = chat.apply(answer(alice, &["alice"], "yes", Uuid::from_u128(7)));
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    assert_eq!(last(&chat, alice), (None, None));
    let lines: Vec<String> =
        lines(&chat.state).into_iter().map(|it| String::from_utf8(it).expect("JSON")).collect();
    assert!(lines.iter().all(|line| !line.starts_with("{\"replies\"")), "{lines:?}");
}

#[test]
fn a_server_that_is_alone_takes_answers_to_what_it_knows_and_shows_them() {
    let mut lonely = Lonely::new();
    lonely.alone.chat.apply(Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN });
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (confirmed, _) = lonely.alone.chat.send(alice, &["bob"], "confirmed");
    let (unconfirmed, _) = lonely.send(alice, &["bob"], "unconfirmed");
    lonely.take(answer(bob, &["alice"], "1", confirmed));
    lonely.take(answer(bob, &["alice"], "2", unconfirmed));
    let quotes = |messages: Vec<client::Message>| -> Vec<(Option<Uuid>, String)> {
        let quote = |it: client::Message| (it.reply_to, it.answers.expect("a quote").text);
        messages.into_iter().map(quote).collect()
    };
    let expected =
        [(Some(confirmed), "confirmed".into()), (Some(unconfirmed), "unconfirmed".into())];
    assert_eq!(quotes(lonely.unconfirmed(alice, Which::All)), expected);
    lonely.take(delete(bob, &[confirmed]));
    assert_eq!(quotes(lonely.unconfirmed(alice, Which::All)), expected, "alice has it still");
    for _ in 0..4 {
        lonely.settle(true);
    }
    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    assert_eq!(quotes(lonely.alone.chat.page(alice, &query).messages), expected);
}

/// A majority may not know yet what is answered; its refusal would count for the other try.
#[test]
fn an_answer_that_was_taken_alone_and_tried_at_a_majority_is_delivered_once() {
    let mut lonely = Lonely::new();
    lonely.alone.chat.apply(Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN });
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (question, _) = lonely.send(alice, &["bob"], "question");
    let (id, _) = lonely.take(answer(bob, &["alice"], "answer", question));
    let again = match answer(bob, &["alice"], "answer", question) {
        Action::Send { session, to, text, after, reply_to, .. } => {
            Action::Send { session, to, text, again: true, after, reply_to }
        }
        _ => unreachable!("it is a message"),
    };
    let outcome = lonely.alone.chat.apply_as(id, again);
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    lonely.settle(true);
    lonely.settle(true);
    assert_eq!(lonely.alone.chat.texts(alice, Which::All), ["answer"], "and no notice");
    assert_eq!(last(&lonely.alone.chat, alice).0, Some(question));
}

#[test]
fn below_its_level_nothing_that_a_server_took_alone_is_an_answer() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let (question, _) = lonely.alone.chat.send(alice, &["bob"], "question");
    lonely.send(bob, &["alice"], "answer");
    // As a machine of another cluster may bring it.
    let (_, taken) = &mut lonely.outbox[0];
    let Act::Send { reply_to, .. } = &mut taken.act else { unreachable!("it is a message") };
    *reply_to = Some(question);
    lonely.settle(true);
    assert_eq!(last(&lonely.alone.chat, alice), (None, None));
    assert_eq!(lonely.alone.chat.state.data.replies.len(), 0);
}
