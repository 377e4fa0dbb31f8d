//! Sessions kept between commands.
//!
//! There is one folder per cluster, with one file per account and a file `last` that
//! names the account logged in last. Several commands run at once, and none may lose
//! what another writes. No two facts share a file, so there is nothing to merge, and no
//! lock that could be left behind or waited for. Files have mode 0600 and are replaced
//! by renaming, so a reader sees the old or the new content. Folders that are made have
//! mode 0700. One that is there keeps its mode, as it may be anybody's. But sessions are
//! not kept in a folder that others may change: they could put theirs in.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kept::{Folder, is_missing, read};
use crate::config::CommandLines;
use crate::error::{Error, ErrorCode, Result};
use crate::host::write_private;
use crate::types::{AccountName, Timestamp, Uuid};

/// A session that is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account's name.
    pub name: AccountName,
    /// The account.
    pub account: Uuid,
    /// The session's token; a secret.
    pub token: String,
    /// When the session ends.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The sessions with one cluster.
pub struct Sessions {
    folder: PathBuf,
    /// Command lines that reach the same servers.
    lines: CommandLines,
}

impl Sessions {
    /// The sessions with `cluster` below the folder of all sessions.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when there is no such folder on this machine.
    pub fn new(sessions_dir: &Path, cluster: Uuid) -> Result<Sessions> {
        if sessions_dir.as_os_str().is_empty() {
            return Err(Error::new(
                ErrorCode::InvalidConfig,
                "there is no home directory to keep sessions in: set FTCHAT_SESSIONS_DIR, or \
                 FTCHAT_TOKEN to a session's token",
            ));
        }
        let (folder, lines) = (sessions_dir.join(cluster.to_string()), CommandLines::default());
        Ok(Sessions { folder, lines })
    }

    /// The same, with other command lines to be printed for users to type.
    pub fn with_command_lines(self, lines: CommandLines) -> Sessions {
        Sessions { lines, ..self }
    }

    /// Makes the folders, so that nothing is asked of a server whose answer
    /// could not be kept.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] that names the folder; [`ErrorCode::InvalidConfig`] when
    /// others may change what is in it.
    pub fn prepare(&self) -> Result<()> {
        self.private_folder().prepare()
    }

    fn private_folder(&self) -> Folder<'_> {
        Folder { path: &self.folder, of: "sessions", otherwise: ", or set FTCHAT_SESSIONS_DIR" }
    }

    /// Keeps a session as the last one.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] or [`ErrorCode::DiskFull`] that names the file.
    pub fn save(&self, session: &Session) -> Result<()> {
        self.prepare()?;
        let content = serde_json::to_vec(session).expect("plain data serializes");
        self.replace(&self.file(&session.name), &content)?;
        self.replace(&self.last(), session.name.as_str().as_bytes())
    }

    /// The session of `user`, by default the one logged in last.
    ///
    /// # Errors
    /// [`ErrorCode::NotLoggedIn`], with what to type; [`ErrorCode::Io`];
    /// [`ErrorCode::Corrupted`]; [`ErrorCode::InvalidConfig`] when others may
    /// change what is kept.
    pub fn load(&self, user: Option<&AccountName>) -> Result<Session> {
        self.private_folder().check()?;
        let name = match user {
            Some(name) => name.clone(),
            None => match read(&self.last())? {
                Some(name) => AccountName::new(String::from_utf8_lossy(&name).trim())
                    .map_err(|_| broken(&self.last()))?,
                None => return Err(self.nobody()?),
            },
        };
        let file = self.file(&name);
        match read(&file)? {
            Some(content) => serde_json::from_slice(&content).map_err(|_| broken(&file)),
            None => Err(Error::new(
                ErrorCode::NotLoggedIn,
                format!(
                    "{name} is not logged in to this cluster: {}",
                    self.lines.line("login", &[name.as_str()])
                ),
            )),
        }
    }

    /// Forgets a session. One that is not kept is no error.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] that names the file.
    pub fn forget(&self, name: &AccountName) -> Result<()> {
        let last = read(&self.last())?.unwrap_or_default();
        if name.as_str().as_bytes().eq_ignore_ascii_case(&last) {
            remove(&self.last())?;
        }
        remove(&self.file(name))
    }

    /// What is kept beside the session of `name`, in a file whose name ends like that.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]; [`ErrorCode::InvalidConfig`] when others may change what is kept.
    pub(super) fn read_beside(&self, name: &AccountName, ending: &str) -> Result<Option<Vec<u8>>> {
        self.private_folder().check()?;
        read(&self.beside(name, ending))
    }

    /// Replaces what is kept there, or removes it.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] or [`ErrorCode::DiskFull`] that names the file.
    pub(super) fn replace_beside(
        &self,
        name: &AccountName,
        ending: &str,
        content: Option<&[u8]>,
    ) -> Result<()> {
        let path = self.beside(name, ending);
        match content {
            Some(content) => self.replace(&path, content),
            None => remove(&path),
        }
    }

    /// Why there is no default account, and which ones there are.
    fn nobody(&self) -> Result<Error> {
        let mut names = Vec::new();
        match fs::read_dir(&self.folder) {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(Error::own_file("list", &self.folder, &error)),
            Ok(entries) => {
                for entry in entries {
                    let entry =
                        entry.map_err(|error| Error::own_file("list", &self.folder, &error))?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    names.extend(name.strip_suffix(".json").map(str::to_string));
                }
            }
        }
        names.sort();
        let advice = match names.as_slice() {
            [] => format!(
                "{}, or {}",
                self.lines.line("login", &["NAME"]),
                self.lines.line("register", &["NAME"])
            ),
            names => format!("choose one with --user=NAME: {}", names.join(", ")),
        };
        Ok(Error::new(
            ErrorCode::NotLoggedIn,
            format!("nobody is logged in to this cluster: {advice}"),
        ))
    }

    /// No name ends in `.json` and collides: names are cut at no dot.
    fn file(&self, name: &AccountName) -> PathBuf {
        self.folder.join(format!("{}.json", name.folded()))
    }

    /// As [`Sessions::file`].
    fn beside(&self, name: &AccountName, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", name.folded()))
    }

    fn last(&self) -> PathBuf {
        self.folder.join("last")
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<()> {
        write_private(path, content).map_err(|error| Error::own_file("write", path, &error))
    }
}

/// A file that is not there is removed.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::own_file("remove", path, &error))
        }
        _ => Ok(()),
    }
}

fn broken(path: &Path) -> Error {
    Error::new(
        ErrorCode::Corrupted,
        format!("{} is no session: log in again to replace it", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn name(name: &str) -> AccountName {
        AccountName::new(name).expect("valid")
    }

    fn session(of: &str) -> Session {
        let token = format!("token of {of}");
        Session { name: name(of), account: Uuid::nil(), token, expires: Timestamp(0) }
    }

    fn sessions(folder: &tempfile::TempDir, cluster: u128) -> Sessions {
        Sessions::new(&folder.path().join("a/sessions"), Uuid::from_u128(cluster)).expect("folder")
    }

    #[test]
    fn each_cluster_and_account_has_its_own() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (one, two) = (sessions(&folder, 1), sessions(&folder, 2));
        assert_eq!(one.load(None).expect_err("nobody").code, ErrorCode::NotLoggedIn);
        for who in ["Alice", "bob", "..", "last"] {
            one.save(&session(who)).expect("kept");
            assert_eq!(one.load(None).expect("the last one"), session(who));
        }
        assert_eq!(one.load(Some(&name("aLICE"))).expect("any case"), session("Alice"));
        let error = two.load(Some(&name("bob"))).expect_err("another cluster");
        assert_eq!(error.code, ErrorCode::NotLoggedIn);
        assert!(error.message.ends_with("ftchat login bob"), "{}", error.message);
        let error = two.load(Some(&name("-b"))).expect_err("another cluster");
        assert!(error.message.ends_with("ftchat login -- -b"), "{}", error.message);
    }

    #[test]
    fn forgetting_the_last_one_leaves_the_choice_to_the_user() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        for who in ["carol", "alice", "bob"] {
            sessions.save(&session(who)).expect("kept");
        }
        sessions.forget(&name("carol")).expect("gone");
        assert_eq!(sessions.load(None).expect("bob is still the last"), session("bob"));
        sessions.forget(&name("BOB")).expect("gone");
        sessions.forget(&name("bob")).expect("no error");
        let error = sessions.load(None).expect_err("nobody by default");
        assert!(error.message.ends_with("--user=NAME: alice"), "{}", error.message);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own folder");
    }

    #[test]
    fn a_folder_that_is_there_keeps_its_mode_or_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        let all = sessions.folder.parent().expect("below").to_path_buf();
        fs::create_dir_all(&all).expect("own folder");
        set_mode(&all, 0o1777);
        sessions.save(&session("alice")).expect("kept");
        assert_eq!((mode(&all), mode(&sessions.folder)), (0o1777, 0o700));
        set_mode(&sessions.folder, 0o755);
        sessions.save(&session("alice")).expect("others can read no file");
        assert_eq!(mode(&sessions.folder), 0o755);
        for open in [0o775, 0o757, 0o777] {
            set_mode(&sessions.folder, open);
            for refused in [
                sessions.save(&session("alice")).expect_err("open to others"),
                sessions.load(None).expect_err("open to others"),
            ] {
                assert_eq!(refused.code, ErrorCode::InvalidConfig);
                assert!(refused.message.contains(&format!("{open:04o}")), "{refused}");
            }
            assert_eq!(mode(&sessions.folder), open);
        }
    }

    #[test]
    fn a_draft_that_a_dead_process_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        sessions.prepare().expect("made");
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "as it was").expect("own folder");
        for count in 0..1_000 {
            let draft = sessions.folder.join(format!("{}-{count}.tmp", std::process::id()));
            std::os::unix::fs::symlink(&elsewhere, draft).expect("own folder");
        }
        sessions.save(&session("alice")).expect("kept");
        assert_eq!(fs::read_to_string(&elsewhere).expect("there"), "as it was");
        assert_eq!(mode(&sessions.file(&name("alice"))), 0o600);
    }

    #[test]
    fn a_file_that_never_ends_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        sessions.prepare().expect("made");
        std::os::unix::fs::symlink("/dev/zero", sessions.last()).expect("own folder");
        let error = sessions.load(None).expect_err("no session");
        assert!(error.message.contains("last") && error.code == ErrorCode::Io, "{error}");
    }

    #[test]
    fn nobody_else_may_read_them() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        sessions.save(&session("alice")).expect("kept");
        assert_eq!(mode(&sessions.folder), 0o700);
        assert_eq!(mode(sessions.folder.parent().expect("below")), 0o700);
        for entry in fs::read_dir(&sessions.folder).expect("there") {
            assert_eq!(mode(&entry.expect("entry").path()), 0o600);
        }
        assert!(!format!("{:?}", session("alice")).contains("token of"));
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let names: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
        std::thread::scope(|scope| {
            for who in &names {
                let sessions = sessions(&folder, 1);
                scope.spawn(move || {
                    (0..20).for_each(|_| sessions.save(&session(who)).expect("kept"))
                });
            }
        });
        let sessions = sessions(&folder, 1);
        for who in &names {
            assert_eq!(sessions.load(Some(&name(who))).expect("kept"), session(who));
        }
        sessions.load(None).expect("one of them is the last");
        assert_eq!(fs::read_dir(&sessions.folder).expect("there").count(), 9, "no drafts are left");
    }

    #[test]
    fn a_broken_file_says_which() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        sessions.save(&session("alice")).expect("kept");
        fs::write(sessions.file(&name("alice")), "{").expect("written");
        let error = sessions.load(None).expect_err("broken");
        assert_eq!(error.code, ErrorCode::Corrupted);
        assert!(error.message.contains("alice.json"), "{}", error.message);
    }

    #[test]
    fn fuzz_kept_sessions() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sessions = sessions(&folder, 1);
        sessions.save(&session("alice")).expect("kept");
        let file = sessions.file(&name("alice"));
        let corpus = [fs::read(&file).expect("just kept"), b"alice".to_vec()];
        crate::protocol::fuzzing::fuzz("kept sessions", &corpus, |bytes| {
            for (path, other) in [(&file, sessions.last()), (&sessions.last(), file.clone())] {
                fs::write(path, bytes).expect("own file");
                fs::write(other, &corpus[1]).expect("own file");
                if let Err(error) = sessions.load(None) {
                    let known = [ErrorCode::Corrupted, ErrorCode::NotLoggedIn];
                    assert!(known.contains(&error.code), "{error}");
                    // The token is a secret, also in a file that is broken.
                    assert!(!error.message.contains("token of"), "{error}");
                }
            }
        });
    }
}
