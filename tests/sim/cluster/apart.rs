//! Servers on machines of their own: how soon another one leads when the leader's machine
//! says nothing any more, and that nobody is deposed who can serve a majority.
//!
//! Simulated time is exact, so a bound on it does not depend on luck. An election by
//! timeout takes the lease of the leader and the shortest timeout at least.

use std::sync::Mutex;

use super::scale::Scale;
use super::swift::{check, expect_leader, leader, note};
use super::{Cluster, Report, begin_with, conclude};
use crate::faults::Nemesis;
use crate::recipes::NETWORK;
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, MachineId, World, simulate};

/// Within which somebody must lead when the leader's machine is gone: it is asked something
/// every twentieth of a second, has a quarter of one to acknowledge that, and an election
/// takes some hundredths.
const LEADS_WITHIN_MS: u64 = 380;

/// The same when only what is sent to it does not arrive: it is heard of until its own
/// connections are given up, as all calls on them wait for an answer.
const LEADS_WITHIN_HEARD_MS: u64 = 3_000;

/// The earliest moment at which a timeout could have done it.
const TIMEOUT_MS: u64 = 600;

/// Worlds of every kind in an ordinary test run.
const SEEDS: u64 = 6;

/// There and back between machines that are far apart.
const FAR_US: (u64, u64) = (48_000, 52_000);

/// What cuts the leader off.
#[derive(Clone, Copy, Debug)]
enum Vanishes {
    /// Its machine loses its power.
    Power,
    /// Nothing gets to it or from it.
    Network,
    /// Nothing gets from it to the others.
    WayOut,
    /// Nothing gets to it from the others.
    WayIn,
}

/// A cluster on disks that are steady, so that no slow one adds to what is measured.
fn begin_apart(world: &mut World) -> (Cluster, Nemesis, Report) {
    let begun = begin_with(world, &NETWORK, &Scale::default());
    world.with(|state| {
        for machine in &mut state.machines {
            machine.health.steady = true;
        }
    });
    begun
}

fn machines(cluster: &Cluster) -> Vec<MachineId> {
    cluster.servers.iter().map(|server| server.machine).collect()
}

/// Cuts the way from one machine to another, or mends it.
fn set_cut(world: &mut World, from: MachineId, to: MachineId, cut: bool) {
    world.with(|state| state.network.set_cut(from, to, cut));
}

fn vanish(seed: u64, vanishes: Vanishes) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin_apart(world);
        world.run_for_ms(1_000 + seed * 37 % 500);
        let (leading, term) = leader(&cluster);
        let gone = machines(&cluster)[leading];
        let others: Vec<MachineId> =
            machines(&cluster).into_iter().filter(|it| *it != gone).collect();
        match vanishes {
            Vanishes::Power => world.crash(gone),
            Vanishes::Network | Vanishes::WayOut | Vanishes::WayIn => {
                for other in &others {
                    if !matches!(vanishes, Vanishes::WayIn) {
                        set_cut(world, gone, *other, true);
                    }
                    if !matches!(vanishes, Vanishes::WayOut) {
                        set_cut(world, *other, gone, true);
                    }
                }
            }
        }
        let within_ms = match vanishes {
            Vanishes::WayIn => LEADS_WITHIN_HEARD_MS,
            Vanishes::Power | Vanishes::Network | Vanishes::WayOut => LEADS_WITHIN_MS,
        };
        expect_leader(world, &cluster, (term, within_ms), &mut report);
        world.with(|state| state.network.mend_all());
        world.power_on(gone);
        world.start(cluster.servers[leading].program);
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn a_leader_whose_machine_vanishes_is_replaced_before_any_timeout() {
    const { assert!(LEADS_WITHIN_MS < TIMEOUT_MS) };
    let kinds = [Vanishes::Power, Vanishes::Network, Vanishes::WayOut, Vanishes::WayIn];
    let (first, seeds) = (number("FTCHAT_SIM_FROM", 1), number("FTCHAT_SIM_SEEDS", SEEDS));
    let worlds: Vec<(Vanishes, u64)> = kinds
        .into_iter()
        .flat_map(|kind| (first..first + seeds).map(move |seed| (kind, seed)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&worlds, |(vanishes, seed)| {
        note(&wrong, &format!("{vanishes:?} in world {seed}"), vanish(*seed, *vanishes));
    });
    check(wrong, worlds.len());
}

/// What must depose nobody.
#[derive(Clone, Copy, Debug)]
enum Nuisance {
    /// One follower is cut off from the leader, and not from the other one.
    BadCable,
    /// Every disk stalls again and again, for up to three quarters of a second.
    StallingDisks,
    /// The machines are far apart.
    Distance,
}

fn annoy(seed: u64, nuisance: Nuisance) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        if let Nuisance::Distance = nuisance {
            world.with(|state| state.network.delay_us = FAR_US);
        }
        let (mut cluster, mut nemesis, mut report) = begin_apart(world);
        world.run_for_ms(2_000);
        let (leading, term) = leader(&cluster);
        let machines = machines(&cluster);
        let cut_off = machines[(leading + 1 + (seed % 2) as usize) % 3];
        for second in 0..20 {
            match nuisance {
                Nuisance::BadCable => {
                    let cut = second % 5 < 3;
                    set_cut(world, machines[leading], cut_off, cut);
                    set_cut(world, cut_off, machines[leading], cut);
                }
                Nuisance::StallingDisks => world.with(|state| {
                    for (machine, server) in machines.iter().zip(1..) {
                        let stall_us = (seed * 7_919 + second * 104_729 * server) % 750_000;
                        let until_us = state.now_us + stall_us;
                        state.machines[machine.0].health.stalled_until_us = until_us;
                    }
                }),
                Nuisance::Distance => {}
            }
            world.run_for_ms(1_000);
        }
        let (_, now) = leader(&cluster);
        report.expect(now == term, &format!("a leader of term {term} was deposed in term {now}"));
        world.with(|state| state.network.mend_all());
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn nobody_is_deposed_who_can_serve_a_majority() {
    let kinds = [Nuisance::BadCable, Nuisance::StallingDisks, Nuisance::Distance];
    let (first, seeds) = (number("FTCHAT_SIM_FROM", 1), number("FTCHAT_SIM_SEEDS", SEEDS));
    let worlds: Vec<(Nuisance, u64)> = kinds
        .into_iter()
        .flat_map(|kind| (first..first + seeds).map(move |seed| (kind, seed)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&worlds, |(nuisance, seed)| {
        note(&wrong, &format!("{nuisance:?} in world {seed}"), annoy(*seed, *nuisance));
    });
    check(wrong, worlds.len());
}

/// Servers a tenth of a second apart, with the default times: the leader is killed, or its
/// machine vanishes.
fn lose_far(seed: u64, vanishes: bool) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        world.with(|state| state.network.delay_us = FAR_US);
        let (mut cluster, mut nemesis, mut report) = begin_apart(world);
        world.run_for_ms(2_000 + seed * 37 % 500);
        let (leading, term) = leader(&cluster);
        match vanishes {
            true => world.crash(cluster.servers[leading].machine),
            false => world.kill(cluster.servers[leading].program),
        }
        // A lost segment is given a quarter of a second and two ways there and back. All
        // others are asked, released and asked for their votes; a timeout would take the
        // lease, the least wait and as many ways.
        let within_ms = if vanishes { 1_000 } else { 700 };
        expect_leader(world, &cluster, (term, within_ms), &mut report);
        world.power_on(cluster.servers[leading].machine);
        world.start(cluster.servers[leading].program);
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn servers_that_are_far_apart_lose_no_more_time_than_their_messages_take() {
    let (first, seeds) = (number("FTCHAT_SIM_FROM", 1), number("FTCHAT_SIM_SEEDS", SEEDS));
    let worlds: Vec<(bool, u64)> = [false, true]
        .into_iter()
        .flat_map(|vanishes| (first..first + seeds).map(move |seed| (vanishes, seed)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&worlds, |(vanishes, seed)| {
        let world = format!("vanishes: {vanishes}, world {seed}");
        note(&wrong, &world, lose_far(*seed, *vanishes));
    });
    check(wrong, worlds.len());
}
