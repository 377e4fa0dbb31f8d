//! What is in the file of a list, record by record.
//!
//! ```text
//! {"format":1,"cluster":"…","lineage":"…","list":"…","replica":1,"incarnation":1,"order":1,"made":…}
//! {"n":1,"entry":{…}}
//! {"n":2,"entry":{…}}
//! ```
//!
//! A list that was made in the place of others names them in its header, `instead_of`,
//! and ends with `{"whole":2}`. Without that last record it was not completed, and
//! those others count.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::super::record;
use crate::limits::OUTBOX_FORMAT_VERSION;
use crate::types::{ReplicaId, Timestamp, Uuid};

const BEFORE_NUMBER: &[u8] = b"{\"n\":";
const BEFORE_ENTRY: &[u8] = b",\"entry\":";
/// Numbers stay far below what so many digits say.
const NUMBER_DIGITS_MAX: usize = 19;

/// What a list says of itself, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// At most [`OUTBOX_FORMAT_VERSION`].
    pub(super) format: u32,
    pub(super) cluster: Uuid,
    pub(super) lineage: Uuid,
    /// The list's own id, which is also in the file's name.
    pub(super) list: Uuid,
    /// Who made it.
    pub(super) replica: ReplicaId,
    pub(super) incarnation: u32,
    /// Of the lists in one directory, this one comes behind those with smaller numbers.
    pub(super) order: u64,
    /// For people: clocks jump.
    pub(super) made: Timestamp,
    /// The lists whose entries it holds since they were written anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) instead_of: Vec<Uuid>,
}

/// Why a payload is no header of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    Newer(u32),
    Malformed,
}

impl Header {
    pub(super) fn line(&self) -> Bytes {
        record::encode(&serde_json::to_vec(self).expect("plain data serializes"))
    }

    /// Reads the payload of a first record.
    pub(super) fn decode(payload: &[u8]) -> Result<Header, NoHeader> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // The format first: the rest may have another shape in a newer one.
        let Format { format } = serde_json::from_slice(payload).map_err(|_| NoHeader::Malformed)?;
        if format > OUTBOX_FORMAT_VERSION {
            return Err(NoHeader::Newer(format));
        }
        serde_json::from_slice(payload).map_err(|_| NoHeader::Malformed)
    }
}

/// Whether it can be written: one line, and not nothing. That it is JSON is the caller's.
pub(super) fn is_entry(entry: &[u8]) -> bool {
    !entry.is_empty() && !entry.contains(&b'\n')
}

/// An entry with its number, as the line of its file.
///
/// # Panics
/// As [`record::encode`].
pub(super) fn entry_line(n: u64, entry: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(entry.len() + 40);
    payload.put_slice(BEFORE_NUMBER);
    payload.put_slice(n.to_string().as_bytes());
    payload.put_slice(BEFORE_ENTRY);
    payload.put_slice(entry);
    payload.put_u8(b'}');
    record::encode(&payload)
}

/// The number in a payload, and where its entry is; `None` when it is not exactly
/// what [`entry_line`] writes.
pub(super) fn entry_of(payload: &[u8]) -> Option<(u64, Range<usize>)> {
    let rest = payload.strip_prefix(BEFORE_NUMBER)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > NUMBER_DIGITS_MAX || rest[0] == b'0' {
        return None;
    }
    let number = rest[..digits].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
    let entry = rest[digits..].strip_prefix(BEFORE_ENTRY)?.strip_suffix(b"}")?;
    let start = BEFORE_NUMBER.len() + digits + BEFORE_ENTRY.len();
    (!entry.is_empty()).then(|| (number, start..start + entry.len()))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    whole: u64,
}

/// The last record of a list that was made in the place of others.
pub(super) fn whole_line(entries: u64) -> Bytes {
    let whole = serde_json::to_vec(&Whole { whole: entries });
    record::encode(&whole.expect("plain data serializes"))
}

/// How many entries a last record says there are; `None`: it is none.
pub(super) fn whole_of(payload: &[u8]) -> Option<u64> {
    serde_json::from_slice(payload).ok().map(|Whole { whole }| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(line: &Bytes) -> &[u8] {
        record::decode(line.strip_suffix(b"\n").expect("a line")).expect("whole")
    }

    #[test]
    fn an_entry_is_the_bytes_that_were_given_and_its_number() {
        for (n, entry) in [(1, &b"1"[..]), (10, b"{\"n\":3,\"entry\":4}"), (999_999, b"[]")] {
            let line = entry_line(n, entry);
            let payload = payload(&line);
            let (number, range) = entry_of(payload).expect("an entry");
            assert_eq!((number, &payload[range]), (n, entry));
            assert_eq!(whole_of(payload), None);
            assert!(serde_json::from_slice::<serde_json::Value>(payload).is_ok());
        }
        for other in ["1", "{\"n\":01,\"entry\":1}", "{\"n\":1,\"entry\":}", "{\"n\":,\"entry\":1}"]
        {
            assert_eq!(entry_of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(whole_of(payload(&whole_line(7))), Some(7));
        assert_eq!(entry_of(payload(&whole_line(7))), None);
    }

    #[test]
    fn a_newer_header_is_told_from_one_that_is_none() {
        let newer = br#"{"format":99,"cluster":[1]}"#;
        assert_eq!(Header::decode(newer), Err(NoHeader::Newer(99)));
        assert_eq!(Header::decode(br#"{"format":1}"#), Err(NoHeader::Malformed));
        assert_eq!(Header::decode(b"[]"), Err(NoHeader::Malformed));
    }
}
