//! How soon another server leads when servers of one host die: by evidence, not by
//! waiting. And how soon all goes on when one is frozen and another leads.
//!
//! Simulated time is exact, so a bound on it does not depend on luck: an election timeout
//! takes at least [`TIMEOUT_MIN_MS`]. The disks are steady, so that no slow disk adds to
//! what is measured.

use std::sync::Mutex;

use super::{Cluster, Report, begin, conclude};
use crate::disk::LostEnd;
use crate::faults::Nemesis;
use crate::oracle::{Call, Line, Operation, Stream};
use crate::recipes::Recipe;
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{ChangePoint, History, World, simulate};

/// The shortest election timeout of these servers.
const TIMEOUT_MIN_MS: u64 = 300;

/// Within which somebody must lead. Disks and links of this world take up to
/// some milliseconds for everything that is asked of them, and what the servers
/// say is looked at every 20 ms.
const LEADS_WITHIN_MS: u64 = 200;

/// Within which everything that was asked before the leader froze is answered
/// once another leads. Whoever waits for the frozen one's connection to be given
/// up waits longer than this in a third of the worlds.
const ANSWERED_WITHIN_MS: u64 = 100;

/// Worlds of every kind in an ordinary test run.
const SEEDS: u64 = 6;

/// Who dies.
#[derive(Clone, Copy, Debug)]
enum Dies {
    /// The leader.
    Leader,
    /// The leader and one more at once.
    LeaderAndOne,
    /// The leader, and whoever campaigns then, as soon as its vote for itself is
    /// on its disk.
    LeaderAndCandidate,
    /// The leader, and whoever leads then.
    LeaderAndNext,
    /// The leader, as soon as a server that was dead for a while is back.
    LeaderAfterReturn,
    /// The leader, while a server that was dead for a while is coming up.
    LeaderDuringReturn,
    /// The leader, when a server that has lost the end of its log is back and does not vote.
    LeaderAfterLoss,
}

/// A cluster that has begun, on disks that are steady from now on.
pub(super) fn begin_steady(world: &mut World) -> (Cluster, Nemesis, Report) {
    let begun = begin(world);
    world.with(|state| {
        for machine in &mut state.machines {
            machine.health.steady = true;
        }
    });
    begun
}

/// Plays one world. All servers have been restarted before: a voter that has
/// written nothing since its process started is as good a leader as any.
fn play(seed: u64, dies: Dies) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin_steady(world);
        restart_all(world, &cluster, seed, &mut report);
        let (leader, term) = leader(&cluster);
        match dies {
            Dies::Leader => world.kill(cluster.servers[leader].program),
            Dies::LeaderAndOne => {
                world.kill(cluster.servers[leader].program);
                world.kill(cluster.servers[(leader + 1 + (seed % 2) as usize) % 3].program);
            }
            Dies::LeaderAndCandidate => {
                kill_with_candidate(world, &cluster, leader, &mut report);
            }
            Dies::LeaderAfterReturn => {
                kill_after_return(world, &cluster, leader, seed, &mut report);
            }
            Dies::LeaderDuringReturn => {
                let away = (leader + 1 + (seed % 2) as usize) % 3;
                world.kill(cluster.servers[away].program);
                world.run_for_ms(1_000 + seed);
                world.start(cluster.servers[away].program);
                world.run_for_ms(2 * (seed % 32));
                world.kill(cluster.servers[leader].program);
            }
            Dies::LeaderAfterLoss => {
                kill_after_loss(world, &cluster, leader, seed, &mut report);
            }
            Dies::LeaderAndNext => {
                world.kill(cluster.servers[leader].program);
                await_leader(world, &cluster, term, &mut report);
                world.run_for_ms(seed % 500);
            }
        }
        let term = match dies {
            Dies::Leader
            | Dies::LeaderAndOne
            | Dies::LeaderAndCandidate
            | Dies::LeaderAfterReturn
            | Dies::LeaderAfterLoss
            | Dies::LeaderDuringReturn => term,
            Dies::LeaderAndNext => {
                let (next, term) = self::leader(&cluster);
                world.kill(cluster.servers[next].program);
                term
            }
        };
        await_leader(world, &cluster, term, &mut report);
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

/// Restarts the servers, one after the other.
fn restart_all(world: &mut World, cluster: &Cluster, seed: u64, report: &mut Report) {
    for server in 0..cluster.servers.len() {
        world.kill(cluster.servers[server].program);
        world.run_for_ms(100);
        world.start(cluster.servers[server].program);
        let back = world.run_until(5_000, |world| {
            world.now_ms().is_multiple_of(50)
                && cluster.observed(|observed| {
                    let own = observed.hosting.get(&server) == Some(&1);
                    own && observed.applied.iter().all(Option::is_some)
                })
        });
        report.expect(back, "a server did not come back within 5 s");
        world.run_for_ms(500 + seed % 100);
    }
}

/// See [`Dies::LeaderAndCandidate`].
fn kill_with_candidate(world: &mut World, cluster: &Cluster, leader: usize, report: &mut Report) {
    let others = [1, 2].map(|after| cluster.servers[(leader + after) % 3].program);
    let voted = ChangePoint { part: "vote.json.tmp to", passing: 0, after: true };
    for other in others {
        world.kill_at_change(other, Some(voted));
    }
    world.kill(cluster.servers[leader].program);
    let died =
        world.run_until(LEADS_WITHIN_MS, |world| others.iter().any(|other| !world.lives(*other)));
    report.expect(died, "nobody campaigned");
    for other in others {
        world.kill_at_change(other, None);
    }
}

/// See [`Dies::LeaderAfterReturn`].
fn kill_after_return(
    world: &mut World,
    cluster: &Cluster,
    leader: usize,
    seed: u64,
    report: &mut Report,
) {
    let away = (leader + 1 + (seed % 2) as usize) % 3;
    world.kill(cluster.servers[away].program);
    world.run_for_ms(1_000 + seed);
    let before = cluster.observed(|observed| observed.applied[away]);
    world.start(cluster.servers[away].program);
    let follows =
        world.run_until(5_000, |_| cluster.observed(|observed| observed.applied[away] > before));
    report.expect(follows, "a server does not follow 5 s after its start");
    world.kill(cluster.servers[leader].program);
}

/// See [`Dies::LeaderAfterLoss`].
fn kill_after_loss(
    world: &mut World,
    cluster: &Cluster,
    leader: usize,
    seed: u64,
    report: &mut Report,
) {
    let away = &cluster.servers[(leader + 1 + (seed % 2) as usize) % 3];
    world.kill(away.program);
    world.run_for_ms(1_000 + seed);
    let lost = world.with(|state| {
        let machine = &mut state.machines[away.machine.0];
        machine.disk.lose_end(&away.folder.join("log"), LostEnd::Torn, &mut machine.random)
    });
    report.expect(lost.is_ok(), "there was no log to lose");
    let before = cluster.observed(|observed| observed.abstained);
    world.start(away.program);
    let abstains =
        world.run_until(5_000, |_| cluster.observed(|observed| observed.abstained > before));
    report.expect(abstains, "a server that lost the end of its log votes");
    world.kill(cluster.servers[leader].program);
}

/// The server that leads, or runs the replica that does, and its term.
pub(super) fn leader(cluster: &Cluster) -> (usize, u64) {
    let (term, leader) = cluster.observed(|observed| observed.leader);
    (leader.expect("somebody led when all began"), term)
}

fn await_leader(world: &mut World, cluster: &Cluster, after: u64, report: &mut Report) {
    expect_leader(world, cluster, (after, LEADS_WITHIN_MS), report);
}

/// That somebody leads in a later term within so many milliseconds; waits longer for it, to
/// tell how long it took.
pub(super) fn expect_leader(
    world: &mut World,
    cluster: &Cluster,
    (term, within_ms): (u64, u64),
    report: &mut Report,
) {
    let since_ms = world.now_ms();
    let led = world.run_until(5_000, |_| cluster.observed(|observed| observed.leader.0 > term));
    let took_ms = world.now_ms() - since_ms;
    let told = format!("another led after {took_ms} ms, and not within {within_ms} ms");
    report.expect(led && took_ms <= within_ms, &told);
}

#[test]
fn evidence_leads_to_a_leader_before_any_timeout() {
    const { assert!(LEADS_WITHIN_MS < TIMEOUT_MIN_MS) };
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds = number("FTCHAT_SIM_SEEDS", SEEDS);
    let kinds = [
        Dies::Leader,
        Dies::LeaderAndOne,
        Dies::LeaderAndCandidate,
        Dies::LeaderAndNext,
        Dies::LeaderAfterReturn,
        Dies::LeaderDuringReturn,
        Dies::LeaderAfterLoss,
    ];
    let worlds: Vec<(Dies, u64)> = kinds
        .into_iter()
        .flat_map(|dies| (first..first + seeds).map(move |seed| (dies, seed)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&worlds, |(dies, seed)| {
        note(&wrong, &format!("{dies:?} in world {seed}"), play(*seed, *dies));
    });
    check(wrong, worlds.len());
}

/// Whether nobody waits for an operation. A pipeline that has failed never tells of
/// the lines behind the one that failed.
fn is_told(operation: &Operation) -> bool {
    let pipelined = |line: &Line| matches!(line.of, Stream::Pipeline);
    operation.ended.is_some()
        || matches!(&operation.call, Call::Send { line, .. } if line.as_ref().is_some_and(pipelined))
}

/// Freezes the leader, and looks at what users wait for when another leads.
fn freeze(seed: u64) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin_steady(world);
        world.run_for_ms(500 + seed % 500);
        let (frozen, term) = leader(&cluster);
        let recorder = cluster.users.recorder.clone();
        let asked = recorder.look(<[_]>::len);
        world.freeze(cluster.servers[frozen].program);
        let leads =
            world.run_until(3_000, |_| cluster.observed(|observed| observed.leader.0 > term));
        report.expect(leads, "nobody led 3 s after the leader froze");
        let answered = world.run_until(ANSWERED_WITHIN_MS, |_| {
            recorder.look(|operations| operations[..asked].iter().all(is_told))
        });
        let waits = recorder.look(|operations| {
            let mut waits = operations[..asked].iter().filter(|it| !is_told(it));
            waits.next().map(|it| format!("{it:?}"))
        });
        let what =
            format!("not all was answered {ANSWERED_WITHIN_MS} ms after another led: {waits:?}");
        report.expect(answered, &what);
        world.resume(cluster.servers[frozen].program);
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn nobody_waits_for_a_frozen_leader_once_another_leads() {
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds: Vec<u64> = (first..first + 2 * number("FTCHAT_SIM_SEEDS", SEEDS)).collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&seeds, |seed| note(&wrong, &format!("world {seed}"), freeze(*seed)));
    check(wrong, seeds.len());
}

/// Plays a scenario on the machines of a recipe, in so many worlds or as many as are asked for.
pub(super) fn play_all(
    recipe: &Recipe,
    seeds: u64,
    play: impl Fn(&Recipe, u64) -> History<Report> + Sync,
) {
    let seeds: Vec<u64> = (0..number("FTCHAT_SIM_SEEDS", seeds)).collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&seeds, |seed| {
        note(&wrong, &format!("{} {seed}", recipe.name), play(recipe, *seed));
    });
    check(wrong, seeds.len());
}

pub(super) fn note(wrong: &Mutex<Vec<String>>, world: &str, history: History<Report>) {
    let defects = [history.value.violations, history.failures].concat();
    if let Some(first) = defects.first() {
        wrong.lock().expect("no panic while held").push(format!("{world}: {first}"));
    }
}

pub(super) fn check(wrong: Mutex<Vec<String>>, worlds: usize) {
    let wrong = wrong.into_inner().expect("no panic while held");
    assert!(wrong.is_empty(), "{} of {worlds} failed: {wrong:#?}", wrong.len());
}
