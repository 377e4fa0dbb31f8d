//! Lines that servers take which have no majority.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::client::fake::{self, FakeNetwork, Mode, Reaction, addresses};
use crate::client::{Client, Pipeline, PipelineSummary, SentBehind};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::{self, After, Answer, Confirm, Request, Sent};
use crate::sync::Mutex;
use crate::types::{Names, Place, Timestamp, Uuid};

const BASE: Uuid = Uuid::from_u128(99);

/// What a server took alone, or a majority.
#[derive(Default)]
struct Taken {
    /// The texts in each list, by server; `None` is the log.
    lists: BTreeMap<Option<usize>, Vec<String>>,
    by_id: BTreeMap<Uuid, Sent>,
    /// Whose lists the log has settled, besides those of `take`.
    settled: Vec<usize>,
}

fn list(server: usize) -> Uuid {
    Uuid::from_u128(0x100 + server as u128)
}

impl Taken {
    /// Takes a message into the list of a server, or into the log, which has settled the
    /// lists of `settled`.
    fn take(&mut self, by: Option<usize>, settled: &[usize], request: &Request) -> Reaction {
        let Request::Send { operation, text, after, .. } = request else { panic!("{request:?}") };
        let knows = |before: &After| {
            by.is_some_and(|server| list(server) == before.list)
                || settled.iter().chain(&self.settled).any(|server| list(*server) == before.list)
        };
        if !after.as_ref().is_none_or(knows) {
            let why = "what this follows is at a server that is not back yet";
            return Reaction::Error(Error::new(ErrorCode::Behind, why));
        }
        let lines = self.lists.entry(by).or_default();
        let sent = self.by_id.entry(*operation).or_insert_with(|| {
            lines.push(text.clone());
            let number = lines.len() as u64;
            Sent {
                id: *operation,
                to: Names::from_iter([]),
                at: Timestamp(0),
                seq: by.is_none().then_some(number),
                confirmed: by.is_none(),
                place: by.map(|server| Place { list: list(server), number }),
                copies: 1,
                replicas: 3,
            }
        });
        Reaction::Answer(Answer::Sent(sent.clone()))
    }

    fn texts(&self, by: Option<usize>) -> Vec<String> {
        self.lists.get(&by).cloned().unwrap_or_default()
    }
}

/// Servers of which `fault` says who takes the n-th line that is sent, and with what settled.
fn cluster(
    script: impl Fn(usize, usize, &Request, &mut Taken) -> Reaction + Send + Sync + 'static,
) -> (Arc<FakeNetwork>, Arc<Mutex<Taken>>) {
    let taken = Arc::new(Mutex::new(Taken::default()));
    let (shared, count) = (taken.clone(), Mutex::new(0));
    let network = FakeNetwork::new(move |server, request| {
        let mut count = count.lock();
        *count += 1;
        script(*count, server, request, &mut shared.lock())
    });
    (network, taken)
}

async fn send(network: &Arc<FakeNetwork>, count: usize) -> (Result<PipelineSummary>, Vec<Sent>) {
    let client = Client::new(fake::host(network), addresses(), Duration::from_secs(10));
    let client = client.expect("servers").confirming(Confirm::Any);
    let mut reported = Vec::new();
    let report = |sent: &Sent| {
        reported.push(sent.clone());
        Ok(())
    };
    let to = vec!["bob".to_string()];
    let input: String = texts(1..=count).iter().map(|text| format!("{text}\n")).collect();
    let result = Pipeline::new(&client, to, BASE, input.as_bytes(), report).run().await;
    (result, reported)
}

fn texts(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("line {number}")).collect()
}

/// What each line named as what it follows, in the order of asking.
fn named(network: &FakeNetwork) -> Vec<(usize, String, Option<u64>)> {
    let sends = network.requests().into_iter().map(|(server, request)| match request {
        Request::Send { text, after, .. } => (server, text, after.map(|before| before.number)),
        other => panic!("{other:?}"),
    });
    sends.collect()
}

#[tokio::test(start_paused = true)]
async fn lines_that_a_server_takes_alone_are_acknowledged_and_not_sent_again() {
    let (network, taken) = cluster(|count, server, request, taken| match count {
        // The server dies; nobody else is there at first.
        40 => Reaction::Close,
        _ => taken.take(Some(server), &[], request),
    });
    network.greet_as(0, client::Mode::Alone);
    network.set_mode(1, Mode::Refuse);
    network.set_mode(2, Mode::Refuse);
    let (result, reported) = send(&network, 60).await;
    let expected = PipelineSummary { sent: 60, out_of_order: 0, unconfirmed: 60, overtakes: false };
    assert_eq!(result.expect("all taken"), expected);
    assert_eq!(taken.lock().texts(Some(0)), texts(1..=60));
    assert!(reported.iter().all(|sent| !sent.confirmed && sent.seq.is_none()));
    let asked = named(&network);
    assert_eq!(asked[0].2, None, "the first follows nothing");
    // What was acknowledged was sent once.
    for line in texts(1..=39) {
        assert_eq!(asked.iter().filter(|(_, text, _)| *text == line).count(), 1, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_follows_the_last_one_that_no_majority_has_confirmed() {
    // Server 0 takes three lines alone and dies. Server 1 has a majority, which comes to
    // know of them only when it is asked for the next one for the third time.
    let asked = AtomicUsize::new(0);
    let (network, taken) = cluster(move |count, server, request, taken| match (server, count) {
        (0, 1..=3) => taken.take(Some(0), &[], request),
        (0, _) => Reaction::Close,
        _ => {
            let Request::Send { text, .. } = request else { panic!("{request:?}") };
            let again = usize::from(text == "line 4");
            let settled = asked.fetch_add(again, Ordering::Relaxed) + again > 2;
            taken.take(None, if settled { &[0] } else { &[] }, request)
        }
    });
    network.greet_as(0, client::Mode::Alone);
    network.set_mode(1, Mode::Frozen);
    network.set_mode(2, Mode::Refuse);
    let found = network.clone();
    let opens = async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        found.set_mode(0, Mode::Refuse);
        found.set_mode(1, Mode::Open);
    };
    let ((result, reported), ()) = tokio::join!(send(&network, 8), opens);
    let expected = PipelineSummary { sent: 8, out_of_order: 0, unconfirmed: 3, overtakes: false };
    assert_eq!(result.expect("all taken"), expected);
    assert_eq!(reported.len(), 8);
    let taken = taken.lock();
    assert_eq!((taken.texts(Some(0)), taken.texts(None)), (texts(1..=3), texts(4..=8)));
    let elsewhere: Vec<_> =
        named(&network).into_iter().filter(|(server, ..)| *server == 1).collect();
    assert!(elsewhere.iter().all(|(_, text, _)| !texts(1..=3).contains(text)), "{elsewhere:?}");
    let before: Vec<_> = elsewhere.iter().filter(|(_, text, _)| text == "line 4").collect();
    assert!(!before.is_empty() && before.iter().all(|(.., after)| *after == Some(3)), "{before:?}");
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_line_ends_what_the_next_ones_have_to_follow() {
    // The server is back with its majority after three lines.
    let (network, _) = cluster(|count, _, request, taken| match count {
        1..=3 => taken.take(Some(0), &[], request),
        12 => Reaction::Close,
        _ => taken.take(None, &[0], request),
    });
    network.greet_as(0, client::Mode::Alone);
    network.set_mode(1, Mode::Refuse);
    network.set_mode(2, Mode::Refuse);
    let (result, _) = send(&network, 20).await;
    let expected = PipelineSummary { sent: 20, out_of_order: 0, unconfirmed: 3, overtakes: false };
    assert_eq!(result.expect("all taken"), expected);
    let again = named(&network).split_off(20);
    assert!(!again.is_empty() && again.iter().all(|(.., after)| after.is_none()), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_last_line_is_nowhere_to_be_found_ends_without_doubt() {
    let (network, _) = cluster(|_, server, request, taken| match server {
        0 => match taken.texts(Some(0)).len() {
            0..=2 => taken.take(Some(0), &[], request),
            _ => Reaction::Error(Error::new(ErrorCode::NeedsMajority, "full")),
        },
        _ => taken.take(None, &[], request),
    });
    network.greet_as(0, client::Mode::Alone);
    network.greet_as(1, client::Mode::Alone);
    network.greet_as(2, client::Mode::Alone);
    let (result, reported) = send(&network, 5).await;
    let error = result.expect_err("line 4 is nobody's");
    assert_eq!((error.code, reported.len()), (ErrorCode::Unavailable, 3), "{error}");
    assert!(error.message.contains("is not back yet"), "{error}");
    assert!(error.message.starts_with("3 lines were accepted, and none from line 4"), "{error}");
}

/// A message of its own, behind one that server 0 took alone.
async fn send_one(network: &Arc<FakeNetwork>, number: u64) -> SentBehind {
    let client = Client::new(fake::host(network), addresses(), Duration::from_secs(10));
    let mut client = client.expect("servers").confirming(Confirm::Any);
    let request = Request::Send {
        operation: Uuid::from_u128(7),
        to: vec!["bob".to_string()],
        text: "next".to_string(),
        first: true,
        after: None,
        reply_to: None,
    };
    client.send_behind(Some(After { list: list(0), number, id: None }), request).await
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_to_the_server_that_took_the_one_before_it_alone() {
    // The others have a majority, and greet sooner or later.
    let (network, taken) = cluster(|_, server, request, taken| match server {
        0 => taken.take(Some(0), &[], request),
        _ => taken.take(None, &[], request),
    });
    network.greet_as(0, client::Mode::Alone);
    let SentBehind { sent, overtakes } = send_one(&network, 1).await;
    assert_eq!(
        (sent.expect("taken").place.map(|place| place.list), overtakes),
        (Some(list(0)), false)
    );
    let taken = taken.lock();
    assert_eq!((taken.texts(Some(0)), taken.texts(None)), (vec!["next".into()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_the_one_before_it_until_a_majority_has_that() {
    let (network, taken) = cluster(|_, _, request, taken| taken.take(None, &[], request));
    network.set_mode(0, Mode::Refuse);
    let settles = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(taken.lock().texts(None), texts([]));
        // The server hands over what it has, and the majority knows its list.
        network.set_mode(0, Mode::Open);
        taken.lock().settled = vec![0];
    };
    let (sent, ()) = tokio::join!(send_one(&network, 1), settles);
    let SentBehind { sent, overtakes } = sent;
    assert!(sent.expect("taken").confirmed && !overtakes);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_predecessor_stays_away_overtakes_it_and_says_so() {
    let (network, taken) = cluster(|_, _, request, taken| taken.take(None, &[], request));
    network.set_mode(0, Mode::Frozen);
    let begun = tokio::time::Instant::now();
    let SentBehind { sent, overtakes } = send_one(&network, 1).await;
    assert!(sent.expect("taken").confirmed && overtakes);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(7), "{took:?}");
    assert_eq!(taken.lock().texts(None), ["next"]);
    let last = network.requests().pop().expect("asked");
    let Request::Send { first, after, .. } = last.1 else { panic!("{last:?}") };
    assert!(!first && after.is_none(), "it may have been taken before");
}

/// The server that has the one before takes it, and dies before it answers.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_taken_in_its_place_is_in_doubt_until_an_answer_decides() {
    for (refuses, decided) in [
        (None, ErrorCode::OutcomeUnknown),
        (Some(ErrorCode::SessionExpired), ErrorCode::OutcomeUnknown),
        (Some(ErrorCode::UnknownAccount), ErrorCode::UnknownAccount),
    ] {
        let (network, _) = cluster(move |_, server, request, taken| {
            let Request::Send { after, .. } = request else { panic!("{request:?}") };
            match (server, after) {
                (0, _) => Reaction::Close,
                (_, Some(_)) => taken.take(None, &[], request),
                (_, None) => {
                    let code = refuses.unwrap_or(ErrorCode::Unavailable);
                    Reaction::Error(Error::new(code, "refused"))
                }
            }
        });
        network.greet_as(0, client::Mode::Alone);
        let SentBehind { sent, overtakes } = send_one(&network, 1).await;
        let error = sent.expect_err("nobody has said that it is taken");
        assert!(overtakes && error.code == decided, "{refuses:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn lines_wait_for_the_message_before_them_and_overtake_it_if_it_stays_away() {
    let (network, taken) = cluster(|_, _, request, taken| taken.take(None, &[], request));
    network.set_mode(0, Mode::Frozen);
    let client = Client::new(fake::host(&network), addresses(), Duration::from_secs(10));
    let client = client.expect("servers").confirming(Confirm::Any);
    let to = vec!["bob".to_string()];
    let pipeline = Pipeline::new(&client, to, BASE, &b"line 1\nline 2\n"[..], |_| Ok(()));
    let before = After { list: list(0), number: 1, id: None };
    let summary = pipeline.behind(Some(before)).run().await.expect("taken");
    assert!(summary.overtakes && summary.sent == 2, "{summary:?}");
    assert_eq!(taken.lock().texts(None), texts(1..=2));
    let asked = named(&network);
    assert_eq!((asked[0].1.as_str(), asked[0].2), ("line 1", Some(1)));
}
