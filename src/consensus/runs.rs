//! Which processes run the peers' nodes. The head of `rejoin.rs` explains why an append
//! waits for that.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::types::{NodeId, ReplicaId, Uuid};

/// How long an append waits until the process that it is for is known.
const RUN_WAIT_MAX: Duration = Duration::from_millis(500);

/// Which processes run the peers' nodes, as far as they have been asked.
/// `None`: an older program, which names no run.
#[derive(Clone)]
pub struct Runs(watch::Sender<BTreeMap<NodeId, Option<Uuid>>>);

impl Default for Runs {
    fn default() -> Self {
        Runs(watch::Sender::new(BTreeMap::new()))
    }
}

impl Runs {
    /// The run of a node's process.
    ///
    /// # Errors
    /// Why none is known after [`RUN_WAIT_MAX`].
    pub async fn of(&self, node: NodeId) -> Result<Option<Uuid>> {
        let mut runs = self.0.subscribe();
        let known = timeout(RUN_WAIT_MAX, runs.wait_for(|runs| runs.contains_key(&node))).await;
        match known {
            Ok(Ok(runs)) => Ok(runs.get(&node).copied().flatten()),
            // The sender is part of `self`.
            Ok(Err(_)) | Err(_) => Err(Error::unavailable(format!(
                "replica {} has not said how far its log goes",
                node.replica()
            ))),
        }
    }

    /// Forgets a run, which is over; asks the process that runs the node now.
    pub fn forget(&self, node: NodeId, run: Option<Uuid>) {
        self.0
            .send_if_modified(|runs| runs.get(&node) == Some(&run) && runs.remove(&node).is_some());
    }

    pub(super) fn forget_replica(&self, replica: ReplicaId) {
        self.0.send_if_modified(|runs| {
            let before = runs.len();
            runs.retain(|node, _| node.replica() != replica);
            runs.len() != before
        });
    }

    pub(super) fn know(&self, node: NodeId, run: Option<Uuid>) {
        self.0.send_if_modified(|runs| runs.insert(node, run) != Some(run));
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.0.borrow().contains_key(&node)
    }

    /// Resolves when nothing is known of a node.
    pub(super) async fn forgotten(&self, node: NodeId) {
        let mut runs = self.0.subscribe();
        // The sender is part of `self`, so this cannot fail.
        drop(runs.wait_for(|runs| !runs.contains_key(&node)).await);
    }
}
