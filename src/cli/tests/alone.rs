//! Verbs at servers that have no majority.

use std::sync::Arc;

use super::verbs::{User, name};
use crate::cli::Exit;
use crate::client::fake::{ALONE_SINCE, FakeNetwork, Mode, Reaction};
use crate::error::{Error, ErrorCode};
use crate::protocol::client::{
    self, Alone, Answer, Confirm, Event, Message, Request, Sent, SessionInfo,
};
use crate::sync::Mutex;
use crate::types::{Names, Place, Timestamp, Uuid};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number << 96)
}

/// A confirmed message with a place, or an unconfirmed one.
fn message(number: u128, seq: Option<u64>) -> Message {
    Message {
        id: id(number),
        from: name("bob"),
        to: Names::from_iter([name("alice")]),
        text: format!("text {number}"),
        at: Timestamp(0),
        seq,
        confirmed: seq.is_some(),
        place: seq.is_none().then_some(Place { list: Uuid::nil(), number: 1 }),
        seen_to: seq.is_none().then_some(1),
        read: false,
        accepted_at: seq.is_none().then_some(Timestamp(0)),
        notice: false,
        mention: false,
        reply_to: None,
        answers: None,
        read_by: None,
    }
}

/// What was marked as read: by place, by id.
type Marked = Arc<Mutex<(Vec<u64>, Vec<Uuid>)>>;

/// One server of three is left, and alone. The inbox has a confirmed message and two that
/// are not; nothing is known any more of the message `gone`.
fn lonely(gone: Option<u128>) -> (Arc<FakeNetwork>, Marked) {
    let marked = Marked::default();
    let shared = marked.clone();
    let alone = Some(Alone { since: ALONE_SINCE });
    let network = FakeNetwork::new(move |_, request| {
        let messages = || vec![message(1, Some(1)), message(2, None), message(3, None)];
        Reaction::Answer(match request {
            Request::Ping {} => Answer::done(),
            Request::Authenticate { .. } | Request::Whoami {} => Answer::Session(SessionInfo {
                name: name("Alice"),
                account: Uuid::nil(),
                expires: Timestamp(1_800_000_000_000),
                alone,
            }),
            Request::Inbox(_) => Answer::Messages { messages: messages(), more: false, alone },
            Request::Follow(_) => {
                return Reaction::Events(vec![
                    Event::Messages(messages()),
                    Event::Alone { since: ALONE_SINCE, seq: 1 },
                    Event::Refused { id: id(2), reason: "bob is gone".to_string() },
                    Event::Messages(vec![message(4, Some(2))]),
                ]);
            }
            Request::MarkRead { ids, .. } if gone.is_some_and(|gone| ids.contains(&id(gone))) => {
                return Reaction::Error(Error::new(ErrorCode::UnknownMessage, "no"));
            }
            Request::MarkRead { seqs, ids, .. } => {
                let (by_seq, by_id) = &mut *shared.lock();
                by_seq.extend(seqs);
                by_id.extend(ids);
                Answer::Marked { count: 1, confirmed: false }
            }
            Request::Accounts { .. } => {
                Answer::Accounts { names: vec![name("alice")], more: false, alone }
            }
            Request::Find { .. } => Answer::Found { matches: vec![vec![id(2)]], alone },
            Request::Delete { .. } => Answer::Deleted { count: 1, confirmed: false },
            Request::Logout { .. } => Answer::Done { confirmed: false },
            Request::Send { operation, to, .. } => Answer::Sent(Sent {
                id: *operation,
                to: to.iter().map(|to| name(to)).collect(),
                at: Timestamp(0),
                seq: None,
                copies: 1,
                replicas: 3,
                confirmed: false,
                place: Some(Place { list: Uuid::nil(), number: 9 }),
            }),
            other => panic!("{other:?}"),
        })
    });
    network.greet_as(0, client::Mode::Alone);
    network.set_mode(1, Mode::Refuse);
    network.set_mode(2, Mode::Refuse);
    (network, marked)
}

/// A quarter of an hour before what the clock shows.
const WHO: &str = "server 1 is alone since 21:56";

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_message_is_sent_and_only_a_script_that_reads_json_is_told() {
    let user = User::at(lonely(None).0);
    let number = id(5).to_string();
    let (result, out, err) = user.run(&["send", "bob", "hi", "--id", &number]).await;
    assert_eq!(
        (result.expect("taken"), out.as_str(), err.as_str()),
        (Exit::Done, format!("{number}\n").as_str(), "")
    );
    let (_, out, _) = user.run(&["send", "bob", "hi", "--json"]).await;
    for part in ["\"seq\":null,", "\"confirmed\":false,", "\"copies\":1,", "\"n\":9}"] {
        assert!(out.contains(part), "{out}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_wants_a_majority_is_told_who_is_alone_and_what_the_flag_says_counts_more() {
    let user = User::at(lonely(None).0);
    let config = user.home.path().join("config.toml");
    for (line, file) in [
        (&["send", "bob", "hi", "--confirm", "majority"][..], ""),
        (&["send", "bob", "hi"], "send.confirm = 'majority'"),
        (&["inbox", "--confirm", "majority"], ""),
        (&["accounts", "--confirm", "majority"], ""),
        (&["whoami", "--confirm", "majority"], ""),
        (&["delete", "0000", "--confirm", "majority"], ""),
        (&["logout", "--confirm", "majority"], ""),
    ] {
        std::fs::write(&config, file).expect("written");
        let error = user.run(line).await.0.expect_err("nobody confirms it");
        assert_eq!((error.code, Exit::of(&error)), (ErrorCode::Unavailable, Exit::Unavailable));
        assert!(error.message.contains("server 1 is alone"), "{line:?}: {error}");
    }
    assert!(user.network.confirm.lock().iter().all(Confirm::is_majority));
    std::fs::write(&config, "send.confirm = 'majority'").expect("written");
    let (result, ..) = user.run(&["send", "bob", "hi", "--confirm", "any"]).await;
    result.expect("the flag counts more");
    assert!(user.network.confirm.lock().ends_with(&[Confirm::Any, Confirm::Any]));
}

#[tokio::test(start_paused = true)]
async fn reads_are_answered_and_say_that_more_may_be_there() {
    let user = User::at(lonely(None).0);
    for (line, out_has, what) in [
        (&["accounts"][..], "alice\n", "accounts"),
        (&["whoami"], "Alice\n", "changes"),
        (&["inbox", "--peek"], "\t~1970-01-01T00:00:00.000Z\tbob\ttext 2\n", "messages"),
    ] {
        let (result, out, err) = user.run(line).await;
        assert_eq!(result.expect("answered"), Exit::Done);
        assert!(out.contains(out_has), "{out}");
        let told = format!("{WHO}: there may be {what} that it does not know\n");
        assert_eq!(err, told, "{line:?}");
        let quiet = [line, &["--quiet"]].concat();
        assert_eq!(user.run(&quiet).await.2, "");
    }
    let (_, out, err) = user.run(&["delete", "0000", "--json"]).await;
    assert!(out.contains("\"confirmed\":false"), "{out}");
    assert!(err.contains("deleted at server 1 alone; "), "{err}");
    let (_, _, err) = user.run(&["logout"]).await;
    assert!(err.contains("logged out at server 1 alone; the other servers know it when"), "{err}");
}

#[tokio::test(start_paused = true)]
async fn the_inbox_marks_what_is_confirmed_by_place_and_the_rest_by_id() {
    let (network, marked) = lonely(None);
    let (result, out, _) = User::at(network).run(&["inbox"]).await;
    assert_eq!((result.expect("shown"), out.lines().count()), (Exit::Done, 3));
    assert_eq!(*marked.lock(), (vec![1], vec![id(2), id(3)]));
    // Both count for a limit.
    let (network, marked) = lonely(None);
    let (_, out, _) = User::at(network).run(&["inbox", "--limit", "2"]).await;
    assert_eq!((out.lines().count(), marked.lock().clone()), (2, (vec![1], vec![id(2)])));
    // One that was withdrawn meanwhile keeps no other from being marked.
    let (network, marked) = lonely(Some(2));
    let (result, ..) = User::at(network).run(&["inbox"]).await;
    assert_eq!(
        (result.expect("shown"), marked.lock().clone()),
        (Exit::Done, (vec![1], vec![id(3)]))
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_is_final_is_shown_marked_and_run_where_that_is_wanted() {
    let (network, marked) = lonely(None);
    let (result, out, _) = User::at(network).run(&["inbox", "--confirmed"]).await;
    assert_eq!((result.expect("shown"), out.lines().count()), (Exit::Done, 1));
    assert_eq!(*marked.lock(), (vec![1], vec![]));
}

#[tokio::test]
async fn a_command_knows_whether_its_message_may_still_be_withdrawn() {
    let (network, _) = lonely(None);
    let user = User::at(network);
    let log = user.home.path().join("log").display().to_string();
    let command = format!("echo \"$FTCHAT_TEXT $FTCHAT_CONFIRMED\" >> '{log}'");
    user.run(&["inbox", "--exec", &command]).await.0.expect("run");
    let log = std::fs::read_to_string(log).expect("it ran");
    assert_eq!(log, "text 1 1\ntext 2 0\ntext 3 0\n");
}

#[tokio::test(start_paused = true)]
async fn a_follow_tells_that_its_server_is_alone_and_what_was_withdrawn() {
    let (network, marked) = lonely(None);
    let (result, out, err) = User::at(network).run(&["inbox", "-f", "--limit", "4"]).await;
    assert_eq!((result.expect("ends"), out.lines().count()), (Exit::Done, 4));
    let withdrawn = format!("message {}, which was shown, is not delivered: bob is gone\n", id(2));
    let told = format!("{WHO}: there may be messages that it does not know\n{withdrawn}");
    assert_eq!(err, told);
    assert_eq!(*marked.lock(), (vec![1, 2], vec![id(2), id(3)]));
}
