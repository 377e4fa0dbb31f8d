//! Which servers and which ways of the network a fault takes away.

use std::collections::BTreeSet;

use crate::drill::{Dice, Fault};
use crate::error::{Error, Result};

/// How many machines there are. They have the numbers 0, 1 and 2 here.
pub const MACHINES: usize = 3;

/// A way of the network: from this machine to that one, and not back.
pub type Way = (usize, usize);

/// What a fault does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The machines that it is about, in order.
    pub victims: Vec<usize>,
    /// Ways on which everything vanishes.
    pub cut: BTreeSet<Way>,
    /// Machines whose server is killed, after the ways are cut.
    pub killed: BTreeSet<usize>,
    /// Machines whose server is stopped by SIGSTOP.
    pub frozen: BTreeSet<usize>,
}

impl Plan {
    /// What a fault does, with victims that the dice choose.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Internal`] for a fault of one machine.
    pub fn of(fault: Fault, dice: &mut Dice) -> Result<Plan> {
        let mut victims: Vec<usize> = (0..MACHINES).collect();
        dice.shuffle(&mut victims);
        let count = match fault {
            Fault::PowerCutOne | Fault::PartitionOneTwo | Fault::MuteOne | Fault::DeafOne => 1,
            Fault::PowerCutTwo | Fault::FreezeTwo | Fault::OneWay => 2,
            Fault::PartitionAll => MACHINES,
            _ => return Err(Error::internal(format!("{} needs one machine", fault.text()))),
        };
        victims.truncate(count);
        let concerns = |machine: usize| victims.contains(&machine);
        let cut = |(from, to): &Way| match fault {
            Fault::FreezeTwo => false,
            Fault::OneWay => victims == [*from, *to],
            Fault::MuteOne => concerns(*from),
            Fault::DeafOne => concerns(*to),
            _ => concerns(*from) || concerns(*to),
        };
        let cut = ways().filter(cut).collect();
        let all: BTreeSet<usize> = victims.iter().copied().collect();
        let (killed, frozen) = match fault {
            Fault::PowerCutOne | Fault::PowerCutTwo => (all, BTreeSet::new()),
            Fault::FreezeTwo => (BTreeSet::new(), all),
            _ => (BTreeSet::new(), BTreeSet::new()),
        };
        Ok(Plan { victims, cut, killed, frozen })
    }

    /// Whether somebody on a machine is promised that a server takes their messages: one
    /// that works can be reached, and reaches them. If it has no majority, it goes on alone.
    pub fn can_send(&self, machine: usize) -> bool {
        (0..MACHINES).any(|server| {
            let works = !self.killed.contains(&server) && !self.frozen.contains(&server);
            let is_cut = |from, to| self.cut.contains(&(from, to));
            works && !is_cut(machine, server) && !is_cut(server, machine)
        })
    }
}

/// All ways between two machines.
fn ways() -> impl Iterator<Item = Way> {
    let pairs = (0..MACHINES).flat_map(|from| (0..MACHINES).map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fault: Fault, seed: u64) -> Plan {
        Plan::of(fault, &mut Dice::new(seed)).expect("a fault of several machines")
    }

    /// How many ways are cut, servers killed and frozen, and who can send.
    fn counts(plan: &Plan) -> (usize, usize, usize, usize) {
        let senders = (0..MACHINES).filter(|machine| plan.can_send(*machine)).count();
        (plan.cut.len(), plan.killed.len(), plan.frozen.len(), senders)
    }

    #[test]
    fn each_fault_takes_away_what_its_name_says_whoever_is_chosen() {
        for seed in 0..20 {
            for (fault, expected) in [
                (Fault::PowerCutOne, (4, 1, 0, 2)),
                (Fault::PowerCutTwo, (6, 2, 0, 1)),
                (Fault::PartitionOneTwo, (4, 0, 0, 3)),
                (Fault::PartitionAll, (6, 0, 0, 3)),
                (Fault::OneWay, (1, 0, 0, 3)),
                (Fault::MuteOne, (2, 0, 0, 3)),
                (Fault::DeafOne, (2, 0, 0, 3)),
                (Fault::FreezeTwo, (0, 0, 2, 3)),
            ] {
                assert_eq!(counts(&plan(fault, seed)), expected, "{fault:?} {seed}");
            }
        }
        for fault in Fault::ALL.iter().filter(|it| !Fault::HOSTS.contains(it)) {
            Plan::of(*fault, &mut Dice::new(1)).expect_err("a fault of one machine");
        }
    }

    #[test]
    fn directions_are_those_of_the_victims() {
        let one_way = plan(Fault::OneWay, 3);
        assert_eq!(one_way.cut, BTreeSet::from([(one_way.victims[0], one_way.victims[1])]));
        let mute = plan(Fault::MuteOne, 3);
        assert!(mute.cut.iter().all(|(from, _)| *from == mute.victims[0]), "{mute:?}");
        let deaf = plan(Fault::DeafOne, 3);
        assert!(deaf.cut.iter().all(|(_, to)| *to == deaf.victims[0]), "{deaf:?}");
    }

    #[test]
    fn all_machines_become_victims_and_equal_seeds_choose_equal_ones() {
        let chosen: BTreeSet<usize> =
            (0..50).map(|seed| plan(Fault::PowerCutOne, seed).victims[0]).collect();
        assert_eq!(chosen.len(), MACHINES);
        assert_eq!(plan(Fault::OneWay, 7), plan(Fault::OneWay, 7));
    }
}
