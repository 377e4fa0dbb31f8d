//! Whatever is asked, and whatever somebody has put into the state to make that
//! slow: the state's lock is held for a bounded number of steps at a time, and
//! others run in between. Steps are counted, as the code counts them itself and
//! where the work is done.

use super::fake::Meter;
use super::*;
use crate::chat::{Action, Operation, Outcome};
use crate::limits::{
    IDS_PER_REQUEST_MAX, ORPHANS_REMOVED_PER_ENTRY_MAX, QUERY_STEPS_MAX, RECIPIENTS_MAX,
};
use crate::protocol::client::OPERATIONS;
use crate::protocol::client::{InboxQuery, PastQuery, Request, Which};
use crate::types::{AccountName, Digest, Timestamp};

/// Messages in alice's inbox; she has sent a few more to bob, whose ids begin alike.
const MANY: u128 = 6_000;

/// What one look may take where the work is done.
const WORKED_MAX: usize = 4 * QUERY_STEPS_MAX;

/// Ids that begin alike, in the order of their numbers.
fn alike(number: u128) -> Uuid {
    Uuid::from_u128(0xaaaa << 112 | number)
}

/// The longest names there are, all but their ends alike.
fn long_name(number: usize) -> String {
    format!("{}{number:05}", "a".repeat(27))
}

/// A server whose state is the worst for every question, and alice, who asks.
async fn worst() -> Rig {
    let rig = Rig::start().at_newest_level();
    rig.registered("alice").await;
    rig.registered("bob").await;
    // The first session is alice's.
    let send = |id: Uuid, to: Vec<String>| Operation {
        id,
        action: Action::Send {
            session: 1,
            to: to.iter().map(|name| AccountName::new(name).expect("valid")).collect(),
            text: "x".into(),
            again: false,
            after: None,
            reply_to: None,
        },
    };
    let accounts = (0..3 * RECIPIENTS_MAX).map(|number| Operation {
        id: id(1 << 64 | number as u128),
        action: Action::Register {
            account: id(2 << 64 | number as u128),
            name: AccountName::new(&long_name(number)).expect("valid"),
            password_hash: "x".into(),
            token_hash: Digest::of(&number.to_le_bytes()),
            expires: Timestamp::MAX,
            invitation: None,
            from: None,
        },
    });
    rig.replica.apply(accounts.collect());
    let mine = (0..MANY).map(|number| send(id(3 << 64 | number), vec!["alice".into()]));
    rig.replica.apply(mine.collect());
    let sent = (0..MANY + 5).map(|number| send(alike(number), vec!["bob".into()]));
    rig.replica.apply(sent.collect());
    let everybody = |number: u128| {
        let others = (0..RECIPIENTS_MAX - 1).map(long_name);
        send(id(4 << 64 | number), others.chain(["alice".to_string()]).collect())
    };
    let outcomes = rig.replica.apply((0..40).map(everybody).collect());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Sent { .. })));
    rig.replica.looks();
    rig
}

/// Which operation a request is. Whoever adds one adds the worst of it to
/// [`worst_requests`].
fn kind(request: &Request) -> usize {
    match request {
        Request::Authenticate { .. } => 0,
        Request::Register { .. } => 1,
        Request::Login { .. } => 2,
        Request::Logout { .. } => 3,
        Request::Whoami {} => 4,
        Request::Accounts { .. } => 5,
        Request::Send { .. } => 6,
        Request::Inbox(_) => 7,
        Request::Follow(_) => 8,
        Request::Unfollow { .. } => 9,
        Request::MarkRead { .. } => 10,
        Request::Find { .. } => 11,
        Request::Delete { .. } => 12,
        Request::DeleteAccount { .. } => 13,
        Request::Status {} => 14,
        Request::Ping {} => 15,
        Request::ChangePassword { .. } => 16,
        Request::Sessions {} => 17,
        Request::EndSessions { .. } => 18,
        Request::Settings {} => 19,
        Request::ChangeSetting { .. } => 20,
        Request::Block { .. } => 21,
        Request::Unblock { .. } => 22,
        Request::Blocked {} => 23,
        Request::Past(_) => 24,
        Request::Unread { .. } => 25,
    }
}

/// Beginnings of ids, which are all in each other, or beside each other.
fn beginnings() -> Vec<String> {
    let zeros = (0..28).map(|more| format!("aaaa{}", "0".repeat(more)));
    let beside = (0..IDS_PER_REQUEST_MAX).map(|number| format!("aaaa{:028x}", number * 7));
    zeros.chain(beside).take(IDS_PER_REQUEST_MAX).collect()
}

/// The same about one's own account.
fn worst_of_own() -> Vec<Request> {
    vec![
        Request::Sessions {},
        Request::Block { operation: id(22), name: "bob".into() },
        Request::Blocked {},
        Request::Unblock { operation: id(23), name: "bob".into() },
        Request::Settings {},
        Request::ChangeSetting { operation: id(21), key: "receipts".into(), value: "off".into() },
        Request::EndSessions { operation: id(18), ids: (1..=64).collect(), others: false },
        Request::EndSessions { operation: id(19), ids: vec![], others: true },
        Request::ChangePassword {
            operation: id(17),
            password: PASSWORD.into(),
            new_password: PASSWORD.into(),
        },
    ]
}

/// Of every kind of request the worst that anybody could ask in [`worst`].
fn worst_requests() -> Vec<Request> {
    let (name, password) = ("alice".to_string(), PASSWORD.to_string());
    let accounts = |glob: &str| Request::Accounts { glob: Some(glob.into()), after: None };
    let mut requests = vec![
        Request::Authenticate { token: token("alice") },
        Request::Register {
            operation: id(10),
            name: "carol".into(),
            password: password.clone(),
            token: token("carol"),
            invitation: Some("GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV".into()),
        },
        Request::Login {
            operation: id(11),
            name,
            password: password.clone(),
            token: token("x"),
            new_password: Some(password.clone()),
        },
        Request::Whoami {},
        Request::Accounts { glob: None, after: None },
        accounts("*"),
        accounts("*b"),
        accounts(&format!("{}b", "*a".repeat(16))),
        accounts(&format!("*{}b", "a".repeat(20))),
        Request::Send {
            operation: id(12),
            to: (0..RECIPIENTS_MAX).map(long_name).collect(),
            text: "x".repeat(8_000),
            first: true,
            after: None,
            reply_to: None,
        },
        Request::Unfollow { follow: 999 },
        Request::Find { prefixes: vec!["aaaa".into(); IDS_PER_REQUEST_MAX] },
        Request::Find { prefixes: beginnings() },
        Request::MarkRead { operation: id(13), seqs: (1..=1_000).collect(), ids: vec![] },
    ];
    let all = || InboxQuery { which: Which::All, ..InboxQuery::default() };
    let long_ago = MANY as u64 + 100;
    for query in [
        InboxQuery::default(),
        all(),
        InboxQuery { which: Which::Sent, ..all() },
        InboxQuery { which: Which::Sent, read_by: true, ..all() },
        InboxQuery { from: Some("nobody".into()), ..all() },
        InboxQuery { from: Some("x".repeat(10_000)), ..InboxQuery::default() },
        InboxQuery { since: Some(Timestamp::MAX), ..all() },
        InboxQuery { after: Some(long_ago), ..all() },
        InboxQuery { limit: Some(1), since: Some(Timestamp::MAX), ..all() },
    ] {
        requests.extend([Request::Inbox(query.clone()), Request::Follow(query)]);
    }
    requests.extend(worst_of_the_past());
    let ids = (0..1_000).map(|number| id(3 << 64 | number)).collect();
    requests.extend([
        Request::Unread { after: None },
        Request::Delete { operation: id(14), ids },
        Request::Status {},
        Request::Ping {},
        Request::Logout { operation: id(15) },
    ]);
    requests.extend(worst_of_own());
    requests.push(Request::DeleteAccount { operation: id(16), password });
    requests
}

/// The same of looking back.
fn worst_of_the_past() -> impl Iterator<Item = Request> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let queries = [
        PastQuery::default(),
        PastQuery { with: Some("alice".into()), ..PastQuery::default() },
        PastQuery { with: Some("bob".into()), ..PastQuery::default() },
        PastQuery { with: Some(long_name(2_100)), ..PastQuery::default() },
        PastQuery { words: words(&["y"]), ..PastQuery::default() },
        PastQuery { words: words(&["y*", "*y", "*y*"]), limit: Some(1), ..PastQuery::default() },
        PastQuery { from: Some("nobody".into()), ..PastQuery::default() },
        PastQuery { since: Some(Timestamp::MAX), ..PastQuery::default() },
        PastQuery { before_id: Some(id(3 << 64)), ..PastQuery::default() },
    ];
    queries.into_iter().map(Request::Past)
}

/// Asks and reads until all is told that belongs to it.
async fn ask(client: &mut Client, request: &Request) {
    let request = serde_json::to_value(request).expect("plain data");
    let follows = request.get("follow").is_some();
    let id = client.request(request).await;
    loop {
        let line = client.receive().await;
        assert_eq!(line["id"], id, "{line:.300}");
        if !follows || line["event"]["caught_up"].is_object() {
            return;
        }
    }
}

fn looks_at_many(what: &Request) -> bool {
    let readers = matches!(what, Request::Inbox(query) | Request::Follow(query) if query.read_by);
    readers || matches!(what, Request::Blocked {})
}

fn check(looks: &[Meter], what: &Request) {
    for Meter { spent, worked } in looks {
        // Naming the recipients of one message may go beyond.
        let beyond = if looks_at_many(what) { 5 * RECIPIENTS_MAX / 2 } else { RECIPIENTS_MAX / 2 };
        assert!(*spent <= QUERY_STEPS_MAX + beyond, "{spent} steps: {what:?}");
        assert!(*worked <= WORKED_MAX, "{worked} steps of work: {what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_holds_the_state_for_a_bounded_number_of_steps() {
    let rig = worst().await;
    let requests = worst_requests();
    let kinds: std::collections::BTreeSet<_> = requests.iter().map(kind).collect();
    assert!(kinds.iter().copied().eq(0..OPERATIONS.len()), "of every kind there is one");
    let mut longest = 0;
    for request in &requests {
        let mut client = rig.client().await;
        let logs_in = json!({"authenticate": {"token": token("alice")}});
        if kind(request) == 3 {
            // Not the session that all the others use.
            client.ask(login(20, "alice", PASSWORD)).await;
        } else if kind(request) > 2 {
            client.ask(logs_in).await;
        }
        rig.replica.looks();
        ask(&mut client, request).await;
        let looks = rig.replica.looks();
        check(&looks, request);
        longest = longest.max(looks.len());
        let Meter { spent, worked } = rig.replica.applied();
        // An account's lists begin to be emptied in the same entry.
        let beside = if kind(request) == 13 { 18 * ORPHANS_REMOVED_PER_ENTRY_MAX } else { 0 };
        assert!(
            worked <= spent + beside,
            "applied in {worked} steps instead of {spent}: {request:?}"
        );
    }
    assert!(longest > 5, "the state was not the worst: {longest} looks");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_beginnings_of_ids_that_somebody_made_alike_are_found_in_one_pass() {
    let rig = worst().await;
    let mut alice = rig.client().await;
    alice.ask(json!({"authenticate": {"token": token("alice")}})).await;
    for prefixes in [vec!["aaaa".to_string(); IDS_PER_REQUEST_MAX], beginnings()] {
        rig.replica.looks();
        let answer = alice.ask(json!({"find": {"prefixes": prefixes}})).await;
        let matches = answer["result"]["found"]["matches"].as_array().expect("an answer");
        assert_eq!(matches, &vec![json!([]); IDS_PER_REQUEST_MAX]);
        let worked: usize = rig.replica.looks().iter().map(|look| look.worked).sum();
        // Ids first, then the inbox; not a thousand times either.
        assert!(worked < 8 * MANY as usize, "{worked} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_ends_with_its_deadline() {
    let rig = worst().await;
    let mut alice = rig.client().await;
    alice.ask(json!({"authenticate": {"token": token("alice")}})).await;
    for request in [
        json!({"find": {"prefixes": beginnings()}}),
        json!({"accounts": {"glob": "*b?"}}),
        json!({"inbox": {"which": "all", "from": "nobody"}}),
    ] {
        rig.replica.looks();
        alice.send_line(&json!({"id": 7, "timeout_ms": 0, "request": request}).to_string()).await;
        let answer = alice.receive().await;
        assert_eq!(code(&answer), "deadline_exceeded", "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("--timeout")));
        assert_eq!(rig.replica.looks().len(), 1, "{request}");
    }
    // Looking back goes on from there.
    let request = json!({"past": {"words": ["nothing"]}});
    alice.send_line(&json!({"id": 7, "timeout_ms": 0, "request": request}).to_string()).await;
    let past = alice.receive().await["result"]["past"].take();
    assert_eq!((&past["messages"], &past["more"]), (&json!([]), &json!(true)));
    let first = past["scanned_to"].as_u64().expect("a place");
    let further = json!({"past": {"words": ["nothing"], "before": first}});
    alice.send_line(&json!({"id": 7, "timeout_ms": 0, "request": further}).to_string()).await;
    let past = alice.receive().await["result"]["past"].take();
    assert!(past["scanned_to"].as_u64().is_some_and(|place| place < first), "{past}");
    // What was found until then is worth having.
    let request = json!({"accounts": {"glob": "*1*"}});
    alice.send_line(&json!({"id": 8, "timeout_ms": 0, "request": request}).to_string()).await;
    let answer = alice.receive().await;
    let names = answer["result"]["accounts"]["names"].as_array().expect("names").len();
    assert!(names > 0 && names < 1_000, "{names}");
    assert_eq!(answer["result"]["accounts"]["more"], true);
}

#[tokio::test(start_paused = true)]
async fn a_connection_full_of_long_reads_keeps_nobody_waiting() {
    let rig = worst().await;
    let mut honest = rig.registered("honest").await;
    for request in [
        // Each takes nearly a whole look, or several.
        json!({"accounts": {"glob": "*a*", "after": long_name(2_100)}}),
        json!({"find": {"prefixes": beginnings()}}),
        json!({"inbox": {"which": "all", "from": "nobody"}}),
    ] {
        let mut hostile = rig.client().await;
        hostile.ask(json!({"authenticate": {"token": token("alice")}})).await;
        rig.replica.looks();
        for _ in 0..200 {
            hostile.request(request.clone()).await;
        }
        honest.ask(json!({"whoami": {}})).await;
        honest.ask(json!({"inbox": {}})).await;
        let before = rig.replica.looks().len();
        for _ in 0..200 {
            assert!(hostile.receive().await["result"].is_object());
        }
        let after = rig.replica.looks().len();
        assert!(10 * before < after, "{before} looks before, {after} after: {request}");
    }
}

/// Names of full length, to so many of whom a page of messages does not fit into a line.
fn some_names() -> Vec<String> {
    (0..60).map(long_name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_cut_to_fit_its_line_says_that_there_is_more() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    for name in some_names() {
        rig.registered(&name).await;
    }
    let total = 300;
    for number in 0..total {
        let to: Vec<String> = some_names().into_iter().chain(["alice".to_string()]).collect();
        let send = json!({"send": {"operation": id(number), "to": to, "text": "x"}});
        assert!(alice.ask(send).await["result"]["sent"].is_object());
    }
    let first = total as u64 - 250;
    let mut cut = 0;
    for after in (first..total as u64).step_by(9).chain([0]) {
        let (mut place, mut seen) = (after, Vec::new());
        loop {
            let query = json!({"inbox": {"which": "all", "after": place}});
            let answer = alice.ask(query).await["result"]["messages"].take();
            let seqs = answer["messages"].as_array().expect("a page").iter();
            seen.extend(seqs.map(|message| message["seq"].as_u64().expect("a number")));
            if answer["more"] == false {
                break;
            }
            cut += 1;
            place = *seen.last().expect("a page with more is not empty");
        }
        assert_eq!(seen, (after + 1..=total as u64).collect::<Vec<_>>());
    }
    assert!(cut > 2, "only {cut} pages were cut");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_takes_several_looks_is_as_long_as_one_that_takes_one() {
    let rig = Rig::start();
    let mut alice = rig.registered("alice").await;
    rig.registered("bob").await;
    let message = |number: u128, session, text: &str| Operation {
        id: id(number),
        action: Action::Send {
            session,
            to: vec![AccountName::new("alice").expect("valid")],
            text: text.into(),
            again: false,
            after: None,
            reply_to: None,
        },
    };
    let long = "x".repeat(8_000);
    for round in 0..12u128 {
        let others = (1..400).map(|number| message(round * 1_000 + number, 2, "x"));
        let mine = message(round * 1_000, 1, &long);
        rig.replica.apply(std::iter::once(mine).chain(others).collect());
    }
    for (after, length, more) in [(0, 8, true), (7 * 400 + 1, 4, false), (11 * 400, 1, false)] {
        rig.replica.looks();
        let query = json!({"which": "all", "from": "alice", "after": after});
        let answer = alice.ask(json!({"inbox": query})).await["result"]["messages"].take();
        assert_eq!(answer["messages"].as_array().map(Vec::len), Some(length), "after {after}");
        assert_eq!(answer["more"], more, "after {after}");
        assert!(length == 1 || rig.replica.looks().len() > 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_questions_that_are_answered_at_once_let_others_in_between() {
    let rig = Rig::start();
    let (mut hostile, mut honest) = (rig.client().await, rig.client().await);
    let lines: String = (0..1_000)
        .map(|id| format!("{}\n", json!({"id": id, "request": {"status": {}}})))
        .collect();
    hostile.send_bytes(lines.as_bytes()).await;
    honest.ask(json!({"ping": {}})).await;
    let before = rig.replica.statuses.load(std::sync::atomic::Ordering::Relaxed);
    assert!(before < 800, "{before} answers before");
    for _ in 0..1_000 {
        assert!(hostile.receive().await["result"]["status"].is_object());
    }
}
