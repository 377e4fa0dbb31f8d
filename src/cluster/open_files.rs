//! What other processes have open: the part that differs between systems.

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{has_open, is_ending, listens, serving_with_output};
#[cfg(target_os = "linux")]
pub use linux::{has_open, is_ending, listens, serving_with_output};

/// Whether a process has a certain file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasOpen {
    /// It has.
    Yes,
    /// It has not, or there is no such process.
    No,
    /// The process is another user's.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody tells it there"))]
    Unknown,
}
