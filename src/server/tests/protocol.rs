use super::*;
use crate::limits::CLIENT_LINE_MAX_BYTES;

#[tokio::test(start_paused = true)]
async fn the_session_in_the_manual_works_by_hand() {
    let rig = Rig::start();
    rig.registered("alice").await;
    rig.registered("bob").await;
    let mut nc = rig.connect("127.0.0.1").await;
    // All at once, as a file piped into `nc`.
    let authenticate = json!({"id": 1, "request": {"authenticate": {"token": token("alice")}}});
    let message =
        json!({"id": 2, "request": {"send": {"operation": id(9), "to": ["bob"], "text": "hello"}}});
    nc.send_line(&format!("{}\n{authenticate}\n{message}", r#"{"ftchat":1,"role":"client"}"#))
        .await;
    nc.stream.shutdown().await.expect("half closed");
    let hello = nc.receive().await;
    assert_eq!(hello["cluster"], json!(id(1)), "{hello}");
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello["leader"], "127.0.0.1:8092");
    assert_eq!(hello["members"], serde_json::json!(["alpha:8091", "beta:8091"]));
    let session = nc.receive().await;
    assert_eq!(
        (&session["id"], &session["result"]["session"]["name"]),
        (&json!(1), &json!("alice"))
    );
    let sent = nc.receive().await;
    assert_eq!(sent["id"], 2, "{sent}");
    assert_eq!(
        (&sent["result"]["sent"]["id"], &sent["result"]["sent"]["to"]),
        (&json!(id(9)), &json!(["bob"]))
    );
    assert_eq!(sent["result"]["sent"]["copies"], 2);
    assert_eq!(sent["result"]["sent"]["replicas"], 3);
    assert_eq!(nc.receive_or_end().await, None, "everything is answered, then it closes");
}

#[tokio::test(start_paused = true)]
async fn a_first_line_that_is_none_gets_one_error_and_a_close() {
    let rig = Rig::start();
    for (line, expected) in [
        ("GET / HTTP/1.1", "invalid_request"),
        ("", "invalid_request"),
        ("\u{0}\u{ff}", "invalid_request"),
        (r#"{"ftchat":1}"#, "invalid_request"),
        (r#"[1,"client"]"#, "invalid_request"),
        (r#"{"ftchat":1,"role":"king"}"#, "invalid_request"),
        (r#"{"ftchat":2,"role":"client"}"#, "unsupported_version"),
        (r#"{"ftchat":2,"role":"peer"}"#, "unsupported_version"),
        (&"[".repeat(1_000), "invalid_request"),
        (&"x".repeat(CLIENT_LINE_MAX_BYTES + 1), "line_too_long"),
    ] {
        let mut client = rig.connect("127.0.0.1").await;
        client.send_line(line).await;
        assert_eq!(code(&client.thrown_out().await), expected, "{line:.40}");
    }
    let quiet = rig.connect("127.0.0.1").await;
    let started = tokio::time::Instant::now();
    assert_eq!(code(&quiet.thrown_out().await), "invalid_request");
    assert_eq!(started.elapsed().as_secs(), 5, "no first line in time");
    rig.client().await;
}

#[tokio::test(start_paused = true)]
async fn garbage_after_hello_gets_one_error_and_a_close() {
    let rig = Rig::start();
    let deep = format!(r#"{{"id":1,"request":{}"#, "{\"a\":".repeat(40));
    for (line, expected) in [
        ("rubbish", "invalid_request"),
        (r#"{"request":{"ping":{}}}"#, "invalid_request"),
        (&deep, "invalid_request"),
        (&"x".repeat(CLIENT_LINE_MAX_BYTES + 1), "line_too_long"),
        (
            &format!(
                r#"{{"id":1,"request":{{"ping":{{"x":"{}"}}}}}}"#,
                "x".repeat(CLIENT_LINE_MAX_BYTES)
            ),
            "line_too_long",
        ),
    ] {
        let mut client = rig.client().await;
        // What was asked before is still answered.
        client.request(json!({"ping": {}})).await;
        client.send_line(line).await;
        assert_eq!(client.receive().await["result"], json!({"done": {}}));
        let error = client.thrown_out().await;
        assert_eq!((code(&error).as_str(), &error["id"]), (expected, &Value::Null), "{line:.40}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_with_an_id_is_answered_and_forgiven() {
    let rig = Rig::start();
    let mut client = rig.client().await;
    assert_eq!(client.refused(json!({"dance": {}})).await, "unknown_operation");
    assert_eq!(client.refused(json!({"send": {"text": 1}})).await, "invalid_request");
    assert_eq!(client.refused(json!({"unfollow": {"follow": 9}})).await, "invalid_request");
    client.send_line("").await;
    client.send_line(" \r").await;
    client.send_line("{\"id\":77,\"new\":1,\"request\":{\"ping\":{}}}\r").await;
    assert_eq!(client.receive().await, json!({"id": 77, "result": {"done": {}}}));
    let status = client.ask(json!({"status": {}})).await;
    assert_eq!(status["result"]["status"]["term"], 7, "status needs no session: {status}");
}

#[tokio::test(start_paused = true)]
async fn every_request_but_a_few_needs_a_session() {
    let rig = Rig::start();
    let mut client = rig.client().await;
    for request in [
        json!({"whoami": {}}),
        json!({"accounts": {}}),
        json!({"inbox": {}}),
        json!({"follow": {}}),
        json!({"find": {"prefixes": []}}),
        json!({"logout": {"operation": id(1)}}),
        json!({"delete": {"operation": id(1), "ids": []}}),
        json!({"mark_read": {"operation": id(1), "seqs": []}}),
        json!({"delete_account": {"operation": id(1), "password": "x"}}),
        json!({"sessions": {}}),
        json!({"settings": {}}),
        json!({"block": {"operation": id(1), "name": "bob"}}),
        json!({"unblock": {"operation": id(1), "name": "bob"}}),
        json!({"blocked": {}}),
        json!({"change_setting": {"operation": id(1), "key": "receipts", "value": "off"}}),
        json!({"end_sessions": {"operation": id(1), "others": true}}),
        json!({"change_password": {"operation": id(1), "password": "x", "new_password": "y"}}),
        send(1, "bob", "hi"),
    ] {
        let answer = client.ask(request.clone()).await;
        assert_eq!(code(&answer), "not_logged_in", "{request}");
        assert!(answer["error"]["message"].to_string().contains("log in first"));
    }
    assert!(rig.replica.proposed().is_empty(), "nothing was proposed");
    assert_eq!(rig.replica.confirmations(), 0, "nothing was asked of the majority");
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_handed_over_with_everything_it_said() {
    let rig = Rig::start();
    let mut peer = rig.connect("192.0.2.7").await;
    peer.send_line("{\"ftchat\":1,\"role\":\"peer\",\"more\":1}\nalready sent").await;
    let mut line = String::new();
    peer.stream.read_line(&mut line).await.expect("memory");
    assert_eq!(line, "{\"ftchat\":1,\"role\":\"peer\",\"more\":1} from 192.0.2.7\n");
    line.clear();
    peer.stream.read_line(&mut line).await.expect("memory");
    assert_eq!(line, "already sent\n");
}

#[tokio::test(start_paused = true)]
async fn pages_are_bounded_continued_and_complete() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    let long = "\u{1}".repeat(1_000);
    for number in 0..300 {
        let answer = alice.ask(send(100 + number, "bob", &long)).await;
        assert_eq!(answer["result"]["sent"]["seq"], 1 + number as u64, "{answer}");
    }
    let (mut after, mut seen, mut pages) = (0, 0, 0);
    loop {
        let page = bob.ask(json!({"inbox": {"which": "all", "after": after}})).await;
        let page = &page["result"]["messages"];
        for message in page["messages"].as_array().expect("a list") {
            seen += 1;
            assert_eq!(message["seq"], seen);
            assert_eq!(message["text"], long);
            after = seen;
        }
        pages += 1;
        if page["more"] == false {
            break;
        }
    }
    assert_eq!((seen, pages), (300, 5), "64 KiB of texts a page");
    let two = bob.ask(json!({"inbox": {"limit": 2}})).await;
    assert_eq!(two["result"]["messages"]["messages"][1]["seq"], 2);
    assert_eq!(two["result"]["messages"]["more"], true);
    assert_eq!(bob.refused(json!({"inbox": {"limit": 0}})).await, "invalid_request");
    let none = bob.ask(json!({"inbox": {"from": "carol"}})).await;
    assert_eq!(none["result"], json!({"messages": {"messages": [], "more": false}}));
}

#[tokio::test(start_paused = true)]
async fn messages_are_found_marked_and_deleted() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    let (one, two) =
        ("aaaa0000-0000-4000-8000-000000000001", "aaaa0000-0000-4000-8000-000000000002");
    for operation in [one, two] {
        let request = json!({"send": {"operation": operation, "to": ["bob", "BOB"], "text": "x"}});
        assert_eq!(alice.ask(request).await["result"]["sent"]["to"], json!(["bob"]));
    }
    let found = bob.ask(json!({"find": {"prefixes": ["AAAA", one, "bbbb"]}})).await;
    assert_eq!(found["result"]["found"]["matches"], json!([[one, two], [one], []]));
    assert_eq!(bob.refused(json!({"find": {"prefixes": ["aaa"]}})).await, "invalid_request");
    let mark = json!({"mark_read": {"operation": id(5), "seqs": [1, 99]}});
    assert_eq!(bob.ask(mark).await["result"], json!({"marked": {"count": 1}}));
    let unread = bob.ask(json!({"inbox": {}})).await;
    assert_eq!(unread["result"]["messages"]["messages"][0]["id"], two, "{unread}");
    let delete = |number, ids: &[&str]| json!({"delete": {"operation": id(number), "ids": ids}});
    assert_eq!(
        bob.refused(delete(6, &[one, "cccc0000-0000-4000-8000-000000000001"])).await,
        "unknown_message"
    );
    assert_eq!(bob.ask(delete(7, &[one, two])).await["result"], json!({"deleted": {"count": 2}}));
    let names = bob.ask(json!({"accounts": {"glob": "AL*"}})).await;
    assert_eq!(names["result"]["accounts"], json!({"names": ["alice"], "more": false}));
    let sent = alice.ask(json!({"inbox": {"which": "sent"}})).await;
    assert_eq!(sent["result"]["messages"]["messages"].as_array().map(Vec::len), Some(2));
}
