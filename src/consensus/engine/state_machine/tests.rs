//! Snapshots of a state that changes meanwhile.

use openraft::Membership;
use openraft::storage::{RaftSnapshotBuilder as _, RaftStateMachine as _};
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;
use crate::chat::{Action, Batch, Operation};
use crate::consensus::types::Proposal;
use crate::consensus::wire::entry;
use crate::storage::testing::{self, FaultyDisk};
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
            invitation: None,
            from: None,
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
    let action = Action::Send {
        session: 1,
        to,
        text: "hello".into(),
        again: false,
        after: None,
        reply_to: None,
    };
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

/// A machine whose disk may fail, and a snapshot that it has.
async fn with_snapshot(disk: &FaultyDisk) -> (TempDir, Machine, SnapshotMeta) {
    let folder = tempfile::tempdir().expect("a folder");
    let (_log, snapshots) = testing::log_and_snapshots_on(&disk.host(), folder.path()).await;
    let mut machine = Machine::new(disk.host(), WINDOW);
    machine.attach(snapshots);
    replay(&machine, 1..9);
    let built = machine.get_snapshot_builder().await.build_snapshot().await.expect("builds");
    (folder, machine, built.meta)
}

#[tokio::test]
async fn a_machine_that_is_reset_speaks_of_no_snapshot_that_was_set_aside() {
    let disk = FaultyDisk::new();
    let (_folder, mut machine, _) = with_snapshot(&disk).await;
    machine.reset();
    assert_eq!((machine.newest_meta(), machine.snapshot_bytes()), (None, 0));
    disk.refuse_to_open(Some(Errno::MFILE));
    machine.get_current_snapshot().await.err().expect("it does not know of one");
}

#[tokio::test]
async fn a_snapshot_for_which_there_is_no_descriptor_is_sent_later() {
    let disk = FaultyDisk::new();
    let (_folder, mut machine, meta) = with_snapshot(&disk).await;
    for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        disk.refuse_to_open(Some(error));
        let current = machine.get_current_snapshot().await.expect("no end").expect("it is there");
        assert_eq!(current.meta, meta);
        assert!(matches!(current.snapshot, SnapshotData::Unopened(why) if why.retryable()));
    }
    disk.refuse_to_open(None);
    let current = machine.get_current_snapshot().await.expect("looks").expect("it is there");
    assert!(matches!(current.snapshot, SnapshotData::Stored(_)));
    disk.refuse_to_open(Some(Errno::IO));
    machine.get_current_snapshot().await.err().expect("a broken disk is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_came_waits_for_a_descriptor_until_the_replica_stops() {
    let (sender, disk) = (FaultyDisk::new(), FaultyDisk::new());
    let (_sent_from, mut sender, meta) = with_snapshot(&sender).await;
    for stops in [false, true] {
        let (_folder, mut machine, _) = with_snapshot(&disk).await;
        let current = sender.get_current_snapshot().await.expect("looks").expect("it is there");
        let SnapshotData::Stored(mut reader) = current.snapshot else { panic!("it opens") };
        let snapshots = machine.snapshots().expect("attached");
        let mut writer = snapshots.begin(reader.meta().clone(), 8).await.expect("begins");
        while let Some(lines) = reader.next_raw(usize::MAX).await.expect("reads") {
            writer.raw(&lines.concat()).await.expect("writes");
        }
        let complete = writer.complete().await.expect("completes");
        disk.refuse_to_open(Some(Errno::MFILE));
        let (refusals, watched) = (disk.refusals(), machine.clone());
        let installing = crate::host::spawn(async move {
            let data = SnapshotData::Received(complete);
            let installed = machine.install_snapshot(&current.meta, data).await;
            installed.map(|()| machine)
        });
        while disk.refusals() < refusals + 3 {
            tokio::time::sleep(SHORTAGE_RETRY).await;
        }
        assert!(!installing.is_finished());
        if stops {
            watched.detach();
        } else {
            disk.refuse_to_open(None);
        }
        let installed = installing.await.expect("no panic");
        disk.refuse_to_open(None);
        assert_eq!(installed.is_err(), stops);
        if let Ok(machine) = installed {
            assert_eq!(machine.fingerprint(), sender.fingerprint());
            assert_eq!(machine.newest_meta(), Some(meta.clone()));
        }
    }
}
