//! `ftchat sessions`.

use super::context::unexpected;
use super::{Context, Exit};
use crate::error::Result;
use crate::output::{SessionShown, SessionTable, SessionsEnded};
use crate::protocol::client::{Answer, Confirm, Request};
use crate::types::Uuid;

/// Arguments of `sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat sessions\n  \
    ftchat sessions --json | jq -r 'select(.current | not) | .id'\n  \
    ftchat sessions revoke 12\n  \
    ftchat sessions revoke --others\n\n\
    In a pipe each is one line: number, when it began, when it was used last, the address from\n\
    which it was opened as the server saw it, when it ends by itself, and 'current' for the one\n\
    that asks. '-' stands for what is not known, as of sessions from before that was noted.\n\n\
    A session is used when something is changed with it: a message sent, marked as read or\n\
    deleted. That is noted at most once an hour, so the time shown may be up to an hour too\n\
    early. Reading alone, as with --peek, is not noted.")]
pub struct SessionsArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// End sessions: those that are named, all or none, or all others
    ///
    /// Whoever follows the inbox with one of them is cut off. A number that is none of the
    /// account's sessions is an error (exit code 5), and then none is ended.
    Revoke {
        /// Numbers of sessions, as the list shows them
        #[arg(required_unless_present = "others", conflicts_with = "others")]
        id: Vec<u64>,
        /// All sessions but the one that asks
        #[arg(long)]
        others: bool,
        /// The operation's id, to repeat a command whose outcome is unknown
        #[arg(long = "id", value_name = "UUID")]
        operation: Option<Uuid>,
    },
}

/// Lists the sessions of the account, or ends some.
///
/// # Errors
/// [`UnknownSession`](crate::error::ErrorCode::UnknownSession), and what stops any request.
pub async fn run(args: &SessionsArgs, context: &mut Context) -> Result<Exit> {
    match &args.action {
        None => list(context).await,
        Some(Action::Revoke { id, others, operation }) => {
            let operation = operation.unwrap_or_else(|| context.host.uuid());
            revoke((id, *others), operation, context).await
        }
    }
}

async fn list(context: &mut Context) -> Result<Exit> {
    let (mut client, _) = context.logged_in(Confirm::Majority).await?;
    let Answer::Sessions { sessions } = client.request(Request::Sessions {}).await? else {
        return Err(unexpected("sessions"));
    };
    let sessions: Vec<SessionShown> = sessions.into_iter().map(SessionShown).collect();
    match context.printer.on_terminal() {
        true => context.printer.show(&SessionTable(sessions)),
        false => sessions.iter().try_for_each(|session| context.printer.list(session))?,
    }
    Ok(Exit::Done)
}

async fn revoke(
    (ids, others): (&[u64], bool),
    operation: Uuid,
    context: &mut Context,
) -> Result<Exit> {
    let (mut client, _) = context.logged_in(Confirm::Majority).await?;
    context.printer.set_operation(operation);
    let mut revoked = ids.to_vec();
    revoked.sort_unstable();
    revoked.dedup();
    let request = Request::EndSessions { operation, ids: revoked.clone(), others };
    let Answer::Done { .. } = client.request(request).await? else {
        return Err(unexpected("a word that it is done"));
    };
    context.printer.show(&SessionsEnded { revoked, others });
    Ok(Exit::Done)
}
