//! Seeds that failed once, by the name of what they found, with their stories.
//!
//! A seed is one history of one build. Every change of the code makes another history of
//! it, which at best comes near what the seed met before. So a seed that failed is played
//! here for ever after, and where it found a fault of the program, that is also kept as a
//! scenario of its own.

use crate::cluster::play;
use crate::recipes::{DISKS, HARD_TIMES, NETWORK, NETWORK_OF_FIVE, Recipe, SCENES};
use crate::seeds::{in_parallel, replay_command};
use crate::trace::TraceOptions;

/// Name, recipe and seed; the story stands above each.
const REGRESSIONS: &[(&str, Recipe, u64)] = &[
    // Two of three directories were wiped before the first entry of the new cluster
    // was written anywhere. What was left was no cluster that could be repaired,
    // and its servers rightly waited for people. The fault was the nemesis's: it
    // now takes no disk before every replica and every user has begun.
    ("a cluster is lost while it is founded", DISKS, 168),
    // A server died on a full disk, and whoever took its replica over could not note
    // in the directory that it had been opened. The attempt ended there, and forgot
    // to stop the consensus that it had just loaded: that held the log, the log held
    // the lock, and the owner waited for its own directory for ever. Whatever an
    // adoption has opened is closed now on every way out of it. The scenario is
    // `cluster/full.rs`.
    ("an adoption without room keeps the lock", HARD_TIMES, 1),
    // A change whose time ran out while the replica was still starting failed without
    // breaking the order of its connection, so those behind it were taken a moment
    // later. Whoever lets a change fail breaks its sequence first now.
    ("a change passes one that was given up in the line of a replica that starts", NETWORK, 3_034),
    // A backup of a level that a new cluster in trouble had not come to yet was refused
    // for good, with the advice to try again. It is refused as what passes now.
    ("a restore gives up before the feature level is raised", SCENES, 312),
    // A page that took several looks showed messages as they were at several moments,
    // so conversations had no order. It looks at all that it shows once more now.
    ("a page is put together from several moments", NETWORK_OF_FIVE, 57),
    // A server took a registration before it knew any clock but its own, which was a
    // hundred days behind. The session had ended before it began.
    ("a session begins by the clock of one server", NETWORK, 275),
];

#[test]
fn what_failed_once_holds() {
    in_parallel(REGRESSIONS, |(name, recipe, seed)| {
        let history = play(*seed, recipe, None, TraceOptions::default());
        let defects = [history.value.violations, history.failures].concat();
        assert!(defects.is_empty(), "{name}: {defects:#?}\n{}", replay_command(*seed, recipe));
    });
}
