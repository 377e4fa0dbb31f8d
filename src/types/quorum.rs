//! How many make a majority.

/// The fewest of `total` replicas that are more than half of them. Any two majorities
/// have a replica in common, which is what every promise of this system rests on.
pub fn majority(total: usize) -> usize {
    total / 2 + 1
}

/// Whether `count` of `total` replicas are a majority.
pub fn is_majority(count: usize, total: usize) -> bool {
    count >= majority(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_have_somebody_in_common_and_nothing_less_is_one() {
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(majority), [1, 2, 2, 3, 3, 4, 4]);
        for total in 1..20 {
            let least = majority(total);
            assert!(2 * least > total && 2 * (least - 1) <= total);
            assert!(is_majority(least, total) && !is_majority(least - 1, total));
        }
        assert!(!is_majority(0, 0));
    }
}
