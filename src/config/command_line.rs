//! Command lines that are printed for users to type.
//!
//! A command that is typed from one must reach what the line was about. So all of them
//! are made here, with the flags that told the printing command where its servers or
//! its cluster are. What came from the environment or from the usual configuration file
//! holds for the next command as well, and is left out. Words are quoted for a POSIX
//! shell where that is needed.
//!
//! Servers print none: they do not know where they are asked from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::values::{Origin, Values};

/// What the command lines about one set of servers, or one local cluster, have
/// in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLines {
    flags: String,
}

impl CommandLines {
    /// For a command with these values in force: `keys` are those that say what
    /// it is about.
    pub(super) fn new(values: &Values, keys: &[&str]) -> CommandLines {
        let mut lines = CommandLines::default();
        for name in [&["config"], keys].concat() {
            let Origin::Flag(flag) = values.origin(name) else { continue };
            let text = values.text(name).unwrap_or_default();
            match name {
                // Of another folder it would be another one.
                "config" | "cluster.dir" => lines.add_path(flag, Path::new(text)),
                _ => lines.add(flag, OsStr::new(text)),
            }
        }
        lines
    }

    /// For a local cluster that no flag told of, in this folder.
    pub fn of_folder(dir: &Path) -> CommandLines {
        let mut lines = CommandLines::default();
        lines.add_path("--dir", dir);
        lines
    }

    pub(super) fn add_path(&mut self, flag: &str, path: &Path) {
        match std::path::absolute(path) {
            Ok(path) => self.add(flag, path.as_os_str()),
            Err(_) => self.add(flag, path.as_os_str()),
        }
    }

    pub(super) fn add(&mut self, flag: &str, value: &OsStr) {
        let word = shell_word(value);
        // A value that begins with a dash would be taken for another flag.
        let between = if value.as_bytes().starts_with(b"-") { "=" } else { " " };
        self.flags.push_str(&format!(" {flag}{between}{word}"));
    }

    /// Whether nothing needs to be said for the next command to mean the same.
    pub fn are_plain(&self) -> bool {
        self.flags.is_empty()
    }

    /// A command line: a verb, which may have flags of its own, and arguments.
    pub fn line(&self, verb: &str, arguments: &[&str]) -> String {
        let words =
            arguments.iter().map(|argument| format!(" {}", shell_word(OsStr::new(argument))));
        let (words, flags): (String, _) = (words.collect(), &self.flags);
        match arguments.iter().any(|argument| argument.starts_with('-')) {
            // What follows two dashes is no flag.
            true => format!("ftchat {verb}{flags} --{words}"),
            false => format!("ftchat {verb}{words}{flags}"),
        }
    }
}

/// A word as it is typed into a POSIX shell, also one with characters that a
/// terminal does not show.
pub fn shell_word(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:,=@%+".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let is_shown = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    match word.to_str() {
        // Between single quotes nothing but a single quote is special.
        Some(text) if text.chars().all(is_shown) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let escape = |byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                // Three digits always: what follows may be a digit as well.
                _ => format!("\\{byte:03o}"),
            };
            format!("$'{}'", bytes.iter().map(escape).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(flags: &[(&'static str, &str)], keys: &[&str]) -> CommandLines {
        let flags: Vec<_> = flags.iter().map(|(name, text)| (*name, text.to_string())).collect();
        let variables = |name: &str| (name == "FTCHAT_TIMEOUT").then(|| "3s".to_string());
        let values = Values::collect(&[], &variables, None).expect("valid");
        CommandLines::new(&values.with(&flags).expect("valid"), keys)
    }

    #[test]
    fn flags_go_with_every_line_and_what_came_from_elsewhere_does_not() {
        let servers = &["servers"];
        assert_eq!(lines(&[], servers).line("login", &["bob"]), "ftchat login bob");
        assert!(lines(&[], servers).are_plain());
        assert!(lines(&[("timeout", "1s")], servers).are_plain());
        let there = lines(&[("servers", "h:1,h:2"), ("config", "/a b/c")], servers);
        assert_eq!(
            there.line("login", &["bob"]),
            "ftchat login bob --config '/a b/c' --servers h:1,h:2"
        );
        let cluster = ["cluster.name", "cluster.dir"];
        let named = lines(&[("cluster.name", "-x")], &cluster);
        assert_eq!(
            named.line("cluster down --purge", &[]),
            "ftchat cluster down --purge --name=-x"
        );
        let relative = lines(&[("cluster.dir", "c0")], &cluster).line("cluster start", &["2"]);
        let here = std::env::current_dir().expect("a folder").join("c0");
        assert_eq!(
            relative,
            format!("ftchat cluster start 2 --dir {}", shell_word(here.as_os_str()))
        );
        assert_eq!(
            lines(&[("servers", "h:1")], servers).line("login", &["-rf"]),
            "ftchat login --servers h:1 -- -rf"
        );
    }

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        let words: [&[u8]; 9] = [
            b"plain-1.0_x/y",
            b"",
            b"a b",
            b"it's $HOME `id` \\ \"q\"",
            b"*?[a]~#;&|<>()",
            b"two\nlines\tand a bell\x07",
            "Gr\u{fc}\u{df}e \u{202e} \u{1f600}".as_bytes(),
            b"not \xff UTF-8\xfe1",
            b"-dash",
        ];
        for word in words {
            let quoted = shell_word(OsStr::from_bytes(word));
            assert!(!quoted.chars().any(|c| c.is_control() || c == '\u{202e}'), "{quoted:?}");
            // A shell that knows $'...', as POSIX does since 2024.
            let script = format!("printf %s {quoted}");
            let said = std::process::Command::new("bash").args(["-c", &script]).output();
            assert_eq!(said.expect("a shell").stdout, word, "{quoted}");
        }
    }
}
