//! What people have decided about their own accounts.

use std::sync::Arc;

use super::{Restore, corrupted};
use crate::chat::blocked::Blocked;
use crate::chat::delivery::SessionNumber;
use crate::chat::items::{Account, AccountNumber};
use crate::error::Result;
use crate::limits::{BLOCKED_MAX, LEVEL_OF_CONVERSATIONS};

impl Restore {
    /// Takes it into the account.
    pub(super) fn own(
        &self,
        account: &mut Account,
        (receipts_off, ended): (bool, (SessionNumber, SessionNumber)),
        blocked: &[AccountNumber],
    ) -> Result<()> {
        let known = self.state.data.level >= LEVEL_OF_CONVERSATIONS;
        if ended.0.max(ended.1) > self.state.data.counters.last_session {
            let number = account.label.number;
            return corrupted(format!("account {number} has ended sessions that never were"));
        }
        account.ended = ended;
        if !known && (receipts_off || ended.0 > 0 || !blocked.is_empty()) {
            return corrupted("it says what its feature level does not know");
        }
        account.receipts_off = receipts_off;
        if !blocked.is_empty() {
            account.blocked = Arc::new(self.blocked(blocked, account.label.number)?);
        }
        Ok(())
    }

    /// Those whom an account has blocked, each once, some of whom come in lines behind it or are
    /// gone.
    fn blocked(&self, numbers: &[AccountNumber], own: AccountNumber) -> Result<Blocked> {
        let (mut blocked, counters) = (Blocked::default(), &self.state.data.counters);
        let is_possible = |it: &u64| (1..=counters.last_account).contains(it) && *it != own;
        let taken = numbers.len() <= BLOCKED_MAX;
        if !taken || !numbers.iter().all(|it| is_possible(it) && blocked.insert(*it)) {
            return corrupted(format!("account {own} blocks what it cannot"));
        }
        Ok(blocked)
    }
}
