//! The lists in an outbox whose server does not run, as far as they are sound. Nothing is cut,
//! moved or removed: what a start would do with them counts, and is not done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::files::failed_call;
use super::super::records::{Next, Records, Stopped};
use super::super::{Identity, Paths};
use super::format::{self, Header, NoHeader};
use super::salvage::{DAMAGED, list_of_name};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Disk;
use crate::types::Uuid;

/// A list that counts.
#[derive(Clone, Debug)]
pub struct ListRemains {
    /// Its id.
    pub list: Uuid,
    /// Whether its numbers mean nothing in the directory's own history; see
    /// [`OutboxList::of_another_lineage`](super::OutboxList::of_another_lineage).
    pub of_another_lineage: bool,
    /// How many entries are sound: numbers 1 to this one.
    pub entries: u64,
    header: Header,
    path: PathBuf,
}

/// What gets the number of an entry, and the entry.
pub(in crate::storage) type EachEntry<'a> = dyn FnMut(u64, &[u8]) -> Result<()> + Send + 'a;

/// Why nothing more of a file is sound.
type Damage = Option<String>;

/// The lists that count, in their order, and what is wrong in the outbox, in sentences.
///
/// # Errors
/// The folder cannot be listed.
pub(in crate::storage) async fn lists(
    disk: &dyn Disk,
    paths: &Paths,
    identity: &Identity,
) -> Result<(Vec<ListRemains>, Vec<String>)> {
    let folder = paths.outbox();
    let names = match disk.list(&folder).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
        names => names.map_err(|error| failed_call("list", &folder, &error))?,
    };
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(&name);
        if name.contains(DAMAGED) {
            notes.push(format!("{} was set aside broken, and is left out", path.display()));
        }
        let Some(list) = list_of_name(&name) else { continue };
        let (walked, damage) = walk(disk, &path, u64::MAX, &mut |_, _| Ok(())).await;
        notes.extend(damage);
        match walked {
            Some((header, _)) if header.cluster != identity.cluster => notes.push(format!(
                "{} belongs to the cluster {}, and is left out",
                path.display(),
                header.cluster
            )),
            Some((header, _)) if header.list != list => notes.push(format!(
                "{} names another list than its file, and is left out",
                path.display()
            )),
            Some((header, Walked { entries, whole })) => {
                let of_another_lineage = header.lineage != identity.lineage;
                // One that was not completed: those in whose place it was to be count.
                let counts = header.instead_of.is_empty() || whole;
                let list = ListRemains { list, of_another_lineage, entries, header, path };
                found.push((counts, list));
            }
            None => {}
        }
    }
    let mut lists: Vec<ListRemains> =
        found.into_iter().filter(|(counts, _)| *counts).map(|(_, list)| list).collect();
    let replaced: BTreeSet<Uuid> =
        lists.iter().flat_map(|it| it.header.instead_of.iter().copied()).collect();
    lists.retain(|it| it.entries > 0 && !replaced.contains(&it.list));
    lists.sort_by_key(|it| (it.header.order, it.list));
    Ok((lists, notes))
}

/// Goes through the sound entries of a list.
///
/// # Errors
/// What `each` returned; [`ErrorCode::Corrupted`]: the list is not as it was found.
pub(in crate::storage) async fn read(
    disk: &dyn Disk,
    list: &ListRemains,
    each: &mut EachEntry<'_>,
) -> Result<()> {
    let mut failed = None;
    let mut each =
        |n: u64, entry: &[u8]| each(n, entry).inspect_err(|error| failed = Some(error.clone()));
    let (walked, _) = walk(disk, &list.path, list.entries, &mut each).await;
    if let Some(error) = failed {
        return Err(error);
    }
    match walked {
        Some((_, Walked { entries, .. })) if entries >= list.entries => Ok(()),
        _ => Err(Error::new(
            ErrorCode::Corrupted,
            format!("{} has changed while it was read", list.path.display()),
        )),
    }
}

struct Walked {
    entries: u64,
    /// Whether the record is there that ends a list written anew.
    whole: bool,
}

/// Goes through a file; its header, and what was sound of it.
async fn walk(
    disk: &dyn Disk,
    path: &Path,
    through: u64,
    each: &mut EachEntry<'_>,
) -> (Option<(Header, Walked)>, Damage) {
    let broken = |line: u64, what: &str| {
        Some(format!("line {line} of {} is broken: {what}; it counts up to there", path.display()))
    };
    let unread = |error: &std::io::Error| Some(format!("cannot read {}: {error}", path.display()));
    let file = match disk.open(path).await {
        Ok(file) => file,
        Err(error) => return (None, unread(&error)),
    };
    let mut records = Records::new(&*file, 0);
    let header = match records.next().await {
        Ok(Next::Record(payload)) => Header::decode(records.payload(payload)),
        // Nothing in it was ever acknowledged.
        Ok(Next::End { .. }) => return (None, None),
        Err(Stopped::Damaged(damage)) => return (None, broken(1, damage.what)),
        Err(Stopped::Unread(error)) => return (None, unread(&error)),
    };
    let header = match header {
        Ok(header) => header,
        Err(NoHeader::Newer(format)) => {
            let path = path.display();
            return (None, Some(format!("{path} is of the newer format {format}; left out")));
        }
        Err(NoHeader::Malformed) => return (None, broken(1, "it is no header of a list")),
    };
    let mut walked = Walked { entries: 0, whole: false };
    while walked.entries < through {
        let line = walked.entries + 2;
        let payload = match records.next().await {
            Ok(Next::Record(payload)) => records.payload(payload),
            // The beginning of a record was never acknowledged.
            Ok(Next::End { .. }) => break,
            Err(Stopped::Damaged(damage)) => {
                return (Some((header, walked)), broken(line, damage.what));
            }
            Err(Stopped::Unread(error)) => return (Some((header, walked)), unread(&error)),
        };
        match format::entry_of(payload) {
            Some((n, entry)) if n == walked.entries + 1 && !walked.whole => {
                if let Err(error) = each(n, &payload[entry]) {
                    return (Some((header, walked)), Some(error.message));
                }
                walked.entries = n;
            }
            None if !header.instead_of.is_empty()
                && format::whole_of(payload) == Some(walked.entries) =>
            {
                walked.whole = true;
            }
            _ => {
                let what = "it is not what has to follow there";
                return (Some((header, walked)), broken(line, what));
            }
        }
    }
    (Some((header, walked)), None)
}
