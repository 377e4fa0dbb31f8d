//! Who is asking: register, login, authenticate, logout, delete-account.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Shared;
use super::work::{confirmed, done, marked, refusal};
use crate::chat::{Action, Look, Operation, Outcome, SessionView, verified_against};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    LEVEL_OF_ADMISSION, LEVEL_OF_CONVERSATIONS, PASSWORD_MAX_BYTES, PASSWORD_MIN_BYTES,
};
use crate::protocol::administration::Registration;
use crate::protocol::client::{Answer, Confirm, SessionInfo};
use crate::replica::{Accepted, Change, ChangeStream};
use crate::types::{AccountName, Digest, Timestamp, Uuid, code_hash};

/// Where a request comes from, and how long it may take.
pub(super) struct Caller {
    pub(super) shared: Arc<Shared>,
    pub(super) address: String,
    pub(super) deadline: Instant,
    /// Who has to confirm what can be confirmed by less than a majority.
    pub(super) confirm: Confirm,
    pub(super) stream: ChangeStream,
}

/// A name, a password and a token, as `register` and `login` bring them.
pub(super) struct Credentials {
    pub(super) operation: Uuid,
    pub(super) name: String,
    pub(super) password: SecretString,
    pub(super) token: Zeroizing<String>,
}

impl Credentials {
    pub(super) fn new(operation: Uuid, name: String, password: String, token: String) -> Self {
        Credentials { operation, name, password: password.into(), token: Zeroizing::new(token) }
    }
}

/// No session is bound to the connection.
pub(super) fn not_logged_in() -> Error {
    Error::new(
        ErrorCode::NotLoggedIn,
        "this needs a session and the connection has none; log in first",
    )
}

/// The session's time is over.
pub(super) fn session_expired(session: &SessionView) -> Error {
    Error::new(
        ErrorCode::SessionExpired,
        format!("the session expired on {}; log in again", session.expires),
    )
}

/// # Errors
/// [`ErrorCode::InvalidPassword`] that states the bounds.
pub(super) fn check_password(password: &SecretString) -> Result<()> {
    match password.expose_secret().len() {
        PASSWORD_MIN_BYTES..=PASSWORD_MAX_BYTES => Ok(()),
        length => Err(Error::new(
            ErrorCode::InvalidPassword,
            format!(
                "a password has {PASSWORD_MIN_BYTES} to {PASSWORD_MAX_BYTES} bytes, not {length}"
            ),
        )),
    }
}

pub(super) fn login_refused(message: &str) -> Error {
    Error::new(ErrorCode::LoginRefused, message)
}

/// What a client is told of its session.
pub(super) fn session_info(view: &SessionView) -> SessionInfo {
    SessionInfo {
        name: view.name.clone(),
        account: view.account,
        expires: view.expires,
        alone: None,
    }
}

/// What an operation says of the hash that a password was verified against, where that is
/// known: servers of a lower feature level do not know it.
fn verified(look: &mut Look<'_>, password_hash: Option<&str>) -> Option<Digest> {
    let known = look.level() >= LEVEL_OF_CONVERSATIONS;
    password_hash.filter(|_| known).map(verified_against)
}

/// Whether a session still exists.
///
/// # Errors
/// [`ErrorCode::SessionExpired`].
pub(super) fn still_bound(
    look: &mut Look<'_>,
    session: &SessionView,
    now: Timestamp,
) -> Result<SessionView> {
    look.session_by_number(session.number, now)
}

/// The digest by which the state knows a token: that of its 32 bytes, however they
/// were spelled.
fn token_hash(token: &str) -> Result<Digest> {
    match token.parse::<Digest>() {
        Ok(bytes) => Ok(Digest::of(&bytes.0)),
        Err(_) => Err(Error::new(
            ErrorCode::InvalidRequest,
            "a session's token has 64 hexadecimal digits; the one given has not",
        )),
    }
}

impl Caller {
    /// The session of a token.
    ///
    /// This replica may lag behind the one where the login happened a moment
    /// ago, so a token that is unknown here is looked up again once a majority
    /// has confirmed that the state is complete.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`] for a token that nobody knows (any more).
    pub(super) async fn authenticate(self, token: Zeroizing<String>) -> Result<Arc<SessionView>> {
        let hash = token_hash(&token)
            .map_err(|error| Error::new(ErrorCode::NotLoggedIn, error.message))?;
        let view = match self.session_of(&hash) {
            Ok(view) => view,
            Err(_) => {
                self.confirm_with_majority().await?;
                self.session_of(&hash)?
            }
        };
        self.shared.failed_logins.remember(&view.name.folded(), &self.address);
        Ok(Arc::new(view))
    }

    /// What gives rights, or must be unique, needs a majority.
    pub(super) async fn confirm_with_majority(&self) -> Result<()> {
        self.shared.backend.confirm(self.deadline, Confirm::Majority).await.map(drop)
    }

    fn session_of(&self, token: &Digest) -> Result<SessionView> {
        let now = self.shared.backend.now();
        self.shared.backend.look(|look| look.session(token, now))
    }

    /// Makes an account and a session.
    ///
    /// A name that is taken is refused by the log and not here: when a client
    /// repeats a registration whose answer was lost, the name is its own.
    ///
    /// Likewise an invitation is used by the log alone. Here one is only looked at, so that
    /// no password of a stranger is hashed.
    ///
    /// # Errors
    /// [`ErrorCode::RegistrationClosed`], [`ErrorCode::InvitationRequired`] and
    /// [`ErrorCode::InvitationRefused`]; [`ErrorCode::Unavailable`] while a cluster that was
    /// just founded has not agreed who may register; [`ErrorCode::InvalidPassword`].
    pub(super) async fn register(
        self,
        asked: Credentials,
        invitation: Option<Digest>,
    ) -> Result<Arc<SessionView>> {
        let name = AccountName::new(&asked.name)?;
        check_password(&asked.password)?;
        let token_hash = token_hash(&asked.token)?;
        self.shared.registrations.attempt(&self.address)?;
        // Whoever has just heard of a majority knows what time it is: see `expiry`.
        self.confirm_with_majority().await?;
        let invitation = self.may_register(asked.operation, invitation)?;
        let permit = self.shared.passwords.permit(self.deadline).await?;
        let password_hash = self.shared.passwords.hash(permit, asked.password).await?;
        let action = Action::Register {
            account: self.shared.host.uuid(),
            name,
            password_hash,
            token_hash,
            expires: self.expiry(),
            invitation,
            from: self.from(),
        };
        self.open(asked.operation, action, &token_hash).await
    }

    /// Whether a newcomer would be let in, and the invitation that goes into the log.
    fn may_register(&self, operation: Uuid, invitation: Option<Digest>) -> Result<Option<Digest>> {
        let backend = &self.shared.backend;
        let now = backend.now();
        backend.look(|look| {
            let open = backend.proposed_registration() == Registration::Open;
            if !open && look.registration_is_undecided() {
                return Err(Error::unavailable(
                    "this cluster was just founded, and its servers have not agreed yet who may \
                     register; nothing was done, try again",
                ));
            }
            look.may_register(operation, invitation.as_ref(), now)?;
            // Where no invitations are known none is needed, and none may be in the log.
            Ok(invitation.filter(|_| look.level() >= LEVEL_OF_ADMISSION))
        })
    }

    /// Makes a session of an account that exists. One whose password was taken away gets a
    /// new password as well, with the code that came with that in the place of the old one.
    ///
    /// # Errors
    /// [`ErrorCode::LoginRefused`], the same for an unknown account and a wrong
    /// password, after the same work; with a sentence of its own for whoever has the
    /// password of an account that is disabled. [`ErrorCode::NewPasswordRequired`].
    /// [`ErrorCode::Restoring`].
    pub(super) async fn login(
        self,
        asked: Credentials,
        new_password: Option<SecretString>,
    ) -> Result<Arc<SessionView>> {
        let refused = || login_refused("unknown account or wrong password");
        let name = AccountName::new(&asked.name)?;
        if let Some(new_password) = &new_password {
            check_password(new_password)?;
        }
        let token_hash = token_hash(&asked.token)?;
        // The account may have been made a moment ago at another server.
        self.confirm_with_majority().await?;
        let (account, remembered, verified) = self.shared.backend.look(|look| {
            look.usable()?;
            let account = look.account_by_name(&name);
            let verified = verified(look, account.as_ref().map(|it| &*it.password_hash));
            Ok::<_, Error>((account, look.remembers(asked.operation), verified))
        })?;
        let stored = account.as_ref().map(|account| Arc::clone(&account.password_hash));
        let stored = stored.filter(|hash| !hash.is_empty());
        let code_hash = code_hash(asked.password.expose_secret());
        let by_code = account.as_ref().is_some_and(|it| it.reset == Some(code_hash));
        // The password is checked also then: what it takes tells nobody about a code.
        let by_password = self.password_is_right(&name, asked.password, stored, by_code).await?;
        // A code is good once. Whether a request with a known id is that request the log says.
        let by_code = by_code || (remembered && !by_password && new_password.is_some());
        let account = account.filter(|_| by_password || by_code).ok_or_else(refused)?;
        let (account, expires, from) = (account.account, self.expiry(), self.from());
        let action = match (by_code, new_password) {
            (false, _) => Action::OpenSession { account, token_hash, expires, verified, from },
            (true, None) => {
                return Err(Error::new(
                    ErrorCode::NewPasswordRequired,
                    "the code is right; log in with it and a new password",
                ));
            }
            (true, Some(new_password)) => {
                let permit = self.shared.passwords.permit(self.deadline).await?;
                let password_hash = self.shared.passwords.hash(permit, new_password).await?;
                Action::ResetPassword {
                    account,
                    code_hash,
                    password_hash,
                    token_hash,
                    expires,
                    from,
                }
            }
        };
        self.open(asked.operation, action, &token_hash).await
    }

    /// Ends a session.
    pub(super) async fn logout(self, operation: Uuid, session: &SessionView) -> Result<Answer> {
        let action = Action::CloseSession { session: session.number };
        let (backend, stream) = (&self.shared.backend, &self.stream);
        let asked = Operation { id: operation, action };
        done(operation, backend.propose(asked.into(), self.deadline, stream, self.confirm).await?)
    }

    /// Marks messages of an account as read, of which some are named by their ids.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownMessage`], and [`ErrorCode::Behind`] for one that is not confirmed
    /// yet.
    pub(super) async fn mark(
        self,
        mut mark: Operation,
        session: &SessionView,
        ids: Vec<Uuid>,
    ) -> Result<Answer> {
        let backend = &self.shared.backend;
        let alone = backend.confirm(self.deadline, self.confirm).await?;
        let mut mark_ids = Vec::new();
        match &mut mark.action {
            Action::MarkRead { seqs, .. } if alone.is_none() => {
                let now = backend.now();
                seqs.extend(backend.look(|look| {
                    let bound = still_bound(look, session, now)?;
                    look.places_of(bound.account, &ids)
                })?);
            }
            _ => mark_ids = ids,
        }
        let (id, change) = (mark.id, Change { mark_ids, ..mark.into() });
        let accepted = backend.propose(change, self.deadline, &self.stream, self.confirm);
        marked(id, accepted.await?)
    }

    /// Removes the session's account.
    ///
    /// # Errors
    /// [`ErrorCode::LoginRefused`] for a wrong password.
    pub(super) async fn delete_account(
        self,
        operation: Uuid,
        password: SecretString,
        session: &SessionView,
    ) -> Result<Answer> {
        self.confirm_with_majority().await?;
        let now = self.shared.backend.now();
        let account = self.shared.backend.look(|look| {
            let bound = look.session_by_number(session.number, now).ok()?;
            let account = look.account(bound.account)?;
            let verified = verified(look, Some(&account.password_hash));
            Some((account, verified))
        });
        let verified = account.as_ref().and_then(|(_, verified)| *verified);
        // Without the session there is nothing to protect: the operation can
        // only be one that was done before, whose answer was lost, and which
        // the log answers again; anything else it refuses.
        if let Some((account, _)) = account {
            let stored = Some(Arc::clone(&account.password_hash));
            if !self.password_is_right(&account.name, password, stored, false).await? {
                return Err(login_refused("wrong password; the account was not deleted"));
            }
        }
        let action = Action::DeleteAccount { session: session.number, verified };
        let asked = Operation { id: operation, action };
        // Behind everything that the connection has asked for.
        let (backend, stream) = (&self.shared.backend, &self.stream);
        let accepted = backend.propose(asked.into(), self.deadline, stream, Confirm::Majority);
        done(operation, accepted.await?)
    }

    /// Checks a password within the rate limits. `known`: something else has shown already
    /// that it is the account's owner who asks.
    pub(super) async fn password_is_right(
        &self,
        name: &AccountName,
        password: SecretString,
        stored: Option<Arc<str>>,
        known: bool,
    ) -> Result<bool> {
        if password.expose_secret().len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        let (account, limits) = (name.folded(), &self.shared.failed_logins);
        // Once before the queue for a permit, so that a flood does not fill it,
        // and again when it counts.
        limits.check(&account, &self.address)?;
        let permit = self.shared.passwords.permit(self.deadline).await?;
        limits.attempt(&account, &self.address)?;
        let right = self.shared.passwords.verify(permit, password, stored).await;
        if right || known {
            limits.forgive(&account, &self.address);
            limits.remember(&account, &self.address);
        }
        Ok(right)
    }

    /// Proposes a new session and reads it back.
    ///
    /// The session comes from the state, not from the request: a repeated operation has
    /// the outcome of the first. And it must be the session of the caller's own token,
    /// so that knowing an operation's id is not enough to get its session.
    async fn open(
        &self,
        operation: Uuid,
        action: Action,
        token: &Digest,
    ) -> Result<Arc<SessionView>> {
        let number = match confirmed(self.propose(operation, action).await?)? {
            Outcome::SessionOpened { session, .. } => session,
            other => return Err(refusal(other)),
        };
        let opened = || match self.session_of(token) {
            Ok(view) if view.number != number => Err(Error::new(
                ErrorCode::IdConflict,
                "the operation id belongs to another login; repeat with a new id and token",
            )),
            other => other.map(Arc::new),
        };
        if let Ok(session) = opened() {
            return Ok(session);
        }
        // Applied at the leader and not here yet.
        self.confirm_with_majority().await.map_err(|error| {
            Error::outcome_unknown(format!(
                "the new session could not be read back, repeat the request with the same \
                 operation id: {error}"
            ))
        })?;
        opened()
    }

    async fn propose(&self, operation: Uuid, action: Action) -> Result<Accepted> {
        let operation = Operation { id: operation, action };
        let (stream, confirm) = (ChangeStream::default(), Confirm::Majority);
        self.shared.backend.propose(operation.into(), self.deadline, &stream, confirm).await
    }

    /// From where the request comes, where the log may say so.
    fn from(&self) -> Option<IpAddr> {
        let level = self.shared.backend.look(|look| look.level());
        self.address.parse().ok().filter(|_| level >= LEVEL_OF_CONVERSATIONS)
    }

    /// The end of a session that begins now, and not before anything that the log holds.
    /// Only to be asked behind a confirmation: a server that has heard of no other yet knows
    /// no clock but its own, and perhaps little of the log, and the session might have ended
    /// before it began.
    fn expiry(&self) -> Timestamp {
        let lifetime_ms = self.shared.limits.session_lifetime_s.saturating_mul(1000);
        self.shared.backend.beginning().plus_ms(lifetime_ms)
    }
}
