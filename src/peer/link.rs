//! One replica's way to one peer: an open connection and the calls on it.

mod conversation;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryFutureExt as _;
use tokio::io::{BufReader, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use self::conversation::{Conversation, Ended, is_silence};
use super::addresses::Addresses;
use super::credentials::{Credentials, Met};
use super::handshake;
use super::local_transport::LocalTransport;
use crate::error::{Error, ErrorCode};
use crate::host::{Elsewhere, Host, Stream};
use crate::protocol::peer::{Call, Introduction};
use crate::tls::{Pinned, WrongServer};
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

/// A connection over which the peer was met.
type Reading = (Met, BufReader<ReadHalf<Stream>>, WriteHalf<Stream>);

/// Why there is no connection.
enum Failed {
    /// Nobody listens there.
    Refused(String),
    /// There is no answer, or no way there.
    Unanswered(String),
    Other(Error),
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

struct Dialer {
    host: Host,
    credentials: Credentials,
    peer: ReplicaId,
    addresses: Arc<Addresses>,
    timing: LinkTiming,
    local_transport: LocalTransport,
    reach: watch::Sender<Reached>,
    there: watch::Sender<Option<Elsewhere>>,
    called_in: Arc<Notify>,
    /// Whether the peer has asked for encryption where it would not be needed.
    encrypts: AtomicBool,
}

impl Dialer {
    async fn run(self, mut calls: mpsc::UnboundedReceiver<Outgoing>) {
        let mut pause = self.timing.redial.0;
        let mut registrations = self.local_transport.watch();
        // At how many of its addresses nobody listened, one after the other.
        let mut refused = 0;
        loop {
            let introduced = self.credentials.introduction();
            let address = self.addresses.current();
            let connected = tokio::select! {
                biased;
                connected = self.connect(address.as_ref()) => connected,
                // Ends when the link is dropped; fails what is called meanwhile.
                () = self.refuse(&mut calls) => return,
            };
            let (why, kind): (String, fn(Unreached) -> Reached) = match connected {
                Ok((met, reader, writer)) => {
                    (pause, refused) = (self.timing.redial.0, 0);
                    tracing::debug!(peer = %self.peer, "connected");
                    self.reach.send_replace(Reached::Yes(met.clone()));
                    let conversing = self.converse(reader, writer, (&introduced, &met), &mut calls);
                    let Some(Ended { why, unacknowledged }) = conversing.await else {
                        return;
                    };
                    tracing::debug!(peer = %self.peer, why, "connection lost");
                    (why, if unacknowledged { Reached::Silent } else { Reached::No })
                }
                failed => {
                    self.addresses.try_next();
                    self.failed(failed.err(), &mut refused)
                }
            };
            let unreached = Unreached { peer: self.peer, address, why };
            self.there.send_replace(None);
            self.reach.send_replace(kind(unreached));
            let jitter = self.host.random_u64() % (pause.as_millis() as u64 / 2 + 1);
            tokio::select! {
                biased;
                // A peer that has moved into this process, or out of it, is
                // to be found at once.
                () = registrations.changed() => {}
                () = self.called_in.notified() => pause = self.timing.redial.0,
                () = sleep(pause + Duration::from_millis(jitter)) => {}
                () = self.refuse(&mut calls) => return,
            }
            pause = (pause * 2).min(self.timing.redial.1);
        }
    }

    /// What an attempt has shown that led nowhere. `refused` counts the addresses at which
    /// nobody listened, one after the other.
    fn failed(
        &self,
        failed: Option<Failed>,
        refused: &mut usize,
    ) -> (String, fn(Unreached) -> Reached) {
        let before = std::mem::take(refused);
        match failed {
            Some(Failed::Refused(why)) => {
                *refused = before + 1;
                let gone = *refused >= self.addresses.count();
                (why, if gone { Reached::Gone } else { Reached::No })
            }
            Some(Failed::Other(error)) => match error.code {
                ErrorCode::WrongCluster => (error.message, Reached::OtherCluster),
                _ => (error.message, Reached::No),
            },
            Some(Failed::Unanswered(why)) => {
                // It goes on to be silent, which a process that is frozen was not before.
                let silent = matches!(&*self.reach.borrow(), Reached::Silent(_));
                (why, if silent { Reached::Silent } else { Reached::No })
            }
            None => ("not connected".to_string(), Reached::No),
        }
    }

    /// What comes of a part of connecting, which may take so long.
    async fn within<T>(
        &self,
        limit: Duration,
        part: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let late = |_| Failed::Unanswered(format!("no answer within {} ms", limit.as_millis()));
        timeout(limit, part).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    async fn connect(&self, address: Option<&Address>) -> Result<Reading, Failed> {
        if let Some(stream) = self.local_transport.connect(self.peer) {
            let introducing = self.introduce(stream).map_err(Failed::Other);
            return self.within(self.timing.connect, introducing).await;
        }
        let nowhere = || Failed::Other(Error::unavailable("nobody knows where it is"));
        let address = address.ok_or_else(nowhere)?;
        match self.meet(address).await {
            // Whoever may ask only once is to be answered all the same.
            Err(Failed::Other(error)) if error.code == ErrorCode::TlsRequired => {
                self.encrypts.store(true, Ordering::Relaxed);
                self.meet(address).await
            }
            met => met,
        }
    }

    /// Connects, and then introduces this replica, each within the limit of an attempt.
    /// The second takes several ways there and back, which may be long.
    async fn meet(&self, address: &Address) -> Result<Reading, Failed> {
        let limit = self.timing.connect;
        let stream = self.within(limit, self.connect_to_server(address)).await?;
        let ways = stream.elsewhere().map_or(Duration::ZERO, |it| 6 * it.round_trip);
        let introducing = async {
            let stream = self.secure(stream).await?;
            self.introduce(stream).await.map_err(Failed::Other)
        };
        self.within(limit + ways, introducing).await
    }

    async fn introduce(&self, stream: Stream) -> Result<Reading, Error> {
        let credentials = self.credentials.bound_to(stream.binding());
        let elsewhere = stream.elsewhere().cloned();
        let (reader, mut writer) = split(stream);
        let mut reader = BufReader::with_capacity(16 * 1024, reader);
        let (host, peer) = (&self.host, self.peer);
        let met = handshake::call(host, &credentials, peer, &mut reader, &mut writer).await?;
        self.there.send_replace(elsewhere);
        Ok((met, reader, writer))
    }

    /// A connection to an address of the peer.
    async fn connect_to_server(&self, address: &Address) -> Result<Stream, Failed> {
        let connected = self.host.network.connect(address).await;
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failed::Refused(error.to_string()),
            kind if is_silence(kind) => Failed::Unanswered(error.to_string()),
            _ => self
                .stranger(&error)
                .unwrap_or_else(|| Failed::Other(Error::unavailable(error.to_string()))),
        })
    }

    /// The same, encrypted if it leaves this machine, or can be reached from others.
    async fn secure(&self, stream: Stream) -> Result<Stream, Failed> {
        if !stream.is_open() && !self.encrypts.load(Ordering::Relaxed) {
            return Ok(stream);
        }
        let network = Arc::clone(&self.host.network);
        let fingerprints = self.credentials.keys().fingerprints();
        let secured = Pinned::to_any_of(network, fingerprints).secure(stream).await;
        secured.map_err(|error| {
            let broken = || format!("no encrypted connection came about: {error}");
            self.stranger(&error).unwrap_or_else(|| Failed::Other(Error::unavailable(broken())))
        })
    }

    /// That whoever answers is of another cluster.
    fn stranger(&self, error: &io::Error) -> Option<Failed> {
        // It proves to hold another key, but not that this server is in the wrong.
        let wrong = WrongServer::found_by(error)?;
        let hint = self.credentials.keys().hint();
        Some(Failed::Other(Error::unavailable(format!("whoever answers {wrong}{hint}"))))
    }

    /// Fails calls as not sent, until the link is dropped.
    async fn refuse(&self, calls: &mut mpsc::UnboundedReceiver<Outgoing>) {
        while let Some(outgoing) = calls.recv().await {
            let why = match &*self.reach.borrow() {
                Reached::No(why)
                | Reached::Gone(why)
                | Reached::Silent(why)
                | Reached::OtherCluster(why) => why.to_string(),
                Reached::Yes(_) => "not connected".to_string(),
            };
            // A caller that no longer waits does not need the answer.
            let _ = outgoing.reply.send(Err(CallError::NotSent(why)));
        }
    }

    /// Carries calls until the connection ends (why) or the link is dropped (`None`).
    async fn converse(
        &self,
        mut reader: BufReader<ReadHalf<Stream>>,
        mut writer: WriteHalf<Stream>,
        (introduced, met): (&Introduction, &Met),
        calls: &mut mpsc::UnboundedReceiver<Outgoing>,
    ) -> Option<Ended> {
        let conversation = Conversation::begin();
        let ended = tokio::select! {
            biased;
            ended = conversation.read(&mut reader) => Some(ended),
            ended = conversation.write(&mut writer, calls) => ended,
            ended = conversation.timed_out(self.timing.receive) => Some(ended),
            () = self.credentials.changed_from(introduced) => {
                Some(Ended::because("this replica has joined a cluster"))
            }
            () = self.credentials.outgrown(met) => {
                Some(Ended::because("its program does not know the cluster's new feature level"))
            }
            () = self.credentials.forgotten(met) => {
                Some(Ended::because("it was proved by a key that the cluster has forgotten"))
            }
        };
        let why = ended.as_ref().map(|ended| ended.why.as_str());
        conversation.lose(why.unwrap_or("this replica is stopping"));
        ended
    }
}
