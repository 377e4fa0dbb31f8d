//! Lines from a client, taken out of a bounded buffer.
//!
//! Like [`crate::protocol::codec::read_line`], but a wait for input can be
//! given up and taken up again without losing half a line, and all lines that
//! one read brought are taken without waiting in between.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;
use zeroize::Zeroize;

use crate::error::{Error, ErrorCode, Result};
use crate::limits::CLIENT_LINE_MAX_BYTES;

/// What an idle connection holds: twelve thousand of them take 48 MiB.
const IDLE_BYTES: usize = 4 * 1024;

/// What a busy one may hold: the longest line, and a read beyond it.
const BUSY_BYTES: usize = CLIENT_LINE_MAX_BYTES + IDLE_BYTES;

/// The reading half of a client's connection.
pub(super) struct Incoming<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes that are read and not yet taken.
    unread: Range<usize>,
    /// Up to here `unread` has no newline.
    searched: usize,
    /// Up to here the buffer holds, or has held, what a client sent.
    used: usize,
    ended: bool,
    /// Since when the next line has been under way.
    began: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Takes a reader, and what was read from it already.
    pub(super) fn new(reader: R, already_read: &[u8]) -> Self {
        let mut buffer = already_read.to_vec();
        buffer.resize(already_read.len().max(IDLE_BYTES), 0);
        Incoming {
            reader,
            buffer,
            unread: 0..already_read.len(),
            searched: 0,
            used: already_read.len(),
            ended: false,
            began: None,
        }
    }

    /// The reader, for those who need no lines any more.
    pub(super) fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Whether the client has closed its half. What is left is half a line.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// What it holds beyond what an idle connection does.
    pub(super) fn extra_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(IDLE_BYTES)
    }

    /// Whether nothing can be read before the buffer grows.
    pub(super) fn is_full(&self) -> bool {
        self.unread.len() == self.buffer.len()
    }

    /// Since when a line has been under way that is longer than what an idle
    /// connection holds. Such a line is memory that others cannot have.
    pub(super) fn long_line_since(&self) -> Option<Instant> {
        self.began.filter(|_| self.unread.len() > IDLE_BYTES)
    }

    /// The next line without its newline, if a whole one has been read. The
    /// caller may overwrite it, as one that holds a password should be.
    ///
    /// # Errors
    /// [`ErrorCode::LineTooLong`]: no line can be taken any more.
    pub(super) fn next_line(&mut self) -> Result<Option<&mut [u8]>> {
        let unsearched = &self.buffer[self.searched..self.unread.end];
        let end = memchr::memchr(b'\n', unsearched);
        let end = end.map(|offset| self.searched + offset);
        self.searched = end.map_or(self.unread.end, |end| end + 1);
        // The bound counts the newline.
        if self.searched - self.unread.start + usize::from(end.is_none()) > CLIENT_LINE_MAX_BYTES {
            return Err(Error::new(
                ErrorCode::LineTooLong,
                format!("a line has at most {CLIENT_LINE_MAX_BYTES} bytes"),
            ));
        }
        let Some(end) = end else {
            if !self.unread.is_empty() {
                self.began.get_or_insert_with(Instant::now);
            }
            return Ok(None);
        };
        self.began = None;
        let start = std::mem::replace(&mut self.unread.start, end + 1);
        Ok(Some(&mut self.buffer[start..end]))
    }

    /// Reads once. May be cancelled without loss. Call it only when
    /// [`Incoming::next_line`] had no line. The buffer grows when it must, and
    /// before it must where that makes for fewer reads and `may_grow`.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn fill(&mut self, may_grow: bool) -> io::Result<()> {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.searched -= self.unread.start;
            self.unread = 0..self.unread.len();
        }
        if self.unread.end == self.buffer.len() {
            self.grow();
        }
        let read = self.reader.read(&mut self.buffer[self.unread.end..]).await?;
        self.unread.end += read;
        self.used = self.used.max(self.unread.end);
        self.ended = read == 0;
        if may_grow && self.unread.end == self.buffer.len() {
            // There is more where this came from: fewer, larger reads.
            self.grow();
        }
        Ok(())
    }

    /// Gives back what only a busy connection needs. To be called when nothing
    /// is under way, not after every line: with a few requests in flight, a new
    /// buffer for each read takes a tenth of a server's time.
    pub(super) fn rest(&mut self) {
        if self.unread.len() < IDLE_BYTES && self.buffer.len() > IDLE_BYTES {
            self.replace(IDLE_BYTES);
        }
    }

    fn grow(&mut self) {
        if self.buffer.len() < BUSY_BYTES {
            self.replace((self.buffer.len() * 4).min(BUSY_BYTES));
        }
    }

    /// Takes another buffer, to whose beginning what is unread moves. The old
    /// one is wiped as far as anything was ever in it.
    fn replace(&mut self, bytes: usize) {
        let mut old = std::mem::replace(&mut self.buffer, vec![0; bytes]);
        let unread = &old[self.unread.clone()];
        self.buffer[..unread.len()].copy_from_slice(unread);
        self.searched -= self.unread.start;
        self.unread = 0..self.unread.len();
        old[..self.used].zeroize();
        self.used = self.unread.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn text(line: Result<Option<&mut [u8]>>) -> Option<String> {
        line.expect("within the bound").map(|line| String::from_utf8_lossy(line).into_owned())
    }

    #[tokio::test]
    async fn lines_are_taken_whole_whatever_the_reads_bring() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut incoming = Incoming::new(server, b"first\nsec");
        assert_eq!(text(incoming.next_line()).as_deref(), Some("first"));
        assert_eq!(text(incoming.next_line()), None);
        client.write_all(b"ond\n\nha").await.expect("room");
        incoming.fill(true).await.expect("open");
        assert_eq!(text(incoming.next_line()).as_deref(), Some("second"));
        assert_eq!(text(incoming.next_line()).as_deref(), Some(""));
        assert_eq!(text(incoming.next_line()), None);
        drop(client);
        incoming.fill(true).await.expect("closed, not broken");
        assert!(incoming.ended());
        assert_eq!(text(incoming.next_line()), None, "half a line is none");
    }

    /// The length of the next line.
    async fn next_length(incoming: &mut Incoming<&[u8]>) -> Result<usize> {
        loop {
            if let Some(line) = incoming.next_line()? {
                return Ok(line.len());
            }
            assert!(!incoming.ended(), "another line");
            incoming.fill(true).await.expect("memory");
        }
    }

    #[tokio::test]
    async fn a_line_may_fill_the_bound_and_not_exceed_it() {
        let longest = CLIENT_LINE_MAX_BYTES - 1;
        let bytes =
            [&vec![b'x'; longest][..], b"\nnext\n", &vec![b'x'; longest + 1], b"\n"].concat();
        let mut incoming = Incoming::new(&bytes[..], b"");
        assert_eq!(next_length(&mut incoming).await.expect("fits"), longest);
        assert_eq!(next_length(&mut incoming).await.expect("fits"), 4);
        let error = next_length(&mut incoming).await.expect_err("one byte too long");
        assert_eq!(error.code, ErrorCode::LineTooLong);
        assert!(incoming.buffer.len() <= BUSY_BYTES);
    }

    #[tokio::test]
    async fn an_idle_connection_holds_little() {
        let bytes = [&vec![b'x'; 50_000][..], b"\n"].concat();
        let mut incoming = Incoming::new(&bytes[..], b"");
        assert_eq!(next_length(&mut incoming).await.expect("fits"), 50_000);
        assert!(incoming.buffer.len() > IDLE_BYTES);
        let held = incoming.buffer.len();
        incoming.fill(true).await.expect("at the end");
        assert_eq!(incoming.buffer.len(), held, "it may be busy still");
        incoming.rest();
        assert_eq!((incoming.buffer.len(), incoming.used), (IDLE_BYTES, 0));
    }

    #[tokio::test]
    async fn half_a_line_moves_into_the_small_buffer() {
        let bytes = [&vec![b'x'; 9_000][..], b"\nhalf"].concat();
        let mut incoming = Incoming::new(&bytes[..], b"");
        assert_eq!(next_length(&mut incoming).await.expect("fits"), 9_000);
        incoming.fill(true).await.expect("at the end");
        assert_eq!(text(incoming.next_line()), None);
        assert_eq!(incoming.long_line_since(), None, "only the buffer is long");
        incoming.rest();
        assert_eq!((incoming.buffer.len(), incoming.used), (IDLE_BYTES, 4));
        assert_eq!(&incoming.buffer[incoming.unread.clone()], b"half");
        assert_eq!(text(incoming.next_line()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_line_is_known_by_its_beginning() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut incoming = Incoming::new(server, b"short");
        assert_eq!(text(incoming.next_line()), None);
        assert_eq!(incoming.long_line_since(), None, "it takes no room yet");
        let began = Instant::now();
        for _ in 0..3 {
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            client.write_all(&[b'x'; 3_000]).await.expect("room");
            incoming.fill(false).await.expect("open");
            assert_eq!(text(incoming.next_line()), None);
        }
        assert_eq!(incoming.long_line_since(), Some(began));
        client.write_all(b"\nnext").await.expect("room");
        incoming.fill(true).await.expect("open");
        assert_eq!(text(incoming.next_line()).map(|line| line.len()), Some(9_005));
        assert_eq!(incoming.long_line_since(), None);
    }
}
