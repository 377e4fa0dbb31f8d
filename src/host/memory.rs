//! How much memory this process may use.

use std::path::{Path, PathBuf};

use super::read_bounded;

/// Longest of the kernel's small files that is read.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Where the kernel shows control groups.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// The smaller of this machine's memory and what the control groups of this process allow,
/// in bytes. `None` where the system does not say, as on others than Linux.
pub fn memory_bytes() -> Option<u64> {
    let machine = meminfo(&read("/proc/meminfo".as_ref())?)?;
    let groups = read("/proc/self/cgroup".as_ref()).unwrap_or_default();
    let limits =
        limit_files(&groups).into_iter().filter_map(|file| read(&file)?.trim().parse().ok());
    Some(limits.chain([machine]).min().unwrap_or(machine))
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_bounded(path, FILE_MAX_BYTES).ok()?).ok()
}

/// `MemTotal` of `/proc/meminfo`.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Where limits may stand: of each group of `/proc/self/cgroup` and of those around it, for
/// version 2 and for version 1. A container sees its own group as the root.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => (PathBuf::from(CONTROL_GROUPS), "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                (Path::new(CONTROL_GROUPS).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            files.push(root.join(group).join(name));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(meminfo("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(meminfo("MemFree: 1 kB\n"), None);
        let files = limit_files("0::/system.slice/ftchat.service\n5:cpu,memory:/a\n4:cpu:/b\n?\n");
        let expected = [
            "/sys/fs/cgroup/system.slice/ftchat.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        assert!(files.iter().map(PathBuf::as_path).eq(expected.map(Path::new)), "{files:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_memory() {
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
