//! The oracle on histories written by hand: it accepts what a correct service
//! may show, and names every contradiction.

use ftchat::error::ErrorCode;
use ftchat::types::Uuid;

use super::linearizable;
use super::messages::{Verdict, check};
use super::replicas::Replicas;
use super::{Call, Recorder, Reply, Seen};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn seen(number: u128, seq: u64) -> Seen {
    Seen { id: id(number), seq, from: "alice".into(), text: format!("text {number}") }
}

/// A history in which every step can be taken apart into beginning and end.
#[derive(Default)]
struct Story(Recorder);

impl Story {
    fn sends(&self, number: u128) -> usize {
        let text = format!("text {number}");
        let (from, to) = ("alice".into(), vec!["bob".into()]);
        self.0.begin("alice", Call::Send { id: id(number), from, to, text })
    }
    fn sent(&self, number: u128, seq: u64) {
        let operation = self.sends(number);
        self.0.end(operation, Reply::Sent { seq });
    }
    fn reads(&self) -> usize {
        self.0.begin("bob", Call::Read { owner: "bob".into(), after: 0 })
    }
    fn shows(&self, operation: usize, messages: &[Seen]) {
        self.0.end(operation, Reply::Page { messages: messages.to_vec(), more: false });
    }
    fn read(&self, messages: &[Seen]) {
        let operation = self.reads();
        self.shows(operation, messages);
    }
    fn deletes(&self, number: u128) -> usize {
        self.0.begin("bob", Call::Delete { owner: "bob".into(), id: id(number) })
    }
    fn verdict(&self) -> Verdict {
        self.0.look(check)
    }
    fn is_correct(&self) {
        assert_eq!(self.verdict().violations, Vec::<String>::new());
        assert_eq!(self.0.look(linearizable::check), Vec::<String>::new());
    }
    /// Also for a checker that knows nothing of one order for all conversations.
    fn has_no_order(&self) {
        let found = self.0.look(linearizable::check);
        assert!(found.len() == 1 && found[0].contains("not linearizable"), "{found:?}");
    }
    fn is_wrong(&self, because: &str) {
        let violations = self.verdict().violations;
        assert!(
            violations.len() == 1 && violations[0].contains(because),
            "expected one violation with {because:?}: {violations:?}"
        );
    }
}

#[test]
fn what_a_correct_service_shows_is_accepted() {
    let story = Story::default();
    story.sent(1, 1);
    story.read(&[seen(1, 1)]);
    // Concurrent with a read: it may show the message or not.
    let (early, late) = (story.reads(), story.reads());
    let sending = story.sends(2);
    story.shows(early, &[seen(1, 1)]);
    story.0.end(sending, Reply::Sent { seq: 5 });
    story.shows(late, &[seen(1, 1), seen(2, 5)]);
    // Never answered, and there.
    story.sends(3);
    story.read(&[seen(1, 1), seen(2, 5), seen(3, 6)]);
    // Never answered, and not there; repeated later under the same id.
    let lost = story.sends(4);
    story.0.end(lost, Reply::Unknown);
    story.read(&[seen(1, 1), seen(2, 5), seen(3, 6)]);
    story.sent(4, 9);
    let deletion = story.deletes(1);
    let during = story.reads();
    story.0.end(deletion, Reply::Deleted);
    story.shows(during, &[seen(1, 1), seen(2, 5), seen(3, 6), seen(4, 9)]);
    story.read(&[seen(2, 5), seen(3, 6), seen(4, 9)]);
    story.is_correct();
    let verdict = story.verdict();
    assert_eq!((verdict.acknowledged, verdict.unknown, verdict.pages), (3, 2, 7));
    assert_eq!(verdict.deletions, 1);
}

#[test]
fn a_page_that_is_cut_answers_only_for_what_it_covers() {
    let story = Story::default();
    for number in 1..=3 {
        story.sent(number.into(), number);
    }
    let first = story.reads();
    story.0.end(first, Reply::Page { messages: vec![seen(1, 1), seen(2, 2)], more: true });
    story.is_correct();
    let second = story.0.begin("bob", Call::Read { owner: "bob".into(), after: 2 });
    story.shows(second, &[]);
    story.is_wrong("misses");
    story.has_no_order();
}

#[test]
fn an_acknowledged_message_that_is_missing_is_found() {
    let story = Story::default();
    story.sent(1, 1);
    story.read(&[]);
    story.is_wrong("misses");
    story.has_no_order();
}

#[test]
fn a_hole_below_the_last_message_shown_is_found() {
    let story = Story::default();
    let (first, second, reading) = (story.sends(1), story.sends(2), story.reads());
    story.shows(reading, &[seen(2, 2)]);
    story.0.end(first, Reply::Sent { seq: 1 });
    story.0.end(second, Reply::Sent { seq: 2 });
    story.is_wrong("misses");
    story.has_no_order();
}

#[test]
fn a_read_that_goes_back_is_found() {
    let story = Story::default();
    story.sends(1);
    story.read(&[seen(1, 1)]);
    story.read(&[]);
    story.is_wrong("which was accepted");
    story.has_no_order();
}

#[test]
fn a_stale_read_of_another_inbox_is_found() {
    // Carol's message was known to be at 7 when bob read, so whatever stands
    // before 7 in bob's inbox has to be shown, although nobody acknowledged it.
    let story = Story::default();
    story.sends(1);
    let (from, to) = ("alice".to_string(), vec!["carol".to_string()]);
    let call = Call::Send { id: id(2), from, to, text: String::new() };
    let operation = story.0.begin("alice", call);
    story.0.end(operation, Reply::Sent { seq: 7 });
    story.read(&[]);
    story.is_correct();
    story.read(&[seen(1, 3)]);
    story.is_wrong("misses");
}

#[test]
fn doubled_and_displaced_messages_are_found() {
    let story = Story::default();
    story.sent(1, 1);
    story.read(&[seen(1, 1), seen(1, 2)]);
    story.is_wrong("stands at 1 and");
    let story = Story::default();
    let (first, second) = (story.sends(1), story.sends(2));
    story.0.end(first, Reply::Sent { seq: 4 });
    story.0.end(second, Reply::Sent { seq: 4 });
    story.is_wrong("both stand at 4");
}

#[test]
fn an_order_against_real_time_is_found() {
    let story = Story::default();
    story.sent(1, 5);
    story.sent(2, 4);
    story.is_wrong("after 5 was known");
}

#[test]
fn refused_unsent_and_altered_messages_are_found() {
    let story = Story::default();
    let operation = story.sends(1);
    story.0.end(operation, Reply::Refused(ErrorCode::Unavailable));
    story.read(&[seen(1, 1)]);
    story.is_wrong("which was refused");
    let story = Story::default();
    story.read(&[seen(9, 1)]);
    story.is_wrong("which nobody sent");
    let story = Story::default();
    story.sent(1, 1);
    story.read(&[Seen { text: "other".into(), ..seen(1, 1) }]);
    story.is_wrong("another shape");
}

#[test]
fn a_deleted_message_that_comes_back_is_found() {
    let story = Story::default();
    story.sent(1, 1);
    let deletion = story.deletes(1);
    story.0.end(deletion, Reply::Deleted);
    story.read(&[seen(1, 1)]);
    story.is_wrong("which was deleted");
    // Also when only a read proves that it was deleted.
    let story = Story::default();
    story.sent(1, 1);
    story.deletes(1);
    story.read(&[]);
    story.read(&[seen(1, 1)]);
    story.is_wrong("which was deleted");
}

#[test]
fn a_deletion_that_finds_nothing_where_something_must_be_is_found() {
    let story = Story::default();
    story.sent(1, 1);
    let deletion = story.deletes(1);
    story.0.end(deletion, Reply::Refused(ErrorCode::UnknownMessage));
    story.is_wrong("is unknown");
}

#[test]
fn replicas_that_differ_and_nodes_that_run_twice_are_found() {
    let mut replicas = Replicas::default();
    replicas.state("one#1", 7, "aa");
    replicas.state("two#1", 7, "aa");
    replicas.state("two#1", 8, "bb");
    replicas.leader("one#1", 3, 1);
    replicas.leader("two#1", 3, 2);
    replicas.leader("one#1", 3, 1);
    assert_eq!(replicas.violations(), Vec::<String>::new());
    assert_eq!((replicas.compared(), replicas.leaders()), (2, 2));
    replicas.state("one#2", 8, "cc");
    replicas.leader("three#1", 3, 2);
    assert_eq!(replicas.violations().len(), 2, "{:?}", replicas.violations());
}
