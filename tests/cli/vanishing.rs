//! Machines that are gone without a word.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::cluster::PASSWORD;
use crate::harness::machines::Machines;
use crate::harness::running::json;
use crate::harness::{Place, Run, Running, wait_for};

/// Where people are.
const CLIENT: usize = 4;

/// Three servers, each on a machine of its own, and a machine for people.
struct Apart {
    servers: Vec<Running>,
    machines: Machines,
    place: Place,
}

impl Apart {
    fn start() -> Option<Apart> {
        let mut place = Place::new();
        let machines = Machines::new(CLIENT, place.path())?;
        let out = place.path().join("new").display().to_string();
        place.set("FTCHAT_SERVE_REGISTRATION", "open");
        let hosts = ["--hosts", "10.9.1.1,10.9.1.2,10.9.1.3", "--out", &out, "--json"];
        let made = place.run(&["cluster", "init"]).and(&hosts).end().json();
        place.set("FTCHAT_SERVERS", made["connect"].as_str().expect("a word"));
        let mut apart = Apart { servers: Vec::new(), machines, place };
        for id in 1..CLIENT {
            let config = format!("{out}/10.9.1.{id}/config.toml");
            let data = apart.place.path().join(format!("data-{id}")).display().to_string();
            let serve = ["serve", "--config", &config, "--data-dir", &data];
            apart.servers.push(apart.run(id, &serve).start());
        }
        apart.await_health();
        apart.run(CLIENT, &["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
        Some(apart)
    }

    fn run(&self, machine: usize, arguments: &[&str]) -> Run {
        self.place.run(arguments).under(&self.machines.wrapper(machine))
    }

    fn status(&self) -> Value {
        self.run(CLIENT, &["status", "--json"]).end().json()
    }

    fn await_health(&self) {
        wait_for("three servers in step", || {
            let checked = self.run(CLIENT, &["status", "--check"]).end();
            (checked.code == Some(0)).then_some(())
        });
    }
}

/// Somebody who writes line after line into one `send`.
struct Lines {
    sender: Running,
    written: usize,
    acknowledged: Vec<String>,
}

impl Lines {
    /// Writes a line, and waits until it is acknowledged.
    fn goes_on(&mut self) {
        assert!(self.sender.takes(&format!("line {}\n", self.written)), "it reads");
        self.written += 1;
        wait_for("an acknowledged line", || {
            let printed = self.sender.printed();
            self.acknowledged.extend(printed.iter().map(|line| id(&json(line))));
            (self.acknowledged.len() == self.written).then_some(())
        });
    }
}

fn id(message: &Value) -> String {
    message["id"].as_str().expect("an id").to_string()
}

/// The leader's machine goes three times, and comes back. Whoever writes and whoever reads
/// notices nothing, and the others need no timeout to elect.
#[test]
fn a_leader_whose_cable_is_pulled_is_replaced_by_those_who_miss_its_machine() {
    let Some(apart) = Apart::start() else { return };
    let follow = apart.run(CLIENT, &["inbox", "-f", "--json"]).start();
    let sender = apart.run(CLIENT, &["send", "alice", "--lines", "--json"]).start();
    let mut lines = Lines { sender, written: 0, acknowledged: Vec::new() };
    let mut told: Vec<String> = Vec::new();
    for _ in 0..3 {
        lines.goes_on();
        let before = apart.status();
        let leader = before["leader"].as_u64().expect("one leads") as usize;
        apart.machines.set_cable(leader, false);
        lines.goes_on();
        let after = apart.status();
        assert_ne!(after["leader"], before["leader"], "{after}");
        // Nobody's replica runs elsewhere: another machine's lock says nothing here.
        let hosted = after["replicas"][leader - 1]["hosted_by"].clone();
        assert!(hosted.is_null(), "{after}");
        told.extend(apart.servers.iter().flat_map(Running::complained));
        apart.machines.set_cable(leader, true);
        apart.await_health();
    }
    // A machine on which much else is done may be too slow for that once.
    for text in ["evidence=Silent", "asking for votes at once"] {
        assert!(told.iter().any(|line| line.contains(text)), "{text}: {told:#?}");
    }
    let acknowledged = std::mem::take(&mut lines.acknowledged);
    lines.sender.end().ok();
    let followed: Vec<String> = acknowledged.iter().map(|_| id(&follow.json())).collect();
    assert_eq!(followed, acknowledged);
    follow.signal(Signal::INT);
    follow.end().code(130);
    for server in apart.servers {
        server.signal(Signal::TERM);
        server.end().ok();
    }
}
