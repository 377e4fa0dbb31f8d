//! The log and the vote as openraft uses them.

mod suite;

use super::*;
use crate::storage::testing;
use crate::types::{NodeId, ReplicaId};

#[tokio::test]
async fn a_log_whose_reset_was_cut_off_goes_on_behind_its_snapshot() {
    let node = NodeId::new(ReplicaId(1), 1);
    let blank = |index| Entry {
        log_id: crate::consensus::wire::entry::log_id(1, node, index),
        payload: crate::consensus::types::EntryPayload::Blank,
    };
    // Emptied, and not yet renamed.
    let folder = tempfile::tempdir().expect("a folder");
    let log = testing::log(folder.path()).await;
    log.reset(31).await.expect("resets");
    let snapshot = Some(blank(85).log_id);
    let store = LogStore::open(log, snapshot, Default::default()).await.expect("opens");
    assert_eq!((store.last_log_id(), store.log.next()), (snapshot, 86));
    let line = crate::consensus::wire::entry::encode(&blank(86));
    testing::append_lines(store.log(), 86, vec![line]).await.expect("the next one");
    let read = store.read(86, 87, 1).await.expect("reads");
    assert_eq!(read.first().map(|entry| entry.log_id), Some(blank(86).log_id));
}

#[tokio::test]
async fn a_log_that_ends_before_what_was_committed_is_noticed_and_not_believed() {
    let node = NodeId::new(ReplicaId(1), 1);
    let log_id = |index| crate::consensus::wire::entry::log_id(1, node, index);
    for (noted, ends_below) in [(0, false), (2, false), (3, true), (9, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let log = testing::log(folder.path()).await;
        let blank = crate::consensus::types::EntryPayload::Blank;
        let lines = (0..3).map(|index| {
            let entry = Entry { log_id: log_id(index), payload: blank.clone() };
            crate::consensus::wire::entry::encode(&entry)
        });
        testing::append_lines(&log, 0, lines.collect()).await.expect("durable");
        let hint = serde_json::to_vec(&log_id(noted)).expect("plain data");
        log.note_committed(noted, hint.into());
        let store = LogStore::open(log, None, Default::default()).await.expect("opens");
        assert_eq!(store.ends_below_commit(), ends_below, "{noted}");
        assert_eq!(store.committed(), Some(log_id(noted.min(2))));
    }
}

#[tokio::test]
async fn a_vote_is_on_disk_and_that_it_won_is_not_written_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = testing::log(folder.path()).await;
    let mut store = LogStore::open(log, None, Default::default()).await.expect("opens");
    let mut write = async |term: u64, replica: u32, won: bool| {
        let node = NodeId::new(ReplicaId(replica), 1);
        let vote = Vote { committed: won, ..Vote::new(term, node) };
        store.save_vote(&vote).await.expect("durable");
        assert_eq!(store.vote(), Some(vote));
        let on_disk = store.log.read_vote().expect("a vote");
        (vote, serde_json::from_slice::<Vote>(&on_disk).expect("a vote"))
    };
    for (term, replica, won, written) in [
        (1, 1, false, true),
        (1, 1, true, false),
        (2, 2, false, true),
        (2, 2, true, false),
        // Of a leader that it did not vote for it knows only that it won.
        (3, 1, true, true),
        (4, 2, true, true),
    ] {
        let (vote, on_disk) = write(term, replica, won).await;
        assert_eq!(on_disk == vote, written, "{vote}: {on_disk}");
        assert_eq!(on_disk.leader_id, vote.leader_id);
    }
}
