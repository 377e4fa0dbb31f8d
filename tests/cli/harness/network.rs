//! A network that other machines could be on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::machines::entered;

/// A network namespace of its own, with addresses that are not those of loopback. It is
/// gone with its holder, a child process, however the test ends.
pub struct Network {
    holder: Child,
}

impl Network {
    /// With the addresses 10.9.0.1 to 10.9.0.7. `None`, said aloud, where the system does
    /// not let us make one.
    pub fn new() -> Option<Network> {
        const SCRIPT: &str = "ip link set lo up &&
            for n in 1 2 3 4 5 6 7; do ip address add 10.9.0.$n/32 dev lo || exit 1; done &&
            echo made && exec cat";
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "sh", "-c", SCRIPT])
            // Ends with this process, as nobody writes to it any more.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let made = holder.ok().and_then(|mut holder| {
            let mut said = String::new();
            BufReader::new(holder.stdout.take()?).read_line(&mut said).ok()?;
            let network = Network { holder };
            (said == "made\n").then_some(network)
        });
        if made.is_none() {
            // Not through a macro: those are silent in a test that passes.
            let _ = std::io::stderr().write_all(b"skipped: cannot make a network here\n");
        }
        made
    }

    /// What stands before a command that is to run on it.
    pub fn wrapper(&self) -> Vec<String> {
        entered(&self.holder.id().to_string(), &[])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
