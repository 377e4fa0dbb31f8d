//! People's own affairs as the plain model has them.

use super::model::{Model, ModelAccount, refuse};
use super::*;

impl Model {
    /// What people change about their own accounts.
    pub(super) fn change_own(
        &mut self,
        (me, session): (Uuid, SessionNumber),
        change: &OwnChange,
    ) -> Outcome {
        match change {
            OwnChange::ChangePassword { verified, password_hash } => {
                if let Some(code) = self.objection(me, Some(verified)) {
                    return refuse(code);
                }
                self.account(me).expect("the session's").password = password_hash.clone();
                self.end_others(me, session);
                Outcome::Done
            }
            OwnChange::Block { name } | OwnChange::Unblock { name } => {
                let mut accounts = self.accounts.iter();
                let Some(other) = accounts.find(|it| it.name == *name).map(|it| it.uuid) else {
                    return refuse(ErrorCode::UnknownAccount);
                };
                let blocks = matches!(change, OwnChange::Block { .. });
                if blocks && other == me {
                    return refuse(ErrorCode::InvalidRequest);
                }
                let blocked = &mut self.account(me).expect("the session's").blocked;
                blocked.retain(|it| *it != other);
                blocked.extend(blocks.then_some(other));
                Outcome::Done
            }
            OwnChange::SetReceipts { on } => {
                self.account(me).expect("the session's").receipts_off = !on;
                Outcome::Done
            }
            OwnChange::EndOtherSessions {} => {
                self.end_others(me, session);
                Outcome::Done
            }
            OwnChange::EndSessions { sessions } => {
                let is_own = |number| self.sessions.get(number).is_some_and(|it| it.account == me);
                if !sessions.iter().all(is_own) {
                    return refuse(ErrorCode::UnknownSession);
                }
                self.sessions.retain(|number, _| !sessions.contains(number));
                Outcome::Done
            }
        }
    }

    pub(super) fn end_others(&mut self, me: Uuid, session: SessionNumber) {
        self.sessions.retain(|number, it| it.account != me || *number == session);
        let last = self.last_session;
        self.account(me).expect("the session's").ended = (last, session);
    }

    pub(super) fn register(&mut self, at: Timestamp, action: &Action) -> Outcome {
        let Action::Register { account, name, password_hash, token_hash, expires, .. } = action
        else {
            unreachable!("it registers")
        };
        if self.accounts.iter().any(|other| other.name == *name) {
            return refuse(ErrorCode::NameTaken);
        }
        if self.account(*account).is_some() {
            return refuse(ErrorCode::IdConflict);
        }
        let newcomer = ModelAccount {
            uuid: *account,
            name: name.clone(),
            password: password_hash.clone(),
            receipts_off: false,
            ended: (0, 0),
            blocked: Vec::new(),
            inbox: Vec::new(),
            sent: Vec::new(),
        };
        let opened = self.open(at, *account, *token_hash, *expires);
        if !matches!(opened, Outcome::Refused(_)) {
            self.accounts.push(newcomer);
        }
        opened
    }

    /// Notes that a session that has not run out is used.
    pub(super) fn note_use(&mut self, number: SessionNumber, at: Timestamp) {
        let notes = self.level >= LEVEL_OF_CONVERSATIONS;
        if let Some(session) = self.sessions.get_mut(&number).filter(|_| notes) {
            let last = session.used.or(session.started);
            if last.is_none_or(|last| at.0 >= last.0 + 3_600_000) {
                session.used = Some(at);
            }
        }
    }

    /// Why a password that was verified does not count.
    pub(super) fn objection(
        &mut self,
        account: Uuid,
        verified: Option<&Digest>,
    ) -> Option<ErrorCode> {
        let level = self.level;
        let account = self.account(account).expect("there is one");
        match verified {
            Some(verified) => {
                let changed = *verified != Digest::of(account.password.as_bytes());
                changed.then_some(ErrorCode::LoginRefused)
            }
            None => (level >= LEVEL_OF_CONVERSATIONS).then_some(ErrorCode::Behind),
        }
    }
}
