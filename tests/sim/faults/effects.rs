//! What each fault does to a server, and how it is undone.

use std::path::Path;

use super::kinds::FAR_MS;
use super::{Fault, Nemesis, Server};
use crate::network::DELAY_US;
use crate::process_handle::{ChangePoint, MachineId, ProgramId};
use crate::random::Prng;
use crate::world::World;

/// What is drawn for every fault, whether it needs it or not.
struct Draws {
    /// Until the call at which a program is killed.
    calls: u64,
    /// By how much a clock jumps.
    jump_ms: i64,
    /// What is left of a disk, in bytes.
    room: u64,
    /// One of the machines of other servers.
    other: Option<MachineId>,
    /// How long a disk does nothing.
    stall_us: u64,
}

impl Draws {
    fn of(others: &[MachineId], random: &mut Prng) -> Draws {
        let calls = random.between(1, 400);
        let jump_ms = random.between(0, 7_200_000) as i64 - 3_600_000;
        let room = random.between(0, 30_000);
        let other = (!others.is_empty()).then(|| others[random.index(others.len())]);
        let stall_us = random.between(100_000, 5_000_000);
        Draws { calls, jump_ms, room, other, stall_us }
    }
}

impl Nemesis {
    /// Does a fault to a server.
    pub(super) fn apply(&mut self, world: &mut World, server: usize, fault: Fault) {
        let Server { program, machine, folder, stop } = self.plan.servers[server].clone();
        let others = self.other_machines(machine);
        let Draws { calls, jump_ms, room, other, stall_us } = Draws::of(&others, &mut self.random);
        world.with(|state| {
            let name = state.programs[program.0].name.clone();
            state.event(format_args!("nemesis: {fault:?} of {name}"));
        });
        match fault {
            Fault::Terminate => {
                stop.send_replace(true);
            }
            Fault::Kill | Fault::KillTwo | Fault::KillMost | Fault::KillAll => world.kill(program),
            Fault::KillAtSnapshot => self.kill_at_change(world, program, "/snapshot/"),
            Fault::KillAtPurge => self.kill_at_change(world, program, "remove /data"),
            Fault::KillAtCall => world.kill_at_call(program, calls),
            Fault::Crash | Fault::CrashAll => world.crash(machine),
            Fault::Freeze => world.freeze(program),
            Fault::Isolate => {
                for other in others {
                    cut(world, machine, other, true);
                    cut(world, other, machine, true);
                }
            }
            Fault::Unplug => unplug(world, machine, true),
            Fault::OneWay => {
                if let Some(other) = other {
                    cut(world, machine, other, true);
                }
            }
            Fault::Reset => {
                let programs = world.with(|state| state.programs.len());
                let other = ProgramId(self.random.index(programs));
                world.with(|state| state.reset_connections(program, other));
            }
            Fault::Lossy => {
                let one_in = self.random.between(3, 50);
                world.with(|state| state.network.lost_one_in = one_in);
            }
            Fault::SlowLinks => {
                let longest_us = self.random.between(2_000, 50_000);
                world.with(|state| state.network.delay_us = (DELAY_US.0, longest_us));
            }
            Fault::SlowDisk => {
                world.with(|state| state.machines[machine.0].health.slowdown = 30);
            }
            Fault::StallDisk => world.with(|state| {
                state.machines[machine.0].health.stalled_until_us = state.now_us + stall_us;
            }),
            Fault::FullDisk => world.with(|state| {
                let disk = &mut state.machines[machine.0].disk;
                disk.quota_bytes = Some(disk.used_in_all() + room);
            }),
            Fault::FailSync => {
                world.with(|state| state.machines[machine.0].health.syncs_to_fail = 1);
            }
            Fault::ClockJump => {
                world.with(|state| state.machines[machine.0].clock_skew_ms += jump_ms);
            }
            Fault::FarClock => {
                let far_ms = if self.random.one_in(2) { FAR_MS } else { -FAR_MS };
                world.with(|state| state.machines[machine.0].clock_far_ms = far_ms);
            }
            Fault::Wipe => wipe(world, program, machine, &folder),
            Fault::FlipBit => flip_bit(world, program, machine, &folder),
            scene => unreachable!("{scene:?} is played in steps"),
        }
    }

    /// Undoes it.
    pub(super) fn mend(&mut self, world: &mut World, server: usize, fault: Fault) {
        let Server { program, machine, .. } = self.plan.servers[server].clone();
        let others = self.other_machines(machine);
        match fault {
            Fault::Kill
            | Fault::KillTwo
            | Fault::KillMost
            | Fault::KillAll
            | Fault::Wipe
            | Fault::FlipBit => self.start(world, server),
            Fault::KillAtCall | Fault::KillAtSnapshot | Fault::KillAtPurge | Fault::Terminate => {
                // What has not ended by now is ended.
                world.kill(program);
                self.start(world, server);
            }
            Fault::Crash | Fault::CrashAll => {
                world.power_on(machine);
                for server in 0..self.plan.servers.len() {
                    if self.plan.servers[server].machine == machine {
                        self.start(world, server);
                    }
                }
            }
            Fault::Freeze => world.resume(program),
            Fault::Isolate | Fault::OneWay => {
                for other in others {
                    cut(world, machine, other, false);
                    cut(world, other, machine, false);
                }
            }
            Fault::Unplug => unplug(world, machine, false),
            Fault::SlowDisk => {
                world.with(|state| state.machines[machine.0].health.slowdown = 1);
            }
            Fault::FullDisk => {
                world.with(|state| state.machines[machine.0].disk.quota_bytes = None);
            }
            Fault::FailSync => {
                world.with(|state| state.machines[machine.0].health.syncs_to_fail = 0);
            }
            Fault::FarClock => world.with(|state| state.machines[machine.0].clock_far_ms = 0),
            Fault::Reset
            | Fault::Lossy
            | Fault::SlowLinks
            | Fault::StallDisk
            | Fault::ClockJump => {}
            scene => unreachable!("{scene:?} is played in steps"),
        }
    }

    /// Kills a program around one of the next changes to its disk that contain `part`.
    fn kill_at_change(&mut self, world: &mut World, program: ProgramId, part: &'static str) {
        let (passing, after) = (self.random.between(0, 3), self.random.one_in(2));
        world.kill_at_change(program, Some(ChangePoint { part, passing, after }));
    }

    /// The machines of the servers that are on another one than `machine`.
    fn other_machines(&self, machine: MachineId) -> Vec<MachineId> {
        self.plan.servers.iter().map(|it| it.machine).filter(|it| *it != machine).collect()
    }
}

/// Kills a server and empties its folder.
fn wipe(world: &mut World, program: ProgramId, machine: MachineId, folder: &Path) {
    world.kill(program);
    world.with(|state| {
        let disk = &mut state.machines[machine.0].disk;
        let done = disk
            .remove_dir_all(folder)
            .and_then(|()| disk.sync_dir(Path::new("/")))
            .map(|()| "all of it".to_string());
        state.event(format_args!("nemesis: {:?}: {done:?}", Fault::Wipe));
    });
}

/// Kills a server and flips a bit of one of its synced files.
fn flip_bit(world: &mut World, program: ProgramId, machine: MachineId, folder: &Path) {
    world.kill(program);
    world.with(|state| {
        let machine = &mut state.machines[machine.0];
        let done = machine
            .disk
            .flip_bit(folder, &mut machine.random)
            .map(|place| place.unwrap_or("nothing is synced".to_string()));
        state.event(format_args!("nemesis: {:?}: {done:?}", Fault::FlipBit));
    });
}

fn cut(world: &World, from: MachineId, to: MachineId, cut: bool) {
    world.with(|state| state.network.set_cut(from, to, cut));
}

fn unplug(world: &World, machine: MachineId, unplugged: bool) {
    for other in 0..world.with(|state| state.machines.len()) {
        cut(world, machine, MachineId(other), unplugged);
        cut(world, MachineId(other), machine, unplugged);
    }
}
