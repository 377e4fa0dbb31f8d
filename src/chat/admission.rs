//! Who may come in: registration, invitations, and what administrators do to accounts.
//!
//! An administrator is whoever holds the cluster's key. A server has checked that; here
//! each change is an entry like any other, so that all replicas decide alike about
//! everything that follows it. A configuration file decides nothing: it proposes who may
//! register when a cluster is founded.
//!
//! # What it promises
//! - A code is known by its hash alone: neither the state nor a backup has what it takes
//!   to come in.
//! - An invitation makes as many accounts as it says and not one more, however often a
//!   request is repeated: the operation id of a registration is remembered with its
//!   outcome before the invitation is looked at.
//! - What an administrator did is kept with when and who, for the last
//!   [`ACTIONS_KEPT`] changes. Who that is nobody has checked.
//! - An account that is shut out has no session, gets none, and still receives messages.
//! - Of an account that is reset the old password is gone at once. Its code opens one
//!   session, together with a new password.
//!
//! Time is that of the log entry, as for sessions: a code whose time is over by that is
//! refused.

use std::sync::Arc;

use super::change::{Change, Record, StoredInvitation};
use super::chunks::{Chunks, Item};
use super::effects::Effects;
use super::items::{AccountNumber, Reset};
use super::operation::Outcome;
use super::state::State;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{ACTIONS_KEPT, INVITATION_USES_MAX, INVITATIONS_MAX};
use crate::protocol::administration::{AdministrativeAction, Invitation, Recorded, Registration};
use crate::types::{AccountName, Digest, Timestamp, Uuid};

impl State {
    /// Applies a change that an administrator has asked for.
    pub(super) fn administer(
        &mut self,
        at: Timestamp,
        by: &str,
        change: &Change,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        self.usable()?;
        let (what, outcome) = match change {
            Change::SetRegistration { registration, unless_set } => {
                (self.set_registration(*registration, *unless_set), Outcome::Done)
            }
            Change::Invite { code_hash, uses, expires } => {
                let (invitation, expires) = self.invite(at, code_hash, *uses, *expires)?;
                let what = Recorded::Invite { invitation, uses: *uses, expires };
                (Some(what), Outcome::Invited { invitation, created: at, expires })
            }
            Change::RevokeInvitation { invitation } => {
                self.remove_invitation(*invitation).ok_or_else(|| {
                    Error::new(
                        ErrorCode::UnknownInvitation,
                        format!("there is no invitation {invitation}; nothing was changed"),
                    )
                })?;
                (Some(Recorded::RevokeInvitation { invitation: *invitation }), Outcome::Done)
            }
            Change::ResetAccount { name, code_hash, expires } => {
                let (number, name) = self.named(name)?;
                let expires = *expires;
                self.reset_account(number, Reset { code_hash: *code_hash, expires }, effects);
                (Some(Recorded::ResetAccount { name, expires }), Outcome::Done)
            }
            Change::SetDisabled { name, disabled } => {
                let (number, name) = self.named(name)?;
                let changed = self.set_disabled(number, *disabled, effects);
                let what = match disabled {
                    true => Recorded::DisableAccount { name },
                    false => Recorded::EnableAccount { name },
                };
                (changed.then_some(what), Outcome::Done)
            }
            Change::SetBounds { account_bytes, total_bytes, keep_messages_days, proposed } => {
                let what = match proposed {
                    true => self.propose_bounds(*account_bytes, *total_bytes)?,
                    false => self.set_bounds(*account_bytes, *total_bytes, *keep_messages_days),
                };
                (what, Outcome::Done)
            }
            Change::DeleteAccount { name } => {
                let (number, name) = self.named(name)?;
                (Some(Recorded::DeleteAccount { name }), self.delete_account(number, effects))
            }
        };
        if let Some(what) = what {
            self.record(at, by, what);
        }
        Ok(outcome)
    }

    /// Keeps what was done, and forgets what is too long ago.
    fn record(&mut self, at: Timestamp, by: &str, what: Recorded) {
        self.data.settings.last_action += 1;
        let number = self.data.settings.last_action;
        let record = Record { number, at, by: by.into(), what };
        self.data.sum.add(record.digest());
        self.data.actions.push(Arc::new(record));
        if self.data.actions.len() > ACTIONS_KEPT
            && let Some(oldest) = self.data.actions.first().map(Item::key)
            && let Some(oldest) = self.data.actions.remove(oldest)
        {
            self.data.sum.subtract(oldest.digest());
        }
    }

    fn set_registration(
        &mut self,
        registration: Registration,
        unless_set: bool,
    ) -> Option<Recorded> {
        let settings = &mut self.data.settings;
        if settings.registration == Some(registration)
            || (unless_set && settings.registration.is_some())
        {
            return None;
        }
        settings.registration = Some(registration);
        Some(Recorded::SetRegistration { registration })
    }

    fn invite(
        &mut self,
        at: Timestamp,
        code_hash: &Digest,
        uses: u32,
        expires: Timestamp,
    ) -> Result<(u64, Timestamp)> {
        if !(1..=INVITATION_USES_MAX).contains(&uses) {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!("an invitation is for 1 to {INVITATION_USES_MAX} accounts, not {uses}"),
            ));
        }
        if self.invitation_codes.contains_key(code_hash) {
            return Err(Error::new(
                ErrorCode::IdConflict,
                "another invitation has this code; make a new one",
            ));
        }
        if self.data.invitations.len() >= INVITATIONS_MAX {
            let ended = self.data.invitations.iter().find(|it| it.ended(at)).map(Item::key);
            let Some(ended) = ended else {
                return Err(Error::new(
                    ErrorCode::TooMany,
                    format!(
                        "there are {INVITATIONS_MAX} invitations that can be used, and no more are \
                         kept; revoke some first"
                    ),
                ));
            };
            self.remove_invitation(ended);
        }
        self.data.settings.last_invitation += 1;
        let number = self.data.settings.last_invitation;
        let code_hash = *code_hash;
        let invitation =
            StoredInvitation { number, code_hash, uses, used: 0, created: at, expires };
        self.data.sum.add(invitation.digest());
        self.data.invitations.push(invitation);
        self.invitation_codes.insert(code_hash, number);
        Ok((number, expires))
    }

    fn remove_invitation(&mut self, number: u64) -> Option<()> {
        let removed = self.data.invitations.remove(number)?;
        self.data.sum.subtract(removed.digest());
        self.invitation_codes.remove(&removed.code_hash);
        Some(())
    }

    /// Whether a newcomer may register, and with which invitation, which is not yet used.
    ///
    /// # Errors
    /// [`ErrorCode::RegistrationClosed`], [`ErrorCode::InvitationRequired`],
    /// [`ErrorCode::InvitationRefused`].
    pub(super) fn admit(&self, at: Timestamp, code_hash: Option<&Digest>) -> Result<Option<u64>> {
        match self.registration() {
            // An invitation that is not needed is not used up.
            Registration::Open => return Ok(None),
            Registration::Invited => {}
            Registration::Closed => {
                return Err(Error::new(
                    ErrorCode::RegistrationClosed,
                    "this cluster takes no new accounts; ask whoever runs it",
                ));
            }
        }
        let code_hash = code_hash.ok_or_else(|| {
            Error::new(
                ErrorCode::InvitationRequired,
                "this cluster takes new accounts by invitation only; ask whoever runs it for one",
            )
        })?;
        let number = self.invitation_codes.get(code_hash);
        let refused = |why: String| {
            let sentence =
                format!("the invitation {why}; ask whoever runs the cluster for another");
            Error::new(ErrorCode::InvitationRefused, sentence)
        };
        let found = number.and_then(|number| self.data.invitations.get(*number));
        let invitation = found.ok_or_else(|| refused("is wrong, or was taken back".into()))?;
        if invitation.used >= invitation.uses {
            return Err(refused("was used up".into()));
        }
        if invitation.expires <= at {
            return Err(refused(format!("was good until {}", invitation.expires)));
        }
        Ok(Some(invitation.number))
    }

    /// An account is made with an invitation.
    pub(super) fn use_invitation(&mut self, number: u64) {
        let sum = &mut self.data.sum;
        self.data.invitations.update(number, |invitation| {
            sum.subtract(invitation.digest());
            invitation.used += 1;
            sum.add(invitation.digest());
        });
    }

    pub(super) fn named(&self, name: &AccountName) -> Result<(AccountNumber, AccountName)> {
        match self.names.get(name.folded().as_str()) {
            Some(label) => Ok((label.number, label.name.clone())),
            None => Err(Error::new(
                ErrorCode::UnknownAccount,
                format!("no account is named {name}; nothing was changed"),
            )),
        }
    }

    fn end_sessions_of(&mut self, number: AccountNumber, effects: &mut Effects) {
        let sessions = self.data.accounts.get(number).map(|account| account.sessions.clone());
        for session in sessions.unwrap_or_default() {
            self.end_session(session, effects);
        }
    }

    fn reset_account(&mut self, number: AccountNumber, reset: Reset, effects: &mut Effects) {
        self.end_sessions_of(number, effects);
        self.change_account(number, |account| {
            account.password_hash = "".into();
            account.reset = Some(Box::new(reset));
        });
    }

    fn set_disabled(
        &mut self,
        number: AccountNumber,
        disabled: bool,
        effects: &mut Effects,
    ) -> bool {
        let before = self.data.accounts.get(number).map(|account| account.disabled);
        if before == Some(disabled) {
            return false;
        }
        if disabled {
            self.end_sessions_of(number, effects);
        }
        self.change_account(number, |account| account.disabled = disabled);
        true
    }

    /// Who may register.
    pub fn registration(&self) -> Registration {
        self.data.settings.registration.unwrap_or_default()
    }

    /// Whether a configuration may still propose who may register: nobody has said so,
    /// and nobody has registered.
    pub fn registration_is_undecided(&self) -> bool {
        self.data.settings.registration.is_none() && self.data.counters.last_account == 0
    }

    /// Invitations behind a number, at most so many.
    pub(super) fn invitations(&self, after: u64, limit: usize, now: Timestamp) -> Vec<Invitation> {
        let shown = |it: &StoredInvitation| Invitation {
            id: it.number,
            uses: it.uses,
            used: it.used,
            expires: it.expires,
            created: it.created,
            ended: it.ended(now),
        };
        page(&self.data.invitations, after, limit).map(shown).collect()
    }

    /// What administrators have done behind a number, at most so many.
    pub(super) fn actions(&self, after: u64, limit: usize) -> Vec<AdministrativeAction> {
        page(&self.data.actions, after, limit).map(|record| record.shown()).collect()
    }

    /// Whether an operation with this id was applied and is remembered in the window.
    pub(super) fn remembers(&self, operation: &Uuid) -> bool {
        self.window_ids.contains(operation)
    }
}

fn page<T: Item>(items: &Chunks<T>, after: u64, limit: usize) -> impl Iterator<Item = &T> {
    let runs = items.runs_after(after);
    runs.flat_map(|(run, _)| run).take(limit)
}
