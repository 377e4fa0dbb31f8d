//! Survival: how the last server of a host goes on when all others are dead.
//!
//! Raft needs a majority of voters. A voter is its durable state, and any process
//! that holds the lock of that state may run the voter. So when the majority is
//! lost, a surviving server *adopts* its dead neighbours: it takes the locks of
//! their data directories, runs their voters inside its own process on their own
//! files, and listens at their addresses where it can. Then there is a majority
//! again, and it elects a leader by the ordinary rules. Everything stays
//! linearizable. That is so even if the survivor lagged behind, as it has the log of
//! the dead one.
//!
//! # Why this is safe
//! The kernel releases a lock when, and only when, the process that holds it is
//! gone. So two processes never run the same voter, whatever anybody believes about
//! who is alive. A frozen process holds its lock: nobody steals it, and writes wait
//! until it goes on. `storage/adoption.rs` tells which directories may be adopted,
//! and why a copy or one of another cluster may not.
//!
//! # When
//! - **By evidence** ([`failure_detection`]). When a process dies the kernel closes its
//!   connections. A closed connection is a hint; a free lock is the proof. If
//!   the leader is gone and a majority is left, that majority elects at once
//!   ([`Consensus::run_fast_election`](crate::consensus::Consensus::run_fast_election)). If no
//!   majority is left, the dead are adopted at once.
//! - **By timeout.** When no majority has been heard of for an election
//!   timeout, in which this server itself was not frozen, every neighbour that
//!   does not answer is tried, again and again.
//!   That is how one server that was started alone after everything crashed
//!   comes to run all replicas, with every acknowledged message.
//!
//! Neighbours' logs are verified while the neighbours live ([`log_tailing`]), so that
//! little is left to do then.
//!
//! # What an adopted replica is
//! It is a voter with a log and a vote in its own directory, and has no state of its
//! own. If it is elected, as its log is the longest, it leads until the host's own
//! replica has everything, and then hands over.
//!
//! # Hand-back
//! An owner that comes back ([`acquire`]) finds its lock held, reads in `LOCK` by
//! whom, and asks that server to let go. The holder gives up leadership if the replica
//! has it, unbinds the address, stops the voter and unlocks. Then it leaves the lock
//! alone until the owner has been seen or [`RELEASED_PAUSE`] is over. It gives back one
//! replica at a time, as two at once could leave no majority: the next one follows when
//! the owner before is in step again, or has had five seconds for it. The
//! owner loads its data before it asks. So the replica is without a process for a
//! moment only, however much data there is. A server that dies again and again waits
//! longer for its replica ([`restart_backoff`]).
//!
//! # How it fails
//! A neighbour is left alone if its directory is damaged, belongs to somebody else or
//! cannot be opened, and `status` says why. An adopted replica that fails
//! is let go; only the server's own replica can end the process.

mod acquire;
mod adopted;
mod failure_detection;
mod log_tailing;
mod restart_backoff;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot, watch};

use self::adopted::AdoptedReplica;
use self::log_tailing::Verified;
use crate::consensus;
use crate::error::{Error, Result};
use crate::host::{Host, Listener, Stream};
use crate::protocol::client::ServerStatus;
use crate::replica::{LocalTransport, Replica, ReplicaConfig};
use crate::sync::Mutex;
use crate::types::ReplicaId;

/// How long a holder leaves a lock alone that it gave back, unless its owner
/// has been seen earlier.
const RELEASED_PAUSE: Duration = Duration::from_secs(2);

/// A server's own replica and those that it has adopted. Clones share them.
#[derive(Clone)]
pub struct Hosting(Arc<Inner>);

struct Inner {
    host: Host,
    config: ReplicaConfig,
    own_replica: Replica,
    local_transport: LocalTransport,
    state: Mutex<State>,
    verified: Verified,
    listeners: mpsc::UnboundedSender<AdoptedListener>,
    /// Ends the task.
    stopped: watch::Sender<bool>,
}

struct State<G = AdoptedReplica> {
    adopted: BTreeMap<ReplicaId, G>,
    /// Set once the server is to stop: from then on nobody is adopted.
    forbidden: bool,
}

impl<G> Default for State<G> {
    fn default() -> Self {
        State { adopted: BTreeMap::new(), forbidden: false }
    }
}

impl<G> State<G> {
    /// Keeps an adopted replica. Once the server is to stop it returns the replica
    /// instead, for the caller to stop. In one step: what is kept by then is stopped with
    /// the server, and nothing is added after that.
    fn add(&mut self, id: ReplicaId, replica: G) -> Option<G> {
        if self.forbidden {
            return Some(replica);
        }
        self.adopted.insert(id, replica);
        None
    }

    /// Takes all of them out, and adds none any more.
    fn clear(&mut self) -> BTreeMap<ReplicaId, G> {
        self.forbidden = true;
        std::mem::take(&mut self.adopted)
    }
}

/// The address of an adopted replica, bound in its place, to be served like the
/// server's own until `stop` says so.
pub struct AdoptedListener {
    /// Whose address it is.
    pub replica: ReplicaId,
    /// The bound address.
    pub listener: Box<dyn Listener>,
    /// When to stop.
    pub stop: watch::Receiver<bool>,
}

/// What [`Hosting::start`] gives.
pub struct Started {
    /// The replicas.
    pub hosting: Hosting,
    /// The server's own address.
    pub listener: Box<dyn Listener>,
    /// Addresses of adopted replicas, as they are bound.
    pub adopted_listeners: mpsc::UnboundedReceiver<AdoptedListener>,
}

impl Hosting {
    /// Binds the server's address, opens its data directory, where needed by
    /// asking whoever runs it to give it back, and starts its replica.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::AddressInUse`],
    /// [`crate::error::ErrorCode::DirectoryInUse`] and those of
    /// [`Replica::start_on`].
    pub async fn start(host: Host, config: ReplicaConfig) -> Result<Started> {
        let (listener, opened) = acquire::acquire(&host, &config).await?;
        let local_transport = LocalTransport::default();
        let own_replica =
            Replica::start_on(host.clone(), config.clone(), opened, local_transport.clone(), None)
                .await?;
        let (listeners, adopted_listeners) = mpsc::unbounded_channel();
        let hosting = Hosting(Arc::new(Inner {
            host: host.clone(),
            config,
            own_replica,
            local_transport,
            state: Mutex::default(),
            verified: Verified::default(),
            listeners,
            stopped: watch::Sender::new(false),
        }));
        consensus::spawn(&host, task::run(hosting.clone()));
        Ok(Started { hosting, listener, adopted_listeners })
    }

    /// The server's own replica.
    pub fn own_replica(&self) -> &Replica {
        &self.0.own_replica
    }

    /// Takes over a connection whose first line said that a peer calls one of
    /// the replicas, until it ends. Sends on `proved` once the caller has
    /// proved to be a replica.
    ///
    /// # Errors
    /// Those of [`Replica::serve_peer`].
    pub async fn serve_peer(
        &self,
        to: ReplicaId,
        stream: BufReader<Stream>,
        first_line: Vec<u8>,
        remote: String,
        proved: oneshot::Sender<()>,
    ) -> Result<()> {
        match self.replica(to) {
            Some(replica) => replica.serve_peer(stream, first_line, remote, Some(proved)).await,
            None => Ok(()),
        }
    }

    fn replica(&self, id: ReplicaId) -> Option<Replica> {
        if id == self.0.own_replica.id() {
            return Some(self.0.own_replica.clone());
        }
        self.state().adopted.get(&id).map(|adopted| adopted.replica.clone())
    }

    /// The server's view: its own replica's, with those that it has adopted.
    pub fn status(&self) -> ServerStatus {
        let mut status = self.0.own_replica.status();
        let state = self.state();
        for adopted in state.adopted.values() {
            let theirs = adopted.replica.status();
            // An adopted replica leads for a moment before its host does.
            status.writable |= theirs.writable;
            status.commit = status.commit.max(theirs.commit);
            status.term = status.term.max(theirs.term);
            status.hosted.extend(theirs.hosted);
        }
        status.hosted.sort_by_key(|replica| replica.id);
        status
    }

    /// Adopts nobody from now on, and gives leadership to another server.
    pub async fn hand_over(&self) {
        let replicas: Vec<Replica> = {
            let mut state = self.state();
            state.forbidden = true;
            state.adopted.values().map(|adopted| adopted.replica.clone()).collect()
        };
        for replica in replicas {
            replica.hand_over().await;
        }
        self.0.own_replica.hand_over().await;
    }

    /// Stops listening at the addresses of adopted replicas; what was taken is
    /// finished.
    pub fn close_listeners(&self) {
        for adopted in self.state().adopted.values_mut() {
            adopted.close_listener();
        }
    }

    /// Stops all replicas, closes and unlocks their directories.
    pub async fn stop(&self) {
        self.0.stopped.send_replace(true);
        let adopted = self.state().clear();
        for (id, adopted) in adopted {
            self.0.local_transport.unregister(id);
            adopted.stop().await;
        }
        self.0.own_replica.stop().await;
    }

    /// Resolves when the server's own replica can no longer do its duty.
    pub async fn failed(&self) -> Error {
        self.0.own_replica.failed().await
    }

    /// Whether the server's own replica can no longer do its duty.
    pub fn has_failed(&self) -> bool {
        self.0.own_replica.has_failed()
    }

    fn adopts(&self) -> bool {
        self.0.config.survivor.adopts() && !self.state().forbidden
    }

    fn is_adopted(&self, id: ReplicaId) -> bool {
        self.state().adopted.contains_key(&id)
    }

    /// Whether a neighbour does not answer.
    fn misses_anybody(&self) -> bool {
        let own = &self.0.own_replica;
        own.peers().into_iter().any(|peer| !own.reaches(peer))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_when_the_server_stops_is_given_back_and_not_forgotten() {
        let mut state: State<&str> = State::default();
        assert_eq!(state.add(ReplicaId(2), "early"), None);
        assert_eq!(state.clear(), BTreeMap::from([(ReplicaId(2), "early")]));
        assert_eq!(state.add(ReplicaId(3), "late"), Some("late"));
        assert!(state.adopted.is_empty());
    }
}
