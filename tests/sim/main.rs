//! The deterministic simulation: the code that ships, in a world made of a seed.
//!
//! Everything that a server or a client takes from its machine enters through the
//! seams of `ftchat::host`. Here those seams lead into a simulated [`world`]: machines
//! with clocks that are wrong, disks that lose what was not synced, and a network that
//! delays, holds and breaks. A nemesis ([`faults`]) kills, freezes, unplugs and mends.
//! An [`oracle`] knows what users may have seen. One seed is one history, byte for
//! byte, in any process.
//!
//! ```text
//! cargo test --test sim                                     70 seeds and more
//! FTCHAT_SIM_SEEDS=20000 FTCHAT_SIM_TALLY=tally.jsonl cargo test --test sim -- campaign --nocapture
//! FTCHAT_SIM_SEED=217 FTCHAT_SIM_RECIPE=crashes cargo test --test sim -- replay --nocapture
//! FTCHAT_SIM_BUGS=2000 cargo test --test sim -- planted::all_are_found --nocapture
//! ```
//!
//! The second command plays any number of seeds on `FTCHAT_SIM_THREADS` threads, and
//! goes on where its tally ends. A replay shows the wire, the disks and the program's
//! own log (`FTCHAT_SIM_LOG=openraft=debug`, `FTCHAT_SIM_LINES=100000`).
//!
//! - [`random`], [`clock`], [`disk`], [`network`]: the seams.
//! - [`process_handle`], [`process`], [`world`]: how a process reaches the seams, how
//!   processes run and die, and the loop that drives them all.
//! - [`faults`], [`trace`], [`log`]: what goes wrong, and how it is shown.
//! - [`oracle`]: what must hold whatever goes wrong.
//! - [`toy`]: a small service with planted bugs, which the oracle must find.
//! - [`cluster`], [`recipes`]: the real program, its users, and what is done to it.
//! - [`seeds`], [`campaign`]: a few seeds of each recipe, any number of some.
//! - [`regressions`]: seeds that failed once, and why.
//! - [`planted`]: bugs in the real program, which must be found as well.

#![allow(unexpected_cfgs, reason = "tokio_unstable is set by a compiler flag, not by Cargo.toml")]

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulation needs tokio's seeded scheduler: build with --cfg tokio_unstable, which \
     .cargo/config.toml sets unless RUSTFLAGS overrides it"
);

/// As the program has it; it is a tenth faster than the system's.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod campaign;
mod clock;
mod cluster;
mod determinism;
mod disk;
mod faults;
mod log;
mod network;
mod oracle;
mod planted;
mod process;
mod process_handle;
mod random;
mod recipes;
mod regressions;
mod seeds;
mod toy;
mod trace;
mod world;
