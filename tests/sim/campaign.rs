//! Any number of seeds of the recipes that [`recipes::of_seed`] draws, on all cores,
//! with a tally that goes on where it stopped.
//!
//! ```text
//! FTCHAT_SIM_SEEDS=20000 FTCHAT_SIM_TALLY=tally.jsonl \
//!     cargo test --profile campaign --test sim -- campaign --nocapture
//! ```
//!
//! This plays seeds 1 to 20,000, each by the recipe that its number stands for
//! ([`recipes::of_seed`]), and adds a line to the tally for every [`BLOCK`] seeds. When
//! it is started again with the same tally, it plays only what is missing, and the sums
//! at the end are over all of it. A tally belongs to one build: begin a new one with
//! every change. `FTCHAT_SIM_THREADS` worlds are played at once. The profile is faster;
//! it makes the same checks as the ordinary one, except the engine's check of its whole
//! state at every step.
//!
//! Without variables it is what every test run plays: [`SEEDS_DEFAULT`] seeds of
//! fifteen simulated seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::cluster::play;
use crate::recipes;
use crate::seeds::{in_parallel, number, replay_command};
use crate::trace::TraceOptions;

/// Seeds of an ordinary test run.
const SEEDS_DEFAULT: u64 = 80;

/// Seeds that are played, and counted, in one go.
const BLOCK: u64 = 20;

/// Every seed has at least a fault for each of so many seconds.
const SECONDS: u64 = 15;

/// What must have happened in the course of [`SEEDS_DEFAULT`] seeds.
const MUST_HAPPEN: &[&str] = &[
    "acknowledged",
    "deletions",
    "repetitions",
    "unknown, then there",
    "unknown, then not there",
    "nothing done, and nothing there",
    "inbox full",
    "storage full",
    "deletions unknown",
    "marks",
    "marks unknown",
    "lines acknowledged",
    "lines refused",
    "pipelines unknown",
    "pipelines refused",
    "pipelines repeated",
    "requests failed on a connection",
    "pages cut",
    "restores",
    "came while a backup was restored",
    "logouts",
    "logouts refused",
    "sessions found ended",
    "registrations",
    "accounts deleted",
    "departures refused",
    "passwords changed",
    "surveys",
    "backups",
    "backups refused",
    "leaders",
    "adoptions",
    "hand-backs",
    "hosts of three",
    "two adopters",
    "wrote alone",
    "snapshots received",
    "disk full noticed",
    "disk full over",
    "abstained",
    "Terminate",
    "Kill",
    "KillAtCall",
    "KillAtSnapshot",
    "KillAtPurge",
    "KillMost",
    "KillAll",
    "Crash",
    "CrashAll",
    "Freeze",
    "Freeze of the leader",
    "Isolate",
    "Isolate of the leader",
    "Unplug",
    "OneWay",
    "Reset",
    "Lossy",
    "SlowLinks",
    "SlowDisk",
    "StallDisk",
    "FullDisk",
    "FailSync",
    "FlipBit",
    "Wipe",
    "ClockJump",
    "FarClock",
    "FarClock of the leader",
    "KillLeader",
    "KillWhileAdopting",
    "ReturnWhileAdopting",
    "HolderKilled",
    "StallKillStart",
];

/// What came of some seeds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Block {
    /// The first of them.
    from: u64,
    /// How many.
    seeds: u64,
    /// In how many a replica was adopted.
    with_adoption: u64,
    /// How often what happened.
    counts: BTreeMap<String, u64>,
    /// What failed, with the command that replays it.
    failed: Vec<String>,
}

impl Block {
    fn play(from: u64, end: u64) -> Block {
        let mut block = Block { from, seeds: end - from, ..Block::default() };
        for seed in from..end {
            let recipe = recipes::of_seed(seed);
            let history = play(seed, &recipe, None, TraceOptions::default());
            let mut defects = [history.value.violations, history.failures].concat();
            let counts = history.value.counts;
            let count = |what: &str| counts.get(what).copied().unwrap_or(0);
            if count("faults") < SECONDS {
                defects.push(format!("only {} faults in {SECONDS} seconds", count("faults")));
            }
            block.with_adoption += u64::from(count("adoptions") > 0);
            *block.counts.entry(format!("seeds of {}", recipe.name)).or_default() += 1;
            for (what, count) in counts {
                *block.counts.entry(what).or_default() += count;
            }
            if !defects.is_empty() {
                let shown = defects.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
                let replay = replay_command(seed, &recipe);
                block.failed.push(format!("seed {seed}:\n  {shown}\n  {replay}"));
            }
        }
        block
    }

    fn add(&mut self, other: Block) {
        self.seeds += other.seeds;
        self.with_adoption += other.with_adoption;
        self.failed.extend(other.failed);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }
}

/// Blocks that are known already, and where new ones are noted.
struct Tally {
    path: Option<PathBuf>,
    sum: Block,
    known: BTreeSet<u64>,
}

impl Tally {
    fn open() -> Tally {
        let path = std::env::var_os("FTCHAT_SIM_TALLY").map(PathBuf::from);
        let mut tally = Tally { path, sum: Block::default(), known: BTreeSet::new() };
        let read = tally.path.as_ref().map(std::fs::read_to_string);
        // The last line may be cut short; its block is played again.
        let lines = read.and_then(Result::ok).unwrap_or_default();
        for block in lines.lines().filter_map(|line| serde_json::from_str::<Block>(line).ok()) {
            if tally.known.insert(block.from) {
                tally.sum.add(block);
            }
        }
        tally
    }

    fn note(&mut self, block: Block) {
        for failed in &block.failed {
            println!("{failed}");
        }
        if let Some(path) = &self.path {
            let line = serde_json::to_string(&block).expect("plain data serializes");
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let written = file.as_mut().map(|file| writeln!(file, "{line}"));
            assert!(matches!(written, Ok(Ok(()))), "cannot write the tally {}", path.display());
        }
        self.sum.add(block);
    }
}

#[test]
fn seeds_of_all_recipes() {
    let first = number("FTCHAT_SIM_FROM", 1);
    let end = first + number("FTCHAT_SIM_SEEDS", SEEDS_DEFAULT);
    let mut tally = Tally::open();
    let blocks: Vec<u64> =
        (first..end).step_by(BLOCK as usize).filter(|from| !tally.known.contains(from)).collect();
    let noting = Mutex::new(&mut tally);
    in_parallel(&blocks, |from| {
        let block = Block::play(*from, end.min(from + BLOCK));
        noting.lock().expect("no panic while held").note(block);
    });
    let Block { seeds, with_adoption, counts, failed, .. } = tally.sum;
    println!("{seeds} seeds, {with_adoption} with an adoption: {counts:#?}");
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), failed.join("\n"));
    if seeds >= SEEDS_DEFAULT {
        assert!(3 * with_adoption >= seeds, "{with_adoption} of {seeds} seeds had an adoption");
        for what in MUST_HAPPEN {
            assert!(counts.get(*what).is_some_and(|it| *it > 0), "{what:?} never happened");
        }
    }
}
