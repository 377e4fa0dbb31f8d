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

use crate::consensus::types::{
    CommittedLeaderId, Entry, EntryPayload, LogId, Membership, Proposal,
};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::codec::number_after;
use crate::storage::record;
use crate::types::NodeId;

/// A log id from its parts.
pub fn log_id(term: u64, node: NodeId, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, node), index)
}

/// The highest feature level that some entries raise the state to; 0 when none does.
/// Entries whose operations nobody has read yet are in the log already.
pub fn level_of(entries: &[Entry]) -> u32 {
    let levels = entries.iter().map(|entry| match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.raises_level_to(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    });
    levels.max().unwrap_or(0)
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

/// The parts of a verified record's payload: the log id, and the rest as it
/// stands, up to the closing brace. There is one way to write an entry, so
/// nothing has to be searched for.
fn parts(data: &[u8]) -> Option<(LogId, &[u8])> {
    let (index, rest) = number_after(data, "{\"index\":")?;
    let (term, rest) = number_after(rest, ",\"term\":")?;
    let (node, rest) = number_after(rest, ",\"node\":")?;
    Some((log_id(term, NodeId(node), index), rest.strip_suffix(b"}")?))
}

/// The log id of a verified record's payload; what is in the entry is passed over.
///
/// # Errors
/// As [`decode`].
pub fn decode_log_id(data: &[u8]) -> Result<LogId> {
    let (log_id, _) = parts(data).ok_or_else(|| no_entry("it does not have the form of one"))?;
    Ok(log_id)
}

fn no_entry(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Corrupted, format!("a log record is no log entry: {why}"))
}

/// An entry from a verified record's payload, of which it keeps a share.
///
/// # Errors
/// [`ErrorCode::Corrupted`]: the checksum held, but the content is not an entry.
pub fn decode(data: &Bytes) -> Result<Entry> {
    let entry = decode_outside(data)?;
    if let EntryPayload::Normal(proposal) = &entry.payload {
        proposal.batch()?;
    }
    Ok(entry)
}

/// The same, without looking at the operations.
fn decode_outside(data: &Bytes) -> Result<Entry> {
    let (log_id, rest) = parts(data).ok_or_else(|| no_entry("it does not have the form of one"))?;
    let payload = if rest.is_empty() {
        EntryPayload::Blank
    } else if let Some(json) = rest.strip_prefix(b",\"batch\":") {
        EntryPayload::Normal(Proposal::unread(data.slice_ref(json)))
    } else if let Some(json) = rest.strip_prefix(b",\"membership\":") {
        EntryPayload::Membership(serde_json::from_slice::<Membership>(json).map_err(no_entry)?)
    } else {
        return Err(no_entry("it has neither operations nor a membership"));
    };
    Ok(Entry { log_id, payload })
}

/// An entry from a verified record without its newline, as a leader sent it.
/// Keeps the line, so that it goes to the disk as it came.
///
/// # Errors
/// As [`decode`].
pub fn decode_line(line: &[u8]) -> Result<Entry> {
    let mut whole = Vec::with_capacity(line.len() + 1);
    whole.extend_from_slice(line);
    whole.push(b'\n');
    let entry = decode_to_pass_on(whole.into())?;
    if let EntryPayload::Normal(proposal) = &entry.payload {
        proposal.batch()?;
    }
    Ok(entry)
}

/// An entry from a verified record line, newline included, of which it keeps a
/// share for [`encode`]. What its operations are is left open.
///
/// # Errors
/// As [`decode`].
pub fn decode_to_pass_on(line: Bytes) -> Result<Entry> {
    let entry = decode_outside(&record::payload_of_trusted(&line))?;
    if let EntryPayload::Normal(proposal) = &entry.payload {
        proposal.remember_record(entry.log_id, line);
    }
    Ok(entry)
}
