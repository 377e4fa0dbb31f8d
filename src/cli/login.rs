//! `ftchat login`.

use secrecy::ExposeSecret;

use super::password::{PasswordArgs, Typed};
use super::{Context, Exit};
use crate::error::Result;
use crate::protocol::client::Request;
use crate::types::AccountName;

/// Arguments of `login`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat login alice\n  \
    ftchat login alice --password-file ~/.secrets/ftchat\n\n\
    Commands act as the account logged in last; --user NAME chooses another one that is logged\n\
    in. FTCHAT_TOKEN overrides both.")]
pub struct LoginArgs {
    /// The account's name
    pub name: String,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Makes a session and keeps it.
///
/// # Errors
/// The service's refusal, or why the session cannot be kept.
pub async fn run(args: &LoginArgs, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(&args.name)?.to_string();
    let prompt = format!("Password for {name}: ");
    let password = args.password.read(&prompt, Typed::Once).await?.expose_secret().to_owned();
    let request = |operation, token| Request::Login { operation, name, password, token };
    context.open_session(false, request).await?;
    Ok(Exit::Done)
}
