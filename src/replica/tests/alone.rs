//! A server that has no majority goes on, and hands over what it took when one is back.

use super::*;
use crate::chat::Given;
use crate::protocol::client::{Confirm, InboxQuery, Message, Mode, Which};
use crate::types::Place;

/// Three servers at the newest feature level, and an account of each of two people.
async fn begun() -> (Cluster, [Uuid; 2]) {
    let mut cluster = Cluster::new().await;
    cluster.survivor = Survivor::Auto;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    for id in 1..=3 {
        cluster.until(id, |status| status.feature_level == Some(FEATURE_LEVEL_KNOWN)).await;
    }
    let mut accounts = Vec::new();
    for name in ["alice", "bob"] {
        match cluster.add(1, name).await.outcome {
            Outcome::SessionOpened { account, .. } => accounts.push(account),
            other => panic!("registered: {other:?}"),
        }
    }
    // The one that is left must know them.
    assert!(knows(cluster.replica(1), "bob").await);
    (cluster, accounts.try_into().expect("two"))
}

/// Alice's first session is the first of all.
fn send(number: u128, text: &str) -> Operation {
    let action = Action::Send {
        session: 1,
        to: vec![AccountName::new("bob").expect("a name")],
        text: text.into(),
        again: false,
        after: None,
        reply_to: None,
    };
    Operation { id: Uuid::from_u128(number), action }
}

async fn until_mode(replica: &Replica, mode: Mode) {
    let reached = async {
        while replica.mode().0 != mode {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, reached).await.unwrap_or_else(|_| panic!("{:?}", replica.mode()));
}

async fn change(
    replica: &Replica,
    operation: Operation,
    stream: &ChangeStream,
) -> Result<Accepted> {
    replica.change(operation.into(), Instant::now() + LONG, stream, Confirm::Any).await
}

/// Texts in an inbox: what is confirmed, and what is not.
fn texts(replica: &Replica, account: Uuid) -> (Vec<String>, Vec<String>) {
    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    let now = replica.now();
    replica.look(|look| {
        let confirmed = look.messages(account, &query, 100, 100_000).messages;
        let page = look.unconfirmed(account, &query, now, 0, 100, 100_000);
        let text = |message: Message| message.text;
        let unconfirmed = page.messages.into_iter().map(|(_, message)| text(message));
        (confirmed.into_iter().map(text).collect(), unconfirmed.collect())
    })
}

fn number_in_list(accepted: Accepted) -> u64 {
    match accepted {
        Accepted::Unconfirmed { place, answer: Given::Sent { .. }, replicas: 3 } => place.number,
        other => panic!("not taken alone: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_and_what_came_is_taken_in_order_shown_and_handed_over_once() {
    let (mut cluster, [_, bob]) = begun().await;
    for id in [2, 3] {
        cluster.stop(id).await;
    }
    let replica = cluster.replica(1).clone();
    let stream = ChangeStream::default();
    // The first two wait for a majority; then the server finds that it is alone.
    let first = tokio::join!(
        change(&replica, send(1, "one"), &stream),
        change(&replica, send(2, "two"), &stream),
    );
    assert_eq!(number_in_list(first.0.expect("taken")), 1);
    assert_eq!(number_in_list(first.1.expect("taken")), 2);
    assert_eq!(replica.mode().0, Mode::Alone);
    assert_eq!(
        number_in_list(change(&replica, send(3, "three"), &stream).await.expect("taken")),
        3
    );
    let again = change(&replica, send(2, "two"), &ChangeStream::default()).await;
    assert_eq!(number_in_list(again.expect("known")), 2, "the same place");
    let all = ["one", "two", "three"].map(String::from).to_vec();
    assert_eq!(texts(&replica, bob), (vec![], all.clone()));

    let strict =
        replica.change(send(4, "x").into(), Instant::now() + LONG, &stream, Confirm::Majority);
    assert_eq!(strict.await.expect_err("alone").code, ErrorCode::NeedsMajority);
    let read = replica.vouch(Instant::now() + LONG, Confirm::Majority).await;
    assert_eq!(read.expect_err("alone").code, ErrorCode::NeedsMajority);
    assert!(replica.vouch(Instant::now() + LONG, Confirm::Any).await.expect("alone").is_some());
    let register =
        replica.change(register("carol").into(), Instant::now() + LONG, &stream, Confirm::Any);
    assert_eq!(register.await.expect_err("alone").code, ErrorCode::NeedsMajority);

    for id in [2, 3] {
        cluster.start(id).await;
    }
    until_mode(&replica, Mode::Majority).await;
    for id in 1..=3 {
        let replica = cluster.replica(id);
        assert!(
            replica.vouch(Instant::now() + LONG, Confirm::Majority).await.expect("there").is_none()
        );
        assert_eq!(texts(replica, bob), (all.clone(), vec![]), "replica {id}");
    }
    let later = change(&replica, send(5, "four"), &stream).await.expect("a majority");
    assert!(matches!(later, Accepted::Confirmed(_)), "{later:?}");
    let outbox = cluster.directory(1).join("outbox");
    assert_eq!(entries(&outbox), Vec::<String>::new(), "nothing is left over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_alone_outlives_the_process() {
    let (mut cluster, [_, bob]) = begun().await;
    for id in [2, 3] {
        cluster.stop(id).await;
    }
    let stream = ChangeStream::default();
    until_mode(cluster.replica(1), Mode::Alone).await;
    for number in 1..=3 {
        let taken = change(cluster.replica(1), send(number, &number.to_string()), &stream).await;
        assert_eq!(number_in_list(taken.expect("taken")), number as u64);
    }
    cluster.stop(1).await;
    cluster.start(1).await;
    cluster.until(1, |status| status.hosted[0].applied > 0).await;
    let all: Vec<String> = (1..=3).map(|number| number.to_string()).collect();
    assert_eq!(texts(cluster.replica(1), bob), (vec![], all.clone()));
    assert_eq!(cluster.replica(1).mode().0, Mode::Settling);
    cluster.start(2).await;
    until_mode(cluster.replica(1), Mode::Majority).await;
    assert_eq!(texts(cluster.replica(1), bob), (all, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_to_keep_to_a_majority_never_goes_alone() {
    let (mut cluster, _) = begun().await;
    cluster.stop(3).await;
    cluster.stop(2).await;
    cluster.survivor = Survivor::Never;
    cluster.start(2).await;
    cluster.stop(1).await;
    let sent = cluster.replica(2).change(
        send(1, "x").into(),
        Instant::now() + Duration::from_secs(4),
        &ChangeStream::default(),
        Confirm::Any,
    );
    let error = sent.await.expect_err("no majority");
    assert!(matches!(error.code, ErrorCode::Unavailable | ErrorCode::OutcomeUnknown), "{error}");
    assert_eq!(cluster.replica(2).mode().0, Mode::Majority);
}

/// A message that comes behind another one, which stands in a list that nobody brings.
fn behind(number: u128, before: u128, text: &str) -> Change {
    let mut operation = send(number, text);
    if let Action::Send { after, .. } = &mut operation.action {
        *after = Some(Place { list: Uuid::from_u128(0xdead), number: 1 });
    }
    Change { after_id: Some(Uuid::from_u128(before)), ..operation.into() }
}

/// Its server had it in its log before it was alone, and the others have that log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_list_whose_message_the_log_has_otherwise() {
    let (mut cluster, [_, bob]) = begun().await;
    let replica = cluster.replica(1).clone();
    let ask = |message: Change, limit: Duration| {
        replica.change(message, Instant::now() + limit, &ChangeStream::default(), Confirm::Any)
    };
    let waits = ask(behind(2, 1, "two"), LONG);
    let (two, one) = tokio::join!(waits, ask(send(1, "one").into(), LONG));
    for taken in [one, two] {
        assert!(matches!(taken, Ok(Accepted::Confirmed(_))), "{taken:?}");
    }
    let three = ask(behind(3, 1, "three"), LONG).await;
    assert!(matches!(three, Ok(Accepted::Confirmed(_))), "{three:?}");
    let of_nobody = ask(behind(5, 4, "five"), Duration::from_millis(300)).await;
    assert_eq!(of_nobody.expect_err("four may come back").code, ErrorCode::Behind);

    for id in [2, 3] {
        cluster.stop(id).await;
    }
    until_mode(&replica, Mode::Alone).await;
    let six = ask(behind(6, 3, "six"), LONG).await;
    assert_eq!(number_in_list(six.expect("the state has three")), 1);
    let of_nobody = ask(behind(7, 4, "seven"), LONG).await;
    assert_eq!(of_nobody.expect_err("four may come back").code, ErrorCode::Behind);
    let confirmed = ["one", "two", "three"].map(String::from).to_vec();
    assert_eq!(texts(&replica, bob), (confirmed, vec!["six".to_string()]));
}
