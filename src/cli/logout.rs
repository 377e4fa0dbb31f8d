//! `ftchat logout`.

use super::confirming::{ConfirmArgs, note_unconfirmed};
use super::context::unexpected;
use super::{Context, Exit};
use crate::error::{ErrorCode, Result};
use crate::output::LoggedOut;
use crate::protocol::client::{Answer, Request, SessionInfo};

/// Arguments of `logout`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ftchat logout\n  ftchat logout --user alice")]
pub struct LogoutArgs {
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Ends the session, at the servers and here.
///
/// # Errors
/// When no server can be asked: the session stays then, here as there.
pub async fn run(args: &LogoutArgs, context: &mut Context) -> Result<Exit> {
    let (mut client, session) = context.logged_in(args.confirm.confirm()).await?;
    let name = match &session {
        Some(session) => session.name.clone(),
        None => match client.request(Request::Whoami {}).await? {
            Answer::Session(SessionInfo { name, .. }) => name,
            _ => return Err(unexpected("a session")),
        },
    };
    let operation = context.host.uuid();
    context.printer.set_operation(operation);
    let mut confirmed = true;
    match client.request(Request::Logout { operation }).await {
        Ok(Answer::Done { confirmed: by_majority }) => confirmed = by_majority,
        Ok(_) => return Err(unexpected("a word that it is done")),
        // It had ended before, which is what was asked for.
        Err(error) if matches!(error.code, ErrorCode::SessionExpired | ErrorCode::NotLoggedIn) => {}
        Err(error) if error.code == ErrorCode::OutcomeUnknown => {
            match client.request(Request::Whoami {}).await {
                // The first attempt worked, and its answer was lost.
                Err(now) if now.code == ErrorCode::SessionExpired => {}
                _ => return Err(error),
            }
        }
        Err(error) => return Err(error),
    }
    if session.is_some() {
        context.sessions(client.cluster().await?)?.forget(&name)?;
    }
    context.printer.show(&LoggedOut { name, deleted: false, confirmed });
    note_unconfirmed(confirmed, "logged out", &client, &mut context.printer);
    Ok(Exit::Done)
}
