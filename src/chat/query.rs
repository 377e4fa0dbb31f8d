//! Questions to the state. All are quick: they run under the lock that writers
//! need, so each looks at a bounded number of entries.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use super::chunks::Item;
use super::glob::Glob;
use super::items::{Account, InboxEntry, Message, SentEntry};
use super::operation::SessionNumber;
use super::state::State;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{ID_PREFIX_MIN_DIGITS, QUERY_SCAN_MAX};
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
    /// Argon2id in PHC form.
    pub password_hash: Arc<str>,
}

impl fmt::Debug for AccountView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AccountView { account, name, password_hash: _ } = self;
        f.debug_struct("AccountView")
            .field("account", account)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// Part of the answer to an [`InboxQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In ascending `seq`.
    pub messages: Vec<client::Message>,
    /// Whether there may be more after [`Page::scanned_to`]. `false` is
    /// certain. `true` on a full page is certain as well, unless the search for
    /// the next match came to the bound of what one call looks at.
    pub more: bool,
    /// Everything up to this `seq` was looked at: the `after` with which to go
    /// on. When nothing is left, the end of the total order as of now.
    pub scanned_to: u64,
}

/// How much there is of what; for tests and for people who wonder.
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
    pub gone: usize,
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
    pub fn session(&self, token_hash: &Digest, now: Timestamp) -> Result<SessionView> {
        let number = self.tokens.get(token_hash).ok_or_else(|| ended("has ended"))?;
        self.session_by_number(*number, now)
    }

    /// The session of a number. Errors as [`State::session`].
    pub fn session_by_number(&self, number: SessionNumber, now: Timestamp) -> Result<SessionView> {
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
    pub fn account_by_name(&self, name: &AccountName) -> Option<AccountView> {
        let label = self.names.get(name.folded().as_str())?;
        self.data.accounts.get(label.number).map(|account| view_of(account))
    }

    /// The account of an identity.
    pub fn account(&self, account: Uuid) -> Option<AccountView> {
        self.find_account(account).map(view_of)
    }

    fn find_account(&self, account: Uuid) -> Option<&Account> {
        self.data.accounts.get(*self.numbers.get(&account)?).map(Arc::as_ref)
    }

    /// Names that match, in the order of their lower case, at most `limit` of
    /// those after `after`, and whether there are more. A pattern that begins
    /// with a letter looks only at names that begin so; one that begins with a
    /// wild card looks at all.
    pub fn accounts(
        &self,
        glob: Option<&Glob>,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<AccountName>, bool) {
        let prefix = glob.map_or("", Glob::literal_prefix);
        let after = after.map(str::to_ascii_lowercase);
        let start = match &after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let mut names: Vec<AccountName> = self
            .names
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(folded, _)| folded.starts_with(prefix))
            .filter(|(folded, _)| glob.is_none_or(|glob| glob.matches(folded)))
            .map(|(_, label)| label.name.clone())
            .take(limit.saturating_add(1))
            .collect();
        let more = names.len() > limit;
        names.truncate(limit);
        (names, more)
    }

    /// Messages of an account that match, oldest first: at most `limit`, and
    /// at most `max_text_bytes` of texts unless the first alone is longer.
    /// [`InboxQuery::limit`] is for the caller to turn into `limit`: a follow
    /// ignores it. An account that is gone has none.
    pub fn messages(
        &self,
        account: Uuid,
        query: &InboxQuery,
        limit: usize,
        max_text_bytes: usize,
    ) -> Page {
        let after = query.after.unwrap_or(0);
        let Some(account) = self.find_account(account) else {
            return Page { scanned_to: after, ..Page::default() };
        };
        let mut scan = Scan {
            state: self,
            query,
            limit,
            text_bytes_left: max_text_bytes,
            entries_left: QUERY_SCAN_MAX,
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

    /// At most two ids of messages in the account's inbox that begin so; two
    /// mean that the beginning is ambiguous. Hyphens and case do not matter.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`]: fewer than four hexadecimal digits, more
    /// than 32, or something else among them.
    pub fn find(&self, account: Uuid, prefix: &str) -> Result<Vec<Uuid>> {
        let (lowest, highest) = prefix_range(prefix)?;
        let Some(account) = self.find_account(account) else {
            return Ok(Vec::new());
        };
        // Ids are made by clients, so anyone may have made a million that begin
        // alike. When those outnumber this inbox, looking through the inbox is
        // less work; either way it is at most twice the inbox.
        let patience = account.inbox.len() + 1;
        let mut found = Vec::new();
        for (tried, (id, seq)) in self.message_ids.range(lowest..=highest).enumerate() {
            if tried == patience {
                return Ok(self.find_in_inbox(account, lowest, highest));
            }
            if account.inbox.get(seq).is_some() {
                found.push(id);
                if found.len() == 2 {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn find_in_inbox(&self, account: &Account, lowest: Uuid, highest: Uuid) -> Vec<Uuid> {
        let mut found = BTreeSet::new();
        for entry in account.inbox.iter() {
            if let Some(message) = self.data.messages.get(entry.seq())
                && (lowest..=highest).contains(&message.id)
            {
                // The lowest two, which the other way of searching finds as well.
                found.insert(message.id);
                if found.len() > 2 {
                    found.pop_last();
                }
            }
        }
        found.into_iter().collect()
    }

    /// To whom a message went. A message to a thousand accounts that follow is
    /// asked for a thousand times within a moment, so its list is kept until
    /// another such message is asked for.
    fn names_of(&self, message: &Message) -> Names {
        if message.to.labels.len() == 1 {
            return message.to.names();
        }
        let mut listed = self.listed.lock().expect("no panic while held");
        match &*listed {
            Some((seq, names)) if *seq == message.seq => names.clone(),
            _ => {
                let names = message.to.names();
                *listed = Some((message.seq, names.clone()));
                names
            }
        }
    }

    /// The last message's place in the total order, 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.data.counters.last_seq
    }

    /// How much there is of what.
    pub fn counts(&self) -> Counts {
        Counts {
            accounts: self.numbers.len(),
            sessions: self.data.sessions.len(),
            messages: self.data.messages.len(),
            remembered: self.data.window.len(),
            gone: self.gone.len(),
        }
    }
}

fn view_of(account: &Account) -> AccountView {
    AccountView {
        account: account.label.account,
        name: account.label.name.clone(),
        password_hash: account.password_hash.clone(),
    }
}

/// The lowest and the highest id that begin so.
fn prefix_range(prefix: &str) -> Result<(Uuid, Uuid)> {
    let wrong = |why: String| Error::new(ErrorCode::InvalidRequest, why);
    let (mut bits, mut digits) = (0u128, 0usize);
    for c in prefix.chars().filter(|c| *c != '-') {
        let digit = c.to_digit(16).ok_or_else(|| {
            wrong(format!("{prefix:?} is no beginning of an id: {c:?} is no hexadecimal digit"))
        })?;
        digits += 1;
        if digits > 32 {
            return Err(wrong("an id has 32 hexadecimal digits, and this is longer".to_string()));
        }
        bits = bits << 4 | u128::from(digit);
    }
    if digits < ID_PREFIX_MIN_DIGITS {
        return Err(wrong(format!(
            "{prefix:?} is too short: at least {ID_PREFIX_MIN_DIGITS} digits of an id are needed"
        )));
    }
    let free = 128 - 4 * digits as u32;
    let lowest = bits << free;
    let highest = lowest | u128::MAX.checked_shr(4 * digits as u32).unwrap_or(0);
    Ok((Uuid::from_u128(lowest), Uuid::from_u128(highest)))
}

/// One pass over a list.
struct Scan<'a> {
    state: &'a State,
    query: &'a InboxQuery,
    limit: usize,
    text_bytes_left: usize,
    entries_left: usize,
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
                if self.is_used_up() {
                    return true;
                }
                self.page.scanned_to = run.last().map_or(self.page.scanned_to, Item::key);
                continue;
            }
            for entry in run {
                let (seq, read) = seq_and_read(entry);
                if self.is_used_up() || !self.take(seq, read) {
                    return true;
                }
                self.page.scanned_to = seq;
            }
        }
        false
    }

    fn is_used_up(&mut self) -> bool {
        self.entries_left = match self.entries_left.checked_sub(1) {
            Some(left) => left,
            None => return true,
        };
        false
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
        let first = self.page.messages.is_empty();
        let fits = first || message.text.len() <= self.text_bytes_left;
        if self.page.messages.len() >= self.limit || !fits {
            return false;
        }
        self.text_bytes_left = self.text_bytes_left.saturating_sub(message.text.len());
        self.page.messages.push(client::Message {
            id: message.id,
            from: message.from.name.clone(),
            to: self.state.names_of(message),
            text: message.text.to_string(),
            at: message.at.into(),
            seq,
            read,
        });
        true
    }

    fn matches(&self, message: &Message) -> bool {
        let from = self.query.from.as_deref();
        from.is_none_or(|from| message.from.name.as_str().eq_ignore_ascii_case(from))
            && self.query.since.is_none_or(|since| Timestamp::from(message.at) >= since)
    }
}
