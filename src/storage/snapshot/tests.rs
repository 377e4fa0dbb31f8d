use std::fs;
use std::path::Path;

use super::*;
use crate::error::ErrorCode;
use crate::storage::testing::{FaultyDisk, directory, entry, flip_every_bit, holder};

async fn open(path: &Path) -> Snapshots {
    Snapshots::open(&directory(&Host::real(), path).await).await.expect("opens")
}

fn meta(last_index: u64) -> Bytes {
    Bytes::from(format!(r#"{{"last_index":{last_index}}}"#))
}

async fn write(snapshots: &Snapshots, last_index: u64, lines: u64) {
    let mut writer = snapshots.begin(meta(last_index), last_index).await.expect("begins");
    for index in 0..lines {
        writer.line(&entry(index)).await.expect("writes");
    }
    writer.finish().await.expect("finishes");
}

async fn read_all(reader: &mut SnapshotReader) -> Result<Vec<Bytes>> {
    let mut lines = Vec::new();
    while let Some(line) = reader.next().await? {
        lines.push(line);
    }
    Ok(lines)
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.join("snapshot")).expect("lists");
    let mut names: Vec<_> =
        entries.map(|e| e.expect("reads").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn entries(count: u64) -> Vec<Bytes> {
    (0..count).map(entry).collect()
}

#[tokio::test]
async fn a_snapshot_is_read_as_it_was_written_and_replaces_the_older_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path()).await;
    assert!(snapshots.latest().await.expect("reads").is_none());
    // Empty, small, and of many chunks.
    for (last_index, lines) in [(0, 0), (7, 3), (12, 20_000)] {
        write(&snapshots, last_index, lines).await;
        assert_eq!(names(folder.path()), [format!("{last_index:020}.jsonl")]);
        let mut reader = snapshots.latest().await.expect("reads").expect("there");
        assert_eq!((reader.meta(), reader.last_index()), (&meta(last_index), last_index));
        assert_eq!(reader.records(), lines);
        assert_eq!(read_all(&mut reader).await, Ok(entries(lines)));
        assert_eq!(reader.next().await, Ok(None), "the end stays the end");
    }
    drop(snapshots);
    let mut reader = open(folder.path()).await.latest().await.expect("reads").expect("there");
    assert_eq!(read_all(&mut reader).await, Ok(entries(20_000)));
}

#[tokio::test]
async fn a_newer_snapshot_does_not_disturb_who_reads_the_older_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path()).await;
    write(&snapshots, 5, 30_000).await;
    let mut reader = snapshots.latest().await.expect("reads").expect("there");
    assert_eq!(reader.next().await, Ok(Some(entry(0))));
    write(&snapshots, 9, 1).await;
    assert_eq!(names(folder.path()).len(), 1);
    assert_eq!(read_all(&mut reader).await.expect("reads on").len(), 29_999);
    // One that was begun later, and finished first, stays the newest.
    let slow = snapshots.begin(meta(10), 10).await.expect("begins");
    write(&snapshots, 11, 2).await;
    slow.finish().await.expect("finishes");
    assert_eq!(names(folder.path()), [format!("{:020}.jsonl", 11)]);
}

#[tokio::test]
async fn lines_travel_whole_to_another_directory() {
    let (here, there) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (from, to) = (open(here.path()).await, open(there.path()).await);
    write(&from, 40, 5_000).await;
    for max_bytes in [0, 1_000, usize::MAX] {
        let mut reader = from.latest().await.expect("reads").expect("there");
        let mut writer = to.begin(reader.meta().clone(), 40).await.expect("begins");
        let mut chunks = 0;
        while let Some(lines) = reader.next_raw(max_bytes).await.expect("reads") {
            let lines = lines.concat();
            assert!(lines.len() <= max_bytes.max(100), "{} bytes", lines.len());
            writer.raw(&lines).await.expect("whole lines");
            chunks += 1;
        }
        assert_eq!(chunks == 5_000, max_bytes == 0);
        writer.finish().await.expect("finishes");
        let file = |root: &Path| fs::read(root.join(format!("snapshot/{:020}.jsonl", 40)));
        assert!(file(here.path()).expect("reads") == file(there.path()).expect("reads"));
    }
}

#[tokio::test]
async fn received_lines_that_are_broken_or_cut_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path()).await;
    let line = crate::storage::record::encode(&entry(1));
    let mut writer = snapshots.begin(meta(1), 1).await.expect("begins");
    for broken in flip_every_bit(&line).chain((1..line.len()).map(|n| line[..n].to_vec())) {
        let error = writer.raw(&broken).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Corrupted);
    }
    writer.abandon().await.expect("abandons");
    assert_eq!(names(folder.path()), [] as [String; 0]);
    assert!(snapshots.latest().await.expect("reads").is_none());
}

#[tokio::test]
async fn what_was_never_finished_is_never_the_latest_and_goes_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path()).await;
    write(&snapshots, 3, 2).await;
    let mut writer = snapshots.begin(meta(8), 8).await.expect("begins");
    writer.line(&entry(1)).await.expect("writes");
    drop(writer);
    assert_eq!(names(folder.path()).len(), 2);
    let latest = snapshots.latest().await.expect("reads").expect("there");
    assert_eq!(latest.last_index(), 3);
    drop((latest, snapshots));
    open(folder.path()).await;
    assert_eq!(names(folder.path()), [format!("{:020}.jsonl", 3)]);
}

/// Opens and reads everything.
async fn read_latest(snapshots: &Snapshots) -> Result<Vec<Bytes>> {
    match snapshots.latest().await? {
        Some(mut reader) => read_all(&mut reader).await,
        None => panic!("a broken snapshot must not be passed over"),
    }
}

async fn read_latest_raw(snapshots: &Snapshots) -> Result<()> {
    match snapshots.latest().await? {
        Some(mut reader) => {
            while reader.next_raw(100).await?.is_some() {}
            Ok(())
        }
        None => panic!("a broken snapshot must not be passed over"),
    }
}

#[tokio::test]
async fn every_flipped_bit_every_cut_and_every_lost_line_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path()).await;
    write(&snapshots, 3, 2).await;
    let path = folder.path().join(format!("snapshot/{:020}.jsonl", 3));
    let whole = fs::read(&path).expect("reads");
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 4);
    let without = |lost: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != lost);
        kept.flat_map(|(_, line)| line.to_vec()).collect::<Vec<u8>>()
    };
    let mut broken: Vec<Vec<u8>> = flip_every_bit(&whole).collect();
    broken.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
    broken.extend((0..lines.len()).map(without));
    // Whole lines in the wrong order: only the totals tell.
    let swap = |a: usize, b: usize| {
        let mut lines = lines.clone();
        lines.swap(a, b);
        lines.concat()
    };
    broken.push(swap(1, 2));
    for content in broken {
        fs::write(&path, &content).expect("writes");
        let error = read_latest(&snapshots).await.expect_err("noticed");
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains("00003.jsonl"), "{error}");
        assert_eq!(read_latest_raw(&snapshots).await.expect_err("noticed").code, error.code);
    }
    fs::write(&path, &whole).expect("writes");
    assert_eq!(read_latest(&snapshots).await, Ok(entries(2)));
}

#[tokio::test]
async fn a_full_disk_leaves_the_older_snapshot() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let directory = directory(&disk.host(), folder.path()).await;
    let snapshots = Snapshots::open(&directory).await.expect("opens");
    write(&snapshots, 3, 2).await;
    disk.set_room(Some(10));
    let writer = snapshots.begin(meta(4), 4).await.expect("begins");
    assert_eq!(writer.finish().await.expect_err("full").code, ErrorCode::DiskFull);
    disk.set_room(None);
    disk.fail_syncs(true);
    let writer = snapshots.begin(meta(5), 5).await.expect("begins");
    assert_eq!(writer.finish().await.expect_err("not durable").code, ErrorCode::Io);
    assert_eq!(snapshots.latest().await.expect("reads").expect("there").last_index(), 3);
}

#[tokio::test]
async fn a_sync_that_fails_while_snapshots_are_opened_is_not_believed_the_next_time() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().expect("a folder"));
    let data = directory(&disk.host(), folder.path()).await;
    disk.fail_folder_syncs(true);
    let error = Snapshots::open(&data).await.err().expect("failed");
    assert_eq!(error.code, ErrorCode::Io);
    disk.fail_folder_syncs(false);
    drop(data);
    let marked = DataDirectory::open(&disk.host(), folder.path(), holder()).await;
    let marked = marked.expect("opens");
    assert_eq!(marked.identity().expect_err("marked").code, ErrorCode::Corrupted);
}
