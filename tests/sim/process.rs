//! A simulated process: a tokio runtime of its own, driven tick by tick.
//!
//! Each process has a current-thread runtime with paused time and a seeded scheduler. The
//! world lets it run until a given simulated instant: tokio advances the paused clock from
//! timer to timer by itself, and a timer of ours at the end of the tick returns control.
//! This makes two things exact that a shared runtime could only imitate:
//!
//! - **Death.** Dropping the runtime drops every task of the process at its current
//!   await, also tasks that libraries spawned. Destructors run, but reach nothing: see
//!   [`crate::process_handle`].
//! - **SIGSTOP.** A frozen process is not driven. When it goes on, its clock jumps at
//!   once over the time that it missed. So code may run for a while that relies on leases
//!   which ended long ago, as in reality.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ftchat::host::{BoxFuture, Host, Workers};
use futures::future::LocalBoxFuture;
use tokio::runtime::{Builder, Handle, RngSeed, Runtime};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::network::SimNetwork;
use crate::process_handle::{Exit, ProcessHandle};
use crate::random::{Prng, SimRandom};

/// What a process runs: its `main`.
pub type Main = Arc<dyn Fn(Host) -> LocalBoxFuture<'static, Exit>>;

/// A process that has been started and not cleared away.
pub struct Process {
    handle: ProcessHandle,
    root: JoinHandle<()>,
    /// Runs the root, which as a program's `main` need not be `Send`.
    local: LocalSet,
    runtime: Runtime,
    /// The runtime's instant at which the world's clock showed `started_us`.
    started: Instant,
    started_us: u64,
}

impl Process {
    /// Starts a process; it runs no code before its first tick.
    pub fn start(handle: ProcessHandle, main: &Main, mut random: Prng) -> Process {
        let started_us = handle.with(|state| state.now_us);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&random.next_u64().to_le_bytes()))
            .build()
            .expect("a runtime without threads and sockets needs nothing that can fail");
        let host = Host {
            clock: Arc::new(SimClock(handle.clone())),
            random: Arc::new(SimRandom::new(random.fork())),
            network: Arc::new(SimNetwork(handle.clone())),
            disk: Arc::new(SimDisk(handle.clone())),
            workers: Arc::new(SimWorkers {
                runtime: runtime.handle().clone(),
                random: std::sync::Mutex::new(random.fork()),
            }),
        };
        let (root_handle, main) = (handle.clone(), main(host));
        let local = LocalSet::new();
        let root = local.spawn_local(async move {
            let exit = main.await;
            // Nothing of the process outlives its main, not even for the rest
            // of the tick.
            root_handle.if_alive(|state| {
                state.programs[root_handle.process.program.0].exit = Some(exit);
                state.end(root_handle.process);
            });
        });
        let started = runtime.block_on(async { Instant::now() });
        Process { handle, root, local, runtime, started, started_us }
    }

    /// The handle of the process.
    pub fn handle(&self) -> &ProcessHandle {
        &self.handle
    }

    /// Runs the process until a simulated instant, or until it ends.
    pub fn run_until(&mut self, instant_us: u64) {
        let (handle, root) = (&self.handle, &mut self.root);
        let target = self.started + Duration::from_micros(instant_us - self.started_us);
        self.local.block_on(&self.runtime, async move {
            let missed = target.saturating_duration_since(Instant::now());
            if missed > Duration::from_millis(1) {
                tokio::time::advance(missed - Duration::from_millis(1)).await;
            }
            let mut end = std::pin::pin!(tokio::time::sleep_until(target));
            poll_fn(|context| {
                let lives = handle.if_alive(|state| {
                    state.programs[handle.process.program.0].tick_waker =
                        Some(context.waker().clone());
                });
                match lives {
                    Some(()) if !root.is_finished() => end.as_mut().poll(context),
                    _ => Poll::Ready(()),
                }
            })
            .await;
        });
        if self.root.is_finished() {
            // The root returned, which it said itself, or it panicked.
            handle.if_alive(|state| {
                state.programs[handle.process.program.0].exit = Some(Err("panicked".to_string()));
                state.end(handle.process);
            });
        }
    }
}

/// The seam of work beside the runtime's tasks: here everything is a task.
struct SimWorkers {
    runtime: Handle,
    random: std::sync::Mutex<Prng>,
}

impl Workers for SimWorkers {
    fn spawn(&self, _name: &str, job: BoxFuture<'static, ()>) {
        self.runtime.spawn(job);
    }

    fn compute(&self, computation: Box<dyn FnOnce() + Send>) {
        let duration_ms = {
            let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            random.between(0, 30)
        };
        self.runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(duration_ms)).await;
            computation();
        });
    }
}
