//! Accounts that are blocked.

use super::affairs::{chat, own};
use super::overlay::Lonely;
use super::settling::Alone;
use super::*;
use crate::limits::{BLOCKED_MAX, MESSAGE_OVERHEAD_BYTES};

fn block(user: User, who: &str) -> Action {
    own(user, OwnChange::Block { name: name(who) })
}

fn unblock(user: User, who: &str) -> Action {
    own(user, OwnChange::Unblock { name: name(who) })
}

fn blocked(chat: &Chat, user: User) -> Vec<String> {
    let names = chat.state.look(|look| look.blocked_by(user.account));
    names.iter().map(ToString::to_string).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn what_a_blocked_account_sends_is_answered_as_ever_and_never_comes_into_that_inbox() {
    let mut chat = chat();
    let [mallory, bob, carol] = ["Mallory", "bob", "carol"].map(|who| chat.register(who));
    chat.send(mallory, &["bob"], "before");
    assert_eq!(chat.apply(block(bob, "MALLORY")), Outcome::Done);
    assert_eq!(blocked(&chat, bob), ["Mallory"]);
    let (id, seq) = (chat.id(), chat.state.last_seq() + 1);
    let outcome = chat.apply_as(id, send(mallory, &["bob", "carol"], "to both"));
    let expected =
        Outcome::Sent { seq, at: chat.at, to: names(&["bob", "carol"]).into_iter().collect() };
    assert_eq!(outcome, expected);
    assert_eq!(chat.effects.delivered, [(carol.account, seq)], "nobody wakes bob");
    let to_bob = send(mallory, &["bob"], "to bob");
    let (id, seq) = (chat.id(), seq + 1);
    for _ in 0..2 {
        let outcome = chat.apply_as(id, to_bob.clone());
        assert!(matches!(outcome, Outcome::Sent { seq: at, .. } if at == seq), "{outcome:?}");
        audit(&chat.state);
    }
    assert_eq!(chat.texts(bob, Which::All), ["before"], "what was there stays");
    assert_eq!(chat.texts(carol, Which::All), ["to both"]);
    assert_eq!(chat.texts(mallory, Which::Sent), ["before", "to both", "to bob"]);
    let mark = Action::MarkRead { session: bob.session, seqs: vec![seq] };
    assert_eq!(chat.apply(mark), Outcome::Marked { count: 0 });
    let delete = Action::Delete { session: bob.session, ids: vec![id] };
    assert_eq!(refusal(chat.apply(delete)).0, ErrorCode::UnknownMessage);
    assert!(find(&chat.state, bob.account, &id.to_string()).expect("valid").is_empty());
    assert!(matches!(chat.apply(send(bob, &["mallory"], "x")), Outcome::Sent { .. }));
    assert_eq!(chat.texts(mallory, Which::All), ["x"], "in one direction only");

    let mut loaded = chat.loaded(1_000);
    assert_eq!(loaded.state.hash(), chat.state.hash());
    for chat in [&mut chat, &mut loaded] {
        assert_eq!(chat.apply(unblock(bob, "mallory")), Outcome::Done);
        assert_eq!(chat.apply(unblock(bob, "mallory")), Outcome::Done, "as often as one likes");
        chat.send(mallory, &["bob"], "after");
        assert_eq!(chat.texts(bob, Which::All), ["before", "after"], "nothing comes afterwards");
        audit(&chat.state);
    }
    assert_eq!(loaded.state.hash(), chat.state.hash());
}

#[test]
fn nobody_blocks_themselves_nor_nobody_nor_more_than_there_is_room_for() {
    let mut chat = chat();
    let bob = chat.register("bob");
    let (code, sentence) = refusal(chat.apply(block(bob, "BOB")));
    assert_eq!(code, ErrorCode::InvalidRequest);
    assert!(sentence.contains("cannot block yourself"), "{sentence}");
    for action in [block(bob, "nobody"), unblock(bob, "nobody")] {
        assert_eq!(refusal(chat.apply(action)).0, ErrorCode::UnknownAccount);
    }
    let others: Vec<String> = (0..=BLOCKED_MAX).map(|n| format!("m{n:04}")).collect();
    let mut users = Vec::new();
    for other in &others {
        let action = chat.register_action(other);
        let id = chat.id();
        users.push(opened(chat.apply_as(id, action)));
        let id = chat.id();
        let outcome = chat.apply_as(id, block(bob, other));
        match users.len() > BLOCKED_MAX {
            false => assert_eq!(outcome, Outcome::Done, "{other}"),
            true => assert_eq!(refusal(outcome).0, ErrorCode::TooMany),
        }
    }
    assert_eq!(chat.apply(block(bob, "m0007")), Outcome::Done, "already");
    assert_eq!(blocked(&chat, bob), others[..BLOCKED_MAX]);
    assert_eq!(chat.loaded(1_000).state.hash(), chat.state.hash());
    // Whoever is gone makes room.
    let verified = chat.verified(users[3].account);
    chat.apply(Action::DeleteAccount { session: users[3].session, verified });
    assert_eq!(blocked(&chat, bob).len(), BLOCKED_MAX - 1);
    assert_eq!(chat.apply(block(bob, &others[BLOCKED_MAX])), Outcome::Done);
    assert_eq!(blocked(&chat, bob).len(), BLOCKED_MAX);
}

#[test]
fn an_account_is_blocked_and_not_its_name() {
    let mut chat = chat();
    let [mallory, bob] = ["mallory", "bob"].map(|who| chat.register(who));
    chat.apply(block(bob, "mallory"));
    let verified = chat.verified(mallory.account);
    chat.apply(Action::DeleteAccount { session: mallory.session, verified });
    assert_eq!(blocked(&chat, bob), NONE);
    let heir = chat.register("mallory");
    chat.send(heir, &["bob"], "from another one");
    assert_eq!(chat.texts(bob, Which::All), ["from another one"]);
    assert_eq!(blocked(&chat, bob), NONE);
    // Nor does a later owner of the blocker's name block anybody.
    chat.apply(block(bob, "mallory"));
    let verified = chat.verified(bob.account);
    chat.apply(Action::DeleteAccount { session: bob.session, verified });
    let other = chat.register("bob");
    chat.send(heir, &["bob"], "to another one");
    assert_eq!(chat.texts(other, Which::All), ["to another one"]);
}

#[test]
fn an_inbox_that_is_full_refuses_whoever_sends_and_what_is_blocked_does_not_fill_it() {
    let mut chat = chat();
    let [mallory, bob, carol] = ["mallory", "bob", "carol"].map(|who| chat.register(who));
    let change = Change::SetBounds {
        account_bytes: Some(8 * (MESSAGE_OVERHEAD_BYTES + 1)),
        total_bytes: None,
        keep_messages_days: None,
        proposed: false,
    };
    chat.apply(Action::Administer { by: "root@alpha".into(), change });
    chat.apply(block(bob, "mallory"));
    for _ in 0..6 {
        chat.send(mallory, &["bob"], "x");
        audit(&chat.state);
    }
    for _ in 0..8 {
        chat.send(bob, &["bob"], "x");
    }
    let refused = [mallory, carol].map(|user| refusal(chat.apply(send(user, &["bob"], "x"))));
    assert_eq!(refused[0], refused[1], "both are told the same");
    assert_eq!(refused[0].0, ErrorCode::InboxFull);
}

#[test]
fn what_a_server_takes_alone_from_a_blocked_account_is_not_shown_and_not_delivered() {
    let mut lonely = Lonely::new();
    lonely.alone.chat.apply(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS });
    let [mallory, bob, carol] = ["mallory", "bob", "carol"].map(|who| lonely.register(who));
    lonely.alone.chat.apply(block(bob, "mallory"));
    let (id, _) = lonely.send(mallory, &["bob", "carol"], "alone");
    let (none, alone) = (Vec::<String>::new(), vec!["alone".to_string()]);
    let shown = |lonely: &Lonely, user| lonely.texts(user, Which::All);
    assert_eq!(shown(&lonely, bob), (none.clone(), none.clone()));
    assert_eq!(shown(&lonely, carol), (none.clone(), alone.clone()));
    assert_eq!(lonely.texts(mallory, Which::Sent), (none.clone(), alone.clone()));
    lonely.mark(bob, &[id]).expect_err("it is not there");
    lonely.settle(true);
    assert_eq!(shown(&lonely, bob), (none.clone(), none.clone()));
    assert_eq!(shown(&lonely, carol), (alone, none));
}

#[test]
fn a_block_that_a_majority_has_made_counts_for_what_is_settled_behind_it() {
    let mut alone = Alone::new();
    alone.chat.apply(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS });
    let [mallory, bob] = ["mallory", "bob"].map(|who| alone.chat.register(who));
    let (first, entry) = alone.message(mallory, &[bob], "taken alone");
    alone.chat.apply(block(bob, "mallory"));
    alone.settle(first, &entry);
    assert_eq!(alone.chat.texts(bob, Which::All), NONE);
    assert_eq!(alone.chat.texts(mallory, Which::Sent), ["taken alone"]);
    assert_eq!(alone.chat.texts(mallory, Which::All), NONE, "and nobody is told");
}

#[test]
fn a_snapshot_that_blocks_what_cannot_be_is_refused() {
    let mut chat = chat();
    let [_, bob] = ["mallory", "bob"].map(|who| chat.register(who));
    chat.apply(block(bob, "mallory"));
    let lines = lines(&chat.state);
    let with = |numbers: &str| -> Vec<Vec<u8>> {
        let text = |line: &Vec<u8>| String::from_utf8(line.clone()).expect("JSON");
        let changed = lines.iter().map(|line| text(line).replace("\"blocked\":[1]", numbers));
        changed.map(String::into_bytes).collect()
    };
    restore(1_000, &with("\"blocked\":[1]")).expect("as written");
    for wrong in ["\"blocked\":[2]", "\"blocked\":[0]", "\"blocked\":[3]", "\"blocked\":[1,1]"] {
        let error = restore(1_000, &with(wrong)).expect_err(wrong);
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains("blocks what it cannot"), "{error}");
    }
}
