//! A new cluster out of what is left of an old one, when its other machines are gone for good.
//!
//! ```text
//!  directories of the old cluster          read only, with their locks held
//!    │  the most advanced log: its snapshot, then all of it
//!    │  what other logs have that it lacks, each change by its id
//!    │  the outboxes, list by list
//!    ▼
//!  one state ── as a backup has it ──► the new cluster's first snapshot, in each directory
//! ```
//!
//! # What it promises
//! - Nothing that any of the directories has is left out in silence. What may be missing, as
//!   it was on other machines, is said ([`Found`]).
//! - The old directories stay as they were.
//! - The new cluster has another id, another key and another lineage: no server of the old
//!   one speaks with it.
//! - What comes over is what comes back from a backup ([`View::for_backup`]): accounts with
//!   their passwords, messages with ids and order, what was read and deleted, the ids that are
//!   remembered. Sessions do not.
//!
//! # Why all of a log is taken
//! Whether the end of a log was committed only a majority can tell, and there is none. A
//! message there may have been acknowledged, so it is taken. If it was not, its sender was told
//! that the outcome is unknown, and both are possible then.
//!
//! A log that ends in an earlier term may hold messages that the most advanced one lacks: they
//! were never committed. They were not refused either. So they are tested against the state in
//! which they were written, as a server that goes alone tests the end of its own log, and come
//! in as its entries do: by accounts, not by names, and as tried before.
//!
//! # A machine that turns up later
//! It is compared with the running cluster, and hands over what only it knew
//! (`handing_over.rs`).
//!
//! # How it fails
//! A directory that a server runs, or directories of two clusters: nothing is done. One that is
//! damaged is used as far as it is sound. If none has a state: [`ErrorCode::Corrupted`] with the
//! reason for each.

mod found;
mod handing_over;
mod late;
mod merged;
mod report;
mod source;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use self::found::Founding;
pub use self::handing_over::{Brought, HandedOver, hand_over};
pub use self::late::Clash;
pub use self::report::{DirectoryFound, Found};

use self::merged::Merged;
use self::source::{Directory, Source};

#[cfg(doc)]
use crate::chat::View;
use crate::chat::{OldOrder, Reached, State};
use crate::consensus::remains::{LeftLog, LeftState, LogPlace, what_is_wrong};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::storage::Remains;
use crate::types::{NodeId, Place, Timestamp, Uuid};

/// About how many bytes of entries are settled in one log entry.
const PART_BYTES: usize = 1024 * 1024;

/// What a state is made for.
pub struct Aim {
    /// The de-duplication window in log entries.
    pub window: u64,
    /// The time of what the state takes from outboxes.
    pub now: Timestamp,
    /// For a new cluster, nothing: all of the most advanced log is taken. For one that runs: up
    /// to where it has settled lists of outboxes, which are not taken so far. Then the log is
    /// taken as far as it is known to be committed, and its end as a lonely server takes it.
    pub elsewhere: Option<BTreeMap<Uuid, u64>>,
}

/// Directories of one cluster that no server runs, and that none can run meanwhile.
pub struct Left {
    /// In the order in which they were named.
    directories: Vec<Directory>,
    cluster: Uuid,
}

impl Left {
    /// Takes the locks of directories and looks at what they have.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`]; [`ErrorCode::WrongCluster`]: they are of two clusters;
    /// [`ErrorCode::Corrupted`]: none can be used, with the reason for each.
    pub async fn open(host: &Host, paths: &[PathBuf]) -> Result<Left> {
        let mut seen = BTreeSet::new();
        let mut directories: Vec<Directory> = Vec::new();
        for path in paths {
            // One that is named twice would be in its own way.
            if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                continue;
            }
            let source = match Remains::open(host, path).await {
                Ok(remains) => Source::of(host, remains, path).await,
                Err(error) if error.code == ErrorCode::DirectoryInUse => return Err(error),
                Err(error) => Err(error),
            };
            directories.push(Directory { path: path.clone(), source });
        }
        let mut clusters = directories.iter().filter_map(|it| {
            let identity = it.source.as_ref().ok()?.remains.identity();
            Some((identity.cluster, &it.path))
        });
        let Some((cluster, first)) = clusters.next() else {
            return Err(nothing_usable(directories.iter()));
        };
        if let Some((other, path)) = clusters.find(|(other, _)| *other != cluster) {
            return Err(Error::new(
                ErrorCode::WrongCluster,
                format!(
                    "{} belongs to the cluster {cluster}, and {} to {other}; one cluster is \
                     recovered at a time. Nothing was done",
                    first.display(),
                    path.display()
                ),
            ));
        }
        Ok(Left { directories, cluster })
    }

    /// The old cluster.
    pub fn cluster(&self) -> Uuid {
        self.cluster
    }

    /// Those of the directories that say of themselves that they are the old cluster's.
    pub fn usable(&self) -> impl Iterator<Item = &Path> {
        let usable = self.directories.iter().filter(|it| it.source.is_ok());
        usable.map(|it| it.path.as_path())
    }

    /// How its machines know the order of its messages.
    fn order(&self) -> OldOrder {
        // A lineage is made at the founding alone, so all have the same.
        let lineage = self.sources().map(|it| it.remains.identity().lineage).next();
        OldOrder::of(&self.cluster, &lineage.unwrap_or_default())
    }

    /// The lists of all outboxes.
    fn lists(&self) -> impl Iterator<Item = Uuid> {
        self.sources().flat_map(|it| it.lists.iter().map(|list| list.list))
    }

    /// Makes one state of all that is there.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: no directory has a state, with the reason for each;
    /// [`ErrorCode::Restoring`]: a backup was being brought back.
    pub async fn recover(self, host: &Host, aim: Aim) -> Result<Recovered> {
        let job_host = host.clone();
        let job = async move { self.recover_here(&job_host, aim).await };
        let cut_off = || Error::internal("reading what is left was cut off");
        host.on_worker("recover", job).await.ok_or_else(cut_off)?
    }

    async fn recover_here(mut self, host: &Host, aim: Aim) -> Result<Recovered> {
        let (base, path) = self.most_advanced(&aim).await?;
        let LeftState { mut state, at, voters, latest_at, confirmed, committed } = base;
        state.usable().map_err(|error| Error {
            message:
                "the old cluster was in the middle of a restore: bring that backup into a new \
                      cluster instead. Nothing was done"
                    .to_string(),
            ..error
        })?;
        state.begin_to_settle();
        let (order, last, lists) = (self.order(), state.reached().seq, state.settled_lists());
        let settled = aim.elsewhere.iter().flatten();
        settled.for_each(|(list, through)| state.skip_settled(*list, *through));
        let end = at.map_or(0, |at| at.index());
        let mut merged = Merged {
            newest_message_at: state.newest_at(),
            not_known_committed: end.saturating_sub(committed),
            index: end,
            at: aim.now.max(latest_at),
            state,
            taken_alone: 0,
            adopted: 0,
            left_out: 0,
        };
        for number in 0..self.directories.len() {
            self.adopt_tail(host, number, &path, &aim, &mut merged).await;
        }
        for directory in &mut self.directories {
            let Ok(source) = &mut directory.source else { continue };
            for list in std::mem::take(&mut source.lists) {
                if let Err(error) = merged.settle_list(host, source, &list).await {
                    source.problems.push(error.message);
                }
                source.lists.push(list);
            }
        }
        let found = self.report(&merged, &voters);
        let (window, Merged { state, at, .. }) = (aim.window, merged);
        Ok(Recovered { state, at, window, order, confirmed, last, lists, found, _left: self })
    }

    /// Up to where a log is known to be committed, by any of the directories.
    fn committed_in(&self, log: &LeftLog) -> u64 {
        let known = self.sources().flat_map(|it| [it.log.committed, it.log.snapshot]).flatten();
        // One that is at the same index in another log says nothing.
        let there = known.filter(|place| log.has(*place)).chain(log.snapshot);
        there.map(|place| place.index()).max().unwrap_or(0)
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.directories.iter().filter_map(|it| it.source.as_ref().ok())
    }

    fn source(&self, number: usize) -> Option<&Source> {
        self.directories.get(number)?.source.as_ref().ok()
    }

    fn source_mut(&mut self, number: usize) -> Option<&mut Source> {
        self.directories.get_mut(number)?.source.as_mut().ok()
    }

    /// The state of the most advanced log that leads to one, with the directories whose logs
    /// are in it.
    async fn most_advanced(&mut self, aim: &Aim) -> Result<(LeftState, Vec<usize>)> {
        let mut order: Vec<(Option<LogPlace>, usize)> = (0..self.directories.len())
            .filter_map(|number| Some((self.source(number)?.log.last(), number)))
            .collect();
        order.sort_by_key(|(last, number)| (std::cmp::Reverse(*last), *number));
        let (mut best, mut stateless) = (None, Vec::new());
        for (_, number) in &order {
            // Of one that is behind only what a more advanced log has as well, if there is one
            // that leads on from there: its own end may never have been committed.
            let parts_at = stateless.iter().find_map(|other: &usize| {
                self.source(*number)?.log.common(&self.source(*other)?.log)
            });
            let through = parts_at.map_or(u64::MAX, |place| place.index());
            let committed = self.source(*number).map_or(0, |it| self.committed_in(&it.log));
            let through = if aim.elsewhere.is_some() { through.min(committed) } else { through };
            let Some(source) = self.source_mut(*number) else { continue };
            match source.state(aim.window, committed, through).await {
                Ok((state, problems)) => {
                    source.is_base = true;
                    problems.into_iter().for_each(|problem| source.note(problem));
                    let path = if parts_at.is_some() { Vec::new() } else { vec![*number] };
                    best = Some((state, path));
                    break;
                }
                Err(error) => {
                    source.note(what_is_wrong(&error));
                    stateless.push(*number);
                }
            }
        }
        let Some((mut state, mut path)) = best else {
            return Err(nothing_usable(self.directories.iter()));
        };
        // One that has no state of its own, or a gap, may still have what follows.
        let mut grows = true;
        while std::mem::take(&mut grows) {
            for (_, number) in &order {
                let (Some(source), Some(at)) = (self.source(*number), state.at) else {
                    continue;
                };
                if !source.log.has(at) || source.log.last() <= Some(at) {
                    continue;
                }
                let committed = self.source(*number).map_or(0, |it| self.committed_in(&it.log));
                state.committed = state.committed.max(committed);
                let through = if aim.elsewhere.is_some() { committed } else { u64::MAX };
                let Some(source) = self.source_mut(*number) else { continue };
                match state.replay(&source.remains, through).await {
                    Ok(problems) => problems.into_iter().for_each(|it| source.note(it)),
                    Err(error) => source.note(what_is_wrong(&error)),
                }
                grows |= state.at > Some(at);
                if state.at > Some(at) && !path.contains(number) {
                    path.push(*number);
                }
            }
        }
        for number in path.iter().filter(|_| aim.elsewhere.is_none()) {
            if let Some(source) = self.source_mut(*number) {
                source.note_unreached(state.at);
            }
        }
        Ok((state, path))
    }

    /// Takes what a log has that those on the path do not have.
    async fn adopt_tail(
        &mut self,
        host: &Host,
        number: usize,
        path: &[usize],
        aim: &Aim,
        merged: &mut Merged,
    ) {
        // What is known to be committed is all that the state has then.
        let is_base = path.contains(&number);
        let confirmed_only = aim.elsewhere.is_some();
        let Some(source) = self.source(number).filter(|_| !is_base || confirmed_only) else {
            return;
        };
        let on_path = || path.iter().filter_map(|number| self.source(*number));
        let Some(last) = source.log.last() else { return };
        if !is_base && on_path().any(|it| it.log.has(last)) {
            return;
        }
        // Where the logs cannot be compared any more, what it knew to be committed is common.
        let common = on_path().filter_map(|it| source.log.common(&it.log)).max();
        let common = common.or(source.log.committed.max(source.log.snapshot));
        let behind = match is_base {
            true => self.committed_in(&source.log),
            false => common.map_or(0, |place| place.index()),
        };
        if behind >= last.index() {
            return;
        }
        let is_settled = |place: &Place| merged.state.settled(&place.list) >= place.number;
        match tail::taken(&source.remains, behind, aim.window, is_settled).await {
            Ok(mut tail) => {
                let problems = std::mem::take(&mut tail.problems);
                if let Some(source) = self.source_mut(number) {
                    problems.into_iter().for_each(|problem| source.note(problem));
                }
                merged.left_out += tail.left_out;
                merged.adopted += tail.taken.len() as u64;
                merged.settle(host.uuid(), tail.taken);
            }
            Err(error) => {
                let why = what_is_wrong(&error);
                let what =
                    format!("the end of its log, from {} on, is left out: {why}", behind + 1);
                if let Some(source) = self.source_mut(number) {
                    source.note(what);
                }
            }
        }
    }

    fn report(&self, merged: &Merged, voters: &BTreeSet<NodeId>) -> Found {
        let (accounts, messages) = merged.state.view().counts();
        let mut found = Found {
            directories: self.directories.iter().map(Directory::report).collect(),
            accounts,
            messages,
            newest_message_at: merged.newest_message_at,
            not_known_committed: merged.not_known_committed,
            taken_alone: merged.taken_alone,
            adopted: merged.adopted,
            left_out: merged.left_out,
            ..Found::nothing(self.cluster)
        };
        let is_sound = |it: &Source| it.problems.is_empty() && it.log.last().is_some();
        let here = self.sources().map(|it| (it.remains.identity().node(), is_sound(it)));
        found.conclude(voters, &here.collect::<Vec<_>>());
        found
    }
}

fn nothing_usable<'a>(directories: impl Iterator<Item = &'a Directory>) -> Error {
    let reasons: Vec<String> = directories
        .map(|it| {
            let DirectoryFound { dir, problems, .. } = it.report();
            let nothing = vec!["it has no state".to_string()];
            let why = if problems.is_empty() { nothing } else { problems };
            format!("{}: {}", dir.display(), why.join("; "))
        })
        .collect();
    let why = reasons.join("; ");
    Error::new(ErrorCode::Corrupted, format!("nothing can be recovered; {why}"))
}

/// All that is left, as one state.
pub struct Recovered {
    state: State,
    at: Timestamp,
    window: u64,
    order: OldOrder,
    /// How far it is known to be confirmed.
    confirmed: Reached,
    /// The last message of the most advanced log, as far as it was taken whole.
    last: u64,
    /// Up to where lists of lonely servers are settled in it.
    lists: Vec<(Uuid, u64)>,
    found: Found,
    /// The locks.
    _left: Left,
}

impl Recovered {
    /// What was found, and what may be missing.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// The new cluster that has it, and what was found. The old directories stay locked until
    /// the first of the two is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: the state contradicts itself.
    pub async fn found_anew(self, host: &Host) -> Result<(Founding, Found)> {
        let (cluster, lineage, backup) = (host.uuid(), host.uuid(), host.uuid());
        let Recovered { mut state, at, window, order, confirmed, last, found, _left, .. } = self;
        let job = async move {
            state.note_old_order(&order, confirmed, last);
            found::carried_over(&state, backup, at, window)
        };
        let cut_off = || Error::internal("making the new state was cut off");
        let carried = host.on_worker("found-anew", job).await.ok_or_else(cut_off)??;
        Ok((Founding { cluster, lineage, carried, _left }, found))
    }
}
