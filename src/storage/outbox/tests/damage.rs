//! What is found in files that are not as they were written.

use rustix::io::Errno;

use super::super::format::{Header, entry_line, whole_line};
use super::*;
use crate::storage::record;
use crate::storage::testing::{FaultyDisk, flip_every_bit, unsynced_host};

/// The bytes of a list with so many entries, and its id.
async fn written(count: u64) -> (Uuid, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (_directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=count)).await.expect("appends").list;
    (list, std::fs::read(&files(folder.path())[0]).expect("reads"))
}

/// A directory with these bytes as a list.
async fn with(list: Uuid, bytes: &[u8]) -> (tempfile::TempDir, DataDirectory, Outbox) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outbox");
    std::fs::create_dir(&path).expect("makes");
    std::fs::write(path.join(format!("{list}.log")), bytes).expect("writes");
    let directory = testing::directory(&unsynced_host(), folder.path()).await;
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    (folder, directory, outbox.expect("opens"))
}

#[tokio::test]
async fn a_torn_end_is_cut_off_at_whichever_byte() {
    let (list, bytes) = written(3).await;
    let header = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for end in 0..=bytes.len() {
        let (folder, _directory, outbox) = with(list, &bytes[..end]).await;
        let count = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((outbox.unusable(), outbox.obstacle()), (Vec::new(), None), "{end}");
        let left = files(folder.path());
        match count {
            // No entry was acknowledged in it.
            0 | 1 => assert!(left.is_empty() && outbox.lists().is_empty(), "{end} {header}"),
            _ => {
                assert_eq!(content(&outbox).await, [(list, entries(1..=count as u64 - 1))]);
                let whole = bytes[..end].iter().rposition(|byte| *byte == b'\n').expect("some") + 1;
                assert_eq!(std::fs::read(&left[0]).expect("reads"), &bytes[..whole]);
            }
        }
        outbox.append(entries(9..=9)).await.expect("nothing is in the way");
    }
}

#[tokio::test]
async fn every_flipped_bit_is_told_and_only_what_stands_before_it_stays_in_use() {
    let (list, bytes) = written(2).await;
    for (bit, flipped) in flip_every_bit(&bytes).enumerate() {
        let (folder, directory, outbox) = with(list, &flipped).await;
        let [unusable] = &outbox.unusable()[..] else { panic!("bit {bit} is not noticed") };
        assert_eq!(unusable.why, Unusable::Damaged, "bit {bit}");
        let line = bytes[..bit / 8].iter().filter(|byte| **byte == b'\n').count();
        let whole = if line == 2 { vec![(list, entries(1..=1))] } else { Vec::new() };
        assert_eq!(content(&outbox).await, whole, "bit {bit}");
        let aside = folder.path().join(format!("outbox/{list}.log.damaged"));
        assert_eq!(unusable.path, aside);
        assert_eq!(std::fs::read(&aside).expect("there"), flipped, "untouched");
        // Some of them are enough for what follows.
        if bit % 50 > 0 {
            continue;
        }
        let error = outbox.append(entries(9..=9)).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains(&*aside.to_string_lossy()), "{error}");
        outbox.close().await.expect("closes");
        let again = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
        let again = again.expect("opens");
        assert_eq!(again.unusable(), outbox.unusable(), "also after the next start");
        assert_eq!(content(&again).await, whole);
        assert_eq!(files(folder.path()).len(), 1 + whole.len());
        std::fs::remove_file(&aside).expect("removes");
        again.append(entries(9..=9)).await.expect("it is out of the way");
        assert_eq!(again.obstacle(), None);
    }
}

#[tokio::test]
async fn an_older_damaged_list_of_the_same_name_is_kept() {
    let (list, mut bytes) = written(2).await;
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    let (folder, directory, outbox) = with(list, &bytes).await;
    outbox.close().await.expect("closes");
    std::fs::write(folder.path().join(format!("outbox/{list}.log")), &bytes[1..]).expect("writes");
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    assert_eq!(outbox.expect("opens").unusable().len(), 2);
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test]
async fn of_a_list_written_anew_what_is_whole_stays_in_use_when_its_sources_are_gone() {
    let list = Uuid::from_u128(77);
    let header = Header { instead_of: vec![Uuid::from_u128(76)], ..header(list) };
    let lines = [header.line(), entry_line(1, b"7"), entry_line(2, b"8"), whole_line(2)];
    for (broken, whole) in [(2, vec!["7"]), (3, vec!["7", "8"])] {
        let mut lines = lines.clone().map(Vec::from);
        lines[broken][30] ^= 1;
        let (_folder, directory, outbox) = with(list, &lines.concat()).await;
        let expected = [(list, whole.into_iter().map(Bytes::from).collect())];
        assert_eq!(content(&outbox).await, expected);
        assert_eq!(outbox.unusable().len(), 1);
        outbox.close().await.expect("closes");
        let again = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
        assert_eq!(content(&again.expect("opens")).await, expected, "also at the next start");
    }
}

#[tokio::test]
async fn what_was_broken_stays_in_use_as_far_as_it_is_whole_also_where_nothing_can_be_written() {
    let (list, mut bytes) = written(2).await;
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let path = folder.path().join("outbox");
    let directory = testing::directory(&disk.host(), folder.path()).await;
    std::fs::create_dir(&path).expect("makes");
    std::fs::write(path.join(format!("{list}.log")), &bytes).expect("writes");
    for room in [0, 100, bytes.len() + 50] {
        disk.set_room(Some(room));
        let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
        let outbox = outbox.expect("opens");
        assert_eq!(content(&outbox).await, [(list, entries(1..=1))]);
        assert_eq!(outbox.unusable().len(), 1);
        outbox.close().await.expect("closes");
        assert_eq!(std::fs::read(path.join(format!("{list}.log"))).expect("there"), bytes);
    }
}

#[tokio::test]
async fn rot_that_a_reader_finds_ends_the_list_and_nothing_is_accepted_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=3)).await.expect("appends").list;
    let path = files(folder.path()).remove(0);
    let mut bytes = std::fs::read(&path).expect("reads");
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).expect("writes");
    let error = outbox.entries(list, 1).next(usize::MAX).await.expect_err("noticed");
    // Whoever met `corrupted` would set the whole directory aside.
    assert_eq!(error.code, ErrorCode::Io, "{error}");
    assert!(error.message.contains("line 4"), "{error}");
    let unusable = outbox.unusable();
    assert_eq!((unusable.len(), unusable[0].why), (1, Unusable::Damaged));
    assert_eq!(unusable[0].path, path);
    let refused = outbox.append(entries(4..=4)).await.expect_err("refused");
    assert_eq!(refused.code, ErrorCode::Unavailable);
    outbox.close().await.expect("closes");

    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    let outbox = outbox.expect("opens");
    assert_eq!(content(&outbox).await, [(list, entries(1..=2))]);
    std::fs::remove_file(&outbox.unusable()[0].path).expect("removes");
    let next = outbox.append(entries(4..=4)).await.expect("it is out of the way");
    assert_ne!(next.list, list);
}

#[tokio::test]
async fn a_list_in_which_rot_was_found_is_forgotten_when_its_file_is_moved_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=1)).await.expect("appends").list;
    let path = files(folder.path()).remove(0);
    let bytes = std::fs::read(&path).expect("reads");
    std::fs::write(&path, vec![0; bytes.len()]).expect("writes");
    outbox.entries(list, 1).next(usize::MAX).await.expect_err("noticed");
    std::fs::rename(&path, folder.path().join("seen")).expect("moves");
    let next = outbox.append(entries(2..=2)).await.expect("it is out of the way");
    assert_eq!(content(&outbox).await, [(next.list, entries(2..=2))]);
    assert_ne!(next.list, list);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_keeps_neither_the_other_lists_nor_the_server_back() {
    let (list, bytes) = written(2).await;
    for error in [Some(Errno::IO), Some(Errno::ACCESS), None] {
        let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
        let mut directory = testing::directory(&disk.host(), folder.path()).await;
        let path = folder.path().join("outbox");
        let other = path.join(format!("{}.log", Uuid::from_u128(9)));
        std::fs::create_dir(&path).expect("makes");
        std::fs::write(path.join(format!("{list}.log")), &bytes).expect("writes");
        match error {
            Some(error) => {
                std::fs::write(&other, &bytes).expect("writes");
                disk.refuse_to_open_file(&other, error);
            }
            None => std::fs::create_dir(&other).expect("makes"),
        }
        for _ in 0..2 {
            let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
            let outbox = outbox.expect("opens");
            assert_eq!(content(&outbox).await, [(list, entries(1..=2))]);
            let [unusable] = &outbox.unusable()[..] else { panic!("it is told") };
            assert_eq!((unusable.why, &unusable.path), (Unusable::Unreadable, &other));
            assert!(unusable.sentence.contains(&*other.to_string_lossy()), "{unusable:?}");
            assert!(outbox.append(entries(9..=9)).await.is_err());
            outbox.close().await.expect("closes");
            drop(outbox);
            // Nor from beginning anew.
            directory.lock.mark_poisoned().await.expect("marks");
            directory.set_aside().await.expect("moves");
            directory.write_identity(identity()).await.expect("begins again");
        }
        std::fs::rename(&other, folder.path().join("away")).expect("moves");
        let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
        outbox.expect("opens").append(entries(9..=9)).await.expect("nothing is in the way");
    }
}

#[tokio::test]
async fn whoever_only_asks_learns_that_a_file_was_moved_away() {
    let (list, bytes) = written(2).await;
    let (folder, _directory, outbox) = with(list, &bytes[1..]).await;
    assert!(outbox.obstacle().is_some());
    std::fs::remove_file(&outbox.unusable()[0].path).expect("removes");
    let gone = async {
        while outbox.obstacle().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("it looks again");
    assert_eq!((files(folder.path()), outbox.unusable()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn what_was_cut_or_removed_at_the_start_is_counted() {
    let (list, bytes) = written(2).await;
    let header = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for (end, cut) in [(bytes.len(), 0), (bytes.len() - 3, 1), (header, 1), (header - 1, 1)] {
        let (_folder, _directory, outbox) = with(list, &bytes[..end]).await;
        assert_eq!(outbox.cut_at_start(), cut, "{end} of {}", bytes.len());
    }
}

fn header(list: Uuid) -> Header {
    Header {
        format: 1,
        cluster: identity().cluster,
        lineage: identity().lineage,
        list,
        replica: ReplicaId(1),
        incarnation: 1,
        order: 1,
        made: Timestamp(5),
        instead_of: Vec::new(),
    }
}

#[tokio::test]
async fn what_a_header_says_decides_what_becomes_of_a_list() {
    use Unusable::*;
    let list = Uuid::from_u128(77);
    let line = entry_line(1, b"1");
    let newer = record::encode(br#"{"format":2,"anything":true}"#);
    let cases: [(Bytes, Option<Unusable>); 5] = [
        (header(list).line(), None),
        (Header { cluster: Uuid::nil(), ..header(list) }.line(), Some(OfAnotherCluster)),
        (Header { list: Uuid::nil(), ..header(list) }.line(), Some(Damaged)),
        (newer, Some(NewerFormat)),
        (record::encode(b"{}"), Some(Damaged)),
    ];
    for (header, why) in cases {
        let bytes = [&header[..], &line].concat();
        let (folder, _directory, outbox) = with(list, &bytes).await;
        let unusable = outbox.unusable();
        assert_eq!(unusable.first().map(|unusable| unusable.why), why, "{header:?}");
        assert_eq!(outbox.lists().len(), usize::from(why.is_none()));
        assert_eq!(std::fs::read(&files(folder.path())[0]).expect("reads"), bytes, "untouched");
        let named = why.is_some_and(|why| why != Damaged);
        assert_eq!(
            unusable.iter().any(|it| it.path == folder.path().join(format!("outbox/{list}.log"))),
            named
        );
        assert_eq!(outbox.append(entries(9..=9)).await.is_ok(), why.is_none());
    }
}

#[tokio::test]
async fn records_that_are_whole_and_not_in_their_place_are_damage() {
    let list = Uuid::from_u128(77);
    let line = |n| entry_line(n, b"1");
    let cases: [Vec<Bytes>; 5] = [
        vec![line(2)],
        vec![line(1), line(1)],
        vec![line(1), line(3)],
        vec![line(1), whole_line(1)],
        vec![line(1), record::encode(b"[]")],
    ];
    for lines in cases {
        let bytes = [vec![header(list).line()], lines.clone()].concat().concat();
        let (_folder, _directory, outbox) = with(list, &bytes).await;
        assert_eq!(outbox.unusable().len(), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_list_written_anew_counts_when_it_is_whole_and_what_it_replaces_until_then() {
    let (old, bytes) = written(2).await;
    let list = Uuid::from_u128(77);
    let new = Header { instead_of: vec![old], order: 2, ..header(list) };
    let whole = [new.line(), entry_line(1, b"7"), entry_line(2, b"8"), whole_line(2)].concat();
    for end in 0..=whole.len() + 1 {
        let mut part = whole[..end.min(whole.len())].to_vec();
        let is_whole = part.len() == whole.len();
        if end > whole.len() {
            // Damage in what was whole, while the old list is there.
            part[whole.len() - 5] ^= 1;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("outbox");
        std::fs::create_dir(&path).expect("makes");
        std::fs::write(path.join(format!("{old}.log")), &bytes).expect("writes");
        std::fs::write(path.join(format!("{list}.log")), &part).expect("writes");
        let directory = testing::directory(&unsynced_host(), folder.path()).await;
        let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
        let outbox = outbox.expect("opens");
        let expected = match is_whole && end == whole.len() {
            true => (list, vec![Bytes::from("7"), Bytes::from("8")]),
            false => (old, entries(1..=2)),
        };
        assert_eq!(content(&outbox).await, [expected], "{end} of {}", whole.len());
        assert_eq!((files(folder.path()).len(), outbox.obstacle()), (1, None));
    }
}

#[tokio::test]
async fn other_files_are_left_alone() {
    let (list, bytes) = written(1).await;
    let (folder, directory, outbox) = with(list, &bytes).await;
    outbox.close().await.expect("closes");
    let path = folder.path().join("outbox");
    let upper = format!("{}.log", list.to_string().to_uppercase());
    for name in ["notes.txt", "x.log", &upper] {
        std::fs::write(path.join(name), "mine").expect("writes");
    }
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    assert_eq!(content(&outbox.expect("opens")).await.len(), 1);
    assert_eq!(files(folder.path()).len(), 4);
}
