//! Reading a log that another process holds, before it is taken over.
//!
//! The reader knows up to where the log is committed, and reads no further: the
//! holder may cut off and rewrite everything behind that, and only that. Committed
//! entries stay as they are until whole files of them are removed at the beginning.
//! So what was verified of them need not be verified again when the log is opened.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Paths, index_of_name, on_worker};
use super::scan::{Next, Scanner};
use super::state::Segment;
use crate::error::{Error, Result};
use crate::host::{Disk, Host};

/// The beginning of a log, verified. Clones share what is known of whole files.
#[derive(Clone)]
pub struct PreverifiedLog {
    host: Host,
    paths: Paths,
    /// In order. The last one may go on.
    segments: Vec<Arc<Segment>>,
}

impl PreverifiedLog {
    pub(in super::super) fn new(host: Host, paths: Paths) -> PreverifiedLog {
        PreverifiedLog { host, paths, segments: Vec::new() }
    }

    /// The payloads of the following entries, up to the one at `through`. Stops once they
    /// have `max_bytes` together, which the last one may exceed. Empty when there is none.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] names file and line;
    /// [`crate::error::ErrorCode::Io`], also when the file that comes next was
    /// removed because a snapshot made it needless.
    pub async fn read(&mut self, through: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        self.advance(through, max_bytes, Vec::new(), |payloads, payload| {
            payloads.push(Bytes::copy_from_slice(payload));
        })
        .await
    }

    /// Verifies the following entries, up to the one at `through`, until about
    /// `max_bytes` were looked at. Returns whether there may be more.
    ///
    /// # Errors
    /// As [`PreverifiedLog::read`].
    pub async fn verify(&mut self, through: u64, max_bytes: usize) -> Result<bool> {
        let bytes = self.advance(through, max_bytes, 0, |bytes, payload| *bytes += payload.len());
        Ok(bytes.await? >= max_bytes)
    }

    /// Goes on over the log, and folds the payloads that come into `seen`.
    async fn advance<T: Send + 'static>(
        &mut self,
        through: u64,
        max_bytes: usize,
        mut seen: T,
        mut fold: impl FnMut(&mut T, &[u8]) + Send + 'static,
    ) -> Result<T> {
        let (disk, paths) = (self.host.disk.clone(), self.paths.clone());
        let mut segments = std::mem::take(&mut self.segments);
        let (done, seen, segments) = on_worker(&self.host, "read-log-ahead", async move {
            let mut fold = |payload: &[u8]| fold(&mut seen, payload);
            let done = advance(&*disk, &paths, &mut segments, through, max_bytes, &mut fold).await;
            Ok((done, seen, segments))
        })
        .await?;
        self.segments = segments;
        done.map(|()| seen)
    }

    pub(super) fn into_segments(self) -> BTreeMap<u64, Segment> {
        let segments = self.segments.into_iter().map(Arc::unwrap_or_clone);
        segments.map(|segment| (segment.first, segment)).collect()
    }
}

async fn advance(
    disk: &dyn Disk,
    paths: &Paths,
    segments: &mut Vec<Arc<Segment>>,
    through: u64,
    max_bytes: usize,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<()> {
    let mut bytes = 0;
    if segments.is_empty() {
        let Some(first) = first_segment(disk, paths).await? else { return Ok(()) };
        segments.push(Arc::new(Segment::empty(first)));
    }
    while let Some(segment) = segments.last().filter(|segment| segment.end() <= through) {
        let path = paths.segment(segment.first);
        let file = match disk.open(&path).await {
            // A log that ends with a full file has no next one yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && segment.length == 0 => {
                return Ok(());
            }
            file => file.map_err(|error| Error::io("open", &path, &error))?,
        };
        let mut scanner = Scanner::new(&*file, &path, Segment::clone(segment));
        let mut end = segment.end();
        let ended = loop {
            if end > through || bytes >= max_bytes {
                break false;
            }
            let Next::Record(payload) = scanner.next().await? else { break true };
            let payload = scanner.payload(payload);
            bytes += payload.len();
            each(payload);
            end += 1;
        };
        *segments.last_mut().expect("looked at it") = Arc::new(scanner.into_segment());
        if !ended {
            break;
        }
        let next = paths.segment(end);
        match disk.file_id(&next).await {
            Ok(_) if segments.last().is_some_and(|last| last.first < end) => {
                segments.push(Arc::new(Segment::empty(end)));
            }
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(Error::io("look at", &next, &error)),
        }
    }
    Ok(())
}

async fn first_segment(disk: &dyn Disk, paths: &Paths) -> Result<Option<u64>> {
    let folder = paths.log();
    match disk.list(&folder).await {
        Ok(names) => Ok(names.iter().find_map(|name| index_of_name(name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("list", &folder, &error)),
    }
}
