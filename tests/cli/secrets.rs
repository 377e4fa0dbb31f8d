//! What must stay secret or private: the modes of every file and folder, and
//! passwords, tokens, the cluster's key and other people's texts, which are
//! looked for wherever the program leaves traces.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::raw::Raw;
use crate::harness::{Cluster, Place};

/// Every file and folder below a path, itself included.
fn below(path: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder").flatten();
        entries.for_each(|entry| found.extend(below(&entry.path())));
    }
    found
}

#[test]
fn files_are_private_whatever_the_umask_says() {
    for umask in ["000", "022", "077", "777"] {
        let script = format!("umask {umask}; exec \"$@\"");
        let cluster = Cluster::under(&["sh", "-c", &script, "sh"]);
        let alice = cluster.stranger("alice");
        let shell = ["sh", "-c", &script, "sh"];
        let run = |line: &[&str], stdin: &str| {
            alice.run(line).stdin(stdin).under(&shell).end().ok();
        };
        run(&["register", &alice.name, "--password-stdin"], "correct horse");
        run(&["send", &alice.name, "x"], "");
        run(&["inbox"], "");
        cluster.admin(&["restart", "--json"]).under(&shell).end().ok();
        let mut looked = 0;
        for root in [Path::new(&cluster.dir()).to_path_buf(), alice.sessions_dir()] {
            for path in below(&root) {
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let mode = metadata.permissions().mode() & 0o7777;
                let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode, wanted, "umask {umask}: {} has {mode:04o}", path.display());
                looked += 1;
            }
        }
        assert!(looked > 20, "a cluster of three has more files than {looked}");
        let names = below(Path::new(&cluster.dir()));
        for name in ["cluster.json", "cluster.key", "cluster.lock", "LOCK", "replica-1.log"] {
            let there = names.iter().any(|path| path.ends_with(name));
            assert!(there, "{name} was not looked at");
        }
    }
}

#[test]
fn what_others_made_keeps_its_mode() {
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let make = |path: &Path, mode: u32| {
        if path.extension().is_some() {
            fs::write(path, "").expect("own folder");
        } else {
            fs::create_dir_all(path).expect("own folder");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own");
    };
    let mut place = Place::new();
    let cluster = place.path().join("cluster");
    let [shared, state] = ["shared", "home/state/ftchat/sessions"].map(|it| place.path().join(it));
    let theirs =
        [(&cluster, 0o755), (&shared, 0o1777), (&state, 0o755)].map(|(path, m)| (path.clone(), m));
    theirs.iter().for_each(|(path, mode)| make(path, *mode));
    let port = crate::harness::place::free_ports(1);
    let dir = cluster.display().to_string();
    let (port_word, one) = (port.to_string(), ["--replicas", "1"]);
    let up = ["cluster", "up", "-d", "--dir", &dir, "--base-port", &port_word];
    place.run(&up).and(&one).end().ok();
    place.set("FTCHAT_SERVERS", format!("127.0.0.1:{port}"));
    let register = ["register", "alice", "--password-stdin"];
    place.run(&register).stdin("correct horse").end().ok();
    let login = place.run(&["login", "alice", "--password-stdin"]).stdin("correct horse");
    login.env("FTCHAT_SESSIONS_DIR", &shared.display().to_string()).end().ok();
    // A log and a data directory that somebody opened to a group stay open to it.
    place.run(&["cluster", "down", "--dir", &dir]).end().ok();
    let (log, data) = (cluster.join("replica-1.log"), cluster.join("replica-1"));
    let opened = [(log, 0o640), (data.join("LOCK"), 0o644), (data, 0o750)];
    for (path, mode) in &opened {
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).expect("our own");
    }
    place.run(&up).end().ok();
    for (path, wanted) in theirs.iter().chain(&opened) {
        assert_eq!(mode(path), *wanted, "{}", path.display());
    }
    for folder in [&shared, &state] {
        let made = fs::read_dir(folder).expect("there").next().expect("made").expect("ours").path();
        assert_eq!(mode(&made), 0o700, "{}", made.display());
        assert_eq!(mode(&made.join("alice.json")), 0o600);
    }
    place.run(&["cluster", "down", "--dir", &dir]).end().ok();
}

/// Where a secret was found, of the places where it must not be.
fn traces(place: &Place, secrets: &[(&str, String)], texts: &[(&str, String)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |name: &str, content: &str, secrets: &[(&str, String)]| {
        for (what, secret) in secrets {
            if content.contains(secret.as_str()) {
                found.push(format!("{what} is in {name}"));
            }
        }
    };
    for path in below(place.path()) {
        let Ok(bytes) = fs::read(&path) else { continue };
        let content = String::from_utf8_lossy(&bytes);
        let name = path.display().to_string();
        let kept = name.contains("/home/") && name.ends_with(".json");
        // A session is kept by its owner, and the key in its file.
        if !kept && !name.ends_with("cluster.key") {
            look(&name, &content, secrets);
        }
        if name.ends_with(".log") {
            look(&name, &content, texts);
        }
    }
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let environment = String::from_utf8_lossy(&environment).replace('\u{0}', " ");
        // Those that this test has started, and no shell that it uses.
        if !environment.contains(&place.path().display().to_string()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\u{0}', " ");
        let pid = entry.file_name().to_string_lossy().into_owned();
        look(&format!("the environment of {pid} ({line})"), &environment, secrets);
        look(&format!("the command line of {pid}"), &line, secrets);
    }
    found
}

#[test]
fn secrets_leave_no_trace_however_loud_the_log_is() {
    // As loud as it gets, for servers and commands.
    let cluster = Cluster::with(&[("FTCHAT_LOG", "trace"), ("FTCHAT_VERBOSE", "3")]);
    let (alice, bob) = (cluster.stranger("alice"), cluster.stranger("bob"));
    let (password, wrong) = ("pass-7f1c9e0d-word", "wrong-4b8a2f6e-word");
    let text = "text-c5d2e8a1-for bob's eyes only";
    let mut said = String::new();
    let mut run = |person: &crate::harness::Person<'_>, line: &[&str], stdin: &str| {
        let output = person.run(line).stdin(stdin).end();
        said.push_str(&output.stderr);
        output
    };
    for person in [&alice, &bob] {
        run(person, &["register", &person.name, "--password-stdin"], password).code(0);
    }
    run(&alice, &["login", &alice.name, "--password-stdin"], wrong).code(4);
    run(&alice, &["login", &alice.name, "--password-stdin"], password).code(0);
    run(&alice, &["send", &bob.name], text).code(0);
    run(&alice, &["send", &bob.name, "--lines"], &format!("{text}\n{text}\n")).code(0);
    run(&alice, &["send", "nobody-at-all"], text).code(5);
    run(&alice, &["delete-account", "--confirm", &alice.name, "--password-stdin"], wrong).code(4);
    let token = super::attack::token(&alice);
    let key = fs::read_to_string(Path::new(&cluster.dir()).join("cluster.key")).expect("a key");
    // Requests that are wrong in every way, with a secret in each.
    for line in [
        format!(r#"{{"id":1,"request":{{"authenticate":{{"token":"{token}"}}"#),
        format!(r#"{{"id":1,"request":{{"authenticate":{{"tokens":"{token}"}}}}}}"#),
        format!(r#"{{"id":1,"request":{{"authenticate":{{"token":["{token}"]}}}}}}"#),
        format!(r#"{{"id":1,"request":{{"{password}":{{"token":1}}}}}}"#),
        format!(r#"{{"id":"{password}","request":{{"login":{{"password":"{password}"}}}}}}"#),
        format!(r#"{{"id":1,"request":{{"login":{{"name":5,"password":"{password}"}}}}}}"#),
        password.to_string(),
    ] {
        let mut raw = Raw::client(&cluster.addresses()[0]).expect("it listens");
        raw.send_line(&line).expect("it reads");
        raw.send_line("enough").expect("it reads");
        raw.rest();
    }
    let follower = bob.run(&["inbox", "--follow", "--peek"]).start();
    assert!(follower.line().contains(text));
    let secrets = [
        ("the password", password.to_string()),
        ("the wrong password", wrong.to_string()),
        ("the token", token),
        ("the cluster's key", key.trim().to_string()),
    ];
    let texts = [("a text", text.to_string())];
    let name = [("a name, which is no secret", alice.name.clone())];
    assert!(!traces(&cluster.place, &name, &[]).is_empty(), "the search sees nothing");
    let found = traces(&cluster.place, &secrets, &texts);
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (what, secret) in secrets.iter().chain(&texts) {
        assert!(!said.contains(secret.as_str()), "{what} was said on standard error");
    }
    let log = fs::read_to_string(Path::new(&cluster.dir()).join("replica-1.log")).expect("a log");
    assert!(log.contains("DEBUG") && log.lines().count() > 100, "the log is not loud: {log}");
    drop(follower);
}
