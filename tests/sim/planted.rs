//! Bugs that are planted into the real program, and how soon they are found.
//!
//! ```text
//! FTCHAT_SIM_BUGS=2000 cargo test --test sim -- planted::all_are_found --nocapture
//! ```
//!
//! This plays up to that many seeds with each bug and prints a table: which seed found it,
//! and what it found. `FTCHAT_SIM_BUG=ForgetVote` hunts one bug only. Without the variable
//! only bugs that show within a few seeds are hunted, for at most [`SEEDS_DEFAULT`] seeds
//! each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use ftchat::planted::Bug;

use crate::cluster::play;
use crate::recipes::{self, Recipe};
use crate::seeds::number;
use crate::trace::TraceOptions;

/// Bugs, the recipe that each is hunted with, the first seed, and whether it shows soon.
/// Of whole tens of seeds some have heavy load and some a crowd (`cluster/scale.rs`).
const TABLE: &[(Bug, Recipe, u64, bool)] = &[
    (Bug::AcknowledgeBeforeSync, recipes::NETWORK, 1, false),
    (Bug::AcknowledgeBeforeMajority, recipes::NETWORK, 1, true),
    (Bug::SkipDeduplication, recipes::NETWORK, 1, true),
    (Bug::ForgetVote, recipes::NETWORK, 1, true),
    (Bug::TruncateMidLog, recipes::DISKS, 1, false),
    (Bug::AdoptWithoutLock, recipes::HOST, 1, true),
    (Bug::ReadFromDeposedLeader, recipes::NETWORK, 1, true),
    (Bug::DropIdFromSnapshot, recipes::NETWORK, 1, true),
    (Bug::ApplyTwiceAfterRestart, recipes::NETWORK, 1, true),
    (Bug::RestoreLeaderInOldTerm, recipes::NETWORK, 1, true),
    (Bug::VoteWithoutLogEnd, recipes::LOSSES, 1, false),
    (Bug::ClearDoubtWhenRefused, recipes::NETWORK, 40, true),
    (Bug::CutPageWithoutMore, recipes::NETWORK, 50, true),
    (Bug::FollowPastTheCut, recipes::NETWORK, 50, false),
    (Bug::BackupBeforeConfirmed, recipes::NETWORK, 1, true),
    (Bug::NoDoubtOfTheSilent, recipes::NETWORK, 40, false),
    (Bug::TrustOwnClock, recipes::NETWORK, 1, true),
    (Bug::FollowsProgramVersion, recipes::UPDATES, 1, true),
];

/// Bugs of outboxes that no world comes to, but `src/storage/outbox/tests/planted.rs`. Those of
/// servers without a majority are in [`cluster::alone`](crate::cluster::alone).
const OF_PARTS: &[Bug] =
    &[Bug::AcknowledgeUnsyncedOutbox, Bug::CutOutboxUnsynced, Bug::TrustUnsyncedOutbox];

/// Seeds within which a bug that shows soon is found.
const SEEDS_DEFAULT: u64 = 25;

/// The first seed of a range with which a bug is found, and what was found.
fn hunt(bug: Bug, recipe: &Recipe, seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let end = AtomicU64::new(seeds.end);
    std::thread::scope(|scope| {
        for _ in 0..crate::seeds::threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let history = play(seed, recipe, Some(bug), TraceOptions::default());
                    let told = [history.value.violations, history.failures].concat();
                    let Some(first) = told.into_iter().next() else { continue };
                    end.fetch_min(seed, Ordering::Relaxed);
                    let mut found = found.lock().expect("no panic while held");
                    if found.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                        *found = Some((seed, first));
                    }
                }
            });
        }
    });
    found.into_inner().expect("no panic while held")
}

#[test]
fn every_bug_is_hunted_once() {
    let of_parts = OF_PARTS.iter().copied().chain(crate::cluster::alone::bugs());
    let mut hunted: Vec<Bug> = TABLE.iter().map(|(bug, ..)| *bug).chain(of_parts).collect();
    hunted.sort();
    let mut planted = Bug::value_variants().to_vec();
    planted.sort();
    assert_eq!(hunted, planted);
}

#[test]
fn all_are_found() {
    let seeds_max = number("FTCHAT_SIM_BUGS", 0);
    let only = std::env::var("FTCHAT_SIM_BUG").ok();
    if let Some(only) = &only {
        let hunted = |(bug, _, _, soon): &(Bug, _, _, bool)| {
            format!("{bug:?}") == *only && (*soon || seeds_max > 0)
        };
        assert!(
            TABLE.iter().any(hunted),
            "FTCHAT_SIM_BUG={only} hunts nothing: a bug has another name (src/planted.rs), or it \
             does not show soon and FTCHAT_SIM_BUGS has to say how many seeds to play"
        );
    }
    let mut unseen = Vec::new();
    for (bug, recipe, from, soon) in TABLE {
        let range = match seeds_max {
            0 if !soon => continue,
            0 => *from..from + SEEDS_DEFAULT,
            seeds_max => *from..from + seeds_max,
        };
        let name = format!("{bug:?}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        match hunt(*bug, recipe, range.clone()) {
            Some((seed, told)) => {
                let told: String = told.chars().take(160).collect();
                println!("{name:<26} {:<10} {seed:>5}  {told:?}", recipe.name);
            }
            None => unseen.push(format!("{name} was not found by {} in {range:?}", recipe.name)),
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}
