//! The start of a node: from what its directory holds to an engine that runs.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;
use tokio::time::Instant;

use super::engine::log_store::LogStore;
use super::engine::network;
use super::leadership::heartbeats::answer_max_ms;
use super::leadership::route::Router;
use super::proposer::Proposer;
use super::reads::Reader;
use super::rejoin;
use super::runs::Runs;
use super::runtime;
use super::{Consensus, Inner, LevelGuard, Links, Machine, Raft, Time, progress};
use super::{adoption, warm_state};
use crate::config::Timing;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::limits::Limits;
use crate::planted::{self, Bug};
use crate::storage::{Log, Snapshots};
use crate::sync::Mutex;
use crate::types::NodeId;

/// What a node finds in its directory.
pub struct Stored {
    /// Its log and vote.
    pub log: Log,
    /// Its snapshots.
    pub snapshots: Snapshots,
    /// Whether a trace in the directory shows that the end of the log is lost.
    pub lost_end: bool,
    /// What stands before entries of a new feature level.
    pub level: LevelGuard,
}

/// What a node is made of beside its directory.
pub struct NodeParts<'a> {
    /// Its number and incarnation.
    pub node: NodeId,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Bounds.
    pub limits: &'a Limits,
    /// The state that it applies entries to.
    pub machine: Machine,
    /// The ways to its peers.
    pub links: Links,
    /// The time that it puts on operations.
    pub time: Time,
    /// Of an adopted replica: the node of the process that runs it.
    pub host_node: Option<&'a Consensus>,
}

impl Consensus {
    /// Loads snapshot and log and starts the node, with elections off.
    ///
    /// # Errors
    /// What reading the directory found: [`ErrorCode::Corrupted`] names the file.
    pub async fn start(host: &Host, stored: Stored, parts: NodeParts<'_>) -> Result<Consensus> {
        let NodeParts { node, timing, limits, machine, links, time, host_node } = parts;
        let Stored { log, snapshots, level, lost_end } = stored;
        let covered = match snapshots.latest().await? {
            Some(reader) => Machine::parse_meta(reader.meta())?.last_log_id,
            None => None,
        };
        let store = LogStore::open(log, covered, machine.faults().clone()).await?;
        let store = store.guarded_by(level.clone());
        rejoin::check_vote_is_there(&store, covered.is_some())?;
        let found_vote = store.vote();
        machine.attach(snapshots);
        warm_state::check(&machine, &store).await?;
        if let Some(host_node) = host_node {
            adoption::take_position_of(host_node, &store, &machine).await?;
        }
        let log_end = rejoin::log_end_at_start(node, &store, lost_end, host_node);
        let config = engine_config(timing, limits)?;
        let answer_timeout =
            Duration::from_millis(2 * timing.election_timeout_max_ms).max(Duration::from_secs(2));
        let runs = Runs::default();
        let factory =
            network::Factory { links: links.clone(), answer_timeout, runs: runs.clone(), level };
        let (open_store, open_machine) = (store.clone(), machine.clone());
        let raft = Raft::new(node, Arc::new(config), factory, open_store, open_machine);
        let last = store.last_log_id().map(|log_id| log_id.index());
        let raft = progress::of_replay(&machine, last, runtime::scoped(host, raft));
        let raft = raft.await.map_err(|error| {
            machine.detach();
            // The error of storage is the cause, if there is one.
            machine.faults().take().unwrap_or_else(|| {
                Error::internal(format!(
                    "the replica cannot start on what is in its directory: {error}"
                ))
            })
        })?;
        #[cfg(debug_assertions)]
        if planted::is(Bug::ApplyTwiceAfterRestart) {
            machine.apply_again(&store).await?;
        }
        let shortage = store.log().watch_shortage();
        let router = Router::start(host, raft.clone(), links.clone(), shortage, time);
        let proposer = Proposer::start(host, router.clone());
        let question_timeout = Duration::from_millis(timing.election_timeout_max_ms);
        let reader = Reader::start(host, router.clone(), machine.clone(), question_timeout);
        let consensus = Consensus(Arc::new(Inner {
            node,
            raft,
            store,
            machine,
            links,
            router,
            proposer,
            reader,
            host: host.clone(),
            run: host.uuid(),
            runs,
            log_end: watch::Sender::new(log_end),
            stopped: watch::Sender::new(false),
            found_vote,
            fast_elections: AtomicU64::new(0),
            elections_wanted: Mutex::default(),
            timing,
            leader_contact_at: Mutex::new(Instant::now()),
            led: AtomicU64::new(0),
            leader_committed: AtomicU64::new(0),
        }));
        consensus.start_watching(limits);
        Ok(consensus)
    }

    /// Starts what goes on beside the engine.
    fn start_watching(&self, limits: &Limits) {
        runtime::spawn(&self.0.host, self.clone().housekeeping(limits.snapshot_log_min_bytes));
        self.watch_log_ends();
        self.spawn_until_stopped(self.clone().leave_a_disk_behind());
        self.spawn_until_stopped(self.clone().watch_shortage());
        let heartbeat_interval = Duration::from_millis(self.0.timing.heartbeat_interval_ms);
        self.spawn_until_stopped(self.clone().send_heartbeats(heartbeat_interval));
        self.spawn_until_stopped(self.clone().ask_for_signs_of_life());
    }
}

/// The engine's settings; the head of the module explains those that matter.
fn engine_config(timing: Timing, limits: &Limits) -> Result<Config> {
    let config = Config {
        cluster_name: "ftchat".into(),
        // Only the longest wait for an answer; see `leadership/heartbeats.rs`.
        heartbeat_interval: answer_max_ms(&timing),
        enable_heartbeat: false,
        election_timeout_min: timing.election_timeout_min_ms,
        election_timeout_max: timing.election_timeout_max_ms,
        install_snapshot_timeout: 600_000,
        max_payload_entries: 1_024,
        replication_lag_threshold: u64::MAX,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: limits.log_entries_kept,
        enable_elect: false,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(planted::is(Bug::RestoreLeaderInOldTerm)),
        ..Config::default()
    };
    config.validate().map_err(|error| {
        Error::new(
            ErrorCode::InvalidConfig,
            format!("the [timing] settings contradict each other: {error}"),
        )
    })
}
