//! What consensus keeps and says, changed under checksums that hold.

use openraft::raft::{AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse};

use super::leadership::fast_election::Campaign;
use super::proposer::ForwardReply;
use super::types::{LogId, SnapshotMeta, TypeConfig, Vote};
use super::wire::append;
use super::wire::calls::{Addressed, SnapshotBegin};
use super::wire::entry;
use crate::protocol::fuzzing::{Reads, fuzz, fuzz_readers, lines, reads_itself};
use crate::storage::record;

fn payloads() -> Vec<Vec<u8>> {
    let id = "3d9f6a57-78f1-4426-afd0-49a028534f06";
    lines([
        r#"{"index":7,"term":2,"node":4294967297}"#.to_string(),
        format!(
            r#"{{"index":8,"term":2,"node":4294967297,"batch":{{"at":"2026-11-23T20:34:35.863Z","operations":[{{"id":"{id}","action":{{"send":{{"session":1,"to":["bob"],"text":"hi"}}}}}}]}}}}"#
        ),
        r#"{"index":9,"term":2,"node":4294967297,"membership":{"configs":[[4294967297]],"nodes":{"4294967297":{"addr":""}}}}"#.to_string(),
    ])
}

#[test]
fn fuzz_entries() {
    for payload in payloads() {
        entry::decode(&payload.into()).expect("the corpus is of the right form");
    }
    fuzz("entries", &payloads(), |payload| {
        if let Ok(decoded) = entry::decode(&payload.to_vec().into()) {
            let line = entry::encode(&decoded);
            let line = line.strip_suffix(b"\n").expect("a line");
            let again = entry::decode_line(line).expect("own form");
            assert_eq!(again.log_id, decoded.log_id);
            assert_eq!(format!("{:?}", again.payload), format!("{:?}", decoded.payload));
        }
    });
}

#[test]
fn fuzz_append_frames() {
    let records: Vec<String> = payloads()
        .iter()
        .map(|payload| String::from_utf8_lossy(&record::encode(payload)).trim_end().to_string())
        .collect();
    let body = |entries: &str| {
        format!(
            r#"[{{"to":4294967297,"vote":{{"leader_id":{{"term":2,"node_id":4294967297}},"committed":true}},"previous":null,"committed":null}}{entries}]"#
        )
    };
    let corpus = lines([
        body(""),
        body(&format!(",{}", records[0])),
        body(&format!(",{}", records.join(","))),
    ]);
    for body in &corpus {
        append::decode(body).expect("the corpus is of the right form");
    }
    fuzz("append frames", &corpus, |body| {
        if let Ok(append::Append { request, .. }) = append::decode(body) {
            assert!(request.entries.len() <= body.len() / 20);
        }
    });
}

/// The vote, how far the log is committed, snapshots' first records, and what
/// replicas ask and answer.
#[test]
fn fuzz_votes_and_what_replicas_say() {
    let vote = r#"{"leader_id":{"term":2,"node_id":4294967297},"committed":true}"#;
    let log_id = r#"{"leader_id":{"term":2,"node_id":4294967297},"index":7}"#;
    let membership = format!(
        r#"{{"log_id":{log_id},"membership":{{"configs":[[4294967297]],"nodes":{{"4294967297":{{"addr":""}}}}}}}}"#
    );
    let meta = format!(r#"{{"last_log_id":{log_id},"last_membership":{membership}}}"#);
    let to = |message: String| format!(r#"{{"to":4294967297,"message":{message}}}"#);
    let readers: [(String, Reads); 10] = [
        (vote.to_string(), reads_itself::<Vote>),
        (log_id.to_string(), reads_itself::<LogId>),
        (meta.clone(), reads_itself::<SnapshotMeta>),
        (
            to(format!(r#"{{"vote":{vote},"last_log_id":{log_id}}}"#)),
            reads_itself::<Addressed<VoteRequest<TypeConfig>>>,
        ),
        (
            format!(r#"{{"vote":{vote},"vote_granted":true,"last_log_id":null}}"#),
            reads_itself::<VoteResponse<TypeConfig>>,
        ),
        (
            to(format!(r#"{{"vote":{vote},"meta":{meta}}}"#)),
            reads_itself::<Addressed<SnapshotBegin>>,
        ),
        (to(format!(r#"{{"said":{vote},"term":9}}"#)), reads_itself::<Addressed<Campaign>>),
        (
            to(format!(
                r#"{{"from_leader":{vote},"to_node_id":4294967297,"last_log_id":{log_id}}}"#
            )),
            reads_itself::<Addressed<TransferLeaderRequest<TypeConfig>>>,
        ),
        (format!(r#"{{"HigherVote":{vote}}}"#), reads_itself::<AppendEntriesResponse<TypeConfig>>),
        (
            r#"{"results":[{"error":{"code":"unavailable","message":"m","retryable":true}}]}"#
                .to_string(),
            reads_itself::<ForwardReply>,
        ),
    ];
    fuzz_readers("votes and calls", &readers);
}
