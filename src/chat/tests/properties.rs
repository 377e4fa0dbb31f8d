//! What holds for every history.

use proptest::prelude::*;

use super::histories::any_history;
use super::model::{Model, ModelAccount, ModelMessage, plain};
use super::*;
use crate::limits::QUOTED_CHARS_MAX;
use crate::protocol::client;
use crate::types::Names;

pub(super) fn run(state: &mut State, history: &[(u64, Batch)]) -> Vec<Vec<Outcome>> {
    let apply = |(index, batch): &(u64, Batch)| state.apply(*index, batch, &mut Effects::default());
    history.iter().map(apply).collect()
}

/// All pages of a query.
fn all_pages(state: &State, account: Uuid, query: &InboxQuery) -> Vec<client::Message> {
    let (mut query, mut messages) = (query.clone(), Vec::new());
    loop {
        let page = state.look(|look| look.messages(account, &query, 2, 3));
        messages.extend(page.messages);
        if !page.more {
            return messages;
        }
        query.after = Some(page.scanned_to);
    }
}

/// A message as whoever may see it is told of it.
pub(super) fn told(model: &Model, seq: u64, read: bool, reader: &ModelAccount) -> client::Message {
    let message = &model.messages[&seq];
    let mention = format!("@{}", reader.name.folded());
    client::Message {
        id: message.id,
        from: message.from.clone(),
        to: message.to.iter().cloned().collect(),
        text: message.text.clone(),
        at: message.at,
        seq: Some(seq),
        confirmed: true,
        place: None,
        seen_to: None,
        read,
        accepted_at: message.accepted_at,
        notice: message.notice,
        mention: message.text.to_lowercase().contains(&mention),
        reply_to: message.reply_to,
        answers: message.reply_to.and_then(|id| model.seen(reader.uuid, id)).map(|answered| {
            let from = answered.from.clone();
            client::Quote { from, text: answered.text.chars().take(QUOTED_CHARS_MAX).collect() }
        }),
        read_by: None,
    }
}

fn check_sessions(state: &State, model: &Model, now: Timestamp) {
    for number in 0..20 {
        let theirs = model.sessions.get(&number).filter(|session| session.expires > now);
        let ours = state.session_by_number(number, now).ok();
        assert_eq!(ours.as_ref().map(|s| s.account), theirs.map(|s| s.account));
        if let Some(session) = theirs {
            assert_eq!(state.session(&session.token, now).ok(), ours);
            let noted = state.data.sessions.get(number).map(|it| (it.started, it.used));
            assert_eq!(noted, Some((session.started, session.used)));
        }
    }
}

/// Names of those whom an account has blocked and who are there.
fn blocked(model: &Model, account: &ModelAccount) -> Vec<AccountName> {
    let named = |uuid: &Uuid| model.accounts.iter().find(|other| other.uuid == *uuid);
    let names = account.blocked.iter().filter_map(named).map(|other| other.name.clone());
    let mut names: Vec<AccountName> = names.collect();
    names.sort_by_key(|name| name.folded());
    names
}

/// Messages are found by the beginnings of their ids.
fn check_ids(state: &State, model: &Model, uuid: Uuid, account: Option<&ModelAccount>) {
    for prefix in ["abc0", "ABC1", "ab-c2"] {
        let digits = prefix.replace('-', "").to_lowercase();
        let inbox = account.iter().flat_map(|account| &account.inbox);
        let mut theirs: Vec<Uuid> = inbox
            .map(|(seq, _)| model.messages[seq].id)
            .filter(|id| id.simple().to_string().starts_with(&digits))
            .collect();
        theirs.sort_unstable();
        theirs.truncate(2);
        assert_eq!(find(state, uuid, prefix).expect("valid"), theirs);
    }
}

/// Who has read a message, and wants it to be known.
fn readers(model: &Model, seq: u64, message: &ModelMessage) -> Names {
    let (_, recipients) = &message.parties;
    let recipients = recipients.iter().zip(&message.to);
    let has_read = |uuid: &Uuid| {
        let account = model.accounts.iter().find(|account| account.uuid == *uuid);
        account.is_some_and(|it| !it.receipts_off && it.inbox.contains(&(seq, true)))
    };
    recipients.filter(|(uuid, _)| has_read(uuid)).map(|(_, name)| name.clone()).collect()
}

fn check_queries(state: &State, model: &mut Model, now: Timestamp) {
    assert_eq!(state.last_seq(), model.last_seq);
    assert_eq!(state.counts().messages, model.messages.len());
    assert_eq!(state.counts().accounts, model.accounts.len());
    check_sessions(state, model, now);
    let mut listed: Vec<&AccountName> = model.accounts.iter().map(|a| &a.name).collect();
    listed.sort_by_key(|name| name.folded());
    let (ours, more) = list_names(state, Some("*"), None, 100);
    assert!(!more && ours.iter().eq(listed), "{ours:?}");
    for uuid in (0..9).map(Uuid::from_u128) {
        let account = model.account(uuid).cloned();
        let theirs = account.as_ref().map(|account| blocked(model, account));
        assert_eq!(state.blocked_by(uuid), theirs.unwrap_or_default());
        assert_eq!(state.account(uuid).map(|a| a.name), account.as_ref().map(|a| a.name.clone()));
        for which in [Which::Unread, Which::All, Which::Sent] {
            for (from, since, after) in [
                (None, None, None),
                (Some("ANN"), None, Some(3)),
                (None, Some(Timestamp(60)), None),
            ] {
                let theirs: Vec<client::Message> = account
                    .iter()
                    .flat_map(|account| match which {
                        Which::Sent => account.sent.iter().map(|seq| (*seq, true)).collect(),
                        Which::Unread | Which::All => account.inbox.clone(),
                    })
                    .filter(|(seq, read)| {
                        let message = &model.messages[seq];
                        !(which == Which::Unread && *read)
                            && from.is_none_or(|from| message.from == name(from) && !message.notice)
                            && since.is_none_or(|since| message.at >= since)
                            && after.is_none_or(|after| *seq > after)
                    })
                    .filter_map(|(seq, read)| {
                        let told = told(model, seq, read, account.as_ref()?);
                        let readers = || readers(model, seq, &model.messages[&seq]);
                        let told_so = model.level >= LEVEL_OF_CONVERSATIONS && which == Which::Sent;
                        let read_by = told_so.then(readers);
                        Some(client::Message { read_by, ..told })
                    })
                    .collect();
                let from = from.map(str::to_string);
                let query = InboxQuery {
                    which,
                    after,
                    from,
                    since,
                    read_by: true,
                    ..InboxQuery::default()
                };
                assert_eq!(all_pages(state, uuid, &query), theirs);
            }
        }
        check_ids(state, model, uuid, account.as_ref());
    }
}

const REACHED: [&str; 29] = [
    "expired by itself",
    "forgotten",
    "tombstone",
    "answer",
    "resent",
    "sent",
    "marked",
    "deleted",
    "opened",
    "incarnation",
    "done",
    "name_taken",
    "id_conflict",
    "session_expired",
    "login_refused",
    "unknown_account",
    "unknown_message",
    "unknown_session",
    "invalid_text",
    "invalid_request",
    "settled",
    "behind",
    "unavailable",
    // What the notices end with.
    "more",
    "name",
    "be",
    "this",
    "meanwhile",
    "id_forgotten",
];

/// Properties of histories in which nothing happens would hold of anything.
#[test]
fn the_histories_reach_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let (mut runner, mut reached) = (TestRunner::deterministic(), BTreeMap::<String, u32>::new());
    let mut note = |what: &str| *reached.entry(what.to_string()).or_default() += 1;
    for _ in 0..400 {
        let (window, history) = any_history().new_tree(&mut runner).expect("no filter").current();
        let mut state = State::new(window);
        for (index, batch) in &history {
            let (stored, remembered) = (state.message_ids.clone(), state.window_ids.clone());
            if state.expiries.first().is_some_and(|(expires, _)| *expires <= batch.at) {
                note("expired by itself");
            }
            let messages_before = state.data.messages.len();
            let outcomes = state.apply(*index, batch, &mut Effects::default());
            if remembered.iter().any(|(id, _)| !state.window_ids.contains(&id)) {
                note("forgotten");
            }
            if stored.iter().any(|(id, _)| state.window_ids.contains(&id)) {
                note("tombstone");
            }
            let notices = state.data.messages.iter().skip(messages_before);
            for text in notices.map(|it| &*it.text).filter(|it| it.starts_with("Your message")) {
                let what = text.split_once(". It began").map_or(text, |it| it.0);
                note(what.rsplit(' ').next().unwrap_or_default());
            }
            for (operation, outcome) in batch.operations.iter().zip(&outcomes) {
                match outcome {
                    Outcome::Refused(body) => note(body.code.as_str()),
                    Outcome::Sent { seq, .. } if state.reply_to(*seq).is_some() => note("answer"),
                    Outcome::Sent { .. } if stored.contains(&operation.id) => note("resent"),
                    Outcome::Sent { .. } => note("sent"),
                    Outcome::Marked { count } => note(if *count > 0 { "marked" } else { "none" }),
                    Outcome::Deleted { count } => note(if *count > 0 { "deleted" } else { "none" }),
                    Outcome::SessionOpened { .. } => note("opened"),
                    Outcome::Incarnation { .. } => note("incarnation"),
                    Outcome::Done => note("done"),
                    Outcome::Settled { .. } => note("settled"),
                    Outcome::Restoring { .. }
                    | Outcome::MembersChanged { .. }
                    | Outcome::Invited { .. } => {
                        panic!("no administrator is here")
                    }
                }
            }
        }
    }
    for what in REACHED {
        assert!(reached.get(what).is_some_and(|times| *times >= 10), "{what}: {reached:?}");
    }
}

/// The kinds of lines.
const KINDS: [&str; 20] = [
    "header",
    "incarnations",
    "membership",
    "settings",
    "invitations",
    "actions",
    "accounts",
    "sessions",
    "labels",
    "messages",
    "origins",
    "inboxes",
    "sent",
    "remembered",
    "lists",
    "repeats",
    "floors",
    "restoring",
    "staged",
    "end",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_history_has_one_outcome_and_the_naive_model_agrees((window, history) in any_history()) {
        let (mut state, mut again) = (State::new(window), State::new(window));
        let mut model = Model::new(window);
        for (index, batch) in &history {
            let outcomes = state.apply(*index, batch, &mut Effects::default());
            let theirs = model.apply(*index, batch);
            prop_assert_eq!(outcomes.iter().map(plain).collect::<Vec<_>>(), theirs);
            audit(&state);
            prop_assert_eq!(again.apply(*index, batch, &mut Effects::default()), outcomes);
            prop_assert_eq!(again.hash(), state.hash());
        }
        let now = history.last().map_or(Timestamp(0), |(_, batch)| batch.at);
        check_queries(&state, &mut model, now);
    }

    #[test]
    fn a_restart_from_a_snapshot_makes_no_difference(
        (window, history) in any_history(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (before, after) = history.split_at(cut.index(history.len()));
        let mut straight = State::new(window);
        run(&mut straight, before);
        let view = straight.view();
        let (hash, written) = (straight.hash(), lines(&straight));
        let outcomes = run(&mut straight, after);

        prop_assert_eq!(view.lines().collect::<Vec<_>>(), written.clone(), "a view stays");
        let mut restored = restore(window, &written).expect("own lines");
        audit(&restored);
        prop_assert_eq!(restored.hash(), hash);
        prop_assert_eq!(lines(&restored), written);
        prop_assert_eq!(run(&mut restored, after), outcomes);
        prop_assert_eq!(restored.hash(), straight.hash());
        prop_assert_eq!(lines(&restored), lines(&straight));
        audit(&restored);
    }

    #[test]
    fn a_backup_of_any_state_restores_to_an_equal_one(
        (window, history) in any_history(),
        size in 1usize..6,
    ) {
        let mut state = State::new(window);
        run(&mut state, &history);
        let lines = restoring::backup(&state);
        let mut restored = State::new(window);
        let raise = Action::RaiseLevel { level: state.level() };
        let operations = vec![Operation { id: Uuid::max(), action: raise }];
        restored.apply(0, &Batch { at: Timestamp(0), operations }, &mut Effects::default());
        for (n, action) in restoring::steps(&lines, size).into_iter().enumerate() {
            let operations = vec![Operation { id: Uuid::from_u128(n as u128), action }];
            let batch = Batch { at: Timestamp(0), operations };
            let outcome = restored.apply(n as u64 + 1, &batch, &mut Effects::default());
            prop_assert!(matches!(outcome[0], Outcome::Restoring { .. }), "{:?}", outcome);
            audit(&restored);
        }
        prop_assert!(restored.usable().is_ok());
        prop_assert_eq!(restoring::backup(&restored), lines);
        let counts = state.counts();
        prop_assert_eq!(restored.counts().messages, counts.messages);
        prop_assert_eq!(restored.counts().accounts, counts.accounts);
        prop_assert_eq!(restored.last_seq(), state.last_seq());
    }

    #[test]
    fn the_same_operation_at_once_again_changes_nothing((window, history) in any_history()) {
        let mut state = State::new(window);
        for (index, batch) in history {
            for operation in batch.operations {
                let entry = Batch { at: batch.at, operations: vec![operation] };
                let first = state.apply(index, &entry, &mut Effects::default());
                // Ends what expires at this very instant.
                let nothing = Batch { at: batch.at, operations: Vec::new() };
                state.apply(index, &nothing, &mut Effects::default());
                let (hash, counts) = (state.hash(), state.counts());
                let mut effects = Effects::default();
                prop_assert_eq!(state.apply(index, &entry, &mut effects), first);
                prop_assert_eq!((state.hash(), state.counts()), (hash, counts));
                prop_assert_eq!(effects, Effects::default());
            }
        }
    }

    #[test]
    fn broken_lines_are_refused_or_harmless_and_never_a_panic(
        (window, history) in any_history(),
        flips in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..=255), 1..20),
        swap in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let mut state = State::new(window);
        run(&mut state, &history);
        let written = lines(&state);
        let mut broken: Vec<Vec<Vec<u8>>> = flips
            .into_iter()
            .map(|(line, byte, flip)| {
                let mut lines = written.clone();
                let line = line.index(lines.len());
                let byte = byte.index(lines[line].len());
                lines[line][byte] ^= flip;
                lines
            })
            .collect();
        let mut swapped = written.clone();
        swapped.swap(swap.0.index(written.len()), swap.1.index(written.len()));
        broken.push(swapped);
        for lines in broken {
            match restore(window, &lines) {
                Ok(mut restored) => {
                    prop_assert_eq!(restored.hash(), state.hash());
                    audit(&restored);
                    run(&mut restored, &history);
                }
                Err(error) => prop_assert!(
                    matches!(error.code, ErrorCode::Corrupted | ErrorCode::NewerFormat)
                ),
            }
        }
    }

    #[test]
    fn garbage_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..KINDS.len()) {
        let mut restore = Restore::new(1);
        restore.line(&lines(&State::new(1))[0]).expect("a header");
        let text = String::from_utf8_lossy(&garbage).into_owned();
        let almost = format!("{{\"{}\":[{text}]}}", KINDS[kind]);
        if let Err(error) = restore.line(almost.as_bytes()) {
            prop_assert_eq!(error.code, ErrorCode::Corrupted);
        }
        let error = restore.line(&garbage).expect_err("no line");
        prop_assert_eq!(error.code, ErrorCode::Corrupted);
    }
}
