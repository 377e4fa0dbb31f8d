//! What every command needs, resolved.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::command_line::CommandLines;
use super::keys::{KEYS, Key, help};
use super::profiles::{NO_PROFILE, Profiles};
use super::values::{Origin, Values};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::Confirm;
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
    #[arg(long, global = true, value_name = "NAME", help = help("profile"))]
    pub profile: Option<String>,
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
        let GlobalArgs { config, servers, profile, user, timeout, json, quiet, verbose, color } =
            self;
        let texts = [
            ("config", config.clone()),
            ("servers", servers.clone()),
            ("profile", profile.clone()),
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
    /// The name of the profile that they come from, if they do.
    pub profile: Option<String>,
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
    /// The file of [`Profiles`]. Empty on a machine that tells no home directory; then
    /// none can be kept.
    pub profiles_file: PathBuf,
    /// Where commands keep what they have learned of servers. Empty on a machine that
    /// tells no home directory; then each learns it anew.
    pub known_servers_dir: PathBuf,
    /// Every key with its value and origin, for the commands that need others.
    pub values: Values,
}

impl Settings {
    /// Resolves flags, environment, the configuration file and defaults. No profile
    /// counts yet; see [`Settings::choose_profile`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] that names the place and what is allowed there;
    /// [`ErrorCode::WrongUsage`] for flags of which each names other servers.
    pub fn resolve(
        arguments: &GlobalArgs,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings> {
        if arguments.servers.is_some() && arguments.profile.is_some() {
            let why = "--servers and --profile each name the servers to talk to: give one of them";
            return Err(Error::new(ErrorCode::WrongUsage, why));
        }
        let default_file = config_dir().map(|folder| folder.join("config.toml"));
        let values = Values::collect(&arguments.given(), environment, default_file.as_deref())?;
        Settings::from_values(values)
    }

    /// Lets a profile say which the servers are: the one that is named, else the current
    /// one, unless the servers themselves are named at a place that counts more.
    ///
    /// The places are, from the first that counts: a flag for either, the environment for
    /// the servers, the environment for the profile, the current profile, the configuration.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownProfile`], and those of [`Profiles::read`].
    pub fn choose_profile(mut self) -> Result<Settings> {
        let servers_count = match (self.values.origin("servers"), self.values.origin("profile")) {
            (Origin::Flag(_), _) => true,
            (_, Origin::Flag(_)) => false,
            (Origin::Environment(_), _) => true,
            _ => false,
        };
        let named = self.values.text("profile").map(str::to_string);
        if servers_count || named.as_deref() == Some(NO_PROFILE) {
            self.values.use_no_profile();
            return Ok(self);
        }
        let path = self.profiles_file.clone();
        let profiles = Profiles::read(&path)?;
        let (name, chosen) = match named {
            Some(name) => (name, self.values.origin("profile").clone()),
            None => match &profiles.current {
                None => return Ok(self),
                Some(name) => {
                    let line = profiles.current_line;
                    (name.clone(), Origin::File { path: path.clone(), line })
                }
            },
        };
        let servers = profiles.get(&name).map_err(|error| {
            let message = match &chosen {
                Origin::Environment(variable) => format!("{variable}: {}", error.message),
                _ => error.message,
            };
            Error::new(error.code, message)
        })?;
        self.values.use_profile(&name, servers, &path, chosen);
        self.servers = servers.clone();
        self.profile = Some(name);
        Ok(self)
    }

    /// Command lines that reach the same servers.
    pub fn command_lines(&self) -> CommandLines {
        CommandLines::new(&self.values, &["servers", "profile"])
    }

    /// Who has to confirm a message that is sent; `flag` counts more than all else.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] for what is not allowed.
    pub fn confirm_of_send(&self, flag: Option<&str>) -> Result<Confirm> {
        let flag: Vec<_> = flag.map(|who| ("send.confirm", who.to_string())).into_iter().collect();
        self.values.with(&flag)?.required("send.confirm", |who| match who {
            "any" => Some(Confirm::Any),
            "majority" => Some(Confirm::Majority),
            _ => None,
        })
    }

    fn from_values(values: Values) -> Result<Settings> {
        Ok(Settings {
            servers: values.servers("servers")?,
            profile: None,
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
                .or_else(|| state_dir("sessions"))
                .unwrap_or_default(),
            profiles_file: values
                .path("profiles_file")
                .or_else(|| config_dir().map(|folder| folder.join("profiles.toml")))
                .unwrap_or_default(),
            known_servers_dir: state_dir("servers").unwrap_or_default(),
            values,
        })
    }
}

/// The platform's folder for configuration.
fn config_dir() -> Option<PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "ftchat")?;
    Some(directories.config_dir().to_path_buf())
}

/// A folder in the platform's folder for state. Where a platform has none, a hidden folder
/// beside the local clusters, whose names never begin with a dot.
fn state_dir(name: &str) -> Option<PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "ftchat")?;
    Some(match directories.state_dir() {
        Some(state) => state.join(name),
        None => directories.data_local_dir().join(format!(".{name}")),
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
    fn who_confirms_a_message_is_set_as_everything_else() {
        let with = |flag, environment: &[(&str, &str)]| {
            resolve(&[], environment).expect("valid").confirm_of_send(flag)
        };
        let majority = [("FTCHAT_SEND_CONFIRM", "majority")];
        assert_eq!(with(None, &[]).expect("the default"), Confirm::Any);
        assert_eq!(with(None, &majority).expect("set"), Confirm::Majority);
        assert_eq!(with(Some("any"), &majority).expect("a flag"), Confirm::Any);
        assert_eq!(with(Some("all"), &[]).expect_err("no such").code, ErrorCode::InvalidConfig);
        resolve(&[], &[("FTCHAT_SEND_CONFIRM", "2")]).expect_err("not who");
    }

    /// Where the servers are said to come from, with two profiles of which `x` is current.
    fn chosen(line: &[&str], environment: &[(&str, &str)], config: &str) -> (String, String) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("own folder");
            path.display().to_string()
        };
        let [x, y] = ["x", "y"].map(|it| format!("[profiles.{it}]\nservers = '{it}:1'\n"));
        let profiles = write("profiles.toml", &format!("current = 'x'\n{x}{y}"));
        let config = write("config.toml", config);
        let line = [&["ftchat", "--config", &config], line].concat();
        let environment = [environment, &[("FTCHAT_PROFILES_FILE", &profiles)]].concat();
        let lookup = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, text)| text.to_string())
        };
        let settings = Settings::resolve(&arguments(&line), &lookup);
        let settings = settings.and_then(Settings::choose_profile).expect("valid");
        assert_eq!(settings.values.servers("servers").expect("valid"), settings.servers);
        assert_eq!(settings.values.text("profile"), settings.profile.as_deref());
        let origin = settings.values.origin("servers").to_string();
        let origin = origin.replace(&folder.path().display().to_string(), "");
        (settings.servers.addresses[0].to_string(), origin)
    }

    #[test]
    fn who_names_the_servers_is_decided_in_the_order_of_the_manual() {
        let config = "servers = 'c:1'";
        let (servers, profile) = (("FTCHAT_SERVERS", "e:1"), ("FTCHAT_PROFILE", "y"));
        let none = ("FTCHAT_PROFILE", "default");
        let check = |line: &[&str], environment: &[(&str, &str)], address: &str, origin: &str| {
            let found = chosen(line, environment, config);
            assert_eq!(found, (address.to_string(), origin.to_string()), "{line:?}");
        };
        let (of_x, of_y) = ("profile x in /profiles.toml", "profile y in /profiles.toml");
        check(&["--servers", "f:1"], &[servers, profile], "f:1", "flag --servers");
        check(&["--profile", "y"], &[servers], "y:1", of_y);
        check(&["--profile", "default"], &[servers], "c:1", "/config.toml:1");
        check(&[], &[servers, profile], "e:1", "environment FTCHAT_SERVERS");
        check(&[], &[profile], "y:1", of_y);
        check(&[], &[none], "c:1", "/config.toml:1");
        check(&[], &[], "x:1", of_x);
        let found = chosen(&["--profile", "default"], &[], "");
        assert_eq!(found, ("127.0.0.1:8091".to_string(), "default".to_string()));
    }

    #[test]
    fn two_flags_that_each_name_servers_are_one_too_many() {
        let both = resolve(&["--servers", "h:1", "--profile", "x"], &[]).expect_err("two");
        assert_eq!(both.code, ErrorCode::WrongUsage);
    }

    #[test]
    fn a_file_of_profiles_is_read_only_where_it_counts() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("profiles.toml");
        let kept = path.display().to_string();
        let choose = |line: &[&str], environment: &[(&str, &str)]| {
            let environment = [environment, &[("FTCHAT_PROFILES_FILE", &kept)]].concat();
            resolve(line, &environment).and_then(Settings::choose_profile)
        };
        let unknown = choose(&["--profile", "x"], &[]).expect_err("no file");
        assert_eq!(unknown.code, ErrorCode::UnknownProfile);
        let unknown = choose(&[], &[("FTCHAT_PROFILE", "x")]).expect_err("no file");
        assert!(unknown.message.starts_with("FTCHAT_PROFILE: there is no"), "{unknown}");
        assert_eq!(choose(&[], &[]).expect("none is current").profile, None);
        std::fs::write(&path, "current = ").expect("own folder");
        let damaged = choose(&[], &[]).expect_err("no TOML");
        assert_eq!(damaged.code, ErrorCode::InvalidConfig);
        assert!(damaged.message.contains("profiles.toml:1"), "{damaged}");
        choose(&["--servers", "h:1"], &[]).expect("not looked at");
        choose(&["--profile", "default"], &[]).expect("not looked at");
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
