//! How much is unread, by who sent it.
//!
//! Counts are kept with the messages (`usage.rs`), so nothing is counted when it is asked
//! for: a step for each account that has written. What a server has without a majority is
//! looked at message by message, as what becomes of it is never kept (`overlay/`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::budget::{Budget, Step};
use super::items::{Account, AccountNumber, Label};
use super::overlay::Shown;
use super::state::State;
use crate::protocol::client::Unread;
use crate::types::Uuid;

/// How much is unread, in the making.
pub struct UnreadCount {
    account: Uuid,
    /// Whether what no majority has confirmed counts.
    unconfirmed: bool,
    place: Place,
    found: BTreeMap<AccountNumber, Unread>,
    /// How many entries of an overlay had to do with it when it was last looked at.
    concerning: usize,
}

/// How far it has come.
#[derive(Clone, Copy)]
enum Place {
    /// In what is confirmed, behind an account.
    Confirmed(Option<AccountNumber>),
    /// In what entries do to that, behind a message.
    Touched(Option<Uuid>),
    /// In what is not confirmed, behind an entry.
    Unconfirmed(u64),
    /// At the end.
    Done,
}

impl UnreadCount {
    /// Of an account; with `unconfirmed` what no majority has confirmed counts as well.
    pub fn new(account: Uuid, unconfirmed: bool) -> UnreadCount {
        let (place, found) = (Place::Confirmed(None), BTreeMap::new());
        UnreadCount { account, unconfirmed, place, found, concerning: 0 }
    }

    /// What was found, in the order of names, behind one of them; and whether there is more.
    /// A page has all of a name, so it may have some more than `limit`.
    pub fn into_page(self, after: Option<&str>, limit: usize) -> (Vec<Unread>, bool) {
        let after = after.map(str::to_ascii_lowercase);
        let mut by_name: BTreeMap<_, Unread> = BTreeMap::new();
        for row in self.found.into_values().filter(|row| row.unread > 0) {
            let folded = row.name.folded();
            if after.as_deref().is_some_and(|after| folded.as_str() <= after) {
                continue;
            }
            // Several that are gone may have had one name.
            match by_name.entry((folded, row.gone)) {
                Entry::Vacant(vacant) => drop(vacant.insert(row)),
                Entry::Occupied(mut same) => {
                    same.get_mut().unread += row.unread;
                    same.get_mut().mentions += row.mentions;
                }
            }
        }
        let (mut page, mut last) = (Vec::new(), None);
        for ((name, _), row) in by_name {
            if page.len() >= limit && last != Some(name) {
                return (page, true);
            }
            last = Some(name);
            page.push(row);
        }
        (page, false)
    }
}

impl State {
    /// See [`Look::unread`](super::Look::unread).
    pub(super) fn count_unread(
        &self,
        count: &mut UnreadCount,
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> Step<()> {
        let Some(account) = self.find_account(count.account) else { return Step::Done(()) };
        // What was not confirmed when one part was counted may be so when another is: then it
        // would be in neither, or in both. So it begins anew when some of it was settled, as far
        // as their number tells.
        let concerning = shown.concerning(&count.account);
        if concerning < count.concerning {
            *count = UnreadCount::new(count.account, count.unconfirmed);
        }
        count.concerning = concerning;
        loop {
            count.place = match count.place {
                Place::Confirmed(after) => match self.confirmed(account, count, after, budget) {
                    Some(after) => {
                        count.place = Place::Confirmed(after);
                        return Step::More;
                    }
                    None => Place::Touched(None),
                },
                Place::Touched(after) => match shown.touched_after(&count.account, after) {
                    Some(_) if !budget.lasts() => return Step::More,
                    Some(id) => {
                        self.touched(account, count, (id, shown), budget);
                        Place::Touched(Some(id))
                    }
                    None if count.unconfirmed => Place::Unconfirmed(0),
                    None => Place::Done,
                },
                Place::Unconfirmed(after) => {
                    let found = &mut count.found;
                    let more = shown.unread_after(&count.account, after, budget, |sender, it| {
                        if let Some(sender) = self.account_label(sender) {
                            let row = self.row(found, sender);
                            row.unread += 1;
                            row.mentions += u64::from(it);
                        }
                    });
                    if let Some(after) = more {
                        count.place = Place::Unconfirmed(after);
                        return Step::More;
                    }
                    Place::Done
                }
                Place::Done => return Step::Done(()),
            };
        }
    }

    /// Counts what is confirmed. Returns where to go on; `None`: that is all.
    fn confirmed(
        &self,
        account: &Account,
        count: &mut UnreadCount,
        mut after: Option<AccountNumber>,
        budget: &mut Budget,
    ) -> Option<Option<AccountNumber>> {
        if account.inbox.flagged() == 0 {
            return None;
        }
        for (sender, received) in self.usage.received(account.label.number, after) {
            if !budget.lasts() {
                return Some(after);
            }
            after = Some(sender);
            budget.spend(1);
            if received.unread > 0 {
                let row = self.row(&mut count.found, &received.from);
                row.unread += u64::from(received.unread);
                row.mentions += u64::from(received.mentions);
            }
        }
        None
    }

    /// Takes away what entries have marked or removed.
    fn touched(
        &self,
        account: &Account,
        count: &mut UnreadCount,
        (id, shown): (Uuid, Shown<'_>),
        budget: &mut Budget,
    ) {
        budget.spend(2);
        let entry = self.message_ids.get(&id).and_then(|seq| account.inbox.get(seq));
        let Some(entry) = entry.filter(|entry| !entry.read()) else { return };
        if shown.touches(count.account).read(id, false, budget) == Some(false) {
            return;
        }
        let sender = self.data.messages.get(entry.seq()).map(|message| message.from.number);
        if let Some(row) = sender.and_then(|sender| count.found.get_mut(&sender)) {
            row.unread = row.unread.saturating_sub(1);
            row.mentions = row.mentions.saturating_sub(u64::from(entry.mention()));
        }
    }

    /// What was counted of an account that has written, whose label is that of its messages.
    fn row<'a>(
        &self,
        found: &'a mut BTreeMap<AccountNumber, Unread>,
        sender: &Label,
    ) -> &'a mut Unread {
        let gone = !self.numbers.contains_key(&sender.account);
        let name = sender.name.clone();
        let row = Unread { name, room: false, unread: 0, mentions: 0, gone };
        found.entry(sender.number).or_insert(row)
    }
}
