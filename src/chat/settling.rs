//! Settling: entries that a server took without a majority come into the log.
//!
//! The log has the entries of a list in their order, each with its place, perhaps more
//! than once and from more than one proposer. The state keeps for every list the number
//! of the last entry that was taken from it. Only the next one is taken; an earlier one
//! was done before, and a later one changes nothing. So an entry is settled exactly once,
//! for as long as the state lives, without any window of ids, and its server may forget it
//! as soon as its *own* state says so.
//!
//! # What becomes of an entry that is taken
//! The author has been told that the message is accepted. So either it is delivered, or the
//! author gets a *notice*: a message with the mark of one, whose id follows from that of
//! the message and the author, so that it comes once. These are the cases:
//!
//! - Its id is not known: it is delivered to the accounts that it was taken for, and to no
//!   other owner of their names. Those that are gone stand in a notice.
//! - Its id is known with this content, this author and these recipients: it was delivered
//!   before. Nothing happens.
//! - Its id was refused before, or means something else, or it cannot be told whether all
//!   recipients got it: notice.
//! - Its id may have been tried elsewhere, longer ago than ids are remembered: it cannot be
//!   told whether it was delivered, deleted and forgotten. Delivering it could bring a deleted
//!   message back. Notice.
//! - The author is shut out, or a majority has ended the session that it was sent with:
//!   notice. The author's account is gone: nobody is there to be told, and what it had not
//!   sent is dropped with it.
//!
//! An id counts as tried elsewhere when the client has said so (`again`). For a message of
//! which this was the only try no window matters, however long the server was alone; but
//! a *later* try of it says `again`, and could have come into the log meanwhile. Therefore ids
//! of requests that say `again` are remembered far beyond the window (`repeats.rs`).
//!
//! Marks, deletions and ended sessions do what they still can, and say nothing. Where the
//! same was asked of a majority as well, that one's answer holds.
//!
//! What they say stands in `undelivered.rs`.
//!
//! Bounds of what may be stored are not held against an entry: its server has held them
//! against what it knew when it took it.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::chunks::Item;
use super::delivery::{Act, Delivery, Party, SessionNumber, SessionUsed};
use super::effects::Effects;
use super::fingerprint::{fingerprint, send_fingerprint};
use super::items::{AccountNumber, Label, Message, Recipients};
use super::mail::{Post, check_text};
use super::meter;
use super::operation::{Action, Outcome};
use super::remembered::{DeduplicationEntry, Fate};
use super::settled::{Origin, SettledList};
use super::state::{Caller, State};
use super::undelivered::{Reason, listed, notice_id};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{IDS_PER_REQUEST_MAX, LEVEL_OF_SETTLING, RECIPIENTS_MAX};
use crate::planted::{self, Bug};
use crate::types::{Place, Timestamp, Uuid};

const GONE: &str = "there is no such account any more";

/// Characters of a text that a notice quotes.
const QUOTED_CHARS: usize = 60;

/// What is known of an operation id.
enum Known {
    /// Its message was delivered to those it was for.
    Delivered,
    /// It was refused.
    Refused,
    /// It means something else, or somebody else got it.
    Otherwise,
    /// It was delivered, and an account that it was for is gone: before that or after.
    Unclear,
}

impl State {
    /// Up to where a list is settled; 0 of one that the log has not met.
    pub fn settled(&self, list: &Uuid) -> u64 {
        let number = self.lists.get(list);
        number.and_then(|number| self.data.lists.get(*number)).map_or(0, |it| it.settled)
    }

    /// Whether what a request is to follow is settled.
    ///
    /// # Errors
    /// [`ErrorCode::Behind`].
    pub(super) fn check_settled(&self, after: Option<&Place>) -> Result<()> {
        let Some(Place { list, number }) = after else { return Ok(()) };
        if self.level() < LEVEL_OF_SETTLING || self.settled(list) >= *number {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Behind,
            "this is to follow a message that a server took while it was alone, and that server \
             has not handed it over yet; nothing was done: try again when it is back",
        ))
    }

    /// Takes an entry if it is the next one of its list.
    pub(super) fn settle(
        &mut self,
        index: u64,
        at: Timestamp,
        id: Uuid,
        delivery: &Delivery,
        effects: &mut Effects,
    ) -> Result<Outcome> {
        if self.level() < LEVEL_OF_SETTLING {
            return Err(Error::unavailable(format!(
                "the cluster settles what a server took alone from feature level \
                 {LEVEL_OF_SETTLING} on"
            )));
        }
        self.usable()?;
        // A backup may still come, and without its accounts everything would be dropped.
        if self.data.counters.last_account == 0 {
            return Err(Error::unavailable("nobody has ever registered in this cluster"));
        }
        let Place { list, number } = delivery.place;
        if number == self.settled(&list) + 1 || planted::is(Bug::SettleEachTime) {
            self.set_settled(list, number);
            self.take_entry(index, at, id, delivery, effects);
        }
        Ok(Outcome::Settled { settled: self.settled(&list) })
    }

    pub(super) fn set_settled(&mut self, list: Uuid, settled: u64) {
        let sum = &mut self.data.sum;
        if let Some(number) = self.lists.get(&list) {
            self.data.lists.update(*number, |known| {
                sum.subtract(known.digest());
                known.settled = settled;
                sum.add(known.digest());
            });
            return;
        }
        let number = self.data.lists.last().map_or(0, Item::key) + 1;
        let list_settled = SettledList { number, list, settled };
        sum.add(list_settled.digest());
        self.data.lists.push(list_settled);
        self.lists.insert(list, number);
    }

    fn take_entry(
        &mut self,
        index: u64,
        at: Timestamp,
        id: Uuid,
        delivery: &Delivery,
        effects: &mut Effects,
    ) {
        let by_name = || self.owner_of(&delivery.author, Bug::WriteByName);
        let Some(author) = self.author(&delivery.author.account).or_else(by_name) else {
            effects.withdraw(delivery, id, Reason::AuthorGone);
            return;
        };
        let Caller { number, uuid } = author;
        let shut_out = self.is_shut_out(author, at, delivery.session.as_ref());
        let (action, outcome) = match &delivery.act {
            Act::Send { to, text, reply_to } => {
                let Delivery { again, since, .. } = *delivery;
                let reply_to = self.answered(*reply_to);
                let letter = Letter { id, author, again, since, to, text, reply_to };
                return self.deliver(&Due { index, at, delivery, letter }, shut_out, effects);
            }
            // Another try of it was done, or was refused, and that is what its client knows.
            _ if self.is_void(&id, shut_out) => return,
            Act::Mark { ids } => {
                let seqs: Vec<u64> = self.inbox_places(number, ids);
                // Not remembered: another try of it may name them by their places.
                let _ = self.mark_read(number, &seqs);
                return;
            }
            Act::Delete { ids } => {
                let there = self.inbox_ids(number, ids);
                let outcome = self.delete(index, number, &there);
                (Action::Delete { session: 0, ids: ids.clone() }, outcome)
            }
            Act::Close {} => {
                let Some(session) = self.still_open(delivery.session.as_ref()) else { return };
                self.end_session(session, effects);
                (Action::CloseSession { session }, Ok(Outcome::Done))
            }
        };
        // A client that got no answer may ask a majority for the same once more.
        if let Ok(outcome) = outcome
            && !self.message_ids.contains(&id)
        {
            self.remember(DeduplicationEntry {
                serial: 0,
                id,
                index,
                actor: Some(uuid),
                fingerprint: fingerprint(&action),
                outcome,
            });
        }
    }

    /// Who an entry speaks for, while the account is there.
    pub(super) fn author(&self, uuid: &Uuid) -> Option<Caller> {
        let number = *self.numbers.get(uuid)?;
        Some(Caller { number, uuid: *uuid })
    }

    /// With a planted bug: whoever has somebody's name.
    fn owner_of(&self, party: &Party, bug: Bug) -> Option<Caller> {
        let label = self.names.get(party.name.folded().as_str()).filter(|_| planted::is(bug))?;
        Some(Caller { number: label.number, uuid: label.account })
    }

    /// Whether a mark, a deletion or the end of a session does nothing: another try of it was
    /// done, or was refused, and that is what its client knows; or its author is shut out.
    pub(super) fn is_void(&self, id: &Uuid, shut_out: Option<Reason>) -> bool {
        shut_out.is_some() || self.window_ids.contains(id)
    }

    /// The session that an entry was asked for with, if it is this cluster's and open.
    pub(super) fn still_open(&self, session: Option<&SessionUsed>) -> Option<SessionNumber> {
        let SessionUsed { number, token_hash, .. } = session?;
        (self.tokens.get(token_hash) == Some(number)).then_some(*number)
    }

    /// Why an author may do nothing any more, if that is so. A session that a majority has
    /// ended counts from then on, also for what was asked with it before: it may have been
    /// ended because somebody else had it. One that has run out meanwhile does not matter, unless
    /// its owner had ended all others.
    pub(super) fn is_shut_out(
        &self,
        author: Caller,
        at: Timestamp,
        session: Option<&SessionUsed>,
    ) -> Option<Reason> {
        let disabled = self.data.accounts.get(author.number).is_none_or(|it| it.disabled);
        if disabled {
            return Some(Reason::Disabled);
        }
        let used = session?;
        let account = self.data.accounts.get(author.number);
        let by_owner = account.is_some_and(|account| {
            let (last, spared) = account.ended;
            used.number <= last && used.number != spared
        });
        let ended = self.still_open(session).is_none() && (at < used.expires || by_owner);
        let ended = ended && !planted::is(Bug::DeliverForEndedSession);
        ended.then_some(Reason::Ended)
    }

    /// Places of messages that are in an inbox.
    fn inbox_places(&self, owner: AccountNumber, ids: &[Uuid]) -> Vec<u64> {
        let Some(account) = self.data.accounts.get(owner) else { return Vec::new() };
        let places = ids.iter().take(IDS_PER_REQUEST_MAX).filter_map(|id| self.message_ids.get(id));
        places.filter(|seq| account.inbox.get(*seq).is_some()).collect()
    }

    /// Ids of messages that are in an inbox.
    fn inbox_ids(&self, owner: AccountNumber, ids: &[Uuid]) -> Vec<Uuid> {
        let Some(account) = self.data.accounts.get(owner) else { return Vec::new() };
        let there = |id: &&Uuid| {
            self.message_ids.get(id).is_some_and(|seq| account.inbox.get(seq).is_some())
        };
        ids.iter().take(IDS_PER_REQUEST_MAX).filter(there).copied().collect()
    }

    fn deliver(&mut self, due: &Due<'_>, shut_out: Option<Reason>, effects: &mut Effects) {
        let Letter { id, author, again, to, .. } = due.letter;
        match self.undelivered(&due.letter, shut_out) {
            None => {
                let gone = to.iter().filter(|party| !self.numbers.contains_key(&party.account));
                let gone: Vec<&Party> = gone.collect();
                if !gone.is_empty() {
                    self.notify(due, &format!("did not reach {}: {GONE}", listed(&gone)), effects);
                }
                let fate = match self.those_left(to) {
                    Some(to) => {
                        self.put_delivery(due, to, effects);
                        Fate::Delivered
                    }
                    // Another try of it must not find a later owner of a name.
                    None => {
                        self.remember_refused(due, ErrorCode::UnknownAccount);
                        Fate::Refused
                    }
                };
                if again {
                    self.note_repeat(due.index, author, id, fate);
                }
            }
            Some(Undelivered::Before) => {}
            Some(Undelivered::Because(reason)) => {
                self.notify(due, reason.to_author(), effects);
                self.note_repeat(due.index, author, id, reason.fate());
                effects.withdraw(due.delivery, id, reason);
            }
        }
    }

    /// Why a message goes to nobody, whoever of its recipients is still there.
    pub(super) fn undelivered<P: Borrow<Party>>(
        &self,
        letter: &Letter<'_, P>,
        shut_out: Option<Reason>,
    ) -> Option<Undelivered> {
        let reason = match self.known(letter) {
            Some(Known::Delivered) => return Some(Undelivered::Before),
            Some(Known::Refused) => Some(Reason::Refused),
            Some(Known::Otherwise) => Some(Reason::Otherwise),
            Some(Known::Unclear) => Some(Reason::Unclear),
            None if self.is_forgotten(letter.author.number, letter.since, letter.again) => {
                Some(Reason::Forgotten)
            }
            None => shut_out.or_else(|| is_impossible(letter).then_some(Reason::Impossible)),
        };
        reason.map(Undelivered::Because)
    }

    /// Of accounts that a message is for those that are still there, each once. `None`: none
    /// is.
    pub(super) fn those_left<P: Borrow<Party>>(&self, to: &[P]) -> Option<Arc<Recipients>> {
        let mut labels: Vec<Arc<Label>> = Vec::with_capacity(to.len());
        let mut seen = BTreeSet::new();
        for party in to.iter().map(Borrow::borrow).filter(|party| seen.insert(party.account)) {
            meter::work(1);
            let number = self.numbers.get(&party.account).copied();
            let by_name = || self.owner_of(party, Bug::DeliverByName).map(|it| it.number);
            let account = number.or_else(by_name).and_then(|it| self.data.accounts.get(it));
            labels.extend(account.map(|account| account.label.clone()));
        }
        match labels.as_slice() {
            [] => None,
            [label] => self.data.accounts.get(label.number).map(|it| it.sole_recipient.clone()),
            _ => Some(Recipients::many(labels)),
        }
    }

    fn put_delivery(&mut self, due: &Due<'_>, to: Arc<Recipients>, effects: &mut Effects) {
        let Letter { id, author, text, reply_to, .. } = due.letter;
        let Some(from) = self.data.accounts.get(author.number).map(|it| it.label.clone()) else {
            return;
        };
        let post = Post { at: due.at, id, from, to, text, reply_to, sent: true };
        let seq = self.put(post, effects);
        // No later than any time that can be written.
        let accepted_at = due.delivery.accepted_at.min(Timestamp::MAX);
        self.note_origin(Origin { seq, accepted_at, asked: Some(due.letter.fingerprint()) });
    }

    fn remember_refused(&mut self, due: &Due<'_>, code: ErrorCode) {
        self.remember(DeduplicationEntry {
            serial: 0,
            id: due.letter.id,
            index: due.index,
            actor: Some(due.letter.author.uuid),
            fingerprint: due.letter.fingerprint(),
            outcome: Outcome::refused(Error::new(code, GONE)),
        });
    }

    /// What is known of the id of a message.
    fn known<P: Borrow<Party>>(&self, letter: &Letter<'_, P>) -> Option<Known> {
        let Letter { id, author: Caller { uuid: author, .. }, to, text, .. } = letter;
        // Whatever comes twice has a known id, too.
        if planted::is(Bug::SettleEachTime) {
            return None;
        }
        if let Some(message) = self.message_ids.get(id).and_then(|it| self.data.messages.get(it)) {
            let same = message.from.account == *author
                && *message.text == **text
                && self.reply_to(message.seq) == letter.reply_to
                && self.went_to(message, to);
            return Some(if same { Known::Delivered } else { Known::Otherwise });
        }
        if let Some(remembered) = self.window_ids.get(id).and_then(|it| self.data.window.get(it)) {
            let same =
                remembered.fingerprint == letter.fingerprint() && remembered.actor == Some(*author);
            return Some(match &remembered.outcome {
                Outcome::Sent { .. } if same && self.all_there(to) => Known::Delivered,
                Outcome::Sent { .. } if same => Known::Unclear,
                Outcome::Refused(_) if same => Known::Refused,
                _ => Known::Otherwise,
            });
        }
        Some(match self.repeat(author, id)? {
            Fate::Delivered if self.all_there(to) => Known::Delivered,
            Fate::Delivered | Fate::Unclear => Known::Unclear,
            Fate::Refused => Known::Refused,
        })
    }

    fn all_there<P: Borrow<Party>>(&self, parties: &[P]) -> bool {
        parties.iter().all(|party| self.numbers.contains_key(&party.borrow().account))
    }

    /// Whether a message went to these accounts, but for some that are gone, and to no others.
    fn went_to<P: Borrow<Party>>(&self, message: &Message, parties: &[P]) -> bool {
        meter::work(parties.len() / 2 + message.to.labels.len() / 2);
        let asked: BTreeSet<&Uuid> = parties.iter().map(|party| &party.borrow().account).collect();
        let went: BTreeSet<&Uuid> = message.to.labels.iter().map(|label| &label.account).collect();
        let mut missing = asked.difference(&went);
        went.is_subset(&asked) && missing.all(|account| !self.numbers.contains_key(*account))
    }

    /// Tells the author what became of a message, once.
    fn notify(&mut self, due: &Due<'_>, what: &str, effects: &mut Effects) {
        let Letter { id: message, author, to: parties, text, .. } = due.letter;
        let Caller { number, uuid: author } = author;
        let id = notice_id(&author, &message);
        let known = self.message_ids.contains(&id)
            || self.window_ids.contains(&id)
            || self.repeat(&author, &id).is_some();
        let account = self.data.accounts.get(number);
        let Some((from, to)) = account.map(|it| (it.label.clone(), it.sole_recipient.clone()))
        else {
            return;
        };
        let untold = planted::is(Bug::NotifyNever);
        if untold || (known && !planted::is(Bug::NotifyEachTime)) {
            return;
        }
        let text = format!(
            "Your message {message} of {} to {} {what}. It began: {}",
            due.delivery.accepted_at,
            listed(&parties.iter().collect::<Vec<_>>()),
            text.chars().take(QUOTED_CHARS).collect::<String>()
        );
        let reply_to = None;
        let post = Post { at: due.at, id, from, to, text: &text, reply_to, sent: false };
        let seq = self.put(post, effects);
        self.note_origin(Origin { seq, accepted_at: due.at, asked: None });
        self.note_notice(due.index, &author, &id);
    }

    fn note_origin(&mut self, origin: Origin) {
        self.data.sum.add(origin.digest());
        self.data.origins.push(origin);
    }

    /// A message is gone. Returns where it came from.
    pub(super) fn forget_origin(&mut self, message: &Message) -> Option<Origin> {
        // Hardly any has one.
        self.data.origins.last()?;
        let origin = self.data.origins.remove(message.seq)?;
        self.data.sum.subtract(origin.digest());
        Some(origin)
    }
}

/// An entry that is a message, on its way to its recipients.
struct Due<'a> {
    index: u64,
    at: Timestamp,
    delivery: &'a Delivery,
    letter: Letter<'a, Party>,
}

/// A message that a server took alone, as far as that decides what becomes of it.
pub(super) struct Letter<'a, P> {
    pub(super) id: Uuid,
    pub(super) author: Caller,
    /// As of [`Delivery::again`] and [`Delivery::since`].
    pub(super) again: bool,
    pub(super) since: u64,
    pub(super) to: &'a [P],
    pub(super) text: &'a str,
    /// The message that it answers, which may be gone by now.
    pub(super) reply_to: Option<Uuid>,
}

impl<P: Borrow<Party>> Letter<'_, P> {
    /// That of the request which asks for it.
    pub(super) fn fingerprint(&self) -> u128 {
        let folded: Vec<_> = self.to.iter().map(|party| party.borrow().name.folded()).collect();
        let folded = folded.iter().map(|name| name.as_str());
        send_fingerprint(folded, self.text, self.reply_to.as_ref())
    }
}

fn is_impossible<P>(letter: &Letter<'_, P>) -> bool {
    let count = letter.to.len();
    check_text(letter.text).is_err() || count == 0 || count > RECIPIENTS_MAX
}

/// What becomes of a message that goes to nobody.
pub(super) enum Undelivered {
    /// It was delivered already.
    Before,
    /// The author must be told why.
    Because(Reason),
}
