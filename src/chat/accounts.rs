//! Accounts and sessions: how they come, and how sessions end.
//!
//! A session that has expired ends in the entry that meets it; of those that nobody uses
//! a bounded number end an entry.

use std::sync::Arc;

use super::delivery::SessionNumber;
use super::effects::Effects;
use super::items::{Account, AccountNumber, Label, Session};
use super::operation::Outcome;
use super::state::{NewSession, Newcomer, State};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    ACCOUNT_OVERHEAD_BYTES, LEVEL_OF_ADMISSION, LEVEL_OF_CONVERSATIONS, SESSION_OVERHEAD_BYTES,
    SESSIONS_EXPIRED_PER_ENTRY_MAX, SESSIONS_PER_ACCOUNT_MAX,
};
use crate::types::{Digest, Timestamp, Uuid};

/// To whoever is shut out.
const DISABLED: &str = "this account is disabled; ask whoever runs the cluster";

impl State {
    pub(super) fn log_in(
        &mut self,
        account: Uuid,
        verified: Option<&Digest>,
        session: NewSession,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        let refused = |why: &str| Err(Error::new(ErrorCode::LoginRefused, why));
        let found = self.numbers.get(&account).and_then(|it| self.data.accounts.get(*it));
        let Some(found) = found else { return refused("unknown account or wrong password") };
        let number = found.label.number;
        // A server may have checked the password a moment before an administrator's change.
        if found.disabled {
            return refused(DISABLED);
        }
        if found.reset.is_some() {
            return refused("the password was reset; log in with the code that comes with that");
        }
        self.check_verified(number, verified)?;
        self.check_token(&session.token_hash)?;
        Ok(self.open_session(number, account, session, effects))
    }

    /// Sets a password in the place of one that was taken away.
    pub(super) fn reset_password(
        &mut self,
        account: Uuid,
        code_hash: &Digest,
        password_hash: &str,
        session: NewSession,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        let refused = |why: &str| Err(Error::new(ErrorCode::LoginRefused, why));
        let found = self.numbers.get(&account).and_then(|it| self.data.accounts.get(*it));
        let reset = found.and_then(|found| Some((found, found.reset.as_deref()?)));
        let Some((found, reset)) = reset.filter(|(_, reset)| reset.code_hash == *code_hash) else {
            return refused("unknown account or wrong code; a code sets a password only once");
        };
        let number = found.label.number;
        if found.disabled {
            return refused(DISABLED);
        }
        if reset.expires <= session.at {
            return refused("the time of this code is over; ask for another");
        }
        self.check_token(&session.token_hash)?;
        self.change_account(number, |account| {
            account.password_hash = password_hash.into();
            account.reset = None;
        });
        Ok(self.open_session(number, account, session, effects))
    }

    pub(super) fn register(
        &mut self,
        newcomer: Newcomer<'_>,
        invitation: Option<&Digest>,
        session: NewSession,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        let Newcomer { account: uuid, name, password_hash } = newcomer;
        self.usable()?;
        let invitation = self.admit(session.at, invitation)?;
        let folded = name.folded();
        if let Some(owner) = self.names.get(folded.as_str()) {
            return Err(Error::new(
                ErrorCode::NameTaken,
                format!("the name {} belongs to somebody; choose another", owner.name),
            ));
        }
        // Servers draw identities at random; two alike mean a broken source.
        if self.numbers.contains_key(&uuid) {
            return Err(Error::new(
                ErrorCode::IdConflict,
                format!("the account identity {uuid} is in use; repeat with a new operation id"),
            ));
        }
        self.check_token(&session.token_hash)?;
        let room = ACCOUNT_OVERHEAD_BYTES + SESSION_OVERHEAD_BYTES;
        self.check_stored(room, "no account was made")?;
        if let Some(invitation) = invitation {
            self.use_invitation(invitation);
        }
        self.data.counters.last_account += 1;
        let number = self.data.counters.last_account;
        let label = Label::new(number, uuid, name.clone());
        let account = Account::new(label.clone(), password_hash.into());
        self.data.sum.add(account.digest());
        self.data.accounts.push(Arc::new(account));
        self.numbers.insert(uuid, number);
        self.names.insert(folded.as_str().into(), label);
        Ok(self.open_session(number, uuid, session, effects))
    }

    /// Changes what an account is by itself, apart from its lists and sessions.
    pub(super) fn change_account(
        &mut self,
        number: AccountNumber,
        change: impl FnOnce(&mut Account),
    ) {
        let sum = &mut self.data.sum;
        self.data.accounts.update(number, |account| {
            let account = Arc::make_mut(account);
            sum.subtract(account.digest());
            change(account);
            sum.add(account.digest());
        });
    }

    /// A token opens one session only.
    fn check_token(&self, token_hash: &Digest) -> Result<()> {
        match self.tokens.contains_key(token_hash) {
            false => Ok(()),
            true => Err(Error::new(
                ErrorCode::IdConflict,
                "the session token is in use already; log in again with a new one",
            )),
        }
    }

    fn open_session(
        &mut self,
        account: AccountNumber,
        uuid: Uuid,
        session: NewSession,
        effects: &mut Effects,
    ) -> Outcome {
        let NewSession { at, token_hash, expires, from } = session;
        self.data.counters.last_session += 1;
        let number = self.data.counters.last_session;
        let noted = self.level() >= LEVEL_OF_CONVERSATIONS;
        let (started, from) = (noted.then_some(at), from.filter(|_| noted));
        let session = Session { number, account, token_hash, expires, started, used: None, from };
        self.data.sum.add(session.digest());
        self.data.sessions.push(session);
        self.tokens.insert(token_hash, number);
        self.expiries.insert((expires, number));
        if self.level() >= LEVEL_OF_ADMISSION {
            self.change_account(account, |account| account.last_login = Some(at));
        }
        let oldest = self.data.update_account(account, |account| {
            account.sessions.push(number);
            let too_many = account.sessions.len() > SESSIONS_PER_ACCOUNT_MAX;
            account.sessions.first().copied().filter(|_| too_many)
        });
        if let Some(oldest) = oldest.flatten() {
            self.end_session(oldest, effects);
        }
        Outcome::SessionOpened { session: number, account: uuid }
    }

    pub(super) fn end_session(&mut self, number: SessionNumber, effects: &mut Effects) {
        let Some(session) = self.data.sessions.remove(number) else {
            return;
        };
        self.data.sum.subtract(session.digest());
        self.tokens.remove(&session.token_hash);
        self.expiries.remove(&(session.expires, number));
        let account = self.data.update_account(session.account, |account| {
            account.sessions.retain(|other| *other != number);
            account.label.account
        });
        effects.ended_sessions.extend(account.map(|account| (account, number)));
    }

    /// Ends sessions whose time is over, a bounded number an entry.
    pub(super) fn expire_sessions(&mut self, at: Timestamp, effects: &mut Effects) {
        for _ in 0..SESSIONS_EXPIRED_PER_ENTRY_MAX {
            match self.expiries.first() {
                Some((expires, number)) if *expires <= at => {
                    let number = *number;
                    self.end_session(number, effects);
                }
                _ => return,
            }
        }
    }
}
