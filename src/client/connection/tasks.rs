//! What reads from a connection and what writes to it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Routes, io_reason, parse_response};
use crate::error::{Error, ErrorCode};
use crate::host::Stream;
use crate::limits::SERVER_LINE_MAX_BYTES;
use crate::protocol::codec::read_line;
use crate::sync::Mutex;

/// Lines that are written with one call.
const LINES_PER_WRITE_MAX: usize = 64;

pub(super) async fn write<W: AsyncWrite + Unpin>(
    stream: &mut W,
    bytes: &[u8],
) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

pub(super) async fn write_lines(
    mut stream: WriteHalf<Stream>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    routes: Arc<Routes>,
) {
    let mut lines = Vec::new();
    while queue.recv_many(&mut lines, LINES_PER_WRITE_MAX).await > 0 {
        if let Err(error) = write(&mut stream, &lines.concat()).await {
            // Answers to what was written before may still lie in the socket:
            // only the reader, which has seen the last of them, ends the waits.
            let error = Error::new(ErrorCode::Io, io_reason(&error));
            routes.lock().broken.get_or_insert(error);
            return;
        }
        lines.clear();
    }
}

/// Notes when something was received: half an answer is a sign of life as well.
pub(super) struct Noting {
    pub(super) read: ReadHalf<Stream>,
    pub(super) received_at: Arc<Mutex<Instant>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.read).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = read {
            *self.received_at.lock() = Instant::now();
        }
        read
    }
}

pub(super) async fn read_lines(mut reader: BufReader<Noting>, routes: Arc<Routes>) {
    let mut line = Vec::new();
    let error = loop {
        match read_line(&mut reader, &mut line, SERVER_LINE_MAX_BYTES).await {
            Ok(true) => {}
            Ok(false) => break Error::new(ErrorCode::Io, "closed the connection"),
            Err(error) => break error,
        }
        let delivered = match parse_response(&line) {
            // The newline is not in `line`.
            Ok(parsed) => routes.deliver(parsed, line.len() + 1).await,
            Err(error) => Err(error),
        };
        if let Err(error) = delivered {
            break error;
        }
    };
    routes.fail(error);
}
