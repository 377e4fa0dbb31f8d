//! The oracle on histories written by hand: it accepts what a correct service
//! may show, and names every contradiction.

use ftchat::error::ErrorCode;
use ftchat::protocol::client::{InboxQuery, Which};
use ftchat::types::{Timestamp, Uuid};

use super::linearizable;
use super::messages::{Verdict, check};
use super::replicas::Replicas;
use super::{Call, Line, Recorder, Reply, Seen, Stream};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn seen(number: u128, seq: u64) -> Seen {
    Seen {
        id: id(number),
        seq,
        from: "alice".into(),
        recipients: 1,
        text: format!("text {number}"),
        at: Timestamp(seq),
        read: false,
    }
}

fn sent(seq: u64) -> Reply {
    Reply::Sent { seq, at: Timestamp(seq) }
}

fn query(which: Which, after: u64) -> InboxQuery {
    InboxQuery { which, after: Some(after), ..InboxQuery::default() }
}

/// A history in which every step can be taken apart into beginning and end.
#[derive(Default)]
struct Story(Recorder);

impl Story {
    fn sends(&self, number: u128) -> usize {
        let text = format!("text {number}");
        let (from, to) = ("alice".into(), vec!["bob".into()]);
        self.0.begin("alice", Call::Send { id: id(number), from, to, text, line: None })
    }
    fn sent(&self, number: u128, seq: u64) {
        let operation = self.sends(number);
        self.0.end(operation, sent(seq));
    }
    fn reads_of(&self, owner: &str, query: InboxQuery) -> usize {
        self.0.begin("bob", Call::Read { owner: owner.into(), query })
    }
    fn reads(&self) -> usize {
        self.reads_of("bob", query(Which::All, 0))
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
fn an_order_is_found_however_much_overlaps() {
    let story = Story::default();
    let messages: Vec<Seen> = (1..=40).map(|seq| seen(seq, seq as u64)).collect();
    let readers: Vec<usize> = messages.iter().map(|_| story.reads()).collect();
    story.sent(1, 1);
    // Nobody knows when these are done; it is after all sends.
    for number in 1..=20 {
        let deletion = story.deletes(number);
        story.0.end(deletion, Reply::Unknown);
    }
    (2..=40).for_each(|number| story.sent(number, number as u64));
    for (behind, reader) in readers.into_iter().enumerate() {
        story.shows(reader, &messages[..=behind]);
    }
    story.read(&messages[20..]);
    story.is_correct();
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
    story.0.end(sending, sent(5));
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
    let expected = [
        ("acknowledged", 3),
        ("deletions", 1),
        ("pages", 7),
        ("repetitions", 1),
        ("unknown", 2),
        ("unknown, then there", 1),
    ];
    assert_eq!(verdict.counts, expected.into());
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
    let second = story.reads_of("bob", query(Which::All, 2));
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
    story.0.end(first, sent(1));
    story.0.end(second, sent(2));
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
    let call = Call::Send { id: id(2), from, to, text: String::new(), line: None };
    let operation = story.0.begin("alice", call);
    story.0.end(operation, sent(7));
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
    story.0.end(first, sent(4));
    story.0.end(second, sent(4));
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

/// A message of a stream, and its operation.
fn line(story: &Story, number: u64) -> usize {
    let (from, to) = ("alice".to_string(), vec!["bob".to_string()]);
    let (id, text) = (id(number.into()), format!("text {number}"));
    let line = Some(Line { stream: Uuid::from_u128(99), number, of: Stream::Pipeline });
    story.0.begin("alice", Call::Send { id, from, to, text, line })
}

#[test]
fn lines_in_order_are_accepted_and_lines_that_overtake_are_found() {
    let story = Story::default();
    let lines: Vec<usize> = (1..=4).map(|number| line(&story, number)).collect();
    story.0.end(lines[0], sent(1));
    story.0.end(lines[1], Reply::Unknown);
    story.0.end(lines[2], Reply::Unknown);
    story.0.end(lines[3], Reply::Unknown);
    story.read(&[seen(1, 1), seen(2, 4)]);
    story.is_correct();
    story.read(&[seen(1, 1), seen(2, 4), seen(4, 7)]);
    story.is_wrong("line 4 of alice was accepted at 7, and line 3");
    // A place before the one of the line above.
    let story = Story::default();
    let lines: Vec<usize> = (1..=2).map(|number| line(&story, number)).collect();
    story.0.end(lines[1], sent(3));
    story.0.end(lines[0], sent(5));
    story.is_wrong("line 2 of alice stands at 3, and line 1 at 5");
}

#[test]
fn a_line_behind_one_that_was_given_up_is_found_unless_it_was_sent_later() {
    let given_up = Reply::Refused(ErrorCode::Unavailable);
    let story = Story::default();
    let lines: Vec<usize> = (1..=2).map(|number| line(&story, number)).collect();
    story.0.end(lines[0], given_up.clone());
    story.0.end(lines[1], sent(3));
    story.is_wrong("line 2 of alice was accepted at 3, and line 1");
    let story = Story::default();
    let first = line(&story, 1);
    story.0.end(first, given_up);
    let second = line(&story, 2);
    story.0.end(second, sent(3));
    story.is_correct();
    // One that was refused for what it is holds nothing up.
    let story = Story::default();
    let lines: Vec<usize> = (1..=2).map(|number| line(&story, number)).collect();
    story.0.end(lines[0], Reply::Refused(ErrorCode::UnknownAccount));
    story.0.end(lines[1], sent(3));
    story.is_correct();
}

#[test]
fn a_request_that_is_taken_behind_one_that_failed_is_found() {
    let request = |story: &Story, number: u64| {
        let (from, to) = ("alice".to_string(), vec!["bob".to_string()]);
        let (id, text) = (id(number.into()), format!("text {number}"));
        let line = Some(Line { stream: Uuid::from_u128(99), number, of: Stream::Connection });
        story.0.begin("alice", Call::Send { id, from, to, text, line })
    };
    // The failure and the next request may cross each other on their way.
    let story = Story::default();
    let requests: Vec<usize> = (1..=2).map(|number| request(&story, number)).collect();
    story.0.end(requests[0], Reply::Refused(ErrorCode::Unavailable));
    story.0.end(requests[1], sent(3));
    story.is_wrong("line 2 of alice was accepted at 3, and line 1");
    // Nor does the failure have to be a surprise: the connection asks for order.
    let story = Story::default();
    story.0.end(request(&story, 1), Reply::Refused(ErrorCode::Unavailable));
    story.0.end(request(&story, 2), sent(3));
    story.is_wrong("line 2 of alice was accepted at 3, and line 1");
    let story = Story::default();
    let requests: Vec<usize> = (1..=2).map(|number| request(&story, number)).collect();
    story.0.end(requests[1], sent(3));
    story.0.end(requests[0], Reply::Refused(ErrorCode::Unavailable));
    story.is_wrong("line 2 of alice was accepted at 3, and line 1");
}

fn marks(story: &Story, seqs: &[u64]) -> usize {
    story.0.begin("bob", Call::Mark { owner: "bob".into(), seqs: seqs.to_vec() })
}

#[test]
fn what_is_marked_is_read_from_then_on() {
    let story = Story::default();
    story.sent(1, 1);
    story.sent(2, 2);
    let (marking, during) = (marks(&story, &[1]), story.reads_of("bob", query(Which::Unread, 0)));
    story.shows(during, &[seen(2, 2)]);
    story.0.end(marking, Reply::Marked { count: 1 });
    let read = Seen { read: true, ..seen(1, 1) };
    story.read(&[read.clone(), seen(2, 2)]);
    let unread = story.reads_of("bob", query(Which::Unread, 0));
    story.shows(unread, &[seen(2, 2)]);
    story.is_correct();
    let unread = story.reads_of("bob", query(Which::Unread, 0));
    story.shows(unread, &[seen(1, 1), seen(2, 2)]);
    story.is_wrong("as unread, which was marked");
    story.has_no_order();
    let story = Story::default();
    story.sent(1, 1);
    story.read(std::slice::from_ref(&read));
    story.is_wrong("as read, which nobody marked");
    story.has_no_order();
    // A refusal has done nothing.
    let story = Story::default();
    story.sent(1, 1);
    let marking = marks(&story, &[1]);
    story.0.end(marking, Reply::Refused(ErrorCode::Unavailable));
    story.read(&[read]);
    story.is_wrong("as read, which nobody marked");
    // More were unread than there are.
    let story = Story::default();
    story.sent(1, 1);
    let marking = marks(&story, &[1]);
    story.0.end(marking, Reply::Marked { count: 2 });
    story.is_wrong("2 were unread, and 1 to 1 can have been");
}

#[test]
fn views_of_a_part_show_that_part() {
    let story = Story::default();
    story.sent(1, 1);
    story.sent(2, 5);
    let newer = InboxQuery { since: Some(Timestamp(5)), ..query(Which::All, 0) };
    let since = story.reads_of("bob", newer.clone());
    story.shows(since, &[seen(2, 5)]);
    let own = story.reads_of("alice", query(Which::Sent, 1));
    story.shows(own, &[Seen { read: true, ..seen(2, 5) }]);
    story.is_correct();
    let since = story.reads_of("bob", newer.clone());
    story.shows(since, &[]);
    story.is_wrong("misses");
    let story = Story::default();
    story.sent(1, 1);
    let since = story.reads_of("bob", newer);
    story.shows(since, &[seen(1, 1)]);
    story.is_wrong("does not match");
    let story = Story::default();
    story.sent(1, 1);
    let own = story.reads_of("alice", query(Which::Sent, 0));
    story.shows(own, &[]);
    story.is_wrong("misses");
}

/// A message to a name, and its operation.
fn to_dave(story: &Story, number: u128) -> usize {
    let (from, to) = ("alice".to_string(), vec!["dave".to_string()]);
    let (id, text) = (id(number), format!("text {number}"));
    story.0.begin("alice", Call::Send { id, from, to, text, line: None })
}

fn registers(story: &Story, owner: &str) {
    let operation = story.0.begin(owner, Call::Register { owner: owner.into() });
    story.0.end(operation, Reply::Registered);
}

fn leaves(story: &Story, owner: &str) {
    let operation = story.0.begin(owner, Call::DeleteAccount { owner: owner.into() });
    story.0.end(operation, Reply::Deleted);
}

#[test]
fn a_name_that_comes_back_has_a_new_inbox() {
    let story = Story::default();
    registers(&story, "dave#1");
    let first = to_dave(&story, 1);
    story.0.end(first, sent(1));
    let reading = story.reads_of("dave#1", query(Which::All, 0));
    story.shows(reading, &[seen(1, 1)]);
    leaves(&story, "dave#1");
    let nobody = to_dave(&story, 2);
    story.0.end(nobody, Reply::Refused(ErrorCode::UnknownAccount));
    // May reach the one or the other.
    let between = to_dave(&story, 3);
    registers(&story, "dave#2");
    story.0.end(between, sent(3));
    let reading = story.reads_of("dave#2", query(Which::All, 0));
    story.shows(reading, &[]);
    let last = to_dave(&story, 4);
    story.0.end(last, sent(4));
    story.is_correct();
    let reading = story.reads_of("dave#2", query(Which::All, 0));
    story.shows(reading, &[]);
    story.is_wrong("misses");
    let story = Story::default();
    registers(&story, "dave#1");
    let first = to_dave(&story, 1);
    story.0.end(first, sent(1));
    leaves(&story, "dave#1");
    registers(&story, "dave#2");
    let reading = story.reads_of("dave#2", query(Which::All, 0));
    story.shows(reading, &[seen(1, 1)]);
    story.is_wrong("sent to an earlier owner of the name");
}

#[test]
fn accounts_that_were_there_and_were_not_are_found() {
    let story = Story::default();
    registers(&story, "dave#1");
    let refused = to_dave(&story, 1);
    story.0.end(refused, Reply::Refused(ErrorCode::UnknownAccount));
    story.is_wrong("were there all the time");
    let story = Story::default();
    registers(&story, "dave#1");
    leaves(&story, "dave#1");
    let accepted = to_dave(&story, 1);
    story.0.end(accepted, sent(1));
    story.is_wrong("who was not there");
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
