//! Who waits for what comes to an account.
//!
//! A follow that ends says so to nobody; it drops its receiver. What it leaves here is
//! removed when something comes to its account, and with all others like it whenever the
//! accounts here have doubled since the last time. So there are at most twice as many as
//! accounts that were followed at once, and removing costs a constant for each that came.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::types::Uuid;

/// So few are not worth a look.
const SWEEP_MIN: usize = 64;

/// See the head of the module.
#[derive(Default)]
pub(super) struct Watchers {
    by_account: BTreeMap<Uuid, watch::Sender<u64>>,
    left_by_sweep: usize,
}

impl Watchers {
    /// A number that changes whenever something comes to the account.
    pub(super) fn subscribe(&mut self, account: Uuid) -> watch::Receiver<u64> {
        if self.by_account.len() >= SWEEP_MIN.max(self.left_by_sweep.saturating_mul(2)) {
            self.by_account.retain(|_, watcher| watcher.receiver_count() > 0);
            self.left_by_sweep = self.by_account.len();
        }
        self.by_account.entry(account).or_default().subscribe()
    }

    /// Something has come to these accounts.
    pub(super) fn wake(&mut self, accounts: impl Iterator<Item = Uuid>) {
        if self.by_account.is_empty() {
            return;
        }
        for account in accounts {
            if let Some(watcher) = self.by_account.get(&account) {
                if watcher.receiver_count() == 0 {
                    self.by_account.remove(&account);
                } else {
                    watcher.send_modify(|count| *count += 1);
                }
            }
        }
    }

    /// Something may have come to everybody.
    pub(super) fn wake_all(&self) {
        for watcher in self.by_account.values() {
            watcher.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn follows_that_have_ended_leave_no_more_than_those_that_go_on() {
        let mut watchers = Watchers::default();
        let kept: Vec<_> = (0..200).map(|number| watchers.subscribe(account(number))).collect();
        for number in 1_000..100_000 {
            drop(watchers.subscribe(account(number)));
            assert!(watchers.by_account.len() <= 2 * kept.len(), "{}", watchers.by_account.len());
        }
        watchers.wake((0..200).map(account));
        assert!(kept.iter().all(|watcher| *watcher.borrow() == 1), "each that goes on is woken");
    }

    #[test]
    fn an_account_is_woken_for_what_comes_to_it_and_for_what_may_have_come_to_all() {
        let mut watchers = Watchers::default();
        let (one, other) = (watchers.subscribe(account(1)), watchers.subscribe(account(2)));
        watchers.wake([account(1), account(3)].into_iter());
        assert_eq!((*one.borrow(), *other.borrow()), (1, 0));
        watchers.wake_all();
        assert_eq!((*one.borrow(), *other.borrow()), (2, 1));
    }
}
