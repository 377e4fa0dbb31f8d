//! The feature level: what entries mean, and what states and backups say of it.

use super::restoring::{backup, steps};
use super::*;
use crate::limits::FEATURE_LEVEL_KNOWN;

fn raise(level: u32) -> Action {
    Action::RaiseLevel { level }
}

/// A line as it is with another format in its header.
fn with_format(line: &[u8], format: u32) -> Vec<u8> {
    let text = String::from_utf8(line.to_vec()).expect("JSON");
    assert!(text.starts_with("{\"header\":[{\"format\":"), "{text}");
    let rest = text.split_once(',').expect("more fields").1;
    format!("{{\"header\":[{{\"format\":{format},{rest}").into()
}

#[test]
fn a_state_at_level_0_is_what_programs_make_that_know_no_levels() {
    // Hash and header of the first released program for the same entries.
    let mut chat = Chat::new();
    chat.apply(Action::AllocateIncarnation { replica: crate::types::ReplicaId(2) });
    assert_eq!(chat.state.level(), 0);
    assert_eq!(chat.state.hash().to_string(), "45084b994b7a55d4ec6842a94582f60c");
    let header = String::from_utf8(lines(&chat.state).remove(0)).expect("JSON");
    let known = r#"{"header":[{"format":1,"last_seq":0,"last_session":0,"last_account":0}]}"#;
    assert_eq!(header, known);
}

#[test]
fn the_level_only_rises_and_is_part_of_the_state() {
    let mut chat = Chat::new();
    let before = chat.state.hash();
    assert_eq!(chat.apply(raise(1)), Outcome::Done);
    assert_eq!(chat.state.level(), 1);
    assert_ne!(chat.state.hash(), before);
    for lower in [0, 1] {
        chat.apply(raise(lower));
        assert_eq!(chat.state.level(), 1);
    }
}

#[test]
fn a_snapshot_keeps_the_level_and_one_of_an_unknown_level_is_newer() {
    let mut chat = Chat::new();
    chat.register("alice");
    chat.apply(raise(FEATURE_LEVEL_KNOWN));
    let written = lines(&chat.state);
    let again = restore(1_000, &written).expect("own lines");
    assert_eq!((again.level(), again.hash()), (FEATURE_LEVEL_KNOWN, chat.state.hash()));
    assert_eq!(lines(&again), written);
    // The level of the header is held against the hash like everything else.
    let mut lowered = written.clone();
    lowered[0] = with_format(&written[0], 1);
    assert_eq!(restore(1_000, &lowered).expect_err("changed").code, ErrorCode::Corrupted);
    let mut newer = written;
    newer[0] = with_format(&newer[0], 2 + FEATURE_LEVEL_KNOWN);
    assert_eq!(restore(1_000, &newer).expect_err("newer").code, ErrorCode::NewerFormat);
}

#[test]
fn a_backup_is_restored_at_its_own_level_or_a_higher_one_which_stays() {
    for (theirs, ours) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut chat = Chat::new();
        let alice = chat.register("alice");
        chat.send(alice, &["alice"], "hello");
        chat.apply(raise(theirs));
        let lines = backup(&chat.state);
        let mut fresh = Chat { next_id: 1_000_000, ..Chat::new() };
        fresh.apply(raise(ours));
        let mut outcomes: Vec<Outcome> =
            steps(&lines, 2).into_iter().map(|step| fresh.apply(step)).collect();
        assert_eq!(fresh.state.level(), ours);
        if theirs <= ours {
            let done = Outcome::Restoring { lines: lines.len() as u64, done: true };
            assert_eq!(outcomes.pop(), Some(done), "{theirs} into {ours}");
            assert_eq!(fresh.state.counts().messages, 1);
        } else {
            let (code, sentence) = refusal(outcomes.swap_remove(1));
            assert_eq!(code, ErrorCode::NewerFormat);
            assert!(sentence.contains("taken at feature level 1"), "{sentence}");
            assert!(fresh.state.usable().is_ok(), "and all of it is dropped");
        }
    }
}
