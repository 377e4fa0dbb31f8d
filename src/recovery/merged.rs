//! The state that all comes together in.

use super::PART_BYTES;
use super::source::Source;
use crate::chat::{Batch, Effects, Operation, State, Taken};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::storage::ListRemains;
use crate::types::{Place, Timestamp, Uuid};

/// The state that all comes together in.
pub(super) struct Merged {
    pub(super) state: State,
    /// The last log entry that the state was given.
    pub(super) index: u64,
    pub(super) at: Timestamp,
    pub(super) newest_message_at: Option<Timestamp>,
    pub(super) not_known_committed: u64,
    pub(super) taken_alone: u64,
    pub(super) adopted: u64,
    pub(super) left_out: u64,
}

impl Merged {
    /// Settles a list of an outbox, as the log would have done.
    ///
    /// # Errors
    /// A sentence about the list: something in it cannot be understood, or came too early.
    pub(super) async fn settle_list(
        &mut self,
        host: &Host,
        source: &Source,
        list: &ListRemains,
    ) -> Result<()> {
        // What was settled of it in another lineage says nothing here.
        let (id, again) = match list.of_another_lineage {
            true => (host.uuid(), true),
            false => (list.list, false),
        };
        let before = self.state.settled(&id);
        let (mut part, mut bytes) = (Vec::new(), 0);
        let read = {
            let merged = &mut *self;
            let mut each = |n: u64, entry: &[u8]| {
                if n <= before {
                    return Ok(());
                }
                let read: Result<Taken, _> = serde_json::from_slice(entry);
                let mut taken = read.map_err(|error| {
                    let what = format!("entry {n} of {} cannot be understood: {error}", list.list);
                    Error::new(ErrorCode::Corrupted, what)
                })?;
                taken.again |= again;
                bytes += entry.len();
                part.push(taken.delivery(Place { list: id, number: n }));
                if bytes >= PART_BYTES {
                    bytes = 0;
                    merged.apply(std::mem::take(&mut part));
                }
                Ok(())
            };
            source.remains.read_list(list, &mut each).await
        };
        self.apply(part);
        let settled = self.state.settled(&id);
        self.taken_alone += settled - before;
        read?;
        match settled >= list.entries {
            true => Ok(()),
            false => Err(Error::new(
                ErrorCode::Corrupted,
                format!(
                    "{} entries of the list {} could not be taken",
                    list.entries - settled,
                    list.list
                ),
            )),
        }
    }

    /// Settles entries as a list of its own.
    pub(super) fn settle(&mut self, list: Uuid, entries: Vec<Taken>) {
        for (part, entries) in entries.chunks(1_000).enumerate() {
            let first = part as u64 * 1_000 + 1;
            let operations = (first..).zip(entries);
            let deliver = |(number, taken): (u64, &Taken)| taken.delivery(Place { list, number });
            self.apply(operations.map(deliver).collect());
        }
    }

    fn apply(&mut self, operations: Vec<Operation>) {
        if operations.is_empty() {
            return;
        }
        self.index += 1;
        let batch = Batch { at: self.at, operations };
        self.state.apply(self.index, &batch, &mut Effects::default());
    }
}
