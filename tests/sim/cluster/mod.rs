//! Whole clusters of the real program: three servers or five, users, faults.
//!
//! A [`Recipe`] draws the faults. The servers run what `serve` runs, and the users use
//! the client that the commands use. Below them is the simulated world, above them the
//! oracle. After the faults stop, everything must come back by itself: every user can
//! send again, all replicas reach the same state, and what they show is what the history
//! allows.

pub mod alone;
mod apart;
mod commit_hint;
mod frozen;
mod full;
mod keeping;
mod key_files;
mod membership;
mod points;
mod rekey;
mod restoring;
mod scale;
mod server;
pub mod steps;
mod stopping;
mod swift;
mod updating;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::planted::{Bug, plant};
use ftchat::protocol::client::{Member, Survivor};
use ftchat::types::{Address, ReplicaId, Uuid};
use futures::future::LocalBoxFuture;
use tokio::sync::watch;

use self::restoring::restore;
use self::scale::Scale;
use self::server::{Observed, Place, ServerReports, Update, Witness, serve};
use self::users::{Crowd, Guest, Operator, Resident, Users, Watcher};
use crate::faults::{Nemesis, Plan, Server};
use crate::oracle::messages::check;
use crate::oracle::{Call, Operation, Reply};
use crate::oracle::{export, linearizable};
use crate::recipes::{Recipe, SURVIVORS};
use crate::trace::TraceOptions;
use crate::world::{Exit, History, MachineId, ProgramId, World, simulate};

/// How long users wait, after all faults are over, until they can send.
const PROGRESS_MAX_MS: u64 = 30_000;

/// How long a server that is the only one left may take until writes go on.
/// Adopting takes milliseconds; users repeat themselves every second or so,
/// and disks here stall for as long.
const ALONE_MAX_MS: u64 = 3_000;

/// Names of those who stay.
const RESIDENTS: &[&str] = &["alice", "bob", "carol"];

/// What a program of other users runs.
type OtherMain = Box<dyn Fn(Host, Users) -> LocalBoxFuture<'static, Exit>>;

/// What came of a seed.
#[derive(Debug, Default)]
pub struct Report {
    /// Contradictions and other defects. Empty: all is well.
    pub violations: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<String, u64>,
}

impl Report {
    fn expect(&mut self, held: bool, otherwise: &str) {
        if !held {
            self.violations.push(otherwise.to_string());
        }
    }
}

/// A cluster in a world.
struct Cluster {
    servers: Vec<Server>,
    /// Replicas that were removed, or never came to be.
    removed: BTreeSet<u32>,
    server_reports: ServerReports,
    users: Users,
    /// Those who stay.
    residents: Vec<(String, ProgramId)>,
    /// Those who come and go, or only watch.
    others: Vec<(String, ProgramId)>,
}

impl Cluster {
    fn new(world: &mut World, recipe: &Recipe, scale: &Scale) -> Cluster {
        let one_host = recipe.one_host;
        let names = &["one", "two", "three", "four", "five"][..recipe.replicas];
        let applied = vec![None; names.len()];
        let update = recipe.updates.then(Update::default);
        let server_reports =
            Arc::new(Mutex::new(Observed { applied, update, ..Observed::default() }));
        let shared = one_host.then(|| world.add_machine("host"));
        let address = |(name, id): (&&str, u32)| match one_host {
            true => format!("host:{}", 8090 + id),
            false => format!("{name}:8091"),
        };
        let addresses: Vec<Address> =
            names.iter().zip(1..).map(|it| address(it).parse().expect("an address")).collect();
        let members: Vec<Member> = addresses
            .iter()
            .zip(1..)
            .map(|(address, id)| Member { id: ReplicaId(id), address: address.clone() })
            .collect();
        let mut servers = Vec::new();
        for (name, member) in names.iter().zip(&members) {
            let machine = shared.unwrap_or_else(|| world.add_machine(name));
            let installed = (machine, name.to_string(), one_host);
            let server =
                install(world, installed, member.id, members.clone(), scale, &server_reports);
            world.start(server.program);
            servers.push(server);
        }
        let users = Users::new(addresses, server_reports.clone(), scale.clone(), RESIDENTS);
        let (residents, others) = (Vec::new(), Vec::new());
        let removed = BTreeSet::new();
        Cluster { servers, removed, server_reports, users, residents, others }
    }

    fn add_users(&mut self, world: &mut World) {
        for name in RESIDENTS {
            let machine = world.add_machine(name);
            let users = self.users.clone();
            let program = world.install(machine, name, move |host| {
                Box::pin(Resident::run(host, name, users.clone()))
            });
            world.start(program);
            self.residents.push(((*name).to_string(), program));
        }
    }

    /// Users who come and go, many who only get messages, and one who watches.
    fn add_others(&mut self, world: &mut World) {
        let machine = world.add_machine("others");
        let mut install = |name: &str, main: OtherMain| {
            let users = self.users.clone();
            let program = world.install(machine, name, move |host| main(host, users.clone()));
            world.start(program);
            self.others.push((name.to_string(), program));
        };
        for name in self.users.scale.guests {
            install(name, Box::new(|host, users| Box::pin(Guest::run(host, name, users))));
        }
        if self.users.scale.restores {
            install("administrator", Box::new(|host, users| Box::pin(restore(host, users))));
        }
        if self.users.scale.crowd > 0 {
            install("crowd", Box::new(|host, users| Box::pin(Crowd::run(host, users))));
        }
        if self.users.scale.bounds {
            install("operator", Box::new(|host, users| Box::pin(Operator::run(host, users))));
        }
        install("watcher", Box::new(|host, users| Box::pin(Watcher::run(host, users))));
    }

    fn observed<T>(&self, look: impl FnOnce(&Observed) -> T) -> T {
        look(&self.server_reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Users of whom a send was accepted that is not among the first `since`
    /// operations.
    fn senders_since(&self, since: usize) -> usize {
        self.users.recorder.look(|operations| {
            let accepted: BTreeSet<&str> = operations[since..]
                .iter()
                .filter(|it| matches!(it.ended, Some((_, Reply::Sent { .. }))))
                .map(|it| it.client.as_str())
                .filter(|client| RESIDENTS.contains(client))
                .collect();
            self.residents.iter().filter(|(name, _)| accepted.contains(name.as_str())).count()
        })
    }

    /// Whether every replica has a state and every user has sent; looked at
    /// now and then.
    fn has_begun(&self, world: &World) -> bool {
        world.now_ms().is_multiple_of(100)
            && self.observed(|observed| observed.applied.iter().all(Option::is_some))
            && self.senders_since(0) == self.residents.len()
    }

    /// Acknowledged messages that their recipient never deleted, and that
    /// following has not shown.
    fn not_followed(&self) -> Vec<(String, Uuid)> {
        let followed = self.users.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let shown: BTreeSet<(&String, Uuid)> = followed
            .iter()
            .flat_map(|(name, shown)| shown.iter().map(move |(_, id)| (name, *id)))
            .collect();
        self.users.recorder.look(|operations| {
            let mut deleted: BTreeSet<(&String, Uuid)> = BTreeSet::new();
            for operation in operations {
                if let Call::Delete { owner, id } = &operation.call {
                    deleted.insert((owner, *id));
                }
            }
            let mut missing = Vec::new();
            for operation in operations {
                if let (Call::Send { id, to, .. }, Some((_, Reply::Sent { .. }))) =
                    (&operation.call, &operation.ended)
                {
                    let gone =
                        |to: &String| deleted.contains(&(to, *id)) || shown.contains(&(to, *id));
                    let to = to.iter().filter(|to| RESIDENTS.contains(&to.as_str()));
                    missing.extend(to.filter(|to| !gone(to)).map(|to| (to.clone(), *id)));
                }
            }
            missing
        })
    }
}

/// Installs a server on a machine, under a name, and perhaps on the one host of all.
fn install(
    world: &mut World,
    (machine, name, one_host): (MachineId, String, bool),
    id: ReplicaId,
    members: Vec<Member>,
    scale: &Scale,
    server_reports: &ServerReports,
) -> Server {
    let folder = match one_host {
        true => format!("/data-{id}").into(),
        false => PathBuf::from("/data"),
    };
    let goes_on = one_host || scale.goes_alone;
    let survivor = if goes_on { Survivor::Auto } else { Survivor::Never };
    let place = Place { id, folder: folder.clone(), survivor, scale: scale.clone() };
    let server_reports = server_reports.clone();
    let (stop, stopped) = watch::channel(false);
    let witness = Witness { name: name.clone(), one_host, holders: world.holders(machine) };
    let program = world.install(machine, &name, move |host| {
        let (members, server_reports, witness) =
            (members.clone(), server_reports.clone(), witness.clone());
        let serving = serve(host, place.clone(), members, server_reports, witness, stopped.clone());
        Box::pin(async move { serving.await.map_err(|error| error.to_string()) })
    });
    Server { program, machine, folder, stop }
}

/// Sends that were not accepted, although nothing was ever wrong.
fn failed_sends(operations: &[Operation]) -> Vec<String> {
    let failed = |operation: &&Operation| match (&operation.call, &operation.ended) {
        // At the beginning some have not registered yet.
        (_, Some((_, Reply::Sent { .. } | Reply::Refused(ErrorCode::UnknownAccount)))) => false,
        (call, _) => matches!(call, Call::Send { .. }),
    };
    operations.iter().filter(failed).map(|it| format!("a send failed: {it:?}")).collect()
}

/// Plays a recipe in the world of a seed.
pub fn play(
    seed: u64,
    recipe: &Recipe,
    bug: Option<Bug>,
    options: TraceOptions,
) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, options, |world| {
        let mut report = Report::default();
        let mut scale = match recipe.seamless {
            true => Scale::of_seed(seed).without_failures(),
            false => Scale::of_seed(seed),
        };
        // Programs that know no levels do not read the backup.
        scale.restores &= !recipe.updates;
        // Where the last server goes on alone, it is told by what users send.
        scale.bounds &= !recipe.updates && !recipe.one_host && !scale.restores;
        let mut cluster = Cluster::new(world, recipe, &scale);
        cluster.add_users(world);
        cluster.add_others(world);
        let plan = Plan {
            servers: cluster.servers.clone(),
            faults: recipe.faults.to_vec(),
            at_once: recipe.at_once,
            pause_ms: recipe.pause_ms,
            lasts_ms: recipe.fault_lasts_ms,
            fillers: recipe.fillers.to_vec(),
        };
        let mut nemesis = Nemesis::new(world, plan);
        let end_ms = world.now_ms() + recipe.lasts_ms;
        let (mut begun, mut alone) = (false, Alone::default());
        while world.now_ms() < end_ms {
            if !begun && cluster.has_begun(world) {
                begun = true;
                nemesis.learn_begun();
            }
            nemesis.learn_leader(cluster.observed(|observed| observed.leader.1));
            nemesis.step(world);
            world.tick();
            if recipe.one_host {
                alone.check(world, &cluster, &mut report);
            }
        }
        report.counts.insert("wrote alone".to_string(), alone.wrote);
        if recipe.updates {
            updating::update_all(world, &cluster, &mut nemesis);
        }
        let mut report = conclude(world, &mut cluster, &mut nemesis, report, recipe.seamless);
        if recipe.updates {
            updating::judge(&cluster, &mut report);
        }
        if let Some(folder) = export::folder() {
            let name = format!("{}-{seed:05}", recipe.name);
            let write = |operations: &[Operation]| export::write(&folder, &name, operations);
            cluster.users.recorder.look(write).expect("the folder for histories is writable");
        }
        report
    })
}

/// Ends all faults, waits until everything is well again, and judges.
fn conclude(
    world: &mut World,
    cluster: &mut Cluster,
    nemesis: &mut Nemesis,
    mut report: Report,
    seamless: bool,
) -> Report {
    nemesis.stop(world);
    settle(world, cluster, nemesis, &mut report);
    for (name, program) in cluster.residents.iter().chain(&cluster.others) {
        if let Some(Err(error)) = world.exit(*program) {
            report.violations.push(format!("{name}: {error}"));
        }
    }
    let verdict = cluster.users.recorder.look(check);
    report.violations.extend(verdict.violations);
    report.violations.extend(cluster.users.recorder.look(linearizable::check));
    if seamless {
        report.violations.extend(cluster.users.recorder.look(failed_sends));
    }
    let observed = cluster.server_reports.lock().unwrap_or_else(PoisonError::into_inner);
    report.violations.extend_from_slice(observed.replicas.violations());
    report.counts.extend(nemesis.counts().clone());
    if !report.violations.is_empty() {
        for server in &cluster.servers {
            world.show_disk(server.machine, &server.folder);
        }
    }
    report.counts.extend(verdict.counts.iter().map(|(what, count)| (what.to_string(), *count)));
    let users = cluster.users.counts.lock().unwrap_or_else(PoisonError::into_inner);
    report.counts.extend(users.iter().map(|(what, count)| (what.to_string(), *count)));
    for (what, count) in [
        ("leaders", observed.replicas.leaders() as u64),
        ("states compared", observed.replicas.compared() as u64),
        ("disk full noticed", observed.disk_full),
        ("disk full over", observed.disk_full_over),
        ("snapshots received", world.with(|state| state.network.snapshots_sent)),
        ("two adopters", observed.two_adopters),
        ("faults", nemesis.injected()),
        ("simulated ms", world.now_ms()),
        ("abstained", observed.abstained),
        ("adoptions", observed.adoptions),
        ("hand-backs", observed.hand_backs),
        ("hosts of three", observed.hosts_of_three),
    ] {
        report.counts.insert(what.to_string(), count);
    }
    report
}

/// Whether writes go on while one server alone is left.
#[derive(Default)]
struct Alone {
    /// Whether every replica and every user has begun: nobody goes on with a
    /// cluster that is only being founded.
    begun: bool,
    /// Since when, with how many operations before.
    since: Option<(u64, usize)>,
    /// How often writes went on.
    wrote: u64,
}

impl Alone {
    fn check(&mut self, world: &World, cluster: &Cluster, report: &mut Report) {
        self.begun |= cluster.has_begun(world);
        if !self.begun {
            return;
        }
        let (mut living, mut frozen) = (0, false);
        for server in &cluster.servers {
            living += u64::from(world.lives(server.program));
            frozen |= world.with(|state| {
                let program = &state.programs[server.program.0];
                program.alive && program.frozen
            });
        }
        // A frozen one keeps its lock, a sick disk is everybody's, and what users
        // say may be lost on its way.
        let sick = world.with(|state| {
            let machine = &state.machines[cluster.servers[0].machine.0];
            machine.disk.quota_bytes.is_some()
                || machine.health.slowdown > 1
                || machine.health.stalled_until_us > state.now_us
                || state.network.has_weather()
        });
        if living != 1 || frozen || sick {
            self.since = None;
            return;
        }
        let operations = || cluster.users.recorder.look(<[_]>::len);
        let (since_ms, before) = *self.since.get_or_insert_with(|| (world.now_ms(), operations()));
        if world.now_ms() - since_ms < ALONE_MAX_MS {
            return;
        }
        if cluster.senders_since(before) == 0 {
            report.violations.push(format!(
                "one server was alone from {since_ms} ms on, and nobody could send for \
                 {ALONE_MAX_MS} ms"
            ));
        } else {
            self.wrote += 1;
        }
        self.since = Some((world.now_ms(), operations()));
    }
}

/// A cluster of survivors in full work, without any faults but a test's own.
fn begin(world: &mut World) -> (Cluster, Nemesis, Report) {
    begin_with(world, &SURVIVORS, &Scale::default())
}

/// The same on the machines of a recipe.
fn begin_with(world: &mut World, recipe: &Recipe, scale: &Scale) -> (Cluster, Nemesis, Report) {
    let mut cluster = Cluster::new(world, recipe, scale);
    cluster.add_users(world);
    let nemesis = Nemesis::new(world, Plan::nothing(&cluster.servers));
    let mut report = Report::default();
    let begun = world.run_until(20_000, |world| cluster.has_begun(world));
    report.expect(begun, "the cluster did not begin within 20 s");
    (cluster, nemesis, report)
}

/// After all faults: everybody sends, then all replicas come to one state.
fn settle(world: &mut World, cluster: &mut Cluster, nemesis: &mut Nemesis, report: &mut Report) {
    let since = cluster.users.recorder.look(<[_]>::len);
    let sends = world.run_until(PROGRESS_MAX_MS, |world| {
        nemesis.restart_exited(world, world.now_ms());
        world.now_ms().is_multiple_of(500)
            && cluster.senders_since(since) == cluster.residents.len()
    });
    if !sends {
        report.violations.push(format!(
            "{} of {} users can send {PROGRESS_MAX_MS} ms after all faults were over",
            cluster.senders_since(since),
            cluster.residents.len()
        ));
    }
    cluster.users.quiet.store(true, Ordering::Relaxed);
    let residents = cluster.residents.len();
    let rest = world.run_until(PROGRESS_MAX_MS, |world| {
        nemesis.restart_exited(world, world.now_ms());
        world.now_ms().is_multiple_of(100)
            && cluster.users.resting.load(Ordering::Relaxed) == residents
            && cluster.others.iter().all(|(_, other)| !world.lives(*other))
            && cluster.not_followed().is_empty()
    });
    if !rest {
        let resting = cluster.users.resting.load(Ordering::Relaxed);
        report.violations.push(format!(
            "{resting} of {residents} users came to rest; not followed: {:?}",
            cluster.not_followed()
        ));
    }
    for (_, user) in cluster.residents.iter().chain(&cluster.others) {
        if world.exit(*user).is_none() {
            world.kill(*user);
        }
    }
    let equal = world.run_until(PROGRESS_MAX_MS, |world| {
        nemesis.restart_exited(world, world.now_ms());
        cluster.observed(|observed| {
            let members = observed.applied.iter().zip(1..);
            let mut applied =
                members.filter(|(_, id)| !cluster.removed.contains(id)).map(|(it, _)| *it);
            let first = applied.next().flatten();
            first.is_some() && applied.all(|it| it == first)
        })
    });
    if !equal {
        let applied = cluster.observed(|observed| observed.applied.clone());
        report.violations.push(format!("replicas do not come together: {applied:?}"));
    }
}
