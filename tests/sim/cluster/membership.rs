//! Replicas come and go while servers die and links break: an administrator adds,
//! replaces, removes and moves, whatever happens to whom.
//!
//! What must hold is what always must: nothing acknowledged is lost or doubled, replicas
//! of equal index are equal, nobody leads twice in a term, and once all faults are over
//! the members come to one state. Besides, every change comes to its end, and whoever was
//! removed ends by itself, however often it is started.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::cluster::Limit;
use ftchat::cluster::membership::MembershipClient;
use ftchat::error::{Error, ErrorCode};
use ftchat::host::Host;
use ftchat::protocol::client::Member;
use ftchat::protocol::peer::MembersChanged;
use ftchat::replica::ClusterKey;
use ftchat::types::{Address, MemberChange, MemberEntry, ReplicaId};

use super::key_files::CLUSTER_KEY;
use super::scale::Scale;
use super::swift::play_all;
use super::{Cluster, Report, begin_with, conclude, install};
use crate::faults::{Fault, Nemesis, Plan};
use crate::recipes::{NETWORK, Recipe, SURVIVORS};
use crate::trace::TraceOptions;
use crate::world::{History, World, simulate};

/// How long the administrator tries before it looks again.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Longest pause before a change.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Changes of one history.
const CHANGES: usize = 4;

/// Servers that may come.
const SPARES: u32 = 4;

/// Within which all changes must be done, faults included.
const DONE_MAX_MS: u64 = 240_000;

/// Within which a server that was removed has ended, once it can reach somebody.
const ENDS_WITHIN_MS: u64 = 15_000;

/// Worlds of each kind in an ordinary test run.
const SEEDS: u64 = 4;

/// What is done to the founders meanwhile.
const FAULTS: &[(Fault, u64)] =
    &[(Fault::Terminate, 2), (Fault::Kill, 4), (Fault::KillAtCall, 4), (Fault::Freeze, 2)];

/// What the administrator has done, and wants.
#[derive(Default)]
struct Progress {
    /// Servers that are to run from now on.
    wanted: Vec<u32>,
    /// The members by now.
    members: Vec<Member>,
    /// Changes that are done.
    done: usize,
    /// What the change that is made waits for.
    waits_for: String,
    /// What went wrong for good.
    failed: Option<String>,
}

type Shared = Arc<Mutex<Progress>>;

fn note_progress<T>(shared: &Shared, change: impl FnOnce(&mut Progress) -> T) -> T {
    change(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes changes, one after the other, each until it is done.
async fn administrate(host: Host, members: Vec<Member>, spares: Vec<Member>, shared: Shared) {
    let mut members = members;
    let mut spares = spares.into_iter();
    for round in 0..CHANGES {
        // So that faults come between changes as well as into them.
        tokio::time::sleep(PAUSE_MAX.mul_f64((host.random_u64() % 100) as f64 / 100.0)).await;
        // The first one stays: clients here have no addresses but those of the founders, and
        // whoever was removed finds out from somebody it knows.
        let victim = members[1 + host.random_u64() as usize % (members.len() - 1)].id;
        let entry = |spare: Member, replaces| MemberEntry {
            id: spare.id,
            address: spare.address,
            replaces,
        };
        let change = match (host.random_u64() % 4, spares.next()) {
            (0, Some(spare)) if members.len() < 5 => MemberChange::Add(entry(spare, None)),
            (1, _) if members.len() > 3 => MemberChange::Remove { id: victim },
            (_, Some(spare)) => MemberChange::Add(entry(spare, Some(victim))),
            (_, None) => MemberChange::Remove { id: victim },
        };
        match complete(&host, &members, &change, &shared).await {
            Ok(changed) => {
                members = changed.members;
                note_progress(&shared, |progress| {
                    progress.members.clone_from(&members);
                    progress.done = round + 1;
                });
            }
            Err(error) => {
                note_progress(&shared, |progress| {
                    progress.failed = Some(format!("{change:?}: {error}"));
                });
                return;
            }
        }
    }
}

async fn complete(
    host: &Host,
    members: &[Member],
    change: &MemberChange,
    shared: &Shared,
) -> Result<MembersChanged, Error> {
    let servers = members.iter().map(|member| member.address.clone());
    let spare = match change {
        MemberChange::Add(entry) => Some(entry.address.clone()),
        MemberChange::Remove { .. } | MemberChange::Move { .. } | MemberChange::Key(_) => None,
    };
    let client = MembershipClient {
        host,
        keys: ClusterKey::new(CLUSTER_KEY).into(),
        servers: servers.chain(spare).collect::<Vec<Address>>(),
        limit: Limit::together(ATTEMPT),
        progress: &|_| {},
    };
    loop {
        let changed = match client.change(change, true).await {
            Ok(changed) => {
                let waits_for = format!("{change:?}: {:?}", changed.waits_for);
                note_progress(shared, |progress| progress.waits_for = waits_for);
                changed
            }
            // A majority is away, or nobody leads, or too few are in step.
            Err(error)
                if error.retryable()
                    || matches!(
                        error.code,
                        ErrorCode::UnsafeChange | ErrorCode::UnsupportedVersion
                    ) =>
            {
                note_progress(shared, |progress| {
                    progress.waits_for = format!("{change:?}: {error}")
                });
                tokio::time::sleep(ATTEMPT / 10).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let MemberChange::Add(entry) = change {
            note_progress(shared, |progress| progress.wanted.push(entry.id.0));
        }
        if changed.waits_for.is_none() {
            return Ok(changed);
        }
        tokio::time::sleep(ATTEMPT / 10).await;
    }
}

/// Installs the servers that may come; none runs yet.
fn install_spares(
    world: &mut World,
    cluster: &mut Cluster,
    recipe: &Recipe,
    scale: &Scale,
) -> (Vec<Member>, Vec<Member>) {
    let founded: Vec<Member> = (1..)
        .zip(cluster.users.servers.iter())
        .map(|(id, address)| Member { id: ReplicaId(id), address: address.clone() })
        .collect();
    let spare = |id: u32| {
        let address = match recipe.one_host {
            true => format!("host:{}", 8090 + id),
            false => format!("spare-{id}:8091"),
        };
        Member { id: ReplicaId(id), address: address.parse().expect("an address") }
    };
    let spares: Vec<Member> = (4..4 + SPARES).map(spare).collect();
    for member in &spares {
        let name = format!("spare-{}", member.id);
        let machine = match recipe.one_host {
            true => cluster.servers[0].machine,
            false => world.add_machine(&name),
        };
        // As its machine's configuration has it: those of before, and itself.
        let members = [&founded[..], std::slice::from_ref(member)].concat();
        let installed = (machine, name, recipe.one_host);
        let reports = cluster.server_reports.clone();
        reports.lock().unwrap_or_else(PoisonError::into_inner).applied.push(None);
        cluster.servers.push(install(world, installed, member.id, members, scale, &reports));
    }
    (founded, spares)
}

/// Whoever was removed, and ever ran, ends by itself when it is started.
fn expect_ends(world: &mut World, cluster: &mut Cluster, report: &mut Report, members: &[Member]) {
    let is_member = |id: &u32| members.iter().any(|member| member.id == ReplicaId(*id));
    let all = 1..=cluster.servers.len() as u32;
    let gone: Vec<u32> = all.filter(|id| !is_member(id)).collect();
    for id in &gone {
        let program = cluster.servers[*id as usize - 1].program;
        if world.exit(program).is_some() || world.lives(program) {
            world.start(program);
            let ended = world.run_until(ENDS_WITHIN_MS, |world| !world.lives(program));
            let exit = world.exit(program);
            let told =
                matches!(&exit, Some(Err(why)) if why.contains("was removed from the cluster"));
            report.expect(ended && told, &format!("replica {id}, which was removed: {exit:?}"));
        }
    }
    cluster.removed.extend(gone);
}

fn play(recipe: &Recipe, seed: u64) -> History<Report> {
    simulate(seed, TraceOptions::default(), |world| {
        let scale = Scale { restores: false, ..Scale::of_seed(seed) };
        let (mut cluster, _, mut report) = begin_with(world, recipe, &scale);
        // Only the founders are harmed: whoever is new has nobody but them.
        let plan = Plan::one_at_a_time(&cluster.servers, FAULTS);
        let wants = install_spares(world, &mut cluster, recipe, &scale);
        let shared = Shared::default();
        let machine = world.add_machine("administrator");
        let told = shared.clone();
        let administrator = world.install(machine, "administrator", move |host| {
            let (told, (founded, spares)) = (told.clone(), wants.clone());
            Box::pin(async move {
                administrate(host, founded, spares, told).await;
                Ok(())
            })
        });
        world.start(administrator);
        let mut nemesis = Nemesis::new(world, plan);
        nemesis.learn_begun();
        let done = world.run_until(DONE_MAX_MS, |world| {
            for id in note_progress(&shared, |progress| std::mem::take(&mut progress.wanted)) {
                world.start(cluster.servers[id as usize - 1].program);
            }
            nemesis.step(world);
            world.exit(administrator).is_some()
        });
        let (made, failed, members) = note_progress(&shared, |progress| {
            let waits_for = progress.waits_for.clone();
            (progress.done, progress.failed.take().unwrap_or(waits_for), progress.members.clone())
        });
        report.expect(done && made == CHANGES, &format!("{made} of {CHANGES} changes: {failed}"));
        nemesis.stop(world);
        expect_ends(world, &mut cluster, &mut report, &members);
        let mut nothing = Nemesis::new(world, Plan::nothing(&[]));
        conclude(world, &mut cluster, &mut nothing, report, false)
    })
}

#[test]
fn replicas_of_several_machines_come_and_go_while_servers_die() {
    play_all(&NETWORK, SEEDS, play);
}

#[test]
fn replicas_of_one_host_come_and_go_while_servers_die() {
    play_all(&SURVIVORS, SEEDS, play);
}
