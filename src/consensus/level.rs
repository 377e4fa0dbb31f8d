//! The guard before the first entry of a new feature level; the head of
//! `replica/level.rs` explains levels.
//!
//! After an entry that raises the level, others may follow that an older program does
//! not know, in this log and in snapshots of its state. So whoever writes such an entry
//! or snapshot raises the directory's format first: the leader, a follower, a process
//! that has adopted a replica. From then on this replica has no connection with a
//! replica that does not know the level.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use openraft::impls::ProgressResponder;

use super::Consensus;
use super::runtime;
use super::types::{Proposal, TypeConfig};
use crate::chat::{Action, Batch, Operation};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{FEATURE_LEVEL_KNOWN, data_format};
use crate::peer::Credentials;
use crate::storage::Log;
use crate::types::{NodeId, Timestamp};

/// How long the leader waits for a majority to have the entry. Later it checks again
/// whether that was enough.
const RAISE_MAX: Duration = Duration::from_secs(5);

/// Of one replica. Clones are the same one.
#[derive(Clone)]
pub struct LevelGuard(Arc<Inner>);

struct Inner {
    /// The highest level that this replica knows.
    known: u32,
    /// The level that its directory is ready for.
    ready: AtomicU32,
    credentials: Option<Credentials>,
}

impl LevelGuard {
    /// Of a directory that is ready for a level.
    pub fn new(known: u32, ready: u32, credentials: Credentials) -> LevelGuard {
        credentials.require_level(ready);
        LevelGuard::make(known, ready, Some(credentials))
    }

    fn make(known: u32, ready: u32, credentials: Option<Credentials>) -> LevelGuard {
        LevelGuard(Arc::new(Inner { known, ready: AtomicU32::new(ready), credentials }))
    }

    /// The level that the directory is ready for.
    pub fn ready(&self) -> u32 {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Makes the directory of a log ready for a level, durably.
    ///
    /// # Errors
    /// [`ErrorCode::NewerFormat`] for a level that this replica does not know;
    /// those of [`Log::raise_format`].
    pub async fn make_ready(&self, log: &Log, level: u32) -> Result<()> {
        if level <= self.ready() {
            return Ok(());
        }
        if level > self.0.known {
            return Err(Error::new(
                ErrorCode::NewerFormat,
                format!(
                    "the cluster is at feature level {level}, and this program knows levels up to \
                     {}; update it",
                    self.0.known
                ),
            ));
        }
        log.raise_format(data_format(level)).await?;
        if let Some(credentials) = &self.0.credentials {
            credentials.require_level(level);
        }
        self.0.ready.fetch_max(level, Ordering::AcqRel);
        tracing::info!(level, "the data directory is ready for a new feature level");
        Ok(())
    }
}

impl Default for LevelGuard {
    /// Of a directory at level 0 whose replica speaks with nobody.
    fn default() -> Self {
        LevelGuard::make(FEATURE_LEVEL_KNOWN, 0, None)
    }
}

impl Consensus {
    /// All nodes of the membership that this node knows: voters and learners.
    pub fn nodes(&self) -> Vec<NodeId> {
        let metrics = self.metrics();
        metrics.membership_config.membership().nodes().map(|(node, _)| *node).collect()
    }

    /// On the leader: raises the feature level of the state. Every node must be known to
    /// know that level. To be called again until the state has it; repeating it is safe.
    ///
    /// # Errors
    /// Those of [`LevelGuard::make_ready`]; [`ErrorCode::Unavailable`] when there is
    /// no majority, or this node does not lead.
    pub async fn raise_level(&self, level: u32) -> Result<()> {
        self.0.store.make_ready_for_level(level).await?;
        let id = self.0.host.uuid();
        let operations = vec![Operation { id, action: Action::RaiseLevel { level } }];
        // A time at which nothing expires: the entry concerns no user.
        let (proposal, _) = Proposal::propose(Batch { at: Timestamp(0), operations }, 0);
        let raft = self.0.raft.clone();
        let raised = async move {
            let (responder, answer) = ProgressResponder::<TypeConfig, _>::complete_only();
            // Not by way of the proposer, which would forward it to another leader.
            let sent = raft.write(proposal).responder(responder).await;
            sent.map_err(|error| Error::unavailable(error.to_string()))?;
            let lost = |_| Error::unavailable("consensus has stopped");
            answer.await.map_err(lost)?.map_err(|error| Error::unavailable(error.to_string()))
        };
        let raised = tokio::time::timeout(RAISE_MAX, runtime::scoped(&self.0.host, raised)).await;
        raised.map_err(|_| Error::unavailable("no majority has answered yet"))?.map(drop)
    }
}
