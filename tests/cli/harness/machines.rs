//! Machines of their own on one network, as far as a server can tell: each has its own
//! address, its own boot, and a cable that can be pulled.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Makes a bridge, and as many machines as asked for: a process each in namespaces of its
/// own, with a cable to the bridge. It says which processes they are, and all end with its
/// input.
const SCRIPT: &str = r#"
exec 3<&0
own=$(readlink /proc/self/ns/net)
ip link set lo up
ip link add bridge type bridge
ip link set bridge up
machines=
for n in $(seq "$2"); do
    unshare --net --mount cat <&3 >/dev/null &
    pid=$!
    # Until then it is a copy of this shell, and one that cannot have its namespaces ends.
    until [ "$(readlink /proc/$pid/ns/net)" != "$own" ] &&
        [ "$(cat /proc/$pid/comm)" = cat ]; do
        [ "$(cut -d ' ' -f 3 /proc/$pid/stat)" != Z ] || exit 1
        sleep 0.01
    done
    ip link add cable$n type veth peer name eth0 netns $pid
    ip link set cable$n master bridge up
    cat /proc/sys/kernel/random/uuid >"$1/boot-$n"
    nsenter --net --mount --target $pid sh -ec "
        ip link set lo up
        ip address add 10.9.1.$n/24 dev eth0
        ip link set eth0 up
        mount --bind '$1/boot-$n' /proc/sys/kernel/random/boot_id"
    machines="$machines $pid"
done
echo $machines
exec cat
"#;

/// See the head of this file. They are gone with their holder, a child process, however
/// the test ends.
pub struct Machines {
    holder: Child,
    /// Of machine 1, 2, …
    pids: Vec<String>,
}

impl Machines {
    /// So many machines, which have the addresses 10.9.1.1, 10.9.1.2, …; `folder` takes
    /// what they need. `None`, said aloud, where the system does not let us make them.
    pub fn new(count: usize, folder: &Path) -> Option<Machines> {
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-ec", SCRIPT, "sh"])
            .arg(folder)
            .arg(count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let made = holder.ok().and_then(|mut holder| {
            let mut said = String::new();
            BufReader::new(holder.stdout.take()?).read_line(&mut said).ok()?;
            let pids: Vec<String> = said.split_whitespace().map(str::to_string).collect();
            let machines = Machines { holder, pids };
            (machines.pids.len() == count).then_some(machines)
        });
        if made.is_none() {
            // Not through a macro: those are silent in a test that passes.
            let _ = std::io::stderr().write_all(b"skipped: cannot make machines here\n");
        }
        made
    }

    /// What stands before a command that is to run on a machine.
    pub fn wrapper(&self, machine: usize) -> Vec<String> {
        entered(&self.pids[machine - 1], &["--mount"])
    }

    /// Pulls a machine's cable, or plugs it in again. Whoever sends to it is told nothing.
    pub fn set_cable(&self, machine: usize, plugged: bool) {
        let words = entered(&self.holder.id().to_string(), &[]);
        let (cable, state) = (format!("cable{machine}"), if plugged { "up" } else { "down" });
        let mut command = Command::new(&words[0]);
        let set = command.args(&words[1..]).args(["ip", "link", "set", &cable, state]).status();
        assert!(set.expect("nsenter").success());
    }
}

/// What stands before a command that is to run where a process is.
pub fn entered(pid: &str, more: &[&str]) -> Vec<String> {
    let words = ["nsenter", "--user", "--net", "--preserve-credentials", "--target", pid];
    words.iter().chain(more).map(|word| (*word).to_string()).collect()
}

impl Drop for Machines {
    fn drop(&mut self) {
        // Its machines read the same input, whose end they see. It may have ended already.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
