//! Whatever bytes are found as lists.

use std::path::Path;

use bytes::Bytes;

use super::format::{Header, entry_line, entry_of, whole_line, whole_of};
use super::{ListedEntry, Outbox, OutboxBounds};
use crate::protocol::fuzzing::{fuzz, lines};
use crate::storage::record;
use crate::storage::testing::{directory, identity, never_fatal, unsynced_host};
use crate::types::{Timestamp, Uuid};

fn header() -> Header {
    let identity = identity();
    Header {
        format: 1,
        cluster: identity.cluster,
        lineage: identity.lineage,
        list: Uuid::from_u128(5),
        replica: identity.replica,
        incarnation: 1,
        order: 1,
        made: Timestamp(5),
        instead_of: vec![Uuid::from_u128(4)],
    }
}

/// Changed payloads under checksums that hold: what a defect may have written.
#[test]
fn fuzz_what_is_in_lists() {
    let payload = |line: Bytes| record::payload_of_trusted(&line).to_vec();
    let known = [header().line(), entry_line(12, b"{\"a\":[1]}"), whole_line(12)].map(payload);
    let corpus = lines(known.map(|line| String::from_utf8(line).expect("text")));
    fuzz("what is in lists", &corpus, |bytes| {
        if let Ok(header) = Header::decode(bytes) {
            let again = payload(header.line());
            assert_eq!(Header::decode(&again), Ok(header));
        }
        if let Some((n, entry)) = entry_of(bytes).filter(|_| !bytes.contains(&b'\n')) {
            assert_eq!(payload(entry_line(n, &bytes[entry])), bytes);
        }
        if let Some(entries) = whole_of(bytes) {
            assert_eq!(whole_of(&payload(whole_line(entries))), Some(entries));
        }
    });
}

/// What is in use of a changed list is what was written, from its first entry on.
#[test]
fn fuzz_lists() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let plain = Header { instead_of: Vec::new(), ..header() };
    let entry = |n: u64| format!("{{\"n\":{n}}}");
    let all: Vec<Bytes> = (1..=9).map(|n| entry_line(n, entry(n).as_bytes())).collect();
    let plain = [vec![plain.line()], all.clone()].concat().concat();
    let anew = [vec![header().line()], all, vec![whole_line(9)]].concat().concat();
    let (mut used, mut set_aside, mut partly) = (0, 0, 0);
    fuzz("lists", &[plain, anew], |bytes| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("outbox");
        std::fs::create_dir(&path).expect("made");
        std::fs::write(path.join(format!("{}.log", header().list)), bytes).expect("written");
        let found = runtime.block_on(read(folder.path())).expect("whatever is there");
        for (ListedEntry { n, entry: found }, expected) in found.0.iter().zip(1..) {
            assert_eq!((*n, &found[..]), (expected, entry(*n).as_bytes()));
        }
        used += usize::from(!found.0.is_empty());
        set_aside += usize::from(found.1);
        partly += usize::from(!found.0.is_empty() && found.1);
    });
    let counts = format!("{used} used, {set_aside} set aside, {partly} of both");
    assert!(used > 0 && set_aside > 0 && partly > 0, "{counts}");
}

/// All entries in use, and whether something is in the way.
async fn read(path: &Path) -> crate::error::Result<(Vec<ListedEntry>, bool)> {
    let directory = directory(&unsynced_host(), path).await;
    let outbox = Outbox::open(&directory, OutboxBounds::default(), never_fatal()).await?;
    let mut all = Vec::new();
    for list in outbox.lists() {
        all.extend(outbox.entries(list.list, 1).next(usize::MAX).await?);
    }
    outbox.close().await?;
    Ok((all, !outbox.unusable().is_empty()))
}
