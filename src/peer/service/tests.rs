//! A link and the service at its other end, over real sockets.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::split;

use super::super::{CallError, ClusterKey, Link, LinkTiming, LocalTransport};
use super::*;
use crate::host::{BoxFuture, Listener, Network, Stream};
use crate::protocol::codec::push_line;
use crate::protocol::peer::Introduction;
use crate::sync::Mutex;
use crate::tls::{Acceptor, Identity};
use crate::types::{Address, ReplicaId};

fn credentials(replica: u32) -> Credentials {
    let own = Introduction {
        replica: ReplicaId(replica),
        cluster: None,
        lineage: None,
        incarnation: None,
    };
    Credentials::new(ClusterKey::new([1; 32]), own)
}

fn timing(receive_ms: u64) -> LinkTiming {
    LinkTiming {
        connect: Duration::from_secs(5),
        redial: (Duration::from_millis(1), Duration::from_millis(20)),
        receive: Duration::from_millis(receive_ms),
    }
}

fn link(address: crate::types::Address, receive_ms: u64) -> Link {
    let local_transport = LocalTransport::default();
    let (host, at) = (Host::real(), vec![address]);
    Link::start(
        host,
        credentials(1),
        ReplicaId(2),
        at,
        timing(receive_ms),
        local_transport,
        |task| {
            crate::host::spawn(task);
        },
    )
}

async fn listen() -> Box<dyn Listener> {
    let any = "127.0.0.1:0".parse().expect("an address");
    Host::real().network.listen(&any).await.expect("a free port")
}

async fn serve_one<S: Service>(listener: &dyn Listener, service: S) -> Result<()> {
    let (stream, _) = listener.accept().await.expect("a connection");
    let (reader, writer) = split(stream);
    let mut reader = BufReader::new(reader);
    let mut first = Vec::new();
    read_line(&mut reader, &mut first, 4096).await?;
    accept(&Host::real(), &credentials(2), &first, reader, writer, |_| service).await
}

type Held = Arc<Mutex<Vec<(Vec<u8>, Reply)>>>;

/// Answers proposals at once and holds everything else back.
#[derive(Clone, Default)]
struct Echo {
    held: Held,
}

impl Service for Echo {
    fn begin(&mut self, call: Call, body: &[u8], reply: Reply) {
        match call {
            Call::Propose => reply.ok_raw(body),
            _ => self.held.lock().push((body.to_vec(), reply)),
        }
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

async fn connected(link: &Link) {
    until(|| link.peer().is_ok()).await;
}

#[tokio::test]
async fn calls_begin_in_order_and_are_answered_out_of_order() {
    let listener = listen().await;
    let link = link(listener.local_address(), 60_000);
    let echo = Echo::default();
    let held = echo.held.clone();
    let server = serve_one(&*listener, echo);
    let client = async {
        connected(&link).await;
        let slow: Vec<_> =
            (0..3).map(|n| link.call(Call::Vote, Bytes::from(n.to_string()))).collect();
        let quick = link.call(Call::Propose, Bytes::from_static(b"{\"a\":1}"));
        assert_eq!(quick.await.expect("answered"), "{\"a\":1}");
        until(|| held.lock().len() == 3).await;
        let waiting = std::mem::take(&mut *held.lock());
        let order: Vec<_> = waiting.iter().map(|(body, _)| body.clone()).collect();
        assert_eq!(order, [b"0", b"1", b"2"]);
        for (body, reply) in waiting.into_iter().rev() {
            reply.ok_raw(&body);
        }
        for (n, call) in slow.into_iter().enumerate() {
            assert_eq!(call.await.expect("answered"), n.to_string());
        }
    };
    tokio::select! {
        biased;
        () = client => {}
        result = server => panic!("the server ended: {result:?}"),
    }
}

#[tokio::test]
async fn a_call_that_never_left_is_told_from_one_that_may_have_happened() {
    let listener = listen().await;
    let link = link(listener.local_address(), 60_000);
    let server = serve_one(&*listener, Echo::default());
    let call = {
        let client = async {
            connected(&link).await;
            let call = link.call(Call::Vote, Bytes::from_static(b"1"));
            // A second call is answered, so the first has arrived.
            link.call(Call::Propose, Bytes::from_static(b"2")).await.expect("answered");
            (call,)
        };
        tokio::select! {
            biased;
            (call,) = client => call,
            result = server => panic!("the server ended: {result:?}"),
        }
    };
    // The server's half of the connection is dropped, and so is its port.
    drop(listener);
    assert!(matches!(call.await, Err(CallError::Lost(_) | CallError::Refused(_))));
    until(|| link.peer().is_err()).await;
    let error = link.call(Call::Vote, Bytes::from_static(b"1")).await.expect_err("nobody there");
    assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn a_frozen_peer_loses_the_connection() {
    let listener = listen().await;
    let link = link(listener.local_address(), 50);
    let echo = Echo::default();
    let held = echo.held.clone();
    let answer = {
        let call = async {
            connected(&link).await;
            link.call(Call::Vote, Bytes::from_static(b"1")).await
        };
        let ends: std::pin::Pin<Box<dyn Future<Output = Result<()>>>> =
            Box::pin(serve_one(&*listener, echo));
        let (answer, _) = tokio::join!(call, ends);
        answer
    };
    assert_eq!(held.lock().len(), 1);
    match answer {
        Err(CallError::Lost(why)) => assert!(why.contains("silent"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// A network on which all connections can be read by others.
struct Watched;

impl Network for Watched {
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let connecting = Host::real().network.connect(address);
        Box::pin(async { Ok(Stream::open(connecting.await?)) })
    }
    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Host::real().network.listen(address)
    }
}

fn watched_link(address: Address) -> Link {
    let host = Host { network: Arc::new(Watched), ..Host::real() };
    let spawn = |task| drop(crate::host::spawn(task));
    let (timing, transport) = (timing(60_000), LocalTransport::default());
    Link::start(host, credentials(1), ReplicaId(2), vec![address], timing, transport, spawn)
}

/// Answers one handshake with the identity of a key, then one caller's calls.
async fn serve_one_in_tls(listener: &dyn Listener, key: [u8; 32]) -> Result<()> {
    let (stream, _) = listener.accept().await.expect("a connection");
    let acceptor = Acceptor::new(Host::real(), &Identity::of(&key));
    let stream =
        acceptor.accept(stream).await.map_err(|error| Error::internal(error.to_string()))?;
    let credentials = credentials(2).bound_to(stream.binding());
    let (reader, writer) = split(stream);
    let mut reader = BufReader::new(reader);
    let mut first = Vec::new();
    read_line(&mut reader, &mut first, 4096).await?;
    accept(&Host::real(), &credentials, &first, reader, writer, |_| Echo::default()).await
}

#[tokio::test]
async fn what_others_could_read_is_encrypted() {
    let listener = listen().await;
    let link = watched_link(listener.local_address());
    let client = async {
        connected(&link).await;
        link.call(Call::Propose, Bytes::from_static(b"1")).await.expect("answered");
    };
    tokio::select! {
        biased;
        () = client => {}
        result = serve_one_in_tls(&*listener, [1; 32]) => panic!("the server ended: {result:?}"),
    }
}

#[tokio::test]
async fn whoever_has_another_key_is_told_nothing() {
    let listener = listen().await;
    let link = watched_link(listener.local_address());
    serve_one_in_tls(&*listener, [2; 32]).await.expect_err("given up in the handshake");
    let why = || link.peer().expect_err("not connected").why;
    until(|| why() != "not yet connected").await;
    assert!(why().contains("whoever answers shows the fingerprint"), "{}", why());
}

/// As at a server that is bound to all addresses, called by one of its own machine.
#[tokio::test]
async fn a_link_that_need_not_be_encrypted_is_if_the_peer_asks_for_it() {
    let listener = listen().await;
    let link = link(listener.local_address(), 60_000);
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let error = ErrorBody::from(Error::new(ErrorCode::TlsRequired, "only TLS is spoken"));
        let mut line = Vec::new();
        push_line(&mut line, &serde_json::json!({ "error": error }));
        stream.write_all(&line).await.expect("open");
        drop(stream);
        serve_one_in_tls(&*listener, [1; 32]).await
    };
    tokio::select! {
        biased;
        () = connected(&link) => {}
        result = server => panic!("the server ended: {result:?}"),
    }
}
