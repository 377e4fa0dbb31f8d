//! The disk's own errors, beside what openraft makes of them.
//!
//! An error that passes through openraft comes back as text. But a damaged directory is
//! set aside and a full disk is tried again, so the error itself is kept here.

use std::io;
use std::sync::Arc;

use crate::error::Error;
use crate::sync::Mutex;

/// The first error that storage reported. Clones share it.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Option<Error>>>);

impl Faults {
    /// Keeps an error and turns it into what openraft takes.
    pub fn note(&self, error: Error) -> io::Error {
        let text = error.to_string();
        self.0.lock().get_or_insert(error);
        io::Error::other(text)
    }

    /// The first error, if there was one; then it is forgotten.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}
