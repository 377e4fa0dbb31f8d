//! The first line of a connection, and the error line of those that are rejected.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::connection::{self, Began};
use super::follow::stopping;
use super::slots::{Slot, gave_way};
use super::stop::Stop;
use super::wire::{is_object, push_error, read_to_end};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Stream;
use crate::limits::{FIRST_LINE_MAX_BYTES, PROTOCOL_VERSION};
use crate::protocol::client::{Role, ServerHello};
use crate::protocol::codec;
use crate::tls::HANDSHAKE_BYTE;

/// What is read at once of a connection that has shown nothing yet.
const READ_BYTES: usize = 1024;

/// How long an error line and the close after it may take.
const REJECT_MAX: Duration = Duration::from_secs(1);

/// A connection that turned out to be a replica's.
pub(super) struct Peer {
    pub(super) slot: Slot,
    pub(super) stream: BufReader<Stream>,
    pub(super) first_line: Vec<u8>,
    /// By then it must have proved to be one.
    pub(super) until: Instant,
}

/// Serves a new connection: to its end if it is a client's, up to its first
/// line if it is a replica's.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: Stream,
    mut slot: Slot,
    mut stop: Stop,
) -> Option<Peer> {
    let pauses = shared.wakefulness.pauses();
    let mut stream = BufReader::with_capacity(READ_BYTES, stream);
    let mut line = Vec::new();
    let wait_ms = shared.limits.first_line_timeout_ms;
    let until = Instant::now() + Duration::from_millis(wait_ms);
    let read = read_first_line(&shared, &mut stream, &mut line);
    let role = tokio::select! { biased;
        () = stop.requested() => Err(stopping()),
        () = slot.given_away() => {
            shared.refused(slot.address(), &gave_way());
            reject_at_once(stream, gave_way());
            return None;
        }
        read = timeout_at(until, read) => match read {
            Ok(Ok(true)) => role(&line),
            Ok(Ok(false)) => return None,
            Ok(Err(error)) if error.code == ErrorCode::Io => return None,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("no first line came within {wait_ms} ms"),
            )),
        },
    };
    let role = match role {
        Ok(Role::Client) => slot.client().map(|()| Role::Client),
        other => other,
    };
    match role {
        Ok(Role::Client) => {
            let mut hello = Vec::new();
            let (mode, alone_since) = shared.backend.mode();
            codec::push_line(
                &mut hello,
                &ServerHello {
                    ftchat: PROTOCOL_VERSION,
                    version: env!("CARGO_PKG_VERSION").to_string(),
                    cluster: shared.backend.cluster(),
                    replica: shared.backend.id(),
                    leader: shared.backend.leader(),
                    members: shared.backend.members(),
                    mode,
                    alone_since,
                },
            );
            let began = Began { pauses, probation_end: until };
            connection::serve(shared, stream, slot, stop, &hello, began).await;
            None
        }
        // Its word alone makes it no replica; see `Slot::peer`.
        Ok(Role::Peer) => Some(Peer { slot, stream, first_line: line, until }),
        Err(error) => {
            shared.refused(slot.address(), &error);
            reject(stream, error).await;
            None
        }
    }
}

/// Reads the first line, after a handshake if the connection begins with one.
async fn read_first_line(
    shared: &Shared,
    stream: &mut BufReader<Stream>,
    line: &mut Vec<u8>,
) -> Result<bool> {
    let begin = stream.fill_buf().await.map_err(|error| broken(&error))?;
    if begin.first() == Some(&HANDSHAKE_BYTE) {
        // Until it has ended there is nobody who could be told anything.
        let nobody = Stream::local(tokio::io::empty());
        let outside = std::mem::replace(stream, BufReader::with_capacity(1, nobody));
        let inside = shared.tls.accept(outside).await;
        let inside = inside.map_err(|error| {
            tracing::debug!(%error, "a handshake failed");
            broken(&error)
        })?;
        *stream = BufReader::with_capacity(READ_BYTES, inside);
    }
    let has_ended = stream.buffer().is_empty();
    if stream.get_ref().is_open() && !has_ended {
        return Err(Error::new(
            ErrorCode::TlsRequired,
            "others could read what is said here, so only TLS is spoken; ftchat speaks it to \
             servers that are named with the cluster's fingerprint, ftchat://…#FINGERPRINT",
        ));
    }
    codec::read_line(stream, line, FIRST_LINE_MAX_BYTES).await
}

fn broken(error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, error.to_string())
}

/// Reads who opens the connection.
fn role(line: &[u8]) -> Result<Role> {
    #[derive(Deserialize)]
    struct Hello {
        ftchat: u64,
        role: String,
    }
    codec::check_depth(line)?;
    let hello: Option<Hello> = serde_json::from_slice(line).ok().filter(|_| is_object(line));
    let hello = hello.ok_or_else(|| {
        Error::new(
            ErrorCode::InvalidRequest,
            format!(
                "this is an ftchat server; the first line must be \
                 {{\"ftchat\":{PROTOCOL_VERSION},\"role\":\"client\"}}"
            ),
        )
    })?;
    if hello.ftchat != u64::from(PROTOCOL_VERSION) {
        return Err(Error::new(
            ErrorCode::UnsupportedVersion,
            format!(
                "this server speaks version {PROTOCOL_VERSION} of the protocol, not version {}; \
                 use the same release of ftchat on both sides",
                hello.ftchat
            ),
        ));
    }
    match hello.role.as_str() {
        "client" => Ok(Role::Client),
        "peer" => Ok(Role::Peer),
        other => Err(Error::new(
            ErrorCode::InvalidRequest,
            format!(
                "a role is \"client\" or \"peer\", not {:?}",
                other.chars().take(32).collect::<String>()
            ),
        )),
    }
}

/// Says why a connection is rejected, and closes it.
pub(super) async fn reject<S>(mut stream: S, error: Error)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Vec::new();
    push_error(&mut line, None, error);
    // Whether the client reads it is its own affair.
    let _ = timeout(REJECT_MAX, async {
        stream.write_all(&line).await?;
        stream.shutdown().await?;
        read_to_end(&mut stream).await
    })
    .await;
}

/// Says why a connection is rejected, if the line can be written at once, and closes
/// it. Many may have to make room for others, and none may hold the server up.
pub(super) fn reject_at_once<S: AsyncWrite + Unpin>(mut stream: S, error: Error) {
    let mut line = Vec::new();
    push_error(&mut line, None, error);
    // Whether the client reads it is its own affair.
    let _ = stream.write(&line).now_or_never();
}
