//! The seam of wall-clock time: a machine's clock, wrong as clocks are.

use ftchat::host::Clock;
use ftchat::types::Timestamp;

use crate::world::ProcessHandle;

/// Simulated time zero: 2026-01-01T00:00:00Z, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_767_225_600_000;

/// The wall clock of a process: the world's time, off by its machine's skew.
pub struct SimClock(pub ProcessHandle);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.with(|state| {
            let machine = &state.machines[self.0.machine.0];
            let off_ms = machine.clock_skew_ms + machine.clock_far_ms;
            Timestamp((EPOCH_MS + state.now_us / 1000).saturating_add_signed(off_ms))
        })
    }
}
