//! Where each entry is: the index of the segments, and the lines of recent entries.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::MutexGuard;

use bytes::Bytes;

use super::super::Paths;
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// The state behind a lock that is held briefly, and never while waiting.
pub(super) struct Guarded(Mutex<State>);

impl Guarded {
    pub(super) fn new(state: State) -> Guarded {
        Guarded(Mutex::new(state))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Index of its first entry.
    pub(super) first: u64,
    /// Where each entry's record begins.
    pub(super) starts: Vec<u32>,
    /// Bytes of whole records.
    pub(super) length: u64,
}

impl Segment {
    pub(super) fn empty(first: u64) -> Segment {
        Segment { first, starts: Vec::new(), length: 0 }
    }

    /// The index after its last entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// Where the record of an entry begins; for [`Segment::end`], the end.
    fn offset(&self, index: u64) -> u64 {
        let start = self.starts.get((index - self.first) as usize);
        start.map_or(self.length, |start| u64::from(*start))
    }
}

/// Entries to read from one segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The segment, by its first index.
    pub(super) segment: u64,
    /// The entries.
    pub(super) indexes: Range<u64>,
    /// Their bytes in the file.
    pub(super) bytes: Range<u64>,
}

/// Files to change after entries were removed from the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Segments to remove, by first index, in this order.
    pub(super) removed: Vec<u64>,
    /// The segment that is the last one now.
    pub(super) segment: u64,
    /// The length that it keeps.
    pub(super) length: u64,
}

/// The log as its handles see it.
pub(super) struct State {
    /// In order; never empty. The last one is written to.
    segments: Vec<Segment>,
    /// Lines of the entries `recent_first..next`, written or not. Why consensus keeps
    /// its own entries beside them is explained in `consensus/engine/recent.rs`.
    recent: VecDeque<Bytes>,
    recent_first: u64,
    recent_bytes: usize,
    /// The index after the last entry appended.
    pub(super) next: u64,
    /// Changes whenever entries are removed, before their files are touched:
    /// what was read from a file counts only if this is still the same.
    pub(super) generation: u64,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    /// The index that the hint in `committed` is about.
    committed_index: u64,
    /// Whether `committed` is newer than its file.
    pub(super) committed_is_new: bool,
}

impl State {
    /// # Panics
    /// Without a segment.
    pub(super) fn new(segments: Vec<Segment>) -> State {
        let next = segments.last().expect("a log has at least one segment").end();
        State {
            segments,
            recent: VecDeque::new(),
            recent_first: next,
            recent_bytes: 0,
            next,
            generation: 0,
            vote: None,
            committed: None,
            committed_index: 0,
            committed_is_new: false,
        }
    }

    fn last(&self) -> &Segment {
        self.segments.last().expect("never empty")
    }

    pub(super) fn first(&self) -> u64 {
        self.segments[0].first
    }

    /// The index after the last entry written to a file.
    pub(super) fn written(&self) -> u64 {
        self.last().end()
    }

    /// Bytes of whole records in the last segment.
    pub(super) fn active_length(&self) -> u64 {
        self.last().length
    }

    /// The last segment's file, and its length.
    pub(super) fn active(&self, paths: &Paths) -> (PathBuf, u64) {
        (paths.segment(self.last().first), self.last().length)
    }

    /// Adds entries that are about to be queued for writing.
    pub(super) fn push(&mut self, lines: &[Bytes]) {
        self.next += lines.len() as u64;
        self.recent_bytes += lines.iter().map(Bytes::len).sum::<usize>();
        self.recent.extend(lines.iter().cloned());
    }

    /// Entries were written to the last segment; `lengths` are those of their lines, in
    /// bytes.
    pub(super) fn wrote(&mut self, lengths: &[u32], recent_max_bytes: usize) {
        let segment = self.segments.last_mut().expect("never empty");
        for length in lengths {
            // Records begin below the bound of a segment, which has 32 bits.
            segment.starts.push(segment.length as u32);
            segment.length += u64::from(*length);
        }
        let written = segment.end();
        while self.recent_bytes > recent_max_bytes && self.recent_first < written {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(line) = self.recent.pop_front() {
            self.recent_bytes -= line.len();
            self.recent_first += 1;
        }
    }

    /// A new last segment has been made.
    pub(super) fn add_segment(&mut self) {
        let segment = Segment::empty(self.written());
        self.segments.push(segment);
    }

    /// Removes entries from `index` on, which must be in `first()..=next`.
    pub(super) fn truncate_from(&mut self, index: u64) -> Cut {
        self.generation += 1;
        let keep = self.segments.partition_point(|segment| segment.first <= index).max(1);
        let removed = self.segments.drain(keep..).rev().map(|segment| segment.first).collect();
        let last = self.segments.last_mut().expect("at least one is kept");
        let length = last.offset(index);
        last.starts.truncate((index - last.first) as usize);
        last.length = length;
        let segment = last.first;
        while self.next > index.max(self.recent_first) {
            let line = self.recent.pop_back();
            self.recent_bytes -= line.map_or(0, |line| line.len());
            self.next -= 1;
        }
        self.next = index;
        self.recent_first = self.recent_first.min(index);
        Cut { removed, segment, length }
    }

    /// Removes segments that end at or below `index`; first indexes, ascending.
    pub(super) fn purge_through(&mut self, index: u64) -> Vec<u64> {
        let count = self.segments[1..].partition_point(|segment| segment.first <= index + 1);
        if count == 0 {
            return Vec::new();
        }
        self.generation += 1;
        let removed = self.segments.drain(..count).map(|segment| segment.first).collect();
        while self.recent_first < self.first() && !self.recent.is_empty() {
            self.forget_oldest();
        }
        removed
    }

    /// Starts again at `next`; first indexes of the removed segments, descending.
    pub(super) fn reset(&mut self, next: u64) -> Vec<u64> {
        let removed = self.segments.iter().rev().map(|segment| segment.first).collect();
        let empty = State::new(vec![Segment::empty(next)]);
        *self = State {
            generation: self.generation + 1,
            vote: self.vote.take(),
            committed: self.committed.take(),
            committed_index: self.committed_index,
            committed_is_new: self.committed_is_new,
            ..empty
        };
        removed
    }

    pub(super) fn note_committed(&mut self, index: u64, payload: Bytes) {
        self.committed = Some(payload);
        self.committed_index = index;
        self.committed_is_new = true;
    }

    /// Whether there is a commit hint that has to be written, and waits for its entry.
    /// Notes a commit hint, unless a higher one is known. Returns the higher of the two.
    pub(super) fn committed_at_least(&mut self, index: u64, payload: Bytes) -> Bytes {
        match &self.committed {
            Some(known) if self.committed_index > index => known.clone(),
            _ => {
                self.note_committed(index, payload.clone());
                payload
            }
        }
    }

    pub(super) fn committed_waits(&self) -> bool {
        self.committed_is_new && self.committed_index >= self.written()
    }

    /// The commit hint, if it has to be written.
    pub(super) fn new_committed(&mut self) -> Option<Bytes> {
        if self.committed_waits() {
            return None;
        }
        std::mem::take(&mut self.committed_is_new).then(|| self.committed.clone()).flatten()
    }

    fn check_range(&self, from: u64, to: u64) -> Result<()> {
        let (first, next) = (self.first(), self.next);
        if first <= from && from <= to && to <= next {
            return Ok(());
        }
        let message = format!("entries {from}..{to} of a log that has {first}..{next}");
        Err(Error::internal(message))
    }

    /// The record lines from memory, as many as fit but at least `min` if there are
    /// so many; `None` when some must be read from disk.
    pub(super) fn recent(
        &self,
        from: u64,
        to: u64,
        max_bytes: usize,
        min: usize,
    ) -> Result<Option<Vec<Bytes>>> {
        self.check_range(from, to)?;
        if from < self.recent_first && from < to {
            return Ok(None);
        }
        let mut bytes = 0;
        let mut lines = Vec::new();
        for index in from..to {
            let line = &self.recent[(index - self.recent_first) as usize];
            bytes += line.len();
            if bytes > max_bytes && lines.len() >= min {
                break;
            }
            lines.push(line.clone());
        }
        Ok(Some(lines))
    }

    /// Where to read the first of `from..to` (not empty, not all recent), and as
    /// many after it as lie in the same segment, are not recent and fit.
    pub(super) fn extent(&self, from: u64, to: u64, max_bytes: usize) -> Extent {
        let after = self.segments.partition_point(|segment| segment.first <= from);
        let segment = &self.segments[after - 1];
        let start = segment.offset(from);
        let fits = |end: &u64| segment.offset(*end) - start <= max_bytes as u64;
        let most = to.min(self.recent_first).min(segment.end());
        let end = (from + 2..=most).take_while(fits).last().unwrap_or(from + 1);
        let bytes = start..segment.offset(end);
        Extent { segment: segment.first, indexes: from..end, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::record;
    use super::*;

    fn line(index: u64) -> Bytes {
        record::encode(format!("{index:03}").as_bytes())
    }

    /// Segments of two entries each; the last ones are kept in memory.
    fn state(first: u64, next: u64, recent_max_bytes: usize) -> State {
        let mut state = State::new(vec![Segment::empty(first)]);
        for index in first..next {
            if state.last().starts.len() == 2 {
                state.add_segment();
            }
            state.push(&[line(index)]);
            state.wrote(&[line(index).len() as u32], recent_max_bytes);
        }
        state
    }

    fn read(state: &State, from: u64, to: u64, max: usize) -> Option<Vec<u64>> {
        let lines = state.recent(from, to, max, 1).expect("in range")?;
        let number = |line: &Bytes| {
            let payload = record::payload_of_trusted(line);
            String::from_utf8_lossy(&payload).parse().expect("a number")
        };
        Some(lines.iter().map(number).collect())
    }

    #[test]
    fn recent_entries_are_bounded_but_unwritten_ones_are_never_forgotten() {
        let length = line(0).len();
        let mut state = state(5, 10, 2 * length);
        assert_eq!((state.first(), state.next, state.recent_first), (5, 10, 8));
        state.push(&[line(10), line(11), line(12)]);
        assert_eq!(read(&state, 8, 13, usize::MAX), Some(vec![8, 9, 10, 11, 12]));
        assert_eq!(read(&state, 8, 13, 2 * length), Some(vec![8, 9]));
        assert_eq!(read(&state, 8, 13, 0), Some(vec![8]));
        assert_eq!(read(&state, 7, 13, usize::MAX), None);
        assert_eq!(read(&state, 5, 5, usize::MAX), Some(vec![]));
        state.wrote(&[length as u32], 0);
        assert_eq!((state.recent_first, state.written()), (11, 11));
        assert!(state.recent(4, 6, 1, 1).is_err() && state.recent(5, 14, 1, 1).is_err());
    }

    #[test]
    fn an_extent_stays_within_segment_bytes_and_what_is_not_in_memory() {
        let length = line(0).len() as u64;
        let state = state(5, 10, length as usize);
        let extent = |from, to, max| state.extent(from, to, max);
        let both = Extent { segment: 5, indexes: 5..7, bytes: 0..2 * length };
        assert_eq!(extent(5, 10, usize::MAX), both);
        assert_eq!(extent(6, 10, usize::MAX).bytes, length..2 * length);
        assert_eq!(extent(7, 10, 0).indexes, 7..8);
        assert_eq!(extent(8, 9, usize::MAX).indexes, 8..9);
    }

    #[test]
    fn a_truncation_names_what_to_remove_from_the_last_to_the_first() {
        let length = line(0).len() as u64;
        for recent_max_bytes in [0, usize::MAX] {
            let cut = |index| {
                let mut state = state(5, 12, recent_max_bytes);
                let cut = state.truncate_from(index);
                assert_eq!((state.next, state.written()), (index, index));
                assert_eq!(state.recent_first + state.recent.len() as u64, index);
                state.push(&[line(index)]);
                assert_eq!(read(&state, index, index + 1, 0), Some(vec![index]));
                cut
            };
            assert_eq!(cut(12), Cut { removed: vec![], segment: 11, length });
            assert_eq!(cut(8), Cut { removed: vec![11, 9], segment: 7, length });
            assert_eq!(cut(7), Cut { removed: vec![11, 9], segment: 7, length: 0 });
            assert_eq!(cut(5), Cut { removed: vec![11, 9, 7], segment: 5, length: 0 });
        }
    }

    #[test]
    fn a_purge_takes_whole_segments_and_never_the_last() {
        for (index, removed, first) in [
            (4, vec![], 5),
            (5, vec![], 5),
            (6, vec![5], 7),
            (9, vec![5, 7], 9),
            (11, vec![5, 7, 9], 11),
        ] {
            let mut state = state(5, 12, usize::MAX);
            assert_eq!((state.purge_through(index), state.first()), (removed, first));
            assert_eq!(read(&state, first, 12, usize::MAX), Some((first..12).collect()));
        }
        let mut state = state(5, 12, 0);
        assert_eq!(state.reset(100), [11, 9, 7, 5]);
        assert_eq!((state.first(), state.next, state.written()), (100, 100, 100));
    }
}
