use super::*;

const NEW_PASSWORD: &str = "a better horse";

fn change_password(number: u128, old: &str, new: &str) -> Value {
    json!({"change_password": {"operation": id(number), "password": old, "new_password": new}})
}

#[tokio::test(start_paused = true)]
async fn a_password_is_changed_with_the_old_one_and_only_that_session_stays() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    let mut other = rig.client().await;
    other.ask(login(1, "alice", PASSWORD)).await["result"]["session"].as_object().expect("in");
    assert_eq!(
        alice.refused(change_password(2, "wrong horse", NEW_PASSWORD)).await,
        "login_refused"
    );
    assert_eq!(alice.refused(change_password(3, PASSWORD, "short")).await, "invalid_password");
    let long = "x".repeat(1_025);
    assert_eq!(alice.refused(change_password(4, PASSWORD, &long)).await, "invalid_password");
    other.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("nothing was");
    let done = alice.ask(change_password(5, PASSWORD, NEW_PASSWORD)).await;
    assert_eq!(done["result"], json!({"done": {}}));
    alice.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("it stays");
    for request in [json!({"whoami": {}}), json!({"inbox": {}}), send(6, "alice", "x")] {
        assert_eq!(other.refused(request).await, "session_expired");
    }
    let again = change_password(7, NEW_PASSWORD, "a third horse");
    assert_eq!(other.refused(again).await, "session_expired", "whoever knows it");
    let mut late = rig.client().await;
    assert_eq!(late.refused(login(8, "alice", PASSWORD)).await, "login_refused");
    late.ask(login(9, "alice", NEW_PASSWORD)).await["result"]["session"].as_object().expect("in");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lags_answers_no_session_that_a_new_password_has_ended() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    let mut other = rig.client().await;
    other.ask(login(1, "alice", PASSWORD)).await["result"]["session"].as_object().expect("in");
    // From here on it knows nothing of what the others have, until it asks.
    for number in 2..7 {
        let request = match number {
            2 => json!({"whoami": {}}),
            3 => json!({"inbox": {}}),
            4 => json!({"accounts": {}}),
            5 => json!({"find": {"prefixes": ["abcd"]}}),
            _ => send(100, "alice", "x"),
        };
        let (old, new) = (format!("password {number}"), format!("password {}", number + 1));
        let old = if number == 2 { PASSWORD } else { &old };
        let mut fresh = rig.client().await;
        let bound = fresh.ask(login(10 * number, "alice", old)).await;
        bound["result"]["session"].as_object().expect("logged in");
        rig.replica.lag();
        let done = alice.ask(change_password(number, old, &new)).await;
        assert_eq!(done["result"], json!({"done": {}}));
        assert_eq!(fresh.refused(request).await, "session_expired");
    }
    assert_eq!(other.refused(json!({"whoami": {}})).await, "session_expired");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_verified_before_a_new_password_was_set_opens_nothing_behind_it() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    // What it asks for waits on its way to the log, as a majority is missing.
    rig.replica.lose_majority();
    let mut thief = rig.client().await;
    thief.request(login(1, "alice", PASSWORD)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let action = rig.replica.look_for_password("alice", "of another password");
    rig.replica.apply(vec![action]);
    rig.replica.find_majority();
    assert_eq!(code(&thief.receive().await), "login_refused");
    alice.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("it stays");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_password_that_is_repeated_is_answered_alike_though_the_old_one_is_wrong_by_now()
 {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    let change = change_password(1, PASSWORD, NEW_PASSWORD);
    for _ in 0..3 {
        assert_eq!(alice.ask(change.clone()).await["result"], json!({"done": {}}));
    }
    let once = change_password(2, PASSWORD, NEW_PASSWORD);
    assert_eq!(alice.refused(once).await, "login_refused", "another is not that one");
    // Its id opens no way around the old password either.
    alice.ask(send(3, "alice", "x")).await["result"]["sent"].as_object().expect("sent");
    alice.ask(json!({"mark_read": {"operation": id(4), "seqs": [1]}})).await;
    let other = change_password(4, "a guess", "a third horse");
    assert_eq!(alice.refused(other).await, "login_refused");
    let mut late = rig.client().await;
    late.ask(login(5, "alice", NEW_PASSWORD)).await["result"]["session"].as_object().expect("in");
}

#[tokio::test(start_paused = true)]
async fn a_stolen_session_does_not_help_with_guessing_the_password() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    for number in 0..10 {
        let guess = change_password(number, "a guess", NEW_PASSWORD);
        assert_eq!(alice.refused(guess).await, "login_refused");
    }
    let limited = change_password(10, PASSWORD, NEW_PASSWORD);
    assert_eq!(alice.refused(limited).await, "rate_limited");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_with_an_older_server_says_that_it_must_be_updated_first() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let answer = alice.ask(change_password(1, PASSWORD, NEW_PASSWORD)).await;
    assert_eq!(code(&answer), "unsupported_version");
    assert!(answer["error"]["message"].to_string().contains("update it"), "{answer}");
    assert_eq!(rig.replica.proposed(), [id_of("alice")], "and nothing was asked of the log");
    // What there was before is asked for as before.
    let mut again = rig.client().await;
    again.ask(login(2, "alice", PASSWORD)).await["result"]["session"].as_object().expect("in");
    let end = json!({"delete_account": {"operation": id(3), "password": PASSWORD}});
    assert_eq!(alice.ask(end).await["result"], json!({"done": {}}));
}

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_with_the_address_that_the_server_saw_and_end_by_their_numbers() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    let mut elsewhere = rig.client_from("192.0.2.7").await;
    let bound = elsewhere.ask(login(1, "alice", PASSWORD)).await;
    bound["result"]["session"].as_object().expect("logged in");
    let listed = alice.ask(json!({"sessions": {}})).await["result"]["sessions"].take();
    let [own, other] = &listed["sessions"].as_array().expect("a list")[..] else {
        panic!("two sessions: {listed}")
    };
    let said = |session: &Value| (session["current"].clone(), session["from"].clone());
    assert_eq!(said(own), (json!(true), json!("127.0.0.1")));
    assert_eq!(said(other), (json!(false), json!("192.0.2.7")));
    assert!(own["started"].is_string() && own["last_used"].is_string(), "{own}");
    let end = |number: u128, ids: Value, others: bool| json!({"end_sessions": {"operation": id(number), "ids": ids, "others": others}});
    assert_eq!(alice.refused(end(2, json!([other["id"], 999]), false)).await, "unknown_session");
    assert_eq!(alice.refused(end(3, json!([]), false)).await, "invalid_request");
    assert_eq!(alice.refused(end(4, json!([1]), true)).await, "invalid_request");
    let many: Vec<u64> = (0..65).collect();
    assert_eq!(alice.refused(end(5, json!(many), false)).await, "too_many");
    // Whoever follows with it is cut off.
    let follow = elsewhere.request(json!({"follow": {}})).await;
    assert!(elsewhere.receive().await["event"]["caught_up"].is_object());
    let done = alice.ask(end(6, json!([other["id"]]), false)).await;
    assert_eq!(done["result"], json!({"done": {}}));
    let last = elsewhere.receive().await;
    assert_eq!((&last["id"], code(&last).as_str()), (&json!(follow), "session_expired"));
    assert_eq!(elsewhere.refused(json!({"sessions": {}})).await, "session_expired");
    let mut third = rig.client().await;
    third.ask(login(7, "alice", PASSWORD)).await;
    assert_eq!(alice.ask(end(8, json!([]), true)).await["result"], json!({"done": {}}));
    assert_eq!(third.refused(json!({"whoami": {}})).await, "session_expired");
    alice.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("it stays");
}

#[tokio::test(start_paused = true)]
async fn settings_are_listed_and_changed_and_an_unknown_one_is_refused() {
    let rig = Rig::start().at_newest_level();
    let (mut alice, mut bob) = (rig.registered("alice").await, rig.registered("bob").await);
    let set = |number: u128, key: &str, value: &str| json!({"change_setting": {"operation": id(number), "key": key, "value": value}});
    for (number, key, value) in [(1, "receipt", "off"), (2, "receipts", "no"), (3, "", "")] {
        assert_eq!(bob.refused(set(number, key, value)).await, "invalid_request");
    }
    alice.ask(send(4, "bob", "x")).await["result"]["sent"].as_object().expect("sent");
    bob.ask(json!({"mark_read": {"operation": id(5), "seqs": [1]}})).await;
    let sent = json!({"inbox": {"which": "sent", "read_by": true}});
    for (number, value, readers) in [(6, "off", json!([])), (7, "on", json!(["bob"]))] {
        assert_eq!(bob.ask(set(number, "receipts", value)).await["result"], json!({"done": {}}));
        let settings = bob.ask(json!({"settings": {}})).await["result"]["settings"].take();
        assert_eq!(settings, json!({"settings": [{"key": "receipts", "value": value}]}));
        let page = alice.ask(sent.clone()).await["result"]["messages"].take();
        assert_eq!(page["messages"][0]["read_by"], readers);
    }
    let page = alice.ask(json!({"inbox": {"which": "sent"}})).await;
    let message = &page["result"]["messages"]["messages"][0];
    assert!(message["read_by"].is_null(), "older clients are told what they were told: {message}");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_blocked_is_told_nothing_and_whoever_follows_is_shown_nothing() {
    let rig = Rig::start().at_newest_level();
    let (mut mallory, mut bob) = (rig.registered("mallory").await, rig.registered("bob").await);
    let change = |what: &str, number: u128, name: &str| json!({what: {"operation": id(number), "name": name}});
    assert_eq!(bob.refused(change("block", 1, "bob")).await, "invalid_request");
    assert_eq!(bob.refused(change("block", 2, "nobody")).await, "unknown_account");
    assert_eq!(bob.refused(change("block", 3, "no name")).await, "invalid_name");
    assert_eq!(bob.ask(change("block", 4, "Mallory")).await["result"], json!({"done": {}}));
    let listed = bob.ask(json!({"blocked": {}})).await;
    assert_eq!(listed["result"], json!({"blocked": {"names": ["mallory"]}}));
    let mut follower = rig.client().await;
    follower.ask(authenticate(&token("bob"))).await;
    follower.request(json!({"follow": {}})).await;
    assert!(follower.receive().await["event"]["caught_up"].is_object());
    let sent = mallory.ask(send(5, "bob", "blocked")).await["result"]["sent"].take();
    assert_eq!((&sent["to"], &sent["seq"]), (&json!(["bob"]), &json!(1)));
    assert_eq!(bob.ask(change("unblock", 6, "mallory")).await["result"], json!({"done": {}}));
    mallory.ask(send(7, "bob", "not blocked")).await["result"]["sent"].as_object().expect("sent");
    loop {
        let event = follower.receive().await["event"].take();
        if let Some(messages) = event["messages"].as_array() {
            assert_eq!(messages.len(), 1, "{event}");
            assert_eq!(messages[0]["text"], "not blocked");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_uses_up_what_an_account_may_send_keeps_its_owner_from_no_new_password() {
    let limits = Limits { changes_per_account_per_s: 1, change_burst: 2, ..Limits::default() };
    let rig = Rig::with(limits).at_newest_level();
    let mut alice = rig.registered("alice").await;
    let mut thief = rig.client().await;
    thief.ask(login(1, "alice", PASSWORD)).await["result"]["session"].as_object().expect("in");
    let mut number = 10;
    while thief.ask(send(number, "alice", "x")).await["error"]["code"] != "rate_limited" {
        number += 1;
        assert!(number < 100, "there is no limit");
    }
    assert_eq!(alice.refused(send(200, "alice", "x")).await, "rate_limited");
    let done = alice.ask(change_password(201, PASSWORD, NEW_PASSWORD)).await;
    assert_eq!(done["result"], json!({"done": {}}));
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_asks_for_whose_session_was_ended_comes_into_no_log() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    let mut thief = rig.client().await;
    thief.ask(login(1, "alice", PASSWORD)).await["result"]["session"].as_object().expect("in");
    alice.ask(change_password(2, PASSWORD, NEW_PASSWORD)).await;
    assert_eq!(thief.refused(send(3, "alice", "x")).await, "session_expired");
    // From here on nothing of it comes into the log.
    let before = rig.replica.index();
    for number in 4..9 {
        assert_eq!(thief.refused(send(number, "alice", "x")).await, "session_expired");
    }
    let mark = json!({"mark_read": {"operation": id(9), "ids": [id(77)]}});
    assert_eq!(thief.refused(mark).await, "session_expired");
    assert_eq!(rig.replica.index(), before);
    // It may log in once more.
    let bound = thief.ask(login(10, "alice", NEW_PASSWORD)).await;
    bound["result"]["session"].as_object().expect("in");
}

#[tokio::test(start_paused = true)]
async fn a_mark_by_ids_tells_a_session_that_has_ended_nothing_of_the_inbox() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    alice.ask(send(1, "alice", "x")).await["result"]["sent"].as_object().expect("sent");
    for known in [id(1), id(77)] {
        let mut thief = rig.client().await;
        let login = login(rand_number(), "alice", PASSWORD);
        thief.ask(login).await["result"]["session"].as_object().expect("in");
        alice.ask(change_password(rand_number(), PASSWORD, PASSWORD)).await;
        let mark = json!({"mark_read": {"operation": id(rand_number()), "ids": [known]}});
        assert_eq!(thief.refused(mark).await, "session_expired");
    }
}

/// A number for an id that no other test of this file has.
fn rand_number() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_another_new_password_is_not_told_that_it_is_changed() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    let change = change_password(2, PASSWORD, NEW_PASSWORD);
    assert_eq!(alice.ask(change.clone()).await["result"], json!({"done": {}}));
    assert_eq!(alice.ask(change).await["result"], json!({"done": {}}), "its answer was lost");
    let other = change_password(2, PASSWORD, "a third horse");
    assert_eq!(alice.refused(other).await, "login_refused");
    let mut late = rig.client().await;
    late.ask(login(3, "alice", NEW_PASSWORD)).await["result"]["session"].as_object().expect("in");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_opens_nothing_any_more_takes_nothing_from_the_session_that_is_bound() {
    let rig = Rig::start().at_newest_level();
    let mut alice = rig.registered("alice").await;
    assert_eq!(alice.refused(authenticate(&token("nobody"))).await, "session_expired");
    alice.ask(send(1, "alice", "x")).await["result"]["sent"].as_object().expect("it is bound");
}
