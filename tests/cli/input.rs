//! What is wrong before or on the way to a server: usage, text, addresses,
//! configuration.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::harness::place::free_ports;
use crate::harness::{Cluster, Place};

#[test]
fn wrong_usage_is_told_in_words_and_in_json() {
    let place = Place::new();
    for line in [
        &["whoamy"][..],
        &[],
        &["send"],
        &["inbox", "--limit", "many"],
        &["inbox", "--sent", "--all"],
        &["send", "bob", "x", "--id", "no-uuid"],
        &["cluster"],
        &["cluster", "start"],
    ] {
        let output = place.run(line).end().code(2);
        assert_eq!(output.stdout, "", "{output:?}");
        assert!(output.stderr.contains("--help") || output.stderr.contains("Usage:"), "{output:?}");
    }
    let error = place.run(&["send", "bob", "x", "--id", "no-uuid", "--json"]).end();
    let error = error.refused(2, "wrong_usage");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("no-uuid")), "{error}");
    assert_eq!(error["retryable"], false);
}

#[test]
fn help_and_version_are_results() {
    let place = Place::new();
    for line in [&["--help"][..], &["help", "send"], &["send", "--help"], &["inbox", "-h"]] {
        let output = place.run(line).end().code(0);
        assert!(output.stdout.contains("Usage:") && output.stderr.is_empty(), "{output:?}");
    }
    let version = place.run(&["--version"]).end().ok();
    assert_eq!(version, format!("ftchat {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_text_that_is_no_message_is_refused_with_the_bound_and_nothing_is_sent() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let send = |bytes: &[u8]| alice.run(&["send", &bob.name]).stdin(bytes).end();
    let lines = |bytes: &[u8]| alice.run(&["send", &bob.name, "--lines"]).stdin(bytes).end();
    send(&[b'x'; 8193]).fails(1, &["8192"]);
    send(&[b'x'; 1_000_000]).fails(1, &["8192"]);
    alice.does(&["send", &bob.name, &"x".repeat(8193)]).fails(1, &["8192", "8193"]);
    send(b"").fails(1, &["1 to 8192"]);
    alice.does(&["send", &bob.name, ""]).fails(1, &["1 to 8192"]);
    send(b"caf\xe9").fails(2, &["UTF-8", "byte offset 3"]);
    lines(b"caf\xe9\n").fails(2, &["line 1", "UTF-8"]);
    lines(&[b'x'; 8193]).fails(1, &["line 1", "8192"]);
    assert_eq!(bob.texts(), [""; 0]);
    send(&[b'x'; 8192]).ok();
    assert_eq!(bob.texts()[0].len(), 8192);
}

#[test]
fn an_unknown_recipient_is_named() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    alice.does(&["send", "nobody-here", "x"]).fails(5, &["nobody-here"]);
    let error = alice.does(&["send", "nobody-here", "x", "--json"]).refused(5, "unknown_account");
    assert_eq!(error["retryable"], false);
    alice.run(&["send", "nobody-here", "--lines"]).stdin("x\ny\n").end().fails(5, &["nobody-here"]);
    alice.does(&["send", "a b", "x"]).fails(1, &["a b"]);
}

#[test]
fn servers_that_do_not_answer_are_passed_over() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let dead = format!("127.0.0.1:{}", free_ports(1));
    // Accepts, as a frozen process does, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = (silent.local_addr().expect("bound").to_string(), silent);
    let babbler = Babbler::new();
    for strangers in [vec![&dead], vec![&dead, &silent.0], vec![&babbler.address, &silent.0]] {
        let mut servers: Vec<&str> = strangers.into_iter().map(String::as_str).collect();
        let good = &cluster.addresses()[1];
        servers.push(good);
        let list = servers.join(",");
        for _ in 0..3 {
            let whoami = alice.does(&["whoami", "--servers", &list, "--timeout", "20s"]);
            assert_eq!(whoami.ok().trim(), alice.name);
        }
    }
}

#[test]
fn when_no_server_answers_each_is_named_with_its_reason() {
    let place = Place::new();
    let dead = [free_ports(1), free_ports(1)].map(|port| format!("127.0.0.1:{port}"));
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent_address = silent.local_addr().expect("bound").to_string();
    let list = format!("{},{},{silent_address}", dead[0], dead[1]);
    let run = |line: &[&str]| {
        place.run(line).and(&["--servers", &list, "--timeout", "700ms"]).stdin("a password").end()
    };
    for line in [
        &["whoami"][..],
        &["accounts"],
        &["inbox"],
        &["send", "bob", "x"],
        &["register", "bob", "--password-stdin"],
        &["login", "bob", "--password-stdin"],
    ] {
        let output = run(line).fails(3, &[&dead[0], &dead[1], &silent_address, "refused"]);
        assert!(output.took.as_millis() >= 700, "{output:?}");
        assert!(output.took.as_millis() < 5_000, "{output:?}");
    }
    let error = run(&["whoami", "--json"]).refused(3, "unavailable");
    assert_eq!(error["retryable"], true);

    // The status is a result, also of a cluster that is gone.
    let status = run(&["status", "--json"]).code(3);
    let status = crate::harness::running::json(&status.stdout);
    assert_eq!((&status["writable"], &status["leader"]), (&false.into(), &().into()));
    let replicas = status["replicas"].as_array().expect("an array");
    assert_eq!(replicas.len(), 3);
    assert!(replicas.iter().all(|replica| replica["state"] == "unreachable"), "{status}");
    run(&["status", "--check"]).code(3);
}

/// Answers everybody with something that is not the protocol.
struct Babbler {
    address: String,
}

impl Babbler {
    fn new() -> Babbler {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        // Ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                // Whoever hangs up has heard enough.
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\x1b[2J\r\n\r\n");
            }
        });
        Babbler { address }
    }
}

#[test]
fn a_broken_configuration_names_file_line_and_key() {
    let mut place = Place::new();
    place.set("FTCHAT_SERVERS", "127.0.0.1:9");
    for (content, line, words) in [
        ("timeout = 'soon'\n", 1, &["timeout", "a duration"][..]),
        ("json = false\n\n[serve]\nid = 0\n", 4, &["serve.id", "from 1"]),
        ("user = 'a b'", 1, &["user", "letters"]),
        ("color = 'pink'", 1, &["color", "never"]),
        ("quiet = 'very'", 1, &["quiet", "true or false"]),
        ("# a comment\nserver = 'h:1'\n", 2, &["server"]),
        ("[limits]\nsesion_lifetime_s = 5\n", 2, &["limits.sesion_lifetime_s"]),
        ("json = true\njson\n", 2, &["TOML"]),
        ("token = 'secret'\n", 1, &["token"]),
    ] {
        let path = place.write("broken.toml", content).display().to_string();
        let place_words = format!("{path}:{line}: ");
        let mut expected = vec![place_words.as_str()];
        expected.extend(words);
        for command in [&["whoami"][..], &["config", "show"]] {
            place.run(command).and(&["--config", &path]).end().fails(2, &expected);
        }
        place.run(&["whoami"]).env("FTCHAT_CONFIG", &path).end().fails(2, &expected);
    }
    let path = place.write("latin1.toml", b"user = '\xe9'").display().to_string();
    place.run(&["whoami", "--config", &path]).end().fails(2, &[&path, "UTF-8"]);
    place.run(&["whoami", "--config", "/nonexistent.toml"]).end().fails(2, &["/nonexistent.toml"]);
    let json = place.run(&["whoami", "--json", "--config", "/nonexistent.toml"]).end();
    json.refused(2, "invalid_config");
    place.run(&["whoami", "--timeout", "soon"]).end().fails(2, &["--timeout", "soon"]);
    place.run(&["whoami"]).env("FTCHAT_TIMEOUT", "soon").end().fails(2, &["FTCHAT_TIMEOUT"]);
    place.run(&["whoami", "--servers", "h"]).end().fails(2, &["--servers", "HOST:PORT"]);
}

#[test]
fn each_value_in_force_is_shown_with_its_origin() {
    let place = Place::new();
    std::fs::create_dir_all(place.path().join("home/config/ftchat")).expect("a folder");
    let file = place.write("home/config/ftchat/config.toml", "timeout = '3s'\nuser = 'carol'\n");
    let value = |key: &str, run: crate::harness::Run| {
        let rows = run.end().objects();
        let row = rows.into_iter().find(|row| row["key"] == key).expect("every key is shown");
        (row["value"].as_str().map(str::to_string), row["origin"].as_str().map(str::to_string))
    };
    let show = || place.run(&["config", "show", "--json"]);
    let both = |value: &str, origin: &str| (Some(value.to_string()), Some(origin.to_string()));
    let in_file = format!("{}:1", file.display());
    assert_eq!(value("timeout", show()), both("3s", &in_file));
    let variable = || show().env("FTCHAT_TIMEOUT", "4s");
    assert_eq!(value("timeout", variable()), both("4s", "environment FTCHAT_TIMEOUT"));
    let flag = variable().and(&["--timeout", "5s"]);
    assert_eq!(value("timeout", flag), both("5s", "flag --timeout"));
    assert_eq!(value("color", show()), both("auto", "default"));
    let secret = show().env("FTCHAT_TOKEN", "5ecre7").end().ok();
    assert!(!secret.contains("5ecre7"), "{secret}");
    let plain = place.run(&["config", "show"]).end().ok();
    assert!(plain.lines().all(|line| line.split('\t').count() == 3), "{plain}");
}

#[test]
fn what_is_needed_for_nothing_may_be_missing_or_without_an_end() {
    let cluster = Cluster::shared();
    let place = &cluster.place;
    // No home, and one that cannot be looked into.
    for home in ["/dev/null", "/proc/1/nowhere"] {
        let homeless = |line: &[&str]| {
            let run = place.run(line).env("HOME", home);
            let below = |name: &str| format!("{home}/{name}");
            run.env("XDG_CONFIG_HOME", &below("config"))
                .env("XDG_STATE_HOME", &below("state"))
                .end()
        };
        homeless(&["status"]).ok();
        homeless(&["config", "show"]).ok();
        homeless(&["cluster", "env", "--dir", &cluster.dir()]).ok();
        homeless(&["whoami", "--json"]).refused(4, "not_logged_in");
    }
    // No more of a file is read than it may have.
    let zero = "/dev/zero";
    place.run(&["status", "--config", zero]).end().fails(2, &[zero, "more than"]);
    let login = ["login", "alice", "--password-file", zero];
    place.run(&login).end().fails(1, &[zero, "longer than"]);
    let key = ["backup", "-", "--cluster-key-file", zero];
    place.run(&key).end().fails(2, &[zero]);
    place.run(&["restore", "--check", zero]).end().fails(1, &[zero, "line 1"]);
}

#[test]
fn a_value_that_is_no_text_is_refused_and_a_home_is_found() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    // A folder of another name would be made, and the sessions not be found again.
    let script = r#"FTCHAT_SESSIONS_DIR=$(printf '%s/caf\351' "$HOME") exec "$@""#;
    let odd = cluster.run(&["whoami"]).under(&["sh", "-c", script, "sh"]).end();
    odd.fails(2, &["FTCHAT_SESSIONS_DIR", "UTF-8"]);
    let home = cluster.place.path().join("home");
    let below = alice.sessions_dir().strip_prefix(&home).expect("below").display().to_string();
    let file = cluster.place.write("home.toml", format!("sessions_dir = '~/{below}'\n"));
    let whoami = ["whoami", "--config", file.to_str().expect("ours")];
    assert_eq!(cluster.run(&whoami).end().ok().trim(), alice.name);
    let file = cluster.place.write("other.toml", "sessions_dir = '~bob/x'\n");
    let other = ["whoami", "--config", file.to_str().expect("ours")];
    cluster.run(&other).end().fails(2, &["other.toml:1", "~bob/x"]);
}

#[test]
fn a_zone_that_is_none_is_told_where_it_matters() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "now");
    let since =
        |when: &str| bob.run(&["inbox", "--peek", "--since", when]).env("TZ", "nowhere").end();
    since("2026-01-01").fails(2, &["TZ", "nowhere"]);
    assert!(since("1h").ok().ends_with("now\n"));
    assert!(since("2026-01-01T00:00:00Z").ok().ends_with("now\n"));
    bob.does(&["inbox", "--since", "2026-01-01T00:00[Nowhere/Land]"]).fails(2, &["Nowhere/Land"]);
    let run = bob.run(&["inbox", "--peek"]).env("TZ", "nowhere");
    let (code, shown) = crate::harness::Terminal::start(run).end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("times are shown in UTC") && shown.contains("+00:00"), "{shown}");
}
