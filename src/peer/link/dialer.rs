//! The task of a link: connects to the peer, carries calls while that lasts, and tries
//! again.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryFutureExt as _;
use tokio::io::{BufReader, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::conversation::{Conversation, Ended, is_silence};
use super::{CallError, LinkTiming, Outgoing, Reached, Unreached};
use crate::error::{Error, ErrorCode};
use crate::host::{Elsewhere, Host, Stream};
use crate::peer::addresses::Addresses;
use crate::peer::credentials::{Credentials, Met};
use crate::peer::handshake;
use crate::peer::local_transport::LocalTransport;
use crate::protocol::peer::Introduction;
use crate::tls::{Pinned, WrongServer};
use crate::types::{Address, ReplicaId};

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

pub(super) struct Dialer {
    pub(super) host: Host,
    pub(super) credentials: Credentials,
    pub(super) peer: ReplicaId,
    pub(super) addresses: Arc<Addresses>,
    pub(super) timing: LinkTiming,
    pub(super) local_transport: LocalTransport,
    pub(super) reach: watch::Sender<Reached>,
    pub(super) there: watch::Sender<Option<Elsewhere>>,
    pub(super) called_in: Arc<Notify>,
    /// Whether the peer has asked for encryption where it would not be needed.
    pub(super) encrypts: AtomicBool,
}

impl Dialer {
    pub(super) async fn run(self, mut calls: mpsc::UnboundedReceiver<Outgoing>) {
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
