//! Whatever bytes come from a disk.

use std::path::Path;

use super::identity::Identity;
use super::lock::LockContent;
use super::neighbours::Neighbour;
use super::record::{self, Frame};
use crate::protocol::fuzzing::{fuzz, lines};

fn payloads() -> Vec<Vec<u8>> {
    let id = "3d9f6a57-78f1-4426-afd0-49a028534f06";
    lines([
        format!(
            r#"{{"format":1,"cluster":"{id}","lineage":"{id}","replica":2,"incarnation":3,"opens":4}}"#
        ),
        r#"[{"replica":2,"incarnation":1,"location":{"boot":"b","machine":"m","path":"/p","lock":{"device":1,"inode":2},"opens":3}}]"#.to_string(),
        r#"{"pid":1,"started_at":"2026-11-23T20:34:35.863Z","address":"127.0.0.1:1","server":1}"#.to_string(),
        r#"{"some":"payload"}"#.to_string(),
    ])
}

#[test]
fn fuzz_records() {
    let corpus: Vec<_> = payloads().iter().map(|line| record::encode(line).to_vec()).collect();
    fuzz("records", &corpus, |bytes| {
        // There is one way to write a record, so what is taken for one is it.
        if let Ok(payload) = record::decode(bytes) {
            assert!(!payload.contains(&b'\n') && !payload.is_empty());
            assert_eq!(record::encode(payload).strip_suffix(b"\n"), Some(bytes));
        }
        if let Ok(Frame::Whole { payload, length }) = record::frame(bytes) {
            assert_eq!(record::encode(&bytes[payload]), &bytes[..length]);
        }
    });
}

/// Changed payloads under checksums that hold: what a defect may have written.
#[test]
fn fuzz_what_is_in_records() {
    fuzz("payloads", &payloads(), |payload| {
        if let Ok(identity) = Identity::decode(Path::new("identity.json"), payload) {
            let line = identity.encode();
            let again = record::decode(line.strip_suffix(b"\n").expect("a line")).expect("whole");
            assert_eq!(Identity::decode(Path::new("f"), again).as_ref(), Ok(&identity));
        }
        if let Ok(known) = serde_json::from_slice::<Vec<Neighbour>>(payload) {
            let again = serde_json::to_vec(&known).expect("plain data");
            assert_eq!(serde_json::from_slice::<Vec<Neighbour>>(&again).expect("own form"), known);
        }
        let text = [payload, b"\npoisoned boot\n"].concat();
        let lock = LockContent::parse(&text);
        assert!(lock.poisoned.is_some(), "a mark is never overlooked");
    });
}
