//! A machine of the old cluster turns up when the new one has gone on without it.
//!
//! ```text
//!  its directory ──► its state, as for a new cluster ──┬─► accounts that only it knows
//!                                                      ├─► messages behind what the new
//!  the running cluster                                 │   cluster began with, in their order
//!    ├─ up to where it has the old order ──────────────┘
//!    └─ its state, as a backup has it ──► what was read and deleted there and not here
//! ```
//!
//! The machine takes no part in the new cluster. What only it knows is proposed by a member for
//! whoever holds the key, as for a server that was removed. `chat/old_order.rs` says why each
//! message comes once, in how many attempts ever, and whoever brings it.
//!
//! What nobody is known to have confirmed, at the end of its log and in its outbox, is taken as
//! a lonely server takes the end of its own log, since some of it may have been promised so.
//!
//! # What does not come
//! An account whose name belongs to somebody else by now, a password that was changed, an
//! account that was disabled or deleted: what gives rights must be decided by one cluster, and
//! this one has. Each is a [`Clash`], and so are the messages of whoever is not here, or is
//! shut out. One that was shut out there and is brought is shut out here. A message to somebody
//! who is not here becomes a notice to its author, as of any message that a lonely server took.
//!
//! # How it fails
//! In the middle: what was handed over stays, and the same command goes on behind it. The
//! directory stays as it was in any case.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::late::{Began, Clash, Late, differences, fill, messages, nothing_of, silenced};
use super::report::Found;
use super::{Aim, Left};
use crate::administration::change;
use crate::backup::{Administrator, Attempts, Failed, Server, fetch_state, parse};
use crate::chat::{Act, Action, OldOrder, Operation, State, StoredAccount, Taken};
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::host::Host;
use crate::protocol::administration::RequestedChange;
use crate::protocol::peer::Call;
use crate::replica::{HandOver, TakenOver};
use crate::types::{AccountName, Digest, Place, Timestamp, Uuid};

/// About how many bytes of entries are handed over at once.
const PART_BYTES: usize = 64 * 1024;

/// Entries that are handed over at once, however short.
const PART_ENTRIES: usize = 500;

/// What was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandedOver {
    /// What was found in the directories.
    #[serde(flatten)]
    pub found: Found,
    /// What came of it.
    #[serde(flatten)]
    pub brought: Brought,
}

/// What came over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Brought {
    /// Accounts that are here now, with their passwords.
    pub accounts_handed_over: Vec<AccountName>,
    /// Messages that are here now.
    pub messages_handed_over: u64,
    /// Messages that could not be delivered; of most the author has a notice.
    pub not_delivered: u64,
    /// Messages that were read there, and are read here now.
    pub read: u64,
    /// Messages that were deleted there, and are gone here now.
    pub deleted: u64,
    /// What does not come over.
    pub clashes: Vec<Clash>,
}

/// Hands over to a running cluster what only these directories know. `window` is the
/// de-duplication window in log entries, `by` how this machine calls whoever asks; `progress` is
/// called with how many entries of a list have been taken.
///
/// # Errors
/// [`ErrorCode::WrongCluster`]: the cluster does not know what it has of the one whose these are;
/// the refusal of an account, before any message is handed over; those of [`Left::recover`] and
/// of a cluster that cannot be asked.
pub async fn hand_over(
    administrator: &Administrator,
    left: Left,
    window: u64,
    by: String,
    progress: &dyn Fn(u64),
) -> Result<HandedOver> {
    let (order, old) = (left.order(), left.cluster());
    let host = &administrator.host;
    let now = host.clock.now();
    let attempts = Attempts::new();
    let running = Running { administrator, window, by, server: None, attempts };
    let part_entries = PART_ENTRIES;
    let mut to = Receiver { cluster: running, host, now, part_entries, progress };
    let Some(began) = to.began(&order).await? else {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "these directories are of the cluster {old}, and the running cluster does not say \
                 that it was made out of that: nothing was handed over. Recovered by themselves \
                 they become a cluster of their own, in which people see what only they have"
            ),
        ));
    };
    let mut settled = BTreeMap::new();
    for list in left.lists() {
        settled.insert(list, to.settled(list).await?);
    }
    let late = left.recover(host, Aim { window, now, elsewhere: Some(settled) }).await?;
    let found = late.found.clone();
    let late = Late { state: &late.state, confirmed: late.confirmed, lists: &late.lists };
    Ok(HandedOver { found, brought: to.bring(&order, &late, &began).await? })
}

/// The cluster that takes what is handed over.
pub(super) trait Takes {
    /// Has entries of a list proposed. To do it once more changes nothing: entries are counted,
    /// and an account keeps its identity.
    async fn take(&mut self, list: Uuid, entries: Vec<Operation>) -> Result<TakenOver>;

    /// Shuts an account out.
    async fn disable(&mut self, name: &AccountName) -> Result<()>;

    /// Its state, as a backup would have it.
    async fn state(&mut self) -> Result<State>;
}

/// Hands over.
pub(super) struct Receiver<'a, T> {
    pub(super) cluster: T,
    pub(super) host: &'a Host,
    pub(super) now: Timestamp,
    /// Entries that are handed over at once, however short.
    pub(super) part_entries: usize,
    pub(super) progress: &'a dyn Fn(u64),
}

impl<T: Takes> Receiver<'_, T> {
    /// Up to where a list is settled.
    async fn settled(&mut self, list: Uuid) -> Result<u64> {
        Ok(self.cluster.take(list, Vec::new()).await?.settled)
    }

    /// What the cluster has of the old one; `None` if it was not made out of that.
    pub(super) async fn began(&mut self, order: &OldOrder) -> Result<Option<Began>> {
        let place = |settled: u64| settled.checked_sub(OldOrder::entry(0));
        let TakenOver { settled, since, .. } =
            self.cluster.take(order.confirmed, Vec::new()).await?;
        let Some(confirmed) = place(settled) else { return Ok(None) };
        let mut places = [0; 4];
        let lists = [order.first, order.all, order.first_accounts, order.accounts];
        for (at, list) in places.iter_mut().zip(lists) {
            *at = place(self.settled(list).await?).unwrap_or_default();
        }
        let [first, last, first_account, account] = places;
        Ok(Some(Began { first, confirmed, last, first_account, account, since }))
    }

    pub(super) async fn bring(
        &mut self,
        order: &OldOrder,
        late: &Late<'_>,
        began: &Began,
    ) -> Result<Brought> {
        let here = self.cluster.state().await?;
        let clashes = differences(late, &here, began);
        let mut brought = Brought { clashes, ..Brought::default() };
        // Without an account there is nothing else either.
        let Some(somebody) = late.state.stored_accounts().next() else { return Ok(brought) };
        let host = self.host;
        let nothing = || nothing_of(&somebody, host.uuid(), began.since);
        let shut_out = self.accounts(order, late.state, &here, began, &mut brought).await?;
        let (confirmed, rest) = messages(late, began);
        let rest: Vec<Taken> = rest.into_iter().map(|it| it.taken).collect();
        let list = order.unconfirmed(rest.iter());
        // After an attempt that ended within it, the log counts from there.
        let is_done = self.settled(list).await? >= rest.len() as u64;
        let rest = if is_done { Vec::new() } else { rest };
        let taken = || confirmed.iter().map(|it| &it.taken).chain(&rest);
        let new: Vec<(Uuid, Uuid)> = taken().map(|it| (it.author.account, it.id)).collect();
        let new: BTreeSet<(Uuid, Uuid)> =
            new.into_iter().filter(|(author, id)| !here.has_had(author, id)).collect();
        // Accounts that were just brought count.
        let here = self.cluster.state().await?;
        let are_new = taken().filter(|it| new.contains(&(it.author.account, it.id)));
        brought.clashes.extend(silenced(are_new, &here));
        drop(here);
        let in_order = fill(confirmed, began.confirmed, late.confirmed.seq, nothing);
        self.list(order.confirmed, OldOrder::entry(began.confirmed) + 1, in_order).await?;
        // At once: some of it was read and deleted there.
        self.tidy_up(late, began, &mut brought).await?;
        // What comes next may be here then, however it was confirmed there.
        let noted = fill(Vec::new(), began.last, late.state.reached().seq, nothing);
        self.list(order.all, OldOrder::entry(began.last) + 1, noted).await?;
        self.list(list, 1, rest.into_iter()).await?;
        let here = self.tidy_up(late, began, &mut brought).await?;
        let delivered = new.iter().filter(|(author, id)| here.has_had(author, id)).count();
        brought.messages_handed_over = delivered as u64;
        brought.not_delivered = (new.len() - delivered) as u64;
        for name in shut_out {
            self.cluster.disable(&name).await?;
        }
        // Whoever is deleted here from now on stays so.
        let noted = fill(Vec::new(), began.account, late.confirmed.account, nothing);
        self.list(order.accounts, OldOrder::entry(began.account) + 1, noted).await?;
        // What lonely servers had handed over there has come with the rest.
        for (list, through) in late.lists {
            let first = here.settled(list) + 1;
            let noted = (first..=*through).map(|_| nothing());
            self.list(*list, first, noted).await?;
        }
        Ok(brought)
    }

    /// Has done here what was read and deleted there. Returns the state before.
    async fn tidy_up(
        &mut self,
        late: &Late<'_>,
        began: &Began,
        brought: &mut Brought,
    ) -> Result<State> {
        let (here, host) = (self.cluster.state().await?, self.host);
        let common = began.first.min(late.confirmed.seq);
        let changes =
            late.state.read_and_deleted(&here, common, began.since, self.now, || host.uuid());
        for change in &changes {
            match &change.act {
                Act::Mark { ids } => brought.read += ids.len() as u64,
                Act::Delete { ids } => brought.deleted += ids.len() as u64,
                Act::Send { .. } | Act::Close {} => {}
            }
        }
        self.list(host.uuid(), 1, changes.into_iter()).await?;
        Ok(here)
    }

    /// Registers whoever only the late machine knows. Returns those who are to be shut out when
    /// their messages are here.
    async fn accounts(
        &mut self,
        order: &OldOrder,
        late: &State,
        here: &State,
        began: &Began,
        brought: &mut Brought,
    ) -> Result<Vec<AccountName>> {
        let known: BTreeMap<Uuid, StoredAccount> =
            here.stored_accounts().map(|it| (it.account, it)).collect();
        let mut shut_out = Vec::new();
        for newcomer in late.stored_accounts().filter(|it| it.number > began.account) {
            let (name, disabled) = (newcomer.name.clone(), newcomer.disabled);
            if let Some(here) = known.get(&newcomer.account) {
                if disabled && !here.disabled {
                    shut_out.push(name);
                }
                continue;
            }
            // Of those that the running cluster began with, one that is not here was deleted.
            if self.settled(order.account(&newcomer.account)).await? > 0 {
                continue;
            }
            let operation = self.registers(newcomer);
            let mut refused = self.cluster.take(Uuid::nil(), vec![operation]).await?.refused;
            match refused.pop() {
                None => {
                    shut_out.extend(disabled.then(|| name.clone()));
                    brought.accounts_handed_over.push(name);
                }
                Some((_, ErrorBody { code: ErrorCode::NameTaken, .. })) => {
                    let what = "registered there, and the name belongs to somebody else here; what \
                                was written to it is a notice to the author";
                    brought.clashes.push(Clash::new(&name, what));
                }
                Some((_, why)) => return Err(not_let_in(&name, why)),
            }
        }
        Ok(shut_out)
    }

    fn registers(&self, newcomer: StoredAccount) -> Operation {
        let StoredAccount { account, name, password_hash, .. } = newcomer;
        let mut token = [0; 32];
        self.host.random.fill(&mut token);
        // A session that nobody has, and that has ended.
        let (token_hash, expires) = (Digest::of(&token), Timestamp(0));
        let (invitation, from) = (None, None);
        let action = Action::Register {
            account,
            name,
            password_hash,
            token_hash,
            expires,
            invitation,
            from,
        };
        // Not the account: a refusal is remembered, and it may be let in later.
        Operation { id: self.host.uuid(), action }
    }

    /// Hands over entries of a list, the first with that number.
    async fn list(
        &mut self,
        list: Uuid,
        first: u64,
        entries: impl Iterator<Item = Taken>,
    ) -> Result<()> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        let mut entries = (first..).zip(entries).peekable();
        while let Some((number, entry)) = entries.next() {
            bytes += entry.act.bytes();
            part.push(entry.delivery(Place { list, number }));
            if bytes >= PART_BYTES || part.len() >= self.part_entries || entries.peek().is_none() {
                let taken = self.cluster.take(list, std::mem::take(&mut part)).await?;
                if taken.settled < number {
                    return Err(Error::internal(format!(
                        "{} entries of the list {list} are settled where {number} were handed over",
                        taken.settled
                    )));
                }
                bytes = 0;
                (self.progress)(number + 1 - first);
            }
        }
        Ok(())
    }
}

fn not_let_in(name: &AccountName, why: ErrorBody) -> Error {
    Error {
        message: format!(
            "{name} registered there and is not known here: {}; no message was handed over",
            why.message
        ),
        ..why.into()
    }
}

/// A cluster whose servers are asked.
struct Running<'a> {
    administrator: &'a Administrator,
    window: u64,
    by: String,
    server: Option<Server>,
    attempts: Attempts,
}

impl Running<'_> {
    async fn ask(&mut self, asked: &HandOver) -> Result<TakenOver, Failed> {
        let server = match &mut self.server {
            Some(server) => server,
            none => none.insert(self.administrator.connect(&mut self.attempts).await?),
        };
        parse(&server.call(Call::HandOver, asked).await?)
    }
}

impl Takes for Running<'_> {
    async fn take(&mut self, list: Uuid, entries: Vec<Operation>) -> Result<TakenOver> {
        let asked = HandOver { list, entries };
        loop {
            match self.ask(&asked).await {
                Ok(taken) => {
                    self.attempts.went_on();
                    return Ok(taken);
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Passing(error)) => {
                    self.server = None;
                    self.administrator.pause(&self.attempts, error).await?;
                }
            }
        }
    }

    async fn disable(&mut self, name: &AccountName) -> Result<()> {
        let disable = RequestedChange::DisableAccount { name: name.clone() };
        change(self.administrator, &self.by, disable).await.map(drop)
    }

    async fn state(&mut self) -> Result<State> {
        fetch_state(self.administrator, self.window).await
    }
}
