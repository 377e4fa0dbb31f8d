//! The worker that reads old entries from disk.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::super::errors::corrupted;
use super::super::files::failed_call;
use super::super::lock::LockShare;
use super::super::record::{self, Frame};
use super::super::shortage::{Verdict, verdict};
use super::Shared;
use super::state::Extent;
use super::writer::SHORTAGE_RETRY;
use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile};

/// Bytes per read, apart from a single record that is larger.
const CHUNK_BYTES: usize = 1024 * 1024;

pub(super) struct ReadRequest {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) max_bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Vec<Bytes>>>,
}

pub(super) enum ReadCommand {
    Read(ReadRequest),
    /// Ends the reader; answered when it has let go of everything.
    Close(oneshot::Sender<()>),
}

pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<ReadCommand>,
    lock: LockShare,
    open: Option<OpenSegment>,
}

/// The segment read last: replication reads on where it was.
struct OpenSegment {
    generation: u64,
    first: u64,
    file: Box<dyn DiskFile>,
}

impl Reader {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<ReadCommand>,
        lock: LockShare,
    ) -> Reader {
        Reader { disk, shared, queue, lock, open: None }
    }

    /// Serves reads until the log is closed or all its handles are dropped.
    pub(super) async fn run(mut self) {
        let mut closed = None;
        while let Some(command) = self.queue.recv().await {
            match command {
                ReadCommand::Read(request) => {
                    let result = self.read(request.from, request.to, request.max_bytes).await;
                    // The caller may have been cancelled.
                    let _ = request.reply.send(result);
                }
                ReadCommand::Close(reply) => {
                    closed = Some(reply);
                    break;
                }
            }
        }
        let Reader { queue, open, lock, .. } = self;
        drop((queue, open, lock));
        if let Some(reply) = closed {
            let _ = reply.send(());
        }
    }

    /// Reads `from..to`, from disk as long as needed and then from memory.
    ///
    /// Entries may be removed meanwhile, by a conflict or a purge. Whoever
    /// removes changes the generation before touching a file, so what was read
    /// under the same generation before and after was there all the time.
    /// Otherwise everything is read again, in the log as it is now.
    async fn read(&mut self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        let (mut at, mut left, mut lines) = (from, max_bytes, Vec::new());
        let mut generation = self.shared.state.lock().generation;
        while at < to {
            // The first entry comes whatever its size.
            let min = usize::from(lines.is_empty());
            let (now, extent) = {
                let state = self.shared.state.lock();
                if let Some(recent) = state.recent(at, to, left, min)?
                    && state.generation == generation
                {
                    lines.extend(recent);
                    return Ok(lines);
                }
                (state.generation, state.extent(at, to, left.min(CHUNK_BYTES)))
            };
            if !lines.is_empty() && extent.len() > left {
                break;
            }
            let read = match now == generation {
                true => self.read_extent(generation, &extent).await,
                false => Ok(Vec::new()),
            };
            let now = self.shared.state.lock().generation;
            if now != generation {
                (generation, at, left) = (now, from, max_bytes);
                lines.clear();
                continue;
            }
            lines.extend(read?);
            at = extent.indexes.end;
            left = left.saturating_sub(extent.len());
        }
        Ok(lines)
    }

    async fn read_extent(&mut self, generation: u64, extent: &Extent) -> Result<Vec<Bytes>> {
        let path = self.shared.paths.segment(extent.segment);
        let (first, length) = (extent.segment, extent.len());
        let open = match self.open.take() {
            Some(open) if open.generation == generation && open.first == first => open,
            _ => OpenSegment { generation, first, file: self.open_segment(&path).await? },
        };
        let content = open.file.read_at(extent.bytes.start, length).await;
        let content = Bytes::from(content.map_err(|e| Error::io("read", &path, &e))?);
        self.open = Some(open);

        let mut lines = Vec::new();
        let mut at = 0;
        for index in extent.indexes.clone() {
            let line = index - extent.segment + 1;
            match record::frame(&content[at..]) {
                Ok(Frame::Whole { length, .. }) => {
                    lines.push(content.slice(at..at + length));
                    at += length;
                }
                Ok(Frame::Short) => return Err(corrupted(&path, line, "it is cut short")),
                Err(damage) => return Err(corrupted(&path, line, damage.what)),
            }
        }
        if at != content.len() {
            let line = extent.indexes.end - extent.segment;
            return Err(corrupted(&path, line, "it ends elsewhere than when the log was opened"));
        }
        Ok(lines)
    }

    /// Opens a segment. While no descriptor is left it waits for one, or until the log is
    /// closed: an error here would end consensus, and with it the server.
    async fn open_segment(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let mut closing = self.shared.closing.subscribe();
        loop {
            let error = match self.disk.open(path).await {
                Ok(file) => return Ok(file),
                Err(error) => error,
            };
            let short = matches!(verdict(&error), Verdict::Short(_));
            if !short || *closing.borrow_and_update() {
                return Err(failed_call("open", path, &error));
            }
            tracing::warn!("cannot open {}: {error}; trying again", path.display());
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => {}
                () = sleep(SHORTAGE_RETRY) => {}
            }
        }
    }
}

impl Extent {
    fn len(&self) -> usize {
        (self.bytes.end - self.bytes.start) as usize
    }
}
