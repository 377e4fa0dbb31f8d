//! One directory: what it has, and what is wrong with it.

use std::path::{Path, PathBuf};

use super::report::DirectoryFound;
use crate::consensus::remains::{LeftLog, LeftState, LogPlace, what_is_wrong};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::storage::{ListRemains, Remains, SET_ASIDE};

pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// What it has; `Err`: why nothing.
    pub(super) source: Result<Source>,
}

pub(super) struct Source {
    pub(super) remains: Remains,
    pub(super) log: LeftLog,
    pub(super) lists: Vec<ListRemains>,
    pub(super) problems: Vec<String>,
    pub(super) is_base: bool,
}

impl Directory {
    pub(super) fn report(&self) -> DirectoryFound {
        let dir = self.path.clone();
        match &self.source {
            Err(error) => {
                let problems = vec![what_is_wrong(error)];
                DirectoryFound { dir, problems, ..DirectoryFound::default() }
            }
            Ok(source) => DirectoryFound {
                dir,
                replica: Some(source.remains.identity().replica),
                snapshot: source.log.snapshot.map(|place| place.index()),
                last_log: source.log.last().map(|place| place.index()),
                term: source.log.last().map(|place| place.term()),
                outbox: source.lists.iter().map(|list| list.entries).sum(),
                is_base: source.is_base,
                usable: source.log.last().is_some() || !source.lists.is_empty(),
                problems: source.problems.clone(),
            },
        }
    }
}

impl Source {
    pub(super) async fn of(host: &Host, remains: Remains, path: &Path) -> Result<Source> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let was_set_aside = name.starts_with(SET_ASIDE);
        let job = async move {
            let log = LeftLog::of(&remains).await?;
            let (lists, of_outbox) = remains.outbox().await?;
            let mut problems = log.problems.clone();
            problems.extend(of_outbox);
            if was_set_aside {
                let what = "its server has set it aside, and what that had promised may be missing";
                problems.push(what.to_string());
            }
            if remains.has_lost_its_end().await {
                problems.push("the end of its log was lost before, and not had again".to_string());
            }
            if remains.is_in_doubt() {
                problems.push(
                    "an fsync failed in it since this machine started: what is read may never \
                     have reached the disk"
                        .to_string(),
                );
            }
            Ok(Source { remains, log, lists, problems, is_base: false })
        };
        let cut_off = || Error::internal("reading a directory was cut off");
        host.on_worker("look-at-remains", job).await.ok_or_else(cut_off)?
    }

    /// Its own state, with its log up to the index `through`, and what is wrong there, in
    /// sentences. `committed`: up to where any log is known to be committed.
    pub(super) async fn state(
        &self,
        window: u64,
        committed: u64,
        through: u64,
    ) -> Result<(LeftState, Vec<String>)> {
        let loaded = LeftState::load(&self.remains, window, committed).await;
        let mut state = match loaded {
            // What the snapshot was made from may be there yet.
            Err(_) if self.log.is_from_the_beginning() => LeftState::empty(window, committed),
            loaded => loaded?,
        };
        let problems = state.replay(&self.remains, through).await?;
        match state.at {
            Some(_) => Ok((state, problems)),
            None => Err(Error::new(ErrorCode::Corrupted, "it has neither log nor snapshot")),
        }
    }

    /// Says that the state that was made does not reach the end of its log, if that is so.
    pub(super) fn note_unreached(&mut self, at: Option<LogPlace>) {
        let (at, last) =
            (at.map_or(0, |at| at.index()), self.log.last().map_or(0, |it| it.index()));
        if at < last {
            self.note(format!(
                "its log goes on to entry {last}, and what leads there is missing: what comes \
                 behind {at} is left out"
            ));
        }
    }

    pub(super) fn note(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}
