use super::*;
use crate::chat::Withdrawn;

/// Reads events of follow `id` until it is caught up with `seq`; returns the
/// `seq`s of the messages.
async fn until_caught_up(client: &mut Client, id: u64, seq: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let line = client.receive().await;
        assert_eq!(line["id"], id, "{line}");
        for message in line["event"]["messages"].as_array().into_iter().flatten() {
            seen.push(message["seq"].as_u64().expect("a number"));
        }
        if line["event"]["caught_up"]["seq"].as_u64().is_some_and(|up_to| up_to >= seq) {
            return seen;
        }
        assert!(line["event"].is_object(), "{line}");
    }
}

async fn send_all(client: &mut Client, to: &str, numbers: std::ops::Range<u128>) {
    for number in numbers {
        let answer = client.ask(send(number, to, "hello")).await;
        assert!(answer["result"]["sent"].is_object(), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_follow_shows_what_is_there_and_then_what_comes() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    send_all(&mut alice, "bob", 0..600).await;
    let follow = bob.request(json!({"follow": {}})).await;
    assert_eq!(until_caught_up(&mut bob, follow, 600).await, (1..=600).collect::<Vec<_>>());
    let started = tokio::time::Instant::now();
    send_all(&mut alice, "bob", 600..601).await;
    assert_eq!(bob.receive().await["event"]["messages"][0]["seq"], 601);
    assert_eq!(started.elapsed(), Duration::ZERO, "as it came, not with the next confirmation");
    assert_eq!(bob.receive().await["event"], json!({"caught_up": {"seq": 601}}));
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    // Other requests of the connection go on.
    let ping = bob.request(json!({"ping": {}})).await;
    assert_eq!(bob.receive().await, json!({"id": ping, "result": {"done": {}}}));
    let unfollow = bob.request(json!({"unfollow": {"follow": follow}})).await;
    assert_eq!(bob.receive().await, json!({"id": unfollow, "result": {"done": {}}}));
    send_all(&mut alice, "bob", 601..602).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let ping = bob.request(json!({"ping": {}})).await;
    assert_eq!(bob.receive().await["id"], ping, "nothing comes of a follow that was ended");
}

#[tokio::test(start_paused = true)]
async fn none_is_missed_and_none_comes_twice_across_reconnections() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    rig.registered("bob").await;
    let sender = crate::host::spawn(async move {
        for number in 0..1_000 {
            let answer = alice.ask(send(number, "bob", &"x".repeat(500))).await;
            assert!(answer["result"]["sent"].is_object(), "{answer}");
            if number % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let mut seen = Vec::new();
    let mut connections = 0;
    while seen.len() < 1_000 {
        connections += 1;
        let mut bob = rig.client().await;
        bob.ask(json!({"authenticate": {"token": token("bob")}})).await;
        let query = json!({"which": "all", "after": seen.last().copied().unwrap_or(0)});
        bob.request(json!({"follow": query})).await;
        // Cut off after a few lines, in the middle of whatever comes next.
        for _ in 0..1 + connections % 5 {
            let line = bob.receive().await;
            for message in line["event"]["messages"].as_array().into_iter().flatten() {
                seen.push(message["seq"].as_u64().expect("a number"));
            }
        }
    }
    sender.await.expect("all were sent");
    assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
    assert!(connections > 5, "{connections} connections");
}

#[tokio::test(start_paused = true)]
async fn an_unread_follow_shows_the_unread_and_everything_new() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    send_all(&mut alice, "bob", 0..4).await;
    let mark =
        |number, seqs: Vec<u64>| json!({"mark_read": {"operation": id(number), "seqs": seqs}});
    bob.ask(mark(10, vec![2, 3])).await;
    let follow = bob.request(json!({"follow": {}})).await;
    assert_eq!(until_caught_up(&mut bob, follow, 4).await, [1, 4]);
    // New, and read elsewhere before this follower gets to see it: the replica
    // applies both before the follow runs again.
    let mut other = rig.client().await;
    other.ask(json!({"authenticate": {"token": token("bob")}})).await;
    rig.replica.lag();
    send_all(&mut alice, "bob", 4..5).await;
    other.request(mark(11, vec![5])).await;
    assert_eq!(other.receive().await["result"]["marked"]["count"], 1);
    let message = bob.receive().await;
    assert_eq!(message["event"]["messages"][0]["seq"], 5, "{message}");
    assert_eq!(message["event"]["messages"][0]["read"], true, "{message}");
}

#[tokio::test(start_paused = true)]
async fn follows_filter_and_have_bounds() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    send_all(&mut alice, "bob", 0..3).await;
    send_all(&mut bob, "bob", 3..4).await;
    let sent = bob.request(json!({"follow": {"which": "sent"}})).await;
    assert_eq!(until_caught_up(&mut bob, sent, 4).await, [4]);
    bob.ask(json!({"unfollow": {"follow": sent}})).await;
    let from = bob.request(json!({"follow": {"from": "ALICE", "after": 1}})).await;
    assert_eq!(until_caught_up(&mut bob, from, 4).await, [2, 3]);
    let again = json!({"id": from, "request": {"follow": {}}});
    bob.send_line(&again.to_string()).await;
    assert_eq!(code(&bob.receive().await), "invalid_request", "that id is taken");
    for _ in 1..16 {
        let follow = bob.request(json!({"follow": {"after": 4}})).await;
        assert_eq!(until_caught_up(&mut bob, follow, 4).await, [0; 0]);
    }
    assert_eq!(bob.refused(json!({"follow": {}})).await, "too_many");
}

#[tokio::test(start_paused = true)]
async fn a_follow_ends_with_its_session() {
    let rig = Rig::start();
    let mut bob = rig.registered("bob").await;
    let mut other = rig.client().await;
    other.ask(json!({"authenticate": {"token": token("bob")}})).await;
    let follow = bob.request(json!({"follow": {}})).await;
    until_caught_up(&mut bob, follow, 0).await;
    let started = tokio::time::Instant::now();
    other.ask(json!({"logout": {"operation": id(1)}})).await;
    let end = bob.receive().await;
    assert_eq!((&end["id"], code(&end).as_str()), (&json!(follow), "session_expired"));
    assert_eq!(started.elapsed(), Duration::ZERO, "at once");
    // By time, it is noticed with the next confirmation.
    let rig = Rig::with(Limits { session_lifetime_s: 5, ..Limits::default() });
    let mut bob = rig.registered("bob").await;
    let follow = bob.request(json!({"follow": {}})).await;
    let started = tokio::time::Instant::now();
    let end = loop {
        let line = bob.receive().await;
        if line["error"].is_object() {
            break line;
        }
    };
    assert_eq!((&end["id"], code(&end).as_str()), (&json!(follow), "session_expired"));
    assert_eq!(started.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_follow_that_is_cut_off_sends_its_client_elsewhere() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    let follow = bob.request(json!({"follow": {}})).await;
    until_caught_up(&mut bob, follow, 0).await;
    let started = tokio::time::Instant::now();
    rig.replica.majority.send_replace(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.replica.majority.send_replace(true);
    assert_eq!(bob.receive().await["event"], json!({"caught_up": {"seq": 0}}), "an election long");
    let started_again = tokio::time::Instant::now();
    assert_eq!((started_again - started).as_secs(), 5);
    rig.replica.majority.send_replace(false);
    send_all(&mut alice, "bob", 0..1).await;
    assert_eq!(bob.receive().await["event"]["messages"][0]["seq"], 1, "news are still told");
    let end = bob.receive().await;
    assert_eq!((&end["id"], code(&end).as_str()), (&json!(follow), "read_not_confirmed"));
    assert_eq!(end["error"]["retryable"], true);
    assert!(end["error"]["message"].to_string().contains("servers 2 and 3 are missing"));
    assert_eq!(started_again.elapsed(), Duration::from_secs(6), "an interval and the timeout");
    // And none begins.
    assert_eq!(bob.refused(json!({"follow": {}})).await, "read_not_confirmed");
}

#[tokio::test(start_paused = true)]
async fn a_slow_follower_lags_and_is_not_dropped() {
    let rig = Rig::with(Limits { write_queue_max_bytes: 16 * 1024, ..Limits::default() });
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    let follow = bob.request(json!({"follow": {"which": "all"}})).await;
    // Over two megabytes that nobody reads.
    for number in 0..300 {
        alice.ask(send(number, "bob", &"x".repeat(8_000))).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(until_caught_up(&mut bob, follow, 300).await, (1..=300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_long_lists_of_recipients_has_no_gaps() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    // As many recipients and as much text as one look at the state finds for a
    // whole event: more than a line holds.
    let others: Vec<String> = (0..10).map(|number| format!("{number:032}")).collect();
    for name in &others {
        rig.registered(name).await;
    }
    let to: Vec<&str> = others.iter().map(String::as_str).chain(["bob"]).collect();
    for number in 0..600 {
        let text = "\u{1}".repeat(256);
        let send = json!({"send": {"operation": id(number), "to": to, "text": text}});
        assert!(alice.ask(send).await["result"]["sent"].is_object());
    }
    let follow = bob.request(json!({"follow": {}})).await;
    assert_eq!(until_caught_up(&mut bob, follow, 600).await, (1..=600).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_unread_follow_that_lags_shows_what_came_meanwhile_once() {
    let rig = Rig::with(Limits { write_queue_max_bytes: 16 * 1024, ..Limits::default() });
    let mut alice = rig.registered("alice").await;
    let mut bob = rig.registered("bob").await;
    let long = "x".repeat(7_000);
    for number in 0..100 {
        alice.ask(send(number, "bob", &long)).await;
    }
    let follow = bob.request(json!({"follow": {"which": "unread"}})).await;
    // It waits until bob reads, in the midst of what was there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 100..105 {
        alice.ask(send(number, "bob", &long)).await;
    }
    assert_eq!(until_caught_up(&mut bob, follow, 105).await, (1..=105).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn follows_that_ended_leave_room_for_others() {
    let rig = Rig::start();
    let mut bob = rig.registered("bob").await;
    rig.replica.majority.send_replace(false);
    for _ in 0..20 {
        assert_eq!(bob.refused(json!({"follow": {}})).await, "read_not_confirmed");
    }
    rig.replica.majority.send_replace(true);
    let follow = bob.request(json!({"follow": {}})).await;
    assert_eq!(until_caught_up(&mut bob, follow, 0).await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn only_who_is_shown_unconfirmed_messages_is_told_that_one_is_withdrawn() {
    let rig = Rig::start();
    let mut bob = rig.registered("bob").await;
    let account = bob.ask(json!({"whoami": {}})).await["result"]["session"]["account"].clone();
    let account: Uuid = account.as_str().and_then(|it| it.parse().ok()).expect("an id");
    let withdrawn = |id| Withdrawn { id: Uuid::from_u128(id), reason: "so it is" };
    async fn follow(bob: &mut Client, id: u64, confirm: &str) {
        let request = json!({"follow": {}});
        let line = json!({"id": id, "timeout_ms": 1_000, "confirm": confirm, "request": request});
        bob.send_line(&line.to_string()).await;
        until_caught_up(bob, id, 0).await;
    }
    follow(&mut bob, 70, "any").await;
    rig.replica.withdraw(account, withdrawn(1));
    let event = bob.receive().await;
    let told = json!({"refused": {"id": Uuid::from_u128(1), "reason": "so it is"}});
    assert_eq!((&event["id"], &event["event"]), (&json!(70), &told));
    // One that begins later has shown nothing of it, and one that is strict shows no such.
    follow(&mut bob, 71, "majority").await;
    rig.replica.withdraw(account, withdrawn(2));
    let told: Vec<Value> = [bob.receive().await, bob.receive().await].into();
    let of = |line: &Value| (line["id"].as_u64(), line["event"]["refused"]["id"].is_string());
    assert!(told.iter().all(|line| of(line).0 == Some(70) || !of(line).1), "{told:?}");
    assert_eq!(told.iter().filter(|line| of(line) == (Some(70), true)).count(), 1, "{told:?}");
}
