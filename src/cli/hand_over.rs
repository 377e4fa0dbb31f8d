//! `ftchat cluster hand-over`: what only a machine of the old cluster knows comes into the new
//! one.

use std::path::PathBuf;

use super::administrator::KeyFlags;
use super::admission::this_user;
use super::recover::named;
use super::{Context, Exit};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::Limits;
use crate::recovery::{Left, hand_over};

/// Arguments of `cluster hand-over`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster hand-over --from /srv/rescued/alpha --cluster-key-file new/cluster.key\n  \
    ftchat cluster hand-over --from old/replica-1 --dir new\n\n\
    For a machine that was taken for gone when ftchat cluster recover made the cluster that runs\n\
    now. Its server must be stopped; nothing in its directory is changed. Messages that only it\n\
    has are delivered, each once, also when the command is given again; what was read or deleted\n\
    there is so here. Accounts that registered there come over where their names are free. What\n\
    cannot come is said: ftchat-operations(7) tells what that may be.")]
pub(super) struct HandOverArgs {
    /// Data directories of the old cluster's servers, or the folder of a local cluster
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    from: Vec<PathBuf>,
    #[command(flatten)]
    key: KeyFlags,
}

/// Runs the command.
///
/// # Errors
/// Those of [`Left::open`] and of [`hand_over`].
pub(super) async fn run(args: &HandOverArgs, context: &mut Context) -> Result<Exit> {
    let administrator = args.key.administrator(context)?;
    let left = Left::open(&context.host, &named(&args.from)?.paths()).await?;
    let window = Limits::default().deduplication_window_entries;
    let bar = context.printer.progress("entries handed over", None);
    let progress = |entries| bar.set(entries);
    let handed = hand_over(&administrator, left, window, this_user(), &progress).await;
    drop(bar);
    context.printer.show(&handed.map_err(|error| advised(error, context))?);
    Ok(Exit::Done)
}

/// An error, with what to do about it.
fn advised(error: Error, context: &Context) -> Error {
    if !matches!(error.code, ErrorCode::RegistrationClosed | ErrorCode::InvitationRequired) {
        return error;
    }
    let open = context.settings.command_lines().line("cluster registration open", &[]);
    let message =
        format!("{}. Let such accounts in, and give this command again: {open}", error.message);
    Error { message, ..error }
}
