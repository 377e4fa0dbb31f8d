//! Backups, and states made from them step by step.

use super::*;
use crate::types::ReplicaId;

const BACKUP: Uuid = Uuid::from_u128(0xbac);
const OTHER: Uuid = Uuid::from_u128(0x07e);

/// An empty state whose operations have other ids than those of the backup.
fn fresh() -> Chat {
    Chat { next_id: 1_000_000, ..Chat::new() }
}

pub(super) fn backup(state: &State) -> Vec<String> {
    let lines = state.view().for_backup().lines().collect::<Vec<_>>();
    lines.into_iter().map(|line| String::from_utf8(line).expect("JSON")).collect()
}

/// What restores these lines, so many a step.
pub(super) fn steps(lines: &[String], size: usize) -> Vec<Action> {
    let parts = lines.chunks(size).enumerate();
    let parts = parts.map(|(n, lines)| part((n * size) as u64 + 1, lines));
    [begin(BACKUP)].into_iter().chain(parts).chain([end(lines)]).collect()
}

fn begin(backup: Uuid) -> Action {
    Action::Restore(RestoreStep::Begin { backup })
}

fn part(first: u64, lines: &[String]) -> Action {
    Action::Restore(RestoreStep::Lines { backup: BACKUP, first, lines: lines.to_vec() })
}

fn end(lines: &[String]) -> Action {
    Action::Restore(RestoreStep::End { backup: BACKUP, lines: lines.len() as u64 })
}

fn progress(lines: usize, done: bool) -> Outcome {
    Outcome::Restoring { lines: lines as u64, done }
}

fn restored(lines: &[String]) -> Chat {
    let mut chat = fresh();
    assert_eq!(chat.apply(begin(BACKUP)), progress(0, false));
    for (n, line) in lines.iter().enumerate() {
        let outcome = chat.apply(part(n as u64 + 1, std::slice::from_ref(line)));
        assert_eq!(outcome, progress(n + 1, false));
    }
    assert_eq!(chat.apply(end(lines)), progress(lines.len(), true));
    chat
}

/// Users with messages, some read, some deleted, some of deleted accounts.
fn eventful() -> (Chat, [User; 2], Uuid) {
    let mut chat = Chat::new();
    let [alice, bob, carol] = ["Alice", "bob", "carol"].map(|who| chat.register(who));
    chat.send(alice, &["bob", "carol"], "one \u{1} \"two\" \\ \u{202e}");
    let (_, seq) = chat.send(bob, &["alice"], "read");
    chat.apply(Action::MarkRead { session: alice.session, seqs: vec![seq] });
    let (deleted, _) = chat.send(carol, &["alice"], "deleted");
    chat.apply(Action::Delete { session: alice.session, ids: vec![deleted] });
    chat.send(carol, &["alice"], "of one who is gone");
    chat.apply(Action::AllocateIncarnation { replica: ReplicaId(3) });
    chat.apply(Action::DeleteAccount { session: carol.session, verified: None });
    chat.send(bob, &["alice"], "last");
    chat.pass(2);
    (chat, [alice, bob], deleted)
}

#[test]
fn everything_comes_back_but_sessions() {
    let (chat, [alice, bob], deleted) = eventful();
    let lines = backup(&chat.state);
    let mut again = restored(&lines);
    assert_eq!(backup(&again.state), lines, "a backup of it is the same backup");
    assert_eq!(again.state.counts().sessions, 0);
    assert_eq!(again.state.last_seq(), chat.state.last_seq());
    for user in [alice, bob] {
        let view = |chat: &Chat| chat.state.account(user.account).expect("there");
        assert!(view(&chat) == view(&again), "identity, name and password are the same");
        for which in [Which::Unread, Which::All, Which::Sent] {
            let query = InboxQuery { which, ..InboxQuery::default() };
            assert_eq!(again.page(user, &query).messages, chat.page(user, &query).messages);
        }
    }
    // Sessions of the old cluster mean nothing, and numbers go on behind them.
    let (code, _) = refusal(again.apply(send(alice, &["bob"], "x")));
    assert_eq!(code, ErrorCode::SessionExpired);
    let outcome = again.log_in(alice.account);
    let alice = opened(outcome);
    assert!(alice.session > bob.session);
    // The same id is the same message, also of one that was deleted meanwhile.
    let query = InboxQuery { which: Which::Sent, ..InboxQuery::default() };
    let sent = &chat.page(alice, &query).messages[0];
    let repeated = Action::Send {
        session: alice.session,
        to: sent.to.to_vec(),
        text: sent.text.clone(),
        again: false,
        after: None,
        reply_to: None,
    };
    assert!(
        matches!(again.apply_as(sent.id, repeated), Outcome::Sent { seq, .. } if Some(seq) == sent.seq)
    );
    let (code, _) = refusal(again.apply_as(deleted, send(alice, &["bob"], "something else")));
    assert_eq!(code, ErrorCode::IdConflict);
    // New messages come behind the restored ones.
    let (_, seq) = again.send(alice, &["bob"], "new");
    assert_eq!(seq, chat.state.last_seq() + 1);
    audit(&again.state);
}

#[test]
fn what_is_half_restored_is_for_nobody_to_use() {
    let (chat, [alice, _], _) = eventful();
    let lines = backup(&chat.state);
    let mut half = fresh();
    half.apply(begin(BACKUP));
    half.apply(part(1, &lines[..lines.len() - 1]));
    assert!(half.state.usable().is_err());
    assert_eq!(half.state.restored_lines(), Some(lines.len() as u64 - 1));
    assert!(half.state.account(alice.account).is_none());
    assert_eq!(half.state.counts().messages, 0);
    let (id, register) = (half.id(), half.register_action("alice"));
    let (code, _) = refusal(half.apply_as(id, register.clone()));
    assert_eq!(code, ErrorCode::Restoring);
    // Too early, with the wrong count, of another backup, out of order.
    for wrong in [
        end(&lines),
        end(&lines[..1]),
        Action::Restore(RestoreStep::End { backup: OTHER, lines: lines.len() as u64 - 1 }),
        part(lines.len() as u64 + 1, &lines[..1]),
        part(0, &lines[..1]),
    ] {
        assert_eq!(refusal(half.apply(wrong)).0, ErrorCode::InvalidRequest);
        assert_eq!(half.state.restored_lines(), Some(lines.len() as u64 - 1));
    }
    // An end that comes before the last line is no end of the whole.
    let cut = end(&lines[..lines.len() - 1]);
    assert_eq!(refusal(half.apply(cut)).0, ErrorCode::Corrupted);
    assert!(half.state.usable().is_ok());
    // Nothing is left of it; whoever was refused may ask for the same again.
    assert!(matches!(half.apply_as(id, register), Outcome::SessionOpened { .. }));
}

#[test]
fn steps_may_come_twice_and_late() {
    let (chat, ..) = eventful();
    let lines = backup(&chat.state);
    let mut again = fresh();
    for _ in 0..2 {
        assert_eq!(again.apply(begin(BACKUP)), progress(0, false));
    }
    again.apply(part(1, &lines[..2]));
    assert_eq!(again.apply(begin(BACKUP)), progress(2, false), "tells where to go on");
    again.apply(part(1, &lines[..3]));
    again.apply(part(2, &lines[1..2]));
    assert_eq!(again.apply(part(2, &lines[1..])), progress(lines.len(), false));
    for _ in 0..2 {
        assert_eq!(again.apply(end(&lines)), progress(lines.len(), true));
        let done = again.state.hash();
        assert_eq!(again.apply(begin(BACKUP)), progress(0, true));
        again.apply(part(1, &lines));
        assert_eq!(again.state.hash(), done, "what comes late changes nothing");
    }
    assert_eq!(backup(&again.state), lines);
    assert_eq!(refusal(again.apply(begin(OTHER))).0, ErrorCode::NotEmpty);
}

#[test]
fn only_a_state_that_was_never_used_is_replaced() {
    let mut used = fresh();
    let alice = used.register("alice");
    assert_eq!(refusal(used.apply(begin(BACKUP))).0, ErrorCode::NotEmpty);
    used.apply(Action::DeleteAccount { session: alice.session, verified: None });
    used.pass(3);
    assert_eq!(refusal(used.apply(begin(BACKUP))).0, ErrorCode::NotEmpty);
    assert!(used.state.usable().is_ok());
}

#[test]
fn what_was_begun_can_be_abandoned_or_replaced() {
    let (chat, ..) = eventful();
    let lines = backup(&chat.state);
    let empty = State::new(1_000).hash();
    let mut state = fresh();
    state.apply(begin(OTHER));
    assert_ne!(state.state.hash(), empty);
    assert_eq!(state.apply(begin(BACKUP)), progress(0, false));
    state.apply(part(1, &lines[..2]));
    let abandon = Action::Restore(RestoreStep::Abandon {});
    assert_eq!(state.apply(abandon), Outcome::Done);
    assert!(state.state.usable().is_ok());
    assert_eq!(refusal(state.apply(part(1, &lines))).0, ErrorCode::InvalidRequest);
    state.register("alice");
}

#[test]
fn a_snapshot_in_the_middle_makes_no_difference() {
    let (chat, ..) = eventful();
    let written = backup(&chat.state);
    let mut straight = fresh();
    straight.apply(Action::AllocateIncarnation { replica: ReplicaId(2) });
    straight.apply(begin(BACKUP));
    for cut in 0..=written.len() {
        let snapshot = lines(&straight.state);
        let mut from_snapshot = restore(1_000, &snapshot).expect("own lines");
        audit(&from_snapshot);
        assert_eq!(from_snapshot.hash(), straight.state.hash());
        assert_eq!(lines(&from_snapshot), snapshot);
        let rest = [part(cut as u64 + 1, &written[cut..]), end(&written)];
        let operations = rest.map(|action| Operation { id: Uuid::nil(), action }).to_vec();
        let batch = Batch { at: straight.at, operations };
        from_snapshot.apply(1_000, &batch, &mut Effects::default());
        audit(&from_snapshot);
        let rest: Vec<String> = backup(&from_snapshot);
        assert_eq!(rest, written, "cut after line {cut}");
        let snapshot = lines(&from_snapshot);
        assert_eq!(restore(1_000, &snapshot).expect("own lines").hash(), from_snapshot.hash());
        if let Some(line) = written.get(cut) {
            straight.apply(part(cut as u64 + 1, std::slice::from_ref(line)));
        }
    }
}

#[test]
fn what_the_new_cluster_knows_of_itself_stays() {
    let (chat, ..) = eventful();
    let lines = backup(&chat.state);
    let mut again = fresh();
    let allocate = || Action::AllocateIncarnation { replica: ReplicaId(1) };
    let id = again.id();
    let outcome = again.apply_as(id, allocate());
    again.apply(begin(BACKUP));
    again.apply(part(1, &lines));
    again.apply(end(&lines));
    assert_eq!(again.apply_as(id, allocate()), outcome, "an answer that was given stays");
    assert_eq!(again.apply(allocate()), Outcome::Incarnation { incarnation: 3 });
    let other = Action::AllocateIncarnation { replica: ReplicaId(3) };
    assert_eq!(again.apply(other), Outcome::Incarnation { incarnation: 2 });
}

#[test]
fn a_backup_says_nothing_of_one_cluster_and_a_line_that_does_is_refused() {
    let (chat, ..) = eventful();
    let lines = backup(&chat.state);
    for kind in ["incarnations", "sessions", "restoring", "staged", "token_hash"] {
        assert!(!lines.iter().any(|line| line.contains(kind)), "{kind}");
    }
    for line in [
        r#"{"incarnations":[[1,2]]}"#.to_string(),
        format!(r#"{{"restoring":["{OTHER}"]}}"#),
        r#"{"staged":[{"number":1,"line":"{}"}]}"#.to_string(),
        r#"{"sessions":[]}"#.to_string(),
        "garbage".to_string(),
    ] {
        let mut state = fresh();
        state.apply(begin(BACKUP));
        state.apply(part(1, &lines[..1]));
        let (code, sentence) = refusal(state.apply(part(2, &[line])));
        assert_eq!(code, ErrorCode::Corrupted, "{sentence}");
        assert!(sentence.contains("line 2"), "{sentence}");
        assert!(state.state.usable().is_ok(), "and all of it is dropped");
    }
}

#[test]
fn a_backup_with_a_line_changed_missing_or_doubled_is_never_taken_for_whole() {
    let (chat, ..) = eventful();
    let lines = backup(&chat.state);
    let mut wrong = Vec::new();
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        changed[at] = changed[at].replacen("\"bob\"", "\"rob\"", 1);
        let mut missing = lines.clone();
        missing.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at].clone());
        wrong.extend([changed, missing, doubled].into_iter().filter(|wrong| *wrong != lines));
    }
    for lines in wrong {
        let mut state = fresh();
        state.apply(begin(BACKUP));
        state.apply(part(1, &lines));
        refusal(state.apply(end(&lines)));
        assert_eq!(
            state.state.counts(),
            Counts { remembered: state.state.counts().remembered, ..Counts::default() }
        );
        assert!(state.state.usable().is_ok());
    }
}
