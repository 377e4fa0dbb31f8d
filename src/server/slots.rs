//! Connection slots: who may hold a connection, and how many.
//!
//! All connections share one bound. A connection is unauthenticated until it has
//! proved to be a replica's or has a session. Unauthenticated ones may fill only
//! the unreserved part, so that a flood of them locks out neither peers nor
//! users. What a connection is shows only after it was accepted, so a client
//! that finds that part full gets a slot on probation: it logs in first and soon,
//! or goes. Clients may fill all but a few slots, which stay for replicas: without
//! those the cluster would lose its majority.
//!
//! A connection that has not shown what it is costs nothing to make. An attacker who
//! opens them faster than they time out could hold every slot. So when all are taken,
//! the one that has been silent for longest gives way to the newest: clients and
//! replicas speak within milliseconds and are never the oldest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};

use tokio::sync::Notify;

use crate::error::{Error, ErrorCode, Result};
use crate::limits::Limits;
use crate::sync::Mutex;

/// How many of the reserved slots only replicas may use: a few connections from each,
/// also while old ones are timing out. It is half the reserve if that is less.
const PEER_SLOTS_MAX: usize = 64;

/// All connections of one server.
pub(super) struct Slots {
    max: usize,
    unauthenticated_max: usize,
    clients_max: usize,
    per_address_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    next: u64,
    held: BTreeMap<u64, Held>,
    unauthenticated: usize,
    clients: usize,
    addresses: BTreeMap<String, usize>,
    /// Those that have not shown what they are, the oldest first.
    silent: BTreeSet<u64>,
    /// Clients on probation that have not begun to log in, the oldest first.
    probation: BTreeSet<u64>,
}

/// A connection that has a slot.
struct Held {
    class: Class,
    address: String,
    gives_way: Arc<Notify>,
}

/// A held slot; dropping it frees it.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    address: String,
    probation: bool,
    gives_way: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Has not said who it is, or says that it is a replica and has not proved it.
    Unknown,
    /// A client without a session.
    Unauthenticated,
    /// A client with one.
    Session,
    /// A replica that holds the cluster's key.
    Peer,
}

impl Class {
    fn is_unauthenticated(self) -> bool {
        matches!(self, Class::Unknown | Class::Unauthenticated)
    }

    fn is_client(self) -> bool {
        matches!(self, Class::Unauthenticated | Class::Session)
    }
}

impl Counts {
    fn classify(&mut self, number: u64, class: Class) {
        // One that gave way is counted no more.
        let Some(held) = self.held.get_mut(&number) else { return };
        let before = std::mem::replace(&mut held.class, class);
        self.unauthenticated -= usize::from(before.is_unauthenticated());
        self.clients -= usize::from(before.is_client());
        self.unauthenticated += usize::from(class.is_unauthenticated());
        self.clients += usize::from(class.is_client());
        self.silent.remove(&number);
        self.probation.remove(&number);
    }

    fn free(&mut self, number: u64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        self.unauthenticated -= usize::from(held.class.is_unauthenticated());
        self.clients -= usize::from(held.class.is_client());
        self.silent.remove(&number);
        self.probation.remove(&number);
        if let Some(count) = self.addresses.get_mut(&held.address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&held.address);
            }
        }
        Some(held)
    }

    /// Takes the slot of a connection, whose task is told.
    fn take_from(&mut self, number: Option<u64>) -> bool {
        let held = number.and_then(|number| self.free(number));
        held.inspect(|held| held.gives_way.notify_one()).is_some()
    }
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let max = limits.connections_max;
        let reserved = limits.connections_reserved.min(max);
        Arc::new(Slots {
            max,
            unauthenticated_max: max - reserved,
            clients_max: max - (reserved / 2).min(PEER_SLOTS_MAX),
            per_address_max: limits.connections_per_address_max,
            counts: Mutex::default(),
        })
    }

    /// Gives a slot to a new connection, if need be that of the one that has been
    /// silent for longest.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyConnections`], in total or from this address.
    pub(super) fn admit(self: &Arc<Self>, address: &str) -> Result<Slot> {
        let mut counts = self.counts();
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
        if counts.held.len() >= self.max {
            let firsts = [counts.silent.first(), counts.probation.first()];
            let oldest = firsts.into_iter().flatten().min().copied();
            if !counts.take_from(oldest) {
                return Err(full(self.max));
            }
        }
        let (number, gives_way) = (counts.next, Arc::new(Notify::new()));
        counts.next += 1;
        counts.unauthenticated += 1;
        *counts.addresses.entry(address.to_string()).or_insert(0) += 1;
        counts.silent.insert(number);
        let (class, address) = (Class::Unknown, address.to_string());
        let held = Held { class, address: address.clone(), gives_way: Arc::clone(&gives_way) };
        counts.held.insert(number, held);
        Ok(Slot { slots: Arc::clone(self), number, address, probation: false, gives_way })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock()
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
            let oldest = counts.probation.first().copied();
            if !counts.take_from(oldest) {
                return Err(full(self.slots.clients_max));
            }
        }
        self.probation = counts.unauthenticated > self.slots.unauthenticated_max;
        counts.classify(self.number, Class::Unauthenticated);
        if self.probation && counts.held.contains_key(&self.number) {
            counts.probation.insert(self.number);
        }
        Ok(())
    }

    /// The connection proved to be a replica's.
    pub(super) fn peer(&mut self) {
        self.slots.counts().classify(self.number, Class::Peer);
    }

    /// A client begins to log in: it gives way to nobody until that is decided.
    pub(super) fn logs_in(&mut self) {
        self.slots.counts().probation.remove(&self.number);
    }

    /// A client got a session, or ended it.
    pub(super) fn set_session(&mut self, bound: bool) {
        let class = if bound { Class::Session } else { Class::Unauthenticated };
        self.slots.counts().classify(self.number, class);
        self.probation &= !bound;
    }

    /// Whether this client must log in before anything else.
    pub(super) fn on_probation(&self) -> bool {
        self.probation
    }

    /// Resolves, once, when the slot has been given to another connection and
    /// this one must go. Never of one that has shown what it is.
    pub(super) fn given_away(&self) -> impl Future<Output = ()> + use<> {
        let gives_way = Arc::clone(&self.gives_way);
        async move { gives_way.notified().await }
    }

    /// The remote address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// The error for a connection that had to make room for another.
pub(super) fn gave_way() -> Error {
    Error::new(
        ErrorCode::TooManyConnections,
        "this server has more connections than it takes, and this one had not said in time \
         who it is; try another server, or later",
    )
}

impl Drop for Slot {
    fn drop(&mut self) {
        // One that gave way is freed already.
        drop(self.slots.counts().free(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

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
        let mut local: Vec<_> = (0..2).map(|_| slots.admit("127.0.0.1").expect("free")).collect();
        let mut all: Vec<_> = held.into_iter().chain(local.drain(..)).collect();
        all.iter_mut().for_each(|slot| slot.client().expect("free"));
        assert!(refusal(slots.admit("127.0.0.1")).message.contains("slot of 4"));
        all.drain(..2);
        let _third = slots.admit("::1").expect("free again");
        let _fourth = slots.admit("192.0.2.1").expect("free again");
    }

    #[test]
    fn the_unauthenticated_leave_room_for_sessions_and_sessions_for_peers() {
        let slots = slots(6, 4, 6);
        let mut people = Vec::new();
        for number in 0..4 {
            let mut slot = slots.admit("a").expect("free");
            slot.client().expect("not for replicas yet");
            assert!(!slot.on_probation(), "client {number} finds room");
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
        assert_eq!((counts.held.len(), counts.unauthenticated, counts.clients), (0, 0, 0));
        assert!(counts.addresses.is_empty());
    }

    #[test]
    fn a_client_among_too_many_unauthenticated_ones_is_on_probation_until_it_logs_in() {
        let slots = slots(4, 2, 4);
        let mut others: Vec<_> = (0..2).map(|_| slots.admit("a").expect("free")).collect();
        for slot in &mut others {
            slot.client().expect("free");
            assert!(!slot.on_probation());
        }
        let mut person = slots.admit("a").expect("reserved");
        person.client().expect("reserved");
        assert!(person.on_probation());
        person.set_session(true);
        assert!(!person.on_probation());
        person.set_session(false);
        assert_eq!(slots.counts().unauthenticated, 3, "logged out, it counts again");
    }

    fn gave_way(slot: &Slot) -> bool {
        slot.given_away().now_or_never().is_some()
    }

    #[test]
    fn whoever_is_silent_for_longest_gives_way_and_nobody_else() {
        let slots = slots(4, 2, 4);
        let (mut person, mut replica) =
            (slots.admit("::1").expect("free"), slots.admit("::1").expect("free"));
        person.client().expect("free");
        replica.peer();
        let silent: Vec<_> = (0..10).map(|_| slots.admit("::1").expect("room is made")).collect();
        let gone: Vec<_> = silent.iter().map(gave_way).collect();
        assert_eq!(gone, [true, true, true, true, true, true, true, true, false, false]);
        assert!(!gave_way(&person) && !gave_way(&replica));
        assert_eq!(slots.counts().held.len(), 4);
        drop(silent);
        assert_eq!(slots.counts().held.len(), 2, "those that gave way are not counted twice");
    }

    #[test]
    fn a_client_on_probation_gives_way_until_it_begins_to_log_in() {
        let slots = slots(6, 6, 6);
        let mut waiting: Vec<_> = (0..3).map(|_| slots.admit("a").expect("free")).collect();
        waiting.iter_mut().for_each(|slot| slot.client().expect("three for clients"));
        assert!(waiting.iter().all(Slot::on_probation));
        waiting[0].logs_in();
        let mut late = slots.admit("a").expect("free");
        late.client().expect("room is made");
        assert_eq!(waiting.iter().map(gave_way).collect::<Vec<_>>(), [false, true, false]);
        waiting[2].logs_in();
        late.logs_in();
        let mut later = slots.admit("a").expect("free");
        assert!(later.client().is_err(), "all of them are being served");
    }
}
