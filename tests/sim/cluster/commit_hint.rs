//! The commit hint of an adopted replica is written at once.
//!
//! An owner that comes back reads along only as far as the commit hint goes. It replays
//! the rest after the hand-back, while nobody runs the replica. A replica that was
//! killed young has no commit hint at all.

use std::sync::Mutex;

use super::swift::{begin_steady, check, note};
use super::{Report, conclude};
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, World, simulate};

/// Within which two dead neighbours are adopted.
const ADOPTED_WITHIN_MS: u64 = 5_000;

/// Within which the hint is there. Other logs write theirs once a second.
const HINT_WITHIN_MS: u64 = 200;

/// Worlds in an ordinary test run.
const SEEDS: u64 = 12;

/// Two servers die, without a hint on their disks, and one of them comes back.
fn play(seed: u64) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin_steady(world);
        world.run_for_ms(500 + seed % 500);
        let last = (seed % 3) as usize;
        let dead = [1, 2].map(|after| (last + after) % 3);
        let hints = dead.map(|server| cluster.servers[server].folder.join("committed.json"));
        for server in dead {
            world.kill(cluster.servers[server].program);
        }
        let machine = cluster.servers[last].machine;
        for hint in &hints {
            world.with(|state| {
                let disk = &mut state.machines[machine.0].disk;
                if disk.find(hint).is_ok() {
                    disk.remove_file(hint).expect("it is there");
                }
            });
        }
        let adopted = world.run_until(ADOPTED_WITHIN_MS, |_| {
            cluster.observed(|observed| observed.hosting.get(&last) == Some(&3))
        });
        report.expect(adopted, "the last server did not adopt the others");
        let are_there = |world: &mut World| {
            world.with(|state| {
                let disk = &state.machines[machine.0].disk;
                hints.iter().all(|hint| disk.find(hint).is_ok())
            })
        };
        let told = world.run_until(HINT_WITHIN_MS, are_there);
        let what = format!("a directory has no hint {HINT_WITHIN_MS} ms after its adoption");
        report.expect(told, &what);
        world.start(cluster.servers[dead[0]].program);
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn an_owner_that_comes_back_at_once_can_read_along() {
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds: Vec<u64> = (first..first + number("FTCHAT_SIM_SEEDS", SEEDS)).collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&seeds, |seed| note(&wrong, &format!("world {seed}"), play(*seed)));
    check(wrong, seeds.len());
}
