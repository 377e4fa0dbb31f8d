//! The world: machines, their processes and the network between them, driven
//! by one loop through simulated time.
//!
//! [`World::tick`] is one millisecond: the network delivers what is due, then
//! every living process runs until the end of the millisecond. Nothing else
//! moves, there are no threads, no real time, no order that depends on an
//! address or a hash; so a seed determines every byte. Faults are methods
//! ([`World::kill`], [`World::crash`], [`World::freeze`], …) that a scenario or
//! [`crate::faults`] calls between two ticks; [`World::kill_at_call`] makes a
//! process die within one, at a chosen call of a seam.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};

use ftchat::host::Host;
use futures::future::LocalBoxFuture;

pub use crate::process_handle::{
    ChangePoint, Exit, Machine, MachineId, ProcessHandle, ProcessKey, ProgramId, State,
};

use crate::disk::{DiskHealth, Image};
use crate::network::Network;
use crate::process::{Main, Process};
use crate::process_handle::ProgramState;
use crate::random::Prng;
use crate::trace::{Trace, TraceDigest, TraceOptions};

/// Length of a tick.
pub const TICK_US: u64 = 1_000;

/// What came out of a simulation.
pub struct History<T> {
    /// What the scenario returned.
    pub value: T,
    /// Digest of all events: equal for equal seeds.
    pub digest: TraceDigest,
    /// The last lines of the trace.
    pub lines: Vec<String>,
    /// Panics and spinning processes.
    pub failures: Vec<String>,
}

/// Who holds a lock, by the name of the program.
pub type Holders = Arc<dyn Fn(&Path) -> Option<String> + Send + Sync>;

/// See the head of this file.
pub struct World {
    shared: Arc<Mutex<State>>,
    mains: Vec<Main>,
    running: Vec<Option<Process>>,
}

thread_local! {
    /// Panics of processes on this thread; `None` outside of simulations.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ordinary = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let recorded = PANICS.with_borrow_mut(|panics| match panics {
                Some(panics) => {
                    panics.push(info.to_string());
                    true
                }
                None => false,
            });
            if !recorded {
                ordinary(info);
            }
        }));
    });
}

/// Runs a scenario in the world of a seed.
pub fn simulate<T>(
    seed: u64,
    options: TraceOptions,
    scenario: impl FnOnce(&mut World) -> T,
) -> History<T> {
    let mut random = Prng::new(seed);
    let network = Network::new(random.fork());
    let mut world = World {
        shared: Arc::new(Mutex::new(State {
            now_us: 0,
            random,
            trace: Trace::new(options),
            machines: Vec::new(),
            programs: Vec::new(),
            network,
            wakers: Vec::new(),
            failures: Vec::new(),
        })),
        mains: Vec::new(),
        running: Vec::new(),
    };
    let value =
        crate::log::with_log(&world.shared.clone(), options.details, || scenario(&mut world));
    for program in 0..world.running.len() {
        world.end(ProgramId(program), "ends with the world");
    }
    world.with(|state| History {
        value,
        digest: state.trace.digest(),
        lines: state.trace.lines().map(String::from).collect(),
        failures: std::mem::take(&mut state.failures),
    })
}

impl World {
    /// Looks at or changes what the world knows. Must not reach for the world
    /// again inside.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells who holds a lock of a machine, by the name of the program. May be
    /// asked while a process runs, but not from inside [`World::with`].
    pub fn holders(&self, machine: MachineId) -> Holders {
        let shared = self.shared.clone();
        Arc::new(move |path| {
            let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let holder = state.machines[machine.0].disk.holder(path)?;
            Some(state.programs[holder.program.0].name.clone())
        })
    }

    /// Simulated time since the beginning, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.with(|state| state.now_us / 1000)
    }

    /// Adds a machine, known to the others by its name.
    pub fn add_machine(&mut self, name: &str) -> MachineId {
        self.with(|state| {
            let random = state.random.fork();
            let mut machine = Machine {
                name: name.to_string(),
                up: true,
                clock_skew_ms: 0,
                clock_far_ms: 0,
                disk: Image::default(),
                health: DiskHealth::default(),
                random,
            };
            machine.install();
            machine.boot();
            state.machines.push(machine);
            MachineId(state.machines.len() - 1)
        })
    }

    /// Installs a program on a machine. [`World::start`] runs it.
    pub fn install<F>(&mut self, machine: MachineId, name: &str, main: F) -> ProgramId
    where
        F: Fn(Host) -> LocalBoxFuture<'static, Exit> + 'static,
    {
        self.mains.push(Arc::new(main));
        self.running.push(None);
        self.with(|state| {
            state.programs.push(ProgramState {
                name: name.to_string(),
                machine,
                run: 0,
                alive: false,
                frozen: false,
                exit: None,
                dies_after_calls: None,
                dies_at_change: None,
                calls_this_tick: 0,
                tick_waker: None,
            });
            ProgramId(state.programs.len() - 1)
        })
    }

    /// Starts a program unless it runs or its machine is down; says whether it
    /// did.
    pub fn start(&mut self, program: ProgramId) -> bool {
        let started = self.with(|state| {
            let machine = state.programs[program.0].machine;
            if state.programs[program.0].alive || !state.machines[machine.0].up {
                return None;
            }
            let entry = &mut state.programs[program.0];
            entry.run += 1;
            entry.alive = true;
            entry.frozen = false;
            entry.exit = None;
            entry.dies_after_calls = None;
            entry.dies_at_change = None;
            let process = ProcessKey { program, run: entry.run };
            let name = state.name(process);
            state.event(format_args!("{name} starts"));
            Some((machine, process, state.random.fork()))
        });
        let Some((machine, process, random)) = started else { return false };
        let handle = ProcessHandle { shared: self.shared.clone(), machine, process };
        self.running[program.0] = Some(Process::start(handle, &self.mains[program.0], random));
        true
    }

    /// Whether the program runs, frozen or not.
    pub fn lives(&self, program: ProgramId) -> bool {
        self.with(|state| state.programs[program.0].alive)
    }

    /// How the latest run of a program returned; `None` while it runs, and
    /// when it was killed.
    pub fn exit(&self, program: ProgramId) -> Option<Exit> {
        self.with(|state| state.programs[program.0].exit.clone())
    }

    /// Ends a process as SIGKILL does: at once, whatever it was doing. The
    /// kernel releases its locks and closes its connections.
    pub fn kill(&mut self, program: ProgramId) {
        self.end(program, "is killed");
    }

    /// Lets a process die at its so many-th seam call from now, before that
    /// call has an effect.
    pub fn kill_at_call(&mut self, program: ProgramId, calls: u64) {
        self.with(|state| state.programs[program.0].dies_after_calls = Some(calls.max(1)));
    }

    /// Lets a process die at a change on its disk, or at none.
    pub fn kill_at_change(&mut self, program: ProgramId, moment: Option<ChangePoint>) {
        self.with(|state| state.programs[program.0].dies_at_change = moment);
    }

    fn end(&mut self, program: ProgramId, how: &str) {
        let Some(process) = self.running[program.0].take() else { return };
        let key = process.handle().process;
        self.with(|state| {
            let name = state.name(key);
            state.event(format_args!("{name} {how}"));
            state.end(key);
            let machine = state.programs[program.0].machine;
            state.machines[machine.0].disk.release(key);
            state.end_connections(key);
        });
        // Outside of the lock: destructors look whether they are dead.
        drop(process);
    }

    /// Stops a process as SIGSTOP does: the kernel goes on accepting and
    /// buffering for it.
    pub fn freeze(&mut self, program: ProgramId) {
        self.set_frozen(program, true, "is frozen");
    }

    /// Lets a frozen process go on.
    pub fn resume(&mut self, program: ProgramId) {
        self.set_frozen(program, false, "goes on");
    }

    fn set_frozen(&mut self, program: ProgramId, frozen: bool, how: &str) {
        self.with(|state| {
            if state.programs[program.0].alive && state.programs[program.0].frozen != frozen {
                state.programs[program.0].frozen = frozen;
                let key = ProcessKey { program, run: state.programs[program.0].run };
                let name = state.name(key);
                state.event(format_args!("{name} {how}"));
            }
        });
    }

    /// Cuts a machine's power: its processes are gone, its disk keeps what was
    /// durable and some of the rest, its connections are not closed by anyone.
    /// Nothing happens to one that has none.
    pub fn crash(&mut self, machine: MachineId) {
        if !self.with(|state| state.machines[machine.0].up) {
            return;
        }
        self.with(|state| {
            state.machines[machine.0].up = false;
            let name = state.machines[machine.0].name.clone();
            state.event(format_args!("{name} loses power"));
            state.vanish_connections(machine);
        });
        for program in 0..self.running.len() {
            if self.with(|state| state.programs[program].machine) == machine {
                self.end(ProgramId(program), "loses power");
            }
        }
        self.with(|state| {
            let machine = &mut state.machines[machine.0];
            machine.disk.crash(&mut machine.random);
            machine.health = DiskHealth::default();
        });
    }

    /// Gives a machine its power back. Its programs are started separately.
    /// One that has power stays in the boot in which it is.
    pub fn power_on(&mut self, machine: MachineId) {
        self.with(|state| {
            if state.machines[machine.0].up {
                return;
            }
            state.machines[machine.0].up = true;
            state.machines[machine.0].boot();
            let name = state.machines[machine.0].name.clone();
            state.event(format_args!("{name} has power"));
        });
    }

    /// Shows what a folder of a machine holds, if details are wanted.
    pub fn show_disk(&self, machine: MachineId, folder: &Path) {
        self.with(|state| {
            if state.trace.wants_details() {
                let machine = &state.machines[machine.0];
                let dump = machine.disk.dump(folder);
                let (name, now_us) = (machine.name.clone(), state.now_us);
                for line in dump.lines() {
                    state.trace.detail(now_us, format_args!("{name} holds {line}"));
                }
            }
        });
    }

    /// Lets one millisecond pass.
    pub fn tick(&mut self) {
        let (now_us, first) = self.with(|state| {
            state.now_us += TICK_US;
            state.deliver();
            (state.now_us, state.random.index(self.running.len().max(1)))
        });
        self.wake();
        for place in 0..self.running.len() {
            // Which process comes first is drawn anew in each tick, and the others
            // follow in a circle: of two, either may win a race for a lock.
            self.run(ProgramId((first + place) % self.running.len()), now_us);
            self.wake();
        }
    }

    fn run(&mut self, program: ProgramId, until_us: u64) {
        let runs = self.with(|state| {
            let entry = &mut state.programs[program.0];
            entry.calls_this_tick = 0;
            entry.alive && !entry.frozen
        });
        let Some(process) = self.running[program.0].as_mut().filter(|_| runs) else { return };
        record_panics();
        PANICS.set(Some(Vec::new()));
        crate::log::speak_for(program, || process.run_until(until_us));
        let panics = PANICS.take().unwrap_or_default();
        let key = process.handle().process;
        let how = self.with(|state| {
            let name = state.name(key);
            for panic in panics {
                state.event(format_args!("{name} {panic}"));
                state.failures.push(format!("{name} {panic}"));
            }
            match &state.programs[program.0].exit {
                _ if state.lives(key) => None,
                Some(Ok(())) => Some("returns".to_string()),
                Some(Err(error)) => Some(format!("returns an error: {error}")),
                None => Some("is killed in the middle".to_string()),
            }
        });
        if let Some(how) = how {
            self.end(program, &how);
        }
    }

    fn wake(&mut self) {
        for waker in self.with(|state| std::mem::take(&mut state.wakers)) {
            waker.wake();
        }
    }

    /// Lets time pass.
    pub fn run_for_ms(&mut self, duration_ms: u64) {
        (0..duration_ms).for_each(|_| self.tick());
    }

    /// Lets time pass until something is the case; `false` if it is not within
    /// the given time.
    pub fn run_until(&mut self, within_ms: u64, mut case: impl FnMut(&mut World) -> bool) -> bool {
        for _ in 0..within_ms {
            if case(self) {
                return true;
            }
            self.tick();
        }
        case(self)
    }
}
