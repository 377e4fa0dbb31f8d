//! Signals that a process must know about itself.

use rustix::process::Signal;

/// What a process gets that writes beyond the size that `ulimit -f` allows. It
/// would end by it, in the middle of anything; once it is listened to, the write
/// fails instead, as on a full disk.
pub const FILE_SIZE_LIMIT_REACHED: i32 = Signal::XFSZ.as_raw();

/// Whether this process was started to outlive its terminal, as by `nohup`.
pub fn hangup_is_ignored() -> bool {
    // Only Linux tells.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, Signal::HUP)
}

/// Whether a signal is ignored by the process that such a file is about.
fn ignores(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_their_mask() {
        let status = |mask: &str| format!("Name:\tsh\nSigBlk:\t1\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        assert!(ignores(&status("0000000000001001"), Signal::HUP));
        assert!(!ignores(&status("0000000000001000"), Signal::HUP));
        assert!(ignores(&status("0000000001000000"), Signal::XFSZ));
        assert!(!ignores("Name:\tsh\n", Signal::HUP));
    }
}
