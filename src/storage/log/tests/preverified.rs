use super::*;
use crate::host::Host;
use crate::storage::UnlockedDirectory;
use crate::storage::testing::{self, append, assert_entries, entry};

fn small_segments() -> LogOptions {
    LogOptions { segment_max_bytes: 150, recent_max_bytes: 0 }
}

async fn open_log(path: &std::path::Path, ahead: Option<PreverifiedLog>) -> Result<Log> {
    let directory = testing::directory(&Host::real(), path).await;
    let opened = Log::open(&directory, small_segments(), testing::never_fatal(), ahead).await;
    opened.map(|(log, _)| log)
}

async fn look(path: &std::path::Path) -> UnlockedDirectory {
    UnlockedDirectory::open(&Host::real(), path).await.expect("readable").expect("not empty")
}

#[tokio::test]
async fn a_log_is_read_while_another_writes_it_and_not_beyond_what_is_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open_log(folder.path(), None).await.expect("opens");
    let mut ahead = look(folder.path()).await;
    assert_eq!(ahead.read_log(u64::MAX, usize::MAX).await, Ok(vec![]));
    let mut read = 0;
    for written in [1, 7, 8, 30] {
        append(&log, log.next()..written).await.expect("durable");
        for through in [written / 2, written - 1] {
            let payloads = ahead.read_log(through, usize::MAX).await.expect("reads");
            assert_eq!(payloads, (read..through + 1).map(entry).collect::<Vec<_>>(), "{through}");
            read = read.max(through + 1);
        }
        assert_eq!(ahead.read_log(written - 1, usize::MAX).await, Ok(vec![]));
    }
    // Also in small portions, and up to the end of what there is.
    let mut again = look(folder.path()).await;
    for index in 0..30 {
        assert_eq!(again.read_log(u64::MAX, 1).await, Ok(vec![entry(index)]));
    }
    assert_eq!(again.read_log(u64::MAX, 1).await, Ok(vec![]));
}

#[tokio::test]
async fn whatever_the_holder_did_meanwhile_the_log_opens_as_if_nothing_was_read_ahead() {
    for read in [0, 3, 4, 11, 12, 20] {
        for action in 0..6 {
            let folder = tempfile::tempdir().expect("a folder");
            let log = open_log(folder.path(), None).await.expect("opens");
            append(&log, 0..20).await.expect("durable");
            let mut ahead = look(folder.path()).await;
            while read > 0 && !ahead.read_log(read - 1, 100).await.expect("reads").is_empty() {}
            let (_, ahead) = ahead.into_parts();
            match action {
                0 => {}
                1 => append(&log, 20..33).await.expect("durable"),
                2 => {
                    log.truncate_from(read).await.expect("cuts");
                    append(&log, read..24).await.expect("durable");
                }
                3 => log.purge_through(14).await.expect("purges"),
                4 => {
                    log.reset(40).await.expect("resets");
                    append(&log, 40..50).await.expect("durable");
                }
                _ => log.reset(20).await.expect("resets"),
            }
            let (first, next) = (log.first(), log.next());
            log.close().await.expect("closes");
            drop(log);
            let log = open_log(folder.path(), Some(ahead)).await.expect("opens");
            assert_entries(&log, first..next).await;
            append(&log, next..next + 9).await.expect("durable");
            assert_entries(&log, first..next + 9).await;
        }
    }
}

#[tokio::test]
async fn damage_is_found_when_it_is_read_ahead_and_behind_that_when_the_log_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open_log(folder.path(), None).await.expect("opens");
    append(&log, 0..20).await.expect("durable");
    let mut ahead = look(folder.path()).await;
    ahead.read_log(9, usize::MAX).await.expect("reads");
    log.close().await.expect("closes");
    drop(log);

    let last = std::fs::read_dir(folder.path().join("log")).expect("lists");
    let last = last.map(|entry| entry.expect("an entry").path()).max().expect("a segment");
    let mut bytes = std::fs::read(&last).expect("reads");
    bytes[70] ^= 1;
    std::fs::write(&last, bytes).expect("writes");
    let mut again = look(folder.path()).await;
    let error = again.read_log(u64::MAX, usize::MAX).await.expect_err("noticed");
    assert_eq!(error.code, ErrorCode::Corrupted);
    let (_, ahead) = ahead.into_parts();
    let error = open_log(folder.path(), Some(ahead)).await.err().expect("noticed");
    assert_eq!(error.code, ErrorCode::Corrupted);
    assert!(error.message.contains(&last.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_file_that_is_shorter_than_what_was_read_of_it_is_verified_from_its_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open_log(folder.path(), None).await.expect("opens");
    append(&log, 0..2).await.expect("durable");
    let mut ahead = look(folder.path()).await;
    ahead.read_log(1, usize::MAX).await.expect("reads");
    log.truncate_from(1).await.expect("cuts what must never be cut");
    log.close().await.expect("closes");
    drop(log);
    let (_, ahead) = ahead.into_parts();
    let log = open_log(folder.path(), Some(ahead)).await.expect("opens");
    assert_entries(&log, 0..1).await;
}
