//! What watchers must learn after an entry was applied.

use super::delivery::SessionNumber;
use crate::types::Uuid;

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
}

impl Effects {
    /// Accounts that something happened to which their watchers must see.
    pub fn accounts(&self) -> impl Iterator<Item = Uuid> {
        let mail = self.delivered.iter().chain(&self.sent).map(|(account, _)| *account);
        let sessions = self.ended_sessions.iter().map(|(account, _)| *account);
        mail.chain(sessions).chain(self.ended_accounts.iter().copied())
    }
}
