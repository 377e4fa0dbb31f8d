//! What people change about their own accounts.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::connection::Connection;
use super::reads::{Reader, at_most};
use super::sessions::{Caller, check_password, login_refused, still_bound};
use super::work::{Effect, Finished, done};
use crate::chat::{Action, Look, Operation, OwnChange, SessionView, verified_against};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{LEVEL_OF_CONVERSATIONS, SESSIONS_PER_ACCOUNT_MAX};
use crate::protocol::client::{Answer, Confirm, Request, setting};
use crate::types::{AccountName, Timestamp, Uuid};

/// Requests about one's own account.
impl Connection {
    /// Starts one.
    pub(super) fn take_own(&mut self, id: u64, request: Request, deadline: Instant) -> Result<()> {
        match request {
            Request::ChangePassword { operation, password, new_password } => {
                let (password, new_password) = (password.into(), new_password.into());
                self.own(id, deadline, |caller, session| async move {
                    caller.change_password(operation, password, new_password, &session).await
                })?;
            }
            Request::EndSessions { operation, ids, others } => {
                self.own(id, deadline, |caller, session| async move {
                    caller.end_sessions(operation, (ids, others), &session).await
                })?;
            }
            Request::Block { operation, name } => {
                self.block(id, (operation, name, true), deadline)?;
            }
            Request::Unblock { operation, name } => {
                self.block(id, (operation, name, false), deadline)?;
            }
            Request::ChangeSetting { operation, key, value } => {
                self.own(id, deadline, |caller, session| async move {
                    caller.change_setting(operation, (key, value), &session).await
                })?;
            }
            Request::Blocked {} => self.read(id, self.reader(deadline)?.blocked()),
            Request::Settings {} => self.read(id, self.reader(deadline)?.settings()),
            Request::Sessions {} => self.read(id, self.reader(deadline)?.sessions()),
            Request::Authenticate { .. }
            | Request::Register { .. }
            | Request::Login { .. }
            | Request::Logout { .. }
            | Request::Whoami {}
            | Request::Accounts { .. }
            | Request::Send { .. }
            | Request::Inbox(_)
            | Request::Past(_)
            | Request::Unread { .. }
            | Request::Follow(_)
            | Request::Unfollow { .. }
            | Request::MarkRead { .. }
            | Request::Find { .. }
            | Request::Delete { .. }
            | Request::DeleteAccount { .. }
            | Request::Status {}
            | Request::Ping {} => {
                return Err(Error::internal("a request of another kind is nobody's own affair"));
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        id: u64,
        (operation, name, blocked): (Uuid, String, bool),
        deadline: Instant,
    ) -> Result<()> {
        self.own(id, deadline, |caller, session| async move {
            caller.block(operation, (name, blocked), &session).await
        })
    }

    /// Changes what is the account's own, behind everything that the connection has asked for.
    fn own<F>(
        &mut self,
        id: u64,
        deadline: Instant,
        change: impl FnOnce(Caller, Arc<SessionView>) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        let session = Arc::clone(self.session()?);
        // By session: whoever has stolen another one, and uses up what the account may send, must
        // not keep its owner from ending that. No account has such an identity.
        self.shared.changes.attempt(Uuid::from_u128(u128::from(session.number)))?;
        self.mend_stream();
        let answer = change(self.caller(deadline), session);
        self.start_barrier(Box::pin(async move {
            let (result, effect) = (answer.await, Effect::Nothing);
            Finished { id, result, effect, was_barrier: true, was_proposal: false }
        }));
        Ok(())
    }
}

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
        let stored = Some(Arc::clone(&account.password_hash));
        if remembered {
            // What is answered "done" must be the password that opens the account.
            let same = SecretString::from(new_password.expose_secret());
            if !self.password_is_right(&account.name, same, stored, false).await? {
                return Err(login_refused(
                    "this operation id was used before, and the new password is not the one that \
                     counts; nothing was done",
                ));
            }
        } else {
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

    /// Blocks an account, or lets it send again.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownAccount`]; [`ErrorCode::InvalidRequest`] for oneself;
    /// [`ErrorCode::TooMany`].
    pub(super) async fn block(
        self,
        operation: Uuid,
        (name, blocked): (String, bool),
        session: &SessionView,
    ) -> Result<Answer> {
        let name = AccountName::new(&name)?;
        self.confirm_for_own().await?;
        let change = match blocked {
            true => OwnChange::Block { name },
            false => OwnChange::Unblock { name },
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

    /// Whom the session's account has blocked.
    pub(super) async fn blocked(self) -> Result<Answer> {
        let names = self.own(|look, reader, _| look.blocked_by(reader.account)).await?;
        Ok(Answer::Blocked { names })
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
