//! The state of a running cluster, for whoever compares it with another.

use serde_json::value::RawValue;

use super::administrator::{Administrator, Attempts, Failed, parse};
use super::take::begin;
use crate::chat::{Restore, State};
use crate::error::Result;
use crate::protocol::peer::Call;

/// Fetches what a backup would have. `window` is the de-duplication window in log entries.
///
/// # Errors
/// As [`take`](super::take()).
pub async fn fetch_state(administrator: &Administrator, window: u64) -> Result<State> {
    let mut attempts = Attempts::new();
    loop {
        match fetch(administrator, window, &mut attempts).await {
            Ok(state) => return Ok(state),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) => administrator.pause(&attempts, error).await?,
        }
    }
}

async fn fetch(
    administrator: &Administrator,
    window: u64,
    attempts: &mut Attempts,
) -> Result<State, Failed> {
    let mut server = administrator.connect(attempts).await?;
    begin(&mut server, true).await?;
    let mut restore = Restore::of_backup(window);
    loop {
        let part = server.call(Call::BackupPart, &()).await?;
        let part: Vec<Box<RawValue>> = parse(&part)?;
        if part.is_empty() {
            break;
        }
        for line in part {
            restore.line(line.get().as_bytes()).map_err(Failed::Final)?;
        }
        attempts.went_on();
    }
    restore.finish().map_err(Failed::Final)
}
