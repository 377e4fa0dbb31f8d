//! Settling as the plain model does it.

use super::model::{Done, Model, ModelMessage, folded_once, refuse};
use super::*;
use crate::chat::settling::notice_id;
use crate::limits::LEVEL_OF_SETTLING;
use crate::types::Place;

enum Fate {
    /// It was delivered before.
    Before,
    /// Its author is told so.
    Untold(&'static str),
    New,
}

impl Model {
    pub(super) fn settled(&self, list: &Uuid) -> u64 {
        self.lists.get(list).copied().unwrap_or(0)
    }

    /// Takes the next entry of a list.
    pub(super) fn settle(
        &mut self,
        index: u64,
        at: Timestamp,
        id: Uuid,
        delivery: &Delivery,
    ) -> Outcome {
        if self.level < LEVEL_OF_SETTLING {
            return refuse(ErrorCode::Unavailable);
        }
        let Place { list, number } = delivery.place;
        if number == self.settled(&list) + 1 {
            self.lists.insert(list, number);
            if self.account(delivery.author.account).is_some() {
                self.take(index, at, id, delivery);
            }
        }
        Outcome::Settled { settled: self.settled(&list) }
    }

    fn take(&mut self, index: u64, at: Timestamp, id: Uuid, delivery: &Delivery) {
        let me = delivery.author.account;
        let (content, outcome) = match &delivery.act {
            Act::Send { to, text } => return self.deliver(index, at, id, delivery, to, text),
            Act::Mark { ids } => {
                let marked = |message: &ModelMessage| ids.contains(&message.id);
                let messages = &self.messages;
                let account = self.accounts.iter_mut().find(|account| account.uuid == me);
                for (seq, read) in &mut account.expect("was looked up").inbox {
                    *read |= marked(&messages[seq]);
                }
                return;
            }
            Act::Delete { ids } => {
                let messages = &self.messages;
                let account = self.accounts.iter_mut().find(|account| account.uuid == me);
                let inbox = &mut account.expect("was looked up").inbox;
                let before = inbox.len();
                inbox.retain(|(seq, _)| !ids.contains(&messages[seq].id));
                let count = (before - inbox.len()) as u64;
                self.drop_bodies(index);
                (format!("delete {ids:?}"), Outcome::Deleted { count })
            }
            Act::Close { session, token_hash } => {
                if self.sessions.get(session).is_some_and(|it| it.token == *token_hash) {
                    self.sessions.remove(session);
                }
                (format!("close {session}"), Outcome::Done)
            }
        };
        let done = Done { since: Some(index), content, actor: Some(me), outcome };
        self.done.entry(id).or_insert(done);
    }

    /// What is to become of a message.
    fn fate(
        &self,
        id: Uuid,
        delivery: &Delivery,
        (content, text): (&str, &str),
        to: &[Uuid],
        here: usize,
    ) -> Fate {
        const OTHER: &str = "was not delivered: its id means another message, or it went to \
                             another owner of a name";
        const REFUSED: &str = "was not delivered: another try of it was refused before";
        const LONG_AGO: &str = "may not be delivered: it was tried at more than one server, too \
                                long ago to tell what became of the other try. Ask, and send it \
                                again if need be";
        let me = delivery.author.account;
        if let Some(message) = self.messages.values().find(|message| message.id == id) {
            let same = message.parties == (me, to.to_vec()) && message.text == text;
            return if same { Fate::Before } else { Fate::Untold(OTHER) };
        }
        match (self.done.get(&id), self.repeats.get(&id)) {
            (Some(Done { outcome: Outcome::Refused(_), .. }), _) | (None, Some(true)) => {
                Fate::Untold(REFUSED)
            }
            (Some(done), _) => {
                let sent = matches!(done.outcome, Outcome::Sent { .. });
                match sent && done.content == content && done.actor == Some(me) {
                    true if here == to.len() => Fate::Before,
                    true => Fate::Untold(
                        "may not have reached everybody: an account that it was for is gone",
                    ),
                    false => Fate::Untold(OTHER),
                }
            }
            (None, Some(false)) => Fate::Before,
            (None, None) if delivery.again && delivery.since + 1 < self.floor => {
                Fate::Untold(LONG_AGO)
            }
            (None, None) if text.is_empty() || to.is_empty() => {
                Fate::Untold("was not delivered: no message can be like this")
            }
            (None, None) => Fate::New,
        }
    }

    fn deliver(
        &mut self,
        index: u64,
        at: Timestamp,
        id: Uuid,
        delivery: &Delivery,
        to: &[Party],
        text: &str,
    ) {
        let me = delivery.author.account;
        let names: Vec<AccountName> = to.iter().map(|party| party.name.clone()).collect();
        let content = format!("send {:?} {text}", folded_once(&names));
        let uuids: Vec<Uuid> = to.iter().map(|party| party.account).collect();
        let here: Vec<Uuid> =
            uuids.iter().copied().filter(|uuid| self.account(*uuid).is_some()).collect();
        let why = match self.fate(id, delivery, (&content, text), &uuids, here.len()) {
            Fate::Before => return,
            Fate::Untold(why) => Some(why),
            Fate::New => None,
        };
        if let Some(why) = why {
            self.notify(at, id, delivery, to, text, why);
            if delivery.again {
                self.repeats.entry(id).or_insert(true);
            }
            return;
        }
        if here.len() < uuids.len() {
            let gone = to.iter().filter(|party| !here.contains(&party.account));
            let gone: Vec<String> = gone.map(|party| party.name.to_string()).collect();
            let why =
                format!("did not reach {}: there is no such account any more", gone.join(", "));
            self.notify(at, id, delivery, to, text, &why);
        }
        let done = |since, outcome| Done { since, content, actor: Some(me), outcome };
        if here.is_empty() {
            let refused = done(Some(index), refuse(ErrorCode::UnknownAccount));
            self.done.insert(id, refused);
        } else {
            let seq = self.put(at, id, me, here, text, true);
            let message = self.messages.get_mut(&seq).expect("just put");
            message.accepted_at = Some(delivery.accepted_at);
            let outcome = Outcome::Sent { seq, at, to: message.to.iter().cloned().collect() };
            // As of a request for those who got it.
            let content = format!("send {:?} {text}", folded_once(&message.to));
            self.done.insert(id, Done { content, ..done(None, outcome) });
        }
        if delivery.again {
            self.repeats.entry(id).or_insert(false);
        }
    }

    fn notify(
        &mut self,
        at: Timestamp,
        id: Uuid,
        delivery: &Delivery,
        to: &[Party],
        text: &str,
        why: &str,
    ) {
        let me = delivery.author.account;
        let notice = notice_id(&me, &id);
        if self.repeats.contains_key(&notice) {
            return;
        }
        let to: Vec<&str> = to.iter().map(|party| party.name.as_str()).collect();
        let text = format!(
            "Your message {id} of {} to {} {why}. It began: {text}",
            delivery.accepted_at,
            to.join(", ")
        );
        let seq = self.put(at, notice, me, vec![me], &text, false);
        let outcome = Outcome::Sent { seq, at, to: std::iter::empty().collect() };
        let content = String::from("no request is like a notice");
        self.done.insert(notice, Done { since: None, content, actor: Some(me), outcome });
        self.repeats.insert(notice, false);
    }
}
