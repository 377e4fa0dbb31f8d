//! Questions to the state: look-ups, and pages of messages. They run under the
//! lock that writers need, within a [`Budget`].

use std::fmt;
use std::sync::Arc;

use super::affairs::STEPS_PER_READER;
use super::budget::Budget;
use super::chunks::Item;
use super::delivery::SessionNumber;
use super::items::{Account, InboxEntry, Message, SentEntry};
use super::mentions::Mentions;
use super::meter::NAMES_PER_STEP;
use super::overlay::{Shown, Touches};
use super::settled::Origin;
use super::state::State;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::LEVEL_OF_CONVERSATIONS;
use crate::protocol::administration::AccountRow;
use crate::protocol::client::{self, InboxQuery, Which};
use crate::types::{AccountName, Digest, Names, Timestamp, Uuid};

/// A session that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its number, which operations name.
    pub number: SessionNumber,
    /// Its account.
    pub account: Uuid,
    /// The account's name.
    pub name: AccountName,
    /// When it ends.
    pub expires: Timestamp,
}

/// An account. Printed for debugging without the password's hash.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its identity.
    pub account: Uuid,
    /// Its name as its owner writes it.
    pub name: AccountName,
    /// Argon2id in PHC form; empty while the password is taken away.
    pub password_hash: Arc<str>,
    /// An administrator has shut it out.
    pub disabled: bool,
    /// What the code is known by with which its owner sets a new password.
    pub reset: Option<Digest>,
}

impl fmt::Debug for AccountView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AccountView { account, name, disabled, password_hash: _, reset: _ } = self;
        f.debug_struct("AccountView")
            .field("account", account)
            .field("name", name)
            .field("disabled", disabled)
            .finish_non_exhaustive()
    }
}

/// Part of the answer to an [`InboxQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In ascending `seq`.
    pub messages: Vec<client::Message>,
    /// Whether there is more after [`Page::scanned_to`]; only perhaps if the
    /// page is [`Page::interrupted`].
    pub more: bool,
    /// Whether it ends here because the look did, and not because it is full or
    /// nothing is left.
    pub interrupted: bool,
    /// Everything up to this `seq` was looked at: the `after` with which to go
    /// on. When nothing is left, the end of the total order as of now.
    pub scanned_to: u64,
}

/// How much there is of what; for tests and benchmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts that are not deleted.
    pub accounts: usize,
    /// Sessions, of which some may have expired.
    pub sessions: usize,
    /// Messages that at least one inbox or sent list holds.
    pub messages: usize,
    /// Operation ids remembered in the window.
    pub remembered: usize,
    /// Deleted accounts whose messages are still being taken out.
    pub emptying: usize,
}

/// What ended a session that a caller names.
fn ended(what: &str) -> Error {
    Error::new(ErrorCode::SessionExpired, format!("the session {what}; log in again"))
}

impl State {
    /// The session of a token.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`]: it expired, or it is unknown, hence
    /// logged out, pushed out by newer ones, or gone with its account.
    pub(super) fn session(&self, token_hash: &Digest, now: Timestamp) -> Result<SessionView> {
        let number = self.tokens.get(token_hash).ok_or_else(|| ended("has ended"))?;
        self.session_by_number(*number, now)
    }

    /// The session of a number. Errors as [`State::session`].
    pub(super) fn session_by_number(
        &self,
        number: SessionNumber,
        now: Timestamp,
    ) -> Result<SessionView> {
        let session = self.data.sessions.get(number).ok_or_else(|| ended("has ended"))?;
        if session.expires <= now {
            return Err(ended(&format!("expired on {}", session.expires)));
        }
        let account = self.data.accounts.get(session.account).ok_or_else(|| ended("has ended"))?;
        Ok(SessionView {
            number,
            account: account.label.account,
            name: account.label.name.clone(),
            expires: session.expires,
        })
    }

    /// The account that has a name, in any case.
    pub(super) fn account_by_name(&self, name: &AccountName) -> Option<AccountView> {
        let label = self.names.get(name.folded().as_str())?;
        self.data.accounts.get(label.number).map(|account| view_of(account))
    }

    /// The account of an identity.
    pub(super) fn account(&self, account: Uuid) -> Option<AccountView> {
        self.find_account(account).map(view_of)
    }

    /// What an administrator sees of an account.
    pub(super) fn account_row(&self, name: &AccountName) -> Option<AccountRow> {
        let label = self.names.get(name.folded().as_str())?;
        let account = self.data.accounts.get(label.number)?;
        let sent = account.sent.last().and_then(|entry| self.data.messages.get(entry.0));
        let sent_at = sent.map(|message| Timestamp::from(message.at));
        Some(AccountRow {
            name: account.label.name.clone(),
            messages: account.inbox.len() as u64,
            bytes: account.inbox_bytes,
            last_seen: account.last_login.max(sent_at),
            disabled: account.disabled,
            reset: account.reset.is_some(),
        })
    }

    pub(super) fn find_account(&self, account: Uuid) -> Option<&Account> {
        self.data.accounts.get(*self.numbers.get(&account)?).map(Arc::as_ref)
    }

    /// See [`Look::messages`](super::Look::messages).
    pub(super) fn messages(
        &self,
        account: Uuid,
        query: &InboxQuery,
        limit: usize,
        max_text_bytes: usize,
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> Page {
        let after = query.after.unwrap_or(0);
        let touches = shown.touches(account);
        let Some(account) = self.find_account(account) else {
            return Page { scanned_to: after, ..Page::default() };
        };
        let mut scan = Scan {
            state: self,
            account,
            shown,
            query,
            limit,
            text_bytes_left: max_text_bytes,
            touches,
            budget,
            page: Page { scanned_to: after, ..Page::default() },
        };
        let cut = match query.which {
            Which::Sent => scan.runs(account.sent.runs_after(after), |SentEntry(seq)| (*seq, true)),
            Which::Unread if account.inbox.flagged() == 0 => false,
            Which::Unread | Which::All => scan
                .runs(account.inbox.runs_after(after), |entry: &InboxEntry| {
                    (entry.seq(), entry.read())
                }),
        };
        let mut page = scan.page;
        page.more = cut;
        if !cut {
            page.scanned_to = self.data.counters.last_seq.max(after);
        }
        page
    }

    /// See [`Look::marks`](super::Look::marks).
    pub(super) fn marks(
        &self,
        account: Uuid,
        which: Which,
        seqs: &[u64],
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> (Vec<Option<bool>>, u64) {
        let touches = shown.touches(account);
        let Some(account) = self.find_account(account) else {
            return (vec![None; seqs.len()], 0);
        };
        let (inbox, sent) = (&account.inbox, &account.sent);
        let mut mark = |seq: &u64| match which {
            Which::Sent => sent.get(*seq).map(|_| true),
            Which::All | Which::Unread => inbox.get(*seq).and_then(|entry| {
                let id = self.data.messages.get(*seq)?.id;
                touches.read(id, entry.read(), budget)
            }),
        };
        let last = match which {
            Which::Sent => sent.last().map(Item::key),
            Which::All | Which::Unread => inbox.last().map(Item::key),
        };
        (seqs.iter().map(&mut mark).collect(), last.unwrap_or(0))
    }

    /// To whom a message went. A message to a thousand accounts that follow is
    /// asked for a thousand times within a moment, so its list is kept until
    /// another such message is asked for.
    fn names_of(&self, message: &Message, budget: &mut Budget) -> Names {
        if message.to.labels.len() == 1 {
            return message.to.names();
        }
        let mut listed = self.listed.lock();
        match &*listed {
            Some((seq, names)) if *seq == message.seq => names.clone(),
            _ => {
                budget.spend(message.to.labels.len() / NAMES_PER_STEP);
                let names = message.to.names();
                *listed = Some((message.seq, names.clone()));
                names
            }
        }
    }

    /// A message as an account that may see it is told of it.
    pub(super) fn told(
        &self,
        message: &Message,
        reader: &Account,
        read: bool,
        (shown, budget): (Shown<'_>, &mut Budget),
    ) -> client::Message {
        let reply_to = self.reply_to(message.seq);
        let origin = self.data.origins.get(message.seq);
        client::Message {
            id: message.id,
            from: message.from.name.clone(),
            to: self.names_of(message, budget),
            text: message.text.to_string(),
            at: message.at.into(),
            seq: Some(message.seq),
            read,
            confirmed: true,
            place: None,
            seen_to: None,
            accepted_at: origin.filter(|it| !it.is_notice()).map(|it| it.accepted_at),
            notice: origin.is_some_and(Origin::is_notice),
            mention: Mentions::of(&message.text).include(&reader.label.name),
            reply_to,
            answers: reply_to.and_then(|id| shown.quote(reader, &id, budget)),
            read_by: None,
        }
    }

    /// Whether the cluster says it, and not the account whose name it bears.
    pub(super) fn is_notice(&self, seq: u64) -> bool {
        self.data.origins.get(seq).is_some_and(Origin::is_notice)
    }

    /// The last message's place in the total order, 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.data.counters.last_seq
    }

    /// When the newest message was sent; `None` when there is none.
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.data.messages.last().map(|message| message.at.into())
    }

    /// How much there is of what.
    pub fn counts(&self) -> Counts {
        Counts {
            accounts: self.numbers.len(),
            sessions: self.data.sessions.len(),
            messages: self.data.messages.len(),
            remembered: self.data.window.len(),
            emptying: self.emptying.len(),
        }
    }
}

fn view_of(account: &Account) -> AccountView {
    AccountView {
        account: account.label.account,
        name: account.label.name.clone(),
        password_hash: account.password_hash.clone(),
        disabled: account.disabled,
        reset: account.reset.as_ref().map(|reset| reset.code_hash),
    }
}

/// One pass over a list.
struct Scan<'a> {
    state: &'a State,
    account: &'a Account,
    shown: Shown<'a>,
    query: &'a InboxQuery,
    limit: usize,
    text_bytes_left: usize,
    touches: Touches<'a>,
    budget: &'a mut Budget,
    page: Page,
}

impl<'a> Scan<'a> {
    /// Looks through runs of entries. Returns whether it stopped before the end.
    fn runs<T: Item + 'a>(
        &mut self,
        runs: impl Iterator<Item = (&'a [T], bool)>,
        seq_and_read: impl Fn(&T) -> (u64, bool),
    ) -> bool {
        let unread_only = self.query.which == Which::Unread;
        for (run, any_unread) in runs {
            // A million read messages are passed over 256 at a time, which
            // costs no more than looking at one of them.
            if unread_only && !any_unread {
                if !self.goes_on() {
                    return true;
                }
                self.page.scanned_to = run.last().map_or(self.page.scanned_to, Item::key);
                continue;
            }
            for entry in run {
                if !self.goes_on() {
                    return true;
                }
                let (seq, read) = seq_and_read(entry);
                if !self.take(seq, read) {
                    return true;
                }
                self.page.scanned_to = seq;
            }
        }
        false
    }

    fn goes_on(&mut self) -> bool {
        self.page.interrupted = !self.budget.lasts();
        self.budget.spend(1);
        !self.page.interrupted
    }

    /// Takes a message into the page if it matches. `false`: it matches, and
    /// the page has no room for it.
    fn take(&mut self, seq: u64, read: bool) -> bool {
        if read && self.query.which == Which::Unread {
            return true;
        }
        let Some(message) = self.state.data.messages.get(seq) else {
            return true;
        };
        if !self.matches(message) {
            return true;
        }
        let read = match self.query.which {
            Which::Sent => Some(read),
            Which::All | Which::Unread => self.touches.read(message.id, read, self.budget),
        };
        let Some(read) = read.filter(|read| !read || self.query.which != Which::Unread) else {
            return true;
        };
        let first = self.page.messages.is_empty();
        let fits = first || message.text.len() <= self.text_bytes_left;
        if self.page.messages.len() >= self.limit || !fits {
            return false;
        }
        self.text_bytes_left = self.text_bytes_left.saturating_sub(message.text.len());
        let aside = (self.shown, &mut *self.budget);
        let told = self.state.told(message, self.account, read, aside);
        let read_by = self.readers(message);
        self.page.messages.push(client::Message { read_by, ..told });
        true
    }

    /// Who has read a message that the account has sent, if that is asked for.
    fn readers(&mut self, message: &Message) -> Option<Names> {
        // Before that level nobody can say that nobody is to know.
        let told = self.state.level() >= LEVEL_OF_CONVERSATIONS;
        if !told || !self.query.read_by || self.query.which != Which::Sent {
            return None;
        }
        self.budget.spend(STEPS_PER_READER * message.to.labels.len());
        Some(self.state.readers_of(message))
    }

    fn mentions_reader(&self, message: &Message) -> bool {
        match self.query.which {
            // Their texts were looked at when they came.
            Which::All | Which::Unread => {
                self.account.inbox.get(message.seq).is_some_and(|entry| entry.mention())
            }
            Which::Sent => Mentions::of(&message.text).include(&self.account.label.name),
        }
    }

    fn matches(&self, message: &Message) -> bool {
        let from = self.query.from.as_deref();
        from.is_none_or(|from| {
            message.from.name.as_str().eq_ignore_ascii_case(from)
                && !self.state.is_notice(message.seq)
        }) && self.query.since.is_none_or(|since| Timestamp::from(message.at) >= since)
            && (!self.query.mentions || self.mentions_reader(message))
    }
}
