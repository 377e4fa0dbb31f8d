//! The power is cut at every step of everything that the outbox writes.

use std::collections::BTreeSet;

use super::*;
use crate::host::Disk as _;
use crate::storage::tests::power_disk::{Left, PowerDisk};

const ROOT: &str = "/var/cluster/replica-1";

/// What is left of the process that is cut off, and then of the one that looks what is
/// there, which may have told others.
const WAYS: [(Left, Left); 5] = [
    (Left::Synced, Left::Synced),
    (Left::All, Left::Synced),
    (Left::Unsynced, Left::Synced),
    (Left::Uncut, Left::Synced),
    (Left::Hole, Left::Synced),
];

/// Workers that are tasks of the test's own thread, where a bug may be planted.
struct Tasks;

impl crate::host::Workers for Tasks {
    fn spawn(&self, _name: &str, job: crate::host::BoxFuture<'static, ()>) {
        drop(crate::host::spawn(job));
    }
    fn compute(&self, computation: Box<dyn FnOnce() + Send>) {
        computation();
    }
}

pub(super) fn host(disk: &PowerDisk) -> Host {
    Host { workers: Arc::new(Tasks), ..disk.host() }
}

/// A disk with a directory that has an identity.
pub(super) async fn new_disk() -> PowerDisk {
    let disk = PowerDisk::new();
    drop(testing::directory(&host(&disk), Path::new(ROOT)).await);
    disk
}

pub(super) async fn open(disk: &PowerDisk) -> Result<(DataDirectory, Outbox)> {
    let directory = DataDirectory::open(&host(disk), Path::new(ROOT), holder()).await?;
    // It may fail for want of power.
    let outbox = Outbox::open(&directory, OutboxBounds::default(), Arc::new(|_| {})).await?;
    Ok((directory, outbox))
}

/// Which entry it is.
fn number(entry: &Bytes) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(entry).expect("JSON");
    value["i"].as_u64().expect("a number")
}

/// Which entries there are after a start; closes everything again.
pub(super) async fn look(disk: &PowerDisk) -> Vec<(Uuid, Vec<u64>)> {
    let (found, unusable) = look_also_at_broken(disk).await;
    assert!(unusable.is_empty(), "{unusable:?}");
    found
}

/// The same, and what is in the way.
async fn look_also_at_broken(disk: &PowerDisk) -> (Vec<(Uuid, Vec<u64>)>, Vec<PathBuf>) {
    let (directory, outbox) = open(disk).await.expect("no crash damages an outbox");
    let unusable = outbox.unusable();
    assert_eq!(outbox.obstacle().is_some(), !unusable.is_empty());
    assert!(unusable.iter().all(|unusable| unusable.why == Unusable::Damaged), "{unusable:?}");
    let all = content(&outbox).await;
    outbox.close().await.expect("closes");
    drop(directory);
    let numbers = |(list, found): (Uuid, Vec<Bytes>)| (list, found.iter().map(number).collect());
    let paths = unusable.into_iter().map(|unusable| unusable.path);
    (all.into_iter().map(numbers).collect(), paths.collect())
}

/// Starts and loses the power after so many steps; whether the start lasted.
async fn start_and_cut(disk: &PowerDisk, steps: usize) -> bool {
    disk.cut_after(steps);
    if let Ok((directory, outbox)) = open(disk).await {
        drop((outbox.close().await, directory));
    }
    disk.is_on()
}

/// What is done, one after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append(u64),
    /// Settles the first so many of the oldest list.
    Settle(u64),
    Relist,
    /// The process ends, and another one starts.
    Restart,
    /// An append that does not fit on the disk.
    TooMuch,
}

const SCRIPT: [Step; 17] = [
    Step::Append(2),
    Step::Append(3),
    Step::Settle(2),
    Step::TooMuch,
    Step::Append(1),
    Step::Restart,
    Step::Append(2),
    Step::Settle(3),
    Step::Relist,
    Step::Append(1),
    Step::Restart,
    Step::Relist,
    Step::Settle(100),
    Step::TooMuch,
    Step::Append(2),
    Step::Settle(1),
    Step::Settle(100),
];

/// What has to be there and what may be, by number.
#[derive(Debug, Default)]
struct Expected {
    next: u64,
    /// Acknowledged, and not said to be settled.
    must: BTreeSet<u64>,
    /// Said to be settled, or on the way.
    may: BTreeSet<u64>,
}

async fn take(
    step: Step,
    disk: &PowerDisk,
    (directory, outbox): (DataDirectory, Outbox),
    expected: &mut Expected,
) -> Result<(DataDirectory, Outbox)> {
    match step {
        Step::Append(count) => {
            let numbers = expected.next..=expected.next + count - 1;
            expected.next += count;
            expected.may.extend(numbers.clone());
            outbox.append(entries(numbers.clone())).await?;
            expected.may.retain(|number| !numbers.contains(number));
            expected.must.extend(numbers);
        }
        Step::TooMuch => {
            disk.set_room(Some(150));
            let numbers = expected.next..=expected.next + 4;
            expected.next += 5;
            // Until it is refused.
            expected.may.extend(numbers.clone());
            let refused = outbox.append(entries(numbers.clone())).await.expect_err("no room");
            disk.set_room(None);
            if refused.code != ErrorCode::DiskFull {
                return Err(refused);
            }
            expected.may.retain(|number| !numbers.contains(number));
        }
        Step::Settle(through) => {
            let Some(oldest) = outbox.lists().first().cloned() else { panic!("nothing to settle") };
            let found = outbox.entries(oldest.list, 1).next(usize::MAX).await?;
            let settled = found.iter().take(through as usize);
            let numbers: Vec<u64> = settled.map(|found| number(&found.entry)).collect();
            expected.must.retain(|number| !numbers.contains(number));
            expected.may.extend(numbers);
            outbox.settle(oldest.list, through).await?;
            if through >= oldest.entries {
                expected.may.clear();
            }
        }
        Step::Relist => {
            let lists = outbox.lists().iter().map(|list| list.list).collect();
            outbox.relist(lists, Box::new(again)).await?;
            // What was settled is not in the new list, and the old ones are gone.
            expected.may.clear();
        }
        Step::Restart => {
            outbox.close().await?;
            drop((directory, outbox));
            return open(disk).await;
        }
    }
    Ok((directory, outbox))
}

/// Does everything until the power goes after so many steps, and then in the start that
/// follows after so many; whether each lasted, and whether something broken was found.
async fn write_and_cut(
    steps: usize,
    start_steps: usize,
    (first, second): (Left, Left),
) -> (bool, bool, bool) {
    let disk = new_disk().await;
    let mut opened = open(&disk).await.expect("opens");
    disk.cut_after(steps);
    let mut expected = Expected { next: 1, ..Expected::default() };
    for step in SCRIPT {
        match take(step, &disk, opened, &mut expected).await {
            Ok(next) => opened = next,
            Err(_) => break,
        }
        if !disk.is_on() {
            break;
        }
    }
    let done = disk.is_on();
    disk.restart(first);
    disk.set_room(None);
    let started = start_and_cut(&disk, start_steps).await;
    disk.restart(if started { Left::Unsynced } else { first });
    let (found, broken) = look_also_at_broken(&disk).await;
    assert!(broken.is_empty() || first == Left::Hole, "{broken:?}, {steps} steps, {first:?}");
    let mut numbers = BTreeSet::new();
    for number in found.iter().flat_map(|(_, numbers)| numbers) {
        assert!(numbers.insert(*number), "{number} is there twice: {found:?}, {steps} steps");
        let known = expected.must.contains(number) || expected.may.contains(number);
        assert!(known, "{number} is back: {found:?}, {expected:?}, {steps} steps, {first:?}");
    }
    let lost: Vec<_> = expected.must.difference(&numbers).collect();
    assert!(lost.is_empty(), "{lost:?} lost: {found:?}, {steps} steps, left: {first:?}");

    disk.restart(second);
    let again = look_also_at_broken(&disk).await;
    assert_eq!(again, (found.clone(), broken.clone()), "what was seen stays, {steps} steps");
    let is_broken = !broken.is_empty();
    for path in broken {
        disk.remove_file(&path).await.expect("somebody has looked at it");
    }
    let (directory, outbox) = open(&disk).await.expect("opens");
    let later = outbox.append(entries(99..=99)).await.expect("goes on");
    assert!(found.iter().all(|(list, _)| *list != later.list));
    outbox.close().await.expect("closes");
    drop((directory, outbox));
    disk.restart(Left::Synced);
    let again = look(&disk).await;
    assert_eq!(again.last(), Some(&(later.list, vec![99])));
    assert_eq!(again[..again.len() - 1], found);
    (done, started, is_broken)
}

#[tokio::test]
async fn no_step_loses_or_repeats_or_brings_back_an_entry() {
    for way in WAYS {
        let (mut steps, mut start_steps, mut broken) = (0, 0, 0);
        loop {
            let (done, started, is_broken) = write_and_cut(steps, start_steps, way).await;
            broken += usize::from(is_broken);
            match (done, started) {
                (_, false) => start_steps += 1,
                (false, true) => (steps, start_steps) = (steps + 1, 0),
                (true, true) => break,
            }
        }
        assert_eq!(broken > 0, way.0 == Left::Hole, "{broken} broken, left: {way:?}");
        assert!(steps > 80, "{steps} steps are few");
    }
}

#[tokio::test]
async fn a_directory_that_is_set_aside_keeps_its_outbox_at_every_step() {
    for (first, second) in WAYS {
        for steps in 0.. {
            let disk = new_disk().await;
            let (mut directory, outbox) = open(&disk).await.expect("opens");
            outbox.append(entries(1..=3)).await.expect("appends");
            outbox.close().await.expect("closes");
            drop(outbox);
            directory.lock.mark_poisoned().await.expect("marks");
            disk.cut_after(steps);
            let aside = directory.set_aside().await;
            let done = disk.is_on();
            assert_eq!(aside.is_ok(), done);
            drop(directory);
            for left in [first, second] {
                disk.restart(left);
                let mut directory = DataDirectory::open(&host(&disk), Path::new(ROOT), holder())
                    .await
                    .expect("opens");
                if directory.identity().is_err() {
                    directory.set_aside().await.expect("in turn");
                }
                if directory.identity() == Ok(None) {
                    directory.write_identity(identity()).await.expect("begins again");
                }
                drop(directory);
                let found = look(&disk).await;
                let numbers: Vec<_> = found.into_iter().map(|(_, numbers)| numbers).collect();
                assert_eq!(numbers, [[1, 2, 3]], "{steps} steps, left: {left:?}");
            }
            if done {
                break;
            }
        }
    }
}
