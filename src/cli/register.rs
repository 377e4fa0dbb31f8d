//! `ftchat register`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::password::{self, PasswordArgs, Typed};
use super::{Context, Exit};
use crate::error::{ErrorCode, Result};
use crate::protocol::client::Request;
use crate::types::AccountName;

/// Arguments of `register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat register alice\n  \
    ftchat register alice --invite GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV\n  \
    ftchat register alice --password-stdin < password.txt\n\n\
    A name has 1 to 32 ASCII letters, digits, '.', '_' and '-'. Case is kept, and ignored when\n\
    names are compared. A password has 8 to 1024 bytes. Where registration is by invitation, the\n\
    code comes from whoever runs the cluster; on a terminal it is asked for.")]
pub struct RegisterArgs {
    /// The new account's name
    pub name: String,
    #[command(flatten)]
    password: PasswordArgs,
    #[arg(long, value_name = "CODE", help = crate::config::keys::help("invite"))]
    invite: Option<String>,
    /// Read the code of an invitation from a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    #[arg(conflicts_with = "invite")]
    invite_file: Option<PathBuf>,
}

impl RegisterArgs {
    /// The code of an invitation: the flag's, the file's, else that of the environment.
    fn invitation(&self, context: &Context) -> Result<Option<SecretString>> {
        if let Some(path) = &self.invite_file {
            return password::from_file("code", path).map(Some);
        }
        let given = self.invite.clone().map(|code| ("invite", code));
        let values = context.settings.values.with(&given.into_iter().collect::<Vec<_>>())?;
        Ok(values.text("invite").map(SecretString::from))
    }
}

/// Creates the account and logs in.
///
/// # Errors
/// The service's refusal, or why the session cannot be kept.
pub async fn run(args: &RegisterArgs, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(&args.name)?.to_string();
    let mut invitation = args.invitation(context)?;
    let prompt = format!("New password for {name}: ");
    let password = args.password.read(&prompt, Typed::Twice).await?;
    loop {
        let (name, code) = (name.clone(), invitation.clone());
        let request = |operation, token| Request::Register {
            operation,
            name,
            password: password.expose_secret().to_owned(),
            token,
            invitation: code.map(|code| code.expose_secret().to_owned()),
        };
        match context.open_session(true, request).await {
            Ok(()) => return Ok(Exit::Done),
            Err(error)
                if error.code == ErrorCode::InvitationRequired
                    && invitation.is_none()
                    && password::can_ask() =>
            {
                context.printer.notice(&error.message);
                invitation = Some(password::ask("The code of your invitation: ").await?);
            }
            Err(error) => return Err(error),
        }
    }
}
