//! Going through a file of records, one after another, verifying each.
//!
//! One rule tells what a crash leaves from what a broken disk leaves. A **torn tail**
//! is the beginning of a record at the end of a file: right in every byte that can be
//! checked, shorter than its own length says, and without any newline. Everything else
//! that is no record is damage.
//!
//! Why no newline: take an acknowledged last record and flip a bit in the digits of
//! its length, so that it seems to want more bytes than there are. It then looks cut
//! short, and dropping it would lose it silently. But its newline is still there, and
//! a write that stopped short of its end cannot have left one (payloads hold none).
//! If the newline itself flipped, the record has all its bytes: it is whole and wrong,
//! not short.

use std::io;
use std::ops::Range;

use super::record::{self, Damage, Frame};
use crate::host::DiskFile;

/// Bytes per read.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;

/// What comes next in a file.
pub(super) enum Next {
    /// A whole record, whose payload [`Records::payload`] gives.
    Record(Range<usize>),
    /// Nothing but the beginning of a record, or nothing at all.
    End {
        /// Bytes of that beginning.
        torn_bytes: u64,
    },
}

/// Why there is nothing next.
pub(super) enum Stopped {
    /// What follows is no record and no beginning of one.
    Damaged(Damage),
    /// It could not be read.
    Unread(io::Error),
}

/// The records of a file from some place on.
pub(super) struct Records<'a> {
    file: &'a dyn DiskFile,
    /// Where in the file the next record begins.
    position: u64,
    /// The bytes of the file from `position - at` on, as far as they are read.
    buffer: Vec<u8>,
    /// How many of them have been gone through.
    at: usize,
}

impl<'a> Records<'a> {
    /// Those that follow on `position`, where a record begins.
    pub(super) fn new(file: &'a dyn DiskFile, position: u64) -> Records<'a> {
        Records { file, position, buffer: Vec::new(), at: 0 }
    }

    /// The next record, verified.
    ///
    /// # Errors
    /// [`Stopped`]; then this stays where it is.
    pub(super) async fn next(&mut self) -> Result<Next, Stopped> {
        loop {
            match record::frame(&self.buffer[self.at..]) {
                Ok(Frame::Whole { length, payload }) => {
                    let payload = self.at + payload.start..self.at + payload.end;
                    self.position += length as u64;
                    self.at += length;
                    return Ok(Next::Record(payload));
                }
                Ok(Frame::Short) => {
                    self.buffer.drain(..std::mem::take(&mut self.at));
                    if self.buffer.contains(&b'\n') {
                        let what = "its length does not fit its content";
                        return Err(Stopped::Damaged(Damage { what }));
                    }
                    if !self.read_on().await.map_err(Stopped::Unread)? {
                        return Ok(Next::End { torn_bytes: self.unread_bytes() });
                    }
                }
                Err(damage) => return Err(Stopped::Damaged(damage)),
            }
        }
    }

    /// The payload of the record that came last.
    pub(super) fn payload(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes in memory stand behind the records gone through.
    pub(super) fn unread_bytes(&self) -> u64 {
        (self.buffer.len() - self.at) as u64
    }

    /// Reads the next bytes of the file, if there are any.
    async fn read_on(&mut self) -> io::Result<bool> {
        let chunk = self.file.read_at(self.position + self.unread_bytes(), CHUNK_BYTES).await?;
        self.buffer.extend_from_slice(&chunk);
        Ok(!chunk.is_empty())
    }
}
