//! The simulated disk keeps what it promises and loses what it may.

mod locks;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use ftchat::host::{Disk, DiskFile, Host};

use crate::disk::Image;
use crate::random::Prng;
use crate::trace::TraceOptions;
use crate::world::{MachineId, World, simulate};

const LINES: [&str; 4] = ["one", "two", "three", "four"];

/// Runs an action as a process on a machine to its end.
fn run<F, D>(world: &mut World, machine: MachineId, action: D)
where
    F: Future<Output = std::io::Result<()>> + 'static,
    D: Fn(Host) -> F + 'static,
{
    let program = world.install(machine, "action", move |host| {
        let action = action(host);
        Box::pin(async move { action.await.map_err(|error| error.to_string()) })
    });
    assert!(world.start(program));
    assert!(world.run_until(60_000, |world| !world.lives(program)), "the action ends");
    assert_eq!(world.exit(program), Some(Ok(())));
}

fn content(world: &World, machine: MachineId, path: &str) -> Option<String> {
    world.with(|state| {
        let disk = &state.machines[machine.0].disk;
        let inode = disk.find(Path::new(path)).ok()?;
        let body = disk.body(inode, Path::new(path)).ok()?;
        Some(String::from_utf8(body.current.clone()).expect("text"))
    })
}

async fn prepare(disk: &dyn Disk) -> std::io::Result<Box<dyn DiskFile>> {
    disk.create_dir_all(Path::new("/data")).await?;
    let file = disk.create(Path::new("/data/log")).await?;
    disk.sync_dir(Path::new("/")).await?;
    disk.sync_dir(Path::new("/data")).await?;
    Ok(file)
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_a_torn_prefix_of_the_rest() {
    let mut ends = BTreeSet::new();
    for seed in 0..200 {
        simulate(seed, TraceOptions::default(), |world| {
            let machine = world.add_machine("m");
            run(world, machine, |host| async move {
                let mut file = prepare(&*host.disk).await?;
                file.append(Bytes::from("synced ")).await?;
                file.sync_data().await?;
                for line in LINES {
                    file.append(Bytes::from(line)).await?;
                }
                Ok(())
            });
            assert_eq!(content(world, machine, "/data/log").expect("there").len(), 22);
            world.crash(machine);
            let left = content(world, machine, "/data/log").expect("its name was synced");
            let rest = left.strip_prefix("synced ").expect("the synced part is there");
            assert!(LINES.concat().starts_with(rest), "{rest:?}");
            ends.insert(rest.len());
        });
    }
    // Nothing, all, whole appends and torn ones.
    assert!(ends.contains(&0) && ends.contains(&15) && ends.len() > 8, "{ends:?}");
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    simulate(1, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        run(world, machine, |host| async move {
            prepare(&*host.disk).await?.append(Bytes::from("unsynced")).await
        });
        assert_eq!(content(world, machine, "/data/log").as_deref(), Some("unsynced"));
    });
}

#[test]
fn names_that_were_not_synced_may_be_lost_in_order() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        simulate(seed, TraceOptions::default(), |world| {
            let machine = world.add_machine("m");
            run(world, machine, |host| async move {
                drop(prepare(&*host.disk).await?);
                for name in ["/data/a", "/data/b"] {
                    host.disk.create(Path::new(name)).await?.sync_data().await?;
                }
                host.disk.rename(Path::new("/data/b"), Path::new("/data/c")).await?;
                host.disk.remove_file(Path::new("/data/log")).await
            });
            world.crash(machine);
            let names = world.with(|state| {
                state.machines[machine.0].disk.list(Path::new("/data")).expect("synced")
            });
            outcomes.insert(names.join(" "));
        });
    }
    let expected = ["a b log", "a c", "a c log", "a log", "log"];
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), expected);
}

/// Writes a file so that after a crash either the old or the new content is there,
/// whole: temporary file, sync, rename, sync of the folder.
async fn replace_file(disk: &dyn Disk, path: &Path, content: Bytes) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary: std::path::PathBuf = path.to_path_buf();
    temporary.add_extension("tmp");
    let mut file = disk.create(&temporary).await?;
    file.append(content).await?;
    file.sync_data().await?;
    drop(file);
    disk.rename(&temporary, path).await?;
    disk.sync_dir(folder).await
}

#[test]
fn a_replaced_file_is_old_or_new_after_any_crash() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..150 {
        simulate(seed, TraceOptions::default(), |world| {
            let machine = world.add_machine("m");
            run(world, machine, |host| async move {
                drop(prepare(&*host.disk).await?);
                replace_file(&*host.disk, Path::new("/data/vote"), Bytes::from("old")).await
            });
            let program = world.install(machine, "replace", |host| {
                Box::pin(async move {
                    let path = Path::new("/data/vote");
                    replace_file(&*host.disk, path, Bytes::from("new"))
                        .await
                        .map_err(|error| error.to_string())
                })
            });
            world.start(program);
            world.kill_at_call(program, 1 + seed % 7);
            world.run_until(60_000, |world| !world.lives(program));
            world.crash(machine);
            let left = content(world, machine, "/data/vote").expect("never missing");
            assert!(left == "old" || left == "new", "{left:?}");
            outcomes.insert(left);
        });
    }
    assert_eq!(outcomes.len(), 2, "both happen: {outcomes:?}");
}

#[test]
fn a_failed_sync_may_lose_what_a_later_sync_claims_to_have_kept() {
    let mut holes = 0;
    for seed in 0..40 {
        simulate(seed, TraceOptions::default(), |world| {
            let machine = world.add_machine("m");
            world.with(|state| state.machines[machine.0].health.syncs_to_fail = 0);
            run(world, machine, |host| async move { prepare(&*host.disk).await.map(drop) });
            world.with(|state| state.machines[machine.0].health.syncs_to_fail = 1);
            run(world, machine, |host| async move {
                let mut file = host.disk.open(Path::new("/data/log")).await?;
                file.append(Bytes::from("first ")).await?;
                let failed = file.sync_data().await.expect_err("the disk fails once");
                assert_eq!(failed.kind(), ErrorKind::Other);
                file.append(Bytes::from("second")).await?;
                file.sync_data().await
            });
            assert_eq!(content(world, machine, "/data/log").as_deref(), Some("first second"));
            world.crash(machine);
            match content(world, machine, "/data/log").expect("there").as_str() {
                "first second" => {}
                "\0\0\0\0\0\0second" => holes += 1,
                other => panic!("{other:?}"),
            }
        });
    }
    assert!((5..35).contains(&holes), "{holes} of 40");
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    simulate(3, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        run(world, machine, |host| async move { prepare(&*host.disk).await.map(drop) });
        world.with(|state| state.machines[machine.0].disk.quota_bytes = Some(4));
        run(world, machine, |host| async move {
            let mut file = host.disk.open(Path::new("/data/log")).await?;
            let full = file.append(Bytes::from("abcdef")).await.expect_err("does not fit");
            assert_eq!(full.kind(), ErrorKind::StorageFull);
            assert_eq!(file.read_at(0, 9).await?, b"abcd");
            assert_eq!(file.len().await?, 4);
            assert!(host.disk.create(Path::new("/data/x")).await.is_err());
            file.truncate(1).await?;
            file.append(Bytes::from("bc")).await?;
            assert_eq!(host.disk.used_bytes(Path::new("/data")).await?, 3);
            Ok(())
        });
    });
}

#[test]
fn a_lock_is_held_until_its_process_is_gone() {
    simulate(4, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        let holder = world.install(machine, "holder", |host| {
            Box::pin(async move {
                let lock = host.disk.try_lock(Path::new("/LOCK")).await;
                let mut lock = lock.expect("made").expect("free");
                lock.write_holder("holder").await.expect("written");
                std::future::pending().await
            })
        });
        world.start(holder);
        world.run_for_ms(20);
        world.freeze(holder);
        run(world, machine, |host| async move {
            assert!(host.disk.try_lock(Path::new("/LOCK")).await?.is_none());
            assert_eq!(host.disk.read(Path::new("/LOCK")).await?, b"holder");
            Ok(())
        });
        world.kill(holder);
        run(world, machine, |host| async move {
            drop(host.disk.try_lock(Path::new("/LOCK")).await?.expect("free again"));
            assert!(host.disk.try_lock(Path::new("/LOCK")).await?.is_some());
            Ok(())
        });
    });
}

#[test]
fn rot_flips_one_bit_and_says_where() {
    let mut image = Image::default();
    let path = Path::new("/file");
    let inode = image.create(path).expect("room");
    let body = image.body_mut(inode, path).expect("a file");
    body.append(Bytes::from_static(b"content"));
    let mut random = Prng::new(5);
    assert_eq!(image.flip_bit(Path::new("/"), &mut random).expect("there"), None);
    image.body_mut(inode, path).expect("a file").sync();
    let place = image.flip_bit(Path::new("/"), &mut random).expect("there").expect("synced");
    assert!(place.contains("file, byte "), "{place}");
    let flipped = &image.body(inode, path).expect("a file").current;
    let bits: u32 = flipped.iter().zip(b"content").map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(bits, 1);
    assert!(image.dump(Path::new("/")).contains("file (7 bytes)"));
}

#[test]
fn removing_a_folder_removes_what_is_in_it() {
    simulate(6, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        run(world, machine, |host| async move {
            drop(prepare(&*host.disk).await?);
            host.disk.create_dir_all(Path::new("/data/snapshot")).await?;
            host.disk.create(Path::new("/data/snapshot/1")).await?;
            host.disk.remove_dir_all(Path::new("/data")).await?;
            host.disk.sync_dir(Path::new("/")).await?;
            assert_eq!(host.disk.list(Path::new("/")).await?, ["etc", "proc"]);
            let missing = host.disk.open(Path::new("/data/log")).await;
            assert_eq!(missing.map(|_| ()).expect_err("gone").kind(), ErrorKind::NotFound);
            Ok(())
        });
    });
}
