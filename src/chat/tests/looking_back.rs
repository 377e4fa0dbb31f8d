//! History, search, and how much is unread.

use proptest::prelude::*;

use super::histories::any_history;
use super::model::{Model, ModelAccount};
use super::properties::{run, told};
use super::*;
use crate::limits::{QUERY_STEPS_MAX, RECIPIENTS_MAX};
use crate::protocol::client;

/// All that looking back finds, in pages of two, the newest first.
fn all_back(state: &State, account: Uuid, with: Option<Uuid>, words: &str) -> Vec<client::Message> {
    let mut words = match words {
        "" => Words::default(),
        words => Words::new(&[words.to_string()]).expect("words"),
    };
    let (mut before, mut found) = (u64::MAX, Vec::new());
    loop {
        let (from, since, limit, max_text_bytes) = (None, None, 2, 3);
        let mut past =
            Past { account, with, words: &mut words, from, since, limit, max_text_bytes };
        let page = state.look(|look| look.past(&mut past, before));
        found.extend(page.messages.into_iter().map(|(_, message)| message));
        if !page.more {
            return found;
        }
        before = page.scanned_to;
    }
}

fn back(chat: &Chat, user: User, with: Option<User>, words: &str) -> Vec<String> {
    let with = with.map(|with| with.account);
    let found = all_back(&chat.state, user.account, with, words);
    found.into_iter().map(|message| message.text).collect()
}

fn unread(state: &State, account: Uuid) -> Vec<client::Unread> {
    let mut count = UnreadCount::new(account, false);
    let ((), _) = look_until_done(state, |look| look.unread(&mut count));
    count.into_page(None, 1_000).0
}

fn row(who: &str, unread: u64, mentions: u64, gone: bool) -> client::Unread {
    client::Unread { name: name(who), room: false, unread, mentions, gone }
}

#[test]
fn a_conversation_has_both_directions_and_what_went_to_others_as_well() {
    let mut chat = Chat::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    chat.send(alice, &["bob"], "1");
    chat.send(bob, &["alice"], "2");
    chat.send(carol, &["alice"], "not theirs");
    chat.send(bob, &["alice", "carol"], "3");
    chat.send(alice, &["alice"], "to herself");
    let (id, _) = chat.send(alice, &["carol", "bob"], "4");
    assert_eq!(back(&chat, alice, Some(bob), ""), ["4", "3", "2", "1"]);
    assert_eq!(back(&chat, bob, Some(alice), ""), ["4", "3", "2", "1"]);
    assert_eq!(back(&chat, bob, Some(carol), ""), ["3"]);
    assert_eq!(back(&chat, carol, Some(bob), ""), ["3"], "alice's is none of theirs");
    assert_eq!(back(&chat, alice, Some(alice), ""), ["to herself"]);
    // Each for itself takes out what it has.
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    assert_eq!(back(&chat, bob, Some(alice), ""), ["3", "2", "1"]);
    assert_eq!(back(&chat, alice, Some(bob), ""), ["4", "3", "2", "1"]);
    assert_eq!(back(&chat, carol, Some(alice), ""), ["4", "not theirs"]);
}

#[test]
fn a_message_to_a_thousand_is_in_the_conversation_with_each_of_them() {
    let mut chat = Chat::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|who| chat.register(who));
    let others: Vec<String> = (0..RECIPIENTS_MAX - 1).map(|number| format!("n{number}")).collect();
    for who in &others {
        let action = chat.register_action(who);
        let id = chat.id();
        opened(chat.apply_as(id, action));
    }
    chat.send(bob, &["alice"], "before");
    let mut to: Vec<&str> = others.iter().map(String::as_str).collect();
    to.push("bob");
    let (id, _) = chat.send(alice, &to, "to all");
    chat.send(alice, &["bob"], "after");
    audit(&chat.state);
    assert_eq!(back(&chat, bob, Some(alice), ""), ["after", "to all", "before"]);
    assert_eq!(back(&chat, alice, Some(bob), ""), ["after", "to all", "before"]);
    assert_eq!(back(&chat, eve, Some(alice), ""), [""; 0], "it did not go to her");
    assert_eq!(back(&chat, alice, Some(eve), ""), [""; 0]);
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    assert_eq!(back(&chat, bob, Some(alice), ""), ["after", "before"]);
}

#[test]
fn a_later_owner_of_a_name_has_no_conversation_of_the_former_one() {
    let mut chat = Chat::new();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    chat.send(bob, &["alice"], "of the first bob, @alice");
    chat.send(alice, &["bob"], "to the first bob");
    chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    let other = chat.register("bob");
    assert_eq!(back(&chat, alice, Some(other), ""), [""; 0]);
    assert_eq!(back(&chat, other, Some(alice), ""), [""; 0]);
    assert_eq!(back(&chat, other, None, "bob"), [""; 0]);
    assert_eq!(back(&chat, alice, None, "first").len(), 2, "alice keeps hers");
    chat.send(other, &["alice"], "of the second");
    let both = [row("bob", 1, 0, false), row("bob", 1, 1, true)];
    assert_eq!(unread(&chat.state, alice.account), both);
}

#[test]
fn what_is_unread_is_counted_by_who_sent_it_and_goes_down_as_it_is_read_or_deleted() {
    let mut chat = Chat::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    assert_eq!(unread(&chat.state, alice.account), []);
    let (_, first) = chat.send(bob, &["alice"], "hello @Alice");
    let (second, _) = chat.send(bob, &["alice", "carol"], "@alice, @carol: look");
    chat.send(carol, &["alice"], "no mention: @alicette, x@alice");
    let expected = [row("bob", 2, 2, false), row("carol", 1, 0, false)];
    assert_eq!(unread(&chat.state, alice.account), expected);
    assert_eq!(unread(&chat.state, carol.account), [row("bob", 1, 1, false)]);
    assert_eq!(unread(&chat.state, bob.account), []);
    let loaded = chat.loaded(1_000);
    audit(&loaded.state);
    assert_eq!(unread(&loaded.state, alice.account), expected, "a snapshot keeps it");
    let mark = Action::MarkRead { session: alice.session, seqs: vec![first, first, 99] };
    chat.apply(mark);
    assert_eq!(unread(&chat.state, alice.account)[0], row("bob", 1, 1, false));
    chat.apply(Action::Delete { session: alice.session, ids: vec![second] });
    assert_eq!(unread(&chat.state, alice.account), [row("carol", 1, 0, false)]);
}

#[test]
fn pages_of_what_is_unread_have_all_of_a_name() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    for round in 0..3 {
        for who in ["bob", "dan", "carol"] {
            let user = chat.register(who);
            chat.send(user, &["alice"], "hello");
            if round < 2 {
                chat.apply(Action::DeleteAccount { session: user.session, verified: None });
            }
        }
    }
    let page = |after: Option<&str>, limit| {
        let mut count = UnreadCount::new(alice.account, false);
        let ((), _) = look_until_done(&chat.state, |look| look.unread(&mut count));
        let (rows, more) = count.into_page(after, limit);
        let rows: Vec<_> =
            rows.iter().map(|it| (it.name.to_string(), it.unread, it.gone)).collect();
        (rows, more)
    };
    let of = |who: &str| [(who.to_string(), 1, false), (who.to_string(), 2, true)];
    assert_eq!(page(None, 9), ([of("bob"), of("carol"), of("dan")].concat(), false));
    assert_eq!(page(None, 3), ([of("bob"), of("carol")].concat(), true));
    assert_eq!(page(Some("BOB"), 2), (of("carol").to_vec(), true));
    assert_eq!(page(Some("carol"), 2), (of("dan").to_vec(), false));
    assert_eq!(page(Some("dan"), 2), (vec![], false));
}

#[test]
fn a_search_finds_what_was_received_and_what_was_sent_the_newest_first() {
    let mut chat = Chat::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|who| chat.register(who));
    chat.send(alice, &["bob"], "Deploy begins");
    chat.send(bob, &["alice"], "the DEPLOY is done");
    chat.send(eve, &["bob"], "deploy, not for alice");
    chat.send(alice, &["alice"], "deploy: a note to myself");
    let theirs = ["deploy: a note to myself", "the DEPLOY is done", "Deploy begins"];
    assert_eq!(back(&chat, alice, None, "deploy"), theirs);
    assert_eq!(back(&chat, alice, Some(bob), "deploy"), theirs[1..]);
    assert_eq!(back(&chat, alice, None, "done deploy"), theirs[1..2]);
    assert_eq!(back(&chat, eve, None, "note"), [""; 0]);
}

#[test]
fn looking_back_at_much_takes_bounded_steps_and_goes_on_where_it_was() {
    let mut chat = Chat::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|who| chat.register(who));
    chat.send(bob, &["alice"], "the first");
    for _ in 0..QUERY_STEPS_MAX {
        chat.send(eve, &["alice"], "x");
    }
    chat.send(bob, &["alice"], "the last");
    let mut words = Words::new(&["the".to_string()]).expect("a word");
    let (mut before, mut texts, mut looks) = (u64::MAX, Vec::new(), 0);
    loop {
        let (account, limit, max_text_bytes) = (alice.account, 9, usize::MAX);
        let (with, from, since) = (None, None, None);
        let mut past =
            Past { account, with, words: &mut words, from, since, limit, max_text_bytes };
        let page = chat.state.look(|look| look.past(&mut past, before));
        looks += 1;
        texts.extend(page.messages.into_iter().map(|(_, message)| message.text));
        if !page.more {
            break;
        }
        assert!(page.interrupted && page.scanned_to < before);
        before = page.scanned_to;
    }
    assert!(looks > 2, "{looks}");
    assert_eq!(texts, ["the last", "the first"]);
    // A conversation is found without looking at what others wrote.
    let (account, with) = (alice.account, Some(bob.account));
    let mut words = Words::default();
    let (from, since, limit, max_text_bytes) = (None, None, 9, usize::MAX);
    let mut past = Past { account, with, words: &mut words, from, since, limit, max_text_bytes };
    let (page, spent) = chat.state.look(|look| (look.past(&mut past, u64::MAX), look.spent()));
    assert_eq!((page.messages.len(), page.more), (2, false));
    assert!(spent < 50, "{spent} steps");
}

/// What an account may see, by the plainest means.
fn seen(account: &ModelAccount) -> BTreeMap<u64, bool> {
    let sent = account.sent.iter().map(|seq| (*seq, true));
    sent.chain(account.inbox.iter().copied()).collect()
}

/// Whether messages name another account than the one that has an identity now.
fn is_of_two(state: &State, account: Uuid) -> bool {
    let number = state.numbers.get(&account).copied();
    let labels = state.data.messages.iter().flat_map(|it| it.to.labels.iter().chain([&it.from]));
    labels.into_iter().any(|label| label.account == account && Some(label.number) != number)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whoever_looks_back_finds_exactly_what_they_may_see((window, history) in any_history()) {
        let mut state = State::new(window);
        run(&mut state, &history);
        let mut model = Model::new(window);
        for (index, batch) in &history {
            model.apply(*index, batch);
        }
        audit(&state);
        for uuid in (0..9).map(Uuid::from_u128) {
            let account = model.account(uuid).cloned();
            let seen = account.iter().flat_map(seen);
            let seen: Vec<(u64, bool)> = seen.collect();
            for with in [None, Some(1), Some(2), Some(7)] {
                let with = with.map(Uuid::from_u128);
                let is_there = with.is_none_or(|it| model.account(it).is_some());
                // Identities are never given away again, but here they are.
                if with.is_some_and(|it| is_of_two(&state, it)) || is_of_two(&state, uuid) {
                    continue;
                }
                for word in ["", "a"] {
                    let theirs = seen.iter().rev().filter(|(seq, _)| {
                        let (author, to) = &model.messages[seq].parties;
                        let text = &model.messages[seq].text;
                        let with = with.is_none_or(|it| match *author == uuid {
                            true => to.contains(&it),
                            false => *author == it,
                        });
                        is_there && with && (word.is_empty() || text.split(' ').any(|it| it == word))
                    });
                    let theirs: Vec<client::Message> = theirs
                        .filter_map(|(seq, read)| Some(told(&model, *seq, *read, account.as_ref()?)))
                        .collect();
                    prop_assert_eq!(all_back(&state, uuid, with, word), theirs);
                }
            }
            let counted: u64 = unread(&state, uuid).iter().map(|it| it.unread).sum();
            let inbox = account.iter().flat_map(|account| &account.inbox);
            prop_assert_eq!(counted, inbox.filter(|(_, read)| !read).count() as u64);
        }
    }
}
