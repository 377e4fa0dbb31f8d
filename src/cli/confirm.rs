//! Asks a user at a terminal whether servers are those of their cluster.
//!
//! Servers on other machines are known by their cluster's fingerprint. Whoever has only
//! their addresses is shown the fingerprint and decides. No flag answers for them:
//! it would be in scripts soon, and then anybody on the way could read along.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::client::identify;
use crate::config::CommandLines;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::output::sanitize;
use crate::types::{Fingerprint, Servers};

/// The fingerprint that servers have and the user has confirmed. Nothing is sent to them
/// before; they have `limit` to answer. `nobody` is what is wrong where there is no terminal
/// to ask at.
///
/// # Errors
/// [`ErrorCode::NotConfirmed`] when the user says no; [`ErrorCode::Unavailable`] when no
/// server shows a fingerprint; [`ErrorCode::Io`].
pub(super) async fn confirm(
    host: &Host,
    servers: &Servers,
    limit: Duration,
    nobody: impl FnOnce() -> Error,
) -> Result<Fingerprint> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(nobody());
    }
    let (address, fingerprint) = identify(host, &servers.addresses, limit).await?;
    let question = format!(
        "{} shows the fingerprint\n\n    {fingerprint}\n\n\
         Whoever runs the cluster can say whether it is right.\n\
         Is this the fingerprint of your cluster? [y/N] ",
        sanitize(&address.to_string())
    );
    if is_yes(&ask(question).await?) {
        return Ok(fingerprint);
    }
    let why = "the fingerprint was not confirmed: nothing was sent, and nothing is kept";
    Err(Error::new(ErrorCode::NotConfirmed, why))
}

/// What is to be done about servers of which it is not known how to know them.
pub(super) fn not_known(servers: &Servers, lines: &CommandLines) -> String {
    format!(
        "servers on other machines are spoken to only if it is known how to tell them from \
         others: use {}#FINGERPRINT, the word that is printed where the cluster's key is by: {}",
        servers.word(),
        lines.line("cluster address", &[])
    )
}

/// Asks in a thread of its own, so that a signal is noticed while it waits.
async fn ask(question: String) -> Result<String> {
    let asking = tokio::task::spawn_blocking(move || {
        let mut prompt = std::io::stderr();
        prompt.write_all(question.as_bytes())?;
        prompt.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = asking.await;
    let answer = answer.map_err(|error| Error::internal(format!("the prompt failed: {error}")))?;
    answer.map_err(|error| Error::failed("cannot ask about the fingerprint", &error))
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_one() {
        for yes in ["y\n", "Y\n", " yes \r\n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yo\n", "yes please\n", "ja\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
