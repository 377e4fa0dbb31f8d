//! The other replicas as seen from here: which are reached, and where their data is.

use std::sync::Arc;

use super::{Inner, Phase, Replica};
use crate::consensus::{self, Consensus, Obstacle};
use crate::peer::{LinkWatch, Met, Openings};
use crate::protocol::peer::Remembered;
use crate::storage::{DataDirectory, Neighbour, Neighbours, is_adoptable};
use crate::types::{NodeId, ReplicaId};

impl Replica {
    /// Whether a peer has answered and its connection is open.
    pub fn reaches(&self, peer: ReplicaId) -> bool {
        self.0.links.get(peer).is_some_and(|pair| pair.consensus.peer().is_ok())
    }

    /// Whether nobody listened at a peer's address when it was tried last.
    pub fn is_gone(&self, peer: ReplicaId) -> bool {
        self.0.links.get(peer).is_some_and(|pair| pair.consensus.is_gone())
    }

    /// Whether a peer's machine has ceased to acknowledge what is sent to it.
    pub fn is_silent(&self, peer: ReplicaId) -> bool {
        self.0.links.get(peer).is_some_and(|pair| pair.consensus.is_silent())
    }

    /// Notes why a peer that does not answer was not adopted; `None` when that
    /// is over. Returns whether that is news.
    pub fn note_obstacle(&self, peer: ReplicaId, obstacle: Option<Obstacle>) -> bool {
        self.0.links.note_obstacle(peer, obstacle)
    }

    /// Follows the connecting and disconnecting of a peer.
    pub fn watch_peer(&self, peer: ReplicaId) -> Option<LinkWatch> {
        Some(self.0.links.get(peer)?.consensus.watch())
    }

    /// Its node of consensus, while it runs.
    pub fn consensus(&self) -> Option<Consensus> {
        self.0.consensus().ok()
    }

    /// Its node, while it runs.
    pub fn node(&self) -> Option<NodeId> {
        Some(self.consensus()?.node())
    }

    /// Neighbours that could be adopted if their processes died: it is known
    /// where the newest incarnation of each lives, and locks tell something there.
    pub fn adoptable(&self) -> Vec<ReplicaId> {
        let Ok(consensus) = self.0.consensus() else { return Vec::new() };
        let located = self.0.located.borrow();
        let newest = |node: &NodeId| consensus.newest_incarnation(node.replica()) == Some(*node);
        located.iter().filter(|node| newest(node)).map(|node| node.replica()).collect()
    }

    /// Where a neighbour's data is, as far as is remembered.
    pub async fn neighbour(&self, peer: ReplicaId) -> Option<Neighbour> {
        self.0.neighbours.lock().await.as_ref()?.get(peer).cloned()
    }
}

/// Reads what a directory remembers of the others, so that they can be told.
pub(super) async fn recall(
    openings: &Openings,
    directory: &DataDirectory,
) -> crate::error::Result<()> {
    for neighbour in Neighbours::open(directory).await?.all() {
        let (incarnation, opening) = (neighbour.incarnation, neighbour.location.opening());
        openings.remember(neighbour.replica, Remembered { incarnation, opening });
    }
    Ok(())
}

impl Inner {
    /// Reads what is remembered and keeps it up to date from now on.
    pub(super) async fn remember_neighbours(
        self: &Arc<Inner>,
        directory: &DataDirectory,
    ) -> crate::error::Result<()> {
        let neighbours = Neighbours::open(directory).await?;
        self.note_located(&neighbours).await;
        *self.neighbours.lock().await = Some(neighbours);
        let inner = self.clone();
        consensus::spawn(&self.host, async move {
            let mut stopped = inner.phase.subscribe();
            tokio::select! {
                biased;
                _ = stopped.wait_for(|phase| matches!(phase, Phase::Stopped)) => {}
                () = inner.links.with_each(|peer| inner.clone().follow_neighbour(peer)) => {}
            }
        });
        Ok(())
    }

    /// Writes down where a peer's data is and which feature level it knows, as it said
    /// in a handshake that either side began.
    pub(super) async fn remember_neighbour(&self, met: Met) {
        let Met { who: peer, location: Some(location), level: knows_level, .. } = met else {
            return;
        };
        let Some(incarnation) = peer.incarnation else { return };
        if peer.cluster != self.credentials.introduction().cluster {
            return;
        }
        if let Some(neighbours) = &mut *self.neighbours.lock().await {
            let replica = peer.replica;
            let opening = location.opening();
            self.credentials.openings().remember(replica, Remembered { incarnation, opening });
            let neighbour = Neighbour { replica, incarnation, location, knows_level };
            if let Err(error) = neighbours.remember(neighbour).await {
                tracing::warn!(%replica, %error, "where a neighbour lives was not written down");
            }
            self.note_located(neighbours).await;
        }
    }

    async fn note_located(&self, neighbours: &Neighbours) {
        let (disk, known) = (self.host.disk.clone(), neighbours.all().to_vec());
        let job = async move {
            let mut located = Vec::new();
            for neighbour in known {
                if is_adoptable(&*disk, &neighbour.location).await {
                    located.push(neighbour.node());
                }
            }
            located
        };
        if let Some(located) = self.host.on_worker("look-at-neighbours", job).await {
            self.located.send_replace(located);
        }
    }

    async fn follow_neighbour(self: Arc<Inner>, peer: ReplicaId) {
        let Some(pair) = self.links.get(peer) else { return };
        let mut changes = pair.consensus.watch();
        loop {
            if let Some(met) = pair.consensus.met() {
                if let Some(address) = &met.address {
                    pair.consensus.heard_of(address);
                    pair.service.heard_of(address);
                }
                self.remember_neighbour(met).await;
            }
            changes.changed().await;
        }
    }
}
