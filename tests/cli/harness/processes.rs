//! Which process serves which data directory. `LOCK` does not tell: a replica
//! whose server died may be run by another one, which must not be signalled
//! for it. The process's own command line tells.

use std::path::Path;

use rustix::process::Signal;

/// The process that runs `serve` with this data directory. A process that ends
/// loses its command line first, so that it does not count any more.
#[cfg(target_os = "linux")]
pub fn serving(data_dir: &Path) -> Option<u32> {
    let wanted = data_dir.to_str().expect("a path that a test has made");
    let processes = std::fs::read_dir("/proc").expect("/proc");
    // Processes come and go while this looks.
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let serves = |pid: &u32| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&bytes);
        let words: Vec<&str> = line.split_terminator('\0').collect();
        words.contains(&"serve") && words.windows(2).any(|pair| pair == ["--data-dir", wanted])
    };
    let mut pids = pids;
    pids.find(serves)
}

/// Elsewhere nobody runs another one's replica, and `LOCK` does tell.
#[cfg(not(target_os = "linux"))]
pub fn serving(data_dir: &Path) -> Option<u32> {
    let lock = std::fs::read_to_string(data_dir.join("LOCK")).ok()?;
    let holder: serde_json::Value = serde_json::from_str(lock.lines().next()?).ok()?;
    u32::try_from(holder["pid"].as_u64()?).ok()
}

/// The signals that ask a command to end. That of a lost terminal is not among
/// them where this very test is to outlive its own, as with `nohup`.
pub fn ending_signals() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let mut signals = vec![Signal::TERM, Signal::HUP, Signal::INT];
    signals.retain(|signal| mask & (1 << (signal.as_raw() - 1)) == 0);
    signals
}
