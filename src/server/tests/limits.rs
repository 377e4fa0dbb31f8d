//! What one account may ask of a server.

use super::*;

fn sent(answer: &Value) -> bool {
    answer["result"]["sent"].is_object()
}

#[tokio::test(start_paused = true)]
async fn an_account_that_asks_for_too_many_changes_is_told_when_to_come_back() {
    let limits = Limits { changes_per_account_per_s: 10, change_burst: 20, ..Limits::default() };
    let rig = Rig::with(limits);
    let (mut alice, mut bob) = (rig.registered("alice").await, rig.registered("bob").await);
    for n in 0..20 {
        assert!(sent(&alice.ask(send(n, "bob", "x")).await));
    }
    let limited = alice.ask(send(20, "bob", "x")).await;
    assert_eq!(code(&limited), "rate_limited");
    assert_eq!(limited["error"]["retry_after_ms"], 200, "when a tenth of a burst is there again");
    // Its other connections count with it, and other kinds of changes; others do not.
    let mut other = rig.client().await;
    other.ask(authenticate(&token("alice"))).await;
    assert_eq!(other.refused(send(21, "bob", "x")).await, "rate_limited");
    let mark = json!({"mark_read": {"operation": id(22), "seqs": [1]}});
    assert_eq!(other.refused(mark).await, "rate_limited");
    assert!(other.ask(json!({"inbox": {}})).await["result"].is_object(), "reading goes on");
    assert!(sent(&bob.ask(send(23, "alice", "x")).await));
    tokio::time::advance(Duration::from_millis(200)).await;
    for (n, taken) in [(20, true), (21, true), (24, false)] {
        assert_eq!(sent(&alice.ask(send(n, "bob", "x")).await), taken, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_to_follow_a_change_too_many_in_order_is_not_taken_either() {
    let limits = Limits { changes_per_account_per_s: 1_000, change_burst: 1, ..Limits::default() };
    let rig = Rig::with(limits);
    let mut alice = rig.registered("alice").await;
    let line = |id: u64| {
        let request = send(id.into(), "alice", &id.to_string());
        json!({"id": id, "timeout_ms": 800, "in_order": true, "request": request}).to_string()
    };
    for (id, answer) in [(11, None), (12, Some("rate_limited"))] {
        alice.send_line(&line(id)).await;
        let told = alice.receive().await;
        assert_eq!(told["error"]["code"].as_str(), answer, "{told}");
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    alice.send_line(&line(13)).await;
    assert_eq!(code(&alice.receive().await), "unavailable");
}

#[tokio::test(start_paused = true)]
async fn follows_of_an_account_are_bounded_over_all_of_its_connections() {
    let rig = Rig::with(Limits { follows_per_account_max: 2, ..Limits::default() });
    let (mut alice, mut bob) = (rig.registered("alice").await, rig.registered("bob").await);
    let mut other = rig.client().await;
    other.ask(authenticate(&token("alice"))).await;
    let caught_up = json!({"caught_up": {"seq": 0}});
    let mut ids = Vec::new();
    for client in [&mut alice, &mut other, &mut bob] {
        ids.push(client.request(json!({"follow": {}})).await);
        assert_eq!(client.receive().await["event"], caught_up);
    }
    let mut third = rig.client().await;
    third.ask(authenticate(&token("alice"))).await;
    assert_eq!(third.refused(json!({"follow": {}})).await, "too_many");
    // One that ends makes room, and so does a connection that closes.
    alice.ask(json!({"unfollow": {"follow": ids[0]}})).await;
    third.request(json!({"follow": {}})).await;
    assert_eq!(third.receive().await["event"], caught_up);
    drop(other);
    tokio::time::sleep(Duration::from_secs(5)).await;
    alice.request(json!({"follow": {}})).await;
    assert_eq!(alice.receive().await["event"], caught_up);
}
