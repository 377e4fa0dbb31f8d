//! A state from the lines of a view.
//!
//! Lines may come from a disk or from another replica, so nothing in them is believed.
//! Every reference is looked up, and every order and every uniqueness that the state
//! relies on is checked. At the end the hash of what was read must be the hash that was
//! written. No bytes make it panic.

mod admission;
mod messages;
mod own;
mod replies;
mod settling;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::{
    AccountLine, End, FORMAT_FIRST, Header, InboxLine, Line, RememberedLine, ResetLine, SentLine,
    SessionLine, StagedLine,
};
use crate::chat::chunks::{Chunks, Item};
use crate::chat::holders::{Held, Holders};
use crate::chat::ids::Ids;
use crate::chat::items::{
    Account, AccountNumber, COUNTER_MAX, Data, InboxEntry, Label, Recipients, Reset, SentEntry,
    Session,
};
use crate::chat::mentions::Mentions;
use crate::chat::remembered::DeduplicationEntry;
use crate::chat::state::State;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{
    FEATURE_LEVEL_KNOWN, LEVEL_OF_ADMISSION, LEVEL_OF_CONVERSATIONS, LEVEL_OF_SETTLING,
};
use crate::planted::{self, Bug};
use crate::types::{Membership, ReplicaId, Uuid};

/// A line that was parsed and not yet compared with those before it. Parsing needs no
/// other line, so another thread may do it.
pub struct ParsedLine(Line);

impl ParsedLine {
    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<ParsedLine> {
        serde_json::from_slice(line)
            .map(ParsedLine)
            .or_else(|error| corrupted(format!("it does not read as expected: {error}")))
    }
}

/// Takes lines in the order in which [`View::lines`](super::View::lines) gave them.
pub struct Restore {
    state: State,
    lines: u64,
    header: bool,
    end: Option<End>,
    labels: BTreeMap<AccountNumber, Arc<Label>>,
    sole_recipients: BTreeMap<AccountNumber, Arc<Recipients>>,
    holders: Holders,
    /// Of messages that may mention somebody, in their order.
    with_mentions: Vec<(u64, Mentions)>,
    /// Of a backup: nothing that belongs to one cluster alone.
    backup: bool,
}

impl Restore {
    /// Waits for the first line. `deduplication_window_entries` as in
    /// [`State::new`].
    pub fn new(deduplication_window_entries: u64) -> Restore {
        Restore {
            state: State::new(deduplication_window_entries),
            lines: 0,
            header: false,
            end: None,
            labels: BTreeMap::new(),
            sole_recipients: BTreeMap::new(),
            holders: Holders::default(),
            with_mentions: Vec::new(),
            backup: false,
        }
    }

    /// The same for the lines of [`View::for_backup`](super::View::for_backup).
    pub fn of_backup(deduplication_window_entries: u64) -> Restore {
        Restore { backup: true, ..Restore::new(deduplication_window_entries) }
    }

    /// Takes one line, without its newline. After an error the rest is of no use.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`] that names the line and what is wrong with it;
    /// [`ErrorCode::NewerFormat`] when a newer program wrote the snapshot.
    pub fn line(&mut self, line: &[u8]) -> Result<()> {
        self.parsed(ParsedLine::parse(line))
    }

    /// Takes what has become of reading a line.
    ///
    /// # Errors
    /// As [`Restore::line`].
    pub fn parsed(&mut self, line: Result<ParsedLine>) -> Result<()> {
        self.lines += 1;
        let number = self.lines;
        let whole = if self.backup { "backup" } else { "snapshot" };
        self.take(line).map_err(|error| {
            Error::new(error.code, format!("line {number} of the {whole}: {}", error.message))
        })
    }

    /// The feature level at which the lines were written, once the first is in.
    pub(in crate::chat) fn level(&self) -> u32 {
        self.state.data.level
    }

    /// The state, once all lines are in.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: lines are missing, or the whole is not the
    /// state that was written.
    pub fn finish(mut self) -> Result<State> {
        let Some(end) = self.end.take() else {
            return corrupted("the snapshot has no end");
        };
        if !self.backup {
            self.index_ids()?;
        }
        let counts = self.holders.counts();
        if counts.contains(&0) {
            return corrupted("a message of the snapshot is in no list");
        }
        let mut counts = counts.iter();
        self.state.data.messages.update_all(|message| {
            message.holders = counts.next().copied().unwrap_or_default();
        });
        let messages = self.state.data.messages.iter();
        let sent_only = messages.filter(|message| self.state.is_sent_only(message));
        self.state.sent_only = sent_only.map(|message| message.seq).collect();
        let hash = self.state.data.hash();
        if hash != end.hash {
            return corrupted(format!(
                "the snapshot's state has the hash {hash}, and {} was written",
                end.hash
            ));
        }
        if planted::is(Bug::DropIdFromSnapshot)
            && let Some(oldest) = self.state.data.window.first().map(|it| it.index)
        {
            let too_late = oldest + self.state.deduplication_window_entries + 1;
            self.state.forget(too_late, usize::MAX);
        }
        Ok(self.state)
    }

    /// Finds the ids of all messages in one go, sorted: doing it message by
    /// message, as for a backup, takes as long as all the rest.
    fn index_ids(&mut self) -> Result<()> {
        let mut ids: Vec<_> =
            self.state.data.messages.iter().map(|message| (message.id, message.seq)).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return corrupted("two messages of the snapshot have the same id");
        }
        self.state.message_ids = Ids::from_ascending(&ids);
        if self.state.window_ids.iter().any(|(id, _)| self.state.message_ids.contains(&id)) {
            return corrupted("an id of the snapshot is remembered twice");
        }
        Ok(())
    }

    fn take(&mut self, line: Result<ParsedLine>) -> Result<()> {
        if self.end.is_some() {
            return corrupted("something follows the end");
        }
        let ParsedLine(line) = line?;
        if !self.header && !matches!(line, Line::Header(_)) {
            return corrupted("the header is missing");
        }
        let of_one_cluster = matches!(
            line,
            Line::Incarnations(_)
                | Line::Membership(_)
                | Line::Sessions(_)
                | Line::Restoring(_)
                | Line::Staged(_)
        );
        if self.backup && of_one_cluster {
            return corrupted("it says what no backup says");
        }
        let of_admission =
            matches!(line, Line::Settings(_) | Line::Invitations(_) | Line::Actions(_));
        if of_admission && self.state.data.level < LEVEL_OF_ADMISSION {
            return corrupted("it says what its feature level does not know");
        }
        let of_settling =
            matches!(line, Line::Origins(_) | Line::Lists(_) | Line::Repeats(_) | Line::Floors(_));
        if of_settling && self.state.data.level < LEVEL_OF_SETTLING {
            return corrupted("it says what its feature level does not know");
        }
        let of_conversations = matches!(line, Line::Replies(_));
        if of_conversations && self.state.data.level < LEVEL_OF_CONVERSATIONS {
            return corrupted("it says what its feature level does not know");
        }
        self.each_of(line)
    }

    fn each_of(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Header(items) => self.each(items, Self::header),
            Line::Incarnations(items) => self.each(items, Self::incarnation),
            Line::Membership(items) => self.each(items, Self::membership),
            Line::Settings(items) => self.each(items, Self::settings),
            Line::Invitations(items) => self.each(items, Self::invitation),
            Line::Actions(items) => self.each(items, Self::action),
            Line::Marks(items) => self.each(items, Self::mark),
            Line::Accounts(items) => self.each(items, Self::account),
            Line::Sessions(items) => self.each(items, Self::session),
            Line::Labels(items) => self.each(items, Self::label),
            Line::Messages(items) => self.each(items, Self::message),
            Line::Origins(items) => self.each(items, Self::origin),
            Line::Replies(items) => self.each(items, Self::reply),
            Line::Inboxes(items) => self.each(items, Self::inbox),
            Line::Sent(items) => self.each(items, Self::sent),
            Line::Remembered(items) => self.each(items, Self::remembered),
            Line::Lists(items) => self.each(items, Self::settled_list),
            Line::Repeats(items) => self.each(items, Self::known_repeat),
            Line::Floors(items) => self.each(items, Self::floors),
            Line::Restoring(items) => self.each(items, Self::restoring),
            Line::Staged(items) => self.each(items, Self::staged),
            Line::End(items) => self.each(items, Self::end),
        }
    }

    fn each<T>(&mut self, items: Vec<T>, take: fn(&mut Self, T) -> Result<()>) -> Result<()> {
        items.into_iter().try_for_each(|item| take(self, item))
    }

    fn header(&mut self, header: Header) -> Result<()> {
        const FORMAT_KNOWN: u32 = FORMAT_FIRST + FEATURE_LEVEL_KNOWN;
        if header.format > FORMAT_KNOWN {
            return Err(Error::new(
                ErrorCode::NewerFormat,
                format!(
                    "a newer program wrote format {}, and this one knows {FORMAT_KNOWN}; update it",
                    header.format
                ),
            ));
        }
        let Header { format, last_seq, last_session, last_account, restored } = header;
        if format < FORMAT_FIRST || self.header {
            return corrupted("the header is wrong");
        }
        if last_seq.max(last_session).max(last_account) >= COUNTER_MAX {
            return corrupted("a counter is impossibly high");
        }
        self.header = true;
        self.state.data.level = format - FORMAT_FIRST;
        let counters = &mut self.state.data.counters;
        counters.last_seq = last_seq;
        counters.last_session = last_session;
        counters.last_account = last_account;
        self.state.data.restored = restored;
        Ok(())
    }

    fn incarnation(&mut self, (replica, incarnation): (ReplicaId, u32)) -> Result<()> {
        match self.state.data.counters.incarnations.insert(replica, incarnation) {
            None => Ok(()),
            Some(_) => corrupted(format!("replica {replica} is there twice")),
        }
    }

    fn membership(&mut self, membership: Membership) -> Result<()> {
        if !membership.is_possible() || self.state.data.membership.is_known() {
            return corrupted("the membership cannot be, or is there twice");
        }
        self.state.data.membership = Arc::new(membership);
        Ok(())
    }

    fn account(&mut self, line: AccountLine<'_>) -> Result<()> {
        let AccountLine { number, account: uuid, name, password_hash, gone, .. } = line;
        let last = self.state.data.accounts.last().map_or(0, |last| last.label.number);
        check_order(number, last, self.state.data.counters.last_account, "account")?;
        let label = Label::new(number, uuid, name.clone());
        let mut account = Account::new(label.clone(), Arc::from(password_hash));
        account.deleted = gone;
        account.disabled = line.disabled;
        let reset = line.reset.map(|ResetLine { code_hash, expires }| Reset { code_hash, expires });
        account.reset = reset.map(Box::new);
        account.last_login = line.last_login;
        account.repeats_floor = line.repeats_floor;
        self.own(&mut account, (line.receipts_off, line.ended), &line.blocked)?;
        let state = &mut self.state;
        if gone {
            state.emptying.insert(number);
        } else {
            let taken = state.names.insert(name.folded().as_str().into(), label.clone()).is_some();
            if state.numbers.insert(uuid, number).is_some() || taken {
                return corrupted(format!("account {number} has the name or identity of another"));
            }
        }
        state.data.sum.add(account.digest());
        self.labels.insert(number, label);
        self.sole_recipients.insert(number, account.sole_recipient.clone());
        state.data.accounts.push(Arc::new(account));
        Ok(())
    }

    fn session(&mut self, line: SessionLine) -> Result<()> {
        let SessionLine { number, account, token_hash, expires, started, used, from } = line;
        let state = &mut self.state;
        let last = state.data.sessions.last().map_or(0, |last| last.number);
        check_order(number, last, state.data.counters.last_session, "session")?;
        let owned = state.data.update_account(account, |account| {
            account.sessions.push(number);
            !account.deleted
        });
        if owned != Some(true) {
            return corrupted(format!("session {number} has no account"));
        }
        if state.tokens.insert(token_hash, number).is_some() {
            return corrupted(format!("session {number} has the token of another"));
        }
        state.expiries.insert((expires, number));
        let session = Session { number, account, token_hash, expires, started, used, from };
        state.data.sum.add(session.digest());
        state.data.sessions.push(session);
        Ok(())
    }

    fn inbox(&mut self, line: InboxLine) -> Result<()> {
        let read = line.read.into_iter().map(|seq| InboxEntry::new(seq, true));
        let unread = line.unread.into_iter().map(|seq| InboxEntry::new(seq, false));
        let mut entries: Vec<InboxEntry> = read.chain(unread).collect();
        entries.sort_unstable_by_key(Item::key);
        let owner = line.account;
        for entry in &mut entries {
            *entry = entry.mentioning(self.mentions(owner, entry.seq()));
        }
        let whose = (owner, Some(owner));
        let held = self.list(whose, entries.clone(), |it| &mut it.inbox, InboxEntry::digest)?;
        let bytes = total(&held);
        self.state.data.update_account(owner, |account| account.inbox_bytes += bytes);
        for (Held { bytes, kept, from }, entry) in held.into_iter().zip(entries) {
            let sender = self.find_label(from)?;
            self.state.usage.receive((owner, &sender), entry, u64::from(bytes));
            if owner != from && kept > 0 {
                self.state.usage.spread(from, u64::from(kept));
            }
        }
        Ok(())
    }

    fn sent(&mut self, line: SentLine) -> Result<()> {
        let entries = line.seqs.into_iter().map(SentEntry).collect();
        let whose = (line.account, None);
        let held = self.list(whose, entries, |it| &mut it.sent, SentEntry::digest)?;
        let bytes = total(&held);
        self.state.data.update_account(line.account, |account| account.sent_bytes += bytes);
        Ok(())
    }

    /// Appends entries to a list of an account, the inbox of `by` if it is one. Returns what is known of their messages.
    fn list<T: Item + Copy>(
        &mut self,
        (number, by): (AccountNumber, Option<AccountNumber>),
        entries: Vec<T>,
        list: fn(&mut Account) -> &mut Chunks<T>,
        digest: fn(T, AccountNumber) -> u128,
    ) -> Result<Vec<Held>> {
        let held = entries.iter().map(|entry| self.hold(entry.key(), by)).collect::<Result<_>>()?;
        let Data { accounts, sum, .. } = &mut self.state.data;
        let misplaced = accounts.update(number, |account| {
            let list = list(Arc::make_mut(account));
            entries.into_iter().find(|entry| {
                let fits = list.last().is_none_or(|last| last.key() < entry.key());
                if fits {
                    sum.add(digest(*entry, number));
                    list.push(*entry);
                }
                !fits
            })
        });
        match misplaced {
            Some(None) => Ok(held),
            Some(Some(entry)) => corrupted(format!(
                "message {} has no place in a list of account {number}",
                entry.key()
            )),
            None => corrupted(format!("account {number} has a list and is not there")),
        }
    }

    /// One list more holds a message.
    fn hold(&mut self, seq: u64, by: Option<AccountNumber>) -> Result<Held> {
        match self.holders.hold(seq, by) {
            Some(held) => Ok(held),
            None => corrupted(format!(
                "a list names message {seq}, which is not there or in too many lists"
            )),
        }
    }

    fn remembered(&mut self, line: RememberedLine) -> Result<()> {
        let RememberedLine { id, index, actor, fingerprint, outcome } = line;
        self.check_index(index)?;
        // Of a snapshot the ids of messages are not known yet.
        if self.state.window_ids.contains(&id) || self.state.message_ids.contains(&id) {
            return corrupted(format!("operation {id} is there twice"));
        }
        self.state.remember(DeduplicationEntry {
            serial: 0,
            id,
            index,
            actor,
            fingerprint: fingerprint.0,
            outcome,
        });
        Ok(())
    }

    fn restoring(&mut self, backup: Uuid) -> Result<()> {
        if self.state.usable().is_err() {
            return corrupted("two backups are being restored");
        }
        self.state.expect_lines_of(backup);
        Ok(())
    }

    fn staged(&mut self, StagedLine { number, line }: StagedLine<'_>) -> Result<()> {
        if Some(number) != self.state.restored_lines().map(|lines| lines + 1) {
            return corrupted(format!("line {number} of a backup is out of order"));
        }
        self.state.stage(line.into())
    }

    fn end(&mut self, end: End) -> Result<()> {
        match self.end.replace(end) {
            None => Ok(()),
            Some(_) => corrupted("it ends twice"),
        }
    }
}

/// What messages take in a list.
fn total(held: &[Held]) -> u64 {
    held.iter().map(|held| u64::from(held.bytes)).sum()
}

fn check_order(number: u64, last: u64, counter: u64, what: &str) -> Result<()> {
    if last < number && number <= counter {
        return Ok(());
    }
    corrupted(format!("{what} {number} is out of order"))
}

fn corrupted<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorCode::Corrupted, why))
}
