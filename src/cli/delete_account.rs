//! `ftchat delete-account`.

use std::io::{IsTerminal, Write};

use secrecy::{ExposeSecret, SecretString};

use super::context::unexpected;
use super::password::{PasswordArgs, Typed};
use super::{Context, Exit};
use crate::client::Client;
use crate::error::{Error, ErrorCode, Result};
use crate::output::LoggedOut;
use crate::protocol::client::{Answer, Confirm, Request, SessionInfo};
use crate::types::AccountName;

/// Arguments of `delete-account`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat delete-account\n  \
    ftchat delete-account --confirm alice --password-stdin < password.txt\n\n\
    The inbox and all sessions are gone for good. The name is free again, and whoever takes it\n\
    sees nothing of what was there. Messages that the account sent stay with their recipients.")]
pub struct DeleteAccountArgs {
    /// The account's name again, in place of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Deletes the account of the session.
///
/// # Errors
/// [`ErrorCode::NotConfirmed`] when another name was typed; the service's
/// refusal, such as a wrong password.
pub async fn run(args: &DeleteAccountArgs, context: &mut Context) -> Result<Exit> {
    let confirmed = match &args.confirm {
        Some(name) => name.clone(),
        None => ask_name()?,
    };
    let password = args.password.read("Its password: ", Typed::Once).await?;
    let (mut client, session) = context.logged_in(Confirm::Majority).await?;
    let Answer::Session(SessionInfo { name, .. }) = client.request(Request::Whoami {}).await?
    else {
        return Err(unexpected("a session"));
    };
    if AccountName::new(confirmed.trim()).ok().as_ref() != Some(&name) {
        return Err(Error::new(
            ErrorCode::NotConfirmed,
            format!("{confirmed:?} is not the account's name, {name}: nothing was deleted"),
        ));
    }
    match delete(&mut client, context, &password).await {
        Err(error) if error.code == ErrorCode::OutcomeUnknown => {
            if !is_gone(&mut client, context, &name, &password).await {
                return Err(error);
            }
        }
        other => other?,
    }
    if session.is_some() {
        context.sessions(client.cluster().await?)?.forget(&name)?;
    }
    context.printer.show(&LoggedOut { name, deleted: true, confirmed: true });
    Ok(Exit::Done)
}

async fn delete(client: &mut Client, context: &mut Context, password: &SecretString) -> Result<()> {
    let operation = context.host.uuid();
    context.printer.set_operation(operation);
    let password = password.expose_secret().to_owned();
    match client.request(Request::DeleteAccount { operation, password }).await? {
        Answer::Done { .. } => Ok(()),
        _ => Err(unexpected("a deleted account")),
    }
}

/// Whether a deletion in doubt took place. The session goes with the account, so
/// repeating the request cannot tell; that the session is gone *and* the
/// password no longer works can. Each alone has other explanations: a logout
/// elsewhere, a password mistyped in a request that never arrived.
async fn is_gone(
    client: &mut Client,
    context: &Context,
    name: &AccountName,
    password: &SecretString,
) -> bool {
    match client.request(Request::Whoami {}).await {
        Err(error) if error.code == ErrorCode::SessionExpired => {}
        _ => return false,
    }
    client.clear_session();
    let request = Request::Login {
        operation: context.host.uuid(),
        name: name.to_string(),
        password: password.expose_secret().to_owned(),
        token: super::context::new_token(&context.host).expose_secret().to_owned(),
        new_password: None,
    };
    match client.request(request).await {
        Err(error) => error.code == ErrorCode::LoginRefused,
        Ok(_) => {
            // The account is still there, and nobody needs this session.
            let logout = Request::Logout { operation: context.host.uuid() };
            let _ = client.request(logout).await;
            false
        }
    }
}

fn ask_name() -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            "there is no terminal to ask for a confirmation at: use --confirm NAME",
        ));
    }
    let failed = |error| Error::failed("cannot ask for the name", &error);
    let mut prompt = std::io::stderr();
    prompt
        .write_all(b"This deletes the account with its inbox for good. Type its name to go on: ")
        .and_then(|()| prompt.flush())
        .map_err(failed)?;
    let mut name = String::new();
    std::io::stdin().read_line(&mut name).map_err(failed)?;
    let name = name.trim();
    if name.is_empty() {
        // Ctrl-D, or Enter: a user who changed their mind needs no password.
        let why = "no name was typed: nothing was deleted";
        return Err(Error::new(ErrorCode::NotConfirmed, why));
    }
    Ok(name.to_string())
}
