//! Which keys the cluster has forgotten, by their fingerprints.
//!
//! A server that forgets a key may find it again in its key file when it is restarted. It
//! must not take it then, not even before it has loaded the state that says so. So that is
//! written down beside the rest.

use bytes::Bytes;

use super::errors::corrupted;
use super::files::{self, Durability};
use super::lock::LockShare;
use super::{DataDirectory, Paths, on_worker, record};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::types::Fingerprint;

/// The file `forgotten-keys.json` of one data directory.
pub struct ForgottenKeys {
    host: Host,
    paths: Paths,
    lock: LockShare,
    known: Vec<Fingerprint>,
}

impl ForgottenKeys {
    /// Reads what the directory remembers. What cannot be read is learned again from the
    /// state.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub async fn open(directory: &DataDirectory) -> Result<ForgottenKeys> {
        let (host, paths) = (directory.host.clone(), directory.paths.clone());
        let lock = directory.lock.clone();
        let (job_host, path) = (host.clone(), paths.forgotten_keys());
        let known = on_worker(&host, "read-forgotten-keys", async move {
            let read = match files::read(&*job_host.disk, &path).await {
                Ok(None) => Ok(Vec::new()),
                Ok(Some(payload)) => serde_json::from_slice(&payload)
                    .map_err(|e| corrupted(&path, 1, &format!("it names no fingerprints: {e}"))),
                Err(error) if error.code == ErrorCode::Corrupted => Err(error),
                Err(error) => return Err(error),
            };
            Ok(read.unwrap_or_else(|error: Error| {
                tracing::warn!(%error, "forgot which keys are forgotten, until the state says so");
                Vec::new()
            }))
        })
        .await?;
        Ok(ForgottenKeys { host, paths, lock, known })
    }

    /// The fingerprints.
    pub fn all(&self) -> &[Fingerprint] {
        &self.known
    }

    /// Remembers these too, durably.
    ///
    /// # Errors
    /// [`ErrorCode::Io`], [`ErrorCode::DiskFull`]; then nothing more is remembered.
    pub async fn remember(&mut self, forgotten: &[Fingerprint]) -> Result<()> {
        let is_new = |it: &&Fingerprint| !self.known.contains(it);
        let new: Vec<Fingerprint> = forgotten.iter().filter(is_new).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let known = [&self.known[..], &new].concat();
        let payload = serde_json::to_vec(&known).expect("plain data serializes");
        let (host, path) = (self.host.clone(), self.paths.forgotten_keys());
        // The job owns a share: it works on after its caller is gone.
        let lock = self.lock.clone();
        on_worker(&self.host, "write-forgotten-keys", async move {
            let line: Bytes = record::encode(&payload);
            let written = files::replace(&*host.disk, &path, line, Durability::Durable).await;
            drop(lock);
            Ok(written?)
        })
        .await?;
        self.known = known;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing;

    #[tokio::test]
    async fn what_is_forgotten_stays_so_and_rot_is_learned_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = testing::directory(&Host::real(), folder.path()).await;
        let mut keys = ForgottenKeys::open(&directory).await.expect("opens");
        assert!(keys.all().is_empty());
        let (one, two) = (Fingerprint::of(b"one"), Fingerprint::of(b"two"));
        keys.remember(&[one]).await.expect("remembers");
        keys.remember(&[two, one]).await.expect("remembers");
        let again = ForgottenKeys::open(&directory).await.expect("opens");
        assert_eq!(again.all(), [one, two]);

        std::fs::write(folder.path().join("forgotten-keys.json"), "rot").expect("writes");
        let rotten = ForgottenKeys::open(&directory).await.expect("opens");
        assert!(rotten.all().is_empty());
    }
}
