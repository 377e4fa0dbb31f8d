//! Servers that other machines can reach.

use std::process::Command;

use rustix::process::Signal;

use crate::harness::cluster::PASSWORD;
use crate::harness::network::Network;
use crate::harness::place::write_key;
use crate::harness::{Place, Run, Running, wait_for};

const PORT: u16 = 8091;

/// Three servers, each at an address of its own that is not loopback.
struct Hosts {
    servers: Vec<Running>,
    place: Place,
    network: Network,
}

impl Hosts {
    fn start() -> Option<Hosts> {
        let (network, mut place) = (Network::new()?, Place::new());
        write_key(&place.path().join("cluster.key"), 0o600);
        let addresses: Vec<String> = (1..=3).map(|id| format!("10.9.0.{id}:{PORT}")).collect();
        place.set("FTCHAT_SERVERS", addresses.join(","));
        let mut hosts = Hosts { servers: Vec::new(), place, network };
        let key = hosts.key();
        let address = ["cluster", "address", "--cluster-key-file", &key];
        let word = hosts.run(&address).end().ok();
        hosts.place.set("FTCHAT_SERVERS", word.trim_end());
        let peers: Vec<String> =
            (1..).zip(addresses).map(|(id, address)| format!("{id}={address}")).collect();
        for id in 1..=3 {
            let data = hosts.place.path().join(format!("data-{id}")).display().to_string();
            let run = hosts.run(&["serve", "--id", &id.to_string(), "--peers", &peers.join(",")]);
            let run = run.and(&["--data-dir", &data, "--cluster-key-file", &key]);
            hosts.servers.push(run.start());
        }
        wait_for("three servers in step", || {
            (hosts.run(&["status", "--check"]).end().code == Some(0)).then_some(())
        });
        Some(hosts)
    }

    fn key(&self) -> String {
        self.place.path().join("cluster.key").display().to_string()
    }

    /// A command on their network.
    fn run(&self, arguments: &[&str]) -> Run {
        self.place.run(arguments).under(&self.network.wrapper())
    }

    /// What the server of a host answers to a line in plain text.
    fn plain(&self, host: &str) -> String {
        let wrapper = self.network.wrapper();
        let script = format!(
            r#"exec 3<>/dev/tcp/{host}/{PORT}
            echo '{{"ftchat":1,"role":"client"}}' >&3 && cat <&3"#
        );
        let mut bash = Command::new(&wrapper[0]);
        let output = bash.args(&wrapper[1..]).args(["bash", "-c", &script]).output();
        String::from_utf8(output.expect("bash").stdout).expect("JSON")
    }
}

#[test]
fn servers_on_other_machines_are_spoken_to_in_tls_and_by_their_fingerprint_only() {
    let Some(hosts) = Hosts::start() else { return };
    hosts.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    let sent = hosts.run(&["send", "alice", "hello", "--json"]).end().json();
    assert_eq!(sent["replicas"], 3, "{sent}");

    let line = hosts.plain("10.9.0.2");
    let refusal: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(refusal["error"]["code"], "tls_required", "{refusal}");

    let told = ["--servers", "ftchat cluster address", "ftchat://10.9.0.1:8091#FINGERPRINT"];
    for command in [&["whoami"][..], &["status"], &["inbox"], &["bench", "--messages", "1"]] {
        let run = hosts.run(command).and(&["--servers", "10.9.0.1:8091"]);
        run.end().fails(2, &told);
    }
    // Whoever has the key knows the cluster.
    let key = hosts.key();
    let backup = ["backup", "-", "--servers", "10.9.0.1:8091", "--cluster-key-file", &key];
    assert!(hosts.run(&backup).end().ok().contains("hello"));
}

#[test]
fn a_leader_on_another_machine_is_replaced_and_nobody_notices() {
    let Some(mut hosts) = Hosts::start() else { return };
    hosts.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    let follow = hosts.run(&["inbox", "-f", "--json"]).start();
    let status = hosts.run(&["status", "--json"]).end().json();
    let leader = status["leader"].as_u64().expect("one leads") as usize;
    hosts.run(&["send", "alice", "before"]).end().ok();
    let server = hosts.servers.remove(leader - 1);
    server.signal(Signal::KILL);
    server.end().code(137);
    hosts.run(&["send", "alice", "after"]).end().ok();
    for text in ["before", "after"] {
        assert_eq!(follow.json()["text"], text);
    }
    follow.signal(Signal::INT);
    follow.end().code(130);
}
