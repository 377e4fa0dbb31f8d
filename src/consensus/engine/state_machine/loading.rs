//! Loading a snapshot, by two workers: one reads and parses its lines, the other makes
//! the state of them. Each takes about half of the time, which is a second for a
//! million messages. The runtime's threads stay free to answer heartbeats.
//!
//! A replica that starts loads as fast as it can. One that got a snapshot from its
//! leader takes its time: a majority works without it, perhaps on the same processors,
//! and loading as fast as possible would make the p99 of messages up to five times as
//! long.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Machine;
use crate::chat::{ParsedLine, Restore, State};
use crate::consensus::types::SnapshotMeta;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::storage::SnapshotReader;

/// Lines, of about 60 KiB each, that wait between the two.
const LINES_WAITING: usize = 16;

/// Pause between two lines in the log that say how far a start is. One that is shorter
/// tells nothing.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// What became of reading a line. `None` comes last, when all were verified.
type Next = Result<Option<Result<ParsedLine>>>;

impl Machine {
    /// Reads the meta record of a snapshot.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`].
    pub fn parse_meta(payload: &[u8]) -> Result<SnapshotMeta> {
        serde_json::from_slice(payload).map_err(|error| {
            Error::new(
                ErrorCode::Corrupted,
                format!("a snapshot's first line is not readable: {error}"),
            )
        })
    }
}

/// Starts loading; see the head of the file. Dropping the receiver ends it soon.
pub(super) fn load(
    host: &Host,
    reader: SnapshotReader,
    window: u64,
    in_background: bool,
) -> oneshot::Receiver<Result<State>> {
    let (send_line, lines) = mpsc::channel(LINES_WAITING);
    let (send, receive) = oneshot::channel();
    let (parsing, building) = (parse(reader, send_line), build(window, lines, send));
    if in_background {
        host.workers.spawn_patient("snapshot-read", Box::pin(parsing));
        host.workers.spawn_patient("snapshot-load", Box::pin(building));
    } else {
        host.workers.spawn("snapshot-read", Box::pin(parsing));
        host.workers.spawn("snapshot-load", Box::pin(building));
    }
    receive
}

async fn parse(mut reader: SnapshotReader, lines: mpsc::Sender<Next>) {
    let mut progress = Loading::begin();
    let last = loop {
        match reader.next().await {
            Ok(Some(line)) => {
                let sent = lines.send(Ok(Some(ParsedLine::parse(&line)))).await;
                if sent.is_err() {
                    break None;
                }
                progress.line(&reader);
            }
            Ok(None) => break Some(Ok(None)),
            Err(error) => break Some(Err(error)),
        }
    };
    // Closed before the error is reported: a damaged directory is set aside at once,
    // which is refused while one of its files is open.
    drop(reader);
    if let Some(last) = last {
        // Nobody listens any more when a line before was wrong.
        let _ = lines.send(last).await;
    }
}

async fn build(
    window: u64,
    mut lines: mpsc::Receiver<Next>,
    mut send: oneshot::Sender<Result<State>>,
) {
    let restored = tokio::select! {
        biased;
        // The workers hold a share of the directory's lock, and loading millions of
        // messages takes seconds. A server that stops must not keep the lock so long.
        () = send.closed() => Err(Error::unavailable("this replica is stopping")),
        restored = take(window, &mut lines) => restored,
    };
    // The other worker ends as well, and has closed the file.
    lines.close();
    while lines.recv().await.is_some() {}
    // The receiver is gone when the replica was stopped meanwhile.
    let _ = send.send(restored);
}

async fn take(window: u64, lines: &mut mpsc::Receiver<Next>) -> Result<State> {
    let mut restore = Restore::new(window);
    loop {
        let cut_off = || Error::internal("reading a snapshot was cut off");
        match lines.recv().await.ok_or_else(cut_off)?? {
            Some(line) => restore.parsed(line)?,
            None => return restore.finish(),
        }
    }
}

/// How far the loading of a snapshot is.
struct Loading {
    reported: Instant,
    lines: u64,
}

impl Loading {
    fn begin() -> Loading {
        Loading { reported: Instant::now(), lines: 0 }
    }

    /// One more line is in.
    fn line(&mut self, reader: &SnapshotReader) {
        self.lines += 1;
        if self.reported.elapsed() >= PROGRESS_INTERVAL {
            self.reported = Instant::now();
            tracing::info!(lines = self.lines, of = reader.records(), "loading the snapshot");
        }
    }
}
