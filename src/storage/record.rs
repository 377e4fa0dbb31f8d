//! One record: a line of JSON with its own length and checksum.
//!
//! ```text
//! {"length":17,"crc32":"0a1b2c3d","data":{"some":"payload"}}
//! ```
//!
//! The form is strict, byte for byte. So there is exactly one way to write a payload,
//! and every single flipped bit of a line is noticed: a flip in the frame breaks the
//! form, and a flip in the payload breaks the CRC32, which detects every single-bit
//! error. The CRC covers the digits of the length as well.
//!
//! The length stands before the payload. So a reader knows how much must follow, and
//! can tell a record that was cut short (a crash in the middle of a write) from one
//! that is complete and wrong (corruption).

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};

const BEFORE_LENGTH: &[u8] = b"{\"length\":";
const BEFORE_CHECKSUM: &[u8] = b",\"crc32\":\"";
const BEFORE_DATA: &[u8] = b"\",\"data\":";
/// What follows the payload: the closing brace and the newline.
const AFTER_DATA: &[u8] = b"}\n";
const CHECKSUM_DIGITS: usize = 8;
/// A length of more digits is a broken one: no file here gets near 10 GB.
const LENGTH_DIGITS_MAX: usize = 10;

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Damage {
    /// What is wrong with it, as the end of a sentence.
    pub what: &'static str,
}

fn damage<T>(what: &'static str) -> Result<T, Damage> {
    Err(Damage { what })
}

/// Writes a payload, which must be one JSON value, as a line with its newline.
///
/// # Panics
/// When the payload is empty or contains a raw newline, which no compact JSON
/// does: such a record could never be read back.
pub fn encode(payload: &[u8]) -> Bytes {
    assert!(!payload.is_empty() && !payload.contains(&b'\n'), "a payload is one line of JSON");
    let length = payload.len().to_string();
    let checksum = checksum(length.as_bytes(), payload);
    let mut line = BytesMut::with_capacity(payload.len() + 64);
    line.put_slice(BEFORE_LENGTH);
    line.put_slice(length.as_bytes());
    line.put_slice(BEFORE_CHECKSUM);
    line.put_slice(format!("{checksum:0CHECKSUM_DIGITS$x}").as_bytes());
    line.put_slice(BEFORE_DATA);
    line.put_slice(payload);
    line.put_slice(AFTER_DATA);
    line.freeze()
}

/// Verifies a line (without its newline) and gives its payload.
///
/// # Errors
/// [`Damage`] when the line is not exactly what [`encode`] writes.
pub fn decode(line: &[u8]) -> Result<&[u8], Damage> {
    let Some(header) = Header::parse(line)? else { return damage("it is cut short") };
    match line.len().cmp(&(header.payload.end + 1)) {
        std::cmp::Ordering::Less => damage("it is cut short"),
        std::cmp::Ordering::Greater => damage("it is longer than its length says"),
        std::cmp::Ordering::Equal => {
            header.verify(line)?;
            Ok(&line[header.payload])
        }
    }
}

/// What a buffer starts with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole, verified record: where its payload is, and how many bytes it
    /// takes with its newline.
    Whole { payload: Range<usize>, length: usize },
    /// The start of what may become a record, nothing at all included.
    Short,
}

/// Looks at the start of a buffer for one record.
///
/// # Errors
/// [`Damage`] when no continuation could make it one.
pub(super) fn frame(buffer: &[u8]) -> Result<Frame, Damage> {
    let Some(header) = Header::parse(buffer)? else { return Ok(Frame::Short) };
    if buffer.len() <= header.payload.end {
        return Ok(Frame::Short);
    }
    header.verify(buffer)?;
    match buffer.get(header.payload.end + 1) {
        None => Ok(Frame::Short),
        Some(b'\n') => Ok(Frame::Whole { length: header.payload.end + 2, payload: header.payload }),
        Some(_) => damage("its newline is missing"),
    }
}

/// The record with which a buffer begins, verified and without a newline, and
/// what comes behind it.
///
/// # Errors
/// [`Damage`] as of [`decode`].
pub fn leading(buffer: &[u8]) -> Result<(&[u8], &[u8]), Damage> {
    match Header::parse(buffer)? {
        Some(header) if header.payload.end < buffer.len() => {
            header.verify(buffer)?;
            Ok(buffer.split_at(header.payload.end + 1))
        }
        _ => damage("it is cut short"),
    }
}

/// The payload of a line that this process has encoded or verified before.
pub fn payload_of_trusted(line: &Bytes) -> Bytes {
    let header = Header::parse(line).ok().flatten().expect("the line was verified before");
    line.slice(header.payload)
}

fn checksum(length: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(payload);
    hasher.finalize()
}

struct Header {
    length: Range<usize>,
    checksum: u32,
    payload: Range<usize>,
}

impl Header {
    /// `None`: the buffer ends within the header, and is right so far.
    fn parse(buffer: &[u8]) -> Result<Option<Header>, Damage> {
        let mut at = 0;
        if !expect(buffer, &mut at, BEFORE_LENGTH)? {
            return Ok(None);
        }
        let digits = buffer[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = at..at + digits;
        if digits > LENGTH_DIGITS_MAX || buffer.get(at) == Some(&b'0') {
            return damage("its length is malformed");
        }
        if length.end == buffer.len() {
            return Ok(None);
        }
        let number = |n: usize, digit: &u8| n * 10 + usize::from(digit - b'0');
        let payload_length = buffer[length.clone()].iter().fold(0, number);
        if payload_length == 0 {
            return damage("its length is missing");
        }
        at = length.end;
        if !expect(buffer, &mut at, BEFORE_CHECKSUM)? {
            return Ok(None);
        }
        let mut checksum = 0;
        for byte in buffer[at..].iter().take(CHECKSUM_DIGITS) {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                // Capitals would be a second way to write the same record.
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return damage("its checksum is malformed"),
            };
            checksum = checksum << 4 | u32::from(digit);
        }
        at += CHECKSUM_DIGITS;
        if at > buffer.len() || !expect(buffer, &mut at, BEFORE_DATA)? {
            return Ok(None);
        }
        Ok(Some(Header { length, checksum, payload: at..at + payload_length }))
    }

    /// Verifies payload and closing brace, which must be in the buffer.
    fn verify(&self, buffer: &[u8]) -> Result<(), Damage> {
        if buffer[self.payload.end] != AFTER_DATA[0] {
            return damage("its length does not fit its content");
        }
        let payload = &buffer[self.payload.clone()];
        if checksum(&buffer[self.length.clone()], payload) != self.checksum {
            return damage("its checksum does not hold");
        }
        // A flip cannot bring a newline past the checksum; a writer's mistake could.
        debug_assert!(!payload.contains(&b'\n'));
        Ok(())
    }
}

/// Whether the buffer has `text` at `at` in full, moving `at` behind it;
/// `false` when the buffer ends within it.
fn expect(buffer: &[u8], at: &mut usize, text: &[u8]) -> Result<bool, Damage> {
    let rest = &buffer[*at..];
    let length = rest.len().min(text.len());
    if rest[..length] != text[..length] {
        return damage("it does not have the form of a record");
    }
    *at += length;
    Ok(length == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Bytes> {
        let long = format!("\"{}\"", "J*\u{1a}é".repeat(40));
        [r#"1"#, r#"{"a":[1,2,{"b":null}]}"#, r#"{"length":3,"crc32":"00000000","data":1}"#, &long]
            .map(|payload| encode(payload.as_bytes()))
            .to_vec()
    }

    #[test]
    fn a_record_is_json_that_says_what_it_holds() {
        let line = encode(br#"{"text":"hi"}"#);
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!((&value["length"], &value["data"]["text"]), (&13.into(), &"hi".into()));
        assert_eq!(value["crc32"], format!("{:08x}", crc32fast::hash(br#"13{"text":"hi"}"#)));
        assert_eq!(decode(&line[..line.len() - 1]), Ok(&br#"{"text":"hi"}"#[..]));
        assert_eq!(payload_of_trusted(&line), &br#"{"text":"hi"}"#[..]);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for line in samples() {
            let whole = line.len() - 1;
            for bit in 0..line.len() * 8 {
                let mut flipped = line.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if bit / 8 < whole {
                    assert!(decode(&flipped[..whole]).is_err(), "bit {bit} of {line:?}");
                }
                // A greater length makes a record look short; the newline that
                // is there all the same gives it away to whoever scans the file.
                match frame(&flipped) {
                    Err(_) => {}
                    Ok(Frame::Short) => assert!(flipped.ends_with(b"\n"), "bit {bit}"),
                    Ok(frame) => panic!("bit {bit} of {line:?}: {frame:?}"),
                }
            }
        }
    }

    #[test]
    fn every_beginning_of_a_record_is_short_and_no_record() {
        for line in samples() {
            for end in 0..line.len() {
                assert_eq!(frame(&line[..end]), Ok(Frame::Short), "{end} bytes of {line:?}");
                assert_eq!(decode(&line[..end]).is_ok(), end == line.len() - 1, "{end} bytes");
                assert_eq!(leading(&line[..end]).is_ok(), end == line.len() - 1, "{end} bytes");
            }
            let whole = &line[..line.len() - 1];
            assert_eq!(leading(&[whole, b",more"].concat()), Ok((whole, &b",more"[..])));
            let two = [&line[..], b"more"].concat();
            assert!(matches!(frame(&two), Ok(Frame::Whole { length, .. }) if length == line.len()));
        }
    }

    #[test]
    fn another_way_to_write_the_same_record_is_refused() {
        let line = encode(br#""\u001a and 7 other things""#);
        let text = std::str::from_utf8(&line).expect("ASCII").trim_end();
        let spaced = text.replacen(',', ", ", 1);
        let padded = text.replacen("length\":", "length\":0", 1);
        let longer = format!("{text} ");
        let upper = text.replacen(&text[23..31], &text[23..31].to_uppercase(), 1);
        assert_ne!(upper, text, "the sample needs a letter in its checksum");
        for other in [&spaced, &padded, &longer, &upper, "", "{}", "null"] {
            assert!(decode(other.as_bytes()).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn payloads_come_back(payload in "[^\n]{1,300}") {
            let line = encode(payload.as_bytes());
            prop_assert_eq!(decode(&line[..line.len() - 1]), Ok(payload.as_bytes()));
        }

        #[test]
        fn nothing_makes_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
            let _ = frame(&bytes);
            let _ = frame(&[BEFORE_LENGTH, &bytes].concat());
        }
    }
}
