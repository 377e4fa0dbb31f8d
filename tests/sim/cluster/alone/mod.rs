//! Servers that have no majority go on, with people on all sides who are content with that.
//!
//! Links are cut, one way as well, machines lose their power, processes freeze, disks stall
//! and clocks jump, mostly two at a time: so again and again each server is alone, sometimes
//! all three at once. On one host they are killed and adopted, too. Meanwhile people do what
//! people do:
//!
//! - [`people`] write, message by message and line by line, to one or to several, and one
//!   follows; [`tidying`] marks and deletes; [`watching`] looks at one server again and again.
//! - [`strict`] is content with nothing less than a majority.
//! - [`guest`]: accounts that are deleted, and somebody else comes under the same name.
//! - [`sessions`] end, as a majority knows, or one server.
//!
//! When all is well again, [`judge`] and [`judge_sessions`] compare what they were told
//! ([`diary`]) with what came of it: every message that anybody accepted is in all inboxes that
//! it is for, once, in its order, or its author was told why not, once.
//!
//! What such worlds do not come to by chance is [`directed`] on a [`stage`]. [`planted`] breaks each
//! rule, to prove that it would be seen.

mod diary;
mod directed;
mod guest;
mod judge;
mod judge_sessions;
mod people;
mod planted;
mod sessions;
mod stage;
mod strict;
mod tidying;
mod watching;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use ftchat::host::Host;
use ftchat::limits::FEATURE_LEVEL_KNOWN;
use ftchat::planted::{Bug, plant};

use self::diary::{READER, READERS, SharedDiary};
use self::guest::{GUEST, come_and_go};
use self::people::{follow, known, read_all, write};
pub use self::planted::bugs;
use self::sessions::{LEAVER, come_and_log_out};
use self::strict::{STRICT, insist};
use self::tidying::tidy_up;
use self::watching::watch;
use super::scale::Scale;
use super::swift::{check, note};
use super::users::Users;
use super::{Cluster, PROGRESS_MAX_MS, Report};
use crate::faults::{Fault, Nemesis, Plan};
use crate::recipes::{NETWORK, Recipe, SURVIVORS};
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{Exit, History, ProgramId, World, simulate};

/// Worlds in an ordinary test run, and of these the ones on one host.
const SEEDS: u64 = 16;
const SEEDS_OF_HOST: u64 = 2;

/// Those who write.
const WRITERS: &[&str] = &["ann", "ben", "cat"];

/// The one of them who stays at one server.
const STAYS: &str = "cat";

/// For how long things go wrong.
const LASTS_MS: u64 = 32_000;

/// What goes wrong between machines. Nobody loses what was on a disk: an unconfirmed message
/// is on one.
const FAULTS: &[(Fault, u64)] = &[
    (Fault::Terminate, 1),
    (Fault::Kill, 2),
    (Fault::KillAtCall, 3),
    (Fault::Crash, 3),
    (Fault::Freeze, 4),
    (Fault::Isolate, 8),
    (Fault::OneWay, 4),
    (Fault::StallDisk, 1),
    (Fault::FullDisk, 1),
    (Fault::ClockJump, 1),
];

/// What goes wrong on one host: who is killed is adopted, and who is frozen is not.
const FAULTS_OF_HOST: &[(Fault, u64)] =
    &[(Fault::Terminate, 1), (Fault::Kill, 3), (Fault::KillAtCall, 3), (Fault::Freeze, 12)];

/// Where the servers are.
#[derive(Clone, Copy, Debug)]
enum Where {
    /// Each on a machine of its own.
    Apart,
    /// All on one host, where they adopt each other.
    OneHost,
}

impl Where {
    fn recipe(self) -> &'static Recipe {
        match self {
            Where::Apart => &NETWORK,
            Where::OneHost => &SURVIVORS,
        }
    }

    fn faults(self) -> &'static [(Fault, u64)] {
        match self {
            Where::Apart => FAULTS,
            Where::OneHost => FAULTS_OF_HOST,
        }
    }
}

/// Starts somebody on a machine of their own.
fn install(
    world: &mut World,
    cluster: &Cluster,
    diary: &SharedDiary,
    name: &'static str,
    main: Main,
) -> ProgramId {
    let machine = world.add_machine(name);
    let (users, diary) = (cluster.users.clone(), diary.clone());
    let program = world.install(machine, name, move |host| {
        let (users, diary) = (users.clone(), diary.clone());
        Box::pin(async move { main.run(&host, &users, &diary, name).await })
    });
    world.start(program);
    program
}

/// Whether all servers say that they know and follow the newest feature level.
fn are_at_newest_level(cluster: &Cluster) -> bool {
    cluster.observed(|observed| {
        let levels = &observed.levels;
        levels.len() == cluster.servers.len()
            && levels.values().all(|level| *level == FEATURE_LEVEL_KNOWN)
    })
}

/// What somebody does.
#[derive(Clone, Copy)]
enum Main {
    Registers,
    Writes,
    Follows,
    TidiesUp,
    Watches,
    Insists,
    ComesAndGoes,
    LogsOut,
    Reads,
}

impl Main {
    async fn run(
        self,
        host: &Host,
        users: &Users,
        diary: &SharedDiary,
        name: &'static str,
    ) -> Exit {
        match self {
            Main::Registers => known(host, users, diary, name).await.map(drop),
            Main::Writes => write(host, users, diary, (name, name == STAYS)).await,
            Main::Follows => follow(host, users, diary).await,
            Main::TidiesUp => tidy_up(host, users, diary).await,
            Main::Watches => watch(host, users, diary).await,
            Main::Insists => insist(host, users, diary).await,
            Main::ComesAndGoes => come_and_go(host, users, diary).await,
            Main::LogsOut => come_and_log_out(host, users, diary).await,
            Main::Reads => read_all(host, users, diary).await,
        }
    }
}

/// Those who live in a world, each with the name of its program.
struct People {
    all: Vec<(&'static str, ProgramId)>,
}

impl People {
    /// Has everybody begin.
    fn begin(
        world: &mut World,
        cluster: &Cluster,
        diary: &SharedDiary,
        report: &mut Report,
    ) -> People {
        let mut all = Vec::new();
        let registered = |count: usize| diary.look(|diary| diary.tokens.len() == count);
        let mut add = |world: &mut World, name: &'static str, main: Main| {
            all.push((name, install(world, cluster, diary, name, main)));
        };
        add(world, READER, Main::Follows);
        let ready = world.run_until(20_000, |_| registered(1) && are_at_newest_level(cluster));
        report.expect(ready, "nobody could begin");
        for name in &READERS[1..] {
            add(world, name, Main::Registers);
        }
        let readers = world.run_until(20_000, |_| registered(READERS.len()));
        for name in WRITERS {
            add(world, name, Main::Writes);
        }
        add(world, STRICT, Main::Insists);
        add(world, GUEST, Main::ComesAndGoes);
        add(world, LEAVER, Main::LogsOut);
        let count = READERS.len() + WRITERS.len() + 3;
        let writers = world.run_until(20_000, |_| registered(count));
        report.expect(readers && writers, "not all could begin");
        add(world, "tidier", Main::TidiesUp);
        add(world, "watcher", Main::Watches);
        People { all }
    }

    /// Whether all have ended but the one who follows for ever.
    fn rest(&self, world: &World) -> bool {
        self.all.iter().all(|(name, program)| *name == READER || world.exit(*program).is_some())
    }

    /// Notes who has ended with a defect, and ends the others.
    fn end(&self, world: &mut World, report: &mut Report) {
        for (name, program) in &self.all {
            match world.exit(*program) {
                Some(Err(error)) => report.violations.push(format!("{name}: {error}")),
                Some(Ok(())) => {}
                None => world.kill(*program),
            }
        }
    }
}

/// Whether no server is alone, or holds anything that the log has not settled.
fn is_settled(cluster: &Cluster) -> bool {
    cluster.observed(|observed| {
        let unsettled = &observed.unsettled;
        unsettled.len() == cluster.servers.len() && unsettled.values().all(|it| !it)
    })
}

fn play(place: Where, seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let mut report = Report::default();
        let scale = Scale { goes_alone: true, ..Scale::default() };
        let cluster = Cluster::new(world, place.recipe(), &scale);
        let diary = SharedDiary::default();
        let people = People::begin(world, &cluster, &diary, &mut report);
        let plan = Plan {
            servers: cluster.servers.clone(),
            faults: place.faults().to_vec(),
            at_once: 2,
            pause_ms: 900,
            lasts_ms: (500, 9_000),
            fillers: Vec::new(),
        };
        let mut nemesis = Nemesis::new(world, plan);
        nemesis.learn_begun();
        let end_ms = world.now_ms() + LASTS_MS;
        while world.now_ms() < end_ms {
            nemesis.step(world);
            world.tick();
        }
        nemesis.stop(world);
        cluster.users.quiet.store(true, Ordering::Relaxed);
        let rest = world.run_until(PROGRESS_MAX_MS, |world| {
            nemesis.restart_exited(world, world.now_ms());
            people.rest(world) && is_settled(&cluster)
        });
        report.expect(rest, "not all came to rest");
        let reads = install(world, &cluster, &diary, "reads", Main::Reads);
        let read = world.run_until(PROGRESS_MAX_MS, |world| world.exit(reads).is_some());
        match world.exit(reads) {
            Some(Err(error)) => report.violations.push(format!("reading: {error}")),
            _ => report.expect(read, "the inboxes could not be read"),
        }
        world.run_for_ms(5_000);
        people.end(world, &mut report);
        if rest && world.exit(reads) == Some(Ok(())) {
            diary.look(|diary| judge::judge(diary, &mut report));
        }
        cluster.observed(|observed| {
            report.violations.extend_from_slice(observed.replicas.violations());
            report.counts.insert("adoptions".to_string(), observed.adoptions);
        });
        report.counts.extend(nemesis.counts().clone());
        report
    })
}

/// How often things happen in a world, at least, and how often in all of them: what is to be
/// proved must happen.
const FLOORS: &[(&str, u64, u64)] = &[
    ("acknowledged alone", 10, 0),
    ("acknowledged alone to several", 1, 0),
    ("acknowledged alone to who had left", 0, 1),
    ("acknowledged alone, and the author left", 0, 2),
    ("acknowledged strictly", 5, 0),
    ("found no majority", 0, 3),
    ("notices of ended sessions", 0, 2),
    ("taken after its session was over", 0, 1),
    ("sessions ended alone", 0, 2),
    ("shown before they were confirmed", 1, 0),
    ("marked", 10, 0),
    ("deleted", 1, 0),
    ("looks at what is unconfirmed", 10, 0),
];

/// The same on one host.
const FLOORS_OF_HOST: &[(&str, u64, u64)] = &[
    ("acknowledged alone", 1, 0),
    ("acknowledged strictly", 5, 0),
    ("adoptions", 1, 0),
    ("shown before they were confirmed", 0, 1),
];

fn play_all(place: Where, worlds: u64, floors: &[(&str, u64, u64)]) {
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds: Vec<u64> = (first..first + number("FTCHAT_SIM_SEEDS", worlds)).collect();
    let (wrong, counted) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, u64>::new()));
    in_parallel(&seeds, |seed| {
        let history = play(place, *seed, None);
        for (what, count) in &history.value.counts {
            *counted.lock().expect("no panic while held").entry(what.clone()).or_default() += count;
        }
        note(&wrong, &format!("world {seed}"), history);
    });
    let counted = counted.into_inner().expect("no panic while held");
    println!("{place:?}, {} worlds: {counted:#?}", seeds.len());
    check(wrong, seeds.len());
    for (what, a_world, in_all) in floors {
        let count = counted.get(*what).copied().unwrap_or_default();
        let least = a_world * seeds.len() as u64 + in_all;
        // A world alone may have had none.
        assert!(count >= least || seeds.len() < worlds as usize, "{what}: {counted:?}");
    }
}

#[test]
fn what_servers_take_alone_is_delivered_once_in_order_and_shown_once() {
    play_all(Where::Apart, SEEDS, FLOORS);
}

#[test]
fn on_one_host_servers_are_adopted_and_go_alone_and_nothing_is_lost() {
    play_all(Where::OneHost, SEEDS_OF_HOST, FLOORS_OF_HOST);
}
