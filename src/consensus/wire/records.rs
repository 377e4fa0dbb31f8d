//! Record lines in the body of a call: log entries and lines of snapshots on
//! their way from the leader to a follower.
//!
//! ```text
//! [{"to":…,…},{"length":61,"crc32":"…","data":{…}},…]
//! ```
//!
//! A body is an array: first the head with the fields of the call, then the records
//! as they are, or will be, on disk. A record has its own length in it, so a follower
//! goes from one to the next without searching for their ends, and parses each of
//! them once. If serde took the body apart first, every message would be read three
//! times more.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorCode, Result};
use crate::storage::record;

/// Bytes of a head, about.
const HEAD_BYTES: usize = 512;

/// A body of a head and of record lines with their newlines.
pub fn encode(head: &impl Serialize, lines: &[Bytes]) -> Bytes {
    // In one piece: a body that grows is copied again and again.
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    let mut body = Vec::with_capacity(HEAD_BYTES + bytes);
    body.push(b'[');
    serde_json::to_writer(&mut body, head).expect("plain data serializes");
    for line in lines {
        body.push(b',');
        body.extend_from_slice(&line[..line.len() - 1]);
    }
    body.push(b']');
    body.into()
}

/// Reads what [`encode`] wrote: the head, and the records.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`] for a body of another form.
pub fn decode<H: DeserializeOwned>(body: &[u8]) -> Result<(H, Records<'_>)> {
    let rest = body.strip_prefix(b"[").ok_or_else(|| malformed("it is no array"))?;
    let mut heads = serde_json::Deserializer::from_slice(rest).into_iter::<H>();
    let head = heads.next().ok_or_else(|| malformed("it is empty"))?.map_err(malformed)?;
    let rest = &rest[heads.byte_offset()..];
    Ok((head, Records { rest: Some(rest) }))
}

fn malformed(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::InvalidRequest, format!("a malformed call with records: {why}"))
}

/// The records of a body: each verified, without its newline. After an error
/// comes nothing more.
///
/// Errors are [`ErrorCode::Corrupted`] for a record whose checksum is wrong, and
/// [`ErrorCode::InvalidRequest`] when the body does not end with its last one.
pub struct Records<'a> {
    /// `None` after the end.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(records) = rest.strip_prefix(b",") else {
            let cut = rest != b"]";
            return cut.then(|| Err(malformed("it does not end with its last record")));
        };
        Some(record::leading(records).map_err(broken).map(|(record, behind)| {
            self.rest = Some(behind);
            record
        }))
    }
}

/// A record that arrived and is none.
fn broken(damage: record::Damage) -> Error {
    Error::new(ErrorCode::Corrupted, format!("a record arrived broken: {damage}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<(String, Vec<Bytes>)> {
        let (head, records) = decode::<String>(body)?;
        let records: Result<Vec<&[u8]>> = records.collect();
        Ok((head, records?.into_iter().map(|r| Bytes::from([r, b"\n"].concat())).collect()))
    }

    #[test]
    fn lines_arrive_as_they_were_sent() {
        let line = |number: u64| record::encode(number.to_string().as_bytes());
        for count in [0, 1, 3] {
            let lines: Vec<Bytes> = (0..count).map(line).collect();
            let body = encode(&"head", &lines);
            assert_eq!(read(&body), Ok(("head".to_string(), lines)));
        }
    }

    #[test]
    fn every_flipped_bit_behind_the_head_is_noticed() {
        let lines = [record::encode(b"{\"a\":1}"), record::encode(b"[2]")];
        let body = encode(&"head", &lines);
        for bit in "[\"head\"".len() * 8..body.len() * 8 {
            let mut flipped = body.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "{}", String::from_utf8_lossy(&flipped));
        }
    }
}
