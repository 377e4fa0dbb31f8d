//! Settling as the plain model does it.

use super::model::{Done, Model, ModelMessage, refuse, sent_content};
use super::*;
use crate::chat::remembered::Fate;
use crate::chat::undelivered::notice_id;
use crate::limits::LEVEL_OF_SETTLING;
use crate::types::Place;

enum Verdict {
    /// It was delivered before.
    Before,
    /// Its author is told so.
    Untold(&'static str, Fate),
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

    /// Whether a majority has ended the session that an entry was asked for with.
    fn is_shut_out(&self, at: Timestamp, delivery: &Delivery) -> bool {
        delivery.session.as_ref().is_some_and(|used| {
            let session = self.sessions.get(&used.number);
            let author = delivery.author.account;
            let (last, spared) =
                self.accounts.iter().find(|it| it.uuid == author).map_or((0, 0), |it| it.ended);
            let by_owner = used.number <= last && used.number != spared;
            let is_open = session.is_some_and(|it| it.token == used.token_hash);
            !is_open && (at < used.expires || by_owner)
        })
    }

    fn take(&mut self, index: u64, at: Timestamp, id: Uuid, delivery: &Delivery) {
        let me = delivery.author.account;
        if let Act::Send { to, text, reply_to } = &delivery.act {
            return self.deliver(index, at, (id, *reply_to), delivery, to, text);
        }
        let asked_before = self.done.get(&id).is_some_and(|done| done.since.is_some());
        if self.is_shut_out(at, delivery) || asked_before {
            return;
        }
        let (content, outcome) = match &delivery.act {
            Act::Send { .. } => unreachable!("done above"),
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
            Act::Close {} => {
                let Some(SessionUsed { number, token_hash, .. }) = &delivery.session else {
                    return;
                };
                if self.sessions.get(number).is_none_or(|it| it.token != *token_hash) {
                    return;
                }
                self.sessions.remove(number);
                (format!("close {number}"), Outcome::Done)
            }
        };
        let done = Done { since: Some(index), content, actor: Some(me), outcome };
        self.done.entry(id).or_insert(done);
    }

    /// What is to become of a message.
    fn verdict(
        &self,
        (id, reply_to): (Uuid, Option<Uuid>),
        delivery: &Delivery,
        (content, text): (&str, &str),
        to: &[Uuid],
        shut_out: bool,
    ) -> Verdict {
        const OTHER: &str = "was not delivered: its id means another message, or it went to \
                             another owner of a name";
        const REFUSED: &str = "was not delivered: another try of it was refused before";
        const UNCLEAR: &str = "may not have reached everybody: an account that it was for is gone";
        const LONG_AGO: &str = "may not be delivered: whether another try of it was, too long ago, \
                                cannot be told any more. Ask, and send it again if need be";
        const ENDED: &str = "was not delivered: the session that sent it was ended meanwhile";
        let me = delivery.author.account;
        let unclear = |why| Verdict::Untold(why, Fate::Unclear);
        let here = |uuid: &Uuid| self.accounts.iter().any(|account| account.uuid == *uuid);
        if let Some(message) = self.messages.values().find(|message| message.id == id) {
            let (from, went) = &message.parties;
            let as_asked = went.iter().all(|uuid| to.contains(uuid))
                && to.iter().all(|uuid| went.contains(uuid) || !here(uuid));
            let as_asked = as_asked && message.reply_to == reply_to;
            let same = *from == me && message.text == text && as_asked;
            return if same { Verdict::Before } else { unclear(OTHER) };
        }
        let all_here = to.iter().all(here);
        match (self.done.get(&id), self.repeats.get(&(me, id))) {
            (Some(done), _) if done.content != content || done.actor != Some(me) => unclear(OTHER),
            (Some(Done { outcome: Outcome::Refused(_), .. }), _) | (None, Some(Fate::Refused)) => {
                Verdict::Untold(REFUSED, Fate::Refused)
            }
            (Some(_), _) | (None, Some(Fate::Delivered)) if all_here => Verdict::Before,
            (Some(_), _) | (None, Some(_)) => unclear(UNCLEAR),
            (None, None) => {
                let first = delivery.since.saturating_add(1);
                if first < self.level_floor || (delivery.again && first < self.floor) {
                    unclear(LONG_AGO)
                } else if shut_out {
                    Verdict::Untold(ENDED, Fate::Refused)
                } else if text.is_empty() || to.is_empty() {
                    let why = "was not delivered: no message can be like this";
                    Verdict::Untold(why, Fate::Refused)
                } else {
                    Verdict::New
                }
            }
        }
    }

    fn deliver(
        &mut self,
        index: u64,
        at: Timestamp,
        (id, reply_to): (Uuid, Option<Uuid>),
        delivery: &Delivery,
        to: &[Party],
        text: &str,
    ) {
        let me = delivery.author.account;
        let names: Vec<AccountName> = to.iter().map(|party| party.name.clone()).collect();
        let content = sent_content(&names, text, reply_to);
        let uuids: Vec<Uuid> = to.iter().map(|party| party.account).collect();
        let here: Vec<Uuid> =
            uuids.iter().copied().filter(|uuid| self.account(*uuid).is_some()).collect();
        let shut_out = self.is_shut_out(at, delivery);
        match self.verdict((id, reply_to), delivery, (&content, text), &uuids, shut_out) {
            Verdict::Before => return,
            Verdict::Untold(why, fate) => {
                self.notify(at, id, delivery, to, text, why);
                self.repeats.entry((me, id)).or_insert(fate);
                return;
            }
            Verdict::New => {}
        }
        if here.len() < uuids.len() {
            let gone = to.iter().filter(|party| !here.contains(&party.account));
            let gone: Vec<String> = gone.map(|party| party.name.to_string()).collect();
            let why =
                format!("did not reach {}: there is no such account any more", gone.join(", "));
            self.notify(at, id, delivery, to, text, &why);
        }
        let done = |since, outcome| Done { since, content, actor: Some(me), outcome };
        let fate = if here.is_empty() { Fate::Refused } else { Fate::Delivered };
        if here.is_empty() {
            let refused = done(Some(index), refuse(ErrorCode::UnknownAccount));
            self.done.insert(id, refused);
        } else {
            let seq = self.put(at, id, me, here, text, true);
            let message = self.messages.get_mut(&seq).expect("just put");
            message.accepted_at = Some(delivery.accepted_at);
            message.reply_to = reply_to;
            let outcome = Outcome::Sent { seq, at, to: message.to.iter().cloned().collect() };
            self.done.insert(id, done(None, outcome));
        }
        if delivery.again {
            self.repeats.entry((me, id)).or_insert(fate);
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
        if self.repeats.contains_key(&(me, notice)) {
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
        self.repeats.insert((me, notice), Fate::Delivered);
    }
}
