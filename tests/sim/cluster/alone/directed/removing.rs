//! A replica is removed while it is alone and holds messages. When it learns that, it has
//! members hand over what it holds, ends, and leaves nothing behind.

use std::time::Duration;

use ftchat::cluster::Limit;
use ftchat::cluster::membership::MembershipClient;
use ftchat::planted::{Bug, plant};
use ftchat::replica::ClusterKey;
use ftchat::types::{MemberChange, ReplicaId};

use super::scale;
use crate::cluster::Report;
use crate::cluster::alone::stage::Stage;
use crate::cluster::key_files::CLUSTER_KEY;
use crate::recipes::NETWORK;
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

/// Within which a replica is removed, and within which it has ended then.
const REMOVED_MAX_MS: u64 = 30_000;
const ENDS_WITHIN_MS: u64 = 30_000;

/// How long one attempt to remove it may take.
const ATTEMPT: Duration = Duration::from_secs(2);

pub fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let mut stage = Stage::begin(world, &NETWORK, &scale(), &["ann", "reader"]);
        let leaves = seed as usize % 3;
        let others: Vec<usize> = stage.all().into_iter().filter(|it| *it != leaves).collect();
        stage.leave_alone(leaves);
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(stage.taken(("ann", "reader"), &[leaves], false));
        }
        remove(&mut stage, leaves);
        let confirmed = stage.taken(("ann", "reader"), &others, true);
        stage.world.with(|state| state.network.mend_all());
        let program = stage.cluster.servers[leaves].program;
        let ended = stage.world.run_until(ENDS_WITHIN_MS, |world| world.exit(program).is_some());
        let exit = stage.world.exit(program);
        let told = matches!(&exit, Some(Err(why)) if why.contains("was removed from the cluster"));
        stage.report.expect(ended && told, &format!("the replica that was removed: {exit:?}"));
        let order = [&[confirmed], &sent[..]].concat();
        stage.expect_inbox("reader", &order, &[]);
        stage.end()
    })
}

/// The others remove a replica.
fn remove(stage: &mut Stage<'_>, leaves: usize) {
    let servers: Vec<_> = stage.cluster.users.servers.to_vec();
    let machine = stage.world.add_machine("administrator");
    let program = stage.world.install(machine, "administrator", move |host| {
        let servers = servers.clone();
        Box::pin(async move {
            let change = MemberChange::Remove { id: ReplicaId(leaves as u32 + 1) };
            loop {
                let client = MembershipClient {
                    host: &host,
                    keys: ClusterKey::new(CLUSTER_KEY).into(),
                    servers: servers.clone(),
                    limit: Limit::together(ATTEMPT),
                    progress: &|_| {},
                };
                match client.complete(&change).await {
                    Ok(_) => return Ok(()),
                    Err(error) if error.retryable() => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        })
    });
    stage.world.start(program);
    let done = stage.world.run_until(REMOVED_MAX_MS, |world| world.exit(program).is_some());
    let exit = stage.world.exit(program);
    stage.report.expect(done && exit == Some(Ok(())), &format!("removing it: {exit:?}"));
}
