//! What time it is for a replica.

use std::collections::BTreeSet;

use super::engine::state_machine::Machine;
use crate::host::Host;
use crate::peer::Clocks;
use crate::planted::{self, Bug};
use crate::types::{ReplicaId, Timestamp, majority};

/// The own clock, those of the others, and what the log knows. Clones share it.
#[derive(Clone)]
pub struct Time {
    host: Host,
    clocks: Clocks,
    machine: Machine,
}

impl Time {
    /// Of a replica with this state, which receives its peers' clocks.
    pub fn new(host: Host, clocks: Clocks, machine: Machine) -> Time {
        Time { host, clocks, machine }
    }

    /// Now, as the replicas agree: by this everything is stamped, and ends. One wrong
    /// clock does not make it wrong; see [`Clocks`].
    pub fn now(&self) -> Timestamp {
        if planted::is(Bug::TrustOwnClock) {
            return self.host.clock.now();
        }
        self.clocks.time(self.host.clock.now(), self.machine.latest_at())
    }

    /// Now, but not before anything that the log holds: when something begins that the
    /// log is to end. A clock that is behind may still be believed in all else.
    pub fn beginning(&self) -> Timestamp {
        self.now().max(self.machine.latest_at())
    }

    /// What time it is as the clocks of a majority of the voters confirm, of which this
    /// replica is one; `None` while they do not. By this goes what cannot be undone. See
    /// [`Clocks::confirmed`].
    pub fn confirmed(&self, voters: &BTreeSet<ReplicaId>, own: ReplicaId) -> Option<Timestamp> {
        let clock = self.host.clock.now();
        if planted::is(Bug::TrustOwnClock) {
            return Some(clock);
        }
        if !voters.contains(&own) {
            return None;
        }
        let others: Vec<ReplicaId> = voters.iter().copied().filter(|id| *id != own).collect();
        let latest = self.machine.latest_at();
        self.clocks.confirmed(clock, &others, majority(voters.len()), latest)
    }

    /// What the own clock shows and what all clocks say, where that is too far apart.
    pub fn wrong_clock(&self) -> Option<(Timestamp, Timestamp)> {
        let own = self.host.clock.now();
        let agreed = self.clocks.time(own, self.machine.latest_at());
        (own != agreed).then_some((own, agreed))
    }
}
