//! Reading the state in bounded steps.
//!
//! Readers share a lock with the task that applies the log. So none of them may hold
//! it for long, whatever was asked and whatever a user has put into the state to make
//! that slow. Code outside of this module never gets the state itself, only a [`Look`]
//! at it, which ends after [`QUERY_STEPS_MAX`] steps. Work that may be longer keeps
//! its place and returns [`Step::More`]: its caller gives the lock back, lets others
//! run, checks whether there is time left, and looks again.
//!
//! A step takes about a quarter of a microsecond: one entry of a list with what it
//! leads to, one id followed, four recipients named. Work in pieces may exceed the
//! budget with its last piece; the largest piece is looking up and naming
//! [`RECIPIENTS_MAX`](crate::limits::RECIPIENTS_MAX) recipients.
//!
//! A change between two looks is seen or not, as if the question had been asked a
//! little earlier or later. All places are keys in one order, so nothing that is there
//! all the time is missed, and nothing comes twice. Pages of messages promise more:
//! they look once more at everything that they show ([`Look::marks`]).

use std::sync::Arc;

use super::budget::{Budget, Step};
use super::hash::StateHash;
use super::operation::Operation;
use super::overlay::{
    Acceptance, Asking, MarkAsked, Overlay, Question, Shown, Unconfirmed, nothing,
};
use super::past_page::{Past, PastPage};
use super::query::{AccountView, Page, SessionView};
use super::search::{IdSearch, NameSearch};
use super::snapshot::View;
use super::state::{State, session_expired};
use super::unread::UnreadCount;
use crate::error::Result;
use crate::limits::{ADMINISTRATION_PAGE, BLOCKED_MAX, QUERY_STEPS_MAX, SESSIONS_PER_ACCOUNT_MAX};
use crate::protocol::administration::{
    AccountRow, AdministrativeAction, Bounds, Invitation, Registration,
};
use crate::protocol::client::{InboxQuery, OwnSession, OwnSettings, Which};
use crate::types::{AccountName, Digest, Membership, Place, Timestamp, Uuid};

/// By how much one look may exceed its budget: its last piece, and a few look-ups
/// that come with every question, such as for the session. The last piece may be an
/// unconfirmed message, whose recipients are all looked up.
const BEYOND_MAX: usize = 2_560;

/// Steps of a mark, and of each message of it.
const MARK_STEPS: usize = 16;

/// Bounded access to the state while its lock is held; see the head of this file.
pub struct Look<'a> {
    state: &'a State,
    overlay: &'a Overlay,
    /// The latest time that a question came with.
    now: Timestamp,
    budget: Budget,
    /// Steps of taking something, which may be many at once.
    taken: usize,
}

impl State {
    /// Lets a question look at the state: the only way to read it from outside
    /// of this module.
    pub fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        self.look_over(nothing(), question)
    }

    /// The same, at the state as it would be if what a server took without a majority
    /// came into it now.
    pub fn look_over<T>(&self, overlay: &Overlay, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        let (now, taken) = (Timestamp(0), 0);
        let budget = Budget::new(QUERY_STEPS_MAX);
        let mut look = Look { state: self, overlay, now, budget, taken };
        let answer = question(&mut look);
        let spent = look.budget.spent();
        debug_assert!(spent <= QUERY_STEPS_MAX + BEYOND_MAX, "one look took {spent} steps");
        answer
    }
}

impl Look<'_> {
    /// Steps so far.
    pub fn spent(&self) -> usize {
        self.budget.spent() + self.taken
    }

    /// What is shown of the overlay depends on the time, as sessions run out. Questions that
    /// do not come with it are asked at the time of the last one that did; as a rule that
    /// was the look-up of the session.
    fn shown(&self) -> Shown<'_> {
        Shown::new(self.state, self.overlay, self.now)
    }

    fn unless_closed(&self, session: SessionView) -> Result<SessionView> {
        match self.shown().is_closed(session.number) {
            true => Err(session_expired()),
            false => Ok(session),
        }
    }

    /// The state, for one look-up that costs the same whatever is in it.
    fn glance(&mut self) -> &State {
        self.budget.spend(1);
        self.state
    }

    /// The session of a token. Errors as [`Look::session_by_number`].
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`](crate::error::ErrorCode::SessionExpired).
    pub fn session(&mut self, token_hash: &Digest, now: Timestamp) -> Result<SessionView> {
        self.now = now;
        let session = self.glance().session(token_hash, now)?;
        self.unless_closed(session)
    }

    /// The session of a number.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`](crate::error::ErrorCode::SessionExpired):
    /// it expired, or it is unknown, hence logged out, pushed out by newer ones,
    /// or gone with its account.
    pub fn session_by_number(&mut self, number: u64, now: Timestamp) -> Result<SessionView> {
        self.now = now;
        let session = self.glance().session_by_number(number, now)?;
        self.unless_closed(session)
    }

    /// The account that has a name, in any case.
    pub fn account_by_name(&mut self, name: &AccountName) -> Option<AccountView> {
        self.glance().account_by_name(name)
    }

    /// The account of an identity.
    pub fn account(&mut self, account: Uuid) -> Option<AccountView> {
        self.glance().account(account)
    }

    /// The sessions of an account that have not ended, oldest first.
    pub fn sessions_of(&mut self, account: Uuid, now: Timestamp) -> Vec<OwnSession> {
        self.budget.spend(SESSIONS_PER_ACCOUNT_MAX);
        self.state.sessions_of(account, now)
    }

    /// Names of those whom an account has blocked, in order.
    pub fn blocked_by(&mut self, account: Uuid) -> Vec<AccountName> {
        self.budget.spend(2 * BLOCKED_MAX);
        self.state.blocked_by(account)
    }

    /// What an account has set.
    pub fn settings_of(&mut self, account: Uuid) -> OwnSettings {
        self.glance().settings_of(account)
    }

    /// Whether users may use the state.
    ///
    /// # Errors
    /// Those of [`State::usable`].
    pub fn usable(&mut self) -> Result<()> {
        self.glance().usable()
    }

    /// See [`State::restored_lines`].
    pub fn restored_lines(&mut self) -> Option<u64> {
        self.glance().restored_lines()
    }

    /// See [`State::last_seq`].
    pub fn last_seq(&mut self) -> u64 {
        self.glance().last_seq()
    }

    /// See [`State::newest_at`].
    pub fn newest_at(&mut self) -> Option<Timestamp> {
        self.glance().newest_at()
    }

    /// See [`State::settles_since`].
    pub fn settles_since(&mut self) -> u64 {
        self.glance().settles_since()
    }

    /// See [`State::level`].
    pub fn level(&mut self) -> u32 {
        self.glance().level()
    }

    /// See [`State::membership`].
    pub fn membership(&mut self) -> Arc<Membership> {
        self.glance().membership().clone()
    }

    /// See [`State::registration`].
    pub fn registration(&mut self) -> Registration {
        self.glance().registration()
    }

    /// See [`State::settled`].
    pub fn settled(&mut self, list: &Uuid) -> u64 {
        self.glance().settled(list)
    }

    /// See [`State::bounds`].
    pub fn bounds(&mut self) -> Bounds {
        self.glance().bounds()
    }

    /// See [`State::stored_bytes`].
    pub fn stored_bytes(&mut self) -> u64 {
        self.glance().stored_bytes()
    }

    /// See [`State::heeds_time`].
    pub fn heeds_time(&mut self, at: Timestamp) -> bool {
        self.glance().heeds_time(at)
    }

    /// See [`State::heeds`].
    ///
    /// # Errors
    /// Those of [`State::heeds`].
    pub fn heeds(&mut self, proposal: &Bounds) -> Result<bool> {
        self.glance().heeds(proposal)
    }

    /// See [`State::registration_is_undecided`].
    pub fn registration_is_undecided(&mut self) -> bool {
        self.glance().registration_is_undecided()
    }

    /// Whether a newcomer would be let in, or asked already with this operation id. So a
    /// server needs to hash no password of a stranger.
    ///
    /// # Errors
    /// [`ErrorCode::RegistrationClosed`](crate::error::ErrorCode::RegistrationClosed),
    /// [`ErrorCode::InvitationRequired`](crate::error::ErrorCode::InvitationRequired),
    /// [`ErrorCode::InvitationRefused`](crate::error::ErrorCode::InvitationRefused).
    pub fn may_register(
        &mut self,
        operation: Uuid,
        invitation: Option<&Digest>,
        now: Timestamp,
    ) -> Result<()> {
        let state = self.glance();
        if state.remembers(&operation) {
            return Ok(());
        }
        state.admit(now, invitation).map(drop)
    }

    /// Whether an operation with this id was applied, and is remembered in the window.
    pub fn remembers(&mut self, operation: Uuid) -> bool {
        self.glance().remembers(&operation)
    }

    /// Whether it is decided what becomes of an operation with this id: it is a message that
    /// is stored, or it is remembered in the window.
    pub fn has_decided(&mut self, operation: Uuid) -> bool {
        let state = self.glance();
        state.message_ids.contains(&operation) || state.remembers(&operation)
    }

    /// A page of invitations behind a number, oldest first.
    pub fn invitations(&mut self, after: u64, now: Timestamp) -> Vec<Invitation> {
        self.budget.spend(ADMINISTRATION_PAGE);
        self.state.invitations(after, ADMINISTRATION_PAGE, now)
    }

    /// What an administrator sees of the account that has a name.
    pub fn account_row(&mut self, name: &AccountName) -> Option<AccountRow> {
        self.budget.spend(2);
        self.glance().account_row(name)
    }

    /// A page of what administrators have done behind a number, oldest first.
    pub fn actions(&mut self, after: u64) -> Vec<AdministrativeAction> {
        self.budget.spend(ADMINISTRATION_PAGE);
        self.state.actions(after, ADMINISTRATION_PAGE)
    }

    /// See [`State::hash`].
    pub fn hash(&mut self) -> StateHash {
        self.glance().hash()
    }

    /// See [`State::view`]. It must see one instant, so it is made in one piece,
    /// and is the one thing whose cost grows with the state: a pointer for every
    /// 256 items. Nobody makes one on a client's word.
    pub fn view(&mut self) -> View {
        self.glance().view()
    }

    /// Goes on with a search for names.
    pub fn names(&mut self, search: &mut NameSearch) -> Step<()> {
        self.state.search_names(search, &mut self.budget)
    }

    /// Goes on with a search for messages by the beginnings of their ids.
    pub fn ids(&mut self, search: &mut IdSearch) -> Step<()> {
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.search_ids(search, shown, &mut self.budget)
    }

    /// Messages of an account that match, oldest first: at most `limit`, and
    /// at most `max_text_bytes` of texts unless the first alone is longer.
    /// [`InboxQuery::limit`] is for the caller to turn into `limit`: a follow
    /// ignores it. An account that is gone has none. The page says where to go
    /// on.
    pub fn messages(
        &mut self,
        account: Uuid,
        query: &InboxQuery,
        limit: usize,
        max_text_bytes: usize,
    ) -> Page {
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.messages(account, query, limit, max_text_bytes, shown, &mut self.budget)
    }

    /// Messages of an account before a place, the newest first; see [`Past`]. An account that
    /// is gone has none. The page says where to go on.
    pub fn past(&mut self, past: &mut Past<'_>, before: u64) -> PastPage {
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.past(past, before, shown, &mut self.budget)
    }

    /// The same of those that no majority has confirmed, before the entry with the number
    /// `before`. What is confirmed between two looks is found once more by
    /// [`Look::past`], if that comes later.
    pub fn past_unconfirmed(
        &mut self,
        past: &mut Past<'_>,
        now: Timestamp,
        before: u64,
    ) -> PastPage {
        self.now = now;
        let shown = Shown::new(self.state, self.overlay, self.now);
        shown.past(past, before, &mut self.budget)
    }

    /// The place of a message that an account may see, of all or of the conversation with
    /// another; `None`: there is no such message, or no majority has confirmed it.
    pub fn seen_at(&mut self, account: Uuid, with: Option<Uuid>, id: &Uuid) -> Option<u64> {
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.seen_at(account, with, id, shown, &mut self.budget)
    }

    /// Of messages that an account may see, at most a page of them: whether each is read,
    /// `None` of one that it may not see any more.
    pub fn standings(&mut self, account: Uuid, seqs: &[u64]) -> Vec<Option<bool>> {
        self.budget.spend(seqs.len());
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.standings(account, seqs, shown, &mut self.budget)
    }

    /// Goes on with counting what is unread.
    pub fn unread(&mut self, count: &mut UnreadCount) -> Step<()> {
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.count_unread(count, shown, &mut self.budget)
    }

    /// Of messages in one of an account's lists, at most a page of them: whether each is
    /// marked as read, `None` of one that is not there any more. And the last place in
    /// that list.
    pub fn marks(&mut self, account: Uuid, which: Which, seqs: &[u64]) -> (Vec<Option<bool>>, u64) {
        self.budget.spend(seqs.len());
        let shown = Shown::new(self.state, self.overlay, self.now);
        self.state.marks(account, which, seqs, shown, &mut self.budget)
    }

    /// Unconfirmed messages of an account that match, in the order in which they were taken,
    /// from behind the entry with the number `after_order` on: at most `limit`, and at most
    /// `max_text_bytes` of texts unless the first alone is longer. [`InboxQuery::after`] and
    /// [`InboxQuery::limit`] say nothing about them. The page says where to go on.
    ///
    /// Of a message that is confirmed between two looks neither page may know: whoever asks
    /// for both looks once more at what is confirmed, in the same look.
    pub fn unconfirmed(
        &mut self,
        account: Uuid,
        query: &InboxQuery,
        now: Timestamp,
        after_order: u64,
        limit: usize,
        max_text_bytes: usize,
    ) -> Unconfirmed {
        self.now = now;
        let question = Question { account, query, after: after_order, limit, max_text_bytes };
        let shown = Shown::new(self.state, self.overlay, now);
        shown.unconfirmed(&question, &mut self.budget)
    }

    /// The number in the overlay of the entry at a place: what is behind it comes later. 0 when
    /// it is settled, as all before it are then.
    pub fn order_of(&mut self, place: &Place) -> u64 {
        self.glance();
        self.overlay.order_of(place).unwrap_or(0)
    }

    /// Decides whether a server that is alone takes a message, a mark, a deletion or the end
    /// of a session. The log is applied up to index `since`.
    ///
    /// It takes about as many steps as [`Action::steps`](super::Action::steps) says, in one
    /// piece; [`Look::spent`] has them.
    ///
    /// # Errors
    /// [`ErrorCode::NeedsMajority`](crate::error::ErrorCode::NeedsMajority) whatever the
    /// reason; [`ErrorCode::Behind`](crate::error::ErrorCode::Behind) of a message that is to
    /// follow one which this server does not have. Both decide nothing.
    pub fn take(
        &mut self,
        operation: &Operation,
        now: Timestamp,
        accepted_at: Timestamp,
        since: u64,
    ) -> Result<Acceptance> {
        self.now = now;
        self.taken += operation.action.steps();
        self.shown().take(operation, Asking { accepted_at, since })
    }

    /// The same for a mark that names messages by their ids, as unconfirmed ones have no
    /// places.
    ///
    /// # Errors
    /// As [`Look::take`].
    pub fn take_mark(
        &mut self,
        asked: &MarkAsked<'_>,
        now: Timestamp,
        accepted_at: Timestamp,
        since: u64,
    ) -> Result<Acceptance> {
        self.now = now;
        self.taken += MARK_STEPS + MARK_STEPS * (asked.seqs.len() + asked.ids.len());
        self.shown().take_mark(asked, Asking { accepted_at, since })
    }

    /// Places of messages in an inbox, for a mark by ids at a server with a majority.
    ///
    /// # Errors
    /// [`ErrorCode::Behind`](crate::error::ErrorCode::Behind): one is not settled yet, or may
    /// be among what is not.
    /// [`ErrorCode::UnknownMessage`](crate::error::ErrorCode::UnknownMessage).
    pub fn places_of(&mut self, account: Uuid, ids: &[Uuid]) -> Result<Vec<u64>> {
        self.taken += 2 * ids.len();
        self.shown().places_of(&account, ids)
    }

    /// Whether one of these messages was taken for an account without a majority and is not
    /// settled yet. A server with a majority has it deleted when it is.
    pub fn waits(&mut self, account: Uuid, ids: &[Uuid]) -> bool {
        self.taken += 2 * ids.len();
        self.shown().waits(&account, ids)
    }
}
