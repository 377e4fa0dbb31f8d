//! What a simulated server runs: the same as `serve`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::error::{ErrorCode, Result};
use ftchat::host::Host;
use ftchat::limits::FEATURE_LEVEL_KNOWN;
use ftchat::protocol::administration::Registration;
use ftchat::protocol::client::{Member, ReplicaState, Survivor};
use ftchat::replica::{ProcessInfo, ReplicaConfig, Timing};
use ftchat::server::{PasswordCost, Server};
use ftchat::survival::{Hosting, Started};
use ftchat::types::ReplicaId;
use tokio::sync::watch;

use super::key_files::KeyFiles;
use super::scale::Scale;
use crate::oracle::replicas::Replicas;
use crate::world::Holders;

/// What the servers of a world report about themselves.
pub type ServerReports = Arc<Mutex<Observed>>;

/// See [`ServerReports`].
#[derive(Default)]
pub struct Observed {
    /// For the oracle.
    pub replicas: Replicas,
    /// The highest term that anybody led, and the place of the server that did.
    pub leader: (u64, Option<usize>),
    /// By replica, from 1: the latest applied index, while it runs.
    pub applied: Vec<Option<u64>>,
    /// Times that a replica reported that its disk is full.
    pub disk_full: u64,
    /// Times that it reported that this was over.
    pub disk_full_over: u64,
    /// Times that a replica reported that it does not vote, because its tail was lost.
    pub abstained: u64,
    /// Times that a server began to run another's replica.
    pub adoptions: u64,
    /// Times that it ceased to, while it lived.
    pub hand_backs: u64,
    /// Times that one server came to run all three.
    pub hosts_of_three: u64,
    /// By server, from 0: how many replicas its process runs.
    pub hosting: BTreeMap<usize, u64>,
    /// Times that two servers came to run others' replicas at once.
    pub two_adopters: u64,
    /// The files with the cluster's key.
    pub key_files: KeyFiles,
    /// Processes so far.
    pub runs: u32,
    /// What the servers' programs know, where they are updated.
    pub update: Option<Update>,
    /// Times that a program was too old for its directory.
    pub too_old: u64,
    /// By server, from 0: the feature level that it reported last.
    pub levels: BTreeMap<usize, u32>,
    /// By server, from 0: what it said last that is stored, in bytes.
    pub stored: BTreeMap<usize, u64>,
    /// By server, from 0: whether it is alone, or has something that it took alone.
    pub unsettled: BTreeMap<usize, bool>,
    /// By server, from 0: whether it is alone.
    pub alone: BTreeMap<usize, bool>,
}

/// Servers that are updated one after the other.
#[derive(Default)]
pub struct Update {
    /// By server, from 0: whether its program is the newer one.
    pub newer: BTreeMap<usize, bool>,
    /// Whether nobody goes back any more.
    pub final_round: bool,
}

impl Update {
    /// Which feature level the program knows with which a server starts. The first
    /// time it is the older one; later it may be either.
    fn choose(&mut self, place: usize, random: u64) -> u32 {
        let newer = match self.newer.get(&place) {
            None => false,
            Some(_) => self.final_round || !random.is_multiple_of(3),
        };
        self.newer.insert(place, newer);
        if newer { FEATURE_LEVEL_KNOWN } else { FEATURE_LEVEL_KNOWN - 1 }
    }
}

/// The defaults of `serve`.
const TIMING: Timing = Timing {
    heartbeat_interval_ms: 100,
    election_timeout_min_ms: 300,
    election_timeout_max_ms: 600,
};

/// How often a server is asked what it thinks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What one server is.
#[derive(Clone)]
pub struct Place {
    /// Its replica.
    pub id: ReplicaId,
    /// Its data.
    pub folder: PathBuf,
    /// Whether it adopts.
    pub survivor: Survivor,
    /// How small its files are.
    pub scale: Scale,
}

/// Sees from outside who may run what.
#[derive(Clone)]
pub struct Witness {
    /// The server's program.
    pub name: String,
    /// Whether all data directories are on this machine.
    pub one_host: bool,
    /// Asked at the very moment at which the server says what it runs.
    pub holders: Holders,
}

impl Witness {
    /// Tells if the server runs a replica whose directory it does not hold: then
    /// somebody else may run it as well.
    fn contradiction(&self, process: &str, replica: ReplicaId) -> Option<String> {
        let folder = if self.one_host { format!("/data-{replica}") } else { "/data".to_string() };
        let holder = (self.holders)(&Path::new(&folder).join("LOCK"));
        (holder.as_deref() != Some(&self.name))
            .then(|| format!("{process} runs replica {replica}, whose lock {holder:?} holds"))
    }
}

/// Runs one server until its replica fails or it is told to stop.
pub async fn serve(
    host: Host,
    place: Place,
    members: Vec<Member>,
    server_reports: ServerReports,
    witness: Witness,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let id = place.id;
    let (run, feature_level_known, keys) = {
        let mut observed = server_reports.lock().unwrap_or_else(PoisonError::into_inner);
        observed.runs += 1;
        observed.applied[id.0 as usize - 1] = None;
        observed.hosting.remove(&(id.0 as usize - 1));
        observed.unsettled.remove(&(id.0 as usize - 1));
        observed.alone.remove(&(id.0 as usize - 1));
        let random = host.random_u64();
        let known = observed.update.as_mut().map(|update| update.choose(id.0 as usize - 1, random));
        (observed.runs, known.unwrap_or(FEATURE_LEVEL_KNOWN), observed.key_files.read(id))
    };
    let own = members.iter().find(|member| member.id == id).expect("a member").address.clone();
    let limits = place.scale.limits();
    let config = ReplicaConfig {
        id,
        listen: own,
        members,
        data_dir: place.folder,
        keys: keys.clone(),
        timing: TIMING,
        limits: limits.clone(),
        survivor: place.survivor,
        registration: Registration::Open,
        bounds: None,
        process: ProcessInfo {
            pid: run,
            started_at: host.clock.now(),
            started: tokio::time::Instant::now(),
        },
        feature_level_known,
    };
    let started = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
        started = start(&host, config, &server_reports) => started?,
    };
    let hosting = started.hosting;
    // The least that Argon2 takes: it is not what is tried here.
    let cost = PasswordCost { memory_kib: 8, iterations: 1, parallelism: 1 };
    let server = Server::new(host, hosting.clone(), limits, cost, keys.shown())?;
    let observing =
        observe(hosting.clone(), format!("run {run} of replica {id}"), server_reports, witness);
    let (stopping, stopped) = watch::channel(false);
    let mut serving =
        std::pin::pin!(server.run_all(started.listener, started.adopted_listeners, stopped));
    // The order in which `serve` stops.
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        error = hosting.failed() => return Err(error),
        () = observing => {}
        () = &mut serving => {}
    }
    hosting.hand_over().await;
    stopping.send_replace(true);
    hosting.close_listeners();
    serving.await;
    hosting.stop().await;
    Ok(())
}

/// Starts a server. One that is too old for its directory is updated at once.
async fn start(
    host: &Host,
    config: ReplicaConfig,
    server_reports: &ServerReports,
) -> Result<Started> {
    match Hosting::start(host.clone(), config.clone()).await {
        Err(error) if error.code == ErrorCode::NewerFormat => {
            let place = config.id.0 as usize - 1;
            let mut observed = server_reports.lock().unwrap_or_else(PoisonError::into_inner);
            observed.too_old += 1;
            if let Some(update) = &mut observed.update {
                update.newer.insert(place, true);
            }
        }
        started => return started,
    }
    let feature_level_known = FEATURE_LEVEL_KNOWN;
    Hosting::start(host.clone(), ReplicaConfig { feature_level_known, ..config }).await
}

async fn observe(
    hosting: Hosting,
    process: String,
    server_reports: ServerReports,
    witness: Witness,
) {
    let place = hosting.status().replica.0 as usize - 1;
    let (mut was_full, mut abstained, mut ran) = (false, false, 1);
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let status = hosting.status();
        let mut observed = server_reports.lock().unwrap_or_else(PoisonError::into_inner);
        observed.levels.insert(place, status.feature_level.unwrap_or_default());
        observed.stored.insert(place, status.stored_bytes.unwrap_or_default());
        let notice = status.notice.unwrap_or_default();
        let runs = status.hosted.len() as u64;
        observed.adoptions += runs.saturating_sub(ran);
        observed.hand_backs += ran.saturating_sub(runs);
        observed.hosts_of_three += u64::from(runs == 3 && ran < 3);
        ran = runs;
        if observed.hosting.insert(place, runs) != Some(runs) && runs > 1 {
            let adopters = observed.hosting.values().filter(|runs| **runs > 1).count();
            observed.two_adopters += u64::from(adopters > 1);
        }
        for own in status.hosted {
            if own.hosted_by == Some(own.id) {
                let unsettled = own.alone_since.is_some() || own.outbox > 0;
                observed.unsettled.insert(place, unsettled);
                observed.alone.insert(place, own.alone_since.is_some());
            }
            let contradiction = witness.contradiction(&process, own.id);
            observed.replicas.contradict(contradiction);
            if let Some(hash) = own.state_hash.filter(|_| own.applied > 0) {
                observed.replicas.state(&process, own.applied, &hash);
                observed.applied[own.id.0 as usize - 1] = Some(own.applied);
            }
            if own.state == ReplicaState::Leader {
                // A replica that has lost its disk is another node of the same
                // replica; it leads in later terms only.
                observed.replicas.leader(&process, own.term, own.id.0.into());
                if own.term > observed.leader.0 {
                    observed.leader = (own.term, Some(place));
                }
            }
            let full = own.error.is_some_and(|error| error.contains("disk is full"));
            observed.disk_full += u64::from(full && !was_full);
            observed.disk_full_over += u64::from(was_full && !full);
            was_full = full;
        }
        let abstains = notice.contains("does not vote");
        observed.abstained += u64::from(abstains && !abstained);
        abstained = abstains;
    }
}
