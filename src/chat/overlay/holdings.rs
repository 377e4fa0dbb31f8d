//! What the entries of an overlay mean for each account: its lists, what is done to its
//! messages, and how much room they take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{Addressees, Context, Deed, Entry, Listed, Other};
use crate::chat::bounds::Beside;
use crate::chat::chunks::Chunks;
use crate::chat::delivery::Party;
use crate::chat::items::{kept_bytes, stored_bytes};
use crate::types::Uuid;

/// Of an account.
pub(super) struct Holdings {
    pub(super) party: Arc<Party>,
    /// The addressees of a message to this account alone.
    sole: Arc<Addressees>,
    /// Of its last entry.
    context: Option<Arc<Context>>,
    /// Messages to it.
    pub(super) inbox: Chunks<Listed>,
    /// Messages of it.
    pub(super) sent: Chunks<Listed>,
    /// Which entry of it marks which message.
    pub(super) marked: BTreeSet<(Uuid, u64)>,
    /// Which entry of it removes which message.
    pub(super) deleted: BTreeSet<(Uuid, u64)>,
    /// What the messages to it take.
    inbox_bytes: u64,
    /// What the messages of it to others take.
    spread: u64,
}

impl Holdings {
    fn new(party: &Party) -> Holdings {
        let party = Arc::new(party.clone());
        Holdings {
            sole: Arc::new(Addressees { parties: Box::new([Arc::clone(&party)]), reply_to: None }),
            party,
            context: None,
            inbox: Chunks::default(),
            sent: Chunks::default(),
            marked: BTreeSet::new(),
            deleted: BTreeSet::new(),
            inbox_bytes: 0,
            spread: 0,
        }
    }

    fn is_empty(&self) -> bool {
        let listed = self.inbox.len() + self.sent.len();
        listed + self.marked.len() + self.deleted.len() == 0
    }

    /// The same context, shared with the entry before if it has it, too.
    fn share(&mut self, context: Context) -> Arc<Context> {
        match &self.context {
            Some(last) if **last == context => Arc::clone(last),
            _ => Arc::clone(self.context.insert(Arc::new(context))),
        }
    }
}

/// Of all accounts.
#[derive(Default)]
pub(super) struct Accounts {
    by_id: BTreeMap<Uuid, Holdings>,
    /// What the first has from the second, in bytes; no zeros.
    from: BTreeMap<(Uuid, Uuid), u64>,
    total: u64,
}

impl Accounts {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.from.is_empty() && self.total == 0
    }

    pub(super) fn get(&self, account: &Uuid) -> Option<&Holdings> {
        self.by_id.get(account)
    }

    fn of(&mut self, party: &Party) -> &mut Holdings {
        self.by_id.entry(party.account).or_insert_with(|| Holdings::new(party))
    }

    /// An account with its name; the copy that its other entries have.
    pub(super) fn party(&mut self, party: &Party) -> Arc<Party> {
        let known = &self.of(party).party;
        match known.name.as_str() == party.name.as_str() {
            true => Arc::clone(known),
            false => Arc::new(party.clone()),
        }
    }

    /// What an author's entry has in common with others.
    pub(super) fn context(&mut self, context: Context) -> Arc<Context> {
        let author = Arc::clone(&context.author);
        self.of(&author).share(context)
    }

    /// Accounts that a message is for, each once.
    pub(super) fn addressees(&mut self, to: &[Party], reply_to: Option<Uuid>) -> Arc<Addressees> {
        if let ([party], None) = (to, reply_to) {
            let sole = &self.of(party).sole;
            if sole.parties[0].name.as_str() == party.name.as_str() {
                return Arc::clone(sole);
            }
        }
        let mut seen = BTreeSet::new();
        let once = to.iter().filter(|party| seen.insert(party.account));
        let parties = once.map(|party| self.party(party)).collect();
        Arc::new(Addressees { parties, reply_to })
    }

    /// An entry came.
    pub(super) fn add(&mut self, entry: &Entry) {
        let (author, listed) = (&entry.context.author, Listed(entry.order));
        let (to, text) = match &entry.deed {
            Deed::Send { to, text } => (to, text),
            Deed::Other(other) => {
                let author = self.of(author);
                let (place, ids) = match &**other {
                    Other::Mark(ids) => (&mut author.marked, ids),
                    Other::Delete(ids) => (&mut author.deleted, ids),
                    Other::Close => return,
                };
                place.extend(ids.iter().map(|id| (*id, entry.order)));
                return;
            }
        };
        let (bytes, kept) = (stored_bytes(text), kept_bytes(text, to.parties.len()));
        self.total += kept;
        let is_spread = has_others(to, &author.account);
        let sender = self.of(author);
        sender.sent.push(listed);
        sender.spread += if is_spread { kept } else { 0 };
        for party in &to.parties {
            *self.from.entry((party.account, author.account)).or_default() += bytes;
            let recipient = self.of(party);
            recipient.inbox.push(listed);
            recipient.inbox_bytes += bytes;
        }
    }

    /// An entry is gone.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let (author, order) = (&entry.context.author.account, entry.order);
        match &entry.deed {
            Deed::Send { to, text } => {
                let (bytes, kept) = (stored_bytes(text), kept_bytes(text, to.parties.len()));
                self.total -= kept;
                if let Some(sender) = self.by_id.get_mut(author) {
                    sender.sent.remove(order);
                    sender.spread -= if has_others(to, author) { kept } else { 0 };
                }
                for party in &to.parties {
                    self.take_from(&party.account, author, order, bytes);
                }
            }
            Deed::Other(other) => {
                if let Some(author) = self.by_id.get_mut(author) {
                    let (place, ids) = match &**other {
                        Other::Mark(ids) => (&mut author.marked, &**ids),
                        Other::Delete(ids) => (&mut author.deleted, &**ids),
                        Other::Close => (&mut author.marked, &[][..]),
                    };
                    for id in ids {
                        place.remove(&(*id, order));
                    }
                }
            }
        }
        self.drop_if_empty(author);
    }

    fn take_from(&mut self, owner: &Uuid, sender: &Uuid, order: u64, bytes: u64) {
        if let Some(left) = self.from.get_mut(&(*owner, *sender)) {
            *left -= bytes;
            if *left == 0 {
                self.from.remove(&(*owner, *sender));
            }
        }
        if let Some(recipient) = self.by_id.get_mut(owner) {
            recipient.inbox.remove(order);
            recipient.inbox_bytes -= bytes;
            self.drop_if_empty(owner);
        }
    }

    fn drop_if_empty(&mut self, account: &Uuid) {
        if self.by_id.get(account).is_some_and(Holdings::is_empty) {
            self.by_id.remove(account);
        }
    }
}

fn has_others(to: &Addressees, account: &Uuid) -> bool {
    to.parties.iter().any(|party| party.account != *account)
}

impl Beside for Accounts {
    fn in_inbox(&self, owner: &Uuid) -> u64 {
        self.get(owner).map_or(0, |it| it.inbox_bytes)
    }

    fn from(&self, owner: &Uuid, sender: &Uuid) -> u64 {
        self.from.get(&(*owner, *sender)).copied().unwrap_or_default()
    }

    fn with_others(&self, sender: &Uuid) -> u64 {
        self.get(sender).map_or(0, |it| it.spread)
    }

    fn total(&self) -> u64 {
        self.total
    }
}
