//! What is directed, each a scenario of its own with few steps.
//!
//! Worlds of chance do not come there: ids that were forgotten, one message at two servers of
//! five, a leader that dies between an answer and its next word, a machine that loses its power
//! when all has just been settled, replicas that are removed, and damage on a disk.

mod adopting;
mod damage;
mod forgetting;
mod log_end;
mod removing;
mod two_lists;

use std::sync::Mutex;

use ftchat::planted::Bug;

use crate::cluster::Report;
use crate::cluster::scale::Scale;
use crate::cluster::swift::{check, note};
use crate::seeds::{in_parallel, number};
use crate::world::History;

/// Worlds of each in an ordinary test run: they hardly differ.
const SEEDS: u64 = 1;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Ids are forgotten while a server is alone, or stands still.
    Forgetting,
    /// Two servers have taken the same message.
    TwoLists,
    /// What a server has in its log, and how far that is committed.
    LogEnd,
    /// A replica is removed while it is alone.
    Removing,
    /// An outbox is damaged.
    Damage,
    /// A directory with an outbox is adopted.
    Adopting,
}

/// All.
const SCENARIOS: &[Scenario] = &[
    Scenario::Forgetting,
    Scenario::TwoLists,
    Scenario::LogEnd,
    Scenario::Removing,
    Scenario::Damage,
    Scenario::Adopting,
];

/// Of these worlds.
fn scale() -> Scale {
    Scale { goes_alone: true, ..Scale::default() }
}

/// Plays a scenario in the world of a seed.
pub fn play(scenario: Scenario, seed: u64, bug: Option<Bug>) -> History<Report> {
    match scenario {
        Scenario::Forgetting => forgetting::play(seed, bug),
        Scenario::TwoLists => two_lists::play(seed, bug),
        Scenario::LogEnd => log_end::play(seed, bug),
        Scenario::Removing => removing::play(seed, bug),
        Scenario::Damage => damage::play(seed, bug),
        Scenario::Adopting => adopting::play(seed, bug),
    }
}

#[test]
fn what_chance_hardly_comes_to_is_delivered_once_as_well() {
    let (first, seeds) = (number("FTCHAT_SIM_FROM", 1), number("FTCHAT_SIM_SEEDS", SEEDS));
    let worlds: Vec<(Scenario, u64)> = SCENARIOS
        .iter()
        .flat_map(|scenario| (first..first + seeds).map(move |seed| (*scenario, seed)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&worlds, |(scenario, seed)| {
        let history = play(*scenario, *seed, None);
        for violation in &history.value.violations {
            println!("{scenario:?}, world {seed}: {violation}");
        }
        note(&wrong, &format!("{scenario:?}, world {seed}"), history);
    });
    check(wrong, worlds.len());
}
