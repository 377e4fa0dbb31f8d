//! How a replica finds out that its directory is an old copy.
//!
//! A directory that was put back as it was some time ago looks whole. But what was
//! written since is gone: votes, and entries that were acknowledged. Only others can
//! know. So every opening of a directory draws a random id, which is kept in it with
//! those before. Each replica remembers durably the last opening of each of the others
//! that it was told, and tells them in every handshake, before they say anything of
//! themselves. If a replica's directory has not gone through the opening that another
//! one remembers, it is an old copy, and the replica comes back as a new incarnation.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::error::{Error, ErrorCode, Result};
use crate::protocol::peer::Remembered;
use crate::storage::Identity;
use crate::sync::Mutex;
use crate::types::ReplicaId;

/// What a replica knows of its own openings, and remembers of the others'. Clones
/// share it.
#[derive(Clone, Default)]
pub struct Openings(Arc<Inner>);

#[derive(Default)]
struct Inner {
    own: Mutex<Option<Identity>>,
    others: Mutex<BTreeMap<ReplicaId, Remembered>>,
    old_copy: watch::Sender<Option<Error>>,
}

impl Openings {
    /// Runs on an opened directory from now on.
    pub fn run_on(&self, identity: Identity) {
        *self.0.own.lock() = Some(identity);
    }

    /// Begins with an empty directory: the old copy was set aside.
    pub fn begin_anew(&self) {
        *self.0.own.lock() = None;
        self.0.old_copy.send_replace(None);
    }

    /// Remembers the last opening of another replica, so that it can be told.
    pub fn remember(&self, replica: ReplicaId, remembered: Remembered) {
        self.0.others.lock().insert(replica, remembered);
    }

    /// What is remembered of a replica.
    pub(super) fn of(&self, replica: ReplicaId) -> Option<Remembered> {
        self.0.others.lock().get(&replica).copied()
    }

    /// Compares what a peer, which has proved itself, remembers of this replica with
    /// its directory.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: it is an old copy.
    pub(super) fn check(&self, remembered: Option<Remembered>, by: ReplicaId) -> Result<()> {
        let own = self.0.own.lock().clone();
        let (Some(own), Some(remembered)) = (own, remembered) else { return Ok(()) };
        let continues = match remembered.incarnation.cmp(&own.incarnation) {
            // The peer does not know this incarnation yet.
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => own.continues(&remembered.opening),
            std::cmp::Ordering::Greater => false,
        };
        if continues {
            return Ok(());
        }
        let error = Error::new(
            ErrorCode::Corrupted,
            format!(
                "the data directory of replica {} is an older copy: replica {by} remembers a \
                 later state of it, so what was acknowledged since is missing",
                own.replica
            ),
        );
        self.0.old_copy.send_replace(Some(error.clone()));
        Err(error)
    }

    /// Why the directory counts as an old copy, if it does.
    ///
    /// # Errors
    /// What [`Openings::check`] has found.
    pub fn verdict(&self) -> Result<()> {
        self.0.old_copy.borrow().clone().map_or(Ok(()), Err)
    }

    /// Resolves when the directory turns out to be an old copy.
    pub async fn found_old(&self) -> Error {
        let mut old_copy = self.0.old_copy.subscribe();
        let found = old_copy.wait_for(Option::is_some).await.map(|found| found.clone());
        match found {
            Ok(found) => found.expect("waited for it"),
            // The sender is part of `self`.
            Err(_) => std::future::pending().await,
        }
    }
}
