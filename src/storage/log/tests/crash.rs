//! What a crash or a bad disk can leave, at every byte and every bit.

use std::fs;
use std::path::Path;

use super::*;
use crate::storage::record;
use crate::storage::testing::{
    append, assert_entries, entry, flip_every_bit, open_log, unsynced_host,
};

const FIRST_SEGMENT: &str = "00000000000000000000.jsonl";

fn two_segments() -> LogOptions {
    LogOptions { segment_max_bytes: 190, recent_max_bytes: 0 }
}

/// A directory with five entries in two segments; the path of each.
async fn directory_with_log(root: &Path) -> Vec<std::path::PathBuf> {
    let (log, _) = open_log(unsynced_host(), root, two_segments()).await.expect("opens");
    append(&log, 0..5).await.expect("durable");
    log.write_vote("7".into()).await.expect("durable");
    log.note_committed(0, "4".into());
    log.close().await.expect("closes");
    let names = fs::read_dir(root.join("log")).expect("lists");
    let mut paths: Vec<_> = names.map(|entry| entry.expect("reads").path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 2);
    paths
}

#[tokio::test]
async fn a_cut_at_any_byte_loses_no_whole_record_and_the_log_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let paths = directory_with_log(root).await;
    let earlier =
        fs::read(&paths[0]).expect("reads").iter().filter(|b| **b == b'\n').count() as u64;
    let last = paths[1].clone();
    let whole = fs::read(&last).expect("reads");
    let mut notices = 0;
    for end in 0..=whole.len() {
        fs::write(&last, &whole[..end]).expect("cuts");
        let kept = earlier + whole[..end].iter().filter(|b| **b == b'\n').count() as u64;
        let torn = end - whole[..end].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        for start in 1..=2 {
            let (log, recovery) =
                open_log(unsynced_host(), root, two_segments()).await.expect("opens");
            let name = last.file_name().expect("a name").to_string_lossy().into_owned();
            let tail = DroppedTail { file: name, index: kept, bytes: torn as u64 };
            let expected = (torn > 0).then_some(tail);
            assert_eq!(recovery.dropped, expected, "cut at {end}, start {start}");
            assert_entries(&log, 0..kept).await;
            if start == 2 {
                notices += usize::from(torn > 0);
                log.settle_dropped_tail().await.expect("settles");
                append(&log, kept..6).await.expect("durable");
            }
            log.close().await.expect("closes");
        }
        let (log, recovery) = open_log(unsynced_host(), root, two_segments()).await.expect("opens");
        assert_eq!(recovery, LogRecovery::default(), "settled");
        assert_entries(&log, 0..6).await;
        log.truncate_from(5).await.expect("cuts");
        log.close().await.expect("closes");
    }
    assert_eq!(notices, whole.len() + 1 - (5 - earlier as usize) - 1);
}

#[tokio::test]
async fn of_two_unsettled_tails_the_one_further_ahead_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = directory_with_log(folder.path()).await;
    let open = || open_log(unsynced_host(), folder.path(), two_segments());
    for next in [4, 3] {
        let content = fs::read(&paths[1]).expect("reads");
        fs::write(&paths[1], &content[..content.len() - 1]).expect("cuts");
        let (log, recovery) = open().await.expect("opens");
        assert_eq!(recovery.dropped.expect("torn").index, 4, "also when {next} is cut");
        assert_eq!(log.next(), next);
        log.close().await.expect("closes");
    }
}

#[tokio::test]
async fn every_flipped_bit_of_any_segment_is_corruption() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in directory_with_log(folder.path()).await {
        let whole = fs::read(&path).expect("reads");
        for flipped in flip_every_bit(&whole) {
            fs::write(&path, &flipped).expect("writes");
            let opened = open_log(unsynced_host(), folder.path(), two_segments()).await;
            let error = opened.err().expect("noticed");
            assert_eq!(error.code, ErrorCode::Corrupted);
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(error.message.contains(&name), "{error}");
            assert_eq!(fs::read(&path).expect("reads"), flipped, "nothing is cut or repaired");
        }
        fs::write(&path, &whole).expect("writes");
    }
    open_log(unsynced_host(), folder.path(), two_segments()).await.expect("whole again");
}

#[tokio::test]
async fn a_flipped_bit_of_the_vote_is_corruption_and_of_the_commit_hint_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    directory_with_log(folder.path()).await;
    let open = || open_log(unsynced_host(), folder.path(), two_segments());
    let (vote, hint) = (folder.path().join("vote.json"), folder.path().join("committed.json"));
    let whole = fs::read(&vote).expect("reads");
    for flipped in flip_every_bit(&whole) {
        fs::write(&vote, &flipped).expect("writes");
        assert_eq!(open().await.err().map(|e| e.code), Some(ErrorCode::Corrupted));
    }
    fs::write(&vote, &whole).expect("writes");
    let whole = fs::read(&hint).expect("reads");
    for broken in flip_every_bit(&whole).chain((0..whole.len()).map(|n| whole[..n].to_vec())) {
        fs::write(&hint, &broken).expect("writes");
        let (log, _) = open().await.expect("opens");
        assert_eq!(log.read_committed(), None);
        assert_entries(&log, 0..5).await;
        log.close().await.expect("closes");
        assert_eq!(fs::read(&hint).expect("reads"), broken, "nothing new to write");
    }
}

#[tokio::test]
async fn a_missing_segment_or_one_cut_short_before_another_is_corruption() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || open_log(unsynced_host(), folder.path(), two_segments());
    let paths = directory_with_log(folder.path()).await;
    let first = fs::read(&paths[0]).expect("reads");
    assert!(paths[0].ends_with(FIRST_SEGMENT));
    for end in 0..first.len() {
        fs::write(&paths[0], &first[..end]).expect("cuts");
        assert_eq!(open().await.err().map(|e| e.code), Some(ErrorCode::Corrupted), "at {end}");
    }
    fs::write(&paths[0], &first).expect("writes");
    let later = folder.path().join("log/00000000000000000009.jsonl");
    fs::write(&later, record::encode(&entry(9))).expect("writes");
    let error = open().await.err().expect("a gap");
    assert_eq!(error.code, ErrorCode::Corrupted);
    assert!(error.message.contains("begins at 9, but the segment before it ends at 5"), "{error}");
}

#[tokio::test]
async fn an_entry_that_breaks_after_the_start_is_not_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = directory_with_log(folder.path()).await;
    let (log, _) = open_log(unsynced_host(), folder.path(), two_segments()).await.expect("opens");
    let whole = fs::read(&paths[0]).expect("reads");
    let entries = whole.iter().filter(|b| **b == b'\n').count() as u64;
    for (bit, flipped) in flip_every_bit(&whole).enumerate() {
        fs::write(&paths[0], &flipped).expect("writes");
        let error = log.read(0, entries, usize::MAX).await.expect_err("noticed");
        let line = whole[..bit / 8].iter().filter(|b| **b == b'\n').count() + 1;
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains(&format!("line {line} of")), "bit {bit}: {error}");
    }
    fs::write(&paths[0], &whole).expect("writes");
    assert_entries(&log, 0..5).await;
}
