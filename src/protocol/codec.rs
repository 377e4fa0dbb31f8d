//! Lines: read with a bound before they are buffered, written whole.

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use crate::error::{Error, ErrorCode, Result};
use crate::limits::JSON_DEPTH_MAX;

/// Reads one line into `line` (cleared first), without its newline.
///
/// Returns `false` at the end of the stream. A last line without a newline
/// counts as cut off and is dropped: its sender died in the middle of it.
///
/// # Errors
/// [`ErrorCode::LineTooLong`] as soon as `max_bytes` are exceeded, before the
/// rest is read; [`ErrorCode::Io`] when the stream breaks. After an error the
/// stream is not at the start of a line and must be closed.
pub async fn read_line<R>(reader: &mut R, line: &mut Vec<u8>, max_bytes: usize) -> Result<bool>
where
    R: AsyncBufRead + Unpin,
{
    line.clear();
    loop {
        let buffer = match reader.fill_buf().await {
            Ok(buffer) => buffer,
            // An encrypted one that ends without a word, as that of a killed server.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Error::new(ErrorCode::Io, "closed the connection"));
            }
            Err(error) => {
                return Err(Error::failed("the connection broke", &error));
            }
        };
        if buffer.is_empty() {
            return Ok(false);
        }
        let (part, found) = match memchr::memchr(b'\n', buffer) {
            Some(end) => (&buffer[..end], true),
            None => (buffer, false),
        };
        // The bound counts the newline, which is not in `line`.
        if line.len() + part.len() + 1 > max_bytes {
            return Err(Error::new(
                ErrorCode::LineTooLong,
                format!("a line has at most {max_bytes} bytes"),
            ));
        }
        line.extend_from_slice(part);
        let consumed = part.len() + usize::from(found);
        reader.consume(consumed);
        if found {
            return Ok(true);
        }
    }
}

/// Refuses a line that nests deeper than [`JSON_DEPTH_MAX`], before it is parsed.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`] that states the bound.
pub fn check_depth(line: &[u8]) -> Result<()> {
    // What opens so few levels in all needs no second look, and looking for
    // those alone is much faster than following strings and escapes.
    if memchr::memchr2_iter(b'{', b'[', line).nth(JSON_DEPTH_MAX).is_none() {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in line {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(Error::new(
                        ErrorCode::InvalidRequest,
                        format!("a line nests at most {JSON_DEPTH_MAX} levels deep"),
                    ));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Appends a value as one line of JSON.
///
/// # Panics
/// Never for this crate's types: they serialize without errors (no maps with
/// keys other than strings, no failing implementations).
pub fn push_line<T: Serialize>(buffer: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(&mut *buffer, value).expect("plain data serializes");
    buffer.push(b'\n');
}

/// A number in the one form that this program writes, behind a text with which
/// `bytes` begins, and what comes after it. For the few lines that are so many
/// that looking for their parts as in any JSON would be much of the work.
pub fn number_after<'a>(bytes: &'a [u8], text: &str) -> Option<(u64, &'a [u8])> {
    let rest = bytes.strip_prefix(text.as_bytes())?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at(digits);
    if number.is_empty() || (number.len() > 1 && number[0] == b'0') {
        return None;
    }
    let number = number.iter().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    Some((number?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }

    #[test]
    fn lines_are_read_up_to_the_bound_and_not_beyond() {
        let mut line = Vec::new();
        let mut reader = Cursor::new(b"abc\n\nabcd\nrest".to_vec());
        assert!(block_on(read_line(&mut reader, &mut line, 5)).expect("fits"));
        assert_eq!(line, b"abc");
        assert!(block_on(read_line(&mut reader, &mut line, 5)).expect("fits"));
        assert_eq!(line, b"");
        assert!(block_on(read_line(&mut reader, &mut line, 5)).expect("fits exactly"));
        assert_eq!(line, b"abcd");
        assert!(!block_on(read_line(&mut reader, &mut line, 5)).expect("a cut line is no line"));
        let mut long = Cursor::new(vec![b'x'; 100]);
        let error = block_on(read_line(&mut long, &mut line, 5)).expect_err("too long");
        assert_eq!(error.code, ErrorCode::LineTooLong);
    }

    #[test]
    fn numbers_have_one_form() {
        let number =
            |text: &str| number_after(text.as_bytes(), "n").map(|(n, rest)| (n, rest.len()));
        assert_eq!(number("n0,"), Some((0, 1)));
        assert_eq!(number("n18446744073709551615"), Some((u64::MAX, 0)));
        for wrong in ["", "n", "n,", "m1", "1", "n01", "n00", "n-1", "n 1", "n18446744073709551616"]
        {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(check_depth(&nested(32)).is_ok());
        assert!(check_depth(&nested(33)).is_err());
        assert!(check_depth(format!("\"{}\"", "[".repeat(99)).as_bytes()).is_ok());
        assert!(check_depth(format!("\"\\\"{}\"", "[".repeat(99)).as_bytes()).is_ok());
        assert!(check_depth(format!("\"\\\\\"{}", "[".repeat(99)).as_bytes()).is_err());
    }
}
