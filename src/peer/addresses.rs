//! Where a peer is looked for.
//!
//! Addresses are hints. Who answers is decided by the handshake, so it does no harm to
//! look in a wrong place, and a peer may be found in any of several: where the cluster's
//! membership says, where this replica's configuration says, and where the peer itself
//! said that it is. They are tried in turn, and the one that led to it is tried first.

use crate::sync::Mutex;
use crate::types::Address;

/// See the head of the module: one or more, none twice.
pub(super) struct Addresses(Mutex<Inner>);

struct Inner {
    /// As this replica was told, best first.
    told: Vec<Address>,
    /// What the peer itself said last.
    heard: Option<Address>,
    /// Which one is tried.
    place: usize,
}

impl Inner {
    fn all(&self) -> Vec<&Address> {
        let heard = self.heard.iter().filter(|heard| !self.told.contains(heard));
        self.told.iter().chain(heard).collect()
    }

    fn current(&self) -> Option<Address> {
        let all = self.all();
        all.get(self.place % all.len().max(1)).map(|address| (*address).clone())
    }
}

impl Addresses {
    pub(super) fn new(told: Vec<Address>) -> Addresses {
        Addresses(Mutex::new(Inner { told, heard: None, place: 0 }))
    }

    /// The one to try; `None` while none is known.
    pub(super) fn current(&self) -> Option<Address> {
        self.0.lock().current()
    }

    /// The one that was tried did not lead to the peer.
    pub(super) fn try_next(&self) {
        let mut inner = self.0.lock();
        inner.place = (inner.place + 1) % inner.all().len().max(1);
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().all().len()
    }

    /// Takes others, and begins with the best of them. Returns whether they are others.
    pub(super) fn become_those(&self, told: Vec<Address>) -> bool {
        let mut inner = self.0.lock();
        let changed = inner.told != told;
        if changed {
            inner.told = told;
            inner.place = 0;
        }
        changed
    }

    /// Takes what the peer itself said, and begins with it if it is news. Returns whether
    /// it is.
    pub(super) fn heard_of(&self, address: &Address) -> bool {
        let mut inner = self.0.lock();
        if inner.heard.as_ref() == Some(address) {
            return false;
        }
        let known = inner.all().contains(&address);
        inner.heard = Some(address.clone());
        inner.place = inner.all().iter().position(|it| *it == address).unwrap_or_default();
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    fn tried(addresses: &Addresses, times: usize) -> Vec<String> {
        let one = |_| {
            let current = addresses.current().map(|it| it.to_string()).unwrap_or_default();
            addresses.try_next();
            current
        };
        (0..times).map(one).collect()
    }

    #[test]
    fn all_are_tried_in_turn_and_news_first() {
        let addresses = Addresses::new(vec![address("a:1"), address("b:1")]);
        assert_eq!(tried(&addresses, 3), ["a:1", "b:1", "a:1"]);
        assert!(addresses.heard_of(&address("c:1")));
        assert!(!addresses.heard_of(&address("c:1")), "that is no news");
        assert_eq!(tried(&addresses, 4), ["c:1", "a:1", "b:1", "c:1"]);
        assert!(addresses.become_those(vec![address("c:1"), address("d:1")]));
        assert!(!addresses.become_those(vec![address("c:1"), address("d:1")]));
        assert_eq!(
            (tried(&addresses, 3), addresses.count()),
            (vec!["c:1".into(), "d:1".into(), "c:1".into()], 2)
        );
    }

    #[test]
    fn one_that_is_known_is_no_news_but_is_tried_first() {
        let addresses = Addresses::new(vec![address("a:1"), address("b:1")]);
        assert!(!addresses.heard_of(&address("b:1")));
        assert_eq!(tried(&addresses, 1), ["b:1"]);
        assert_eq!(tried(&Addresses::new(Vec::new()), 2), ["", ""]);
    }
}
