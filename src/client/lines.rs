//! Lines of text from outside: bounded, valid UTF-8, and safe to cancel.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use crate::error::{Error, ErrorCode, Result};
use crate::limits::TEXT_MAX_BYTES;

/// Reads lines that become messages. Unlike the protocol's reader, a wait for
/// the next line can be given up without losing the part that was read.
pub(super) struct Lines<R> {
    reader: R,
    partial: Vec<u8>,
    /// Number of the last line that was handed out, from 1.
    number: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Lines { reader, partial: Vec::new(), number: 0 }
    }

    /// The next line and its number, without its newline (`\n` or `\r\n`);
    /// `None` at the end. The last line needs no newline.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidText`] for an empty line and one over the bound of a
    /// message; [`ErrorCode::WrongUsage`] for bytes that are no UTF-8;
    /// [`ErrorCode::Io`] when reading fails.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, String)>> {
        let number = self.number + 1;
        loop {
            let buffer = self
                .reader
                .fill_buf()
                .await
                .map_err(|error| Error::failed(format!("cannot read line {number}"), &error))?;
            if buffer.is_empty() && self.partial.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let ended = end.is_some() || buffer.is_empty();
            let part = end.unwrap_or(buffer.len());
            // A line may carry a carriage return that is not part of its text.
            if self.partial.len() + part > TEXT_MAX_BYTES + 1 {
                return Err(too_long(number));
            }
            self.partial.extend_from_slice(&buffer[..part]);
            let consumed = part + usize::from(end.is_some());
            self.reader.consume(consumed);
            if ended {
                self.number = number;
                return text(std::mem::take(&mut self.partial), number).map(|t| Some((number, t)));
            }
        }
    }
}

fn text(mut line: Vec<u8>, number: u64) -> Result<String> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.len() > TEXT_MAX_BYTES {
        return Err(too_long(number));
    }
    if line.is_empty() {
        return Err(Error::new(
            ErrorCode::InvalidText,
            format!("line {number} is empty, and a message has at least one character"),
        ));
    }
    String::from_utf8(line).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Error::new(
            ErrorCode::WrongUsage,
            format!("line {number} is no valid UTF-8: see its byte {}", offset + 1),
        )
    })
}

fn too_long(number: u64) -> Error {
    Error::new(
        ErrorCode::InvalidText,
        format!("line {number} is longer than a message may be, {TEXT_MAX_BYTES} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8]) -> Vec<Result<String, (ErrorCode, String)>> {
        let mut lines = Lines::new(input);
        let mut read = Vec::new();
        loop {
            match lines.next().await {
                Ok(None) => return read,
                Ok(Some((number, text))) => {
                    assert_eq!(number, read.len() as u64 + 1);
                    read.push(Ok(text));
                }
                Err(error) => {
                    read.push(Err((error.code, error.message)));
                    return read;
                }
            }
        }
    }

    #[tokio::test]
    async fn each_line_is_a_text_and_the_last_needs_no_newline() {
        let ok = |text: &str| Ok(text.to_string());
        assert_eq!(read(b"").await, []);
        assert_eq!(read(b"a\nb").await, [ok("a"), ok("b")]);
        assert_eq!(read("a\r\nä \n".as_bytes()).await, [ok("a"), ok("ä ")]);
    }

    #[tokio::test]
    async fn what_cannot_be_a_message_is_refused_with_its_line() {
        let refused = |read: Vec<Result<String, (ErrorCode, String)>>| {
            read.into_iter().next_back().expect("lines").expect_err("refused")
        };
        let (code, message) = refused(read(b"a\n\nb").await);
        assert_eq!(code, ErrorCode::InvalidText);
        assert!(message.starts_with("line 2 is empty"), "{message}");
        let (code, message) = refused(read(b"a\nb\nc\xffd\n").await);
        assert_eq!(code, ErrorCode::WrongUsage);
        assert!(message.contains("line 3") && message.contains("byte 2"), "{message}");
        let bound = vec![b'x'; TEXT_MAX_BYTES];
        assert!(read(&[bound.clone(), b"\r\n".to_vec()].concat()).await[0].is_ok());
        for tail in [&b"x\n"[..], b"xx", b"x\r\n"] {
            let (code, _) = refused(read(&[bound.clone(), tail.to_vec()].concat()).await);
            assert_eq!(code, ErrorCode::InvalidText);
        }
    }

    #[tokio::test]
    async fn a_cancelled_wait_loses_nothing() {
        use tokio::io::{AsyncWriteExt, BufReader};
        let (mut write, read) = tokio::io::duplex(64);
        let mut lines = Lines::new(BufReader::new(read));
        write.write_all(b"hel").await.expect("room");
        tokio::select! {
            biased;
            _ = lines.next() => panic!("no line yet"),
            () = tokio::task::yield_now() => {}
        }
        write.write_all(b"lo\n").await.expect("room");
        assert_eq!(lines.next().await.expect("a line"), Some((1, "hello".to_string())));
    }
}
