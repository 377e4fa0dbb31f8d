//! Connections in TLS.

use tokio::io::AsyncReadExt;

use super::*;
use crate::tls::Pinned;

/// How a first message of a caller begins that says no more.
const HALF_HANDSHAKE: &[u8] = &[22, 3, 1, 2, 0, 1, 0];

fn pinned() -> Pinned {
    Pinned::new(crate::host::Host::real().network, Identity::of(&[7; 32]).fingerprint())
}

#[tokio::test(start_paused = true)]
async fn who_speaks_tls_is_served_as_anybody_else() {
    let rig = Rig::start();
    rig.registered("alice").await;
    let (near, far) = tokio::io::duplex(64 * 1024);
    rig.connect.send((Stream::local(far), "127.0.0.1".to_string())).await.expect("the server runs");
    let stream = pinned().secure(Stream::local(near)).await.expect("the identity of the server");
    let mut stream = BufReader::new(stream);
    // A page is longer than what the encryption holds for who does not read.
    let text = "x".repeat(8_000);
    let mut asked = format!("{}\n", r#"{"ftchat":1,"role":"client"}"#);
    let authenticate = json!({"authenticate": {"token": token("alice")}});
    let sends = (0..10).map(|number| send(number, "alice", &text));
    let inbox = json!({"inbox": {"which": "all"}});
    for (id, request) in (1..).zip([authenticate].into_iter().chain(sends).chain([inbox])) {
        asked += &format!("{}\n", json!({"id": id, "request": request}));
    }
    stream.write_all(asked.as_bytes()).await.expect("open");
    stream.flush().await.expect("open");
    let mut answers = Vec::new();
    for _ in 0..13 {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("open");
        answers.push(serde_json::from_str::<Value>(&line).expect("JSON"));
    }
    assert_eq!(answers[0]["replica"], 1, "the greeting");
    assert_eq!(answers[1]["result"]["session"]["name"], "alice");
    let page = answers.iter().find(|answer| answer["id"] == 12).expect("the inbox");
    assert_eq!(page["result"]["messages"]["messages"].as_array().map(Vec::len), Some(8));
}

#[tokio::test(start_paused = true)]
async fn half_handshakes_keep_nobody_out_and_end_in_time() {
    let limits = Limits {
        connections_max: 6,
        connections_reserved: 4,
        connections_per_address_max: 6,
        ..Limits::default()
    };
    let rig = Rig::with(limits);
    let mut person = rig.registered("alice").await;
    let mut halves = Vec::new();
    for _ in 0..1_000 {
        let mut half = rig.connect("127.0.0.1").await;
        // It may have had to give way already.
        let _ = half.stream.write_all(HALF_HANDSHAKE).await;
        halves.push(half);
    }
    rig.client().await;
    person.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("stays");
    tokio::time::sleep(Duration::from_secs(6)).await;
    for half in &mut halves {
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_millis(1), half.stream.read_to_end(&mut rest));
        // Whether by an end or a break, it is over.
        drop(ended.await.expect("five seconds are over"));
    }
}

#[tokio::test(start_paused = true)]
async fn plain_text_that_others_could_read_is_refused_in_one_line() {
    let rig = Rig::start();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let far = Stream::open(far);
    rig.connect.send((far, "10.0.0.1".to_string())).await.expect("the server runs");
    let mut client = Client { stream: BufReader::new(near), last_id: 0 };
    client.send_line(r#"{"ftchat":1,"role":"client"}"#).await;
    let refused = client.thrown_out().await;
    assert_eq!(code(&refused), "tls_required");
    let message = refused["error"]["message"].to_string();
    assert!(message.contains("with the cluster's fingerprint"), "{message}");

    let (near, far) = tokio::io::duplex(64 * 1024);
    let far = Stream::open(far);
    rig.connect.send((far, "10.0.0.1".to_string())).await.expect("the server runs");
    let stream = pinned().secure(Stream::open(near)).await.expect("TLS is spoken");
    let mut stream = BufReader::new(stream);
    stream.write_all(b"{\"ftchat\":1,\"role\":\"client\"}\n").await.expect("open");
    stream.flush().await.expect("open");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("open");
    assert!(line.contains("\"cluster\""), "{line}");
}
