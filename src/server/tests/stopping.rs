use super::*;

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_was_taken_and_ends_follows() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    let mut follower = rig.registered("bob").await;
    let follow = follower.request(json!({"follow": {}})).await;
    follower.receive().await;
    let mut idle = rig.client().await;
    let silent = rig.connect("127.0.0.1").await;
    rig.replica.answers.send_replace(false);
    let taken = alice.request(send(1, "alice", "hello")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    rig.stop.send_replace(true);
    let end = follower.thrown_out().await;
    assert_eq!((&end["id"], code(&end).as_str()), (&json!(follow), "unavailable"));
    assert_eq!(end["error"]["retryable"], true);
    assert_eq!(idle.receive_or_end().await, None);
    assert_eq!(code(&silent.thrown_out().await), "unavailable");
    // What comes after the signal is not taken.
    alice.request(send(2, "alice", "too late")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!rig.server.is_finished(), "a request is in progress");
    rig.replica.answers.send_replace(true);
    let last = alice.thrown_out().await;
    assert_eq!((&last["id"], &last["result"]["sent"]["seq"]), (&json!(taken), &json!(1)));
    assert_eq!(rig.replica.proposed(), [id_of("alice"), id_of("bob"), id(1)]);
    drop(idle);
    let started = tokio::time::Instant::now();
    rig.server.await.expect("stopped");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_ever() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    rig.replica.answers.send_replace(false);
    alice.request(send(1, "alice", "hello")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let started = tokio::time::Instant::now();
    rig.stop.send_replace(true);
    rig.server.await.expect("stopped");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    assert_eq!(alice.receive_or_end().await, None, "no answer is an unknown outcome");
}

#[tokio::test(start_paused = true)]
async fn replicas_stay_connected_when_the_server_stops() {
    let rig = Rig::start();
    let mut peer = rig.connect("127.0.0.1").await;
    peer.send_line(r#"{"ftchat":1,"role":"peer"}"#).await;
    let mut line = String::new();
    peer.stream.read_line(&mut line).await.expect("memory");
    rig.stop.send_replace(true);
    rig.server.await.expect("stopped");
    peer.send_line("still here").await;
    line.clear();
    peer.stream.read_line(&mut line).await.expect("memory");
    assert_eq!(line, "still here\n");
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_owner_is_gone_stops() {
    let rig = Rig::start();
    let mut client = rig.client().await;
    drop(rig.stop);
    assert_eq!(client.receive_or_end().await, None);
    drop(client);
    rig.server.await.expect("stopped");
}
