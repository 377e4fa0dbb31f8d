//! Snapshots of a state that changes meanwhile.

use openraft::Membership;
use openraft::storage::{RaftSnapshotBuilder as _, RaftStateMachine as _};
use tempfile::TempDir;

use super::*;
use crate::chat::{Action, Batch, Operation};
use crate::consensus::entry;
use crate::consensus::types::Proposal;
use crate::storage::testing;
use crate::types::{AccountName, Digest, NodeId, ReplicaId, Timestamp};

const WINDOW: u64 = 5;

async fn machine() -> (TempDir, Machine) {
    let folder = tempfile::tempdir().expect("a folder");
    let (_log, snapshots) = testing::log_and_snapshots(folder.path()).await;
    let machine = Machine::new(Host::real(), WINDOW);
    machine.attach(snapshots);
    (folder, machine)
}

/// An entry that each state makes something else of: a new account, or, every third,
/// another membership.
fn entry_at(index: u64) -> Entry {
    let node = |replica| NodeId::new(ReplicaId(replica), 1);
    let payload = if index.is_multiple_of(3) {
        let voters = [node(1), node(2), node(3 + index as u32)];
        EntryPayload::Membership(Membership::new_with_defaults(vec![voters.into()], []))
    } else {
        let name = format!("somebody-{index}");
        let action = Action::Register {
            account: Uuid::from_u128(index.into()),
            password_hash: "x".into(),
            token_hash: Digest::of(name.as_bytes()),
            expires: Timestamp(1_000 * (index + WINDOW)),
            name: AccountName::new(&name).expect("a name"),
        };
        let operations = vec![Operation { id: Uuid::from_u128(index.into()), action }];
        let batch = Batch { at: Timestamp(1_000 * index), operations };
        EntryPayload::Normal(Proposal::propose(batch, 0).0)
    };
    Entry { log_id: entry::log_id(1, node(1), index), payload }
}

fn replay(machine: &Machine, entries: std::ops::Range<u64>) {
    for index in entries {
        machine.replay(entry_at(index)).expect("applies");
    }
}

#[tokio::test]
async fn a_snapshot_names_the_place_of_the_state_in_it_whatever_is_applied_while_it_is_written() {
    for taken in 1..12 {
        let (_folder, mut machine) = machine().await;
        replay(&machine, 1..taken + 1);
        let then = (machine.position(), machine.fingerprint());
        let mut builder = machine.get_snapshot_builder().await;
        replay(&machine, taken + 1..20);
        let built = builder.build_snapshot().await.expect("builds");
        assert_eq!((built.meta.last_log_id, built.meta.last_membership.clone()), then.0);

        let (_other, mut loaded) = self::machine().await;
        loaded.install_snapshot(&built.meta, built.snapshot).await.expect("loads");
        assert_eq!((loaded.position(), loaded.fingerprint()), then, "as it was taken");
        // What follows in the log fits behind it, and behind nothing else.
        replay(&loaded, taken + 1..20);
        assert_eq!(loaded.position(), machine.position());
        assert_eq!(loaded.fingerprint(), machine.fingerprint());
    }
}

#[tokio::test]
async fn what_the_log_knows_of_the_time_only_grows() {
    let (_folder, machine) = machine().await;
    assert_eq!(machine.latest_at(), Timestamp(0));
    replay(&machine, 1..9);
    assert_eq!(machine.latest_at(), Timestamp(8_000));
    let mut earlier = entry_at(10);
    let batch = Batch { at: Timestamp(1_000), operations: Vec::new() };
    earlier.payload = EntryPayload::Normal(Proposal::propose(batch, 0).0);
    machine.replay(earlier).expect("applies");
    assert_eq!(machine.latest_at(), Timestamp(8_000));
}

/// A state with a message in it, which was sent at this time.
async fn with_message_at(at: Timestamp) -> (TempDir, Machine) {
    let (folder, machine) = machine().await;
    machine.replay(entry_at(1)).expect("applies");
    let to = vec![AccountName::new("somebody-1").expect("a name")];
    let action = Action::Send { session: 1, to, text: "hello".into() };
    let operations = vec![Operation { id: Uuid::from_u128(99), action }];
    let payload = EntryPayload::Normal(Proposal::propose(Batch { at, operations }, 0).0);
    machine.replay(Entry { payload, ..entry_at(2) }).expect("applies");
    assert_eq!(machine.look(|look| look.newest_at()), Some(at));
    (folder, machine)
}

#[tokio::test]
async fn whoever_gets_a_snapshot_knows_how_late_it_is_and_those_who_wait_look_at_it() {
    let (_folder, mut machine) = with_message_at(Timestamp(5_000)).await;
    let built = machine.get_snapshot_builder().await.build_snapshot().await.expect("builds");
    let (_other, mut loaded) = self::machine().await;
    let watch = loaded.watch(Uuid::from_u128(1));
    loaded.install_snapshot(&built.meta, built.snapshot).await.expect("loads");
    assert_eq!(loaded.latest_at(), Timestamp(5_000));
    assert!(watch.has_changed().expect("the machine is there"));
}

#[tokio::test]
async fn a_machine_that_is_reset_begins_at_the_beginning() {
    let (_folder, machine) = machine().await;
    let empty = (machine.position(), machine.fingerprint());
    replay(&machine, 1..9);
    let then = (machine.position(), machine.fingerprint());
    machine.reset();
    assert_eq!((machine.position(), machine.fingerprint()), empty);
    replay(&machine, 1..9);
    assert_eq!((machine.position(), machine.fingerprint()), then);
}
