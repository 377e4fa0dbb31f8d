//! Opening a log: what a crash may have left is put in order, and nothing else.

use std::io;

use bytes::Bytes;

use super::super::errors::corrupted_whole;
use super::super::files::{self, Durability, Failure, sync_folder};
use super::super::lock::LockShare;
use super::super::{Paths, index_of_name};
use super::DroppedTail;
use super::preverified::PreverifiedLog;
use super::scan::{Scan, scan};
use super::state::{Segment, State};
use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile};

/// A log that is whole and durable.
pub(super) struct Recovered {
    pub(super) state: State,
    /// The last segment.
    pub(super) active: Box<dyn DiskFile>,
    pub(super) dropped: Option<DroppedTail>,
}

/// Why a log was not recovered.
pub(super) enum NotRecovered {
    /// It could not be made durable.
    Failed(Failure),
    /// It cannot be read, or not be believed.
    Unusable(Error),
}

impl From<Failure> for NotRecovered {
    fn from(failure: Failure) -> NotRecovered {
        NotRecovered::Failed(failure)
    }
}

impl From<Error> for NotRecovered {
    fn from(error: Error) -> NotRecovered {
        NotRecovered::Unusable(error)
    }
}

impl NotRecovered {
    /// What is told of it; see [`LockShare::mark_if_broken`].
    pub(super) async fn told(self, lock: &LockShare, paths: &Paths) -> Error {
        match self {
            NotRecovered::Failed(failure) => lock.mark_if_broken(&paths.root, failure).await,
            NotRecovered::Unusable(error) => error,
        }
    }
}

/// `preverified` is what has been read of the log while another process held it. It
/// has committed entries only, which never change while they are there.
pub(super) async fn recover(
    disk: &dyn Disk,
    paths: &Paths,
    preverified: Option<PreverifiedLog>,
) -> Result<Recovered, NotRecovered> {
    let mut known = preverified.map(PreverifiedLog::into_segments).unwrap_or_default();
    let folder = paths.log();
    let made = disk.create_dir_all(&folder).await;
    made.map_err(|e| Error::io("make the folder", &folder, &e))?;
    let names = disk.list(&folder).await.map_err(|e| Error::io("list", &folder, &e))?;
    // Zero-padded, so the order of names is the order of indexes.
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| index_of_name(name)).collect();
    let vote = files::read(disk, &paths.vote()).await?;
    let has_snapshot = has_snapshot(disk, paths).await?;
    if firsts.is_empty() {
        // A log has a segment before there is anything to vote about.
        if vote.is_some() || has_snapshot {
            return Err(
                corrupted_whole(&folder, "has no segment, and the replica had a log").into()
            );
        }
        let path = paths.segment(0);
        disk.create(&path).await.map_err(|e| Error::io("make", &path, &e))?;
        firsts.push(0);
    }

    let mut dropped = read_dropped(disk, paths).await?;
    let mut segments: Vec<Segment> = Vec::new();
    let mut active = None;
    for first in &firsts {
        let path = paths.segment(*first);
        if let Some(end) = segments.last().map(Segment::end).filter(|end| end != first) {
            let what = format!("begins at {first}, but the segment before it ends at {end}");
            return Err(corrupted_whole(&path, &what).into());
        }
        let is_last = Some(first) == firsts.last();
        let mut file = disk.open(&path).await.map_err(|e| Error::io("open", &path, &e))?;
        let size = file.len().await.map_err(|e| Error::io("read", &path, &e))?;
        let begun = known.remove(first).filter(|segment| segment.length <= size);
        let begun = begun.unwrap_or_else(|| Segment::empty(*first));
        // Nothing to read where all was verified before.
        let Scan { segment, torn_bytes } = match begun.length == size {
            true => Scan { segment: begun, torn_bytes: 0 },
            false => scan(&*file, &path, begun, is_last).await?,
        };
        if torn_bytes > 0 {
            let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let tail = DroppedTail { file: file_name, index: segment.end(), bytes: torn_bytes };
            tracing::warn!(
                "{} ended in {torn_bytes} bytes of a record cut short; dropped entry {}",
                path.display(),
                tail.index
            );
            // The notice first: another crash after the cut, and nobody would
            // know any more that something is missing.
            let greatest = dropped.filter(|older| older.index >= tail.index).unwrap_or(tail);
            write_dropped(disk, paths, &greatest).await?;
            dropped = Some(greatest);
            let cut = file.truncate(segment.length).await;
            cut.map_err(|e| Error::io("cut the torn end of", &path, &e))?;
        }
        if is_last {
            // Records may have been written, not synced, by a process that died.
            file.sync_data().await.map_err(|e| Failure::of_sync(&path, &e))?;
            active = Some(file);
        }
        segments.push(segment);
    }
    sync_folder(disk, &folder).await?;
    sync_folder(disk, &paths.root).await?;

    let mut state = State::new(segments);
    state.vote = vote;
    state.committed = read_commit_hint(disk, paths).await;
    let active = active.ok_or_else(|| Error::internal("a log has a last segment"))?;
    Ok(Recovered { state, active, dropped })
}

async fn has_snapshot(disk: &dyn Disk, paths: &Paths) -> Result<bool> {
    match disk.list(&paths.snapshots()).await {
        Ok(names) => Ok(names.iter().any(|name| index_of_name(name).is_some())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("list", &paths.snapshots(), &error)),
    }
}

/// `committed.json` may be one of an older program, which left it torn after a power cut. It is
/// believed only when it is whole. Without it the leader reports soon what is committed.
async fn read_commit_hint(disk: &dyn Disk, paths: &Paths) -> Option<Bytes> {
    match files::read(disk, &paths.committed()).await {
        Ok(hint) => hint,
        Err(error) => {
            tracing::info!("passed over: {error}");
            None
        }
    }
}

async fn read_dropped(disk: &dyn Disk, paths: &Paths) -> Result<Option<DroppedTail>> {
    let path = paths.dropped_tail();
    let Some(payload) = files::read(disk, &path).await? else { return Ok(None) };
    let parsed = serde_json::from_slice(&payload);
    parsed.map(Some).map_err(|e| corrupted_whole(&path, &format!("is no dropped tail: {e}")))
}

async fn write_dropped(
    disk: &dyn Disk,
    paths: &Paths,
    dropped: &DroppedTail,
) -> Result<(), Failure> {
    files::replace(disk, &paths.dropped_tail(), dropped.encode(), Durability::Durable).await
}
