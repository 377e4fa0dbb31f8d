//! Which files and connections this process holds, and how many it may.
//!
//! Connections and the log's files share one limit. If connections used it up, a server
//! could not begin the next file of its log, and would end. By the limit that shells
//! set, a thousand idle connections would do.

use std::os::fd::RawFd;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the system lists a process's own descriptors.
const OWN_DESCRIPTORS: &str = "/dev/fd";

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

/// Closes the descriptors that a process has inherited, but for the three standard
/// streams and what `named` leads to.
///
/// A server lives for months. A lock, a pipe or the end of a connection that it
/// has by accident would stay held, open or connected for as long. To be called
/// before the process opens anything of its own.
pub fn close_inherited(named: Option<&Path>) {
    // Where there is no such list there is nothing to go by.
    let Ok(entries) = std::fs::read_dir(OWN_DESCRIPTORS) else { return };
    let numbers: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let named = named.and_then(descriptor_named);
    for number in numbers.into_iter().filter(|number| *number > 2 && Some(*number) != named) {
        // The list itself was among them, and is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// The descriptor that a path such as a shell's `<(command)` stands for.
fn descriptor_named(path: &Path) -> Option<RawFd> {
    let known = [OWN_DESCRIPTORS, "/proc/self/fd"];
    let number = known.iter().find_map(|folder| path.strip_prefix(folder).ok())?;
    number.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_stand_for_a_descriptor() {
        let named = |path: &str| descriptor_named(Path::new(path));
        assert_eq!((named("/dev/fd/63"), named("/proc/self/fd/4")), (Some(63), Some(4)));
        assert_eq!((named("/dev/fd/x"), named("/etc/63"), named("63")), (None, None, None));
    }

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_allows_and_never_lowered() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!(allow_descriptors(1), before);
        let highest = allow_descriptors(u64::MAX);
        assert!(highest >= before);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), highest);
    }
}
