//! The entries, and how they come and go.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::entry::{Context, Deed, Entry, Other};
use super::holdings::Accounts;
use super::places::Places;
use super::taken::Taken;
use crate::chat::chunks::Chunks;
use crate::chat::delivery::{Act, SessionNumber};
use crate::chat::ids::Ids;
use crate::types::{Place, Timestamp, Uuid};

/// What a server has taken without a majority, and the log has not settled; see the head of
/// this folder's `mod.rs`.
#[derive(Default)]
pub struct Overlay {
    pub(super) entries: Chunks<Entry>,
    /// The number of the last entry that came.
    last: u64,
    /// Entries on their way to the disk.
    hidden: BTreeSet<u64>,
    pub(super) places: Places,
    /// Which entry is the first one with an id.
    pub(super) ids: Ids,
    /// Later ones with the same id, as another server's list may have them.
    later: BTreeSet<(Uuid, u64)>,
    pub(super) accounts: Accounts,
    /// Entries that end a session.
    pub(super) closes: BTreeSet<(SessionNumber, u64)>,
}

impl Overlay {
    /// Adds an entry behind all others, and returns its number. Nobody is shown it before
    /// [`Overlay::reveal`]; what is taken after it counts it.
    pub fn add(&mut self, taken: Taken) -> u64 {
        let order = self.insert(taken);
        self.hidden.insert(order);
        order
    }

    /// The entries with numbers from `first` on that are not shown yet are on the disk. They
    /// stand from `place` on, one after the other. One append at a time may be under way.
    pub fn reveal(&mut self, first: u64, place: Place) {
        let Place { list, number } = place;
        for (order, number) in self.hidden.split_off(&first).into_iter().zip(number..) {
            self.places.note(order, Place { list, number });
        }
    }

    /// The entries with numbers from `first` on that are not shown yet did not come onto the
    /// disk, and are dropped.
    pub fn retract(&mut self, first: u64) {
        for order in self.hidden.split_off(&first) {
            self.remove(order);
        }
    }

    /// Adds what was found on the disk, behind all others; it is shown at once. Entries of a
    /// list come in their order. One whose place is taken is left out.
    pub fn load(&mut self, place: Place, taken: Taken) {
        if !self.has(&place) {
            let order = self.insert(taken);
            self.places.note(order, place);
        }
    }

    /// The state that this overlay stands beside has settled a list up to a number.
    pub fn settled(&mut self, list: &Uuid, through: u64) {
        for orders in self.places.settle(list, through) {
            orders.for_each(|order| self.remove(order));
        }
    }

    /// How many entries there are, those included that are on their way to the disk.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// How many entries wait to be settled.
    pub fn waiting(&self) -> usize {
        self.entries.len() - self.hidden.len()
    }

    /// When the first of all entries was taken.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries.first().map(|entry| entry.accepted_at.into())
    }

    /// Whether an entry of a list is here, on the disk and not settled.
    pub fn has(&self, place: &Place) -> bool {
        self.places.has(place)
    }

    /// The number in its list of the first entry of a list that is here.
    pub fn first_of(&self, list: &Uuid) -> Option<u64> {
        self.places.first_of(list)
    }

    /// The number of the entry at a place, if it is here.
    pub fn order_of(&self, place: &Place) -> Option<u64> {
        self.places.order_of(place)
    }

    /// The first entry that is on its way to the disk.
    pub(super) fn first_hidden(&self) -> Option<u64> {
        self.hidden.first().copied()
    }

    /// The number of the last entry that came.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    fn insert(&mut self, taken: Taken) -> u64 {
        let Taken { id, again, since, seen_to, accepted_at, author, session, act } = taken;
        self.last += 1;
        let order = self.last;
        let author = self.accounts.party(&author);
        let number = session.as_ref().map(|it| it.number);
        let context = self.accounts.context(Context { author, session, since, seen_to });
        let deed = match act {
            Act::Send { to, text, reply_to } => {
                Deed::Send { to: self.accounts.addressees(&to, reply_to), text: text.into() }
            }
            Act::Mark { ids } => Deed::Other(Box::new(Other::Mark(ids.into()))),
            Act::Delete { ids } => Deed::Other(Box::new(Other::Delete(ids.into()))),
            Act::Close {} => Deed::Other(Box::new(Other::Close)),
        };
        let entry = Entry { order, id, context, deed, accepted_at: accepted_at.into(), again };
        match self.ids.contains(&id) {
            true => drop(self.later.insert((id, order))),
            false => drop(self.ids.insert(id, order)),
        }
        if let (true, Some(number)) = (entry.closes(), number) {
            self.closes.insert((number, order));
        }
        self.accounts.add(&entry);
        self.entries.push(entry);
        order
    }

    fn remove(&mut self, order: u64) {
        let Some(entry) = self.entries.remove(order) else { return };
        let id = entry.id;
        if self.ids.get(&id) == Some(order) {
            self.ids.remove(&id);
            let next = self.later.range((id, 0)..=(id, u64::MAX)).next().copied();
            if let Some((_, next)) = next {
                self.later.remove(&(id, next));
                self.ids.insert(id, next);
            }
        } else {
            self.later.remove(&(id, order));
        }
        if let (true, Some(session)) = (entry.closes(), &entry.context.session) {
            self.closes.remove(&(session.number, order));
        }
        self.accounts.remove(&entry);
    }
}

impl std::fmt::Debug for Overlay {
    /// Never what is in it: texts stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// An overlay of a server that has taken nothing.
pub(in crate::chat) fn nothing() -> &'static Overlay {
    static NOTHING: LazyLock<Overlay> = LazyLock::new(Overlay::default);
    &NOTHING
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::entry::Listed;
    use super::*;
    use crate::chat::delivery::{Party, SessionUsed};
    use crate::chat::items::Message;
    use crate::types::{AccountName, Digest};

    fn party(number: u128, name: &str) -> Party {
        let name = AccountName::new(name).expect("valid");
        Party { account: Uuid::from_u128(number), name }
    }

    fn taken(id: u128) -> Taken {
        let text = "x".to_string();
        Taken {
            id: Uuid::from_u128(id),
            again: id.is_multiple_of(2),
            since: 7,
            seen_to: 3,
            accepted_at: Timestamp(9),
            author: party(1, "alice"),
            session: Some(SessionUsed {
                number: 1,
                token_hash: Digest::of(b"token"),
                expires: Timestamp::MAX,
            }),
            act: Act::Send { to: vec![party(2, "bob")], text, reply_to: None },
        }
    }

    /// A confirmed message takes its 64 bytes, a place in the order of ids, one in the inbox
    /// and one in the sent list, and the text. An entry takes the same, as long as all else is
    /// shared.
    #[test]
    fn an_entry_takes_no_more_memory_than_its_message_will() {
        assert_eq!((size_of::<Entry>(), size_of::<Listed>()), (size_of::<Message>(), 8));
        let mut overlay = Overlay::default();
        let list = Uuid::from_u128(90);
        for number in 1..=1_000 {
            overlay.load(Place { list, number }, taken(number.into()));
        }
        let first = overlay.entries.first().expect("loaded");
        assert_eq!(Arc::strong_count(&first.context), 1_001, "each has it, and the account");
        assert_eq!(Arc::strong_count(&first.context.author), 3, "an account is there once");
        let Deed::Send { to, .. } = &first.deed else { panic!("a message") };
        assert_eq!(Arc::strong_count(to), 1_001);
        assert_eq!(overlay.places.runs(), 1, "places are no matter of each entry");
        // What was settled leaves nothing behind.
        overlay.settled(&list, 1_000);
        assert!(overlay.is_empty() && overlay.later.is_empty() && overlay.closes.is_empty());
        assert_eq!((overlay.places.runs(), overlay.ids.iter().count()), (0, 0));
        assert!(overlay.accounts.is_empty());
    }
}
