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
//! The least possible `k` is the greater of what rule 2 demands and of the last message
//! shown. The least is the best choice, since every rule bounds a `k` from below, except
//! rule 1 for messages that are not shown. So one sweep over beginnings and ends in order
//! is enough: `floor` is the greatest `seq` or `k` that has ended. A read with the floor
//! `f` at its beginning and the last message `m` must show every message of its range up
//! to `max(f, m)`. That is O(n log n) for the sweep and linear in what the pages show.
//! Every message whose place is known from anywhere takes part, also that of a send whose
//! outcome its client never learned.
//!
//! A message is deleted once, and deletions are checked for each message by itself. A
//! read that begins after a deletion, or after a read that no longer showed the message,
//! does not show it. A read that misses it ends after some deletion of it began. Marks
//! are checked in the same way for views of unread messages. Whether deletions of
//! different messages have a common order is not checked.
//!
//! Besides: an id is one message in one place. Nobody sees a message that was never sent
//! to them, or that was refused. A refusal is final: when every send of a message was
//! answered that nothing was done, the message is on no page, ever after.
//! [`super::order`] checks the order per sender, [`super::accounts`] the accounts that
//! come and go.

use std::collections::BTreeMap;

use ftchat::error::ErrorCode;
use ftchat::types::Uuid;

use super::facts::Facts;
use super::pages::{Inboxes, Page};
use super::{Call, Operation, Reply, accounts, order};

/// What a history amounts to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Contradictions, each as a sentence. Empty: correct.
    pub violations: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Verdict {
    /// How often something happened.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }
}

/// Checks a history. See the head of this file.
pub fn check(operations: &[Operation]) -> Verdict {
    let mut facts = Facts::of(operations);
    let mut violations = std::mem::take(&mut facts.violations);
    let mut sweep = Sweep::new(operations, facts);
    sweep.run(operations);
    violations.extend(sweep.violations);
    violations.extend(order::check(operations, &sweep.facts));
    violations.extend(accounts::check(operations, &sweep.facts));
    Verdict { violations, counts: counts(operations, &sweep.facts) }
}

fn counts(operations: &[Operation], facts: &Facts) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut sent = std::collections::BTreeSet::new();
    let mut count = |what| *counts.entry(what).or_insert(0) += 1;
    for operation in operations {
        if let Call::Send { id, line, .. } = &operation.call {
            let fact = facts.messages.get(id);
            if !sent.insert(*id) {
                count("repetitions");
            }
            match operation.reply() {
                Some(Reply::Sent { .. }) if line.is_some() => count("lines acknowledged"),
                Some(Reply::Unknown) if fact.is_some_and(|fact| fact.place.is_some()) => {
                    count("unknown, then there");
                }
                Some(Reply::Unknown) => count("unknown, then not there"),
                Some(Reply::Refused(ErrorCode::InboxFull)) => count("inbox full"),
                Some(Reply::Refused(ErrorCode::StorageFull)) => count("storage full"),
                Some(Reply::Refused(code)) if code.retryable() => {
                    if fact.is_some_and(|fact| !fact.possible) {
                        count("nothing done, and nothing there");
                    }
                    if line.is_some() {
                        count("lines refused");
                    }
                }
                _ => {}
            }
        }
        match (&operation.call, operation.reply()) {
            (Call::Send { .. }, Some(Reply::Sent { .. })) => count("acknowledged"),
            (Call::Send { .. }, None | Some(Reply::Unknown)) => count("unknown"),
            (Call::Read { .. }, Some(Reply::Page { .. })) => count("pages"),
            (Call::Delete { .. }, Some(Reply::Deleted)) => count("deletions"),
            (Call::Delete { .. }, Some(Reply::Unknown)) => count("deletions unknown"),
            (Call::Mark { .. }, Some(Reply::Marked { .. })) => count("marks"),
            (Call::Mark { .. }, Some(Reply::Unknown)) => count("marks unknown"),
            (Call::Register { .. }, Some(Reply::Registered)) => count("registrations"),
            (Call::DeleteAccount { .. }, Some(Reply::Deleted)) => count("accounts deleted"),
            _ => {}
        }
    }
    counts
}

/// The sweep over beginnings and ends.
struct Sweep {
    facts: Facts,
    inboxes: Inboxes,
    /// The floor at the beginning of each operation; for a send, of the first
    /// with its id, since a repetition is answered like the first.
    floors: Vec<u64>,
    first_floors: BTreeMap<Uuid, u64>,
    floor: u64,
    violations: Vec<String>,
}

impl Sweep {
    fn new(operations: &[Operation], facts: Facts) -> Sweep {
        Sweep {
            inboxes: Inboxes::of(operations, &facts),
            facts,
            floors: vec![0; operations.len()],
            first_floors: BTreeMap::new(),
            floor: 0,
            violations: Vec::new(),
        }
    }

    fn run(&mut self, operations: &[Operation]) {
        let mut events: BTreeMap<u64, (usize, bool)> = BTreeMap::new();
        for (number, operation) in operations.iter().enumerate() {
            events.insert(operation.began, (number, true));
            if let Some((ended, _)) = &operation.ended {
                events.insert(*ended, (number, false));
            }
        }
        for (number, begins) in events.into_values() {
            let operation = &operations[number];
            if begins {
                self.floors[number] = self.floor;
                if let Call::Send { id, .. } = &operation.call {
                    self.first_floors.entry(*id).or_insert(self.floor);
                }
            } else if let Some((ended, reply)) = &operation.ended {
                self.ends(operation, *ended, reply, self.floors[number]);
            }
        }
    }

    fn ends(&mut self, operation: &Operation, ended: u64, reply: &Reply, floor: u64) {
        match (&operation.call, reply) {
            (Call::Send { id, .. }, Reply::Sent { seq, .. }) => {
                let before = self.first_floors.get(id).copied().unwrap_or(0);
                if *seq <= before {
                    self.violations.push(format!(
                        "{} sent {id} after {before} was known, and it stands at {seq}",
                        operation.client
                    ));
                }
                self.floor = self.floor.max(*seq);
            }
            (Call::Read { owner, query }, Reply::Page { messages, more }) => {
                let page = Page { operation, ended, owner, query, messages, more: *more, floor };
                self.violations.extend(page.check(&mut self.facts, &self.inboxes));
                self.floor = self.floor.max(page.point());
            }
            (Call::Delete { owner, id }, Reply::Deleted) => {
                if let Some(fact) = self.facts.messages.get_mut(id) {
                    let turn = fact.deleted.entry(owner.clone()).or_default();
                    turn.proved = turn.proved.min(ended);
                }
            }
            (Call::Delete { owner, id }, Reply::Refused(ErrorCode::UnknownMessage)) => {
                self.refused_deletion(operation, ended, owner, id, floor);
            }
            (Call::Mark { owner, seqs }, Reply::Marked { count }) => {
                self.marked(operation, ended, owner, seqs, *count);
            }
            _ => {}
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
        let Some(fact) = self.facts.messages.get(id) else { return };
        let may_be_gone = fact.deleted(owner).began < ended;
        if fact.seq().is_some_and(|seq| seq <= floor) && !may_be_gone {
            let client = &operation.client;
            let told = format!("{client} was told that {id} is unknown, but it was accepted");
            self.violations.push(told);
        }
    }

    /// Messages are marked from now on, and no more were newly so than can have been.
    fn marked(&mut self, operation: &Operation, ended: u64, owner: &str, seqs: &[u64], count: u64) {
        let marks = self.facts.marks.get(owner);
        // Whether some other mark may have been applied before this one.
        let others = marks.is_some_and(|began| {
            began.iter().any(|began| *began < ended && *began != operation.began)
        });
        let (mut least, mut most) = (0, 0);
        for seq in seqs {
            let Some(fact) = self.facts.at_mut(*seq) else { continue };
            let (read, deleted) = (fact.read(owner), fact.deleted(owner));
            most += u64::from(read.proved > operation.began && deleted.proved > operation.began);
            least += u64::from(!others && deleted.began > ended);
            let turn = fact.read.entry(owner.to_string()).or_default();
            turn.proved = turn.proved.min(ended);
        }
        if count < least || count > most {
            self.violations.push(format!(
                "{} marked {} messages of {owner} as read: {count} were unread, and {least} to \
                 {most} can have been",
                operation.client,
                seqs.len()
            ));
        }
    }
}
