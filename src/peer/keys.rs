//! The keys that a server, or whoever administers it, knows at one time.
//!
//! It is one key, but while a cluster gets a new one: then there are two. Which of them is
//! used is what the replicated state says: see [`crate::replica`], `membership/rekey.rs`.
//!
//! # Which key a connection is proved by
//! Whoever calls names the key that it uses, by its fingerprint. If the other side
//! knows that one it proves to hold it, and else the one that it uses itself; the
//! caller takes the proof of any key that it knows, and proves to hold the same. So
//! two sides understand each other if there is one key that both know, whatever each
//! of them believes of how far the change has come. In TLS it is the same: the caller
//! names those that it knows ([`Pinned`](crate::tls::Pinned)), and is shown the first
//! that the server knows.
//!
//! # Forgetting
//! A key that is forgotten proves nothing from that moment on. Connections that were
//! proved by it end. A file that still holds it changes nothing. When a change is done,
//! every key is forgotten but the new one, and but what the file holds for a change that
//! is not announced yet: also one of a change that never came about, or that this server
//! had missed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::key::ClusterKey;
use crate::config::key_file::{self, FileKeys};
use crate::error::{Error, ErrorCode, Result};
use crate::tls::{Identity, Shown};
use crate::types::{Digest, Fingerprint, KeyChange, KeyStage, Succession};

/// See the head of this file. Clones share them.
#[derive(Clone, Debug)]
pub struct Keys {
    ring: Arc<watch::Sender<Ring>>,
    shown: Shown,
    /// Where they were read.
    file: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Ring {
    /// The one that is used first; never empty.
    known: Vec<Known>,
    /// Those that the cluster has forgotten.
    forgotten: Vec<Fingerprint>,
    /// Those that the file held when it was read last.
    in_file: Vec<Fingerprint>,
    /// What leads to the newest key.
    successions: Vec<Succession>,
    /// Whether the file holds one of those that are forgotten.
    file_is_behind: bool,
}

#[derive(Clone, Debug)]
struct Known {
    key: ClusterKey,
    fingerprint: Fingerprint,
}

impl Known {
    fn of(key: ClusterKey) -> Known {
        let fingerprint = key.identity().fingerprint();
        Known { key, fingerprint }
    }
}

impl From<ClusterKey> for Keys {
    fn from(key: ClusterKey) -> Keys {
        Keys::of(key, None)
    }
}

impl Keys {
    /// Those in a file.
    ///
    /// # Errors
    /// Those of [`key_file::read`].
    pub fn read(file: &Path) -> Result<Keys> {
        let FileKeys { newest, older } = key_file::read(file)?;
        let keys = Keys::of(ClusterKey::new(*newest), older.map(|older| ClusterKey::new(*older)));
        Ok(Keys { file: Some(file.to_path_buf()), ..keys })
    }

    /// A key, and the older one that it is to follow. Until the cluster's state is known the
    /// older one is used, which every server knows.
    pub fn of(newest: ClusterKey, older: Option<ClusterKey>) -> Keys {
        let known: Vec<Known> = older.into_iter().chain(Some(newest)).map(Known::of).collect();
        let shown = Shown::from(&known[0].key.identity());
        let (forgotten, successions) = (Vec::new(), Vec::new());
        let in_file = known.iter().map(|known| known.fingerprint).collect();
        let ring = Ring { known, forgotten, in_file, successions, file_is_behind: false };
        let keys = Keys { ring: Arc::new(watch::Sender::new(ring)), shown, file: None };
        keys.show();
        keys
    }

    /// What may be the matter if another server holds none of these, as the end of a sentence.
    pub(super) fn hint(&self) -> String {
        let here = self
            .file
            .as_ref()
            .map_or_else(String::new, |file| format!(" (here: {})", file.display()));
        format!(
            "; if the cluster was given a new key (cluster rekey), the server that has only \
             the old one needs the new cluster.key in the place of its own{here}"
        )
    }

    /// What is shown to those who call in TLS: the key that is used, unless they ask for
    /// another that is known.
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// The newest key, of whoever has read a file: the one in its first line.
    pub fn newest(&self) -> ClusterKey {
        let ring = self.ring.borrow();
        ring.known.last().unwrap_or(&ring.known[0]).key.clone()
    }

    /// The fingerprint of the key that is used.
    pub fn used(&self) -> Fingerprint {
        self.ring.borrow().known[0].fingerprint
    }

    /// The fingerprints of all keys that are known, the one that is used first.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.ring.borrow().known.iter().map(|known| known.fingerprint).collect()
    }

    /// Whether that key is known.
    pub fn knows(&self, fingerprint: &Fingerprint) -> bool {
        self.ring.borrow().knows(fingerprint)
    }

    /// Whether the file of the keys still holds one that is forgotten.
    pub fn file_is_behind(&self) -> bool {
        self.ring.borrow().file_is_behind
    }

    /// Takes what the file of the keys holds by now. A key that it holds no more is kept:
    /// only the cluster decides when one is forgotten. Returns whether there was news.
    pub fn learn(&self, file: Vec<ClusterKey>) -> bool {
        let file: Vec<Known> = file.into_iter().map(Known::of).collect();
        let learned = self.ring.send_if_modified(|ring| {
            let mut learned = false;
            let behind = file.iter().any(|known| ring.forgotten.contains(&known.fingerprint));
            ring.file_is_behind = behind;
            ring.in_file = file.iter().map(|known| known.fingerprint).collect();
            for known in &file {
                let is_new =
                    !ring.knows(&known.fingerprint) && !ring.forgotten.contains(&known.fingerprint);
                if is_new {
                    ring.known.push(known.clone());
                }
                learned |= is_new;
            }
            learned
        });
        if learned {
            self.show();
        }
        learned
    }

    /// Does what a stage of a change asks for, as far as the new key is known here. Who
    /// does not know it stays with the old one, which is all it has.
    pub fn follow(&self, change: &KeyChange) {
        let modified = self.ring.send_if_modified(|ring| {
            let succeeded = ring.successions != change.successions;
            ring.successions.clone_from(&change.successions);
            let place = ring.known.iter().position(|known| known.fingerprint == change.new);
            let Some(place) = place.filter(|_| change.stage >= KeyStage::Used) else {
                return succeeded;
            };
            ring.known.swap(0, place);
            let forgets = change.stage == KeyStage::Done && ring.forget_all_before(change);
            place != 0 || succeeded || forgets
        });
        if modified {
            self.show();
        }
    }

    /// That none of these keys is of any use, if the cluster has forgotten them all.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`].
    pub fn check_not_all(&self, forgotten: &[Fingerprint]) -> Result<()> {
        if self.fingerprints().iter().any(|known| !forgotten.contains(known)) {
            return Ok(());
        }
        let here =
            self.file.as_ref().map_or_else(String::new, |file| format!(" in {}", file.display()));
        Err(Error::new(
            ErrorCode::InvalidConfig,
            format!(
                "the cluster key{here} was replaced by another one, and proves nothing any more: \
                 put the newer cluster.key in its place"
            ),
        ))
    }

    /// Forgets keys that the cluster has forgotten, as long as another one is left.
    pub fn forget(&self, forgotten: &[Fingerprint]) {
        let forgets = |ring: &mut Ring| {
            forgotten.iter().filter(|fingerprint| ring.forget(**fingerprint)).count() > 0
        };
        if self.ring.send_if_modified(forgets) {
            self.show();
        }
    }

    /// The fingerprints of keys that were forgotten.
    pub fn forgotten(&self) -> Vec<Fingerprint> {
        self.ring.borrow().forgotten.clone()
    }

    /// Resolves when a key is not known any more.
    pub(super) async fn gone(&self, fingerprint: &Fingerprint) {
        let mut ring = self.ring.subscribe();
        // The sender is part of `self`, so this cannot fail.
        let _ = ring.wait_for(|ring| !ring.knows(fingerprint)).await;
    }

    /// The key that is to be proved to somebody who names one.
    pub(super) fn chosen(&self, named: Option<&Fingerprint>) -> (Fingerprint, ClusterKey) {
        let ring = self.ring.borrow();
        let is_named = |known: &&Known| Some(&known.fingerprint) == named;
        let known = ring.known.iter().find(is_named).unwrap_or(&ring.known[0]);
        (known.fingerprint, known.key.clone())
    }

    /// The key that a proof was made with, if it is known.
    pub(super) fn proving(
        &self,
        label: &str,
        parts: &[&[u8]],
        proof: &Digest,
    ) -> Option<(Fingerprint, ClusterKey)> {
        let ring = self.ring.borrow();
        let known = ring.known.iter().find(|known| known.key.verify(label, parts, proof))?;
        Some((known.fingerprint, known.key.clone()))
    }

    fn show(&self) {
        let ring = self.ring.borrow();
        let identity = |known: &Known| Identity::following(known.key.bytes(), &ring.successions);
        self.shown.become_those(ring.known.iter().map(identity).collect());
    }
}

impl Ring {
    fn knows(&self, fingerprint: &Fingerprint) -> bool {
        self.known.iter().any(|known| known.fingerprint == *fingerprint)
    }

    /// Forgets what a change that is done leaves of no use. Returns whether there was any.
    fn forget_all_before(&mut self, change: &KeyChange) -> bool {
        let is_left = |known: &Fingerprint| {
            *known == change.new || (*known != change.old && self.in_file.contains(known))
        };
        let known = self.known.iter().map(|known| known.fingerprint);
        let useless: Vec<Fingerprint> = known.filter(|known| !is_left(known)).collect();
        useless.into_iter().filter(|known| self.forget(*known)).count() > 0
    }

    /// Returns whether something changed.
    fn forget(&mut self, fingerprint: Fingerprint) -> bool {
        let others = self.known.iter().any(|known| known.fingerprint != fingerprint);
        if !others || self.forgotten.contains(&fingerprint) {
            return false;
        }
        self.known.retain(|known| known.fingerprint != fingerprint);
        self.forgotten.push(fingerprint);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ClusterKey {
        ClusterKey::new([byte; 32])
    }

    fn print(byte: u8) -> Fingerprint {
        key(byte).identity().fingerprint()
    }

    fn change(stage: KeyStage) -> KeyChange {
        KeyChange { old: print(1), new: print(2), stage, successions: Vec::new() }
    }

    #[test]
    fn the_old_key_is_used_until_the_cluster_says_otherwise_and_then_forgotten() {
        let keys = Keys::from(key(1));
        assert!(keys.learn(vec![key(2), key(1)]) && !keys.learn(vec![key(2), key(1)]));
        keys.follow(&change(KeyStage::Announced));
        assert_eq!(keys.fingerprints(), [print(1), print(2)]);
        keys.follow(&change(KeyStage::Used));
        assert_eq!(keys.fingerprints(), [print(2), print(1)]);
        keys.follow(&change(KeyStage::Done));
        assert_eq!((keys.fingerprints(), keys.forgotten()), (vec![print(2)], vec![print(1)]));
        // The file still holds it, which is told and changes nothing.
        assert!(!keys.learn(vec![key(2), key(1)]) && keys.file_is_behind());
        assert_eq!(keys.fingerprints(), [print(2)]);
        keys.learn(vec![key(2)]);
        assert!(!keys.file_is_behind());
    }

    #[test]
    fn a_server_without_the_new_key_keeps_the_only_one_it_has() {
        let keys = Keys::from(key(1));
        keys.follow(&change(KeyStage::Used));
        keys.follow(&change(KeyStage::Done));
        keys.forget(&[print(1)]);
        assert_eq!((keys.used(), keys.forgotten()), (print(1), Vec::new()));
        // The file has come: the next look at the state does the rest.
        keys.learn(vec![key(2), key(1)]);
        keys.follow(&change(KeyStage::Done));
        assert_eq!(keys.fingerprints(), [print(2)]);
    }

    #[test]
    fn a_server_that_starts_with_both_uses_the_older_one() {
        let keys = Keys::of(key(2), Some(key(1)));
        assert_eq!(keys.fingerprints(), [print(1), print(2)]);
        // What was forgotten before the start is not known again.
        keys.forget(&[print(1)]);
        assert_eq!(keys.fingerprints(), [print(2)]);
        keys.learn(vec![key(2), key(1)]);
        assert_eq!(keys.fingerprints(), [print(2)]);
    }

    #[test]
    fn keys_of_changes_that_were_missed_or_never_came_about_are_forgotten_too() {
        let keys = Keys::from(key(9));
        // A server that missed the change from 9 to 1 gets the file of the next one.
        keys.learn(vec![key(2), key(1)]);
        keys.follow(&change(KeyStage::Done));
        assert_eq!((keys.fingerprints(), keys.knows(&print(9))), (vec![print(2)], false));
        // One that is carried ahead of its announcement stays, also until another is.
        keys.learn(vec![key(3), key(2)]);
        keys.follow(&change(KeyStage::Done));
        assert_eq!(keys.fingerprints(), [print(2), print(3)]);
        keys.learn(vec![key(4), key(2)]);
        let next = |stage| KeyChange { old: print(2), new: print(4), ..change(stage) };
        keys.follow(&next(KeyStage::Used));
        keys.follow(&next(KeyStage::Done));
        assert_eq!(keys.fingerprints(), [print(4)], "3 was never the cluster's");
    }

    #[tokio::test]
    async fn who_waits_for_a_key_to_be_forgotten_hears_of_it() {
        let keys = Keys::of(key(2), Some(key(1)));
        let (one, two) = (print(1), print(2));
        let gone = tokio::join!(keys.gone(&one), async { keys.follow(&change(KeyStage::Done)) });
        assert_eq!(gone, ((), ()));
        assert!(keys.knows(&two));
    }
}
