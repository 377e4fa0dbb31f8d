//! People's own affairs: what an account's owner changes about it.
//!
//! # What it promises
//! - **A password that was changed opens nothing any more.** A server verifies a password
//!   against what it knows, and the log may have another one by the time at which the
//!   operation comes. So whatever needs a password says against which hash it was verified,
//!   and is refused if the account has another one by then: logging in, deleting the account,
//!   and changing the password once more. Of two changes at once one is done.
//! - **Changing it ends all other sessions**, in the same entry. A server that has a majority
//!   looks at a state with that entry before it answers a read that begins later, and changes
//!   are refused where they are applied.
//! - **Servers that are older do not open a gap.** From feature level
//!   [`LEVEL_OF_CONVERSATIONS`] on, what says nothing of what it was verified against is not
//!   done. It was asked for when the level was being raised, and its server asks again.
//!
//! A server that is alone knows nothing of a change that a majority has made. When they meet,
//! what it took for a session that was ended is not delivered (`settling.rs`).

use super::delivery::SessionNumber;
use super::effects::Effects;
use super::items::AccountNumber;
use super::operation::Outcome;
use super::own::{OwnChange, verified_against};
use super::state::{Caller, State, session_expired};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::LEVEL_OF_CONVERSATIONS;
use crate::types::Digest;

impl State {
    /// Applies what an account's owner has asked for with a session of it.
    pub(super) fn change_own(
        &mut self,
        caller: Caller,
        session: SessionNumber,
        change: &OwnChange,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        if self.level() < LEVEL_OF_CONVERSATIONS {
            return Err(of_another_level());
        }
        match change {
            OwnChange::ChangePassword { verified, password_hash } => {
                self.check_verified(caller.number, Some(verified))?;
                self.change_account(caller.number, |account| {
                    account.password_hash = password_hash.as_str().into();
                });
                self.end_other_sessions(caller.number, session, effects);
            }
        }
        Ok(Outcome::Done)
    }

    /// Ends all sessions of an account but one.
    fn end_other_sessions(
        &mut self,
        number: AccountNumber,
        session: SessionNumber,
        effects: &mut Effects,
    ) {
        let sessions = self.data.accounts.get(number).map(|account| account.sessions.clone());
        for other in sessions.unwrap_or_default().into_iter().filter(|it| *it != session) {
            self.end_session(other, effects);
        }
    }

    /// Whether an account still has the password that a server has verified.
    ///
    /// # Errors
    /// [`ErrorCode::LoginRefused`]: it was changed since. [`ErrorCode::Behind`]: nothing says
    /// which it was.
    pub(super) fn check_verified(
        &self,
        number: AccountNumber,
        verified: Option<&Digest>,
    ) -> Result<()> {
        let Some(verified) = verified else {
            return match self.level() {
                LEVEL_OF_CONVERSATIONS.. => Err(of_another_level()),
                _ => Ok(()),
            };
        };
        let account = self.data.accounts.get(number).ok_or_else(session_expired)?;
        if verified_against(&account.password_hash) == *verified {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::LoginRefused,
            "the password was changed a moment ago; nothing was done: use the new one",
        ))
    }
}

/// A server asks by the rules of the feature level that its own state has.
fn of_another_level() -> Error {
    Error::new(
        ErrorCode::Behind,
        "the cluster is just reaching another feature level, and this was asked by the rules of \
         the one before; nothing was done: try again",
    )
}
