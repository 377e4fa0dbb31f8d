//! What people change about their own accounts.

use std::sync::Arc;

use secrecy::SecretString;

use super::reads::{Reader, at_most};
use super::sessions::{Caller, check_password, login_refused, still_bound};
use super::work::done;
use crate::chat::{Action, Look, Operation, OwnChange, SessionView, verified_against};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{LEVEL_OF_CONVERSATIONS, SESSIONS_PER_ACCOUNT_MAX};
use crate::protocol::client::{Answer, Confirm, setting};
use crate::types::{Timestamp, Uuid};

impl Caller {
    /// Sets another password of the session's account.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidPassword`] of the new one; [`ErrorCode::LoginRefused`] for a wrong
    /// old one.
    pub(super) async fn change_password(
        self,
        operation: Uuid,
        password: SecretString,
        new_password: SecretString,
        session: &SessionView,
    ) -> Result<Answer> {
        check_password(&new_password)?;
        self.confirm_for_own().await?;
        let now = self.shared.backend.now();
        let (account, remembered) = self.shared.backend.look(|look| {
            let bound = look.session_by_number(session.number, now)?;
            Ok::<_, Error>((look.account(bound.account), look.remembers(operation)))
        })?;
        let account = account.ok_or_else(|| Error::internal("a session has no account"))?;
        // An operation that was done before, whose answer was lost, is answered again by the
        // log: the password that it brings is the old one for everybody by now. Whatever else
        // has this id is refused there, so it says that nothing was verified.
        let mut verified = verified_against("");
        if !remembered {
            let stored = Some(Arc::clone(&account.password_hash));
            if !self.password_is_right(&account.name, password, stored, false).await? {
                return Err(login_refused("wrong password; it was not changed"));
            }
            verified = verified_against(&account.password_hash);
        }
        let permit = self.shared.passwords.permit(self.deadline).await?;
        let password_hash = self.shared.passwords.hash(permit, new_password).await?;
        let change = OwnChange::ChangePassword { verified, password_hash };
        self.change_own(operation, change, session).await
    }

    /// Ends sessions of the session's account: those that are named, or all others.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownSession`]: one is none of the account; none is ended then.
    pub(super) async fn end_sessions(
        self,
        operation: Uuid,
        (ids, others): (Vec<u64>, bool),
        session: &SessionView,
    ) -> Result<Answer> {
        at_most(ids.len(), SESSIONS_PER_ACCOUNT_MAX, "sessions")?;
        if others != ids.is_empty() {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                "name the sessions that are to end, or say that it is all others",
            ));
        }
        self.confirm_for_own().await?;
        let change = match others {
            true => OwnChange::EndOtherSessions {},
            false => OwnChange::EndSessions { sessions: ids },
        };
        self.change_own(operation, change, session).await
    }

    /// Sets something of the session's account.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`] lists what can be set.
    pub(super) async fn change_setting(
        self,
        operation: Uuid,
        (key, value): (String, String),
        session: &SessionView,
    ) -> Result<Answer> {
        let set = setting(&key, &value)
            .map_err(|error| Error::new(ErrorCode::InvalidRequest, error.message))?;
        self.confirm_for_own().await?;
        let change = OwnChange::SetReceipts { on: set.receipts };
        self.change_own(operation, change, session).await
    }

    /// Looks at what a majority knows, in a cluster whose servers know such things.
    async fn confirm_for_own(&self) -> Result<()> {
        self.confirm_with_majority().await?;
        self.shared.backend.require_level(LEVEL_OF_CONVERSATIONS).await
    }

    async fn change_own(
        self,
        operation: Uuid,
        change: OwnChange,
        session: &SessionView,
    ) -> Result<Answer> {
        let action = Action::Own { session: session.number, change };
        let asked = Operation { id: operation, action };
        let (backend, stream) = (&self.shared.backend, &self.stream);
        let accepted = backend.propose(asked.into(), self.deadline, stream, Confirm::Majority);
        done(operation, accepted.await?)
    }
}

/// What concerns rights is what a majority says, also where a server that is alone would do
/// for messages.
impl Reader {
    /// The sessions of the session's account.
    pub(super) async fn sessions(self) -> Result<Answer> {
        let mut sessions =
            self.own(|look, reader, now| look.sessions_of(reader.account, now)).await?;
        for session in &mut sessions {
            session.current = session.id == self.session.number;
        }
        Ok(Answer::Sessions { sessions })
    }

    /// What the session's account has set.
    pub(super) async fn settings(self) -> Result<Answer> {
        let settings = self.own(|look, reader, _| look.settings_of(reader.account)).await?;
        Ok(Answer::Settings { settings: settings.listed() })
    }

    /// Looks once at what is the account's own.
    async fn own<T>(
        &self,
        question: impl FnOnce(&mut Look<'_>, &SessionView, Timestamp) -> T,
    ) -> Result<T> {
        let backend = &self.shared.backend;
        backend.confirm(self.deadline, Confirm::Majority).await?;
        let now = backend.now();
        backend.look(|look| {
            let bound = still_bound(look, &self.session, now)?;
            Ok(question(look, &bound, now))
        })
    }
}
