//! Servers that other machines can reach.

use std::process::Command;

use rustix::process::Signal;

use crate::harness::cluster::PASSWORD;
use crate::harness::faults::{self, Fault};
use crate::harness::network::Network;
use crate::harness::{Place, Run, Running, Terminal, wait_for};

const PORT: u16 = 8091;

/// Three servers, each at an address of its own that is not loopback.
struct Hosts {
    servers: Vec<Running>,
    place: Place,
    network: Network,
}

impl Hosts {
    /// Each server listens on the address of its machine.
    fn start() -> Option<Hosts> {
        Hosts::on_ports([PORT; 3], true, "open")
    }

    /// With these ports, and who may register (nothing: as it is by itself). If not on its
    /// own address, each listens on all of its machine, as it does by itself.
    fn on_ports(ports: [u16; 3], on_own: bool, registration: &str) -> Option<Hosts> {
        let (network, mut place) = (Network::new()?, Place::new());
        let out = place.path().join("new").display().to_string();
        let hosts: Vec<String> =
            (1..).zip(ports).map(|(id, port)| format!("10.9.0.{id}:{port}")).collect();
        place.set("FTCHAT_SERVE_REGISTRATION", registration);
        let init = ["cluster", "init", "--hosts", &hosts.join(","), "--out", &out];
        let made = place.run(&init).and(&["--json"]).end().json();
        place.set("FTCHAT_SERVERS", made["connect"].as_str().expect("a word"));
        let mut hosts = Hosts { servers: Vec::new(), place, network };
        // Gamma first: they may be started in any order.
        for host in made["hosts"].as_array().expect("three").iter().rev() {
            let id = host["id"].as_u64().expect("a number") as usize;
            let server = hosts.serve(id, on_own.then_some(ports[id - 1])).start();
            hosts.servers.insert(0, server);
        }
        wait_for("three servers in step", || {
            (hosts.run(&["status", "--check"]).end().code == Some(0)).then_some(())
        });
        Some(hosts)
    }

    fn key(&self) -> String {
        self.place.path().join("new/10.9.0.1/cluster.key").display().to_string()
    }

    /// `serve` as a machine was told to; all have one, whose folders they share.
    fn serve(&self, id: usize, on_own_port: Option<u16>) -> Run {
        let config = self.place.path().join(format!("new/10.9.0.{id}/config.toml"));
        let data = self.place.path().join(format!("data-{id}")).display().to_string();
        let run = self.run(&["serve", "--config", &config.display().to_string()]);
        let listen = on_own_port.map(|port| format!("10.9.0.{id}:{port}"));
        let listen = listen.as_ref().map(|listen| vec!["--listen", listen]).unwrap_or_default();
        run.and(&["--data-dir", &data]).and(&listen)
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
    // Whoever has the key knows the cluster, and a server's configuration knows its servers.
    let key = hosts.key();
    let config = hosts.place.path().join("new/10.9.0.1/config.toml").display().to_string();
    let address = hosts.run(&["cluster", "address", "--config", &config]);
    let word = hosts.run(&["cluster", "address", "--cluster-key-file", &key]).end().ok();
    assert_eq!(address.env("FTCHAT_SERVERS", "").end().ok(), word);
    let backup = hosts.run(&["backup", "-", "--config", &config]).env("FTCHAT_SERVERS", "");
    assert!(backup.end().ok().contains("hello"));
    let backup = ["backup", "-", "--servers", "10.9.0.1:8091", "--cluster-key-file", &key];
    assert!(hosts.run(&backup).end().ok().contains("hello"));
}

/// Whoever has only addresses is asked about the fingerprint once, and only at a terminal.
#[test]
fn a_fingerprint_that_nobody_named_is_shown_and_asked_about() {
    const QUESTION: &str = "Is this the fingerprint of your cluster? [y/N] ";
    let Some(hosts) = Hosts::start() else { return };
    let key = hosts.key();
    let known = ["cluster", "fingerprint", "--cluster-key-file", &key];
    let fingerprint = hosts.run(&known).end().ok().trim_end().to_string();
    let list = "10.9.0.1:8091,10.9.0.2:8091";
    let status = || hosts.run(&["status", "--check", "--servers", list]);
    let answer = |run: Run, keys: &str| {
        let mut terminal = Terminal::start(run);
        terminal.await_text(&fingerprint);
        terminal.await_text(QUESTION);
        terminal.keys(keys);
        terminal.end()
    };
    for no in ["n\n", "\n", "\u{4}"] {
        let (code, shown) = answer(status(), no);
        assert!(code == Some(1) && shown.contains("nothing was sent"), "{shown}");
    }
    assert_eq!(answer(status(), "\u{3}").0, Some(130));
    status().end().fails(2, &["--servers", "#FINGERPRINT"]);
    let (code, shown) = answer(status(), "y\n");
    assert_eq!(code, Some(0), "{shown}");
    // From now on it is known, in scripts too, for this list and no other.
    status().end().ok();
    let (code, shown) = Terminal::start(status()).end();
    assert!(code == Some(0) && !shown.contains(QUESTION), "{shown}");
    hosts.run(&["status", "--servers", "10.9.0.1:8091"]).end().fails(2, &["#FINGERPRINT"]);

    let unset = |run: Run| run.env("FTCHAT_SERVERS", "");
    let connect = || unset(hosts.run(&["connect", "ftchat://10.9.0.3", "--name", "work"]));
    connect().end().fails(2, &["ftchat://10.9.0.3:8091#FINGERPRINT"]);
    assert_eq!(answer(connect(), "n\n").0, Some(1));
    assert_eq!(unset(hosts.run(&["profiles"])).end().ok(), "");
    let (code, shown) = answer(connect(), "yes\n");
    assert_eq!(code, Some(0), "{shown}");
    let profile = unset(hosts.run(&["profiles", "--json"])).end().json();
    assert_eq!(profile["connect"], format!("ftchat://10.9.0.3:8091#{fingerprint}"));
    unset(hosts.run(&["status", "--check"])).end().ok();
}

/// A fingerprint that was confirmed holds until somebody forgets it.
#[test]
fn servers_with_another_fingerprint_than_was_confirmed_are_not_spoken_to() {
    let Some(hosts) = Hosts::start() else { return };
    let whoami = hosts.run(&["whoami", "--servers", "10.9.0.1:8091"]);
    let mut terminal = Terminal::start(whoami.clone());
    terminal.await_text("[y/N]");
    terminal.keys("y\n");
    assert_eq!(terminal.end().0, Some(4), "nobody is logged in");
    let folder = hosts.place.path().join("home/state/ftchat/servers");
    let entry = std::fs::read_dir(folder).expect("a folder").next().expect("one file");
    let file = entry.expect("an entry").path();
    let kept = std::fs::read_to_string(&file).expect("there");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
    let nobodys = "BNZU-R6QD-RFYM-JDWA-PTLT-WYSX-6OPM-QEHW-B4LO-445W-FY6G-4JQQ-VPDA-NHZF";
    let shown = kept["fingerprint"].as_str().expect("a text");
    let changed = kept.to_string().replace(shown, nobodys);
    std::fs::write(&file, changed).expect("own file");
    let refused = whoami.end().fails(1, &[shown, nobodys, "to be asked again"]);
    assert!(refused.stderr.contains(&file.display().to_string()), "{refused:?}");
}

#[test]
fn strangers_on_a_network_need_an_invitation() {
    let Some(hosts) = Hosts::on_ports([PORT; 3], true, "") else { return };
    let register = |name: &str, more: &[&str]| {
        let run = hosts.run(&["register", name, "--password-stdin"]).and(more);
        run.stdin(PASSWORD).end()
    };
    register("mallory", &["--json"]).refused(1, "invitation_required");
    let key = ["--cluster-key-file", &hosts.key()];
    let code = hosts.run(&["cluster", "invite"]).and(&key).end().ok();
    register("alice", &["--invite", code.trim_end()]).ok();
    register("mallory", &["--invite", code.trim_end(), "--json"]).refused(1, "invitation_refused");
    let actions = hosts.run(&["cluster", "actions"]).and(&key).end().ok();
    assert!(actions.contains("the configuration of server "), "{actions}");
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

#[test]
fn what_cannot_be_the_machines_of_a_cluster_is_refused_by_name() {
    let place = Place::new();
    let out = place.path().join("new");
    let init = |hosts: &str| {
        let run = place.run(&["cluster", "init", "--hosts", hosts]);
        run.and(&["--out", &out.display().to_string()])
    };
    for (hosts, told) in [
        ("alpha,alpha", "alpha is there twice"),
        ("alpha,a/b", "\"a/b\" is no machine"),
        ("alpha,beta:70000", "\"beta:70000\" is no machine"),
        ("alpha,localhost", "localhost is what every machine calls itself"),
    ] {
        let refused = init(hosts).end().code(2);
        assert!(refused.stderr.contains(told), "{refused:?}");
        init(hosts).and(&["--json"]).end().refused(2, "wrong_usage");
        assert!(!out.exists());
    }
    let made = init("alpha,beta:9000,10.0.0.7").end().ok();
    let lines: Vec<&str> = made.lines().collect();
    assert_eq!(lines[1], format!("2\tbeta\t{}/beta", out.display()));
    let word = std::fs::read_to_string(out.join("connect")).expect("a file");
    assert_eq!(lines[4], format!("connect\t{}", word.trim_end()));
    assert!(word.starts_with("ftchat://alpha:8091,beta:9000,10.0.0.7:8091#"), "{word}");
    init("alpha").end().fails(1, &[&out.display().to_string(), "not empty"]);
    init("alpha").and(&["--json"]).end().refused(1, "not_empty");
}

#[test]
fn a_command_that_was_killed_leaves_no_key_beside_the_folder_once_it_is_repeated() {
    let place = Place::new();
    let home = place.path().join("hosts");
    std::fs::create_dir(&home).expect("a folder");
    let out = home.join("new");
    let shown = out.display().to_string();
    let init = || place.run(&["cluster", "init", "--hosts", "alpha,beta", "--out", &shown]);
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|it| name(it).into_string().expect("a name")).collect();
        names.sort();
        names
    };
    faults::begin(&home, Fault::Hanging);
    let killed = init().env("LD_PRELOAD", faults::library()).start();
    let half = wait_for("half of a folder", || {
        let half = home.join(names(&home).pop()?);
        half.join("alpha/config.toml").exists().then_some(half)
    });
    killed.signal(Signal::KILL);
    killed.end();
    faults::end(&home, Fault::Hanging);
    // What it would have written next.
    std::fs::write(half.join("alpha/cluster.key"), "00".repeat(32)).expect("a file");
    assert!(!out.exists());
    init().end().ok();
    assert_eq!(names(&home), ["new"]);
    assert_eq!(names(&out), ["README.txt", "alpha", "beta", "connect"]);
}

/// Two keys make two clusters, whatever the machines are.
#[test]
fn machines_that_were_given_two_clusters_refuse_each_other() {
    let Some(mut hosts) = Hosts::start() else { return };
    let again = hosts.place.path().join("again").display().to_string();
    let init = ["cluster", "init", "--hosts", "10.9.0.1,10.9.0.2,10.9.0.3", "--out", &again];
    hosts.run(&init).end().ok();
    let server = hosts.servers.remove(0);
    server.signal(Signal::TERM);
    server.end().ok();
    let config = format!("{again}/10.9.0.1/config.toml");
    let data = hosts.place.path().join("data-again").display().to_string();
    let listen = format!("10.9.0.1:{PORT}");
    let serve = ["serve", "--config", &config, "--listen", &listen, "--data-dir", &data];
    let stranger = hosts.run(&serve).start();
    stranger.said("shows the fingerprint");
    // The two others go on, and nobody speaks with the stranger.
    hosts.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    let status = hosts.run(&["status", "--json"]).end().json();
    assert_eq!(status["writable"], true, "{status}");
    let error = status["replicas"][0]["error"].to_string();
    assert!(error.contains("it belongs to another cluster"), "{status}");
    stranger.signal(Signal::TERM);
    stranger.end();
}

/// Servers that listen on all addresses call each other on their machine in TLS too, also
/// the one that asks for its replica.
#[test]
fn a_server_that_listens_everywhere_gets_its_replica_back() {
    let Some(mut hosts) = Hosts::on_ports([PORT, PORT + 1, PORT + 2], false, "open") else {
        return;
    };
    // Each listens on all addresses, and is shown where others reach it.
    let status = hosts.run(&["status", "--json"]).end().json();
    let shown = |n: usize| status["replicas"][n]["address"].clone();
    assert_eq!([0, 1, 2].map(shown), ["10.9.0.1:8091", "10.9.0.2:8092", "10.9.0.3:8093"]);
    hosts.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    for id in [3, 2] {
        let server = hosts.servers.remove(id - 1);
        server.signal(Signal::KILL);
        server.end().code(137);
    }
    hosts.run(&["send", "alice", "alone"]).end().ok();
    let host_of = |hosts: &Hosts, id: usize| {
        let status = hosts.run(&["status", "--json"]).end();
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        status["replicas"][id - 1]["hosted_by"].as_u64()
    };
    // One is enough for a majority.
    let adopted = [2, 3].into_iter().find(|id| host_of(&hosts, *id) == Some(1));
    let adopted = adopted.expect("one that is adopted");
    let back = hosts.serve(adopted, None).start();
    wait_for("a replica that is given back", || {
        (host_of(&hosts, adopted) == Some(adopted as u64)).then_some(())
    });
    hosts.run(&["send", "alice", "together"]).end().ok();
    back.signal(Signal::TERM);
    back.end().ok();
}

#[test]
fn a_dead_machine_is_replaced_by_a_new_one_and_all_addresses_change() {
    let Some(mut hosts) = Hosts::start() else { return };
    hosts.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    hosts.run(&["send", "alice", "before"]).end().ok();
    let key = hosts.key();
    let dead = hosts.servers.remove(2);
    dead.signal(Signal::KILL);
    dead.end().code(137);
    let out = hosts.place.path().join("new/10.9.0.4").display().to_string();
    let replace = ["cluster", "replace", "3", "10.9.0.4", "--out", &out, "--json"];
    let new = hosts.run(&replace).and(&["--cluster-key-file", &key]).end().json();
    assert_eq!((&new["id"], &new["dir"]), (&4.into(), &(&*out).into()), "{new}");
    let waits = new["waits_for"].as_str().expect("nobody is there yet");
    assert!(waits.contains("10.9.0.4:8091: start it there"), "{waits}");
    let server = hosts.serve(4, Some(PORT)).start();
    hosts.servers.push(server);
    let whole = |hosts: &Hosts, what: &str| {
        wait_for(what, || (hosts.run(&["status", "--check"]).end().code == Some(0)).then_some(()));
    };
    whole(&hosts, "the new one votes");
    // The folder of the dead one is no way in.
    hosts.serve(3, Some(PORT)).end().fails(7, &["replica 3 was removed"]);

    // One after the other learns of the new addresses, while it can be reached at the old one.
    for (id, at) in [(1, "10.9.0.5"), (2, "10.9.0.6"), (4, "10.9.0.7")] {
        let arguments = ["cluster", "move", &id.to_string(), at, "--cluster-key-file", &key];
        hosts.run(&arguments).end().ok();
    }
    for server in std::mem::take(&mut hosts.servers) {
        server.signal(Signal::TERM);
        server.end().code(0);
    }
    for (id, at) in [(1, "10.9.0.5"), (2, "10.9.0.6"), (4, "10.9.0.7")] {
        let server = hosts.serve(id, None).and(&["--listen", &format!("{at}:{PORT}")]).start();
        hosts.servers.push(server);
    }
    let word = hosts.place.environment()["FTCHAT_SERVERS"].clone();
    let fingerprint = word.split_once('#').expect("a word").1.to_string();
    hosts.place.set("FTCHAT_SERVERS", format!("ftchat://10.9.0.5#{fingerprint}"));
    whole(&hosts, "all are elsewhere");
    let inbox = hosts.run(&["inbox", "--json"]).end().objects();
    assert_eq!(inbox[0]["text"], "before");
}

/// A file is carried to each machine, as the README of the folder says.
#[test]
fn machines_get_a_new_key_one_after_the_other_and_clients_follow() {
    let Some(mut hosts) = Hosts::start() else { return };
    hosts.run(&["register", "alice", "--password-stdin"]).stdin(PASSWORD).end().ok();
    let path = |name: &str| hosts.place.path().join(name).display().to_string();
    let (out, old, config) = (path("new-key"), path("old.key"), path("new/10.9.0.3/config.toml"));
    let files = [1, 2, 3].map(|id| {
        let file = format!("10.9.0.{id}/cluster.key");
        (path(&format!("new-key/{file}")), path(&format!("new/{file}")))
    });
    std::fs::copy(hosts.key(), &old).expect("a copy");
    let rekey = |hosts: &Hosts| {
        let rekey = ["cluster", "rekey", "--json", "--out", &out, "--cluster-key-file", &old];
        hosts.run(&rekey).end().json()
    };
    let begun = rekey(&hosts);
    assert_eq!(begun["stage"], "announced", "{begun}");
    for (new, there) in &files {
        hosts.run(&["send", "alice", "meanwhile"]).end().ok();
        std::fs::copy(new, there).expect("carried");
    }
    let done = wait_for("the old key is forgotten", || {
        let rekeyed = rekey(&hosts);
        (rekeyed["stage"] == "done").then_some(rekeyed)
    });
    // The word that was handed out before leads to the new key.
    let sent = hosts.run(&["send", "alice", "hello"]).end().code(0);
    let new = done["fingerprint"].as_str().expect("a text");
    assert!(sent.stderr.contains(new) && sent.stderr.contains("has signed"), "{sent:#?}");
    for (new, there) in &files {
        std::fs::copy(new, there).expect("carried once more");
    }
    // A machine that has only the new key, and has lost its data, is let in.
    drop(hosts.servers.pop());
    std::fs::remove_dir_all(hosts.place.path().join("data-3")).expect("its data");
    let server = hosts.serve(3, Some(PORT)).start();
    hosts.servers.push(server);
    wait_for("three servers in step", || {
        (hosts.run(&["status", "--check"]).end().code == Some(0)).then_some(())
    });
    let word = hosts.run(&["cluster", "address", "--config", &config]);
    assert!(word.env("FTCHAT_SERVERS", "").end().ok().contains(new));
}
