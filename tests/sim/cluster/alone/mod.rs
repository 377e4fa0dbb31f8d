//! Servers that have no majority go on, with people on all sides who are content with that.
//!
//! Links are cut, one way as well, machines lose their power, processes freeze, disks stall
//! and clocks jump, mostly two at a time: so again and again each server is alone, sometimes
//! all three at once. Meanwhile people send to one reader, message by message and line by
//! line, and the reader follows, marks and deletes. When all is well again, every message that anybody
//! accepted is in the reader's inbox, once, the lines of a stream in their order; what was
//! given up, as nothing was done of it, is not; following has shown each once; what was marked
//! is read, and what was deleted is gone.

mod people;
mod tidying;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use ftchat::limits::FEATURE_LEVEL_KNOWN;
use ftchat::planted::{Bug, plant};
use ftchat::types::Uuid;

use self::people::{Confirmed, Diary, READER, SharedDiary, follow, read_all, write};
use self::tidying::tidy_up;
use super::scale::Scale;
use super::swift::{check, note};
use super::{Cluster, PROGRESS_MAX_MS, Report};
use crate::faults::{Fault, Nemesis, Plan};
use crate::recipes::NETWORK;
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, ProgramId, World, simulate};

/// Worlds in an ordinary test run.
const SEEDS: u64 = 16;

/// Those who write.
const WRITERS: &[&str] = &["ann", "ben", "cat"];

/// For how long things go wrong.
const LASTS_MS: u64 = 40_000;

/// What goes wrong. Nobody loses what was on a disk: an unconfirmed message is on one.
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
        Box::pin(async move {
            match main {
                Main::Writes => write(&host, &users, &diary, name).await,
                Main::Follows => follow(&host, &users, &diary).await,
                Main::TidiesUp => tidy_up(&host, &users, &diary).await,
                Main::Reads => read_all(&host, &users, &diary).await,
            }
        })
    });
    world.start(program);
    program
}

/// Whether all servers say that they know and follow the newest feature level.
fn are_at_newest_level(cluster: &Cluster) -> bool {
    cluster.observed(|observed| {
        let levels = &observed.levels;
        levels.len() == 3 && levels.values().all(|level| *level == FEATURE_LEVEL_KNOWN)
    })
}

/// What somebody does.
#[derive(Clone, Copy)]
enum Main {
    Writes,
    Follows,
    TidiesUp,
    Reads,
}

fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let mut report = Report::default();
        let scale = Scale { goes_alone: true, ..Scale::default() };
        let mut cluster = Cluster::new(world, &NETWORK, &scale);
        let diary = SharedDiary::default();
        let reader = install(world, &cluster, &diary, READER, Main::Follows);
        let registered = |count: usize| diary.look(|diary| diary.tokens.len() == count);
        let ready = world.run_until(20_000, |_| registered(1) && are_at_newest_level(&cluster));
        report.expect(ready, "nobody could begin");
        let writers: Vec<(&str, ProgramId)> = WRITERS
            .iter()
            .map(|name| (*name, install(world, &cluster, &diary, name, Main::Writes)))
            .collect();
        world.run_until(20_000, |_| registered(1 + WRITERS.len()));
        let tidier = install(world, &cluster, &diary, "tidier", Main::TidiesUp);
        let plan = Plan {
            servers: cluster.servers.clone(),
            faults: FAULTS.to_vec(),
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
            writers.iter().all(|(_, writer)| world.exit(*writer).is_some())
                && world.exit(tidier).is_some()
                && cluster.observed(|observed| {
                    let unsettled = &observed.unsettled;
                    unsettled.len() == 3 && unsettled.values().all(|it| !it)
                })
        });
        report.expect(rest, "not all came to rest");
        for (name, program) in writers.iter().chain(&[(READER, reader), ("tidier", tidier)]) {
            if let Some(Err(error)) = world.exit(*program) {
                report.violations.push(format!("{name}: {error}"));
            }
        }
        let reads = install(world, &cluster, &diary, "reads", Main::Reads);
        let read = world.run_until(PROGRESS_MAX_MS, |world| world.exit(reads).is_some());
        report.expect(read, "the inbox could not be read");
        world.run_for_ms(5_000);
        judge(&diary, &mut report);
        let observed = cluster.observed(|observed| observed.replicas.violations().to_vec());
        report.violations.extend(observed);
        report.counts.extend(nemesis.counts().clone());
        for (_, program) in writers.iter().chain(&[(READER, reader), ("tidier", tidier)]) {
            if world.exit(*program).is_none() {
                world.kill(*program);
            }
        }
        cluster.removed.clear();
        report
    })
}

/// Compares what people were told with what came of it.
fn judge(diary: &SharedDiary, report: &mut Report) {
    diary.look(|diary| {
        let mut places: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
        for Confirmed { id, seq, read, .. } in &diary.inbox {
            if diary.deleted.contains(id) {
                report.violations.push(format!("{id} was deleted, and is there"));
            }
            if diary.marked.contains(id) && !read {
                report.violations.push(format!("{id} was marked, and is not read"));
            }
            places.entry(*id).or_default().push(*seq);
        }
        for (id, it) in &diary.acknowledged {
            match places.get(id).map_or(&[][..], Vec::as_slice) {
                [_] => {}
                [] if diary.deleting.contains(id) => {}
                other => report.violations.push(format!("{id} stands at {other:?}: {it:?}")),
            }
        }
        for Confirmed { id, text, .. } in &diary.inbox {
            if diary.acknowledged.get(id).is_some_and(|it| it.text != *text) {
                report.violations.push(format!("{id} has another text: {text}"));
            }
            let shown = diary.shown.get(id).copied().unwrap_or_default();
            if shown != 1 && !(shown == 0 && diary.deleting.contains(id)) {
                report.violations.push(format!("following showed {id} {shown} times: {text}"));
            }
        }
        for id in diary.given_up.iter().filter(|id| places.contains_key(id)) {
            report.violations.push(format!("{id} is there, of which nothing was done"));
        }
        let gone = |id: &&Uuid| !places.contains_key(*id) && !diary.deleting.contains(*id);
        for id in diary.shown.keys().filter(gone) {
            report.violations.push(format!("following showed {id}, which is nowhere"));
        }
        judge_order(diary, &places, report);
        let early = diary.acknowledged.values().filter(|it| !it.confirmed).count();
        for (what, count) in [
            ("acknowledged", diary.acknowledged.len()),
            ("acknowledged alone", early),
            ("given up", diary.given_up.len()),
            ("marked", diary.marked.len()),
            ("deleted", diary.deleted.len()),
            ("overtaken", diary.order.values().flatten().filter(|(_, it)| *it).count()),
            ("shown before they were confirmed", diary.shown_early.len()),
        ] {
            report.counts.insert(what.to_string(), count as u64);
        }
    });
}

/// Whether lines of a stream, and separate messages of a writer, stand in their order.
fn judge_order(diary: &Diary, places: &BTreeMap<Uuid, Vec<u64>>, report: &mut Report) {
    let mut streams: BTreeMap<Uuid, Vec<(u64, u64)>> = BTreeMap::new();
    for (id, it) in &diary.acknowledged {
        if let (Some((stream, line)), Some([seq])) = (it.stream, places.get(id).map(|it| &it[..])) {
            streams.entry(stream).or_default().push((line, *seq));
        }
    }
    for (stream, mut lines) in streams {
        lines.sort_unstable();
        if !lines.is_sorted_by_key(|(_, seq)| *seq) {
            report.violations.push(format!("lines of {stream} are out of order: {lines:?}"));
        }
    }
    for (name, sent) in &diary.order {
        for two in sent.windows(2) {
            let [(before, _), (id, overtakes)] = two else { unreachable!("two at a time") };
            // What was deleted stands nowhere.
            if let (Some(before_at), Some(at)) = (places.get(before), places.get(id))
                && !overtakes
                && before_at > at
            {
                report.violations.push(format!("{name}'s {id} overtook {before}"));
            }
        }
    }
}

/// What would bring lines out of order, or show a message twice.
const BUGS: &[Bug] = &[
    Bug::LeaveBehindWhatWaits,
    Bug::OvertakeWhatIsNotSettled,
    Bug::ForgetTheMessageBefore,
    Bug::ShowAgainWhenConfirmed,
];

/// Worlds in which a bug must have shown itself.
const FOUND_WITHIN: u64 = 40;

#[test]
fn whatever_breaks_a_rule_of_going_alone_is_found() {
    let missed = Mutex::new(Vec::new());
    in_parallel(BUGS, |bug| {
        let finds = |seed: u64| {
            let history = play(seed, Some(*bug));
            !history.value.violations.is_empty() || !history.failures.is_empty()
        };
        if !(1..=FOUND_WITHIN).any(finds) {
            missed.lock().expect("no panic while held").push(*bug);
        }
    });
    assert_eq!(missed.into_inner().expect("no panic while held"), Vec::<Bug>::new());
}

#[test]
fn what_servers_take_alone_is_delivered_once_in_order_and_shown_once() {
    let first = number("FTCHAT_SIM_FROM", 1);
    let seeds: Vec<u64> = (first..first + number("FTCHAT_SIM_SEEDS", SEEDS)).collect();
    let (wrong, counted) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, u64>::new()));
    in_parallel(&seeds, |seed| {
        let history = play(*seed, None);
        for (what, count) in &history.value.counts {
            *counted.lock().expect("no panic while held").entry(what.clone()).or_default() += count;
        }
        note(&wrong, &format!("world {seed}"), history);
    });
    check(wrong, seeds.len());
    // What is to be proved did happen.
    let counted = counted.into_inner().expect("no panic while held");
    for (what, a_world) in [
        ("acknowledged alone", 10),
        ("shown before they were confirmed", 1),
        ("marked", 10),
        ("deleted", 1),
    ] {
        assert!(counted[what] > a_world * seeds.len() as u64, "{what}: {counted:?}");
    }
}
