//! The memory that all connections of a server hold together.
//!
//! Each connection's buffers have bounds of their own. But ten thousand connections
//! that each leave half a line of 64 KiB, or answers unread, hold more than any server
//! has. So what connections hold beyond the little that an idle one needs is counted.
//! While that is too much, every connection gets by with that little: it has one
//! request in progress and is sent no pages, and it is closed if it leaves a long line
//! unfinished or answers unread. Ordinary clients notice nothing.
//!
//! Unauthenticated connections may hold half of it: no flood of them makes it
//! short for users. Whoever has an account can make it so, with many connections
//! that read nothing; long lines and pages then wait for those to be dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// What all connections may hold.
pub(super) struct Memory {
    held_bytes: AtomicUsize,
    max_bytes: usize,
    /// When somebody last had to wait for some of it.
    wanted: Mutex<Option<Instant>>,
}

/// What one connection holds of it; dropping it gives that back.
pub(super) struct Share {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(max_bytes: usize) -> Arc<Memory> {
        Arc::new(Memory { held_bytes: AtomicUsize::new(0), max_bytes, wanted: Mutex::default() })
    }

    /// Whether connections with a session must get by with little.
    pub(super) fn is_short(&self) -> bool {
        self.held_bytes() > self.max_bytes
    }

    /// Whether unauthenticated ones must.
    pub(super) fn is_short_for_unauthenticated(&self) -> bool {
        self.held_bytes() > self.max_bytes / 2
    }

    /// Says that somebody has to wait for some of it.
    pub(super) fn want(&self) {
        *self.wanted.lock() = Some(Instant::now());
    }

    /// Whether somebody had to wait for some of it within that time.
    pub(super) fn was_wanted(&self, within: Duration) -> bool {
        let wanted = *self.wanted.lock();
        wanted.is_some_and(|at| at.elapsed() <= within)
    }

    fn held_bytes(&self) -> usize {
        // It guides, and guards nothing: a moment's error does no harm.
        self.held_bytes.load(Ordering::Relaxed)
    }
}

impl Share {
    pub(super) fn new(memory: Arc<Memory>) -> Share {
        Share { memory, bytes: 0 }
    }

    /// Says how much the connection holds by now.
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        if bytes > self.bytes {
            self.memory.held_bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.memory.held_bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_and_given_back() {
        let memory = Memory::new(100);
        let (mut one, mut two) = (Share::new(Arc::clone(&memory)), Share::new(Arc::clone(&memory)));
        one.set(50);
        assert!(!memory.is_short_for_unauthenticated());
        two.set(1);
        assert!(memory.is_short_for_unauthenticated() && !memory.is_short());
        two.set(51);
        assert!(memory.is_short());
        one.set(10);
        assert!(!memory.is_short());
        drop((one, two));
        assert_eq!(memory.held_bytes(), 0);
    }
}
