//! Commands as a user gives them, and what a program that ends says.

mod alone;
mod verbs;

use super::*;
use crate::config::CommandLines;
use crate::output::{Buffer, Closed, Full, Streams};
use clap::CommandFactory;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_parser_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn global_flags_work_before_and_after_every_verb() {
    for verb in ["whoami", "inbox -f", "send bob hi", "accounts", "logout", "delete abcd"] {
        for line in [
            format!("ftchat --json --servers h:1 --timeout 3s -q {verb}"),
            format!("ftchat {verb} --json --servers h:1 --timeout 3s -q"),
        ] {
            let global = parse(&line).expect(&line).global;
            assert!(global.json && global.quiet, "{line}");
            assert_eq!(global.servers.as_deref(), Some("h:1"), "{line}");
        }
    }
}

#[test]
fn what_nobody_reads_changes_no_exit_code_and_hides_no_other_error() {
    let full = |exit| if exit == Exit::Done { Exit::Refused } else { exit };
    for exit in [Exit::Done, Exit::Refused, Exit::Unavailable] {
        assert_eq!(end(Ok(exit), &mut lost(Box::new(Closed)).0), exit);
        assert_eq!(end(Ok(exit), &mut lost(Box::new(Full)).0), full(exit));
    }
    for (out, closed) in
        [(Box::new(Closed) as Box<dyn Write + Send>, true), (Box::new(Full), false)]
    {
        let (mut printer, said) = lost(out);
        let error = printer.flush().expect_err("lost");
        let expected = if closed { Exit::Done } else { Exit::Refused };
        assert_eq!((end(Err(error), &mut printer), said.text().is_empty()), (expected, closed));
        let another = Error::unavailable("no server answers");
        assert_eq!(end(Err(another), &mut printer), Exit::Unavailable);
        assert!(said.text().ends_with("ftchat: no server answers\n"));
    }
}

/// A printer whose output is lost.
fn lost(out: Box<dyn Write + Send>) -> (Printer, Buffer) {
    let err = Buffer::default();
    let streams = Streams::piped(out, Box::new(err.clone()));
    let mut printer = Printer::with_streams(false, false, streams);
    printer.raw("x");
    (printer, err)
}

#[test]
fn wrong_usage_is_a_sentence() {
    for (line, word) in [
        ("ftchat whoamy", "whoamy"),
        ("ftchat send", "TO"),
        ("ftchat inbox --limit x", "--limit"),
        ("ftchat inbox --sent --exec c", "--exec"),
        ("ftchat login bob --password secret", "--password"),
    ] {
        let error = parse(line).expect_err(line);
        let sentence = usage_sentence(&error);
        assert!(sentence.contains(word) && !sentence.contains('\n'), "{line}: {sentence}");
        assert!(!sentence.contains("Usage:"), "{sentence}");
    }
}

#[test]
fn command_lines_that_are_printed_are_command_lines_of_this_program() {
    let folder = CommandLines::of_folder(std::path::Path::new("/a b/-c's"));
    for (verb, arguments) in [
        ("login", &["-rf"][..]),
        ("login", &["NAME"]),
        ("register", &["NAME"]),
        ("send", &["alice", "hello, future me"]),
        ("inbox", &[]),
        ("cluster up", &[]),
        ("cluster env", &[]),
        ("cluster down", &[]),
        ("cluster down --purge", &[]),
        ("cluster start", &["2"]),
        ("cluster kill", &["1"]),
        ("cluster logs", &["3"]),
    ] {
        let lines = if verb.starts_with("cluster") { &folder } else { &CommandLines::default() };
        let line = lines.line(verb, arguments);
        let script = format!("printf '%s\\0' {line}");
        let words = std::process::Command::new("sh").args(["-c", &script]).output();
        let words = String::from_utf8(words.expect("a shell").stdout).expect("text");
        let words: Vec<&str> = words.split_terminator('\0').collect();
        let parsed = Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
        let told = words.windows(2).any(|pair| pair == ["--dir", "/a b/-c's"]);
        assert_eq!(told, verb.starts_with("cluster"), "{line}");
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in
        ["register", "login", "send", "inbox", "delete", "delete-account", "accounts", "bench"]
    {
        let error = parse(&format!("ftchat {verb} --help")).expect_err("help");
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        assert!(error.to_string().contains(&format!("  ftchat {verb}")), "{verb}");
    }
}
