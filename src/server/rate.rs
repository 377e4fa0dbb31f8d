//! Rate limits for guesses, registrations and changes.
//!
//! A limit on guesses must not become a weapon: whoever can spend another user's
//! attempts can lock that user out. Three buckets count failed logins, and fewer can
//! empty each one than it protects:
//!
//! - **account and address**, the strict one. Only those who share the
//!   user's own address can empty it, so an attacker elsewhere only runs dry alone.
//! - **address**, [`WIDER`] times as large and as fast: one address cannot try
//!   one password on every account, and a neighbour's typing errors (on
//!   loopback everyone is a neighbour) do not stop others.
//! - **account**, likewise wider: many addresses together cannot guess one
//!   account's password faster than that. An address from which the account
//!   has logged in or used a session before is exempt from this one, so that
//!   users go on from where they usually are while the account is attacked.
//!
//! Refusals spend nothing, every bucket refills with time, and a right
//! password gives its attempt back: no lock-out is permanent, and users who
//! know their passwords never meet a limit of their own making.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorCode, Result};
use crate::limits::Limits;
use crate::sync::Mutex;
use crate::types::Uuid;

/// How much wider the buckets of an address or an account alone are than the
/// bucket of both together.
const WIDER: u32 = 10;

/// Entries of one table. A bucket that is full again is dropped first; then
/// the fullest, whose loss forgives the least.
const TABLE_MAX: usize = 16_384;

/// Token buckets under keys. A bucket is stored as the instant at which it
/// will be full again (the "theoretical arrival time" of the generic cell rate
/// algorithm, ITU-T I.371), so an absent bucket is a full one.
struct Buckets<K> {
    full_at: BTreeMap<K, Instant>,
    refill: Duration,
    depth: Duration,
}

impl<K: Ord + Clone> Buckets<K> {
    /// Buckets of `burst` tokens (at least one), of which one comes back every `refill`.
    fn new(burst: u32, refill: Duration) -> Self {
        Buckets { full_at: BTreeMap::new(), refill, depth: refill * burst.max(1) }
    }

    /// How long until there is a token; zero when there is one now.
    fn wait(&self, key: &K, now: Instant) -> Duration {
        match self.full_at.get(key) {
            Some(full_at) => (*full_at + self.refill).saturating_duration_since(now + self.depth),
            None => Duration::ZERO,
        }
    }

    fn take(&mut self, key: &K, now: Instant) {
        if self.full_at.len() >= TABLE_MAX && !self.full_at.contains_key(key) {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= TABLE_MAX {
                let fullest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
                if let Some(fullest) = fullest.map(|(key, _)| key.clone()) {
                    self.full_at.remove(&fullest);
                }
            }
        }
        let full_at = self.full_at.entry(key.clone()).or_insert(now);
        *full_at = (*full_at).max(now) + self.refill;
    }

    fn give_back(&mut self, key: &K) {
        if let Some(full_at) = self.full_at.get_mut(key) {
            *full_at -= self.refill;
        }
    }
}

/// An account's name, folded, and a remote address.
type Pair = (String, String);

/// Counts failed logins; see the head of this file.
pub(super) struct FailedLogins(Mutex<Tables>);

struct Tables {
    pairs: Buckets<Pair>,
    addresses: Buckets<String>,
    accounts: Buckets<String>,
    /// Where an account was used successfully, and when last.
    known: BTreeMap<Pair, Instant>,
}

impl Tables {
    /// See [`FailedLogins::check`].
    fn check(&self, pair: &Pair, now: Instant) -> Result<()> {
        let exempt = self.known.contains_key(pair);
        let whole = if exempt { Duration::ZERO } else { self.accounts.wait(&pair.0, now) };
        for (wait, whose) in [
            (self.pairs.wait(pair, now), "for this account from this address"),
            (self.addresses.wait(&pair.1, now), "from this address"),
            (whole, "for this account"),
        ] {
            if wait > Duration::ZERO {
                return Err(limited(&format!("too many failed logins {whose}"), wait));
            }
        }
        Ok(())
    }

    /// See [`FailedLogins::attempt`]. Checks and takes with the tables held, so
    /// that attempts made at once do not share one token.
    fn attempt(&mut self, pair: &Pair, now: Instant) -> Result<()> {
        self.check(pair, now)?;
        self.pairs.take(pair, now);
        self.addresses.take(&pair.1, now);
        self.accounts.take(&pair.0, now);
        Ok(())
    }
}

impl FailedLogins {
    pub(super) fn new(limits: &Limits) -> Self {
        let (burst, refill) =
            (limits.failed_login_burst, Duration::from_secs(limits.failed_login_refill_s));
        let wide = burst.saturating_mul(WIDER);
        FailedLogins(Mutex::new(Tables {
            pairs: Buckets::new(burst, refill),
            addresses: Buckets::new(wide, refill / WIDER),
            accounts: Buckets::new(wide, refill / WIDER),
            known: BTreeMap::new(),
        }))
    }

    /// Whether an attempt would be let through; spends nothing.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with the time to wait.
    pub(super) fn check(&self, account: &str, address: &str) -> Result<()> {
        self.tables().check(&(account.to_string(), address.to_string()), Instant::now())
    }

    /// Spends an attempt before the password is checked, so that attempts made
    /// at once count as well.
    ///
    /// # Errors
    /// As [`FailedLogins::check`].
    pub(super) fn attempt(&self, account: &str, address: &str) -> Result<()> {
        self.tables().attempt(&(account.to_string(), address.to_string()), Instant::now())
    }

    /// The password was right: gives the attempt back.
    pub(super) fn forgive(&self, account: &str, address: &str) {
        let pair = (account.to_string(), address.to_string());
        let mut tables = self.tables();
        tables.pairs.give_back(&pair);
        tables.addresses.give_back(&pair.1);
        tables.accounts.give_back(&pair.0);
    }

    /// The account was used from this address, by password or by session.
    pub(super) fn remember(&self, account: &str, address: &str) {
        let mut tables = self.tables();
        tables.known.insert((account.to_string(), address.to_string()), Instant::now());
        if tables.known.len() > TABLE_MAX {
            let oldest = tables.known.iter().min_by_key(|(_, last)| **last);
            if let Some(oldest) = oldest.map(|(pair, _)| pair.clone()) {
                tables.known.remove(&oldest);
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock()
    }
}

/// Counts registrations of each address.
pub(super) struct Registrations(Mutex<Buckets<String>>);

impl Registrations {
    pub(super) fn new(limits: &Limits) -> Self {
        let refill = Duration::from_secs(limits.registration_refill_s);
        Registrations(Mutex::new(Buckets::new(limits.registration_burst, refill)))
    }

    /// Spends one registration, also when the name turns out to be taken:
    /// what is limited is the work of hashing for the unauthenticated.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with the time to wait.
    pub(super) fn attempt(&self, address: &str) -> Result<()> {
        let (address, now) = (address.to_string(), Instant::now());
        let mut buckets = self.0.lock();
        match buckets.wait(&address, now) {
            Duration::ZERO => buckets.take(&address, now),
            wait => return Err(limited("too many registrations from this address", wait)),
        }
        Ok(())
    }
}

/// Counts the changes that each account asks of this server.
pub(super) struct Changes {
    /// `None`: as many as it likes.
    buckets: Option<Mutex<Buckets<Uuid>>>,
    /// Least time to wait once there was one too many: a tenth of a burst is there again
    /// then, so that whoever obeys comes back for many and not for one. No more than a
    /// second, if one is there again by then.
    pause: Duration,
}

impl Changes {
    pub(super) fn new(limits: &Limits) -> Self {
        let Limits { changes_per_account_per_s, change_burst, .. } = *limits;
        if changes_per_account_per_s == 0 {
            return Changes { buckets: None, pause: Duration::ZERO };
        }
        let refill = Duration::from_secs(1) / changes_per_account_per_s;
        let buckets = Some(Mutex::new(Buckets::new(change_burst, refill)));
        let pause = (refill * change_burst.div_ceil(10)).min(Duration::from_secs(1));
        Changes { buckets, pause }
    }

    /// Spends one change.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with the time to wait.
    pub(super) fn attempt(&self, account: Uuid) -> Result<()> {
        let Some(buckets) = &self.buckets else { return Ok(()) };
        let now = Instant::now();
        let mut buckets = buckets.lock();
        match buckets.wait(&account, now) {
            Duration::ZERO => buckets.take(&account, now),
            wait => {
                let wait = wait.max(self.pause);
                return Err(limited("this account sends or changes too much at once", wait));
            }
        }
        Ok(())
    }
}

fn limited(what: &str, wait: Duration) -> Error {
    let ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    let seconds = match ms.div_ceil(1000) {
        1 => "1 second".to_string(),
        more => format!("{more} seconds"),
    };
    let message = format!("{what}; try again in {seconds}");
    Error { retry_after_ms: Some(ms), ..Error::new(ErrorCode::RateLimited, message) }
}

/// Lets a log line through at most once a second, so that a flood of refusals
/// does not become a flood of log lines.
#[derive(Default)]
pub(super) struct LogThrottle(Mutex<(Option<Instant>, u64)>);

impl LogThrottle {
    /// `Some` when the line may be written, with the number of those held back
    /// since the last.
    pub(super) fn allow(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock();
        match state.0 {
            Some(last) if now < last + Duration::from_secs(1) => {
                state.1 += 1;
                None
            }
            _ => {
                let (_, held_back) = std::mem::replace(&mut *state, (Some(now), 0));
                Some(held_back)
            }
        }
    }
}

#[cfg(test)]
mod tests;
