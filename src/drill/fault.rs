//! What a drill does to a cluster of three, on one machine or on three.

use serde::{Deserialize, Serialize};

/// A fault, or two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The leader's server is asked to stop.
    StopLeader,
    /// Two servers are asked to stop, one after the other, the leader first.
    StopTwo,
    /// SIGKILL for the leader's server.
    KillLeader,
    /// SIGKILL for a follower's.
    KillFollower,
    /// SIGKILL for the leader's server, then for the next leader's.
    KillTwoInSequence,
    /// SIGKILL for servers 1 and 2 at once.
    #[serde(rename = "kill_1_and_2")]
    Kill1And2,
    /// SIGKILL for servers 1 and 3 at once.
    #[serde(rename = "kill_1_and_3")]
    Kill1And3,
    /// SIGKILL for servers 2 and 3 at once.
    #[serde(rename = "kill_2_and_3")]
    Kill2And3,
    /// SIGKILL for all; one is started, and the others only when it works.
    KillAllStartOne,
    /// SIGSTOP for one server, until the others work without it.
    FreezeOne,
    /// SIGSTOP for two servers: on one machine for less than a command waits, on three until
    /// everybody can send to the third.
    FreezeTwo,
    /// A follower's server is killed and its data is removed.
    WipeFollower,
    /// All servers are restarted, one after the other.
    RollingRestart,
    /// A machine is cut off, and then its server is killed.
    PowerCutOne,
    /// The same of two machines.
    PowerCutTwo,
    /// One machine is cut off from the others.
    #[serde(rename = "partition_1_2")]
    PartitionOneTwo,
    /// All machines are cut off from each other.
    #[serde(rename = "partition_1_1_1")]
    PartitionAll,
    /// What one machine sends to another one vanishes; what that one sends does not.
    OneWay,
    /// All that one machine sends vanishes.
    MuteOne,
    /// All that is sent to one machine vanishes.
    DeafOne,
}

impl Fault {
    /// On one machine: one round.
    pub const ALL: [Fault; 13] = [
        Fault::StopLeader,
        Fault::StopTwo,
        Fault::KillLeader,
        Fault::KillFollower,
        Fault::KillTwoInSequence,
        Fault::Kill1And2,
        Fault::Kill1And3,
        Fault::Kill2And3,
        Fault::KillAllStartOne,
        Fault::FreezeOne,
        Fault::FreezeTwo,
        Fault::WipeFollower,
        Fault::RollingRestart,
    ];

    /// On three machines: one round.
    pub const HOSTS: [Fault; 8] = [
        Fault::FreezeTwo,
        Fault::PowerCutOne,
        Fault::PowerCutTwo,
        Fault::PartitionOneTwo,
        Fault::PartitionAll,
        Fault::OneWay,
        Fault::MuteOne,
        Fault::DeafOne,
    ];

    /// Its name for scripts.
    pub fn name(self) -> String {
        let json = serde_json::to_value(self).expect("a plain enum serializes");
        json.as_str().expect("as a text").to_string()
    }

    /// What it does, for users.
    pub fn text(self) -> &'static str {
        match self {
            Fault::StopLeader => "stop the leader",
            Fault::StopTwo => "stop two in sequence",
            Fault::KillLeader => "kill the leader",
            Fault::KillFollower => "kill a follower",
            Fault::KillTwoInSequence => "kill two in sequence",
            Fault::Kill1And2 => "kill 1 and 2 at once",
            Fault::Kill1And3 => "kill 1 and 3 at once",
            Fault::Kill2And3 => "kill 2 and 3 at once",
            Fault::KillAllStartOne => "kill all, start one",
            Fault::FreezeOne => "freeze one",
            Fault::FreezeTwo => "freeze two",
            Fault::WipeFollower => "wipe a follower's disk",
            Fault::RollingRestart => "rolling restart",
            Fault::PowerCutOne => "power cut of one",
            Fault::PowerCutTwo => "power cut of two",
            Fault::PartitionOneTwo => "partition 1|2",
            Fault::PartitionAll => "partition 1|1|1",
            Fault::OneWay => "one way lost",
            Fault::MuteOne => "one is mute",
            Fault::DeafOne => "one is deaf",
        }
    }

    /// Reads a list of names, separated by commas, of faults `among` these.
    pub fn list(text: &str, among: &[Fault]) -> Option<Vec<Fault>> {
        let named = |name| among.iter().copied().find(|it| it.name() == name);
        text.split(',').map(named).collect()
    }
}

/// Numbers that follow from a seed, so that a drill can be repeated: SplitMix64
/// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
pub struct Dice(u64);

impl Dice {
    /// Equal seeds throw equal numbers.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below `sides`.
    pub fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    /// The same things in another order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.throw(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for among in [&Fault::ALL[..], &Fault::HOSTS] {
            for fault in among {
                assert_eq!(Fault::list(&fault.name(), among), Some(vec![*fault]));
            }
        }
        let two = Fault::list("kill_leader,kill_1_and_3", &Fault::ALL);
        assert_eq!(two, Some(vec![Fault::KillLeader, Fault::Kill1And3]));
        assert_eq!(Fault::list("kill_everybody", &Fault::ALL), None);
        assert_eq!(Fault::list("kill_leader", &Fault::HOSTS), None);
    }

    #[test]
    fn equal_seeds_give_equal_orders_and_others_do_not() {
        let order = |seed| {
            let mut faults = Fault::ALL;
            Dice::new(seed).shuffle(&mut faults);
            faults
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort();
        assert_eq!(sorted, Fault::ALL);
    }
}
