//! What a refusal proves, and what to do where nothing is proved.

use crate::error::{Error, ErrorCode};
use crate::protocol::client::Request;

/// Whether asking another server is pointless. A rate limit holds for all servers: to
/// dodge it by asking another would be an attack.
pub(super) fn is_final(error: &Error) -> bool {
    !error.retryable() || error.code == ErrorCode::RateLimited
}

/// Whether a refusal proves that an earlier attempt with the same operation id changed
/// nothing either. The state machine answers an id alike each time. A check of the request
/// alone (name, text, length) fails at every server alike. Refusals for lack of room are not
/// among them: where that is short, ids are forgotten early. Other refusals of a server prove
/// nothing: the session of a repeated `logout` is gone *because* the first one worked.
pub(super) fn decides(code: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(
        code,
        NameTaken
            | IdConflict
            | UnknownAccount
            | UnknownMessage
            | UnknownSession
            | InvalidName
            | InvalidPassword
            | InvalidText
            | LineTooLong
            | TooMany
            | LoginRefused
            | NotConfirmed
    )
}

/// A change whose fate is not known, and how to repeat it.
pub(super) fn unknown(request: &Request, why: &str) -> Error {
    let advice = match request {
        Request::Send { operation, .. } => {
            format!("repeat it with --id {operation}, and it is delivered once")
        }
        Request::ChangePassword { operation, .. } => {
            format!("repeat the command with --id {operation}, which does no harm if it was")
        }
        Request::Register { name, .. } => format!("try to log in as {name}"),
        _ => "repeat the command, which does no harm if it was".to_string(),
    };
    Error::outcome_unknown(format!("it may or may not have been done ({why}): {advice}"))
}
