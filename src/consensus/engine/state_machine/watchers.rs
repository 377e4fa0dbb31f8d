//! Who waits for what comes to an account.
//!
//! A follow that ends says so to nobody; it drops its receiver. What it leaves here is
//! removed when something comes to its account, and with all others like it whenever the
//! accounts here have doubled since the last time. So there are at most twice as many as
//! accounts that were followed at once, and removing costs a constant for each that came.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::chat::{Effects, News};
use crate::types::Uuid;

/// So few are not worth a look.
const SWEEP_MIN: usize = 64;

/// See the head of the module.
#[derive(Default)]
pub(super) struct Watchers {
    by_account: BTreeMap<Uuid, watch::Sender<News>>,
    left_by_sweep: usize,
}

impl Watchers {
    /// What comes to the account from now on.
    pub(super) fn subscribe(&mut self, account: Uuid) -> watch::Receiver<News> {
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
            self.tell(&account, News::note);
        }
    }

    /// An entry was applied.
    pub(super) fn note(&mut self, effects: &Effects) {
        self.wake(effects.accounts());
        for (account, message) in &effects.withdrawn {
            self.tell(account, |news| news.note_withdrawn(*message));
        }
    }

    fn tell(&mut self, account: &Uuid, what: impl FnOnce(&mut News)) {
        if let Some(watcher) = self.by_account.get(account) {
            if watcher.receiver_count() == 0 {
                self.by_account.remove(account);
            } else {
                watcher.send_modify(what);
            }
        }
    }

    /// Something may have come to everybody.
    pub(super) fn wake_all(&self) {
        for watcher in self.by_account.values() {
            watcher.send_modify(News::note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Withdrawn;

    fn account(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn delivered(accounts: impl IntoIterator<Item = u128>) -> Effects {
        let delivered = accounts.into_iter().map(|number| (account(number), 1)).collect();
        Effects { delivered, ..Effects::default() }
    }

    #[test]
    fn who_watches_is_told_what_is_withdrawn_from_then_on_and_of_many_the_last() {
        let withdrawn = |messages: std::ops::Range<u128>| Effects {
            withdrawn: messages
                .map(|id| (account(1), Withdrawn { id: Uuid::from_u128(id), reason: "gone" }))
                .collect(),
            ..Effects::default()
        };
        let mut watchers = Watchers::default();
        let early = watchers.subscribe(account(1));
        let ids = |watcher: &watch::Receiver<News>, seen| -> Vec<u128> {
            watcher.borrow().withdrawn_after(seen).map(|it| it.id.as_u128()).collect()
        };
        watchers.note(&withdrawn(0..2));
        let late = watchers.subscribe(account(1));
        let seen = late.borrow().withdrawn();
        watchers.note(&withdrawn(2..4));
        assert_eq!((ids(&early, 0), ids(&late, seen)), (vec![0, 1, 2, 3], vec![2, 3]));
        assert_eq!(ids(&early, 4), [0; 0]);
        watchers.note(&withdrawn(4..5_000));
        let (first, last) = (ids(&early, 0)[0], ids(&early, 4_999)[0]);
        assert_eq!((ids(&early, 0).len(), first, last), (256, 4_744, 4_999));
    }

    #[test]
    fn follows_that_have_ended_leave_no_more_than_those_that_go_on() {
        let mut watchers = Watchers::default();
        let kept: Vec<_> = (0..200).map(|number| watchers.subscribe(account(number))).collect();
        for number in 1_000..100_000 {
            drop(watchers.subscribe(account(number)));
            assert!(watchers.by_account.len() <= 2 * kept.len(), "{}", watchers.by_account.len());
        }
        watchers.note(&delivered(0..200));
        let woken = kept.iter().all(|watcher| watcher.borrow().count() == 1);
        assert!(woken, "each that goes on is woken");
    }

    #[test]
    fn an_account_is_woken_for_what_comes_to_it_and_for_what_may_have_come_to_all() {
        let mut watchers = Watchers::default();
        let (one, other) = (watchers.subscribe(account(1)), watchers.subscribe(account(2)));
        watchers.note(&delivered([1, 3]));
        assert_eq!((one.borrow().count(), other.borrow().count()), (1, 0));
        watchers.wake_all();
        assert_eq!((one.borrow().count(), other.borrow().count()), (2, 1));
    }
}
