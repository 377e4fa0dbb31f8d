//! Group commit, a full disk, and a disk that fails.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::host::Host;
use crate::storage::testing::{self, FaultyDisk, append, assert_entries, entry, open_log};
use crate::storage::{DataDirectory, read_lock};
use crate::sync::Mutex;

type Outcomes = Arc<Mutex<Vec<(u64, Result<()>)>>>;

/// Appends one entry and notes its outcome when it comes.
fn append_noting(log: &Log, index: u64, outcomes: &Outcomes) {
    let outcomes = outcomes.clone();
    let done = move |result| outcomes.lock().push((index, result));
    log.append(index, vec![encode(&entry(index))], Box::new(done));
}

/// Waits for something that another thread brings about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
}

async fn open_noting_fatal(disk: &FaultyDisk, path: &Path) -> (Log, Arc<Mutex<Vec<Error>>>) {
    let directory = testing::directory(&disk.host(), path).await;
    let fatal = Arc::new(Mutex::new(Vec::new()));
    let noted = fatal.clone();
    let handler = Arc::new(move |error| noted.lock().push(error));
    let options = LogOptions { recent_max_bytes: 0, ..LogOptions::default() };
    let (log, _) = Log::open(&directory, options, handler, None).await.expect("opens");
    (log, fatal)
}

#[tokio::test]
async fn appends_behind_a_running_sync_share_the_next_one() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let (log, _) =
        open_log(disk.host(), folder.path(), LogOptions::default()).await.expect("opens");
    let (before, outcomes) = (disk.syncs(), Outcomes::default());
    disk.close_gate();
    append_noting(&log, 0, &outcomes);
    until("the first sync starts", || disk.syncs() == before + 1).await;
    for index in 1..=100 {
        append_noting(&log, index, &outcomes);
    }
    assert_eq!(log.next(), 101);
    let queued = log.read(0, 101, usize::MAX).await.expect("readable before they are written");
    assert_eq!(queued, (0..101).map(entry).collect::<Vec<_>>());
    assert_eq!(*outcomes.lock(), [], "nothing is durable yet");
    disk.open_gate();
    until("all are done", || outcomes.lock().len() == 101).await;
    assert_eq!(disk.syncs(), before + 2, "one sync for a hundred appends");
    let expected: Vec<_> = (0..101).map(|index| (index, Ok(()))).collect();
    assert_eq!(*outcomes.lock(), expected);
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_nothing_is_lost_or_doubled() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    let (log, fatal) = open_noting_fatal(&disk, path).await;
    append(&log, 0..3).await.expect("room enough");
    let mut full = log.watch_shortage();
    assert_eq!(log.shortage(), None);
    // A record and a half.
    disk.set_room(Some(encode(&entry(3)).len() * 3 / 2));
    let outcomes = Outcomes::default();
    let lines = vec![encode(&entry(3)), encode(&entry(4))];
    let noted = outcomes.clone();
    let done = move |result| noted.lock().push((3, result));
    log.append(3, lines, Box::new(done));
    append_noting(&log, 5, &outcomes);
    full.wait_for(Option::is_some).await.expect("the log is open");
    assert_eq!(*outcomes.lock(), [], "neither done nor failed");
    assert_entries(&log, 0..6).await;
    let segment = path.join("log/00000000000000000000.jsonl");
    let whole: usize = (0..3).map(|index| encode(&entry(index)).len()).sum();
    until("half a record is cut off", || {
        std::fs::metadata(&segment).expect("there").len() == whole as u64
    })
    .await;
    let vote = {
        let log = log.clone();
        crate::host::spawn(async move { log.write_vote("9".into()).await })
    };
    disk.set_room(None);
    full.wait_for(Option::is_none).await.expect("the log is open");
    vote.await.expect("no panic").expect("written in the end");
    assert_eq!(*outcomes.lock(), [(3, Ok(())), (5, Ok(()))]);

    // The vote alone can be what does not fit.
    disk.set_room(Some(1));
    let vote = {
        let log = log.clone();
        crate::host::spawn(async move { log.write_vote("10".into()).await })
    };
    full.wait_for(Option::is_some).await.expect("the log is open");
    assert_eq!(log.read_vote(), Some("9".into()));
    disk.set_room(None);
    vote.await.expect("no panic").expect("written in the end");
    log.close().await.expect("closes");
    assert_eq!(*fatal.lock(), []);

    let (log, recovery) = open_log(Host::real(), path, LogOptions::default()).await.expect("opens");
    assert_eq!(recovery, LogRecovery::default());
    assert_entries(&log, 0..6).await;
    assert_eq!(log.read_vote(), Some("10".into()));
}

#[tokio::test]
async fn closing_does_not_wait_for_a_full_disk() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let (log, fatal) = open_noting_fatal(&disk, folder.path()).await;
    append(&log, 0..3).await.expect("room enough");
    disk.set_room(Some(5));
    let outcomes = Outcomes::default();
    append_noting(&log, 3, &outcomes);
    log.watch_shortage().wait_for(Option::is_some).await.expect("the log is open");
    append_noting(&log, 4, &outcomes);
    assert_eq!(log.close().await.expect_err("given up").code, ErrorCode::DiskFull);
    let codes: Vec<_> = outcomes
        .lock()
        .iter()
        .map(|(index, result)| (*index, result.as_ref().err().map(|e| e.code)))
        .collect();
    assert_eq!(codes, [(3, Some(ErrorCode::DiskFull)), (4, Some(ErrorCode::DiskFull))]);
    assert_eq!(*fatal.lock(), [], "a full disk is not a broken one");
    let (log, recovery) =
        open_log(Host::real(), folder.path(), LogOptions::default()).await.expect("opens");
    assert_eq!(recovery, LogRecovery::default());
    assert_entries(&log, 0..3).await;
}

/// Breaks the disk, and checks that the log stops and the directory is marked.
async fn assert_stops(break_disk: impl Fn(&FaultyDisk), vote: bool) {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    let (log, fatal) = open_noting_fatal(&disk, path).await;
    append(&log, 0..3).await.expect("durable");
    break_disk(&disk);
    let error = match vote {
        true => log.write_vote("1".into()).await.expect_err("fails"),
        false => append(&log, 3..5).await.expect_err("fails"),
    };
    assert_eq!(error.code, ErrorCode::Io);
    until("the owner is told", || !fatal.lock().is_empty()).await;
    // The disk recovers, but what it did with the bytes is not known.
    disk.fail_syncs(false);
    disk.fail_writes(false);
    let segment = path.join("log/00000000000000000000.jsonl");
    let content = std::fs::read(&segment).expect("reads");
    append(&log, log.next()..log.next() + 1).await.expect_err("never again");
    log.write_vote("2".into()).await.expect_err("never again");
    log.truncate_from(0).await.expect_err("never again");
    log.note_committed(0, "1".into());
    assert_eq!(log.close().await, Err(error.clone()));
    assert_eq!(std::fs::read(&segment).expect("reads"), content, "nothing more is written");
    assert!(!path.join("committed.json").exists());
    assert_eq!(*fatal.lock(), [error], "told once");

    let content = read_lock(&*Host::real().disk, path).await.expect("reads");
    assert!(content.poisoned.is_some() && content.holder == Some(testing::holder()));
    let opened = DataDirectory::open(&Host::real(), path, testing::holder()).await;
    let mut directory = opened.expect("opens, to be repaired");
    let error = directory.identity().expect_err("not to be believed");
    assert_eq!(error.code, ErrorCode::Corrupted);
    assert!(error.message.contains("poisoned"), "{error}");
    let opened = Log::open(&directory, LogOptions::default(), testing::never_fatal(), None).await;
    assert_eq!(opened.err().map(|e| e.code), Some(ErrorCode::Corrupted));
    directory.set_aside().await.expect("moves");
    drop(directory);
    let (log, _) = open_log(Host::real(), path, LogOptions::default()).await.expect("new");
    assert_eq!(log.next(), 0);
}

#[tokio::test]
async fn a_failed_sync_is_the_end_of_it() {
    assert_stops(|disk| disk.fail_syncs(true), false).await;
}

#[tokio::test]
async fn a_failed_write_is_the_end_of_it() {
    assert_stops(|disk| disk.fail_writes(true), false).await;
}

#[tokio::test]
async fn a_failed_sync_of_the_vote_is_the_end_of_it() {
    assert_stops(|disk| disk.fail_syncs(true), true).await;
}

#[tokio::test]
async fn everything_behind_a_failed_sync_fails_in_order() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let (log, _) = open_noting_fatal(&disk, folder.path()).await;
    let (before, outcomes) = (disk.syncs(), Outcomes::default());
    disk.close_gate();
    append_noting(&log, 0, &outcomes);
    until("the sync starts", || disk.syncs() == before + 1).await;
    for index in 1..10 {
        append_noting(&log, index, &outcomes);
    }
    disk.fail_syncs(true);
    disk.open_gate();
    until("all have failed", || outcomes.lock().len() == 10).await;
    let outcomes = outcomes.lock().clone();
    assert!(outcomes.iter().all(|(_, result)| result.is_err()));
    assert!(outcomes.iter().map(|(index, _)| *index).eq(0..10), "{outcomes:?}");
}

/// Errors that pass: the process or the machine is short of something.
const PASSING: [Errno; 6] =
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOLCK, Errno::AGAIN, Errno::INTR];

async fn is_poisoned(path: &Path) -> bool {
    read_lock(&*Host::real().disk, path).await.expect("reads").poisoned.is_some()
}

#[tokio::test]
async fn no_descriptor_and_no_memory_are_waited_for_and_nothing_is_marked() {
    for error in PASSING {
        let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
        // Every entry begins a file.
        let options = LogOptions { segment_max_bytes: 1, recent_max_bytes: 0 };
        let (log, _) = open_log(disk.host(), folder.path(), options).await.expect("opens");
        append(&log, 0..3).await.expect("durable");
        disk.refuse_to_open(Some(error));
        let outcomes = Outcomes::default();
        append_noting(&log, 3, &outcomes);
        until("it is waited for", || log.shortage() == Some(Shortage::Resources)).await;
        let [vote, purge, read] = ["vote", "purge", "read"].map(|action| {
            let log = log.clone();
            crate::host::spawn(async move {
                match action {
                    "vote" => log.write_vote("9".into()).await,
                    "purge" => log.purge_through(0).await,
                    _ => log.read(1, 2, usize::MAX).await.map(drop),
                }
            })
        });
        log.note_committed(0, "2".into());
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(!vote.is_finished() && !purge.is_finished(), "{error}");
        assert!(!read.is_finished(), "{error}");
        assert_eq!(*outcomes.lock(), [], "neither done nor failed");
        disk.refuse_to_open(None);
        for action in [vote, purge, read] {
            action.await.expect("no panic").expect("done in the end");
        }
        assert_eq!(*outcomes.lock(), [(3, Ok(()))]);
        assert_eq!(log.shortage(), None);
        log.close().await.expect("closes");
        assert!(!is_poisoned(folder.path()).await, "{error}");
        let (log, recovery) =
            open_log(Host::real(), folder.path(), LogOptions::default()).await.expect("opens");
        assert_eq!((recovery, log.read_vote()), (LogRecovery::default(), Some("9".into())));
        assert_entries(&log, 1..4).await;
    }
}

#[tokio::test]
async fn half_a_write_is_cut_off_when_that_can_be_done() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let (log, fatal) = open_noting_fatal(&disk, folder.path()).await;
    append(&log, 0..3).await.expect("durable");
    let outcomes = Outcomes::default();
    disk.write_halves(Some(Errno::NOMEM));
    append_noting(&log, 3, &outcomes);
    until("it is waited for", || log.shortage() == Some(Shortage::Resources)).await;
    disk.write_halves(None);
    until("written in the end", || !outcomes.lock().is_empty()).await;
    append(&log, 4..6).await.expect("durable");
    log.close().await.expect("closes");
    assert_eq!(*fatal.lock(), []);
    let (log, recovery) =
        open_log(Host::real(), folder.path(), LogOptions::default()).await.expect("opens");
    assert_eq!(recovery, LogRecovery::default(), "no half record is left");
    assert_entries(&log, 0..6).await;
}

#[tokio::test]
async fn what_the_system_does_not_allow_ends_the_log_and_marks_nothing() {
    for error in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::NOENT, Errno::NOTDIR] {
        let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
        let (log, fatal) = open_noting_fatal(&disk, folder.path()).await;
        append(&log, 0..3).await.expect("durable");
        disk.refuse_to_open(Some(error));
        let refused = log.write_vote("9".into()).await.expect_err("not allowed");
        assert!(refused.message.contains("put that right"), "{refused}");
        until("the owner is told", || !fatal.lock().is_empty()).await;
        disk.refuse_to_open(None);
        append(&log, 3..4).await.expect_err("never again");
        assert_eq!(log.close().await, Err(refused));
        assert!(!is_poisoned(folder.path()).await, "{error}");
        let (log, _) =
            open_log(Host::real(), folder.path(), LogOptions::default()).await.expect("opens");
        assert_entries(&log, 0..3).await;
    }
}

#[tokio::test]
async fn a_commit_hint_that_cannot_be_written_is_passed_over() {
    for error in [Errno::IO, Errno::ACCESS, Errno::MFILE] {
        let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
        let (log, fatal) = open_noting_fatal(&disk, folder.path()).await;
        append(&log, 0..3).await.expect("durable");
        disk.refuse_to_open(Some(error));
        log.note_committed(0, "2".into());
        until("the commit hint is tried", || disk.refusals() > 0).await;
        append(&log, 3..4).await.expect("its file is open");
        disk.refuse_to_open(None);
        log.write_vote("9".into()).await.expect("goes on");
        log.close().await.expect("closes");
        assert_eq!(*fatal.lock(), []);
        assert!(!is_poisoned(folder.path()).await, "{error}");
    }
}

#[tokio::test]
async fn a_mark_of_an_earlier_boot_does_not_hold_because_the_boot_cannot_be_told() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    testing::directory(&disk.host(), folder.path()).await;
    let lock = folder.path().join("LOCK");
    let held = std::fs::read_to_string(&lock).expect("reads");
    std::fs::write(&lock, format!("{held}poisoned a boot of the past\n")).expect("writes");
    disk.refuse_to_read_system_files(Some(Errno::MFILE));
    let host = disk.host();
    let open = || DataDirectory::open(&host, folder.path(), testing::holder());
    assert_eq!(open().await.err().map(|error| error.code), Some(ErrorCode::Io));
    disk.refuse_to_read_system_files(None);
    let directory = open().await.expect("opens");
    assert!(directory.identity().is_ok(), "another boot is known, so the mark holds no more");
}

#[tokio::test]
async fn a_sync_that_fails_while_a_log_is_opened_is_not_believed_the_next_time() {
    for of_folder in [false, true] {
        let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
        let (log, _) =
            open_log(disk.host(), folder.path(), LogOptions::default()).await.expect("opens");
        append(&log, 0..3).await.expect("appends");
        log.close().await.expect("closes");
        drop(log);
        let directory = testing::directory(&disk.host(), folder.path()).await;
        let fail = |fail| match of_folder {
            true => disk.fail_folder_syncs(fail),
            false => disk.fail_syncs(fail),
        };
        fail(true);
        let fatal = testing::never_fatal();
        let error = Log::open(&directory, LogOptions::default(), fatal, None).await;
        assert_eq!(error.err().expect("failed").code, ErrorCode::Io);
        fail(false);
        drop(directory);
        let marked = DataDirectory::open(&disk.host(), folder.path(), testing::holder()).await;
        let marked = marked.expect("opens");
        assert_eq!(marked.identity().expect_err("marked").code, ErrorCode::Corrupted);
    }
}
