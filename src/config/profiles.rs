//! Clusters that are kept by name, and which of them is the current one.
//!
//! They stand in a TOML file beside the configuration, which commands write and people
//! may read and change:
//!
//! ```toml
//! current = "work"
//!
//! [profiles.work]
//! servers = "ftchat://alpha:8091,beta:8091,gamma:8091#FOEN-UXES-…"
//! ```
//!
//! Whoever changes it holds a lock meanwhile, so that of two commands at once neither
//! loses what the other writes. It is replaced by renaming, so that a reader sees the old
//! or the new content. A file that does not hold what it should is an error with its
//! line, as of the configuration: to pass over it would be to speak to other servers than
//! people chose.
//!
//! [`NO_PROFILE`] is no profile: it stands for there being none.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::file;
use super::keys::Kind;
use crate::error::{Error, ErrorCode, Result};
use crate::host::{make_private_folders, open_private, write_private};
use crate::types::Servers;

/// The name by which people choose to have no profile: then the servers are those of the
/// configuration, by default those of a local cluster.
pub const NO_PROFILE: &str = "default";

/// Most profiles that are kept, so that the file never grows beyond what is read of one.
const PROFILES_MAX: usize = 1_000;

/// Between two looks whether another command has ended.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What the file is, for whoever opens it.
const HEAD: &str =
    "# Clusters that are kept by name. Commands write this file anew, without comments of yours.\n";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    /// The one that counts when nobody names another; it is among them.
    pub current: Option<String>,
    /// How to find and know the cluster of each name.
    pub clusters: BTreeMap<String, Servers>,
    /// Where the current one is named, from 1.
    pub(super) current_line: usize,
}

impl Profiles {
    /// Reads the file. If there is none, or it lies in a folder that is closed to us,
    /// there are no profiles.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] with file and line; [`ErrorCode::Io`].
    pub fn read(path: &Path) -> Result<Profiles> {
        let read = file::read_text(path, "file of profiles");
        match file::unless_out_of_sight(path, read)? {
            Some(text) => Profiles::parse(path, &text),
            None => Ok(Profiles::default()),
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// As of [`Profiles::read`].
    pub(super) fn parse(path: &Path, text: &str) -> Result<Profiles> {
        let mut profiles = Profiles::default();
        for (key, value) in file::parse_toml(path, text)?.get_ref().iter() {
            let line = file::line_of(text, &key.span());
            let wrong = |line: usize, what: &str, value: &DeValue<'_>| {
                file::at(path, line, format!("{what}, and not {}", file::with_article(value)))
            };
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("current", DeValue::String(name)) => {
                    profiles.current = Some(name.to_string());
                    profiles.current_line = line;
                }
                ("current", value) => {
                    return Err(wrong(line, "current is the name of a profile", value));
                }
                ("profiles", DeValue::Table(table)) => {
                    for (name, value) in table.iter() {
                        let line = file::line_of(text, &name.span());
                        let name = name.get_ref().as_ref();
                        check_name(name).map_err(|error| file::at(path, line, error.message))?;
                        let servers = match value.get_ref() {
                            DeValue::Table(profile) => servers_of(profile, path, text, line, name)?,
                            value => {
                                let what = format!("{name} is a section, [profiles.{name}]");
                                return Err(wrong(line, &what, value));
                            }
                        };
                        profiles.clusters.insert(name.to_string(), servers);
                    }
                }
                ("profiles", value) => {
                    return Err(wrong(line, "profiles are sections, each [profiles.NAME]", value));
                }
                (other, _) => {
                    let why = format!("there is no key {other:?} here, only current and profiles");
                    return Err(file::at(path, line, why));
                }
            }
        }
        match &profiles.current {
            Some(current) if !profiles.clusters.contains_key(current) => {
                let why = format!("current is {current:?}, and there is no profile of that name");
                Err(file::at(path, profiles.current_line, why))
            }
            _ => Ok(profiles),
        }
    }

    /// The servers of a profile.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownProfile`] that names those which there are.
    pub fn get(&self, name: &str) -> Result<&Servers> {
        self.clusters.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.clusters.keys().map(String::as_str).collect();
            let there_are = match names.as_slice() {
                [] => "none is kept here".to_string(),
                names => format!("there are: {}", names.join(", ")),
            };
            let why = format!("there is no profile {name:?}; {there_are}");
            Error::new(ErrorCode::UnknownProfile, why)
        })
    }

    /// Keeps a cluster under a name, in the place of what has the name.
    ///
    /// # Errors
    /// [`ErrorCode::TooMany`].
    pub fn insert(&mut self, name: &str, servers: Servers) -> Result<()> {
        if !self.clusters.contains_key(name) && self.clusters.len() >= PROFILES_MAX {
            let why = format!("{PROFILES_MAX} profiles are kept, which is the most: remove one");
            return Err(Error::new(ErrorCode::TooMany, why));
        }
        self.clusters.insert(name.to_string(), servers);
        Ok(())
    }

    /// Removes a profile; returns what it was, and whether it was the current one.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownProfile`].
    pub fn remove(&mut self, name: &str) -> Result<(Servers, bool)> {
        let servers = self.get(name)?.clone();
        self.clusters.remove(name);
        let was_current = self.current.take_if(|current| current == name).is_some();
        Ok((servers, was_current))
    }

    fn text(&self) -> String {
        let of = |servers: &Servers| Written { servers: servers.word() };
        let written = WrittenFile {
            current: self.current.as_deref(),
            profiles: self.clusters.iter().map(|(name, it)| (name.as_str(), of(it))).collect(),
        };
        let toml = toml::to_string(&written).expect("texts in tables are TOML");
        format!("{HEAD}{toml}")
    }
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<&'a str>,
    profiles: BTreeMap<&'a str, Written>,
}

#[derive(Serialize)]
struct Written {
    servers: String,
}

/// Reads what stands below the name of a profile.
fn servers_of(
    profile: &DeTable<'_>,
    path: &Path,
    text: &str,
    line: usize,
    name: &str,
) -> Result<Servers> {
    let mut servers = None;
    for (key, value) in profile.iter() {
        let line = file::line_of(text, &key.span());
        let named = match (key.get_ref().as_ref(), value.get_ref()) {
            ("servers", DeValue::String(named)) => named,
            ("servers", value) => {
                let what = Kind::Servers.allowed();
                let why = format!("servers is {what}, and not {}", file::with_article(value));
                return Err(file::at(path, line, why));
            }
            (other, _) => {
                let why = format!("there is no key {other:?} of a profile, only servers");
                return Err(file::at(path, line, why));
            }
        };
        let parsed = named.parse::<Servers>();
        servers = Some(parsed.map_err(|error| file::at(path, line, error.message))?);
    }
    servers.ok_or_else(|| file::at(path, line, format!("the profile {name} names no servers")))
}

/// Whether a profile can have this name.
///
/// # Errors
/// [`ErrorCode::WrongUsage`].
pub fn check_name(name: &str) -> Result<()> {
    let why = match name {
        NO_PROFILE => format!("{NO_PROFILE} stands for no profile at all, so none can have it"),
        _ if Kind::ClusterName.accepts(name) => return Ok(()),
        _ => format!("a profile's name has {}, and not {name:?}", Kind::ClusterName.allowed()),
    };
    Err(Error::new(ErrorCode::WrongUsage, why))
}

/// Changes the file, if the change succeeds and changes anything. Waits for at most
/// `limit` for other commands that do so.
///
/// # Errors
/// Those of [`Profiles::read`] and of the change; [`ErrorCode::Io`] that names the file;
/// [`ErrorCode::Unavailable`] when another command does not end; a path that is empty is
/// [`ErrorCode::InvalidConfig`], as there is no home on this machine then.
pub async fn change<T>(
    path: &Path,
    limit: Duration,
    change: impl Fn(&mut Profiles) -> Result<T>,
) -> Result<T> {
    if path.as_os_str().is_empty() {
        return Err(Error::new(
            ErrorCode::InvalidConfig,
            "there is no home directory to keep profiles in: set FTCHAT_PROFILES_FILE",
        ));
    }
    // A link to a file that is kept elsewhere stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    // What changes nothing makes no file.
    let (before, after, changed) = changed(&path, &change)?;
    if after == before {
        return Ok(changed);
    }
    if let Some(folder) = path.parent() {
        let failed = |error| Error::own_file("make the folder for profiles", folder, &error);
        make_private_folders(folder).map_err(failed)?;
    }
    let _lock = lock(&path, limit).await?;
    let (_, after, changed) = self::changed(&path, &change)?;
    let written = write_private(&path, after.text().as_bytes());
    written.map_err(|error| Error::own_file("write", &path, &error))?;
    Ok(changed)
}

/// What the file says, what it would say after a change, and what the change gives.
fn changed<T>(
    path: &Path,
    change: &impl Fn(&mut Profiles) -> Result<T>,
) -> Result<(Profiles, Profiles, T)> {
    let before = Profiles::read(path)?;
    let mut after = before.clone();
    let changed = change(&mut after)?;
    Ok((before, after, changed))
}

/// The lock that whoever changes the file holds. It is never removed: another might hold
/// one of a file that is gone.
async fn lock(path: &Path, limit: Duration) -> Result<File> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = open_private(&mut options, &lock_path)
        .map_err(|error| Error::own_file("open", &lock_path, &error))?;
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => return Ok(file),
            Err(fs4::TryLockError::WouldBlock) => {}
            Err(fs4::TryLockError::Error(error)) => {
                return Err(Error::own_file("lock", &lock_path, &error));
            }
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::unavailable(format!(
                "another command is changing {}; try again when it has ended",
                path.display()
            )));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "ftchat://alpha:8091,beta:8091#BNZU-R6QD-RFYM-JDWA-PTLT-WYSX-6OPM-QEHW-\
        B4LO-445W-FY6G-4JQQ-VPDA-NHZF";
    const LIMIT: Duration = Duration::from_secs(30);

    fn parsed(text: &str) -> Result<Profiles> {
        Profiles::parse(Path::new("/etc/profiles.toml"), text)
    }

    fn servers(word: &str) -> Servers {
        word.parse().expect("a word")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut profiles = Profiles::default();
        assert_eq!(parsed(&profiles.text()).expect("valid"), profiles);
        for name in ["work", "a.b", "-x", "9"] {
            profiles.insert(name, servers(WORD)).expect("room");
        }
        profiles.insert("odd", servers(r#"ftchat://a"b\c:1,[::1]:2"#)).expect("room");
        profiles.current = Some("a.b".to_string());
        let text = profiles.text();
        let read = parsed(&text).expect(&text);
        assert_eq!((&read.current, &read.clusters), (&profiles.current, &profiles.clusters));
        assert_eq!(text.lines().nth(read.current_line - 1), Some("current = \"a.b\""));
    }

    #[test]
    fn every_mistake_names_file_line_and_what_is_allowed() {
        let slip = WORD.replace("BNZU", "CNZU");
        for (text, expected) in [
            ("\ncurrent = 1", "2: current is the name of a profile, and not an integer"),
            ("current = 'x'", "1: current is \"x\", and there is no profile of that name"),
            ("profiles = 'x'", "1: profiles are sections, each [profiles.NAME], and not a string"),
            ("[profiles]\nx = 'a:1'", "2: x is a section, [profiles.x], and not a string"),
            ("[profiles.x]", "1: the profile x names no servers"),
            ("[profiles.x]\nservers = ['a:1']", "2: servers is one or more addresses"),
            ("[profiles.x]\nservers = 'a'", "2: \"a\" is no address"),
            ("[profiles.x]\nserver = 'a:1'", "2: there is no key \"server\" of a profile"),
            ("[profiles.'a b']\nservers = 'a:1'", "1: a profile's name has 1 to 32"),
            ("[profiles.default]\nservers = 'a:1'", "1: default stands for no profile at all"),
            ("[moon]\nphase = 1", "1: there is no key \"moon\" here"),
            (&format!("[profiles.x]\nservers = '{slip}'"), "2: the fingerprint has a slip"),
            ("[profiles.x", "1: this is not TOML"),
        ] {
            let error = parsed(text).expect_err(text);
            assert_eq!(error.code, ErrorCode::InvalidConfig, "{text}");
            assert!(error.message.starts_with("/etc/profiles.toml:"), "{}", error.message);
            assert!(error.message.contains(expected), "{} lacks {expected}", error.message);
        }
    }

    #[test]
    fn a_profile_that_is_removed_is_not_the_current_one_any_more() {
        let mut profiles = Profiles::default();
        for name in ["work", "home"] {
            profiles.insert(name, servers("h:1")).expect("room");
        }
        profiles.current = Some("work".to_string());
        assert_eq!(profiles.remove("home").expect("there"), (servers("h:1"), false));
        assert_eq!(profiles.remove("work").expect("there"), (servers("h:1"), true));
        assert_eq!(profiles, Profiles::default());
        let error = profiles.remove("work").expect_err("gone");
        assert_eq!(error.code, ErrorCode::UnknownProfile);
        profiles.insert("home", servers("h:1")).expect("room");
        let error = profiles.get("work").expect_err("gone");
        assert!(error.message.ends_with("there are: home"), "{error}");
    }

    #[test]
    fn no_more_are_kept_than_can_be_read_again() {
        let mut profiles = Profiles::default();
        for number in 0..PROFILES_MAX {
            profiles.insert(&number.to_string(), servers(WORD)).expect("room");
        }
        assert_eq!(profiles.insert("x", servers(WORD)).expect_err("full").code, ErrorCode::TooMany);
        profiles.insert("0", servers("h:1")).expect("it has that place");
    }

    #[tokio::test]
    async fn a_file_that_is_not_changed_is_not_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a/profiles.toml");
        change(&path, LIMIT, |_| Ok(())).await.expect("nothing to do");
        change(&path, LIMIT, |profiles| profiles.remove("x")).await.expect_err("nothing there");
        assert!(!folder.path().join("a").exists());
        let keep = |profiles: &mut Profiles| profiles.insert("work", servers(WORD));
        change(&path, LIMIT, keep).await.expect("kept");
        use std::os::unix::fs::MetadataExt as _;
        let metadata = || std::fs::metadata(&path).expect("there");
        let before = metadata();
        assert_eq!(before.mode() & 0o7777, 0o600);
        change(&path, LIMIT, keep).await.expect("kept already");
        assert_eq!(metadata().ino(), before.ino());
        let refused = change(&path, LIMIT, |profiles| {
            profiles.remove("work")?;
            profiles.remove("work")
        });
        refused.await.expect_err("there is one only");
        assert_eq!(Profiles::read(&path).expect("valid").clusters.len(), 1);
    }

    #[tokio::test]
    async fn a_link_to_the_file_stays_a_link() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        std::fs::write(&file, "").expect("own folder");
        std::os::unix::fs::symlink(&file, &link).expect("own folder");
        change(&link, LIMIT, |it| it.insert("work", servers("h:1"))).await.expect("kept");
        assert!(link.is_symlink());
        assert_eq!(Profiles::read(&file).expect("valid").clusters.len(), 1);
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("profiles.toml");
        let keep = |name: String| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let kept = change(&path, LIMIT, |profiles| {
                profiles.current = Some(name.clone());
                profiles.insert(&name, servers(WORD))
            });
            runtime.expect("a runtime").block_on(kept).expect("kept");
        };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let keep = &keep;
                scope.spawn(move || (0..10).for_each(|n| keep(format!("p{thread}-{n}"))));
            }
        });
        assert_eq!(Profiles::read(&path).expect("valid").clusters.len(), 80);
    }

    #[tokio::test]
    async fn who_waits_for_another_command_gives_up_in_the_end() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("profiles.toml");
        let _held = lock(&path, LIMIT).await.expect("free");
        let keep = |profiles: &mut Profiles| profiles.insert("work", servers(WORD));
        let error = change(&path, Duration::ZERO, keep).await.expect_err("held");
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains("profiles.toml"), "{error}");
    }

    #[test]
    fn fuzz_files_of_profiles() {
        let whole = format!("current = 'x'\n[profiles.x]\nservers = '{WORD}'\n");
        let corpus =
            crate::protocol::fuzzing::lines([whole.as_str(), "profiles.x.servers = 'h:1'"]);
        crate::protocol::fuzzing::fuzz("files of profiles", &corpus, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            match Profiles::parse(Path::new("f.toml"), &text) {
                Ok(profiles) => {
                    let again = parsed(&profiles.text()).expect("own text");
                    assert_eq!(again.clusters, profiles.clusters);
                }
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::InvalidConfig);
                    assert!(error.message.starts_with("f.toml:"), "{error}");
                }
            }
        });
    }
}
