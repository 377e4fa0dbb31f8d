//! Following: messages as they come.
//!
//! A follow holds a cursor into the total order and nothing else. It pulls pages from
//! the state when the connection has room for them, so a slow follower lags and costs
//! nothing. The cursor passes each message once, so none is missed and none comes
//! twice. A client that reconnects says `after` which `seq` to go on.
//!
//! A follow must not fall silent: a follower of a server that was cut off would
//! wait for ever. So every [`CONFIRM_INTERVAL`] the follow confirms with a majority
//! that nothing was missed, and says so ([`Event::CaughtUp`]). When it cannot for
//! [`CONFIRM_TIMEOUT`], it ends with an error that sends the client to another
//! server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::backend::Backend;
use super::outgoing::Outgoing;
use super::sessions::still_bound;
use super::wire::{Room, push_event};
use crate::chat::{News, SessionView, Withdrawn};
use crate::error::{Error, Result};
use crate::host::BoxFuture;
use crate::limits::PAGE_MAX_TEXT_BYTES;
use crate::planted::{self, Bug};
use crate::protocol::client::{Alone, Confirm, Event, InboxQuery, Message, Which};

/// How often a follow confirms that it is not cut off.
pub(super) const CONFIRM_INTERVAL: Duration = Duration::from_secs(2);

/// How long confirming may fail before the follow ends: long enough for an
/// election, short enough that a user does not stare at a dead screen.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(4);

/// Pause after a confirmation that failed at once.
const RETRY: Duration = Duration::from_millis(200);

/// Messages of one event.
const PAGE_MESSAGES: usize = 256;

/// A running follow.
pub(super) struct Follow {
    shared: Arc<Shared>,
    outgoing: Arc<Outgoing>,
    session: Arc<SessionView>,
    id: u64,
    query: InboxQuery,
    /// Everything up to here has been shown, or does not match.
    cursor: u64,
    /// Messages up to here were there when the follow began: of these an
    /// "unread" follow shows the unread ones, of later ones all. (One that is
    /// marked as read before a slow follower gets to it was still new.)
    backlog_end: u64,
    /// Who has to vouch for what it shows.
    confirm: Confirm,
    /// Up to where entries that are not confirmed have been shown, in the order in which this
    /// server has them.
    unconfirmed: u64,
    /// How many messages had been withdrawn from the account when it was last told of them.
    withdrawn: u64,
}

impl Follow {
    /// A follow that request `id` asked for.
    pub(super) fn new(
        shared: Arc<Shared>,
        outgoing: Arc<Outgoing>,
        session: Arc<SessionView>,
        id: u64,
        query: InboxQuery,
        confirm: Confirm,
    ) -> Self {
        let cursor = query.after.unwrap_or(0);
        Follow {
            shared,
            outgoing,
            session,
            id,
            query,
            cursor,
            backlog_end: 0,
            confirm,
            unconfirmed: 0,
            withdrawn: 0,
        }
    }

    /// Runs until something ends it, and returns what. The first confirmation
    /// has until `deadline`.
    pub(super) async fn run(mut self, deadline: Instant) -> Error {
        match self.go(deadline).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn go(&mut self, deadline: Instant) -> Result<Infallible> {
        let backend = Arc::clone(&self.shared.backend);
        // Before the first look at the state, so that no change falls between.
        let mut changes = backend.watch(self.session.account);
        self.withdrawn = changes.borrow().withdrawn();
        let mut vouched = Some(backend.confirm(deadline, self.confirm).await?);
        self.backlog_end = backend.look(|look| look.last_seq());
        let mut next = next_confirmation(&backend, self.confirm);
        loop {
            self.push_withdrawn(&changes.borrow_and_update());
            let seq = self.push_new().await?;
            self.push_unconfirmed().await?;
            match vouched.take() {
                Some(Some(Alone { since })) => self.push(&Event::Alone { since, seq }),
                Some(None) => self.push(&Event::CaughtUp { seq }),
                None => {}
            }
            tokio::select! { biased;
                changed = changes.changed() => changed.map_err(|_| stopping())?,
                result = &mut next => {
                    vouched = Some(result?);
                    next = next_confirmation(&backend, self.confirm);
                }
            }
        }
    }

    /// Shows all messages that match and lie after the cursor. Returns the
    /// `seq` up to which that is certain.
    async fn push_new(&mut self) -> Result<u64> {
        loop {
            self.outgoing.room().await;
            let in_backlog = self.query.which == Which::Unread && self.cursor < self.backlog_end;
            let which = match self.query.which {
                Which::Unread if !in_backlog => Which::All,
                which => which,
            };
            let query = InboxQuery { which, after: Some(self.cursor), ..self.query.clone() };
            let now = self.shared.backend.now();
            let (page, last_seq) = self.shared.backend.look(|look| {
                still_bound(look, &self.session, now)?;
                let account = self.session.account;
                let page = look.messages(account, &query, PAGE_MESSAGES, PAGE_MAX_TEXT_BYTES);
                Ok::<_, Error>((page, look.last_seq()))
            })?;
            let (mut messages, mut more) = (page.messages, page.more);
            let mut reached = if more { page.scanned_to } else { last_seq };
            if in_backlog && reached >= self.backlog_end {
                // Beyond the backlog this page has the unread ones only; the
                // next one begins there and has all.
                messages.retain(|message| message.seq <= Some(self.backlog_end));
                (reached, more) = (self.backlog_end, true);
            }
            let mut room = Room::default();
            let fitting = messages.iter().take_while(|message| room.take(message)).count();
            if fitting < messages.len() {
                messages.truncate(fitting);
                more = true;
                if !planted::is(Bug::FollowPastTheCut) {
                    reached = messages.last().and_then(|it| it.seq).unwrap_or(self.cursor);
                }
            }
            if more && reached <= self.cursor {
                return Err(Error::internal("a page of messages leads nowhere"));
            }
            self.cursor = self.cursor.max(reached);
            if !messages.is_empty() {
                self.push(&Event::Messages(messages));
            }
            if !more {
                return Ok(last_seq);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Shows what this server has accepted and no majority has confirmed, each once.
    async fn push_unconfirmed(&mut self) -> Result<()> {
        if self.confirm.is_majority() {
            return Ok(());
        }
        loop {
            self.outgoing.room().await;
            let now = self.shared.backend.now();
            let page = self.shared.backend.look(|look| {
                still_bound(look, &self.session, now)?;
                let (account, after) = (self.session.account, self.unconfirmed);
                let (limit, bytes) = (PAGE_MESSAGES, PAGE_MAX_TEXT_BYTES);
                Ok::<_, Error>(look.unconfirmed(account, &self.query, now, after, limit, bytes))
            })?;
            let mut room = Room::default();
            let fitting = page.messages.iter().take_while(|(_, it)| room.take(it)).count();
            let cut = fitting < page.messages.len();
            self.unconfirmed = match cut {
                true => page.messages[fitting - 1].0,
                false => page.scanned_to,
            };
            let messages = page.messages.into_iter().take(fitting).map(|(_, it)| it);
            let messages: Vec<Message> = messages.collect();
            if !messages.is_empty() {
                self.push(&Event::Messages(messages));
            }
            if !cut && !page.more {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Tells of messages that go to nobody, if it shows messages that are not confirmed. The
    /// client knows whether it was shown these.
    fn push_withdrawn(&mut self, news: &News) {
        let told = if self.confirm.is_majority() { news.withdrawn() } else { self.withdrawn };
        for Withdrawn { id, reason } in news.withdrawn_after(told) {
            self.push(&Event::Refused { id: *id, reason: (*reason).to_string() });
        }
        self.withdrawn = news.withdrawn();
    }

    fn push(&self, event: &Event) {
        self.outgoing.push(|buffer| push_event(buffer, self.id, event));
    }
}

/// Waits for an interval, then until a majority has confirmed that the state is
/// complete.
fn next_confirmation(
    backend: &Arc<dyn Backend>,
    confirm: Confirm,
) -> BoxFuture<'static, Result<Option<Alone>>> {
    let backend = Arc::clone(backend);
    Box::pin(async move {
        tokio::time::sleep(CONFIRM_INTERVAL).await;
        let give_up = Instant::now() + CONFIRM_TIMEOUT;
        loop {
            match backend.confirm(give_up, confirm).await {
                Err(_) if Instant::now() + RETRY < give_up => tokio::time::sleep(RETRY).await,
                result => return result,
            }
        }
    })
}

/// This server is on its way out.
pub(super) fn stopping() -> Error {
    Error::unavailable("this server is stopping; go on at another")
}
