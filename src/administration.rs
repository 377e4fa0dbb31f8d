//! Who may come in: changes and questions of whoever holds the cluster's key.
//!
//! Any server takes them, and the next one is asked when one does not answer, for as long
//! as the command's `--timeout` allows. A change keeps its operation id all the while, so
//! it is made once, whichever servers have heard of it.
//!
//! # How it fails
//! With the cluster's refusal; with [`ErrorCode::Unavailable`] when nobody could be asked
//! and nothing was done; with [`ErrorCode::OutcomeUnknown`] when a server may have made the
//! change and did not say. [`ErrorCode::UnsupportedVersion`] names the servers that are too
//! old for any of it.

use crate::backup::{Administrator, Attempts, Failed, parse};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::administration::{
    ChangeRequest, Changed, Inspected, Question, RequestedChange,
};
use crate::protocol::peer::Call;
use crate::types::Uuid;

/// Has a change made. `by` is how this machine calls whoever asks.
///
/// # Errors
/// Those of the head of this file.
pub async fn change(
    administrator: &Administrator,
    by: &str,
    change: RequestedChange,
) -> Result<Changed> {
    let operation: Uuid = administrator.host.uuid();
    let request = ChangeRequest { operation, by: by.to_string(), change };
    let mut attempts = Attempts::new();
    let mut doubt = false;
    loop {
        let changed = async {
            let mut server = administrator.connect(&mut attempts).await?;
            parse(&server.change(Call::Administer, &request).await?)
        };
        match changed.await {
            Ok(changed) => return Ok(changed),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) => {
                doubt |= error.code == ErrorCode::OutcomeUnknown;
                let why = match doubt {
                    true => Error::outcome_unknown(format!(
                        "the change may or may not have been made: {}",
                        error.message
                    )),
                    false => {
                        let message = format!("nothing was changed: {}", error.message);
                        Error { message, ..error }
                    }
                };
                administrator.pause(&attempts, why).await?;
            }
        }
    }
}

/// Asks a question.
///
/// # Errors
/// Those of the head of this file.
pub async fn ask(administrator: &Administrator, question: &Question) -> Result<Inspected> {
    let mut attempts = Attempts::new();
    loop {
        let answered = async {
            let mut server = administrator.connect(&mut attempts).await?;
            parse(&server.call(Call::Inspect, question).await?)
        };
        match answered.await {
            Ok(answer) => return Ok(answer),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) => administrator.pause(&attempts, error).await?,
        }
    }
}
