//! The log over a real disk.

mod crash;
mod faults;
mod preverified;

use std::time::Duration;

use super::*;
use crate::host::Host;
use crate::storage::testing::{append, assert_entries, entry, holder, open_log};

fn small_segments() -> LogOptions {
    LogOptions { segment_max_bytes: 150, recent_max_bytes: 0 }
}

fn segments(path: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(path.join("log")).expect("lists");
    let mut names: Vec<String> =
        names.map(|e| e.expect("reads").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

async fn is_locked(path: &std::path::Path) -> bool {
    match DataDirectory::open(&Host::real(), path, holder()).await {
        Err(error) if error.code == ErrorCode::DirectoryInUse => true,
        opened => {
            drop(opened.expect("opens"));
            false
        }
    }
}

#[tokio::test]
async fn entries_votes_and_commit_hints_are_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || open_log(Host::real(), folder.path(), LogOptions::default());
    let (log, recovery) = open().await.expect("opens");
    assert_eq!(recovery, LogRecovery::default());
    assert_eq!(
        (log.first(), log.next(), log.read_vote(), log.read_committed()),
        (0, 0, None, None)
    );
    append(&log, 0..20).await.expect("durable");
    log.write_vote(Bytes::from("{\"term\":1}")).await.expect("durable");
    log.note_committed(0, Bytes::from("17"));
    assert_entries(&log, 0..20).await;
    log.close().await.expect("closes");
    log.close().await.expect("closes again");

    let (log, recovery) = open().await.expect("opens");
    assert_eq!(recovery, LogRecovery::default());
    assert_entries(&log, 0..20).await;
    assert_eq!(log.read_vote(), Some(Bytes::from("{\"term\":1}")));
    assert_eq!(log.read_committed(), Some(Bytes::from("17")));
    append(&log, 20..21).await.expect("durable");
    assert_entries(&log, 0..21).await;
}

#[tokio::test]
async fn a_log_may_be_closed_by_two_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _) =
        open_log(Host::real(), folder.path(), LogOptions::default()).await.expect("opens");
    let twice = futures::future::join(log.perform(Action::Close), log.close());
    assert_eq!(twice.await, (Ok(()), Ok(())));
    let refused = log.write_vote(Bytes::from("1")).await.expect_err("closed");
    assert_eq!(refused, log.closed());
    assert_eq!(log.perform(Action::Close).await, Err(log.closed()));
}

#[tokio::test]
async fn a_closed_log_refuses_and_unlocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || open_log(Host::real(), folder.path(), LogOptions::default());
    let (log, _) = open().await.expect("opens");
    assert!(is_locked(folder.path()).await);
    log.close().await.expect("closes");
    assert_eq!(append(&log, 0..1).await.expect_err("closed").code, ErrorCode::Unavailable);
    assert_eq!(log.write_vote("1".into()).await.expect_err("closed").code, ErrorCode::Unavailable);
    let (again, _) = open().await.expect("unlocked although a handle is left");
    assert_eq!(again.next(), 0, "what was refused was not written");
}

#[tokio::test]
async fn dropping_every_handle_finishes_what_is_queued() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || open_log(Host::real(), folder.path(), LogOptions::default());
    let (log, _) = open().await.expect("opens");
    let (send, receive) = oneshot::channel();
    let lines = vec![encode(&entry(0)), encode(&entry(1))];
    log.append(0, lines, Box::new(move |result| send.send(result).expect("the test waits")));
    log.note_committed(0, "1".into());
    drop(log);
    receive.await.expect("done is called").expect("durable");
    let unlocked = async {
        while is_locked(folder.path()).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), unlocked).await.expect("the workers end");
    let (log, _) = open().await.expect("opens");
    assert_entries(&log, 0..2).await;
    assert_eq!(log.read_committed(), Some(Bytes::from("1")));
}

#[tokio::test]
async fn segments_roll_over_and_are_read_across() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _) = open_log(Host::real(), folder.path(), small_segments()).await.expect("opens");
    append(&log, 0..30).await.expect("one batch");
    append(&log, 30..31).await.expect("another");
    assert!(segments(folder.path()).len() > 10, "{:?}", segments(folder.path()));
    assert_entries(&log, 0..31).await;
    assert_eq!(log.read(7, 20, 0).await.expect("at least one"), [entry(7)]);
    let two = encode(&entry(7)).len() + encode(&entry(8)).len();
    assert_eq!(log.read(7, 20, two).await.expect("fits"), [entry(7), entry(8)]);
    assert_eq!(log.read(7, 20, two - 1).await.expect("does not fit"), [entry(7)]);
    assert_eq!(log.read(7, 7, 0).await.expect("nothing asked"), [] as [Bytes; 0]);
    assert_eq!(log.read(7, 32, 1).await.expect_err("beyond").code, ErrorCode::Internal);
    log.close().await.expect("closes");
    let (log, _) = open_log(Host::real(), folder.path(), small_segments()).await.expect("opens");
    assert_entries(&log, 0..31).await;
}

#[tokio::test]
async fn a_conflict_removes_the_end_and_the_log_goes_on_from_there() {
    for recent_max_bytes in [0, usize::MAX] {
        for index in 0..=12 {
            let folder = tempfile::tempdir().expect("a folder");
            let options = LogOptions { recent_max_bytes, ..small_segments() };
            let open = || open_log(Host::real(), folder.path(), options.clone());
            let (log, _) = open().await.expect("opens");
            append(&log, 0..12).await.expect("durable");
            log.truncate_from(index).await.expect("cuts");
            assert_entries(&log, 0..index).await;
            append(&log, index..14).await.expect("durable");
            assert_entries(&log, 0..14).await;
            log.close().await.expect("closes");
            let (log, _) = open().await.expect("opens");
            assert_entries(&log, 0..14).await;
            assert!(log.truncate_from(15).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_purge_removes_whole_segments_and_a_reset_all_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || open_log(Host::real(), folder.path(), small_segments());
    let (log, _) = open().await.expect("opens");
    append(&log, 0..20).await.expect("durable");
    let before = segments(folder.path());
    log.purge_through(9).await.expect("purges");
    let first = log.first();
    assert!((5..=10).contains(&first), "{first}");
    assert!(segments(folder.path()).len() < before.len());
    assert_entries(&log, first..20).await;
    assert!(log.read(0, 1, 1).await.is_err());
    assert!(log.purge_through(20).await.is_err(), "that is for reset");
    log.purge_through(19).await.expect("purges");
    assert_eq!(segments(folder.path()).len(), 1, "the one written to stays");
    let first = log.first();
    log.close().await.expect("closes");

    let (log, _) = open().await.expect("opens");
    assert_entries(&log, first..20).await;
    log.reset(500).await.expect("resets");
    assert_eq!(segments(folder.path()), ["00000000000000000500.jsonl"]);
    assert_entries(&log, 500..500).await;
    append(&log, 500..503).await.expect("durable");
    log.close().await.expect("closes");
    let (log, _) = open().await.expect("opens");
    assert_entries(&log, 500..503).await;
}

#[tokio::test]
async fn an_append_out_of_turn_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _) = open_log(Host::real(), folder.path(), small_segments()).await.expect("opens");
    append(&log, 0..2).await.expect("durable");
    for wrong in [1, 3] {
        let error = append(&log, wrong..wrong + 1).await.expect_err("out of turn");
        assert_eq!(error.code, ErrorCode::Internal);
    }
    append(&log, 2..3).await.expect("durable");
    assert_entries(&log, 0..3).await;
}

#[tokio::test]
async fn the_commit_hint_reaches_the_disk_by_itself_and_not_for_every_note() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _) = open_log(Host::real(), folder.path(), small_segments()).await.expect("opens");
    let path = folder.path().join("committed.json");
    append(&log, 0..1).await.expect("durable");
    for number in 0..100 {
        log.note_committed(0, number.to_string().into());
    }
    assert!(!path.exists(), "at most once a second");
    let written = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("written in the end");
    let line = std::fs::read(&path).expect("reads");
    assert_eq!(line, encode(&Bytes::from("99")));
}

#[tokio::test]
async fn a_commit_hint_is_not_on_the_disk_before_the_entry_that_it_speaks_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("committed.json");
    let (log, _) = open_log(Host::real(), folder.path(), small_segments()).await.expect("opens");
    append(&log, 0..3).await.expect("durable");
    log.note_committed(3, "3".into());
    log.close().await.expect("closes");
    assert!(
        !path.exists(),
        "a log that ends below its commit hint counts as one that lost its end"
    );
    let (log, _) = open_log(Host::real(), folder.path(), small_segments()).await.expect("opens");
    log.note_committed(3, "3".into());
    append(&log, 3..4).await.expect("durable");
    log.close().await.expect("closes");
    assert_eq!(std::fs::read(&path).expect("reads"), encode(&Bytes::from("3")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_is_right_or_refused_while_entries_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = crate::storage::testing::unsynced_host();
    let (log, _) = open_log(host, folder.path(), small_segments()).await.expect("opens");
    append(&log, 0..40).await.expect("durable");
    let (stop, stopped) = watch::channel(false);
    let reader = {
        let log = log.clone();
        crate::host::spawn(async move {
            let (mut served, mut at) = (0, 0);
            while served == 0 || !*stopped.borrow() {
                let (first, next) = (log.first(), log.next());
                at = if (first..next).contains(&at) { at } else { first };
                match log.read(at, next.min(at + 9), usize::MAX).await {
                    Ok(read) => {
                        assert!(read.into_iter().eq((at..next.min(at + 9)).map(entry)));
                        served += 1;
                    }
                    // Gone since `first` and `next` were looked at.
                    Err(error) => assert_eq!(error.code, ErrorCode::Internal, "{error}"),
                }
                at += 7;
            }
        })
    };
    for round in 0..100 {
        let next = log.next();
        log.truncate_from(next - round % 9).await.expect("cuts");
        append(&log, log.next()..next + 3).await.expect("written");
        log.purge_through(log.next() - 30).await.expect("purges");
    }
    stop.send(true).expect("the reader is there");
    reader.await.expect("nothing wrong was read");
    assert_entries(&log, log.first()..log.next()).await;
}
