use super::*;
use crate::server::wakefulness::STILL_MIN;

/// Another connection of a user who is registered.
async fn logged_in(rig: &Rig, name: &str) -> Client {
    let mut client = rig.client().await;
    client.ask(authenticate(&token(name))).await;
    client
}

/// Whoever stands still for so long, with what is asked meanwhile.
async fn stand_still(time: Duration) {
    tokio::time::advance(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_lay_in_the_socket_of_a_frozen_server_is_not_taken() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    alice.request(send(1, "alice", "asked elsewhere meanwhile")).await;
    stand_still(STILL_MIN).await;
    let end = alice.thrown_out().await;
    assert_eq!((code(&end).as_str(), &end["error"]["retryable"]), ("unavailable", &json!(true)));
    assert_eq!(rig.replica.proposed(), [id_of("alice")]);
    // It serves whoever comes from then on.
    let mut again = logged_in(&rig, "alice").await;
    again.request(send(2, "alice", "hello")).await;
    assert_eq!(again.receive().await["result"]["sent"]["seq"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_log_when_the_server_stands_still_is_given_up() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut follower = logged_in(&rig, "alice").await;
    let follow = follower.request(json!({"follow": {}})).await;
    follower.receive().await;
    rig.replica.answers.send_replace(false);
    alice.request(send(1, "alice", "hello")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    stand_still(STILL_MIN).await;
    assert_eq!(code(&alice.thrown_out().await), "unavailable");
    let mut line = follower.receive().await;
    while line.get("event").is_some() {
        line = follower.receive().await;
    }
    assert_eq!((line.get("id"), code(&line).as_str()), (None, "unavailable"));
    let end = follower.thrown_out().await;
    assert_eq!((&end["id"], code(&end).as_str()), (&json!(follow), "unavailable"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_was_slow_goes_on() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    for number in 1..4 {
        stand_still(STILL_MIN - Duration::from_secs(1)).await;
        alice.request(send(number, "alice", "hello")).await;
        assert_eq!(alice.receive().await["result"]["sent"]["seq"], number as u64);
    }
}
