//! Lines to a client: queued within a bound, written many at a time.
//!
//! Whoever makes an answer appends it here and goes on; the connection's
//! [`Writer`] writes whatever has gathered since its last write. A queue over
//! its bound means that the client asks without reading the answers, and ends
//! the connection. Whoever makes *long* answers (pages of messages) waits for
//! [`Outgoing::room`] first, so that reading slowly is no offence.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// While more than this waits to be written, no page is made.
const ROOM_BYTES: usize = 64 * 1024;

/// Buffers that grew beyond this are given back once they are written.
const KEPT_BYTES: usize = 256 * 1024;

/// The write queue of one connection.
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    room: Notify,
    max_bytes: usize,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<u8>,
    /// Bytes that the writer has taken and not yet written.
    taken_bytes: usize,
    writer: Option<Waker>,
}

impl Queue {
    fn bytes(&self) -> usize {
        self.waiting.len() + self.taken_bytes
    }
}

impl Outgoing {
    pub(super) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Outgoing { queue: Mutex::default(), room: Notify::new(), max_bytes })
    }

    /// Lets `append` add whole lines to the queue.
    pub(super) fn push(&self, append: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.queue();
        append(&mut queue.waiting);
        if let Some(writer) = queue.writer.take() {
            writer.wake();
        }
    }

    /// Whether the client reads so slowly that the connection must end.
    pub(super) fn is_over_bound(&self) -> bool {
        self.queue().bytes() > self.max_bytes
    }

    /// Waits until so little is queued that a page may be added.
    pub(super) async fn room(&self) {
        loop {
            let change = self.room.notified();
            if self.queue().bytes() <= ROOM_BYTES.min(self.max_bytes / 2) {
                return;
            }
            change.await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("serializing a line does not panic")
    }
}

/// Writes a connection's queue.
pub(super) struct Writer<W> {
    stream: W,
    batch: Vec<u8>,
    written: usize,
    unflushed: bool,
    outgoing: Arc<Outgoing>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(super) fn new(stream: W, outgoing: Arc<Outgoing>) -> Self {
        Writer { stream, batch: Vec::new(), written: 0, unflushed: false, outgoing }
    }

    /// Writes for as long as it is polled; ends only when the connection
    /// breaks. May be dropped and called again at any time.
    pub(super) async fn run(&mut self) -> io::Error {
        std::future::poll_fn(|cx| match ready!(self.poll_write_queue(cx, false)) {
            Err(error) => Poll::Ready(error),
            Ok(()) => Poll::Pending,
        })
        .await
    }

    /// Writes what is queued, then closes this half of the connection.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_write_queue(cx, true)).await?;
        self.stream.shutdown().await
    }

    fn poll_write_queue(&mut self, cx: &mut Context<'_>, to_the_end: bool) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.batch.len() {
                let stream = std::pin::Pin::new(&mut self.stream);
                let count = ready!(stream.poll_write(cx, &self.batch[self.written..]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += count;
                self.unflushed = true;
                self.outgoing.queue().taken_bytes -= count;
                self.outgoing.room.notify_waiters();
            }
            self.written = 0;
            self.batch.clear();
            if self.batch.capacity() > KEPT_BYTES {
                self.batch = Vec::new();
            }
            {
                let mut queue = self.outgoing.queue();
                std::mem::swap(&mut queue.waiting, &mut self.batch);
                queue.taken_bytes = self.batch.len();
                if self.batch.is_empty() && !to_the_end {
                    queue.writer = Some(cx.waker().clone());
                }
            }
            if self.batch.is_empty() {
                if self.unflushed {
                    ready!(std::pin::Pin::new(&mut self.stream).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return if to_the_end { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn what_is_pushed_while_a_write_waits_goes_out_in_order() {
        let (mut client, server) = tokio::io::duplex(4);
        let outgoing = Outgoing::new(1000);
        let mut writer = Writer::new(server, Arc::clone(&outgoing));
        outgoing.push(|buffer| buffer.extend(b"first\n"));
        let blocked = timeout(Duration::from_secs(1), writer.run()).await;
        assert!(blocked.is_err(), "four bytes fit");
        outgoing.push(|buffer| buffer.extend(b"second\n"));
        assert_eq!(outgoing.queue().bytes(), 2 + 7);
        let reading = async {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("memory");
            all
        };
        let (finished, all) = tokio::join!(writer.finish(), reading);
        finished.expect("memory");
        assert_eq!(all, b"first\nsecond\n");
        assert_eq!(outgoing.queue().bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_wait_for_room_and_the_bound_is_noticed() {
        let (mut client, server) = tokio::io::duplex(1);
        let outgoing = Outgoing::new(100);
        let mut writer = Writer::new(server, Arc::clone(&outgoing));
        outgoing.push(|buffer| buffer.extend([b'x'; 100]));
        assert!(!outgoing.is_over_bound());
        assert!(timeout(Duration::from_secs(1), outgoing.room()).await.is_err());
        outgoing.push(|buffer| buffer.push(b'y'));
        assert!(outgoing.is_over_bound());
        for (count, expected) in [(49, false), (2, true)] {
            let mut read = vec![0; count];
            tokio::select! { biased;
                error = writer.run() => panic!("{error}"),
                result = client.read_exact(&mut read) => { result.expect("memory"); }
            }
            let room = timeout(Duration::from_secs(1), outgoing.room()).await;
            assert_eq!(room.is_ok(), expected, "{} bytes are left", outgoing.queue().bytes());
        }
    }
}
