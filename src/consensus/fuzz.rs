//! Log entries and append frames that were changed under checksums that hold.

use super::entry;
use super::network::decode_append;
use crate::protocol::fuzzing::{fuzz, lines};
use crate::storage::record;

fn payloads() -> Vec<Vec<u8>> {
    let id = "3d9f6a57-78f1-4426-afd0-49a028534f06";
    lines([
        r#"{"index":7,"term":2,"node":4294967297}"#.to_string(),
        format!(
            r#"{{"index":8,"term":2,"node":4294967297,"batch":{{"at":"2026-11-23T20:34:35.863Z","operations":[{{"id":"{id}","send":{{"session":1,"to":["bob"],"text":"hi"}}}}]}}}}"#
        ),
        r#"{"index":9,"term":2,"node":4294967297,"membership":{"configs":[[4294967297]],"nodes":{"4294967297":{}}}}"#.to_string(),
    ])
}

#[test]
fn fuzz_entries() {
    fuzz("entries", &payloads(), |payload| {
        if let Ok(decoded) = entry::decode(&payload.to_vec().into()) {
            let line = entry::encode(&decoded);
            let line = std::str::from_utf8(&line).expect("JSON").trim_end();
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
            r#"{{"to":4294967297,"vote":{{"leader_id":{{"term":2,"node_id":4294967297}},"committed":true}},"previous":null,"committed":null,"entries":[{entries}]}}"#
        )
    };
    let corpus = lines([body(""), body(&records[0]), body(&records.join(","))]);
    fuzz("append frames", &corpus, |body| {
        if let Ok((_, request)) = decode_append(body) {
            assert!(request.entries.len() <= body.len() / 20);
        }
    });
}
