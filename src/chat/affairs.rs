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
//! - **What is known of a session** is when and from where it was opened, and when something
//!   was changed with it last: noted by the entry itself, at most once in
//!   [`SESSION_USE_INTERVAL_MS`]. Reading alone is not noted, as it enters no log.
//! - **What a blocked account sends is as good as sent.** It is in the order of all messages and
//!   among what its sender has sent, with the same answer and the same recipients; only the inbox
//!   of whoever has blocked the account never has it. What is there already stays. Accounts are
//!   blocked, not names: a later owner of the name is not. A full inbox refuses all alike; but a
//!   sender whose messages never count against it could tell by sending until it should be full.
//! - **Whoever wants nobody to know what they have read** is named to nobody, from the entry on
//!   that says so.
//! - **Servers that are older do not open a gap.** From feature level
//!   [`LEVEL_OF_CONVERSATIONS`] on, what says nothing of what it was verified against is not
//!   done. It was asked for when the level was being raised, and its server asks again.
//!
//! A server that is alone knows nothing of a change that a majority has made. When they meet,
//! what it took for a session that was ended is not delivered (`settling.rs`).

use std::sync::Arc;

use super::delivery::SessionNumber;
use super::effects::Effects;
use super::items::{AccountNumber, Label, Message};
use super::operation::Outcome;
use super::own::{OwnChange, verified_against};
use super::state::{Caller, State, session_expired};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    BLOCKED_MAX, LEVEL_OF_CONVERSATIONS, SESSION_USE_INTERVAL_MS, SESSIONS_PER_ACCOUNT_MAX,
};
use crate::protocol::client::{OwnSession, OwnSettings};
use crate::types::{AccountName, Digest, Names, Timestamp, Uuid};

/// Steps to find out whether a recipient has read a message.
pub(super) const STEPS_PER_READER: usize = 2;

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
            OwnChange::EndSessions { sessions } => {
                self.end_sessions(caller.number, sessions, effects)?;
            }
            OwnChange::Block { name } => self.block(caller.number, name)?,
            OwnChange::Unblock { name } => {
                let other = self.named(name)?.0;
                self.change_account(caller.number, |account| {
                    Arc::make_mut(&mut account.blocked).remove(other);
                });
            }
            OwnChange::SetReceipts { on } => {
                self.change_account(caller.number, |account| account.receipts_off = !on);
            }
            OwnChange::EndOtherSessions {} => {
                self.end_other_sessions(caller.number, session, effects);
            }
        }
        Ok(Outcome::Done)
    }

    /// Ends sessions of an account, all or none. It may be those that ask.
    fn end_sessions(
        &mut self,
        number: AccountNumber,
        sessions: &[SessionNumber],
        effects: &mut Effects,
    ) -> Result<()> {
        let own = self.data.accounts.get(number).map(|account| &account.sessions);
        let is_own = |session: &SessionNumber| own.is_some_and(|own| own.contains(session));
        if sessions.len() > SESSIONS_PER_ACCOUNT_MAX {
            let sentence = format!("an account has at most {SESSIONS_PER_ACCOUNT_MAX} sessions");
            return Err(Error::new(ErrorCode::TooMany, sentence));
        }
        if let Some(unknown) = sessions.iter().find(|session| !is_own(session)) {
            return Err(Error::new(
                ErrorCode::UnknownSession,
                format!("this account has no session {unknown}; none was ended"),
            ));
        }
        for session in sessions {
            self.end_session(*session, effects);
        }
        Ok(())
    }

    /// Lets nothing come any more from an account.
    fn block(&mut self, number: AccountNumber, name: &AccountName) -> Result<()> {
        let other = self.named(name)?.0;
        if other == number {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                "you cannot block yourself; nothing was changed",
            ));
        }
        let Some(account) = self.data.accounts.get(number) else { return Ok(()) };
        let mut gone = Vec::new();
        if !account.blocked.contains(other) && account.blocked.len() >= BLOCKED_MAX {
            gone.extend(account.blocked.iter().filter(|it| self.blocked_name(*it).is_none()));
            if gone.is_empty() {
                return Err(Error::new(
                    ErrorCode::TooMany,
                    format!(
                        "an account blocks at most {BLOCKED_MAX} others; unblock one first. \
                         Nothing was changed"
                    ),
                ));
            }
        }
        self.change_account(number, |account| {
            let blocked = Arc::make_mut(&mut account.blocked);
            gone.into_iter().for_each(|number| blocked.remove(number));
            blocked.insert(other);
        });
        Ok(())
    }

    /// The name of an account that is blocked, while it is there.
    fn blocked_name(&self, number: AccountNumber) -> Option<&AccountName> {
        let account = self.data.accounts.get(number)?;
        (!account.deleted).then_some(&account.label.name)
    }

    /// Names of those whom an account has blocked, in order.
    pub(super) fn blocked_by(&self, account: Uuid) -> Vec<AccountName> {
        let Some(account) = self.find_account(account) else { return Vec::new() };
        let names = account.blocked.iter().filter_map(|number| self.blocked_name(number));
        let mut names: Vec<AccountName> = names.cloned().collect();
        names.sort_by_key(AccountName::folded);
        names
    }

    /// Notes that something is asked for with a session that is there, now and then.
    pub(super) fn note_use(&mut self, session: SessionNumber, at: Timestamp) {
        if self.level() < LEVEL_OF_CONVERSATIONS {
            return;
        }
        let Some(noted) = self.data.sessions.get(session) else { return };
        let last = noted.used.or(noted.started);
        if last.is_some_and(|last| at < last.plus_ms(SESSION_USE_INTERVAL_MS)) {
            return;
        }
        let sum = &mut self.data.sum;
        self.data.sessions.update(session, |session| {
            sum.subtract(session.digest());
            session.used = Some(at);
            sum.add(session.digest());
        });
    }

    /// What an account has set.
    pub(super) fn settings_of(&self, account: Uuid) -> OwnSettings {
        let receipts_off = self.find_account(account).is_some_and(|it| it.receipts_off);
        OwnSettings { receipts: !receipts_off }
    }

    /// Names of the recipients who have a message marked as read in their inboxes now, but for
    /// those who tell nobody. Takes [`STEPS_PER_READER`] for each recipient.
    pub(super) fn readers_of(&self, message: &Message) -> Names {
        let has_read = |label: &&Arc<Label>| {
            self.data.accounts.get(label.number).is_some_and(|account| {
                let entry = account.inbox.get(message.seq);
                !account.receipts_off && !account.deleted && entry.is_some_and(|it| it.read())
            })
        };
        message.to.labels.iter().filter(has_read).map(|label| label.name.clone()).collect()
    }

    /// The sessions of an account that have not ended, oldest first.
    pub(super) fn sessions_of(&self, account: Uuid, now: Timestamp) -> Vec<OwnSession> {
        let Some(account) = self.find_account(account) else { return Vec::new() };
        let sessions = account.sessions.iter().filter_map(|it| self.data.sessions.get(*it));
        let alive = sessions.filter(|session| session.expires > now);
        alive
            .map(|session| OwnSession {
                id: session.number,
                current: false,
                started: session.started,
                last_used: session.used.or(session.started),
                from: session.from,
                expires: session.expires,
            })
            .collect()
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
        let last = self.data.counters.last_session;
        self.change_account(number, |account| account.ended = (last, session));
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
