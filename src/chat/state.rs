//! The state, and how an operation is applied to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::conversations::Conversations;
use super::delivery::SessionNumber;
use super::effects::Effects;
use super::fingerprint::fingerprint;
use super::hash::StateHash;
use super::ids::Ids;
use super::items::{AccountNumber, Data, Label};
use super::operation::{Action, Batch, Operation, Outcome};
use super::remembered::DeduplicationEntry;
use super::usage::Usage;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{LEVEL_OF_SETTLING, Limits};
use crate::planted::{self, Bug};
use crate::sync::Mutex;
use crate::types::{AccountName, Digest, Names, ReplicaId, Timestamp, Uuid};

/// The replicated state: what all operations of the log so far have made.
///
/// Two states that applied the same entries with the same window are equal, and so
/// are their hashes. No sequence of entries makes it panic.
pub struct State {
    pub(super) data: Data,
    pub(super) deduplication_window_entries: u64,
    // Indexes that follow from the data. They are not in views.
    /// Accounts that are not deleted.
    pub(super) numbers: BTreeMap<Uuid, AccountNumber>,
    /// The same by folded name.
    pub(super) names: BTreeMap<Box<str>, Arc<Label>>,
    /// Accounts that are deleted and whose lists are not empty yet.
    pub(super) emptying: BTreeSet<AccountNumber>,
    /// By the hash of a token, never by the token, so that the time of a look-up
    /// reveals nothing about any token.
    pub(super) tokens: BTreeMap<Digest, SessionNumber>,
    pub(super) expiries: BTreeSet<(Timestamp, SessionNumber)>,
    /// Invitations by the hash of their codes.
    pub(super) invitation_codes: BTreeMap<Digest, u64>,
    pub(super) message_ids: Ids,
    pub(super) window_ids: Ids,
    pub(super) last_serial: u64,
    /// Lists of servers that had no majority, by their identities.
    pub(super) lists: BTreeMap<Uuid, u64>,
    pub(super) repeat_ids: Ids,
    pub(super) last_repeat: u64,
    /// What is stored, added up.
    pub(super) usage: Usage,
    /// Who has written to whom.
    pub(super) conversations: Conversations,
    /// Messages that only their senders' lists hold.
    pub(super) sent_only: BTreeSet<u64>,
    /// Made from the staged lines.
    pub(super) import: Option<Box<dyn Import>>,
    /// See [`State::names_of`].
    pub(super) listed: Mutex<Option<(u64, Names)>>,
    /// See [`State::set_level_known`].
    #[cfg(debug_assertions)]
    pub(super) level_known: u32,
}

/// Makes another state from the lines of a backup, beside this one; see `import.rs`.
pub(super) trait Import: Send + Sync {
    /// Takes the next line.
    fn line(&mut self, line: &[u8]) -> Result<()>;
    /// The feature level at which the backup was taken, once its first line is in.
    fn level(&self) -> u32;
    /// What the lines say, once all are in.
    fn finish(self: Box<Self>) -> Result<State>;
}

/// On whose authority an operation is applied.
pub(super) enum Actor {
    /// The action takes no session.
    NotNeeded,
    /// The session's account.
    Account(Caller),
    /// The action takes a session, and that one has ended or never was.
    SessionEnded,
}

/// A session that is to be opened.
pub(super) struct NewSession {
    /// When.
    pub(super) at: Timestamp,
    pub(super) token_hash: Digest,
    pub(super) expires: Timestamp,
    /// From where.
    pub(super) from: Option<IpAddr>,
}

/// Who registers.
pub(super) struct Newcomer<'a> {
    pub(super) account: Uuid,
    pub(super) name: &'a AccountName,
    pub(super) password_hash: &'a str,
}

/// What a message is to say to whom.
pub(super) struct Content<'a> {
    pub(super) to: &'a [AccountName],
    pub(super) text: &'a str,
    pub(super) reply_to: Option<Uuid>,
}

/// An account that asks.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub(super) number: AccountNumber,
    pub(super) uuid: Uuid,
}

impl Default for State {
    /// Empty, with the default window.
    fn default() -> Self {
        State::new(Limits::default().deduplication_window_entries)
    }
}

impl fmt::Debug for State {
    /// Never what is in it: texts and hashes of passwords stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("hash", &self.hash()).field("counts", &self.counts()).finish()
    }
}

impl State {
    /// Empty. An operation id is remembered for `deduplication_window_entries`
    /// log entries after its own; every replica must use the same number.
    pub fn new(deduplication_window_entries: u64) -> State {
        State {
            data: Data::default(),
            deduplication_window_entries,
            numbers: BTreeMap::new(),
            names: BTreeMap::new(),
            emptying: BTreeSet::new(),
            tokens: BTreeMap::new(),
            expiries: BTreeSet::new(),
            invitation_codes: BTreeMap::new(),
            message_ids: Ids::default(),
            window_ids: Ids::default(),
            last_serial: 0,
            lists: BTreeMap::new(),
            repeat_ids: Ids::default(),
            last_repeat: 0,
            usage: Usage::default(),
            conversations: Conversations::default(),
            sent_only: BTreeSet::new(),
            import: None,
            listed: Mutex::new(None),
            #[cfg(debug_assertions)]
            level_known: crate::limits::FEATURE_LEVEL_KNOWN,
        }
    }

    /// The feature level: it decides what entries mean from here on. Code whose meaning has
    /// changed asks for it, and never for the level that this program knows, so that all
    /// replicas apply an entry alike.
    pub fn level(&self) -> u32 {
        #[cfg(debug_assertions)]
        if planted::is(Bug::FollowsProgramVersion) {
            return self.level_known;
        }
        self.data.level
    }

    /// Sets the level that the applying program knows; only a planted bug reads it.
    #[cfg(debug_assertions)]
    pub fn set_level_known(&mut self, level_known: u32) {
        self.level_known = level_known;
    }

    /// Applies one log entry. Returns one outcome for each operation, in order, and
    /// adds to `effects` what watchers must learn.
    ///
    /// `index` is the entry's place in the log and rises from call to call.
    pub fn apply(&mut self, index: u64, batch: &Batch, effects: &mut Effects) -> Vec<Outcome> {
        self.forget_old(index, batch.steps());
        self.expire_sessions(batch.at, effects);
        let last_seq = self.data.counters.last_seq;
        let outcomes = batch
            .operations
            .iter()
            .map(|operation| self.apply_operation(index, batch.at, operation, effects))
            .collect();
        self.shorten_sent(index, last_seq);
        self.empty_deleted_accounts(index);
        outcomes
    }

    /// Fingerprint of the state. Costs one short SHA-256, whatever the size.
    pub fn hash(&self) -> StateHash {
        self.data.hash_at(self.level())
    }

    fn apply_operation(
        &mut self,
        index: u64,
        at: Timestamp,
        operation: &Operation,
        effects: &mut Effects,
    ) -> Outcome {
        let actor = self.actor(&operation.action, at, effects);
        let known =
            self.recall(operation, &actor).or_else(|| self.recall_repeat(operation, &actor));
        if let Some(outcome) = known
            && !planted::is(Bug::SkipDeduplication)
        {
            return outcome;
        }
        let result = self.perform(index, at, operation, effects);
        let outcome = result.unwrap_or_else(Outcome::refused);
        self.note_tried(index, operation, &actor, &outcome);
        // What leaders propose may be done twice, and concerns no user. An entry of a list has
        // its place there.
        let has_no_id = matches!(
            operation.action,
            Action::RaiseLevel { .. } | Action::NoteTime { .. } | Action::Deliver(_)
        );
        if State::enters_window(&outcome) && !has_no_id {
            let by = match actor {
                Actor::Account(caller) => Some(caller.uuid),
                Actor::NotNeeded | Actor::SessionEnded => None,
            };
            self.remember(DeduplicationEntry {
                serial: 0,
                id: operation.id,
                index,
                actor: by,
                fingerprint: fingerprint(&operation.action),
                outcome: outcome.clone(),
            });
        }
        outcome
    }

    /// Does what an operation asks for, if the state allows it.
    fn perform(
        &mut self,
        index: u64,
        at: Timestamp,
        operation: &Operation,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        match &operation.action {
            Action::Register {
                account,
                name,
                password_hash,
                token_hash,
                expires,
                invitation,
                from,
            } => {
                let session = new_session(at, token_hash, expires, from);
                let newcomer = Newcomer { account: *account, name, password_hash };
                self.register(newcomer, invitation.as_ref(), session, effects)
            }
            Action::OpenSession { account, token_hash, expires, verified, from } => {
                let session = new_session(at, token_hash, expires, from);
                self.log_in(*account, verified.as_ref(), session, effects)
            }
            Action::ResetPassword {
                account,
                code_hash,
                password_hash,
                token_hash,
                expires,
                from,
            } => {
                let session = new_session(at, token_hash, expires, from);
                self.reset_password(*account, code_hash, password_hash, session, effects)
            }
            Action::Administer { by, change } => self.administer(at, by, change, effects),
            Action::CloseSession { session } => self.caller(*session).map(|_| {
                self.end_session(*session, effects);
                Outcome::Done
            }),
            Action::Send { session, to, text, after, again: _, reply_to } => {
                let caller = self.caller(*session)?;
                self.check_settled(after.as_ref())?;
                let reply_to = self.answered(*reply_to);
                let content = Content { to, text, reply_to };
                self.send(at, operation.id, caller.number, content, effects)
            }
            Action::Deliver(entry) => self.settle(index, at, operation.id, entry, effects),
            Action::MarkRead { session, seqs } => {
                self.caller(*session).and_then(|caller| self.mark_read(caller.number, seqs))
            }
            Action::Delete { session, ids } => {
                self.caller(*session).and_then(|caller| self.delete(index, caller.number, ids))
            }
            Action::DeleteAccount { session, verified } => {
                let caller = self.caller(*session)?;
                self.check_verified(caller.number, verified.as_ref())?;
                Ok(self.delete_account(caller.number, effects))
            }
            Action::Own { session, change } => self
                .caller(*session)
                .and_then(|caller| self.change_own(caller, *session, change, effects)),
            Action::AllocateIncarnation { replica } => self.allocate_incarnation(*replica),
            Action::Restore(step) => self.restore_step(step),
            Action::ChangeMembers { expects, change, founders } => {
                self.change_members(*expects, change, founders)
            }
            Action::NoteTime { seq, at } => {
                self.note_time(index, *seq, *at);
                Ok(Outcome::Done)
            }
            Action::RaiseLevel { level } => {
                self.raise_level(index, *level);
                Ok(Outcome::Done)
            }
        }
    }

    /// Ids of entries before this one were forgotten without a note of it.
    pub(super) fn raise_level(&mut self, index: u64, level: u32) {
        if self.data.level < LEVEL_OF_SETTLING && level >= LEVEL_OF_SETTLING {
            self.data.floors.window = index;
            self.data.floors.level = index;
        }
        self.data.level = self.data.level.max(level);
    }

    /// Finds out who asks. A session that has expired is ended right here and not
    /// only refused: the next leader's clock may be behind this one's, and what was
    /// refused must stay refused.
    fn actor(&mut self, action: &Action, at: Timestamp, effects: &mut Effects) -> Actor {
        let number = match action {
            Action::CloseSession { session }
            | Action::Send { session, .. }
            | Action::MarkRead { session, .. }
            | Action::Delete { session, .. }
            | Action::DeleteAccount { session, .. }
            | Action::Own { session, .. } => *session,
            Action::Register { .. }
            | Action::OpenSession { .. }
            | Action::ResetPassword { .. }
            | Action::Administer { .. }
            | Action::AllocateIncarnation { .. }
            | Action::ChangeMembers { .. }
            | Action::Restore(_)
            | Action::Deliver(_)
            | Action::NoteTime { .. }
            | Action::RaiseLevel { .. } => return Actor::NotNeeded,
        };
        if self.data.sessions.get(number).is_some_and(|session| session.expires <= at) {
            self.end_session(number, effects);
        }
        match self.caller(number) {
            Ok(caller) => {
                self.note_use(number, at);
                Actor::Account(caller)
            }
            Err(_) => Actor::SessionEnded,
        }
    }

    /// The account of a session that has not ended.
    pub(super) fn caller(&self, session: SessionNumber) -> Result<Caller> {
        let session = self.data.sessions.get(session).ok_or_else(session_expired)?;
        let account = self.data.accounts.get(session.account).ok_or_else(session_expired)?;
        Ok(Caller { number: session.account, uuid: account.label.account })
    }

    /// Who an account is, also while it is being emptied.
    pub(super) fn account_label(&self, number: AccountNumber) -> Option<&Arc<Label>> {
        self.data.accounts.get(number).map(|account| &account.label)
    }

    /// Incarnation 1 is the founder's, which nobody allocates.
    fn allocate_incarnation(&mut self, replica: ReplicaId) -> Result<Outcome> {
        let highest = self.data.counters.incarnations.entry(replica).or_insert(1);
        match highest.checked_add(1) {
            Some(incarnation) => {
                *highest = incarnation;
                Ok(Outcome::Incarnation { incarnation })
            }
            None => Err(Error::new(
                ErrorCode::TooMany,
                format!("replica {replica} has used up its incarnations"),
            )),
        }
    }
}

fn new_session(
    at: Timestamp,
    token_hash: &Digest,
    expires: &Timestamp,
    from: &Option<IpAddr>,
) -> NewSession {
    NewSession { at, token_hash: *token_hash, expires: *expires, from: *from }
}

/// For a session that is not there, for any reason.
pub(super) fn session_expired() -> Error {
    Error::new(ErrorCode::SessionExpired, "the session has ended; log in again")
}
