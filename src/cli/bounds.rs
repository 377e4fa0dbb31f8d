//! `ftchat cluster limits`: how much accounts may store, for whoever holds the cluster's key.

use super::administrator::KeyFlags;
use super::admission::make;
use super::context::unexpected;
use super::{Context, Exit};
use crate::administration::ask;
#[cfg(doc)]
use crate::administration::change;
use crate::error::Result;
use crate::output::BoundsShown;
use crate::protocol::administration::{Bounds, Inspected, Question, RequestedChange};
use crate::types::parse_size;

/// Arguments of `cluster limits`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    ftchat cluster limits\n  \
    ftchat cluster limits set account_bytes=64MiB total_bytes=2GiB\n  \
    ftchat cluster limits set account_bytes=none\n\n\
    account_bytes is what an inbox may hold, of which one sender may fill a quarter, and\n\
    what others may hold from one sender.\n\
    total_bytes is what all accounts together may hold in the memory of each server; a\n\
    quarter of it is for the ids by which repeated commands are recognized.\n\
    stored_bytes is what messages, accounts and sessions hold.")]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    key: KeyFlags,
    #[command(subcommand)]
    action: Option<LimitsAction>,
}

#[derive(Debug, clap::Subcommand)]
enum LimitsAction {
    /// Set how much may be stored
    ///
    /// It holds on every server from then on, whatever configurations say. What is stored
    /// already stays; nothing more is taken while that is more.
    Set {
        /// account_bytes or total_bytes, and a size such as 256MiB, or none
        #[arg(value_name = "KEY=SIZE", required = true, value_parser = setting)]
        settings: Vec<(Key, u64)>,
        #[command(flatten)]
        key: KeyFlags,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Account,
    Total,
}

/// Reads one bound.
fn setting(text: &str) -> Result<(Key, u64), String> {
    let wrong = || {
        format!(
            "{text:?} is none of account_bytes=SIZE and total_bytes=SIZE, where SIZE is such as \
             256MiB, 2GiB or none"
        )
    };
    let (key, size) = text.split_once('=').ok_or_else(wrong)?;
    let key = match key {
        "account_bytes" => Key::Account,
        "total_bytes" => Key::Total,
        _ => return Err(wrong()),
    };
    let bytes = match size {
        "none" => Some(0),
        // No number of bytes is a bound that lets nothing through.
        _ => parse_size(size).filter(|bytes| *bytes > 0),
    };
    Ok((key, bytes.ok_or_else(wrong)?))
}

/// Shows how much may be stored, or sets it.
///
/// # Errors
/// Those of [`change`] and [`ask`].
pub(super) async fn limits(args: &LimitsArgs, context: &mut Context) -> Result<Exit> {
    let (key, is_set) = match &args.action {
        Some(LimitsAction::Set { settings, key }) => {
            // The last one counts, as with flags.
            let of = |which| settings.iter().rev().find(|(it, _)| *it == which).map(|it| it.1);
            let (account_bytes, total_bytes) = (of(Key::Account), of(Key::Total));
            make(key, context, RequestedChange::SetBounds { account_bytes, total_bytes }).await?;
            (key, true)
        }
        None => (&args.key, false),
    };
    let administrator = key.administrator(context)?;
    let Inspected::Bounds { bounds, stored_bytes } =
        ask(&administrator, &Question::Bounds {}).await?
    else {
        return Err(unexpected("bounds"));
    };
    let Bounds { account_bytes, total_bytes, account_proposed, total_proposed } = bounds;
    let some = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
    let (account_bytes, total_bytes) = (some(account_bytes), some(total_bytes));
    let shown = BoundsShown {
        account_bytes,
        total_bytes,
        stored_bytes,
        account_proposed,
        total_proposed,
        is_set,
    };
    context.printer.show(&shown);
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_key_and_a_size_or_none() {
        assert_eq!(setting("account_bytes=64MiB"), Ok((Key::Account, 64 << 20)));
        assert_eq!(setting("total_bytes=1048576"), Ok((Key::Total, 1 << 20)));
        assert_eq!(setting("total_bytes=none"), Ok((Key::Total, 0)));
        for wrong in
            ["", "account_bytes", "account_bytes=", "total_bytes=0", "rooms=5", "total_bytes=x"]
        {
            let sentence = setting(wrong).expect_err(wrong);
            assert!(sentence.contains("256MiB"), "{sentence}");
        }
    }
}
