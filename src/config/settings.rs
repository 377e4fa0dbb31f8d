//! What every command needs, resolved.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::command_line::CommandLines;
use super::keys::{KEYS, Key, help};
use super::values::Values;
use crate::error::{Error, ErrorCode, Result};
use crate::types::{AccountName, Servers};

/// Flags that every command takes, before its name or after it.
///
/// They are kept as text here: one place, [`Values`], checks what comes from
/// flags, environment and file alike.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    #[allow(missing_docs)]
    #[arg(long, global = true, value_name = "FILE", help = help("config"))]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub config: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, global = true, value_name = "LIST", help = help("servers"))]
    pub servers: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, global = true, value_name = "NAME", help = help("user"))]
    pub user: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, global = true, value_name = "DUR", help = help("timeout"))]
    pub timeout: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, global = true, help = help("json"))]
    pub json: bool,
    #[allow(missing_docs)]
    #[arg(long, short, global = true, help = help("quiet"))]
    pub quiet: bool,
    #[allow(missing_docs)]
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help = help("verbose"))]
    pub verbose: u8,
    #[allow(missing_docs)]
    #[arg(long, global = true, value_name = "WHEN", help = help("color"))]
    #[arg(value_parser = ["auto", "always", "never"], hide_possible_values = true)]
    pub color: Option<String>,
}

impl GlobalArgs {
    /// The flags given, by the names of their keys.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let GlobalArgs { config, servers, user, timeout, json, quiet, verbose, color } = self;
        let texts = [
            ("config", config.clone()),
            ("servers", servers.clone()),
            ("user", user.clone()),
            ("timeout", timeout.clone()),
            ("json", json.then(|| "true".to_string())),
            ("quiet", quiet.then(|| "true".to_string())),
            ("verbose", (*verbose > 0).then(|| verbose.min(&3).to_string())),
            ("color", color.clone()),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What every command needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers to talk to, one or more.
    pub servers: Servers,
    /// The account to act as; `None`: the one logged in last.
    pub user: Option<AccountName>,
    /// How long to keep trying: more than zero, at most
    /// [`TIMEOUT_MAX`](crate::limits::TIMEOUT_MAX).
    pub timeout: Duration,
    /// Print JSON.
    pub json: bool,
    /// No notices and no progress.
    pub quiet: bool,
    /// How much more to say, 0 to 3.
    pub verbose: u8,
    /// When to use colour.
    pub color: ColorChoice,
    /// A session token that overrides the kept sessions.
    pub token: Option<SecretString>,
    /// Where sessions are kept. Empty on a machine that tells no home
    /// directory; then none can be kept.
    pub sessions_dir: PathBuf,
    /// Every key with its value and origin, for the commands that need others.
    pub values: Values,
}

impl Settings {
    /// Resolves flags, environment, the configuration file and defaults.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] that names the place and what is allowed there.
    pub fn resolve(
        arguments: &GlobalArgs,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings> {
        let default_file = directories::ProjectDirs::from("", "", "ftchat")
            .map(|directories| directories.config_dir().join("config.toml"));
        let values = Values::collect(&arguments.given(), environment, default_file.as_deref())?;
        Settings::from_values(values)
    }

    /// Command lines that reach the same servers.
    pub fn command_lines(&self) -> CommandLines {
        CommandLines::new(&self.values, &["servers"])
    }

    fn from_values(values: Values) -> Result<Settings> {
        Ok(Settings {
            servers: values.servers("servers")?,
            user: values.parsed("user", |text| AccountName::new(text).ok())?,
            timeout: values.duration("timeout")?,
            json: values.flag("json")?,
            quiet: values.flag("quiet")?,
            verbose: values.integer("verbose")?,
            color: values.required("color", |text| match text {
                "auto" => Some(ColorChoice::Auto),
                "always" => Some(ColorChoice::Always),
                "never" => Some(ColorChoice::Never),
                _ => None,
            })?,
            token: values.text("token").map(SecretString::from),
            sessions_dir: values
                .path("sessions_dir")
                .or_else(default_sessions_dir)
                .unwrap_or_default(),
            values,
        })
    }
}

/// The platform's folder for state. Where a platform has none, a hidden folder
/// beside the local clusters, whose names never begin with a dot.
fn default_sessions_dir() -> Option<PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "ftchat")?;
    Some(match directories.state_dir() {
        Some(state) => state.join("sessions"),
        None => directories.data_local_dir().join(".sessions"),
    })
}

/// Refuses a variable that sets something and is no text: what it would become as
/// one is another value than was meant, such as another folder.
///
/// # Errors
/// [`ErrorCode::InvalidConfig`] that names the variable.
pub fn check_environment() -> Result<()> {
    let no_text =
        |key: &&Key| std::env::var_os(key.environment).is_some_and(|it| it.to_str().is_none());
    match KEYS.iter().find(no_text) {
        None => Ok(()),
        Some(key) => Err(Error::new(
            ErrorCode::InvalidConfig,
            format!("{} is not UTF-8 text, as every value must be", key.environment),
        )),
    }
}

/// A variable of this process's environment, if it is text ([`check_environment`]).
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn arguments(line: &[&str]) -> GlobalArgs {
        let command = GlobalArgs::augment_args(clap::Command::new("ftchat"));
        let matches = command.try_get_matches_from(line).expect("valid line");
        GlobalArgs::from_arg_matches(&matches).expect("own matches")
    }

    fn resolve(line: &[&str], environment: &[(&str, &str)]) -> Result<Settings> {
        // A named empty file keeps the tester's own configuration out.
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let path = file.path().display().to_string();
        let line = [&["ftchat", "--config", &path], line].concat();
        let lookup = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, text)| text.to_string())
        };
        Settings::resolve(&arguments(&line), &lookup)
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let settings = resolve(&[], &[]).expect("valid");
        let servers: Vec<String> =
            settings.servers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.1:8091", "127.0.0.1:8092", "127.0.0.1:8093"]);
        assert_eq!(settings.timeout, Duration::from_secs(10));
        assert!(!settings.json && !settings.quiet && settings.verbose == 0);
        assert_eq!((settings.color, settings.user), (ColorChoice::Auto, None));
        assert!(settings.token.is_none());
    }

    #[test]
    fn every_global_flag_reaches_its_setting() {
        let line = [
            "--servers",
            "h:1",
            "--user",
            "alice",
            "--timeout",
            "1m",
            "--json",
            "-q",
            "-vv",
            "--color",
            "always",
        ];
        let environment = [("FTCHAT_TOKEN", "t"), ("FTCHAT_SESSIONS_DIR", "/s")];
        let settings = resolve(&line, &environment).expect("valid");
        assert_eq!(settings.servers.addresses[0].to_string(), "h:1");
        assert_eq!(settings.user, Some(AccountName::new("alice").expect("valid")));
        assert_eq!(settings.timeout, Duration::from_secs(60));
        assert!(settings.json && settings.quiet && settings.token.is_some());
        assert_eq!((settings.verbose, settings.color), (2, ColorChoice::Always));
        assert_eq!(settings.sessions_dir, PathBuf::from("/s"));
    }

    #[test]
    fn a_flag_of_the_table_is_a_flag_of_the_parser() {
        let command = GlobalArgs::augment_args(clap::Command::new("ftchat"));
        for argument in command.get_arguments() {
            let flag = format!("--{}", argument.get_long().expect("global flags are long"));
            let key = super::super::keys::key(&flag[2..]);
            assert_eq!(key.flag, Some(flag.as_str()));
        }
    }
}
