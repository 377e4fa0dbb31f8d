//! Clusters whose servers are updated while everything else goes wrong.
//!
//! Servers begin with a program that knows no feature level. Whenever one comes back, it
//! may be the older or the newer program. At the end all are the newer one, and the level
//! must have been raised. The states are compared at every index, which shows a replica
//! that does anything new before the level is raised.

use std::sync::Mutex;
use std::sync::PoisonError;

use ftchat::limits::FEATURE_LEVEL_KNOWN;

use super::{Cluster, PROGRESS_MAX_MS, Report, play};
use crate::faults::Nemesis;
use crate::recipes::{UPDATES, UPDATES_ON_A_HOST};
use crate::seeds::in_parallel;
use crate::trace::TraceOptions;
use crate::world::World;

/// Worlds of each kind in an ordinary test run.
const SEEDS: u64 = 4;

/// Restarts every server with the newer program, and waits for the new level.
pub fn update_all(world: &mut World, cluster: &Cluster, nemesis: &mut Nemesis) {
    nemesis.stop(world);
    {
        let mut observed = cluster.server_reports.lock().unwrap_or_else(PoisonError::into_inner);
        observed.update.as_mut().expect("servers are updated").final_round = true;
    }
    for (place, server) in cluster.servers.iter().enumerate() {
        let newer = || {
            cluster.observed(|observed| {
                let update = observed.update.as_ref().expect("servers are updated");
                update.newer.get(&place) == Some(&true) && observed.applied[place].is_some()
            })
        };
        if !newer() {
            world.kill(server.program);
        }
        world.run_until(PROGRESS_MAX_MS, |world| {
            nemesis.restart_exited(world, world.now_ms());
            newer()
        });
    }
    world.run_until(PROGRESS_MAX_MS, |world| {
        nemesis.restart_exited(world, world.now_ms());
        raised(cluster) == cluster.servers.len()
    });
}

/// How many servers say that they are at the new level.
fn raised(cluster: &Cluster) -> usize {
    cluster.observed(|observed| {
        observed.levels.values().filter(|level| **level == FEATURE_LEVEL_KNOWN).count()
    })
}

/// Whether all came to the new level.
pub fn judge(cluster: &Cluster, report: &mut Report) {
    let (raised, all) = (raised(cluster), cluster.servers.len());
    report.expect(raised == all, &format!("{raised} of {all} servers are at the new level"));
    let too_old = cluster.observed(|observed| observed.too_old);
    report.counts.insert("too old".to_string(), too_old);
}

#[test]
fn clusters_are_updated_under_way() {
    let worlds: Vec<_> = [UPDATES, UPDATES_ON_A_HOST]
        .into_iter()
        .flat_map(|recipe| (1..=SEEDS).map(move |seed| (recipe, seed)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&worlds, |(recipe, seed)| {
        let history = play(*seed, recipe, None, TraceOptions::default());
        let defects = [history.value.violations, history.failures].concat();
        if let Some(first) = defects.first() {
            let told = format!("{} {seed}: {first}", recipe.name);
            wrong.lock().expect("no panic while held").push(told);
        }
    });
    let wrong = wrong.into_inner().expect("no panic while held");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
