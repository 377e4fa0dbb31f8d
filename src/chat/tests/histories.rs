//! Histories in which everything may happen. Ids, names, tokens and sessions come from
//! small pools, so that collisions, repetitions, strangers and expiry are
//! common; time jumps back now and then.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::limits::{FEATURE_LEVEL_KNOWN, TEXT_MAX_BYTES};
use crate::types::{Place, ReplicaId};

const NAMES: [&str; 6] = ["ann", "Ann", "bob", "BOB", "cy", "dee"];

fn pool_id(n: u8) -> Uuid {
    // Three beginnings that several ids share.
    Uuid::from_u128(u128::from(0xabc0 + u16::from(n % 3)) << 112 | u128::from(n))
}

fn any_name() -> impl Strategy<Value = AccountName> {
    (0..NAMES.len()).prop_map(|n| name(NAMES[n]))
}

/// Usually users who are there.
fn any_recipients() -> impl Strategy<Value = Vec<AccountName>> {
    let known = (0..4usize).prop_map(|n| name(NAMES[n]));
    prop_oneof![
        8 => prop::collection::vec(known, 1..3),
        1 => prop::collection::vec(any_name(), 0..4),
    ]
}

/// What every history begins with: three accounts with a session each.
fn prologue(raised: bool) -> Batch {
    let register = |n: u8| Action::Register {
        account: Uuid::from_u128(u128::from(n) + 1),
        name: name(NAMES[usize::from(n) * 2]),
        password_hash: HASHES[0].to_string(),
        token_hash: Digest::of(&[n]),
        expires: Timestamp(5_000),
        invitation: None,
        from: None,
    };
    let operation = |n: u8| Operation { id: pool_id(100 + n), action: register(n) };
    let raise = Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN };
    let raise = Operation { id: pool_id(110), action: raise };
    let operations = (0..3).map(operation);
    Batch { at: Timestamp(0), operations: operations.chain(raised.then_some(raise)).collect() }
}

/// One or two letters, now and then with a mention.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[ab]{1,2}", 1 => "a @(ann|Bob|cy|dee)", 1 => "@ANN b"]
}

fn any_reply() -> impl Strategy<Value = Option<Uuid>> {
    prop::option::weighted(0.15, (0u8..14).prop_map(pool_id))
}

/// Below the level that brought them, nobody proposes answers.
fn without_answers(action: Action) -> Action {
    match action {
        Action::Send { session, to, text, again, after, reply_to: _ } => {
            Action::Send { session, to, text, again, after, reply_to: None }
        }
        Action::Deliver(mut delivery) => {
            if let Act::Send { reply_to, .. } = &mut delivery.act {
                *reply_to = None;
            }
            Action::Deliver(delivery)
        }
        action => action,
    }
}

fn any_place() -> impl Strategy<Value = Place> {
    (0u128..2, 1u64..9)
        .prop_map(|(list, number)| Place { list: Uuid::from_u128(900 + list), number })
}

fn any_after() -> impl Strategy<Value = Option<Place>> {
    prop::option::weighted(0.1, any_place())
}

fn any_session_used() -> impl Strategy<Value = Option<SessionUsed>> {
    let own = (0u8..3).prop_map(|n| (u64::from(n) + 1, n));
    let any = (1u64..6, 0u8..6);
    let expires = prop_oneof![Just(60), Just(5_000)];
    let used = (prop_oneof![4 => own, 1 => any], expires).prop_map(|((number, n), expires)| {
        SessionUsed { number, token_hash: Digest::of(&[n]), expires: Timestamp(expires) }
    });
    prop::option::weighted(0.7, used)
}

/// Of the first three accounts and some others, with names that may be others' by now.
fn any_delivery() -> impl Strategy<Value = Delivery> {
    let party = || {
        let account = prop_oneof![6 => 1u128..4, 1 => 4u128..9];
        (account, any_name()).prop_map(|(account, name)| {
            let account = Uuid::from_u128(account);
            Party { account, name }
        })
    };
    let ids = || prop::collection::vec((0u8..14).prop_map(pool_id), 1..3);
    let to = prop::collection::btree_map(1u128..6, any_name(), 0..3);
    let act = prop_oneof![
        8 => (to, prop_oneof![9 => any_text(), 1 => Just(String::new())], any_reply()).prop_map(|(to, text, reply_to)| {
            // A request that names two accounts has two names.
            let mut names = BTreeSet::new();
            let to = to.into_iter().filter(|(_, name)| names.insert(name.folded().to_string()));
            let party = |(account, name)| Party { account: Uuid::from_u128(account), name };
            Act::Send { to: to.map(party).collect(), text, reply_to }
        }),
        1 => ids().prop_map(|ids| Act::Mark { ids }),
        1 => ids().prop_map(|ids| Act::Delete { ids }),
        1 => Just(Act::Close {}),
    ];
    let since = prop_oneof![40 => 0u64..120, 1 => Just(u64::MAX)];
    (any_place(), any::<bool>(), since, party(), any_session_used(), act).prop_map(
        |(place, again, since, author, session, act)| {
            let accepted_at = Timestamp(7);
            Delivery { place, again, since, accepted_at, author, session, act }
        },
    )
}

/// The hashes of passwords that there mostly are.
const HASHES: [&str; 2] = ["hash", "another"];

/// Mostly what a server says that has verified the first password of the first three.
fn any_verified() -> impl Strategy<Value = Option<Digest>> {
    prop_oneof![
        6 => Just(Some(verified_against(HASHES[0]))),
        2 => Just(Some(verified_against(HASHES[1]))),
        1 => Just(None),
    ]
}

fn any_own_change() -> impl Strategy<Value = OwnChange> {
    let verified = any_verified().prop_map(|verified| verified.unwrap_or(Digest([0; 32])));
    let password = (verified, 0..HASHES.len()).prop_map(|(verified, n)| {
        OwnChange::ChangePassword { verified, password_hash: HASHES[n].to_string() }
    });
    prop_oneof![
        2 => password,
        1 => prop::collection::vec(1u64..9, 0..3)
            .prop_map(|sessions| OwnChange::EndSessions { sessions }),
        1 => Just(OwnChange::EndOtherSessions {}),
        1 => any::<bool>().prop_map(|on| OwnChange::SetReceipts { on }),
        3 => any_name().prop_map(|name| OwnChange::Block { name }),
        1 => any_name().prop_map(|name| OwnChange::Unblock { name }),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    let token = || (0u8..24).prop_map(|n| Digest::of(&[n]));
    let account = || (0u8..8).prop_map(|n| Uuid::from_u128(u128::from(n) + 1));
    let expires = || prop_oneof![0u64..300, Just(10_000u64)].prop_map(Timestamp);
    let session = || prop_oneof![8 => 1u64..4, 3 => 4u64..8, 1 => 8u64..20];
    let text = prop_oneof![18 => any_text(), 1 => Just(String::new()), 1 => Just("x".repeat(TEXT_MAX_BYTES + 1))];
    prop_oneof![
        3 => (account(), any_name(), token(), expires()).prop_map(
            |(account, name, token_hash, expires)| Action::Register {
                account,
                name,
                password_hash: format!("hash of {expires}"),
                token_hash,
                expires,
                invitation: None,
                from: None,
            }
        ),
        3 => (account(), token(), expires(), any_verified()).prop_map(
            |(account, token_hash, expires, verified)| {
                Action::OpenSession { account, token_hash, expires, verified, from: None }
            }
        ),
        1 => session().prop_map(|session| Action::CloseSession { session }),
        14 => (session(), any_recipients(), text, prop::bool::weighted(0.3), any_after(), any_reply())
            .prop_map(|(session, to, text, again, after, reply_to)| Action::Send {
                session,
                to,
                text,
                again,
                after,
                reply_to,
            }),
        16 => any_delivery().prop_map(|delivery| Action::Deliver(Box::new(delivery))),
        3 => (session(), prop::collection::vec(0u64..16, 0..6))
            .prop_map(|(session, seqs)| Action::MarkRead { session, seqs }),
        9 => (session(), prop::collection::vec((0u8..14).prop_map(pool_id), 1..3))
            .prop_map(|(session, ids)| Action::Delete { session, ids }),
        1 => (session(), any_verified())
            .prop_map(|(session, verified)| Action::DeleteAccount { session, verified }),
        4 => (session(), any_own_change())
            .prop_map(|(session, change)| Action::Own { session, change }),
        1 => (1u32..4).prop_map(|n| Action::AllocateIncarnation { replica: ReplicaId(n) }),
        1 => (0..=FEATURE_LEVEL_KNOWN).prop_map(|level| Action::RaiseLevel { level }),
        // Nothing goes while no bound is set.
        1 => (0u64..16, 0u64..10).prop_map(|(seq, days)| Action::NoteTime {
            seq,
            at: Timestamp(days * 24 * HOUR),
        }),
    ]
}

/// One log entry: how far after the last, its time, its operations. Some
/// operations repeat one of those before, if there is one.
type Step = (u64, u64, Vec<(u8, Action, Option<prop::sample::Index>)>);

pub(super) fn any_history() -> impl Strategy<Value = (u64, Vec<(u64, Batch)>)> {
    let repeat = prop::option::weighted(0.2, any::<prop::sample::Index>());
    let operation = (0u8..24, any_action(), repeat);
    let step = (1u64..4, 0u64..300, prop::collection::vec(operation, 0..4));
    (0u64..40, prop::bool::weighted(0.7), prop::collection::vec(step, 1..60))
        .prop_map(|(window, raised, steps)| (window, history(raised, steps)))
}

fn history(raised: bool, steps: Vec<Step>) -> Vec<(u64, Batch)> {
    let (mut index, mut before) = (1, Vec::<Operation>::new());
    let mut entry = |(step, (ahead, time, operations)): (usize, Step)| {
        index += ahead;
        let operations = operations
            .into_iter()
            .map(|(id, action, repeat)| {
                let action = if raised { action } else { without_answers(action) };
                let operation = match repeat {
                    Some(which) if !before.is_empty() => which.get(&before).clone(),
                    // Messages mostly have ids of their own, else conflicts
                    // would leave few of them.
                    _ if matches!(action, Action::Send { .. } | Action::Deliver(_)) => {
                        Operation { id: pool_id(id % 14), action }
                    }
                    _ => Operation { id: pool_id(12 + id), action },
                };
                before.push(operation.clone());
                operation
            })
            .collect();
        // Mostly ahead, with jumps back.
        let at = Timestamp(step as u64 * 4 + if time < 30 { 0 } else { time / 10 });
        (index, Batch { at, operations })
    };
    std::iter::once((1, prologue(raised)))
        .chain(steps.into_iter().enumerate().map(&mut entry))
        .collect()
}
