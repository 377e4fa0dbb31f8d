//! What the tests stand on: a place of its own for each of them, real servers,
//! real processes, real terminals.
//!
//! Nothing of the user's is touched: `HOME` and the XDG variables point into a
//! temporary directory. Nothing is left running, even when the test program
//! itself is killed: see [`place`].

pub mod by_hand;
pub mod cluster;
#[cfg(target_os = "linux")]
pub mod faults;
#[cfg(target_os = "linux")]
pub mod machines;
#[cfg(target_os = "linux")]
pub mod network;
pub mod place;
pub mod processes;
pub mod raw;
pub mod running;
pub mod steady;
pub mod terminal;

pub use by_hand::ByHand;
pub use cluster::{Cluster, Person};
pub use place::Place;
pub use running::{Output, Run, Running};
pub use steady::Steady;
pub use terminal::Terminal;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far longer than it takes
/// on a machine that several builds share.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Between two looks at something that is waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Looks until there is something, for at most [`WAIT_MAX`].
///
/// # Panics
/// When there is nothing by then; `what` says what was waited for.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(LOOK_PAUSE);
    }
}
