//! What a server that is alone may take.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entry::{Deed, Entry, Other};
use super::shown::Shown;
use super::taken::{Acceptance, Given, MarkAsked, Taken};
use crate::chat::delivery::{Act, Delivery, Party, SessionNumber, SessionUsed};
use crate::chat::fingerprint::distinct_folded;
use crate::chat::items::Label;
use crate::chat::mail::{check_count, check_text};
use crate::chat::operation::{Action, Operation, Outcome};
use crate::chat::state::{Actor, Content, State};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::LEVEL_OF_SETTLING;
use crate::planted::{self, Bug};
use crate::types::{AccountName, Names, Place, Timestamp, Uuid};

/// When something is asked for.
#[derive(Clone, Copy)]
pub(in crate::chat) struct Asking {
    /// By the server's clock.
    pub(in crate::chat) accepted_at: Timestamp,
    /// The log index up to which the state is applied.
    pub(in crate::chat) since: u64,
}

/// What is asked for.
enum Wish<'a> {
    Send { content: Content<'a>, again: bool, after: Option<&'a Place> },
    Mark { seqs: &'a [u64], ids: &'a [Uuid] },
    Delete { ids: &'a [Uuid] },
    Close,
}

/// Whoever asks, with a session that is alive.
struct Asker {
    author: Party,
    session: SessionUsed,
}

impl Shown<'_> {
    /// See [`Look::take`](crate::chat::Look::take).
    pub(in crate::chat) fn take(&self, asked: &Operation, asking: Asking) -> Result<Acceptance> {
        let (session, wish) = match &asked.action {
            Action::Send { session, to, text, again, after, reply_to } => {
                let (again, after, reply_to) = (*again, after.as_ref(), *reply_to);
                let content = Content { to, text, reply_to };
                (session, Wish::Send { content, again, after })
            }
            Action::MarkRead { session, seqs } => (session, Wish::Mark { seqs, ids: &[] }),
            Action::Delete { session, ids } => (session, Wish::Delete { ids }),
            Action::CloseSession { session } => (session, Wish::Close),
            Action::Deliver(delivery) => return self.take_delivery(&asked.id, delivery, asking),
            _ => return Err(undecided("this takes the word of a majority")),
        };
        let known = |actor: &Actor| self.state.recall(asked, actor);
        self.with_hidden().decide(asked, (*session, &wish), asking, known)
    }

    /// See [`Look::take_mark`](crate::chat::Look::take_mark).
    pub(in crate::chat) fn take_mark(
        &self,
        asked: &MarkAsked<'_>,
        asking: Asking,
    ) -> Result<Acceptance> {
        let MarkAsked { id, session, seqs, ids } = *asked;
        let wish = Wish::Mark { seqs, ids };
        let action = Action::MarkRead { session, seqs: seqs.to_vec() };
        let operation = Operation { id, action };
        let known = |actor: &Actor| match ids {
            [] => self.state.recall(&operation, actor),
            // At a majority their places were named, which nobody knows any more.
            _ => self.state.recall_mark(&operation, actor),
        };
        self.with_hidden().decide(&operation, (session, &wish), asking, known)
    }

    /// What another server took alone, and had proposed when this one lost its majority. It is
    /// the next of its list, as far as this log knows.
    fn take_delivery(
        &self,
        id: &Uuid,
        delivery: &Delivery,
        Asking { since, .. }: Asking,
    ) -> Result<Acceptance> {
        self.is_able()?;
        if let Some(order) = self.overlay.ids.get(id)
            && let Some(entry) = self.overlay.entries.get(order)
        {
            let place = self.overlay.places.place_of(order);
            return Ok(Acceptance::Held { order, place, answer: given(entry) });
        }
        let Place { list, number } = delivery.place;
        let settled = self.state.settled(&list);
        if number <= settled {
            return Ok(Acceptance::Known(Outcome::Settled { settled }));
        }
        let Delivery { accepted_at, author, session, act, .. } = delivery.clone();
        let answer = answer(&act, accepted_at);
        // Its own server hands it over as well.
        let (again, seen_to) = (true, self.state.last_seq());
        let taken = Taken { id: *id, again, since, seen_to, accepted_at, author, session, act };
        Ok(Acceptance::New { taken: Box::new(taken), answer })
    }

    fn decide(
        &self,
        asked: &Operation,
        (session, wish): (SessionNumber, &Wish<'_>),
        asking: Asking,
        known: impl FnOnce(&Actor) -> Option<Outcome>,
    ) -> Result<Acceptance> {
        self.is_able()?;
        let now = self.now();
        let alive = self.state.data.sessions.get(session).filter(|it| now < it.expires);
        let actor = match self.state.caller(session) {
            Ok(caller) if alive.is_some() => Actor::Account(caller),
            _ => Actor::SessionEnded,
        };
        let known = known(&actor).or_else(|| self.state.recall_repeat(asked, &actor));
        match known.filter(|_| !planted::is(Bug::TakeWhatIsKnown)) {
            Some(Outcome::Refused(body)) if body.code == ErrorCode::IdConflict => {
                return Err(used_otherwise(&asked.id));
            }
            Some(outcome) => return Ok(Acceptance::Known(outcome)),
            None => {}
        }
        if let Some(order) = self.overlay.ids.get(&asked.id)
            && let Some(entry) = self.overlay.entries.get(order)
        {
            if !self.is_same(entry, &actor, session, wish) {
                return Err(used_otherwise(&asked.id));
            }
            let place = self.overlay.places.place_of(order);
            return Ok(Acceptance::Held { order, place, answer: given(entry) });
        }
        let asker = self.asker(session)?;
        let act = self.act(&asker, wish)?;
        let Asking { accepted_at, since } = asking;
        let again = matches!(wish, Wish::Send { again: true, .. });
        let Asker { author, session } = asker;
        let answer = answer(&act, accepted_at);
        let (seen_to, session) = (self.state.last_seq(), Some(session));
        let taken =
            Taken { id: asked.id, again, since, seen_to, accepted_at, author, session, act };
        Ok(Acceptance::New { taken: Box::new(taken), answer })
    }

    /// Whether anything can be taken.
    fn is_able(&self) -> Result<()> {
        if self.state.level() < LEVEL_OF_SETTLING {
            return Err(undecided(&format!(
                "the cluster settles what a server took alone from feature level \
                 {LEVEL_OF_SETTLING} on, which it has not reached"
            )));
        }
        self.state.usable().map_err(|error| undecided(&error.message))
    }

    fn asker(&self, number: SessionNumber) -> Result<Asker> {
        let ended = || undecided("the session has ended");
        let session = self.state.data.sessions.get(number).ok_or_else(ended)?;
        let label = self.state.account_label(session.account).ok_or_else(ended)?;
        if session.expires <= self.now() || self.is_closed(number) {
            return Err(ended());
        }
        let author = party_of(label);
        let (token_hash, expires) = (session.token_hash, session.expires);
        Ok(Asker { author, session: SessionUsed { number, token_hash, expires } })
    }

    /// What is to stand in the entry.
    fn act(&self, asker: &Asker, wish: &Wish<'_>) -> Result<Act> {
        let account = &asker.author.account;
        match wish {
            Wish::Send { content, after, again: _ } => self.send(account, content, *after),
            Wish::Mark { seqs, ids } => {
                let ids = self.unread_of(asker, seqs, ids)?;
                Ok(Act::Mark { ids })
            }
            Wish::Delete { ids } => {
                check_count(ids.len()).map_err(found)?;
                let mut seen = BTreeSet::new();
                let once = ids.iter().filter(|id| seen.insert(**id));
                let known = once.map(|id| match self.in_inbox(account, id) {
                    Some(_) => Ok(*id),
                    None => Err(unknown(id)),
                });
                Ok(Act::Delete { ids: known.collect::<Result<_>>()? })
            }
            Wish::Close => Ok(Act::Close {}),
        }
    }

    fn send(
        &self,
        sender: &Uuid,
        &Content { to, text, reply_to }: &Content<'_>,
        after: Option<&Place>,
    ) -> Result<Act> {
        let is_here = after.is_some_and(|place| self.overlay.has(place));
        if !is_here && !planted::is(Bug::TakeAloneOutOfOrder) {
            self.state.check_settled(after)?;
        }
        check_text(text).map_err(found)?;
        let to = self.state.recipients(to).map_err(found)?;
        let author = self.state.find_account(*sender);
        let from = author.ok_or_else(|| undecided("the session has ended"))?;
        self.state.check_room(&from.label, &to, text, &self.overlay.accounts).map_err(found)?;
        let reply_to = self.state.answered(reply_to);
        let to = to.labels.iter().map(|label| party_of(label)).collect();
        Ok(Act::Send { to, text: text.to_string(), reply_to })
    }

    /// Whether a message is in an inbox; then whether it is confirmed, and was read before.
    fn in_inbox(&self, account: &Uuid, id: &Uuid) -> Option<Read> {
        let (state, overlay) = (self.state, self.overlay);
        let owner = state.find_account(*account)?;
        let seq = state.message_ids.get(id);
        if let Some(entry) = seq.and_then(|seq| owner.inbox.get(seq)) {
            let deleted = overlay.accounts.get(account);
            let deleted = deleted.is_some_and(|holdings| self.is_deleted(holdings, *id, 0));
            let read = if entry.read() { Read::Before } else { Read::NotBefore };
            return (!deleted).then_some(read);
        }
        self.find(account, id).map(|_| Read::NotBefore)
    }

    /// Ids of messages that are to be marked: all but those that a majority knows as read, or
    /// the same session has marked. A mark of another session may come to nothing.
    fn unread_of(&self, asker: &Asker, seqs: &[u64], ids: &[Uuid]) -> Result<Vec<Uuid>> {
        check_count(seqs.len() + ids.len()).map_err(found)?;
        let (account, state) = (&asker.author.account, self.state);
        let mut to_mark = Vec::with_capacity(seqs.len() + ids.len());
        for seq in seqs {
            if *seq > state.last_seq() {
                return Err(undecided(&format!("it has no message {seq} yet")));
            }
            let id = state.data.messages.get(*seq).map(|message| message.id);
            if let Some(id) = id.filter(|id| self.is_unread(asker, self.in_inbox(account, id), id))
            {
                to_mark.push(id);
            }
        }
        for id in ids {
            let read = self.in_inbox(account, id);
            if read.is_none() && !planted::is(Bug::MarkWhatIsKnown) {
                return Err(unknown(id));
            }
            if self.is_unread(asker, read, id) {
                to_mark.push(*id);
            }
        }
        let mut seen = BTreeSet::new();
        to_mark.retain(|id| seen.insert(*id));
        Ok(to_mark)
    }

    fn is_unread(&self, asker: &Asker, read: Option<Read>, id: &Uuid) -> bool {
        let same_session = |order: u64| {
            let entry = self.overlay.entries.get(order);
            entry.is_some_and(|it| it.context.session.as_ref() == Some(&asker.session))
        };
        let marked = || {
            let holdings = self.overlay.accounts.get(&asker.author.account);
            holdings.is_some_and(|holdings| {
                let mut marks = holdings.marked.range((*id, 0)..=(*id, u64::MAX));
                marks.any(|(_, order)| same_session(*order))
            })
        };
        read == Some(Read::NotBefore) && !marked()
    }

    /// Whether an entry is what is asked for.
    fn is_same(
        &self,
        entry: &Entry,
        actor: &Actor,
        session: SessionNumber,
        wish: &Wish<'_>,
    ) -> bool {
        let context = &entry.context;
        let same_actor = match actor {
            Actor::Account(caller) => caller.uuid == context.author.account,
            // Whoever logs out asks with a session that is gone then.
            _ => context.session.as_ref().is_some_and(|it| it.number == session),
        };
        same_actor
            && match (&entry.deed, wish) {
                (Deed::Send { to, text }, Wish::Send { content, .. }) => {
                    **text == *content.text
                        && to.reply_to == self.state.answered(content.reply_to)
                        && is_for(content.to, &to.parties)
                }
                (Deed::Other(other), wish) => match (&**other, wish) {
                    (Other::Delete(ids), Wish::Delete { ids: asked }) => {
                        let (ids, asked) = (ids.iter(), asked.iter());
                        ids.collect::<BTreeSet<_>>() == asked.collect::<BTreeSet<_>>()
                    }
                    (Other::Mark(ids), Wish::Mark { seqs, ids: asked }) => {
                        self.marks_all(ids, (seqs, asked), &context.author.account)
                    }
                    (Other::Close, Wish::Close) => {
                        context.session.as_ref().is_some_and(|it| it.number == session)
                    }
                    _ => false,
                },
                _ => false,
            }
    }

    /// Whether a mark covers all that is asked for and is not read yet.
    fn marks_all(&self, ids: &[Uuid], (seqs, asked): (&[u64], &[Uuid]), account: &Uuid) -> bool {
        let marked: BTreeSet<&Uuid> = ids.iter().collect();
        let holdings = self.overlay.accounts.get(account);
        let by_seq = |seq: &u64| self.state.data.messages.get(*seq).map(|message| message.id);
        let mut all = seqs.iter().filter_map(by_seq).chain(asked.iter().copied());
        all.all(|id| {
            marked.contains(&id)
                || self.in_inbox(account, &id) != Some(Read::NotBefore)
                || holdings.is_some_and(|holdings| self.is_marked(holdings, id, 0))
        })
    }
}

/// Whether a majority knows a message as read.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    Before,
    NotBefore,
}

fn party_of(label: &Label) -> Party {
    Party { account: label.account, name: label.name.clone() }
}

fn is_for(names: &[AccountName], parties: &[Arc<Party>]) -> bool {
    let asked = distinct_folded(names);
    asked.len() == parties.len()
        && asked
            .iter()
            .zip(parties)
            .all(|(asked, party)| party.name.as_str().eq_ignore_ascii_case(asked))
}

/// What the client of a new entry is told.
fn answer(act: &Act, at: Timestamp) -> Given {
    match act {
        Act::Send { to, .. } => {
            Given::Sent { at, to: to.iter().map(|it| it.name.clone()).collect() }
        }
        Act::Mark { ids } => Given::Marked { count: ids.len() as u64 },
        Act::Delete { ids } => Given::Deleted { count: ids.len() as u64 },
        Act::Close {} => Given::Done,
    }
}

/// The same of one that is here.
fn given(entry: &Entry) -> Given {
    match &entry.deed {
        Deed::Send { to, .. } => {
            let to: Names = to.parties.iter().map(|it| it.name.clone()).collect();
            Given::Sent { at: entry.accepted_at.into(), to }
        }
        Deed::Other(other) => match &**other {
            Other::Mark(ids) => Given::Marked { count: ids.len() as u64 },
            Other::Delete(ids) => Given::Deleted { count: ids.len() as u64 },
            Other::Close => Given::Done,
        },
    }
}

/// A refusal that decides nothing: another try may have been done elsewhere, and what was
/// found here may be out of date.
fn undecided(found: &str) -> Error {
    Error::new(
        ErrorCode::NeedsMajority,
        format!(
            "this server is alone, and as far as it knows {found}. A majority may know better; \
             ask again when one is there"
        ),
    )
}

/// What an ordinary refusal found, without what it says was not done.
fn found(error: Error) -> Error {
    if planted::is(Bug::DecideAlone) {
        return error;
    }
    undecided(error.message.split(';').next().unwrap_or_default())
}

fn unknown(id: &Uuid) -> Error {
    undecided(&format!("no message {id} is in this inbox"))
}

fn used_otherwise(id: &Uuid) -> Error {
    undecided(&format!("the operation id {id} was used before, for something else"))
}

impl State {
    /// What became of a mark, whatever it named.
    fn recall_mark(&self, asked: &Operation, actor: &Actor) -> Option<Outcome> {
        let remembered = self.window_ids.get(&asked.id).and_then(|it| self.data.window.get(it));
        match (remembered.map(|it| (&it.outcome, it.actor)), actor) {
            (Some((outcome @ Outcome::Marked { .. }, by)), Actor::Account(caller))
                if by == Some(caller.uuid) =>
            {
                Some(outcome.clone())
            }
            // Nothing, or something else has this id.
            _ => self.recall(asked, actor),
        }
    }
}
