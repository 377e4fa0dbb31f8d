//! Text that wants to do something to whoever looks at it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::harness::{Cluster, Place, Terminal};

/// Clears the screen, names the window, types a command in bad terminals, rings,
/// goes back, reverses, hides, and pretends to be another message.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}b\u{8}\u{7f}c\u{9b}31m\u{85}d\u{202e}e\u{2066}f\
    \u{200b}g\u{feff}h\r\ti\nmallory  2026-01-01 00:00:00 +00:00  deadbeef";

/// What must never reach a terminal or a line of plain output from a message.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || c == '\u{feff}'
}

#[test]
fn a_pipe_gets_it_escaped_on_one_line_and_json_exactly() {
    let cluster = Cluster::shared();
    let (mallory, bob) = (cluster.person("mallory"), cluster.person("bob"));
    let text = format!("{HOSTILE}\0end");
    mallory.run(&["send", &bob.name]).stdin(&text).end().ok();
    let plain = bob.does(&["inbox", "--peek"]).ok();
    assert_eq!(plain.lines().count(), 1, "{plain:?}");
    let line = plain.trim_end_matches('\n');
    assert!(!line.replace('\t', "").chars().any(is_dangerous), "{line:?}");
    for shown in [r"\u{1b}[2J", r"\u{7}", r"\u{9b}", r"\u{202e}", r"\u{200b}", r"\n", r"\u{0}"] {
        assert!(line.contains(shown), "no {shown} in {line}");
    }
    assert_eq!(line.split('\t').count(), 4, "{line:?}");
    assert_eq!(bob.does(&["inbox", "--peek", "--json"]).json()["text"], text);
    let sent = mallory.does(&["inbox", "--sent"]).ok();
    assert!(!sent.trim_end_matches('\n').replace('\t', "").chars().any(is_dangerous), "{sent:?}");
}

#[test]
fn a_terminal_gets_nothing_that_it_obeys() {
    let cluster = Cluster::shared();
    let (mallory, bob) = (cluster.person("mallory"), cluster.person("bob"));
    mallory.run(&["send", &bob.name]).stdin(HOSTILE).end().ok();
    let (code, shown) = bob.types(&["inbox", "--color", "never"]).end();
    assert_eq!(code, Some(0));
    assert!(!shown.replace("\r\n", "").chars().any(is_dangerous), "{shown:?}");
    // Its second line is indented, so it does not pass for a message.
    assert!(shown.contains("\r\n    mallory  2026"), "{shown:?}");
}

#[test]
fn errors_quote_it_escaped() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    for line in [
        &["send", HOSTILE, "x"][..],
        &["delete", HOSTILE],
        &["inbox", "--since", HOSTILE],
        &["inbox", "--from", HOSTILE],
        &["inbox", "--limit", HOSTILE],
        &["send", "bob", "x", "--id", HOSTILE],
        &[HOSTILE],
        &["login", HOSTILE, "--password-stdin"],
        &["whoami", "--user", HOSTILE],
        &["whoami", "--servers", HOSTILE],
        &["whoami", "--profile", HOSTILE],
        &["connect", HOSTILE],
        &["connect", "ftchat://h:1", "--name", HOSTILE],
        &["profiles", "remove", HOSTILE],
        &["whoami", "--config", HOSTILE],
        &["delete-account", "--confirm", HOSTILE, "--password-stdin"],
    ] {
        let output = alice.run(line).stdin("some password").end();
        assert!(output.code.is_some_and(|code| code != 0), "{output:?}");
        let shown = output.stderr.replace('\n', "");
        assert!(!shown.chars().any(is_dangerous), "{output:?}");
    }
}

#[test]
fn texts_passwords_and_tokens_are_in_no_log() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "a text that nobody else may read");
    alice
        .run(&["login", &alice.name, "--password-stdin"])
        .stdin("a password that is wrong")
        .end()
        .code(4);
    let logs = cluster.admin(&["logs"]).end().ok();
    assert!(!logs.is_empty());
    for secret in ["a text that nobody", "a password that", crate::harness::cluster::PASSWORD] {
        assert!(!logs.contains(secret), "{secret:?} is in a log");
    }
}

/// What a server that means harm answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// An error line in the place of its hello.
    InHello,
    /// A hello that is none.
    NoHello,
    /// Every request is refused, in its words.
    InErrors,
    /// Every request is answered with garbage.
    Garbage,
    /// Answers whose every text is hostile, where texts are free.
    InAnswers,
}

/// A server that answers everybody with what is hostile. Ends with the test.
fn harmful_server(harm: Harm) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let own = address.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let own = own.clone();
            // Whoever hangs up has heard enough.
            std::thread::spawn(move || drop(harm_one(harm, stream, &own)));
        }
    });
    address
}

fn harm_one(harm: Harm, stream: TcpStream, own: &str) -> std::io::Result<()> {
    let text = format!("harm {HOSTILE}");
    let error = json!({"code": "name_taken", "message": text, "retryable": false});
    let cluster = "3d9f6a57-78f1-4426-afd0-49a028534f06";
    let mut writer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    lines.next().transpose()?;
    match harm {
        Harm::InHello => return writeln!(writer, "{}", json!({"error": error})),
        Harm::NoHello => return writeln!(writer, "{text}"),
        _ => {}
    }
    let version = if harm == Harm::InAnswers { text.as_str() } else { "0.1.0" };
    writeln!(
        writer,
        "{}",
        json!({"ftchat": 1, "version": version, "cluster": cluster, "replica": 1})
    )?;
    for line in lines {
        let request: Value = serde_json::from_str(&line?)?;
        let id = request["id"].clone();
        let kind = request["request"].as_object().and_then(|it| it.keys().next().cloned());
        let answer = match (harm, kind.as_deref().unwrap_or_default()) {
            (Harm::InErrors, _) => json!({"id": id, "error": error}),
            (Harm::Garbage, _) => {
                writeln!(writer, "{{\"id\":{id},\"result\":{{\"{text}\":")?;
                continue;
            }
            (_, "authenticate" | "login" | "register" | "whoami") => json!({"id": id, "result":
                {"session": {"name": "bob", "account": cluster, "expires": "2099-01-01T00:00:00.000Z"}}}),
            (_, "status") => json!({"id": id, "result": {"status": {
                "cluster": cluster, "replica": 1, "leader": 1, "term": 1, "writable": true,
                "commit": 1, "survivor": "auto", "notice": text,
                "members": [{"id": 1, "address": own}],
                "hosted": [{"id": 1, "address": own, "state": "leader", "term": 1, "last_log": 1,
                    "applied": 1, "lag": 0, "hosted_by": 1, "pid": 1, "version": text,
                    "uptime_s": 1, "disk_bytes": 1, "state_hash": text, "error": text}],
            }}}),
            (_, "inbox") => json!({"id": id, "result": {"messages": {"more": false, "messages": [
                {"id": cluster, "from": "mallory", "to": ["bob"], "text": text,
                 "at": "2026-01-01T00:00:00.000Z", "seq": 1, "read": false}]}}}),
            (_, "settings") => json!({"id": id, "result": {"settings":
                {"settings": [{"key": text, "value": text}]}}}),
            // A name that none can have, which the client must not show either.
            (_, "blocked") => json!({"id": id, "result": {"blocked": {"names": [text]}}}),
            (_, "accounts") => json!({"id": id, "result": {"accounts":
                {"names": [text], "more": false}}}),
            _ => json!({"id": id, "result": {"done": {}}}),
        };
        writeln!(writer, "{answer}")?;
    }
    Ok(())
}

/// Every verb that talks to servers, with servers that mean harm, at a terminal
/// and in a pipe, and with a log of what the client tries.
#[test]
fn nothing_that_a_server_says_acts_on_a_terminal() {
    let token = "0a".repeat(32);
    for harm in [Harm::InHello, Harm::NoHello, Harm::InErrors, Harm::Garbage, Harm::InAnswers] {
        let mut place = Place::new();
        let server = harmful_server(harm);
        let word = format!("ftchat://{server}");
        place.set("FTCHAT_SERVERS", server);
        place.set("FTCHAT_TIMEOUT", "300ms");
        let mut quoted = 0;
        for line in [
            &["whoami"][..],
            &["accounts"],
            &["send", "alice", "x"],
            &["inbox", "--peek"],
            &["delete", "3d9f6a57"],
            &["status"],
            &["connect", &word],
            &["logout"],
            &["passwd", "--password-stdin"],
            &["sessions"],
            &["sessions", "revoke", "--others"],
            &["settings"],
            &["block", "mallory"],
            &["blocked"],
            &["login", "bob", "--password-stdin"],
            &["register", "bob", "--password-stdin"],
            &["delete-account", "--confirm", "bob", "--password-stdin"],
        ] {
            for verbose in [&[][..], &["-vvv"]] {
                let mut run = place.run(line).and(verbose).and(&["--color", "never"]);
                if !matches!(line[0], "login" | "register") {
                    run = run.env("FTCHAT_TOKEN", &token);
                }
                let piped = run.clone().stdin("some password").end();
                for text in [&piped.stdout, &piped.stderr] {
                    let text = text.replace(['\n', '\t'], "");
                    assert!(!text.chars().any(is_dangerous), "{harm:?} {line:?}: {text:?}");
                    quoted +=
                        usize::from(text.contains(r"\u{1b}[2J") || text.contains(r"\u{202e}"));
                }
                if line.contains(&"--password-stdin") {
                    continue;
                }
                let (_, shown) = Terminal::start(run).end();
                let shown = shown.replace("\r\n", "");
                assert!(!shown.chars().any(is_dangerous), "{harm:?} {line:?}: {shown:?}");
            }
        }
        // What is no answer at all is not quoted.
        let shown = !matches!(harm, Harm::NoHello | Harm::Garbage);
        assert!(quoted > 0 || !shown, "{harm:?}: it is shown nowhere, so nothing was tested");
    }
}
