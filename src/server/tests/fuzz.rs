//! Whatever bytes come from unauthenticated connections.

use tokio::io::BufReader;

use super::super::incoming::Incoming;
use super::super::wire::parse_request;
use crate::limits::CLIENT_LINE_MAX_BYTES;
use crate::protocol::client::RequestLine;
use crate::protocol::codec;
use crate::protocol::fuzzing::{Changes, fuzz, lines};

fn requests() -> Vec<Vec<u8>> {
    let id = "3d9f6a57-78f1-4426-afd0-49a028534f06";
    let token = "0a".repeat(32);
    lines([
        r#"{"id":1,"request":{"ping":{}}}"#.to_string(),
        format!(r#"{{"id":2,"timeout_ms":10,"request":{{"authenticate":{{"token":"{token}"}}}}}}"#),
        format!(
            r#"{{"id":3,"request":{{"register":{{"operation":"{id}","name":"bob","password":"pass word","token":"{token}","invitation":"GEZD-GNBV"}}}}}}"#
        ),
        format!(
            r#"{{"id":18446744073709551615,"request":{{"send":{{"operation":"{id}","to":["alice","bob"],"text":"a \"b\" \u0007\ud83d\ude00 é"}}}}}}"#
        ),
        r#"{"id":5,"request":{"inbox":{"which":"all","after":7,"from":"bob","since":"2026-11-23T20:34:35.863Z","limit":9}}}"#.to_string(),
        r#"{"id":6,"request":{"follow":{"which":"unread"}}}"#.to_string(),
        format!(r#"{{"id":7,"request":{{"mark_read":{{"operation":"{id}","seqs":[1,2,3]}}}}}}"#),
        format!(r#"{{"id":8,"request":{{"delete":{{"operation":"{id}","ids":["{id}"]}}}}}}"#),
        r#"{"id":9,"request":{"find":{"prefixes":["3d9f"]}}}"#.to_string(),
        r#"{"id":10,"request":{"accounts":{"glob":"a*[b-c]?","after":"x"}}}"#.to_string(),
    ])
}

#[test]
fn fuzz_requests() {
    let mut taken = 0;
    fuzz("requests", &requests(), |line| match parse_request(line) {
        Ok(request) => {
            taken += 1;
            let again = serde_json::to_vec(&request).expect("plain data");
            let same: RequestLine = parse_request(&again).expect("own form");
            assert_eq!(format!("{same:?}"), format!("{request:?}"));
        }
        Err(unreadable) => {
            // It is said back to whoever sent it, in a line of its own.
            let longest = 4 * line.len() + 1_000;
            assert!(unreadable.error.message.len() < longest, "{}", unreadable.error.message);
        }
    });
    assert!(taken > requests().len(), "not all changes are so wild: {taken} were requests");
}

/// The lines of a stream, as the part that reads clients sees them.
async fn incoming_lines(bytes: &[u8], cuts: &mut Changes) -> Vec<Vec<u8>> {
    let cut = cuts.below(bytes.len() + 1);
    let mut incoming = Incoming::new(&bytes[cut..], &bytes[..cut]);
    let mut found = Vec::new();
    loop {
        let line = incoming.next_line().map(|line| line.map(|line| line.to_vec()));
        match line {
            Ok(Some(line)) => found.push(line),
            Ok(None) if incoming.ended() => return found,
            Ok(None) => incoming.fill(cuts.below(2) == 0).await.expect("memory"),
            Err(_) => return found,
        }
    }
}

/// The same by the other reader of lines, which everybody else uses.
async fn codec_lines(bytes: &[u8], cuts: &mut Changes) -> Vec<Vec<u8>> {
    let mut reader = BufReader::with_capacity(1 + cuts.below(9_000), bytes);
    let (mut found, mut line) = (Vec::new(), Vec::new());
    while let Ok(true) = codec::read_line(&mut reader, &mut line, CLIENT_LINE_MAX_BYTES).await {
        found.push(line.clone());
    }
    found
}

#[test]
fn fuzz_how_streams_are_cut_into_lines() {
    let mut corpus = requests();
    let all = corpus.join(&b"\n"[..]);
    corpus.push([&all[..], b"\n", &vec![b'x'; CLIENT_LINE_MAX_BYTES - 1], b"\n\n", &all].concat());
    corpus.push([&all[..], b"\n", &vec![b'x'; CLIENT_LINE_MAX_BYTES], b"\n", &all].concat());
    let mut cuts = Changes::new(7);
    fuzz("streams", &corpus, |bytes| {
        // What is complete and within the bound, up to the first that is not.
        let whole = bytes.split_inclusive(|byte| *byte == b'\n');
        let expected: Vec<Vec<u8>> = whole
            .take_while(|line| line.ends_with(b"\n") && line.len() <= CLIENT_LINE_MAX_BYTES)
            .map(|line| line[..line.len() - 1].to_vec())
            .collect();
        let found = futures::executor::block_on(incoming_lines(bytes, &mut cuts));
        assert!(found == expected, "incoming");
        let found = futures::executor::block_on(codec_lines(bytes, &mut cuts));
        assert!(found == expected, "codec");
    });
}
