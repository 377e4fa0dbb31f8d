//! The configuration file: TOML, checked key by key, with line numbers.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Kind, REMOVED};
use crate::error::{Error, ErrorCode, Result};
use crate::host::read_bounded;

/// Most bytes of a configuration file; every key together needs about four
/// thousand.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// What a configuration file says: for each key set, the value as text and the
/// line it stands on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// By the key's whole name.
    pub values: BTreeMap<&'static str, (String, usize)>,
}

/// Reads a configuration file that need not be there: a command that needs no
/// home works also where the home is none, as `/dev/null`, or is somebody else's.
///
/// # Errors
/// Those of [`read`]; also when the file is there and must not be read.
pub fn read_default(path: &Path) -> Result<Option<ConfigFile>> {
    unless_out_of_sight(path, read(path))
}

/// What reading a file has given; of one in a folder that is closed to us, nothing.
pub(super) fn unless_out_of_sight<T>(path: &Path, read: Result<Option<T>>) -> Result<Option<T>> {
    let out_of_sight = || match std::fs::symlink_metadata(path) {
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
        Ok(_) => false,
    };
    match read {
        Err(error) if error.code == ErrorCode::Io && out_of_sight() => Ok(None),
        read => read,
    }
}

/// Reads a configuration file. `None`: there is none.
///
/// # Errors
/// [`ErrorCode::InvalidConfig`] with file, line, key and what is allowed;
/// [`ErrorCode::Io`] when it is there and cannot be read.
pub fn read(path: &Path) -> Result<Option<ConfigFile>> {
    match read_text(path, "configuration file")? {
        Some(text) => parse(path, &text).map(Some),
        None => Ok(None),
    }
}

/// Reads a text file, which is called `what` in errors; see [`read`].
pub(super) fn read_text(path: &Path, what: &str) -> Result<Option<String>> {
    let bytes = match read_bounded(path, FILE_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => return Ok(None),
            ErrorKind::FileTooLarge => {
                let path = path.display();
                let message = format!("{path} is no {what}: {error}");
                return Err(Error::new(ErrorCode::InvalidConfig, message));
            }
            _ => return Err(Error::own_file("read", path, &error)),
        },
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = line_of_bytes(error.as_bytes(), error.utf8_error().valid_up_to());
        at(path, line, "this is not UTF-8 text")
    })?;
    Ok(Some(text))
}

/// Reads the text of a configuration file; see [`read`] for the errors.
pub fn parse(path: &Path, text: &str) -> Result<ConfigFile> {
    let root = parse_toml(path, text)?;
    let mut values = BTreeMap::new();
    for (name, value) in root.get_ref().iter() {
        let line = line_of(text, &name.span());
        let name = name.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(section) if is_section(name) => {
                for (inner, value) in section.iter() {
                    let line = line_of(text, &inner.span());
                    let name = format!("{name}.{}", inner.get_ref());
                    insert(path, &mut values, &name, value.get_ref(), line)?;
                }
            }
            value if is_section(name) => {
                return Err(at(
                    path,
                    line,
                    format!(
                        "{name} is a section, written [{name}], and not {}",
                        with_article(value)
                    ),
                ));
            }
            value => insert(path, &mut values, name, value, line)?,
        }
    }
    Ok(ConfigFile { path: path.to_path_buf(), values })
}

/// Reads TOML, with the places of all that is in it.
pub(super) fn parse_toml<'a>(path: &Path, text: &'a str) -> Result<Spanned<DeTable<'a>>> {
    DeTable::parse(text).map_err(|error| {
        let line = line_of(text, &error.span().unwrap_or(0..0));
        at(path, line, format!("this is not TOML: {}", error.message()))
    })
}

fn insert(
    path: &Path,
    values: &mut BTreeMap<&'static str, (String, usize)>,
    name: &str,
    value: &DeValue<'_>,
    line: usize,
) -> Result<()> {
    let Some(key) = KEYS.iter().find(|key| key.name == name && key.in_file) else {
        return Err(at(path, line, unknown_key(name)));
    };
    let wrong_value =
        |what: &str| at(path, line, format!("{name} is {}, and not {what}", key.kind.allowed()));
    let text = as_text(key, value).ok_or_else(|| wrong_value(&with_article(value)))?;
    if !key.kind.accepts(&text) {
        return Err(match key.kind.slip(&text) {
            Some(slip) => at(path, line, format!("{name}: {slip}")),
            None => wrong_value(&format!("{text:?}")),
        });
    }
    values.insert(key.name, (resolve_path(key, path, text), line));
    Ok(())
}

/// A relative path in a file is relative to the file, so that a folder with a
/// configuration and a data directory in it works from wherever it is started.
fn resolve_path(key: &Key, file: &Path, text: String) -> String {
    // A home is nobody's folder but its owner's.
    let below_file = matches!(key.kind, Kind::Path) && !text.starts_with('~');
    if !below_file {
        return text;
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    folder.join(&text).to_str().map(str::to_string).unwrap_or(text)
}

/// The value as one would write it on the command line; `None` when TOML's
/// type is not the kind's.
fn as_text(key: &Key, value: &DeValue<'_>) -> Option<String> {
    match (key.kind, value) {
        (Kind::Flag, DeValue::Boolean(value)) => Some(value.to_string()),
        (Kind::Integer { .. }, DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix())
                .map(|number| number.to_string())
                // Negative or beyond 64 bits: shown as written, then refused.
                .ok()
                .or_else(|| Some(number.to_string()))
        }
        (Kind::Flag | Kind::Integer { .. }, _) => None,
        (Kind::Servers | Kind::Members, DeValue::Array(items)) => {
            let texts: Option<Vec<&str>> =
                items.iter().map(|item| item.get_ref().as_str()).collect();
            Some(texts?.join(","))
        }
        (_, DeValue::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

pub(super) fn with_article(value: &DeValue<'_>) -> String {
    match value.type_str() {
        word @ ("integer" | "array" | "offset datetime") => format!("an {word}"),
        word => format!("a {word}"),
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

fn unknown_key(name: &str) -> String {
    if let Some(gone) = REMOVED.iter().find(|gone| gone.name == name) {
        return gone.error(name).message;
    }
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!("{name} cannot be set in a file; use {}", key.environment);
    }
    let nearest = KEYS
        .iter()
        .filter(|key| key.in_file)
        .map(|key| (edit_distance(name, key.name), key.name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, nearest)) => format!("there is no key {name:?}; perhaps {nearest} is meant"),
        None => format!("there is no key {name:?}; ftchat.toml(5) tells of all"),
    }
}

/// Levenshtein's distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    line_of_bytes(text.as_bytes(), span.start)
}

fn line_of_bytes(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

pub(super) fn at(path: &Path, line: usize, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::InvalidConfig, format!("{}:{line}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ConfigFile> {
        parse(Path::new("/etc/ftchat.toml"), text)
    }

    #[test]
    fn values_come_with_the_line_they_stand_on() {
        let file = parsed(
            "# comment\ntimeout = \"5s\"\nservers = [\"a:1\", \"b:2\"]\n\n\
             [serve]\nid = 0x2\npeers = [\"1=a:1\", \"2=b:2\"]\ndata_dir = \"data\"\n\
             log_format = \"json\"\n[limits]\nconnections_max = 10_000\n",
        )
        .expect("valid");
        let expected = [
            ("limits.connections_max", "10000", 11),
            ("serve.data_dir", "/etc/data", 8),
            ("serve.id", "2", 6),
            ("serve.log_format", "json", 9),
            ("serve.peers", "1=a:1,2=b:2", 7),
            ("servers", "a:1,b:2", 3),
            ("timeout", "5s", 2),
        ];
        let found: Vec<_> =
            file.values.iter().map(|(name, (text, line))| (*name, text.as_str(), *line)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_mistake_names_file_line_key_and_what_is_allowed() {
        let cases = [
            ("\n\ntimeuot = \"5s\"", "3: there is no key \"timeuot\"; perhaps timeout is meant"),
            ("[serve]\nport = 1", "2: there is no key \"serve.port\""),
            ("[moon]\nphase = 1", "1: there is no key \"moon\""),
            (
                "timeout = 5",
                "1: timeout is a duration such as 500ms, 10s or 1m30s, at most 3m, and not an integer",
            ),
            ("timeout = \"1h\"", "at most 3m, and not \"1h\""),
            (
                "[serve]\nid = -1",
                "2: serve.id is a whole number from 1 to 4294967295, and not \"-1\"",
            ),
            ("[serve]\nid = \"1\"", "and not a string"),
            ("serve = 1", "1: serve is a section, written [serve], and not an integer"),
            ("token = \"x\"", "1: token cannot be set in a file; use FTCHAT_TOKEN"),
            ("servers = [1]", "1: servers is one or more addresses"),
            ("a = 1\na = 2", "2: this is not TOML"),
            ("x = [", "1: this is not TOML"),
        ];
        for (text, expected) in cases {
            let error = parsed(text).expect_err(text);
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.starts_with("/etc/ftchat.toml:"), "{}", error.message);
            assert!(error.message.contains(expected), "{} lacks {expected}", error.message);
        }
    }

    #[test]
    fn a_missing_file_is_none_and_bytes_that_are_no_text_name_their_line() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert_eq!(read(&folder.path().join("none.toml")).expect("no error"), None);
        let path = folder.path().join("bad.toml");
        std::fs::write(&path, b"timeout = '5s'\n# \xff\n").expect("write");
        let error = read(&path).expect_err("no UTF-8");
        assert!(error.message.contains(":2: this is not UTF-8"), "{}", error.message);
        // Below what is no folder there is nothing; what never ends is no file.
        let below = Path::new("/dev/null/.config/ftchat/config.toml");
        assert_eq!(read(below).expect("no error"), None);
        assert_eq!(read_default(below).expect("no error"), None);
        let error = read(Path::new("/dev/zero")).expect_err("endless");
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        assert!(error.message.contains("more than 1048576 bytes"), "{}", error.message);
        assert_eq!(read_default(folder.path()).expect_err("a folder").code, ErrorCode::Io);
    }
}
