//! Append requests as bytes: the way of every entry from the leader to its
//! followers.
//!
//! ```text
//! [{"to":…,"vote":…,"previous":…,"committed":…},{"length":61,"crc32":"…","data":{…}},…]
//! ```
//!
//! An array: first what the request says of itself, then a record line for each
//! entry, as it is, or will be, on disk. A record tells its own length, so a
//! follower goes from one to the next without looking for their ends, and what
//! it parses is parsed once. Were serde to take the request apart first, it would look
//! three times at every message before the time that counts.

use bytes::Bytes;
use openraft::raft::AppendEntriesRequest;
use serde::{Deserialize, Serialize};

use super::entry;
use super::types::{LogId, TypeConfig, Vote};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::record;
use crate::types::NodeId;

/// What a request says of itself.
#[derive(Serialize, Deserialize)]
struct Head {
    to: NodeId,
    vote: Vote,
    previous: Option<LogId>,
    committed: Option<LogId>,
}

/// Bytes of a head, about.
const HEAD_BYTES: usize = 512;

/// The body of an append call to a node.
pub fn encode(to: NodeId, request: &AppendEntriesRequest<TypeConfig>) -> Bytes {
    let lines: Vec<Bytes> = request.entries.iter().map(entry::encode).collect();
    // In one piece: a body that grows is copied again and again.
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    let mut body = Vec::with_capacity(HEAD_BYTES + bytes);
    body.push(b'[');
    let head = Head {
        to,
        vote: request.vote,
        previous: request.prev_log_id,
        committed: request.leader_commit,
    };
    serde_json::to_writer(&mut body, &head).expect("plain data serializes");
    for line in &lines {
        body.push(b',');
        body.extend_from_slice(&line[..line.len() - 1]);
    }
    body.push(b']');
    body.into()
}

/// Reads what [`encode`] wrote: the node that is meant, and the request.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`] for a body of another form,
/// [`ErrorCode::Corrupted`] for a record whose checksum or content is wrong.
pub fn decode(body: &[u8]) -> Result<(NodeId, AppendEntriesRequest<TypeConfig>)> {
    let malformed = |why: String| {
        Error::new(ErrorCode::InvalidRequest, format!("a malformed append request: {why}"))
    };
    let rest = body.strip_prefix(b"[").ok_or_else(|| malformed("it is no array".into()))?;
    let mut heads = serde_json::Deserializer::from_slice(rest).into_iter::<Head>();
    let head = heads.next().ok_or_else(|| malformed("it is empty".into()))?;
    let head = head.map_err(|error| malformed(error.to_string()))?;
    let mut rest = &rest[heads.byte_offset()..];
    let mut entries = Vec::new();
    while let Some(records) = rest.strip_prefix(b",") {
        let (line, behind) = record::leading(records).map_err(entry::broken)?;
        entries.push(entry::decode_line(line)?);
        rest = behind;
    }
    if rest != b"]" {
        return Err(malformed("it does not end with its last entry".into()));
    }
    let request = AppendEntriesRequest {
        vote: head.vote,
        prev_log_id: head.previous,
        entries,
        leader_commit: head.committed,
    };
    Ok((head.to, request))
}

#[cfg(test)]
mod tests {
    use super::super::types::EntryPayload;
    use super::*;
    use crate::types::ReplicaId;

    fn request(entries: usize) -> AppendEntriesRequest<TypeConfig> {
        let node = NodeId::new(ReplicaId(1), 1);
        let at = |index| entry::log_id(2, node, index);
        AppendEntriesRequest {
            vote: Vote { committed: true, ..Vote::new(2, node) },
            prev_log_id: Some(at(6)),
            entries: (0..entries as u64)
                .map(|step| openraft::Entry { log_id: at(7 + step), payload: EntryPayload::Blank })
                .collect(),
            leader_commit: Some(at(5)),
        }
    }

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let to = NodeId::new(ReplicaId(2), 3);
        for entries in [0, 1, 5] {
            let request = request(entries);
            let (meant, read) = decode(&encode(to, &request)).expect("own form");
            assert_eq!((meant, read.vote), (to, request.vote));
            assert_eq!(read.prev_log_id, request.prev_log_id);
            assert_eq!(read.leader_commit, request.leader_commit);
            let ids = |request: &AppendEntriesRequest<TypeConfig>| {
                request.entries.iter().map(|entry| entry.log_id).collect::<Vec<_>>()
            };
            assert_eq!(ids(&read), ids(&request));
        }
    }

    #[test]
    fn what_is_cut_or_has_more_in_it_is_refused() {
        let body = encode(NodeId::default(), &request(2));
        for end in 0..body.len() {
            assert!(decode(&body[..end]).is_err(), "{end} bytes");
        }
        let text = std::str::from_utf8(&body).expect("JSON");
        let record = text.find(",{\"length\"").expect("an entry");
        for other in [
            format!("{text}]"),
            format!("{text} "),
            format!("{},{}", &text[..record], &text[record..]),
            format!("{} {}", &text[..record], &text[record..]),
            format!("{},]", &text[..text.len() - 1]),
            format!("{},{{}}]", &text[..text.len() - 1]),
            text.replacen(":{\"index\":7", ":{\"index\":8", 1),
            format!("[{}", &text[record + 1..]),
        ] {
            assert!(decode(other.as_bytes()).is_err(), "{other}");
        }
    }
}
