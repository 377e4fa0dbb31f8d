//! A snapshot: the whole state at one instant, as lines of JSON.
//!
//! - [`view`]: takes the state as it is now and writes it as lines.
//! - [`mod@format`]: what is in the lines.
//! - [`load`]: makes a state from lines, and believes none of them.
//!
//! # What the format promises
//! - **Readable.** Each line is one JSON object, which `jq` reads. `storage` puts a
//!   length and a checksum around it; nothing here knows files.
//! - **The same lines for the same state.** Two replicas that have applied the same
//!   log write the same lines, whatever their memory looks like.
//! - **Complete and proved.** The last line has the hash of the state. What was
//!   loaded must have that hash, or it is [`ErrorCode::Corrupted`].
//! - **Bounded lines.** A line has at most about 64 KiB, and twice that where it
//!   holds lines of a backup that is being restored. Lines are made and taken one by
//!   one, so that neither side needs memory for all of them.
//! - **Versioned.** The first line has the number of the format, which rises with
//!   the feature level. A program that does not know the number refuses the snapshot
//!   with [`ErrorCode::NewerFormat`] and changes nothing.
//! - **Names stay.** The names of kinds and fields are in files on disks and in
//!   backups. A name never gets another meaning, and what older programs do not write
//!   has a default.
//!
//! A backup has the same lines, without what belongs to one cluster alone
//! (`import.rs`).

mod format;
mod load;
mod view;

pub use load::{ParsedLine, Restore};
pub use view::View;

#[cfg(doc)]
use crate::error::ErrorCode;
