//! TLS: whoever names a cluster by its fingerprint speaks with that one, in private.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::harness::place::free_ports;
use crate::harness::raw::HELLO;
use crate::harness::{Cluster, Person};

/// The fingerprint of a cluster that does not exist.
const NOBODYS: &str = "BNZU-R6QD-RFYM-JDWA-PTLT-WYSX-6OPM-QEHW-B4LO-445W-FY6G-4JQQ-VPDA-NHZF";

/// The word that names a cluster.
fn word(cluster: &Cluster) -> String {
    cluster.admin(&["address"]).end().ok().trim_end().to_string()
}

fn fingerprint(cluster: &Cluster) -> String {
    cluster.admin(&["fingerprint"]).end().ok().trim_end().to_string()
}

/// What somebody is told who looks for their account at these servers.
fn whoami(person: &Person<'_>, servers: &str) -> crate::harness::Output {
    person.run(&["whoami", "--timeout", "5s", "--servers", servers]).end()
}

#[test]
fn one_word_names_the_servers_and_how_to_know_them() {
    let cluster = Cluster::shared();
    let fingerprint = fingerprint(&cluster);
    assert_eq!(fingerprint.split('-').filter(|group| group.len() == 4).count(), 14);
    let expected = format!("ftchat://{}#{fingerprint}", cluster.addresses().join(","));
    assert_eq!(word(&cluster), expected);
    let json = cluster.admin(&["address", "--json"]).end().json();
    assert_eq!((&json["connect"], &json["fingerprint"]), (&expected.into(), &fingerprint.into()));
    let alone = cluster.admin(&["fingerprint", "--json"]).end().json();
    assert_eq!(alone["fingerprint"], json["fingerprint"]);
    // Nobody is asked for it: the key alone tells.
    let key = format!("{}/cluster.key", cluster.dir());
    let nowhere = &["cluster", "fingerprint", "--cluster-key-file", &key, "--servers", "h:1"];
    assert_eq!(cluster.place.run(nowhere).end().ok(), cluster.admin(&["fingerprint"]).end().ok());
}

/// A key that nobody named is for its own servers only: no word is made of one cluster's
/// servers and another's key.
#[test]
fn the_local_clusters_key_is_not_that_of_other_servers() {
    let cluster = Cluster::shared();
    let run = |servers: &str| {
        let run = cluster.place.run(&["cluster", "address", "--servers", servers]);
        run.env("FTCHAT_CLUSTER_DIR", &cluster.dir()).end()
    };
    assert_eq!(run(&cluster.addresses()[1]).ok(), format!("{}\n", word(&cluster)));
    assert_eq!(run(&word(&cluster)).ok(), format!("{}\n", word(&cluster)));
    let wrong = word(&cluster).replace(&fingerprint(&cluster), NOBODYS);
    run(&wrong).fails(1, &[NOBODYS, "one of them is another cluster's"]);
    run("10.0.0.1:8091").fails(2, &["--servers", "--cluster-key-file", "--name or --dir"]);
}

#[test]
fn people_who_use_the_word_notice_nothing_when_servers_die() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let word = word(&cluster);
    let follow = bob.run(&["inbox", "-f", "--json", "--servers", &word]).start();
    for (text, dead) in [("three", None), ("two", Some(cluster.leader())), ("one", None)] {
        if let Some(dead) = dead {
            cluster.crash(dead);
        } else if text == "one" {
            let alive = (1..=3).find(|id| cluster.server(*id).is_some()).expect("two are left");
            cluster.crash(alive);
        }
        let sent = alice.run(&["send", &bob.name, text, "--servers", &word]).end().ok();
        let got = follow.json();
        assert_eq!((&got["text"], got["id"].as_str()), (&text.into(), Some(sent.trim_end())));
    }
    let status = cluster.run(&["status", "--json", "--servers", &word]).end().json();
    assert_eq!(status["writable"], true, "{status}");
    follow.signal(Signal::INT);
    follow.end().code(130);
}

#[test]
fn a_backup_is_taken_in_private_too() {
    let cluster = Cluster::shared();
    let key = format!("{}/cluster.key", cluster.dir());
    let (word, file) = (word(&cluster), cluster.place.path().join("private.backup"));
    let file = file.display().to_string();
    let backup = ["backup", &file, "--cluster-key-file", &key, "--servers", &word];
    cluster.place.run(&backup).end().ok();
    let wrong = word.replace(&fingerprint(&cluster), NOBODYS);
    let backup = ["backup", "-", "--cluster-key-file", &key, "--servers", &wrong];
    cluster.place.run(&backup).end().fails(1, &[NOBODYS, "one of them is another cluster's"]);
}

#[test]
fn servers_of_another_cluster_are_told_nothing() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let wrong = word(&cluster).replace(&fingerprint(&cluster), NOBODYS);
    whoami(&alice, &wrong).fails(1, &[NOBODYS, &fingerprint(&cluster), "another cluster"]);
    let json = alice.run(&["whoami", "--json", "--servers", &wrong]).end();
    json.refused(1, "wrong_cluster");
    // One of them is passed over.
    let (other, address) = (Cluster::new(), cluster.addresses().remove(0));
    let bob = other.person("bob");
    let mixed = word(&other).replacen("ftchat://", &format!("ftchat://{address},"), 1);
    for _ in 0..8 {
        assert!(whoami(&bob, &mixed).ok().contains(&bob.name));
    }
    let status = other.run(&["status", "--servers", &mixed]).end();
    assert!(status.ok().contains("another cluster"));
}

#[test]
fn a_word_with_a_slip_in_it_is_refused_before_anybody_is_asked() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let word = word(&cluster);
    let cut = &word[..word.len() - 5];
    for (servers, told) in [
        (cut.to_string(), "52 are given"),
        (word.replace('#', "#A"), "57 are given"),
        (
            format!("{}#{}", &word[..word.find('#').expect("one")], NOBODYS.replacen('B', "C", 1)),
            "slip",
        ),
        (word.replace('#', "#0"), "no '0'"),
        ("ftchat://127.0.0.1:1,127.0.0.1:1".to_string(), "none twice"),
    ] {
        whoami(&alice, &servers).fails(2, &["--servers", told]);
        let run = alice.run(&["whoami"]).env("FTCHAT_SERVERS", &servers);
        run.end().fails(2, &["FTCHAT_SERVERS", told]);
    }
    let config = cluster.place.write("slip.toml", format!("servers = \"{cut}\"\n"));
    let run = alice.run(&["whoami", "--config", &config.display().to_string()]);
    let environment = run.env("FTCHAT_SERVERS", "");
    environment.end().fails(2, &["slip.toml:1", "52 are given"]);
}

/// Copies what comes from each side to the other, for one connection after the other,
/// and keeps all of it.
fn relay(to: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let port = free_ports(1);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let (to, seen) = (to.to_string(), Arc::new(Mutex::new(Vec::new())));
    let keeps = seen.clone();
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            let caller = caller.expect("a connection");
            let server = TcpStream::connect(&to).expect("the server listens");
            let ways = [
                (caller.try_clone().expect("a socket"), server.try_clone().expect("a socket")),
                (server, caller),
            ];
            for (mut from, mut to) in ways {
                let keeps = keeps.clone();
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        keeps.lock().expect("whole").extend(&buffer[..count]);
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    // The other side may be gone already.
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (format!("127.0.0.1:{port}"), seen)
}

#[test]
fn who_passes_everything_on_sees_nothing() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let (relay, seen) = relay(&cluster.addresses()[0]);
    let word = format!("ftchat://{relay}#{}", fingerprint(&cluster));
    let text = "a secret that nobody should see";
    alice.run(&["send", &alice.name, text, "--servers", &word]).end().ok();
    let saw = |part: &str| {
        let seen = seen.lock().expect("whole");
        seen.windows(part.len()).any(|bytes| bytes == part.as_bytes())
    };
    assert!(!seen.lock().expect("whole").is_empty());
    assert!(!saw(text) && !saw("role") && !saw(&alice.name));
    alice.run(&["send", &alice.name, text, "--servers", &relay]).end().ok();
    assert!(saw(text), "without the fingerprint it is plain text");
}

/// Whether a program is here; one that is not is told of on a line.
fn have(program: &str, arguments: &[&str]) -> bool {
    let tried = Command::new(program).args(arguments).output();
    let have = tried.is_ok_and(|output| output.status.success());
    if !have {
        // Not through a macro: those are silent in a test that passes.
        let _ = std::io::stderr().write_all(format!("skipped: no {program} here\n").as_bytes());
    }
    have
}

/// What a program prints that is given the lines of a client who asks for the status.
fn answered(program: &str, arguments: &[&str]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it was there a moment ago");
    let lines = format!("{HELLO}\n{{\"id\":1,\"request\":{{\"status\":{{}}}}}}\n");
    child.stdin.as_mut().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    let mut printed = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    for _ in 0..2 {
        std::io::BufRead::read_line(&mut output, &mut printed).expect("two lines");
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    printed
}

#[test]
fn programs_of_others_can_speak_to_a_server() {
    /// Without a name or a chain that could be checked, and without ALPN.
    const PYTHON: &str = "import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
host, port = sys.argv[1].split(':')
with context.wrap_socket(socket.create_connection((host, port))) as server:
    server.sendall(sys.stdin.readline().encode() + sys.stdin.readline().encode())
    for line in server.makefile():
        print(line, end='', flush=True)
";
    let cluster = Cluster::shared();
    let address = &cluster.addresses()[1];
    let openssl = ["s_client", "-quiet", "-connect", address];
    let alpn = ["s_client", "-quiet", "-alpn", "ftchat/1", "-connect", address];
    let mut tried: Vec<(&str, Vec<&str>)> = Vec::new();
    if have("openssl", &["version"]) {
        tried.extend([("openssl", openssl.to_vec()), ("openssl", alpn.to_vec())]);
    }
    let connect = format!("OPENSSL:{address},verify=0");
    if have("socat", &["-V"]) {
        tried.push(("socat", vec!["-", &connect]));
    }
    if have("python3", &["-c", "import ssl"]) {
        tried.push(("python3", vec!["-c", PYTHON, address]));
    }
    for (program, arguments) in tried {
        let printed = answered(program, &arguments);
        assert!(printed.contains(r#""result":{"status":"#), "{program}: {printed}");
    }
}

#[test]
fn nothing_older_than_tls_1_3_is_spoken_and_no_other_protocol_in_it() {
    if !have("openssl", &["version"]) {
        return;
    }
    let cluster = Cluster::shared();
    let address = &cluster.addresses()[2];
    for flags in [&["-tls1_2"][..], &["-alpn", "h2"]] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", address]).args(flags).stdin(Stdio::null());
        let output = openssl.output().expect("it was there a moment ago");
        assert!(!output.status.success(), "{flags:?}: {output:?}");
    }
}
