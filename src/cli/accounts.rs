//! `ftchat accounts`.

use super::confirming::{ConfirmArgs, note_alone};
use super::context::unexpected;
use super::{Context, Exit};
use crate::error::Result;
use crate::output::AccountListed;
use crate::protocol::client::{Answer, Request};

/// Arguments of `accounts`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ftchat accounts\n  ftchat accounts 'al*'\n\n\
    Quote the pattern, or the shell replaces it by file names.")]
pub struct AccountsArgs {
    /// Only names that match: '*' stands for any characters, '?' for one; case is ignored
    pub glob: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Lists names in order, page by page.
///
/// # Errors
/// When nobody is logged in, or no server answers.
pub async fn run(args: &AccountsArgs, context: &mut Context) -> Result<Exit> {
    let (mut client, _) = context.logged_in(args.confirm.confirm()).await?;
    let (mut after, mut told) = (None, false);
    loop {
        let request = Request::Accounts { glob: args.glob.clone(), after };
        let Answer::Accounts { names, more, alone } = client.request(request).await? else {
            return Err(unexpected("account names"));
        };
        if alone.is_some() && !std::mem::replace(&mut told, true) {
            note_alone(alone, "accounts", &client, &mut context.printer);
        }
        after = names.last().map(ToString::to_string);
        for name in names {
            context.printer.list(&AccountListed { name })?;
        }
        if !more || after.is_none() {
            return Ok(Exit::Done);
        }
    }
}
