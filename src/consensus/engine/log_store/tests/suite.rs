//! The engine's own tests of what stores its log and its state, over ours.
//!
//! They are those of `Suite::test_store`, by name. One is not among them:
//! `transfer_snapshot` gives one replica's file to another to install. Here a
//! snapshot travels line by line and is written by the receiver, which has it
//! from then on; a file of somebody else's directory is none of its own. So
//! [`a_snapshot_is_transferred`] asks the same, over the way that there is.
//!
//! Some begin a log with entry 1 or 2. Ours begins with entry 0 or behind a
//! snapshot, and refuses to leave a gap: an entry that nobody has would be missed
//! only when a replica that needs it asks. Their logs begin where they expect it,
//! as behind a snapshot.

use openraft::storage::{RaftSnapshotBuilder as _, RaftStateMachine as _};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{Membership, StorageError};
use tempfile::TempDir;

use crate::consensus::engine::log_store::LogStore;
use crate::consensus::engine::state_machine::{Machine, SnapshotData};
use crate::consensus::runtime;
use crate::consensus::types::{Entry, EntryPayload, TypeConfig};
use crate::consensus::wire::entry;
use crate::host::Host;
use crate::storage::testing;
use crate::types::{NodeId, ReplicaId};

/// Log entries for which operation ids are remembered.
const WINDOW: u64 = 1_000;

/// The suite numbers its nodes.
impl From<u64> for NodeId {
    fn from(number: u64) -> NodeId {
        NodeId(number)
    }
}

/// Makes an empty replica whose log begins at some index.
struct Builder {
    first: u64,
}

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, snapshots) = testing::log_and_snapshots(folder.path()).await;
        let machine = Machine::new(Host::real(), WINDOW);
        machine.attach(snapshots);
        let store = LogStore::open(log, None, machine.faults().clone()).await.expect("opens");
        if self.first > 0 {
            store.log().reset(self.first).await.expect("resets");
        }
        Ok((folder, store, machine))
    }
}

type OurSuite = Suite<TypeConfig, LogStore, Machine, Builder, TempDir>;

/// One test of the suite for each name, over a log that begins at `$first`.
macro_rules! suite {
    ($first:literal: $($name:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let test = async {
                let (folder, store, machine) = Builder { first: $first }.build().await?;
                OurSuite::$name(store.clone(), machine).await.expect("the suite is content");
                store.log().close().await.expect("closes");
                drop(folder);
                Ok::<(), StorageError<TypeConfig>>(())
            };
            runtime::scoped(&Host::real(), test).await.expect("builds");
        }
    )+};
}

suite!(0:
    last_membership_in_log_initial,
    get_membership_initial,
    get_membership_from_empty_log_and_sm,
    get_initial_state_without_init,
    get_initial_state_membership_from_empty_log_and_sm,
    get_initial_state_membership_from_log_insm_is_smaller,
    get_initial_state_with_state,
    get_initial_state_last_log_gt_sm,
    get_initial_state_log_ids,
    save_vote,
    get_log_entries,
    limited_get_log_entries,
    leader_bounded_stream,
    entries_stream,
    try_get_log_entry,
    log_reader_reads_new_entries,
    initial_logs,
    get_log_state,
    get_log_id,
    last_id_in_log,
    last_applied_state,
    purge_logs_upto_0,
    purge_logs_upto_5,
    purge_logs_upto_20,
    delete_logs_after_11,
    delete_logs_after_5,
    delete_logs_after_0,
    delete_logs_after_none,
    append_to_log,
    snapshot_meta,
    snapshot_meta_optional,
    apply_single,
    apply_multiple,
);

suite!(1:
    last_membership_in_log,
    last_membership_in_log_multi_step,
    get_membership_from_log_and_empty_sm,
    get_membership_from_log_le_sm_last_applied,
    get_membership_from_log_gt_sm_last_applied_1,
    get_membership_from_log_gt_sm_last_applied_2,
    get_initial_state_membership_from_sm_inlog_is_smaller,
);

suite!(2:
    get_initial_state_last_log_lt_sm,
    get_initial_state_inverted_log_order,
    get_initial_state_conflict_at_same_index,
    get_initial_state_re_apply_committed,
);

#[tokio::test]
async fn a_snapshot_is_transferred() {
    let transfer = async {
        let build = async || Builder { first: 0 }.build().await.expect("builds");
        let ((_a, _, mut sender), (_b, _, mut receiver)) = (build().await, build().await);
        for machine in [&mut sender, &mut receiver] {
            assert!(machine.get_current_snapshot().await.expect("looks").is_none());
        }
        let node = NodeId::new(ReplicaId(1), 1);
        let voters = Membership::new_with_defaults(vec![[node].into()], []);
        let payloads = [(2, EntryPayload::Membership(voters)), (3, EntryPayload::Blank)];
        for (index, payload) in payloads {
            let entry = Entry { log_id: entry::log_id(1, node, index), payload };
            sender.replay(entry).expect("applies");
        }
        let built = sender.get_snapshot_builder().await.build_snapshot().await.expect("builds");
        let sent = sender.get_current_snapshot().await.expect("looks").expect("built");
        assert_eq!(sent.meta, built.meta);
        assert_eq!((sent.meta.last_log_id, sent.meta.last_membership.clone()), sender.position());

        // As the network brings it.
        let SnapshotData::Stored(mut reader) = sent.snapshot else { panic!("it is on disk") };
        let snapshots = receiver.snapshots().expect("attached");
        let mut writer = snapshots.begin(reader.meta().clone(), 3).await.expect("begins");
        while let Some(lines) = reader.next_raw(usize::MAX).await.expect("reads") {
            writer.raw(&lines.concat()).await.expect("writes");
        }
        let data = SnapshotData::Received(writer.complete().await.expect("completes"));
        receiver.install_snapshot(&sent.meta, data).await.expect("installs");
        let installed = receiver.get_current_snapshot().await.expect("looks").expect("installed");
        assert_eq!(installed.meta, sent.meta);
        assert_eq!(receiver.position(), sender.position());
        assert_eq!(receiver.fingerprint(), sender.fingerprint());
    };
    runtime::scoped(&Host::real(), transfer).await;
}

#[tokio::test]
async fn an_entry_that_would_leave_a_gap_is_refused() {
    let (_folder, store, _) = Builder { first: 0 }.build().await.expect("builds");
    let node = NodeId::new(ReplicaId(1), 1);
    let blank = Entry { log_id: entry::log_id(1, node, 1), payload: EntryPayload::Blank };
    let appended = testing::append_lines(store.log(), 1, vec![entry::encode(&blank)]).await;
    let error = appended.expect_err("entry 0 is missing");
    assert!(error.message.contains("entry 1 was appended to a log whose next one is 0"), "{error}");
}
