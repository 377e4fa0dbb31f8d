//! Messages are kept for a time that was said, and go when the clocks of a majority say so.
//!
//! One clock that is ten years ahead, that of a leader, makes no message go: the oracle finds
//! every one in its place, whoever dies meanwhile. And when all clocks have gone on,
//! thousands of messages go in many entries, while servers die in between; none is left
//! over, and all replicas are alike at every index.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ftchat::backup::{self, Target};
use ftchat::host::Host;
use ftchat::planted::{Bug, plant};
use ftchat::protocol::administration::RequestedChange;

use super::restoring::{Shared, administrator, ids_in};
use super::scale::Scale;
use super::swift::{check, note};
use super::users::{Author, Users, change_limits};
use super::{Cluster, PROGRESS_MAX_MS, Report, begin_with, conclude};
use crate::faults::{Fault, Nemesis, Plan};
use crate::recipes::NETWORK;
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{Exit, History, World, simulate};

/// For how long messages are kept.
const KEEP_DAYS: u32 = 30;

/// What the clock of a leader is off by.
const TEN_YEARS_MS: i64 = 10 * 365 * DAY_MS;

/// What all clocks go on by: more than messages are kept, and less than sessions last.
const GOES_ON_MS: i64 = 40 * DAY_MS;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Messages that go, in many entries.
const MESSAGES: usize = 1_500;

/// Worlds of each kind in an ordinary test run.
const SEEDS: u64 = 4;

/// How long somebody with the cluster's key goes on without getting any further.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is done to servers whose clocks are right.
const FAULTS: &[(Fault, u64)] =
    &[(Fault::Terminate, 2), (Fault::Kill, 4), (Fault::KillAtCall, 4), (Fault::Freeze, 2)];

/// Sets for how long messages are kept, however long that takes.
async fn keep(host: &Host, users: &Users) -> Exit {
    let limits = RequestedChange::SetLimits {
        account_bytes: None,
        total_bytes: None,
        keep_messages_days: KEEP_DAYS,
    };
    change_limits(host, users, TIMEOUT, limits).await
}

/// Looks until no message is left.
async fn until_empty(host: &Host, users: &Users) -> Exit {
    loop {
        let buffer = Shared::default();
        let target = Target::Stream(Box::new(buffer.clone()));
        let taken = backup::take(&administrator(host, users, TIMEOUT), target, true, &|_| {}).await;
        if taken.is_ok() && ids_in(&buffer.bytes())?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether somebody does this to its end in a minute.
fn done(
    world: &mut World,
    cluster: &Cluster,
    name: &str,
    work: impl AsyncFn(&Host, &Users) -> Exit + Clone + 'static,
    mut meanwhile: impl FnMut(&mut World),
) -> bool {
    let machine = world.add_machine(name);
    let users = cluster.users.clone();
    let program = world.install(machine, name, move |host| {
        let (users, work) = (users.clone(), work.clone());
        Box::pin(async move { work(&host, &users).await })
    });
    world.start(program);
    world.run_until(2 * PROGRESS_MAX_MS, |world| {
        meanwhile(world);
        world.exit(program).is_some()
    }) && world.exit(program) == Some(Ok(()))
}

/// The clock of who leads first is ten years ahead again and again.
fn play_ahead(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let scale = Scale { restores: false, ..Scale::of_seed(seed) };
        let (mut cluster, _, mut report) = begin_with(world, &NETWORK, &scale);
        let is_set = done(world, &cluster, "operator", keep, |_| {});
        report.expect(is_set, "how long messages are kept is set");
        let plan = Plan::one_at_a_time(&cluster.servers, FAULTS);
        let mut nemesis = Nemesis::new(world, plan);
        nemesis.learn_begun();
        // It is always the same one: what others have heard of a clock they believe for a
        // while, and two that are wrong together would be right.
        let leader = cluster.observed(|observed| observed.leader.1).unwrap_or_default();
        let machine = cluster.servers[leader].machine;
        for round in 0..8 {
            let set = |world: &mut World, ms| {
                world.with(|state| state.machines[machine.0].clock_far_ms = ms);
            };
            set(world, TEN_YEARS_MS);
            world.run_until(1_500 + 300 * round, |world| {
                // At first it leads, and nothing else is wrong.
                if round > 0 {
                    nemesis.step(world);
                }
                false
            });
            set(world, 0);
            world.run_for_ms(500);
        }
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

/// What is stored, as the one says that has least.
fn stored(cluster: &Cluster) -> u64 {
    cluster.observed(|observed| observed.stored.values().min().copied().unwrap_or_default())
}

/// All clocks go on by more than messages are kept, and leaders die while those go. Counts
/// deaths after which there was more to go.
fn play_long(seed: u64, interrupted: &AtomicU64) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let (mut cluster, _, mut report) = begin_with(world, &NETWORK, &Scale::default());
        cluster.users.quiet.store(true, Ordering::Relaxed);
        let rest = world.run_until(PROGRESS_MAX_MS, |_| {
            cluster.users.resting.load(Ordering::Relaxed) == cluster.residents.len()
        });
        report.expect(rest, "users came to rest");
        for (_, resident) in std::mem::take(&mut cluster.residents) {
            world.kill(resident);
        }
        let write = async |host: &Host, users: &Users| {
            Author::run(host, users, MESSAGES, 10).await?;
            keep(host, users).await
        };
        report.expect(done(world, &cluster, "author", write, |_| {}), "all was written");
        let go_on = |world: &mut World, ms| {
            world.with(|state| {
                state.machines.iter_mut().for_each(|machine| machine.clock_skew_ms += ms);
            });
        };
        // A mark is made of it on the next day.
        go_on(world, DAY_MS);
        world.run_for_ms(4_000);
        go_on(world, GOES_ON_MS);
        let mut before = stored(&cluster);
        let mut deaths = 0;
        while world.run_until(4_000, |_| stored(&cluster) < before) {
            interrupted.fetch_add(u64::from(deaths > 0), Ordering::Relaxed);
            before = stored(&cluster);
            deaths += 1;
            let leader = cluster.observed(|observed| observed.leader.1).unwrap_or_default();
            // Now and then it is another one that dies.
            let dies = (leader + usize::from(deaths % 3 == 0)) % 3;
            let program = cluster.servers[dies].program;
            world.kill(program);
            world.run_for_ms(seed * 37 % 300);
            world.start(program);
        }
        report.expect(deaths > 0, "messages went");
        report.expect(done(world, &cluster, "reader", until_empty, |_| {}), "all messages went");
        let equal = world.run_until(PROGRESS_MAX_MS, |_| {
            cluster.observed(|observed| {
                let first = observed.applied[0];
                first.is_some() && observed.applied.iter().all(|it| *it == first)
            })
        });
        report.expect(equal, "all replicas come together");
        cluster.observed(|observed| {
            report.violations.extend_from_slice(observed.replicas.violations());
        });
        report
    })
}

fn seeds() -> Vec<u64> {
    let first = number("FTCHAT_SIM_FROM", 0);
    (first..first + number("FTCHAT_SIM_SEEDS", SEEDS)).collect()
}

#[test]
fn a_leader_whose_clock_is_ten_years_ahead_makes_no_message_go() {
    let wrong = Mutex::new(Vec::new());
    in_parallel(&seeds(), |seed| note(&wrong, &format!("world {seed}"), play_ahead(*seed, None)));
    check(wrong, seeds().len());
}

#[test]
fn one_that_believes_its_own_clock_is_found() {
    let found = seeds().iter().any(|seed| {
        let history = play_ahead(*seed, Some(Bug::TrustOwnClock));
        !history.value.violations.is_empty()
    });
    assert!(found, "nobody missed a message");
}

#[test]
fn servers_that_die_while_messages_go_leave_none_over() {
    let (wrong, interrupted) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    in_parallel(&seeds(), |seed| {
        note(&wrong, &format!("world {seed}"), play_long(*seed, &interrupted));
    });
    check(wrong, seeds().len());
    assert!(interrupted.into_inner() > 0, "nobody died in between");
}
