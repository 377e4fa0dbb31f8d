//! Reading a snapshot, line by line or in chunks for the network.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::super::errors::{corrupted, corrupted_whole};
use super::super::files::failed_call;
use super::super::on_worker;
use super::super::record::{self, Frame};
use super::{CHUNK_BYTES, End, Inner, Totals};
use crate::error::{Error, Result};
use crate::host::DiskFile;

/// Longer than any end record.
const END_MAX_BYTES: u64 = 256;

/// A snapshot that is being read. The file stays open, so the snapshot may be
/// replaced meanwhile.
///
/// Every line is verified before it is given out, and the totals after the
/// last one: nothing is known to be complete before it was read to the end.
pub struct SnapshotReader {
    inner: Arc<Inner>,
    path: PathBuf,
    last_index: u64,
    meta: Bytes,
    totals: Totals,
    /// `None` while a worker has it, hence also after a failure.
    file: Option<Box<dyn DiskFile>>,
    /// Bytes read and not yet given out.
    buffer: BytesMut,
    /// Where in the file the buffer ends.
    position: u64,
    hasher: crc32fast::Hasher,
    records: u64,
}

impl SnapshotReader {
    /// `None` when there is no such file (any more). Makes disk calls.
    pub(super) async fn open(inner: Arc<Inner>, last_index: u64) -> Result<Option<Self>> {
        let path = inner.paths.snapshot(last_index);
        let file = match inner.host.disk.open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed_call("open", &path, &error)),
        };
        let totals = read_end(&*file, &path).await?;
        let mut reader = SnapshotReader {
            inner,
            path,
            last_index,
            meta: Bytes::new(),
            totals,
            file: Some(file),
            buffer: BytesMut::new(),
            position: 0,
            hasher: crc32fast::Hasher::new(),
            records: 0,
        };
        let Some(meta) = reader.next_line().await? else {
            return Err(corrupted(&reader.path, 1, "its meta is missing"));
        };
        reader.meta = record::payload_of_trusted(&meta);
        Ok(Some(reader))
    }

    /// What the writer said about the snapshot.
    pub fn meta(&self) -> &Bytes {
        &self.meta
    }

    /// The index up to which it has the state.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// How many lines it has in all.
    pub fn records(&self) -> u64 {
        self.totals.records
    }

    /// The size of its file.
    pub fn file_bytes(&self) -> u64 {
        self.totals.bytes
    }

    /// The next line's payload; `None` after the last one, with everything
    /// verified.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] names file and line;
    /// [`crate::error::ErrorCode::Io`].
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let line = self.next_line().await?;
        self.records += u64::from(line.is_some());
        if line.is_none() {
            self.verify_totals()?;
        }
        Ok(line.as_ref().map(record::payload_of_trusted))
    }

    /// The next lines as they are in the file, verified, for
    /// [`super::SnapshotWriter::raw`]: at least one, more while they fit into
    /// `max_bytes`. `None` after the last one, with everything verified.
    ///
    /// # Errors
    /// As [`SnapshotReader::next`].
    pub async fn next_raw(&mut self, max_bytes: usize) -> Result<Option<Vec<Bytes>>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while let Some(length) = self.peek_line().await? {
            bytes += length;
            if !lines.is_empty() && bytes > max_bytes {
                break;
            }
            lines.push(self.take_line(length));
            self.records += 1;
        }
        if lines.is_empty() {
            self.verify_totals()?;
            return Ok(None);
        }
        Ok(Some(lines))
    }

    async fn next_line(&mut self) -> Result<Option<Bytes>> {
        Ok(self.peek_line().await?.map(|length| self.take_line(length)))
    }

    /// Verifies the next line; its length with newline. `None` at the end record.
    async fn peek_line(&mut self) -> Result<Option<usize>> {
        loop {
            let line = self.records + 1 + u64::from(!self.meta.is_empty());
            match record::frame(&self.buffer) {
                Ok(Frame::Whole { length, .. }) => return Ok(Some(length)),
                // Payloads hold no newline, so a beginning has none either.
                Ok(Frame::Short) if self.buffer.contains(&b'\n') => {
                    let what = "its length does not fit its content";
                    return Err(corrupted(&self.path, line, what));
                }
                Ok(Frame::Short) if self.position < self.totals.bytes => self.fill().await?,
                Ok(Frame::Short) if self.buffer.is_empty() => return Ok(None),
                Ok(Frame::Short) => return Err(corrupted(&self.path, line, "it is cut short")),
                Err(damage) => return Err(corrupted(&self.path, line, damage.what)),
            }
        }
    }

    fn take_line(&mut self, length: usize) -> Bytes {
        let line = self.buffer.split_to(length).freeze();
        self.hasher.update(&line);
        line
    }

    /// Reads on, up to the end record.
    async fn fill(&mut self) -> Result<()> {
        let (path, position) = (self.path.clone(), self.position);
        let length = (self.totals.bytes - position).min(CHUNK_BYTES as u64) as usize;
        let Some(file) = self.file.take() else {
            let path = path.display();
            return Err(Error::internal(format!("reading {path} failed before or was cancelled")));
        };
        let inner = self.inner.clone();
        let (file, chunk) = on_worker(&self.inner.host, "read-snapshot", async move {
            let chunk = file.read_at(position, length).await;
            let chunk = chunk.map_err(|e| failed_call("read", &path, &e))?;
            if chunk.is_empty() {
                return Err(corrupted_whole(&path, "became shorter while it was read"));
            }
            drop(inner);
            Ok((file, chunk))
        })
        .await?;
        self.file = Some(file);
        self.position += chunk.len() as u64;
        self.buffer.extend_from_slice(&chunk);
        Ok(())
    }

    fn verify_totals(&self) -> Result<()> {
        if Totals::new(self.records, self.position, &self.hasher) == self.totals {
            return Ok(());
        }
        Err(corrupted(&self.path, self.records + 2, "its totals do not fit the lines before it"))
    }
}

/// Reads and verifies the end record.
async fn read_end(file: &dyn DiskFile, path: &std::path::Path) -> Result<Totals> {
    let read_failed = |error: io::Error| failed_call("read", path, &error);
    let broken = |what: &str| corrupted_whole(path, &format!("has no valid end: {what}"));
    let size = file.len().await.map_err(read_failed)?;
    let from = size.saturating_sub(END_MAX_BYTES);
    let tail = file.read_at(from, END_MAX_BYTES as usize).await.map_err(read_failed)?;
    let whole = tail.strip_suffix(b"\n").ok_or_else(|| broken("the last newline is missing"))?;
    let start = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let payload = record::decode(&whole[start..]).map_err(|damage| broken(damage.what))?;
    let End { end } = serde_json::from_slice(payload).map_err(|e| broken(&e.to_string()))?;
    if end.bytes != from + start as u64 {
        return Err(broken("it stands where another number of bytes comes before it"));
    }
    Ok(end)
}
