//! What handles of a log ask of its writer.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{AppendDone, DroppedTail};
use crate::error::{Error, Result};

/// One request, in the order of its arrival.
pub(super) enum Command {
    Append { first_index: u64, lines: Vec<Bytes>, done: AppendDone },
    Perform { action: Action, reply: oneshot::Sender<Result<()>> },
}

impl Command {
    /// Refuses it, as the log is closed. Whoever waits for an action learns that from
    /// the end of its channel; see [`Closed`].
    pub(super) fn refuse_when_closed(self, closed: Error) {
        if let Command::Append { done, .. } = self {
            done(Err(closed));
        }
    }
}

/// Whoever asked may have been cancelled; what was asked for is done all the same.
pub(super) fn answer(reply: oneshot::Sender<Result<()>>, result: Result<()>) {
    let _ = reply.send(result);
}

/// The log was closed before it came to an action.
pub(super) struct Closed;

/// What a handle waits for.
pub(super) enum Action {
    Vote(Bytes),
    Committed { index: u64, payload: Bytes },
    TruncateFrom(u64),
    PurgeThrough(u64),
    Reset(u64),
    NoteDroppedTail(DroppedTail),
    SettleDroppedTail,
    RaiseFormat(u32),
    Close,
}
