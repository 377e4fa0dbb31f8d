//! `ftchat history`.

use super::confirming::ConfirmArgs;
use super::looking_back::{LookingBack, check_id, whole_id};
use super::when::{local_zone, parse_when};
use super::{Context, Exit};
use crate::error::Result;
use crate::output::{Days, Listed};
use crate::protocol::client::PastQuery;
use crate::types::AccountName;

/// How many messages are shown if nothing else is said.
const LIMIT: u64 = 50;

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat history bob                    the last 50 messages with bob\n  \
    ftchat history bob --since 2d         all of the last two days\n  \
    ftchat history bob --before 3f2a91bc  the 50 before this one\n  \
    ftchat history bob --json | jq -r .text\n\n\
    What is shown is what you have in your inbox from this account, and what you have sent to\n\
    it, also together with others. Nothing is marked as read. In a pipe each message is one line,\n\
    as of inbox; --json has the same fields.")]
pub struct HistoryArgs {
    /// The account
    name: String,
    /// At most so many, the last ones [default: 50, with --since all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Only before this message: its id, or the beginning of it if it is in the inbox
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// Only since: 2026-11-23, 2026-11-23T18:46:00Z, 2026-11-23T18:46[Europe/Paris], or how long
    /// ago, as 2h or 3d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Prints a conversation, oldest first.
///
/// # Errors
/// [`UnknownAccount`](crate::error::ErrorCode::UnknownAccount),
/// [`UnknownMessage`](crate::error::ErrorCode::UnknownMessage); when nobody is logged in, no
/// server answers, or output cannot be written.
pub async fn run(args: &HistoryArgs, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(&args.name)?;
    let now = context.host.clock.now();
    let since = args.since.as_deref().map(|it| parse_when(it, now, local_zone)).transpose()?;
    args.before.as_deref().map(check_id).transpose()?;
    let (mut client, _) = context.logged_in(args.confirm.confirm()).await?;
    let before_id = match &args.before {
        Some(id) => Some(whole_id(&mut client, id).await?),
        None => None,
    };
    let with = Some(name.to_string());
    let query = PastQuery { with, since, before_id, ..PastQuery::default() };
    let limit = args.limit.unwrap_or(if since.is_some() { u64::MAX } else { LIMIT });
    let mut back = LookingBack::new(client, query);
    let mut messages = Vec::new();
    loop {
        let left = limit - messages.len() as u64;
        let page = back.next(left, &mut context.printer).await?;
        if page.is_empty() {
            break;
        }
        messages.extend(page);
    }
    let mut days = Days::default();
    for message in messages.iter().rev() {
        context.printer.list(&Listed::of_conversation(message).under(&mut days))?;
    }
    if messages.is_empty() && context.printer.on_terminal() {
        context.printer.notice(&format!("No messages with {name}."));
    }
    Ok(Exit::Done)
}
