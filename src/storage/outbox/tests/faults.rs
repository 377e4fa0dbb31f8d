//! Disks that are full, busy, forbidden or broken.

use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::*;
use crate::storage::testing::FaultyDisk;

/// An outbox on a disk that fails on demand, and how often its fatal handler was called.
async fn open_on(disk: &FaultyDisk, path: &Path) -> (DataDirectory, Outbox, Arc<AtomicUsize>) {
    let directory = testing::directory(&disk.host(), path).await;
    let called = Arc::new(AtomicUsize::new(0));
    let counting = called.clone();
    let fatal: FatalHandler = Arc::new(move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
    });
    let outbox = Outbox::open(&directory, OutboxBounds::default(), fatal).await;
    (directory, outbox.expect("opens"), called)
}

#[tokio::test]
async fn a_full_disk_refuses_an_append_and_leaves_the_file_as_it_was() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (_directory, outbox, fatal) = open_on(&disk, folder.path()).await;
    for room in [0, 10, 300, 450] {
        disk.set_room(Some(room));
        let error = outbox.append(entries(1..=9)).await.expect_err("no room");
        assert_eq!(error.code, ErrorCode::DiskFull);
        assert!(error.message.ends_with("nothing was done"), "{error}");
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new(), "nothing is held");
        assert_eq!(outbox.size(), OutboxSize::default());
    }
    disk.set_room(None);
    let list = outbox.append(entries(1..=2)).await.expect("there is room").list;
    let before = std::fs::read(&files(folder.path())[0]).expect("reads");
    for room in [0, 1, 90, 200] {
        disk.set_room(Some(room));
        outbox.append(entries(3..=9)).await.expect_err("no room");
        assert_eq!(std::fs::read(&files(folder.path())[0]).expect("reads"), before);
    }
    disk.set_room(None);
    let next = outbox.append(entries(3..=4)).await.expect("there is room");
    assert_eq!(next, AppendedEntries { list, first: 3 });
    assert_eq!(content(&outbox).await, [(list, entries(1..=4))]);
    assert_eq!(fatal.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn half_of_a_refused_append_that_could_not_be_cut_off_is_cut_off_before_the_next() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (directory, outbox, fatal) = open_on(&disk, folder.path()).await;
    let list = outbox.append(entries(1..=2)).await.expect("appends").list;
    for _ in 0..2 {
        disk.write_halves(Some(Errno::NOSPC));
        outbox.append(entries(5..=9)).await.expect_err("no room");
        outbox.append(entries(5..=9)).await.expect_err("not even for cutting");
        disk.write_halves(None);
    }
    outbox.append(entries(3..=3)).await.expect("there is room");
    assert_eq!(content(&outbox).await, [(list, entries(1..=3))]);
    outbox.close().await.expect("closes");
    drop(directory);
    let (_directory, outbox) = open_at(folder.path()).await;
    assert_eq!(content(&outbox).await, [(list, entries(1..=3))]);
    assert_eq!(fatal.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_append_that_failed_and_could_not_be_cut_off_is_not_said_to_be_undone() {
    for ends in [true, false] {
        let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
        let (directory, outbox, fatal) = open_on(&disk, folder.path()).await;
        let list = outbox.append(entries(1..=2)).await.expect("appends").list;
        disk.write_halves(Some(Errno::NOSPC));
        let error = outbox.append(entries(3..=9)).await.expect_err("no room");
        assert_eq!(error.code, ErrorCode::OutcomeUnknown, "{error}");
        assert!(!error.message.contains("nothing was done"), "{error}");
        // Of this one nothing was written.
        let error = outbox.append(entries(3..=3)).await.expect_err("first the cut");
        assert_eq!(error.code, ErrorCode::DiskFull, "{error}");
        outbox.settle(list, 2).await.expect_err("what is behind it must not come back alone");
        let same = |entry: &[u8]| Ok(Bytes::copy_from_slice(entry));
        outbox.relist(vec![list], Box::new(same)).await.expect_err("the same");
        assert_eq!(content(&outbox).await, [(list, entries(1..=2))]);
        disk.write_halves(None);
        if ends {
            // The worker cuts it at its end at the latest.
            outbox.close().await.expect("closes");
            drop((directory, outbox));
            let (_directory, outbox, _) = open_on(&disk, folder.path()).await;
            assert_eq!(content(&outbox).await, [(list, entries(1..=2))]);
            outbox.settle(list, 2).await.expect("removes it");
        } else {
            outbox.settle(list, 2).await.expect("removes it");
        }
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
        assert_eq!(fatal.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_sync_that_fails_while_an_outbox_is_opened_is_not_believed_the_next_time() {
    for of_folder in [false, true] {
        let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
        let (directory, outbox, _) = open_on(&disk, folder.path()).await;
        outbox.append(entries(1..=2)).await.expect("appends");
        outbox.close().await.expect("closes");
        let fail = |fail| match of_folder {
            true => disk.fail_folder_syncs(fail),
            false => disk.fail_syncs(fail),
        };
        fail(true);
        let error = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
        assert_eq!(error.err().expect("failed").code, ErrorCode::Io);
        fail(false);
        drop((directory, outbox));
        let marked = DataDirectory::open(&disk.host(), folder.path(), holder()).await;
        let marked = marked.expect("opens");
        assert_eq!(marked.identity().expect_err("marked").code, ErrorCode::Corrupted);
    }
}

#[tokio::test]
async fn a_failed_sync_of_the_folder_ends_it_as_well() {
    for makes in [true, false] {
        let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
        let (directory, outbox, fatal) = open_on(&disk, folder.path()).await;
        let error = match makes {
            true => {
                disk.fail_folder_syncs(true);
                outbox.append(entries(1..=1)).await.expect_err("not made")
            }
            false => {
                let list = outbox.append(entries(1..=1)).await.expect("appends").list;
                disk.fail_folder_syncs(true);
                outbox.settle(list, 1).await.expect_err("not removed")
            }
        };
        disk.fail_folder_syncs(false);
        assert_eq!((error.code, outbox.obstacle()), (ErrorCode::Io, Some(error.clone())));
        assert_eq!(outbox.append(entries(1..=1)).await, Err(error.clone()));
        assert_eq!(outbox.settle(Uuid::nil(), 1).await, Err(error.clone()), "as for an append");
        assert_eq!(outbox.close().await, Err(error));
        assert_eq!(fatal.load(Ordering::SeqCst), 1);
        drop((directory, outbox));
        let marked = DataDirectory::open(&disk.host(), folder.path(), holder()).await;
        assert!(marked.expect("opens").identity().is_err());
    }
}

#[tokio::test]
async fn a_settled_list_whose_removal_was_not_durable_does_not_keep_others_from_being_relisted() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (directory, outbox, _) = open_on(&disk, folder.path()).await;
    let first = outbox.append(entries(1..=1)).await.expect("appends").list;
    outbox.close().await.expect("closes");
    drop((directory, outbox));
    let (_directory, outbox, _) = open_on(&disk, folder.path()).await;
    let second = outbox.append(entries(2..=2)).await.expect("appends").list;
    disk.refuse_to_open(Some(Errno::MFILE));
    outbox.settle(first, 1).await.expect_err("the folder is not synced");
    disk.refuse_to_open(None);
    let same = |entry: &[u8]| Ok(Bytes::copy_from_slice(entry));
    let new = outbox.relist(vec![first, second], Box::new(same)).await.expect("written anew");
    assert_eq!(content(&outbox).await, [(new.expect("something was left"), entries(2..=2))]);
}

#[tokio::test]
async fn no_descriptor_and_no_permission_refuse_what_needs_them_and_pass() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (_directory, outbox, fatal) = open_on(&disk, folder.path()).await;
    for error in [Errno::MFILE, Errno::ACCESS] {
        disk.refuse_to_open(Some(error));
        let refused = outbox.append(entries(1..=1)).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
        disk.refuse_to_open(None);
        let list = outbox.append(entries(1..=1)).await.expect("appends").list;
        disk.refuse_to_open(Some(error));
        // The folder cannot be synced, so its removal is not durable.
        outbox.settle(list, 1).await.expect_err("refused");
        assert_eq!(outbox.size().entries, 1, "it is held on");
        disk.refuse_to_open(None);
        outbox.settle(list, 1).await.expect("removes it");
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    }
    assert_eq!(fatal.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn lists_are_not_written_anew_without_room_and_stay_as_they_were() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (_directory, outbox, _) = open_on(&disk, folder.path()).await;
    let list = outbox.append(entries(1..=5)).await.expect("appends").list;
    for room in [0, 100, 500, 700] {
        disk.set_room(Some(room));
        let same = |entry: &[u8]| Ok(Bytes::copy_from_slice(entry));
        let error = outbox.relist(vec![list], Box::new(same)).await.expect_err("no room");
        assert_eq!(error.code, ErrorCode::DiskFull);
        assert_eq!(content(&outbox).await, [(list, entries(1..=5))]);
        assert_eq!(files(folder.path()).len(), 1);
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_and_the_directory_is_marked() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (mut directory, outbox, fatal) = open_on(&disk, folder.path()).await;
    let list = outbox.append(entries(1..=2)).await.expect("appends").list;
    disk.fail_syncs(true);
    let error = outbox.append(entries(3..=3)).await.expect_err("failed");
    assert_eq!(error.code, ErrorCode::Io);
    disk.fail_syncs(false);
    assert_eq!(outbox.append(entries(3..=3)).await.expect_err("for good"), error);
    assert_eq!(outbox.obstacle(), Some(error.clone()));
    let same = |entry: &[u8]| Ok(Bytes::copy_from_slice(entry));
    assert!(outbox.relist(vec![list], Box::new(same)).await.is_err());
    assert!(outbox.settle(list, 2).await.is_err());
    assert_eq!(outbox.close().await, Err(error));
    assert_eq!(fatal.load(Ordering::SeqCst), 1);
    drop((directory, outbox));

    // The next process does not believe the directory, and yet the outbox is kept, in
    // files whose every page is written anew.
    let inode = std::fs::metadata(&files(folder.path())[0]).expect("there").ino();
    directory = DataDirectory::open(&disk.host(), folder.path(), holder()).await.expect("opens");
    assert_eq!(directory.identity().expect_err("marked").code, ErrorCode::Corrupted);
    directory.set_aside().await.expect("moves");
    directory.write_identity(identity()).await.expect("begins again");
    assert_ne!(std::fs::metadata(&files(folder.path())[0]).expect("there").ino(), inode);
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    let outbox = outbox.expect("opens");
    let [(found, kept)] = &content(&outbox).await[..] else { panic!("one list") };
    assert_eq!((*found, &kept[..2]), (list, &entries(1..=2)[..]));
    let next = outbox.append(entries(4..=4)).await.expect("appends");
    assert_ne!(next.list, list, "what was not acknowledged has a number there");
    assert_eq!(files(folder.path()).len(), 2, "nothing is left of the copying");
}

#[tokio::test]
async fn an_io_error_of_a_write_ends_it_as_well() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (_directory, outbox, fatal) = open_on(&disk, folder.path()).await;
    disk.fail_writes(true);
    assert_eq!(outbox.append(entries(1..=1)).await.expect_err("failed").code, ErrorCode::Io);
    disk.fail_writes(false);
    assert!(outbox.append(entries(1..=1)).await.is_err());
    assert!(outbox.close().await.is_err());
    assert_eq!(fatal.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn appends_that_wait_share_the_next_sync_and_are_numbered_in_their_order() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), FaultyDisk::new());
    let (_directory, outbox, _) = open_on(&disk, folder.path()).await;
    let list = outbox.append(entries(1..=1)).await.expect("appends").list;
    let before = disk.syncs();
    disk.close_gate();
    let all: Vec<_> = (0..20).map(|k| outbox.append(entries(2 + 2 * k..=3 + 2 * k))).collect();
    let open_gate = async {
        while disk.syncs() == before {
            tokio::task::yield_now().await;
        }
        disk.open_gate();
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(all), open_gate);
    for (answer, k) in answers.into_iter().zip(0..) {
        assert_eq!(answer, Ok(AppendedEntries { list, first: 2 + 2 * k }));
    }
    assert!(disk.syncs() - before <= 3, "{} syncs", disk.syncs() - before);
    assert_eq!(content(&outbox).await, [(list, entries(1..=41))]);
}
