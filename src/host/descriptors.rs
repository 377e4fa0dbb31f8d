//! How many files and connections the system lets this process hold at once.
//!
//! Connections and the log's files come out of the same number. A server that
//! let strangers use it up could not begin the next file of its log, and would
//! end: a thousand idle connections would do, by the limit that shells set.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's own limit to `wanted` descriptors, or as far as the
/// system lets it without privileges. Returns how many it may hold now.
pub fn allow_descriptors(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Absent is unlimited.
    let current = limit.current.unwrap_or(u64::MAX);
    let target = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if target <= current {
        return current;
    }
    let raised = Rlimit { current: Some(target), maximum: limit.maximum };
    // A system may refuse what it promised; then the old limit stands.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => target,
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_allows_and_never_lowered() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!(allow_descriptors(1), before);
        let highest = allow_descriptors(u64::MAX);
        assert!(highest >= before);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), highest);
    }
}
