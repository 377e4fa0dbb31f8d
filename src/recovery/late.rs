//! What only a late machine knows, put so that it comes into another cluster once.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::chat::{Act, Party, Placed, Reached, State, StoredAccount, Taken};
use crate::types::{AccountName, Timestamp, Uuid};

/// Something that both clusters have decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// Whose account it is about, as it is called there.
    pub name: AccountName,
    /// What is so there and not here, in words.
    pub what: String,
}

impl Clash {
    pub(super) fn new(name: &AccountName, what: &str) -> Clash {
        Clash { name: name.clone(), what: what.to_string() }
    }
}

/// What a late machine has.
pub(super) struct Late<'a> {
    /// As far as it is known to be confirmed, and behind that what nobody may have confirmed,
    /// as a lonely server would have taken it.
    pub(super) state: &'a State,
    /// How far it is known to be confirmed.
    pub(super) confirmed: Reached,
    /// Up to where lists of lonely servers are settled there.
    pub(super) lists: &'a [(Uuid, u64)],
}

/// What the running cluster has of the old one.
pub(super) struct Began {
    /// The last message that was known to be confirmed when it began.
    pub(super) first: u64,
    /// The same by now, as others may have brought more.
    pub(super) confirmed: u64,
    /// The last message that it may have, confirmed or not.
    pub(super) last: u64,
    /// The last account that was known to be confirmed when it began.
    pub(super) first_account: u64,
    /// The same by now.
    pub(super) account: u64,
    /// Its log index behind which it knows what it has forgotten.
    pub(super) since: u64,
}

/// What both have decided, each for itself.
pub(super) fn differences(late: &Late<'_>, here: &State, began: &Began) -> Vec<Clash> {
    let there: BTreeMap<Uuid, StoredAccount> =
        late.state.stored_accounts().map(|it| (it.account, it)).collect();
    let common = began.first_account.min(late.confirmed.account);
    let mut clashes = Vec::new();
    for account in here.stored_accounts() {
        match there.get(&account.account) {
            None if account.number <= common => {
                clashes.push(Clash::new(&account.name, "was deleted there, and is here"));
            }
            None => {}
            Some(there) => {
                if there.password_hash != account.password_hash {
                    let what = "has another password there; the one of here stays";
                    clashes.push(Clash::new(&there.name, what));
                }
                // One that was brought is shut out like there.
                if there.disabled && !account.disabled && account.number <= common {
                    clashes.push(Clash::new(&there.name, "is disabled there, and not here"));
                }
            }
        }
    }
    clashes
}

/// Whose messages do not come, and why: of each author how many.
pub(super) fn silenced<'a>(messages: impl Iterator<Item = &'a Taken>, here: &State) -> Vec<Clash> {
    let known: BTreeMap<Uuid, bool> =
        here.stored_accounts().map(|it| (it.account, it.disabled)).collect();
    let mut counts: BTreeMap<Uuid, (&AccountName, &str, u64)> = BTreeMap::new();
    for Taken { author, .. } in messages {
        let why = match known.get(&author.account) {
            Some(false) => continue,
            Some(true) => "is disabled here",
            None => "has no account here",
        };
        counts.entry(author.account).or_insert((&author.name, why, 0)).2 += 1;
    }
    let of = |(name, why, count): (&AccountName, &str, u64)| {
        Clash::new(name, &format!("{why}: {count} of its messages do not come"))
    };
    counts.into_values().map(of).collect()
}

/// The messages that the running cluster may lack: those that are confirmed, and the others.
pub(super) fn messages(late: &Late<'_>, began: &Began) -> (Vec<Placed>, Vec<Placed>) {
    let confirmed = late.confirmed.seq;
    let placed = late.state.placed_behind(began.confirmed.min(confirmed), began.since);
    let placed = placed.filter(|it| it.seq > began.confirmed.min(confirmed)).map(|mut it| {
        // Other directories may have had these as well.
        it.taken.again |= it.seq > confirmed || it.seq <= began.last || it.was_taken_alone;
        it
    });
    let placed = placed.filter(|it| it.seq > confirmed || it.seq > began.confirmed);
    placed.partition(|it| it.seq <= confirmed)
}

/// One entry for each place of the old order behind `behind`: where no message is left, one
/// that does nothing, as entries of a list are taken one after the other.
pub(super) fn fill(
    messages: Vec<Placed>,
    behind: u64,
    through: u64,
    nothing: impl Fn() -> Taken,
) -> impl Iterator<Item = Taken> {
    let mut messages = messages.into_iter().peekable();
    let places = behind + 1..=through;
    places.map(move |seq| messages.next_if(|it| it.seq == seq).map_or_else(&nothing, |it| it.taken))
}

/// An entry that does nothing.
pub(super) fn nothing_of(somebody: &StoredAccount, id: Uuid, since: u64) -> Taken {
    let StoredAccount { account, name, .. } = somebody;
    Taken {
        id,
        again: false,
        since,
        seen_to: 0,
        accepted_at: Timestamp(0),
        author: Party { account: *account, name: name.clone() },
        session: None,
        act: Act::Mark { ids: Vec::new() },
    }
}
