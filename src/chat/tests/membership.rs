//! Which replicas the cluster has: a part of the state like others.

use super::restoring::backup;
use super::*;
use crate::types::{MemberChange, MemberEntry, Membership, ReplicaId};

fn entry(id: u32) -> MemberEntry {
    let address = format!("h{id}:1").parse().expect("an address");
    MemberEntry { id: ReplicaId(id), address, replaces: None }
}

fn change(expects: u64, change: MemberChange) -> Action {
    let founders = (1..=3).map(entry).collect();
    Action::ChangeMembers { expects, change, founders }
}

fn remove(expects: u64, id: u32) -> Action {
    change(expects, MemberChange::Remove { id: ReplicaId(id) })
}

fn ids(membership: &Membership) -> Vec<u32> {
    membership.members.iter().map(|member| member.id.0).collect()
}

#[test]
fn a_change_counts_only_for_what_its_leader_has_seen() {
    let mut chat = Chat::new();
    assert!(!chat.state.membership().is_known());
    let added = chat.apply(change(0, MemberChange::Add(entry(4))));
    assert_eq!(added, Outcome::MembersChanged { version: 1 });
    let (code, _) = refusal(chat.apply(remove(0, 1)));
    assert_eq!(code, ErrorCode::Unavailable, "that leader had not seen the fourth");
    assert_eq!(chat.apply(remove(1, 1)), Outcome::MembersChanged { version: 2 });
    assert_eq!(ids(chat.state.membership()), [2, 3, 4]);
    // The founders count but once.
    assert_eq!(refusal(chat.apply(remove(2, 1))).0, ErrorCode::UnknownReplica);
}

#[test]
fn snapshots_keep_the_membership_and_backups_do_not() {
    let mut chat = Chat::new();
    let alice = chat.register("alice");
    chat.send(alice, &["alice"], "hello");
    let before = chat.state.hash();
    chat.apply(remove(0, 2));
    assert_ne!(chat.state.hash(), before);
    let written = lines(&chat.state);
    let again = restore(1_000, &written).expect("own lines");
    assert_eq!(again.membership(), chat.state.membership());
    assert_eq!((again.hash(), lines(&again)), (chat.state.hash(), written.clone()));
    let text = |lines: &[Vec<u8>]| String::from_utf8(lines.concat()).expect("JSON");
    assert!(text(&written).contains("\"membership\""));
    assert!(!backup(&chat.state).concat().contains("\"membership\""));
}

#[test]
fn a_membership_that_cannot_be_is_refused() {
    let mut chat = Chat::new();
    chat.apply(remove(0, 2));
    let written = lines(&chat.state);
    let place =
        written.iter().position(|line| line.starts_with(b"{\"membership\"")).expect("there");
    let own = String::from_utf8(written[place].clone()).expect("JSON");
    for (from, to) in [
        ("\"highest\":3", "\"highest\":2"),
        ("\"version\":1", "\"version\":0"),
        ("\"version\":1", "\"version\":2"),
        ("\"id\":1", "\"id\":3"),
        ("h1:1", "h2:1"),
    ] {
        let mut changed = written.clone();
        assert!(own.contains(from), "{own}");
        changed[place] = own.replace(from, to).into();
        let refused = restore(1_000, &changed).expect_err(to);
        assert_eq!(refused.code, ErrorCode::Corrupted, "{to}");
    }
    let mut twice = written.clone();
    twice.insert(place, written[place].clone());
    assert_eq!(restore(1_000, &twice).expect_err("twice").code, ErrorCode::Corrupted);
}
