//! Which entry stands where: numbers of an overlay's entries, and places in lists.
//!
//! Entries of a list mostly came one after the other, so runs of them are kept, and an
//! entry has no place of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::types::{Place, Uuid};

/// Runs of entries that stand one after the other in one list.
#[derive(Default)]
pub(super) struct Places {
    /// By the number of the first entry.
    runs: BTreeMap<u64, Run>,
    /// The number of the first entry, by its place.
    lists: BTreeMap<(Uuid, u64), u64>,
}

struct Run {
    list: Uuid,
    /// Where the first one stands.
    number: u64,
    count: u64,
}

impl Places {
    /// How many runs there are.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// An entry stands at a place.
    pub(super) fn note(&mut self, order: u64, Place { list, number }: Place) {
        if let Some((first, run)) = self.runs.range_mut(..=order).next_back()
            && (run.list, first + run.count, run.number + run.count) == (list, order, number)
        {
            run.count += 1;
            return;
        }
        self.runs.insert(order, Run { list, number, count: 1 });
        self.lists.insert((list, number), order);
    }

    /// Where an entry stands. Nowhere while it is on its way to the disk.
    pub(super) fn place_of(&self, order: u64) -> Option<Place> {
        let (first, run) = self.runs.range(..=order).next_back()?;
        let behind = order - first;
        let Run { list, number, count } = *run;
        (behind < count).then_some(Place { list, number: number + behind })
    }

    /// Whether an entry stands at a place.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.order_of(place).is_some()
    }

    /// The number in its list of the first entry of a list.
    pub(super) fn first_of(&self, list: &Uuid) -> Option<u64> {
        let first = self.lists.range((*list, 0)..=(*list, u64::MAX)).next();
        first.map(|((_, number), _)| *number)
    }

    /// Which entry stands at a place.
    pub(super) fn order_of(&self, place: &Place) -> Option<u64> {
        let ((list, number), first) =
            self.lists.range(..=(place.list, place.number)).next_back()?;
        if *list != place.list {
            return None;
        }
        let (count, behind) = (self.runs.get(first)?.count, place.number - number);
        (behind < count).then_some(first + behind)
    }

    /// Forgets what stands in a list up to a number. Returns which entries those are.
    pub(super) fn settle(&mut self, list: &Uuid, through: u64) -> Vec<Range<u64>> {
        let mut settled = Vec::new();
        while let Some((key, first)) = self.lists.range((*list, 0)..=(*list, through)).next() {
            let (key, first) = (*key, *first);
            self.lists.remove(&key);
            let Some(run) = self.runs.remove(&first) else { continue };
            let gone = run.count.min((through - run.number).saturating_add(1));
            settled.push(first..first + gone);
            if gone < run.count {
                let (number, count) = (run.number + gone, run.count - gone);
                self.runs.insert(first + gone, Run { list: *list, number, count });
                self.lists.insert((*list, number), first + gone);
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_two_lists_are_found_and_leave_from_the_front() {
        let [a, other, b] = [1, 2, 3].map(Uuid::from_u128);
        let at = |list, number| Place { list, number };
        let mut places = Places::default();
        for (order, place) in (1..).zip([at(a, 7), at(a, 8), at(b, 1), at(b, 2), at(a, 9)]) {
            places.note(order, place);
        }
        assert_eq!(places.runs.len(), 3);
        assert_eq!(
            [0, 1, 2, 3, 5, 6].map(|order| places.place_of(order)),
            [None, Some(at(a, 7)), Some(at(a, 8)), Some(at(b, 1)), Some(at(a, 9)), None]
        );
        let there = [at(a, 6), at(a, 7), at(a, 9), at(a, 10), at(b, 2), at(b, 3)];
        assert_eq!(there.map(|it| places.has(&it)), [false, true, true, false, true, false]);
        assert!(!places.has(&at(other, 1)) && places.first_of(&other).is_none());
        assert_eq!(places.first_of(&a), Some(7));
        assert_eq!(places.settle(&a, 6), []);
        assert_eq!(places.settle(&a, 7), vec![Range { start: 1, end: 2 }]);
        assert_eq!(places.place_of(1), None);
        assert_eq!(places.place_of(2), Some(at(a, 8)));
        assert_eq!(places.settle(&a, u64::MAX), [2..3, 5..6]);
        assert_eq!(places.settle(&b, 2), vec![Range { start: 3, end: 5 }]);
        assert!(places.runs.is_empty() && places.lists.is_empty());
    }
}
