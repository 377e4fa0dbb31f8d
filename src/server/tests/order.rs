use super::*;
use crate::error::Error;
use crate::limits::{RECIPIENTS_MAX, TEXT_MAX_BYTES};

#[tokio::test(start_paused = true)]
async fn pipelined_changes_enter_the_log_in_the_order_of_their_requests() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    rig.replica.answers.send_replace(false);
    // More than tokio's budget for one poll, and than one read brings.
    for number in 0..1_000 {
        match number % 10 {
            7 => alice.request(json!({"mark_read": {"operation": id(number), "seqs": [1]}})).await,
            8 => alice.request(json!({"delete": {"operation": id(number), "ids": []}})).await,
            _ => alice.request(send(number, "alice", "hello")).await,
        };
    }
    alice.request(json!({"ping": {}})).await;
    assert_eq!(alice.receive().await["id"], 1_002, "out of order, as nothing else is done");
    let expected: Vec<_> = std::iter::once(id_of("alice")).chain((0..1_000).map(id)).collect();
    assert_eq!(rig.replica.proposed(), expected);
    rig.replica.answers.send_replace(true);
    let mut answered = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let answer = alice.receive().await;
        assert!(answer["result"].is_object(), "{answer}");
        assert!(answered.insert(answer["id"].as_u64()), "answered twice: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_than_may_be_in_flight() {
    let rig = Rig::with(Limits { requests_in_flight_max: 4, ..Limits::default() });
    let mut alice = rig.registered("alice").await;
    rig.replica.answers.send_replace(false);
    for number in 0..20 {
        alice.request(send(number, "alice", "hello")).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.replica.proposed().len(), 1 + 4);
    rig.replica.answers.send_replace(true);
    for _ in 0..20 {
        assert!(alice.receive().await["result"]["sent"].is_object());
    }
    assert_eq!(rig.replica.proposed().len(), 1 + 20);
}

#[tokio::test(start_paused = true)]
async fn what_changes_the_session_is_finished_before_the_next_request() {
    let rig = Rig::start();
    rig.registered("bob").await;
    let mut client = rig.client().await;
    rig.replica.answers.send_replace(false);
    client.request(register("alice")).await;
    client.request(send(1, "bob", "from alice")).await;
    client.request(json!({"logout": {"operation": id(2)}})).await;
    client.request(login(3, "bob", PASSWORD)).await;
    client.request(send(4, "alice", "from bob")).await;
    client.request(json!({"whoami": {}})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.replica.proposed(), [id_of("bob"), id_of("alice")], "the rest waits");
    rig.replica.answers.send_replace(true);
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(client.receive().await);
    }
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers[0]["result"]["session"]["name"], "alice");
    assert_eq!(answers[1]["result"]["sent"]["to"], json!(["bob"]));
    assert_eq!(answers[2]["result"], json!({"done": {}}));
    assert_eq!(answers[3]["result"]["session"]["name"], "bob");
    assert_eq!(answers[4]["result"]["sent"]["to"], json!(["alice"]));
    assert_eq!(answers[5]["result"]["session"]["name"], "bob");
    let expected = [id_of("bob"), id_of("alice"), id(1), id(2), id(3), id(4)];
    assert_eq!(rig.replica.proposed(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_change_before_logout_is_still_its_senders() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    for number in 0..50 {
        alice.request(send(number, "alice", "hello")).await;
    }
    alice.request(json!({"logout": {"operation": id(50)}})).await;
    alice.request(send(51, "alice", "hello")).await;
    for _ in 0..50 {
        assert!(alice.receive().await["result"]["sent"].is_object());
    }
    assert_eq!(alice.receive().await["result"], json!({"done": {}}));
    assert_eq!(code(&alice.receive().await), "not_logged_in");
}

#[tokio::test(start_paused = true)]
async fn the_same_operation_again_has_the_same_answer() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let first = alice.ask(send(1, "alice", "hello")).await;
    let again = alice.ask(send(1, "alice", "hello")).await;
    assert_eq!(first["result"], again["result"]);
    assert_eq!(alice.refused(send(1, "alice", "other")).await, "id_conflict");
    // A registration whose answer was lost, repeated on a new connection.
    let mut again = rig.client().await;
    assert_eq!(again.ask(register("alice")).await["result"]["session"]["name"], "alice");
    // Knowing its operation id is not enough to get its session.
    let mut stolen = register("alice");
    stolen["register"]["token"] = json!(token("thief"));
    assert_eq!(rig.client().await.refused(stolen).await, "id_conflict");
}

#[tokio::test(start_paused = true)]
async fn what_the_replica_says_of_a_failed_proposal_is_passed_on() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    rig.replica.refuse(Some(Error::outcome_unknown("the leader went away")));
    let answer = alice.ask(send(1, "alice", "hello")).await;
    assert_eq!(code(&answer), "outcome_unknown");
    assert_eq!(answer["error"]["retryable"], true);
    assert_eq!(answer["error"]["message"], "the leader went away");
    rig.replica.refuse(Some(Error::unavailable("no leader")));
    assert_eq!(alice.refused(send(1, "alice", "hello")).await, "unavailable");
    let answer = rig.client().await.ask(register("bob")).await;
    assert_eq!(code(&answer), "unavailable");
}

#[tokio::test(start_paused = true)]
async fn wrong_messages_are_refused_before_they_reach_the_log() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let to = |to: Vec<String>| json!({"send": {"operation": id(1), "to": to, "text": "x"}});
    assert_eq!(alice.refused(send(1, "alice", "")).await, "invalid_text");
    let long = "x".repeat(TEXT_MAX_BYTES + 1);
    let answer = alice.ask(send(1, "alice", &long)).await;
    assert_eq!(code(&answer), "invalid_text");
    let bounds = format!("1 to {TEXT_MAX_BYTES} bytes");
    assert!(answer["error"]["message"].to_string().contains(&bounds), "{answer}");
    assert_eq!(alice.refused(to(vec![])).await, "invalid_request");
    assert_eq!(alice.refused(to(vec!["a b".into()])).await, "invalid_name");
    assert_eq!(alice.refused(to(vec!["a".into(); RECIPIENTS_MAX + 1])).await, "too_many");
    let ids = json!({"delete": {"operation": id(1), "ids": vec![id(1); 1_001]}});
    assert_eq!(alice.refused(ids).await, "too_many");
    let seqs = json!({"mark_read": {"operation": id(1), "seqs": vec![1; 1_001]}});
    assert_eq!(alice.refused(seqs).await, "too_many");
    assert_eq!(rig.replica.proposed(), [id_of("alice")]);
    assert_eq!(alice.refused(send(2, "nobody", "x")).await, "unknown_account");
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_failed_change_fails_until_all_that_failed_is_answered() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut within = async |ms: u64, id: u64| {
        let request = send(u128::from(id), "alice", &id.to_string());
        let line = json!({"id": id, "timeout_ms": ms, "request": request}).to_string();
        alice.send_line(&line).await;
    };
    rig.replica.lose_majority();
    within(800, 11).await;
    within(9_000, 12).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Its failure is on its way, and whoever sent this one may not know of it.
    within(9_000, 13).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.replica.find_majority();
    for id in 11..=13 {
        let answer = alice.receive().await;
        assert_eq!((&answer["id"], code(&answer).as_str()), (&json!(id), "unavailable"));
    }
    // All is answered, and whoever asks for no more may go on.
    for id in 11..=14u64 {
        let answer = alice.ask(send(u128::from(id), "alice", &id.to_string())).await;
        assert_eq!(answer["result"]["sent"]["seq"], id - 10, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_crosses_the_failure_of_an_earlier_one_on_the_wire_does_not_overtake_it() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let line = |id: u64, in_order: bool| {
        let request = send(id.into(), "alice", &id.to_string());
        json!({"id": id, "timeout_ms": 800, "in_order": in_order, "request": request}).to_string()
    };
    rig.replica.lose_majority();
    alice.send_line(&line(11, true)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.replica.find_majority();
    // The failure is answered, and nobody has read the answer yet.
    alice.send_line(&line(12, true)).await;
    alice.send_line(&line(13, false)).await;
    for (id, code_of_it) in [(11, "unavailable"), (12, "unavailable")] {
        let answer = alice.receive().await;
        assert_eq!((&answer["id"], code(&answer).as_str()), (&json!(id), code_of_it));
    }
    assert_eq!(alice.receive().await["result"]["sent"]["seq"], 1, "that one minds no order");
    // Nor later: whoever wants to go on connects anew.
    alice.send_line(&line(11, true)).await;
    let answer = alice.receive().await;
    assert!(answer["error"]["message"].to_string().contains("connect anew"), "{answer}");
    assert_eq!(answer["error"]["retryable"], true);
    let mut again = rig.client().await;
    again.ask(json!({"authenticate": {"token": token("alice")}})).await;
    again.send_line(&line(11, true)).await;
    assert_eq!(again.receive().await["result"]["sent"]["seq"], 2);
}
