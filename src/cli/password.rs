//! Where passwords come from: never from a flag's value, which every user of
//! the machine can read in the process list and every shell keeps for years.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result};
use crate::limits::PASSWORD_MAX_BYTES;

/// Flags of every command that needs a password.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Read the password from standard input, to its end
    #[arg(long)]
    pub password_stdin: bool,
    /// Read the password from a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
}

/// How often a password is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// It is known.
    Once,
    /// It is new, and a slip would lock its owner out.
    Twice,
}

impl PasswordArgs {
    /// The password. However the wait for a user who types it ends, by
    /// Ctrl-C or a signal as well, the terminal's echo comes back.
    ///
    /// # Errors
    /// [`ErrorCode::WrongUsage`] when there is no terminal to ask at and no flag
    /// says where to read; [`ErrorCode::NotConfirmed`] when it was typed
    /// differently the second time; [`ErrorCode::InvalidPassword`] when it is
    /// too long or no text; [`ErrorCode::Io`].
    pub async fn read(&self, prompt: &str, typed: Typed) -> Result<SecretString> {
        if self.password_stdin {
            return from_reader("password", "standard input", std::io::stdin().lock());
        }
        if let Some(path) = &self.password_file {
            return from_file("password", path);
        }
        if !can_ask() {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                "there is no terminal to ask for the password at: use --password-stdin or \
                 --password-file FILE",
            ));
        }
        match typed {
            Typed::Once => ask(prompt).await,
            Typed::Twice => ask_twice(prompt).await,
        }
    }
}

/// A new password, typed twice at the terminal.
///
/// # Errors
/// [`ErrorCode::NotConfirmed`] when it was typed differently the second time;
/// [`ErrorCode::Io`].
pub(super) async fn ask_twice(prompt: &str) -> Result<SecretString> {
    let password = ask(prompt).await?;
    let again = ask("The same password again: ").await?;
    match password.expose_secret() == again.expose_secret() {
        true => Ok(password),
        false => Err(Error::new(ErrorCode::NotConfirmed, "the two passwords differ: start again")),
    }
}

/// A secret from a file, which `what` names: a password, or a code.
///
/// # Errors
/// [`ErrorCode::InvalidPassword`] when it is empty, too long or no text; [`ErrorCode::Io`].
pub(super) fn from_file(what: &str, path: &Path) -> Result<SecretString> {
    let file = File::open(path)
        .map_err(|error| Error::io(&format!("read the {what} file"), path, &error))?;
    from_reader(what, &path.display().to_string(), file)
}

/// Whether somebody can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks for a secret, without showing it, in a thread of its own, so that a signal is noticed while it waits.
pub(super) async fn ask(prompt: &str) -> Result<SecretString> {
    let interrupted = || Error::new(ErrorCode::Interrupted, "interrupted");
    let listen =
        |kind| signal(kind).map_err(|error| Error::failed("cannot listen for signals", &error));
    let (mut terminate, mut hangup) =
        (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    // Ctrl-C and `kill -INT` drop this future; see the module's head.
    let echo = Echo::keep();
    let prompt = prompt.to_string();
    let asking = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt));
    let answer = tokio::select! {
        answer = asking => answer,
        _ = terminate.recv() => return Err(interrupted()),
        _ = hangup.recv() => return Err(interrupted()),
    };
    drop(echo);
    let answer = answer.map_err(|error| Error::internal(format!("the prompt failed: {error}")))?;
    answer.map(SecretString::from).map_err(|error| match error.kind() {
        std::io::ErrorKind::Interrupted => interrupted(),
        _ => Error::failed("cannot read the password", &error),
    })
}

/// The terminal as it was before it was told to hide what is typed. Dropped, it
/// is so again: a shell that runs a script does not do that itself.
struct Echo(Option<(File, Termios)>);

impl Echo {
    fn keep() -> Echo {
        // Without a terminal there is nothing to keep, and the prompt says why.
        let terminal = File::open("/dev/tty").ok();
        Echo(terminal.and_then(|terminal| {
            let modes = tcgetattr(&terminal).ok()?;
            Some((terminal, modes))
        }))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some((terminal, modes)) = &self.0 {
            // A terminal that is gone needs no echo.
            let _ = tcsetattr(terminal, OptionalActions::Now, modes);
        }
    }
}

/// Everything there is, without one newline at the end, which editors and
/// `echo` add. The bound is checked while reading.
fn from_reader(what: &str, name: &str, reader: impl Read) -> Result<SecretString> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_MAX_BYTES + 3));
    // Two more for the newline, one more to notice what is too long.
    reader
        .take(PASSWORD_MAX_BYTES as u64 + 3)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::failed(format!("cannot read the {what} from {name}"), &error))?;
    let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let end = end.strip_suffix(b"\r").unwrap_or(end);
    let refused =
        |why: &str| Error::new(ErrorCode::InvalidPassword, format!("the {what} from {name} {why}"));
    if end.len() > PASSWORD_MAX_BYTES {
        return Err(refused(&format!("is longer than {PASSWORD_MAX_BYTES} bytes")));
    }
    if end.is_empty() {
        return Err(refused("is empty"));
    }
    let text = std::str::from_utf8(end).map_err(|_| refused("is no valid UTF-8"))?;
    Ok(SecretString::from(text))
}

/// Two secrets, each on a line of its own.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] when there are not two lines; those of one secret.
pub(super) fn two_lines(
    (first, second): (&str, &str),
    from: impl Read,
) -> Result<[SecretString; 2]> {
    // Two newlines of two bytes, and one byte more to notice what is too long.
    let most = 2 * PASSWORD_MAX_BYTES + 5;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    from.take(most as u64).read_to_end(&mut bytes).map_err(|error| {
        Error::failed(format!("cannot read the {first} from standard input"), &error)
    })?;
    let mut lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|byte| *byte == b'\n');
    let (Some(old), Some(new), None) = (lines.next(), lines.next(), lines.next()) else {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            format!("standard input needs two lines: the {first}, and the {second}"),
        ));
    };
    let name = "standard input";
    Ok([from_reader(first, name, old)?, from_reader(second, name, new)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_passwords_stand_on_two_lines_and_on_no_third() {
        let read = |bytes: &[u8]| {
            let both = two_lines(("old", "new"), bytes);
            both.map(|both| both.map(|it| it.expose_secret().to_string()))
        };
        let longest = "x".repeat(PASSWORD_MAX_BYTES);
        for (bytes, old, new) in [
            ("old one\nnew one\n", "old one", "new one"),
            ("old one\r\n new one \r\n", "old one", " new one "),
            ("a\nb", "a", "b"),
            (&format!("{longest}\r\n{longest}\r\n"), &longest, &longest),
        ] {
            assert_eq!(read(bytes.as_bytes()).expect("two"), [old, new]);
        }
        for one_or_three in ["", "\n", "old one", "old one\n", "a\nb\nc", "a\nb\n\n"] {
            let error = read(one_or_three.as_bytes()).expect_err(one_or_three);
            assert_eq!(error.code, ErrorCode::WrongUsage, "{one_or_three:?}");
        }
        for wrong in ["\nb".to_string(), "a\n\r\n".to_string(), format!("a\n{longest}x")] {
            let error = read(wrong.as_bytes()).expect_err("refused");
            assert_eq!(error.code, ErrorCode::InvalidPassword, "{wrong:.9}");
        }
        let endless = read(&[b'x'; 9_999]).expect_err("one line");
        assert_eq!(endless.code, ErrorCode::WrongUsage);
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_it() {
        let read = |bytes: &[u8]| {
            from_reader("password", "a test", bytes).map(|p| p.expose_secret().to_string())
        };
        assert_eq!(read(b"secret").expect("fits"), "secret");
        assert_eq!(read(b"secret\n").expect("fits"), "secret");
        assert_eq!(read(b"secret\r\n").expect("fits"), "secret");
        assert_eq!(read(b" two\nlines \n\n").expect("fits"), " two\nlines \n");
        let longest = "x".repeat(PASSWORD_MAX_BYTES);
        assert_eq!(read(format!("{longest}\r\n").as_bytes()).expect("fits"), longest);
        for wrong in
            [format!("{longest}x").as_bytes(), b"", b"\n", b"\xff\xff\xff\xff", &[b'x'; 9999]]
        {
            assert_eq!(read(wrong).expect_err("refused").code, ErrorCode::InvalidPassword);
        }
    }
}
