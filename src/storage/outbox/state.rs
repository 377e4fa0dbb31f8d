//! What is known of the lists without reading them: shared by handles and worker.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::Paths;
use super::format::Header;
use super::{OutboxBounds, OutboxList, OutboxSize, UnusableList};
use crate::error::{Error, ErrorCode};
use crate::planted::{self, Bug};
use crate::types::Uuid;

/// What a record and its number add to an entry, at most.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// A list of which so much is durable.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) header: Header,
    /// Entries, numbered from 1.
    pub(super) entries: u64,
    /// Of the file, header included.
    pub(super) bytes: u64,
    /// Entries of which the replicated state has said that they are settled.
    pub(super) settled: u64,
}

/// Entries and bytes that somebody wants to append.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    entries: u64,
    bytes: u64,
}

#[derive(Default)]
pub(super) struct State {
    /// In their order.
    pub(super) lists: Vec<Held>,
    pub(super) unusable: Vec<UnusableList>,
    /// Lists in which something broken was found since: nothing is appended to them.
    given_up: Vec<Uuid>,
    /// See [`super::Outbox::cut_at_start`].
    pub(super) cut_at_start: u64,
    /// When somebody who only asked had looked last what is in the way.
    pub(super) looked: Option<Instant>,
    /// Appends that are on their way.
    claimed: Claim,
    /// Why nothing is written any more.
    pub(super) failed: Option<Error>,
}

impl State {
    /// Puts the lists into their order.
    pub(super) fn sort(&mut self) {
        self.lists.sort_by_key(|held| (held.header.order, held.header.list));
    }

    pub(super) fn find(&mut self, list: Uuid) -> Option<&mut Held> {
        self.lists.iter_mut().find(|held| held.header.list == list)
    }

    pub(super) fn next_order(&self) -> u64 {
        self.lists.iter().map(|held| held.header.order).max().unwrap_or(0).saturating_add(1)
    }

    pub(super) fn size(&self) -> OutboxSize {
        let lists = self.lists.iter().filter(|held| held.entries > 0);
        lists.fold(OutboxSize::default(), |size, held| OutboxSize {
            lists: size.lists + 1,
            entries: size.entries + held.entries,
            unsettled: size.unsettled + (held.entries - held.settled),
            bytes: size.bytes + held.bytes,
        })
    }

    pub(super) fn described(&self, lineage: Uuid) -> Vec<OutboxList> {
        let described = |held: &Held| OutboxList {
            list: held.header.list,
            replica: held.header.replica,
            incarnation: held.header.incarnation,
            made: held.header.made,
            of_another_lineage: held.header.lineage != lineage,
            entries: held.entries,
            settled: held.settled,
            bytes: held.bytes,
        };
        self.lists.iter().filter(|held| held.entries > 0).map(described).collect()
    }

    /// Why nothing can be accepted at present, whatever it is.
    pub(super) fn obstacle(&self) -> Option<Error> {
        if let Some(failed) = &self.failed {
            return Some(failed.clone());
        }
        let first = self.unusable.first().filter(|_| !planted::is(Bug::TakeBesideDamage))?;
        Some(Error::new(ErrorCode::Unavailable, first.sentence.clone()))
    }

    /// Takes room for entries, so that those in the queue count too.
    pub(super) fn claim(
        &mut self,
        entries: &[Bytes],
        bounds: &OutboxBounds,
    ) -> Result<Claim, Error> {
        if let Some(error) = self.obstacle() {
            return Err(error);
        }
        let bytes = entries.iter().map(|entry| entry.len() as u64 + ENTRY_OVERHEAD_BYTES);
        let claim = Claim { entries: entries.len() as u64, bytes: bytes.sum() };
        let size = self.size();
        let entries = size.entries + self.claimed.entries + claim.entries;
        let bytes = size.bytes + self.claimed.bytes + claim.bytes;
        if entries > bounds.entries_max || bytes > bounds.bytes_max {
            return Err(full(&size));
        }
        self.claimed.entries += claim.entries;
        self.claimed.bytes += claim.bytes;
        Ok(claim)
    }

    /// Bytes of files, those included that are about to be appended.
    pub(super) fn bytes_with_claimed(&self) -> u64 {
        self.size().bytes + self.claimed.bytes
    }

    /// Counts what was appended to a list durably.
    ///
    /// # Errors
    /// Something broken was found in the list meanwhile. What stands behind that is not
    /// kept at the next start.
    pub(super) fn appended(&mut self, list: Uuid, entries: u64, bytes: u64) -> Result<(), Error> {
        if self.is_given_up(list) {
            return Err(Error::outcome_unknown(format!(
                "the list {list} of unconfirmed messages was found broken while this was written \
                 to it; it may be delivered all the same, so repeat it with the same id"
            )));
        }
        let held = self.find(list).expect("it is appended to");
        held.entries += entries;
        held.bytes += bytes;
        Ok(())
    }

    /// Ends a list in which something broken was found.
    pub(super) fn give_up(&mut self, list: Uuid, unusable: UnusableList) {
        if !self.is_given_up(list) {
            self.given_up.push(list);
            self.unusable.push(unusable);
        }
    }

    pub(super) fn is_given_up(&self, list: Uuid) -> bool {
        self.given_up.contains(&list)
    }

    /// Gives room back: what is held counts by itself from now on, and what was refused
    /// does not.
    pub(super) fn release(&mut self, claim: Claim) {
        self.claimed.entries -= claim.entries;
        self.claimed.bytes -= claim.bytes;
    }

    /// Forgets files that were in the way and are not there any more, and the lists that
    /// these were.
    pub(super) fn forget_removed(&mut self, removed: &[PathBuf], paths: &Paths) {
        self.unusable.retain(|unusable| !removed.contains(&unusable.path));
        self.lists.retain(|held| !removed.contains(&paths.outbox_list(held.header.list)));
    }
}

/// That no more is taken before some of it is settled.
pub(super) fn full(size: &OutboxSize) -> Error {
    let message = format!(
        "this server holds as much as it may without a majority ({} unconfirmed entries, {} bytes, \
         {} lists); it takes more when other servers are back and these are confirmed",
        size.entries, size.bytes, size.lists
    );
    Error::new(ErrorCode::Unavailable, message)
}
