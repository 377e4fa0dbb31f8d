//! A server that was frozen takes nothing over without need.
//!
//! When it goes on, it has heard of no leader for seconds. That proves nothing about the
//! others, since it could not receive anything. The silence counts only from then on.

use std::sync::Mutex;

use super::swift::{begin_steady, check, leader, note};
use super::{Report, conclude};
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

/// Longer than any election timeout.
const FROZEN_MS: u64 = 2_500;

/// Worlds in an ordinary test run.
const SEEDS: u64 = 12;

/// A follower goes on when the other one dies: two of three are left.
fn play(seed: u64) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin_steady(world);
        world.run_for_ms(500 + seed);
        let (leader, _) = leader(&cluster);
        let [frozen, dies] = [1, 2].map(|after| (leader + after) % 3);
        world.freeze(cluster.servers[frozen].program);
        world.run_for_ms(FROZEN_MS);
        world.kill(cluster.servers[dies].program);
        world.run_for_ms(seed % 4);
        world.resume(cluster.servers[frozen].program);
        let adopts = world.run_until(1_000, |_| {
            cluster.observed(|observed| observed.hosting.values().any(|count| *count > 1))
        });
        report.expect(!adopts, "a replica was adopted although two servers of three live");
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn whoever_goes_on_does_not_take_its_own_absence_for_silence() {
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds: Vec<u64> = (first..first + number("FTCHAT_SIM_SEEDS", SEEDS)).collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&seeds, |seed| note(&wrong, &format!("world {seed}"), play(*seed)));
    check(wrong, seeds.len());
}
