//! The state of a world, and the handle by which one process reaches it.
//!
//! Every seam of a process goes through its [`ProcessHandle`]. When the process is dead,
//! its handle does nothing any more: calls never return and destructors have no effect.
//! So code that still runs while the tasks of the process are dropped cannot touch a
//! disk or send a byte. That makes a death instantaneous.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::disk::{DiskHealth, Image};
use crate::network::Network;
use crate::random::Prng;
use crate::trace::{Trace, fnv};

/// A machine of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineId(pub usize);

/// A program that is installed on a machine; it may run or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramId(pub usize);

/// One run of a program: the same program started again is another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessKey {
    /// What runs.
    pub program: ProgramId,
    /// The how-manieth run, from 1.
    pub run: u64,
}

/// How a process ended, in words; `Ok` when it returned without an error.
pub type Exit = Result<(), String>;

/// Seam calls of one process within one millisecond after which it counts as
/// spinning: nothing that waits for a disk or a network makes so many.
const CALLS_PER_TICK_MAX: u64 = 200_000;

/// A machine.
pub struct Machine {
    /// Its host name in addresses.
    pub name: String,
    /// Whether it has power.
    pub up: bool,
    /// What its wall clock is off by.
    pub clock_skew_ms: i64,
    /// The same, of a clock that is wrong beyond reason for a while.
    pub clock_far_ms: i64,
    /// Its disk.
    pub disk: Image,
    /// How its disk behaves.
    pub health: DiskHealth,
    /// Its own randomness.
    pub random: Prng,
}

/// Where Linux shows which boot this is.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

impl Machine {
    /// The id by which the machine is known for ever. Made of its name, which no
    /// other machine of its world has, so that no seed's history depends on it.
    pub fn install(&mut self) {
        let high = fnv(0, self.name.as_bytes());
        let text = format!("{high:016x}{:016x}\n", fnv(high, self.name.as_bytes()));
        let path = Path::new("/etc/machine-id");
        self.disk.put(path, text.into()).expect("nothing else has these names");
    }

    /// A new boot, with an id that no other has.
    pub fn boot(&mut self) {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        let boot_id = uuid::Builder::from_u128(u128::from(high) << 64 | u128::from(low));
        let text = format!("{}\n", boot_id.into_uuid());
        let path = Path::new(BOOT_ID_PATH);
        self.disk.put(path, text.into()).expect("nothing else has these names");
    }
}

/// A change on disk at which a process may be meant to die.
#[derive(Clone, Copy, Debug)]
pub struct ChangePoint {
    /// What the call is: a part of its line in the trace.
    pub part: &'static str,
    /// So many such changes pass by before.
    pub passing: u64,
    /// Whether it has happened when the process dies.
    pub after: bool,
}

/// What the world knows of a program and of the process that runs it.
pub struct ProgramState {
    /// For traces.
    pub name: String,
    /// Where it is installed.
    pub machine: MachineId,
    /// Number of the latest run, from 1.
    pub run: u64,
    /// Whether the latest run lives.
    pub alive: bool,
    /// Stopped as by SIGSTOP.
    pub frozen: bool,
    /// How the latest run returned, if it did.
    pub exit: Option<Exit>,
    /// It dies at the so many-th seam call from now.
    pub dies_after_calls: Option<u64>,
    /// It dies when it next changes such a file, before or after it has.
    pub dies_at_change: Option<ChangePoint>,
    /// Seam calls within the current tick.
    pub calls_this_tick: u64,
    /// Ends the current tick of the process.
    pub tick_waker: Option<Waker>,
}

/// Everything that processes share.
pub struct State {
    /// Simulated time since the beginning.
    pub now_us: u64,
    /// The world's own randomness.
    pub random: Prng,
    /// What happened.
    pub trace: Trace,
    /// By [`MachineId`].
    pub machines: Vec<Machine>,
    /// By [`ProgramId`].
    pub programs: Vec<ProgramState>,
    /// Connections and links.
    pub network: Network,
    /// What is woken once nobody holds the state.
    pub wakers: Vec<Waker>,
    /// Defects found while running: panics, spinning.
    pub failures: Vec<String>,
}

impl State {
    /// Records an event now.
    pub fn event(&mut self, event: fmt::Arguments<'_>) {
        self.trace.event(self.now_us, event);
    }

    /// A process as traces name it.
    pub fn name(&self, process: ProcessKey) -> String {
        format!("{}#{}", self.programs[process.program.0].name, process.run)
    }

    /// Whether a process lives.
    pub fn lives(&self, process: ProcessKey) -> bool {
        let program = &self.programs[process.program.0];
        program.alive && program.run == process.run
    }

    /// Ends a process at once; the world clears it away after the tick.
    pub fn end(&mut self, process: ProcessKey) {
        if self.lives(process) {
            let program = &mut self.programs[process.program.0];
            program.alive = false;
            self.wakers.extend(program.tick_waker.take());
        }
    }

    /// Counts a seam call, at which the process may be meant to die.
    pub fn count_call(&mut self, process: ProcessKey) {
        let program = &mut self.programs[process.program.0];
        program.calls_this_tick += 1;
        if program.calls_this_tick == CALLS_PER_TICK_MAX {
            let name = self.name(process);
            self.failures.push(format!("{name} spins: {CALLS_PER_TICK_MAX} calls within 1 ms"));
            self.end(process);
        } else if let Some(left) = &mut program.dies_after_calls {
            *left = left.saturating_sub(1);
            if *left == 0 {
                program.dies_after_calls = None;
                self.end(process);
            }
        }
    }
}

impl State {
    /// A change on disk happens, or has happened, at which the process may be
    /// meant to die.
    pub fn count_change(&mut self, process: ProcessKey, what: &str, after: bool) {
        let program = &mut self.programs[process.program.0];
        let Some(moment) = &mut program.dies_at_change else { return };
        if moment.after != after || !what.contains(moment.part) {
            return;
        }
        if moment.passing == 0 {
            program.dies_at_change = None;
            self.end(process);
        } else {
            moment.passing -= 1;
        }
    }
}

/// One process's access to the world.
#[derive(Clone)]
pub struct ProcessHandle {
    /// The world.
    pub shared: Arc<Mutex<State>>,
    /// Where the process runs.
    pub machine: MachineId,
    /// The process.
    pub process: ProcessKey,
}

impl ProcessHandle {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world, dead or alive. Must not reach for the state again.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock())
    }

    /// Does something if the process lives.
    pub fn if_alive<T>(&self, action: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.lock();
        state.lives(self.process).then(|| action(&mut state))
    }

    /// [`ProcessHandle::if_alive`] for poll functions: the dead wait for ever.
    pub fn poll_alive<T>(&self, action: impl FnOnce(&mut State) -> Poll<T>) -> Poll<T> {
        self.if_alive(action).unwrap_or(Poll::Pending)
    }

    /// Does something if the process lives, and never returns if it does not.
    pub async fn alive<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        match self.if_alive(action) {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }

    /// Counts a seam call that begins, at which the process may be meant to
    /// die: it does so before the call has any effect.
    pub fn count(&self) {
        self.if_alive(|state| state.count_call(self.process));
    }

    /// [`ProcessHandle::count`], then [`ProcessHandle::alive`].
    pub async fn enter<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        self.count();
        self.alive(action).await
    }

    /// Lets time pass, or at least other tasks run.
    pub async fn pause(&self, duration_ms: u64) {
        match duration_ms {
            0 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_millis(duration_ms)).await,
        }
    }
}
