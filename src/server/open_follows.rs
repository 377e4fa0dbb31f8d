//! How many follows each account has open at this server.
//!
//! Each costs memory and a look at the state for every message of its account, so one
//! account must not have as many as connections times follows of a connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};
use crate::sync::Mutex;
use crate::types::Uuid;

/// Counts open follows.
pub(super) struct OpenFollows {
    max: usize,
    /// No zeros.
    open: Mutex<BTreeMap<Uuid, usize>>,
}

/// One follow, counted until this is dropped.
pub(super) struct OpenFollow {
    counts: Arc<OpenFollows>,
    account: Uuid,
}

impl OpenFollows {
    /// Nothing is open yet; at most `max` may be for an account.
    pub(super) fn new(max: usize) -> Arc<OpenFollows> {
        Arc::new(OpenFollows { max, open: Mutex::new(BTreeMap::new()) })
    }

    /// Counts one more.
    ///
    /// # Errors
    /// [`ErrorCode::TooMany`].
    pub(super) fn begin(self: &Arc<Self>, account: Uuid) -> Result<OpenFollow> {
        let mut open = self.open.lock();
        let count = open.get(&account).copied().unwrap_or_default();
        if count >= self.max {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!(
                    "this account has {count} follows open at this server, and no more are \
                     taken; end one of them first"
                ),
            ));
        }
        open.insert(account, count + 1);
        Ok(OpenFollow { counts: Arc::clone(self), account })
    }
}

impl Drop for OpenFollow {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock();
        match open.get_mut(&self.account) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.account)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_counts_until_it_ends_and_for_its_account_alone() {
        let open = OpenFollows::new(2);
        let [alice, bob] = [1, 2].map(Uuid::from_u128);
        let first = open.begin(alice).expect("one");
        let second = open.begin(alice).expect("two");
        assert_eq!(open.begin(alice).map(drop).expect_err("three").code, ErrorCode::TooMany);
        let others = open.begin(bob).expect("another account");
        drop(first);
        let third = open.begin(alice).expect("one has ended");
        drop((second, third, others));
        assert!(open.open.lock().is_empty(), "nothing is kept of those that ended");
    }
}
