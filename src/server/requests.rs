//! What each request does.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use super::connection::Connection;
use super::reads::{Reader, at_most};
use super::sessions::{Caller, Credentials, not_logged_in, session_expired, session_info};
use super::wire::{parse_request, push_error};
use super::work::{self, Effect, Finished, Proposal, Work};
use crate::chat::{Action, Operation, SessionView};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    IDS_PER_REQUEST_MAX, LEVEL_OF_CONVERSATIONS, RECIPIENTS_MAX, TEXT_MAX_BYTES, TIMEOUT_MAX,
};
use crate::protocol::client::{After, Answer, Request};
use crate::replica::{Accepted, Change};
use crate::types::{AccountName, Uuid, code_hash};

impl Connection {
    /// Takes a line: starts the request that it holds, or says what is wrong.
    pub(super) fn take_line(&mut self, line: &mut [u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.line_bytes = line.len();
        let parsed = parse_request(line);
        let secret = |request: &Request| {
            matches!(
                request,
                Request::Authenticate { .. }
                    | Request::Register { .. }
                    | Request::Login { .. }
                    | Request::ChangePassword { .. }
                    | Request::DeleteAccount { .. }
            )
        };
        if parsed.as_ref().map_or(true, |parsed| secret(&parsed.request)) {
            line.zeroize();
        }
        match parsed {
            Ok(parsed) => {
                let timeout = parsed.timeout_ms.map_or(TIMEOUT_MAX, Duration::from_millis);
                let deadline = Instant::now() + timeout.min(TIMEOUT_MAX);
                self.line_in_order = parsed.in_order;
                self.line_confirm = parsed.confirm;
                self.knows_alone |= !parsed.confirm.is_majority();
                if let Err(error) = self.take(parsed.id, parsed.request, deadline) {
                    self.fail(parsed.id, error);
                }
            }
            Err(unreadable) => match unreadable.id {
                Some(id) => self.fail(id, unreadable.error),
                None => self.refuse(None, unreadable.error),
            },
        }
    }

    fn fail(&mut self, id: u64, error: Error) {
        let error = self.soften(error);
        self.outgoing.push(|buffer| push_error(buffer, Some(id), error));
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        let effect = Effect::Nothing;
        self.finish(Finished {
            id,
            result: Ok(answer),
            effect,
            was_barrier: false,
            was_proposal: false,
        });
    }

    fn take(&mut self, id: u64, request: Request, deadline: Instant) -> Result<()> {
        if !self.may_ask(&request) {
            self.refuse(Some(id), reserved_for_logins());
            return Ok(());
        }
        match request {
            Request::Authenticate { token } => {
                let (caller, token) = (self.caller(deadline), Zeroizing::new(token));
                self.bind(id, caller.authenticate(token));
            }
            Request::Register { operation, name, password, token, invitation } => {
                let asked = Credentials::new(operation, name, password, token);
                let invitation = invitation.map(|code| code_hash(&Zeroizing::new(code)));
                self.bind(id, self.caller(deadline).register(asked, invitation));
            }
            Request::Login { operation, name, password, token, new_password } => {
                let asked = Credentials::new(operation, name, password, token);
                let new_password = new_password.map(SecretString::from);
                self.bind(id, self.caller(deadline).login(asked, new_password));
            }
            Request::Logout { operation } => {
                self.mend_stream();
                let (session, caller) = (self.any_session()?, self.caller(deadline));
                self.unbind(id, async move { caller.logout(operation, &session).await });
            }
            Request::DeleteAccount { operation, password } => {
                self.mend_stream();
                let (session, caller) = (self.any_session()?, self.caller(deadline));
                let password = password.into();
                self.unbind(id, async move {
                    caller.delete_account(operation, password, &session).await
                });
            }
            Request::Send { operation, to, text, first, after, reply_to } => {
                let content = (&*to, text, reply_to);
                self.send(id, operation, content, (first, after), deadline)?;
            }
            Request::MarkRead { operation, seqs, ids } => {
                self.mark(id, operation, (seqs, ids), deadline)?;
            }
            Request::Delete { operation, ids } => {
                let session = self.session()?.number;
                at_most(ids.len(), IDS_PER_REQUEST_MAX, "ids")?;
                let action = Action::Delete { session, ids };
                let change = Operation { id: operation, action }.into();
                self.propose(id, change, deadline, work::deleted);
            }
            Request::Whoami {} => self.read(id, self.reader(deadline)?.whoami()),
            Request::Accounts { glob, after } => {
                self.read(id, self.reader(deadline)?.accounts(glob, after))
            }
            Request::Inbox(query) => self.read(id, self.reader(deadline)?.inbox(query)),
            Request::Past(query) => self.read(id, self.reader(deadline)?.past(query)),
            Request::Unread { after } => self.read(id, self.reader(deadline)?.unread(after)),
            Request::Find { prefixes } => self.read(id, self.reader(deadline)?.find(prefixes)),
            Request::Follow(query) => {
                let session = Arc::clone(self.session()?);
                self.start_follow(id, query, session, deadline)?;
            }
            Request::Unfollow { follow } => {
                self.unfollow(follow)?;
                self.answer(id, Answer::done());
            }
            Request::Status {} => {
                let backend = Arc::clone(&self.shared.backend);
                self.read(id, async move { Ok(Answer::Status(Box::new(backend.status().await))) });
            }
            Request::Ping {} => self.answer(id, Answer::done()),
            own => self.take_own(id, own, deadline)?,
        }
        Ok(())
    }

    /// Begins the order of changes anew if one has failed and everything is answered. The next
    /// request may have been sent before the client knew; a client to whom that matters asks
    /// for `in_order`.
    pub(super) fn mend_stream(&self) {
        if self.proposals == 0 && self.stream.is_broken() {
            self.stream.mend();
        }
    }

    /// Takes a message; whether nobody was asked for it before, and what it comes behind.
    fn send(
        &mut self,
        id: u64,
        operation: Uuid,
        (to, text, reply_to): (&[String], String, Option<Uuid>),
        (first, after): (bool, Option<After>),
        deadline: Instant,
    ) -> Result<()> {
        let session = self.session()?.number;
        let to = recipients(to)?;
        check_text(&text)?;
        if reply_to.is_some()
            && let Err(error) = self.require_level(LEVEL_OF_CONVERSATIONS)
        {
            // As one that failed: what is to follow it in order is not taken either.
            let (result, effect) = (Err(error), Effect::Nothing);
            self.finish(Finished { id, result, effect, was_barrier: false, was_proposal: true });
            return Ok(());
        }
        let (after, after_id) = (after.map(|it| it.place()), after.and_then(|it| it.id));
        let action = Action::Send { session, to, text, again: !first, after, reply_to };
        let message = Operation { id: operation, action };
        let change = Change { after_id, ..message.into() };
        self.propose(id, change, deadline, work::sent);
        Ok(())
    }

    /// Nothing that a feature level has brought may come into the log before it is reached.
    fn require_level(&self, level: u32) -> Result<()> {
        match self.shared.backend.look(|look| look.level()) {
            reached if reached >= level => Ok(()),
            reached => Err(Error::unavailable(format!(
                "this needs feature level {level}, and the cluster is at {reached}: a server of it \
                 runs an older program; update all of them"
            ))),
        }
    }

    /// Takes a mark of messages that are named by their places, or by their ids.
    fn mark(
        &mut self,
        id: u64,
        operation: Uuid,
        (seqs, ids): (Vec<u64>, Vec<Uuid>),
        deadline: Instant,
    ) -> Result<()> {
        let (session, account) = (self.session()?.number, self.session()?.account);
        at_most(seqs.len() + ids.len(), IDS_PER_REQUEST_MAX, "messages")?;
        let action = Action::MarkRead { session, seqs };
        if ids.is_empty() {
            let change = Operation { id: operation, action }.into();
            self.propose(id, change, deadline, work::marked);
            return Ok(());
        }
        if self.order_broken && self.line_in_order {
            return Err(out_of_order());
        }
        self.shared.changes.attempt(account)?;
        self.mend_stream();
        let (caller, change) = (self.caller(deadline), Operation { id: operation, action });
        let bound = self.any_session()?;
        self.read(id, async move { caller.mark(change, &bound, ids).await });
        Ok(())
    }

    /// Whether a request may be taken: on probation only one that logs in. Notes
    /// that the client does.
    fn may_ask(&mut self, request: &Request) -> bool {
        let logs_in = matches!(request, Request::Authenticate { .. } | Request::Login { .. });
        if logs_in {
            self.slot.logs_in();
        }
        logs_in || !self.slot.on_probation()
    }

    /// The bound session, which has not expired as far as the clocks tell.
    pub(super) fn session(&self) -> Result<&Arc<SessionView>> {
        let session = self.session.as_ref().ok_or_else(not_logged_in)?;
        if session.expires <= self.shared.backend.now() {
            return Err(session_expired(session));
        }
        if self.session_ended {
            let told = "the session has ended; log in again";
            return Err(Error::new(ErrorCode::SessionExpired, told));
        }
        Ok(session)
    }

    /// Whether the bound session has ended, as far as this server knows: what was refused may
    /// have named another one, as a token that opens nothing any more does.
    pub(super) fn is_session_gone(&self) -> bool {
        let (backend, session) = (&self.shared.backend, self.session.as_ref());
        let now = backend.now();
        session.is_some_and(|session| {
            backend.look(|look| look.session_by_number(session.number, now).is_err())
        })
    }

    /// The bound session, for requests that end it and may be repetitions.
    fn any_session(&self) -> Result<Arc<SessionView>> {
        self.session.clone().ok_or_else(not_logged_in)
    }

    pub(super) fn caller(&self, deadline: Instant) -> Caller {
        let address = self.slot.address().to_string();
        let (confirm, stream) = (self.line_confirm, self.stream.clone());
        Caller { shared: Arc::clone(&self.shared), address, deadline, confirm, stream }
    }

    pub(super) fn reader(&self, deadline: Instant) -> Result<Reader> {
        let session = Arc::clone(self.session()?);
        let (shared, outgoing) = (Arc::clone(&self.shared), Arc::clone(&self.outgoing));
        let long_reads = Arc::clone(&self.long_reads);
        let confirm = self.line_confirm;
        Ok(Reader { shared, session, deadline, outgoing, long_reads, confirm })
    }

    fn propose(
        &mut self,
        id: u64,
        change: Change,
        deadline: Instant,
        answer: fn(Uuid, Accepted) -> Result<Answer>,
    ) {
        self.mend_stream();
        if self.order_broken && self.line_in_order {
            return self.fail(id, out_of_order());
        }
        if let Some(session) = &self.session
            && let Err(error) = self.shared.changes.attempt(session.account)
        {
            // As one that failed: what is to follow it in order is not taken either.
            return self.finish(Finished {
                id,
                result: Err(error),
                effect: Effect::Nothing,
                was_barrier: false,
                was_proposal: true,
            });
        }
        let operation = change.operation.id;
        let (stream, confirm) = (&self.stream, self.line_confirm);
        let accepted = self.shared.backend.propose(change, deadline, stream, confirm);
        match Proposal::start(id, operation, answer, accepted) {
            Ok(finished) => self.finish(finished),
            Err(work) => {
                self.proposals += 1;
                self.start(work);
            }
        }
    }

    pub(super) fn read(
        &mut self,
        id: u64,
        answer: impl Future<Output = Result<Answer>> + Send + 'static,
    ) {
        self.start(Work::Other(Box::pin(async move {
            // If it were answered at once, a thousand of them would be answered without
            // anybody else running in between.
            tokio::task::coop::consume_budget().await;
            let result = answer.await;
            Finished {
                id,
                result,
                effect: Effect::Nothing,
                was_barrier: false,
                was_proposal: false,
            }
        })));
    }

    fn bind(
        &mut self,
        id: u64,
        session: impl Future<Output = Result<Arc<SessionView>>> + Send + 'static,
    ) {
        self.start_barrier(Box::pin(async move {
            let (result, effect) = match session.await {
                Ok(session) => (Ok(Answer::Session(session_info(&session))), Effect::Bind(session)),
                Err(error) => (Err(error), Effect::Nothing),
            };
            Finished { id, result, effect, was_barrier: true, was_proposal: false }
        }));
    }

    fn unbind(&mut self, id: u64, answer: impl Future<Output = Result<Answer>> + Send + 'static) {
        self.start_barrier(Box::pin(async move {
            let result = answer.await;
            let effect = if result.is_ok() { Effect::Unbind } else { Effect::Nothing };
            Finished { id, result, effect, was_barrier: true, was_proposal: false }
        }));
    }
}

fn reserved_for_logins() -> Error {
    Error::new(
        ErrorCode::TooManyConnections,
        "this server has only reserved slots left, for those who log in first; \
         try another server, or later",
    )
}

fn out_of_order() -> Error {
    Error::unavailable(
        "a change that this connection asked for earlier has failed, and this one was to follow \
         it; nothing was done: connect anew and begin with the one that failed",
    )
}

fn recipients(to: &[String]) -> Result<Vec<AccountName>> {
    at_most(to.len(), RECIPIENTS_MAX, "recipients")?;
    if to.is_empty() {
        return Err(Error::new(ErrorCode::InvalidRequest, "a message needs a recipient"));
    }
    to.iter().map(|name| AccountName::new(name)).collect()
}

fn check_text(text: &str) -> Result<()> {
    if text.is_empty() || text.len() > TEXT_MAX_BYTES {
        return Err(Error::new(
            ErrorCode::InvalidText,
            format!("a text has 1 to {TEXT_MAX_BYTES} bytes, not {}", text.len()),
        ));
    }
    Ok(())
}
