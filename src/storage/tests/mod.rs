//! A data directory as a whole.

mod power;
pub(super) mod power_disk;

use super::*;

#[test]
fn names_carry_their_index_and_sort_by_it() {
    for index in [0, 1, 99, u64::MAX] {
        assert_eq!(index_of_name(&indexed_name(index)), Some(index));
    }
    assert!(indexed_name(9) < indexed_name(10));
    for other in ["1.jsonl", "LOCK", &"9".repeat(26), "+0000000000000000001.jsonl"] {
        assert_eq!(index_of_name(other), None, "{other}");
    }
    assert_eq!(index_of_name("99999999999999999999.jsonl"), None, "beyond 64 bits");
}
