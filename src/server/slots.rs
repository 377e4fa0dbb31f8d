//! Connection slots: who may hold a connection, and how many.
//!
//! All connections share one bound. A connection counts as a stranger's until
//! it has shown to be a replica's or has a session; strangers may fill only
//! the unreserved part, so that a flood of them locks out neither peers nor
//! people. What a connection is shows only after it was accepted, so a client
//! that finds the strangers' part full gets a slot on probation: it logs in
//! first and soon, or goes. People may fill all but a few slots, which stay
//! for replicas: without those the cluster would lose its majority.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, ErrorCode, Result};
use crate::limits::Limits;

/// Of the reserved slots, those that only replicas may use: a few connections
/// from each, also while old ones are timing out. Half the reserve if less.
const PEER_SLOTS_MAX: usize = 64;

/// All connections of one server.
pub(super) struct Slots {
    max: usize,
    strangers_max: usize,
    clients_max: usize,
    per_address_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    strangers: usize,
    clients: usize,
    addresses: BTreeMap<String, usize>,
}

/// A held slot; dropping it frees it.
pub(super) struct Slot {
    slots: Arc<Slots>,
    address: String,
    class: Class,
    probation: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Has not said who it is.
    Unknown,
    /// A client without a session.
    Stranger,
    /// A client with one.
    Session,
    /// A replica, or so it says; its handshake has a time limit.
    Peer,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let max = limits.connections_max;
        let reserved = limits.connections_reserved.min(max);
        Arc::new(Slots {
            max,
            strangers_max: max - reserved,
            clients_max: max - (reserved / 2).min(PEER_SLOTS_MAX),
            per_address_max: limits.connections_per_address_max,
            counts: Mutex::default(),
        })
    }

    /// A slot for a new connection.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyConnections`], in total or from this address.
    pub(super) fn admit(self: &Arc<Self>, address: &str) -> Result<Slot> {
        let mut counts = self.counts();
        if counts.total >= self.max {
            return Err(full(self.max));
        }
        let shared_by_all = address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let from_there = counts.addresses.get(address).copied().unwrap_or(0);
        if !shared_by_all && from_there >= self.per_address_max {
            return Err(Error::new(
                ErrorCode::TooManyConnections,
                format!(
                    "this server holds at most {} connections from one address; close some",
                    self.per_address_max
                ),
            ));
        }
        counts.total += 1;
        counts.strangers += 1;
        counts.addresses.insert(address.to_string(), from_there + 1);
        Ok(Slot {
            slots: Arc::clone(self),
            address: address.to_string(),
            class: Class::Unknown,
            probation: false,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nothing panics while it holds the counts")
    }
}

fn full(max: usize) -> Error {
    Error::new(
        ErrorCode::TooManyConnections,
        format!("this server has no free connection slot of {max}; try another server, or later"),
    )
}

impl Slot {
    /// The connection said that it is a client's.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyConnections`] when what is left is for replicas.
    pub(super) fn client(&mut self) -> Result<()> {
        let mut counts = self.slots.counts();
        if counts.clients >= self.slots.clients_max {
            return Err(full(self.slots.clients_max));
        }
        counts.clients += 1;
        self.class = Class::Stranger;
        self.probation = counts.strangers > self.slots.strangers_max;
        Ok(())
    }

    /// The connection said that it is a replica's.
    pub(super) fn peer(&mut self) {
        self.slots.counts().strangers -= 1;
        self.class = Class::Peer;
    }

    /// A client got a session, or ended it.
    pub(super) fn set_session(&mut self, bound: bool) {
        match (self.class, bound) {
            (Class::Stranger, true) => {
                self.slots.counts().strangers -= 1;
                (self.class, self.probation) = (Class::Session, false);
            }
            (Class::Session, false) => {
                self.slots.counts().strangers += 1;
                self.class = Class::Stranger;
            }
            _ => {}
        }
    }

    /// Whether this client must log in before anything else.
    pub(super) fn on_probation(&self) -> bool {
        self.probation
    }

    /// The remote address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        counts.total -= 1;
        counts.strangers -= usize::from(matches!(self.class, Class::Unknown | Class::Stranger));
        counts.clients -= usize::from(matches!(self.class, Class::Stranger | Class::Session));
        if let Some(count) = counts.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(max: usize, reserved: usize, per_address: usize) -> Arc<Slots> {
        Slots::new(&Limits {
            connections_max: max,
            connections_reserved: reserved,
            connections_per_address_max: per_address,
            ..Limits::default()
        })
    }

    fn refusal(result: Result<Slot>) -> Error {
        let Err(error) = result else { panic!("a slot where none should be") };
        assert_eq!(error.code, ErrorCode::TooManyConnections);
        error
    }

    #[test]
    fn an_address_has_its_share_and_loopback_has_all() {
        let slots = slots(4, 0, 2);
        let held: Vec<_> = (0..2).map(|_| slots.admit("192.0.2.1").expect("free")).collect();
        assert!(refusal(slots.admit("192.0.2.1")).message.contains("at most 2"));
        let _local: Vec<_> = (0..2).map(|_| slots.admit("127.0.0.1").expect("free")).collect();
        assert!(refusal(slots.admit("127.0.0.1")).message.contains("slot of 4"));
        drop(held);
        let _third = slots.admit("::1").expect("free again");
        let _fourth = slots.admit("192.0.2.1").expect("free again");
    }

    #[test]
    fn strangers_leave_room_for_sessions_and_sessions_for_peers() {
        let slots = slots(6, 4, 6);
        let mut people = Vec::new();
        for number in 0..4 {
            let mut slot = slots.admit("a").expect("free");
            slot.client().expect("not for replicas yet");
            assert!(!slot.on_probation(), "client {number} finds no strangers");
            slot.set_session(true);
            people.push(slot);
        }
        let mut late = slots.admit("a").expect("free for a replica");
        assert!(late.client().is_err(), "two are left, for replicas");
        drop(late);
        let mut peers: Vec<_> = (0..2).map(|_| slots.admit("a").expect("free")).collect();
        peers.iter_mut().for_each(Slot::peer);
        refusal(slots.admit("a"));
        drop((people, peers));
        let counts = slots.counts();
        assert_eq!((counts.total, counts.strangers, counts.clients), (0, 0, 0));
        assert!(counts.addresses.is_empty());
    }

    #[test]
    fn a_client_among_too_many_strangers_is_on_probation_until_it_logs_in() {
        let slots = slots(4, 2, 4);
        let mut strangers: Vec<_> = (0..2).map(|_| slots.admit("a").expect("free")).collect();
        for slot in &mut strangers {
            slot.client().expect("free");
            assert!(!slot.on_probation());
        }
        let mut person = slots.admit("a").expect("reserved");
        person.client().expect("reserved");
        assert!(person.on_probation());
        person.set_session(true);
        assert!(!person.on_probation());
        person.set_session(false);
        assert_eq!(slots.counts().strangers, 3, "logged out, it is a stranger again");
    }
}
