use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::alive::{PING_LIMIT, QUIET};
use crate::client::fake::{self, FakeNetwork, Mode, Reaction, addresses};
use crate::client::pacing::answer_limit;
use crate::client::{Client, Pipeline, PipelineSummary};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::{Answer, Request, Sent};
use crate::sync::Mutex;
use crate::types::{Names, Timestamp, Uuid};

const BASE: Uuid = Uuid::from_u128(99);
type Report = fn(&Sent) -> Result<()>;

/// A cluster's log as servers see it: the same id is the same message.
#[derive(Default)]
struct Log {
    seqs: BTreeMap<Uuid, u64>,
    texts: Vec<String>,
}

impl Log {
    fn take(&mut self, request: &Request) -> Reaction {
        let Request::Send { operation, text, .. } = request else { panic!("{request:?}") };
        let next = self.seqs.len() as u64 + 1;
        let seq = *self.seqs.entry(*operation).or_insert(next);
        if seq == next {
            self.texts.push(text.clone());
        }
        let (id, at) = (*operation, Timestamp(0));
        Reaction::Answer(Answer::Sent(Sent {
            id,
            to: Names::from_iter([]),
            at,
            seq: Some(seq),
            confirmed: true,
            place: None,
            copies: 2,
            replicas: 3,
        }))
    }
}

/// Servers that share a log; `fault` may do something else with the n-th request.
fn cluster(
    fault: impl Fn(usize, &Request, &mut Log) -> Option<Reaction> + Send + Sync + 'static,
) -> (Arc<FakeNetwork>, Arc<Mutex<Log>>) {
    let state = Arc::new(Mutex::new((0, Log::default())));
    let log = Arc::new(Mutex::new(Log::default()));
    let shared = log.clone();
    let network = FakeNetwork::new(move |_, request| {
        let mut log = shared.lock();
        let count = &mut state.lock().0;
        *count += 1;
        fault(*count, request, &mut log).unwrap_or_else(|| log.take(request))
    });
    (network, log)
}

async fn send(network: &Arc<FakeNetwork>, input: &str) -> (Result<PipelineSummary>, Vec<Sent>) {
    let timeout = Duration::from_secs(10);
    let client = Client::new(fake::host(network), addresses(), timeout).expect("servers");
    let mut reported = Vec::new();
    let report = |sent: &Sent| {
        reported.push(sent.clone());
        Ok(())
    };
    let to = vec!["bob".to_string()];
    let result = Pipeline::new(&client, to, BASE, input.as_bytes(), report).run().await;
    (result, reported)
}

fn lines(count: usize) -> String {
    (1..=count).map(|number| format!("line {number}\n")).collect()
}

fn expected(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

fn ids(count: u64) -> Vec<Uuid> {
    (1..=count).map(|number| Pipeline::<&[u8], Report>::id_of_line(BASE, number)).collect()
}

fn assert_in_order(reported: &[Sent], count: u64) {
    assert_eq!(reported.iter().map(|sent| sent.id).collect::<Vec<_>>(), ids(count));
    assert!(reported.is_sorted_by_key(|sent| sent.seq));
}

#[tokio::test(start_paused = true)]
async fn every_line_is_a_message_in_order() {
    let (network, log) = cluster(|_, _, _| None);
    let (result, reported) = send(&network, &lines(2_000)).await;
    assert_eq!(
        result.expect("all sent"),
        PipelineSummary { sent: 2_000, out_of_order: 0, unconfirmed: 0, overtakes: false }
    );
    assert_in_order(&reported, 2_000);
    assert_eq!(log.lock().texts, expected(2_000));
    let (result, reported) = send(&network, "").await;
    assert_eq!((result.expect("nothing to do").sent, reported.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn servers_are_told_which_lines_were_sent_before() {
    let (network, _) = cluster(|count, _, _| (count == 10).then_some(Reaction::Close));
    send(&network, &lines(20)).await.0.expect("all sent");
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for (_, request) in network.requests() {
        let Request::Send { operation, first, .. } = request else { panic!("{request:?}") };
        // One that a broken connection has swallowed was sent before as well.
        assert!(seen.insert(operation) || !first);
        count += usize::from(!first);
    }
    assert!((1..=11).contains(&count), "{count} from the tenth on");
    // With `--id` all of them may have been.
    let timeout = Duration::from_secs(10);
    let client = Client::new(fake::host(&network), addresses(), timeout).expect("servers");
    let before = network.requests().len();
    let report: Report = |_| Ok(());
    let pipeline = Pipeline::new(&client, vec!["bob".into()], BASE, &b"x\ny\n"[..], report);
    pipeline.repeated().run().await.expect("all sent");
    let requests = network.requests();
    let later = requests[before..].iter();
    let first = later.map(|(_, it)| matches!(it, Request::Send { first: true, .. }));
    assert_eq!(first.collect::<Vec<_>>(), [false, false]);
}

#[tokio::test(start_paused = true)]
async fn lines_that_a_server_has_refused_for_now_were_not_sent_before() {
    let (network, _) = cluster(|count, _, _| {
        let mut error = Error::new(ErrorCode::RateLimited, "later");
        error.retry_after_ms = Some(50);
        (count == 3).then_some(Reaction::Error(error))
    });
    send(&network, &lines(4)).await.0.expect("all sent");
    let requests = network.requests();
    assert!(requests.len() > 4, "one was sent twice");
    assert!(requests.iter().all(|(_, it)| matches!(it, Request::Send { first: true, .. })));
}

#[tokio::test(start_paused = true)]
async fn servers_are_told_that_no_line_may_overtake_another() {
    let (network, _) = cluster(|count, _, _| (count == 10).then_some(Reaction::Close));
    send(&network, &lines(20)).await.0.expect("all sent");
    let in_order = network.in_order.lock();
    assert!(in_order.len() > 20 && in_order.iter().all(|told| *told), "{in_order:?}");
}

/// The servers that were sent something, each once, in the order of that.
fn asked(network: &FakeNetwork) -> Vec<usize> {
    let mut servers: Vec<usize> = network.requests().iter().map(|(server, _)| *server).collect();
    servers.dedup();
    servers
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_to_the_leader_if_that_is_a_server_it_was_told_of() {
    for leader in 0..3 {
        let (network, _) = cluster(|_, _, _| None);
        network.lead(fake::address(leader));
        send(&network, &lines(100)).await.0.expect("all sent");
        assert_eq!(asked(&network), [leader]);
    }
    let (network, _) = cluster(|_, _, _| None);
    network.lead("elsewhere:1".parse().expect("an address"));
    send(&network, &lines(100)).await.0.expect("all sent");
    assert_eq!(asked(&network).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_be_reached_or_that_fails_is_not_insisted_on() {
    // Server 0 is asked first.
    for mode in [Mode::Refuse, Mode::Frozen, Mode::Foreign] {
        for leader in 1..3 {
            let (network, _) = cluster(|_, _, _| None);
            network.lead(fake::address(leader));
            network.set_mode(leader, mode);
            send(&network, &lines(100)).await.0.expect("all sent");
            assert_eq!(asked(&network), [0], "{mode:?}");
        }
    }
    // The leader fails in the middle, and every server goes on to name it.
    let (network, _) = cluster(|count, _, _| (count == 50).then_some(Reaction::Close));
    network.lead(fake::address(1));
    send(&network, &lines(100)).await.0.expect("all sent");
    assert_eq!(asked(&network), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failover_in_the_middle_loses_and_doubles_nothing() {
    // Servers die every 97 requests; every other time after taking the message,
    // but before they have said so.
    let (network, log) = cluster(|count, request, log| match count % 194 {
        97 => Some(Reaction::Close),
        0 => {
            log.take(request);
            Some(Reaction::Close)
        }
        _ => None,
    });
    let (result, reported) = send(&network, &lines(2_000)).await;
    assert_eq!(
        result.expect("all sent"),
        PipelineSummary { sent: 2_000, out_of_order: 0, unconfirmed: 0, overtakes: false }
    );
    assert_in_order(&reported, 2_000);
    assert_eq!(log.lock().texts, expected(2_000));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_left_and_its_lines_are_sent_elsewhere() {
    let (network, log) = cluster(|count, request, _| {
        let frozen = (50..60).contains(&count) || matches!(request, Request::Ping {});
        frozen.then_some(Reaction::Silence)
    });
    let (result, reported) = send(&network, &lines(40)).await;
    result.expect("no fault yet");
    assert_eq!(reported.len(), 40);
    let (result, _) = send(&network, &(lines(40) + "more\nand more\n")).await;
    assert_eq!(result.expect("all sent").sent, 42);
    assert_eq!(log.lock().texts.len(), 42, "40 of them were known");
}

#[tokio::test(start_paused = true)]
async fn silence_without_an_answer_to_a_ping_is_noticed_in_less_than_a_second() {
    let timeout = Duration::from_secs(10);
    for (ping_answer, left_after) in [(false, QUIET + PING_LIMIT), (true, answer_limit(timeout))] {
        // What it is sent after the first line it says nothing of, once.
        let silent_of = Mutex::new(BTreeSet::new());
        let (network, log) = cluster(move |_, request, log| match request {
            Request::Ping {} if ping_answer => Some(Reaction::Answer(Answer::done())),
            Request::Send { operation, .. } => {
                let mut silent_of = silent_of.lock();
                let says_nothing = !log.seqs.is_empty() && silent_of.insert(*operation);
                says_nothing.then_some(Reaction::Silence)
            }
            _ => Some(Reaction::Silence),
        });
        let started = Instant::now();
        let (result, _) = send(&network, &lines(20)).await;
        assert_eq!(result.expect("sent at another server").sent, 20);
        assert_eq!(log.lock().texts, expected(20));
        let took = started.elapsed();
        assert!(took >= left_after && took < left_after + QUIET, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_a_server_broke_is_counted() {
    // The server cannot take line 10 and takes those behind it nevertheless.
    let (network, _) = cluster(|count, _, _| {
        (count == 10).then(|| Reaction::Error(Error::unavailable("not now")))
    });
    let (result, reported) = send(&network, &lines(20)).await;
    assert_eq!(
        result.expect("all sent"),
        PipelineSummary { sent: 20, out_of_order: 1, unconfirmed: 0, overtakes: false }
    );
    assert_eq!(reported.iter().map(|sent| sent.id).collect::<Vec<_>>(), ids(20));
}

#[tokio::test(start_paused = true)]
async fn a_refused_line_ends_it_with_its_number() {
    let (network, log) = cluster(|_, request, _| {
        let Request::Send { text, .. } = request else { panic!("{request:?}") };
        let refuse = text == "line 7";
        refuse.then(|| Reaction::Error(Error::new(ErrorCode::IdConflict, "used before")))
    });
    let (result, reported) = send(&network, &lines(9)).await;
    let error = result.expect_err("line 7 is refused");
    assert_eq!(error.code, ErrorCode::IdConflict);
    assert!(error.message.starts_with("line 7: used before"), "{}", error.message);
    let accepted = log.lock().seqs.len();
    assert_eq!(reported.len(), accepted, "everything accepted is reported");
    assert!(accepted >= 6);
}

#[tokio::test(start_paused = true)]
async fn what_was_ahead_of_a_refused_line_is_sent_before_it_ends() {
    let put_off = Mutex::new(false);
    let (network, log) = cluster(move |_, request, _| {
        let Request::Send { text, .. } = request else { panic!("{request:?}") };
        let mut put_off = put_off.lock();
        match text.as_str() {
            "line 6" if !std::mem::replace(&mut *put_off, true) => {
                Some(Reaction::Error(Error::unavailable("not now")))
            }
            "line 7" => Some(Reaction::Error(Error::new(ErrorCode::IdConflict, "used before"))),
            _ => None,
        }
    });
    let (result, reported) = send(&network, &lines(7)).await;
    let error = result.expect_err("line 7 is refused");
    assert!(error.message.starts_with("line 7: used before"), "{}", error.message);
    assert_in_order(&reported, 6);
    assert_eq!(log.lock().texts, expected(6));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_fewer_lines_is_obeyed_for_longer_than_the_timeout() {
    // Of eight lines one is too many, and what follows it in order is not taken either.
    let state = Mutex::new((0, None::<String>));
    let (network, log) = cluster(move |_, request, _| {
        let Request::Send { text, .. } = request else { panic!("{request:?}") };
        let (count, refused) = &mut *state.lock();
        match refused {
            Some(first) if first != text => {
                return Some(Reaction::Error(Error::unavailable("out of order")));
            }
            Some(_) => (*count, *refused) = (0, None),
            None => *count += 1,
        }
        let limited = Error {
            retry_after_ms: Some(1_000),
            ..Error::new(ErrorCode::RateLimited, "too much at once; try again in 1 second")
        };
        (*count == 8).then(|| {
            *refused = Some(text.clone());
            Reaction::Error(limited)
        })
    });
    let started = Instant::now();
    let (result, reported) = send(&network, &lines(200)).await;
    result.expect("all sent");
    assert_in_order(&reported, 200);
    assert_eq!(log.lock().seqs.len(), 200);
    assert!(started.elapsed() > Duration::from_secs(10), "{:?}", started.elapsed());
    let first = network.asked.lock()[0].0;
    assert!(network.asked.lock().iter().all(|(server, _)| *server == first), "no other is asked");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_ever_says_to_come_back_is_given_up_within_the_timeout() {
    let (network, _) = cluster(|_, _, _| {
        let retry_after_ms = Some(700);
        let error = Error::new(ErrorCode::RateLimited, "too much at once");
        Some(Reaction::Error(Error { retry_after_ms, ..error }))
    });
    let started = Instant::now();
    let (result, reported) =
        tokio::time::timeout(Duration::from_secs(600), send(&network, &lines(3)))
            .await
            .expect("an end");
    let error = result.expect_err("nothing was taken");
    assert_eq!((error.code, reported.len()), (ErrorCode::Unavailable, 0));
    assert!(error.message.contains("too much at once"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_server_makes_lines_wait_for_longer_than_a_minute_at_once() {
    let count = Mutex::new(0);
    let (network, _) = cluster(move |_, _, _| {
        *count.lock() += 1;
        let retry_after_ms = Some(3_600_000);
        let error = Error::new(ErrorCode::RateLimited, "too much at once");
        (*count.lock() == 2).then(|| Reaction::Error(Error { retry_after_ms, ..error }))
    });
    let started = Instant::now();
    let (result, reported) = send(&network, &lines(2)).await;
    result.expect("all sent");
    assert_in_order(&reported, 2);
    assert!(started.elapsed() < Duration::from_secs(70), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_recipient_nobody_knows_is_found_with_the_first_line() {
    let (network, _) = cluster(|_, _, _| {
        Some(Reaction::Error(Error::new(ErrorCode::UnknownAccount, "no account bob")))
    });
    let (result, reported) = send(&network, &lines(500)).await;
    assert_eq!(result.expect_err("refused").code, ErrorCode::UnknownAccount);
    assert_eq!((reported.len(), network.requests().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_message_ends_it_after_those_before() {
    let (network, _) = cluster(|_, _, _| None);
    let (result, reported) = send(&network, &(lines(5) + "\nafter\n")).await;
    let error = result.expect_err("line 6 is empty");
    assert_eq!((error.code, reported.len()), (ErrorCode::InvalidText, 5));
    assert!(error.message.starts_with("line 6 is empty"), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn without_progress_it_ends_and_tells_whether_there_is_doubt() {
    for (fault, code) in [
        (Reaction::Error(Error::unavailable("no leader")), ErrorCode::Unavailable),
        (Reaction::Close, ErrorCode::OutcomeUnknown),
        (Reaction::Silence, ErrorCode::OutcomeUnknown),
    ] {
        let (network, _) = cluster(move |count, _, _| (count > 5).then(|| fault.clone()));
        let started = tokio::time::Instant::now();
        let (result, reported) = send(&network, &lines(9)).await;
        let error = result.expect_err("it stalls");
        assert_eq!((error.code, reported.len()), (code, 5));
        assert!(error.message.contains(&format!("--id {BASE}")), "{}", error.message);
        assert!(error.message.contains("line 6"), "{}", error.message);
        let waited = started.elapsed();
        assert!(
            waited >= Duration::from_secs(10) && waited < Duration::from_secs(13),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_left_in_silence_may_have_taken_what_it_was_sent() {
    // It answers pings and takes long, or is frozen. Either way nobody else can
    // serve until the time is up, and it does not come back.
    for pings in [true, false] {
        let shut = Arc::new(Mutex::new(None::<Arc<FakeNetwork>>));
        let modes = shut.clone();
        let (network, _) = cluster(move |count, request, _| match request {
            Request::Ping {} if pings => Some(Reaction::Answer(Answer::done())),
            Request::Ping {} => Some(Reaction::Silence),
            _ if count > 5 => {
                let network = modes.lock();
                let network = network.as_ref().expect("set before anything is sent");
                (0..3).for_each(|server| network.set_mode(server, Mode::Refuse));
                Some(Reaction::Silence)
            }
            _ => None,
        });
        *shut.lock() = Some(network.clone());
        let (result, reported) = send(&network, &lines(9)).await;
        let error = result.expect_err("nobody serves");
        assert_eq!((error.code, reported.len()), (ErrorCode::OutcomeUnknown, 5), "{error}");
        assert!(error.message.starts_with("5 lines were accepted, and from line 6 some may"));
        // The fake network and its script know each other.
        shut.lock().take();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_took_behind_a_line_that_nobody_takes_is_told() {
    let (network, _) = cluster(|_, request, _| {
        let Request::Send { text, .. } = request else { panic!("{request:?}") };
        (text == "line 6").then(|| Reaction::Error(Error::unavailable("not now")))
    });
    let (result, reported) = send(&network, &lines(9)).await;
    let error = result.expect_err("nobody takes line 6");
    assert_eq!(error.code, ErrorCode::OutcomeUnknown, "{error}");
    assert!(error.message.contains("from line 6 some may have been"), "{error}");
    let mut taken = ids(9);
    taken.remove(5);
    assert_eq!(reported.iter().map(|sent| sent.id).collect::<Vec<_>>(), taken);
}

#[tokio::test(start_paused = true)]
async fn one_line_is_not_called_lines() {
    for (fault, code) in [
        (Error::unavailable("no leader"), ErrorCode::Unavailable),
        (Error::new(ErrorCode::IdConflict, "used before"), ErrorCode::IdConflict),
    ] {
        let (network, _) =
            cluster(move |count, _, _| (count > 1).then(|| Reaction::Error(fault.clone())));
        let error = send(&network, &lines(3)).await.0.expect_err("line 2 fails");
        assert_eq!(error.code, code);
        assert!(error.message.contains("1 line was accepted"), "{}", error.message);
    }
}
