//! The text of a message from standard input.

use std::io::Read;

use crate::error::{Error, ErrorCode, Result};
use crate::limits::TEXT_MAX_BYTES;

/// Everything there is as one message, without one newline at the end: `echo`
/// and editors add it, and nobody means it. Further newlines stay. Reading stops
/// once it is clear that the text is too long, so an endless input is no trouble.
///
/// # Errors
/// [`ErrorCode::InvalidText`] for an empty text and one over the bound;
/// [`ErrorCode::WrongUsage`] naming the first byte that is no UTF-8;
/// [`ErrorCode::Io`].
pub fn read_text(reader: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    reader
        .take(TEXT_MAX_BYTES as u64 + 2)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::failed("cannot read standard input", &error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > TEXT_MAX_BYTES {
        return Err(Error::new(
            ErrorCode::InvalidText,
            format!("standard input is longer than a message may be, {TEXT_MAX_BYTES} bytes"),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Error::new(
            ErrorCode::WrongUsage,
            format!(
                "standard input is no valid UTF-8 from byte offset {offset} on, and a message is \
                 text: encode other data, for example with base64"
            ),
        )
    })?;
    check_text(&text)?;
    Ok(text)
}

/// Refuses a text that no server would take.
///
/// # Errors
/// [`ErrorCode::InvalidText`] that states the bound.
pub fn check_text(text: &str) -> Result<()> {
    if text.is_empty() || text.len() > TEXT_MAX_BYTES {
        return Err(Error::new(
            ErrorCode::InvalidText,
            format!("a message has 1 to {TEXT_MAX_BYTES} bytes of text, not {}", text.len()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_is_not_part_of_it() {
        assert_eq!(read_text(&b"hi\n"[..]).expect("text"), "hi");
        assert_eq!(read_text(&b"hi"[..]).expect("text"), "hi");
        assert_eq!(read_text(&b"\na\n\n"[..]).expect("text"), "\na\n");
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_reason() {
        let longest = vec![b'x'; TEXT_MAX_BYTES];
        assert!(read_text(&[&longest[..], b"\n"].concat()[..]).is_ok());
        for wrong in
            [&b""[..], b"\n", &[&longest[..], b"x"].concat(), &[&longest[..], b"\n\n"].concat()]
        {
            assert_eq!(read_text(wrong).expect_err("refused").code, ErrorCode::InvalidText);
        }
        assert_eq!(
            read_text(std::io::repeat(b'x')).expect_err("endless").code,
            ErrorCode::InvalidText
        );
        let error = read_text(&b"ab\xffc"[..]).expect_err("no UTF-8");
        assert_eq!(error.code, ErrorCode::WrongUsage);
        assert!(error.message.contains("byte offset 2"), "{}", error.message);
    }
}
