//! A stream of which only so much is read before something is proved.
//!
//! Whoever shakes hands reads for as long as there is something, also what a hasty caller
//! has sent behind its handshake. That is no part of it and must not count. So after each
//! read there is nothing more for a moment, in which the reader finds that it is done.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the head of this file.
pub(super) struct Bounded<S> {
    stream: S,
    /// `None`: as much as comes.
    left_bytes: Option<usize>,
    /// Whether the last poll has read something.
    has_read: bool,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, max_bytes: usize) -> Bounded<S> {
        Bounded { stream, left_bytes: Some(max_bytes), has_read: false }
    }

    /// From now on as much is read as comes.
    pub(super) fn lift(&mut self) {
        self.left_bytes = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left_bytes) = self.left_bytes else {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        };
        if std::mem::take(&mut self.has_read) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if left_bytes == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the handshake never ends");
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.left_bytes = Some(left_bytes.saturating_sub(read));
        self.has_read = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
