//! Reads of the state: whoami, accounts, inbox, find.
//!
//! Every read is confirmed with a majority first, so it sees all that was
//! acknowledged before it was asked, whichever server it asks. The same look
//! at the state tells whether the session still exists.

use std::sync::Arc;

use tokio::time::Instant;

use super::Shared;
use super::outgoing::Outgoing;
use super::sessions::{session_info, still_bound};
use super::wire::fitting;
use crate::chat::{Glob, SessionView, State};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{IDS_PER_REQUEST_MAX, PAGE_MAX_MESSAGES, PAGE_MAX_TEXT_BYTES, TEXT_MAX_BYTES};
use crate::protocol::client::{Answer, InboxQuery};
use crate::types::Uuid;

/// A session's read.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<SessionView>,
    pub(super) deadline: Instant,
}

impl Reader {
    /// The session as the state has it.
    pub(super) async fn whoami(self) -> Result<Answer> {
        self.confirm().await?;
        let now = self.shared.host.clock.now();
        let view = self.shared.backend.read(|state| still_bound(state, &self.session, now))?;
        Ok(Answer::Session(session_info(&view)))
    }

    /// A page of account names.
    pub(super) async fn accounts(
        self,
        glob: Option<String>,
        after: Option<String>,
    ) -> Result<Answer> {
        self.confirm().await?;
        let glob = glob.as_deref().map(Glob::new);
        let (names, more) = self
            .read(|state| Ok(state.accounts(glob.as_ref(), after.as_deref(), PAGE_MAX_MESSAGES)))?;
        Ok(Answer::Accounts { names, more })
    }

    /// Message ids by their beginnings.
    pub(super) async fn find(self, prefixes: Vec<String>) -> Result<Answer> {
        at_most(prefixes.len(), IDS_PER_REQUEST_MAX, "ids")?;
        self.confirm().await?;
        let find = |state: &State, prefix: &String| -> Result<Vec<Uuid>> {
            let mut ids = state.find(self.session.account, prefix)?;
            ids.truncate(2);
            Ok(ids)
        };
        let matches =
            self.read(|state| prefixes.iter().map(|prefix| find(state, prefix)).collect())?;
        Ok(Answer::Found { matches })
    }

    /// A page of messages.
    pub(super) async fn inbox(
        self,
        mut query: InboxQuery,
        outgoing: Arc<Outgoing>,
    ) -> Result<Answer> {
        let limit = usize::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let limit = limit.min(PAGE_MAX_MESSAGES);
        if limit == 0 {
            return Err(Error::new(ErrorCode::InvalidRequest, "a page's limit is at least 1"));
        }
        self.confirm().await?;
        tokio::time::timeout_at(self.deadline, outgoing.room()).await.map_err(|_| {
            Error::new(
                ErrorCode::DeadlineExceeded,
                "the answers before this one were not read in time; nothing was done",
            )
        })?;
        let (mut messages, mut text_bytes) = (Vec::new(), 0);
        let mut more = loop {
            let (wanted, text_left) = (limit - messages.len(), PAGE_MAX_TEXT_BYTES - text_bytes);
            let page = self.read(|state| {
                Ok(state.messages(self.session.account, &query, wanted, text_left))
            })?;
            text_bytes += page.messages.iter().map(|message| message.text.len()).sum::<usize>();
            messages.extend(page.messages);
            query.after = Some(page.scanned_to);
            if !page.more {
                break false;
            }
            // The state scans a bounded number of messages under its lock. A
            // page without any could not be continued by the client, so the
            // scan goes on here, letting others run in between.
            if messages.len() >= limit || text_bytes + TEXT_MAX_BYTES > PAGE_MAX_TEXT_BYTES {
                break true;
            }
            if Instant::now() >= self.deadline {
                if messages.is_empty() {
                    return Err(Error::new(
                        ErrorCode::DeadlineExceeded,
                        "no message that matches was found in time; allow more with --timeout",
                    ));
                }
                break true;
            }
            tokio::task::yield_now().await;
        };
        let fitting = fitting(&messages);
        more |= fitting < messages.len();
        messages.truncate(fitting);
        Ok(Answer::Messages { messages, more })
    }

    async fn confirm(&self) -> Result<()> {
        self.shared.backend.confirm(self.deadline).await
    }

    fn read<T>(&self, query: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let now = self.shared.host.clock.now();
        self.shared.backend.read(|state| {
            still_bound(state, &self.session, now)?;
            query(state)
        })
    }
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
