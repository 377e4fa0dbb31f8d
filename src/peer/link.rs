//! One replica's way to one peer: an open connection and the calls on it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::handshake::{self, Credentials, Met};
use super::local_transport::LocalTransport;
use crate::error::{Error, ErrorCode};
use crate::host::{Host, Stream};
use crate::limits::PEER_LINE_MAX_BYTES;
use crate::protocol::client::Member;
use crate::protocol::codec::read_line;
use crate::protocol::peer::{Call, CallLine, Introduction, ReplyLine};
use crate::sync::Mutex;
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
    local_transport: LocalTransport,
    queue: mpsc::UnboundedSender<Outgoing>,
    reached: watch::Receiver<Reached>,
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

/// Why there is no connection.
enum Failed {
    /// Nobody listens there.
    Refused(String),
    Other(Error),
}

impl Link {
    /// Starts a link; `spawn` runs its task.
    pub fn start(
        host: Host,
        credentials: Credentials,
        peer: Member,
        timing: LinkTiming,
        local_transport: LocalTransport,
        spawn: impl FnOnce(crate::host::BoxFuture<'static, ()>),
    ) -> Link {
        let (queue, calls) = mpsc::unbounded_channel();
        let untried = Unreached { peer: peer.id, address: None, why: "not yet connected".into() };
        let (reach, reached) = watch::channel(Reached::No(untried));
        let (number, local) = (peer.id, local_transport.clone());
        let called_in = Arc::new(Notify::new());
        let called = Arc::clone(&called_in);
        let encrypts = AtomicBool::new(false);
        let task = Dialer {
            host,
            credentials,
            peer,
            timing,
            local_transport,
            reach,
            called_in: called,
            encrypts,
        };
        spawn(Box::pin(task.run(calls)));
        Link { peer: number, local_transport: local, queue, reached, called_in }
    }

    /// The peer has called in, so it can be reached: a link that is not connected
    /// connects at once. If it waited for the next redial, a candidate could not ask
    /// a server that has just come back and may be its only other voter.
    pub fn called_in(&self) {
        self.called_in.notify_one();
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
            Reached::No(why) | Reached::Gone(why) | Reached::OtherCluster(why) => Err(why.clone()),
        }
    }

    /// Why the peer that answers takes this replica's data for another cluster's;
    /// `None` when it does not, or nobody answers.
    pub fn other_cluster(&self) -> Option<Unreached> {
        match &*self.reached.borrow() {
            Reached::OtherCluster(why) => Some(why.clone()),
            Reached::Yes(_) | Reached::No(_) | Reached::Gone(_) => None,
        }
    }

    /// Whether nobody listened at the peer's address when it was tried last.
    pub fn is_gone(&self) -> bool {
        matches!(&*self.reached.borrow(), Reached::Gone(_))
    }

    /// Whether the peer runs in this very process.
    pub fn is_local(&self) -> bool {
        self.local_transport.has(self.peer)
    }

    /// What the peer said of itself when it was reached.
    pub fn met(&self) -> Option<Met> {
        match &*self.reached.borrow() {
            Reached::Yes(met) => Some(met.clone()),
            Reached::No(_) | Reached::Gone(_) | Reached::OtherCluster(_) => None,
        }
    }

    /// Follows the link's connecting and disconnecting, missing no change.
    pub fn watch(&self) -> LinkWatch {
        LinkWatch(self.reached.clone())
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
    peer: Member,
    timing: LinkTiming,
    local_transport: LocalTransport,
    reach: watch::Sender<Reached>,
    called_in: Arc<Notify>,
    /// Whether the peer has asked for encryption where it would not be needed.
    encrypts: AtomicBool,
}

impl Dialer {
    async fn run(self, mut calls: mpsc::UnboundedReceiver<Outgoing>) {
        let mut pause = self.timing.redial.0;
        let mut registrations = self.local_transport.watch();
        loop {
            let introduced = self.credentials.introduction();
            let connected = tokio::select! {
                biased;
                connected = timeout(self.timing.connect, self.connect()) => connected,
                // Ends when the link is dropped; fails what is called meanwhile.
                () = self.refuse(&mut calls) => return,
            };
            let (why, kind): (String, fn(Unreached) -> Reached) = match connected {
                Ok(Ok((met, reader, writer))) => {
                    pause = self.timing.redial.0;
                    tracing::debug!(peer = %self.peer.id, "connected");
                    self.reach.send_replace(Reached::Yes(met.clone()));
                    let conversing = self.converse(reader, writer, (&introduced, &met), &mut calls);
                    let Some(why) = conversing.await else {
                        return;
                    };
                    tracing::debug!(peer = %self.peer.id, why, "connection lost");
                    (why, Reached::No)
                }
                Ok(Err(Failed::Refused(why))) => (why, Reached::Gone),
                Ok(Err(Failed::Other(error))) => match error.code {
                    ErrorCode::WrongCluster => (error.message, Reached::OtherCluster),
                    _ => (error.message, Reached::No),
                },
                Err(_) => {
                    let limit = self.timing.connect.as_millis();
                    (format!("no answer within {limit} ms"), Reached::No)
                }
            };
            let Member { id: peer, address } = self.peer.clone();
            self.reach.send_replace(kind(Unreached { peer, address: Some(address), why }));
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

    async fn connect(
        &self,
    ) -> Result<(Met, BufReader<ReadHalf<Stream>>, WriteHalf<Stream>), Failed> {
        if let Some(stream) = self.local_transport.connect(self.peer.id) {
            return self.introduce(stream).await.map_err(Failed::Other);
        }
        match self.introduce(self.connect_to_server().await?).await {
            // Whoever may ask only once is to be answered all the same.
            Err(error) if error.code == ErrorCode::TlsRequired => {
                self.encrypts.store(true, Ordering::Relaxed);
                self.introduce(self.connect_to_server().await?).await.map_err(Failed::Other)
            }
            introduced => introduced.map_err(Failed::Other),
        }
    }

    async fn introduce(
        &self,
        stream: Stream,
    ) -> Result<(Met, BufReader<ReadHalf<Stream>>, WriteHalf<Stream>), Error> {
        let credentials = self.credentials.bound_to(stream.binding());
        let (reader, mut writer) = split(stream);
        let mut reader = BufReader::with_capacity(16 * 1024, reader);
        let (host, peer) = (&self.host, self.peer.id);
        let met = handshake::call(host, &credentials, peer, &mut reader, &mut writer).await?;
        Ok((met, reader, writer))
    }

    /// A connection to the peer's address, encrypted if it leaves this machine, or can be
    /// reached from others.
    async fn connect_to_server(&self) -> Result<Stream, Failed> {
        let stranger = |error: &io::Error| {
            // It proves to hold another key, but not that this server is in the wrong.
            let wrong = WrongServer::found_by(error)?;
            Some(Failed::Other(Error::unavailable(format!("whoever answers {wrong}"))))
        };
        let connected = self.host.network.connect(&self.peer.address).await;
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failed::Refused(error.to_string()),
            _ => stranger(&error)
                .unwrap_or_else(|| Failed::Other(Error::unavailable(error.to_string()))),
        })?;
        if !stream.is_open() && !self.encrypts.load(Ordering::Relaxed) {
            return Ok(stream);
        }
        let network = Arc::clone(&self.host.network);
        let secured = Pinned::new(network, self.credentials.fingerprint()).secure(stream).await;
        secured.map_err(|error| {
            let broken = || format!("no encrypted connection came about: {error}");
            stranger(&error).unwrap_or_else(|| Failed::Other(Error::unavailable(broken())))
        })
    }

    /// Fails calls as not sent, until the link is dropped.
    async fn refuse(&self, calls: &mut mpsc::UnboundedReceiver<Outgoing>) {
        while let Some(outgoing) = calls.recv().await {
            let why = match &*self.reach.borrow() {
                Reached::No(why) | Reached::Gone(why) | Reached::OtherCluster(why) => {
                    why.to_string()
                }
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
    ) -> Option<String> {
        let conversation = Conversation::begin();
        let why = tokio::select! {
            biased;
            why = conversation.read(&mut reader) => Some(why),
            why = conversation.write(&mut writer, calls) => why,
            why = conversation.timed_out(self.timing.receive) => Some(why),
            () = self.credentials.changed_from(introduced) => Some("this replica has joined a cluster".into()),
            () = self.credentials.outgrown(met) => Some(
                "its program does not know the cluster's new feature level".into()
            ),
        };
        conversation.lose(why.as_deref().unwrap_or("this replica is stopping"));
        why
    }
}

/// What reading from and writing to one connection share.
struct Conversation {
    /// Calls that have no answer yet, by their ids.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Result<Bytes, CallError>>>>,
    /// When something was received last, or calls began to wait.
    received_at: watch::Sender<Instant>,
}

impl Conversation {
    fn begin() -> Conversation {
        Conversation { waiting: Mutex::default(), received_at: watch::Sender::new(Instant::now()) }
    }

    /// Writes calls until the connection breaks (why) or the link is dropped (`None`).
    async fn write(
        &self,
        writer: &mut WriteHalf<Stream>,
        calls: &mut mpsc::UnboundedReceiver<Outgoing>,
    ) -> Option<String> {
        let (mut next_id, mut buffer) = (1u64, Vec::with_capacity(64 * 1024));
        let mut batch = Vec::new();
        loop {
            if calls.recv_many(&mut batch, 64).await == 0 {
                return None;
            }
            for Outgoing { call, body, reply } in batch.drain(..) {
                if self.waiting.lock().is_empty() {
                    // The limit counts from the first call that waits.
                    self.received_at.send_replace(Instant::now());
                }
                CallLine { id: next_id, call, body: &body }.push(&mut buffer);
                self.waiting.lock().insert(next_id, reply);
                next_id += 1;
            }
            let written = async {
                writer.write_all(&buffer).await?;
                writer.flush().await
            };
            if let Err(error) = written.await {
                return Some(format!("the connection broke: {error}"));
            }
            buffer.clear();
        }
    }

    /// Reads answers until the connection ends, and says why it did.
    async fn read(&self, reader: &mut BufReader<ReadHalf<Stream>>) -> String {
        let mut line = Vec::new();
        loop {
            match read_line(reader, &mut line, PEER_LINE_MAX_BYTES).await {
                Ok(true) => {}
                Ok(false) => return "the connection was closed".to_string(),
                Err(error) => return error.message,
            }
            self.received_at.send_replace(Instant::now());
            let Some(reply) = ReplyLine::parse(&line) else {
                return "it sent a malformed reply".to_string();
            };
            let Some(sender) = self.waiting.lock().remove(&reply.id) else {
                return format!("it answered call {} that was never made", reply.id);
            };
            let result = match reply.result {
                Ok(ok) => Ok(Bytes::copy_from_slice(ok)),
                Err(error) => Err(CallError::Refused(error.into())),
            };
            // A caller that no longer waits does not need the answer.
            let _ = sender.send(result);
        }
    }

    /// Resolves when calls wait and no whole reply has come for `limit`.
    async fn timed_out(&self, limit: Duration) -> String {
        let mut last_received = self.received_at.subscribe();
        loop {
            let deadline = *last_received.borrow_and_update() + limit;
            tokio::time::sleep_until(deadline).await;
            let quiet = *last_received.borrow() + limit <= Instant::now();
            if quiet && !self.waiting.lock().is_empty() {
                return format!("silent for {} ms: frozen?", limit.as_millis());
            }
            if quiet && last_received.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Fails the calls that wait.
    fn lose(&self, why: &str) {
        let lost = std::mem::take(&mut *self.waiting.lock());
        for (_, reply) in lost {
            // A caller that no longer waits does not need the answer.
            let _ = reply.send(Err(CallError::Lost(why.to_string())));
        }
    }
}
