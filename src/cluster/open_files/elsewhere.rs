//! Without `/proc` the system's own tool is asked, which shows command lines only. A
//! process that runs `serve` counts as one that has the file open.

use super::HasOpen;
use crate::host::FileId;

/// Whether a process has this file open, as far as its command line tells.
pub fn has_open(pid: u32, _: FileId) -> HasOpen {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output();
    let line = output.map(|output| output.stdout).unwrap_or_default();
    let serves = String::from_utf8_lossy(&line).split_whitespace().any(|word| word == "serve");
    if serves { HasOpen::Yes } else { HasOpen::No }
}

/// Nothing tells where a process's output goes.
pub fn serving_with_output(_: FileId) -> Option<u32> {
    None
}

/// Nothing tells at which ports a process listens.
pub fn listens(_: u32, _: u16) -> bool {
    false
}

/// Nothing tells, and the process counts as ended.
pub fn is_ending(_: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_serves_is_told_from_one_that_does_not() {
        let file = FileId { device: 0, inode: 0 };
        let start = |word: &str| {
            std::process::Command::new("sh")
                .args(["-c", "read line", word])
                .stdin(std::process::Stdio::piped())
                .spawn()
                .expect("a shell")
        };
        for (word, expected) in [("serve", HasOpen::Yes), ("observe", HasOpen::No)] {
            let mut child = start(word);
            // Until the new process has its own command line instead of ours.
            while has_open(child.id(), file) != expected {
                std::thread::yield_now();
            }
            assert_eq!((serving_with_output(file), listens(child.id(), 1)), (None, false));
            assert!(!is_ending(child.id()));
            drop(child.stdin.take());
            child.wait().expect("own child");
            assert_eq!(has_open(child.id(), file), HasOpen::No, "it has ended");
        }
    }
}
