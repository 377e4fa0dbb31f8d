//! Which leaders wrote a log, and up to where each did.
//!
//! Consensus asks for this when it starts. A leader writes one range of entries and
//! none later. So every range whose ends are of different leaders is halved, until no
//! such range has anything between its ends. All ranges are halved at once, because
//! each read waits for the worker that reads: the engine's own search makes one read
//! after the other, which takes three milliseconds of an adoption.

use std::ops::RangeInclusive;

use futures::FutureExt as _;
use futures::future::{OptionFuture, try_join_all};

use crate::consensus::types::LogId;
use crate::error::Result;

/// The last log id of each leader within a part of a log, both ends included.
/// `read` returns the log id at an index.
///
/// # Errors
/// Those of `read`.
pub async fn last_of_each<F: Future<Output = Result<LogId>>>(
    part: RangeInclusive<LogId>,
    read: impl Fn(u64) -> F,
) -> Result<Vec<LogId>> {
    let mut ranges = vec![part.into_inner()];
    loop {
        let middles = ranges.iter().map(|(first, last)| {
            let middle = first.index().midpoint(last.index());
            let of_one = first.committed_leader_id() == last.committed_leader_id();
            let looked = (!of_one && middle != first.index()).then(|| read(middle));
            OptionFuture::from(looked).map(Option::transpose)
        });
        let middles = try_join_all(middles).await?;
        if middles.iter().all(Option::is_none) {
            break;
        }
        let halve = |((first, last), middle)| match middle {
            Some(middle) => vec![(first, middle), (middle, last)],
            None => vec![(first, last)],
        };
        ranges = ranges.into_iter().zip(middles).flat_map(halve).collect();
    }
    let mut ends: Vec<LogId> = Vec::new();
    for log_id in ranges.into_iter().flat_map(|(first, last)| [first, last]) {
        match ends.last_mut() {
            Some(end) if end.committed_leader_id() == log_id.committed_leader_id() => *end = log_id,
            _ => ends.push(log_id),
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::consensus::wire::entry::log_id;
    use crate::types::{NodeId, ReplicaId};

    proptest! {
        #[test]
        fn every_leader_is_found_with_few_reads(
            first in 0..5_u64,
            ranges in prop::collection::vec((1..3_u64, 1..3_u32, 1..200_u64), 1..12),
        ) {
            // The same term may have two leaders, one after the other.
            let (mut log, mut ends, mut term) = (Vec::new(), Vec::new(), 0);
            for (terms, replica, length) in ranges {
                term += terms;
                let node = NodeId::new(ReplicaId(replica), 1);
                let from = first + log.len() as u64;
                log.extend((from..from + length).map(|index| log_id(term, node, index)));
                ends.push(*log.last().expect("not empty"));
            }
            let reads = Cell::new(0);
            let read = |index: u64| {
                reads.set(reads.get() + 1);
                std::future::ready(Ok(log[(index - first) as usize]))
            };
            let part = log[0]..=*log.last().expect("not empty");
            let found = futures::executor::block_on(last_of_each(part, read));
            prop_assert_eq!(found, Ok(ends.clone()));
            let halvings = log.len().ilog2() as usize + 1;
            prop_assert!(reads.get() <= 2 * ends.len() * halvings, "{} reads", reads.get());
        }
    }
}
