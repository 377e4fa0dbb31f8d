//! Histories of messages: what must hold, and why checking it is enough.
//!
//! The service is a log: accepted messages stand in one order, by `seq`. A
//! history without deletions is linearizable exactly if one can give every
//! read a point `k` in that order so that
//!
//! 1. it shows, of the messages to its owner in the range it covers, those up
//!    to `k` and no others;
//! 2. `k` is at least the `seq` of every send, and the `k` of every read, that
//!    ended before the read began;
//! 3. the `seq` of a send is greater than those of sends, and than the `k` of
//!    reads, that ended before the send began.
//!
//! The least possible `k` is the greater of what rule 2 demands and of the last
//! message shown, and the least is the best choice: every rule bounds a `k`
//! from below, except rule 1 for messages that are not shown. So one sweep over
//! beginnings and ends in order suffices: `floor` is the greatest `seq` or `k`
//! that has ended. A read with the floor `f` at its beginning and the last
//! message `m` must show every message of its range up to `max(f, m)`. That is
//! O(n log n) for the sweep and linear in what the pages show. Every message
//! whose place is known from anywhere takes part, hence also that of a send
//! whose outcome its client never learned.
//!
//! Deletions end a message's life once, and are checked for each message by
//! itself: a read that begins after a deletion, or after a read that no longer
//! showed the message, does not show it; one that misses it ends after some
//! deletion of it began. Whether deletions of different messages have a common
//! order is not checked.
//!
//! Besides: an id is one message in one place; nobody sees what was never sent
//! to them, or what was refused.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::error::ErrorCode;
use ftchat::types::Uuid;

use super::{Call, Operation, Reply, Seen};

/// What is known of one message from all operations together.
#[derive(Default)]
struct Fact {
    from: String,
    to: Vec<String>,
    text: String,
    seq: Option<u64>,
    /// The earliest beginning of a send with this id.
    began: u64,
    /// A send with this id may have been accepted: not all were refused.
    possible: bool,
    acknowledged: bool,
    /// By owner: earliest beginning of a deletion.
    deletion_began: BTreeMap<String, u64>,
    /// By owner: earliest end of an operation that proves the deletion.
    deletion_ended: BTreeMap<String, u64>,
}

/// Collects contradictions.
#[derive(Default)]
struct Check {
    facts: BTreeMap<Uuid, Fact>,
    violations: Vec<String>,
}

/// What a history amounts to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Contradictions, each as a sentence. Empty: correct.
    pub violations: Vec<String>,
    /// Sends that were acknowledged.
    pub acknowledged: usize,
    /// Sends whose outcome their client never learned.
    pub unknown: usize,
    /// Pages that were read.
    pub pages: usize,
    /// Sends under an id that was sent before.
    pub repetitions: usize,
    /// Deletions that were confirmed.
    pub deletions: usize,
}

/// Checks a history. See the head of this file.
pub fn check(operations: &[Operation]) -> Verdict {
    let mut check = Check::default();
    check.collect(operations);
    check.places();
    check.sweep(operations);
    let mut verdict = Verdict { violations: check.violations, ..Verdict::default() };
    let mut sent = BTreeSet::new();
    for operation in operations {
        if let Call::Send { id, .. } = &operation.call {
            verdict.repetitions += usize::from(!sent.insert(*id));
        }
        match (&operation.call, &operation.ended) {
            (Call::Send { .. }, Some((_, Reply::Sent { .. }))) => verdict.acknowledged += 1,
            (Call::Send { .. }, None | Some((_, Reply::Unknown))) => verdict.unknown += 1,
            (Call::Read { .. }, Some((_, Reply::Page { .. }))) => verdict.pages += 1,
            (Call::Delete { .. }, Some((_, Reply::Deleted))) => verdict.deletions += 1,
            _ => {}
        }
    }
    verdict
}

impl Check {
    fn violation(&mut self, told: String) {
        self.violations.push(told);
    }

    /// Gathers what all operations together say of every message.
    fn collect(&mut self, operations: &[Operation]) {
        for operation in operations {
            match &operation.call {
                Call::Send { id, from, to, text } => {
                    let fact = self.facts.entry(*id).or_insert_with(|| Fact {
                        from: from.clone(),
                        to: to.clone(),
                        text: text.clone(),
                        began: operation.began,
                        ..Fact::default()
                    });
                    match &operation.ended {
                        Some((_, Reply::Refused(_))) => {}
                        Some((_, Reply::Sent { seq })) => {
                            (fact.possible, fact.acknowledged) = (true, true);
                            self.place(*id, *seq, &operation.client);
                        }
                        _ => fact.possible = true,
                    }
                }
                Call::Read { .. } => {}
                Call::Delete { owner, id } => {
                    if let Some(fact) = self.facts.get_mut(id)
                        && !matches!(operation.ended, Some((_, Reply::Refused(_))))
                    {
                        let began = fact.deletion_began.entry(owner.clone()).or_insert(u64::MAX);
                        *began = operation.began.min(*began);
                    }
                }
            }
        }
        for operation in operations {
            if let (Call::Read { .. }, Some((_, Reply::Page { messages, .. }))) =
                (&operation.call, &operation.ended)
            {
                for seen in messages {
                    self.place(seen.id, seen.seq, &operation.client);
                }
            }
        }
    }

    /// Learns a message's place in the total order.
    fn place(&mut self, id: Uuid, seq: u64, client: &str) {
        let Some(fact) = self.facts.get_mut(&id) else { return };
        match fact.seq {
            None => fact.seq = Some(seq),
            Some(known) if known == seq => {}
            Some(known) => {
                let told = format!("{id} stands at {known} and, for {client}, at {seq}");
                self.violation(told);
            }
        }
    }

    fn places(&mut self) {
        let mut taken: BTreeMap<u64, Uuid> = BTreeMap::new();
        let mut told = Vec::new();
        for (id, fact) in &self.facts {
            if let Some(seq) = fact.seq
                && let Some(other) = taken.insert(seq, *id)
            {
                told.push(format!("{other} and {id} both stand at {seq}"));
            }
        }
        self.violations.extend(told);
    }

    /// The sweep over beginnings and ends.
    fn sweep(&mut self, operations: &[Operation]) {
        let mut inboxes: BTreeMap<&str, BTreeMap<u64, Uuid>> = BTreeMap::new();
        let owners: BTreeSet<&str> = operations
            .iter()
            .filter_map(|operation| match &operation.call {
                Call::Read { owner, .. } => Some(owner.as_str()),
                _ => None,
            })
            .collect();
        for (id, fact) in &self.facts {
            for owner in fact.to.iter().filter_map(|to| owners.get(to.as_str())) {
                if let Some(seq) = fact.seq {
                    inboxes.entry(owner).or_default().insert(seq, *id);
                }
            }
        }
        let mut events: BTreeMap<u64, (usize, bool)> = BTreeMap::new();
        for (number, operation) in operations.iter().enumerate() {
            events.insert(operation.began, (number, true));
            if let Some((ended, _)) = &operation.ended {
                events.insert(*ended, (number, false));
            }
        }
        // The floor at the beginning of each operation; for a send, of the
        // first with its id, since a repetition is answered like the first.
        let mut floors = vec![0; operations.len()];
        let mut first_floors: BTreeMap<Uuid, u64> = BTreeMap::new();
        let mut floor = 0;
        for (number, begins) in events.into_values() {
            let operation = &operations[number];
            if begins {
                floors[number] = floor;
                if let Call::Send { id, .. } = &operation.call {
                    first_floors.entry(*id).or_insert(floor);
                }
                continue;
            }
            let Some((ended, reply)) = &operation.ended else { continue };
            match (&operation.call, reply) {
                (Call::Send { id, .. }, Reply::Sent { seq }) => {
                    let before = first_floors.get(id).copied().unwrap_or(0);
                    if *seq <= before {
                        self.violation(format!(
                            "{} sent {id} after {before} was known, and it stands at {seq}",
                            operation.client
                        ));
                    }
                    floor = floor.max(*seq);
                }
                (Call::Read { owner, after }, Reply::Page { messages, more }) => {
                    let last = messages.last().map_or(0, |seen| seen.seq);
                    let point = floors[number].max(last);
                    let range = (*after, if *more { last } else { u64::MAX });
                    let empty = BTreeMap::new();
                    let inbox = inboxes.get(owner.as_str()).unwrap_or(&empty);
                    self.page(operation, *ended, messages, inbox, range, point);
                    floor = floor.max(point);
                }
                (Call::Delete { owner, id }, Reply::Deleted) => {
                    if let Some(fact) = self.facts.get_mut(id) {
                        fact.deletion_ended.entry(owner.clone()).or_insert(*ended);
                    }
                }
                (Call::Delete { owner, id }, Reply::Refused(ErrorCode::UnknownMessage)) => {
                    self.refused_deletion(operation, *ended, owner, id, floors[number]);
                }
                _ => {}
            }
        }
    }

    /// A deletion that found no message, although one must have been there.
    fn refused_deletion(
        &mut self,
        operation: &Operation,
        ended: u64,
        owner: &str,
        id: &Uuid,
        floor: u64,
    ) {
        let Some(fact) = self.facts.get(id) else { return };
        let deleted = fact.deletion_began.get(owner).is_some_and(|began| *began < ended);
        if fact.seq.is_some_and(|seq| seq <= floor) && !deleted {
            let client = &operation.client;
            self.violation(format!("{client} was told that {id} is unknown, but it was accepted"));
        }
    }

    fn page(
        &mut self,
        operation: &Operation,
        ended: u64,
        messages: &[Seen],
        inbox: &BTreeMap<u64, Uuid>,
        range: (u64, u64),
        point: u64,
    ) {
        let Call::Read { owner, .. } = &operation.call else { return };
        let mut told = Vec::new();
        let mut last = range.0;
        for seen in messages {
            if seen.seq <= last {
                told.push(format!("shows {} at {} after {last}", seen.id, seen.seq));
            }
            last = seen.seq;
            match self.facts.get(&seen.id) {
                None => told.push(format!("shows {}, which nobody sent", seen.id)),
                Some(fact) => {
                    if !fact.to.contains(owner) || fact.text != seen.text || fact.from != seen.from
                    {
                        told.push(format!("shows {} in another shape: {seen:?}", seen.id));
                    }
                    if fact.began > ended {
                        told.push(format!("shows {} before it was sent", seen.id));
                    }
                    if !fact.possible {
                        told.push(format!("shows {}, which was refused", seen.id));
                    }
                    let gone = fact.deletion_ended.get(owner);
                    if gone.is_some_and(|gone| *gone < operation.began) {
                        told.push(format!("shows {}, which was deleted", seen.id));
                    }
                }
            }
        }
        let shown: BTreeSet<u64> = messages.iter().map(|seen| seen.seq).collect();
        let until = range.1.min(point);
        for (seq, id) in inbox.iter().filter(|(seq, _)| **seq > range.0 && **seq <= until) {
            if shown.contains(seq) {
                continue;
            }
            let Some(fact) = self.facts.get_mut(id) else { continue };
            if fact.deletion_began.get(owner).is_some_and(|began| *began < ended) {
                let gone = fact.deletion_ended.entry(owner.clone()).or_insert(ended);
                *gone = ended.min(*gone);
            } else {
                let known = if fact.acknowledged { "acknowledged" } else { "accepted" };
                told.push(format!("misses {id} at {seq}, which was {known}"));
            }
        }
        for told in told {
            self.violation(format!("{} reads the inbox of {owner}: it {told}", operation.client));
        }
    }
}
