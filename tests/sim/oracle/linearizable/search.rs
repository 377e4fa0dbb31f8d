//! The search for an order, after Wing and Gong ("Testing and Verifying Concurrent
//! Objects", 1993) with the memoization of Lowe ("Testing for Linearizability", 2017).
//!
//! An order is built from its beginning. The next may be any observation that began before
//! the first end of those not yet placed; each is tried. Of prefixes that have the same
//! observations and leave the same state, one is tried.
//!
//! Two rules keep the search short. An observation that can be made and leaves no trace is
//! taken at once: it can only stand in the way later. And what ends first is tried first,
//! so that a call that nobody answered comes when a page needs it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::conversation::{Messages, Observation};
use crate::random::splitmix64;

/// At most so many prefixes are tried; a history of the simulation needs some thousands.
const TRIED_MAX: usize = 400_000;

/// An observation, and its place among all beginnings and ends.
#[derive(Debug)]
pub struct Observed {
    /// When it began.
    pub began: u64,
    /// When it ended. [`u64::MAX`]: nobody knows that it did, and it need not be in an
    /// order.
    pub ended: u64,
    /// What was seen.
    pub observation: Observation,
}

/// Why there is no order.
#[derive(Debug)]
pub enum NoOrder {
    /// None exists.
    Impossible,
    /// None was found so far, and the search is given up.
    Undecided,
}

/// Finds an order of `observed`, as indices into it. `observed` must be sorted by `began`.
pub fn order(observed: &[Observed]) -> Result<Vec<usize>, NoOrder> {
    let mut search = Search { observed, links: Vec::new(), tried: HashSet::new() };
    let mut open = vec![Prefix::default()];
    while let Some(mut prefix) = open.pop() {
        search.take_traceless(&mut prefix);
        if !search.is_new(&prefix) {
            continue;
        }
        if search.tried.len() > TRIED_MAX {
            return Err(NoOrder::Undecided);
        }
        let mut next = search.next(&prefix);
        if next.iter().all(|index| observed[*index].ended == u64::MAX) {
            return Ok(search.order(prefix.link));
        }
        // The last one is tried first.
        next.sort_by_key(|index| std::cmp::Reverse((observed[*index].ended, *index)));
        for index in next {
            if let Some(state) = prefix.state.after(&observed[index].observation) {
                let mut longer = Prefix { state, ..prefix.clone() };
                search.append(&mut longer, index);
                open.push(longer);
            }
        }
    }
    Err(NoOrder::Impossible)
}

/// The beginning of an order.
#[derive(Clone, Default)]
struct Prefix {
    /// Which observations are in it, as bits.
    done: Vec<u64>,
    done_hash: u64,
    /// What they leave.
    state: Messages,
    /// Where in [`Search::links`] its last one stands.
    link: Option<usize>,
}

impl Prefix {
    fn has(&self, index: usize) -> bool {
        self.done.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }
}

struct Search<'a> {
    observed: &'a [Observed],
    /// The prefixes share their beginnings: an observation, and the link before it.
    links: Vec<(usize, Option<usize>)>,
    tried: HashSet<(u64, u64)>,
}

impl Search<'_> {
    /// The observations of which one comes next.
    fn next(&self, prefix: &Prefix) -> Vec<usize> {
        let mut next = Vec::new();
        let mut first_end = u64::MAX;
        for (index, it) in self.observed.iter().enumerate() {
            if it.began > first_end {
                break;
            }
            if !prefix.has(index) {
                first_end = first_end.min(it.ended);
                next.push(index);
            }
        }
        next
    }

    fn take_traceless(&mut self, prefix: &mut Prefix) {
        loop {
            let mut next = self.next(prefix);
            next.retain(|index| prefix.state.leaves_no_trace(&self.observed[*index].observation));
            if next.is_empty() {
                return;
            }
            next.into_iter().for_each(|index| self.append(prefix, index));
        }
    }

    fn append(&mut self, prefix: &mut Prefix, index: usize) {
        if prefix.done.len() <= index / 64 {
            prefix.done.resize(index / 64 + 1, 0);
        }
        prefix.done[index / 64] |= 1 << (index % 64);
        prefix.done_hash ^= splitmix64(&mut (index as u64));
        self.links.push((index, prefix.link));
        prefix.link = Some(self.links.len() - 1);
    }

    /// Two prefixes of one hash would be taken for the same: an order may be missed, and
    /// none is made up.
    fn is_new(&mut self, prefix: &Prefix) -> bool {
        let mut state = DefaultHasher::new();
        prefix.state.hash(&mut state);
        self.tried.insert((prefix.done_hash, state.finish()))
    }

    fn order(&self, mut link: Option<usize>) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(at) = link {
            let (index, before) = self.links[at];
            order.push(index);
            link = before;
        }
        order.reverse();
        order
    }
}
