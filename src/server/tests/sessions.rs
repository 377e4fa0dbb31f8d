use super::*;

#[tokio::test(start_paused = true)]
async fn a_session_is_the_same_on_every_connection_until_it_ends() {
    let rig = Rig::start();
    let mut first = rig.registered("Alice").await;
    let mut second = rig.client().await;
    let bound = second.ask(authenticate(&token("Alice").to_uppercase())).await;
    assert_eq!(bound["result"], second.ask(json!({"whoami": {}})).await["result"]);
    assert_eq!(first.ask(json!({"whoami": {}})).await["result"], bound["result"]);
    assert_eq!(bound["result"]["session"]["name"], "Alice");
    let done = first.ask(json!({"logout": {"operation": id(1)}})).await;
    assert_eq!(done["result"], json!({"done": {}}));
    assert_eq!(first.refused(json!({"whoami": {}})).await, "not_logged_in");
    assert_eq!(second.refused(json!({"whoami": {}})).await, "session_expired");
    assert_eq!(second.refused(json!({"follow": {}})).await, "session_expired");
    assert_eq!(second.refused(json!({"inbox": {}})).await, "session_expired");
    assert_eq!(second.refused(json!({"accounts": {}})).await, "session_expired");
    assert_eq!(second.refused(json!({"find": {"prefixes": ["abcd"]}})).await, "session_expired");
    assert_eq!(second.refused(send(2, "alice", "x")).await, "session_expired");
    let ended = rig.client().await.ask(authenticate(&token("Alice"))).await;
    assert_eq!(code(&ended), "session_expired");
    assert_eq!(rig.client().await.refused(authenticate("short")).await, "not_logged_in");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_time() {
    let rig = Rig::with(Limits { session_lifetime_s: 100, ..Limits::default() });
    let mut alice = rig.registered("alice").await;
    tokio::time::sleep(Duration::from_secs(99)).await;
    alice.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("alive");
    tokio::time::sleep(Duration::from_secs(1)).await;
    for request in [json!({"whoami": {}}), send(1, "alice", "x")] {
        let answer = alice.ask(request).await;
        assert_eq!(code(&answer), "session_expired");
        assert!(answer["error"]["message"].to_string().contains("expired on 2027-"), "{answer}");
    }
    assert_eq!(rig.client().await.refused(authenticate(&token("alice"))).await, "session_expired");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lags_looks_again_before_it_refuses_a_token() {
    let rig = Rig::start();
    rig.replica.lag();
    // One for the time; the session is made at the leader, and here its answer needs
    // another.
    rig.replica.lose_majority();
    let mut alice = rig.client().await;
    alice.request(register("alice")).await;
    // The time stands still until nobody has anything else to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
    rig.replica.lag();
    rig.replica.find_majority();
    alice.receive().await["result"]["session"].as_object().expect("seen");
    assert_eq!(rig.replica.confirmations(), 2);
    rig.replica.lag();
    alice.ask(send(1, "alice", "x")).await["result"]["sent"].as_object().expect("sent");
    let mut other = rig.client().await;
    let bound = other.ask(authenticate(&token("alice"))).await;
    assert_eq!(bound["result"]["session"]["name"], "alice");
    assert_eq!(rig.replica.confirmations(), 2, "known here: nobody is asked");
    let inbox = other.ask(json!({"inbox": {}})).await;
    assert_eq!(inbox["result"]["messages"]["messages"][0]["seq"], 1, "reads are confirmed");
    // A login elsewhere, of which this replica has not heard yet.
    rig.replica.lag();
    let mut elsewhere = rig.client().await;
    rig.replica.lose_majority();
    elsewhere.request(register("bob")).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    rig.replica.lag();
    rig.replica.majority.send_replace(false);
    rig.replica.find_majority();
    let answer = elsewhere.receive().await;
    assert_eq!(code(&answer), "outcome_unknown", "the session exists and was not seen: {answer}");
    let unknown = rig.client().await.ask(authenticate(&token("carol"))).await;
    assert_eq!(code(&unknown), "read_not_confirmed", "not refused while in doubt");
    assert_eq!(unknown["error"]["retryable"], true);
    rig.replica.majority.send_replace(true);
    assert_eq!(rig.client().await.refused(authenticate(&token("carol"))).await, "session_expired");
    let bound = elsewhere.ask(register("bob")).await;
    assert_eq!(bound["result"]["session"]["name"], "bob", "the same id again");
}

#[tokio::test(start_paused = true)]
async fn no_session_begins_by_the_clock_of_one_server_alone() {
    let rig = Rig::start();
    rig.registered("alice").await;
    rig.replica.majority.send_replace(false);
    for request in [register("bob"), login(1, "alice", PASSWORD)] {
        let mut client = rig.client().await;
        assert_eq!(client.refused(request).await, "read_not_confirmed");
    }
    assert_eq!(rig.replica.proposed(), [id_of("alice")]);
}

#[tokio::test(start_paused = true)]
async fn unknown_accounts_and_wrong_passwords_are_answered_alike() {
    let rig = Rig::start();
    rig.registered("alice").await;
    let mut client = rig.client().await;
    let wrong = client.ask(login(1, "alice", "wrong password")).await;
    let unknown = client.ask(login(2, "nobody", "wrong password")).await;
    assert_eq!(wrong["error"], unknown["error"]);
    assert_eq!(code(&wrong), "login_refused");
    let long = client.ask(login(3, "alice", &"x".repeat(5_000))).await;
    assert_eq!(long["error"], wrong["error"]);
    assert_eq!(rig.replica.confirmations(), 4, "each looked at a confirmed state");
    assert_eq!(rig.replica.proposed(), [id_of("alice")]);
    let right = client.ask(login(4, "ALICE", PASSWORD)).await;
    assert_eq!(right["result"]["session"]["name"], "alice");
}

#[tokio::test(start_paused = true)]
async fn names_and_passwords_have_rules() {
    let rig = Rig::start();
    let mut client = rig.client().await;
    let with = |key: &str, value: &str| {
        let mut request = register("alice");
        request["register"][key] = json!(value);
        request
    };
    assert_eq!(client.refused(with("name", "a b")).await, "invalid_name");
    assert_eq!(client.refused(with("password", "short")).await, "invalid_password");
    assert_eq!(client.refused(with("password", &"x".repeat(1_025))).await, "invalid_password");
    assert_eq!(client.refused(with("token", "abc")).await, "invalid_request");
    assert!(rig.replica.proposed().is_empty());
    client.ask(register("alice")).await["result"]["session"].as_object().expect("registered");
    assert_eq!(
        client
            .refused(json!({"register": {"operation": id(8), "name": "ALICE",
        "password": PASSWORD, "token": token("x")}}))
            .await,
        "name_taken"
    );
}

#[tokio::test(start_paused = true)]
async fn guesses_are_limited_and_a_right_password_elsewhere_is_not() {
    let rig = Rig::start();
    rig.registered("alice").await;
    let mut attacker = rig.client_from("192.0.2.66").await;
    for number in 0..10 {
        assert_eq!(
            attacker.refused(login(number, "alice", "a wrong guess")).await,
            "login_refused"
        );
    }
    let limited = attacker.ask(login(10, "alice", PASSWORD)).await;
    assert_eq!(code(&limited), "rate_limited", "even a right guess");
    assert_eq!(limited["error"]["retry_after_ms"], 6_000);
    assert!(limited["error"]["message"].to_string().contains("in 6 seconds"), "{limited}");
    let mut alice = rig.client_from("192.0.2.1").await;
    let session = alice.ask(login(11, "alice", PASSWORD)).await;
    assert_eq!(session["result"]["session"]["name"], "alice", "{session}");
    // Right passwords spend nothing, however many at once.
    for number in 12..40 {
        alice.request(login(number, "alice", PASSWORD)).await;
    }
    for _ in 12..40 {
        alice.receive().await["result"]["session"].as_object().expect("logged in");
    }
    // A stolen session does not help with guessing either.
    let guess =
        |number| json!({"delete_account": {"operation": id(number), "password": "a guess"}});
    for number in 50..60 {
        assert_eq!(alice.refused(guess(number)).await, "login_refused");
    }
    assert_eq!(alice.refused(guess(60)).await, "rate_limited");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let session = attacker.ask(login(61, "alice", PASSWORD)).await;
    assert_eq!(session["result"]["session"]["name"], "alice", "nobody is locked out for good");
}

#[tokio::test(start_paused = true)]
async fn registrations_are_limited_by_address() {
    let rig = Rig::with(Limits { registration_burst: 2, ..Limits::default() });
    let mut client = rig.client_from("192.0.2.1").await;
    for name in ["alice", "bob"] {
        client.ask(register(name)).await["result"]["session"].as_object().expect("registered");
    }
    let limited = client.ask(register("carol")).await;
    assert_eq!(
        (code(&limited).as_str(), &limited["error"]["retry_after_ms"]),
        ("rate_limited", &json!(1_000))
    );
    rig.client_from("192.0.2.2").await.ask(register("carol")).await["result"]["session"]
        .as_object()
        .expect("another address");
}

#[tokio::test(start_paused = true)]
async fn an_account_is_deleted_with_its_password_only() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let delete = |number, password: &str| json!({"delete_account": {"operation": id(number), "password": password}});
    assert_eq!(alice.refused(delete(1, "wrong password")).await, "login_refused");
    assert_eq!(
        alice.ask(json!({"accounts": {}})).await["result"]["accounts"]["names"],
        json!(["alice"])
    );
    let mut other = rig.client().await;
    other.ask(authenticate(&token("alice"))).await;
    assert_eq!(alice.ask(delete(2, PASSWORD)).await["result"], json!({"done": {}}));
    assert_eq!(alice.refused(json!({"whoami": {}})).await, "not_logged_in");
    // The answer was lost: the same operation, with the session that is gone.
    assert_eq!(other.ask(delete(2, PASSWORD)).await["result"], json!({"done": {}}));
    assert_eq!(rig.client().await.refused(login(3, "alice", PASSWORD)).await, "login_refused");
    let again = rig
        .client()
        .await
        .ask(json!({"register": {"operation": id(4), "name": "alice",
        "password": PASSWORD, "token": token("new")}}))
        .await;
    assert_eq!(again["result"]["session"]["name"], "alice", "the name is free: {again}");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_repeated_does_not_get_the_session_of_a_later_one() {
    let rig = Rig::start();
    rig.registered("alice").await;
    let mut alice = rig.client().await;
    let again = |number: u128| {
        let mut login = login(number, "alice", PASSWORD);
        login["login"]["token"] = json!(token("of both"));
        login
    };
    alice.ask(again(1)).await["result"]["session"].as_object().expect("logged in");
    alice.ask(json!({"logout": {"operation": id(2)}})).await;
    alice.ask(again(3)).await["result"]["session"].as_object().expect("logged in");
    assert_eq!(rig.client().await.refused(again(1)).await, "id_conflict");
    rig.client().await.ask(again(3)).await["result"]["session"].as_object().expect("the same");
}

#[tokio::test(start_paused = true)]
async fn nobody_logs_in_while_a_backup_is_restored_and_all_are_told_why() {
    use crate::chat::{Action, Operation, RestoreStep};
    let rig = Rig::start();
    let step = RestoreStep::Begin { backup: id(1) };
    rig.replica.apply(vec![Operation { id: id(2), action: Action::Restore(step) }]);
    let mut alice = rig.client().await;
    assert_eq!(alice.refused(login(3, "alice", PASSWORD)).await, "restoring");
    assert_eq!(alice.refused(register("alice")).await, "restoring");
}
