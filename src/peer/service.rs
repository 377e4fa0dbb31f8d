//! The other end of a [`Link`](super::Link): calls from a peer, in order.

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use super::credentials::{Credentials, Met};
use super::handshake;
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
        () = credentials.parted_from(&met) => Ok(()),
        () = credentials.forgotten(&met) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
