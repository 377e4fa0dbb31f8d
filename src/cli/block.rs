//! `ftchat block`, `unblock` and `blocked`.

use super::context::unexpected;
use super::{Context, Exit};
use crate::error::Result;
use crate::output::{AccountListed, BlockChanged};
use crate::protocol::client::{Answer, Confirm, Request};
use crate::types::AccountName;

/// Arguments of `block`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat block mallory\n\n\
    What a blocked account sends from then on never comes into the inbox. Its owner is answered\n\
    as ever, and nobody else is told. What has come before stays, and can be deleted. The account\n\
    is blocked, not its name: if it is deleted, a later owner of the name is another one.")]
pub struct BlockArgs {
    /// The account's name
    name: String,
}

/// Arguments of `unblock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat unblock mallory\n\n\
    What it sent while it was blocked does not come afterwards.")]
pub struct UnblockArgs {
    /// The account's name
    name: String,
}

/// Arguments of `blocked`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ftchat blocked\n  ftchat blocked --json")]
pub struct BlockedArgs {}

/// Blocks an account.
///
/// # Errors
/// The service's refusal, such as of a name that nobody has.
pub async fn block(args: &BlockArgs, context: &mut Context) -> Result<Exit> {
    change(&args.name, true, context).await
}

/// Lets it send again.
///
/// # Errors
/// As [`block`].
pub async fn unblock(args: &UnblockArgs, context: &mut Context) -> Result<Exit> {
    change(&args.name, false, context).await
}

async fn change(name: &str, blocked: bool, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(name)?;
    let (mut client, _) = context.logged_in(Confirm::Majority).await?;
    let operation = context.host.uuid();
    context.printer.set_operation(operation);
    let asked = name.to_string();
    let request = match blocked {
        true => Request::Block { operation, name: asked },
        false => Request::Unblock { operation, name: asked },
    };
    let Answer::Done { .. } = client.request(request).await? else {
        return Err(unexpected("a word that it is done"));
    };
    context.printer.show(&BlockChanged { name, blocked });
    Ok(Exit::Done)
}

/// Lists whom the account has blocked.
///
/// # Errors
/// What stops any request.
pub async fn list(_: &BlockedArgs, context: &mut Context) -> Result<Exit> {
    let (mut client, _) = context.logged_in(Confirm::Majority).await?;
    let Answer::Blocked { names } = client.request(Request::Blocked {}).await? else {
        return Err(unexpected("names"));
    };
    names.into_iter().try_for_each(|name| context.printer.list(&AccountListed { name }))?;
    Ok(Exit::Done)
}
