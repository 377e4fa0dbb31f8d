//! Reading a whole segment, verifying every record.
//!
//! Only the last segment may end in a torn record, as [`super::super::records`] tells
//! it from damage. Everything else that is no record is corruption.

use std::ops::Range;
use std::path::Path;

use super::super::errors::corrupted;
use super::super::records::{Records, Stopped};
use super::state::Segment;
use crate::error::{Error, Result};
use crate::host::DiskFile;
use crate::planted::{self, Bug};

pub(super) use super::super::records::Next;

/// A verified segment, and how many bytes of a torn record follow it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) segment: Segment,
    pub(super) torn_bytes: u64,
}

/// Goes through a segment record by record, verifying each.
pub(super) struct Scanner<'a> {
    path: &'a Path,
    /// What has been verified so far.
    segment: Segment,
    records: Records<'a>,
}

impl<'a> Scanner<'a> {
    /// Goes on behind what is known of the segment.
    pub(super) fn new(file: &'a dyn DiskFile, path: &'a Path, known: Segment) -> Scanner<'a> {
        let records = Records::new(file, known.length);
        Scanner { path, segment: known, records }
    }

    /// The next record; it counts as part of the segment from then on.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Corrupted`] names the line;
    /// [`crate::error::ErrorCode::Io`].
    pub(super) async fn next(&mut self) -> Result<Next> {
        let line = self.segment.starts.len() as u64 + 1;
        match self.records.next().await {
            Ok(Next::Record(payload)) => {
                let start = u32::try_from(self.segment.length)
                    .map_err(|_| corrupted(self.path, line, "it begins beyond 4 GiB"))?;
                self.segment.starts.push(start);
                self.segment.length = self.records.position();
                Ok(Next::Record(payload))
            }
            Ok(end) => Ok(end),
            Err(Stopped::Damaged(_)) if planted::is(Bug::TruncateMidLog) => {
                Ok(Next::End { torn_bytes: self.records.unread_bytes() })
            }
            Err(Stopped::Damaged(damage)) => Err(corrupted(self.path, line, damage.what)),
            Err(Stopped::Unread(error)) => Err(Error::io("read", self.path, &error)),
        }
    }

    /// The payload of the record that came last.
    pub(super) fn payload(&self, range: Range<usize>) -> &[u8] {
        self.records.payload(range)
    }

    /// What has been verified.
    pub(super) fn into_segment(self) -> Segment {
        self.segment
    }
}

/// Verifies a segment behind what is known of it. Only the last one may end in
/// a torn record.
///
/// # Errors
/// As [`Scanner::next`].
pub(super) async fn scan(
    file: &dyn DiskFile,
    path: &Path,
    known: Segment,
    is_last: bool,
) -> Result<Scan> {
    let mut scanner = Scanner::new(file, path, known);
    loop {
        let Next::End { torn_bytes } = scanner.next().await? else { continue };
        let segment = scanner.into_segment();
        if torn_bytes > 0 && !is_last {
            let line = segment.starts.len() as u64 + 1;
            return Err(corrupted(path, line, "it is cut short, and more segments follow"));
        }
        return Ok(Scan { segment, torn_bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::host::Host;
    use crate::storage::record;
    use crate::storage::records::CHUNK_BYTES;
    use crate::storage::testing::{entry, flip_every_bit};

    async fn scan_bytes(bytes: &[u8], is_last: bool) -> Result<Scan> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("segment");
        std::fs::write(&path, bytes).expect("writes");
        let file = Host::real().disk.open(&path).await.expect("opens");
        scan(&*file, &path, Segment::empty(7), is_last).await
    }

    fn records(count: u64) -> Vec<u8> {
        (0..count).flat_map(|index| record::encode(&entry(index))).collect()
    }

    #[tokio::test]
    async fn every_flipped_bit_is_corruption_and_never_a_torn_tail() {
        let bytes = records(3);
        for (bit, flipped) in flip_every_bit(&bytes).enumerate() {
            let error = scan_bytes(&flipped, true).await.expect_err("noticed");
            assert_eq!(error.code, ErrorCode::Corrupted, "bit {bit}");
            let lines_before = bytes[..bit / 8].iter().filter(|b| **b == b'\n').count();
            let line = format!("line {} of", lines_before + 1);
            assert!(error.message.contains(&line), "bit {bit}: {error}");
        }
    }

    #[tokio::test]
    async fn every_cut_leaves_the_whole_records_before_it() {
        let bytes = records(3);
        for end in 0..=bytes.len() {
            let cut = &bytes[..end];
            let whole = cut.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let count = cut.iter().filter(|b| **b == b'\n').count();
            let scan = scan_bytes(cut, true).await.expect("a torn tail is no corruption");
            assert_eq!((scan.segment.length, scan.segment.starts.len()), (whole as u64, count));
            assert_eq!(scan.torn_bytes, (end - whole) as u64);
            let inner = scan_bytes(cut, false).await;
            assert_eq!(inner.is_ok(), end == whole, "torn only at the end of the log");
        }
    }

    #[tokio::test]
    async fn records_may_cross_the_chunks_in_which_a_file_is_read() {
        let long = format!("\"{}\"", "x".repeat(CHUNK_BYTES / 2));
        let line = record::encode(long.as_bytes());
        let bytes = [&records(2)[..], &line, &line, &line, b"{\"len"].concat();
        let scan = scan_bytes(&bytes, true).await.expect("whole");
        assert_eq!((scan.segment.starts.len(), scan.torn_bytes), (5, 5));
        assert_eq!(scan.segment.end(), 12);
    }

    #[tokio::test]
    async fn a_cut_that_is_also_flipped_is_not_taken_for_torn_where_that_shows() {
        for tail in ["x", "{\"lengtX", "{\"length\":0", "{\"length\":5,\"crc32\":\"0000000g"] {
            let bytes = [&records(1)[..], tail.as_bytes()].concat();
            let error = scan_bytes(&bytes, true).await.expect_err(tail);
            assert_eq!(error.code, ErrorCode::Corrupted, "{tail}");
        }
    }
}
