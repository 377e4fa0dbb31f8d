//! `ftchat unread`.

use super::confirming::{ConfirmArgs, note_alone};
use super::context::unexpected;
use super::{Context, Exit};
use crate::error::Result;
use crate::output::UnreadListed;
use crate::protocol::client::{Answer, Request};

/// Arguments of `unread`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat unread\n  \
    ftchat unread --json | jq -s 'map(.unread) | add // 0'   all of it as one number\n\n\
    One line for each account of which something is unread: its name, how many messages, and how\n\
    many of them mention you; nothing where all is read. Made for a shell's prompt.")]
pub struct UnreadArgs {
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Lists how much is unread, in the order of names, page by page.
///
/// # Errors
/// When nobody is logged in, no server answers, or output cannot be written.
pub async fn run(args: &UnreadArgs, context: &mut Context) -> Result<Exit> {
    let (mut client, _) = context.logged_in(args.confirm.confirm()).await?;
    let (mut after, mut told) = (None, false);
    loop {
        let request = Request::Unread { after };
        let Answer::Unread { unread, more, alone } = client.request(request).await? else {
            return Err(unexpected("how much is unread"));
        };
        if alone.is_some() && !std::mem::replace(&mut told, true) {
            note_alone(alone, "messages", &client, &mut context.printer);
        }
        after = unread.last().map(|it| it.name.to_string());
        for row in unread {
            context.printer.list(&UnreadListed(row))?;
        }
        if !more || after.is_none() {
            return Ok(Exit::Done);
        }
    }
}
