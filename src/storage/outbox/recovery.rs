//! What a start finds: each list is verified, what was never acknowledged goes, and what
//! cannot be used is told.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::super::Paths;
use super::super::files::{self, Failure, sync_folder};
use super::super::records::{Next, Records, Stopped};
use super::format::{self, Header, NoHeader};
use super::salvage::{self, DAMAGED, Verified, list_of_name, names, unread};
use super::state::{Held, State};
use super::{Unusable, UnusableList};
use crate::error::Error;
use crate::host::Disk;
use crate::limits::OUTBOX_FORMAT_VERSION;
use crate::planted::{self, Bug};
use crate::types::Uuid;

/// What a file turns out to be.
enum Found {
    Whole {
        held: Held,
        /// Bytes that were cut off.
        torn_bytes: u64,
    },
    /// Nothing that was ever acknowledged.
    Nothing,
    /// A list written anew that is not whole: those in whose place it was to be count.
    Begun,
    Damaged(Damaged),
    Unusable(Unusable, String),
}

struct Damaged {
    line: u64,
    what: &'static str,
    /// What stands before that line; `None` when it is the first one.
    verified: Option<Verified>,
}

impl Damaged {
    /// The lists in whose place it was to be.
    fn instead_of(&self) -> &[Uuid] {
        self.verified.as_ref().map_or(&[], |verified| &verified.held.header.instead_of)
    }
}

/// Looks at all lists, cuts and removes what was never acknowledged, and keeps of what is
/// broken what is whole. All that is left is durable.
pub(super) async fn recover(
    disk: &dyn Disk,
    paths: &Paths,
    cluster: Uuid,
) -> Result<State, Failure> {
    let folder = paths.outbox();
    let mut state = State::default();
    let mut found = Vec::new();
    let Some(names) = names(disk, &folder).await? else { return Ok(state) };
    for name in names {
        let path = folder.join(&name);
        if name.ends_with(".tmp") && name.contains(".log") {
            // A crash in the middle of writing a list left it.
            remove_what_does_not_count(disk, &path).await?;
        } else if name.contains(DAMAGED) {
            let sentence = sentence_of_damaged(&path);
            state.unusable.push(UnusableList { path, why: Unusable::Damaged, sentence });
        } else if let Some(list) = list_of_name(&name) {
            found.push((list, look(disk, &path, list, cluster).await?));
        }
    }
    // A process may have died between a change of names and its sync. What is seen must
    // not go with the next power cut, nor what is gone come back.
    sync_folder(disk, &paths.root).await?;
    sync_folder(disk, &folder).await?;
    let mut rest = Vec::new();
    for (list, found) in found {
        match found {
            Found::Whole { held, torn_bytes } => {
                state.cut_at_start += u64::from(torn_bytes > 0);
                state.lists.push(held);
            }
            other => rest.push((list, other)),
        }
    }
    let replaced: BTreeSet<Uuid> =
        state.lists.iter().flat_map(|held| held.header.instead_of.iter().copied()).collect();
    state.lists.retain(|held| !replaced.contains(&held.header.list));
    for list in &replaced {
        remove_what_does_not_count(disk, &paths.outbox_list(*list)).await?;
    }
    let whole: BTreeSet<Uuid> = state.lists.iter().map(|held| held.header.list).collect();
    for (list, found) in rest.into_iter().filter(|(list, _)| !replaced.contains(list)) {
        put_right(disk, &paths.outbox_list(list), found, &whole, &mut state).await?;
    }
    state.sort();
    Ok(state)
}

/// Deals with a file that is not a list in use.
async fn put_right(
    disk: &dyn Disk,
    path: &Path,
    found: Found,
    whole: &BTreeSet<Uuid>,
    state: &mut State,
) -> Result<(), Failure> {
    match found {
        Found::Whole { .. } => Ok(()),
        Found::Unusable(why, sentence) => {
            tracing::error!("{sentence}");
            state.unusable.push(UnusableList { path: path.to_path_buf(), why, sentence });
            Ok(())
        }
        Found::Nothing => {
            tracing::warn!(
                "{} has no whole entry, and is removed: a crash leaves such a file, and so does a \
                 disk that has lost what it had synced",
                path.display()
            );
            state.cut_at_start += 1;
            remove_what_does_not_count(disk, path).await
        }
        Found::Begun => {
            tracing::info!("{} was begun and never completed; removed", path.display());
            remove_what_does_not_count(disk, path).await
        }
        // All that it may have had is in those, and a crash leaves such a thing where
        // the system writes the parts of a file in any order.
        Found::Damaged(damaged)
            if !damaged.instead_of().is_empty()
                && damaged.instead_of().iter().all(|list| whole.contains(list)) =>
        {
            remove_what_does_not_count(disk, path).await
        }
        Found::Damaged(damaged) => {
            let (aside, held) = keep_what_is_whole(disk, path, damaged).await?;
            let sentence = sentence_of_damaged(&aside);
            state.lists.extend(held);
            state.unusable.push(UnusableList { path: aside, why: Unusable::Damaged, sentence });
            Ok(())
        }
    }
}

/// Sets a broken list aside; returns where it is, and what stays in use of it. Where
/// nothing can be written now, the list stays in its place, and a later start does it.
async fn keep_what_is_whole(
    disk: &dyn Disk,
    path: &Path,
    Damaged { line, what, verified }: Damaged,
) -> Result<(PathBuf, Option<Held>), Failure> {
    tracing::error!("line {line} of {} is broken: {what}", path.display());
    let verified = verified.filter(|verified| verified.held.entries > 0);
    let done = match &verified {
        None => salvage::set_aside(disk, path).await.map(|aside| (aside, None)),
        Some(verified) => {
            let salvaged = salvage::salvage(disk, path, verified).await;
            salvaged.map(|(aside, held)| (aside, Some(held)))
        }
    };
    match done {
        Ok(done) => Ok(done),
        Err(Failure::Broken(error)) => Err(Failure::Broken(error)),
        Err(failure) => {
            tracing::error!("{}; it stays in its place", Error::from(failure));
            if !planted::is(Bug::TrustUnsyncedOutbox) {
                salvage::sync(disk, path).await?;
            }
            Ok((path.to_path_buf(), verified.map(|verified| verified.held)))
        }
    }
}

/// Removes a file that does not count. What is not possible now, the next start tries
/// again.
async fn remove_what_does_not_count(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    match files::remove(disk, path).await {
        Err(Failure::Broken(error)) => Err(Failure::Broken(error)),
        Err(failure) => {
            tracing::warn!("{}", Error::from(failure));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn sentence_of_damaged(path: &Path) -> String {
    format!(
        "a list of unconfirmed messages was found broken, and {} is what it was: what this server \
         has accepted in it without a majority is delivered as far as it stands before the broken \
         place, and what stands behind that and is not confirmed yet is not; until the file is \
         moved away from there, this server accepts nothing without a majority",
        path.display()
    )
}

fn sentence_of_foreign(path: &Path, theirs: Uuid, own: Uuid) -> String {
    format!(
        "{} holds unconfirmed messages of the cluster {theirs}, and this data directory belongs to \
         {own}: until the file is moved away, this server accepts nothing without a majority. \
         While the other cluster is in use, one of its servers delivers what is in the file when \
         it is started with it in its own outbox; else jq .data shows what that is, to be sent \
         again",
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

fn unreadable(path: &Path, error: &io::Error) -> Result<Found, Failure> {
    // What passes is not the file's fault, and whoever opens the outbox tries again.
    if let failure @ Failure::Passing(..) = unread("read", path, error) {
        return Err(failure);
    }
    let sentence = format!(
        "{} cannot be read ({error}), and may hold messages that this server has accepted without \
         a majority: put that right and start this server again, or move it away; until then \
         these are not delivered, and this server accepts nothing without a majority",
        path.display()
    );
    Ok(Found::Unusable(Unusable::Unreadable, sentence))
}

/// The header of a list that may be used here, or what the file is instead.
async fn read_header(
    records: &mut Records<'_>,
    path: &Path,
    list: Uuid,
    cluster: Uuid,
) -> Result<Result<Header, Found>, Failure> {
    let damaged = |what| Found::Damaged(Damaged { line: 1, what, verified: None });
    let header = match records.next().await {
        Ok(Next::Record(payload)) => Header::decode(records.payload(payload)),
        Ok(Next::End { .. }) => return Ok(Err(Found::Nothing)),
        Err(Stopped::Damaged(damage)) => return Ok(Err(damaged(damage.what))),
        Err(Stopped::Unread(error)) => return unreadable(path, &error).map(Err),
    };
    Ok(match header {
        Ok(header) if header.cluster != cluster => {
            let sentence = sentence_of_foreign(path, header.cluster, cluster);
            Err(Found::Unusable(Unusable::OfAnotherCluster, sentence))
        }
        Ok(header) if header.list != list => Err(damaged("it names another list than its file")),
        Ok(header) => Ok(header),
        Err(NoHeader::Newer(format)) => {
            Err(Found::Unusable(Unusable::NewerFormat, sentence_of_newer(path, format)))
        }
        Err(NoHeader::Malformed) => Err(damaged("it is no header of a list")),
    })
}

/// Reads one list to its end and makes it durable, without a torn end.
async fn look(disk: &dyn Disk, path: &Path, list: Uuid, cluster: Uuid) -> Result<Found, Failure> {
    let mut file = match disk.open(path).await {
        Ok(file) => file,
        Err(error) => return unreadable(path, &error),
    };
    let mut records = Records::new(&*file, 0);
    let header = match read_header(&mut records, path, list, cluster).await? {
        Ok(header) => header,
        Err(found) => return Ok(found),
    };
    let damaged = |line, what, verified| Ok(Found::Damaged(Damaged { line, what, verified }));
    let begin = records.position();
    let mut held = Held { header, entries: 0, bytes: begin, settled: 0 };
    let mut whole = false;
    let torn_bytes = loop {
        let line = held.entries + 2;
        let payload = match records.next().await {
            Ok(Next::Record(payload)) => records.payload(payload),
            Ok(Next::End { torn_bytes }) => break torn_bytes,
            Err(Stopped::Damaged(damage)) => {
                return damaged(line, damage.what, Some(Verified { held, begin }));
            }
            Err(Stopped::Unread(error)) => return unreadable(path, &error),
        };
        match format::entry_of(payload) {
            Some((n, _)) if n == held.entries + 1 && !whole => {
                (held.entries, held.bytes) = (n, records.position());
            }
            None if !whole
                && !held.header.instead_of.is_empty()
                && format::whole_of(payload) == Some(held.entries) =>
            {
                whole = true;
            }
            _ => {
                let what = "it is not what has to follow there";
                return damaged(line, what, Some(Verified { held, begin }));
            }
        }
    };
    held.bytes = records.position();
    if !held.header.instead_of.is_empty() && !whole {
        return Ok(Found::Begun);
    }
    if held.entries == 0 {
        return Ok(Found::Nothing);
    }
    if torn_bytes > 0 {
        tracing::warn!("{} ended in {torn_bytes} bytes of an entry cut short", path.display());
        match file.truncate(held.bytes).await.map_err(|e| (Failure::of_call("cut", path, &e), e)) {
            Ok(()) => {}
            Err((Failure::Refused(_), error)) => return unreadable(path, &error),
            Err((failure, _)) => return Err(failure),
        }
    }
    // A process may have died between a write and its sync, and whoever sees an entry
    // here may acknowledge it.
    if !planted::is(Bug::TrustUnsyncedOutbox) {
        file.sync_data().await.map_err(|error| Failure::of_sync(path, &error))?;
    }
    Ok(Found::Whole { held, torn_bytes })
}
