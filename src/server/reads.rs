//! Reads of the state: whoami, accounts, inbox, find.
//!
//! Every read is confirmed with a majority first, so it sees all that was
//! acknowledged before it was asked, whichever server it asks. The same look
//! at the state tells whether the session still exists.
//!
//! Whatever may be long is done in steps ([`Step`]), between which the state is
//! free and others run, until the request's deadline. Of one connection one such
//! read runs at a time, so that a thousand of them share what one would get.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::outgoing::Outgoing;
use super::sessions::{session_info, still_bound};
use super::wire::Room;
use crate::chat::{Glob, IdSearch, Look, NameSearch, SessionView, Step};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{IDS_PER_REQUEST_MAX, PAGE_MAX_MESSAGES, PAGE_MAX_TEXT_BYTES, TEXT_MAX_BYTES};
use crate::planted::{self, Bug};
use crate::protocol::client::{Answer, InboxQuery, Message};
use crate::types::Uuid;

/// Steps at the state that a read may make without letting others run: those of
/// a session's look-up and the like.
const FEW_STEPS: usize = 16;

/// A session's read.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<SessionView>,
    pub(super) deadline: Instant,
    pub(super) outgoing: Arc<Outgoing>,
    /// Held by the one long read of the connection that runs.
    pub(super) long_reads: Arc<Mutex<()>>,
}

impl Reader {
    /// The session as the state has it.
    pub(super) async fn whoami(self) -> Result<Answer> {
        self.confirm().await?;
        let now = self.shared.backend.now();
        let view = self.shared.backend.look(|look| still_bound(look, &self.session, now))?;
        Ok(Answer::Session(session_info(&view)))
    }

    /// A page of account names.
    pub(super) async fn accounts(
        self,
        glob: Option<String>,
        after: Option<String>,
    ) -> Result<Answer> {
        let glob = glob.as_deref().map(Glob::new);
        let mut search = NameSearch::new(glob, after.as_deref(), PAGE_MAX_MESSAGES);
        self.confirm().await?;
        let _turn = self.turn().await?;
        let ended = self.steps(|look| Ok(look.names(&mut search))).await?.is_some();
        let (names, more) = search.into_page(ended);
        match ended || !names.is_empty() {
            true => Ok(Answer::Accounts { names, more }),
            false => Err(late("no name that matches was found in time; allow more")),
        }
    }

    /// Message ids by their beginnings.
    pub(super) async fn find(self, prefixes: Vec<String>) -> Result<Answer> {
        at_most(prefixes.len(), IDS_PER_REQUEST_MAX, "ids")?;
        let mut search = IdSearch::new(self.session.account, &prefixes)?;
        self.confirm().await?;
        let _turn = self.turn().await?;
        match self.steps(|look| Ok(look.ids(&mut search))).await? {
            Some(()) => Ok(Answer::Found { matches: search.matches() }),
            None => Err(late(
                "not all ids were looked up in time; ask for fewer at once, or allow more",
            )),
        }
    }

    /// A page of messages.
    pub(super) async fn inbox(self, query: InboxQuery) -> Result<Answer> {
        let limit = usize::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let limit = limit.min(PAGE_MAX_MESSAGES);
        if limit == 0 {
            return Err(Error::new(ErrorCode::InvalidRequest, "a page's limit is at least 1"));
        }
        self.confirm().await?;
        let _turn = self.turn().await?;
        let mut page =
            Page { query, limit, messages: Vec::new(), text_bytes: 0, room: Room::default() };
        let account = self.session.account;
        match self.steps(|look| Ok(page.fill(look, account))).await? {
            Some(more) => Ok(Answer::Messages { messages: page.messages, more }),
            None if page.messages.is_empty() => {
                Err(late("no message that matches was found in time; allow more"))
            }
            None => Ok(Answer::Messages { messages: page.messages, more: true }),
        }
    }

    async fn confirm(&self) -> Result<()> {
        self.shared.backend.confirm(self.deadline).await
    }

    /// Waits until no other long read of the connection runs, and until there is
    /// room for a long answer.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>> {
        let turn = async {
            let turn = self.long_reads.lock().await;
            self.outgoing.room().await;
            turn
        };
        timeout_at(self.deadline, turn).await.map_err(|_| {
            Error::new(
                ErrorCode::DeadlineExceeded,
                "the answers before this one were not made and read in time; nothing was done",
            )
        })
    }

    /// Looks at the state until the work is done, as long as the session exists.
    /// `None`: the time is up.
    async fn steps<T>(
        &self,
        mut step: impl FnMut(&mut Look<'_>) -> Result<Step<T>>,
    ) -> Result<Option<T>> {
        loop {
            let now = self.shared.backend.now();
            let (made, spent) = self.shared.backend.look(|look| {
                still_bound(look, &self.session, now)?;
                Ok::<_, Error>((step(look)?, look.spent()))
            })?;
            if spent > FEW_STEPS {
                tokio::task::yield_now().await;
            }
            match made {
                Step::Done(answer) => return Ok(Some(answer)),
                Step::More if Instant::now() >= self.deadline => return Ok(None),
                Step::More => {}
            }
        }
    }
}

/// A page of messages in the making.
struct Page {
    query: InboxQuery,
    limit: usize,
    messages: Vec<Message>,
    text_bytes: usize,
    room: Room,
}

impl Page {
    /// Adds messages. Done when the page is; then with whether there may be more.
    fn fill(&mut self, look: &mut Look<'_>, account: Uuid) -> Step<bool> {
        let text_left = PAGE_MAX_TEXT_BYTES - self.text_bytes;
        // A page that is nearly full takes no more, but says whether there is.
        let wanted = match text_left < TEXT_MAX_BYTES {
            true => 0,
            false => self.limit - self.messages.len(),
        };
        let page = look.messages(account, &self.query, wanted, text_left);
        self.query.after = Some(page.scanned_to);
        for message in page.messages {
            if !self.room.take(&message) {
                return Step::Done(!planted::is(Bug::CutPageWithoutMore));
            }
            self.text_bytes += message.text.len();
            self.messages.push(message);
        }
        match page.interrupted {
            true => Step::More,
            false => Step::Done(page.more),
        }
    }
}

fn late(what: &str) -> Error {
    Error::new(ErrorCode::DeadlineExceeded, format!("{what} time with --timeout"))
}

/// Checks the number of things in one request.
///
/// # Errors
/// [`ErrorCode::TooMany`] that states the bound.
pub(super) fn at_most(count: usize, max: usize, what: &str) -> Result<()> {
    if count > max {
        return Err(Error::new(
            ErrorCode::TooMany,
            format!("one request takes at most {max} {what}, not {count}"),
        ));
    }
    Ok(())
}
