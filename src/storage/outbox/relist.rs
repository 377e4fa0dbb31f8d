//! Lists written anew: what is not settled of some lists becomes one list under a new
//! UUID.
//!
//! The new list names the old ones in its header and ends with a record that says that
//! it is whole. From the moment that this record is durable the new list counts and the
//! old ones do not; before, it is the other way round. So a crash leaves either, and the
//! next start removes the files that do not count.

use bytes::{Bytes, BytesMut};

use super::super::files::{Failure, failed_call};
use super::super::records::CHUNK_BYTES;
use super::RelistChange;
use super::format::{self, Header};
use super::reader::{NotRead, Walk};
use super::state::Held;
use super::writer::{Writer, make, remove_lists};
use crate::error::{Error, Result};
use crate::host::DiskFile;
use crate::types::Uuid;

/// A list that is being written.
struct NewList {
    file: Box<dyn DiskFile>,
    path: std::path::PathBuf,
    buffer: BytesMut,
    entries: u64,
    bytes: u64,
}

impl NewList {
    async fn push(&mut self, line: Bytes) -> Result<(), Failure> {
        self.buffer.extend_from_slice(&line);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let chunk = self.buffer.split().freeze();
        self.bytes += chunk.len() as u64;
        let written = self.file.append(chunk).await;
        written.map_err(|error| Failure::of_call("write", &self.path, &error))
    }

    /// From here on it counts.
    async fn complete(&mut self) -> Result<(), Failure> {
        self.push(format::whole_line(self.entries)).await?;
        self.flush().await?;
        let synced = self.file.sync_data().await;
        synced.map_err(|error| Failure::of_sync(&self.path, &error))
    }
}

impl Writer {
    /// See [`super::Outbox::relist`].
    pub(super) async fn relist(
        &mut self,
        lists: &[Uuid],
        change: RelistChange,
    ) -> Result<Option<Uuid>, Failure> {
        let old = self.sources(lists).map_err(Failure::Refused)?;
        let shared = self.shared.clone();
        let (disk, paths) = (&*shared.host.disk, &shared.paths);
        for held in &old {
            self.give_up_current(held.header.list).await?;
            // The new list would not name these.
            remove_lists(disk, paths, &held.header.instead_of).await?;
        }
        // What is settled goes first, so that whatever the new list names has a file until
        // the new one is whole.
        let (settled, old): (Vec<Held>, Vec<Held>) =
            old.into_iter().partition(|held| held.settled == held.entries);
        for Held { header, .. } in settled {
            remove_lists(disk, paths, &[header.list]).await?;
            self.forget(&[header.list]);
        }
        let Some(first) = old.first() else { return Ok(None) };
        let new = self.write_anew(&old, first.header.order, change).await?;
        let list = new.header.list;
        self.forget(lists);
        {
            let mut state = shared.state.lock();
            state.lists.push(new);
            state.sort();
        }
        match remove_lists(disk, paths, lists).await {
            Err(Failure::Broken(error)) => return Err(Failure::Broken(error)),
            // Whoever removes the new list, or starts, tries it again.
            Err(failure) => tracing::warn!("{}", Error::from(failure)),
            Ok(()) => {}
        }
        Ok(Some(list))
    }

    fn sources(&self, lists: &[Uuid]) -> Result<Vec<Held>> {
        let mut state = self.shared.state.lock();
        let mut sources: Vec<Held> = Vec::new();
        for list in lists {
            let twice = sources.iter().any(|held| held.header.list == *list);
            let held = state.find(*list).filter(|_| !twice).map(|held| held.clone());
            sources.push(held.ok_or_else(|| {
                Error::internal(format!("the outbox has no list {list} to be written anew"))
            })?);
        }
        Ok(sources)
    }

    /// Writes the new list, with a place of its own among the others; one that was not
    /// completed is removed.
    async fn write_anew(
        &mut self,
        old: &[Held],
        order: u64,
        change: RelistChange,
    ) -> Result<Held, Failure> {
        let shared = self.shared.clone();
        let (disk, paths) = (&*shared.host.disk, &shared.paths);
        let instead_of = old.iter().map(|held| held.header.list).collect();
        let header = Header { order, instead_of, ..self.new_header() };
        let list = header.list;
        let (file, bytes) = make(disk, paths, &header).await?;
        let path = paths.outbox_list(list);
        let mut new = NewList { file, path, buffer: BytesMut::new(), entries: 0, bytes };
        match self.copy(old, change, &mut new).await {
            Ok(()) => Ok(Held { header, entries: new.entries, bytes: new.bytes, settled: 0 }),
            Err(failure) => {
                // The next start removes it as well, as it is not whole.
                if let Err(error) = disk.remove_file(&new.path).await {
                    tracing::debug!("{} is left behind: {error}", new.path.display());
                }
                Err(failure)
            }
        }
    }

    async fn copy(
        &self,
        old: &[Held],
        mut change: RelistChange,
        new: &mut NewList,
    ) -> Result<(), Failure> {
        for held in old {
            let path = self.shared.paths.outbox_list(held.header.list);
            let file = self.shared.host.disk.open(&path).await;
            let file =
                file.map_err(|error| Failure::Refused(failed_call("open", &path, &error)))?;
            let mut walk = Walk::new(&*file, &path, 0, 0);
            let told =
                |not_read: NotRead| Failure::Refused(not_read.told(&self.shared, held.header.list));
            while let Some((n, payload)) = walk.next(held.entries).await.map_err(told)? {
                if n <= held.settled {
                    continue;
                }
                let entry = change(payload).map_err(Failure::Refused)?;
                if !format::is_entry(&entry) {
                    let error = Error::internal("a changed entry is one line of JSON");
                    return Err(Failure::Refused(error));
                }
                new.entries += 1;
                new.push(format::entry_line(new.entries, &entry)).await?;
            }
        }
        new.complete().await
    }
}
