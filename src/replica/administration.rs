//! Who may come in, for an administrator who holds the cluster's key.
//!
//! A change goes through the log as an operation with the administrator's id, so it may be
//! asked of any server, and again of another one when an answer is lost. A question is
//! answered once a majority has confirmed that this replica's state is complete.
//!
//! A cluster at a lower feature level has none of this: nothing of it may enter a log that
//! an older program reads. Both then fail with what names the servers that are too old.
//!
//! # What a configuration proposes
//! Who may register is part of the replicated state. While nobody has said so and nobody
//! has registered, the leader proposes what its configuration says. Afterwards only an
//! administrator changes it. Until it is decided a server whose configuration is not
//! `open` lets nobody register, or strangers could do so in the first second of a cluster.
//!
//! How much may be stored is part of it as well. While no administrator has set it, every
//! server proposes what its configuration or its machine's memory says, once: of each bound
//! the lowest counts. So it becomes that of the smallest machine, also when that one joins
//! later; then it is recorded who has lowered it. A proposal in which what is stored has no
//! room is not taken, or one small machine would stop everybody: its server says so in its
//! log and asks again now and then.
//!
//! For how long messages are kept no configuration proposes: what makes messages of others go
//! should not depend on which file a server was started with.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Inner, Phase};
use crate::chat::{Action, Change, Glob, NameSearch, Operation, Outcome, Step};
use crate::consensus::{Applied, Sequence};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    ACCOUNT_BYTES_MIN, ADMINISTRATION_PAGE, ADMINISTRATOR_NAME_MAX_BYTES, CODE_LIFETIME_MAX,
    FEATURE_LEVEL_LOOK_INTERVAL, KEEP_DAYS_MAX, LEVEL_OF_ADMISSION, LEVEL_OF_BOUNDS,
    LEVEL_OF_KEEPING, STORED_BYTES_MAX, TOTAL_BYTES_MIN,
};
use crate::protocol::administration::{
    Bounds, ChangeRequest, Changed, Inspected, Question, Registration, RequestedChange,
};
use crate::types::{Timestamp, Uuid, format_size};

/// How long a change, or confirming the state, may take here. The administrator asks again,
/// perhaps elsewhere.
const STEP_MAX: Duration = Duration::from_secs(5);

/// Longest pause before a server proposes again what was not taken. Each proposal is a log
/// entry.
const PROPOSAL_PAUSE_MAX: Duration = Duration::from_secs(60);

impl Inner {
    /// Has a change applied.
    pub async fn administer(&self, asked: ChangeRequest) -> Result<Changed> {
        let ChangeRequest { operation, by, change } = asked;
        if by.len() > ADMINISTRATOR_NAME_MAX_BYTES {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!(
                    "an administrator's name has at most {ADMINISTRATOR_NAME_MAX_BYTES} bytes, \
                     not {}",
                    by.len()
                ),
            ));
        }
        let level = match change {
            RequestedChange::SetBounds { .. } => LEVEL_OF_BOUNDS,
            RequestedChange::SetLimits { .. } => LEVEL_OF_KEEPING,
            _ => LEVEL_OF_ADMISSION,
        };
        self.require_level(level).await?;
        // Whoever has just heard of a majority knows what time it is, by which codes end.
        self.consensus()?.confirm(Instant::now() + STEP_MAX).await?;
        let change = self.change(change)?;
        match self.propose_change(operation, by, change).await?.outcome {
            Outcome::Done => Ok(Changed::Done {}),
            Outcome::Invited { invitation, created, expires } => {
                Ok(Changed::Invited { invitation, created, expires })
            }
            Outcome::Refused(error) => Err(error.into()),
            outcome => Err(Error::internal(format!("an administrator's change got {outcome:?}"))),
        }
    }

    async fn propose_change(&self, id: Uuid, by: String, change: Change) -> Result<Applied> {
        let operation = Operation { id, action: Action::Administer { by, change } };
        let deadline = Instant::now() + STEP_MAX;
        self.consensus()?.propose(operation, deadline, &Sequence::default()).await
    }

    /// A change as it stands in the log.
    fn change(&self, change: RequestedChange) -> Result<Change> {
        Ok(match change {
            RequestedChange::SetRegistration { registration } => {
                Change::SetRegistration { registration, unless_set: false }
            }
            RequestedChange::Invite { code_hash, uses, lifetime_ms } => {
                Change::Invite { code_hash, uses, expires: self.expiry(lifetime_ms)? }
            }
            RequestedChange::RevokeInvitation { invitation } => {
                Change::RevokeInvitation { invitation }
            }
            RequestedChange::ResetAccount { name, code_hash, lifetime_ms } => {
                Change::ResetAccount { name, code_hash, expires: self.expiry(lifetime_ms)? }
            }
            RequestedChange::DisableAccount { name } => {
                Change::SetDisabled { name, disabled: true }
            }
            RequestedChange::EnableAccount { name } => {
                Change::SetDisabled { name, disabled: false }
            }
            RequestedChange::DeleteAccount { name } => Change::DeleteAccount { name },
            RequestedChange::SetBounds { account_bytes, total_bytes } => {
                set_bounds(account_bytes, total_bytes, None)?
            }
            RequestedChange::SetLimits { account_bytes, total_bytes, keep_messages_days } => {
                set_bounds(account_bytes, total_bytes, Some(keep_messages_days))?
            }
        })
    }

    /// The end of a code that is good from now on.
    fn expiry(&self, lifetime_ms: u64) -> Result<Timestamp> {
        if u128::from(lifetime_ms) > CODE_LIFETIME_MAX.as_millis() {
            return Err(Error::new(ErrorCode::TooMany, "a code is good for ten years at most"));
        }
        Ok(self.time.beginning().plus_ms(lifetime_ms))
    }

    /// Answers a question.
    pub async fn inspect(&self, asked: Question) -> Result<Inspected> {
        let level = match asked {
            Question::Bounds {} => LEVEL_OF_BOUNDS,
            _ => LEVEL_OF_ADMISSION,
        };
        self.require_level(level).await?;
        self.consensus()?.confirm(Instant::now() + STEP_MAX).await?;
        let now = self.time.now();
        Ok(match asked {
            Question::Registration {} => {
                let registration = self.machine.look(|look| look.registration());
                Inspected::Registration { registration }
            }
            Question::Bounds {} => self.machine.look(|look| Inspected::Bounds {
                bounds: look.bounds(),
                stored_bytes: look.stored_bytes(),
            }),
            Question::Invitations { after } => {
                Inspected::Invitations(self.machine.look(|look| look.invitations(after, now)))
            }
            Question::Actions { after } => {
                Inspected::Actions(self.machine.look(|look| look.actions(after)))
            }
            Question::Accounts { glob, after } => self.accounts(glob, after).await,
        })
    }

    /// A page of accounts: what is found in the time of one call.
    async fn accounts(&self, glob: Option<String>, after: Option<String>) -> Inspected {
        let glob = glob.as_deref().map(Glob::new);
        let mut search = NameSearch::new(glob, after.as_deref(), ADMINISTRATION_PAGE);
        let deadline = Instant::now() + STEP_MAX;
        let mut ended = false;
        while !ended && Instant::now() < deadline {
            ended = matches!(self.machine.look(|look| look.names(&mut search)), Step::Done(()));
            // Others want to look as well.
            tokio::task::yield_now().await;
        }
        let place = search.place().map(str::to_string);
        let (names, more) = search.into_page(ended);
        // An account that has gone since is passed over.
        let accounts = self
            .machine
            .look(|look| names.iter().filter_map(|name| look.account_row(name)).collect());
        let last = names.last().map(|name| name.folded().to_string());
        let next = if ended { last } else { place.or(after) };
        Inspected::Accounts { accounts, next: next.filter(|_| more) }
    }
}

/// Proposes what the configuration says, as the head of this file tells.
pub async fn propose(replica: Weak<Inner>) {
    tokio::join!(propose_registration(replica.clone()), propose_bounds(replica));
}

/// A change of bounds, all or none.
fn set_bounds(
    account_bytes: Option<u64>,
    total_bytes: Option<u64>,
    keep_messages_days: Option<u32>,
) -> Result<Change> {
    check_bound("account_bytes", account_bytes, ACCOUNT_BYTES_MIN)?;
    check_bound("total_bytes", total_bytes, TOTAL_BYTES_MIN)?;
    if let Some(days) = keep_messages_days.filter(|days| *days > KEEP_DAYS_MAX) {
        return Err(Error::new(
            ErrorCode::TooMany,
            format!(
                "keep_messages_days is 1 to {KEEP_DAYS_MAX}, or none, and not {days}; nothing was \
                 changed"
            ),
        ));
    }
    Ok(Change::SetBounds { account_bytes, total_bytes, keep_messages_days, proposed: false })
}

/// Whether a bound is one that can be: none at all, or from `min` on.
fn check_bound(name: &str, bytes: Option<u64>, min: u64) -> Result<()> {
    match bytes {
        Some(bytes) if bytes != 0 && !(min..=STORED_BYTES_MAX).contains(&bytes) => Err(Error::new(
            ErrorCode::TooMany,
            format!(
                "{name} is {} to {}, or none, and not {}; nothing was changed",
                format_size(min),
                format_size(STORED_BYTES_MAX),
                format_size(bytes)
            ),
        )),
        _ => Ok(()),
    }
}

/// While no administrator has set how much may be stored, proposes what this server says,
/// whether or not it leads. Ends when that is of no use any more.
async fn propose_bounds(replica: Weak<Inner>) {
    let (mut pause, mut told) = (FEATURE_LEVEL_LOOK_INTERVAL, false);
    loop {
        sleep(pause).await;
        let Some(inner) = replica.upgrade() else { return };
        let Some(proposal) = inner.config.bounds else { return };
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        if inner.feature_level() < LEVEL_OF_BOUNDS {
            continue;
        }
        // A state that lags knows too little: the proposal then changes nothing.
        match inner.machine.look(|look| look.heeds(&proposal)) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                if !told {
                    tracing::warn!("{error}");
                }
                told = true;
                pause = PROPOSAL_PAUSE_MAX;
                continue;
            }
        }
        let Bounds { account_bytes, total_bytes, .. } = proposal;
        let (account_bytes, total_bytes) = (Some(account_bytes), Some(total_bytes));
        let change = Change::SetBounds {
            account_bytes,
            total_bytes,
            keep_messages_days: None,
            proposed: true,
        };
        let by = format!("the configuration of server {}", inner.config.id);
        match inner.propose_change(inner.host.uuid(), by, change).await {
            Ok(Applied { outcome: Outcome::Done, .. }) => return,
            // A backup is being restored.
            Ok(_) => pause = (2 * pause).min(PROPOSAL_PAUSE_MAX),
            Err(error) => tracing::debug!(%error, "how much may be stored is not decided yet"),
        }
    }
}

/// While nobody has said who may register, proposes what the configuration says, whenever
/// this replica leads. Ends when that is decided.
async fn propose_registration(replica: Weak<Inner>) {
    loop {
        sleep(FEATURE_LEVEL_LOOK_INTERVAL).await;
        let Some(inner) = replica.upgrade() else { return };
        let registration = inner.config.registration;
        // An undecided cluster is open.
        if registration == Registration::Open || matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        let Ok(consensus) = inner.consensus() else { continue };
        if !consensus.leads() || inner.feature_level() < LEVEL_OF_ADMISSION {
            continue;
        }
        if !inner.machine.look(|look| look.registration_is_undecided()) {
            return;
        }
        let change = Change::SetRegistration { registration, unless_set: true };
        let by = format!("the configuration of server {}", inner.config.id);
        if let Err(error) = inner.propose_change(inner.host.uuid(), by, change).await {
            tracing::debug!(%error, "who may register is not decided yet");
        }
    }
}
