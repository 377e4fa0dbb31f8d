//! `ftchat cluster limits`: how much accounts may store and for how long, for whoever holds the cluster's key.

use super::administrator::KeyFlags;
use super::admission::make;
use super::context::unexpected;
use super::{Context, Exit};
use crate::administration::ask;
#[cfg(doc)]
use crate::administration::change;
use crate::error::Result;
use crate::limits::KEEP_DAYS_MAX;
use crate::output::BoundsShown;
use crate::protocol::administration::{Bounds, Inspected, Question, RequestedChange};
use crate::types::parse_size;

/// Arguments of `cluster limits`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    ftchat cluster limits\n  \
    ftchat cluster limits set account_bytes=64MiB total_bytes=2GiB\n  \
    ftchat cluster limits set account_bytes=none\n  \
    ftchat cluster limits set keep_messages_days=365\n\n\
    account_bytes is what an inbox may hold, of which one sender may fill a quarter, and\n\
    what others may hold from one sender.\n\
    total_bytes is what all accounts together may hold in the memory of each server; a\n\
    quarter of it is for the ids by which repeated commands are recognized.\n\
    stored_bytes is what messages, accounts and sessions hold.\n\
    keep_messages_days is for how long messages are kept: older ones go, read or not, from\n\
    all inboxes and from what their senders see, within a day. Nothing brings them back.")]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    key: KeyFlags,
    #[command(subcommand)]
    action: Option<LimitsAction>,
}

#[derive(Debug, clap::Subcommand)]
enum LimitsAction {
    /// Set how much may be stored, and for how long
    ///
    /// It holds on every server from then on, whatever configurations say. What is stored
    /// already stays where it is more than a size allows, and nothing more is taken while that
    /// is so. What is older than keep_messages_days allows goes at once.
    Set {
        /// account_bytes or total_bytes with a size such as 256MiB, keep_messages_days with a
        /// number of days, or any with none
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = setting)]
        settings: Vec<(Key, u64)>,
        #[command(flatten)]
        key: KeyFlags,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Account,
    Total,
    KeepDays,
}

/// Reads one bound.
fn setting(text: &str) -> Result<(Key, u64), String> {
    let wrong = || {
        format!(
            "{text:?} is none of account_bytes=SIZE, total_bytes=SIZE and keep_messages_days=DAYS, \
             where SIZE is such as 256MiB, 2GiB or none, and DAYS 1 to {KEEP_DAYS_MAX}, or none"
        )
    };
    let (key, size) = text.split_once('=').ok_or_else(wrong)?;
    let key = match key {
        "account_bytes" => Key::Account,
        "total_bytes" => Key::Total,
        "keep_messages_days" => Key::KeepDays,
        _ => return Err(wrong()),
    };
    let bytes = match size {
        "none" => Some(0),
        _ if key == Key::KeepDays => {
            let days = size.parse::<u32>().ok();
            days.filter(|days| (1..=KEEP_DAYS_MAX).contains(days)).map(u64::from)
        }
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
            let change = match of(Key::KeepDays).map(u32::try_from) {
                None => RequestedChange::SetBounds { account_bytes, total_bytes },
                Some(days) => RequestedChange::SetLimits {
                    account_bytes,
                    total_bytes,
                    keep_messages_days: days.unwrap_or(u32::MAX),
                },
            };
            make(key, context, change).await?;
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
    let Bounds { account_bytes, total_bytes, account_proposed, total_proposed, .. } = bounds;
    let keep_messages_days = Some(bounds.keep_messages_days).filter(|days| *days > 0);
    let some = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
    let (account_bytes, total_bytes) = (some(account_bytes), some(total_bytes));
    let shown = BoundsShown {
        account_bytes,
        total_bytes,
        stored_bytes,
        account_proposed,
        total_proposed,
        keep_messages_days,
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
        assert_eq!(setting("keep_messages_days=30"), Ok((Key::KeepDays, 30)));
        assert_eq!(setting("keep_messages_days=none"), Ok((Key::KeepDays, 0)));
        for wrong in [
            "",
            "account_bytes",
            "account_bytes=",
            "total_bytes=0",
            "rooms=5",
            "total_bytes=x",
            "keep_messages_days=0",
            "keep_messages_days=3651",
            "keep_messages_days=30d",
        ] {
            let sentence = setting(wrong).expect_err(wrong);
            assert!(sentence.contains("256MiB"), "{sentence}");
        }
    }
}
