//! Errors about files that cannot be believed.

use std::path::Path;

use crate::error::{Error, ErrorCode};

/// A record that cannot be believed. Lines count from 1, as in editors.
pub(super) fn corrupted(path: &Path, line: u64, what: &str) -> Error {
    Error::new(
        ErrorCode::Corrupted,
        format!(
            "line {line} of {} is broken: {what}; this replica cannot be run from it and must be \
             repaired from the others",
            path.display()
        ),
    )
}

/// A file or folder that is not as it must be.
pub(super) fn corrupted_whole(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorCode::Corrupted,
        format!(
            "{} {what}; this replica cannot be run from it and must be repaired from the others",
            path.display()
        ),
    )
}
