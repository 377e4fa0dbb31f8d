//! The last entries of the log, decoded, in memory.
//!
//! The log keeps the lines of its last entries as well (`storage/log/state.rs`). Both
//! are needed. There a line can be read as soon as it is appended, long before it is on
//! the disk, and a follower that lags a little gets lines without a read from the disk.
//! Here an entry keeps its parsed operations: the leader has them from the proposal, and
//! a follower has parsed them to verify what it received, so nobody parses them again to
//! apply them. An entry shares the bytes of its line with the log, so both caches
//! together hold them once.

use std::collections::VecDeque;

use crate::consensus::types::Entry;

/// Bytes of recent entries kept decoded, as they are in the log; in memory they take
/// three times that. They are needed while they are replicated and until they are
/// applied, which is milliseconds; whoever comes later decodes them.
const CACHE_MAX_BYTES: usize = 512 * 1024;

/// A window of decoded entries that ends with the last one of the log.
#[derive(Default)]
pub struct Recent {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Recent {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index())
    }

    /// Adds the next entry, which takes `bytes` in the log.
    pub fn push(&mut self, entry: Entry, bytes: usize) {
        self.bytes += bytes;
        self.entries.push_back((entry, bytes));
        while self.bytes > CACHE_MAX_BYTES && self.entries.len() > 1 {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some((_, bytes)) = self.entries.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// Forgets the entry `index` and those after it.
    pub fn truncate_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|(entry, _)| entry.log_id.index() >= index) {
            let (_, bytes) = self.entries.pop_back().expect("looked at it");
            self.bytes -= bytes;
        }
    }

    /// Forgets entries up to `index`.
    pub fn purge_through(&mut self, index: u64) {
        while self.first().is_some_and(|first| first <= index) {
            self.pop_front();
        }
    }

    /// Entries of `[from, to)` when the window has all of them, cut at `max_bytes`.
    pub fn range(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<Entry>> {
        let first = self.first()?;
        if from < first {
            return None;
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (entry, size) in
            self.entries.range((from - first) as usize..).take((to - from) as usize)
        {
            bytes += size;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Some(entries)
    }
}
