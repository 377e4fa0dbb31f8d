//! The cluster that this one was made out of, and what only a machine of it knows.
//!
//! When most machines of a cluster are gone for good, a new one is made out of what is left
//! ([`crate::recovery`]). A machine that was thought to be gone may turn up later, with
//! messages that only it has. They are to come into the new cluster once, whoever brings them,
//! in how many attempts, and however long after.
//!
//! # How a message of the old cluster is known
//! The old cluster's total order is a list like those of lonely servers (`settling.rs`): its
//! entry `seq + 1` is the message at that place, as far as the old cluster had *confirmed* it,
//! since to that extent all its machines agree. A new cluster begins with as many of these
//! entries settled as it knows to be confirmed. So of what a machine brings the counter says,
//! for ever and without any id, what the new cluster has.
//!
//! Behind that, logs may differ. What the new cluster was made of may hold messages there that
//! the old one has confirmed elsewhere, perhaps at the same places. Another list, which has no
//! entries of its own, says up to where that may be: such messages count as tried before, and
//! their ids decide. What a machine has that nobody is known to have confirmed is a list of its
//! own, named after all that is in it.
//!
//! In the same way it is kept which messages and accounts the new cluster began with: one of
//! these that the late machine does not have was deleted there, and the other way round.
//!
//! # What it costs
//! A look goes through a whole state, so none of this is asked of one that serves anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::Record;
use super::chunks::Item;
use super::delivery::{Act, Party};
use super::hash::{Encoder, Kind};
use super::items::{Account, Label, Message};
use super::operation::Outcome;
use super::overlay::Taken;
use super::remembered::Fate;
use super::state::State;
use crate::limits::{IDS_PER_REQUEST_MAX, LEVEL_OF_SETTLING};
use crate::protocol::administration::Recorded;
use crate::types::{AccountName, Timestamp, Uuid};

/// The lists by which a cluster says how far it has what another had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldOrder {
    /// Of the messages that the old cluster had confirmed. It grows with what is brought.
    pub confirmed: Uuid,
    /// Of those of them that the new one began with.
    pub first: Uuid,
    /// Of all messages that the new one may have. It grows as well.
    pub all: Uuid,
    /// Of the accounts that the old one had confirmed. It grows as well.
    pub accounts: Uuid,
    /// Of those of them that the new one began with.
    pub first_accounts: Uuid,
}

impl OldOrder {
    /// Those of a cluster, whose identity and lineage its data directories tell.
    pub fn of(cluster: &Uuid, lineage: &Uuid) -> OldOrder {
        let list = |which| {
            let encoder = Encoder::new(Kind::OldOrder).fixed(cluster.as_bytes());
            as_id(encoder.fixed(lineage.as_bytes()).number(which))
        };
        OldOrder {
            confirmed: list(1),
            first: list(2),
            all: list(3),
            accounts: list(4),
            first_accounts: list(5),
        }
    }

    /// The list of messages that nobody is known to have confirmed. The same messages make the
    /// same list.
    pub fn unconfirmed<'a>(&self, messages: impl Iterator<Item = &'a Taken>) -> Uuid {
        let encoder = Encoder::new(Kind::OldOrder).fixed(self.confirmed.as_bytes()).number(6);
        as_id(messages.fold(encoder, |encoder, message| encoder.fixed(message.id.as_bytes())))
    }

    /// The list that says that the new cluster began with an account, of one that nobody is
    /// known to have confirmed.
    pub fn account(&self, account: &Uuid) -> Uuid {
        let encoder = Encoder::new(Kind::OldOrder).fixed(self.accounts.as_bytes()).number(7);
        as_id(encoder.fixed(account.as_bytes()))
    }

    /// Which entry of a list stands for a place in the total order, or for an account's number:
    /// the next one, as a list without an entry is not known.
    pub fn entry(place: u64) -> u64 {
        place + 1
    }
}

fn as_id(encoder: Encoder) -> Uuid {
    uuid::Builder::from_custom_bytes(encoder.finish().to_be_bytes()).into_uuid()
}

/// How far a state goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The last place of the total order that was given away; 0 before the first.
    pub seq: u64,
    /// The number of the last account that registered; 0 before the first.
    pub account: u64,
}

/// A message at its place in the total order.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The place.
    pub seq: u64,
    /// What delivers it elsewhere, also to those who have deleted it: to others it would be
    /// another message.
    pub taken: Taken,
    /// Whether a lonely server took it, so that others may have had it.
    pub was_taken_alone: bool,
}

/// An account as somebody else is to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// Who.
    pub account: Uuid,
    /// Its name.
    pub name: AccountName,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// Whether an administrator has shut it out.
    pub disabled: bool,
    /// Counts the accounts in the order in which they registered.
    pub number: u64,
}

impl State {
    /// How far it goes.
    pub fn reached(&self) -> Reached {
        Reached { seq: self.data.counters.last_seq, account: self.data.counters.last_account }
    }

    /// Comes to the feature level that settles what a server took alone, if it is below that:
    /// whoever makes a cluster of this state, or compares it with one, knows that level.
    pub fn begin_to_settle(&mut self) {
        self.raise_level(0, LEVEL_OF_SETTLING);
    }

    /// Notes that this state is what another cluster had: `confirmed` as far as that is known
    /// to be so, with messages up to the place `last`.
    pub fn note_old_order(&mut self, order: &OldOrder, confirmed: Reached, last: u64) {
        self.begin_to_settle();
        for (list, place) in [
            (order.confirmed, confirmed.seq),
            (order.first, confirmed.seq),
            (order.all, last),
            (order.accounts, confirmed.account),
            (order.first_accounts, confirmed.account),
        ] {
            self.skip_settled(list, OldOrder::entry(place));
        }
        let behind = self.data.accounts.runs_after(confirmed.account).flat_map(|(run, _)| run);
        let others: Vec<Uuid> = behind.map(|it| order.account(&it.label.account)).collect();
        others.into_iter().for_each(|list| self.skip_settled(list, 1));
    }

    /// Counts entries of a list as settled, without taking them.
    pub fn skip_settled(&mut self, list: Uuid, through: u64) {
        if self.settled(&list) < through {
            self.set_settled(list, through);
        }
    }

    /// Up to where each list is settled.
    pub fn settled_lists(&self) -> Vec<(Uuid, u64)> {
        self.data.lists.iter().map(|it| (it.list, it.settled)).collect()
    }

    /// The log index below which no id is remembered, as the level was not reached that notes
    /// what is forgotten.
    pub fn settles_since(&self) -> u64 {
        self.data.floors.level
    }

    /// The messages behind a place in the total order that are in an inbox; a notice among them
    /// is one from its author to itself. `since` is a log index of the cluster that is to get
    /// them. Which of them were tried elsewhere is known as far as this state says so.
    pub fn placed_behind(&self, seq: u64, since: u64) -> impl Iterator<Item = Placed> {
        let runs = self.data.messages.runs_after(seq).flat_map(|(run, _)| run.iter());
        runs.filter(|message| self.is_in_an_inbox(message)).map(move |message| {
            let origin = self.data.origins.get(message.seq);
            let author = party(&message.from);
            let taken = Taken {
                id: message.id,
                again: self.repeat(&author.account, &message.id).is_some(),
                since,
                seen_to: 0,
                accepted_at: origin.map_or(message.at.into(), |origin| origin.accepted_at),
                author,
                // That of another cluster says nothing.
                session: None,
                act: Act::Send {
                    to: message.to.labels.iter().map(party).collect(),
                    text: message.text.to_string(),
                    reply_to: self.reply_to(message.seq),
                },
            };
            Placed { seq: message.seq, taken, was_taken_alone: origin.is_some() }
        })
    }

    fn is_in_an_inbox(&self, message: &Message) -> bool {
        message.to.labels.iter().any(|label| {
            let account = self.data.accounts.get(label.number);
            account.is_some_and(|account| account.inbox.get(message.seq).is_some())
        })
    }

    /// Whether a message was ever delivered here, as far as that is remembered.
    pub fn has_had(&self, author: &Uuid, id: &Uuid) -> bool {
        self.message_ids.contains(id)
            || self.tombstone(id)
            || self.repeat(author, id) == Some(Fate::Delivered)
    }

    /// Whether a message is remembered that no list holds any more.
    fn tombstone(&self, id: &Uuid) -> bool {
        let remembered = self.window_ids.get(id).and_then(|it| self.data.window.get(it));
        remembered.is_some_and(|it| matches!(it.outcome, Outcome::Sent { .. }))
    }

    /// Below this place nothing that is missing was deleted by anybody: it was kept for so long
    /// and no longer.
    fn kept_from(&self) -> u64 {
        let kept_for_days = |it: &Arc<Record>| {
            let Recorded::SetBounds { keep_messages_days, .. } = it.what else { return false };
            keep_messages_days > 0
        };
        let is_bounded =
            self.bounds().keep_messages_days > 0 || self.data.actions.iter().any(kept_for_days);
        let oldest = self.data.messages.first().map_or(u64::MAX, Item::key);
        if is_bounded { oldest } else { 0 }
    }

    /// All accounts that are not deleted, in the order in which they registered.
    pub fn stored_accounts(&self) -> impl Iterator<Item = StoredAccount> {
        let there = self.data.accounts.iter().filter(|account| !account.deleted);
        there.map(|account| StoredAccount {
            account: account.label.account,
            name: account.label.name.clone(),
            password_hash: account.password_hash.to_string(),
            disabled: account.disabled,
            number: account.label.number,
        })
    }

    /// What was read and deleted here and is not in another state, as entries that do it there.
    /// Both have the same messages up to the place `common`; of others the ids decide.
    pub fn read_and_deleted(
        &self,
        other: &State,
        common: u64,
        since: u64,
        at: Timestamp,
        new_id: impl Fn() -> Uuid,
    ) -> Vec<Taken> {
        let own: BTreeMap<Uuid, &Account> =
            self.data.accounts.iter().map(|it| (it.label.account, &**it)).collect();
        let kept_from = self.kept_from();
        let mut entries = Vec::new();
        for account in other.data.accounts.iter().filter(|account| !account.deleted) {
            let Some(own) = own.get(&account.label.account).filter(|own| !own.deleted) else {
                continue;
            };
            let (mut read, mut deleted) = (Vec::new(), Vec::new());
            for entry in account.inbox.iter() {
                let Some(message) = other.data.messages.get(entry.key()) else { continue };
                match self.fate_of(own, message, common, kept_from) {
                    Some(Fated::Read) if !entry.read() => read.push(message.id),
                    Some(Fated::Deleted) => deleted.push(message.id),
                    Some(Fated::Read) | None => {}
                }
            }
            let author = party(&account.label);
            let acts = read.chunks(IDS_PER_REQUEST_MAX).map(|ids| Act::Mark { ids: ids.to_vec() });
            let deletions = deleted.chunks(IDS_PER_REQUEST_MAX);
            let acts = acts.chain(deletions.map(|ids| Act::Delete { ids: ids.to_vec() }));
            entries.extend(acts.map(|act| Taken {
                id: new_id(),
                again: false,
                since,
                seen_to: 0,
                accepted_at: at,
                author: author.clone(),
                session: None,
                act,
            }));
        }
        entries
    }

    /// What an account has done with a message of another state, if it did anything.
    fn fate_of(
        &self,
        owner: &Account,
        message: &Message,
        common: u64,
        kept_from: u64,
    ) -> Option<Fated> {
        let is_same = |own: &Message| {
            own.from.account == message.from.account
                && own.to.labels.iter().any(|label| label.number == owner.label.number)
        };
        let own = self.message_ids.get(&message.id).and_then(|seq| self.data.messages.get(seq));
        match own {
            Some(own) if !is_same(own) => None,
            Some(own) => match owner.inbox.get(own.seq) {
                Some(entry) => entry.read().then_some(Fated::Read),
                None => Some(Fated::Deleted),
            },
            None => {
                let was_here = message.seq <= common || self.tombstone(&message.id);
                (was_here && message.seq >= kept_from).then_some(Fated::Deleted)
            }
        }
    }
}

/// What somebody did with a message.
enum Fated {
    Read,
    Deleted,
}

fn party(label: &Arc<Label>) -> Party {
    Party { account: label.account, name: label.name.clone() }
}
