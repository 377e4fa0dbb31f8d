//! Client sessions: everything between an accepted connection and the replica.
//!
//! A [`Server`] accepts connections, reads who they are, and serves clients:
//! authentication, requests, following. It hands connections of other replicas,
//! after their first line, to the replica whose address they called.
//!
//! What this module promises:
//!
//! - **The order of changes.** Changes that one connection sends enter the log
//!   in that order, however many are in flight. Answers come as they come.
//! - **Fresh reads.** A read is confirmed with a majority before it is
//!   answered, and a token that this server has not heard of is looked up again
//!   after such a confirmation, so it does not matter which server is asked.
//! - **Following without loss.** No message is missed and none comes twice. A follow
//!   that cannot be sure of it ends with an error instead of falling silent.
//! - **Bounds.** Lines, nesting, requests in flight, unwritten answers,
//!   connections in total, per address and without a session, the memory that all
//!   of them hold together, password hashes at once, guesses and registrations,
//!   an account's changes and follows: all are bounded by [`crate::limits::Limits`], and whoever exceeds one is
//!   told which.
//! - **Silence about secrets.** Passwords are hashed before anything is
//!   proposed and wiped from memory as far as this program holds them;
//!   passwords, tokens and texts never reach a log.
//!
//! How it fails: a broken connection drops the futures of its requests. What
//! was proposed may still happen, and the client repeats it elsewhere under
//! the same id. A server that is told to stop ends follows with a retryable error,
//! finishes within five seconds the requests that it took, and takes no new ones. One that
//! has stood still takes nothing from the connections that it had before. A
//! panic in a connection ends that connection only.
//!
//! - `greeting`, `connection`: the life of a connection; `incoming`,
//!   `outgoing`, `wire`: its lines; `work`: requests in progress.
//! - `requests`, `sessions`, `reads`, `follow`: what is asked and answered; `softening`: what
//!   refusals say while no majority is there.
//! - `slots`, `memory`, `rate`, `open_follows`: what protects the server and its users;
//!   `password`, `hashing`: who may compute a hash, and how.
//! - `backend`: the replica as seen from here; `stop`: the signal;
//!   `wakefulness`: what becomes of clients when the process has stood still;
//!   `runtime_watchdog`: ends a process whose runtime hangs.

mod backend;
mod connection;
mod follow;
mod greeting;
mod hashing;
mod incoming;
mod memory;
mod open_follows;
mod outgoing;
mod own;
mod password;
mod past;
mod rate;
mod reads;
mod requests;
pub mod runtime_watchdog;
mod sessions;
mod slots;
mod softening;
mod stop;
#[cfg(test)]
pub(crate) mod tests;
mod wakefulness;
mod wire;
mod work;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

pub use self::password::PasswordCost;

use self::backend::Backend;
use self::greeting::{Peer, reject};
use self::memory::Memory;
use self::open_follows::OpenFollows;
use self::password::Passwords;
use self::rate::{Changes, FailedLogins, LogThrottle, Registrations};
use self::slots::{Slots, gave_way};
use self::stop::Stop;
use self::wakefulness::Wakefulness;
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Host, Listener};
use crate::limits::Limits;
use crate::survival::{AdoptedListener, Hosting};
use crate::tls::{Acceptor, Shown};
use crate::types::ReplicaId;

/// Refused connections that are told why at the same time. Beyond that they
/// are closed without a word, so that refusing costs less than connecting.
pub const REJECTIONS_MAX: usize = 64;

/// The same where few connections fit, for as few descriptors are there.
const REJECTIONS_MIN: usize = 4;

/// Pause after a failed accept. The usual reason is that the process is out of
/// file descriptors, which passes when a connection closes.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long stopping takes at most: the connections' own time to finish,
/// write their queues and linger, and a little more.
const STOP_MAX: Duration = Duration::from_secs(12);

/// How many refused connections a server of so many connections tells why at the
/// same time.
pub fn rejections_max(connections_max: usize) -> usize {
    (connections_max / 3).clamp(REJECTIONS_MIN, REJECTIONS_MAX)
}

/// Serves clients with one replica. Cheap to clone; all clones share the same
/// bounds.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    rejections: Arc<Semaphore>,
}

/// What all connections of a server share.
struct Shared {
    host: Host,
    backend: Arc<dyn Backend>,
    limits: Limits,
    passwords: Passwords,
    failed_logins: FailedLogins,
    registrations: Registrations,
    changes: Changes,
    open_follows: Arc<OpenFollows>,
    slots: Arc<Slots>,
    memory: Arc<Memory>,
    refusals: LogThrottle,
    refused_peers: LogThrottle,
    tls: Acceptor,
    wakefulness: Arc<Wakefulness>,
}

impl Shared {
    /// Logs that somebody was refused; of a flood only some.
    fn refused(&self, address: &str, error: &Error) {
        // The code and not the sentence, which may quote what was sent.
        match self.refusals.allow() {
            Some(held_back) => {
                tracing::info!(address, code = %error.code, held_back, "refused a connection");
            }
            None => tracing::debug!(address, code = %error.code, "refused a connection"),
        }
    }

    /// Logs why somebody who called as a replica was refused; of a flood only
    /// some. It may be an attack, or a server with another cluster's key.
    fn peer_ended(&self, address: &str, result: Result<()>) {
        let Err(error) = result else { return };
        // A broken connection is nobody's fault.
        if error.code == ErrorCode::Io {
            return;
        }
        if let Some(held_back) = self.refused_peers.allow() {
            tracing::warn!(address, %error, held_back, "refused a peer");
        }
    }
}

impl Server {
    /// A server that serves nobody yet, and shows this identity to callers that speak
    /// TLS.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::InvalidConfig`] for an impossible cost of
    /// password hashes.
    pub fn new(
        host: Host,
        hosting: Hosting,
        limits: Limits,
        password_cost: PasswordCost,
        shown: impl Into<Shown>,
    ) -> Result<Server> {
        Server::over(host, Arc::new(hosting), limits, password_cost, shown)
    }

    fn over(
        host: Host,
        backend: Arc<dyn Backend>,
        limits: Limits,
        cost: PasswordCost,
        shown: impl Into<Shown>,
    ) -> Result<Server> {
        let shared = Shared {
            passwords: Passwords::new(host.clone(), cost, limits.password_hashes_in_parallel)?,
            failed_logins: FailedLogins::new(&limits),
            registrations: Registrations::new(&limits),
            changes: Changes::new(&limits),
            open_follows: OpenFollows::new(limits.follows_per_account_max),
            slots: Slots::new(&limits),
            memory: Memory::new(limits.connection_memory_max_bytes),
            refusals: LogThrottle::default(),
            refused_peers: LogThrottle::default(),
            tls: Acceptor::new(host.clone(), shown),
            wakefulness: Wakefulness::new(host.clone()),
            host,
            backend,
            limits,
        };
        let rejections = rejections_max(shared.limits.connections_max);
        Ok(Server { shared: Arc::new(shared), rejections: Arc::new(Semaphore::new(rejections)) })
    }

    /// Serves the server's own address until `stop` says `true`, and those of
    /// adopted replicas, as they are bound, until each is to stop.
    pub async fn run_all(
        &self,
        listener: Box<dyn Listener>,
        mut adopted_listeners: mpsc::UnboundedReceiver<AdoptedListener>,
        stop: watch::Receiver<bool>,
    ) {
        let mut serving = FuturesUnordered::new();
        serving.push(self.run(self.shared.backend.id(), listener, stop.clone()));
        let mut stop = Stop::new(stop);
        let mut stopping = false;
        loop {
            tokio::select! { biased;
                () = stop.requested(), if !stopping => stopping = true,
                ended = serving.next() => if ended.is_none() { return },
                Some(AdoptedListener { replica, listener, stop }) = adopted_listeners.recv(), if !stopping => {
                    tracing::info!(address = %listener.local_address(), "serving an adopted replica's address");
                    serving.push(self.run(replica, listener, stop));
                }
            }
        }
    }

    /// Accepts connections to the address of a replica that this process runs
    /// and serves them until `stop` says `true` or its sender is dropped; then
    /// finishes what was taken, within seconds, and returns.
    ///
    /// Dropping the future ends all of its connections at once. Connections of
    /// other replicas outlive a return (the replica still needs them to hand
    /// over) and end with the replica.
    async fn run(
        &self,
        replica: ReplicaId,
        listener: Box<dyn Listener>,
        stop: watch::Receiver<bool>,
    ) {
        let mut stop = Stop::new(stop);
        let (mut clients, mut peers) = (JoinSet::new(), JoinSet::new());
        let mut beat = JoinSet::new();
        beat.spawn(Arc::clone(&self.shared.wakefulness).run());
        loop {
            tokio::select! { biased;
                () = stop.requested() => break,
                Some(ended) = clients.join_next() => self.ended(ended, replica, &mut peers),
                Some(ended) = peers.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => match self.shared.slots.admit(&address) {
                        Ok(slot) => {
                            tracing::debug!(address, "connection accepted");
                            let shared = Arc::clone(&self.shared);
                            clients.spawn(greeting::serve(shared, stream, slot, stop.clone()));
                        }
                        Err(error) => {
                            self.shared.refused(&address, &error);
                            if let Ok(permit) = Arc::clone(&self.rejections).try_acquire_owned() {
                                clients.spawn(async move {
                                    reject(stream, error).await;
                                    drop(permit);
                                    None
                                });
                            }
                        }
                    },
                    Err(error) => {
                        if let Some(held_back) = self.shared.refusals.allow() {
                            tracing::warn!(%error, held_back, "cannot accept connections");
                        }
                        sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
        drop(listener);
        let give_up = Instant::now() + STOP_MAX;
        while !clients.is_empty() {
            tokio::select! { biased;
                Some(ended) = clients.join_next() => self.ended(ended, replica, &mut peers),
                () = sleep_until(give_up) => break,
            }
        }
        peers.detach_all();
    }

    /// A connection's task has ended: a replica's goes on with the replica.
    fn ended(
        &self,
        ended: Result<Option<Peer>, JoinError>,
        replica: ReplicaId,
        peers: &mut JoinSet<()>,
    ) {
        match ended {
            Ok(None) => {}
            Ok(Some(peer)) => {
                peers.spawn(serve_peer(Arc::clone(&self.shared), replica, peer));
            }
            Err(error) => report(Err(error)),
        }
    }
}

/// Hands a connection that calls itself a replica's to the one that it called.
/// It has its slot for good once it has proved to be one, which it does in time
/// and before others need the slot, or it goes.
async fn serve_peer(shared: Arc<Shared>, replica: ReplicaId, peer: Peer) {
    let Peer { mut slot, stream, first_line, until } = peer;
    let (proved, proof) = oneshot::channel();
    let remote = slot.address().to_string();
    let served = shared.backend.serve_peer(replica, stream, first_line, remote, proved);
    tokio::pin!(served);
    tokio::select! { biased;
        result = &mut served => return shared.peer_ended(slot.address(), result),
        Ok(()) = proof => slot.peer(),
        () = slot.given_away() => return shared.refused(slot.address(), &gave_way()),
        () = sleep_until(until) => {
            let late = Error::new(
                ErrorCode::PermissionDenied,
                "whoever called as a replica did not prove to be one in time",
            );
            return shared.peer_ended(slot.address(), Err(late));
        }
    }
    shared.peer_ended(slot.address(), served.await);
}

/// Reports a task that panicked: a defect, and one connection less.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed, which is a defect of this program");
    }
}
