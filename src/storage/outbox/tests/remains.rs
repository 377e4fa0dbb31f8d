//! An outbox that nobody opens: what is read of it is what a start would have kept.

use super::*;
use crate::storage::Remains;
use crate::storage::testing::flip_every_bit;

/// Everything that is sound, and how many things are wrong.
async fn left(path: &Path) -> (Vec<(Uuid, Vec<Bytes>)>, usize) {
    let remains = Remains::open(&Host::real(), path).await.expect("free");
    let (lists, problems) = remains.outbox().await.expect("listed");
    let mut all = Vec::new();
    for list in lists {
        let mut found = Vec::new();
        let mut each = |n: u64, entry: &[u8]| {
            found.push(Bytes::copy_from_slice(entry));
            assert_eq!(n, found.len() as u64);
            Ok(())
        };
        remains.read_list(&list, &mut each).await.expect("read");
        assert_eq!(found.len() as u64, list.entries);
        all.push((list.list, found));
    }
    (all, problems.len())
}

/// Every file in an outbox, with its bytes.
fn bytes(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("a file"));
    files(path).into_iter().map(read).collect()
}

#[tokio::test]
async fn lists_are_read_as_a_start_would_and_nothing_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=2 {
        let (_directory, outbox) = open_at(folder.path()).await;
        outbox.append(entries(1..=2 + round)).await.expect("appends");
        outbox.close().await.expect("closes");
    }
    let (directory, outbox) = open_at(folder.path()).await;
    let lists: Vec<Uuid> = outbox.lists().iter().map(|list| list.list).collect();
    outbox.append(entries(1..=1)).await.expect("appends");
    let changed: RelistChange = Box::new(|entry| Ok(Bytes::copy_from_slice(entry)));
    outbox.relist(lists, changed).await.expect("written anew");
    let expected = content(&outbox).await;
    assert_eq!(expected.len(), 2);
    let error = Remains::open(&Host::real(), folder.path()).await.err().expect("it runs");
    assert_eq!(error.code, ErrorCode::DirectoryInUse);
    outbox.close().await.expect("closes");
    drop((directory, outbox));
    let before = bytes(folder.path());
    assert_eq!(left(folder.path()).await, (expected, 0));
    assert_eq!(bytes(folder.path()), before);
}

#[tokio::test]
async fn of_a_broken_list_what_stands_before_the_damage_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, outbox) = open_at(folder.path()).await;
    outbox.append(entries(1..=3)).await.expect("appends");
    outbox.close().await.expect("closes");
    drop((directory, outbox));
    let path = files(folder.path()).remove(0);
    let whole = std::fs::read(&path).expect("a file");
    let lines_before = |at: usize| whole[..at].iter().filter(|byte| **byte == b'\n').count();
    for (bit, flipped) in flip_every_bit(&whole).enumerate().step_by(7) {
        std::fs::write(&path, &flipped).expect("a file");
        let (lists, problems) = left(folder.path()).await;
        let sound = lines_before(bit / 8).saturating_sub(1);
        let found = lists.first().map_or(&[][..], |(_, found)| found);
        assert_eq!(found, &entries(1..=3)[..sound], "bit {bit}");
        assert_eq!(problems, 1, "bit {bit}");
    }
    // What a crash cut short was never acknowledged.
    for end in 0..whole.len() {
        std::fs::write(&path, &whole[..end]).expect("a file");
        let (lists, problems) = left(folder.path()).await;
        let sound = lines_before(end).saturating_sub(1);
        let found = lists.first().map_or(&[][..], |(_, found)| found);
        assert_eq!((found, problems), (&entries(1..=3)[..sound], 0), "cut at {end}");
    }
}
