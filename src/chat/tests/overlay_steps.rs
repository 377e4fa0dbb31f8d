//! Reading what no majority has confirmed, in bounded steps.

use super::super::meter;
use super::overlay::Lonely;
use super::*;
use crate::limits::{IDS_PER_REQUEST_MAX, QUERY_STEPS_MAX, RECIPIENTS_MAX, TEXT_MAX_BYTES};

/// Repeats looks at a page until there is no more. Returns texts, and how many looks.
fn read_all(lonely: &Lonely, user: User, which: Which) -> (Vec<String>, usize) {
    let query = InboxQuery { which, ..InboxQuery::default() };
    let (mut after, mut texts, mut looks) = (0, Vec::new(), 0);
    loop {
        looks += 1;
        meter::taken();
        let now = lonely.alone.chat.at;
        let (page, spent) = lonely.look(|look| {
            let page = look.unconfirmed(user.account, &query, now, after, 1_000, usize::MAX);
            (page, look.spent())
        });
        let worked = meter::taken();
        assert!(worked <= spent + 16, "{worked} steps instead of {spent}");
        texts.extend(page.messages.into_iter().map(|(_, message)| message.text));
        assert!(!page.more || page.scanned_to > after, "it leads nowhere");
        after = page.scanned_to;
        if !page.more {
            return (texts, looks);
        }
    }
}

#[test]
fn long_lists_are_read_in_many_looks_and_nothing_is_missed() {
    let mut lonely = Lonely::new();
    let [alice, bob] = ["alice", "bob"].map(|who| lonely.register(who));
    let texts: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let ids: Vec<Uuid> = texts.iter().map(|text| lonely.send(alice, &["bob"], text).0).collect();
    let (read, looks) = read_all(&lonely, bob, Which::All);
    assert_eq!(read, texts);
    assert!(looks > 10, "{looks} looks");
    lonely.take(super::overlay::delete(bob, &ids[..999]));
    let (read, looks) = read_all(&lonely, bob, Which::Unread);
    assert_eq!(read, ["999"]);
    assert!(looks > 10, "what is passed over costs as well: {looks} looks");
    assert_eq!(read_all(&lonely, alice, Which::Sent).0, texts);
    let mut search = IdSearch::new(bob.account, &[ids[999].to_string()]).expect("valid");
    let mut looks = 1;
    while lonely.look(|look| look.ids(&mut search)) == Step::More {
        looks += 1;
    }
    assert_eq!((search.matches(), looks > 5), (vec![vec![ids[999]]], true));
}

#[test]
fn messages_to_many_are_read_few_at_a_look() {
    let mut lonely = Lonely::new();
    let everybody: Vec<String> = (0..RECIPIENTS_MAX).map(|n| format!("u{n}")).collect();
    for who in &everybody {
        let action = lonely.alone.chat.register_action(who);
        let id = lonely.id();
        lonely.alone.chat.apply_as(id, action);
    }
    let alice = lonely.register("alice");
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    for _ in 0..4 {
        lonely.send(alice, &everybody, &"x".repeat(TEXT_MAX_BYTES));
    }
    let (read, looks) = read_all(&lonely, alice, Which::Sent);
    assert_eq!(read.len(), 4);
    assert!(looks >= 2, "{looks} looks");
}

#[test]
fn taking_something_takes_no_more_steps_than_it_says() {
    let mut lonely = Lonely::new();
    let everybody: Vec<String> = (0..RECIPIENTS_MAX).map(|n| format!("u{n}")).collect();
    for who in &everybody {
        let action = lonely.alone.chat.register_action(who);
        let id = lonely.id();
        lonely.alone.chat.apply_as(id, action);
    }
    let alice = lonely.register("alice");
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    let mut ids = Vec::new();
    for n in 0..IDS_PER_REQUEST_MAX {
        // Every other one is confirmed.
        ids.push(match n % 2 {
            0 => lonely.send(alice, &["alice"], "x").0,
            _ => lonely.alone.chat.send(alice, &["alice"], "x").0,
        });
    }
    let session = alice.session;
    let seqs = (1..=IDS_PER_REQUEST_MAX as u64 / 2).collect();
    let asked = [
        send(alice, &everybody, &"x".repeat(TEXT_MAX_BYTES)),
        super::overlay::delete(alice, &ids),
        Action::MarkRead { session, seqs },
        super::overlay::close(alice),
    ];
    for action in asked {
        meter::taken();
        let (now, since, id) = (lonely.alone.chat.at, 1, Uuid::from_u128(1));
        let (asked, spent) = lonely.look(|look| {
            let asked = look.take(&Operation { id, action: action.clone() }, now, now, since);
            (asked, look.spent())
        });
        let worked = meter::taken();
        assert!(matches!(asked, Ok(Acceptance::New { .. })), "{asked:?}");
        assert!(worked <= spent, "{worked} steps instead of {spent}: {action:?}");
    }
    meter::taken();
    let asked = MarkAsked { id: Uuid::from_u128(1), session, seqs: &[], ids: &ids };
    let (asked, spent) = lonely.look(|look| {
        let asked = look.take_mark(&asked, Timestamp(0), Timestamp(0), 1);
        (asked, look.spent())
    });
    let worked = meter::taken();
    assert!(matches!(asked, Ok(Acceptance::New { .. })), "{asked:?}");
    assert!(worked <= spent && spent > QUERY_STEPS_MAX, "{worked} steps instead of {spent}");
}
