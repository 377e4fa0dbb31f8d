//! Three real servers, and people who talk through them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::place::free_ports;
use super::{Output, Place, Run, Terminal, wait_for};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse";

/// Three servers on this machine, started by `cluster up` unless said otherwise.
pub struct Cluster {
    /// Where they live.
    pub place: Place,
    /// The port of the first one; the others follow.
    pub base_port: u16,
    /// Their data directories.
    pub(super) data_dirs: [PathBuf; 3],
}

impl Cluster {
    /// The cluster that tests share which break nothing. It ends with the last
    /// test that uses it.
    pub fn shared() -> Arc<Cluster> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Cluster::new());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// A cluster that goes on as long as a majority is left.
    pub fn new() -> Cluster {
        Cluster::with(&[])
    }

    /// The same, with these variables set for servers and commands.
    pub fn with(variables: &[(&str, &str)]) -> Cluster {
        Cluster::up(variables, &["--survivor", "never"])
    }

    /// A cluster as people get it who choose nothing: it goes on down to the
    /// last server. It is whole.
    pub fn surviving() -> Cluster {
        Cluster::surviving_with(&[])
    }

    /// The same, with these variables set for servers and commands.
    pub fn surviving_with(variables: &[(&str, &str)]) -> Cluster {
        let cluster = Cluster::up(variables, &[]);
        cluster.await_whole();
        cluster
    }

    /// One whose servers are started under another command; see [`Run::under`].
    pub fn under(wrapper: &[&str]) -> Cluster {
        Cluster::up_under(&[], &["--survivor", "never"], wrapper)
    }

    /// A surviving one of another version of the program, which runs all commands
    /// until [`Place::use_program`] names another.
    pub fn by(program: &str) -> Cluster {
        let place = Place::new();
        place.use_program(program);
        let cluster = Cluster::up_in(place, &[], &[], &[]);
        cluster.await_whole();
        cluster
    }

    /// The cluster that `recover` makes of what these arguments name, and what that printed.
    /// It runs.
    pub fn recovered(arguments: &[&str]) -> (Cluster, Value) {
        let place = Place::new();
        loop {
            let base_port = free_ports(3);
            let folder = place.path().join("cluster");
            let out = folder.display().to_string();
            let flags = ["--out", &out, "--base-port", &base_port.to_string(), "--json"];
            let made = place.run(&["cluster", "recover"]).and(&flags).and(arguments).end().json();
            let up = place.run(&["cluster", "up", "-d", "--dir", &out]).end();
            if up.code == Some(0) {
                let data_dirs = [1, 2, 3].map(|id| folder.join(format!("replica-{id}")));
                let mut cluster = Cluster { place, base_port, data_dirs };
                cluster.use_servers();
                return (cluster, made);
            }
            assert!(up.stderr.contains("is taken by another"), "{up:#?}");
            place.run(&["cluster", "down", "--purge", "--dir", &out]).end().ok();
        }
    }

    fn up(variables: &[(&str, &str)], flags: &[&str]) -> Cluster {
        Cluster::up_under(variables, flags, &[])
    }

    fn up_under(variables: &[(&str, &str)], flags: &[&str], wrapper: &[&str]) -> Cluster {
        Cluster::up_in(Place::new(), variables, flags, wrapper)
    }

    fn up_in(
        mut place: Place,
        variables: &[(&str, &str)],
        flags: &[&str],
        wrapper: &[&str],
    ) -> Cluster {
        for (name, value) in variables {
            place.set(name, *value);
        }
        loop {
            let base_port = free_ports(3);
            let data_dirs =
                [1, 2, 3].map(|id| place.path().join("cluster").join(format!("replica-{id}")));
            let mut cluster = Cluster { place, base_port, data_dirs };
            let port = base_port.to_string();
            let up = cluster.admin(&["up", "-d", "--base-port", &port]).and(flags);
            let up = up.under(wrapper).end();
            if up.code == Some(0) {
                cluster.use_servers();
                return cluster;
            }
            // Somebody was faster at one of the ports.
            assert!(up.stderr.contains("is taken by another"), "{up:#?}");
            cluster.admin(&["down", "--purge"]).end().ok();
            place = cluster.place;
        }
    }

    /// Sets `FTCHAT_SERVERS` as a shell would.
    fn use_servers(&mut self) {
        let printed = self.admin(&["env"]).end().ok();
        let script = format!("{printed}printf %s \"$FTCHAT_SERVERS\"");
        let output = std::process::Command::new("sh").args(["-c", &script]).output();
        let servers = String::from_utf8(output.expect("a shell").stdout).expect("addresses");
        assert_eq!(servers, self.addresses().join(","));
        self.place.set("FTCHAT_SERVERS", servers);
    }

    /// The addresses, in the order of the replicas.
    pub fn addresses(&self) -> Vec<String> {
        (0..3).map(|n| format!("127.0.0.1:{}", self.base_port + n)).collect()
    }

    /// The folder.
    pub fn dir(&self) -> String {
        self.place.path().join("cluster").display().to_string()
    }

    /// The data directory of a replica.
    pub fn data_dir(&self, id: u64) -> PathBuf {
        self.data_dirs[id as usize - 1].clone()
    }

    /// `ftchat cluster …` for this cluster.
    pub fn admin<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        self.place.run(&["cluster"]).and(arguments).and(&["--dir", &self.dir()])
    }

    /// `ftchat …` with the servers of this cluster.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        self.place.run(arguments)
    }

    /// What `status --json` prints, whatever the exit code.
    pub fn status(&self) -> Value {
        super::running::json(&self.run(&["status", "--json"]).end().stdout)
    }

    /// Waits for a status that is as wanted.
    pub fn await_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let look = || {
            last = self.status();
            Some(last.clone()).filter(|status| wanted(status))
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_for(what, look)));
        found.unwrap_or_else(|_| panic!("waited in vain for: {what}; the last status was {last}"))
    }

    /// Waits until every replica runs in its own server, with the same state,
    /// and, where survivors adopt, until any two may crash.
    pub fn await_whole(&self) -> Value {
        self.await_status("three replicas in step", |status| {
            let replicas = status["replicas"].as_array().expect("an array");
            let whole = |replica: &Value| {
                matches!(replica["state"].as_str(), Some("leader" | "follower"))
                    && replica["hosted_by"] == replica["id"]
                    && replica["applied"] == status["commit"]
                    && replica["state_hash"] == replicas[0]["state_hash"]
            };
            let tolerant = status["survivor"] != "auto" || status["tolerates"] == 2;
            let all = replicas.len() == 3 && replicas.iter().all(whole);
            status["writable"] == true && tolerant && all
        })
    }

    /// The leader's number.
    pub fn leader(&self) -> u64 {
        let status = self.await_status("a leader", |status| status["leader"].is_u64());
        status["leader"].as_u64().expect("a number")
    }

    /// The two that do not lead.
    pub fn followers(&self) -> Vec<u64> {
        let leader = self.leader();
        (1..=3).filter(|id| *id != leader).collect()
    }

    /// Who holds a replica's data directory or held it last, as `LOCK` says.
    pub fn holder(&self, id: u64) -> Value {
        let path = self.data_dir(id).join("LOCK");
        // It may be being written.
        wait_for("a holder in LOCK", || {
            let lock = std::fs::read_to_string(&path).ok()?;
            serde_json::from_str(lock.lines().next()?).ok()
        })
    }

    /// The process that `LOCK` names.
    pub fn pid(&self, id: u64) -> u32 {
        let holder = self.holder(id);
        u32::try_from(holder["pid"].as_u64().expect("a number")).expect("a process id")
    }

    /// The process of a replica's own server, whoever runs the replica.
    pub fn server(&self, id: u64) -> Option<u32> {
        super::processes::serving(&self.data_dir(id))
    }

    /// Signals a replica's own server, whoever runs the replica.
    pub fn signal(&self, id: u64, signal: Signal) {
        let pid = self.server(id).unwrap_or_else(|| panic!("server {id} does not run"));
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a server that runs");
    }

    /// Kills a replica's own server as a crash would.
    pub fn crash(&self, id: u64) {
        self.signal(id, Signal::KILL);
    }

    /// Starts a replica's server and waits until it has caught up.
    pub fn start(&self, id: u64) -> Value {
        self.admin(&["start", &id.to_string(), "--wait", "--json"]).end().json()
    }

    /// Somebody new, logged in, whose name begins with `name`.
    pub fn person<'a>(&'a self, name: &str) -> Person<'a> {
        let person = self.stranger(name);
        person.run(&["register", &person.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
        person
    }

    /// Somebody who was here before, by the name they have.
    pub fn known<'a>(&'a self, name: &str) -> Person<'a> {
        Person { cluster: self, name: name.to_string() }
    }

    /// Somebody with a name of their own who is not registered.
    pub fn stranger<'a>(&'a self, name: &str) -> Person<'a> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Person { cluster: self, name }
    }
}

/// Somebody with an account, who keeps sessions in a folder of their own.
pub struct Person<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The account's name, which nobody else has.
    pub name: String,
}

impl Person<'_> {
    /// Where this person's sessions are.
    pub fn sessions_dir(&self) -> PathBuf {
        self.cluster.place.path().join("home").join(&self.name)
    }

    /// A command of this person's.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        let folder = self.sessions_dir().display().to_string();
        self.cluster.run(arguments).env("FTCHAT_SESSIONS_DIR", &folder)
    }

    /// Runs a command of this person's to its end.
    pub fn does<S: AsRef<str>>(&self, arguments: &[S]) -> Output {
        self.run(arguments).end()
    }

    /// A command of this person's at a terminal.
    pub fn types<S: AsRef<str>>(&self, arguments: &[S]) -> Terminal {
        Terminal::start(self.run(arguments))
    }

    /// Sends one message and returns its id.
    pub fn send(&self, to: &Person<'_>, text: &str) -> String {
        let id = self.does(&["send", &to.name, text]).ok();
        id.trim_end().to_string()
    }

    /// The whole inbox, in its order; marks nothing.
    pub fn messages(&self) -> Vec<Value> {
        self.does(&["inbox", "--all", "--peek", "--json"]).objects()
    }

    /// The ids of the whole inbox, in its order; marks nothing.
    pub fn ids(&self) -> Vec<String> {
        let id = |message: &Value| message["id"].as_str().expect("an id").to_string();
        self.messages().iter().map(id).collect()
    }

    /// The texts of the whole inbox, in its order; marks nothing.
    pub fn texts(&self) -> Vec<String> {
        let messages = self.messages();
        let text = |message: &Value| message["text"].as_str().expect("a text").to_string();
        messages.iter().map(text).collect()
    }
}
