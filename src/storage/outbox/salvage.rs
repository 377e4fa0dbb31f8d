//! Lists that are broken or in doubt: moved or copied for people to look at, and written
//! anew as far as they are whole.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::Paths;
use super::super::files::{Failure, failed_call, sync_folder_of, temporary_of};
use super::super::records::CHUNK_BYTES;
use super::super::shortage::{Verdict, verdict};
use super::format::Header;
use super::state::Held;
use crate::error::Error;
use crate::host::{Disk, DiskFile};
use crate::types::Uuid;

/// In the names of lists that were set aside.
pub(super) const DAMAGED: &str = ".log.damaged";

/// The whole entries that stand before something broken in a list.
pub(super) struct Verified {
    pub(super) held: Held,
    /// Where in the file they begin, behind the header; they end at the list's `bytes`.
    pub(super) begin: u64,
}

/// Renames a list of which nothing is whole, so that nothing touches it again; returns
/// where it is.
pub(super) async fn set_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, Failure> {
    let aside = free_name(disk, path).await?;
    let moved = disk.rename(path, &aside).await;
    moved.map_err(|error| Failure::of_call("set aside", path, &error))?;
    sync_folder_of(disk, path).await?;
    Ok(aside)
}

/// Copies a broken list to where nothing touches it again, and leaves in its place what
/// is whole of it; returns where the copy is, and what is left. A crash in between leaves
/// the list as it was, and perhaps a copy.
pub(super) async fn salvage(
    disk: &dyn Disk,
    path: &Path,
    verified: &Verified,
) -> Result<(PathBuf, Held), Failure> {
    let Verified { held, begin } = verified;
    let aside = free_name(disk, path).await?;
    write_copy(disk, path, 0..u64::MAX, Bytes::new(), &aside).await?;
    // Without its end it is no list written anew any more, and nothing counts instead.
    let header = Header { instead_of: Vec::new(), ..held.header.clone() };
    let line = header.line();
    let bytes = line.len() as u64 + held.bytes - begin;
    write_copy(disk, path, *begin..held.bytes, line, path).await?;
    Ok((aside, Held { header, bytes, ..held.clone() }))
}

/// A name for what is set aside that no file has.
async fn free_name(disk: &dyn Disk, path: &Path) -> Result<PathBuf, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let taken = names(disk, folder).await?.unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let with = |number: usize| match number {
        0 => format!("{stem}{DAMAGED}"),
        _ => format!("{stem}{DAMAGED}-{number}"),
    };
    // There is one more name than there are taken ones.
    let name = (0..=taken.len()).map(with).find(|name| !taken.contains(name));
    Ok(folder.join(name.expect("one is free")))
}

/// Writes every list into a new file of the same name. After a failed fsync the system
/// may take pages for written that are not, so no further sync would write them. A list
/// that cannot be read stays as it is.
pub(in crate::storage) async fn rewrite(disk: &dyn Disk, paths: &Paths) -> Result<(), Failure> {
    for name in names(disk, &paths.outbox()).await?.unwrap_or_default() {
        let Some(list) = list_of_name(&name) else { continue };
        let path = paths.outbox_list(list);
        match write_copy(disk, &path, 0..u64::MAX, Bytes::new(), &path).await {
            Err(Failure::Refused(error)) => tracing::error!("{error}; it stays as it is"),
            written => written?,
        }
    }
    Ok(())
}

/// Makes `to` a file with a part of another, or of itself, behind these first bytes. A
/// file of that name is replaced when that is durable.
async fn write_copy(
    disk: &dyn Disk,
    from: &Path,
    part: Range<u64>,
    first: Bytes,
    to: &Path,
) -> Result<(), Failure> {
    let temporary = temporary_of(to);
    let copied = copy(disk, from, part, first, &temporary).await;
    let renamed = match copied {
        Ok(()) => {
            disk.rename(&temporary, to).await.map_err(|e| Failure::of_call("replace", to, &e))
        }
        failed => failed,
    };
    if let Err(failure) = renamed {
        // Only for tidiness: the next start removes it as well.
        if let Err(error) = disk.remove_file(&temporary).await {
            tracing::debug!("{} is not there or left behind: {error}", temporary.display());
        }
        return Err(failure);
    }
    sync_folder_of(disk, to).await
}

async fn copy(
    disk: &dyn Disk,
    from: &Path,
    part: Range<u64>,
    first: Bytes,
    to: &Path,
) -> Result<(), Failure> {
    let old = disk.open(from).await.map_err(|error| unread("open", from, &error))?;
    // Before anything is made: a folder opens on some systems, and cannot be read.
    let mut position = part.start;
    let mut chunk = read(&*old, from, position, part.end).await?;
    let new = disk.create(to).await;
    let mut new = new.map_err(|error| Failure::of_call("write", to, &error))?;
    let written = new.append(first).await;
    written.map_err(|error| Failure::of_call("write", to, &error))?;
    while !chunk.is_empty() {
        position += chunk.len() as u64;
        let written = new.append(chunk.into()).await;
        written.map_err(|error| Failure::of_call("write", to, &error))?;
        chunk = read(&*old, from, position, part.end).await?;
    }
    new.sync_data().await.map_err(|error| Failure::of_sync(to, &error))
}

async fn read(file: &dyn DiskFile, path: &Path, from: u64, end: u64) -> Result<Vec<u8>, Failure> {
    let length = (end - from).min(CHUNK_BYTES as u64) as usize;
    let chunk = file.read_at(from, length).await;
    chunk.map_err(|error| unread("read", path, &error))
}

/// Of a call that only reads. What cannot be read says nothing of what was written
/// elsewhere.
pub(super) fn unread(action: &str, path: &Path, error: &io::Error) -> Failure {
    let failed: Error = failed_call(action, path, error);
    match verdict(error) {
        Verdict::Short(shortage) => Failure::Passing(shortage, failed),
        Verdict::Refused | Verdict::Damage => Failure::Refused(failed),
    }
}

/// Makes durable what is seen of a list that stays as it is.
pub(super) async fn sync(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    let mut file = disk.open(path).await.map_err(|error| unread("open", path, &error))?;
    file.sync_data().await.map_err(|error| Failure::of_sync(path, &error))
}

/// The names in a folder; `None` when there is no folder.
pub(super) async fn names(disk: &dyn Disk, folder: &Path) -> Result<Option<Vec<String>>, Failure> {
    match disk.list(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Refused(failed_call("list", folder, &error))),
        Ok(names) => Ok(Some(names)),
    }
}

/// The list in a file's name, in the one form in which names are written.
pub(super) fn list_of_name(name: &str) -> Option<Uuid> {
    let list: Uuid = name.strip_suffix(".log")?.parse().ok()?;
    (name == format!("{list}.log")).then_some(list)
}
