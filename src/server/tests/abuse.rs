use tokio::io::AsyncReadExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn who_asks_without_reading_is_dropped() {
    let rig = Rig::with(Limits { write_queue_max_bytes: 4_096, ..Limits::default() });
    let mut client = rig.client().await;
    let ping = format!("{}\n", json!({"id": 1, "request": {"ping": {}}})).repeat(5_000);
    // The pipe takes 64 KiB of answers, the queue four; then the connection ends.
    let said = timeout(LONG, client.stream.write_all(ping.as_bytes())).await;
    let said = said.expect("dropped, not stuck");
    let mut answers = 0;
    while let Ok(Ok(count)) = timeout(LONG, client.stream.read_until(b'\n', &mut Vec::new())).await
    {
        if count == 0 {
            break;
        }
        answers += 1;
    }
    assert!(answers < 5_000, "{answers} answers after {said:?}");
    assert!(answers > 1_000, "what was written before arrives: {answers}");
    rig.client().await;
}

#[tokio::test(start_paused = true)]
async fn pages_that_nobody_reads_wait_and_do_not_pile_up() {
    let rig = Rig::with(Limits { write_queue_max_bytes: 512 * 1024, ..Limits::default() });
    let mut alice = rig.registered("alice").await;
    for number in 0..10 {
        alice.ask(send(number, "alice", &"x".repeat(8_000))).await;
    }
    // Each answer is 64 KiB; 100 of them would be far over the bound.
    for _ in 0..100 {
        alice.request(json!({"inbox": {"which": "all"}})).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    for _ in 0..100 {
        let page = alice.receive().await;
        assert_eq!(page["result"]["messages"]["messages"].as_array().map(Vec::len), Some(8));
    }
    // And one that waits longer than it may is told that nothing was done.
    for _ in 0..5 {
        alice.request(json!({"inbox": {"which": "all"}})).await;
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mut codes = Vec::new();
    for _ in 0..5 {
        let line = alice.receive().await;
        codes.push(line["error"]["code"].as_str().unwrap_or("page").to_string());
    }
    assert_eq!(codes.first().map(String::as_str), Some("page"));
    assert_eq!(codes.last().map(String::as_str), Some("deadline_exceeded"));
}

fn few(max: usize, reserved: usize) -> Rig {
    Rig::with(Limits {
        connections_max: max,
        connections_reserved: reserved,
        connections_per_address_max: max,
        ..Limits::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_full_server_says_so_and_has_room_again_later() {
    let rig = few(2, 0);
    let (first, _second) = (rig.client().await, rig.client().await);
    let third = rig.connect("127.0.0.1").await;
    let refusal = third.thrown_out().await;
    assert_eq!(code(&refusal), "too_many_connections");
    assert_eq!(refusal["error"]["retryable"], true);
    drop(first);
    rig.client().await;
}

#[tokio::test(start_paused = true)]
async fn the_unauthenticated_cannot_take_the_slots_of_users_and_replicas() {
    let rig = few(6, 4);
    let person = rig.registered("alice").await;
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(rig.client().await);
    }
    // The next client is on probation: it may log in, and nothing else.
    let mut late = rig.client().await;
    late.request(json!({"ping": {}})).await;
    assert_eq!(code(&late.thrown_out().await), "too_many_connections");
    let mut guessing = rig.client().await;
    guessing.request(login(1, "alice", "wrong password")).await;
    assert_eq!(code(&guessing.thrown_out().await), "login_refused");
    let silent = rig.client().await;
    let started = tokio::time::Instant::now();
    assert_eq!(code(&silent.thrown_out().await), "too_many_connections");
    assert_eq!(started.elapsed().as_secs(), 5);
    let mut welcome = rig.client().await;
    let bound = welcome.ask(json!({"authenticate": {"token": token("alice")}})).await;
    assert_eq!(bound["result"]["session"]["name"], "alice");
    tokio::time::sleep(Duration::from_secs(60)).await;
    welcome.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("stays");
    // The last slots are for replicas.
    let mut client = rig.connect("127.0.0.1").await;
    client.send_line(r#"{"ftchat":1,"role":"client"}"#).await;
    assert_eq!(code(&client.thrown_out().await), "too_many_connections");
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut peer = rig.connect("127.0.0.1").await;
        peer.send_line(r#"{"ftchat":1,"role":"peer","proof":1}"#).await;
        let mut line = String::new();
        peer.stream.read_line(&mut line).await.expect("memory");
        assert!(line.starts_with(r#"{"ftchat":1,"role":"peer","proof":1} from"#), "{line}");
        peers.push(peer);
    }
    drop((person, others));
}

/// Whether a connection was closed, whatever it was told before.
async fn is_closed(client: &mut Client) -> bool {
    let mut rest = Vec::new();
    let read = client.stream.read_to_end(&mut rest);
    timeout(Duration::from_millis(1), read).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_silent_cannot_keep_people_and_replicas_out() {
    let rig = few(6, 4);
    let mut person = rig.registered("alice").await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(rig.connect("127.0.0.1").await);
    }
    // All six slots are taken, and still the next ones get in.
    let mut late = rig.client().await;
    late.ask(json!({"authenticate": {"token": token("alice")}})).await;
    let mut peer = rig.connect("127.0.0.1").await;
    peer.send_line(r#"{"ftchat":1,"role":"peer","proof":1}"#).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut open = 0;
    for client in &mut silent {
        open += usize::from(!is_closed(client).await);
    }
    assert_eq!(open, 3, "six slots without two people and a replica");
    person.ask(json!({"whoami": {}})).await["result"]["session"].as_object().expect("stays");
}

#[tokio::test(start_paused = true)]
async fn who_only_says_to_be_a_replica_goes_in_time_and_gives_way() {
    let rig = few(4, 4);
    let mut liars = Vec::new();
    for _ in 0..8 {
        let mut liar = rig.connect("127.0.0.1").await;
        liar.send_line(r#"{"ftchat":1,"role":"peer"}"#).await;
        liars.push(liar);
    }
    let mut replica = rig.connect("127.0.0.1").await;
    replica.send_line(r#"{"ftchat":1,"role":"peer","proof":1}"#).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    for mut liar in liars {
        assert!(is_closed(&mut liar).await, "it did not prove anything within five seconds");
    }
    assert!(!is_closed(&mut replica).await);
}

fn little_memory(bytes: usize) -> Rig {
    Rig::with(Limits { connection_memory_max_bytes: bytes, ..Limits::default() })
}

#[tokio::test(start_paused = true)]
async fn lines_that_never_end_take_no_memory_from_people() {
    let rig = little_memory(1024 * 1024);
    let mut alice = rig.registered("alice").await;
    let mut refused = 0;
    let mut others = Vec::new();
    for _ in 0..40 {
        let mut other = rig.client().await;
        other.send_bytes(&[b'x'; 60_000]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        others.push(other);
        assert!(!rig.memory.is_short(), "half of it is for people");
    }
    // A long message is taken, though the half of those without a session is used up.
    let answer = alice.ask(send(1, "alice", &"x".repeat(8_000))).await;
    assert_eq!(answer["result"]["sent"]["seq"], 1, "{answer}");
    for other in &mut others {
        refused += usize::from(is_closed(other).await);
    }
    assert_eq!(refused, 0, "those who came too late wait a little");
    tokio::time::sleep(Duration::from_secs(6)).await;
    for other in &mut others {
        refused += usize::from(is_closed(other).await);
    }
    assert!((25..40).contains(&refused), "{refused} were refused");
    assert!(rig.memory.is_short_for_unauthenticated());
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(!rig.memory.is_short_for_unauthenticated(), "a long line must be complete in time");
    assert!(is_closed(&mut others[0]).await);
}

#[tokio::test(start_paused = true)]
async fn followers_who_never_read_take_no_memory_from_those_who_do() {
    let rig = little_memory(2 * 1024 * 1024);
    let mut alice = rig.registered("alice").await;
    for number in 0..50 {
        alice.ask(send(number, "alice", &"\u{1}".repeat(1_000))).await;
    }
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut client = rig.client().await;
        client.ask(json!({"authenticate": {"token": token("alice")}})).await;
        client.request(json!({"follow": {"which": "all"}})).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        deaf.push(client);
    }
    assert!(rig.memory.is_short());
    // Short for a moment: whoever takes nothing goes, and pages are made again.
    let started = tokio::time::Instant::now();
    let page = alice.ask(json!({"inbox": {"which": "all"}})).await;
    assert_eq!(page["result"]["messages"]["messages"].as_array().map(Vec::len), Some(50), "{page}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert!(!rig.memory.is_short());
}

#[tokio::test(start_paused = true)]
async fn requests_in_progress_take_no_more_memory_than_there_is() {
    let rig = little_memory(1024 * 1024);
    let alice = rig.registered("alice").await;
    rig.replica.answers.send_replace(false);
    let (mut busy, mut sent) = (Vec::new(), 1);
    for person in 0..20_u128 {
        let mut client = rig.client().await;
        client.ask(json!({"authenticate": {"token": token("alice")}})).await;
        for number in 0..20 {
            let request = send(100 * person + number, "alice", &"x".repeat(8_000));
            // Beyond what is read the pipe takes a little.
            if timeout(Duration::from_millis(10), client.request(request)).await.is_err() {
                break;
            }
            sent += 1;
        }
        busy.push(client);
    }
    let accepted = rig.replica.proposed().len();
    assert!((60..200).contains(&accepted), "{accepted} of 400 are in progress");
    rig.replica.answers.send_replace(true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(accepted < sent, "{sent} were sent");
    assert_eq!(rig.replica.proposed().len(), sent, "all are taken one after the other");
    assert!(!rig.memory.is_short());
    drop(alice);
}
