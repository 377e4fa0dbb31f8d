//! Work in steps: what is found does not depend on where one step ends, and no
//! operation takes more of them than it says.

use proptest::prelude::*;

use super::super::budget::Budget;
use super::super::overlay::Shown;
use super::*;
use crate::limits::{
    IDS_PER_REQUEST_MAX, INVITATIONS_MAX, LEVEL_OF_BOUNDS, LEVEL_OF_CONVERSATIONS,
    LEVEL_OF_SETTLING, MESSAGE_OVERHEAD_BYTES, ORPHANS_REMOVED_PER_ENTRY_MAX, RECIPIENTS_MAX,
    SESSIONS_PER_ACCOUNT_MAX, TEXT_MAX_BYTES,
};
use crate::types::{MemberChange, MemberEntry, Place, ReplicaId};

/// An id of four-digit groups of few kinds, so that many begin alike.
fn any_id() -> impl Strategy<Value = Uuid> {
    let digits = prop::collection::vec(prop::sample::select(&b"ab"[..]), 6);
    (digits, 0u128..40).prop_map(|(digits, rest)| {
        let head = String::from_utf8(digits).expect("ASCII");
        format!("{head}{rest:026x}").parse().expect("an id")
    })
}

fn any_prefix() -> impl Strategy<Value = String> {
    (any_id(), 4usize..12).prop_map(|(id, length)| id.simple().to_string()[..length].to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn ids_are_found_wherever_the_steps_end(
        // Few of many: then it is less work to look through the inbox.
        ids in prop::collection::btree_map(any_id(), prop::bool::weighted(0.12), 1..120),
        prefixes in prop::collection::vec(any_prefix(), 0..30),
        steps in 1usize..9,
    ) {
        let mut chat = Chat::new();
        let [alice, bob] = ["alice", "bob"].map(|who| chat.register(who));
        for (id, to_bob) in &ids {
            chat.apply_as(*id, send(alice, &[if *to_bob { "bob" } else { "alice" }], "x"));
        }
        let mut search = IdSearch::new(bob.account, &prefixes).expect("valid");
        let mut count = 0;
        while chat.state.search_ids(&mut search, Shown::confirmed(&chat.state), &mut Budget::new(steps)) == Step::More {
            count += 1;
            prop_assert!(count < 3 * ids.len() + 50 * prefixes.len(), "it leads nowhere");
        }
        let theirs: Vec<Vec<Uuid>> = prefixes
            .iter()
            .map(|prefix| {
                let mine = ids.iter().filter(|(_, to_bob)| **to_bob).map(|(id, _)| *id);
                mine.filter(|id| id.simple().to_string().starts_with(prefix)).take(2).collect()
            })
            .collect();
        prop_assert_eq!(search.matches(), theirs);
    }
}

#[test]
fn what_comes_and_goes_between_two_steps_hides_nothing_and_doubles_nothing() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let [early, late] = ["aaa-early", "zzz-late"].map(|who| chat.register(who));
    let stay: Vec<String> = (0..40).map(|number| format!("m{number:02}")).collect();
    let users: Vec<User> = stay.iter().map(|who| chat.register(who)).collect();
    let ids: Vec<Uuid> = (0..40u128).map(|n| Uuid::from_u128((0xabcd << 112) | (2 * n))).collect();
    for id in &ids {
        chat.apply_as(*id, send(alice, &["alice"], "x"));
    }
    let mut names = NameSearch::new(Some(Glob::new("*m*")), None, 1_000);
    let prefixes = ["abcd".to_string(), format!("abcd{}", "0".repeat(26))];
    let mut found = IdSearch::new(alice.account, &prefixes).expect("valid");
    let mut query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    let mut seen = Vec::new();
    let (mut more_names, mut more_messages, mut round) = (true, true, 0u128);
    while more_names || more_messages {
        round += 1;
        assert!(round < 200, "it leads nowhere");
        let budget = || Budget::new(3);
        if more_names {
            more_names = chat.state.search_names(&mut names, &mut budget()) == Step::More;
        }
        if more_messages {
            let page = chat.state.messages(
                alice.account,
                &query,
                2,
                usize::MAX,
                Shown::confirmed(&chat.state),
                &mut budget(),
            );
            seen.extend(page.messages.iter().map(|message| message.id));
            query.after = Some(page.scanned_to);
            more_messages = page.more;
        }
        // Before and behind every place, there comes something and goes something.
        match round {
            1 => drop(chat.apply(Action::DeleteAccount { session: early.session, verified: None })),
            2 => drop(chat.apply(Action::DeleteAccount { session: late.session, verified: None })),
            3 => drop(
                chat.apply(Action::DeleteAccount { session: users[20].session, verified: None }),
            ),
            4 => drop(chat.apply(Action::Delete { session: alice.session, ids: vec![ids[20]] })),
            5..15 => {
                let [low, high] = [format!("a{round}"), format!("zm{round}")];
                chat.register(&low);
                chat.register(&high);
                let id = Uuid::from_u128(0xabcd << 112 | (2 * round + 1));
                chat.apply_as(id, send(alice, &["alice"], "new"));
            }
            _ => {}
        }
    }
    let (listed, more) = names.into_page(true);
    let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
    assert!(!more && listed.is_sorted_by(|a, b| a < b), "{listed:?}");
    for name in stay.iter().filter(|name| *name != "m20") {
        assert!(listed.contains(name), "{name}");
    }
    assert!(seen.len() >= 39 + 10, "{} messages", seen.len());
    for id in ids.iter().filter(|id| **id != ids[20]) {
        assert_eq!(seen.iter().filter(|other| *other == id).count(), 1, "{id}");
    }
    while chat.state.search_ids(&mut found, Shown::confirmed(&chat.state), &mut Budget::new(1))
        == Step::More
    {}
    assert_eq!(found.matches()[0][0], ids[0]);
    assert_eq!(found.matches()[0].len(), 2);
    assert_eq!(found.matches()[1].len(), 2, "all but the last byte of these are alike");
}

/// Which action it is. Whoever adds one adds the worst of it below.
fn kind(action: &Action) -> usize {
    match action {
        Action::Register { .. } => 0,
        Action::OpenSession { .. } => 1,
        Action::CloseSession { .. } => 2,
        Action::Send { .. } => 3,
        Action::MarkRead { .. } => 4,
        Action::Delete { .. } => 5,
        Action::DeleteAccount { .. } => 6,
        Action::AllocateIncarnation { .. } => 7,
        Action::Restore(_) => 8,
        Action::RaiseLevel { .. } => 9,
        Action::ChangeMembers { .. } => 12,
        Action::ResetPassword { .. } => 10,
        Action::Administer { .. } => 11,
        Action::Deliver(_) => 13,
        Action::NoteTime { .. } => 14,
        Action::Own { .. } => 15,
    }
}

/// A day in milliseconds.
const DAY: u64 = 24 * HOUR;

const KINDS: usize = 16;

/// The first change of a cluster of as many as there may be.
fn worst_change() -> Action {
    let member = |id: u32| MemberEntry {
        id: ReplicaId(id),
        address: format!("{}:{id}", "h".repeat(200)).parse().expect("an address"),
        replaces: None,
    };
    let change = MemberChange::Remove { id: ReplicaId(1) };
    Action::ChangeMembers { expects: 0, change, founders: (1..=9).map(member).collect() }
}

/// What an entry may take beside its operations, in steps.
const BESIDE_MAX: usize = 18 * ORPHANS_REMOVED_PER_ENTRY_MAX;

/// What users may ask for that takes most.
fn worst_of_users(
    chat: &mut Chat,
    alice: User,
    everybody: Vec<AccountName>,
    ids: Vec<Uuid>,
) -> Vec<Action> {
    let session = alice.session;
    vec![
        chat.register_action("carol"),
        Action::OpenSession {
            account: alice.account,
            token_hash: Digest::of(b"another"),
            expires: Timestamp::MAX,
            verified: None,
            from: None,
        },
        Action::CloseSession { session: session + 1 },
        Action::Send {
            session,
            to: everybody,
            text: "x".repeat(TEXT_MAX_BYTES),
            again: false,
            after: None,
            reply_to: None,
        },
        Action::MarkRead { session, seqs: (1..=IDS_PER_REQUEST_MAX as u64).collect() },
        Action::Delete { session, ids },
        Action::AllocateIncarnation { replica: ReplicaId(1) },
    ]
}

/// What an administrator may ask for that takes most.
fn worst_of_administrators(chat: &mut Chat) -> Vec<Action> {
    let administer = |change| Action::Administer { by: "y".repeat(100), change };
    let invite = |n: usize, uses| {
        let (code_hash, expires) = (Digest::of(&n.to_le_bytes()), Timestamp::MAX);
        administer(Change::Invite { code_hash, uses, expires })
    };
    for n in 1..INVITATIONS_MAX {
        let id = chat.id();
        chat.apply_as(id, invite(n, 1));
    }
    let id = chat.id();
    let ended = Change::Invite { code_hash: Digest::of(b"x"), uses: 1, expires: Timestamp(0) };
    chat.apply_as(id, administer(ended));
    let (carol, carol2) = (chat.register("carol1"), chat.register("carol2"));
    for account in [carol.account, carol2.account] {
        (1..SESSIONS_PER_ACCOUNT_MAX).for_each(|_| drop(chat.log_in(account)));
    }
    let code_hash = Digest::of(b"code");
    let reset = Change::ResetAccount { name: name("carol1"), code_hash, expires: Timestamp::MAX };
    let reset = administer(reset);
    vec![
        reset,
        Action::ResetPassword {
            account: carol.account,
            code_hash,
            password_hash: "x".repeat(100),
            token_hash: Digest::of(b"one more"),
            expires: Timestamp::MAX,
            from: None,
        },
        // One more than there may be: the last of them is of no use any more.
        invite(INVITATIONS_MAX, 1),
        administer(Change::DeleteAccount { name: name("carol2") }),
    ]
}

/// What people may ask for about their own accounts that takes most.
fn worst_of_owners(chat: &mut Chat) -> Vec<Action> {
    let dora = chat.register("dora");
    (1..SESSIONS_PER_ACCOUNT_MAX).for_each(|_| drop(chat.log_in(dora.account)));
    let hash = chat.state.account(dora.account).expect("registered").password_hash;
    let (verified, password_hash) = (verified_against(&hash), "x".repeat(100));
    let eve = chat.register("eve");
    (1..SESSIONS_PER_ACCOUNT_MAX).for_each(|_| drop(chat.log_in(eve.account)));
    let account = *chat.state.numbers.get(&eve.account).expect("registered");
    let sessions = chat.state.data.accounts.get(account).expect("there").sessions.clone();
    let eves = |change| Action::Own { session: eve.session, change };
    let own = |change| Action::Own { session: dora.session, change };
    vec![
        own(OwnChange::ChangePassword { verified, password_hash }),
        eves(OwnChange::EndSessions { sessions }),
    ]
}

/// Entries of a list that take most, and what they find.
fn worst_entries(chat: &mut Chat, alice: User, everybody: &[String]) -> Vec<Action> {
    let ids: Vec<Uuid> = (0..IDS_PER_REQUEST_MAX).map(|_| chat.id()).collect();
    for id in &ids {
        chat.apply_as(*id, send(alice, &["alice"], "x"));
    }
    let gone = Party { account: Uuid::max(), name: name("gone") };
    let to = everybody.iter().skip(1).map(|who| {
        let account = chat.state.account_by_name(&name(who)).expect("registered").account;
        Party { account, name: name(who) }
    });
    let to = std::iter::once(gone).chain(to).collect();
    let acts = [
        Act::Send { to, text: "x".repeat(TEXT_MAX_BYTES), reply_to: None },
        Act::Mark { ids: ids.clone() },
        Act::Delete { ids },
        Act::Close {},
    ];
    let author = Party { account: alice.account, name: name("alice") };
    let number = opened(chat.log_in(alice.account)).session;
    let token_hash = chat.state.data.sessions.get(number).expect("open").token_hash;
    let used = Some(SessionUsed { number, token_hash, expires: Timestamp::MAX });
    let delivery = |(number, act)| {
        let place = Place { list: Uuid::from_u128(9), number };
        let (author, accepted_at, session) = (author.clone(), Timestamp(1), used.clone());
        Delivery { place, again: true, since: 1 << 40, accepted_at, author, session, act }
    };
    (1..).zip(acts).map(delivery).map(Box::new).map(Action::Deliver).collect()
}

/// From here on everything is counted against bounds, and what is deleted leaves its
/// sender's list, too.
fn make_room_short(chat: &mut Chat) {
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_SETTLING });
    // A sixth of the room is left.
    let most = chat.state.stored_bytes() * 8 / 5;
    let change = Change::SetBounds {
        account_bytes: Some(1 << 30),
        total_bytes: Some(most),
        keep_messages_days: Some(1),
        proposed: false,
    };
    chat.apply(Action::Administer { by: "root@alpha".into(), change });
    assert!(chat.state.room_is_short());
}

/// Forgetting, too, is spread over the entries that follow, and so is what leaves lists.
fn forget_too_much(chat: &mut Chat) {
    let leaves = |state: &State| state.room_is_short() && !state.sent_only.is_empty();
    while chat.state.remembers_too_much() || leaves(&chat.state) {
        chat.pass(1);
    }
}

/// The end of somebody whose lists are full.
fn end_of_a_full_account(chat: &mut Chat) -> Action {
    let zed = chat.register("zed");
    for _ in 0..ORPHANS_REMOVED_PER_ENTRY_MAX {
        let id = chat.id();
        chat.apply_as(id, send(zed, &["zed"], "x"));
    }
    Action::DeleteAccount { session: zed.session, verified: None }
}

/// Makes an action take as much as it may, and nothing else beside it.
fn prepare(chat: &mut Chat, action: &Action) {
    forget_too_much(chat);
    if let Action::NoteTime { seq, at } = *action {
        // What was sent is a day old by then.
        let mark = Action::NoteTime { seq, at: Timestamp(at.0 - DAY) };
        let id = chat.id();
        chat.apply_as(id, mark);
    }
}

#[test]
fn no_operation_takes_more_steps_than_it_says() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    let everybody: Vec<String> = (0..RECIPIENTS_MAX).map(|n| format!("{n:032}")).collect();
    for who in &everybody {
        let action = chat.register_action(who);
        let id = chat.id();
        chat.apply_as(id, action);
    }
    let ids: Vec<Uuid> = (0..IDS_PER_REQUEST_MAX).map(|_| chat.id()).collect();
    for id in &ids {
        chat.apply_as(*id, send(alice, &["alice"], "x"));
    }
    let lines =
        lines(&chat.state).iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let backup = Uuid::from_u128(1);
    let of_lists = worst_entries(&mut chat, alice, &everybody);
    let everybody = everybody.iter().map(|who| name(who)).collect();
    let of_administrators = worst_of_administrators(&mut chat);
    let of_owners = worst_of_owners(&mut chat);
    make_room_short(&mut chat);
    let mut worst = worst_of_users(&mut chat, alice, everybody, ids);
    worst.extend([
        Action::Restore(RestoreStep::Begin { backup }),
        Action::Restore(RestoreStep::Lines { backup, first: 1, lines }),
        worst_change(),
        Action::RaiseLevel { level: LEVEL_OF_SETTLING },
    ]);
    worst.extend(of_administrators);
    worst.extend(of_lists);
    worst.push(end_of_a_full_account(&mut chat));
    worst.push(Action::NoteTime { seq: u64::MAX, at: Timestamp(100 * DAY) });
    worst.push(Action::RaiseLevel { level: LEVEL_OF_CONVERSATIONS });
    worst.extend(of_owners);
    let kinds: std::collections::BTreeSet<_> = worst.iter().map(kind).collect();
    assert!(kinds.iter().copied().eq(0..KINDS), "of every kind there is one");
    for action in worst {
        // A restore begins in an empty state.
        let mut empty = Chat::new();
        let chat = match &action {
            Action::Restore(step) => {
                if matches!(step, RestoreStep::Lines { .. }) {
                    empty.apply(Action::Restore(RestoreStep::Begin { backup }));
                }
                &mut empty
            }
            _ => &mut chat,
        };
        // Emptying its lists begins in the same entry.
        let beside = match action {
            Action::DeleteAccount { .. } => BESIDE_MAX,
            _ => 0,
        };
        prepare(chat, &action);
        let id = chat.id();
        let steps = action.steps() + beside;
        meter::taken();
        let outcome = chat.apply_as(id, action.clone());
        let worked = meter::taken();
        let refused = matches!(outcome, Outcome::Refused(_));
        let kind = kind(&action);
        assert!(!refused || kind == 8, "{outcome:?}");
        assert!(worked <= steps, "{worked} steps instead of {steps}: {kind}");
        // Nor does it say so much that an entry would hold less than it could.
        assert!(steps <= 12 * worked + 600, "{steps} steps instead of {worked}: {kind}");
    }
}

#[test]
fn what_every_entry_does_beside_its_operations_is_bounded() {
    let mut chat = Chat::with_window(1);
    let alice = chat.register("alice");
    let bob = chat.register("bob");
    let batch = |chat: &mut Chat, actions: Vec<Action>| {
        let operations =
            actions.into_iter().map(|action| Operation { id: chat.id(), action }).collect();
        chat.index += 1;
        let batch = Batch { at: chat.at, operations };
        meter::taken();
        chat.state.apply(chat.index, &batch, &mut chat.effects);
        meter::taken()
    };
    let sends = (0..5_000).map(|_| send(alice, &["bob"], "x")).collect();
    batch(&mut chat, sends);
    let gone = [alice, bob].map(|it| Action::DeleteAccount { session: it.session, verified: None });
    batch(&mut chat, gone.into());
    let mut worst = 0;
    for _ in 0..30 {
        worst = worst.max(batch(&mut chat, Vec::new()));
    }
    assert_eq!((chat.state.counts().emptying, chat.state.counts().messages), (0, 0));
    assert!(worst > BESIDE_MAX / 4 && worst < BESIDE_MAX, "{worst} steps");
}

#[test]
fn what_leaves_a_sent_list_beyond_its_bound_is_spread_over_entries() {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_BOUNDS });
    let alice = chat.register("alice");
    let others: Vec<String> = (0..6).map(|n| format!("u{n}")).collect();
    for who in &others {
        chat.register(who);
    }
    for _ in 0..5_000 {
        let id = chat.id();
        chat.apply_as(id, send(alice, &["alice"], "x"));
    }
    let one = chat.state.stored_bytes();
    // An inbox takes twelve messages, and three of a sender; alice's own list has 5,000.
    let most = 12 * (MESSAGE_OVERHEAD_BYTES + 1);
    let change = Change::SetBounds {
        account_bytes: Some(most),
        total_bytes: Some(2 * one),
        keep_messages_days: None,
        proposed: false,
    };
    chat.apply(Action::Administer { by: "root@alpha".into(), change });
    let mut worst = 0;
    for who in &others {
        let id = chat.id();
        meter::taken();
        let outcome = chat.apply_as(id, send(alice, &[who], "x"));
        assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
        worst = worst.max(meter::taken());
    }
    assert_eq!(chat.texts(alice, Which::Sent).len(), 12);
    assert!(worst > BESIDE_MAX / 8 && worst < BESIDE_MAX, "{worst} steps");
}
