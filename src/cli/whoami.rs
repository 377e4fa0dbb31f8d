//! `ftchat whoami`.

use super::confirming::{ConfirmArgs, note_alone};
use super::context::unexpected;
use super::{Context, Exit};
use crate::error::Result;
use crate::output::Whoami;
use crate::protocol::client::{Answer, Request};

/// Arguments of `whoami`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ftchat whoami\n  ftchat whoami --json")]
pub struct WhoamiArgs {
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Asks the service, so that an expired session is noticed.
///
/// # Errors
/// When nobody is logged in, or no server answers.
pub async fn run(args: &WhoamiArgs, context: &mut Context) -> Result<Exit> {
    let (mut client, _) = context.logged_in(args.confirm.confirm()).await?;
    let Answer::Session(session) = client.request(Request::Whoami {}).await? else {
        return Err(unexpected("a session"));
    };
    note_alone(session.alone, "changes", &client, &mut context.printer);
    context.printer.show(&Whoami(session));
    Ok(Exit::Done)
}
