//! The outbox on disks that are sound, damaged, full, broken, and without power.

mod damage;
mod faults;
mod planted;
mod power;
mod remains;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::error::ErrorCode;
use crate::storage::testing::{self, holder, identity, never_fatal};
use crate::storage::{Identity, Neighbour};

/// An entry that says which one it is.
pub(super) fn entry(number: u64) -> Bytes {
    Bytes::from(format!(r#"{{"i":{number},"text":"{}"}}"#, "é*".repeat(number as usize % 4)))
}

pub(super) fn entries(numbers: std::ops::RangeInclusive<u64>) -> Vec<Bytes> {
    numbers.map(entry).collect()
}

/// The outbox of a directory on the real disk, which is made if it is not there.
async fn open_at(path: &Path) -> (DataDirectory, Outbox) {
    let directory = testing::directory(&Host::real(), path).await;
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    (directory, outbox.expect("opens"))
}

/// Everything that the outbox has: each list with its entries.
pub(super) async fn content(outbox: &Outbox) -> Vec<(Uuid, Vec<Bytes>)> {
    let mut all = Vec::new();
    for OutboxList { list, entries, .. } in outbox.lists() {
        let (mut reader, mut found) = (outbox.entries(list, 1), Vec::new());
        loop {
            let part = reader.next(50).await.expect("reads");
            if part.is_empty() {
                break;
            }
            for ListedEntry { n, entry } in part {
                found.push(entry);
                assert_eq!(n, found.len() as u64);
            }
        }
        assert_eq!(found.len() as u64, entries);
        all.push((list, found));
    }
    all
}

/// Paths of the files in an outbox.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(names) = std::fs::read_dir(path.join("outbox")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = names.map(|name| name.expect("a name").path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_was_appended_is_numbered_and_there_after_a_restart_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, outbox) = open_at(folder.path()).await;
    assert_eq!((outbox.size(), outbox.obstacle()), (OutboxSize::default(), None));
    assert!(!folder.path().join("outbox").exists(), "nothing is held");

    let first = outbox.append(entries(1..=2)).await.expect("appends");
    let second = outbox.append(entries(3..=3)).await.expect("appends");
    assert_eq!((first.first, second.first, first.list), (1, 3, second.list));
    let size = outbox.size();
    assert_eq!((size.lists, size.entries, size.unsettled), (1, 3, 3));
    assert_eq!(std::fs::metadata(&files(folder.path())[0]).expect("there").len(), size.bytes);
    outbox.close().await.expect("closes");
    drop(directory);

    // Whoever starts never goes on with a list: see the head of the module.
    let (directory, outbox) = open_at(folder.path()).await;
    assert_eq!(content(&outbox).await, [(first.list, entries(1..=3))]);
    let later = outbox.append(entries(4..=5)).await.expect("appends");
    assert_ne!(later.list, first.list);
    assert_eq!(later.first, 1);
    outbox.close().await.expect("closes");
    assert_eq!(
        outbox.append(entries(6..=6)).await.expect_err("closed").code,
        ErrorCode::Unavailable
    );
    drop(directory);
    let (_directory, outbox) = open_at(folder.path()).await;
    let expected = [(first.list, entries(1..=3)), (later.list, entries(4..=5))];
    assert_eq!(content(&outbox).await, expected);
}

#[tokio::test]
async fn a_list_goes_when_all_of_it_is_settled_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=3)).await.expect("appends").list;
    outbox.settle(list, 2).await.expect("notes it");
    outbox.settle(list, 1).await.expect("notes it");
    assert_eq!(outbox.size().unsettled, 1);
    assert_eq!(content(&outbox).await, [(list, entries(1..=3))], "the file is as it was");
    let mut reader = outbox.entries(list, 1);
    assert_eq!(reader.next(1).await.expect("reads").len(), 1);
    outbox.settle(list, 7).await.expect("removes it");
    assert_eq!(reader.next(1).await.expect("nothing to read"), []);
    assert_eq!((outbox.size(), files(folder.path())), (OutboxSize::default(), Vec::new()));
    outbox.settle(list, 3).await.expect("it is settled");
    let next = outbox.append(entries(4..=4)).await.expect("appends");
    assert_ne!(next.list, list, "a list comes once");
    assert_eq!(next.first, 1);
}

#[tokio::test]
async fn a_list_is_read_in_parts_from_any_number_on_while_it_grows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=5)).await.expect("appends").list;
    for from in 0..=7 {
        let found = outbox.entries(list, from).next(usize::MAX).await.expect("reads");
        let numbers: Vec<u64> = found.iter().map(|found| found.n).collect();
        assert_eq!(numbers, (from.max(1)..=5).collect::<Vec<_>>());
        assert!(found.iter().all(|found| found.entry == entry(found.n)));
    }
    let mut reader = outbox.entries(list, 5);
    assert_eq!(reader.next(1).await.expect("reads").len(), 1);
    assert_eq!(reader.next(1).await.expect("reads"), []);
    outbox.append(entries(6..=7)).await.expect("appends");
    let found = reader.next(usize::MAX).await.expect("goes on");
    assert_eq!(found.iter().map(|found| found.n).collect::<Vec<_>>(), [6, 7]);
}

fn again(entry: &[u8]) -> Result<Bytes> {
    let text = std::str::from_utf8(entry).expect("text");
    Ok(Bytes::from(text.replacen('{', r#"{"again":true,"#, 1)))
}

#[tokio::test]
async fn what_is_not_settled_is_written_anew_as_one_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, outbox) = open_at(folder.path()).await;
    let first = outbox.append(entries(1..=3)).await.expect("appends").list;
    outbox.close().await.expect("closes");
    drop(directory);
    let (directory, outbox) = open_at(folder.path()).await;
    let second = outbox.append(entries(4..=4)).await.expect("appends").list;
    outbox.settle(first, 2).await.expect("notes it");

    let nothing = |_: &[u8]| Err(Error::internal("no"));
    let error = outbox.relist(vec![first, second], Box::new(nothing)).await.expect_err("refused");
    assert_eq!(error.message, "no");
    assert_eq!((content(&outbox).await.len(), files(folder.path()).len()), (2, 2));

    let new = outbox.relist(vec![first, second], Box::new(again)).await.expect("written");
    let new = new.expect("something was left");
    let changed = [entry(3), entry(4)].map(|entry| again(&entry).expect("changes")).to_vec();
    assert_eq!(content(&outbox).await, [(new, changed.clone())]);
    assert_eq!(files(folder.path()).len(), 1);
    let later = outbox.append(entries(5..=5)).await.expect("appends");
    assert!(![first, second, new].contains(&later.list));
    outbox.close().await.expect("closes");
    drop(directory);

    let (_directory, outbox) = open_at(folder.path()).await;
    assert_eq!(content(&outbox).await, [(new, changed), (later.list, entries(5..=5))]);
    outbox.settle(new, 2).await.expect("removes it");
    outbox.settle(later.list, 0).await.expect("notes it");
    let left = outbox.relist(vec![later.list], Box::new(again)).await.expect("written");
    assert!(left.is_some());
    let unknown = outbox.relist(vec![first], Box::new(again)).await.expect_err("gone");
    assert_eq!(unknown.code, ErrorCode::Internal);
}

#[tokio::test]
async fn over_its_bounds_nothing_is_taken_before_something_is_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = async |bounds| {
        let directory = testing::directory(&Host::real(), folder.path()).await;
        Outbox::open(&directory, bounds, never_fatal()).await.expect("opens")
    };
    let bounds = OutboxBounds { entries_max: 3, bytes_max: 10_000, lists_max: 2 };
    let outbox = open(bounds.clone()).await;
    let list = outbox.append(entries(1..=2)).await.expect("fits").list;
    let error = outbox.append(entries(3..=4)).await.expect_err("does not");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("2 unconfirmed entries"), "{error}");
    outbox.append(entries(3..=3)).await.expect("fits");
    assert!(outbox.append(entries(4..=4)).await.is_err());
    outbox.settle(list, 2).await.expect("notes it");
    assert!(outbox.append(entries(4..=4)).await.is_err(), "the file is as long");
    outbox.settle(list, 3).await.expect("removes it");
    outbox.append(entries(4..=4)).await.expect("fits again");
    let long = Bytes::from(format!("\"{}\"", "x".repeat(10_000)));
    assert!(outbox.append(vec![long]).await.is_err());
    outbox.close().await.expect("closes");
    let outbox = open(bounds.clone()).await;
    outbox.append(entries(5..=5)).await.expect("fits");
    outbox.close().await.expect("closes");
    let outbox = open(bounds).await;
    let error = outbox.append(entries(6..=6)).await.expect_err("a third list");
    assert!(error.message.contains("2 lists"), "{error}");
}

#[tokio::test]
async fn the_header_of_a_list_counts_before_it_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = testing::directory(&Host::real(), folder.path()).await;
    let bounds = OutboxBounds { bytes_max: 300, ..OutboxBounds::default() };
    let outbox = Outbox::open(&directory, bounds, never_fatal()).await.expect("opens");
    let error = outbox.append(entries(1..=1)).await.expect_err("does not fit");
    assert!(error.message.contains("as much as it may"), "{error}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_list_written_anew_comes_where_the_first_of_its_sources_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lists = Vec::new();
    for number in 1..=3 {
        let (_directory, outbox) = open_at(folder.path()).await;
        lists.push(outbox.append(entries(number..=number)).await.expect("appends").list);
        outbox.close().await.expect("closes");
    }
    for _ in 0..2 {
        let (_directory, outbox) = open_at(folder.path()).await;
        let same = |entry: &[u8]| Ok(Bytes::copy_from_slice(entry));
        let new = outbox.relist(vec![lists[0]], Box::new(same)).await.expect("written");
        lists[0] = new.expect("something was left");
        let in_order: Vec<Uuid> = outbox.lists().iter().map(|list| list.list).collect();
        assert_eq!(in_order, lists);
        outbox.close().await.expect("closes");
        drop((_directory, outbox));
        let (_directory, outbox) = open_at(folder.path()).await;
        let in_order: Vec<Uuid> = outbox.lists().iter().map(|list| list.list).collect();
        assert_eq!(in_order, lists, "also at the next start");
        outbox.close().await.expect("closes");
    }
}

#[tokio::test]
async fn a_held_list_whose_file_is_gone_is_an_error_for_its_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=2)).await.expect("appends").list;
    let path = files(folder.path()).remove(0);
    std::fs::remove_file(&path).expect("removes");
    let error = outbox.entries(list, 1).next(usize::MAX).await.expect_err("it is held");
    assert_eq!(error.code, ErrorCode::Io);
    assert!(error.message.contains(&*path.to_string_lossy()), "{error}");
    outbox.settle(list, 2).await.expect("it is settled");
    assert_eq!(outbox.entries(list, 1).next(usize::MAX).await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_outbox_is_not_opened_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, outbox) = open_at(folder.path()).await;
    let again = || Outbox::open(&directory, OutboxBounds::default(), never_fatal());
    assert_eq!(again().await.err().expect("refused").code, ErrorCode::Internal);
    outbox.close().await.expect("closes");
    again().await.expect("the first one has ended");
}

#[tokio::test]
async fn an_entry_that_is_no_line_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_directory, outbox) = open_at(folder.path()).await;
    for entries in [vec![], vec![""], vec!["1", "{\n}"]] {
        let entries = entries.into_iter().map(Bytes::from).collect();
        let error = outbox.append(entries).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Internal);
    }
    assert_eq!(outbox.size(), OutboxSize::default());
}

#[tokio::test]
async fn an_adopted_directory_brings_its_outbox_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=2)).await.expect("appends").list;
    let location = directory.location().expect("it has an identity");
    outbox.close().await.expect("closes");
    drop(directory);
    let Identity { replica, incarnation, knows_level, .. } = identity();
    let neighbour = Neighbour { replica, incarnation, location, knows_level };
    let own = Identity { replica: ReplicaId(2), ..identity() };
    let adopted = DataDirectory::adopt(&Host::real(), &neighbour, &own, holder()).await;
    let adopted = adopted.expect("nobody has it");
    let outbox = Outbox::open(&adopted, OutboxBounds::default(), never_fatal()).await;
    let outbox = outbox.expect("opens");
    assert_eq!(content(&outbox).await, [(list, entries(1..=2))]);
    assert_eq!(outbox.lists()[0].replica, replica);
}

#[tokio::test]
async fn a_new_incarnation_has_the_outbox_of_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut directory, outbox) = open_at(folder.path()).await;
    let list = outbox.append(entries(1..=2)).await.expect("appends").list;
    outbox.close().await.expect("closes");
    drop(outbox);
    let aside = directory.set_aside().await.expect("moves");
    assert!(!aside.join("outbox").exists());
    let next = Identity { incarnation: 2, lineage: Uuid::nil(), ..identity() };
    directory.write_identity(next).await.expect("begins again");
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await;
    let outbox = outbox.expect("opens");
    assert_eq!(content(&outbox).await, [(list, entries(1..=2))]);
    let described = &outbox.lists()[0];
    assert!(described.of_another_lineage && described.incarnation == 1, "{described:?}");
}
