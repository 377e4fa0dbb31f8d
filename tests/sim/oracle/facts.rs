//! What all operations together show about every message.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::types::{Timestamp, Uuid};

use super::{Call, Line, Operation, Reply, Seen, comes_back};

/// Something that happens to a message in an inbox once, if ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The earliest beginning of an operation that may have done it.
    pub began: u64,
    /// The earliest end of an operation that proves it.
    pub proved: u64,
}

impl Default for Turn {
    fn default() -> Turn {
        Turn { began: u64::MAX, proved: u64::MAX }
    }
}

/// What is known of one message.
#[derive(Default)]
pub(super) struct Fact {
    /// Its sender.
    pub from: String,
    /// Names of its recipients.
    pub to: Vec<String>,
    pub text: String,
    pub line: Option<Line>,
    /// Where it stands, and when it was taken.
    pub place: Option<(u64, Timestamp)>,
    /// The earliest beginning of a send with this id.
    pub began: u64,
    /// The latest end of one; `u64::MAX` when one never ended.
    pub ended: u64,
    /// The earliest end of one that was told the message is accepted.
    pub acknowledged: Option<u64>,
    /// A send with this id may have been accepted: not all were refused.
    pub possible: bool,
    /// By owner of an inbox.
    pub deleted: BTreeMap<String, Turn>,
    /// By owner of an inbox.
    pub read: BTreeMap<String, Turn>,
    /// Owners that were shown it.
    pub shown_to: BTreeSet<String>,
}

impl Fact {
    pub fn seq(&self) -> Option<u64> {
        self.place.map(|(seq, _)| seq)
    }

    pub fn deleted(&self, owner: &str) -> Turn {
        self.deleted.get(owner).copied().unwrap_or_default()
    }

    pub fn read(&self, owner: &str) -> Turn {
        self.read.get(owner).copied().unwrap_or_default()
    }
}

/// When an account began and ended, as far as its owner was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub register_began: u64,
    pub registered: u64,
    pub delete_began: u64,
    pub deleted: u64,
}

/// All messages and accounts of a history.
#[derive(Default)]
pub(super) struct Facts {
    pub messages: BTreeMap<Uuid, Fact>,
    /// By `seq`.
    pub places: BTreeMap<u64, Uuid>,
    /// By owner, of those that said when they registered.
    pub lives: BTreeMap<String, Life>,
    /// By owner of an inbox: beginnings of all marks.
    pub marks: BTreeMap<String, Vec<u64>>,
    /// When bounds on what is stored were asked for first.
    pub bounded: Option<u64>,
    pub violations: Vec<String>,
}

impl Facts {
    /// Gathers them.
    pub fn of(operations: &[Operation]) -> Facts {
        let mut facts = Facts::default();
        for operation in operations {
            facts.sends_and_lives(operation);
        }
        for operation in operations {
            if let Some(Reply::Page { messages, .. }) = operation.reply() {
                let Call::Read { owner, .. } = &operation.call else { continue };
                for seen in messages {
                    facts.place(seen.id, (seen.seq, seen.at), &operation.client);
                    if let Some(fact) = facts.messages.get_mut(&seen.id) {
                        // Only where it matters who of several was shown it.
                        if comes_back(owner) {
                            fact.shown_to.insert(owner.clone());
                        }
                    }
                }
            }
        }
        facts.index();
        for operation in operations {
            facts.turns(operation);
        }
        facts
    }

    fn sends_and_lives(&mut self, operation: &Operation) {
        let ended = operation.ended.as_ref().map_or(u64::MAX, |(ended, _)| *ended);
        match &operation.call {
            Call::Send { id, from, to, text, line } => {
                let fact = self.messages.entry(*id).or_insert_with(|| Fact {
                    from: from.clone(),
                    to: to.clone(),
                    text: text.clone(),
                    line: *line,
                    began: operation.began,
                    ..Fact::default()
                });
                fact.ended = fact.ended.max(ended);
                fact.possible |= !operation.is_refused();
                if let Some(Reply::Sent { seq, at }) = operation.reply() {
                    let known = fact.acknowledged.unwrap_or(u64::MAX);
                    fact.acknowledged = Some(known.min(ended));
                    self.place(*id, (*seq, *at), &operation.client);
                }
            }
            Call::SetBounds {} => {
                let known = self.bounded.unwrap_or(u64::MAX);
                self.bounded = Some(known.min(operation.began));
            }
            Call::Register { owner } if !operation.is_refused() => {
                let life = self.life(owner);
                life.register_began = life.register_began.min(operation.began);
                if operation.reply() == Some(&Reply::Registered) {
                    life.registered = life.registered.min(ended);
                }
            }
            Call::DeleteAccount { owner } if !operation.is_refused() => {
                let life = self.life(owner);
                life.delete_began = life.delete_began.min(operation.began);
                if operation.reply() == Some(&Reply::Deleted) {
                    life.deleted = life.deleted.min(ended);
                }
            }
            _ => {}
        }
    }

    fn life(&mut self, owner: &str) -> &mut Life {
        let never = u64::MAX;
        self.lives.entry(owner.to_string()).or_insert(Life {
            register_began: never,
            registered: never,
            delete_began: never,
            deleted: never,
        })
    }

    /// Learns a message's place in the total order.
    fn place(&mut self, id: Uuid, place: (u64, Timestamp), client: &str) {
        let Some(fact) = self.messages.get_mut(&id) else { return };
        let known = *fact.place.get_or_insert(place);
        if known.0 != place.0 {
            let told = format!("{id} stands at {} and, for {client}, at {}", known.0, place.0);
            self.violations.push(told);
        } else if known.1 != place.1 {
            let told = format!("{id} was taken at {} and, for {client}, at {}", known.1, place.1);
            self.violations.push(told);
        }
    }

    fn index(&mut self) {
        for (id, fact) in &self.messages {
            if let Some(seq) = fact.seq()
                && let Some(other) = self.places.insert(seq, *id)
            {
                self.violations.push(format!("{other} and {id} both stand at {seq}"));
            }
        }
    }

    /// What marks and deletions may have done.
    fn turns(&mut self, operation: &Operation) {
        if operation.is_refused() {
            return;
        }
        match &operation.call {
            Call::Delete { owner, id } => {
                if let Some(fact) = self.messages.get_mut(id) {
                    let turn = fact.deleted.entry(owner.clone()).or_default();
                    turn.began = turn.began.min(operation.began);
                }
            }
            Call::Mark { owner, seqs } => {
                self.marks.entry(owner.clone()).or_default().push(operation.began);
                for seq in seqs {
                    let Some(id) = self.places.get(seq) else { continue };
                    let Some(fact) = self.messages.get_mut(id) else { continue };
                    let turn = fact.read.entry(owner.clone()).or_default();
                    turn.began = turn.began.min(operation.began);
                }
            }
            _ => {}
        }
    }

    /// The message at a place, for noting what a page proves of it.
    pub fn at_mut(&mut self, seq: u64) -> Option<&mut Fact> {
        self.messages.get_mut(self.places.get(&seq)?)
    }

    /// Whether a message shown is the one that was sent.
    pub fn same(fact: &Fact, seen: &Seen) -> bool {
        fact.text == seen.text
            && super::name_of(&fact.from) == seen.from
            && fact.to.len() == seen.recipients
    }
}
