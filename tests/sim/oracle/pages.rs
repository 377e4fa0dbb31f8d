//! One page of messages against what is known of them all.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::protocol::client::{InboxQuery, Which};
use ftchat::types::Uuid;

use super::facts::{Fact, Facts, Turn};
use super::{Call, Operation, Seen, comes_back, name_of};

/// Messages with a place, by `seq`, for each owner whose pages were read.
pub(super) struct Inboxes {
    received: BTreeMap<String, BTreeMap<u64, Uuid>>,
    sent: BTreeMap<String, BTreeMap<u64, Uuid>>,
}

impl Inboxes {
    /// Sorts all messages into them.
    pub fn of(operations: &[Operation], facts: &Facts) -> Inboxes {
        let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for operation in operations {
            if let Call::Read { owner, .. } = &operation.call {
                owners.entry(name_of(owner)).or_default().insert(owner);
            }
        }
        let mut inboxes = Inboxes { received: BTreeMap::new(), sent: BTreeMap::new() };
        for (id, fact) in &facts.messages {
            let Some(seq) = fact.seq() else { continue };
            inboxes.sent.entry(fact.from.clone()).or_default().insert(seq, *id);
            let read = fact.to.iter().filter_map(|to| owners.get(to.as_str())).flatten();
            for owner in read.filter(|owner| is_in_inbox(fact, owner, facts)) {
                inboxes.received.entry((*owner).to_string()).or_default().insert(seq, *id);
            }
        }
        inboxes
    }

    fn get(&self, owner: &str, which: Which) -> Option<&BTreeMap<u64, Uuid>> {
        match which {
            Which::Sent => self.sent.get(owner),
            Which::All | Which::Unread => self.received.get(owner),
        }
    }
}

/// Whether a message to this name certainly reached this owner: it was sent after
/// they came, or they were shown it. (Until they go all pages are theirs.)
fn is_in_inbox(fact: &Fact, owner: &str, facts: &Facts) -> bool {
    !comes_back(owner)
        || fact.shown_to.contains(owner)
        || facts.lives.get(owner).is_some_and(|life| life.registered < fact.began)
}

/// A page that was read.
pub(super) struct Page<'a> {
    pub operation: &'a Operation,
    pub ended: u64,
    pub owner: &'a str,
    pub query: &'a InboxQuery,
    pub messages: &'a [Seen],
    pub more: bool,
    /// Places up to this one were known when it was asked for.
    pub floor: u64,
}

impl Page<'_> {
    /// The point in the total order that the page is of, at least.
    pub fn point(&self) -> u64 {
        self.floor.max(self.messages.last().map_or(0, |seen| seen.seq))
    }

    /// What it shows and should not, and what it should and does not. Notes what
    /// it proves.
    pub fn check(&self, facts: &mut Facts, inboxes: &Inboxes) -> Vec<String> {
        let mut told = Vec::new();
        let mut last = self.query.after.unwrap_or(0);
        for seen in self.messages {
            if seen.seq <= last {
                told.push(format!("shows {} at {} after {last}", seen.id, seen.seq));
            }
            last = seen.seq;
            match facts.messages.get(&seen.id) {
                None => told.push(format!("shows {}, which nobody sent", seen.id)),
                Some(fact) => told.extend(self.shown(seen, fact, facts)),
            }
            if seen.read
                && self.query.which != Which::Sent
                && let Some(fact) = facts.messages.get_mut(&seen.id)
            {
                let turn = fact.read.entry(self.owner.to_string()).or_default();
                turn.proved = turn.proved.min(self.ended);
            }
        }
        if self.query.limit.is_some_and(|limit| self.messages.len() as u64 > limit) {
            told.push(format!("shows {} messages", self.messages.len()));
        }
        told.extend(self.missed(facts, inboxes));
        let (client, which, owner) = (&self.operation.client, self.query.which, self.owner);
        told.into_iter()
            .map(|told| format!("{client} reads {which:?} of {owner}: the page {told}"))
            .collect()
    }

    /// What is wrong with a message that it shows.
    fn shown(&self, seen: &Seen, fact: &Fact, facts: &Facts) -> Vec<String> {
        let (owner, began, id) = (self.owner, self.operation.began, seen.id);
        let mut told = Vec::new();
        let mut expect = |held: bool, otherwise: &dyn Fn() -> String| {
            if !held {
                told.push(otherwise());
            }
        };
        let concerns = match self.query.which {
            Which::Sent => fact.from == owner,
            Which::All | Which::Unread => fact.to.iter().any(|to| to == name_of(owner)),
        };
        expect(concerns && Facts::same(fact, seen), &|| {
            format!("shows {id} in another shape: {seen:?}")
        });
        expect(fact.began < self.ended, &|| format!("shows {id} before it was sent"));
        expect(fact.possible, &|| format!("shows {id}, which was refused"));
        expect(self.matches(fact), &|| format!("shows {id}, which does not match"));
        if self.query.which == Which::Sent {
            return told;
        }
        let (deleted, read) = (fact.deleted(owner), fact.read(owner));
        expect(deleted.proved > began, &|| format!("shows {id}, which was deleted"));
        let life = facts.lives.get(owner).filter(|_| comes_back(owner));
        let earlier = life
            .is_some_and(|life| fact.acknowledged.is_some_and(|ended| ended < life.register_began));
        expect(!earlier, &|| format!("shows {id}, which was sent to an earlier owner of the name"));
        if seen.read {
            expect(read.began < self.ended, &|| format!("shows {id} as read, which nobody marked"));
            let unread = self.query.which == Which::Unread;
            expect(!unread, &|| format!("shows {id} as read among the unread"));
        } else {
            expect(read.proved > began, &|| format!("shows {id} as unread, which was marked"));
        }
        told
    }

    fn matches(&self, fact: &Fact) -> bool {
        let from = self.query.from.as_deref();
        let since = self.query.since;
        from.is_none_or(|from| name_of(&fact.from) == from)
            && since.is_none_or(|since| fact.place.is_some_and(|(_, at)| at >= since))
    }

    /// Messages of its range that it should show.
    fn missed(&self, facts: &mut Facts, inboxes: &Inboxes) -> Vec<String> {
        // What was sent leaves that list by itself where bounds are set.
        if self.query.which == Which::Sent && facts.bounded.is_some_and(|at| at < self.ended) {
            return Vec::new();
        }
        let Some(inbox) = inboxes.get(self.owner, self.query.which) else { return Vec::new() };
        let shown: BTreeSet<u64> = self.messages.iter().map(|seen| seen.seq).collect();
        let last = self.messages.last().map_or(0, |seen| seen.seq);
        let until = if self.more { last } else { self.point() };
        let after = self.query.after.unwrap_or(0);
        let mut told = Vec::new();
        for (seq, id) in inbox.range(after + 1..=until.max(after + 1)) {
            let Some(fact) = facts.messages.get_mut(id) else { continue };
            if *seq > until || shown.contains(seq) || !self.matches(fact) {
                continue;
            }
            let (deleted, read) = (fact.deleted(self.owner), fact.read(self.owner));
            let may_be_deleted = self.query.which != Which::Sent && deleted.began < self.ended;
            let may_be_read = self.query.which == Which::Unread && read.began < self.ended;
            match (may_be_deleted, may_be_read) {
                (false, false) => {
                    let known =
                        if fact.acknowledged.is_some() { "acknowledged" } else { "accepted" };
                    told.push(format!("misses {id} at {seq}, which was {known}"));
                }
                (true, false) => {
                    self.proves(fact.deleted.entry(self.owner.to_string()).or_default())
                }
                (false, true) => self.proves(fact.read.entry(self.owner.to_string()).or_default()),
                // One of both.
                (true, true) => {}
            }
        }
        told
    }

    fn proves(&self, turn: &mut Turn) {
        turn.proved = turn.proved.min(self.ended);
    }
}
