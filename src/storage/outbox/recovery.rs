//! What a start finds: each list is verified, what was never acknowledged goes, and what
//! cannot be used is told.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::super::Paths;
use super::super::files::{self, Failure, failed_call, sync_folder, sync_folder_of, temporary_of};
use super::super::records::{CHUNK_BYTES, Next, Records, Stopped};
use super::format::{self, Header, NoHeader};
use super::state::{Held, State};
use super::writer::remove_lists;
use super::{Unusable, UnusableList};
use crate::host::Disk;
use crate::limits::OUTBOX_FORMAT_VERSION;
use crate::planted::{self, Bug};
use crate::types::Uuid;

/// In the names of lists that were set aside.
const DAMAGED: &str = ".log.damaged";

/// What a file turns out to be.
enum Found {
    Whole(Held),
    /// Nothing that was ever acknowledged.
    Nothing,
    /// A list written anew that is not whole: those in whose place it was to be count.
    Begun,
    Damaged {
        line: u64,
        what: &'static str,
        /// The lists in whose place it was to be, as far as it says so.
        instead_of: Vec<Uuid>,
    },
    Unusable(Unusable, String),
}

/// Looks at all lists, cuts and removes what was never acknowledged, and sets aside what
/// is broken. All that is left is durable.
pub(super) async fn recover(
    disk: &dyn Disk,
    paths: &Paths,
    cluster: Uuid,
) -> Result<State, Failure> {
    let folder = paths.outbox();
    let mut unusable = Vec::new();
    let mut found = Vec::new();
    let Some(names) = names(disk, &folder).await? else {
        return Ok(State::new(Vec::new(), unusable));
    };
    for name in names {
        let path = folder.join(&name);
        if name.ends_with(".log.tmp") {
            // A crash in the middle of `rewrite` left it.
            files::remove(disk, &path).await?;
        } else if name.contains(DAMAGED) {
            let sentence = sentence_of_damaged(&path);
            unusable.push(UnusableList { path, why: Unusable::Damaged, sentence });
        } else if let Some(list) = list_of_name(&name) {
            found.push((list, look(disk, &path, list, cluster).await?));
        }
    }
    // A process may have died between a change of names and its sync. What is seen must
    // not go with the next power cut, nor what is gone come back.
    sync_folder(disk, &paths.root).await?;
    sync_folder(disk, &folder).await?;
    let mut lists: Vec<Held> = Vec::new();
    let mut rest = Vec::new();
    for (list, found) in found {
        match found {
            Found::Whole(held) => lists.push(held),
            other => rest.push((list, other)),
        }
    }
    let replaced: BTreeSet<Uuid> =
        lists.iter().flat_map(|held| held.header.instead_of.iter().copied()).collect();
    lists.retain(|held| !replaced.contains(&held.header.list));
    let replaced: Vec<Uuid> = replaced.into_iter().collect();
    remove_lists(disk, paths, &replaced).await?;
    for (list, found) in rest.into_iter().filter(|(list, _)| !replaced.contains(list)) {
        unusable.extend(put_right(disk, paths, list, found, &lists).await?);
    }
    lists.sort_by_key(|held| (held.header.order, held.header.list));
    Ok(State::new(lists, unusable))
}

/// Deals with a file that is not a list in use; returns what is in the way.
async fn put_right(
    disk: &dyn Disk,
    paths: &Paths,
    list: Uuid,
    found: Found,
    whole: &[Held],
) -> Result<Option<UnusableList>, Failure> {
    let path = paths.outbox_list(list);
    let is_whole = |old: &Uuid| whole.iter().any(|held| held.header.list == *old);
    match found {
        Found::Whole(_) => Ok(None),
        Found::Unusable(why, sentence) => {
            tracing::error!("{sentence}");
            Ok(Some(UnusableList { path, why, sentence }))
        }
        Found::Nothing | Found::Begun => {
            tracing::info!("{} was begun and never completed; removed", path.display());
            remove_lists(disk, paths, &[list]).await?;
            Ok(None)
        }
        // All that it may have had is in those, and a crash leaves such a thing where
        // the system writes the parts of a file in any order.
        Found::Damaged { instead_of, .. }
            if !instead_of.is_empty() && instead_of.iter().all(is_whole) =>
        {
            remove_lists(disk, paths, &[list]).await?;
            Ok(None)
        }
        Found::Damaged { line, what, .. } => {
            let aside = set_aside(disk, &path).await?;
            tracing::error!(
                "line {line} of {} is broken: {what}; it is now {}",
                path.display(),
                aside.display()
            );
            let sentence = sentence_of_damaged(&aside);
            Ok(Some(UnusableList { path: aside, why: Unusable::Damaged, sentence }))
        }
    }
}

fn sentence_of_damaged(path: &Path) -> String {
    format!(
        "a list of unconfirmed messages was found broken and set aside as {}: what this server \
         has accepted in it without a majority, and what is not confirmed yet, is not delivered, \
         and until the file is moved away from there it accepts nothing without a majority",
        path.display()
    )
}

/// Reads one list to its end and makes it durable, without a torn end.
async fn look(disk: &dyn Disk, path: &Path, list: Uuid, cluster: Uuid) -> Result<Found, Failure> {
    let unread = |error: &io::Error| Failure::Refused(failed_call("read", path, error));
    let mut file = disk.open(path).await.map_err(|error| unread(&error))?;
    let mut records = Records::new(&*file, 0);
    let damaged = |line, what, instead_of: &[Uuid]| {
        Ok(Found::Damaged { line, what, instead_of: instead_of.to_vec() })
    };
    let header = match records.next().await {
        Ok(Next::Record(payload)) => Header::decode(records.payload(payload)),
        Ok(Next::End { .. }) => return Ok(Found::Nothing),
        Err(Stopped::Damaged(damage)) => return damaged(1, damage.what, &[]),
        Err(Stopped::Unread(error)) => return Err(unread(&error)),
    };
    let header = match header {
        Ok(header) if header.cluster != cluster => {
            return Ok(Found::Unusable(
                Unusable::OfAnotherCluster,
                sentence_of_foreign(path, header.cluster, cluster),
            ));
        }
        Ok(header) if header.list != list => {
            return damaged(1, "it names another list than its file", &[]);
        }
        Ok(header) => header,
        Err(NoHeader::Newer(format)) => {
            return Ok(Found::Unusable(Unusable::NewerFormat, sentence_of_newer(path, format)));
        }
        Err(NoHeader::Malformed) => return damaged(1, "it is no header of a list", &[]),
    };
    let (mut entries, mut whole) = (0, false);
    let torn_bytes = loop {
        let line = entries + 2;
        let payload = match records.next().await {
            Ok(Next::Record(payload)) => records.payload(payload),
            Ok(Next::End { torn_bytes }) => break torn_bytes,
            Err(Stopped::Damaged(damage)) => {
                return damaged(line, damage.what, &header.instead_of);
            }
            Err(Stopped::Unread(error)) => return Err(unread(&error)),
        };
        match format::entry_of(payload) {
            Some((n, _)) if n == entries + 1 && !whole => entries = n,
            None if !whole
                && !header.instead_of.is_empty()
                && format::whole_of(payload) == Some(entries) =>
            {
                whole = true;
            }
            _ => return damaged(line, "it is not what has to follow there", &header.instead_of),
        }
    };
    let bytes = records.position();
    if !header.instead_of.is_empty() && !whole {
        return Ok(Found::Begun);
    }
    if entries == 0 {
        return Ok(Found::Nothing);
    }
    if torn_bytes > 0 {
        tracing::warn!("{} ended in {torn_bytes} bytes of an entry cut short", path.display());
        let cut = file.truncate(bytes).await;
        cut.map_err(|error| Failure::of_call("cut", path, &error))?;
    }
    // A process may have died between a write and its sync, and whoever sees an entry
    // here may acknowledge it.
    if !planted::is(Bug::TrustUnsyncedOutbox) {
        file.sync_data().await.map_err(|error| Failure::of_sync(path, &error))?;
    }
    Ok(Found::Whole(Held { header, entries, bytes, settled: 0 }))
}

fn sentence_of_foreign(path: &Path, theirs: Uuid, own: Uuid) -> String {
    format!(
        "{} holds unconfirmed messages of the cluster {theirs}, and this data directory belongs to \
         {own}; move the file to the outbox of a server of its own cluster, or away: until then \
         this server accepts nothing without a majority",
        path.display()
    )
}

fn sentence_of_newer(path: &Path, format: u32) -> String {
    format!(
        "{} is of format {format}, and this program knows formats up to {OUTBOX_FORMAT_VERSION}; \
         run the newer program that wrote it: until then its messages are not delivered, and this \
         server accepts nothing without a majority",
        path.display()
    )
}

/// Renames a list so that nothing touches it again; returns where it is.
async fn set_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let taken = names(disk, folder).await?.unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let with = |number: usize| match number {
        0 => format!("{stem}{DAMAGED}"),
        _ => format!("{stem}{DAMAGED}-{number}"),
    };
    // There is one more name than there are taken ones.
    let name = (0..=taken.len()).map(with).find(|name| !taken.contains(name));
    let aside = folder.join(name.expect("one is free"));
    let moved = disk.rename(path, &aside).await;
    moved.map_err(|error| Failure::of_call("set aside", path, &error))?;
    sync_folder(disk, folder).await?;
    Ok(aside)
}

/// Writes every list into a new file of the same name. After a failed fsync the system
/// may take pages for written that are not, so no further sync would write them.
pub(in crate::storage) async fn rewrite(disk: &dyn Disk, paths: &Paths) -> Result<(), Failure> {
    let folder = paths.outbox();
    for name in names(disk, &folder).await?.unwrap_or_default() {
        if let Some(list) = list_of_name(&name) {
            rewrite_one(disk, &paths.outbox_list(list)).await?;
        }
    }
    Ok(())
}

async fn rewrite_one(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    let temporary = temporary_of(path);
    let old = disk.open(path).await.map_err(|e| Failure::of_call("open", path, &e))?;
    let new = disk.create(&temporary).await;
    let mut new = new.map_err(|e| Failure::of_call("write", &temporary, &e))?;
    let mut position = 0;
    loop {
        let chunk = old.read_at(position, CHUNK_BYTES).await;
        let chunk = chunk.map_err(|e| Failure::of_call("read", path, &e))?;
        if chunk.is_empty() {
            break;
        }
        position += chunk.len() as u64;
        let written = new.append(chunk.into()).await;
        written.map_err(|e| Failure::of_call("write", &temporary, &e))?;
    }
    new.sync_data().await.map_err(|e| Failure::of_sync(&temporary, &e))?;
    let renamed = disk.rename(&temporary, path).await;
    renamed.map_err(|e| Failure::of_call("replace", path, &e))?;
    sync_folder_of(disk, path).await
}

/// The names in a folder; `None` when there is no folder.
async fn names(disk: &dyn Disk, folder: &Path) -> Result<Option<Vec<String>>, Failure> {
    match disk.list(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Refused(failed_call("list", folder, &error))),
        Ok(names) => Ok(Some(names)),
    }
}

/// The list in a file's name, in the one form in which names are written.
fn list_of_name(name: &str) -> Option<Uuid> {
    let list: Uuid = name.strip_suffix(".log")?.parse().ok()?;
    (name == format!("{list}.log")).then_some(list)
}
