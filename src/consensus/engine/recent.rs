//! The last entries of the log, decoded, in memory.

use std::collections::VecDeque;

use crate::consensus::types::Entry;

/// Bytes of recent entries kept decoded, as they are in the log; in memory they
/// take three times that. They are wanted while they are replicated and until
/// they are applied, which is milliseconds; whoever comes later decodes them.
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

    /// Adds the next entry, which is so long in the log.
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
