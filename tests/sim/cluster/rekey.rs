//! The cluster gets a new key while servers die and links break.
//!
//! What must hold is what always must. Besides, the change comes to its end, whoever dies
//! between its stages, and then every server knows the new key and no other.

use std::sync::PoisonError;
use std::time::Duration;

use ftchat::cluster::Limit;
use ftchat::cluster::membership::MembershipClient;
use ftchat::cluster::rekey::Rekeying;
use ftchat::host::Host;
use ftchat::replica::ClusterKey;
use ftchat::types::{Address, KeyStage, ReplicaId};

use super::key_files::{CLUSTER_KEY, NEW_KEY};
use super::scale::Scale;
use super::server::ServerReports;
use super::swift::play_all;
use super::{Report, begin_with, conclude};
use crate::faults::{Fault, Nemesis, Plan};
use crate::recipes::{NETWORK, Recipe, SURVIVORS};
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

/// How long the administrator tries before it looks again.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Longest pause before a file is carried to the next server.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Within which the change must be done, faults included.
const DONE_MAX_MS: u64 = 240_000;

/// Worlds of each kind in an ordinary test run.
const SEEDS: u64 = 4;

/// What is done to the servers meanwhile.
const FAULTS: &[(Fault, u64)] =
    &[(Fault::Terminate, 2), (Fault::Kill, 4), (Fault::KillAtCall, 4), (Fault::Freeze, 2)];

/// Asks for the change, carries a file to each server, in any order and at any time, and
/// looks on until all is done.
async fn administrate(host: Host, servers: Vec<Address>, reports: ServerReports) {
    let [old, new] = [CLUSTER_KEY, NEW_KEY].map(ClusterKey::new);
    let rekeying = Rekeying::between(&old, &new, host.random_u64().is_multiple_of(2));
    let mut left: Vec<ReplicaId> = (1..=servers.len() as u32).map(ReplicaId).collect();
    let client = MembershipClient {
        host: &host,
        keys: rekeying.keys.clone(),
        servers,
        limit: Limit::together(ATTEMPT),
        progress: &|_| {},
    };
    loop {
        let rekeyed = client.rekey(&rekeying, false).await;
        if rekeyed.is_ok_and(|rekeyed| rekeyed.stage == KeyStage::Done) {
            return;
        }
        tokio::time::sleep(PAUSE_MAX.mul_f64((host.random_u64() % 100) as f64 / 100.0)).await;
        if !left.is_empty() {
            let next = left.swap_remove(host.random_u64() as usize % left.len());
            reports.lock().unwrap_or_else(PoisonError::into_inner).key_files.carry(next);
        }
    }
}

fn play(recipe: &Recipe, seed: u64) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let scale = Scale { restores: false, ..Scale::of_seed(seed) };
        let (mut cluster, _, report) = begin_with(world, recipe, &scale);
        let plan = Plan::one_at_a_time(&cluster.servers, FAULTS);
        let (servers, reports) = (cluster.users.servers.clone(), cluster.server_reports.clone());
        let machine = world.add_machine("administrator");
        let administrator = world.install(machine, "administrator", move |host| {
            let administrate = administrate(host, servers.to_vec(), reports.clone());
            Box::pin(async move {
                administrate.await;
                Ok(())
            })
        });
        world.start(administrator);
        let mut nemesis = Nemesis::new(world, plan);
        nemesis.learn_begun();
        let done = world.run_until(DONE_MAX_MS, |world| {
            nemesis.step(world);
            world.exit(administrator).is_some()
        });
        nemesis.stop(world);
        let reports = cluster.server_reports.clone();
        let mut nothing = Nemesis::new(world, Plan::nothing(&[]));
        let mut report = conclude(world, &mut cluster, &mut nothing, report, false);
        report.expect(done, "the change of key comes to its end");
        let behind = reports.lock().unwrap_or_else(PoisonError::into_inner).key_files.behind();
        report.expect(behind.is_empty(), &format!("only the new key is known, but by {behind:?}"));
        report
    })
}

#[test]
fn servers_of_several_machines_get_a_new_key_while_they_die() {
    play_all(&NETWORK, SEEDS, play);
}

#[test]
fn servers_of_one_host_get_a_new_key_while_they_die() {
    play_all(&SURVIVORS, SEEDS, play);
}
