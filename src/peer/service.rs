//! The other end of a [`Link`](super::Link): calls from a peer, in order.

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use super::handshake::{self, Credentials, Met};
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::host::Host;
use crate::limits::PEER_LINE_MAX_BYTES;
use crate::protocol::codec::read_line;
use crate::protocol::peer::{Call, CallLine, ReplyLine};

/// Takes the calls of one connection.
pub trait Service: Send {
    /// Begins a call. Must not block: what takes longer goes on in a task that
    /// owns `reply`. Calls come in the order in which the peer made them.
    fn begin(&mut self, call: Call, body: &[u8], reply: Reply);
}

/// The one answer to a call. Dropped unanswered, it tells the peer so.
pub struct Reply {
    id: u64,
    lines: mpsc::UnboundedSender<Vec<u8>>,
    answered: bool,
}

impl Reply {
    /// Answers with a value.
    pub fn ok<T: Serialize>(self, value: &T) {
        self.ok_raw(&serde_json::to_vec(value).expect("plain data serializes"));
    }

    /// Answers with a value that is JSON already, on one line.
    pub fn ok_raw(mut self, value: &[u8]) {
        self.send(Ok(value));
    }

    /// Answers with an error.
    pub fn error(mut self, error: Error) {
        self.fail(error);
    }

    /// Answers with either.
    pub fn result<T: Serialize>(self, result: Result<T>) {
        match result {
            Ok(value) => self.ok(&value),
            Err(error) => self.error(error),
        }
    }

    fn fail(&mut self, error: Error) {
        self.send(Err(error.into()));
    }

    fn send(&mut self, result: Result<&[u8], ErrorBody>) {
        self.answered = true;
        let mut line = Vec::with_capacity(64 + result.as_ref().map_or(0, |ok| ok.len()));
        ReplyLine { id: self.id, result }.push(&mut line);
        // A closed channel means that the connection is gone, and the peer
        // knows its call as lost.
        let _ = self.lines.send(line);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.answered {
            self.fail(Error::outcome_unknown("the call was abandoned: the replica is stopping"));
        }
    }
}

/// Shakes hands with a caller whose first line was read, then serves its calls
/// until the connection ends. `service` makes the service once the caller is known.
///
/// # Errors
/// Why the handshake failed, or what broke the connection; a closed connection
/// is no error.
pub async fn accept<R, W, S>(
    host: &Host,
    credentials: &Credentials,
    first_line: &[u8],
    mut reader: BufReader<R>,
    mut writer: W,
    service: impl FnOnce(Met) -> S,
) -> Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: Service,
{
    let introduced = credentials.introduction();
    let met = handshake::answer(host, credentials, first_line, &mut reader, &mut writer).await?;
    let mut service = service(met.clone());
    let (lines, mut replies) = mpsc::unbounded_channel::<Vec<u8>>();
    let read = async move {
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line, PEER_LINE_MAX_BYTES).await? {
            let call = CallLine::parse(&line).ok_or_else(|| {
                Error::new(ErrorCode::InvalidRequest, "a call of another form than replicas use")
            })?;
            let reply = Reply { id: call.id, lines: lines.clone(), answered: false };
            service.begin(call.call, call.body, reply);
        }
        Ok(())
    };
    let write = async move {
        let (mut batch, mut buffer) = (Vec::new(), Vec::new());
        while replies.recv_many(&mut batch, 64).await > 0 {
            batch.drain(..).for_each(|line| buffer.extend_from_slice(&line));
            let written = async {
                writer.write_all(&buffer).await?;
                writer.flush().await
            };
            written.await.map_err(|error| Error::failed("the connection broke", &error))?;
            buffer.clear();
        }
        Ok(())
    };
    tokio::select! {
        biased;
        result = read => result,
        result = write => result,
        () = credentials.changed_from(&introduced) => Ok(()),
        () = credentials.outgrown(&met) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::io::split;

    use super::super::{CallError, ClusterKey, Link, LinkTiming, LocalTransport};
    use super::*;
    use crate::host::Listener;
    use crate::protocol::client::Member;
    use crate::protocol::peer::Introduction;
    use crate::sync::Mutex;
    use crate::types::ReplicaId;

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
        let peer = Member { id: ReplicaId(2), address };
        let local_transport = LocalTransport::default();
        Link::start(
            Host::real(),
            credentials(1),
            peer,
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
        let error =
            link.call(Call::Vote, Bytes::from_static(b"1")).await.expect_err("nobody there");
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
}
