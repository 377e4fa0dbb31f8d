//! Questions: pages, prefixes, name lists.

use super::*;
use crate::limits::QUERY_STEPS_MAX;

fn seqs(page: &Page) -> Vec<u64> {
    page.messages.iter().filter_map(|message| message.seq).collect()
}

#[test]
fn a_query_filters_by_sender_time_and_place() {
    let mut chat = Chat::new();
    let [alice, bob] = ["Alice", "bob"].map(|who| chat.register(who));
    chat.send(alice, &["bob"], "1");
    chat.at = chat.at.plus_ms(1_000);
    let since = Some(chat.at);
    chat.send(bob, &["bob"], "2");
    chat.send(alice, &["bob"], "3");
    chat.apply(Action::MarkRead { session: bob.session, seqs: vec![2] });
    let all = || InboxQuery { which: Which::All, ..InboxQuery::default() };
    let unread = InboxQuery::default();
    for (query, expected) in [
        (unread.clone(), &[1, 3][..]),
        (all(), &[1, 2, 3]),
        (InboxQuery { from: Some("ALICE".to_string()), ..all() }, &[1, 3]),
        (InboxQuery { from: Some("zoe".to_string()), ..all() }, &[]),
        (InboxQuery { since, ..all() }, &[2, 3]),
        (InboxQuery { since, ..unread }, &[3]),
        (InboxQuery { after: Some(1), ..all() }, &[2, 3]),
        (InboxQuery { after: Some(9), ..all() }, &[]),
        (InboxQuery { which: Which::Sent, ..InboxQuery::default() }, &[2]),
    ] {
        let page = chat.page(bob, &query);
        assert_eq!((seqs(&page), page.more), (expected.to_vec(), false), "{query:?}");
        assert_eq!(page.scanned_to, query.after.unwrap_or(0).max(3), "{query:?}");
    }
    let sent = chat.page(alice, &InboxQuery { which: Which::Sent, ..InboxQuery::default() });
    assert!(sent.messages.iter().all(|message| message.read));
    let nobody = User { account: Uuid::nil(), session: 0 };
    assert_eq!(chat.page(nobody, &all()), Page::default());
}

#[test]
fn pages_are_cut_by_number_and_by_bytes_and_go_on_where_they_ended() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    for _ in 0..5 {
        chat.send(alice, &["alice"], "0123456789");
    }
    let page = |after, limit, bytes| {
        let query = InboxQuery { after: Some(after), ..InboxQuery::default() };
        let page = chat.state.look(|look| look.messages(alice.account, &query, limit, bytes));
        assert!(!page.interrupted);
        (seqs(&page), page.more, page.scanned_to)
    };
    assert_eq!(page(0, 2, usize::MAX), (vec![1, 2], true, 2));
    assert_eq!(page(2, 2, usize::MAX), (vec![3, 4], true, 4));
    assert_eq!(page(4, 2, usize::MAX), (vec![5], false, 5));
    assert_eq!(page(0, 5, usize::MAX), (vec![1, 2, 3, 4, 5], false, 5));
    assert_eq!(page(0, 9, 20), (vec![1, 2], true, 2));
    assert_eq!(page(0, 9, 19), (vec![1], true, 1));
    assert_eq!(page(3, 9, 0), (vec![4], true, 4), "a long text comes alone");
    assert_eq!(page(0, 0, 99), (vec![], true, 0));
}

#[test]
fn a_query_that_finds_nothing_stops_after_a_bounded_number_of_entries() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let total = 3 * QUERY_STEPS_MAX as u64;
    for _ in 1..total {
        chat.send(alice, &["bob"], "x");
    }
    chat.send(bob, &["bob"], "mine");
    let from = Some("bob".to_string());
    let mut query = InboxQuery { which: Which::All, from, ..InboxQuery::default() };
    let mut calls = 0;
    let page = loop {
        let page = chat.page(bob, &query);
        calls += 1;
        if !page.more {
            break page;
        }
        assert_eq!((&page.messages[..], page.interrupted), (&[][..], true));
        assert_eq!(page.scanned_to, calls * QUERY_STEPS_MAX as u64);
        query.after = Some(page.scanned_to);
    };
    assert_eq!((seqs(&page), page.scanned_to, calls), (vec![total], total, 3));
}

#[test]
fn one_unread_message_behind_many_read_ones_is_found_at_once() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let total = 40 * QUERY_STEPS_MAX as u64;
    // Straight into the data: sending them would take the test a while.
    let text: Box<str> = "x".into();
    for seq in 1..=total {
        let read = seq != total - 10;
        let entry = super::super::items::InboxEntry::new(seq, read);
        chat.state.data.update_account(1, |account| account.inbox.push(entry));
    }
    let account = chat.state.data.accounts.get(1).expect("alice").clone();
    chat.state.data.messages.push(super::super::items::Message {
        seq: total - 10,
        id: Uuid::nil(),
        at: chat.at.into(),
        from: account.label.clone(),
        to: account.sole_recipient.clone(),
        text,
        holders: 1,
    });
    let page = chat.page(alice, &InboxQuery::default());
    assert_eq!((seqs(&page), page.more), (vec![total - 10], false));
}

#[test]
fn ids_are_found_by_their_beginning() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    let ids = [
        "abcd0000-0000-4000-8000-000000000001",
        "abcd0000-0000-4000-8000-000000000002",
        "abcdef00-0000-4000-8000-000000000003",
        "ffff0000-0000-4000-8000-000000000004",
    ]
    .map(|id| id.parse::<Uuid>().expect("an id"));
    for id in ids {
        chat.apply_as(id, send(alice, &["bob"], "x"));
    }
    let nothing: [Uuid; 0] = [];
    let find = |prefix: &str| find(&chat.state, bob.account, prefix);
    assert_eq!(find("ABCDEF").expect("valid"), [ids[2]]);
    assert_eq!(find("abcd-0").expect("valid"), [ids[0], ids[1]]);
    assert_eq!(find("abcd").expect("valid"), [ids[0], ids[1]], "two are enough to tell");
    assert_eq!(find(&ids[3].to_string()).expect("valid"), [ids[3]]);
    assert_eq!(find("0000").expect("valid"), nothing);
    let of = |account| super::find(&chat.state, account, "ffff").expect("valid");
    assert_eq!(of(alice.account), nothing, "not in her inbox");
    assert_eq!(of(Uuid::nil()), nothing);
    for wrong in ["", "abc", "abcg", "a-b-c", "äbcd", &"0".repeat(33)] {
        assert_eq!(find(wrong).expect_err(wrong).code, ErrorCode::InvalidRequest);
    }
}

#[test]
fn ids_that_somebody_made_alike_do_not_slow_down_a_search() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    for n in 0..100 {
        chat.apply_as(Uuid::from_u128(0xabcd << 112 | n), send(alice, &["alice"], "noise"));
    }
    let [first, second, third] = [1_000, 2_000, 3_000].map(|n| Uuid::from_u128(0xabcd << 112 | n));
    let mine = [first, second];
    for id in [third, first, second] {
        chat.apply_as(id, send(alice, &["bob"], "x"));
    }
    assert_eq!(find(&chat.state, bob.account, "abcd").expect("valid"), mine);
}

#[test]
fn names_are_listed_in_order_and_in_pages() {
    let mut chat = Chat::new();
    for who in ["bob", "Alice", "alf", "Carol", "al"] {
        chat.register(who);
    }
    let list = |glob: Option<&str>, after: Option<&str>, limit| {
        let (names, more) = list_names(&chat.state, glob, after, limit);
        (names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), more)
    };
    let page = |names: &str, more| (names.to_string(), more);
    assert_eq!(list(None, None, 9), page("al alf Alice bob Carol", false));
    assert_eq!(list(None, None, 2), page("al alf", true));
    assert_eq!(list(None, Some("ALF"), 2), page("Alice bob", true));
    assert_eq!(list(None, Some("bob"), 1), page("Carol", false));
    assert_eq!(list(Some("AL*"), None, 9), page("al alf Alice", false));
    assert_eq!(list(Some("al*"), Some("al"), 9), page("alf Alice", false));
    assert_eq!(list(Some("al*"), Some("0"), 9), page("al alf Alice", false));
    assert_eq!(list(Some("b*"), Some("zz"), 9), page("", false));
    assert_eq!(list(Some("*o?*"), None, 1), page("bob", true));
    assert_eq!(list(Some("?l?"), None, 9), page("alf", false));
    assert_eq!(list(None, None, 0), page("", true));
}
