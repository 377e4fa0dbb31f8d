//! Reading lists: entry by entry for this module, in parts for its users.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::files::failed_call;
use super::super::on_worker;
use super::super::records::{Next, Records, Stopped};
#[cfg(doc)]
use super::Outbox;
use super::format;
use super::{Shared, Unusable, UnusableList};
use crate::error::{Error, ErrorCode, Result};
use crate::host::DiskFile;
use crate::types::Uuid;

/// Goes through the entries of a list that was found whole.
pub(super) struct Walk<'a> {
    path: &'a Path,
    records: Records<'a>,
    /// Entries gone through.
    entries: u64,
}

impl<'a> Walk<'a> {
    /// Begins at a place with so many entries before it; 0 and 0 for the whole file.
    pub(super) fn new(
        file: &'a dyn DiskFile,
        path: &'a Path,
        position: u64,
        entries: u64,
    ) -> Walk<'a> {
        Walk { path, records: Records::new(file, position), entries }
    }

    /// The next entry up to this number; `None` behind it.
    pub(super) async fn next(&mut self, through: u64) -> Result<Option<(u64, &[u8])>, NotRead> {
        if self.entries >= through {
            return Ok(None);
        }
        if self.records.position() == 0 {
            self.record().await?;
        }
        let payload = self.record().await?;
        let line = self.entries + 2;
        match format::entry_of(self.records.payload(payload.clone())) {
            Some((n, entry)) if n == self.entries + 1 => {
                self.entries = n;
                let entry = payload.start + entry.start..payload.start + entry.end;
                Ok(Some((n, self.records.payload(entry))))
            }
            _ => Err(broken(self.path, line, "it is not the entry that has to be there")),
        }
    }

    async fn record(&mut self) -> Result<std::ops::Range<usize>, NotRead> {
        let line = if self.records.position() == 0 { 1 } else { self.entries + 2 };
        match self.records.next().await {
            Ok(Next::Record(payload)) => Ok(payload),
            Ok(Next::End { .. }) => Err(broken(self.path, line, "it is missing")),
            Err(Stopped::Damaged(damage)) => Err(broken(self.path, line, damage.what)),
            Err(Stopped::Unread(error)) => {
                Err(NotRead::Failed(failed_call("read", self.path, &error)))
            }
        }
    }
}

/// Why an entry was not read.
pub(super) enum NotRead {
    /// It is not there as it was written.
    Broken(Error),
    /// The system did not let it be read.
    Failed(Error),
}

impl NotRead {
    /// What is told of it. A list with something broken in it is in the way from now on:
    /// what would be appended to it would be behind that.
    pub(super) fn told(self, shared: &Shared, list: Uuid) -> Error {
        match self {
            NotRead::Failed(error) => error,
            NotRead::Broken(error) => {
                let (path, sentence) = (shared.paths.outbox_list(list), error.message.clone());
                let unusable = UnusableList { path, why: Unusable::Damaged, sentence };
                shared.state.lock().give_up(list, unusable);
                error
            }
        }
    }
}

/// A record that was whole when the outbox was opened or written, and is not any more. Its
/// code is not [`ErrorCode::Corrupted`], which is for what a whole directory is set aside.
fn broken(path: &Path, line: u64, what: &str) -> NotRead {
    let message = format!(
        "line {line} of {} is broken: {what}; the disk has changed what was written there. \
         Start this server again: it keeps what stands before that line, and sets a copy of the \
         file aside. Until then it accepts nothing without a majority",
        path.display()
    );
    NotRead::Broken(Error::new(ErrorCode::Io, message))
}

/// A list that is held, and whose file somebody has taken away.
fn gone(path: &Path) -> Error {
    let message = format!(
        "{} is gone, and what it holds is not confirmed: put it back, or start this server again \
         to go on without it",
        path.display()
    );
    Error::new(ErrorCode::Io, message)
}

/// An entry as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// Its number in its list.
    pub n: u64,
    /// What was appended: one JSON value.
    pub entry: Bytes,
}

/// Reads the entries of a list in parts, verifying each. The list may grow, or be settled
/// and removed, meanwhile; see [`Outbox::entries`].
pub struct OutboxReader {
    shared: Arc<Shared>,
    list: Uuid,
    path: PathBuf,
    /// The first entry that is wanted.
    from: u64,
    /// Where the next entry begins, and how many stand before it.
    position: u64,
    entries: u64,
    /// `None` until the first part, and while a worker has it, hence also after a failure.
    file: Option<Box<dyn DiskFile>>,
}

impl OutboxReader {
    pub(super) fn new(shared: Arc<Shared>, list: Uuid, from: u64) -> OutboxReader {
        let path = shared.paths.outbox_list(list);
        OutboxReader { shared, list, path, from, position: 0, entries: 0, file: None }
    }

    /// The next entries: at least one, and no further one once they have `max_bytes`. Empty when
    /// there is no further one, or no such list (any more); when the list has grown, later
    /// calls go on.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] and what may be repeated. Where the disk has changed a record,
    /// that names file and line, nothing more is appended to the list, and it is an
    /// [`Outbox::unusable`] one. It is never [`ErrorCode::Corrupted`], which says that
    /// the whole directory cannot be believed.
    pub async fn next(&mut self, max_bytes: usize) -> Result<Vec<ListedEntry>> {
        let held = self.shared.state.lock().find(self.list).map(|held| held.entries);
        let Some(through) = held.filter(|through| *through > self.entries) else {
            return Ok(Vec::new());
        };
        let (shared, path, opened) = (self.shared.clone(), self.path.clone(), self.file.take());
        let (position, entries, from) = (self.position, self.entries, self.from);
        let list = self.list;
        let part = on_worker(&self.shared.host, "read-outbox", async move {
            let file = match opened {
                Some(file) => file,
                None => match shared.host.disk.open(&path).await {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let mut state = shared.state.lock();
                        let held = state.find(list).filter(|held| held.settled < held.entries);
                        // Else it was settled a moment ago.
                        return held.map_or(Ok(None), |_| Err(gone(&path)));
                    }
                    file => file.map_err(|error| failed_call("open", &path, &error))?,
                },
            };
            let mut walk = Walk::new(&*file, &path, position, entries);
            let found = part(&mut walk, from, through, max_bytes).await;
            let found = found.map_err(|not_read| not_read.told(&shared, list))?;
            let (position, entries) = (walk.records.position(), walk.entries);
            Ok(Some((found, position, entries, file)))
        })
        .await?;
        let Some((found, position, entries, file)) = part else { return Ok(Vec::new()) };
        (self.position, self.entries, self.file) = (position, entries, Some(file));
        Ok(found)
    }
}

async fn part(
    walk: &mut Walk<'_>,
    from: u64,
    through: u64,
    max_bytes: usize,
) -> Result<Vec<ListedEntry>, NotRead> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < max_bytes || found.is_empty() {
        let Some((n, entry)) = walk.next(through).await? else { break };
        if n >= from {
            bytes += entry.len();
            found.push(ListedEntry { n, entry: Bytes::copy_from_slice(entry) });
        }
    }
    Ok(found)
}
