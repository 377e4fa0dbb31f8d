//! What a replica is given: who it is and where it stands, and the directory
//! that it is to run on.

use std::path::PathBuf;

use tokio::time::Instant;

use crate::config::Timing;
use crate::consensus::{Machine, VerifiedLog, WarmState};
use crate::limits::Limits;
use crate::peer::Keys;
use crate::protocol::administration::{Bounds, Registration};
use crate::protocol::client::{Member, Survivor};
use crate::storage::{DataDirectory, Holder, Identity, PreverifiedLog};
use crate::types::{Address, ReplicaId, Timestamp};

/// Everything a replica must know.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Its number.
    pub id: ReplicaId,
    /// Where its server listens.
    pub listen: Address,
    /// Every replica of the cluster, itself included.
    pub members: Vec<Member>,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The cluster's keys: one, but while it gets a new one.
    pub keys: Keys,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Bounds.
    pub limits: Limits,
    /// Whether survivors adopt dead neighbours.
    pub survivor: Survivor,
    /// Who may register, if it founds a cluster in which nobody has said so.
    pub registration: Registration,
    /// How much may be stored, as long as no administrator has said so; `None` proposes
    /// nothing.
    pub bounds: Option<Bounds>,
    /// The process that runs it.
    pub process: ProcessInfo,
    /// The highest feature level that it knows:
    /// [`crate::limits::FEATURE_LEVEL_KNOWN`], or less where a test plays an older
    /// program.
    pub feature_level_known: u32,
}

impl ReplicaConfig {
    /// Where others reach it, which need not be where its server listens: that may be all
    /// addresses of the machine, and behind a translation of addresses it is another one.
    pub fn address(&self) -> &Address {
        let own = self.members.iter().find(|member| member.id == self.id);
        own.map_or(&self.listen, |own| &own.address)
    }

    /// What `LOCK` says of this server.
    pub fn holder(&self) -> Holder {
        Holder {
            pid: self.process.pid,
            started_at: self.process.started_at,
            address: self.listen.clone(),
            server: self.id,
        }
    }
}

/// A process, as `LOCK` and `status` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its number.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// The same by the clock that never jumps.
    pub started: Instant,
}

/// A data directory that a replica is to run on.
pub struct Opened {
    /// The directory.
    pub directory: DataDirectory,
    /// What was read of it before it could be opened.
    pub preloaded: Preloaded,
}

/// What was read of a data directory while another process held it.
pub enum Preloaded {
    /// Nothing.
    Nothing,
    /// Its state and its log, by an owner that comes back.
    State(WarmState),
    /// Its log, by a neighbour that adopts it.
    Log(VerifiedLog),
}

impl Preloaded {
    /// The state and the log that were read, as far as they are those of a directory
    /// that has been opened since.
    pub fn of(self, directory: &DataDirectory) -> (Option<Machine>, Option<PreverifiedLog>) {
        let (of, machine, log) = match self {
            Preloaded::Nothing => return (None, None),
            Preloaded::State(state) => {
                let (of, machine, log) = state.into_parts();
                (of, Some(machine), log)
            }
            Preloaded::Log(verified) => {
                let (of, log) = verified.into_parts();
                (of, None, log)
            }
        };
        match is_of(&of, directory) {
            true => {
                if let Some(applied) = machine.as_ref().map(Machine::applied_index) {
                    tracing::info!(applied, "snapshot and log were loaded while another ran it");
                }
                (machine, Some(log))
            }
            false => (None, None),
        }
    }
}

/// Whether a directory belongs to the very same replica as before.
fn is_of(of: &Identity, directory: &DataDirectory) -> bool {
    let same = |identity: &Identity| {
        (identity.cluster, identity.lineage, identity.node()) == (of.cluster, of.lineage, of.node())
    };
    directory.identity().is_ok_and(|identity| identity.is_some_and(same))
}
