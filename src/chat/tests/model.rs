//! What the state machine does, told as plainly as possible: lists that are
//! searched from end to end, nothing kept twice, no bounds on work.

use std::collections::BTreeMap;

use super::*;
use crate::chat::remembered::Fate;
use crate::limits::{LEVEL_OF_CONVERSATIONS, LEVEL_OF_SETTLING, TEXT_MAX_BYTES};

#[derive(Clone)]
pub(super) struct ModelAccount {
    pub(super) uuid: Uuid,
    pub(super) name: AccountName,
    /// The hash of its password.
    pub(super) password: String,
    pub(super) receipts_off: bool,
    /// Sessions up to the first were ended by the owner, but for the second.
    pub(super) ended: (SessionNumber, SessionNumber),
    /// Those who were there and are blocked.
    pub(super) blocked: Vec<Uuid>,
    /// `seq` and whether it is read.
    pub(super) inbox: Vec<(u64, bool)>,
    pub(super) sent: Vec<u64>,
}

pub(super) struct ModelMessage {
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    pub(super) from: AccountName,
    pub(super) to: Vec<AccountName>,
    pub(super) text: String,
    /// Whose they are.
    pub(super) parties: (Uuid, Vec<Uuid>),
    pub(super) accepted_at: Option<Timestamp>,
    pub(super) notice: bool,
    pub(super) reply_to: Option<Uuid>,
}

/// What became of an operation id.
pub(super) struct Done {
    /// Remembered from this entry on; `None` while its message is stored.
    pub(super) since: Option<u64>,
    pub(super) content: String,
    pub(super) actor: Option<Uuid>,
    pub(super) outcome: Outcome,
}

pub(super) struct ModelSession {
    pub(super) account: Uuid,
    pub(super) token: Digest,
    pub(super) expires: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) used: Option<Timestamp>,
}

#[derive(Default)]
pub(super) struct Model {
    window: u64,
    pub(super) accounts: Vec<ModelAccount>,
    pub(super) sessions: BTreeMap<SessionNumber, ModelSession>,
    pub(super) messages: BTreeMap<u64, ModelMessage>,
    pub(super) done: BTreeMap<Uuid, Done>,
    incarnations: BTreeMap<u32, u32>,
    pub(super) last_session: SessionNumber,
    pub(super) last_seq: u64,
    pub(super) level: u32,
    /// What is settled of each list.
    pub(super) lists: BTreeMap<Uuid, u64>,
    /// Ids that were tried before, each with its account, and what became of them.
    pub(super) repeats: BTreeMap<(Uuid, Uuid), Fate>,
    /// Ids of entries below this may be forgotten.
    pub(super) floor: u64,
    /// Entries below this were applied before such ids were kept.
    pub(super) level_floor: u64,
}

/// An outcome without the sentence of a refusal.
pub(super) fn plain(outcome: &Outcome) -> Result<Outcome, ErrorCode> {
    match outcome {
        Outcome::Refused(body) => Err(body.code),
        other => Ok(other.clone()),
    }
}

pub(super) fn folded_once(to: &[AccountName]) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for name in to {
        if !list.contains(&name.folded().to_string()) {
            list.push(name.folded().to_string());
        }
    }
    list
}

pub(super) fn sent_content(to: &[AccountName], text: &str, reply_to: Option<Uuid>) -> String {
    format!("send {:?} {text} {reply_to:?}", folded_once(to))
}

/// What counts when two requests are compared.
fn content(action: &Action) -> String {
    match action {
        Action::Register { name, token_hash, .. } => format!("register {name} {token_hash}"),
        Action::OpenSession { account, token_hash, .. } => format!("open {account} {token_hash}"),
        Action::CloseSession { session } => format!("close {session}"),
        Action::Send { to, text, reply_to, .. } => sent_content(to, text, *reply_to),
        Action::MarkRead { seqs, .. } => format!("mark {seqs:?}"),
        Action::Delete { ids, .. } => format!("delete {ids:?}"),
        Action::DeleteAccount { .. } => "delete account".to_string(),
        Action::Own { change: OwnChange::ChangePassword { .. }, .. } => "new password".to_string(),
        Action::Own { change, .. } => format!("{change:?}"),
        Action::AllocateIncarnation { replica } => format!("allocate {replica}"),
        Action::Restore(step) => format!("{step:?}"),
        Action::Administer { change, .. } => format!("{change:?}"),
        Action::ResetPassword { account, code_hash, token_hash, .. } => {
            format!("reset {account} {code_hash} {token_hash}")
        }
        Action::NoteTime { seq, at } => format!("it is {at} after {seq}"),
        Action::RaiseLevel { level } => format!("raise to {level}"),
        Action::ChangeMembers { change, .. } => format!("{change:?}"),
        Action::Deliver(delivery) => format!("{delivery:?}"),
    }
}

impl Model {
    pub(super) fn new(window: u64) -> Model {
        Model { window, ..Model::default() }
    }

    pub(super) fn apply(&mut self, index: u64, batch: &Batch) -> Vec<Result<Outcome, ErrorCode>> {
        let window = self.window;
        let (level, floor) = (self.level, &mut self.floor);
        self.done.retain(|_, done| {
            let kept = done.since.is_none_or(|since| index - since <= window);
            if let Some(since) = done.since
                && !kept
                && level >= LEVEL_OF_SETTLING
            {
                *floor = (*floor).max(since + 1);
            }
            kept
        });
        self.sessions.retain(|_, session| session.expires > batch.at);
        let operations = batch.operations.iter();
        operations.map(|operation| plain(&self.operation(index, batch.at, operation))).collect()
    }

    pub(super) fn account(&mut self, uuid: Uuid) -> Option<&mut ModelAccount> {
        self.accounts.iter_mut().find(|account| account.uuid == uuid)
    }

    fn operation(&mut self, index: u64, at: Timestamp, operation: &Operation) -> Outcome {
        let action = &operation.action;
        if let Action::Deliver(delivery) = action {
            return self.settle(index, at, operation.id, delivery);
        }
        let number = match action {
            Action::CloseSession { session }
            | Action::Send { session, .. }
            | Action::MarkRead { session, .. }
            | Action::Delete { session, .. }
            | Action::DeleteAccount { session, .. }
            | Action::Own { session, .. } => Some(*session),
            _ => None,
        };
        if let Some(number) = number
            && self.sessions.get(&number).is_some_and(|session| session.expires <= at)
        {
            self.sessions.remove(&number);
        }
        number.iter().for_each(|number| self.note_use(*number, at));
        let actor = number.and_then(|n| self.sessions.get(&n)).map(|session| session.account);
        if let Some(done) = self.done.get(&operation.id) {
            let same_actor = actor.is_none() || actor == done.actor;
            return match same_actor && content(action) == done.content {
                true => done.outcome.clone(),
                false => refuse(ErrorCode::IdConflict),
            };
        }
        let (again, after) = match action {
            Action::Send { again, after, .. } if self.level >= LEVEL_OF_SETTLING => {
                (*again, *after)
            }
            _ => (false, None),
        };
        let sends = matches!(action, Action::Send { .. }) && self.level >= LEVEL_OF_SETTLING;
        if sends && actor.is_some_and(|actor| self.repeats.contains_key(&(actor, operation.id))) {
            return refuse(ErrorCode::IdForgotten);
        }
        if number.is_some() && actor.is_none() {
            return refuse(ErrorCode::SessionExpired);
        }
        if let Action::RaiseLevel { level } = action {
            if self.level < LEVEL_OF_SETTLING && *level >= LEVEL_OF_SETTLING {
                self.floor = index;
                self.level_floor = index;
            }
            self.level = self.level.max(*level);
            return Outcome::Done;
        }
        if matches!(action, Action::NoteTime { .. }) {
            return Outcome::Done;
        }
        if after.is_some_and(|after| self.settled(&after.list) < after.number) {
            return refuse(ErrorCode::Behind);
        }
        let asker = (actor.unwrap_or_default(), number.unwrap_or_default());
        let outcome = self.fresh(index, at, operation, asker);
        if plain(&outcome) == Err(ErrorCode::Behind) {
            return outcome;
        }
        let since = (!matches!(outcome, Outcome::Sent { .. })).then_some(index);
        let done = Done { since, content: content(action), actor, outcome: outcome.clone() };
        self.done.insert(operation.id, done);
        if again {
            let fate = match outcome {
                Outcome::Refused(_) => Fate::Refused,
                _ => Fate::Delivered,
            };
            self.repeats.insert((actor.unwrap_or_default(), operation.id), fate);
        }
        outcome
    }

    fn fresh(
        &mut self,
        index: u64,
        at: Timestamp,
        operation: &Operation,
        (me, session): (Uuid, SessionNumber),
    ) -> Outcome {
        match &operation.action {
            Action::Register { .. } => self.register(at, &operation.action),
            Action::OpenSession { account, token_hash, expires, verified, .. } => {
                if self.account(*account).is_none() {
                    return refuse(ErrorCode::LoginRefused);
                }
                match self.objection(*account, verified.as_ref()) {
                    Some(code) => refuse(code),
                    None => self.open(at, *account, *token_hash, *expires),
                }
            }
            Action::CloseSession { session } => {
                self.sessions.remove(session);
                Outcome::Done
            }
            Action::Send { to, text, reply_to, .. } => {
                let outcome = self.send(at, operation.id, me, to, text);
                if let Outcome::Sent { seq, .. } = &outcome {
                    self.messages.get_mut(seq).expect("just put").reply_to = *reply_to;
                }
                outcome
            }
            Action::MarkRead { seqs, .. } => {
                let account = self.account(me).expect("the session's");
                let mut count = 0;
                for (seq, read) in &mut account.inbox {
                    count += u64::from(seqs.contains(seq) && !*read);
                    *read |= seqs.contains(seq);
                }
                Outcome::Marked { count }
            }
            Action::Delete { ids, .. } => self.delete(index, me, ids),
            Action::DeleteAccount { verified, .. } => {
                if let Some(code) = self.objection(me, verified.as_ref()) {
                    return refuse(code);
                }
                self.accounts.retain(|account| account.uuid != me);
                // Another account may come with its identity, in these histories only.
                self.accounts.iter_mut().for_each(|it| it.blocked.retain(|it| *it != me));
                self.sessions.retain(|_, session| session.account != me);
                self.drop_bodies(index);
                Outcome::Done
            }
            Action::Own { .. } if self.level < LEVEL_OF_CONVERSATIONS => refuse(ErrorCode::Behind),
            Action::Own { change, .. } => self.change_own((me, session), change),
            Action::AllocateIncarnation { replica } => {
                let highest = self.incarnations.entry(replica.0).or_insert(1);
                *highest += 1;
                Outcome::Incarnation { incarnation: *highest }
            }
            Action::ChangeMembers { .. }
            | Action::Administer { .. }
            | Action::ResetPassword { .. }
            | Action::NoteTime { .. }
            | Action::RaiseLevel { .. }
            | Action::Deliver(_)
            | Action::Restore(_) => {
                unreachable!("done before, or not in histories")
            }
        }
    }

    /// A message with an id that is in one of an account's lists.
    pub(super) fn seen(&self, account: Uuid, id: Uuid) -> Option<&ModelMessage> {
        let account = self.accounts.iter().find(|it| it.uuid == account)?;
        let received = account.inbox.iter().map(|(seq, _)| seq);
        let mut seen = received.chain(&account.sent).map(|seq| &self.messages[seq]);
        seen.find(|message| message.id == id)
    }

    fn delete(&mut self, index: u64, me: Uuid, ids: &[Uuid]) -> Outcome {
        let inbox = self.account(me).expect("the session's").inbox.clone();
        let held: Vec<(u64, Uuid)> =
            inbox.iter().map(|(seq, _)| (*seq, self.messages[seq].id)).collect();
        if !ids.iter().all(|id| held.iter().any(|(_, other)| other == id)) {
            return refuse(ErrorCode::UnknownMessage);
        }
        let doomed: Vec<u64> =
            held.iter().filter(|(_, id)| ids.contains(id)).map(|(seq, _)| *seq).collect();
        let account = self.account(me).expect("the session's");
        account.inbox.retain(|(seq, _)| !doomed.contains(seq));
        self.drop_bodies(index);
        Outcome::Deleted { count: doomed.len() as u64 }
    }

    pub(super) fn open(
        &mut self,
        at: Timestamp,
        account: Uuid,
        token: Digest,
        expires: Timestamp,
    ) -> Outcome {
        if self.sessions.values().any(|session| session.token == token) {
            return refuse(ErrorCode::IdConflict);
        }
        self.last_session += 1;
        let started = (self.level >= LEVEL_OF_CONVERSATIONS).then_some(at);
        let session = ModelSession { account, token, expires, started, used: None };
        self.sessions.insert(self.last_session, session);
        Outcome::SessionOpened { session: self.last_session, account }
    }

    fn send(
        &mut self,
        at: Timestamp,
        id: Uuid,
        me: Uuid,
        to: &[AccountName],
        text: &str,
    ) -> Outcome {
        if text.is_empty() || text.len() > TEXT_MAX_BYTES {
            return refuse(ErrorCode::InvalidText);
        }
        if to.is_empty() {
            return refuse(ErrorCode::InvalidRequest);
        }
        let mut recipients = Vec::new();
        for name in folded_once(to) {
            match self.accounts.iter().position(|account| account.name.folded().as_str() == name) {
                Some(place) => recipients.push(place),
                None => return refuse(ErrorCode::UnknownAccount),
            }
        }
        let recipients = recipients.iter().map(|place| self.accounts[*place].uuid).collect();
        let seq = self.put(at, id, me, recipients, text, true);
        let to = &self.messages[&seq].to;
        Outcome::Sent { seq, at, to: to.iter().cloned().collect() }
    }

    pub(super) fn put(
        &mut self,
        at: Timestamp,
        id: Uuid,
        me: Uuid,
        recipients: Vec<Uuid>,
        text: &str,
        sent: bool,
    ) -> u64 {
        self.last_seq += 1;
        let seq = self.last_seq;
        let mut to = Vec::new();
        for uuid in &recipients {
            let account = self.account(*uuid).expect("was looked up");
            if !account.blocked.contains(&me) {
                account.inbox.push((seq, false));
            }
            to.push(account.name.clone());
        }
        let sender = self.account(me).expect("was looked up");
        if sent {
            sender.sent.push(seq);
        }
        let (from, text) = (sender.name.clone(), text.to_string());
        let parties = (me, recipients);
        let (accepted_at, notice, reply_to) = (None, !sent, None);
        let message =
            ModelMessage { id, at, from, to, text, parties, accepted_at, notice, reply_to };
        self.messages.insert(seq, message);
        seq
    }

    /// Drops messages that no list holds; their ids are remembered from now on.
    pub(super) fn drop_bodies(&mut self, index: u64) {
        let accounts = &self.accounts;
        let done = &mut self.done;
        self.messages.retain(|seq, message| {
            let held = accounts.iter().any(|account| {
                account.sent.contains(seq) || account.inbox.iter().any(|(held, _)| held == seq)
            });
            if !held && let Some(done) = done.get_mut(&message.id) {
                done.since = Some(index);
            }
            held
        });
    }
}

pub(super) fn refuse(code: ErrorCode) -> Outcome {
    Outcome::refused(crate::error::Error::new(code, ""))
}
