//! Whatever bytes come from a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::identity::Identity;
use super::lock::LockContent;
use super::neighbours::Neighbour;
use super::record::{self, Frame};
use super::testing::{append, directory, entry, holder, never_fatal, unsynced_host};
use super::{DataDirectory, Log, LogOptions, Snapshots};
use crate::error::{Error, ErrorCode};
use crate::protocol::fuzzing::{Changes, fuzz, lines};

fn payloads() -> Vec<Vec<u8>> {
    let id = "3d9f6a57-78f1-4426-afd0-49a028534f06";
    lines([
        format!(
            r#"{{"format":1,"cluster":"{id}","lineage":"{id}","replica":2,"incarnation":3,"opens":4}}"#
        ),
        r#"[{"replica":2,"incarnation":1,"location":{"boot":"b","machine":"m","path":"/p","lock":{"device":1,"inode":2},"opens":3}}]"#.to_string(),
        r#"{"pid":1,"started_at":"2026-11-23T20:34:35.863Z","address":"127.0.0.1:1","server":1}"#.to_string(),
        r#"{"some":"payload"}"#.to_string(),
    ])
}

#[test]
fn fuzz_records() {
    let corpus: Vec<_> = payloads().iter().map(|line| record::encode(line).to_vec()).collect();
    fuzz("records", &corpus, |bytes| {
        // There is one way to write a record, so what is taken for one is it.
        if let Ok(payload) = record::decode(bytes) {
            assert!(!payload.contains(&b'\n') && !payload.is_empty());
            assert_eq!(record::encode(payload).strip_suffix(b"\n"), Some(bytes));
        }
        if let Ok(Frame::Whole { payload, length }) = record::frame(bytes) {
            assert_eq!(record::encode(&bytes[payload]), &bytes[..length]);
        }
    });
}

/// Changed payloads under checksums that hold: what a defect may have written.
#[test]
fn fuzz_what_is_in_records() {
    fuzz("payloads", &payloads(), |payload| {
        if let Ok(identity) = Identity::decode(Path::new("identity.json"), payload) {
            let line = identity.encode();
            let again = record::decode(line.strip_suffix(b"\n").expect("a line")).expect("whole");
            assert_eq!(Identity::decode(Path::new("f"), again).as_ref(), Ok(&identity));
        }
        if let Ok(known) = serde_json::from_slice::<Vec<Neighbour>>(payload) {
            let again = serde_json::to_vec(&known).expect("plain data");
            assert_eq!(serde_json::from_slice::<Vec<Neighbour>>(&again).expect("own form"), known);
        }
        let text = [payload, b"\npoisoned boot\n"].concat();
        let lock = LockContent::parse(&text);
        assert!(lock.poisoned.is_some(), "a mark is never overlooked");
    });
}

const ENTRIES: u64 = 12;
const VOTE: &[u8] = br#"{"term":7}"#;
const META: &[u8] = br#"{"snapshot":9}"#;

fn options() -> LogOptions {
    LogOptions { segment_max_bytes: 150, recent_max_bytes: 0 }
}

/// All files under a folder, by their names in it.
fn files_in(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a name").path();
        match path.is_dir() {
            true => files_in(root, &path, found),
            false => {
                let name = path.strip_prefix(root).expect("below it").to_path_buf();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
}

/// A data directory with everything in it that a replica writes.
async fn written_directory() -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = directory(&unsynced_host(), folder.path()).await;
    let log = Log::open(&directory, options(), never_fatal(), None).await.expect("opens").0;
    append(&log, 0..ENTRIES).await.expect("written");
    log.write_vote(Bytes::from_static(VOTE)).await.expect("written");
    log.note_committed(0, Bytes::from_static(VOTE));
    log.close().await.expect("closes");
    let snapshots = Snapshots::open(&directory).await.expect("opens");
    let mut writer = snapshots.begin(Bytes::from_static(META), 9).await.expect("begins");
    for index in 0..3 {
        writer.line(&entry(index)).await.expect("written");
    }
    writer.finish().await.expect("finished");
    drop((snapshots, directory));
    let mut files = BTreeMap::new();
    files_in(folder.path(), folder.path(), &mut files);
    files
}

/// Opens a directory and reads everything in it. It may refuse; it never shows
/// what was not written. A record in another's place is one all the same, and is
/// refused by whoever reads its meaning.
async fn read_everything(path: &Path, written: &BTreeSet<Bytes>) -> Result<(), Error> {
    let host = unsynced_host();
    let directory = DataDirectory::open(&host, path, holder()).await?;
    directory.identity()?;
    let (log, _) = Log::open(&directory, options(), never_fatal(), None).await?;
    let kept = log.read_vote().into_iter().chain(log.read_committed());
    assert!(kept.into_iter().all(|payload| written.contains(&payload)));
    let entries = log.read(log.first(), log.next(), usize::MAX).await?;
    assert!(entries.iter().all(|payload| written.contains(payload)));
    log.close().await?;
    let snapshots = Snapshots::open(&directory).await?;
    if let Some(mut snapshot) = snapshots.latest().await? {
        assert!(written.contains(snapshot.meta()));
        while let Some(line) = snapshot.next().await? {
            assert!(written.contains(&line));
        }
    }
    Ok(())
}

/// Whole files of a directory, each in turn, changed as no single bit would be.
#[test]
fn fuzz_data_directories() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let files = runtime.block_on(written_directory());
    for name in ["identity.json", "vote.json", "committed.json", "LOCK", "log", "snapshot"] {
        assert!(files.keys().any(|file| file.starts_with(name)), "no {name} in {files:?}");
    }
    let corpus: Vec<Vec<u8>> = files.values().cloned().collect();
    let all_lines = corpus.iter().flat_map(|content| content.split(|byte| *byte == b'\n'));
    let written: BTreeSet<Bytes> = all_lines
        .filter_map(|line| record::decode(line).ok())
        .map(Bytes::copy_from_slice)
        .collect();
    let mut places = Changes::new(5);
    let (mut opened, mut refused) = (0, 0);
    fuzz("data directories", &corpus, |bytes| {
        let folder = tempfile::tempdir().expect("a folder");
        let changed = files.keys().nth(places.below(files.len())).expect("one of them");
        for (name, content) in &files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let content = if name == changed { bytes } else { &content[..] };
            std::fs::write(path, content).expect("written");
        }
        match runtime.block_on(read_everything(folder.path(), &written)) {
            Ok(()) => opened += 1,
            Err(error) => {
                let codes = [ErrorCode::Corrupted, ErrorCode::NewerFormat, ErrorCode::WrongCluster];
                assert!(codes.contains(&error.code), "{error}");
                // That file, or the segment that no longer follows on it.
                let names_a_file = error.message.contains(&*folder.path().to_string_lossy());
                assert!(names_a_file, "{changed:?}: {error}");
                refused += 1;
            }
        }
    });
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
}
