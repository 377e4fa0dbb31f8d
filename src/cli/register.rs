//! `ftchat register`.

use secrecy::ExposeSecret;

use super::password::{PasswordArgs, Typed};
use super::{Context, Exit};
use crate::error::Result;
use crate::protocol::client::Request;
use crate::types::AccountName;

/// Arguments of `register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat register alice\n  \
    ftchat register alice --password-stdin < password.txt\n\n\
    A name has 1 to 32 ASCII letters, digits, '.', '_' and '-'. Case is kept, and ignored when\n\
    names are compared. A password has 8 to 1024 bytes.")]
pub struct RegisterArgs {
    /// The new account's name
    pub name: String,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Creates the account and logs in.
///
/// # Errors
/// The service's refusal, or why the session cannot be kept.
pub async fn run(args: &RegisterArgs, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(&args.name)?.to_string();
    let prompt = format!("New password for {name}: ");
    let password = args.password.read(&prompt, Typed::Twice).await?.expose_secret().to_owned();
    let request = |operation, token| Request::Register { operation, name, password, token };
    context.open_session(true, request).await?;
    Ok(Exit::Done)
}
