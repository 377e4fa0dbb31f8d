//! Histories of conversations, checked by somebody else's checker.
//!
//! [`super::messages`] is fast because it knows how the service works; whoever
//! wrote both may have made the same mistake twice. So every conversation, that
//! is what one person sends to another and what that other one reads and deletes
//! of it, goes through the checker of Wing, Gong and Lowe as `todc-utils` has it.
//! That one knows only the little state machine below, and searches for an order
//! of the operations that respects real time and that the machine accepts.
//! Linearizability is local: the conversations may be checked one by one, which
//! is what keeps the search short. What holds them together, the one order of
//! all messages, is the business of [`super::messages`].
//!
//! An operation whose outcome its client never learned may have an effect at any
//! time after it began, so it ends behind everything else. If it never had one
//! that anybody saw, an order with it exists exactly if one without it does, and
//! it is left out.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::error::ErrorCode;
use ftchat::types::Uuid;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::{Call, Operation, Reply};

/// What is asked of a conversation, with what was answered.
#[derive(Clone, Debug)]
enum Deed {
    /// A message was accepted at this place; once more means the same one.
    Sent(u64),
    /// These are the messages in the range after the first and up to the second.
    Showed { after: u64, until: u64, seqs: Vec<u64> },
    /// The message was there and is not any more.
    Deleted(u64),
    /// The message was not there.
    Missing(u64),
    /// The message is not there any more, whether or not it was.
    MayBeDeleted(u64),
}

/// Messages that were sent, in order, and those of them that were deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Messages {
    sent: Vec<u64>,
    deleted: BTreeSet<u64>,
}

impl Messages {
    fn has(&self, seq: u64) -> bool {
        self.sent.binary_search(&seq).is_ok() && !self.deleted.contains(&seq)
    }
}

struct Conversation;

impl Specification for Conversation {
    type State = Messages;
    type Operation = Deed;

    fn init() -> Messages {
        Messages::default()
    }

    fn apply(deed: &Deed, state: &Messages) -> (bool, Messages) {
        let mut next = state.clone();
        let valid = match deed {
            Deed::Sent(seq) if state.sent.last().is_none_or(|last| last < seq) => {
                next.sent.push(*seq);
                true
            }
            Deed::Sent(seq) => state.sent.binary_search(seq).is_ok(),
            Deed::Showed { after, until, seqs } => {
                let covered = |seq: &&u64| *after < **seq && **seq <= *until;
                let live = state.sent.iter().filter(covered).filter(|seq| state.has(**seq));
                live.eq(seqs)
            }
            Deed::Deleted(seq) => state.has(*seq) && next.deleted.insert(*seq),
            Deed::Missing(seq) => !state.has(*seq),
            Deed::MayBeDeleted(seq) => {
                next.deleted.insert(*seq);
                true
            }
        };
        (valid, next)
    }
}

/// Beginnings and ends of deeds by their place in the history; the latest end
/// for what never ended.
type Deeds = Vec<(u64, u64, Deed)>;

/// Checks every conversation; tells of those that have no order.
pub fn check(operations: &[Operation]) -> Vec<String> {
    let places = places(operations);
    let mut wrong = Vec::new();
    for (from, to) in conversations(operations) {
        let deeds = deeds(operations, &places, from, to);
        let count = deeds.len();
        if !WGLChecker::<Conversation>::is_linearizable(history(deeds)) {
            wrong.push(format!(
                "the {count} operations on what {from} sent to {to} have no order: they are not \
                 linearizable"
            ));
        }
    }
    wrong
}

fn conversations(operations: &[Operation]) -> BTreeSet<(&str, &str)> {
    let mut found = BTreeSet::new();
    for operation in operations {
        if let Call::Send { from, to, .. } = &operation.call {
            found.extend(to.iter().map(|to| (from.as_str(), to.as_str())));
        }
    }
    found
}

/// Where messages stand and who sent them, as far as anybody was told.
fn places(operations: &[Operation]) -> BTreeMap<Uuid, (u64, &str)> {
    let mut places = BTreeMap::new();
    for operation in operations {
        match (&operation.call, &operation.ended) {
            (Call::Send { id, from, .. }, Some((_, Reply::Sent { seq }))) => {
                places.insert(*id, (*seq, from.as_str()));
            }
            (_, Some((_, Reply::Page { messages, .. }))) => {
                places.extend(messages.iter().map(|it| (it.id, (it.seq, it.from.as_str()))));
            }
            _ => {}
        }
    }
    places
}

fn deeds(
    operations: &[Operation],
    places: &BTreeMap<Uuid, (u64, &str)>,
    sender: &str,
    recipient: &str,
) -> Deeds {
    let mut deeds = Deeds::new();
    let place = |id: &Uuid| places.get(id).filter(|(_, from)| *from == sender).map(|(seq, _)| *seq);
    for operation in operations {
        let ended = operation.ended.as_ref();
        let deed = match (&operation.call, ended.map(|(_, reply)| reply)) {
            (Call::Send { from, to, .. }, _)
                if from != sender || !to.iter().any(|it| it == recipient) =>
            {
                None
            }
            (Call::Send { id, .. }, Some(Reply::Sent { .. } | Reply::Unknown) | None) => {
                place(id).map(Deed::Sent)
            }
            (Call::Read { owner, after }, Some(Reply::Page { messages, more }))
                if owner == recipient =>
            {
                let until = if *more { messages.last().map_or(0, |it| it.seq) } else { u64::MAX };
                let seqs = messages.iter().filter(|it| it.from == sender).map(|it| it.seq);
                Some(Deed::Showed { after: *after, until, seqs: seqs.collect() })
            }
            (Call::Delete { owner, id }, reply) if owner == recipient => match reply {
                Some(Reply::Deleted) => place(id).map(Deed::Deleted),
                Some(Reply::Refused(ErrorCode::UnknownMessage)) => place(id).map(Deed::Missing),
                Some(Reply::Unknown) | None => place(id).map(Deed::MayBeDeleted),
                Some(_) => None,
            },
            _ => None,
        };
        if let Some(deed) = deed {
            let end = match ended {
                Some((ended, reply)) if *reply != Reply::Unknown => *ended,
                _ => u64::MAX,
            };
            deeds.push((operation.began, end, deed));
        }
    }
    deeds
}

fn history(deeds: Deeds) -> History<Deed> {
    let mut events = Vec::with_capacity(2 * deeds.len());
    for (process, (began, ended, deed)) in deeds.into_iter().enumerate() {
        events.push((began, process, Action::Call(deed.clone())));
        events.push((ended, process, Action::Response(deed)));
    }
    events.sort_by_key(|(at, process, _)| (*at, *process));
    History::from_actions(events.into_iter().map(|(_, process, it)| (process, it)).collect())
}
