//! `ftchat login`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::password::{self, PasswordArgs, Typed};
use super::{Context, Exit};
use crate::error::{ErrorCode, Result};
use crate::protocol::client::Request;
use crate::types::AccountName;

/// Arguments of `login`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat login alice\n  \
    ftchat login alice --password-file ~/.secrets/ftchat\n\n\
    Commands act as the account logged in last; --user NAME chooses another one that is logged\n\
    in. FTCHAT_TOKEN overrides both. An account that was reset is logged in to with the code in\n\
    the place of the password; the new password is asked for on a terminal.")]
pub struct LoginArgs {
    /// The account's name
    pub name: String,
    #[command(flatten)]
    password: PasswordArgs,
    /// Read the new password of an account that was reset from a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    new_password_file: Option<PathBuf>,
}

/// Makes a session and keeps it.
///
/// # Errors
/// The service's refusal, or why the session cannot be kept.
pub async fn run(args: &LoginArgs, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(&args.name)?.to_string();
    let file = args.new_password_file.as_deref();
    let mut new = file.map(|path| password::from_file("password", path)).transpose()?;
    let prompt = format!("Password for {name}: ");
    let password = args.password.read(&prompt, Typed::Once).await?;
    loop {
        let (name, new_password) = (name.clone(), new.clone());
        let request = |operation, token| Request::Login {
            operation,
            name,
            password: password.expose_secret().to_owned(),
            token,
            new_password: new_password.map(|it: SecretString| it.expose_secret().to_owned()),
        };
        match context.open_session(false, request).await {
            Ok(()) => return Ok(Exit::Done),
            Err(error)
                if error.code == ErrorCode::NewPasswordRequired
                    && new.is_none()
                    && password::can_ask() =>
            {
                let prompt = format!("The code is right. New password for {}: ", args.name);
                new = Some(password::ask_twice(&prompt).await?);
            }
            Err(error) => return Err(error),
        }
    }
}
