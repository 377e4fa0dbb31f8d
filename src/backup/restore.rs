//! Bringing a backup back.

use super::Restored;
use super::administrator::{Administrator, Attempts, Failed, Server, parse};
use super::file::{BackupReader, Verified, name};
use super::source::Kept;
use crate::chat::RestoreStep;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::peer::{Call, RestoreProgress};
use crate::types::Uuid;

/// Bytes of lines that go into one log entry, apart from one line that is
/// longer alone.
const STEP_BYTES: usize = 256 * 1024;

/// Brings a verified backup into a cluster that was never used. One that was
/// begun before goes on. `progress` is called with how many lines are there.
///
/// # Errors
/// [`ErrorCode::NotEmpty`]; [`ErrorCode::Unavailable`] when no server gets any
/// further in time; [`ErrorCode::OutcomeUnknown`] when that was the last step;
/// [`ErrorCode::Internal`] for a backup that was only verified;
/// [`ErrorCode::Corrupted`] when the file has changed since it was verified.
pub async fn restore(
    administrator: &Administrator,
    verified: &Verified,
    progress: &dyn Fn(u64),
) -> Result<Restored> {
    let Some(content) = &verified.content else {
        return Err(Error::internal("a backup that was read once is to be restored"));
    };
    let mut attempts = Attempts::new();
    let mut ending = false;
    loop {
        let restored = async {
            let mut server = administrator.connect(&mut attempts).await?;
            let cluster = server.cluster;
            bring(&mut server, (verified, content), &mut attempts, &mut ending, progress)
                .await
                .map(|already| (cluster, already))
        };
        match restored.await {
            Ok((cluster, already)) => return Ok(report(verified, Some(cluster), already)),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) => {
                let (code, what) = match ending {
                    true => (ErrorCode::OutcomeUnknown, "the backup may or may not be restored"),
                    false => (ErrorCode::Unavailable, "the backup is not restored"),
                };
                let again = "the same command goes on where it was";
                let message = format!("{what}; {again}: {}", error.message);
                administrator.pause(&attempts, Error::new(code, message)).await?;
            }
        }
    }
}

/// The report about a backup that was verified, and restored or not.
pub fn report(verified: &Verified, restored_into: Option<Uuid>, already: bool) -> Restored {
    let Verified { path, head, lines, bytes, sha256, .. } = verified.clone();
    Restored { file: path, restored_into, already, head, lines, bytes, sha256: sha256.to_string() }
}

/// Gives up a restore that was begun. Harmless when there is none.
///
/// # Errors
/// [`ErrorCode::Unavailable`].
pub async fn abandon(administrator: &Administrator) -> Result<Uuid> {
    let mut attempts = Attempts::new();
    loop {
        let abandoned = async {
            let mut server = administrator.connect(&mut attempts).await?;
            step(&mut server, &RestoreStep::Abandon {}).await?;
            Ok(server.cluster)
        };
        match abandoned.await {
            Ok(cluster) => return Ok(cluster),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) => {
                let message = format!("nothing was abandoned: {}", error.message);
                administrator.pause(&attempts, Error { message, ..error }).await?;
            }
        }
    }
}

/// Goes on at one server. Returns whether the cluster had the backup already.
async fn bring(
    server: &mut Server,
    (verified, content): (&Verified, &Kept),
    attempts: &mut Attempts,
    ending: &mut bool,
    progress: &dyn Fn(u64),
) -> Result<bool, Failed> {
    let backup = verified.id();
    let begun = step(server, &RestoreStep::Begin { backup }).await?;
    if begun.done {
        // This very command may have done it, and the answer was lost.
        return Ok(!*ending);
    }
    *ending = false;
    attempts.went_on();
    let changed = |why: &Error| changed(verified, &why.message);
    let begun_again = BackupReader::begin(&verified.path, content.reader());
    let (mut reader, _) = begun_again.map_err(|error| changed(&error))?;
    let (mut number, mut there) = (0, begun.lines);
    let mut more = true;
    while more {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while bytes < STEP_BYTES {
            let Some(line) = reader.next().map_err(|error| changed(&error))? else {
                more = false;
                break;
            };
            number += 1;
            if number > there {
                bytes += line.len();
                let line = String::from_utf8(line);
                lines.push(line.map_err(|_| changed(&reader.damaged("it is no text")))?);
            }
        }
        if lines.is_empty() {
            continue;
        }
        let first = number + 1 - lines.len() as u64;
        there = step(server, &RestoreStep::Lines { backup, first, lines }).await?.lines.max(there);
        attempts.went_on();
        progress(number);
    }
    if number != verified.lines || !reader.read_all_of(verified) {
        return Err(changed(&reader.damaged("it is another backup")).into());
    }
    *ending = true;
    step(server, &RestoreStep::End { backup, lines: number }).await?;
    Ok(false)
}

async fn step(server: &mut Server, step: &RestoreStep) -> Result<RestoreProgress, Failed> {
    parse(&server.call(Call::Restore, step).await?)
}

fn changed(verified: &Verified, why: &str) -> Error {
    let name = name(&verified.path);
    Error::new(
        ErrorCode::Corrupted,
        format!(
            "{name} was changed while it was restored, and the cluster waits for the rest: restore \
             the backup as it was, or give up with --abandon ({why})"
        ),
    )
}
