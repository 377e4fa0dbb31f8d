//! Text that wants to do something to whoever looks at it.

use crate::harness::Cluster;

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
