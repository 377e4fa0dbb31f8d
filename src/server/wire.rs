//! Parses lines into requests, and writes answers as lines.
//!
//! An answer is written by parts. `protocol::client::ResponseLine` is the same
//! line as one type, for tests: serde's `flatten`, which it uses, builds every
//! answer in memory a second time.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::{Error, ErrorBody, ErrorCode};
use crate::limits::SERVER_LINE_MAX_BYTES;
use crate::protocol::client::{Answer, Event, Message, OPERATIONS, RequestLine};
use crate::protocol::codec;

/// A line that is no request.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The request's id. Without one nobody could match the answer, so the
    /// connection ends.
    pub(super) id: Option<u64>,
    pub(super) error: Error,
}

/// Reads a request.
pub(super) fn parse_request(line: &[u8]) -> Result<RequestLine, Unreadable> {
    codec::check_depth(line).map_err(|error| Unreadable { id: None, error })?;
    if !is_object(line) {
        let error = "a line must be one JSON object with a request";
        return Err(Unreadable { id: None, error: Error::new(ErrorCode::InvalidRequest, error) });
    }
    serde_json::from_slice(line).map_err(|error| explain(line, &error))
}

/// Whether a line begins as an object does: serde takes an array of the
/// fields' values for one.
pub(super) fn is_object(line: &[u8]) -> bool {
    line.trim_ascii_start().first() == Some(&b'{')
}

/// What is wrong with a line, as exactly as can be told.
fn explain(line: &[u8], error: &serde_json::Error) -> Unreadable {
    #[derive(Deserialize)]
    struct Loose {
        #[serde(default)]
        id: serde_json::Value,
        #[serde(default)]
        request: serde_json::Value,
    }
    let invalid = |message| Error::new(ErrorCode::InvalidRequest, message);
    let Ok(loose) = serde_json::from_slice::<Loose>(line) else {
        return Unreadable {
            id: None,
            error: invalid(format!("a line must be one JSON object with a request: {error}")),
        };
    };
    let Some(id) = loose.id.as_u64() else {
        return Unreadable {
            id: None,
            error: invalid("a request must have an \"id\", a whole number from 0".to_string()),
        };
    };
    let name = match &loose.request {
        serde_json::Value::Object(keys) if keys.len() == 1 => keys.keys().next(),
        _ => None,
    };
    let error = match name {
        Some(name) if !OPERATIONS.contains(&name.as_str()) => {
            let name: String = name.chars().take(64).collect();
            Error::new(
                ErrorCode::UnknownOperation,
                format!("this server knows no operation {name:?}; is the client newer than it?"),
            )
        }
        _ => invalid(format!("the request is malformed: {error}")),
    };
    Unreadable { id: Some(id), error }
}

/// Appends the answer to a request.
pub(super) fn push_result(buffer: &mut Vec<u8>, id: u64, answer: &Answer) {
    push(buffer, Some(id), "result", answer);
}

/// Appends a failure; without an id when no request can be named.
pub(super) fn push_error(buffer: &mut Vec<u8>, id: Option<u64>, error: Error) {
    push(buffer, id, "error", &ErrorBody::from(error));
}

/// Appends an event of the follow that request `id` started.
pub(super) fn push_event(buffer: &mut Vec<u8>, id: u64, event: &Event) {
    push(buffer, Some(id), "event", event);
}

fn push<T: Serialize>(buffer: &mut Vec<u8>, id: Option<u64>, kind: &str, body: &T) {
    buffer.push(b'{');
    if let Some(id) = id {
        buffer.extend_from_slice(b"\"id\":");
        serde_json::to_writer(&mut *buffer, &id).expect("a number serializes");
        buffer.push(b',');
    }
    buffer.push(b'"');
    buffer.extend_from_slice(kind.as_bytes());
    buffer.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *buffer, body).expect("plain data serializes");
    buffer.extend_from_slice(b"}\n");
}

/// What is left of a line to a client that is to hold messages.
///
/// A page is cut by the bytes of its texts, but JSON may write one byte as
/// six, and a message may carry a thousand recipients.
pub(super) struct Room {
    bytes: usize,
    empty: bool,
}

impl Default for Room {
    /// Of a line that holds no message yet.
    fn default() -> Room {
        Room { bytes: SERVER_LINE_MAX_BYTES - FRAME_BYTES, empty: true }
    }
}

/// What stands around the messages, and around the fields of one.
const FRAME_BYTES: usize = 128;
const FIELDS_BYTES: usize = 512;
/// And around what a message answers.
const QUOTE_BYTES: usize = 64;

impl Room {
    /// Takes the room of a message, if it is there; the first one always fits.
    pub(super) fn take(&mut self, message: &Message) -> bool {
        let names = message.to.iter().chain(message.read_by.iter().flat_map(|names| names.iter()));
        let recipients: usize = names.map(|name| name.as_str().len() + 3).sum();
        let quote = message.answers.as_ref().map_or(0, |quote| {
            QUOTE_BYTES + quote.from.as_str().len() + encoded_bytes(&quote.text)
        });
        let bytes = FIELDS_BYTES + recipients + encoded_bytes(&message.text) + quote;
        let fits = self.empty || bytes <= self.bytes;
        if fits {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.empty = false;
        }
        fits
    }
}

/// Bytes of a text as JSON, without its quotes.
fn encoded_bytes(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 2,
            0..=0x1f => 6,
            _ => 1,
        })
        .sum()
}

/// Reads what the client had sent already, until it has seen the close: TCP
/// resets a connection that is closed with unread input, and a reset may
/// overtake the last answer.
pub(super) async fn read_to_end<R: AsyncRead + Unpin>(reader: &mut R) -> std::io::Result<()> {
    let mut ignored = [0; 4096];
    while reader.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
