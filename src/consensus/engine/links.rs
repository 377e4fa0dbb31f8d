//! This replica's ways to its peers: who they are changes while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;

use crate::consensus::obstacle::Obstacle;
use crate::peer::Link;
use crate::sync::Mutex;
use crate::types::ReplicaId;

/// See the head of the module. Clones share everything.
#[derive(Clone, Default)]
pub struct Links(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Shared by those who look, and replaced when a peer comes or goes.
    pairs: watch::Sender<Arc<BTreeMap<ReplicaId, Arc<Pair>>>>,
    /// Why a peer that does not answer could not be helped.
    obstacles: Mutex<BTreeMap<ReplicaId, Obstacle>>,
}

/// Two connections to a peer, so that a snapshot or a flood of forwarded
/// operations never stands in the way of a heartbeat.
pub struct Pair {
    /// Appends, votes, transfers.
    pub consensus: Link,
    /// Everything else.
    pub service: Link,
}

impl Links {
    /// The connections to one peer.
    pub fn get(&self, replica: ReplicaId) -> Option<Arc<Pair>> {
        self.0.pairs.borrow().get(&replica).cloned()
    }

    /// All peers of this moment, in order.
    pub fn all(&self) -> Vec<(ReplicaId, Arc<Pair>)> {
        let pairs = self.0.pairs.borrow();
        pairs.iter().map(|(peer, pair)| (*peer, Arc::clone(pair))).collect()
    }

    /// Their numbers, in order.
    pub fn peers(&self) -> Vec<ReplicaId> {
        self.0.pairs.borrow().keys().copied().collect()
    }

    /// The longest way there and back to a peer that is reached on another machine.
    pub fn longest_round_trip(&self) -> Duration {
        let pairs = self.0.pairs.borrow();
        pairs.values().filter_map(|pair| pair.consensus.round_trip()).max().unwrap_or_default()
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.pairs.borrow().len()
    }

    /// Lets the peers be these: `connect` makes the ways to one that is new, and those to
    /// one that is none any more are closed.
    pub fn become_those(
        &self,
        peers: &BTreeSet<ReplicaId>,
        mut connect: impl FnMut(ReplicaId) -> Pair,
    ) {
        self.0.pairs.send_if_modified(|pairs| {
            if pairs.keys().eq(peers) {
                return false;
            }
            let known = |peer: &ReplicaId| pairs.get(peer).cloned();
            let next = peers
                .iter()
                .map(|peer| (*peer, known(peer).unwrap_or_else(|| Arc::new(connect(*peer)))));
            *pairs = Arc::new(next.collect());
            true
        });
        self.0.obstacles.lock().retain(|peer, _| peers.contains(peer));
    }

    /// Runs a task for each peer, as long as it is one; a task that ends is not begun
    /// again. Never ends.
    pub async fn with_each<F>(&self, mut task: impl FnMut(ReplicaId) -> F)
    where
        F: Future<Output = ()> + Send,
    {
        let mut changes = self.0.pairs.subscribe();
        let mut running = FuturesUnordered::new();
        let mut known: BTreeSet<ReplicaId> = BTreeSet::new();
        loop {
            let now: BTreeSet<ReplicaId> = changes.borrow_and_update().keys().copied().collect();
            known.retain(|peer| now.contains(peer));
            for peer in now {
                if known.insert(peer) {
                    let (work, gone) = (task(peer), self.gone(peer));
                    running.push(async move {
                        tokio::select! {
                            biased;
                            () = gone => {}
                            () = work => {}
                        }
                    });
                }
            }
            tokio::select! {
                biased;
                // The sender lives as long as this.
                _ = changes.changed() => {}
                Some(()) = running.next() => {}
            }
        }
    }

    /// Resolves when that one is no peer.
    fn gone(&self, peer: ReplicaId) -> impl Future<Output = ()> + Send + use<> {
        let mut pairs = self.0.pairs.subscribe();
        async move {
            // Nobody is left to be told when the links are dropped.
            drop(pairs.wait_for(|pairs| !pairs.contains_key(&peer)).await);
        }
    }

    /// Notes why a peer that does not answer cannot be helped, to explain why nothing
    /// goes on. Returns whether that is news.
    pub fn note_obstacle(&self, replica: ReplicaId, obstacle: Option<Obstacle>) -> bool {
        let mut obstacles = self.0.obstacles.lock();
        match obstacle {
            // Whoever has left needs no help.
            Some(_) if !self.0.pairs.borrow().contains_key(&replica) => false,
            Some(obstacle) if obstacles.get(&replica) == Some(&obstacle) => false,
            Some(obstacle) => {
                obstacles.insert(replica, obstacle);
                true
            }
            None => obstacles.remove(&replica).is_some(),
        }
    }

    /// What was noted of one.
    pub fn obstacle(&self, replica: ReplicaId) -> Option<Obstacle> {
        self.0.obstacles.lock().get(&replica).cloned()
    }

    /// All that was noted.
    pub fn obstacles(&self) -> BTreeMap<ReplicaId, Obstacle> {
        self.0.obstacles.lock().clone()
    }
}
