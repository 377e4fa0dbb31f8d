//! Where an unconfirmed message stands.

use serde::{Deserialize, Serialize};

use super::Uuid;

/// The place of an entry that a server without a majority has taken: which list, and
/// where in it.
///
/// A list is made together with its file and never continued by another, so a place
/// means one entry for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The list.
    pub list: Uuid,
    /// Counts from 1 within the list.
    #[serde(rename = "n")]
    pub number: u64,
}
