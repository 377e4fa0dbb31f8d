//! Stories about the state machine, and properties of all its histories.

mod accounts;
mod admission;
mod affairs;
mod blocking;
mod bounds;
mod deduplication;
mod fuzz;
mod histories;
mod keeping;
mod level;
mod looking_back;
mod membership;
mod messages;
mod model;
mod model_own;
mod model_settling;
mod overlay;
mod overlay_accepting;
mod overlay_properties;
mod overlay_steps;
mod properties;
mod proposals;
mod queries;
mod repeats;
mod replies;
mod restoring;
mod settling;
mod snapshots;
mod steps;

use std::collections::BTreeMap;

use super::conversations::Conversations;
use super::hash::StateHash;
use super::items::{Data, InboxEntry, SentEntry};
use super::mentions::Mentions;
use super::usage::Usage;
use super::*;
use crate::error::ErrorCode;
use crate::limits::LEVEL_OF_CONVERSATIONS;
use crate::protocol::client::{InboxQuery, Which};
use crate::types::{AccountName, Digest, Timestamp, Uuid};

/// An hour in milliseconds.
const HOUR: u64 = 3_600_000;

fn name(name: &str) -> AccountName {
    AccountName::new(name).expect("a valid name")
}

fn names(list: &[&str]) -> Vec<AccountName> {
    list.iter().map(|n| name(n)).collect()
}

/// The hash of a state, from scratch.
fn recompute(data: &Data) -> StateHash {
    let counters = data.counters.clone();
    let (restored, restoring) = (data.restored, data.restoring);
    let (level, membership) = (data.level, data.membership.clone());
    let (settings, floors) = (data.settings, data.floors);
    let mut fresh = Data {
        counters,
        restored,
        restoring,
        level,
        membership,
        settings,
        floors,
        ..Data::default()
    };
    data.invitations.iter().for_each(|invitation| fresh.sum.add(invitation.digest()));
    data.actions.iter().for_each(|record| fresh.sum.add(record.digest()));
    data.marks.iter().for_each(|mark| fresh.sum.add(mark.digest()));
    for account in data.accounts.iter() {
        fresh.sum.add(account.digest());
        let number = account.label.number;
        account.inbox.iter().for_each(|entry| fresh.sum.add(entry.digest(number)));
        account.sent.iter().for_each(|entry| fresh.sum.add(entry.digest(number)));
    }
    data.sessions.iter().for_each(|session| fresh.sum.add(session.digest()));
    data.messages.iter().for_each(|message| fresh.sum.add(message.digest()));
    data.window.iter().for_each(|remembered| fresh.sum.add(remembered.digest()));
    data.lists.iter().for_each(|list| fresh.sum.add(list.digest()));
    data.origins.iter().for_each(|origin| fresh.sum.add(origin.digest()));
    data.repeats.iter().for_each(|repeat| fresh.sum.add(repeat.digest()));
    data.replies.iter().for_each(|reply| fresh.sum.add(reply.digest()));
    data.staged.iter().for_each(|staged| fresh.staged_sum.add(staged.digest()));
    fresh.hash()
}

/// Holds what is kept of lists and ids against what it follows from.
fn audit_lists(state: &State) {
    let data = &state.data;
    let lists: BTreeMap<_, _> = data.lists.iter().map(|it| (it.list, it.number)).collect();
    assert_eq!(lists, state.lists);
    let repeats: BTreeMap<_, _> = data.repeats.iter().map(|it| (it.key, it.serial)).collect();
    assert!(state.repeat_ids.iter().eq(repeats));
    assert!(data.repeats.last().is_none_or(|it| it.serial == state.last_repeat));
    assert!(data.replies.iter().all(|reply| data.messages.get(reply.seq).is_some()));
    for origin in data.origins.iter() {
        let message = data.messages.get(origin.seq).expect("only of messages");
        if origin.is_notice() {
            let (author, to) = (message.from.number, message.to.labels.iter());
            assert!(to.map(|label| label.number).eq([author]), "a notice is for its author");
            assert_eq!(message.holders, 1);
            let sent = data.accounts.get(author).and_then(|it| it.sent.get(origin.seq));
            assert!(sent.is_none(), "and nobody has sent it");
        }
    }
}

/// Holds everything that is kept incrementally against what it follows from.
fn audit(state: &State) {
    let data = &state.data;
    assert_eq!(state.hash(), recompute(data), "the hash is that of the content");
    let mut holders: BTreeMap<u64, u16> = BTreeMap::new();
    let mut usage = Usage::default();
    data.messages.iter().for_each(|message| usage.add_message(message));
    data.window.iter().for_each(|remembered| usage.add_remembered(remembered));
    let (mut numbers, mut gone) = (BTreeMap::new(), Vec::new());
    let mut spread = std::collections::BTreeSet::new();
    for account in data.accounts.iter() {
        account.inbox.iter().for_each(|entry| *holders.entry(entry.seq()).or_default() += 1);
        account.sent.iter().for_each(|entry| *holders.entry(entry.0).or_default() += 1);
        let message = |entry: &InboxEntry| data.messages.get(entry.seq()).expect("held");
        let bytes = account.inbox.iter().map(|entry| message(entry).stored_bytes()).sum::<u64>();
        assert_eq!(account.inbox_bytes, bytes, "what an inbox takes is added up");
        let number = account.label.number;
        for entry in account.inbox.iter() {
            let message = message(entry);
            let mention = Mentions::of(&message.text).include(&account.label.name);
            assert_eq!(entry.mention(), mention, "{}", message.text);
            usage.receive((number, &message.from), *entry, message.stored_bytes());
            if number != message.from.number && spread.insert(message.seq) {
                usage.spread(message.from.number, message.kept_bytes());
            }
        }
        let sent = |entry: &SentEntry| data.messages.get(entry.0).expect("held").stored_bytes();
        let bytes = account.sent.iter().map(sent).sum::<u64>();
        assert_eq!(account.sent_bytes, bytes, "what a sent list takes is added up");
        let sessions = data.sessions.iter().filter(|session| session.account == number);
        assert!(sessions.map(|session| &session.number).eq(&account.sessions));
        if account.deleted {
            gone.push(number);
        } else {
            numbers.insert(account.label.account, number);
            let named = state.names.get(account.label.name.folded().as_str());
            assert_eq!(named.map(|label| label.number), Some(number));
        }
    }
    assert_eq!(usage, state.usage, "what is stored is added up");
    let mut conversations = Conversations::default();
    data.messages.iter().for_each(|message| conversations.add(message));
    assert!(conversations.all().eq(state.conversations.all()), "who has written to whom");
    let sent_only = data.messages.iter().filter(|message| state.is_sent_only(message));
    assert!(sent_only.map(|message| &message.seq).eq(&state.sent_only));
    assert_eq!(numbers, state.numbers);
    assert_eq!(numbers.len(), state.names.len());
    assert!(gone.iter().eq(&state.emptying));
    assert!(data.messages.iter().map(|m| (m.seq, m.holders)).eq(holders), "holders are counted");
    let sessions = data.sessions.iter();
    assert_eq!(
        sessions.map(|s| (s.token_hash, s.number)).collect::<BTreeMap<_, _>>(),
        state.tokens
    );
    assert!(data.sessions.iter().all(|s| state.expiries.contains(&(s.expires, s.number))));
    assert_eq!(data.sessions.len(), state.expiries.len());
    let codes: BTreeMap<_, _> =
        data.invitations.iter().map(|it| (it.code_hash, it.number)).collect();
    assert_eq!(codes, state.invitation_codes);
    let ids: BTreeMap<_, _> = data.messages.iter().map(|m| (m.id, m.seq)).collect();
    assert!(state.message_ids.iter().eq(ids.clone()));
    audit_lists(state);
    let window: BTreeMap<_, _> = data.window.iter().map(|r| (r.id, r.serial)).collect();
    assert!(state.window_ids.iter().eq(window.clone()));
    assert!(window.keys().all(|id| !ids.contains_key(id)), "an id is remembered once");
}

fn lines(state: &State) -> Vec<Vec<u8>> {
    state.view().lines().collect()
}

/// Repeats looks until a piece of work is done; how many those were.
fn look_until_done<T>(state: &State, mut step: impl FnMut(&mut Look<'_>) -> Step<T>) -> (T, usize) {
    let mut count = 0;
    loop {
        count += 1;
        if let Step::Done(answer) = state.look(&mut step) {
            return (answer, count);
        }
    }
}

/// The ids of an account's messages that begin so.
fn find(state: &State, account: Uuid, prefix: &str) -> crate::error::Result<Vec<Uuid>> {
    let mut search = IdSearch::new(account, &[prefix.to_string()])?;
    let ((), _) = look_until_done(state, |look| look.ids(&mut search));
    Ok(search.matches().remove(0))
}

/// A page of names.
fn list_names(
    state: &State,
    glob: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<AccountName>, bool) {
    let mut search = NameSearch::new(glob.map(Glob::new), after, limit);
    let ((), _) = look_until_done(state, |look| look.names(&mut search));
    search.into_page(true)
}

fn restore(window: u64, lines: &[Vec<u8>]) -> crate::error::Result<State> {
    let mut restore = Restore::new(window);
    lines.iter().try_for_each(|line| restore.line(line))?;
    restore.finish()
}

/// Somebody with an account and a session.
#[derive(Clone, Copy, Debug, PartialEq)]
struct User {
    account: Uuid,
    session: SessionNumber,
}

/// A state and the log that leads to it.
struct Chat {
    state: State,
    index: u64,
    at: Timestamp,
    effects: Effects,
    next_id: u128,
}

impl Chat {
    fn new() -> Chat {
        Chat::with_window(1_000)
    }

    fn with_window(window: u64) -> Chat {
        Chat {
            state: State::new(window),
            index: 0,
            at: Timestamp(HOUR),
            effects: Effects::default(),
            next_id: 0,
        }
    }

    /// The same in the state that a snapshot makes of this one.
    fn loaded(&self, window: u64) -> Chat {
        let state = restore(window, &lines(&self.state)).expect("own lines");
        let Chat { index, at, next_id, .. } = *self;
        Chat { state, index, at, effects: Effects::default(), next_id }
    }

    fn id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id << 64 | 0xf00d)
    }

    /// One entry with one operation.
    fn apply_as(&mut self, id: Uuid, action: Action) -> Outcome {
        self.index += 1;
        self.effects = Effects::default();
        let batch = Batch { at: self.at, operations: vec![Operation { id, action }] };
        let mut outcomes = self.state.apply(self.index, &batch, &mut self.effects);
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    fn apply(&mut self, action: Action) -> Outcome {
        let id = self.id();
        let outcome = self.apply_as(id, action);
        audit(&self.state);
        outcome
    }

    /// Entries without operations.
    fn pass(&mut self, entries: u64) {
        for _ in 0..entries {
            self.index += 1;
            let batch = Batch { at: self.at, operations: Vec::new() };
            assert_eq!(self.state.apply(self.index, &batch, &mut self.effects), []);
        }
        audit(&self.state);
    }

    fn register_action(&mut self, who: &str) -> Action {
        let secret = self.id();
        Action::Register {
            account: secret,
            name: name(who),
            password_hash: format!("$argon2id${secret}"),
            token_hash: Digest::of(secret.as_bytes()),
            expires: self.at.plus_ms(100 * HOUR),
            invitation: None,
            from: None,
        }
    }

    fn register(&mut self, who: &str) -> User {
        let action = self.register_action(who);
        opened(self.apply(action))
    }

    fn log_in(&mut self, account: Uuid) -> Outcome {
        let token_hash = Digest::of(self.id().as_bytes());
        let expires = self.at.plus_ms(100 * HOUR);
        let verified = self.verified(account);
        self.apply(Action::OpenSession { account, token_hash, expires, verified, from: None })
    }

    /// What a server says that has verified the password now.
    fn verified(&self, account: Uuid) -> Option<Digest> {
        let account = self.state.account(account)?;
        let known = self.state.level() >= LEVEL_OF_CONVERSATIONS;
        known.then(|| verified_against(&account.password_hash))
    }

    /// Sends, and returns the message's id and seq.
    fn send(&mut self, from: User, to: &[&str], text: &str) -> (Uuid, u64) {
        let id = self.id();
        match self.apply_as(id, send(from, to, text)) {
            Outcome::Sent { seq, .. } => (id, seq),
            other => panic!("not sent: {other:?}"),
        }
    }

    fn page(&self, user: User, query: &InboxQuery) -> Page {
        self.state.look(|look| look.messages(user.account, query, 1_000, usize::MAX))
    }

    /// Texts of a user's messages.
    fn texts(&self, user: User, which: Which) -> Vec<String> {
        let query = InboxQuery { which, ..InboxQuery::default() };
        self.page(user, &query).messages.into_iter().map(|message| message.text).collect()
    }
}

fn send(from: User, to: &[&str], text: &str) -> Action {
    Action::Send {
        session: from.session,
        to: names(to),
        text: text.to_string(),
        again: false,
        after: None,
        reply_to: None,
    }
}

fn opened(outcome: Outcome) -> User {
    match outcome {
        Outcome::SessionOpened { session, account } => User { account, session },
        other => panic!("no session: {other:?}"),
    }
}

/// The code of a refusal, and its sentence.
fn refusal(outcome: Outcome) -> (ErrorCode, String) {
    match outcome {
        Outcome::Refused(body) => (body.code, body.message),
        other => panic!("not refused: {other:?}"),
    }
}
