//! Bugs that are planted into the outbox, and what finds them: a promise that holds at
//! every step without the bug does not hold with it.

use super::power::{look, new_disk, open};
use super::*;
use crate::planted::{Bug, plant};
use crate::storage::tests::power_disk::Left;

/// More than any of these takes.
const STEPS_MAX: usize = 40;

/// Whether what was acknowledged is there, when the power goes after so many steps.
async fn acknowledged_is_there(steps: usize) -> bool {
    let disk = new_disk().await;
    let (directory, outbox) = open(&disk).await.expect("opens");
    outbox.append(entries(1..=1)).await.expect("appends");
    disk.cut_after(steps);
    let acknowledged = outbox.append(entries(2..=2)).await.is_ok();
    // It may have failed with the power.
    drop((outbox.close().await, directory));
    disk.restart(Left::Synced);
    let found: Vec<u64> = look(&disk).await.into_iter().flat_map(|(_, numbers)| numbers).collect();
    !acknowledged || found == [1, 2]
}

/// Whether what was refused is not there, when the power goes then.
async fn refused_is_gone(room: usize) -> bool {
    let disk = new_disk().await;
    let (directory, outbox) = open(&disk).await.expect("opens");
    outbox.append(entries(1..=1)).await.expect("appends");
    disk.set_room(Some(room));
    outbox.append(entries(2..=40)).await.expect_err("no room");
    disk.set_room(None);
    outbox.close().await.expect("closes");
    drop(directory);
    disk.restart(Left::Uncut);
    let found: Vec<u64> = look(&disk).await.into_iter().flat_map(|(_, numbers)| numbers).collect();
    found == [1]
}

/// Whether what a start has found is there after a power cut, when the process before it
/// had died after so many steps.
async fn found_is_kept(steps: usize) -> bool {
    let disk = new_disk().await;
    let (directory, outbox) = open(&disk).await.expect("opens");
    disk.cut_after(steps);
    // It fails with the power.
    let _ = outbox.append(entries(1..=2)).await;
    drop((outbox.close().await, directory));
    disk.restart(Left::Unsynced);
    let found = look(&disk).await;
    disk.restart(Left::Synced);
    look(&disk).await == found
}

async fn always<F: Future<Output = bool>>(holds: impl Fn(usize) -> F) -> bool {
    for steps in 0..STEPS_MAX {
        if !holds(steps).await {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn every_bug_of_the_outbox_is_found() {
    let room = |steps| refused_is_gone(50 * steps);
    assert!(always(acknowledged_is_there).await);
    assert!(always(room).await);
    assert!(always(found_is_kept).await);
    {
        let _planted = plant(Bug::AcknowledgeUnsyncedOutbox);
        assert!(!always(acknowledged_is_there).await);
    }
    {
        let _planted = plant(Bug::CutOutboxUnsynced);
        assert!(!always(room).await);
    }
    {
        let _planted = plant(Bug::TrustUnsyncedOutbox);
        assert!(!always(found_is_kept).await);
    }
}
