//! Many seeds, and one seed looked at closely.
//!
//! `FTCHAT_SIM_SEEDS` says how many seeds each recipe plays, `FTCHAT_SIM_FROM`
//! with which it begins. A failing seed is printed with the command that
//! replays it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cluster::play;
use crate::recipes::{
    self, CRASHES, DAMAGE, HANDBACK, HARD_TIMES, LOSSES, LOSSES_OF_HOST, NETWORK, ROLLING, Recipe,
    SURVIVORS, TOGETHER,
};
use crate::trace::TraceOptions;

/// Seeds that a recipe plays when nobody says otherwise: these worlds are long. Which
/// faults one seed meets is chance; the campaign insists on all of them.
const SEEDS_DEFAULT: u64 = 1;

/// The number that an environment variable holds.
pub fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// What replays a seed.
pub fn replay_command(seed: u64, recipe: &Recipe) -> String {
    format!(
        "replay: FTCHAT_SIM_SEED={seed} FTCHAT_SIM_RECIPE={} cargo test --test sim -- \
         seeds::replay --nocapture",
        recipe.name
    )
}

/// How many worlds are played at once: `FTCHAT_SIM_THREADS`, else two.
pub fn threads() -> u64 {
    number("FTCHAT_SIM_THREADS", 2)
}

/// Does something with each of some items, [`threads`] at once, in their order.
pub fn in_parallel<T: Sync>(items: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(item);
                }
            });
        }
    });
}

/// Plays seeds on some threads, each world on one of them, and adds up what
/// happened. Fails with all failing seeds, or when something never happened.
fn seeds(recipe: &Recipe, must_happen: &[&str]) {
    let first = number("FTCHAT_SIM_FROM", 1);
    let end = first + number("FTCHAT_SIM_SEEDS", SEEDS_DEFAULT);
    let total = Mutex::new((BTreeMap::<String, u64>::new(), Vec::<String>::new()));
    in_parallel(&(first..end).collect::<Vec<u64>>(), |&seed| {
        let history = play(seed, recipe, None, TraceOptions::default());
        let defects = [history.value.violations, history.failures].concat();
        let mut total = total.lock().expect("no panic while held");
        for (what, count) in history.value.counts {
            *total.0.entry(what).or_default() += count;
        }
        if !defects.is_empty() {
            let shown = defects.iter().take(5).cloned().collect::<Vec<_>>();
            total.1.push(format!(
                "seed {seed}, {} defects:\n  {}\n  {}",
                defects.len(),
                shown.join("\n  "),
                replay_command(seed, recipe)
            ));
        }
    });
    let (counts, failed) = total.into_inner().expect("no panic while held");
    println!("{} over {} seeds: {counts:#?}", recipe.name, end - first);
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), failed.join("\n"));
    for what in must_happen {
        assert!(counts.get(*what).is_some_and(|it| *it > 0), "{what:?} never happened");
    }
}

#[test]
fn clusters_survive_crashes_and_partitions() {
    seeds(&CRASHES, &["acknowledged", "deletions", "leaders"]);
}

#[test]
fn clusters_survive_lost_and_rotten_disks() {
    seeds(&DAMAGE, &["acknowledged"]);
}

#[test]
fn clusters_survive_disks_that_lose_what_they_had_synced() {
    let must_happen = ["acknowledged", "abstained"];
    seeds(&LOSSES, &must_happen);
    seeds(&LOSSES_OF_HOST, &must_happen);
}

#[test]
fn the_last_server_of_a_host_goes_on() {
    let must_happen = ["acknowledged", "adoptions", "hand-backs"];
    seeds(&SURVIVORS, &must_happen);
}

#[test]
fn survivors_survive_power_cuts_and_sick_disks() {
    seeds(&HARD_TIMES, &["acknowledged", "adoptions"]);
}

#[test]
fn one_of_two_and_of_three_goes_on_alone() {
    seeds(&TOGETHER, &["acknowledged", "adoptions", "hand-backs"]);
}

#[test]
fn directories_change_hands_while_processes_die() {
    seeds(&HANDBACK, &["acknowledged", "adoptions", "hand-backs"]);
}

#[test]
fn a_rolling_restart_fails_no_write() {
    seeds(&ROLLING, &["acknowledged", "Terminate", "leaders"]);
}

/// Plays one seed with details and prints its last lines. Details must not
/// change what happens.
#[test]
fn replay() {
    let seed = number("FTCHAT_SIM_SEED", 1);
    let wanted = std::env::var("FTCHAT_SIM_RECIPE").unwrap_or_else(|_| NETWORK.name.to_string());
    let recipe = recipes::ALL.iter().find(|recipe| recipe.name == wanted);
    let recipe = recipe.unwrap_or_else(|| panic!("no recipe is called {wanted}"));
    let lines_max = number("FTCHAT_SIM_LINES", 300) as usize;
    let plain = play(seed, recipe, None, TraceOptions::default());
    let closer = play(seed, recipe, None, TraceOptions { lines_max, details: true });
    println!("{}", closer.lines.join("\n"));
    println!("{:#?}\n{:#?}", closer.value, closer.failures);
    assert_eq!(plain.digest, closer.digest, "looking closer changed the history");
    assert!(closer.value.violations.is_empty() && closer.failures.is_empty(), "seed {seed} fails");
}
