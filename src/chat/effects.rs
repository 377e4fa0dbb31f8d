//! What watchers must learn after an entry was applied.

use std::collections::{BTreeSet, VecDeque};

use super::delivery::{Act, Delivery, SessionNumber};
use super::undelivered::Reason;
use crate::types::Uuid;

/// Messages that were withdrawn whose ids are kept for those who watch an account. A slow
/// follower is not told of more at once.
const WITHDRAWN_MAX: usize = 256;

/// What changed, for those who wait: followers of an inbox, connections with a
/// bound session. Not part of the state; each replica uses it for its own
/// connections, or drops it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Messages that came into inboxes: the account and the message's `seq`.
    pub delivered: Vec<(Uuid, u64)>,
    /// Messages that came into sent lists: the account and the message's `seq`.
    pub sent: Vec<(Uuid, u64)>,
    /// Sessions that ended, each with its account: logged out, expired, pushed
    /// out by newer ones, or gone with their account.
    pub ended_sessions: Vec<(Uuid, SessionNumber)>,
    /// Accounts that were deleted.
    pub ended_accounts: Vec<Uuid>,
    /// Messages that a server took alone and that go to nobody, each with an account to
    /// which it may have been shown.
    pub withdrawn: Vec<(Uuid, Withdrawn)>,
}

/// A message that was accepted without a majority, and is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The message.
    pub id: Uuid,
    /// Why, as the end of a sentence.
    pub reason: &'static str,
}

impl Effects {
    /// Accounts that something happened to which their watchers must see.
    pub fn accounts(&self) -> impl Iterator<Item = Uuid> {
        let mail = self.delivered.iter().chain(&self.sent).map(|(account, _)| *account);
        let sessions = self.ended_sessions.iter().map(|(account, _)| *account);
        mail.chain(sessions).chain(self.ended_accounts.iter().copied())
    }

    /// A message of this entry goes to nobody. Its author may have been shown it as well.
    pub(super) fn withdraw(&mut self, delivery: &Delivery, id: Uuid, reason: Reason) {
        let Act::Send { to, .. } = &delivery.act else { return };
        let withdrawn = Withdrawn { id, reason: reason.to_recipients() };
        let parties = to.iter().chain([&delivery.author]);
        let accounts: BTreeSet<Uuid> = parties.map(|party| party.account).collect();
        self.withdrawn.extend(accounts.into_iter().map(|account| (account, withdrawn)));
    }
}

/// What has come to an account while somebody watched it.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// How often something came.
    count: u64,
    /// How many messages were withdrawn.
    withdrawn: u64,
    /// The last of them.
    last_withdrawn: VecDeque<Withdrawn>,
}

impl News {
    /// Something has come.
    pub fn note(&mut self) {
        self.count += 1;
    }

    /// A message was withdrawn that may have been shown to the account.
    pub fn note_withdrawn(&mut self, message: Withdrawn) {
        self.withdrawn += 1;
        self.last_withdrawn.push_back(message);
        if self.last_withdrawn.len() > WITHDRAWN_MAX {
            self.last_withdrawn.pop_front();
        }
    }

    /// How often something has come.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many messages were withdrawn.
    pub fn withdrawn(&self) -> u64 {
        self.withdrawn
    }

    /// Those that were withdrawn after the first `seen`, oldest first, as far as they are kept.
    pub fn withdrawn_after(&self, seen: u64) -> impl Iterator<Item = &Withdrawn> {
        let kept = self.last_withdrawn.len();
        let news = usize::try_from(self.withdrawn.saturating_sub(seen)).unwrap_or(kept);
        self.last_withdrawn.iter().skip(kept - news.min(kept))
    }
}
