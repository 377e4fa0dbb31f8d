//! Disks that are full or failing, and clocks that are wrong, under the real program: see
//! `faults.c`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a disk does not do any more.
#[derive(Clone, Copy)]
pub enum Fault {
    /// Nothing more fits.
    Full,
    /// Syncs fail.
    Failing,
    /// Syncs do not return.
    Hanging,
}

/// The library that makes disks fail, for `LD_PRELOAD` of servers.
pub fn library() -> &'static str {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let path = LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/harness/faults.c");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
        // Two test programs may be at it; each puts a whole one in place.
        let own = path.with_extension(std::process::id().to_string());
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .args([&own, Path::new(source)])
            .arg("-ldl")
            .output()
            .expect("the C compiler that also links this program");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "faults.c does not compile: {said}");
        std::fs::rename(own, &path).expect("one folder");
        path
    });
    path.to_str().expect("UTF-8")
}

fn mark(folder: &Path, fault: Fault) -> PathBuf {
    folder.with_extension(match fault {
        Fault::Full => "full",
        Fault::Failing => "failing",
        Fault::Hanging => "hanging",
    })
}

/// From now on the disk below a folder has this fault.
pub fn begin(folder: &Path, fault: Fault) {
    std::fs::write(mark(folder, fault), "").expect("an empty file");
}

/// And now it has not any more.
pub fn end(folder: &Path, fault: Fault) {
    std::fs::remove_file(mark(folder, fault)).expect("it had");
}

/// The folder of clocks, in the environment of programs.
pub const CLOCKS: &str = "FAULTS_CLOCKS";

/// From now on the wall clock of a process is so many seconds off. `folder`: that of
/// [`CLOCKS`].
pub fn set_clock(folder: &Path, pid: u32, off_s: i64) {
    // Replaced as a whole, as the process may be reading it.
    let new = folder.join("new");
    std::fs::write(&new, off_s.to_string()).expect("a small file");
    std::fs::rename(new, folder.join(pid.to_string())).expect("one folder");
}
