//! The power is cut at every step of everything that writes, and what was
//! reported durable is there afterwards.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::power_disk::{Left, PowerDisk};
use super::*;
use crate::error::ErrorCode;
use crate::storage::testing::{append_lines, entry, holder, identity};

/// Nothing of it is there at first.
const ROOT: &str = "/var/cluster/replica-1";

/// What is left of the process that is cut off, and then of the one that looks
/// what is there. What that one has seen it may have told others.
const WAYS: [(Left, Left); 3] =
    [(Left::Synced, Left::Synced), (Left::All, Left::Synced), (Left::Unsynced, Left::Synced)];

fn root() -> &'static Path {
    Path::new(ROOT)
}

fn options() -> LogOptions {
    // Two or three entries a file.
    LogOptions { segment_max_bytes: 100, recent_max_bytes: 0 }
}

async fn open_directory(host: &Host) -> Result<DataDirectory> {
    DataDirectory::open(host, root(), holder()).await
}

async fn open_log(directory: &DataDirectory) -> Result<(Log, LogRecovery)> {
    Log::open(directory, options(), Arc::new(|_| {}), None).await
}

/// A directory with a vote and a log of so many entries, closed.
async fn with_entries(count: u64) -> PowerDisk {
    let disk = PowerDisk::new();
    let mut directory = open_directory(&disk.host()).await.expect("opens");
    directory.write_identity(identity()).await.expect("writes");
    let (log, _) = open_log(&directory).await.expect("opens");
    let lines = (0..count).map(|index| record::encode(&entry(index))).collect();
    append_lines(&log, 0, lines).await.expect("durable");
    log.write_vote("7".into()).await.expect("durable");
    log.close().await.expect("closes");
    disk
}

/// Opens directory and log and closes them again.
async fn reopen(disk: &PowerDisk) -> Result<(Range<u64>, Vec<Bytes>, Option<Bytes>, LogRecovery)> {
    let directory = open_directory(&disk.host()).await?;
    let (log, recovery) = open_log(&directory).await?;
    let range = log.first()..log.next();
    let entries = log.read(range.start, range.end, usize::MAX).await?;
    let vote = log.read_vote();
    log.close().await?;
    Ok((range, entries, vote, recovery))
}

#[tokio::test]
async fn a_torn_tail_is_noticed_for_good_at_whichever_step_its_removal_is_cut_off() {
    for (first, second) in WAYS {
        for steps in 0.. {
            let disk = with_entries(5).await;
            let host = disk.host();
            let names = host.disk.list(&root().join("log")).await.expect("lists");
            let last = root().join("log").join(names.last().expect("a segment"));
            let mut file = host.disk.open(&last).await.expect("opens");
            let torn = record::encode(&entry(5));
            file.append(torn.slice(..torn.len() - 3)).await.expect("writes");
            file.sync_data().await.expect("syncs");

            disk.cut_after(steps);
            let recovered = reopen(&disk).await;
            let done = disk.is_on();
            assert_eq!(recovered.is_ok(), done, "{recovered:?}");
            for left in [first, second] {
                disk.restart(left);
                let (range, entries, vote, recovery) = reopen(&disk).await.expect("opens");
                assert_eq!(entries, (0..5).map(entry).collect::<Vec<_>>());
                assert_eq!((range, vote), (0..5, Some("7".into())));
                let dropped = recovery.dropped.map(|tail| tail.index);
                assert_eq!(dropped, Some(5), "cut after {steps} steps, left: {left:?}");
            }
            if done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_notice_that_was_settled_does_not_come_back() {
    for (left, _) in WAYS {
        for steps in 0.. {
            let disk = with_entries(5).await;
            let host = disk.host();
            let last = root().join("log/00000000000000000004.jsonl");
            let size = host.disk.read(&last).await.expect("reads").len() as u64;
            host.disk.open(&last).await.expect("opens").truncate(size - 1).await.expect("cuts");
            let directory = open_directory(&host).await.expect("opens");
            let (log, recovery) = open_log(&directory).await.expect("opens");
            assert!(recovery.dropped.is_some());
            disk.cut_after(steps);
            let settled = log.settle_dropped_tail().await;
            // It may have failed with the power.
            drop((log.close().await, directory));
            let done = disk.is_on();
            assert_eq!(settled.is_ok(), done);
            disk.restart(left);
            let (.., recovery) = reopen(&disk).await.expect("opens");
            assert!(!done || recovery.dropped.is_none(), "after {steps} steps, left: {left:?}");
            if done {
                break;
            }
        }
    }
}

/// What is done to a log, and how it looks then.
#[derive(Clone, Copy, Debug)]
enum Action {
    Append(u64),
    Vote(u64),
    TruncateFrom(u64),
    PurgeThrough(u64),
    Reset(u64),
}

const ACTIONS: [Action; 12] = [
    Action::Append(1),
    Action::Vote(1),
    Action::Append(6),
    Action::TruncateFrom(3),
    Action::Append(5),
    Action::Vote(2),
    Action::PurgeThrough(5),
    Action::TruncateFrom(7),
    Action::Append(4),
    Action::Reset(20),
    Action::Append(3),
    Action::Vote(3),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// The payload of every entry that is there.
    entries: BTreeMap<u64, Bytes>,
    next: u64,
    vote: Option<Bytes>,
}

impl Model {
    /// The version goes into the payloads, so that no entry is taken for one
    /// that was cut off.
    fn after(&self, action: Action, version: usize) -> Model {
        let mut model = self.clone();
        match action {
            Action::Append(count) => {
                for index in self.next..self.next + count {
                    model.entries.insert(index, format!("[{index},{version}]").into());
                }
                model.next += count;
            }
            Action::Vote(vote) => model.vote = Some(vote.to_string().into()),
            Action::TruncateFrom(index) => {
                model.entries.retain(|entry, _| *entry < index);
                model.next = index;
            }
            // Whole files go, so more may be left.
            Action::PurgeThrough(_) => {}
            Action::Reset(next) => {
                model.entries.clear();
                model.next = next;
            }
        }
        model
    }
}

async fn perform(log: &Log, action: Action, after: &Model) -> Result<()> {
    match action {
        Action::Append(count) => {
            let first = after.next - count;
            let lines =
                (first..after.next).map(|index| record::encode(&after.entries[&index])).collect();
            append_lines(log, first, lines).await
        }
        Action::Vote(_) => log.write_vote(after.vote.clone().expect("cast")).await,
        Action::TruncateFrom(index) => log.truncate_from(index).await,
        Action::PurgeThrough(index) => log.purge_through(index).await,
        Action::Reset(next) => log.reset(next).await,
    }
}

/// The log is what it was before the last action or after it, or is on the way: what
/// both have is there, and nothing that neither has.
fn assert_between(
    (before, after): (&Model, &Model),
    (range, entries, vote): (Range<u64>, Vec<Bytes>, Option<Bytes>),
    purged_through: Option<u64>,
    reset: bool,
) {
    let all_there = |index: &u64| purged_through.is_none_or(|purged| *index > purged);
    for (index, payload) in range.clone().zip(&entries) {
        let known = [before, after].iter().any(|model| model.entries.get(&index) == Some(payload));
        assert!(known, "entry {index} is {payload:?}, which nobody appended last");
    }
    for (index, payload) in before.entries.iter().filter(|(index, _)| all_there(index)) {
        if after.entries.get(index) == Some(payload) {
            assert!(range.contains(index), "entry {index} is lost: {range:?}");
        }
    }
    let nexts = [before.next, after.next];
    let least = if reset { 0 } else { nexts[0].min(nexts[1]) };
    assert!((least..=nexts[0].max(nexts[1])).contains(&range.end), "{range:?} {nexts:?}");
    assert!([&before.vote, &after.vote].contains(&&vote), "{vote:?}");
}

/// Does everything until the power goes after so many steps; whether it lasted.
async fn write_and_cut(steps: usize, (first, second): (Left, Left)) -> bool {
    let disk = PowerDisk::new();
    let mut directory = open_directory(&disk.host()).await.expect("opens");
    directory.write_identity(identity()).await.expect("writes");
    let (log, _) = open_log(&directory).await.expect("opens");
    disk.cut_after(steps);
    let (mut before, mut after) = (Model::default(), Model::default());
    let (mut purged_through, mut reset) = (None, false);
    for (action, version) in ACTIONS.into_iter().zip(0..) {
        before = after.clone();
        after = before.after(action, version);
        if let Action::PurgeThrough(index) = action {
            purged_through = Some(index);
        }
        reset = matches!(action, Action::Reset(_));
        if perform(&log, action, &after).await.is_err() {
            break;
        }
        before = after.clone();
    }
    let done = disk.is_on();
    // It may have failed with the power.
    drop((log.close().await, directory));
    disk.restart(first);
    let (range, entries, vote, _) = reopen(&disk).await.expect("no crash damages a log");
    let found = (range.clone(), entries.clone(), vote.clone());
    assert_between((&before, &after), found.clone(), purged_through, reset);

    // What it found counts as much as what it writes when it goes on there.
    disk.restart(second);
    let (again_range, again_entries, again_vote, _) = reopen(&disk).await.expect("opens");
    assert_eq!((again_range, again_entries, again_vote), found);
    let directory = open_directory(&disk.host()).await.expect("opens");
    let (log, _) = open_log(&directory).await.expect("opens");
    let line = record::encode(b"[\"later\"]");
    append_lines(&log, range.end, vec![line]).await.expect("durable");
    drop((log.close().await.expect("closes"), directory));
    disk.restart(Left::Synced);
    let (later_range, mut later_entries, later_vote, _) =
        reopen(&disk).await.expect("no crash damages a log");
    assert_eq!((later_range, later_vote), (range.start..range.end + 1, vote));
    assert_eq!(later_entries.pop().as_deref(), Some(&b"[\"later\"]"[..]));
    assert_eq!(later_entries, entries);
    done
}

#[tokio::test]
async fn no_step_of_writing_a_log_loses_what_was_durable_before_it() {
    for way in WAYS {
        let mut steps = 0;
        while !write_and_cut(steps, way).await {
            steps += 1;
        }
        assert!(steps > 40, "{steps} steps are few");
    }
}

#[tokio::test]
async fn how_far_a_log_is_committed_is_not_forgotten_when_the_next_hint_is_cut_off() {
    for left in [Left::All, Left::Synced, Left::Hole, Left::Unsynced] {
        for steps in 0.. {
            let disk = with_entries(3).await;
            let directory = open_directory(&disk.host()).await.expect("opens");
            let (log, _) = open_log(&directory).await.expect("opens");
            log.write_committed(1, "1".into()).await.expect("durable");
            disk.cut_after(steps);
            log.note_committed(2, "2".into());
            // That writes it. It may fail with the power.
            drop((log.close().await, directory));
            let done = disk.is_on();
            disk.restart(left);
            let directory = open_directory(&disk.host()).await.expect("opens");
            let (log, _) = open_log(&directory).await.expect("opens");
            let hint = log.read_committed().expect("a server that was alone relies on it");
            assert!(["1", "2"].contains(&&*String::from_utf8_lossy(&hint)), "{hint:?}");
            drop((log.close().await.expect("closes"), directory));
            if done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_identity_that_was_written_is_there_in_folders_that_were_not() {
    for (left, then) in WAYS {
        for steps in 0.. {
            let disk = PowerDisk::new();
            disk.cut_after(steps);
            let writing = async {
                let mut directory = open_directory(&disk.host()).await?;
                directory.write_identity(identity()).await?;
                directory.count_open(None).await
            };
            let counted = writing.await;
            let done = disk.is_on();
            disk.restart(left);
            let directory = open_directory(&disk.host()).await.expect("opens");
            let found = directory.identity().expect("old or new, and whole").cloned();
            let opens = found.as_ref().map(|identity| identity.opens);
            match counted {
                Ok(counted) => assert_eq!(found, Some(counted), "after {steps} steps, {left:?}"),
                Err(_) => assert!(opens.is_none_or(|opens| opens <= 1)),
            }
            drop(directory);
            disk.restart(then);
            let directory = open_directory(&disk.host()).await.expect("opens");
            assert_eq!(directory.identity().map(Option::<&Identity>::cloned), Ok(found));
            if done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_there_whole_once_it_is_finished_and_the_one_before_until_then() {
    for (left, then) in WAYS {
        for steps in 0.. {
            let disk = with_entries(3).await;
            let directory = open_directory(&disk.host()).await.expect("opens");
            let snapshots = Snapshots::open(&directory).await.expect("opens");
            let write = async |index: u64| {
                let mut writer = snapshots.begin(index.to_string().into(), index).await?;
                for line in 0..3 {
                    writer.line(format!("[{line}]").as_bytes()).await?;
                }
                writer.finish().await
            };
            write(1).await.expect("finishes");
            disk.cut_after(steps);
            let finished = write(2).await;
            let done = disk.is_on();
            drop((snapshots, directory));
            disk.restart(left);
            let directory = open_directory(&disk.host()).await.expect("opens");
            let snapshots = Snapshots::open(&directory).await.expect("opens");
            let mut latest = snapshots.latest().await.expect("whole").expect("one of them");
            let mut lines = 0;
            while latest.next().await.expect("whole").is_some() {
                lines += 1;
            }
            assert_eq!(lines, 3);
            assert!(latest.last_index() == 2 || finished.is_err(), "{steps} steps, {left:?}");
            let names = disk.host().disk.list(&root().join("snapshot")).await.expect("lists");
            assert!(names.iter().all(|name| name.ends_with(".jsonl")), "{names:?}");
            let index = latest.last_index();
            drop((latest, snapshots, directory));
            disk.restart(then);
            let directory = open_directory(&disk.host()).await.expect("opens");
            let snapshots = Snapshots::open(&directory).await.expect("opens");
            let latest = snapshots.latest().await.expect("whole").expect("one of them");
            assert_eq!(latest.last_index(), index, "what was seen stays");
            if done {
                break;
            }
        }
    }
}

/// Every file below a folder.
async fn files(disk: &PowerDisk, folder: PathBuf) -> Vec<PathBuf> {
    let (host, mut folders, mut found) = (disk.host(), vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        match host.disk.list(&folder).await {
            Ok(names) => folders.extend(names.iter().map(|name| folder.join(name))),
            Err(_) => found.push(folder),
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn what_is_set_aside_is_never_half_believed_and_never_lost() {
    for (left, _) in WAYS {
        for steps in 0.. {
            let disk = with_entries(5).await;
            let content = files(&disk, root().into()).await.len() - 1;
            let mut directory = open_directory(&disk.host()).await.expect("opens");
            disk.cut_after(steps);
            let aside = directory.set_aside().await;
            let done = disk.is_on();
            assert_eq!(aside.is_ok(), done);
            drop(directory);
            disk.restart(left);
            let mut directory = open_directory(&disk.host()).await.expect("opens");
            match directory.identity().map(|identity| identity.is_some()) {
                // A voter that has its votes.
                Ok(true) => {
                    assert!(!done);
                    let (log, _) = open_log(&directory).await.expect("opens");
                    assert_eq!((log.next(), log.read_vote()), (5, Some("7".into())));
                    log.close().await.expect("closes");
                }
                Ok(false) => {}
                Err(error) => {
                    assert!(!done && error.code == ErrorCode::Corrupted, "{error}");
                    directory.set_aside().await.expect("in turn");
                    assert_eq!(directory.identity(), Ok(None));
                }
            }
            let kept = files(&disk, root().into()).await;
            let kept = kept.iter().filter(|file| !file.ends_with("LOCK")).count();
            assert!(kept >= content, "{kept} of {content} files, {steps} steps, {left:?}");
            if done {
                break;
            }
        }
    }
}
