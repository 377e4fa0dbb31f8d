//! Passwords: Argon2id, a few at a time, off the runtime's threads.
//!
//! A check of an account that does not exist does the same work as one that
//! does, against a hash that nothing matches, so that neither the answer nor
//! its delay tells anybody who has an account.

use std::sync::Arc;

use argon2::Params;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::hashing::{self, HASH_BYTES, SALT_BYTES};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;

/// What one password hash costs. A stored hash names its own cost, so a change
/// concerns new passwords only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in kibibytes, 8 or more for each lane.
    pub memory_kib: u32,
    /// Passes over that memory, 1 or more.
    pub iterations: u32,
    /// Lanes, 1 or more. They are computed one after the other.
    pub parallelism: u32,
}

impl Default for PasswordCost {
    /// OWASP's first recommendation for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        PasswordCost { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}

/// The right to compute one hash. Whoever waits for it holds nothing else.
pub(super) struct Permit(OwnedSemaphorePermit);

/// Hashes and checks passwords.
pub(super) struct Passwords {
    host: Host,
    params: Params,
    permits: Arc<Semaphore>,
    /// In PHC form, of no password at all.
    nobody: Arc<str>,
}

impl Passwords {
    /// Takes a cost and how many hashes may be computed at once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] for a cost that Argon2 does not have.
    pub(super) fn new(host: Host, cost: PasswordCost, in_parallel: usize) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::new(ErrorCode::InvalidConfig, format!("the cost of password hashes: {error}"))
        };
        let params =
            Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(HASH_BYTES))
                .map_err(|error| wrong(&error))?;
        // Random bytes in the place of a hash cost nothing to make, cost as
        // much as any other hash to check, and match no password.
        let (mut salt, mut hash) = ([0; SALT_BYTES], [0; HASH_BYTES]);
        host.random.fill(&mut salt);
        host.random.fill(&mut hash);
        let nobody = hashing::in_phc_form(&salt, &hash, &params).map_err(|error| wrong(&error))?;
        let permits = Arc::new(Semaphore::new(in_parallel.max(1)));
        Ok(Passwords { host, params, permits, nobody: nobody.into() })
    }

    /// Waits for the right to compute a hash.
    ///
    /// # Errors
    /// [`ErrorCode::DeadlineExceeded`]: others' passwords took too long.
    pub(super) async fn permit(&self, deadline: Instant) -> Result<Permit> {
        match tokio::time::timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(permit) => Ok(Permit(permit.expect("never closed"))),
            Err(_) => Err(Error::new(
                ErrorCode::DeadlineExceeded,
                "this server is busy with other people's passwords; nothing was done, try again",
            )),
        }
    }

    /// The hash of a new password, with a fresh salt, in PHC form.
    pub(super) async fn hash(&self, permit: Permit, password: SecretString) -> Result<String> {
        let mut salt = [0; SALT_BYTES];
        self.host.random.fill(&mut salt);
        let params = self.params.clone();
        let hashed = self
            .host
            .compute(move || {
                let hashed = hashing::hash(password.expose_secret().as_bytes(), &salt, &params);
                // Held here and not by the caller: a client that hangs up does
                // not stop the computation, whose memory is what is counted.
                drop(permit.0);
                hashed
            })
            .await;
        hashed.map_err(|error| Error::internal(format!("a password could not be hashed: {error}")))
    }

    /// Whether the password is the one of the stored hash; `None`, an account
    /// that does not exist, takes as long and is never right.
    pub(super) async fn verify(
        &self,
        permit: Permit,
        password: SecretString,
        stored: Option<Arc<str>>,
    ) -> bool {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| Arc::clone(&self.nobody));
        let matches = self
            .host
            .compute(move || {
                let matches = hashing::matches(password.expose_secret().as_bytes(), &stored);
                drop(permit.0);
                matches
            })
            .await;
        exists && matches
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::phc::PasswordHash;

    use super::*;
    use crate::server::tests::fake;

    const TINY: PasswordCost = PasswordCost { memory_kib: 8, iterations: 1, parallelism: 1 };

    fn deadline() -> Instant {
        Instant::now() + std::time::Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(fake::host(1), TINY, 1).expect("a cost Argon2 has");
        let permit = passwords.permit(deadline()).await.expect("free");
        let hash = passwords.hash(permit, "correct horse".into()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        for (password, right) in [("correct horse", true), ("Correct horse", false)] {
            let permit = passwords.permit(deadline()).await.expect("free");
            let stored = Some(hash.as_str().into());
            assert_eq!(passwords.verify(permit, password.into(), stored).await, right);
        }
        let again = passwords.permit(deadline()).await.expect("free");
        let again = passwords.hash(again, "correct horse".into()).await.expect("hashed");
        assert_ne!(hash, again, "every hash has its own salt");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_does_not_exist_costs_the_same_and_never_matches() {
        let cost = PasswordCost { memory_kib: 16, ..TINY };
        let passwords = Passwords::new(fake::host(1), cost, 1).expect("a cost Argon2 has");
        let nobody = PasswordHash::new(&passwords.nobody).expect("in PHC form");
        let permit = passwords.permit(deadline()).await.expect("free");
        let real = passwords.hash(permit, "correct horse".into()).await.expect("hashed");
        let real = PasswordHash::new(&real).expect("in PHC form");
        assert_eq!(nobody.params, real.params);
        assert_eq!((nobody.algorithm, nobody.version), (real.algorithm, real.version));
        assert_eq!(
            nobody.hash.map(|hash| hash.len()),
            real.hash.map(|hash| hash.len()),
            "as many bytes to compute and to compare"
        );
        let permit = passwords.permit(deadline()).await.expect("free");
        assert!(!passwords.verify(permit, "correct horse".into(), None).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_for_a_turn_is_told_that_nothing_was_done() {
        let passwords = Passwords::new(fake::host(1), TINY, 1).expect("a cost Argon2 has");
        let _held = passwords.permit(deadline()).await.expect("free");
        let Err(error) = passwords.permit(deadline()).await else { panic!("the permit is taken") };
        assert_eq!(error.code, ErrorCode::DeadlineExceeded);
    }

    #[test]
    fn an_impossible_cost_is_a_wrong_configuration() {
        let cost = PasswordCost { memory_kib: 1, ..TINY };
        let Err(error) = Passwords::new(fake::host(1), cost, 1) else { panic!("8 KiB at least") };
        assert_eq!(error.code, ErrorCode::InvalidConfig);
    }
}
