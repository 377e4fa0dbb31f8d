use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::client::Client;
use crate::client::fake::{self, CLUSTER, FakeNetwork, Mode, Reaction, addresses};
use crate::error::{Error, ErrorCode};
use crate::protocol::client::Mode::{Alone, Majority, Settling};
use crate::protocol::client::{Answer, Confirm, Request};
use crate::types::Uuid;

const TIMEOUT: Duration = Duration::from_secs(10);

fn client(network: &Arc<FakeNetwork>, confirm: Confirm) -> Client {
    Client::new(fake::host(network), addresses(), TIMEOUT).expect("servers").confirming(confirm)
}

fn change() -> Request {
    let (operation, to) = (Uuid::from_u128(7), vec!["bob".to_string()]);
    Request::Send { operation, to, text: "hi".into(), first: true, after: None, reply_to: None }
}

fn done() -> Reaction {
    Reaction::Answer(Answer::done())
}

/// Servers that do whatever they are asked.
fn willing() -> Arc<FakeNetwork> {
    FakeNetwork::new(|_, _| done())
}

/// The servers that were asked, in that order.
fn asked(network: &FakeNetwork) -> Vec<usize> {
    network.asked.lock().iter().map(|(server, _)| *server).collect()
}

#[tokio::test(start_paused = true)]
async fn every_request_says_who_has_to_confirm_it() {
    for confirm in [Confirm::Majority, Confirm::Any] {
        let network = willing();
        let mut client = client(&network, confirm);
        client.set_session(SecretString::from("t"), CLUSTER);
        client.request(change()).await.expect("taken");
        assert_eq!(*network.confirm.lock(), [confirm, confirm], "the token, the message");
    }
    // Whoever does not choose means a majority.
    let network = willing();
    let mut client = Client::new(fake::host(&network), addresses(), TIMEOUT).expect("servers");
    client.request(change()).await.expect("taken");
    assert_eq!(*network.confirm.lock(), [Confirm::Majority]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_alone_is_left_for_one_that_is_not_before_it_is_shown_anything() {
    for better in [Majority, Settling] {
        let network = willing();
        network.greet_as(0, Alone);
        network.greet_as(1, Alone);
        network.greet_as(2, better);
        let mut client = client(&network, Confirm::Any);
        client.set_session(SecretString::from("t"), CLUSTER);
        let started = Instant::now();
        client.request(change()).await.expect("taken");
        assert_eq!((asked(&network), started.elapsed()), (vec![2, 2], Duration::ZERO));
        // It is the one that is kept.
        client.request(change()).await.expect("taken");
        assert_eq!(asked(&network), [2, 2, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_has_a_majority_the_one_that_is_alone_is_asked_soon() {
    // Decided at once where nobody else listens or all are alone, else after a while.
    for (others, waited_ms) in
        [(Mode::Refuse, 0), (Mode::Open, 0), (Mode::Foreign, 0), (Mode::Frozen, 250)]
    {
        let network = willing();
        for server in 0..3 {
            let alone = server == 0 || others == Mode::Open;
            network.greet_as(server, if alone { Alone } else { Majority });
        }
        network.set_mode(1, others);
        network.set_mode(2, others);
        let started = Instant::now();
        client(&network, Confirm::Any).request(change()).await.expect("taken");
        assert_eq!(started.elapsed(), Duration::from_millis(waited_ms), "{others:?}");
        let asked = network.requests();
        assert_eq!(asked.len(), 1, "{others:?}");
        assert!(matches!(asked[0], (0, Request::Send { first: true, .. })), "{others:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_finds_the_one_that_is_alone_beside_frozen_ones_within_one_look() {
    for alone in 0..3 {
        let network = willing();
        network.greet_as(alone, Alone);
        (0..3).filter(|it| *it != alone).for_each(|it| network.set_mode(it, Mode::Frozen));
        let mut client = client(&network, Confirm::Any);
        let started = Instant::now();
        // A command asks first of which cluster the servers are, to find its session.
        assert_eq!(client.cluster().await.expect("told"), CLUSTER);
        assert!(started.elapsed() <= Duration::from_millis(50), "{:?}", started.elapsed());
        client.set_session(SecretString::from("t"), CLUSTER);
        client.request(change()).await.expect("taken");
        assert!(started.elapsed() <= Duration::from_millis(300), "{:?}", started.elapsed());
        // It is known from now on.
        let started = Instant::now();
        client.request(change()).await.expect("taken");
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(asked(&network), [alone; 4], "the cluster, the token, two messages");
    }
}

#[tokio::test(start_paused = true)]
async fn of_which_cluster_it_is_one_that_is_alone_may_say_before_a_better_one_is_asked() {
    let network = willing();
    (0..2).for_each(|server| network.greet_as(server, Alone));
    network.set_mode(2, Mode::Frozen);
    let mut client = client(&network, Confirm::Any);
    let started = Instant::now();
    assert_eq!(client.cluster().await.expect("told"), CLUSTER);
    assert!(started.elapsed() <= Duration::from_millis(25), "{:?}", started.elapsed());
    network.set_mode(2, Mode::Open);
    client.set_session(SecretString::from("t"), CLUSTER);
    client.request(change()).await.expect("taken");
    assert_eq!(asked(&network)[1..], [2, 2], "the token, the message");
}

#[tokio::test(start_paused = true)]
async fn who_needs_a_majority_is_told_by_one_that_is_alone_what_is_missing() {
    let network = willing();
    (0..2).for_each(|server| network.greet_as(server, Alone));
    let started = Instant::now();
    let mut strict = client(&network, Confirm::Majority);
    // Which cluster it is everybody may say.
    assert_eq!(strict.cluster().await.expect("told"), CLUSTER);
    strict.request(change()).await.expect("taken");
    assert_eq!((asked(&network).last(), started.elapsed()), (Some(&2), Duration::ZERO));

    network.set_mode(2, Mode::Refuse);
    let started = Instant::now();
    let request = client(&network, Confirm::Majority).request(change()).await;
    let error = request.expect_err("nobody may take it");
    assert_eq!((error.code, started.elapsed()), (ErrorCode::Unavailable, TIMEOUT));
    assert!(error.message.contains("server 1 is alone, and this needs"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_turns_alone_is_not_left_and_one_that_is_not_any_more_is_found_again() {
    let network = willing();
    network.set_mode(1, Mode::Refuse);
    network.set_mode(2, Mode::Refuse);
    let mut any = client(&network, Confirm::Any);
    any.request(change()).await.expect("taken");
    network.greet_as(0, Alone);
    any.request(change()).await.expect("taken on the same connection");
    assert_eq!(asked(&network), [0, 0]);
    // What a greeting has said is true of that time only.
    let mut strict = client(&network, Confirm::Majority);
    strict.cluster().await.expect("told");
    network.greet_as(0, Majority);
    strict.request(change()).await.expect("taken");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_want_of_a_majority_leaves_no_doubt() {
    for code in [ErrorCode::NeedsMajority, ErrorCode::Behind] {
        let network = FakeNetwork::new(move |_, _| Reaction::Error(Error::new(code, "not alone")));
        network.set_mode(2, Mode::Refuse);
        (0..2).for_each(|server| network.greet_as(server, Alone));
        let started = Instant::now();
        let request = client(&network, Confirm::Any).request(change()).await;
        let error = request.expect_err("nobody may take it");
        assert_eq!((error.code, started.elapsed()), (ErrorCode::Unavailable, TIMEOUT));
        assert!(error.message.contains("not alone"), "{error}");
        let both = asked(&network);
        assert!(both.contains(&0) && both.contains(&1), "the next server is asked");
    }
    // It is asked again, and one that has a majority by then is found.
    let healed = Arc::new(AtomicBool::new(false));
    let now = healed.clone();
    let network = FakeNetwork::new(move |_, _| match now.swap(true, Ordering::Relaxed) {
        false => Reaction::Error(Error::new(ErrorCode::Behind, "not yet")),
        true => done(),
    });
    client(&network, Confirm::Any).request(change()).await.expect("taken");
    assert_eq!(asked(&network), [0, 1]);
}
