//! Bugs that are planted into the real program, and how soon they are found.
//!
//! ```text
//! FTCHAT_SIM_BUGS=2000 cargo test --test sim -- planted::all_are_found --nocapture
//! ```
//!
//! plays up to that many seeds with each bug and prints the table: how many it
//! took, and what was found. Without the variable only bugs that show within a
//! few seeds are hunted, for at most [`SEEDS_DEFAULT`] seeds each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ftchat::planted::Bug;

use crate::cluster::play;
use crate::recipes::{self, Recipe};
use crate::seeds::number;
use crate::trace::TraceOptions;

/// Bugs, the recipe that each is hunted with, and whether it shows soon.
const TABLE: &[(Bug, Recipe, bool)] = &[
    (Bug::AcknowledgeBeforeSync, recipes::NETWORK, false),
    (Bug::AcknowledgeBeforeMajority, recipes::NETWORK, true),
    (Bug::SkipDeduplication, recipes::NETWORK, true),
    (Bug::ForgetVote, recipes::NETWORK, true),
    (Bug::TruncateMidLog, recipes::DISKS, false),
    (Bug::AdoptWithoutLock, recipes::HOST, true),
    (Bug::ReadFromDeposedLeader, recipes::NETWORK, true),
    (Bug::DropIdFromSnapshot, recipes::NETWORK, true),
    (Bug::ApplyTwiceAfterRestart, recipes::NETWORK, true),
    (Bug::RestoreLeaderInOldTerm, recipes::NETWORK, true),
    (Bug::VoteWithoutLogEnd, recipes::LOSSES, false),
    (Bug::FollowsProgramVersion, recipes::UPDATES, true),
];

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
fn all_are_found() {
    let seeds_max = number("FTCHAT_SIM_BUGS", 0);
    let mut unseen = Vec::new();
    for (bug, recipe, soon) in TABLE {
        let range = match seeds_max {
            0 if !soon => continue,
            0 => 1..1 + SEEDS_DEFAULT,
            seeds_max => 1..1 + seeds_max,
        };
        let name = format!("{bug:?}");
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
