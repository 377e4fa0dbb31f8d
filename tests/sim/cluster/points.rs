//! A death at every change of a disk that recovery, the taking and the loading of a
//! snapshot make.
//!
//! The recipes draw when a process dies; here all such points are enumerated. One of
//! three servers, each on a machine of its own, starts on what a power cut has left, or
//! takes a snapshot, or comes back after so long that it is sent one. It dies at the
//! n-th change of a file or folder from then on, before that change or right after it.
//! In every second world the machine loses its power at that moment, and with it what
//! was not synced. Each change is a world of its own.
//!
//! ```text
//! FTCHAT_SIM_STEPS=1 cargo test --test sim -- points --nocapture
//! ```
//!
//! This tries every change; without the variable it tries every [`STRIDE`]-th.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::scale::Scale;
use super::swift::{check, leader, note};
use super::{Report, begin_with, conclude};
use crate::recipes::CRASHES;
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{ChangePoint, History, World, simulate};

/// Which changes an ordinary test run tries: every so-many-th.
const STRIDE: u64 = 9;

/// Within which a server does what it is to die at.
const WITHIN_MS: u64 = 8_000;

/// What a server does when it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// It starts after a power cut in the middle of its work.
    Recovers,
    /// It takes a snapshot.
    Takes,
    /// It starts after the others have removed what it needs from their logs.
    Loads,
}

impl Does {
    /// Changes of its disk that are tried.
    fn changes(self) -> u64 {
        match self {
            Does::Recovers => 36,
            Does::Takes => 18,
            Does::Loads => 54,
        }
    }

    /// Which changes count: those of files with this in their paths.
    fn part(self) -> &'static str {
        match self {
            Does::Takes => "/data/snapshot",
            Does::Recovers | Does::Loads => "/data",
        }
    }
}

/// Plays one death. Each change is tried twice: before and after it.
fn play(does: Does, change: u64) -> History<Report> {
    simulate(change, TraceOptions::default(), |world| {
        let scale = Scale { entries_kept: 3, snapshot_bytes: 6_000, ..Scale::default() };
        let (mut cluster, mut nemesis, mut report) = begin_with(world, &CRASHES, &scale);
        world.run_for_ms(500 + change * 37 % 500);
        // Whoever takes a snapshot leads in every second world.
        let place = (leader(&cluster).0 + change as usize % 2) % 3;
        let (victim, machine) = (cluster.servers[place].program, cluster.servers[place].machine);
        match does {
            Does::Takes => {}
            Does::Recovers | Does::Loads => {
                world.crash(machine);
                let before = snapshots(world);
                world.run_for_ms(if does == Does::Loads { 3_000 } else { 200 });
                world.power_on(machine);
                world.start(victim);
                report.counts.insert("snapshots before".to_string(), before);
            }
        }
        let (passing, after) = (change / 2, change % 2 == 1);
        let moment = ChangePoint { part: does.part(), passing, after };
        world.kill_at_change(victim, Some(moment));
        let died = world.run_until(WITHIN_MS, |world| !world.lives(victim));
        report.expect(died, "nobody died");
        if (change / 2).is_multiple_of(2) {
            world.crash(machine);
        }
        world.run_for_ms(change % 50);
        world.power_on(machine);
        world.start(victim);
        let report = conclude(world, &mut cluster, &mut nemesis, report, false);
        let sent = snapshots(world);
        let before = report.counts.get("snapshots before").copied().unwrap_or(sent);
        let received = u64::from(sent > before);
        let mut report = report;
        report.counts.insert("loaded".to_string(), received);
        report
    })
}

/// Snapshots that were sent to somebody so far.
fn snapshots(world: &World) -> u64 {
    world.with(|state| state.network.snapshots_sent)
}

#[test]
fn nothing_is_lost_whichever_change_is_the_last() {
    let stride = number("FTCHAT_SIM_STEPS", STRIDE);
    let deaths: Vec<(Does, u64)> = [Does::Recovers, Does::Takes, Does::Loads]
        .into_iter()
        .flat_map(|does| (0..2 * does.changes()).step_by(stride as usize).map(move |at| (does, at)))
        .collect();
    let (wrong, loaded) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    in_parallel(&deaths, |(does, change)| {
        let history = play(*does, *change);
        let count = history.value.counts.get("loaded").copied().unwrap_or(0);
        if *does == Does::Loads {
            loaded.fetch_add(count as usize, Ordering::Relaxed);
        }
        note(&wrong, &format!("{does:?}, change {change}"), history);
    });
    check(wrong, deaths.len());
    let loads = deaths.iter().filter(|(does, _)| *does == Does::Loads).count();
    let loaded = loaded.into_inner();
    println!(
        "{} deaths; {loaded} of {loads} that came back late were sent a snapshot",
        deaths.len()
    );
    assert!(2 * loaded > loads, "only {loaded} of {loads} were sent a snapshot");
}
