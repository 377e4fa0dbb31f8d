//! Append requests as bytes: the way of every entry from the leader to its
//! followers. A head ([`Head`]) and the entries as [`records`].

use bytes::Bytes;
use openraft::raft::AppendEntriesRequest;
use serde::{Deserialize, Serialize};

use super::{entry, records};
use crate::consensus::types::{LogId, TypeConfig, Vote};
use crate::error::Result;
use crate::types::{NodeId, Uuid};

/// The fields of a request beside its entries.
#[derive(Serialize, Deserialize)]
struct Head {
    to: NodeId,
    /// The run of the process that is meant; see [`crate::consensus::rejoin`]. Absent for and
    /// from older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Uuid>,
    vote: Vote,
    previous: Option<LogId>,
    committed: Option<LogId>,
}

/// The body of an append call to a node, and to a run of it if that is known.
pub fn encode(to: NodeId, run: Option<Uuid>, request: &AppendEntriesRequest<TypeConfig>) -> Bytes {
    let lines: Vec<Bytes> = request.entries.iter().map(entry::encode).collect();
    let head = Head {
        to,
        run,
        vote: request.vote,
        previous: request.prev_log_id,
        committed: request.leader_commit,
    };
    records::encode(&head, &lines)
}

/// The content of an append call.
pub struct Append {
    /// The node that is meant.
    pub to: NodeId,
    /// The run of it that is meant, if the caller knows one.
    pub run: Option<Uuid>,
    /// What it is asked.
    pub request: AppendEntriesRequest<TypeConfig>,
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// Those of [`records::decode`] and of the records, and
/// [`crate::error::ErrorCode::Corrupted`] for one that is no entry.
pub fn decode(body: &[u8]) -> Result<Append> {
    let (head, records) = records::decode::<Head>(body)?;
    let request = AppendEntriesRequest {
        vote: head.vote,
        prev_log_id: head.previous,
        entries: records.map(|line| entry::decode_line(line?)).collect::<Result<_>>()?,
        leader_commit: head.committed,
    };
    Ok(Append { to: head.to, run: head.run, request })
}

#[cfg(test)]
mod tests {
    use openraft::storage::RaftLogReader;

    use super::*;
    use crate::consensus::engine::disk_errors::Faults;
    use crate::consensus::engine::log_store::LogStore;
    use crate::consensus::types::EntryPayload;
    use crate::error::ErrorCode;
    use crate::storage::{record, testing};
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
            for run in [None, Some(Uuid::from_u128(7))] {
                let request = request(entries);
                let Append { to: meant, run: meant_run, request: read } =
                    decode(&encode(to, run, &request)).expect("own form");
                assert_eq!((meant, meant_run, read.vote), (to, run, request.vote));
                assert_eq!(read.prev_log_id, request.prev_log_id);
                assert_eq!(read.leader_commit, request.leader_commit);
                let ids = |request: &AppendEntriesRequest<TypeConfig>| {
                    request.entries.iter().map(|entry| entry.log_id).collect::<Vec<_>>()
                };
                assert_eq!(ids(&read), ids(&request));
            }
        }
    }

    #[tokio::test]
    async fn old_entries_go_in_small_requests_as_they_stand_on_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = testing::log(folder.path()).await;
        // No operations at all, which nobody notices who only passes them on.
        let batch = "x".repeat(30_000);
        let line = |index: u64| {
            let entry = format!(r#"{{"index":{index},"term":2,"node":1,"batch":"{batch}"}}"#);
            record::encode(entry.as_bytes())
        };
        log.append(0, (0..10).map(line).collect(), Box::new(|written| written.expect("written")));
        let mut store = LogStore::open(log, None, Faults::default()).await.expect("opens");
        let mut next = 0;
        for count in [4, 4, 2] {
            let entries = store.limited_get_log_entries(next, 10).await.expect("reads");
            assert_eq!(entries.len(), count, "from entry {next}");
            for entry in &entries {
                assert_eq!(entry::encode(entry), line(next));
                let EntryPayload::Normal(proposal) = &entry.payload else { panic!("a batch") };
                assert_eq!(proposal.batch().expect_err("no operations").code, ErrorCode::Corrupted);
                next += 1;
            }
        }
    }

    #[test]
    fn what_is_cut_or_has_more_in_it_is_refused() {
        let body = encode(NodeId::default(), None, &request(2));
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
