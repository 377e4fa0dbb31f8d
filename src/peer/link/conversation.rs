//! One connection and the calls on it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{CallError, Outgoing};
use crate::host::Stream;
use crate::limits::PEER_LINE_MAX_BYTES;
use crate::protocol::codec::read_line;
use crate::protocol::peer::{CallLine, ReplyLine};
use crate::sync::Mutex;

/// Why a connection has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) why: String,
    /// Whether it is the other machine that does not answer, whatever runs there.
    pub(super) unacknowledged: bool,
}

impl Ended {
    pub(super) fn because(why: impl Into<String>) -> Ended {
        Ended { why: why.into(), unacknowledged: false }
    }

    fn broken(why: String, kind: Option<ErrorKind>) -> Ended {
        match kind.is_some_and(is_silence) {
            true => Ended { why: "its machine does not answer".to_string(), unacknowledged: true },
            false => Ended::because(why),
        }
    }
}

/// Whether nothing came from the other machine. A system that was told on the way that it
/// cannot be reached says that instead of the time-out.
pub(super) fn is_silence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

/// What reading from and writing to one connection share.
pub(super) struct Conversation {
    /// Calls that have no answer yet, by their ids.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Result<Bytes, CallError>>>>,
    /// When something was received last, or calls began to wait.
    received_at: watch::Sender<Instant>,
}

impl Conversation {
    pub(super) fn begin() -> Conversation {
        Conversation { waiting: Mutex::default(), received_at: watch::Sender::new(Instant::now()) }
    }

    /// Writes calls until the connection breaks (why) or the link is dropped (`None`).
    pub(super) async fn write(
        &self,
        writer: &mut WriteHalf<Stream>,
        calls: &mut mpsc::UnboundedReceiver<Outgoing>,
    ) -> Option<Ended> {
        let (mut next_id, mut buffer) = (1u64, Vec::with_capacity(64 * 1024));
        let mut batch = Vec::new();
        loop {
            if calls.recv_many(&mut batch, 64).await == 0 {
                return None;
            }
            for Outgoing { call, body, reply } in batch.drain(..) {
                if self.waiting.lock().is_empty() {
                    // The limit counts from the first call that waits.
                    self.received_at.send_replace(Instant::now());
                }
                CallLine { id: next_id, call, body: &body }.push(&mut buffer);
                self.waiting.lock().insert(next_id, reply);
                next_id += 1;
            }
            let written = async {
                writer.write_all(&buffer).await?;
                writer.flush().await
            };
            if let Err(error) = written.await {
                let why = format!("the connection broke: {error}");
                return Some(Ended::broken(why, Some(error.kind())));
            }
            buffer.clear();
        }
    }

    /// Reads answers until the connection ends, and says why it did.
    pub(super) async fn read(&self, reader: &mut BufReader<ReadHalf<Stream>>) -> Ended {
        let mut line = Vec::new();
        loop {
            match read_line(reader, &mut line, PEER_LINE_MAX_BYTES).await {
                Ok(true) => {}
                Ok(false) => return Ended::because("the connection was closed"),
                Err(error) => {
                    return Ended::broken(error.message, error.cause.map(|cause| cause.kind));
                }
            }
            self.received_at.send_replace(Instant::now());
            let Some(reply) = ReplyLine::parse(&line) else {
                return Ended::because("it sent a malformed reply");
            };
            let Some(sender) = self.waiting.lock().remove(&reply.id) else {
                return Ended::because(format!(
                    "it answered call {} that was never made",
                    reply.id
                ));
            };
            let result = match reply.result {
                Ok(ok) => Ok(Bytes::copy_from_slice(ok)),
                Err(error) => Err(CallError::Refused(error.into())),
            };
            // A caller that no longer waits does not need the answer.
            let _ = sender.send(result);
        }
    }

    /// Resolves when calls wait and no whole reply has come for `limit`.
    pub(super) async fn timed_out(&self, limit: Duration) -> Ended {
        let mut last_received = self.received_at.subscribe();
        loop {
            let deadline = *last_received.borrow_and_update() + limit;
            tokio::time::sleep_until(deadline).await;
            let quiet = *last_received.borrow() + limit <= Instant::now();
            if quiet && !self.waiting.lock().is_empty() {
                return Ended::because(format!("silent for {} ms: frozen?", limit.as_millis()));
            }
            if quiet && last_received.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Fails the calls that wait.
    pub(super) fn lose(&self, why: &str) {
        let lost = std::mem::take(&mut *self.waiting.lock());
        for (_, reply) in lost {
            // A caller that no longer waits does not need the answer.
            let _ = reply.send(Err(CallError::Lost(why.to_string())));
        }
    }
}
