//! Whatever bytes come from those who say that they are replicas.

use super::credentials::Credentials;
use super::handshake::{answer, call};
use super::key::ClusterKey;
use crate::error::ErrorCode;
use crate::host::Host;
use crate::protocol::fuzzing::{Reads, fuzz, fuzz_readers, lines, reads_itself};
use crate::protocol::peer::{
    Admit, Backup, BackupHead, CallLine, Found, Introduction, Joined, Lead, Release, ReplyLine,
    RestoreProgress, Standing,
};
use crate::types::{Digest, ReplicaId, Uuid};

fn credentials(replica: u32) -> Credentials {
    let own = Introduction {
        replica: ReplicaId(replica),
        cluster: Some(Uuid::from_u128(9)),
        lineage: Some(Uuid::from_u128(9)),
        incarnation: Some(1),
    };
    Credentials::new(ClusterKey::new([1; 32]), own)
}

fn corpus() -> Vec<Vec<u8>> {
    let (digest, id) = (Digest([7; 32]), Uuid::from_u128(9));
    let own = format!(r#""replica":1,"cluster":"{id}","lineage":"{id}","incarnation":1"#);
    let location =
        r#"{"boot":"b","machine":"m","path":"/p","lock":{"device":1,"inode":2},"opens":3}"#;
    lines([
        format!(r#"{{"ftchat":1,"role":"peer","nonce":"{digest}",{own}}}"#),
        format!(r#"{{"ftchat":1,"nonce":"{digest}","proof":"{digest}",{own}}}"#),
        format!(r#"{{"proof":"{digest}","location":{location}}}"#),
        format!(r#"{{"welcome":true,"location":{location}}}"#),
        r#"{"error":{"code":"wrong_cluster","message":"m","retryable":false}}"#.to_string(),
        r#"{"id":1,"call":"vote","body":{"term":9}}"#.to_string(),
        r#"{"id":1,"ok":null}"#.to_string(),
        r#"{"id":1,"error":{"code":"new","message":"m","retryable":true}}"#.to_string(),
    ])
}

#[test]
fn fuzz_what_a_caller_without_the_key_says() {
    let (host, callee, corpus) = (Host::real(), credentials(2), corpus());
    let hello = corpus[0].clone();
    fuzz("callers", &corpus, |line| {
        for (first, rest) in [(line, &b""[..]), (&hello[..], line)] {
            let rest = [rest, b"\n{\"id\":1,\"call\":\"vote\",\"body\":{}}\n"].concat();
            let mut sink = Vec::new();
            let mut rest = &rest[..];
            let answered = answer(&host, &callee, first, &mut rest, &mut sink);
            let error = futures::executor::block_on(answered).expect_err("it proves nothing");
            assert_ne!(error.code, ErrorCode::WrongCluster, "believed: {error}");
            assert!(error.message.len() < 300, "{error}");
            assert!(!String::from_utf8_lossy(&sink).contains("welcome"));
        }
    });
}

#[test]
fn fuzz_what_somebody_at_a_peers_address_says() {
    let (host, caller) = (Host::real(), credentials(2));
    fuzz("callees", &corpus(), |line| {
        let line = [line, b"\n{\"welcome\":true}\n"].concat();
        let mut sink = Vec::new();
        let mut line = &line[..];
        let called = call(&host, &caller, ReplicaId(1), &mut line, &mut sink);
        let error = futures::executor::block_on(called).expect_err("it proves nothing");
        assert_ne!(error.code, ErrorCode::WrongCluster, "believed: {error}");
        assert!(!String::from_utf8_lossy(&sink).contains("proof"), "nothing is proved to it");
    });
}

#[test]
fn fuzz_frames() {
    fuzz("frames", &corpus(), |line| {
        let mut again = Vec::new();
        if let Some(frame) = CallLine::parse(line) {
            frame.push(&mut again);
            assert_eq!(again.strip_suffix(b"\n"), Some(line));
        }
        if let Some(frame) = ReplyLine::parse(line) {
            again.clear();
            frame.push(&mut again);
            let again = ReplyLine::parse(again.strip_suffix(b"\n").expect("a line"));
            assert_eq!(again, Some(frame));
        }
    });
}

/// What replicas ask each other, and answer, beside the calls of consensus.
#[test]
fn fuzz_bodies() {
    let id = Uuid::from_u128(9);
    let own = format!(r#""replica":1,"cluster":"{id}","lineage":"{id}","incarnation":1"#);
    let readers: [(String, Reads); 9] = [
        (format!(r#"{{"from":{{{own}}},"begun":true}}"#), reads_itself::<Standing>),
        (format!(r#"{{"cluster":"{id}","lineage":"{id}"}}"#), reads_itself::<Found>),
        (
            format!(r#"{{"cluster":"{id}","lineage":"{id}","incarnation":4}}"#),
            reads_itself::<Joined>,
        ),
        (r#"{"node":4294967297}"#.to_string(), reads_itself::<Admit>),
        (r#"{"replica":1}"#.to_string(), reads_itself::<Lead>),
        (r#"{"confirmed":true}"#.to_string(), reads_itself::<Backup>),
        (
            format!(
                r#"{{"cluster":"{id}","index":9,"at":"2026-11-23T20:34:35.863Z","state_hash":"a","accounts":1,"messages":2}}"#
            ),
            reads_itself::<BackupHead>,
        ),
        (r#"{"lines":7,"done":false}"#.to_string(), reads_itself::<RestoreProgress>),
        (
            r#"{"replica":1,"path":"/p","lock":{"device":1,"inode":2}}"#.to_string(),
            reads_itself::<Release>,
        ),
    ];
    fuzz_readers("bodies of calls", &readers);
}
