//! Command lines that are printed do what they say to what they are about.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::harness::place::{PROGRAM, free_ports};
use crate::harness::{Cluster, Place, Terminal};

/// What a text says to type: from the program's name to the end of its line.
#[track_caller]
fn line_in(text: &str) -> String {
    let at = text.rfind("ftchat ").unwrap_or_else(|| panic!("no command line in {text:?}"));
    text[at..].lines().next().expect("a line").trim_end().to_string()
}

/// Types a line into a shell, in another folder than it was printed in.
fn typed(place: &Place, line: &str) -> Output {
    let bin = place.path().join("bin");
    if std::fs::create_dir(&bin).is_ok() {
        std::os::unix::fs::symlink(PROGRAM, bin.join("ftchat")).expect("a link");
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    Command::new("sh")
        .args(["-c", line])
        .current_dir("/")
        .env_clear()
        .envs(place.environment())
        .env("PATH", path)
        .output()
        .expect("a shell")
}

/// Two clusters of one server each: the one that needs no flag, and one in a
/// folder with a name that a shell would not leave whole.
fn two_clusters() -> (Place, String) {
    let mut place = Place::new();
    place.set("FTCHAT_CLUSTER_REPLICAS", "1");
    let dir = place.path().join("it's another").display().to_string();
    for flags in [&[][..], &["--dir", &dir]] {
        let port = free_ports(1).to_string();
        place.run(&["cluster", "up", "-d", "--base-port", &port]).and(flags).end().ok();
    }
    (place, dir)
}

fn runs(place: &Place, flags: &[&str]) -> bool {
    let env = place.run(&["cluster", "env", "--json"]).and(flags).end();
    if env.code != Some(0) {
        return false;
    }
    let servers = env.json()["FTCHAT_SERVERS"].as_str().expect("addresses").to_string();
    place.run(&["status", "--servers", &servers]).end().code == Some(0)
}

#[test]
fn what_is_said_about_one_cluster_is_not_done_to_another() {
    let (place, dir) = two_clusters();
    let there = ["--dir", dir.as_str()];
    let port = free_ports(1).to_string();
    let refused = place.run(&["cluster", "up", "-d", "--base-port", &port]).and(&there).end();
    let purge = line_in(&refused.code(2).stderr);
    assert!(purge.starts_with("ftchat cluster down --purge --dir "), "{purge}");
    let survivor = ["cluster", "up", "-d", "--survivor", "never"];
    let refused = place.run(&survivor).and(&there).end();
    assert!(typed(&place, &line_in(&refused.code(2).stderr)).status.success());
    assert!(!runs(&place, &there) && runs(&place, &[]));
    assert!(typed(&place, &purge).status.success());
    assert!(!PathBuf::from(&dir).exists() && runs(&place, &[]));
    // And back again, with the words of a command that finds nothing there.
    let missing = place.run(&["cluster", "kill", "1"]).and(&there).end();
    let up = line_in(&missing.code(5).stderr).replace("cluster up", "cluster up -d --base-port 0");
    let up = up.replace("--base-port 0", &format!("--base-port {}", free_ports(1)));
    assert!(typed(&place, &up).status.success(), "{up}");
    assert!(runs(&place, &there) && runs(&place, &[]));
}

#[test]
fn what_to_try_next_is_about_the_cluster_that_was_started() {
    let (place, dir) = two_clusters();
    let there = ["--dir", dir.as_str()];
    let up = place.run(&["cluster", "up", "-d"]).and(&there).end().code(0);
    let lines: Vec<&str> = up.stderr.lines().map(str::trim).collect();
    let find = |start: &str| *lines.iter().find(|it| it.starts_with(start)).expect(start);
    let script = format!(
        "{}\n{} --password-stdin <<end\ncorrect horse\nend\n{}\n{}",
        find("eval"),
        find("ftchat register alice"),
        find("ftchat send alice"),
        find("ftchat inbox")
    );
    let said = typed(&place, &script);
    assert!(String::from_utf8_lossy(&said.stdout).contains("hello, future me"), "{said:?}");
    assert!(typed(&place, find("ftchat cluster down")).status.success());
    assert!(!runs(&place, &there) && runs(&place, &[]));
}

#[test]
fn who_named_servers_is_told_to_log_in_there() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let servers = cluster.addresses().join(",");
    let there = ["--servers", servers.as_str()];
    let stranger = alice.run(&["whoami", "--user=-dash"]).and(&there).end().code(4);
    let login = line_in(&stranger.stderr);
    assert_eq!(login, format!("ftchat login --servers {servers} -- -dash"));
    let kept = alice.sessions_dir();
    let copy = cluster.place.path().join("home").join(format!("{}-copy", alice.name));
    let copied = Command::new("cp").arg("-r").args([&kept, &copy]).status();
    assert!(copied.expect("cp").success());
    alice.does(&["logout"]).ok();
    let ended =
        alice.run(&["inbox"]).and(&there).env("FTCHAT_SESSIONS_DIR", &copy.display().to_string());
    let ended = ended.end().code(4);
    assert_eq!(line_in(&ended.stderr), format!("ftchat login NAME --servers {servers}"));
    let here = alice.run(&["inbox"]).env("FTCHAT_SESSIONS_DIR", &copy.display().to_string());
    assert_eq!(line_in(&here.end().code(4).stderr), "ftchat login NAME");
}

#[test]
fn a_status_shows_command_lines_about_the_cluster_that_it_is_about() {
    let mut place = Place::new();
    let status = |place: &Place| Terminal::start(place.run(&["status"])).end().1;
    for (flags, known) in
        [(&["--name", "-dev"][..], true), (&["--dir", "elsewhere"], false), (&[], true)]
    {
        let flags: Vec<String> = flags
            .iter()
            .map(|flag| {
                flag.replace("elsewhere", &place.path().join("elsewhere").display().to_string())
            })
            .collect();
        // A name may begin with a dash.
        let flags = match flags.as_slice() {
            [flag, value] => vec![format!("{flag}={value}")],
            _ => flags,
        };
        let base = free_ports(3);
        let port = base.to_string();
        let up = ["cluster", "up", "-d", "--survivor", "never", "--base-port", &port];
        place.run(&up).and(&flags).end().ok();
        let addresses: Vec<String> =
            (base..base + 3).map(|port| format!("127.0.0.1:{port}")).collect();
        place.set("FTCHAT_SERVERS", addresses.join(","));
        place.run(&["cluster", "kill", "2"]).and(&flags).end().ok();
        let shown = status(&place);
        assert!(shown.contains("replica 2 is down"), "{shown}");
        if known {
            let start = line_in(&shown);
            assert!(typed(&place, &start).status.success(), "{start}");
            let started = place.run(&["cluster", "start", "2", "--json"]).and(&flags).end().json();
            assert_eq!(started["already_running"], true);
        } else {
            assert!(!shown.contains("ftchat cluster"), "{shown}");
        }
        // With nobody left to tell the numbers, the order of the list is none.
        place.run(&["cluster", "down"]).and(&flags).end().ok();
        place.set("FTCHAT_SERVERS", format!("{},{}", addresses[2], addresses[0]));
        let json = place.run(&["status", "--json"]).end().code(3).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let ids: Vec<_> = json["replicas"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|it| it["id"].clone())
            .collect();
        let numbers = if known {
            [1, 3].map(serde_json::Value::from)
        } else {
            [const { serde_json::Value::Null }; 2]
        };
        assert_eq!(ids, numbers);
        let plain = place.run(&["status"]).end().code(3).stdout;
        let reasons = plain.lines().filter(|line| line.starts_with("notice\t")).count();
        assert_eq!(reasons, plain.matches(": connection refused\n").count(), "{plain}");
        assert_eq!(reasons, 2, "{plain}");
    }
}
