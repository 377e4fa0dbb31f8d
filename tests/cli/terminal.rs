//! The program at a terminal.

use crate::harness::cluster::PASSWORD;
use crate::harness::{Cluster, Terminal};

/// Ctrl-C and Ctrl-D as keys.
const INTERRUPT: &str = "\u{3}";
const END_OF_FILE: &str = "\u{4}";

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    let mut terminal = alice.types(&["register", &alice.name]);
    terminal.await_secret_prompt(&format!("New password for {}: ", alice.name));
    terminal.keys(&format!("{PASSWORD}\n"));
    terminal.await_secret_prompt("again: ");
    terminal.keys(&format!("{PASSWORD}\n"));
    terminal.await_text("Registered and logged in");
    assert!(terminal.echoes(), "echo is off for good");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    assert_eq!(alice.does(&["whoami"]).ok().trim(), alice.name);

    let mut terminal = alice.types(&["login", &alice.name]);
    terminal.await_secret_prompt("Password");
    terminal.keys("wrong horse\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(4), "{shown}");
    assert!(!shown.contains("wrong horse"), "{shown}");
}

#[test]
fn two_passwords_that_differ_make_no_account() {
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    let mut terminal = alice.types(&["register", &alice.name]);
    terminal.await_secret_prompt("New password");
    terminal.keys("correct horse\n");
    terminal.await_secret_prompt("again: ");
    terminal.keys("incorrect horse\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("differ"), "{shown}");
    alice.run(&["register", &alice.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
}

#[test]
fn an_interrupted_prompt_ends_with_130() {
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    let mut terminal = alice.types(&["register", &alice.name]);
    terminal.await_secret_prompt("New password");
    terminal.keys(INTERRUPT);
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn a_prompt_that_is_interrupted_gives_the_echo_back() {
    use rustix::process::Signal;
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    // A script goes on after its command, and restores nothing by itself.
    let script = r#""$@"; echo "ended with $?"; read -r line; echo "got $line""#;
    for signal in [None, Some(Signal::INT), Some(Signal::TERM), Some(Signal::HUP)] {
        let run = alice.run(&["register", &alice.name]).under(&["sh", "-c", script, "sh"]);
        let mut terminal = Terminal::start(run);
        terminal.await_secret_prompt("New password");
        match signal {
            None => terminal.keys(INTERRUPT),
            Some(signal) => terminal.signal_program(signal),
        }
        terminal.await_text("ended with 130");
        assert!(terminal.echoes(), "{signal:?} left the terminal without echo");
        terminal.keys("typed\n");
        terminal.await_text("got typed");
        assert_eq!(terminal.end().0, Some(0));
    }
}

#[test]
fn deleting_an_account_asks_for_name_and_password() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let mut terminal = alice.types(&["delete-account"]);
    terminal.await_text("Type its name to go on: ");
    assert!(terminal.echoes());
    terminal.keys(&format!("{}\n", alice.name));
    terminal.await_secret_prompt("password: ");
    terminal.keys(&format!("{PASSWORD}\n"));
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&format!("Deleted the account {}", alice.name)), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn a_message_is_typed_to_its_end() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let mut terminal = alice.types(&["send", &alice.name]);
    terminal.await_text("Ctrl-D");
    terminal.keys(&format!("two\nlines\n{END_OF_FILE}"));
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(alice.texts(), ["two\nlines"]);
}

#[test]
fn the_inbox_is_laid_out_with_local_time_and_colour() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "a\nb");
    let peek = || bob.run(&["inbox", "--peek"]).env("TZ", "IST-05:30");
    let (code, shown) = Terminal::start(peek()).end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\u{1b}["), "no colour: {shown:?}");
    assert!(shown.contains(" +05:30") && shown.contains(&id[..8]), "{shown:?}");
    assert!(shown.contains("\r\n    a\r\n    b\r\n"), "{shown:?}");
    for without in [peek().env("NO_COLOR", "1"), peek().and(&["--color", "never"])] {
        let (_, shown) = Terminal::start(without).end();
        assert!(shown.contains("+05:30") && !shown.contains('\u{1b}'), "{shown:?}");
    }
    let forced = peek().env("NO_COLOR", "1").and(&["--color", "always"]);
    assert!(Terminal::start(forced).end().1.contains("\u{1b}["));
    // JSON stays JSON, and a pipe gets neither colour nor local time.
    let (_, shown) = Terminal::start(peek().and(&["--json"])).end();
    assert_eq!(crate::harness::running::json(shown.trim())["text"], "a\nb");
    let piped = peek().end().ok();
    assert!(!piped.contains('\u{1b}') && piped.contains("Z\t"), "{piped:?}");

    bob.does(&["inbox"]).ok();
    assert!(bob.types(&["inbox"]).end().1.contains("No unread messages."));
    assert!(!bob.types(&["inbox", "--quiet"]).end().1.contains("No unread"));
    assert_eq!(bob.does(&["inbox"]).code(0).stderr, "");
}

#[test]
fn the_status_is_a_table_and_off_a_terminal_lines() {
    let cluster = Cluster::shared();
    let (code, shown) = Terminal::start(cluster.run(&["status"])).end();
    assert_eq!(code, Some(0), "{shown}");
    for text in ["ADDRESS", "HOSTED BY", "UPTIME", "leader", "One more server may fail"] {
        assert!(shown.contains(text), "no {text:?} in {shown}");
    }
    let lines = cluster.run(&["status"]).end().ok();
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [9, 9, 9, 3, 3]);
    for (line, address) in lines.iter().zip(cluster.addresses()) {
        assert_eq!(line[1], address);
    }
    assert_eq!(lines[3][0], "stored");
    assert_eq!(lines[4], ["writes", "taken", "1"]);
}

#[test]
fn watching_redraws_until_it_is_interrupted() {
    let cluster = Cluster::shared();
    let mut terminal = Terminal::start(cluster.run(&["status", "--watch"]));
    for _ in 0..2 {
        terminal.await_text("\u{1b}[H");
        terminal.await_text("Writes are taken");
        terminal.await_text("Ctrl-C");
    }
    terminal.keys(INTERRUPT);
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn following_ends_with_ctrl_c() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let mut terminal = bob.types(&["inbox", "--follow"]);
    alice.send(&bob, "look here");
    terminal.await_text("look here");
    terminal.keys(INTERRUPT);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown}");
}

#[test]
fn many_lines_have_a_progress_bar_that_goes_away() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let send = |flags: &[&str]| {
        let script = r#"seq 300 | "$@" >/dev/null"#;
        let run = alice.run(&["send", &alice.name, "--lines"]).and(flags);
        Terminal::start(run.under(&["sh", "-c", script, "sh"])).end()
    };
    let (code, shown) = send(&[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("sending"), "{shown:?}");
    let last = shown.rsplit(['\r', '\n']).next().unwrap_or_default();
    assert!(!last.contains("sending"), "{shown:?}");
    for flag in ["--quiet", "--json"] {
        let (code, shown) = send(&[flag]);
        assert_eq!((code, shown.as_str()), (Some(0), ""), "{flag}");
    }
    let piped = alice.run(&["send", &alice.name, "--lines"]).stdin("a\nb\n").end().code(0);
    assert_eq!(piped.stderr, "");
    assert_eq!(alice.texts().len(), 902);
}

#[test]
fn colour_can_be_forced_into_a_pipe() {
    let cluster = Cluster::shared();
    let nobody = cluster.stranger("nobody");
    let plain = nobody.does(&["whoami"]).code(4);
    assert!(plain.stderr.starts_with("ftchat: "), "{plain:?}");
    let forced = nobody.does(&["whoami", "--color", "always"]).code(4);
    assert!(forced.stderr.starts_with("\u{1b}["), "{forced:?}");
}

#[test]
fn a_long_text_keeps_its_indent_in_every_line() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, &"word ".repeat(60));
    let (code, shown) = bob.types(&["inbox", "--peek"]).end();
    assert_eq!(code, Some(0), "{shown}");
    // The day, and who wrote it when.
    let text: Vec<&str> = shown.lines().skip(2).collect();
    assert!(text.len() >= 3, "{shown}");
    for line in text {
        assert!(line.starts_with("    word") && line.trim_end().len() <= 120, "{line:?}");
    }
}

#[test]
fn whoever_types_no_name_deletes_no_account_and_is_asked_for_no_password() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    for keys in [END_OF_FILE, "\n"] {
        let mut terminal = alice.types(&["delete-account"]);
        terminal.await_text("Type its name");
        terminal.keys(keys);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("nothing was deleted"), "{shown}");
        assert!(!shown.contains("password"), "{shown}");
    }
    assert_eq!(alice.does(&["whoami"]).ok().trim(), alice.name);
}
