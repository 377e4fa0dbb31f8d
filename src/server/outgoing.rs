//! Lines to a client: queued within a bound, written many at a time.
//!
//! A request appends its answer here and goes on, and the connection's [`Writer`]
//! writes what has gathered since its last write. A client whose queue grows over its
//! bound asks without reading the answers, and its connection ends. Requests with
//! *long* answers (pages of messages) wait for [`Outgoing::room`] first, so a client
//! may read slowly.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use super::memory::{Memory, Share};
use crate::sync::Mutex;

/// While more than this waits to be written, no page is made.
const ROOM_BYTES: usize = 64 * 1024;

/// Buffers that grew beyond this are given back once they are written: idle
/// connections hold little, and there may be ten thousand of them.
const KEPT_BYTES: usize = 1024;

/// While memory is short, a client may leave so much unread.
const SHORT_BYTES: usize = 4 * 1024;

/// While memory is short, how often to look whether it still is.
const SHORT_RETRY: Duration = Duration::from_millis(50);

/// The write queue of one connection.
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    room: Notify,
    max_bytes: usize,
    memory: Arc<Memory>,
}

struct Queue {
    waiting: Vec<u8>,
    /// Bytes that the writer has taken and not yet written.
    taken_bytes: usize,
    /// What holds the bytes that the writer has taken.
    taken_capacity: usize,
    /// Since when the client has taken nothing of what waits.
    waits_since: Option<Instant>,
    writer: Option<Waker>,
    share: Share,
}

impl Queue {
    fn bytes(&self) -> usize {
        self.waiting.len() + self.taken_bytes
    }

    /// Counts the memory that it takes, also while nobody looks at the bounds:
    /// a follow adds to it by itself.
    fn count(&mut self) {
        self.share.set(self.waiting.capacity() + self.taken_capacity);
    }
}

impl Outgoing {
    pub(super) fn new(max_bytes: usize, memory: Arc<Memory>) -> Arc<Self> {
        let queue = Mutex::new(Queue {
            waiting: Vec::new(),
            taken_bytes: 0,
            taken_capacity: 0,
            waits_since: None,
            writer: None,
            share: Share::new(Arc::clone(&memory)),
        });
        Arc::new(Outgoing { queue, room: Notify::new(), max_bytes, memory })
    }

    /// Lets `append` add whole lines to the queue.
    pub(super) fn push(&self, append: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.queue();
        append(&mut queue.waiting);
        queue.count();
        queue.waits_since.get_or_insert_with(Instant::now);
        if let Some(writer) = queue.writer.take() {
            writer.wake();
        }
    }

    /// Whether the client reads so slowly that the connection must end; sooner
    /// when memory is short for it.
    pub(super) fn is_over_bound(&self, short: bool) -> bool {
        let max = if short { SHORT_BYTES } else { self.max_bytes };
        self.queue().bytes() > max
    }

    /// Resolves when the client has taken nothing for too long while more waits for it
    /// than may wait when memory is short. `timer` is for this alone. May be dropped
    /// and called again at any time.
    pub(super) async fn stalled(&self, limit: Duration, mut timer: Pin<&mut Sleep>) {
        std::future::poll_fn(|cx| {
            // Who adds to the queue wakes the writer, which is of the same task.
            let Some(until) = self.waits_since().map(|since| since + limit) else {
                return Poll::Pending;
            };
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            timer.as_mut().poll(cx)
        })
        .await;
    }

    fn waits_since(&self) -> Option<Instant> {
        let queue = self.queue();
        queue.waits_since.filter(|_| queue.bytes() > SHORT_BYTES)
    }

    /// Lets the time of [`Outgoing::stalled`] begin anew.
    pub(super) fn be_patient(&self) {
        self.queue().waits_since = Some(Instant::now());
    }

    /// Waits until so little is queued, and so much memory is left, that a page
    /// may be added.
    pub(super) async fn room(&self) {
        loop {
            let change = self.room.notified();
            if self.queue().bytes() > ROOM_BYTES.min(self.max_bytes / 2) {
                change.await;
            } else if self.memory.is_short() {
                self.memory.want();
                sleep(SHORT_RETRY).await;
            } else {
                return;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
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
                let mut queue = self.outgoing.queue();
                queue.taken_bytes -= count;
                queue.waits_since = Some(Instant::now());
                drop(queue);
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
                queue.taken_capacity = self.batch.capacity();
                queue.count();
                if self.batch.is_empty() {
                    queue.waits_since = None;
                }
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
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn what_is_pushed_while_a_write_waits_goes_out_in_order() {
        let (mut client, server) = tokio::io::duplex(4);
        let outgoing = Outgoing::new(1000, Memory::new(usize::MAX));
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
        let outgoing = Outgoing::new(100, Memory::new(usize::MAX));
        let mut writer = Writer::new(server, Arc::clone(&outgoing));
        outgoing.push(|buffer| buffer.extend([b'x'; 100]));
        assert!(!outgoing.is_over_bound(false));
        assert!(timeout(Duration::from_secs(1), outgoing.room()).await.is_err());
        outgoing.push(|buffer| buffer.push(b'y'));
        assert!(outgoing.is_over_bound(false));
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

    #[tokio::test(start_paused = true)]
    async fn while_memory_is_short_little_may_wait_and_no_page_is_made() {
        let memory = Memory::new(10_000);
        let outgoing = Outgoing::new(1_000_000, Arc::clone(&memory));
        outgoing.push(|buffer| buffer.extend([b'x'; SHORT_BYTES + 1]));
        assert!(!outgoing.is_over_bound(false));
        assert_eq!(outgoing.waits_since(), Some(Instant::now()));
        outgoing.room().await;
        let mut share = Share::new(memory);
        share.set(10_001);
        assert!(outgoing.is_over_bound(true));
        assert!(timeout(Duration::from_secs(1), outgoing.room()).await.is_err());
        share.set(0);
        outgoing.room().await;
    }
}
