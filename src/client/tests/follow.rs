use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::fake::{self, FakeNetwork, Reaction, addresses};
use crate::client::{Client, Follow, FollowNotice};
use crate::error::{Error, ErrorCode};
use crate::protocol::client::{Answer, Confirm, Event, InboxQuery, Message, Mode, Request};
use crate::sync::Mutex;
use crate::types::{AccountName, Names, ReplicaId, Timestamp, Uuid};

fn message(seq: u64) -> Message {
    let name = |name| AccountName::new(name).expect("valid");
    Message {
        id: Uuid::from_u128(u128::from(seq)),
        from: name("alice"),
        to: Names::from_iter([name("bob")]),
        text: format!("message {seq}"),
        at: Timestamp(seq),
        seq: Some(seq),
        confirmed: true,
        place: None,
        seen_to: None,
        read: false,
        accepted_at: None,
        notice: false,
        mention: false,
        reply_to: None,
        answers: None,
        read_by: None,
    }
}

fn follow(network: &Arc<FakeNetwork>) -> Follow {
    let timeout = Duration::from_secs(10);
    let client = Client::new(fake::host(network), addresses(), timeout).expect("servers");
    Follow::new(&client, InboxQuery::default())
}

/// The next `count` sequence numbers and what was said meanwhile.
async fn take(follow: &mut Follow, count: usize) -> (Vec<u64>, Vec<FollowNotice>) {
    let (mut seqs, mut notices) = (Vec::new(), Vec::new());
    while seqs.len() < count {
        let page = follow.next(&mut |notice| notices.push(notice)).await.expect("goes on");
        seqs.extend(page.into_iter().filter_map(|message| message.seq));
    }
    (seqs, notices)
}

#[tokio::test(start_paused = true)]
async fn none_is_missed_and_none_comes_twice_across_failovers() {
    // Each connection dies after two pages of one message. The server repeats
    // the last message it was told of, as one that counts differently might.
    let network = FakeNetwork::new(|_, request| {
        let Request::Follow(query) = request else { panic!("{request:?}") };
        let last = query.after.unwrap_or(0);
        let pages = (last..last + 3).map(|seq| Event::Messages(vec![message(seq)]));
        Reaction::EventsThenClose(pages.collect())
    });
    let mut follow = follow(&network);
    let (seqs, notices) = take(&mut follow, 21).await;
    assert_eq!(seqs, (0..21).collect::<Vec<u64>>());
    let lost = |notice: &&FollowNotice| matches!(notice, FollowNotice::Reconnecting { .. });
    let said = notices.iter().filter(lost).count();
    assert_eq!(said, notices.len() - said, "each outage begins and ends once");
    assert!(said >= 8, "{notices:?}");
    let servers: BTreeMap<usize, ()> =
        network.requests().into_iter().map(|(server, _)| (server, ())).collect();
    assert_eq!(servers.len(), 3, "all servers took part");
}

/// How long a server is followed that sends one message and then nothing, and why not
/// longer, if it answers pings with `ping`.
async fn leaving(ping: Reaction) -> (Duration, String) {
    let follows = AtomicUsize::new(0);
    let network = FakeNetwork::new(move |_, request| match request {
        Request::Ping {} => ping.clone(),
        _ => match follows.fetch_add(1, Ordering::Relaxed) {
            0 => Reaction::Events(vec![
                Event::Messages(vec![message(1)]),
                Event::CaughtUp { seq: 1 },
            ]),
            _ => Reaction::Events(vec![Event::Messages(vec![message(2)])]),
        },
    });
    let mut follow = follow(&network);
    let started = Instant::now();
    let (seqs, notices) = take(&mut follow, 2).await;
    assert_eq!(seqs, [1, 2]);
    match &notices[0] {
        FollowNotice::Reconnecting { reason, .. } => (started.elapsed(), reason.clone()),
        _ => panic!("{notices:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_up_to_date_is_left_and_one_that_is_gone_sooner() {
    let (after, why) = leaving(Reaction::Answer(Answer::done())).await;
    assert_eq!(after, Duration::from_secs(6));
    assert!(why.contains("no sign"), "{why}");
    let (after, why) = leaving(Reaction::Silence).await;
    assert_eq!(after, Duration::from_millis(2_900));
    assert_eq!(why, "does not answer");
}

#[tokio::test(start_paused = true)]
async fn servers_that_came_while_it_ran_are_found_when_the_first_ones_are_gone() {
    let network = FakeNetwork::new(|server, _| match server {
        0 => Reaction::EventsThenClose(vec![Event::Messages(vec![message(1)])]),
        _ => Reaction::Events(vec![Event::Messages(vec![message(2)])]),
    });
    network.name_members(addresses()[1..].to_vec());
    let named = addresses()[..1].to_vec();
    let client = Client::new(fake::host(&network), named, Duration::from_secs(10));
    let mut follow = Follow::new(&client.expect("a server"), InboxQuery::default());
    assert_eq!(take(&mut follow, 1).await.0, [1]);
    network.set_mode(0, fake::Mode::Refuse);
    assert_eq!(take(&mut follow, 1).await.0, [2]);
}

#[tokio::test(start_paused = true)]
async fn what_no_server_can_change_ends_it() {
    let network = FakeNetwork::new(|_, _| {
        Reaction::Error(Error::new(ErrorCode::SessionExpired, "log in again"))
    });
    let error = follow(&network).next(&mut |_| ()).await.expect_err("over");
    assert_eq!(error.code, ErrorCode::SessionExpired);
}

#[tokio::test(start_paused = true)]
async fn not_now_is_not_the_end_and_is_said_once() {
    let tries = Arc::new(Mutex::new(0));
    let count = tries.clone();
    let network = FakeNetwork::new(move |_, _| {
        let mut count = count.lock();
        *count += 1;
        match *count {
            1..=20 => Reaction::Error(Error::new(ErrorCode::ReadNotConfirmed, "no majority")),
            _ => Reaction::Events(vec![Event::Messages(vec![message(1)])]),
        }
    });
    let (seqs, notices) = take(&mut follow(&network), 1).await;
    assert_eq!((seqs, notices.len()), (vec![1], 2));
    assert!(matches!(&notices[0], FollowNotice::Reconnecting { reason, .. }
        if reason == "no majority"));
}

fn unconfirmed(id: u128, seen_to: u64) -> Message {
    let (id, seen_to) = (Uuid::from_u128(id), Some(seen_to));
    Message { id, seq: None, confirmed: false, seen_to, ..message(0) }
}

/// Server 0 is alone, and the others too until a majority is back after `healed`. What the
/// majority sends then depends on the question.
fn split(
    healed: Duration,
    alone: Vec<Event>,
    majority: fn(&InboxQuery) -> Vec<Event>,
) -> (Arc<FakeNetwork>, impl Future<Output = ()>) {
    let network = FakeNetwork::new(move |server, request| match request {
        Request::Ping {} => Reaction::Answer(Answer::done()),
        Request::Follow(_) if server == 0 => Reaction::Events(alone.clone()),
        Request::Follow(query) => Reaction::Events(majority(query)),
        other => panic!("{other:?}"),
    });
    network.greet_as(0, Mode::Alone);
    network.greet_as(1, Mode::Alone);
    network.set_mode(2, fake::Mode::Refuse);
    let heals = network.clone();
    let heals = async move {
        tokio::time::sleep(healed).await;
        heals.greet_as(1, Mode::Majority);
    };
    (network, heals)
}

fn follow_anybody(network: &Arc<FakeNetwork>) -> Follow {
    let client = Client::new(fake::host(network), addresses(), Duration::from_secs(10));
    Follow::new(&client.expect("servers").confirming(Confirm::Any), InboxQuery::default())
}

const ALONE: Event = Event::Alone { since: Timestamp(7), seq: 1 };

#[tokio::test(start_paused = true)]
async fn what_was_shown_unconfirmed_is_not_shown_again_by_the_majority_that_is_found() {
    let events = vec![Event::Messages(vec![message(1), unconfirmed(5, 1)]), ALONE, ALONE];
    let (network, heals) = split(Duration::from_secs(3), events, |query| {
        assert_eq!(query.after, Some(1), "what has no place moves no cursor");
        let confirmed = Message { id: Uuid::from_u128(5), ..message(2) };
        vec![Event::Messages(vec![confirmed, message(3)]), Event::CaughtUp { seq: 3 }]
    });
    let mut follow = follow_anybody(&network);
    let started = Instant::now();
    let mut notices = Vec::new();
    let mut texts = Vec::new();
    let takes = async {
        while texts.len() < 3 {
            let page = follow.next(&mut |notice| notices.push(notice)).await.expect("goes on");
            texts.extend(page.into_iter().map(|message| (message.id.as_u128(), message.confirmed)));
        }
    };
    tokio::join!(takes, heals);
    assert_eq!(texts, [(1, true), (5, false), (3, true)]);
    assert_eq!(started.elapsed(), Duration::from_secs(5), "it looks every five seconds");
    let (server, replica) = (fake::address(0), ReplicaId(1));
    let id = Uuid::from_u128(5);
    let expected = [
        FollowNotice::Alone { server, replica, since: Timestamp(7) },
        FollowNotice::Reconnected { server: fake::address(1) },
        FollowNotice::Confirmed { id, seq: 2 },
    ];
    assert_eq!(notices, expected);
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_and_is_withdrawn_is_told_and_nothing_of_what_was_not() {
    let refused = |id: u128| {
        let (id, reason) = (Uuid::from_u128(id), "bob is gone".to_string());
        Event::Refused { id, reason }
    };
    let events = vec![
        Event::Messages(vec![unconfirmed(5, 0)]),
        refused(6),
        refused(5),
        Event::Messages(vec![unconfirmed(5, 0), message(1)]),
    ];
    let (network, _) = split(Duration::MAX, events, |query| panic!("{query:?}"));
    let mut follow = follow_anybody(&network);
    let mut notices = Vec::new();
    let mut ids = Vec::new();
    while ids.len() < 2 {
        let page = follow.next(&mut |notice| notices.push(notice)).await.expect("goes on");
        ids.extend(page.into_iter().map(|message| message.id.as_u128()));
    }
    assert_eq!(ids, [5, 1], "another server may show it again");
    let (id, reason) = (Uuid::from_u128(5), "bob is gone".to_string());
    assert_eq!(notices, [FollowNotice::Refused { id, reason }]);
}

#[tokio::test(start_paused = true)]
async fn a_follow_that_wants_a_majority_waits_for_one() {
    let events = vec![Event::Messages(vec![unconfirmed(5, 0)]), ALONE];
    let (network, heals) =
        split(Duration::from_secs(20), events, |_| vec![Event::Messages(vec![message(1)])]);
    let mut follow = follow(&network);
    let ((seqs, notices), ()) = tokio::join!(take(&mut follow, 1), heals);
    assert_eq!((seqs, notices.len()), (vec![1], 2));
    assert!(
        matches!(&notices[0], FollowNotice::Reconnecting { reason, .. }
        if reason.contains("is alone")),
        "{notices:?}"
    );
}
