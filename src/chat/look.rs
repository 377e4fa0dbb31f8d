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
//! budget with its last piece; the largest piece is naming
//! [`RECIPIENTS_MAX`](crate::limits::RECIPIENTS_MAX) recipients.
//!
//! A change between two looks is seen or not, as if the question had been asked a
//! little earlier or later. All places are keys in one order, so nothing that is there
//! all the time is missed, and nothing comes twice. Pages of messages promise more:
//! they look once more at everything that they show ([`Look::marks`]).

use std::sync::Arc;

use super::budget::{Budget, Step};
use super::hash::StateHash;
use super::query::{AccountView, Page, SessionView};
use super::search::{IdSearch, NameSearch};
use super::snapshot::View;
use super::state::State;
use crate::error::Result;
use crate::limits::{ADMINISTRATION_PAGE, QUERY_STEPS_MAX};
use crate::protocol::administration::{
    AccountRow, AdministrativeAction, Bounds, Invitation, Registration,
};
use crate::protocol::client::{InboxQuery, Which};
use crate::types::{AccountName, Digest, Membership, Timestamp, Uuid};

/// By how much one look may exceed its budget: its last piece, and a few look-ups
/// that come with every question, such as for the session.
const BEYOND_MAX: usize = 512;

/// Bounded access to the state while its lock is held; see the head of this file.
pub struct Look<'a> {
    state: &'a State,
    budget: Budget,
}

impl State {
    /// Lets a question look at the state: the only way to read it from outside
    /// of this module.
    pub fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        let mut look = Look { state: self, budget: Budget::new(QUERY_STEPS_MAX) };
        let answer = question(&mut look);
        let spent = look.budget.spent();
        debug_assert!(spent <= QUERY_STEPS_MAX + BEYOND_MAX, "one look took {spent} steps");
        answer
    }
}

impl Look<'_> {
    /// Steps so far.
    pub fn spent(&self) -> usize {
        self.budget.spent()
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
        self.glance().session(token_hash, now)
    }

    /// The session of a number.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`](crate::error::ErrorCode::SessionExpired):
    /// it expired, or it is unknown, hence logged out, pushed out by newer ones,
    /// or gone with its account.
    pub fn session_by_number(&mut self, number: u64, now: Timestamp) -> Result<SessionView> {
        self.glance().session_by_number(number, now)
    }

    /// The account that has a name, in any case.
    pub fn account_by_name(&mut self, name: &AccountName) -> Option<AccountView> {
        self.glance().account_by_name(name)
    }

    /// The account of an identity.
    pub fn account(&mut self, account: Uuid) -> Option<AccountView> {
        self.glance().account(account)
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
        self.state.search_ids(search, &mut self.budget)
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
        self.state.messages(account, query, limit, max_text_bytes, &mut self.budget)
    }

    /// Of messages in one of an account's lists, at most a page of them: whether each is
    /// marked as read, `None` of one that is not there any more. And the last place in
    /// that list.
    pub fn marks(&mut self, account: Uuid, which: Which, seqs: &[u64]) -> (Vec<Option<bool>>, u64) {
        self.budget.spend(seqs.len());
        self.state.marks(account, which, seqs)
    }
}
