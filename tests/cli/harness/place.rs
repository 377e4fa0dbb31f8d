//! A temporary directory with an environment around it, and its end.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use super::Run;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ftchat");

/// Waits until its standard input ends, which happens when the test drops its
/// [`Place`] and as well when the test program is killed; then ends, with
/// SIGKILL, every process whose environment names the place's directory. Only
/// processes that a test has started have that in their environment. The guard
/// itself has it as an argument only.
const GUARD: &str = r#"
read -r _
if [ -d /proc/self ]; then
    ours() { printf '%s\n' "$1" | grep -alF -f - /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
    tries=0
    while pids=$(ours "$1"); [ -n "$pids" ] && [ "$tries" -lt 500 ]; do
        kill -9 $pids 2>/dev/null
        tries=$((tries + 1))
        sleep 0.01
    done
else
    "$2" cluster down --dir "$1/cluster" >/dev/null 2>&1
fi
rm -rf -- "$1"
"#;

/// A temporary directory, and an environment in which the program finds
/// nothing else. When it goes, every process that was started in that
/// environment is ended and the directory removed.
pub struct Place {
    path: PathBuf,
    environment: BTreeMap<String, String>,
    program: Mutex<String>,
    guard: Child,
    /// Closing it is what sets the guard to work.
    lifeline: Option<ChildStdin>,
}

impl Place {
    /// A new place.
    pub fn new() -> Place {
        let path = tempfile::Builder::new()
            .prefix("ftchat-cli-")
            .tempdir()
            .expect("a temporary directory")
            // The guard removes it, also when nobody is left to drop it.
            .keep();
        let path = path.canonicalize().expect("it was just made");
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&path)
            .arg(PROGRAM)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let lifeline = guard.stdin.take();
        std::fs::create_dir(path.join("home")).expect("an empty directory");
        let below = |name: &str| path.join(name).display().to_string();
        let environment = [
            ("HOME", below("home")),
            ("XDG_CONFIG_HOME", below("home/config")),
            ("XDG_DATA_HOME", below("home/data")),
            ("XDG_STATE_HOME", below("home/state")),
            ("XDG_CACHE_HOME", below("home/cache")),
            ("XDG_RUNTIME_DIR", below("home/run")),
            ("TMPDIR", below("home")),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LC_ALL", "C.UTF-8".to_string()),
            ("TZ", "UTC".to_string()),
            ("TERM", "xterm-256color".to_string()),
            // Hashing a password takes all the time of a test otherwise.
            ("FTCHAT_PASSWORDS_MEMORY_KIB", "8".to_string()),
            ("FTCHAT_PASSWORDS_PASSES", "1".to_string()),
        ];
        let environment =
            environment.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let program = Mutex::new(PROGRAM.to_string());
        Place { path, environment, program, guard, lifeline }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets a variable for everything that is run from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_string(), value.into());
    }

    /// The variables in which everything is run.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Runs another version of the program from now on.
    pub fn use_program(&self, program: &str) {
        *self.program.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = program.to_string();
    }

    /// The program with these arguments.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        let program = self.program.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Run::new(&self.environment, arguments).by(&program)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, content).expect("a file in a temporary directory");
        path
    }
}

impl Place {
    /// Copies the logs of the servers to where the build keeps its own temporary files: whoever
    /// reads that a test has failed asks for them next.
    ///
    /// # Errors
    /// Those of copying, and that there is no cluster.
    fn keep_logs(&self) -> std::io::Result<PathBuf> {
        let name = self.path.file_name().unwrap_or_default();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed").join(name);
        std::fs::create_dir_all(&kept)?;
        for file in std::fs::read_dir(self.path.join("cluster"))? {
            let file = file?;
            if file.path().extension().is_some_and(|ending| ending == "log") {
                std::fs::copy(file.path(), kept.join(file.file_name()))?;
            }
        }
        Ok(kept)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            match self.keep_logs() {
                Ok(kept) => eprintln!("the logs of the servers are kept in {}", kept.display()),
                Err(error) => eprintln!("no logs of servers are kept: {error}"),
            }
        }
        if let Some(mut lifeline) = self.lifeline.take() {
            // A guard that has died already is found out below.
            let _ = lifeline.write_all(b"\n");
        }
        let ended = self.guard.wait();
        let clean = ended.is_ok_and(|status| status.success()) && !self.path.exists();
        // A second panic would hide the first one.
        assert!(clean || std::thread::panicking(), "{} was not removed", self.path.display());
    }
}

/// The first of `count` consecutive ports on which nobody listens.
///
/// They are below the range from which the system gives ports to outgoing
/// connections: a port of that range may be free now and somebody's end of a
/// connection when a server is restarted. No range is handed out twice.
pub fn free_ports(count: u16) -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let end = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
        .max(12_000_u16);
    let mut taken = TAKEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let random = u16::from_be_bytes(random());
        let first = 10_000 + random % (end - 10_000 - count);
        let range = first..first + count;
        if range.clone().any(|port| taken.contains(&port)) {
            continue;
        }
        if range.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            taken.extend(range);
            return first;
        }
    }
}

/// Writes a new cluster key.
pub fn write_key(path: &Path, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(mode).open(path).expect("a new file");
    let id = || random_id().replace('-', "");
    writeln!(file, "{}{}", id(), id()).expect("a file");
}

/// A random id, for `--id`.
pub fn random_id() -> String {
    uuid::Builder::from_random_bytes(random()).into_uuid().to_string()
}

/// A random number.
pub fn random_number() -> u64 {
    u64::from_be_bytes(random())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
