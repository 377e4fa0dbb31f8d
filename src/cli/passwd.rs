//! `ftchat passwd`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::context::unexpected;
use super::{Context, Exit, password};
use crate::error::{Error, ErrorCode, Result};
use crate::output::PasswordChanged;
use crate::protocol::client::{Answer, Confirm, Request, SessionInfo};
use crate::types::Uuid;

/// Arguments of `passwd`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat passwd\n  \
    printf '%s\\n%s\\n' \"$OLD\" \"$NEW\" | ftchat passwd --password-stdin\n  \
    ftchat passwd --password-file old.txt --new-password-file new.txt\n\n\
    All other sessions of the account end with it: whoever is logged in elsewhere has to log in\n\
    again, with the new password. The session that changes it stays: if somebody may have its token,\n\
    as from a copy of this machine's files, log in once more first.\n\n\
    Exit code 4 means that the old password was wrong, or that nobody is logged in. Exit code 6\n\
    means that it may or may not have been changed: repeat the command with the --id that the\n\
    error names and the same passwords, which does no harm if it was.")]
pub struct PasswdArgs {
    /// Read both passwords from standard input: the old one from the first line, the new one
    /// from the second
    #[arg(long, conflicts_with_all = ["password_file", "new_password_file"])]
    password_stdin: bool,
    /// Read the old password from a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Read the new password from a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    new_password_file: Option<PathBuf>,
    /// The operation's id, to repeat a command whose outcome is unknown
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
}

impl PasswdArgs {
    /// The old password and the new one.
    async fn read(&self) -> Result<[SecretString; 2]> {
        if self.password_stdin {
            let names = ("old password on the first", "new one on the second");
            return password::two_lines(names, std::io::stdin().lock());
        }
        let missing = self.password_file.is_none() || self.new_password_file.is_none();
        if missing && !password::can_ask() {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                "there is no terminal to ask for passwords at: use --password-stdin, or \
                 --password-file FILE and --new-password-file FILE",
            ));
        }
        let old = match &self.password_file {
            Some(path) => password::from_file("old password", path)?,
            None => password::ask("Old password: ").await?,
        };
        let new = match &self.new_password_file {
            Some(path) => password::from_file("new password", path)?,
            None => password::ask_twice("New password: ").await?,
        };
        Ok([old, new])
    }
}

/// Sets another password.
///
/// # Errors
/// The service's refusal, such as a wrong old password.
pub async fn run(args: &PasswdArgs, context: &mut Context) -> Result<Exit> {
    let operation = args.id.unwrap_or_else(|| context.host.uuid());
    context.printer.set_operation(operation);
    let [old, new] = args.read().await?;
    let (mut client, session) = context.logged_in(Confirm::Majority).await?;
    let name = match session {
        Some(session) => session.name,
        None => match client.request(Request::Whoami {}).await? {
            Answer::Session(SessionInfo { name, .. }) => name,
            _ => return Err(unexpected("a session")),
        },
    };
    let request = Request::ChangePassword {
        operation,
        password: old.expose_secret().to_owned(),
        new_password: new.expose_secret().to_owned(),
    };
    let Answer::Done { .. } = client.request(request).await? else {
        return Err(unexpected("a word that it is done"));
    };
    context.printer.show(&PasswordChanged { name, changed: true });
    Ok(Exit::Done)
}
