//! One seed, one history, byte for byte: within a process and across them.

use std::process::Command;

use crate::cluster;
use crate::recipes::{Recipe, SURVIVORS};
use crate::toy::{Bug, play};
use crate::trace::TraceOptions;

const SEED: u64 = 20_261_123;
const MARK: &str = "digest of the toy: ";

fn digest(seed: u64, options: TraceOptions) -> String {
    play(seed, Bug::None, options).digest.to_string()
}

#[test]
fn a_seed_repeats_and_another_differs() {
    let first = digest(SEED, TraceOptions::default());
    assert_eq!(first, digest(SEED, TraceOptions::default()));
    assert_ne!(first, digest(SEED + 1, TraceOptions::default()));
}

#[test]
fn looking_closer_changes_nothing() {
    let closer = TraceOptions { lines_max: 1_000, details: true };
    assert_eq!(digest(SEED, TraceOptions::default()), digest(SEED, closer));
}

#[test]
fn a_host_of_three_servers_repeats() {
    let recipe = Recipe { lasts_ms: 6_000, ..SURVIVORS };
    let digest = |seed| cluster::play(seed, &recipe, None, TraceOptions::default()).digest;
    assert_eq!(digest(SEED), digest(SEED));
    assert_ne!(digest(SEED), digest(SEED + 1));
}

#[test]
fn another_process_has_the_same_history() {
    let program = std::env::current_exe().expect("this test is a program");
    let output = Command::new(program)
        .args(["determinism::prints_its_digest", "--exact", "--nocapture"])
        .output()
        .expect("it can be run again");
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().find_map(|line| Some(line.split_once(MARK)?.1));
    assert_eq!(line, Some(digest(SEED, TraceOptions::default()).as_str()), "{printed}");
}

/// Also run by the test above, in a process of its own.
#[test]
fn prints_its_digest() {
    let digest = digest(SEED, TraceOptions::default());
    assert!(!digest.is_empty());
    println!("{MARK}{digest}");
}
