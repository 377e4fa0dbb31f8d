//! `ftchat man`: the manual pages.
//!
//! One page a command comes from the parser, `ftchat.toml.5` from the table of
//! keys; the rest is written by hand beside this file. Numbers in them (bounds,
//! versions) are put in from the program, so that they cannot go stale.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde::Serialize;

use super::{Context, Exit};
use crate::config::keys::Fallback;
use crate::config::{KEYS, Key};
use crate::error::Error;
use crate::limits::*;
use crate::output::{Show, Style, sanitize};

/// The day of the last change to the pages, as their readers are told.
const PAGES_DATE: &str = "2026-11-30";

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat man --dir ~/.local/share/man/man1 && man ftchat\n  \
    man ./man/ftchat-operations.7\n\n\
    Sections: 1 the commands, 5 ftchat.toml and the data directory, 7 operations,\n    \
    the protocol, and security.")]
pub struct ManArgs {
    /// The folder; made if it is missing
    #[arg(long, default_value = "man", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

/// Writes the pages and prints their paths.
///
/// # Errors
/// [`ErrorCode::Io`](crate::error::ErrorCode::Io).
pub async fn run(args: &ManArgs, context: &mut Context) -> Result<Exit, Error> {
    write_files(&args.dir, pages(), context)?;
    Ok(Exit::Done)
}

/// Writes generated files and prints their paths.
pub(super) fn write_files(
    dir: &Path,
    files: Vec<(String, String)>,
    context: &mut Context,
) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(|error| Error::io("make the folder", dir, &error))?;
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| Error::io("write", &path, &error))?;
        context.printer.show(&Written { file: path.display().to_string() });
    }
    Ok(())
}

#[derive(Serialize)]
struct Written {
    file: String,
}

impl Show for Written {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.plain(out)
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", sanitize(&self.file))
    }
}

/// Every page with its file's name, as they lie in `man/`.
pub fn pages() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    command_pages(&command, &mut pages);
    for (name, text) in [
        ("ftchat-data.5", include_str!("man/ftchat-data.5.roff")),
        ("ftchat-operations.7", include_str!("man/ftchat-operations.7.roff")),
        ("ftchat-protocol.7", include_str!("man/ftchat-protocol.7.roff")),
        ("ftchat-security.7", include_str!("man/ftchat-security.7.roff")),
    ] {
        pages.push((name.to_string(), with_numbers(text)));
    }
    pages.push(("ftchat.toml.5".to_string(), configuration_page()));
    pages
}

fn command_pages(command: &clap::Command, pages: &mut Vec<(String, String)>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        command_pages(inner, pages);
    }
    // The generator would flow the examples together, so they are set here.
    let notes = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command.clone().after_help(None::<&str>));
    let name = man.get_filename();
    let title = name.trim_end_matches(".1").to_uppercase();
    let man = man
        .title(title)
        .date(PAGES_DATE)
        .manual("ftchat manual")
        .source(concat!("ftchat ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page).expect("a vector takes everything");
    let page = String::from_utf8(page).expect("pages are made of the parser's own text");
    // How the generator leaves a line free; a space request says it properly.
    let page = page.replace("\n.br\n\n.br\n", "\n.sp\n");
    let mut page = with_synopsis(&page, command);
    if let Some(notes) = notes {
        let mut roff = Roff::new();
        roff.control("SH", ["NOTES"]).control("nf", []);
        for line in notes.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        page.push_str(&roff.to_roff());
    }
    page.push_str(
        ".SH \"SEE ALSO\"\n.BR ftchat (1),\n.BR ftchat.toml (5),\n.BR ftchat\\-data (5),\n\
         .BR ftchat\\-operations (7),\n.BR ftchat\\-protocol (7),\n.BR ftchat\\-security (7)\n",
    );
    pages.push((name, page));
}

/// The page with a synopsis that shows which flags take a value, and in place of
/// those that every command takes, where they are told.
fn with_synopsis(page: &str, command: &clap::Command) -> String {
    let mut line = vec![bold(command.get_bin_name().unwrap_or(command.get_name()))];
    let own = |arg: &&Arg| {
        let helps = matches!(arg.get_action(), ArgAction::Help | ArgAction::Version);
        !arg.is_hide_set() && !arg.is_global_set() && !helps
    };
    for flag in command.get_arguments().filter(own).filter(|arg| !arg.is_positional()) {
        line.extend(synopsis_of(flag));
    }
    line.extend([roman(" ["), italic("GLOBAL OPTIONS"), roman("]")]);
    for operand in command.get_positionals().filter(own) {
        line.extend(synopsis_of(operand));
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND")]);
    }
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]).text(line);
    let synopsis = synopsis.render();
    let (head, rest) = page.split_once(".SH SYNOPSIS\n").expect("every page has one");
    let (_, tail) = rest.split_once(".SH ").expect("a description follows");
    format!("{head}{synopsis}.SH {tail}")
}

fn synopsis_of(arg: &Arg) -> Vec<Inline> {
    let mut inlines = Vec::new();
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    for (n, spelling) in short.into_iter().chain(long).enumerate() {
        if n > 0 {
            inlines.push(roman(" | "));
        }
        inlines.push(bold(spelling));
    }
    if arg.is_positional() || arg.get_action().takes_values() {
        if !arg.is_positional() {
            inlines.push(roman(" "));
        }
        let names = arg.get_value_names().unwrap_or_default();
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        inlines.push(italic(names.join(" ")));
    }
    let repeated = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
        && arg.get_value_delimiter().is_none();
    if repeated {
        inlines.push(roman("..."));
    }
    match arg.is_required_set() {
        true => inlines.insert(0, roman(" ")),
        false => {
            inlines.insert(0, roman(" ["));
            inlines.push(roman("]"));
        }
    }
    inlines
}

fn configuration_page() -> String {
    let mut roff = Roff::new();
    let mut section = None;
    for key in KEYS {
        let in_section = key.name.split_once('.').map(|(section, _)| section);
        if section != Some(in_section) {
            section = Some(in_section);
            roff.control("SH", [heading(in_section)]);
        }
        roff.control("TP", []);
        roff.text([bold(key.name.split_once('.').map_or(key.name, |(_, name)| name))]);
        for line in sentences(key) {
            roff.text([roman(line)]);
            roff.control("br", []);
        }
    }
    let mut page = with_numbers(include_str!("man/ftchat.toml.5.head.roff"));
    page.push_str(&roff.to_roff());
    page.push_str(".SH \"SEE ALSO\"\n.BR ftchat (1),\n.BR ftchat\\-operations (7)\n");
    page
}

fn heading(section: Option<&'static str>) -> &'static str {
    match section {
        None => "EVERY COMMAND",
        Some("send") => "[send]: MESSAGES",
        Some("serve") => "[serve]: A SERVER",
        Some("timing") => "[timing]: HEARTBEATS AND ELECTIONS",
        Some("limits") => "[limits]: BOUNDS OF A SERVER",
        Some("passwords") => "[passwords]: WHAT HASHING COSTS",
        Some("cluster") => "[cluster]: A LOCAL CLUSTER",
        Some(other) => other,
    }
}

fn sentences(key: &Key) -> Vec<String> {
    let mut lines = vec![format!("{}.", key.doc), format!("Value: {}.", key.kind.allowed())];
    lines.push(match key.default {
        Fallback::Value(value) => format!("Default: {value}"),
        Fallback::Words(words) => format!("Default: {words}."),
    });
    let flag = key.flag.map(|flag| format!("Flag: {flag}. ")).unwrap_or_default();
    let not_in_file = if key.in_file { "" } else { " Not in the file." };
    lines.push(format!("{flag}Environment: {}.{not_in_file}", key.environment));
    lines
}

fn with_numbers(text: &str) -> String {
    let numbers = [
        ("@VERSION@", env!("CARGO_PKG_VERSION").to_string()),
        ("@DATE@", PAGES_DATE.to_string()),
        ("@FORMAT@", DATA_FORMAT_VERSION.to_string()),
        ("@PROTOCOL@", PROTOCOL_VERSION.to_string()),
        ("@FIRST_LINE@", FIRST_LINE_MAX_BYTES.to_string()),
        ("@CLIENT_LINE@", CLIENT_LINE_MAX_BYTES.to_string()),
        ("@SERVER_LINE@", SERVER_LINE_MAX_BYTES.to_string()),
        ("@DEPTH@", JSON_DEPTH_MAX.to_string()),
        ("@TEXT@", TEXT_MAX_BYTES.to_string()),
        ("@NAME@", ACCOUNT_NAME_MAX_BYTES.to_string()),
        ("@PASSWORD_MIN@", PASSWORD_MIN_BYTES.to_string()),
        ("@PASSWORD_MAX@", PASSWORD_MAX_BYTES.to_string()),
        ("@RECIPIENTS@", RECIPIENTS_MAX.to_string()),
        ("@IDS@", IDS_PER_REQUEST_MAX.to_string()),
        ("@PAGE@", PAGE_MAX_MESSAGES.to_string()),
        ("@TIMEOUT@", TIMEOUT_MAX.as_millis().to_string()),
    ];
    numbers.iter().fold(text.to_string(), |text, (name, number)| text.replace(name, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::client::{
        ClientHello, OPERATIONS, RequestLine, ResponseLine, ServerHello,
    };
    use serde_json::Value;

    /// The examples of `ftchat-protocol.7`: lines with `true` for what a client
    /// sends and `false` for what a server sends.
    fn protocol_examples() -> Vec<(bool, String)> {
        let page = with_numbers(include_str!("man/ftchat-protocol.7.roff"));
        let example = |line: &str| {
            let line = line.replace("\\-", "-");
            let (client, server) = (line.strip_prefix("> {"), line.strip_prefix("< {"));
            client.or(server).map(|rest| (client.is_some(), format!("{{{rest}")))
        };
        page.lines().filter_map(example).collect()
    }

    #[test]
    fn every_example_of_the_protocol_is_what_the_program_speaks() {
        let examples = protocol_examples();
        assert!(examples.len() > 25, "{}", examples.len());
        for (client, line) in examples {
            let value: Value = serde_json::from_str(&line).expect(&line);
            let hello = value.get("ftchat").is_some();
            let again = match (client, hello) {
                (true, true) => {
                    serde_json::from_str::<ClientHello>(&line).map(serde_json::to_value)
                }
                (true, false) => {
                    serde_json::from_str::<RequestLine>(&line).map(serde_json::to_value)
                }
                (false, true) => {
                    serde_json::from_str::<ServerHello>(&line).map(serde_json::to_value)
                }
                (false, false) => {
                    serde_json::from_str::<ResponseLine>(&line).map(serde_json::to_value)
                }
            };
            let again = again.expect(&line).expect("plain data");
            // What is written out beyond the example are defaults; nothing of
            // the example is lost, as it would be if a name were misspelt.
            assert!(contains(&again, &value), "{line}\nis read as\n{again}");
        }
    }

    fn contains(whole: &Value, part: &Value) -> bool {
        match (whole, part) {
            (Value::Object(whole), Value::Object(part)) => {
                part.iter().all(|(key, part)| whole.get(key).is_some_and(|w| contains(w, part)))
            }
            (Value::Array(whole), Value::Array(part)) => {
                whole.len() == part.len() && whole.iter().zip(part).all(|(w, p)| contains(w, p))
            }
            _ => whole == part,
        }
    }

    #[test]
    fn every_operation_of_the_protocol_has_an_example() {
        let text: String = protocol_examples().into_iter().map(|(_, line)| line).collect();
        for operation in OPERATIONS {
            assert!(text.contains(&format!("\"request\":{{\"{operation}\":")), "{operation}");
        }
    }

    #[test]
    fn every_page_has_a_date_and_a_synopsis_that_can_be_typed() {
        PAGES_DATE.parse::<jiff::civil::Date>().expect("a date");
        let pages = pages();
        for (name, text) in &pages {
            let title = text.lines().find_map(|line| line.strip_prefix(".TH ")).expect(name);
            assert!(title.contains(PAGES_DATE), "{name}: {title}");
            assert_eq!(
                title.split(' ').next(),
                Some(title.split(' ').next().unwrap_or("").to_uppercase().as_str())
            );
            let trailing = text.lines().find(|line| line.ends_with(' '));
            assert_eq!(trailing, None, "{name} has white space at the end of a line");
        }
        let synopsis = |page: &str| {
            let (_, text) = pages.iter().find(|(name, _)| name == page).expect(page);
            let (_, rest) = text.split_once(".SH SYNOPSIS\n").expect("a synopsis");
            let (line, _) = rest.split_once("\n.SH").expect("a description");
            ["\\fB", "\\fI", "\\fR"]
                .iter()
                .fold(line.replace("\\-", "-"), |line, font| line.replace(font, ""))
        };
        for (page, line) in [
            ("ftchat.1", "ftchat [GLOBAL OPTIONS] COMMAND"),
            (
                "ftchat-send.1",
                "ftchat send [--lines] [--id UUID] [--reply-to ID] [--confirm WHO] [GLOBAL OPTIONS] TO[,TO...] [TEXT]",
            ),
            ("ftchat-delete.1", "ftchat delete [--confirm WHO] [GLOBAL OPTIONS] ID..."),
            (
                "ftchat-cluster-logs.1",
                "ftchat cluster logs [--name NAME] [--dir DIR] [-f | --follow] [-n | --lines N] [GLOBAL OPTIONS] [ID]",
            ),
        ] {
            assert_eq!(synopsis(page), line);
        }
    }

    #[test]
    fn no_placeholder_is_left_and_every_key_is_told() {
        let pages = pages();
        for (name, text) in &pages {
            let is_name = |it: &str| {
                !it.is_empty() && it.bytes().all(|b| b == b'_' || b.is_ascii_uppercase())
            };
            let mut between = text.split('@').skip(1);
            assert!(!between.any(is_name), "{name} has a placeholder left");
        }
        let page = |wanted: &str| {
            pages.iter().find(|(name, _)| name == wanted).map(|(_, text)| text).expect(wanted)
        };
        for key in KEYS {
            let variable = key.environment;
            assert!(page("ftchat.toml.5").contains(variable), "{variable}");
        }
        for name in ["ftchat.1", "ftchat-send.1", "ftchat-cluster-up.1", "ftchat-operations.7"] {
            page(name);
        }
    }
}
