//! The four layers laid over one another, each value with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::duration;
use super::file::{self, ConfigFile};
use super::keys::{self, Fallback, KEYS, Key, REMOVED, Removed};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::Member;
use crate::types::Servers;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// A line of the configuration file, from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// A profile.
    Profile {
        /// Its name.
        name: String,
        /// The file in which it is kept.
        path: PathBuf,
    },
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "flag {flag}"),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Profile { name, path } => write!(f, "profile {name} in {}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// As one would write it; `None` when there is neither a value nor a default.
    pub text: Option<String>,
    /// Who set it.
    pub origin: Origin,
}

/// Every key of the table with its value in force.
#[derive(Clone)]
pub struct Values {
    values: BTreeMap<&'static str, Sourced>,
    /// The configuration file that was read, if there is one.
    pub file: Option<PathBuf>,
}

/// Tokens are among the values, so only the origins are shown.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.values.iter().map(|(name, value)| (name, &value.origin)))
            .finish()
    }
}

impl Values {
    /// Lays flags over the environment over the file over the defaults.
    ///
    /// `flags` are pairs of a key's name and a text. A variable that is set but
    /// empty counts as not set. `default_file` is read unless the key `config`
    /// names another, which then must exist.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] that names the place, and what is allowed
    /// there; [`ErrorCode::Io`] when the file cannot be read.
    pub fn collect(
        flags: &[(&'static str, String)],
        environment: &dyn Fn(&str) -> Option<String>,
        default_file: Option<&Path>,
    ) -> Result<Values> {
        let used = |gone: &&Removed| environment(gone.environment).is_some_and(|it| !it.is_empty());
        if let Some(gone) = REMOVED.iter().find(used) {
            return Err(gone.error(gone.environment));
        }
        // Whoever names a profile on the command line means its servers.
        let is_passed_over =
            |key: &Key| key.name == "servers" && flags.iter().any(|(name, _)| *name == "profile");
        let mut values = BTreeMap::new();
        for key in KEYS {
            let text = environment(key.environment).filter(|text| !text.is_empty());
            let text = text.filter(|_| !is_passed_over(key));
            let (text, origin) = match (text, key.default) {
                (Some(text), _) => (Some(text), Origin::Environment(key.environment)),
                (None, Fallback::Value(text)) => (Some(text.to_string()), Origin::Default),
                (None, Fallback::Words(_)) => (None, Origin::Default),
            };
            values.insert(key.name, Sourced { text, origin });
        }
        // https://no-color.org: any value but an empty one. Our own variable is
        // the more specific wish.
        let color = values.get_mut("color").expect("color is in the table");
        if color.origin == Origin::Default
            && environment("NO_COLOR").is_some_and(|text| !text.is_empty())
        {
            *color = Sourced {
                text: Some("never".to_string()),
                origin: Origin::Environment("NO_COLOR"),
            };
        }
        let mut values = Values { values, file: None }.with(flags)?;
        values.check()?;
        let named = values.path("config");
        let file = match (&named, default_file) {
            (Some(path), _) => match file::read(path)? {
                Some(file) => Some(file),
                None => {
                    return Err(Error::new(
                        ErrorCode::InvalidConfig,
                        format!(
                            "there is no configuration file {}, which {} names",
                            path.display(),
                            values.origin("config")
                        ),
                    ));
                }
            },
            (None, Some(path)) => file::read_default(path)?,
            (None, None) => None,
        };
        if let Some(file) = file {
            values.add_file(file);
        }
        Ok(values)
    }

    fn add_file(&mut self, file: ConfigFile) {
        let ConfigFile { path, values } = file;
        for (name, (text, line)) in values {
            let value = self.values.get_mut(name).expect("a file has keys of the table only");
            if value.origin == Origin::Default {
                let origin = Origin::File { path: path.clone(), line };
                *value = Sourced { text: Some(text), origin };
            }
        }
        self.file = Some(path);
    }

    /// The same values with more flags over them: those of one command.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] for an impossible one.
    pub fn with(&self, flags: &[(&'static str, String)]) -> Result<Values> {
        let mut values = self.clone();
        for (name, text) in flags {
            let flag = keys::key(name).flag.expect("only keys with a flag are set by flags");
            let value = Sourced { text: Some(text.clone()), origin: Origin::Flag(flag) };
            values.values.insert(keys::key(name).name, value);
        }
        values.check()?;
        Ok(values)
    }

    /// Takes the servers from a profile; `chosen` is who chose it.
    pub(super) fn use_profile(
        &mut self,
        name: &str,
        servers: &Servers,
        path: &Path,
        chosen: Origin,
    ) {
        let origin = Origin::Profile { name: name.to_string(), path: path.to_path_buf() };
        let value = Sourced { text: Some(servers.word()), origin };
        self.values.insert("servers", value);
        self.values.insert("profile", Sourced { text: Some(name.to_string()), origin: chosen });
    }

    /// No profile is in force, whoever named one.
    pub(super) fn use_no_profile(&mut self) {
        self.values.insert("profile", Sourced { text: None, origin: Origin::Default });
    }

    fn check(&self) -> Result<()> {
        for key in KEYS {
            if self.text(key.name).is_some_and(|text| !key.kind.accepts(text)) {
                return Err(self.refuse(key));
            }
        }
        Ok(())
    }

    fn refuse(&self, key: &Key) -> Error {
        let place = match self.origin(key.name) {
            Origin::Flag(flag) => (*flag).to_string(),
            Origin::Environment(variable) => (*variable).to_string(),
            origin @ Origin::File { .. } => format!("{origin}: {}", key.name),
            origin @ Origin::Profile { .. } => origin.to_string(),
            Origin::Default => key.name.to_string(),
        };
        let text = match key.kind {
            keys::Kind::Secret => "what it has now".to_string(),
            _ => format!("{:?}", self.text(key.name).unwrap_or("")),
        };
        let message = match self.text(key.name).and_then(|text| key.kind.slip(text)) {
            Some(slip) => format!("{place}: {slip}"),
            None => format!("{place} is {}, and not {text}", key.kind.allowed()),
        };
        Error::new(ErrorCode::InvalidConfig, message)
    }

    /// An error about the value of one key, which begins with the place to change.
    pub fn error(&self, name: &str, sentence: impl fmt::Display) -> Error {
        let place = match self.origin(name) {
            Origin::Default => name.to_string(),
            Origin::File { path, line } => format!("{}:{line}: {name}", path.display()),
            origin @ Origin::Profile { .. } => origin.to_string(),
            Origin::Flag(flag) => (*flag).to_string(),
            Origin::Environment(variable) => (*variable).to_string(),
        };
        Error::new(ErrorCode::InvalidConfig, format!("{place}: {sentence}"))
    }

    /// Every key in the table's order with its value in force.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, &Sourced)> {
        KEYS.iter().map(|key| (key, self.get(key.name)))
    }

    fn get(&self, name: &str) -> &Sourced {
        self.values.get(keys::key(name).name).expect("every key has an entry")
    }

    /// Who set a key.
    pub fn origin(&self, name: &str) -> &Origin {
        &self.get(name).origin
    }

    /// Whether anybody set a key.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).origin != Origin::Default
    }

    /// A value as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).text.as_deref()
    }

    /// A value through a parser that takes whatever its kind accepts.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| self.refuse(keys::key(name))),
        }
    }

    /// A value that must be there: it has a default, or the command needs it.
    pub(super) fn required<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.parsed(name, parse)?.ok_or_else(|| {
            let key = keys::key(name);
            let flag = key.flag.map(|flag| format!("{flag}, ")).unwrap_or_default();
            Error::new(
                ErrorCode::InvalidConfig,
                format!(
                    "{name} is not set: give it with {flag}{} or in the configuration file",
                    key.environment
                ),
            )
        })
    }

    /// A value of the kind [`keys::Kind::Flag`].
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.required(name, keys::parse_flag)
    }

    /// A value of the kind [`keys::Kind::Integer`] in the type wanted.
    pub fn integer<T: TryFrom<u64>>(&self, name: &str) -> Result<T> {
        self.required(name, |text| T::try_from(keys::parse_integer(text)?).ok())
    }

    /// A value of the kind [`keys::Kind::Duration`].
    pub fn duration(&self, name: &str) -> Result<Duration> {
        self.required(name, duration::parse)
    }

    /// A value of the kind [`keys::Kind::Path`]. `~` at its beginning is the home:
    /// no shell has replaced it in a file, nor behind the `=` of a flag.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name)?;
        let below =
            text.strip_prefix('~').filter(|below| below.is_empty() || below.starts_with('/'));
        let home = below.and_then(|below| Some((std::env::home_dir()?, below)));
        Some(match home {
            Some((home, below)) => home.join(below.trim_start_matches('/')),
            None => PathBuf::from(text),
        })
    }

    /// A value of the kind [`keys::Kind::Members`].
    pub fn members(&self, name: &str) -> Result<Vec<Member>> {
        self.required(name, keys::parse_members)
    }

    /// A value of the kind [`keys::Kind::Servers`].
    pub fn servers(&self, name: &str) -> Result<Servers> {
        self.required(name, |text| text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(
        flags: &[(&'static str, &str)],
        environment: &[(&str, &str)],
        file: &str,
    ) -> Result<Values> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).expect("write");
        let flags: Vec<_> = flags.iter().map(|(name, text)| (*name, text.to_string())).collect();
        let lookup = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, text)| text.to_string())
        };
        Values::collect(&flags, &lookup, Some(&path))
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let file = "timeout = '3s'";
        let variable = [("FTCHAT_TIMEOUT", "2s")];
        let flag: &[(&'static str, &str)] = &[("timeout", "1s")];
        let empty = [("FTCHAT_TIMEOUT", "")];
        let cases = [
            (flag, &variable[..], file, "1s", "flag --timeout"),
            (&[], &variable[..], file, "2s", "environment FTCHAT_TIMEOUT"),
            (&[], &[], file, "3s", "config.toml:1"),
            (&[], &empty[..], "", "10s", "default"),
        ];
        for (flags, environment, file, text, origin) in cases {
            let values = collect(flags, environment, file).expect("valid");
            assert_eq!(values.text("timeout"), Some(text));
            let found = values.origin("timeout").to_string();
            assert!(found.ends_with(origin), "{found}");
        }
    }

    #[test]
    fn an_impossible_value_names_its_place() {
        let flag = collect(&[("timeout", "x")], &[], "").expect_err("flag");
        assert!(flag.message.starts_with("--timeout is a duration"), "{}", flag.message);
        let variable = collect(&[], &[("FTCHAT_SERVERS", "a")], "").expect_err("variable");
        assert!(
            variable.message.starts_with("FTCHAT_SERVERS is one or more"),
            "{}",
            variable.message
        );
        assert_eq!(variable.code, ErrorCode::InvalidConfig);
    }

    #[test]
    fn no_color_counts_unless_something_more_specific_is_set() {
        let color = |environment: &[(&str, &str)], file: &str| {
            collect(&[], environment, file).expect("valid").text("color").map(str::to_string)
        };
        assert_eq!(color(&[("NO_COLOR", "1")], "color = 'always'").as_deref(), Some("never"));
        assert_eq!(color(&[("NO_COLOR", "")], "").as_deref(), Some("auto"));
        let both = [("NO_COLOR", "1"), ("FTCHAT_COLOR", "always")];
        assert_eq!(color(&both, "").as_deref(), Some("always"));
    }

    #[test]
    fn a_named_file_must_exist_and_a_default_one_need_not() {
        let missing = Path::new("/nonexistent/ftchat.toml");
        assert!(Values::collect(&[], &|_| None, Some(missing)).expect("fine").file.is_none());
        let named = [("config", missing.display().to_string())];
        let error = Values::collect(&named, &|_| None, None).expect_err("missing");
        assert!(error.message.contains("flag --config names"), "{}", error.message);
    }

    #[test]
    fn a_tilde_at_the_beginning_of_a_path_is_the_home() {
        let home = std::env::home_dir().expect("whoever tests has one");
        for (text, expected) in [
            ("~", home.clone()),
            ("~/kept", home.join("kept")),
            ("~//kept/", home.join("kept")),
            ("/a/~/b", PathBuf::from("/a/~/b")),
            ("./~", PathBuf::from("./~")),
        ] {
            let variable = [("FTCHAT_SESSIONS_DIR", text)];
            let path = |values: Values| values.path("sessions_dir").expect("set");
            assert_eq!(path(collect(&[], &variable, "").expect("valid")), expected);
            if text.starts_with('~') {
                let file = format!("sessions_dir = '{text}'");
                assert_eq!(path(collect(&[], &[], &file).expect("valid")), expected);
            }
        }
        // Whose home that is only a shell knows; a folder of that name is not meant.
        for text in ["~bob", "~bob/kept", "~~"] {
            collect(&[], &[("FTCHAT_SESSIONS_DIR", text)], "").expect_err(text);
            collect(&[], &[], &format!("sessions_dir = '{text}'")).expect_err(text);
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let values = collect(&[], &[("FTCHAT_TOKEN", "5ecre7")], "").expect("valid");
        assert!(!format!("{values:?}").contains("5ecre7"));
    }

    #[test]
    fn flags_of_one_command_are_laid_over_the_rest() {
        let values = collect(&[], &[], "[cluster]\nreplicas = 5").expect("valid");
        assert_eq!(values.integer::<u32>("cluster.replicas").expect("set"), 5);
        let with = values.with(&[("cluster.replicas", "1".to_string())]).expect("valid");
        assert_eq!(with.integer::<u32>("cluster.replicas").expect("set"), 1);
        assert!(values.with(&[("cluster.replicas", "99".to_string())]).is_err());
    }
}
