//! Log entries as bytes: one record line each, the same on disk and on the wire.
//!
//! ```text
//! {"length":61,"crc32":"0a1b2c3d","data":{"index":7,"term":2,"node":4294967297,"batch":{…}}}
//! ```
//!
//! Instead of `batch` there may be `membership`, or neither for an entry with
//! which a new leader starts its term.

use std::io::Write;

use bytes::Bytes;
use openraft::vote::RaftLeaderId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::types::{CommittedLeaderId, Entry, EntryPayload, LogId, Membership, Proposal};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::record;
use crate::types::NodeId;

/// A log id from its parts.
pub fn log_id(term: u64, node: NodeId, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, node), index)
}

/// The record line of an entry, newline included. Made once for an entry with
/// operations.
pub fn encode(entry: &Entry) -> Bytes {
    if let EntryPayload::Normal(proposal) = &entry.payload
        && let Some(line) = proposal.record(&entry.log_id)
    {
        return line;
    }
    let leader = entry.log_id.committed_leader_id();
    let mut data = Vec::with_capacity(
        96 + match &entry.payload {
            EntryPayload::Normal(proposal) => proposal.json().len(),
            _ => 256,
        },
    );
    write!(
        data,
        "{{\"index\":{},\"term\":{},\"node\":{}",
        entry.log_id.index(),
        leader.term,
        leader.node_id.0
    )
    .expect("a vector takes all");
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(proposal) => {
            data.extend_from_slice(b",\"batch\":");
            data.extend_from_slice(proposal.json());
        }
        EntryPayload::Membership(membership) => {
            data.extend_from_slice(b",\"membership\":");
            serde_json::to_writer(&mut data, membership).expect("plain data serializes");
        }
    }
    data.push(b'}');
    let line = record::encode(&data);
    if let EntryPayload::Normal(proposal) = &entry.payload {
        proposal.remember_record(entry.log_id, line.clone());
    }
    line
}

#[derive(Deserialize)]
struct Stored<'a> {
    index: u64,
    term: u64,
    node: NodeId,
    #[serde(default, borrow)]
    batch: Option<&'a RawValue>,
    #[serde(default)]
    membership: Option<Membership>,
}

/// The log id of a verified record's payload; what is in the entry is passed over.
///
/// # Errors
/// As [`decode`].
pub fn decode_log_id(data: &[u8]) -> Result<LogId> {
    #[derive(Deserialize)]
    struct Head {
        index: u64,
        term: u64,
        node: NodeId,
    }
    let head: Head = serde_json::from_slice(data).map_err(no_entry)?;
    Ok(log_id(head.term, head.node, head.index))
}

fn no_entry(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Corrupted, format!("a log record is no log entry: {error}"))
}

/// An entry from a verified record's payload, of which it keeps a share.
///
/// # Errors
/// [`ErrorCode::Corrupted`]: the checksum held, but the content is not an entry.
pub fn decode(data: &Bytes) -> Result<Entry> {
    let stored: Stored<'_> = serde_json::from_slice(data).map_err(no_entry)?;
    let payload = match (stored.batch, stored.membership) {
        (Some(json), None) => {
            let batch = serde_json::from_str(json.get()).map_err(no_entry)?;
            EntryPayload::Normal(Proposal::new(batch, data.slice_ref(json.get().as_bytes())))
        }
        (None, Some(membership)) => EntryPayload::Membership(membership),
        (None, None) => EntryPayload::Blank,
        (Some(_), Some(_)) => {
            return Err(Error::new(
                ErrorCode::Corrupted,
                format!("log entry {} has both operations and a membership", stored.index),
            ));
        }
    };
    Ok(Entry { log_id: log_id(stored.term, stored.node, stored.index), payload })
}

/// An entry from a record line without its newline, as a leader sent it. Keeps
/// the line, so that it goes to the disk as it came.
///
/// # Errors
/// [`ErrorCode::Corrupted`] when the checksum or the content is wrong.
pub fn decode_line(line: &str) -> Result<Entry> {
    let mut whole = Vec::with_capacity(line.len() + 1);
    whole.extend_from_slice(line.as_bytes());
    whole.push(b'\n');
    let whole = Bytes::from(whole);
    let data = record::decode(&whole[..line.len()]).map_err(|damage| {
        Error::new(ErrorCode::Corrupted, format!("a log record arrived broken: {damage}"))
    })?;
    let entry = decode(&whole.slice_ref(data))?;
    if let EntryPayload::Normal(proposal) = &entry.payload {
        proposal.remember_record(entry.log_id, whole);
    }
    Ok(entry)
}
