//! What other processes have open: the part that differs between systems.

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{is_ending, listens, of, serving_with_output};
#[cfg(target_os = "linux")]
pub use linux::{is_ending, listens, of, serving_with_output};

/// Whether a process has a certain file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It has.
    With,
    /// It has not, or there is no such process.
    Without,
    /// The process is another user's.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody tells it there"))]
    Hidden,
}
