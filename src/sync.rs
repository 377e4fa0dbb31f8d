//! Locks that are taken without a word about poisoning.
//!
//! A lock of the standard library is poisoned when a thread panics while it holds
//! it, as what it guards may be half changed. Here that cannot be lived with: whoever
//! comes after panics as well, so that a replica ends rather than goes on with such a
//! state. It does not happen, as what is done under a lock is short and does not
//! panic. So the decision is made here, once, and not wherever a lock is taken.

use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

const POISONED: &str = "no panic while held";

/// [`std::sync::Mutex`] for what nobody leaves half changed.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Self {
        Mutex(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    /// When a thread panicked while it held the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect(POISONED)
    }
}

/// [`std::sync::RwLock`], likewise.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Self {
        RwLock(std::sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits for the lock, to read.
    ///
    /// # Panics
    /// When a thread panicked while it held the lock.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().expect(POISONED)
    }

    /// Waits for the lock, to write.
    ///
    /// # Panics
    /// When a thread panicked while it held the lock.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().expect(POISONED)
    }
}
