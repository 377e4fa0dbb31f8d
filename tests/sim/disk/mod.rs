//! Simulated disks: what they hold, what a crash leaves, how long they take.
//!
//! - [`image`]: files and names, and what of them is not durable.
//! - [`crash`]: syncs, power cuts, rot.
//! - [`loss`]: what was synced is gone.
//! - [`seam`]: the disk as a process meets it: every call takes time, and a
//!   process may die before, within and after its effect.

mod crash;
mod image;
mod loss;
mod seam;
mod tests;

pub use image::Image;
pub use loss::{Copy, LostEnd};
pub use seam::SimDisk;

use crate::random::Prng;

/// How a disk behaves; faults change it.
#[derive(Debug, Default)]
pub struct DiskHealth {
    /// Calls take so many times as long; 0 counts as 1.
    pub slowdown: u64,
    /// Whether no sync ever takes longer than the others by mere chance.
    pub steady: bool,
    /// Calls wait until this instant, in microseconds of simulated time.
    pub stalled_until_us: u64,
    /// So many of the next syncs fail.
    pub syncs_to_fail: u32,
}

/// What a call costs.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    /// Reading, and calls that only touch the page cache: 20 to 200 µs.
    Light,
    /// Waiting for the platter: 0.2 to 4 ms, once in a thousand times up to 1 s,
    /// but for a steady disk.
    Sync,
}

impl DiskHealth {
    /// Whether this sync fails.
    pub fn take_sync_failure(&mut self) -> bool {
        let fails = self.syncs_to_fail > 0;
        self.syncs_to_fail -= u32::from(fails);
        fails
    }

    /// Time before and after a call's effect, in whole milliseconds.
    pub fn latency_ms(&self, cost: Cost, now_us: u64, random: &mut Prng) -> (u64, u64) {
        let typical_us = match cost {
            Cost::Light => random.between(20, 200),
            Cost::Sync if !self.steady && random.one_in(1_000) => random.between(10_000, 1_000_000),
            Cost::Sync => random.between(200, 4_000),
        };
        let total_us = typical_us * self.slowdown.max(1);
        let before_us = random.between(0, total_us);
        let stalled_us = self.stalled_until_us.saturating_sub(now_us);
        (random.whole_ms(stalled_us + before_us), random.whole_ms(total_us - before_us))
    }
}
