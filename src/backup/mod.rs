//! A consistent copy of everything in one file, and back.
//!
//! ```text
//! {"length":..,"crc32":"..","data":{"backup":{"format":1,"cluster":..,"index":17,..}}}
//! {"length":..,"crc32":"..","data":{"header":[..]}}       lines of the state
//! {"length":..,"crc32":"..","data":{"messages":[..]}}     any number of these
//! {"length":..,"crc32":"..","data":{"end":[..]}}
//! {"length":..,"crc32":"..","data":{"backup_end":{"lines":3,"bytes":123,"sha256":".."}}}
//! ```
//!
//! A backup is the state at one index of the log, as a running cluster gives it
//! away without a pause ([`crate::replica`]); records are those of the data
//! directory ([`crate::storage::record`]), readable with `jq .data`.
//!
//! # What it promises
//! - **A backup is whole or refused.** Every line has its length and checksum,
//!   the end says how many lines and bytes there are and their SHA-256, and the
//!   state's own hash is among the lines. The file appears under its name, with
//!   mode 0600, only when it is whole and on the disk.
//! - **Everything acknowledged before it was asked for is in it**, unless the
//!   user gives that up because no majority is left.
//! - **Nothing changes before all of it has been read and verified**, and then
//!   only a cluster that was never used. The bytes that were verified are those that
//!   are restored, also where they come from a pipe (`source.rs`). They go through the
//!   log, so all replicas restore the same in the same order. Until the last operation
//!   the cluster is empty for everybody and says that it is being restored; that
//!   operation carries the count and makes every replica check the state's hash. The
//!   head of `chat/import.rs` tells that part.
//! - **It goes on.** Whatever server dies meanwhile, the next one is asked. A
//!   backup begins anew there; a restore goes on where it was, as it does when
//!   the same command is given again later: the file's SHA-256 is its identity.
//!
//! # What does not come back
//! Sessions: whoever is restored logs in again. So a backup has hashes of
//! passwords in it, and no hash of any token.
//!
//! # How it fails
//! A damaged file: [`ErrorCode::Corrupted`] names file and line. A cluster that
//! has something: [`ErrorCode::NotEmpty`]. No server that can do it:
//! [`ErrorCode::Unavailable`], and what was begun stays begun.
//!
//! [`ErrorCode::Corrupted`]: crate::error::ErrorCode::Corrupted
//! [`ErrorCode::NotEmpty`]: crate::error::ErrorCode::NotEmpty
//! [`ErrorCode::Unavailable`]: crate::error::ErrorCode::Unavailable

mod administrator;
mod file;
mod restore;
mod source;
mod state;
mod take;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use administrator::Administrator;
pub(crate) use administrator::{Attempts, Failed, Server, parse};
pub use file::{Verified, verify};
pub use restore::{abandon, report, restore};
pub use source::Source;
pub use state::fetch_state;
pub use take::{Target, take};

use crate::types::{Timestamp, Uuid};

/// Version of a backup's form.
const FORMAT: u32 = 1;

/// What a backup's first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the form: 1.
    pub format: u32,
    /// The program that wrote it.
    pub version: String,
    /// The cluster that it was taken from.
    pub cluster: Uuid,
    /// The log entry up to which it has the state.
    pub index: u64,
    /// When it was taken.
    pub at: Timestamp,
    /// The state's fingerprint there, as `status` shows it.
    pub state_hash: String,
    /// Accounts in it.
    pub accounts: u64,
    /// Messages in it.
    pub messages: u64,
    /// Whether a majority confirmed that it misses nothing.
    pub confirmed: bool,
}

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The file; `None` for standard output.
    #[serde(serialize_with = "some_path_as_text")]
    pub file: Option<PathBuf>,
    /// What it is of.
    #[serde(flatten)]
    pub head: Head,
    /// Lines of the state.
    pub lines: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// SHA-256 of all bytes before the last line, which ends with it.
    pub sha256: String,
    /// Changes in it that its server took without a majority.
    #[serde(skip)]
    pub taken_alone: u64,
}

/// A backup that was verified or restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The file; `-` for standard input.
    #[serde(serialize_with = "path_as_text")]
    pub file: PathBuf,
    /// The cluster that has it now; `None` when it was only verified.
    pub restored_into: Option<Uuid>,
    /// Whether that cluster had it already.
    pub already: bool,
    /// What it is of.
    #[serde(flatten)]
    pub head: Head,
    /// Lines of the state.
    pub lines: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// SHA-256 of all bytes before the last line.
    pub sha256: String,
}

/// A path may be no text, as JSON must.
fn path_as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn some_path_as_text<S: serde::Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => path_as_text(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// A restore that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Abandoned {
    /// The cluster, which is empty.
    pub cluster: Uuid,
}
