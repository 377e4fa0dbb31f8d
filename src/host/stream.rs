//! One connection to another process, and who else can see what it carries.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in both directions: reliable and ordered until it breaks.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// What both ends of an encrypted connection know and nobody else: the key that is
/// exported for channel bindings (RFC 9266).
pub type Binding = [u8; 32];

/// The other end of a connection, if it is on another machine.
#[derive(Clone)]
pub struct Elsewhere {
    /// How long it took to that machine and back when the connection was made.
    pub round_trip: Duration,
    /// Decides how soon it is given up.
    pub patience: Arc<dyn Patience>,
}

/// How long one connection is kept whose other machine acknowledges nothing.
pub trait Patience: Send + Sync {
    /// From now on the connection breaks with [`io::ErrorKind::TimedOut`] when that machine,
    /// not a process on it, has not acknowledged for `unacknowledged_max` what was written;
    /// `None`: when the system gives up, a quarter of an hour later. Where a system cannot
    /// do that, nothing changes.
    fn limit(&self, unacknowledged_max: Option<Duration>);
}

/// A [`Connection`], who can see what it carries, and how far it goes.
pub struct Stream {
    connection: Box<dyn Connection>,
    secrecy: Secrecy,
    elsewhere: Option<Elsewhere>,
}

enum Secrecy {
    /// It does not leave this machine.
    Local,
    /// Whoever is on its way can read it and change it.
    Open,
    /// Both ends have a key.
    Encrypted(Binding),
}

impl Stream {
    /// A connection that does not leave this machine, and to which nobody can connect from
    /// another one.
    pub fn local(connection: impl Connection + 'static) -> Stream {
        Stream::with(connection, Secrecy::Local)
    }

    /// A connection of which that is not known.
    pub fn open(connection: impl Connection + 'static) -> Stream {
        Stream::with(connection, Secrecy::Open)
    }

    /// What is inside of an encrypted connection.
    pub fn encrypted(connection: impl Connection + 'static, binding: Binding) -> Stream {
        Stream::with(connection, Secrecy::Encrypted(binding))
    }

    fn with(connection: impl Connection + 'static, secrecy: Secrecy) -> Stream {
        Stream { connection: Box::new(connection), secrecy, elsewhere: None }
    }

    /// The same, whose other end is there.
    pub fn leading(self, elsewhere: Option<Elsewhere>) -> Stream {
        Stream { elsewhere, ..self }
    }

    /// What is known of the other machine; `None` if there is none, or nothing is known.
    pub fn elsewhere(&self) -> Option<&Elsewhere> {
        self.elsewhere.as_ref()
    }

    /// Whether others may read it and change it.
    pub fn is_open(&self) -> bool {
        matches!(self.secrecy, Secrecy::Open)
    }

    /// What only both ends know, if it is encrypted.
    pub fn binding(&self) -> Option<Binding> {
        match self.secrecy {
            Secrecy::Encrypted(binding) => Some(binding),
            Secrecy::Local | Secrecy::Open => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.connection).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.connection).poll_shutdown(cx)
    }
}
