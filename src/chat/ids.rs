//! What ids lead to, in the order of the ids.
//!
//! Every stored message is found by its id, and by the beginning of its id. With
//! millions of messages this takes as long as waiting for memory does, twice for each
//! message: once to see that the id is new, once to insert it. So entries stand in
//! leaves of up to [`LEAF_MAX`], in the order in which they came. Each leaf has one
//! byte of each of its ids side by side, which is searched before any entry is read. A
//! tree leads to the leaf; it is small, as leaves are large. A leaf is sorted only
//! when it is split or read in order.
//!
//! A hash table would wait even less, but cannot find ids by their beginning. And as
//! clients make the ids, anybody may make a million that begin alike or end alike.
//! Here they cost some leaves more, and a leaf that is searched in vain.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};

use super::meter;
use crate::types::Uuid;

/// Most entries of a leaf: six kilobytes.
const LEAF_MAX: usize = 256;

/// Entries of a leaf that is made of many at once, with room for some more.
const LEAF_LOADED: usize = 212;

/// By so many entries a full leaf grows. From 128, which is what a split leaves,
/// 170, 212 and 254 fill the allocator's blocks.
const LEAF_GROWTH: usize = 42;

/// Entries of a leaf that are looked through, and that are sorted, in what
/// [`super::budget`] calls a step.
const SCANNED_PER_STEP: usize = 64;
const SORTED_PER_STEP: usize = 16;

/// An id and what it leads to.
type Entry = (Uuid, u64);

/// Numbers by id; see the head of this file.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Ids {
    /// Each under the lowest id that belongs into it. The one under the lowest
    /// id of all is always there; the others are not empty.
    leaves: BTreeMap<Uuid, Leaf>,
}

/// Entries in any order.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct Leaf {
    /// The last byte of the id of each entry.
    tags: Vec<u8>,
    entries: Vec<Entry>,
}

/// Part of what is in a range of ids.
pub(super) struct Portion {
    /// In the order of the ids.
    pub(super) entries: Vec<Entry>,
    /// Where the range goes on; `None` at its end.
    pub(super) next: Option<Uuid>,
    /// What it cost to look for them.
    pub(super) steps: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Ids { leaves: BTreeMap::from([(Uuid::nil(), Leaf::default())]) }
    }
}

impl Ids {
    /// From entries in ascending order of ids, none twice.
    pub(super) fn from_ascending(entries: &[Entry]) -> Ids {
        debug_assert!(entries.is_sorted_by(|a, b| a.0 < b.0), "ids ascend");
        let mut ids = Ids::default();
        let mut lowest = Some(Uuid::nil());
        for leaf in entries.chunks(LEAF_LOADED) {
            ids.leaves.insert(lowest.unwrap_or(leaf[0].0), Leaf::new(leaf));
            lowest = None;
        }
        ids
    }

    pub(super) fn contains(&self, id: &Uuid) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn get(&self, id: &Uuid) -> Option<u64> {
        meter::work(1);
        let (_, leaf) = self.leaves.range(..=id).next_back()?;
        leaf.place(id).map(|at| leaf.entries[at].1)
    }

    /// Puts an id in. Returns what it led to before.
    pub(super) fn insert(&mut self, id: Uuid, number: u64) -> Option<u64> {
        let (_, leaf) = self.leaves.range_mut(..=id).next_back().expect("the lowest is there");
        if let Some(at) = leaf.place(&id) {
            return Some(std::mem::replace(&mut leaf.entries[at].1, number));
        }
        if let Some((lowest, upper)) = leaf.push((id, number)) {
            self.leaves.insert(lowest, upper);
        }
        None
    }

    /// Takes an id out. Returns what it led to.
    pub(super) fn remove(&mut self, id: &Uuid) -> Option<u64> {
        let (lowest, leaf) = self.leaves.range_mut(..=id).next_back()?;
        let at = leaf.place(id)?;
        leaf.tags.swap_remove(at);
        let (_, number) = leaf.entries.swap_remove(at);
        if leaf.entries.len() <= leaf.entries.capacity() / 4 {
            // What is gone must not hold its memory.
            *leaf = Leaf::new(&leaf.entries);
        }
        if leaf.entries.len() <= LEAF_MAX / 4 {
            let lowest = *lowest;
            self.merge(lowest);
            if let Some((before, _)) = self.leaves.range(..lowest).next_back() {
                self.merge(*before);
            }
        }
        Some(number)
    }

    /// The first entries with ids in a range, in their order: those of one leaf.
    pub(super) fn portion(&self, ids: RangeInclusive<Uuid>) -> Portion {
        let leaf = self.leaves.range(..=ids.start()).next_back().map(|(_, leaf)| leaf);
        let mut others = self.leaves.range((Bound::Excluded(*ids.start()), Bound::Unbounded));
        let next = others.next().map(|(lowest, _)| *lowest).filter(|it| ids.contains(it));
        let all = leaf.map_or(&[][..], |leaf| &leaf.entries);
        let mut entries: Vec<Entry> =
            all.iter().filter(|it| ids.contains(&it.0)).copied().collect();
        entries.sort_unstable();
        let steps = all.len() / SCANNED_PER_STEP + entries.len() / SORTED_PER_STEP;
        meter::work(1 + steps);
        Portion { entries, next, steps }
    }

    /// All entries, in the order of the ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.leaves.values().flat_map(Leaf::ascending)
    }

    /// Joins a leaf with the next one when both together are at most half full,
    /// so that it takes many insertions before it is split again, or when one of
    /// them is empty.
    fn merge(&mut self, lowest: Uuid) {
        let mut two = self.leaves.range(lowest..);
        let (Some((_, leaf)), Some((next, other))) = (two.next(), two.next()) else { return };
        let (left, right) = (leaf.entries.len(), other.entries.len());
        if left + right <= LEAF_MAX / 2 || left == 0 || right == 0 {
            let joined = Leaf::new(&[&*leaf.entries, &*other.entries].concat());
            let next = *next;
            self.leaves.remove(&next);
            self.leaves.insert(lowest, joined);
        }
    }
}

impl Leaf {
    fn new(entries: &[Entry]) -> Leaf {
        Leaf { tags: entries.iter().map(tag).collect(), entries: entries.to_vec() }
    }

    /// Where an id is.
    fn place(&self, id: &Uuid) -> Option<usize> {
        let tag = tag(&(*id, 0));
        memchr::memchr_iter(tag, &self.tags).find(|at| self.entries[*at].0 == *id)
    }

    /// Adds an entry with a new id. When the leaf is full then, returns the upper
    /// half of its entries, and the lowest id of those.
    fn push(&mut self, entry: Entry) -> Option<(Uuid, Leaf)> {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(LEAF_GROWTH.min(LEAF_MAX - self.entries.len()));
        }
        self.tags.push(tag(&entry));
        self.entries.push(entry);
        if self.entries.len() < LEAF_MAX {
            return None;
        }
        self.entries.sort_unstable();
        let (lower, upper) = self.entries.split_at(LEAF_MAX / 2);
        let (lower, upper, lowest) = (Leaf::new(lower), Leaf::new(upper), upper[0].0);
        *self = lower;
        Some((lowest, upper))
    }

    fn ascending(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        entries.sort_unstable();
        entries
    }
}

/// Of random ids, any byte is as good; of counted ones the last.
fn tag(entry: &Entry) -> u8 {
    let [.., last] = *entry.0.as_bytes();
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ids of which many begin alike, as somebody may make them on purpose.
    fn id(number: u64) -> Uuid {
        let scattered = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Uuid::from_u128(if number.is_multiple_of(3) { u128::from(number) } else { scattered })
    }

    fn check(ids: &Ids, model: &BTreeMap<Uuid, u64>) {
        assert!(ids.iter().eq(model.iter().map(|(id, number)| (*id, *number))));
        let mut leaves = ids.leaves.iter().peekable();
        assert_eq!(leaves.peek().map(|(lowest, _)| **lowest), Some(Uuid::nil()));
        while let Some((lowest, leaf)) = leaves.next() {
            let Leaf { tags, entries } = leaf;
            assert!(entries.len() < LEAF_MAX && entries.capacity() <= LEAF_MAX);
            assert!(!entries.is_empty() || lowest.is_nil(), "an empty leaf");
            assert!(entries.iter().map(tag).eq(tags.iter().copied()));
            let next = leaves.peek().map_or(Uuid::max(), |(next, _)| **next);
            assert!(entries.iter().all(|entry| (*lowest..next).contains(&entry.0)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn it_is_a_map_whatever_is_put_in_and_taken_out(
            loaded in 0u64..600,
            steps in prop::collection::vec((0u8..8, 0u64..2_000), 1..2_500),
        ) {
            let mut model: BTreeMap<Uuid, u64> = (0..loaded).map(|n| (id(n), n)).collect();
            let entries: Vec<Entry> = model.iter().map(|(id, number)| (*id, *number)).collect();
            let mut ids = Ids::from_ascending(&entries);
            check(&ids, &model);
            // First more comes than goes, then the other way.
            let half = steps.len() / 2;
            for (step, (kind, number)) in steps.into_iter().enumerate() {
                let key = id(number);
                if (kind < 2) == (step < half) {
                    prop_assert_eq!(ids.remove(&key), model.remove(&key));
                } else {
                    let value = number + u64::from(kind);
                    prop_assert_eq!(ids.insert(key, value), model.insert(key, value));
                }
                prop_assert_eq!(ids.get(&key), model.get(&key).copied());
                prop_assert_eq!(ids.contains(&key), model.contains_key(&key));
            }
            check(&ids, &model);
            for (from, to) in [(0, 1), (3, 900), (7, 7), (1_999, 3)] {
                let range = id(from).min(id(to))..=id(from).max(id(to));
                let theirs = model.range(range.clone()).map(|(id, number)| (*id, *number));
                let (mut ours, mut next) = (Vec::new(), Some(*range.start()));
                while let Some(from) = next {
                    let portion = ids.portion(from..=*range.end());
                    ours.extend(portion.entries);
                    next = portion.next;
                }
                prop_assert!(ours.into_iter().eq(theirs));
            }
            for key in model.keys() {
                ids.remove(key);
            }
            check(&ids, &BTreeMap::new());
        }
    }

    #[test]
    fn little_is_kept_for_an_entry_and_nothing_for_those_that_are_gone() {
        let mut ids = Ids::default();
        let room =
            |ids: &Ids| ids.leaves.values().map(|leaf| leaf.entries.capacity()).sum::<usize>();
        for number in 0..100_000 {
            ids.insert(id(number), number);
        }
        assert!(room(&ids) < 130_000, "room for {}", room(&ids));
        for number in (0..100_000).filter(|number| number % 1_000 != 0) {
            ids.remove(&id(number));
        }
        assert!(room(&ids) < 1_000, "room for {} of 100", room(&ids));
        assert!(ids.leaves.len() <= 4, "{} leaves", ids.leaves.len());
    }
}
