//! Time-stamps as a million messages keep them.

use crate::types::Timestamp;

/// A time-stamp in six bytes, which are enough for every one that can be written as text.
#[derive(Clone, Copy)]
pub(super) struct CompactTimestamp([u16; 3]);

impl From<Timestamp> for CompactTimestamp {
    fn from(at: Timestamp) -> CompactTimestamp {
        let ms = at.min(Timestamp::MAX).0;
        CompactTimestamp([ms as u16, (ms >> 16) as u16, (ms >> 32) as u16])
    }
}

impl From<CompactTimestamp> for Timestamp {
    fn from(CompactTimestamp([low, middle, high]): CompactTimestamp) -> Timestamp {
        Timestamp(u64::from(high) << 32 | u64::from(middle) << 16 | u64::from(low))
    }
}
