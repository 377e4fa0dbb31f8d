//! Histories of conversations, checked by somebody else's checker.
//!
//! [`super::messages`] is fast because it knows how the service works. But the author of
//! both may have made the same mistake twice. So every conversation goes through the
//! checker of Wing, Gong and Lowe as `todc-utils` has it. A conversation is what one user
//! sends to another, and what that other one reads and deletes of it. The checker knows
//! only the little state machine below, and searches for an order of the operations that
//! respects real time and that the machine accepts. Linearizability is local, so the
//! conversations are checked one by one, which keeps the search short.
//! [`super::messages`] checks what they have in common: the one order of all messages.
//!
//! An operation whose outcome its client never learned may have an effect at any time
//! after it began, so it ends behind everything else. If nobody ever saw an effect of it,
//! an order with it exists exactly if one without it does, and it is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ftchat::error::ErrorCode;
use ftchat::protocol::client::Which;
use ftchat::types::Uuid;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::{Call, Operation, Reply, comes_back};
use crate::random::splitmix64;

/// What is asked of a conversation, with what was answered.
#[derive(Clone, Debug)]
enum Observation {
    /// A message was accepted at this place, and none of the conversation stands
    /// between it and the one before; once more means the same one.
    Sent { seq: u64, previous: u64 },
    /// Of the messages in a range, these are shown, and these of them as read.
    Showed(Arc<Shown>),
    /// The message was there and is not any more.
    Deleted(u64),
    /// The message was not there.
    Missing(u64),
    /// The message is not there any more, whether or not it was.
    MayBeDeleted(u64),
    /// The messages are read, as far as they are there.
    Marked(Arc<Vec<u64>>),
}

#[derive(Debug)]
struct Shown {
    /// The range begins after this place and ends with that one.
    after: u64,
    until: u64,
    /// Whether only unread ones are shown.
    unread: bool,
    seqs: Vec<u64>,
    read: BTreeSet<u64>,
    /// All places of the conversation.
    all: Arc<Vec<u64>>,
}

/// Messages are sent up to a place; some of them were deleted or read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Messages {
    last: u64,
    deleted: Places,
    read: Places,
}

/// A set of places. It is shared by the many states in which it is the same, and is
/// hashed without being read: the checker hashes each state that it comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    set: Arc<BTreeSet<u64>>,
    hash: u64,
}

impl Places {
    fn contains(&self, seq: u64) -> bool {
        self.set.contains(&seq)
    }

    /// Returns whether it is new.
    fn insert(&mut self, seq: u64) -> bool {
        if self.contains(seq) {
            return false;
        }
        self.hash ^= splitmix64(&mut seq.clone());
        Arc::make_mut(&mut self.set).insert(seq)
    }
}

impl Hash for Places {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl Messages {
    fn has(&self, seq: u64) -> bool {
        seq <= self.last && !self.deleted.contains(seq)
    }

    fn shows(&self, page: &Shown) -> bool {
        let first = page.all.partition_point(|seq| *seq <= page.after);
        let end = page.all.partition_point(|seq| *seq <= page.until);
        let live = page.all[first..end.max(first)]
            .iter()
            .filter(|seq| self.has(**seq))
            .filter(|seq| !page.unread || !self.read.contains(**seq));
        live.eq(&page.seqs)
            && page.seqs.iter().all(|seq| page.read.contains(seq) == self.read.contains(*seq))
    }
}

struct Conversation;

impl Specification for Conversation {
    type State = Messages;
    type Operation = Observation;

    fn init() -> Messages {
        Messages::default()
    }

    fn apply(observation: &Observation, state: &Messages) -> (bool, Messages) {
        let mut next = state.clone();
        let valid = match observation {
            Observation::Sent { seq, previous } if state.last == *previous => {
                next.last = *seq;
                true
            }
            Observation::Sent { seq, .. } => *seq <= state.last,
            Observation::Showed(page) => state.shows(page),
            Observation::Deleted(seq) => state.has(*seq) && next.deleted.insert(*seq),
            Observation::Missing(seq) => !state.has(*seq),
            Observation::MayBeDeleted(seq) => {
                next.deleted.insert(*seq);
                true
            }
            Observation::Marked(seqs) => {
                for seq in seqs.iter().filter(|seq| state.has(**seq)) {
                    next.read.insert(*seq);
                }
                true
            }
        };
        (valid, next)
    }
}

/// Checks every conversation of users whose names never had another owner; tells
/// of those that have no order.
pub fn check(operations: &[Operation]) -> Vec<String> {
    let places = places(operations);
    let mut wrong = Vec::new();
    for (from, to) in conversations(operations) {
        let observations = Observations::of(operations, &places, from, to).0;
        let count = observations.len();
        if !WGLChecker::<Conversation>::is_linearizable(history(observations)) {
            wrong.push(format!(
                "the {count} operations on what {from} sent to {to} have no order: they are not \
                 linearizable"
            ));
        }
    }
    wrong
}

fn conversations(operations: &[Operation]) -> BTreeSet<(&str, &str)> {
    let readers: BTreeSet<&str> = operations
        .iter()
        .filter_map(|operation| match &operation.call {
            Call::Read { owner, .. } if !comes_back(owner) => Some(owner.as_str()),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    for operation in operations {
        if let Call::Send { from, to, .. } = &operation.call
            && !comes_back(from)
        {
            let to = to.iter().filter_map(|to| readers.get(to.as_str()));
            found.extend(to.map(|to| (from.as_str(), *to)));
        }
    }
    found
}

/// Where messages stand and who sent them, as far as anybody was told.
fn places(operations: &[Operation]) -> BTreeMap<Uuid, (u64, &str)> {
    let mut places = BTreeMap::new();
    for operation in operations {
        match (&operation.call, operation.reply()) {
            (Call::Send { id, from, .. }, Some(Reply::Sent { seq, .. })) => {
                places.insert(*id, (*seq, from.as_str()));
            }
            (_, Some(Reply::Page { messages, .. })) => {
                for it in messages {
                    places.entry(it.id).or_insert((it.seq, it.from.as_str()));
                }
            }
            _ => {}
        }
    }
    places
}

/// Beginnings and ends of observations by their place in the history; the latest end
/// for what never ended.
struct Observations(Vec<(u64, u64, Observation)>);

impl Observations {
    fn of(
        operations: &[Operation],
        places: &BTreeMap<Uuid, (u64, &str)>,
        sender: &str,
        recipient: &str,
    ) -> Observations {
        let place =
            |id: &Uuid| places.get(id).filter(|(_, from)| *from == sender).map(|(seq, _)| *seq);
        let mut all = BTreeSet::new();
        for operation in operations {
            if let Call::Send { id, from, to, .. } = &operation.call
                && from == sender
                && to.iter().any(|to| to == recipient)
            {
                all.extend(place(id));
            }
        }
        let all: Arc<Vec<u64>> = Arc::new(all.into_iter().collect());
        let mut observations = Observations(Vec::new());
        for operation in operations {
            let observation = match (&operation.call, operation.reply()) {
                (
                    Call::Send { id, from, to, .. },
                    Some(Reply::Sent { .. } | Reply::Unknown) | None,
                ) if from == sender && to.iter().any(|it| it == recipient) => {
                    place(id).map(|seq| Observation::Sent { seq, previous: before(&all, seq) })
                }
                (Call::Read { owner, .. }, _) if owner == recipient => {
                    shown(operation, sender, &all)
                }
                (Call::Delete { owner, id }, reply) if owner == recipient => match reply {
                    Some(Reply::Deleted) => place(id).map(Observation::Deleted),
                    Some(Reply::Refused(ErrorCode::UnknownMessage)) => {
                        place(id).map(Observation::Missing)
                    }
                    Some(Reply::Unknown) | None => place(id).map(Observation::MayBeDeleted),
                    Some(_) => None,
                },
                (
                    Call::Mark { owner, seqs },
                    Some(Reply::Marked { .. } | Reply::Unknown) | None,
                ) if owner == recipient => {
                    let ours = seqs.iter().filter(|seq| all.binary_search(seq).is_ok());
                    let ours: Vec<u64> = ours.copied().collect();
                    (!ours.is_empty()).then(|| Observation::Marked(Arc::new(ours)))
                }
                _ => None,
            };
            if let Some(observation) = observation {
                let end = match &operation.ended {
                    Some((ended, reply)) if *reply != Reply::Unknown => *ended,
                    _ => u64::MAX,
                };
                observations.0.push((operation.began, end, observation));
            }
        }
        observations
    }
}

/// The place before this one; 0 for the first.
fn before(all: &[u64], seq: u64) -> u64 {
    let at = all.partition_point(|other| *other < seq);
    at.checked_sub(1).map_or(0, |before| all[before])
}

/// What a page says of a conversation. One that shows only what is newer than some
/// instant says nothing that this little machine could judge.
fn shown(operation: &Operation, sender: &str, all: &Arc<Vec<u64>>) -> Option<Observation> {
    let (Call::Read { query, .. }, Some(Reply::Page { messages, more })) =
        (&operation.call, operation.reply())
    else {
        return None;
    };
    let other = query.from.as_deref().is_some_and(|from| from != sender);
    if query.which == Which::Sent || query.since.is_some() || other {
        return None;
    }
    let until = if *more { messages.last().map_or(0, |it| it.seq) } else { u64::MAX };
    let ours = || messages.iter().filter(|it| it.from == sender);
    Some(Observation::Showed(Arc::new(Shown {
        after: query.after.unwrap_or(0),
        until,
        unread: query.which == Which::Unread,
        seqs: ours().map(|it| it.seq).collect(),
        read: ours().filter(|it| it.read).map(|it| it.seq).collect(),
        all: all.clone(),
    })))
}

fn history(observations: Vec<(u64, u64, Observation)>) -> History<Observation> {
    let mut events = Vec::with_capacity(2 * observations.len());
    for (process, (began, ended, observation)) in observations.into_iter().enumerate() {
        events.push((began, process, Action::Call(observation.clone())));
        events.push((ended, process, Action::Response(observation)));
    }
    events.sort_by_key(|(at, process, _)| (*at, *process));
    History::from_actions(events.into_iter().map(|(_, process, it)| (process, it)).collect())
}
