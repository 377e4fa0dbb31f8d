//! Is every conversation linearizable?
//!
//! [`super::messages`] is fast because it knows how the service works. But the author of
//! both may have made the same mistake twice. So every conversation is also judged by the
//! definition: its operations must have an order that respects real time, and that a
//! little state machine accepts. A conversation is what one user sends to another, and
//! what that other one reads and deletes of it. Conversations are judged one by one, which
//! keeps the search short. That is necessary and not sufficient, as a page shows several at
//! once: [`super::messages`] checks what they have in common, the one order of all messages.
//!
//! An operation whose outcome its client never learned may take effect at any time after
//! it began, or never. So it has no end, and need not be in the order. A message that
//! nobody ever saw has no known place, and its sending is left out.
//!
//! [`search`] is clever, and is not believed: [`is_order`] goes through the order that it
//! found. A mistake in the search can raise a false alarm and never hide a fault.

mod conversation;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ftchat::error::ErrorCode;
use ftchat::protocol::client::Which;
use ftchat::types::Uuid;

use self::conversation::{Messages, Observation, Shown};
use self::search::{NoOrder, Observed};
use super::{Call, Operation, Reply, comes_back};

/// Checks every conversation of users whose names never had another owner; tells
/// of those that have no order.
pub fn check(operations: &[Operation]) -> Vec<String> {
    let places = places(operations);
    let mut wrong = Vec::new();
    for (from, to) in conversations(operations) {
        let observed = observed(operations, &places, from, to);
        let judgement = match search::order(&observed) {
            Ok(order) if is_order(&order, &observed) => continue,
            Ok(_) => "were put into an order that is none",
            Err(NoOrder::Impossible) => "have no order: they are not linearizable",
            Err(NoOrder::Undecided) => "have no order that the search found",
        };
        wrong.push(format!(
            "the {} operations on what {from} sent to {to} {judgement}",
            observed.len()
        ));
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

/// What was seen of a conversation, sorted by when each operation began.
fn observed(
    operations: &[Operation],
    places: &BTreeMap<Uuid, (u64, &str)>,
    sender: &str,
    recipient: &str,
) -> Vec<Observed> {
    let place = |id: &Uuid| places.get(id).filter(|(_, from)| *from == sender).map(|(seq, _)| *seq);
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
    let mut observed = Vec::new();
    for operation in operations {
        let observation = match (&operation.call, operation.reply()) {
            (Call::Send { id, from, to, .. }, Some(Reply::Sent { .. } | Reply::Unknown) | None)
                if from == sender && to.iter().any(|it| it == recipient) =>
            {
                place(id).map(|seq| Observation::Sent { seq, previous: before(&all, seq) })
            }
            (Call::Read { owner, .. }, _) if owner == recipient => shown(operation, sender, &all),
            (Call::Delete { owner, id }, reply) if owner == recipient => match reply {
                Some(Reply::Deleted) => place(id).map(Observation::Deleted),
                Some(Reply::Refused(ErrorCode::UnknownMessage)) => {
                    place(id).map(Observation::Missing)
                }
                Some(Reply::Unknown) | None => place(id).map(Observation::MayBeDeleted),
                Some(_) => None,
            },
            (Call::Mark { owner, seqs }, Some(Reply::Marked { .. } | Reply::Unknown) | None)
                if owner == recipient =>
            {
                let ours = seqs.iter().filter(|seq| all.binary_search(seq).is_ok());
                let ours: Vec<u64> = ours.copied().collect();
                (!ours.is_empty()).then_some(Observation::Marked(ours))
            }
            _ => None,
        };
        if let Some(observation) = observation {
            let ended = match &operation.ended {
                Some((ended, reply)) if *reply != Reply::Unknown => *ended,
                _ => u64::MAX,
            };
            observed.push(Observed { began: operation.began, ended, observation });
        }
    }
    observed.sort_by_key(|it| it.began);
    observed
}

/// Whether this is an order of all that ended: nothing is in it twice, nothing stands
/// before an observation that had ended when it began itself, and the state machine
/// accepts each.
fn is_order(order: &[usize], observed: &[Observed]) -> bool {
    let mut open: BTreeSet<usize> = (0..observed.len()).collect();
    let mut moment = 0;
    let mut state = Messages::default();
    for index in order {
        let it = &observed[*index];
        moment = it.began.max(moment);
        match state.after(&it.observation) {
            Some(next) if open.remove(index) && moment <= it.ended => state = next,
            _ => return false,
        }
    }
    open.iter().all(|index| observed[*index].ended == u64::MAX)
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
    Some(Observation::Showed(Shown {
        after: query.after.unwrap_or(0),
        until,
        unread: query.which == Which::Unread,
        seqs: ours().map(|it| it.seq).collect(),
        read: ours().filter(|it| it.read).map(|it| it.seq).collect(),
        all: all.clone(),
    }))
}
