//! How much may be stored, of one account and of all.

use proptest::prelude::*;

use super::restoring::{backup, steps};
use super::*;
use crate::limits::{
    ACCOUNT_OVERHEAD_BYTES, LEVEL_OF_ADMISSION, LEVEL_OF_BOUNDS, MESSAGE_OVERHEAD_BYTES,
    RECIPIENT_OVERHEAD_BYTES, REMEMBERED_BYTES, REMEMBERED_PARTS, SESSION_OVERHEAD_BYTES,
};
use crate::protocol::administration::Bounds;

/// What a message with a text of one byte takes in an inbox.
const SMALL: u64 = MESSAGE_OVERHEAD_BYTES + 1;

pub(super) fn at_level() -> Chat {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    chat
}

pub(super) fn set_bounds(
    account_bytes: Option<u64>,
    total_bytes: Option<u64>,
    proposed: bool,
) -> Action {
    let keep_messages_days = None;
    let change = Change::SetBounds { account_bytes, total_bytes, keep_messages_days, proposed };
    Action::Administer { by: "root@alpha".into(), change }
}

pub(super) fn bounds_of(account_bytes: u64, total_bytes: u64, proposed: bool) -> Bounds {
    let (account_proposed, total_proposed) = (proposed, proposed);
    Bounds { account_bytes, total_bytes, account_proposed, total_proposed, ..Bounds::default() }
}

/// The bound in all of which so much is for messages, accounts and sessions.
pub(super) fn with_room(room: u64) -> u64 {
    room * REMEMBERED_PARTS / (REMEMBERED_PARTS - 1)
}

impl Chat {
    /// Sets what inboxes may hold, in messages of one byte.
    fn bound_inboxes(&mut self, messages: u64) {
        self.apply(set_bounds(Some(messages * SMALL), None, false));
    }

    /// Sets what all may hold: so much more than now.
    fn bound_all(&mut self, more: u64) {
        let most = with_room(self.state.stored_bytes() + more);
        self.apply(set_bounds(None, Some(most), false));
    }

    fn id_of_oldest(&self, user: User) -> Uuid {
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        self.page(user, &query).messages.first().expect("a message").id
    }

    fn refused(&mut self, from: User, to: &[&str], text: &str) -> (ErrorCode, String) {
        refusal(self.apply(send(from, to, text)))
    }
}

#[test]
fn below_its_level_nothing_is_refused_and_at_it_what_was_set_holds() {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_ADMISSION });
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    chat.apply(set_bounds(Some(SMALL), Some(1), false));
    for _ in 0..4 {
        chat.send(alice, &["bob"], "x");
    }
    assert_eq!(chat.state.bounds(), Bounds::default());
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    assert_eq!(chat.refused(alice, &["bob"], "x").0, ErrorCode::InboxFull);
    assert_eq!(chat.refused(bob, &["alice"], "x").0, ErrorCode::InboxFull, "a quarter is less");
    assert_eq!(chat.refused(bob, &["bob", "alice"], "x").0, ErrorCode::InboxFull);
    assert_eq!(chat.refused(alice, &["alice"], "x").0, ErrorCode::StorageFull, "own has room");
}

#[test]
fn a_full_inbox_refuses_a_message_for_all_of_its_recipients() {
    let mut chat = at_level();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    chat.bound_inboxes(8);
    for _ in 0..8 {
        chat.send(bob, &["bob"], "x");
    }
    let before = chat.state.hash();
    let id = chat.id();
    let everybody = send(alice, &["carol", "bob", "alice"], "x");
    let (code, sentence) = refusal(chat.apply_as(id, everybody.clone()));
    assert_eq!(code, ErrorCode::InboxFull);
    assert!(sentence.contains("the inbox of bob is full"), "{sentence}");
    assert!(sentence.contains("nothing was sent"), "{sentence}");
    assert_eq!(chat.texts(carol, Which::All), [""; 0]);
    assert_ne!(chat.state.hash(), before, "it is remembered");
    chat.send(alice, &["carol"], "x");
    // Room makes another message possible, and not the one that was refused.
    let id_of_bobs = chat.id_of_oldest(bob);
    chat.apply(Action::Delete { session: bob.session, ids: vec![id_of_bobs] });
    assert_eq!(refusal(chat.apply_as(id, everybody)).0, ErrorCode::InboxFull);
    chat.send(alice, &["carol", "bob", "alice"], "x");
}

#[test]
fn one_sender_fills_a_quarter_and_closes_no_inbox() {
    let mut chat = at_level();
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|who| chat.register(who));
    chat.bound_inboxes(8);
    let (first, _) = chat.send(mallory, &["bob"], "x");
    chat.send(mallory, &["bob", "alice"], "x");
    let (code, sentence) = chat.refused(mallory, &["bob"], "x");
    assert_eq!(code, ErrorCode::InboxFull);
    assert!(sentence.contains("the inbox of bob holds as much from you"), "{sentence}");
    chat.send(alice, &["bob"], "x");
    chat.send(bob, &["alice"], "x");
    // What was deleted makes room, for this sender too.
    chat.apply(Action::Delete { session: bob.session, ids: vec![first] });
    chat.send(mallory, &["bob"], "x");
    assert_eq!(chat.refused(mallory, &["bob"], "x").0, ErrorCode::InboxFull);
    // An account that comes back under a name is another one.
    chat.apply(Action::DeleteAccount { session: mallory.session, verified: None });
    let mallory = chat.register("mallory");
    chat.send(mallory, &["bob"], "x");
}

#[test]
fn what_all_hold_is_bounded_and_a_deleted_message_or_account_makes_room() {
    let mut chat = at_level();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    for _ in 0..100 {
        chat.send(alice, &["bob"], "x");
    }
    let (id, _) = chat.send(alice, &["bob"], &"x".repeat(8_000));
    chat.bound_all(100);
    let before = chat.state.stored_bytes();
    let (code, sentence) = chat.refused(carol, &["carol"], "x");
    assert_eq!(code, ErrorCode::StorageFull);
    assert!(sentence.contains("has raised total_bytes"), "{sentence}");
    let newcomer = chat.register_action("dave");
    let (code, sentence) = refusal(chat.apply(newcomer));
    assert_eq!(code, ErrorCode::StorageFull);
    assert!(sentence.contains("no account was made"), "{sentence}");
    // It leaves the sender's list as well, though alice deletes nothing.
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    assert!(chat.state.stored_bytes() + 6_000 < before, "{}", chat.state.stored_bytes());
    assert_eq!(chat.texts(alice, Which::Sent).len(), 100);
    for _ in 0..10 {
        chat.send(carol, &["carol"], "x");
    }
    // As much as one has, and all that only its owner's list still holds.
    chat.bound_all(0);
    let before = chat.state.stored_bytes();
    chat.apply(Action::DeleteAccount { session: bob.session, verified: None });
    chat.pass(2);
    let freed = before - chat.state.stored_bytes();
    let account = ACCOUNT_OVERHEAD_BYTES + SESSION_OVERHEAD_BYTES;
    assert!(freed >= account, "{freed}");
    let messages = 110 - chat.state.counts().messages as u64;
    assert_eq!(freed, messages * (SMALL + RECIPIENT_OVERHEAD_BYTES) + account);
    assert!(messages > 5, "{messages} messages went");
}

#[test]
fn where_nothing_fits_any_more_deleting_short_messages_makes_room_for_others() {
    let mut chat = Chat::with_window(1_000_000);
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    chat.apply(set_bounds(None, Some(with_room(64 * 1024)), false));
    while let Outcome::Sent { .. } = chat.apply(send(alice, &["bob"], "x")) {}
    // A newcomer needs the room of six short messages.
    for _ in 0..6 {
        let (before, ids) = (chat.state.stored_bytes(), vec![chat.id_of_oldest(bob)]);
        chat.apply(Action::Delete { session: bob.session, ids });
        let one = SMALL + RECIPIENT_OVERHEAD_BYTES;
        assert_eq!(chat.state.stored_bytes(), before - one, "each makes its room");
    }
    chat.register("carol");
    assert_eq!(chat.refused(alice, &["bob"], &"x".repeat(200)).0, ErrorCode::StorageFull);
}

#[test]
fn one_account_fills_with_others_no_more_than_it_may_and_leaves_room_for_them() {
    let mut chat = at_level();
    let [mallory, bob] = ["mallory", "bob"].map(|who| chat.register(who));
    let victims: Vec<User> = (0..16).map(|n| chat.register(&format!("v{n}"))).collect();
    chat.bound_inboxes(16);
    chat.bound_all(100 * SMALL);
    let (mut sent, mut refused) = (0, 0);
    for n in 0..32 {
        match chat.apply(send(mallory, &[&format!("v{}", n % 16)], "x")) {
            Outcome::Sent { .. } => sent += 1,
            outcome => {
                refused += 1;
                let (code, sentence) = refusal(outcome);
                assert_eq!(code, ErrorCode::StorageFull);
                assert!(sentence.contains("others hold as much from you"), "{sentence}");
                assert!(sentence.contains("with a new id"), "{sentence}");
            }
        }
    }
    let most = 16 * SMALL / (SMALL + RECIPIENT_OVERHEAD_BYTES);
    assert_eq!((sent, refused), (most, 32 - most));
    chat.send(mallory, &["mallory"], "own is not with others");
    chat.send(bob, &["v0"], "x");
    audit(&chat.state);
    let mut loaded = chat.loaded(1_000);
    for chat in [&mut chat, &mut loaded] {
        // What they delete does not count any more, though mallory's list keeps it.
        let ids = vec![chat.id_of_oldest(victims[0])];
        chat.apply(Action::Delete { session: victims[0].session, ids });
        chat.send(mallory, &["v1"], "x");
        assert_eq!(chat.refused(mallory, &["v1"], "x").0, ErrorCode::StorageFull);
        audit(&chat.state);
    }
}

#[test]
fn what_only_a_sent_list_holds_goes_once_room_is_short_whatever_the_entry() {
    let mut chat = at_level();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| chat.register(who));
    chat.bound_all(30 * (SMALL + RECIPIENT_OVERHEAD_BYTES));
    // There is room while bob deletes them, so alice keeps them.
    for _ in 0..5 {
        let (id, _) = chat.send(alice, &["bob"], "x");
        chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    }
    assert_eq!(chat.texts(alice, Which::Sent).len(), 5);
    let mut loaded = chat.loaded(1_000);
    for chat in [&mut chat, &mut loaded] {
        let most = with_room(chat.state.stored_bytes() + 100);
        chat.apply(set_bounds(None, Some(most), false));
        audit(&chat.state);
        assert!(chat.texts(alice, Which::Sent).len() < 5, "the entry that sets it begins");
        chat.send(carol, &["carol"], "x");
    }
    assert_eq!(loaded.state.hash(), chat.state.hash());
}

#[test]
fn while_there_is_room_a_sender_keeps_what_its_recipients_delete() {
    let mut chat = at_level();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    chat.bound_all(1 << 20);
    let (id, _) = chat.send(alice, &["bob"], "x");
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    assert_eq!(chat.texts(alice, Which::Sent), ["x"]);
}

#[test]
fn a_sent_list_keeps_the_newest_within_the_bound_of_an_account() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    let others: Vec<User> = (0..8).map(|n| chat.register(&format!("u{n}"))).collect();
    chat.bound_inboxes(8);
    let ids: Vec<Uuid> = (0..16)
        .map(|n| {
            let (id, _) = chat.send(alice, &[&format!("u{}", n % 8)], &format!("{n:x}"));
            let session = others[n % 8].session;
            chat.apply(Action::Delete { session, ids: vec![id] });
            id
        })
        .collect();
    let sent: Vec<String> = (8..16).map(|n| format!("{n:x}")).collect();
    assert_eq!(chat.texts(alice, Which::Sent), sent);
    // A message that has left the list is still delivered once.
    assert_eq!(chat.state.counts().messages, 8);
    let again = chat.apply_as(ids[0], send(alice, &["u0"], "0"));
    assert!(matches!(again, Outcome::Sent { .. }), "{again:?}");
    assert_eq!(chat.texts(others[0], Which::All), [""; 0]);
    chat.apply(set_bounds(Some(0), None, false));
    chat.send(alice, &["u0"], "more");
    assert_eq!(chat.texts(alice, Which::Sent).len(), 9, "without a bound nothing leaves");
}

#[test]
fn remembered_operations_take_a_part_of_the_bound_and_the_oldest_go_first() {
    let mut chat = Chat::with_window(1_000_000);
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    let alice = chat.register("alice");
    let before = chat.state.stored_bytes();
    chat.apply(set_bounds(None, Some(400 * REMEMBERED_BYTES), false));
    let one = || Action::Delete { session: alice.session, ids: Vec::new() };
    let ids: Vec<Uuid> = (0..300).map(|_| chat.id()).collect();
    for id in &ids {
        chat.apply_as(*id, one());
    }
    audit(&chat.state);
    assert_eq!(chat.state.stored_bytes(), before, "they take nothing from others");
    let remembered = chat.state.counts().remembered;
    assert!((99..=101).contains(&remembered), "{remembered}");
    // The newest is known, the oldest may mean anything again.
    let other = Action::MarkRead { session: alice.session, seqs: vec![8] };
    assert_eq!(refusal(chat.apply_as(ids[299], other.clone())).0, ErrorCode::IdConflict);
    assert_eq!(chat.apply_as(ids[0], other), Outcome::Marked { count: 0 });
    // Messages are known by themselves, however many operations follow.
    let (id, _) = chat.send(alice, &["alice"], "x");
    (0..300).for_each(|_| drop(chat.apply(one())));
    let again = chat.apply_as(id, send(alice, &["alice"], "x"));
    assert!(matches!(again, Outcome::Sent { .. }), "{again:?}");
}

#[test]
fn a_state_that_was_loaded_counts_alike_and_refuses_alike() {
    let mut chat = at_level();
    let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
    chat.bound_inboxes(8);
    chat.bound_all(1 << 20);
    for _ in 0..2 {
        chat.send(alice, &["bob", "alice"], "x");
    }
    let (id, _) = chat.send(bob, &["bob"], "xyz");
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    let mut loaded = chat.loaded(1_000);
    audit(&loaded.state);
    assert_eq!(loaded.state.usage, chat.state.usage);
    assert_eq!(loaded.state.stored_bytes(), chat.state.stored_bytes());
    assert_eq!(loaded.state.bounds(), chat.state.bounds());
    for chat in [&mut chat, &mut loaded] {
        assert_eq!(chat.refused(alice, &["bob"], "x").0, ErrorCode::InboxFull);
        chat.send(bob, &["bob"], "x");
    }
    assert_eq!(loaded.state.hash(), chat.state.hash());
}

#[test]
fn a_backup_brings_messages_back_and_the_bounds_of_the_new_cluster_hold() {
    let mut chat = at_level();
    let [alice, _bob] = ["alice", "bob"].map(|who| chat.register(who));
    chat.bound_inboxes(8);
    for _ in 0..2 {
        chat.send(alice, &["bob"], "x");
    }
    let lines = backup(&chat.state);
    let mut fresh = Chat { next_id: 1_000_000, ..Chat::new() };
    fresh.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    fresh.apply(set_bounds(Some(12 * SMALL), Some(1 << 30), true));
    let last = steps(&lines, 2).into_iter().map(|step| fresh.apply(step)).last();
    assert!(matches!(last, Some(Outcome::Restoring { done: true, .. })), "{last:?}");
    let bounds = bounds_of(12 * SMALL, 1 << 30, true);
    assert_eq!(fresh.state.bounds(), bounds);
    let alice = opened(fresh.log_in(alice.account));
    fresh.send(alice, &["bob"], "x");
    assert_eq!(fresh.refused(alice, &["bob"], "x").0, ErrorCode::InboxFull, "a quarter");
}

#[test]
fn bounds_are_no_part_of_a_snapshot_of_a_lower_level() {
    let mut chat = at_level();
    chat.apply(set_bounds(Some(100), None, false));
    let lines = lines(&chat.state);
    let text = String::from_utf8(lines[0].clone()).expect("JSON");
    let lowered = text.replace("\"format\":4", "\"format\":3");
    assert_ne!(lowered, text);
    let mut restore = Restore::new(1_000);
    restore.line(lowered.as_bytes()).expect("a header");
    let error = restore.line(&lines[1]).expect_err("of another level");
    assert!(error.message.contains("its feature level does not know"), "{error}");
}

#[test]
fn accounts_and_sessions_are_counted_as_well() {
    let mut chat = at_level();
    let before = chat.state.stored_bytes();
    let alice = chat.register("alice");
    let one = ACCOUNT_OVERHEAD_BYTES + SESSION_OVERHEAD_BYTES;
    assert_eq!(chat.state.stored_bytes(), before + one);
    chat.log_in(alice.account);
    let two = one + SESSION_OVERHEAD_BYTES;
    assert_eq!(chat.state.stored_bytes(), before + two);
}

/// What one of three users does.
#[derive(Clone, Debug)]
enum Does {
    Send { to: u8, length: usize },
    DeleteOldest,
    EndAccount,
}

fn any_history() -> impl Strategy<Value = Vec<(usize, Does)>> {
    let does = prop_oneof![
        20 => (1u8..8, 1usize..400).prop_map(|(to, length)| Does::Send { to, length }),
        12 => Just(Does::DeleteOldest),
        1 => Just(Does::EndAccount),
    ];
    prop::collection::vec((0usize..3, does), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn no_history_exceeds_a_bound_and_every_state_that_is_loaded_goes_on_alike(
        history in any_history(),
        load_at in 0usize..120,
    ) {
        const NAMES: [&str; 3] = ["ann", "bob", "cy"];
        let mut chat = at_level();
        let mut users = NAMES.map(|who| chat.register(who));
        let account = 12 * SMALL;
        let room = chat.state.stored_bytes() + 9_000;
        chat.apply(set_bounds(Some(account), Some(with_room(room)), false));
        let mut loaded = None;
        for (step, (who, does)) in history.into_iter().enumerate() {
            if step == load_at {
                loaded = Some(chat.loaded(1_000));
            }
            let user = users[who];
            let action = match does {
                Does::Send { to, length } => {
                    let to: Vec<&str> =
                        (0..3).filter(|n| to >> n & 1 == 1).map(|n| NAMES[n]).collect();
                    send(user, &to, &"x".repeat(length))
                }
                Does::DeleteOldest => {
                    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
                    let oldest = chat.page(user, &query).messages.first().map(|it| it.id);
                    Action::Delete { session: user.session, ids: oldest.into_iter().collect() }
                }
                Does::EndAccount => Action::DeleteAccount { session: user.session, verified: None },
            };
            let ends = matches!(action, Action::DeleteAccount { .. });
            let (sends, before) = (matches!(action, Action::Send { .. }), chat.state.stored_bytes());
            let outcome = chat.apply(action.clone());
            if let Some(loaded) = &mut loaded {
                prop_assert_eq!(loaded.apply(action), outcome.clone());
            }
            let after = chat.state.stored_bytes();
            prop_assert!(after <= room, "step {}", step);
            prop_assert!(sends || after <= before, "step {} makes room", step);
            for account_of in chat.state.data.accounts.iter() {
                prop_assert!(account_of.inbox_bytes <= account);
                prop_assert!(account_of.sent_bytes <= account);
            }
            if ends {
                let again = chat.register_action(NAMES[who]);
                let outcome = chat.apply(again.clone());
                if let Some(loaded) = &mut loaded {
                    loaded.next_id = chat.next_id - 1;
                    prop_assert_eq!(loaded.apply(again), outcome.clone());
                }
                if matches!(outcome, Outcome::SessionOpened { .. }) {
                    users[who] = opened(outcome);
                }
            }
        }
        if let Some(loaded) = loaded {
            prop_assert_eq!(loaded.state.hash(), chat.state.hash());
            prop_assert_eq!(&loaded.state.usage, &chat.state.usage);
        }
    }
}
