//! Reading a log that another process holds, before it is taken over.
//!
//! The one who reads knows up to where the log is committed, and looks no
//! further: the holder may cut off and rewrite everything behind that, and only
//! that. Committed entries stay as they are until whole files of them go at the
//! beginning, so what was verified of them need not be verified again when the
//! log is opened.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::super::{Paths, index_of_name, on_worker};
use super::scan::{Next, Scanner};
use super::state::Segment;
use crate::error::{Error, Result};
use crate::host::{Disk, Host};

/// The beginning of a log, verified.
pub struct LogAhead {
    host: Host,
    paths: Paths,
    /// In order. The last one may go on.
    segments: Vec<Segment>,
}

impl LogAhead {
    pub(in super::super) fn new(host: Host, paths: Paths) -> LogAhead {
        LogAhead { host, paths, segments: Vec::new() }
    }

    /// The following entries' payloads, up to the one at `through`: as many as
    /// fit into `max_bytes`, but at least one if there is one.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] names file and line;
    /// [`crate::error::ErrorCode::Io`], also when the file that comes next was
    /// removed because a snapshot made it needless.
    pub async fn read(&mut self, through: u64, max_bytes: usize) -> Result<Vec<Bytes>> {
        let (disk, paths) = (self.host.disk.clone(), self.paths.clone());
        let mut segments = std::mem::take(&mut self.segments);
        let (read, segments) = on_worker(&self.host, "read-log-ahead", async move {
            let read = read(&*disk, &paths, &mut segments, through, max_bytes).await;
            Ok((read, segments))
        })
        .await?;
        self.segments = segments;
        read
    }

    pub(super) fn into_segments(self) -> BTreeMap<u64, Segment> {
        self.segments.into_iter().map(|segment| (segment.first, segment)).collect()
    }
}

async fn read(
    disk: &dyn Disk,
    paths: &Paths,
    segments: &mut Vec<Segment>,
    through: u64,
    max_bytes: usize,
) -> Result<Vec<Bytes>> {
    let (mut payloads, mut bytes) = (Vec::new(), 0);
    if segments.is_empty() {
        let Some(first) = first_segment(disk, paths).await? else { return Ok(payloads) };
        segments.push(Segment::empty(first));
    }
    while let Some(segment) = segments.last().filter(|segment| segment.end() <= through) {
        let path = paths.segment(segment.first);
        let file = match disk.open(&path).await {
            // A log that ends with a full file has no next one yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && segment.length == 0 => {
                return Ok(payloads);
            }
            file => file.map_err(|error| Error::io("open", &path, &error))?,
        };
        let mut scanner = Scanner::new(&*file, &path, segment.clone());
        let mut end = segment.end();
        let ended = loop {
            if end > through || bytes >= max_bytes {
                break false;
            }
            let Next::Record(payload) = scanner.next().await? else { break true };
            let payload = Bytes::copy_from_slice(scanner.payload(payload));
            bytes += payload.len();
            payloads.push(payload);
            end += 1;
        };
        *segments.last_mut().expect("looked at it") = scanner.into_segment();
        if !ended {
            break;
        }
        let next = paths.segment(end);
        match disk.file_id(&next).await {
            Ok(_) if segments.last().is_some_and(|last| last.first < end) => {
                segments.push(Segment::empty(end));
            }
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(Error::io("look at", &next, &error)),
        }
    }
    Ok(payloads)
}

async fn first_segment(disk: &dyn Disk, paths: &Paths) -> Result<Option<u64>> {
    let folder = paths.log();
    match disk.list(&folder).await {
        Ok(names) => Ok(names.iter().find_map(|name| index_of_name(name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("list", &folder, &error)),
    }
}
