//! Faults of several steps, for servers that share a machine. The order of deaths matters
//! here, since the living run the replicas of the dead.
//!
//! A scene begins when every server runs in its own directory, and ends when all have
//! been started again. A server that a scene took down stays down until the scene starts
//! it, also when it ended by itself.

use std::path::Path;

use super::{Event, Fault, Nemesis, REFILL_MS, Server};
use crate::disk::LostEnd;
use crate::random::Prng;
use crate::world::{Machine, World};

/// How long a server is alone in scenes that are about that: longer than it may
/// take until writes go on.
const ALONE_MS: (u64, u64) = (4_000, 8_000);

/// How long one that has lost something is left in peace: longer than it takes to
/// catch up, as a new incarnation if need be.
const CATCH_UP_MS: u64 = 6_000;

/// One step; servers by their place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Kill(usize),
    /// At the so many-th call of a seam from now.
    KillAtCall(usize, u64),
    Terminate(usize),
    Freeze(usize),
    Resume(usize),
    /// Kills what has not ended by now, and starts it.
    Start(usize),
    /// Starts a server and, that many milliseconds later, kills who holds its
    /// directory at this moment, unless nobody does.
    StartAndKillHolder(usize, u64),
    /// Lets a server's disk do nothing, until that many milliseconds later.
    Stall(usize, u64),
    /// Lets it go on at once.
    Unstall(usize),
    /// Kills a server and empties its folder.
    Wipe(usize),
    /// Copies a server's folder.
    Copy(usize),
    /// Kills a server and puts its copied folder back.
    PutBack(usize),
    /// Kills a server and takes away the end of its log.
    LoseEnd(usize, LostEnd),
    PowerCut,
    PowerOn,
    /// Nothing: time for the last steps to have their effects.
    Rest,
}

impl Step {
    fn does_harm(self) -> bool {
        use Step::*;
        match self {
            Kill(_) | KillAtCall(..) | Terminate(_) | Freeze(_) | Stall(..) | Wipe(_)
            | PutBack(_) | LoseEnd(..) | PowerCut => true,
            Copy(_)
            | Resume(_)
            | Start(_)
            | StartAndKillHolder(..)
            | Unstall(_)
            | PowerOn
            | Rest => false,
        }
    }
}

impl Fault {
    /// Whether it is played in steps.
    pub fn is_scene(self) -> bool {
        matches!(
            self,
            Fault::KillSequence
                | Fault::KillLeader
                | Fault::StallKillStart
                | Fault::TerminateTwo
                | Fault::KillAllStartOne
                | Fault::CrashStartOne
                | Fault::FreezeTwo
                | Fault::WipeOne
                | Fault::LoseEnd
                | Fault::LoseEndAndKill
                | Fault::OldCopy
                | Fault::OldCopyAndKill
                | Fault::KillWhileAdopting
                | Fault::ReturnWhileAdopting
                | Fault::KillHolder
        )
    }
}

/// Another server is killed at about the time when a first one is back, and is back
/// itself a while later.
fn one_more(server: usize, returns_ms: u64, random: &mut Prng) -> [(u64, Step); 2] {
    let killed_ms = returns_ms.saturating_sub(100) + random.between(0, 600);
    let back_ms = killed_ms + random.between(100, 3_000);
    [(killed_ms, Step::Kill(server)), (back_ms, Step::Start(server))]
}

/// Two servers are back, the first of them at `first`; either may be that one.
fn both_back(a: usize, b: usize, first: u64, random: &mut Prng) -> [(u64, Step); 2] {
    let later = first + random.between(0, 3_000);
    match random.one_in(2) {
        true => [(first, Step::Start(a)), (later, Step::Start(b))],
        false => [(first, Step::Start(b)), (later, Step::Start(a))],
    }
}

/// The steps of [`Fault::OldCopy`] and [`Fault::OldCopyAndKill`].
fn old_copy(fault: Fault, a: usize, b: usize, random: &mut Prng) -> Vec<(u64, Step)> {
    use Step::*;
    let mut steps = vec![(0, Copy(a))];
    let mut end = random.between(200, 2_000);
    // Only a copy from before a start can be told from its successor.
    if fault == Fault::OldCopyAndKill || random.one_in(2) {
        steps.extend([(end, Kill(a)), (end + 100, Start(a))]);
        end += random.between(1_500, 3_000);
    }
    let returns = end + random.between(1, 1_000);
    steps.extend([(end, PutBack(a)), (returns, Start(a))]);
    match fault {
        Fault::OldCopyAndKill => steps.extend(one_more(b, returns, random)),
        _ => steps.push((returns + CATCH_UP_MS, Rest)),
    }
    steps
}

/// The steps of [`Fault::KillHolder`]: `c` is the holder, alone for a while.
fn kill_holder([a, b, c]: [usize; 3], alone_ms: u64, random: &mut Prng) -> Vec<(u64, Step)> {
    use Step::*;
    let mut steps = vec![(0, Kill(a)), (0, Kill(b))];
    steps.push((alone_ms / 2, StartAndKillHolder(a, random.between(0, 120))));
    let later = alone_ms / 2 + random.between(500, 5_000);
    steps.extend([(later, Start(c)), (later + random.between(0, 2_000), Start(b))]);
    steps
}

/// The steps of a scene, with their milliseconds since its beginning. `[a, b, c]`
/// are the servers, in an order that was drawn.
fn steps(fault: Fault, [a, b, c]: [usize; 3], random: &mut Prng) -> Vec<(u64, Step)> {
    use Step::*;
    let soon_ms = random.between(0, 40);
    let alone_ms = random.between(ALONE_MS.0, ALONE_MS.1);
    let mut steps = Vec::new();
    match fault {
        Fault::KillSequence => {
            let second = random.between(1, 3_000);
            steps.extend([(0, Kill(a)), (second, Kill(b))]);
            steps.extend(both_back(a, b, second + alone_ms, random));
        }
        Fault::KillLeader => steps.extend([(0, Kill(a)), (alone_ms, Start(a))]),
        Fault::StallKillStart => {
            let killed = random.between(1, 200);
            let back = killed + random.between(1, 30);
            steps.extend([(0, Stall(a, back)), (killed, Kill(a))]);
            steps.extend([(back, Unstall(a)), (back, Start(a))]);
        }
        Fault::TerminateTwo => {
            let second = random.between(0, 500);
            steps.extend([(0, Terminate(a)), (second, Terminate(b))]);
            steps.extend(both_back(a, b, second + alone_ms, random));
        }
        Fault::KillAllStartOne | Fault::CrashStartOne => {
            let first = random.between(1, 1_000);
            match fault {
                Fault::CrashStartOne => steps.extend([(0, PowerCut), (first, PowerOn)]),
                _ => steps.extend([(0, Kill(a)), (0, Kill(b)), (0, Kill(c))]),
            }
            steps.push((first, Start(c)));
            steps.extend(both_back(a, b, first + alone_ms, random));
        }
        Fault::FreezeTwo => {
            let until = random.between(100, 6_000);
            let later = until + random.between(0, 1_000);
            steps.extend([(0, Freeze(a)), (0, Freeze(b)), (until, Resume(a)), (later, Resume(b))]);
        }
        Fault::WipeOne => {
            let returns = random.between(100, 4_000);
            steps.extend([(0, Wipe(a)), (returns, Start(a)), (returns + REFILL_MS, Rest)]);
        }
        Fault::LoseEnd => {
            let kinds = [LostEnd::Torn, LostEnd::Clean, LostEnd::Emptied];
            let returns = random.between(1, 2_000);
            steps.extend([(0, LoseEnd(a, kinds[random.index(3)])), (returns, Start(a))]);
            steps.push((returns + CATCH_UP_MS, Rest));
        }
        Fault::LoseEndAndKill => {
            let returns = random.between(100, 2_000);
            steps.extend([(0, LoseEnd(a, LostEnd::Torn)), (returns, Start(a))]);
            steps.extend(one_more(b, returns, random));
        }
        Fault::OldCopy | Fault::OldCopyAndKill => steps.extend(old_copy(fault, a, b, random)),
        Fault::KillWhileAdopting => {
            let call = KillAtCall(c, random.between(1, 600));
            steps.extend([(0, Kill(a)), (0, Kill(b)), (0, call)]);
            steps.push((random.between(50, 6_000), Start(c)));
            steps.extend(both_back(a, b, random.between(50, 6_000), random));
        }
        Fault::ReturnWhileAdopting => {
            steps.extend([(0, Kill(a)), (0, Kill(b)), (soon_ms, Start(a))]);
            steps.push((soon_ms + random.between(0, 40), Start(b)));
        }
        Fault::KillHolder => steps.extend(kill_holder([a, b, c], alone_ms, random)),
        other => unreachable!("{other:?} is no scene"),
    }
    let end_ms = steps.iter().map(|(at_ms, _)| *at_ms).max().unwrap_or(0);
    // Hand-backs and what follows them take a while.
    steps.push((end_ms + random.between(500, 3_000), Rest));
    steps
}

impl Nemesis {
    /// Begins a scene, unless something else is going on.
    pub(super) fn begin_scene(&mut self, world: &mut World, fault: Fault, now_ms: u64) {
        let total = self.plan.servers.len();
        let is_of_leader = matches!(fault, Fault::KillLeader | Fault::StallKillStart);
        let leader = self.leader.filter(|_| is_of_leader);
        let calm = (0..total).all(|server| self.holder(world, server) == Some(server));
        if !self.active.is_empty() || !calm || (leader.is_none() && is_of_leader) {
            return;
        }
        self.count(fault);
        let first = leader.unwrap_or_else(|| self.random.index(total));
        let (next, last) = ((first + 1) % total, (first + 2) % total);
        let order = match self.random.one_in(2) {
            true => [first, next, last],
            false => [first, last, next],
        };
        let names = order.map(|server| {
            let program = self.plan.servers[server].program;
            world.with(|state| state.programs[program.0].name.clone())
        });
        world.with(|state| state.event(format_args!("nemesis: {fault:?} of {names:?}")));
        self.scene = steps(fault, order, &mut self.random);
        for (at_ms, _) in &mut self.scene {
            *at_ms += now_ms;
        }
        self.play_scene(world, now_ms);
    }

    /// Takes the steps that are due.
    pub(super) fn play_scene(&mut self, world: &mut World, now_ms: u64) {
        let (due, later) =
            std::mem::take(&mut self.scene).into_iter().partition(|(at_ms, _)| *at_ms <= now_ms);
        self.scene = later;
        let mut due: Vec<(u64, Step)> = due;
        due.sort_by_key(|(at_ms, _)| *at_ms);
        for (_, step) in due {
            self.take_step(world, step, now_ms);
        }
    }

    /// Ends a scene before its time.
    pub(super) fn end_scene(&mut self, world: &mut World) {
        self.scene.clear();
        self.take_step(world, Step::PowerOn, world.now_ms());
        for server in 0..self.plan.servers.len() {
            world.resume(self.plan.servers[server].program);
            self.start_again(world, server);
        }
    }

    fn start_again(&mut self, world: &mut World, server: usize) {
        if self.down.remove(&server) {
            world.kill(self.plan.servers[server].program);
        }
        self.start(world, server);
    }

    /// The server whose process holds a server's directory.
    fn holder(&self, world: &World, server: usize) -> Option<usize> {
        let server = &self.plan.servers[server];
        let holder = world.with(|state| {
            let machine = &state.machines[server.machine.0];
            machine.disk.holder(&server.folder.join("LOCK"))
        })?;
        self.plan.servers.iter().position(|it| it.program == holder.program)
    }

    fn take_step(&mut self, world: &mut World, step: Step, now_ms: u64) {
        let server = |server: usize| self.plan.servers[server].clone();
        self.injected += u64::from(step.does_harm());
        match step {
            Step::Kill(it) => {
                world.kill(server(it).program);
                self.down.insert(it);
            }
            Step::KillAtCall(it, calls) => {
                world.kill_at_call(server(it).program, calls);
                self.down.insert(it);
            }
            Step::Terminate(it) => {
                server(it).stop.send_replace(true);
                self.down.insert(it);
            }
            Step::Freeze(it) => world.freeze(server(it).program),
            Step::Resume(it) => world.resume(server(it).program),
            Step::Start(it) => self.start_again(world, it),
            Step::StartAndKillHolder(it, after_ms) => {
                if let Some(holder) = self.holder(world, it) {
                    self.count(Event::HolderKilled);
                    self.scene.push((now_ms + after_ms, Step::Kill(holder)));
                }
                self.start_again(world, it);
            }
            Step::Stall(it, lasts_ms) => world.with(|state| {
                let health = &mut state.machines[server(it).machine.0].health;
                health.stalled_until_us = (now_ms + lasts_ms) * 1_000;
            }),
            Step::Unstall(it) => world.with(|state| {
                state.machines[server(it).machine.0].health.stalled_until_us = 0;
            }),
            Step::Wipe(it) => self.wipe(world, it),
            Step::Copy(it) => {
                let Server { machine, folder, .. } = server(it);
                let copy = world.with(|state| state.machines[machine.0].disk.copy(&folder));
                self.copies.insert(it, copy.expect("a server that runs has its folder"));
            }
            Step::PutBack(it) => self.put_back(world, it),
            Step::LoseEnd(it, what) => self.lose_end(world, it, what),
            Step::PowerCut => {
                for it in 0..self.plan.servers.len() {
                    self.down.insert(it);
                    world.crash(self.plan.servers[it].machine);
                }
            }
            Step::PowerOn => {
                for it in &self.plan.servers {
                    world.power_on(it.machine);
                }
            }
            Step::Rest => {}
        }
    }

    /// Kills a server; it stays down. Returns it.
    fn take_down(&mut self, world: &mut World, it: usize) -> Server {
        let server = self.plan.servers[it].clone();
        world.kill(server.program);
        self.down.insert(it);
        server
    }

    fn wipe(&mut self, world: &mut World, it: usize) {
        let Server { machine, folder, .. } = self.take_down(world, it);
        world.with(|state| {
            let disk = &mut state.machines[machine.0].disk;
            disk.remove_dir_all(&folder).expect("a server that runs has its folder");
            disk.sync_dir(Path::new("/")).expect("it is always there");
        });
    }

    fn put_back(&mut self, world: &mut World, it: usize) {
        let Server { machine, folder, .. } = self.take_down(world, it);
        let copy = self.copies.remove(&it).expect("it was copied");
        world.with(|state| {
            let disk = &mut state.machines[machine.0].disk;
            disk.put_back(&folder, &copy).expect("a server that ran has its folder");
            state.event(format_args!("nemesis: an old copy of {}", folder.display()));
        });
    }

    fn lose_end(&mut self, world: &mut World, it: usize, what: LostEnd) {
        let Server { machine, folder, .. } = self.take_down(world, it);
        world.with(|state| {
            let Machine { disk, random, .. } = &mut state.machines[machine.0];
            let lost = disk.lose_end(&folder.join("log"), what, random);
            state.event(format_args!("nemesis: {what:?}: {lost:?}"));
        });
    }
}
