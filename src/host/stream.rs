//! One connection to another process, and who else can see what it carries.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in both directions: reliable and ordered until it breaks.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// What both ends of an encrypted connection know and nobody else: the key that is
/// exported for channel bindings (RFC 9266).
pub type Binding = [u8; 32];

/// A [`Connection`], who can see what it carries, and how far it goes.
pub struct Stream {
    connection: Box<dyn Connection>,
    secrecy: Secrecy,
    round_trip: Option<Duration>,
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
        Stream { connection: Box::new(connection), secrecy, round_trip: None }
    }

    /// The same, which goes to another machine: there and back takes so long, as it was
    /// measured.
    pub fn at_distance(self, round_trip: Option<Duration>) -> Stream {
        Stream { round_trip, ..self }
    }

    /// How long it took to the other machine and back; `None` if the other end is on this
    /// machine, or if that was not measured.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
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
