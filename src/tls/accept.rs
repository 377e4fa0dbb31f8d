//! The server's side.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::future::{CatchUnwind, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use rustls::server::{NoServerSessionStorage, ServerConfig, ServerConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::bounded::Bounded;
use super::identity::Shown;
use super::{PROTOCOL, binding_of, provider};
use crate::host::{BoxFuture, Connection, Host, Stream};

/// The first byte of a connection that speaks TLS; no line of ours begins with it.
pub const HANDSHAKE_BYTE: u8 = 22;

/// What a caller may send before its handshake ends. With the longest keys that are
/// known it needs some two kilobytes.
const HANDSHAKE_MAX_BYTES: usize = 16 * 1024;

/// What waits in the encryption itself for a caller who does not read. More waits in the
/// queue of the connection, which is counted.
const UNREAD_MAX_BYTES: usize = 16 * 1024;

/// Answers handshakes with the identity of a cluster. Clones share one thread.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    host: Host,
    tls: TlsAcceptor,
    /// To the thread that computes; there is none before somebody needs it.
    thread: OnceLock<mpsc::UnboundedSender<BoxFuture<'static, ()>>>,
}

impl Acceptor {
    /// For the servers of a cluster.
    pub fn new(host: Host, shown: impl Into<Shown>) -> Acceptor {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has what TLS 1.3 needs")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown.into()));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let tls = TlsAcceptor::from(Arc::new(config));
        Acceptor(Arc::new(Inner { host, tls, thread: OnceLock::new() }))
    }

    /// Performs the handshake of a connection and returns what is inside. Has no time
    /// limit of its own; when the caller gives up, the handshake ends.
    ///
    /// # Errors
    /// What the other side did wrong. It has been told, in the words of TLS.
    pub async fn accept(&self, stream: impl Connection + 'static) -> io::Result<Stream> {
        let (mut reply, answer) = oneshot::channel();
        let bounded = Bounded::new(stream, HANDSHAKE_MAX_BYTES);
        let bound_unread = |inside: &mut ServerConnection| {
            inside.set_buffer_limit(Some(UNREAD_MAX_BYTES));
        };
        let accepting = self.0.tls.accept_with(bounded, bound_unread);
        let handshake = Box::pin(async move {
            let accepted = tokio::select! { biased;
                () = reply.closed() => return,
                accepted = accepting => accepted,
            };
            // Whoever waited may have given up this very moment.
            let _ = reply.send(accepted.and_then(|mut stream| {
                stream.get_mut().0.lift();
                let binding = binding_of(stream.get_ref().1)?;
                Ok(Stream::encrypted(stream, binding))
            }));
        });
        // The thread goes on as long as this holds its queue.
        let _ = self.thread().send(handshake);
        answer.await.unwrap_or_else(|_| Err(io::Error::other("the handshake was given up")))
    }

    fn thread(&self) -> &mpsc::UnboundedSender<BoxFuture<'static, ()>> {
        self.0.thread.get_or_init(|| {
            let (send, queue) = mpsc::unbounded_channel();
            self.0.host.workers.spawn("tls-handshakes", Box::pin(compute(queue)));
            send
        })
    }
}

/// Performs all handshakes side by side, until nobody can ask for more.
async fn compute(mut queue: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>) {
    let mut under_way: FuturesUnordered<CatchUnwind<AssertUnwindSafe<BoxFuture<'static, ()>>>> =
        FuturesUnordered::new();
    loop {
        tokio::select! { biased;
            Some(ended) = under_way.next() => if ended.is_err() {
                tracing::error!("a handshake failed by a defect of this program");
            },
            handshake = queue.recv() => match handshake {
                // One that panics must not end all others.
                Some(handshake) => under_way.push(AssertUnwindSafe(handshake).catch_unwind()),
                None => return,
            },
        }
    }
}
