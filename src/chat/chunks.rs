//! Sequences by ascending key that can be copied while they grow.
//!
//! A snapshot must see one instant of the state, and must not stop the state from
//! moving on. So everything that can be long is kept in chunks of at most
//! [`CHUNK_ITEMS`] items behind an [`Arc`]. A copy of a sequence copies one small head
//! a chunk. A chunk that both hold is copied when one of them changes it for the first
//! time (Driscoll and others, "Making Data Structures Persistent", 1989, in its
//! plainest form: two levels). Appending touches only the last chunk.
//!
//! A sequence also counts its flagged items per chunk, so that a reader that wants
//! only those (unread messages) passes over the others 256 at a time.

use std::sync::Arc;

use super::meter;

/// Most items of one chunk. Copying a shared chunk of messages costs about ten
/// microseconds, and five million messages make 20,000 chunks.
pub(super) const CHUNK_ITEMS: usize = 256;

/// Something that knows its place in a sequence.
pub(super) trait Item: Clone {
    /// The place. Never changes while the item is in a sequence.
    fn key(&self) -> u64;
    /// Whether the item counts for [`Chunks::flagged`].
    fn flagged(&self) -> bool {
        false
    }
}

#[derive(Clone)]
struct Chunk<T> {
    /// Key of the first item.
    first: u64,
    /// How many items are flagged.
    flagged: usize,
    /// Never empty.
    items: Arc<Vec<T>>,
}

/// A sequence of items with strictly ascending keys; see the head of this file.
#[derive(Clone)]
pub(super) struct Chunks<T> {
    chunks: Vec<Chunk<T>>,
    len: usize,
    flagged: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { chunks: Vec::new(), len: 0, flagged: 0 }
    }
}

impl<T: Item> Chunks<T> {
    /// Number of items.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of flagged items.
    pub(super) fn flagged(&self) -> usize {
        self.flagged
    }

    /// The item with the lowest key.
    pub(super) fn first(&self) -> Option<&T> {
        self.chunks.first().and_then(|chunk| chunk.items.first())
    }

    /// The item with the highest key.
    pub(super) fn last(&self) -> Option<&T> {
        self.chunks.last().and_then(|chunk| chunk.items.last())
    }

    /// Appends an item, whose key must be above every other: the callers take
    /// keys from counters, and a restore compares with [`Chunks::last`] before.
    pub(super) fn push(&mut self, item: T) {
        debug_assert!(self.last().is_none_or(|last| last.key() < item.key()), "keys ascend");
        let flagged = usize::from(item.flagged());
        self.len += 1;
        self.flagged += flagged;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.items.len() < CHUNK_ITEMS => {
                chunk.flagged += flagged;
                let items = Arc::make_mut(&mut chunk.items);
                // A chunk that was just copied has no room to spare, and plain
                // doubling would then go past the size of a chunk.
                if items.len() == items.capacity() {
                    items.reserve_exact(items.len().max(4).min(CHUNK_ITEMS - items.len()));
                }
                items.push(item);
            }
            _ => {
                self.chunks.push(Chunk { first: item.key(), flagged, items: Arc::new(vec![item]) });
            }
        }
    }

    /// Where a key is: number of the chunk and place in it.
    fn find(&self, key: u64) -> Option<(usize, usize)> {
        meter::work(1);
        let chunk = self.chunks.partition_point(|chunk| chunk.first <= key).checked_sub(1)?;
        let Chunk { first, items, .. } = &self.chunks[chunk];
        // Keys ascend, so the item is at most this far from the first one, and
        // exactly so far where no key is missing in between, as in most of the
        // messages. Halving a chunk instead waits for memory eight times, which
        // was two thirds of loading a snapshot.
        let farthest = (key - first).min(CHUNK_ITEMS as u64) as usize;
        if items.get(farthest).is_some_and(|item| item.key() == key) {
            return Some((chunk, farthest));
        }
        let nearer = &items[..farthest.min(items.len())];
        let place = nearer.binary_search_by_key(&key, T::key).ok()?;
        Some((chunk, place))
    }

    /// The item with a key.
    pub(super) fn get(&self, key: u64) -> Option<&T> {
        self.find(key).map(|(chunk, place)| &self.chunks[chunk].items[place])
    }

    /// Changes the item with a key, all but its key. `None`: there is none.
    pub(super) fn update<R>(&mut self, key: u64, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.find(key).map(|place| self.change(place, change))
    }

    /// Changes the item at a place.
    fn change<R>(&mut self, (chunk, place): (usize, usize), change: impl FnOnce(&mut T) -> R) -> R {
        let chunk = &mut self.chunks[chunk];
        let item = &mut Arc::make_mut(&mut chunk.items)[place];
        let (key, before) = (item.key(), usize::from(item.flagged()));
        let result = change(item);
        debug_assert_eq!(item.key(), key, "a key stays");
        let after = usize::from(item.flagged());
        chunk.flagged = chunk.flagged + after - before;
        self.flagged = self.flagged + after - before;
        result
    }

    /// The same of the item with a key if it is wanted; a chunk that a copy shares is copied
    /// only then. `None`: there is no such item, or it is not wanted.
    pub(super) fn update_if<R>(
        &mut self,
        key: u64,
        wanted: impl FnOnce(&T) -> bool,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let place = self.find(key)?;
        wanted(&self.chunks[place.0].items[place.1]).then(|| self.change(place, change))
    }

    /// Changes all items, in their order; neither keys nor flags.
    pub(super) fn update_all(&mut self, mut change: impl FnMut(&mut T)) {
        for chunk in &mut self.chunks {
            Arc::make_mut(&mut chunk.items).iter_mut().for_each(&mut change);
        }
    }

    /// Takes the item with a key out.
    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        self.find(key).map(|place| self.take_out(place))
    }

    /// Changes the item with a key, and takes it out if `change` says so. `None`: there is no
    /// such item; then the item, if it was taken out.
    pub(super) fn update_or_remove(
        &mut self,
        key: u64,
        change: impl FnOnce(&mut T) -> bool,
    ) -> Option<Option<T>> {
        let place = self.find(key)?;
        Some(self.change(place, change).then(|| self.take_out(place)))
    }

    /// Takes the item at a place out.
    fn take_out(&mut self, (at, place): (usize, usize)) -> T {
        let chunk = &mut self.chunks[at];
        let items = Arc::make_mut(&mut chunk.items);
        let item = items.remove(place);
        // Deleting most of a conversation must give its memory back.
        if items.len() <= items.capacity() / 4 {
            items.shrink_to(items.len() * 2);
        }
        let flagged = usize::from(item.flagged());
        chunk.flagged -= flagged;
        self.flagged -= flagged;
        self.len -= 1;
        match self.chunks[at].items.first() {
            None => {
                self.chunks.remove(at);
            }
            Some(first) => {
                self.chunks[at].first = first.key();
                if !self.merge(at) && at > 0 {
                    self.merge(at - 1);
                }
            }
        }
        item
    }

    /// Joins a chunk with the next one when both together are at most half
    /// full; so there are never more than four chunks for 256 items, and a
    /// joined one takes 128 appends or removals before it is joined again.
    fn merge(&mut self, at: usize) -> bool {
        let Some([left, right]) = self.chunks.get(at..at + 2) else {
            return false;
        };
        if left.items.len() + right.items.len() > CHUNK_ITEMS / 2 {
            return false;
        }
        let right = self.chunks.remove(at + 1);
        let left = &mut self.chunks[at];
        left.flagged += right.flagged;
        Arc::make_mut(&mut left.items).extend(right.items.iter().cloned());
        true
    }

    /// All items.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.items.iter()).inspect(|_| meter::work(1))
    }

    /// Runs of items with keys above `after`, and whether any of a run may be
    /// flagged. Runs are not empty and have at most [`CHUNK_ITEMS`] items;
    /// where one ends and the next begins means nothing.
    pub(super) fn runs_after(&self, after: u64) -> impl Iterator<Item = (&[T], bool)> {
        let start = self.chunks.partition_point(|chunk| chunk.first <= after).saturating_sub(1);
        self.chunks[start..].iter().filter_map(move |chunk| {
            let skip = if chunk.first > after {
                0
            } else {
                chunk.items.partition_point(|item| item.key() <= after)
            };
            let run = &chunk.items[skip..];
            meter::work(1);
            (!run.is_empty()).then_some((run, chunk.flagged > 0))
        })
    }

    /// Items with keys below `before`, the last one first.
    pub(super) fn before(&self, before: u64) -> impl Iterator<Item = &T> {
        let end = self.chunks.partition_point(|chunk| chunk.first < before);
        self.chunks[..end].iter().rev().flat_map(move |chunk| {
            meter::work(1);
            let count = chunk.items.partition_point(|item| item.key() < before);
            chunk.items[..count].iter().rev()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq)]
    struct Numbered(u64, bool);
    impl Item for Numbered {
        fn key(&self) -> u64 {
            self.0
        }
        fn flagged(&self) -> bool {
            self.1
        }
    }

    fn check(chunks: &Chunks<Numbered>, model: &BTreeMap<u64, bool>) {
        assert_eq!(chunks.len(), model.len());
        assert_eq!(chunks.flagged(), model.values().filter(|flagged| **flagged).count());
        assert!(chunks.iter().map(|item| (item.0, item.1)).eq(model.iter().map(|(k, v)| (*k, *v))));
        for chunk in &chunks.chunks {
            assert_eq!(chunk.items.first().map(Item::key), Some(chunk.first));
            assert_eq!(chunk.items.iter().filter(|item| item.1).count(), chunk.flagged);
            assert!(chunk.items.len() <= CHUNK_ITEMS);
        }
        assert_eq!(chunks.first().map(Item::key), model.keys().next().copied());
        assert_eq!(chunks.last().map(Item::key), model.keys().next_back().copied());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_sequence_behaves_like_a_map_and_copies_stay_as_they_were(
            steps in prop::collection::vec((0u8..8, 0u64..1_200), 1..1_500),
            copy_at in 0usize..1_500,
        ) {
            let (mut chunks, mut model) = (Chunks::default(), BTreeMap::new());
            let (mut next, mut copy) = (0, None);
            for (step, (kind, key)) in steps.into_iter().enumerate() {
                if step == copy_at {
                    copy = Some((chunks.clone(), model.clone()));
                }
                match kind {
                    0..=4 => {
                        next += 1 + key % 2;
                        chunks.push(Numbered(next, kind == 0));
                        model.insert(next, kind == 0);
                    }
                    5 => {
                        let was = chunks.update(key, |item| item.1 = !item.1);
                        let expected = model.get_mut(&key).map(|flagged| *flagged = !*flagged);
                        prop_assert_eq!(was, expected);
                    }
                    _ => {
                        let removed = chunks.remove(key).map(|item| item.1);
                        prop_assert_eq!(removed, model.remove(&key));
                    }
                }
                prop_assert_eq!(chunks.get(key).map(|item| item.1), model.get(&key).copied());
            }
            check(&chunks, &model);
            for after in [0, 1, 100, 255, 256, 257, 700, 5_000] {
                let ours: Vec<u64> =
                    chunks.runs_after(after).flat_map(|(run, _)| run.iter().map(Item::key)).collect();
                let theirs: Vec<u64> = model.range(after + 1..).map(|(key, _)| *key).collect();
                prop_assert_eq!(ours, theirs);
            }
            if let Some((chunks, model)) = copy {
                check(&chunks, &model);
            }
        }
    }

    #[test]
    fn a_chunk_that_was_copied_at_any_length_grows_on() {
        // A copy has no room to spare, and a chunk that lacks fewer items than are
        // usually reserved must not reserve more than it may hold.
        let mut chunks = Chunks::default();
        for key in 1..=3 * CHUNK_ITEMS as u64 {
            let copy = chunks.clone();
            chunks.push(Numbered(key, false));
            assert_eq!((copy.len() + 1, chunks.len()), (key as usize, key as usize));
            assert!(chunks.chunks.iter().all(|chunk| chunk.items.capacity() <= CHUNK_ITEMS));
        }
    }

    #[test]
    fn removing_almost_everything_gives_memory_back() {
        let (mut chunks, mut model) = (Chunks::default(), BTreeMap::new());
        for key in 1..=100_000 {
            chunks.push(Numbered(key, key % 3_000 == 0));
        }
        assert_eq!(chunks.chunks.len(), 391);
        for key in 1..=100_000 {
            if key % 1_000 == 0 {
                model.insert(key, key % 3_000 == 0);
            } else {
                assert!(chunks.remove(key).is_some());
            }
        }
        check(&chunks, &model);
        assert!(chunks.chunks.len() <= 4, "{} chunks", chunks.chunks.len());
        for key in (2_000..=100_000).step_by(1_000) {
            assert!(chunks.remove(key).is_some());
        }
        let room: usize = chunks.chunks.iter().map(|chunk| chunk.items.capacity()).sum();
        assert!((1..8).contains(&room), "room for {room}");
    }
}
