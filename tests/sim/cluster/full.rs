//! Two servers die on a full disk, where nobody can take their replicas over for good.
//!
//! A server that adopts a replica notes in its directory that it was opened. Where there
//! is no room for that, the replica cannot run, and its directory must be left as it was
//! found and unlocked: its owner comes back to it when there is room again.
//!
//! Whoever has noticed itself that there is no room adopts nobody. So nobody writes anything
//! meanwhile, and the last server meets the full disk when it adopts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::swift::{begin_steady, check, note};
use super::{Report, conclude};
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, ProgramId, simulate};

/// How long the disk stays full.
const FULL_MS: u64 = 2_000;

/// Within which the owner runs its replica again once it is back.
const BACK_WITHIN_MS: u64 = 5_000;

/// Worlds in an ordinary test run.
const SEEDS: u64 = 12;

/// The disk of the host fills up, two servers die, and are started when there is
/// room again.
fn play(seed: u64) -> History<Report> {
    // With the program's log, which tells what was tried.
    simulate(seed, TraceOptions { lines_max: 100_000, details: true }, |world| {
        let (mut cluster, mut nemesis, mut report) = begin_steady(world);
        // By then the cluster has done what it does by itself, which writes as well.
        world.run_for_ms(2_000 + seed % 500);
        let users: Vec<ProgramId> = cluster.residents.iter().map(|(_, user)| *user).collect();
        users.iter().for_each(|user| world.freeze(*user));
        world.run_for_ms(500);
        let dead = [1, 2].map(|after| ((seed + after) % 3) as usize);
        let programs = dead.map(|dead| cluster.servers[dead].program);
        let machine = cluster.servers[0].machine;
        world.with(|state| {
            let disk = &mut state.machines[machine.0].disk;
            // Less than the first thing takes that an adoption writes.
            disk.quota_bytes = Some(disk.used_in_all() + seed * 7 % 100);
        });
        programs.iter().for_each(|program| world.kill(*program));
        world.run_for_ms(FULL_MS);
        world.with(|state| state.machines[machine.0].disk.quota_bytes = None);
        world.run_for_ms(seed * 97 % 1_500);
        for program in programs {
            world.start(program);
        }
        let back = world.run_until(BACK_WITHIN_MS, |_| {
            let runs_one = |dead| cluster.observed(|it| it.hosting.get(&dead) == Some(&1));
            dead.into_iter().all(runs_one)
        });
        let what = format!("an owner does not run its replica {BACK_WITHIN_MS} ms after its start");
        report.expect(back, &what);
        users.iter().for_each(|user| world.resume(*user));
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn a_replica_that_could_not_be_adopted_waits_for_its_owner() {
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds: Vec<u64> = (first..first + number("FTCHAT_SIM_SEEDS", SEEDS)).collect();
    let (wrong, failed) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    in_parallel(&seeds, |seed| {
        let history = play(*seed);
        let tells = |line: &String| {
            line.contains("cannot go on") && line.contains("identity.json.tmp: no space left")
        };
        failed.fetch_add(usize::from(history.lines.iter().any(tells)), Ordering::Relaxed);
        note(&wrong, &format!("world {seed}"), history);
    });
    let failed = failed.into_inner();
    println!("in {failed} of {} worlds there was no room to adopt", seeds.len());
    check(wrong, seeds.len());
    assert_eq!(failed, seeds.len(), "somewhere there was room to adopt");
}
