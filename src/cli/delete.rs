//! `ftchat delete`.

use super::confirming::{ConfirmArgs, note_alone, note_unconfirmed};
use super::context::unexpected;
use super::{Context, Exit};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::IDS_PER_REQUEST_MAX;
use crate::output::Deleted;
use crate::protocol::client::{Answer, Request};
use crate::types::Uuid;

/// Fewest digits of a prefix, as in git: fewer are a slip more often than not.
const PREFIX_MIN_DIGITS: usize = 4;

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat delete 3f2a91bc\n  \
    ftchat inbox --all --from spammer --json | jq -r .id | xargs ftchat delete\n\n\
    All of the messages are removed, or none. Other recipients keep theirs.")]
pub struct DeleteArgs {
    /// Messages' ids, each as a whole or any beginning of at least 4 digits that no other has
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Removes messages from the inbox.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] for what is no id, [`ErrorCode::AmbiguousId`],
/// [`ErrorCode::UnknownMessage`], and the service's refusal.
pub async fn run(args: &DeleteArgs, context: &mut Context) -> Result<Exit> {
    if args.ids.len() > IDS_PER_REQUEST_MAX {
        return Err(Error::new(
            ErrorCode::TooMany,
            format!("at most {IDS_PER_REQUEST_MAX} messages at once, not {}", args.ids.len()),
        ));
    }
    args.ids.iter().try_for_each(|id| check_prefix(id))?;
    let (mut client, _) = context.logged_in(args.confirm.confirm()).await?;
    let request = Request::Find { prefixes: args.ids.clone() };
    let Answer::Found { matches, alone } = client.request(request).await? else {
        return Err(unexpected("ids of messages"));
    };
    let is_alone = alone.is_some();
    note_alone(alone, "messages", &client, &mut context.printer);
    let ids = choose(&args.ids, &matches).map_err(|error| decided(error, is_alone))?;
    let operation = context.host.uuid();
    context.printer.set_operation(operation);
    let request = Request::Delete { operation, ids: ids.clone() };
    let Answer::Deleted { count, confirmed } = client.request(request).await? else {
        return Err(unexpected("the number of removed messages"));
    };
    context.printer.show(&Deleted { deleted: count, ids, confirmed });
    note_unconfirmed(confirmed, "deleted", &client, &mut context.printer);
    Ok(Exit::Done)
}

/// Whether it is the beginning of an id.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] says why not.
pub(super) fn check_prefix(id: &str) -> Result<()> {
    let digits = id.chars().filter(|c| *c != '-').count();
    let wrong = |why: &str| Error::new(ErrorCode::WrongUsage, format!("{id:?} is no id: {why}"));
    if !id.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(wrong("ids have digits from 0 to 9 and a to f, and hyphens"));
    }
    match digits {
        PREFIX_MIN_DIGITS..=32 => Ok(()),
        _ => Err(wrong(&format!(
            "an id has 32 digits, and its beginning at least {PREFIX_MIN_DIGITS}"
        ))),
    }
}

/// The one message that each prefix names; each message once.
///
/// # Errors
/// [`ErrorCode::UnknownMessage`], [`ErrorCode::AmbiguousId`].
pub(super) fn choose(prefixes: &[String], matches: &[Vec<Uuid>]) -> Result<Vec<Uuid>> {
    if prefixes.len() != matches.len() {
        return Err(unexpected("as many matches as prefixes"));
    }
    let mut chosen = Vec::new();
    for (prefix, matches) in prefixes.iter().zip(matches) {
        match matches.as_slice() {
            [] => {
                return Err(Error::new(
                    ErrorCode::UnknownMessage,
                    format!("no message in the inbox has an id that begins with {prefix}"),
                ));
            }
            [id] if chosen.contains(id) => {}
            [id] => chosen.push(*id),
            several => {
                let candidates: Vec<String> = several.iter().map(Uuid::to_string).collect();
                return Err(Error::new(
                    ErrorCode::AmbiguousId,
                    format!(
                        "several messages have ids that begin with {prefix}: {}; use more digits",
                        candidates.join(", ")
                    ),
                ));
            }
        }
    }
    Ok(chosen)
}

/// A server without a majority does not know every message.
pub(super) fn decided(error: Error, is_alone: bool) -> Error {
    match error.code {
        ErrorCode::UnknownMessage if is_alone => {
            let message = format!("{}, as far as a server knows that is alone", error.message);
            Error::new(ErrorCode::NeedsMajority, message)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_hexadecimal_and_long_enough() {
        let whole = Uuid::from_u128(7).to_string();
        for right in ["abcd", "ABCD-12", "0000-", &whole] {
            check_prefix(right).expect(right);
        }
        for wrong in ["", "abc", "ab-c", "ghij", "abcd\u{202e}", "12 34", &format!("{whole}0")] {
            assert_eq!(check_prefix(wrong).expect_err(wrong).code, ErrorCode::WrongUsage);
        }
    }

    #[test]
    fn each_prefix_names_one_message() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let prefixes = |count: usize| vec!["0000".to_string(); count];
        assert_eq!(choose(&prefixes(3), &[vec![a], vec![b], vec![a]]).expect("one each"), [a, b]);
        let error = choose(&prefixes(2), &[vec![a], vec![a, b]]).expect_err("ambiguous");
        assert_eq!(error.code, ErrorCode::AmbiguousId);
        assert!(error.message.contains(&b.to_string()), "{}", error.message);
        let error = choose(&prefixes(2), &[vec![a], vec![]]).expect_err("unknown");
        assert_eq!(error.code, ErrorCode::UnknownMessage);
        assert_eq!(choose(&prefixes(1), &[]).expect_err("broken").code, ErrorCode::Internal);
    }

    #[test]
    fn what_a_server_does_not_know_that_is_alone_a_majority_may() {
        let code = |code, is_alone| decided(Error::new(code, "why"), is_alone).code;
        assert_eq!(code(ErrorCode::UnknownMessage, true), ErrorCode::NeedsMajority);
        assert_eq!(code(ErrorCode::UnknownMessage, false), ErrorCode::UnknownMessage);
        assert_eq!(code(ErrorCode::AmbiguousId, true), ErrorCode::AmbiguousId);
    }
}
