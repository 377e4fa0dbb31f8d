use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::client::alive::{PING_LIMIT, QUIET};
use crate::client::fake::{self, CLUSTER, FakeNetwork, Mode, Reaction, addresses};
use crate::client::{Client, Members};
use crate::error::{Error, ErrorCode};
use crate::limits::CLIENT_LINE_MAX_BYTES;
use crate::protocol::client::{Answer, Request, SessionInfo};
use crate::sync::Mutex;
use crate::types::{AccountName, Timestamp, Uuid};

const TIMEOUT: Duration = Duration::from_secs(10);

fn client(network: &Arc<FakeNetwork>) -> Client {
    Client::new(fake::host(network), addresses(), TIMEOUT).expect("servers")
}

/// A change, whose id is in the errors.
fn change() -> Request {
    Request::Send {
        operation: Uuid::from_u128(7),
        to: vec!["bob".into()],
        text: "hi".into(),
        first: true,
        after: None,
        reply_to: None,
    }
}

fn done() -> Reaction {
    Reaction::Answer(Answer::done())
}

fn session() -> Reaction {
    Reaction::Answer(Answer::Session(SessionInfo {
        name: AccountName::new("alice").expect("valid"),
        account: Uuid::nil(),
        expires: Timestamp(0),
        alone: None,
    }))
}

#[tokio::test(start_paused = true)]
async fn servers_that_refuse_are_passed_over_at_once() {
    let network = FakeNetwork::new(|_, _| done());
    network.set_mode(0, Mode::Refuse);
    network.set_mode(1, Mode::Refuse);
    let started = Instant::now();
    client(&network).request(change()).await.expect("server 2 takes it");
    assert_eq!(network.requests().len(), 1);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_server_that_answered_is_asked_again_on_the_same_connection() {
    let network = FakeNetwork::new(|_, _| session());
    let mut client = client(&network);
    client.set_session(SecretString::from("t"), CLUSTER);
    for _ in 0..3 {
        client.request(Request::Whoami {}).await.expect("answered");
    }
    let asked = network.asked.lock();
    let tokens = asked.iter().filter(|(_, r)| matches!(r, Request::Authenticate { .. })).count();
    assert_eq!((asked.len(), tokens), (4, 1));
    assert!(asked.iter().all(|(server, _)| *server == asked[0].0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_spoke_for_nobody_learns_the_session() {
    let network = FakeNetwork::new(|_, _| session());
    // Connections that were opened, and tokens that were shown.
    let opened_and_shown = || {
        let asked = network.asked.lock();
        let shown = asked.iter().filter(|(_, r)| matches!(r, Request::Authenticate { .. })).count();
        (network.connects.load(Ordering::Relaxed), shown)
    };
    let mut client = client(&network);
    client.cluster().await.expect("answered");
    client.set_session(SecretString::from("t"), CLUSTER);
    for _ in 0..2 {
        client.request(Request::Whoami {}).await.expect("answered");
        assert_eq!(opened_and_shown(), (1, 1));
    }
    // One that speaks for somebody does not change sides.
    client.set_session(SecretString::from("u"), CLUSTER);
    client.request(Request::Whoami {}).await.expect("answered");
    assert_eq!(opened_and_shown(), (2, 2));
    client.clear_session();
    client.request(Request::Ping {}).await.expect("answered");
    assert_eq!(opened_and_shown(), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn the_first_server_is_asked_without_waiting_for_a_timer() {
    let network = FakeNetwork::new(|_, _| done());
    let mut client = client(&network);
    // Timers have milliseconds; only between two of them does one wait.
    tokio::time::advance(Duration::from_micros(1)).await;
    let mut request = std::pin::pin!(client.request(change()));
    assert!(futures::poll!(&mut request).is_pending());
    assert_eq!(network.connects.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_costs_a_quarter_of_a_second_and_leaves_no_doubt() {
    let network = FakeNetwork::new(|_, _| done());
    network.set_mode(0, Mode::Frozen);
    let started = Instant::now();
    client(&network).request(change()).await.expect("another takes it");
    assert_eq!(started.elapsed(), Duration::from_millis(250));

    for server in 0..3 {
        network.set_mode(server, Mode::Frozen);
    }
    let started = Instant::now();
    let error = client(&network).request(change()).await.expect_err("all are frozen");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(started.elapsed(), TIMEOUT);
    for part in ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3: did not answer"] {
        assert_eq!(error.message.matches(part).count(), 1, "{}", error.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_hedged_with_the_same_operation_id() {
    // One that answers pings may be about to answer the request as well.
    for (answers_pings, waited) in [(false, QUIET + PING_LIMIT), (true, Duration::from_secs(2))] {
        let network = FakeNetwork::new(move |server, request| match request {
            Request::Ping {} if answers_pings => done(),
            _ if server == 0 => Reaction::Silence,
            _ => done(),
        });
        let started = Instant::now();
        client(&network).request(change()).await.expect("another takes it");
        assert_eq!(started.elapsed(), waited);
        let asked = network.requests();
        assert_eq!(asked.iter().map(|(server, _)| *server).collect::<Vec<_>>(), [0, 1]);
        assert!(asked.iter().all(|(_, request)| request.operation() == change().operation()));
    }
}

/// What servers were told of whether it is the first try, in their order.
fn told(network: &FakeNetwork) -> Vec<bool> {
    let sends = network.requests().into_iter().filter_map(|(_, request)| match request {
        Request::Send { first, .. } => Some(first),
        _ => None,
    });
    sends.collect()
}

#[tokio::test(start_paused = true)]
async fn all_but_the_first_server_that_is_asked_are_told_so() {
    let network = FakeNetwork::new(|server, _| match server {
        0 => Reaction::Silence,
        1 => Reaction::Close,
        _ => done(),
    });
    client(&network).request(change()).await.expect("the third takes it");
    assert_eq!(told(&network), [true, false, false]);
    // Who was never asked cannot have taken anything.
    let network = FakeNetwork::new(|_, _| done());
    network.set_mode(0, Mode::Refuse);
    network.set_mode(1, Mode::Frozen);
    client(&network).request(change()).await.expect("the third takes it");
    assert_eq!(told(&network), [true]);
    let repeated = change().repeated();
    client(&network).request(repeated).await.expect("the third takes it");
    assert_eq!(told(&network), [true, false], "a user may repeat it as well");
    // Nor has one that says that it has done nothing.
    let network = FakeNetwork::new(|server, _| match server {
        0 => Reaction::Error(Error::unavailable("not now")),
        1 => Reaction::Error(Error::outcome_unknown("the leader went away")),
        _ => done(),
    });
    client(&network).request(change()).await.expect("the third takes it");
    assert_eq!(told(&network), [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_only_slow_still_counts() {
    let late = Duration::from_secs(7);
    let network = FakeNetwork::new(move |server, _| match server {
        0 => Reaction::Late(late, Answer::done()),
        _ => Reaction::Silence,
    });
    let started = Instant::now();
    client(&network).request(change()).await.expect("server 0 answers in the end");
    assert_eq!((started.elapsed(), network.requests().len()), (late, 3));
}

#[tokio::test(start_paused = true)]
async fn silence_everywhere_leaves_doubt() {
    let network = FakeNetwork::new(|_, _| Reaction::Silence);
    let error = client(&network).request(change()).await.expect_err("nobody answers");
    assert_eq!(error.code, ErrorCode::OutcomeUnknown);
    assert_eq!(network.requests().len(), 3, "each server is asked once, beside the others");
}

#[tokio::test(start_paused = true)]
async fn nobody_home_is_unavailable_and_says_who_and_why() {
    let network = FakeNetwork::new(|_, _| done());
    for server in 0..3 {
        network.set_mode(server, Mode::Refuse);
    }
    let started = Instant::now();
    let error = client(&network).request(change()).await.expect_err("nobody answers");
    assert_eq!(error.code, ErrorCode::Unavailable);
    for server in addresses() {
        assert_eq!(error.message.matches(&server.to_string()).count(), 1, "{}", error.message);
    }
    assert!(error.message.ends_with(": connection refused"), "{}", error.message);
    assert_eq!(started.elapsed(), TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_in_time_is_found() {
    let network = FakeNetwork::new(|_, _| done());
    for server in 0..3 {
        network.set_mode(server, Mode::Refuse);
    }
    let later = network.clone();
    crate::host::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        later.set_mode(2, Mode::Open);
    });
    let started = Instant::now();
    client(&network).request(change()).await.expect("server 2 is back");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(4) && waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn not_now_is_retried_and_leaves_no_doubt() {
    let network = FakeNetwork::new(|_, _| Reaction::Error(Error::unavailable("no leader")));
    let error = client(&network).request(change()).await.expect_err("never");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("no leader"), "{}", error.message);
    let tries = network.requests().len();
    assert!((100..300).contains(&tries), "{tries} tries in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_after_the_request_leaves_doubt_about_changes_only() {
    let network = FakeNetwork::new(|_, _| Reaction::Close);
    let error = client(&network).request(change()).await.expect_err("never answered");
    assert_eq!(error.code, ErrorCode::OutcomeUnknown);
    let named = format!("--id {}", Uuid::from_u128(7));
    assert!(error.message.contains(&named), "{}", error.message);
    let error = client(&network).request(Request::Whoami {}).await.expect_err("never answered");
    assert_eq!(error.code, ErrorCode::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn doubt_stays_until_an_answer_decides() {
    let last = Arc::new(Mutex::new(ErrorCode::Unavailable));
    let code = last.clone();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let network = FakeNetwork::new(move |_, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reaction::Error(Error::outcome_unknown("the leader went away")),
        _ => Reaction::Error(Error::new(*code.lock(), "no")),
    });
    for (then, expected) in [
        (ErrorCode::Unavailable, ErrorCode::OutcomeUnknown),
        (ErrorCode::SessionExpired, ErrorCode::OutcomeUnknown),
        (ErrorCode::RateLimited, ErrorCode::OutcomeUnknown),
        (ErrorCode::UnknownAccount, ErrorCode::UnknownAccount),
        (ErrorCode::IdConflict, ErrorCode::IdConflict),
    ] {
        calls.store(0, Ordering::Relaxed);
        *last.lock() = then;
        let error = client(&network).request(change()).await.expect_err("refused");
        assert_eq!(error.code, expected, "after {then}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_nothing_of_what_a_silent_server_was_asked_before() {
    for (refusal, expected) in [
        (ErrorCode::SessionExpired, ErrorCode::OutcomeUnknown),
        (ErrorCode::RateLimited, ErrorCode::OutcomeUnknown),
        (ErrorCode::UnknownAccount, ErrorCode::UnknownAccount),
    ] {
        let network = FakeNetwork::new(move |server, _| match server {
            0 => Reaction::Silence,
            _ => Reaction::Error(Error::new(refusal, "no")),
        });
        let error = client(&network).request(change()).await.expect_err("refused");
        assert_eq!((error.code, network.requests().len()), (expected, 2), "{refusal}");
        // A question changes nothing, whoever has heard it.
        let error = client(&network).request(Request::Whoami {}).await.expect_err("refused");
        assert_eq!(error.code, refusal);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_and_so_is_a_rate_limit() {
    for code in [ErrorCode::NameTaken, ErrorCode::RateLimited, ErrorCode::SessionExpired] {
        let network = FakeNetwork::new(move |_, _| Reaction::Error(Error::new(code, "no")));
        let error = client(&network).request(change()).await.expect_err("refused");
        assert_eq!((error.code, network.requests().len()), (code, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_told_without_doubt() {
    let network = FakeNetwork::new(|_, request| match request {
        Request::Authenticate { .. } => {
            Reaction::Error(Error::new(ErrorCode::SessionExpired, "log in again"))
        }
        _ => Reaction::Error(Error::new(ErrorCode::NotLoggedIn, "no session")),
    });
    let mut client = client(&network);
    client.set_session(SecretString::from("t"), CLUSTER);
    let error = client.request(change()).await.expect_err("expired");
    assert_eq!(error.code, ErrorCode::SessionExpired);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_shown_to_another_cluster() {
    let network = FakeNetwork::new(|_, _| session());
    for server in 0..3 {
        network.set_mode(server, Mode::Foreign);
    }
    for connected_before in [false, true] {
        let mut client = client(&network);
        if connected_before {
            client.cluster().await.expect("greeted");
        }
        client.set_session(SecretString::from("t"), CLUSTER);
        let error = client.request(Request::Whoami {}).await.expect_err("nobody of ours");
        assert_eq!(error.code, ErrorCode::WrongCluster);
        assert!(error.message.contains("belongs to another cluster"), "{}", error.message);
    }
    let asked = network.asked.lock();
    assert!(asked.iter().all(|(_, request)| matches!(request, Request::Ping {})));
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_learned_from_the_greeting() {
    let network = FakeNetwork::new(|_, _| done());
    assert_eq!(client(&network).cluster().await.expect("greeted"), CLUSTER);
}

#[tokio::test(start_paused = true)]
async fn the_members_are_those_that_servers_of_the_cluster_name() {
    let network = FakeNetwork::new(|_, _| session());
    let (members, named) = (Members::default(), vec![fake::address(7), fake::address(8)]);
    client(&network).noting(&members).cluster().await.expect("greeted");
    assert_eq!(members.get(), [], "an older program names none");
    network.name_members(named.clone());
    client(&network).noting(&members).cluster().await.expect("greeted");
    assert_eq!(members.get(), named);
    // Another cluster's word is not taken.
    (0..3).for_each(|server| network.set_mode(server, Mode::Foreign));
    let members = Members::default();
    let mut client = client(&network).noting(&members);
    client.set_session(SecretString::from("t"), CLUSTER);
    client.request(Request::Whoami {}).await.expect_err("nobody of ours");
    assert_eq!(members.get(), []);
}

#[tokio::test(start_paused = true)]
async fn the_servers_that_are_named_first_are_asked_first() {
    for _ in 0..20 {
        let network = FakeNetwork::new(|_, _| done());
        let mut client = client(&network).beginning_among(1);
        client.request(change()).await.expect("server 0 takes it");
        assert_eq!(network.requests()[0].0, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_bound_is_not_sent() {
    let network = FakeNetwork::new(|_, _| done());
    let huge = Request::Send {
        operation: Uuid::nil(),
        to: vec![],
        text: "x".repeat(CLIENT_LINE_MAX_BYTES),
        first: true,
        after: None,
        reply_to: None,
    };
    let error = client(&network).request(huge).await.expect_err("too long");
    assert_eq!(error.code, ErrorCode::LineTooLong);
    assert!(network.requests().is_empty());
}
