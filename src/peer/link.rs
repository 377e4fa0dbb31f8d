//! One replica's way to one peer: an open connection and the calls on it.

mod conversation;
mod dialer;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use self::dialer::Dialer;
use super::addresses::Addresses;
use super::credentials::{Credentials, Met};
use super::local_transport::LocalTransport;
use crate::error::Error;
use crate::host::{Elsewhere, Host};
use crate::protocol::peer::{Call, Introduction};
use crate::types::{Address, ReplicaId};

/// Why a call has no result.
#[derive(Clone, Debug)]
pub enum CallError {
    /// No byte of the call left this process: nothing happened. Says why the
    /// peer could not be reached.
    NotSent(String),
    /// The call left, and no answer came: it may have happened.
    Lost(String),
    /// The peer answered with an error.
    Refused(Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NotSent(why) | CallError::Lost(why) => f.write_str(why),
            CallError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

/// The timeouts of a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkTiming {
    /// For a connection and its handshake.
    pub connect: Duration,
    /// First and longest pause between two attempts to connect.
    pub redial: (Duration, Duration),
    /// Longest time without a whole reply while calls wait; bytes of an unfinished one do
    /// not count.
    pub receive: Duration,
}

/// See the head of the module. Dropping the link closes its connection and fails
/// its calls.
pub struct Link {
    peer: ReplicaId,
    addresses: Arc<Addresses>,
    local_transport: LocalTransport,
    queue: mpsc::UnboundedSender<Outgoing>,
    reached: watch::Receiver<Reached>,
    elsewhere: watch::Receiver<Option<Elsewhere>>,
    called_in: Arc<Notify>,
}

/// What a link knows about its peer.
#[derive(Clone, Debug)]
pub(super) enum Reached {
    /// Connected; who answered.
    Yes(Met),
    /// Not connected.
    No(Unreached),
    /// Nobody listens at its address: a hint that its process is gone, and no proof.
    Gone(Unreached),
    /// Its machine acknowledges nothing: that is gone, or the way to it.
    Silent(Unreached),
    /// Somebody answers, and is of another cluster than this replica's data.
    OtherCluster(Unreached),
}

/// Why a peer is not reached. It is written as the end of a sentence.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// The peer.
    pub peer: ReplicaId,
    /// Where it was tried; `None` before the first attempt.
    pub address: Option<Address>,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "replica {} at {address}: {}", self.peer, self.why),
            None => f.write_str(&self.why),
        }
    }
}

struct Outgoing {
    call: Call,
    body: Bytes,
    reply: oneshot::Sender<Result<Bytes, CallError>>,
}

impl Link {
    /// Starts a link; `spawn` runs its task.
    pub fn start(
        host: Host,
        credentials: Credentials,
        peer: ReplicaId,
        addresses: Vec<Address>,
        timing: LinkTiming,
        local_transport: LocalTransport,
        spawn: impl FnOnce(crate::host::BoxFuture<'static, ()>),
    ) -> Link {
        let (queue, calls) = mpsc::unbounded_channel();
        let untried = Unreached { peer, address: None, why: "not yet connected".into() };
        let (reach, reached) = watch::channel(Reached::No(untried));
        let local = local_transport.clone();
        let addresses = Arc::new(Addresses::new(addresses));
        let (there, elsewhere) = watch::channel(None);
        let called_in = Arc::new(Notify::new());
        let called = Arc::clone(&called_in);
        let encrypts = AtomicBool::new(false);
        let task = Dialer {
            host,
            credentials,
            peer,
            addresses: Arc::clone(&addresses),
            timing,
            local_transport,
            reach,
            there,
            called_in: called,
            encrypts,
        };
        spawn(Box::pin(task.run(calls)));
        Link { peer, addresses, local_transport: local, queue, reached, elsewhere, called_in }
    }

    /// The peer has called in, so it can be reached: a link that is not connected
    /// connects at once. If it waited for the next redial, a candidate could not ask
    /// a server that has just come back and may be its only other voter.
    pub fn called_in(&self) {
        self.called_in.notify_one();
    }

    /// Says where the peer is to be looked for, best first. A connection that is open
    /// stays.
    pub fn look_at(&self, addresses: Vec<Address>) {
        if self.addresses.become_those(addresses) {
            self.called_in();
        }
    }

    /// The peer has said where it is. It is looked for there too.
    pub fn heard_of(&self, address: &Address) {
        if self.addresses.heard_of(address) {
            self.called_in();
        }
    }

    /// Queues a call; calls leave in the order in which this was called. The call is made
    /// even if the future is dropped.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have happened. No time limit but
    /// [`LinkTiming::receive`].
    pub fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, CallError>> + use<> {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.send(Outgoing { call, body, reply });
        async move {
            match queued {
                Ok(()) => match answer.await {
                    Ok(result) => result,
                    Err(_) => Err(CallError::Lost("this replica is stopping".into())),
                },
                Err(_) => Err(CallError::NotSent("this replica is stopping".into())),
            }
        }
    }

    /// Who answers at the moment, `Err` with the reason when nobody does.
    pub fn peer(&self) -> Result<Introduction, Unreached> {
        match &*self.reached.borrow() {
            Reached::Yes(met) => Ok(met.who.clone()),
            Reached::No(why)
            | Reached::Gone(why)
            | Reached::Silent(why)
            | Reached::OtherCluster(why) => Err(why.clone()),
        }
    }

    /// How long it takes to the peer's machine and back; `None` while it is not reached, and
    /// if it is on this machine.
    pub fn round_trip(&self) -> Option<Duration> {
        self.elsewhere.borrow().as_ref().map(|elsewhere| elsewhere.round_trip)
    }

    /// Decides how soon the connection is given up, if there is one, whose other machine
    /// acknowledges nothing; see [`Patience`](crate::host::Patience).
    pub fn limit_unacknowledged(&self, max: Option<Duration>) {
        if let Some(elsewhere) = &*self.elsewhere.borrow() {
            elsewhere.patience.limit(max);
        }
    }

    /// Why the peer that answers takes this replica's data for another cluster's;
    /// `None` when it does not, or nobody answers.
    pub fn other_cluster(&self) -> Option<Unreached> {
        match &*self.reached.borrow() {
            Reached::OtherCluster(why) => Some(why.clone()),
            Reached::Yes(_) | Reached::No(_) | Reached::Gone(_) | Reached::Silent(_) => None,
        }
    }

    /// Whether nobody listened at the peer's address when it was tried last.
    pub fn is_gone(&self) -> bool {
        matches!(&*self.reached.borrow(), Reached::Gone(_))
    }

    /// Whether the peer's machine has ceased to acknowledge what is sent to it, and has not
    /// answered since.
    pub fn is_silent(&self) -> bool {
        matches!(&*self.reached.borrow(), Reached::Silent(_))
    }

    /// Whether the peer runs in this very process.
    pub fn is_local(&self) -> bool {
        self.local_transport.has(self.peer)
    }

    /// What the peer said of itself when it was reached.
    pub fn met(&self) -> Option<Met> {
        match &*self.reached.borrow() {
            Reached::Yes(met) => Some(met.clone()),
            Reached::No(_) | Reached::Gone(_) | Reached::Silent(_) | Reached::OtherCluster(_) => {
                None
            }
        }
    }

    /// Follows the link's connecting and disconnecting, missing no change.
    pub fn watch(&self) -> LinkWatch {
        LinkWatch(self.reached.clone())
    }

    /// Resolves when the peer is reached on another machine, with how long it takes there
    /// and back. Never after the link's task has ended.
    pub async fn reached_elsewhere(&self) -> Duration {
        let mut elsewhere = self.elsewhere.clone();
        match elsewhere
            .wait_for(Option::is_some)
            .await
            .map(|it| it.as_ref().map(|it| it.round_trip))
        {
            Ok(Some(round_trip)) => round_trip,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Resolves when the link connects, disconnects, or fails to connect once more. Never
    /// after the link's task has ended.
    pub async fn changed(&self) {
        let mut reached = self.reached.clone();
        reached.mark_unchanged();
        if reached.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// See [`Link::watch`].
pub struct LinkWatch(watch::Receiver<Reached>);

impl LinkWatch {
    /// Resolves when the link has connected, disconnected, or failed to connect since this
    /// was asked last. Never after the link's task has ended.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
