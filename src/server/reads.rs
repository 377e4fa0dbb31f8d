//! Reads of the state: whoami, accounts, inbox, find.
//!
//! Every read is confirmed with a majority first, so it sees all that was
//! acknowledged before it was asked, whichever server it asks. The same look
//! at the state tells whether the session still exists.
//!
//! A read that may be long is done in steps ([`Step`]), until the request's deadline.
//! Between them the state is free and others run. Each connection has one such read at
//! a time, so a thousand reads of one connection get no more than one would.

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
use crate::protocol::client::{Alone, Answer, Confirm, InboxQuery, Message, SessionInfo, Which};
use crate::types::{Timestamp, Uuid};

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
    /// Who has to vouch for what it shows.
    pub(super) confirm: Confirm,
}

impl Reader {
    /// The session as the state has it.
    pub(super) async fn whoami(self) -> Result<Answer> {
        let alone = self.confirm().await?;
        let now = self.shared.backend.now();
        let view = self.shared.backend.look(|look| still_bound(look, &self.session, now))?;
        Ok(Answer::Session(SessionInfo { alone, ..session_info(&view) }))
    }

    /// A page of account names.
    pub(super) async fn accounts(
        self,
        glob: Option<String>,
        after: Option<String>,
    ) -> Result<Answer> {
        let glob = glob.as_deref().map(Glob::new);
        let mut search = NameSearch::new(glob, after.as_deref(), PAGE_MAX_MESSAGES);
        let alone = self.confirm().await?;
        let _permit = self.permit().await?;
        let ended = self.steps(|look| Ok(look.names(&mut search))).await?.is_some();
        let (names, more) = search.into_page(ended);
        match ended || !names.is_empty() {
            true => Ok(Answer::Accounts { names, more, alone }),
            false => Err(late("no name that matches was found in time; allow more")),
        }
    }

    /// Message ids by their beginnings.
    pub(super) async fn find(self, prefixes: Vec<String>) -> Result<Answer> {
        at_most(prefixes.len(), IDS_PER_REQUEST_MAX, "ids")?;
        let mut search = IdSearch::new(self.session.account, &prefixes)?;
        let alone = self.confirm().await?;
        let _permit = self.permit().await?;
        match self.steps(|look| Ok(look.ids(&mut search))).await? {
            Some(()) => Ok(Answer::Found { matches: search.matches(), alone }),
            None => Err(late(
                "not all ids were looked up in time; ask for fewer at once, or allow more",
            )),
        }
    }

    /// A page of messages.
    pub(super) async fn inbox(self, query: InboxQuery) -> Result<Answer> {
        let limit = page_limit(query.limit)?;
        let alone = self.confirm().await?;
        let _permit = self.permit().await?;
        let mut page = Page::new(query, limit);
        let account = self.session.account;
        loop {
            let filled = self.steps(|look| Ok(page.fill(look, account))).await?;
            if page.spread {
                let refresh = |look: &mut Look<'_>| {
                    page.refresh(look, account);
                    Ok(Step::Done(()))
                };
                self.steps(refresh).await?;
            }
            let more = filled.is_none_or(|more| more || page.grown)
                && !(page.cut && planted::is(Bug::CutPageWithoutMore));
            let more = match more || self.confirm.is_majority() {
                true => more,
                false => match self.unconfirmed(&mut page).await? {
                    // Something was confirmed meanwhile, and comes before what is not.
                    Rest::Confirmed => continue,
                    Rest::Whole => false,
                    Rest::Cut => true,
                },
            };
            if !page.messages.is_empty() || !more {
                return Ok(Answer::Messages { messages: page.messages, more, alone });
            }
            if filled.is_none() {
                return Err(late("no message that matches was found in time; allow more"));
            }
            // Everything found so far is gone, and there is more.
            page = Page::new(page.query, limit);
        }
    }

    /// Adds what is not confirmed to a page that has all that is.
    async fn unconfirmed(&self, page: &mut Page) -> Result<Rest> {
        let (account, now) = (self.session.account, self.shared.backend.now());
        let added = self.steps(|look| Ok(page.add_unconfirmed(look, account, now))).await?;
        match added {
            None if page.messages.is_empty() => {
                Err(late("no message that matches was found in time; allow more"))
            }
            added => Ok(added.unwrap_or(Rest::Cut)),
        }
    }

    /// Waits until the read may be answered. Says whether this server alone vouches for it.
    pub(super) async fn confirm(&self) -> Result<Option<Alone>> {
        self.shared.backend.confirm(self.deadline, self.confirm).await
    }

    /// Waits until no other long read of the connection runs, and until there is
    /// room for a long answer.
    pub(super) async fn permit(&self) -> Result<MutexGuard<'_, ()>> {
        let permit = async {
            let permit = self.long_reads.lock().await;
            self.outgoing.room().await;
            permit
        };
        timeout_at(self.deadline, permit).await.map_err(|_| {
            Error::new(
                ErrorCode::DeadlineExceeded,
                "the answers before this one were not made and read in time; nothing was done",
            )
        })
    }

    /// Looks at the state until the work is done, as long as the session exists.
    /// `None`: the time is up.
    pub(super) async fn steps<T>(
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
    /// Whether it took another look when there was something in it already.
    spread: bool,
    /// Whether something has come behind it since the last look.
    grown: bool,
    /// Whether it ends because one line has no room for more.
    cut: bool,
    /// Up to which entry of this server it has what is not confirmed, and the last place of
    /// the account's list then; none while it has none.
    unconfirmed: Option<(u64, u64)>,
}

/// What has become of the end of a page.
enum Rest {
    /// More is confirmed than it has.
    Confirmed,
    /// It has everything.
    Whole,
    /// It has no room for all that is not confirmed.
    Cut,
}

impl Page {
    fn new(query: InboxQuery, limit: usize) -> Page {
        let (messages, room) = (Vec::new(), Room::default());
        let (spread, grown, cut, unconfirmed) = (false, false, false, None);
        Page { query, limit, messages, text_bytes: 0, room, spread, grown, cut, unconfirmed }
    }

    /// Makes what several looks have found true at one moment, which is now: messages
    /// that were deleted meanwhile go, and marks are as they are now. Otherwise a page
    /// could show one of two messages as read that were marked together. Messages that
    /// were passed over need no second look: they never match again.
    fn refresh(&mut self, look: &mut Look<'_>, account: Uuid) {
        let which = self.query.which;
        let seqs: Vec<u64> = self.messages.iter().filter_map(|it| it.seq).collect();
        let (marks, last) = look.marks(account, which, &seqs);
        let mut marks = marks.into_iter();
        self.messages.retain_mut(|message| match marks.next().flatten() {
            Some(read) => {
                message.read = read;
                which != Which::Unread || !read
            }
            None => false,
        });
        self.grown = self.query.after.is_some_and(|after| last > after);
    }

    /// Adds messages that are not confirmed, when all that are confirmed are there. In one and
    /// the same look it sees whether that is still so: one that is confirmed between two looks
    /// would be in neither.
    fn add_unconfirmed(
        &mut self,
        look: &mut Look<'_>,
        account: Uuid,
        now: Timestamp,
    ) -> Step<Rest> {
        let which = self.query.which;
        let (_, last) = look.marks(account, which, &[]);
        let behind = match self.unconfirmed {
            Some((behind, then)) if then == last => behind,
            // Some of it was confirmed since.
            Some(_) => {
                self.messages.retain(|message| message.confirmed);
                self.unconfirmed = None;
                return Step::Done(Rest::Confirmed);
            }
            None => {
                match self.fill(look, account) {
                    Step::More => return Step::More,
                    Step::Done(true) => return Step::Done(Rest::Confirmed),
                    Step::Done(false) => {}
                }
                self.refresh(look, account);
                self.query.after_place.map_or(0, |place| look.order_of(&place))
            }
        };
        let text_left = PAGE_MAX_TEXT_BYTES - self.text_bytes;
        let wanted = match text_left < TEXT_MAX_BYTES {
            true => 0,
            false => self.limit - self.messages.len(),
        };
        let found = look.unconfirmed(account, &self.query, now, behind, wanted, text_left);
        self.unconfirmed = Some((found.scanned_to, last));
        for (_, message) in found.messages {
            if !self.room.take(&message) {
                return Step::Done(Rest::Cut);
            }
            self.text_bytes += message.text.len();
            self.messages.push(message);
        }
        match (found.interrupted, found.more) {
            (true, _) => Step::More,
            (false, true) => Step::Done(Rest::Cut),
            (false, false) => Step::Done(Rest::Whole),
        }
    }

    /// Adds messages. Done when the page is; then with whether there may be more.
    fn fill(&mut self, look: &mut Look<'_>, account: Uuid) -> Step<bool> {
        self.spread |= !self.messages.is_empty();
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
                // What goes on behind this page begins with that one.
                self.query.after = self.messages.last().and_then(|it| it.seq);
                self.cut = true;
                return Step::Done(true);
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

/// How many messages a page has at most, if a client wants so many.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`]: it wants none.
pub(super) fn page_limit(asked: Option<u64>) -> Result<usize> {
    match asked {
        Some(0) => Err(Error::new(ErrorCode::InvalidRequest, "a page's limit is at least 1")),
        asked => {
            let asked = usize::try_from(asked.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            Ok(asked.min(PAGE_MAX_MESSAGES))
        }
    }
}

/// The time is up; `what` says for what, and ends as in "allow more".
pub(super) fn late(what: &str) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Action, Operation};
    use crate::protocol::client::Which;
    use crate::server::backend::Backend;
    use crate::server::tests::fake::{self, FakeReplica};
    use crate::types::{AccountName, Digest, Timestamp};

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Alice, whose first message in each of twelve times four hundred is her own.
    fn replica() -> std::sync::Arc<FakeReplica> {
        let replica = FakeReplica::new(fake::host(7));
        let register = |number: u128, name: &str| Operation {
            id: id(number << 64),
            action: Action::Register {
                account: id(number),
                name: AccountName::new(name).expect("valid"),
                password_hash: "x".into(),
                token_hash: Digest::of(name.as_bytes()),
                expires: Timestamp::MAX,
                invitation: None,
                from: None,
            },
        };
        replica.apply(vec![register(1, "alice"), register(2, "bob")]);
        let send = |number: u128| Operation {
            id: id(1_000 + number),
            action: Action::Send {
                session: if number.is_multiple_of(400) { 1 } else { 2 },
                to: vec![AccountName::new("alice").expect("valid")],
                text: "x".into(),
                again: false,
                after: None,
                reply_to: None,
            },
        };
        replica.apply((0..12 * 400).map(send).collect());
        replica
    }

    #[test]
    fn what_a_page_shows_was_true_at_one_moment() {
        for (which, left) in [(Which::All, 11), (Which::Unread, 10)] {
            let replica = replica();
            let backend: &dyn Backend = &*replica;
            let query = InboxQuery { which, from: Some("alice".into()), ..InboxQuery::default() };
            let mut page = Page::new(query, 100);
            let mut step = backend.look(|look| page.fill(look, id(1)));
            assert_eq!(step, Step::More, "it takes several looks");
            let [first, second, ..] = &page.messages[..] else { panic!("two are found") };
            let (marked, deleted) = (first.seq.expect("confirmed"), second.id);
            // Deleted before the other one is marked; no moment has one without the other.
            let change = |number, action| Operation { id: id(number), action };
            replica.apply(vec![
                change(1 << 80, Action::Delete { session: 1, ids: vec![deleted] }),
                change(2 << 80, Action::MarkRead { session: 1, seqs: vec![marked] }),
            ]);
            while step == Step::More {
                step = backend.look(|look| page.fill(look, id(1)));
            }
            assert!(page.spread);
            backend.look(|look| page.refresh(look, id(1)));
            assert_eq!((page.messages.len(), page.grown), (left, false), "{which:?}");
            assert!(page.messages.iter().all(|message| message.id != deleted));
            assert!(
                page.messages.iter().all(|message| message.read == (message.seq == Some(marked)))
            );
        }
    }

    #[test]
    fn what_came_behind_a_page_since_its_last_look_is_more() {
        let replica = replica();
        let backend: &dyn Backend = &*replica;
        let query =
            InboxQuery { which: Which::All, from: Some("alice".into()), ..InboxQuery::default() };
        let mut page = Page::new(query, 100);
        let mut step = Step::More;
        while step == Step::More {
            step = backend.look(|look| page.fill(look, id(1)));
        }
        assert_eq!(step, Step::Done(false));
        backend.look(|look| page.refresh(look, id(1)));
        assert!(!page.grown);
        let to = vec![AccountName::new("alice").expect("valid")];
        let action = Action::Send {
            session: 1,
            to,
            text: "later".into(),
            again: false,
            after: None,
            reply_to: None,
        };
        replica.apply(vec![Operation { id: id(9), action }]);
        backend.look(|look| page.refresh(look, id(1)));
        assert!(page.grown);
    }
}
