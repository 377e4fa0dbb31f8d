//! Locks, file numbers and ids of machines and boots. They guarantee that no two
//! processes run the same replica.

#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::run;
use crate::trace::TraceOptions;
use crate::world::{World, simulate};

const LOCK: &str = "/data-1/LOCK";

#[test]
fn a_lock_is_seen_and_is_of_a_file_and_not_of_a_name() {
    let history = simulate(1, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        run(world, machine, |host| async move {
            let (disk, path) = (&host.disk, Path::new(LOCK));
            assert!(disk.is_locked(path).await.is_err(), "there is no such file");
            disk.create_dir_all(Path::new("/data-1")).await?;
            let lock = disk.try_lock(path).await?.expect("free");
            assert!(disk.is_locked(path).await?);
            assert!(disk.try_lock(path).await?.is_none(), "also for its own process");
            let first = lock.file_id().await?;
            assert_eq!(disk.file_id(path).await?, first);
            assert!(disk.file_system(path).await?.locks_are_local);

            disk.remove_dir_all(Path::new("/data-1")).await?;
            assert!(disk.file_id(path).await.is_err(), "the name is gone");
            disk.create_dir_all(Path::new("/data-1")).await?;
            let second = disk.try_lock(path).await?.expect("another file");
            assert_ne!(second.file_id().await?, first);
            assert_eq!(disk.file_id(path).await?, second.file_id().await?);
            assert_eq!(lock.file_id().await?, first, "it still is what it was");

            drop(lock);
            assert!(disk.is_locked(path).await?, "the second is another's");
            drop(second);
            assert!(!disk.is_locked(path).await?);
            Ok(())
        });
    });
    assert_eq!(history.failures, Vec::<String>::new());
}

#[test]
fn file_numbers_are_not_used_again() {
    simulate(2, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        run(world, machine, |host| async move {
            let (path, mut last) = (Path::new("/file"), 0);
            for _ in 0..20 {
                drop(host.disk.create(path).await?);
                let id = host.disk.file_id(path).await?;
                assert!(id.inode > last, "{id:?} after {last}");
                last = id.inode;
                host.disk.remove_file(path).await?;
                host.disk.sync_dir(Path::new("/")).await?;
            }
            Ok(())
        });
    });
}

#[test]
fn who_gives_up_waiting_for_a_lock_does_not_keep_it() {
    for seed in 0..50 {
        simulate(seed, TraceOptions::default(), |world| {
            let machine = world.add_machine("m");
            world.with(|state| state.machines[machine.0].health.slowdown = 100);
            run(world, machine, |host| async move {
                let path = Path::new("/LOCK");
                drop(host.disk.create(path).await?);
                let trying = host.disk.try_lock(path);
                if tokio::time::timeout(Duration::from_millis(5), trying).await.is_err() {
                    assert!(!host.disk.is_locked(path).await?);
                }
                Ok(())
            });
        });
    }
}

#[test]
fn who_changes_a_directory_without_its_lock_is_found() {
    let history = simulate(3, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        let holder = world.install(machine, "holder", |host| {
            Box::pin(async move {
                host.disk.create_dir_all(Path::new("/data-1")).await.expect("made");
                let lock = host.disk.try_lock(Path::new(LOCK)).await.expect("made");
                let mut lock = lock.expect("free");
                lock.write_holder("holder").await.expect("its own");
                let mut file = host.disk.create(Path::new("/data-1/vote")).await.expect("made");
                file.append(Bytes::from("1")).await.expect("its own");
                file.sync_data().await.expect("its own");
                std::future::pending().await
            })
        });
        world.start(holder);
        world.run_for_ms(100);
        assert!(world.with(|state| state.failures.is_empty()));
        run(world, machine, |host| async move {
            host.disk.read(Path::new("/data-1/vote")).await?;
            host.disk.open(Path::new("/data-1/vote")).await?.append(Bytes::from("2")).await
        });
    });
    let told = "action#1 changed /data-1/vote, whose lock holder#1 holds";
    assert!(!history.failures.is_empty(), "it is found");
    assert!(history.failures.iter().all(|failure| failure == told), "{:?}", history.failures);
}

#[test]
fn a_machine_keeps_its_id_and_every_boot_has_another() {
    simulate(4, TraceOptions::default(), |world| {
        let machine = world.add_machine("m");
        let ids = |world: &World| {
            ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].map(|path| {
                world.with(|state| {
                    let (disk, path) = (&state.machines[machine.0].disk, Path::new(path));
                    disk.body(disk.find(path).expect("there"), path)
                        .expect("a file")
                        .current
                        .clone()
                })
            })
        };
        let first = ids(world);
        world.power_on(machine);
        assert_eq!(ids(world), first, "it has power already");
        world.crash(machine);
        world.crash(machine);
        world.power_on(machine);
        world.power_on(machine);
        let second = ids(world);
        assert_eq!(second[0], first[0]);
        assert_ne!(second[1], first[1]);
        world.run_for_ms(5);
        assert_eq!(ids(world), second);
    });
}
