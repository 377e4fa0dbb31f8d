//! Looking back: pages of messages from the newest to the oldest, and how much is unread.
//!
//! What no majority has confirmed comes first. It is looked at before what is confirmed, so
//! what changes from one to the other between two looks is found twice and not never; the
//! page keeps the confirmed one.

use super::reads::{Reader, late, page_limit};
use super::wire::Room;
use crate::chat::{Look, Past, Step, UnreadCount, Words};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{PAGE_MAX_MESSAGES, PAGE_MAX_TEXT_BYTES, TEXT_MAX_BYTES};
use crate::protocol::client::{Answer, Message, PastQuery};
use crate::types::{AccountName, Timestamp, Uuid};

impl Reader {
    /// A page of messages, the newest first.
    pub(super) async fn past(self, query: PastQuery) -> Result<Answer> {
        let limit = page_limit(query.limit)?;
        let words = match query.words.as_slice() {
            [] => Words::default(),
            words => Words::new(words)?,
        };
        let alone = self.confirm().await?;
        let _permit = self.permit().await?;
        let (account, now) = (self.session.account, self.shared.backend.now());
        let (with, before) = match query.with.is_none() && query.before_id.is_none() {
            true => (None, query.before.unwrap_or(u64::MAX)),
            false => {
                let resolve = |look: &mut Look<'_>| resolve(look, account, &query);
                let resolved = self.steps(|look| resolve(look).map(Step::Done)).await;
                let resolved = resolved.map_err(|error| decided(error, alone.is_some()))?;
                resolved.ok_or_else(|| late(NOT_FOUND))?
            }
        };
        let mut page = Page::new(account, query, (with, before), words, limit);
        if !self.confirm.is_majority() && page.before == u64::MAX {
            match self.steps(|look| Ok(page.fill_unconfirmed(look, now))).await? {
                Some(false) => {}
                None if page.messages.is_empty() => return Err(late(NOT_FOUND)),
                None | Some(true) => {
                    let messages = page.messages;
                    return Ok(Answer::Past { messages, more: true, scanned_to: None, alone });
                }
            }
        }
        loop {
            let filled = self.steps(|look| Ok(page.fill(look))).await?;
            if page.looks > 1 {
                self.steps(|look| Ok(page.refresh(look))).await?;
            }
            let more = filled.unwrap_or(true);
            // Without any message a page says how far it has looked.
            if !page.messages.is_empty() || !more || filled.is_none() {
                let (messages, scanned_to) = (page.messages, Some(page.before));
                return Ok(Answer::Past { messages, more, scanned_to, alone });
            }
            // Everything found so far is gone, and there is more.
            (page.room, page.text_bytes) = (Room::default(), 0);
        }
    }

    /// How much is unread, by who sent it, of names behind `after`.
    pub(super) async fn unread(self, after: Option<String>) -> Result<Answer> {
        let alone = self.confirm().await?;
        let _permit = self.permit().await?;
        let mut count = UnreadCount::new(self.session.account, !self.confirm.is_majority());
        match self.steps(|look| Ok(look.unread(&mut count))).await? {
            Some(()) => {
                let (unread, more) = count.into_page(after.as_deref(), PAGE_MAX_MESSAGES);
                Ok(Answer::Unread { unread, more, alone })
            }
            None => Err(late("not all that is unread was counted in time; allow more")),
        }
    }
}

const NOT_FOUND: &str = "no message that matches was found in time; allow more";

/// A server without a majority does not know every account, nor every message.
fn decided(error: Error, is_alone: bool) -> Error {
    match error.code {
        ErrorCode::UnknownAccount | ErrorCode::UnknownMessage if is_alone => {
            let message = format!("{}, as far as a server knows that is alone", error.message);
            Error::new(ErrorCode::NeedsMajority, message)
        }
        _ => error,
    }
}

/// The account that a conversation is with, and the place before which it is looked at.
fn resolve(look: &mut Look<'_>, account: Uuid, query: &PastQuery) -> Result<(Option<Uuid>, u64)> {
    let with = match &query.with {
        None => None,
        Some(name) => {
            let found = look.account_by_name(&AccountName::new(name)?);
            let missing = || {
                let message = format!("no account is named {name}");
                Error::new(ErrorCode::UnknownAccount, message)
            };
            Some(found.ok_or_else(missing)?.account)
        }
    };
    let before = match &query.before_id {
        None => query.before.unwrap_or(u64::MAX),
        Some(id) => look.seen_at(account, with, id).ok_or_else(|| {
            let of = match &query.with {
                Some(name) => format!("no message {id} is in the conversation with {name}"),
                None => format!("no message {id} is in the inbox or was sent"),
            };
            let message = format!("{of}, or no majority has confirmed it yet");
            Error::new(ErrorCode::UnknownMessage, message)
        })?,
    };
    Ok((with, before))
}

/// A page in the making.
struct Page {
    account: Uuid,
    query: PastQuery,
    with: Option<Uuid>,
    words: Words,
    limit: usize,
    messages: Vec<Message>,
    text_bytes: usize,
    room: Room,
    /// Everything from this place on was looked at.
    before: u64,
    /// The same of entries of this server, once some were looked at.
    entries_before: Option<u64>,
    /// How many looks it took at what is confirmed.
    looks: usize,
}

impl Page {
    fn new(
        account: Uuid,
        query: PastQuery,
        (with, before): (Option<Uuid>, u64),
        words: Words,
        limit: usize,
    ) -> Page {
        Page {
            account,
            query,
            with,
            words,
            limit,
            messages: Vec::new(),
            text_bytes: 0,
            room: Room::default(),
            before,
            entries_before: None,
            looks: 0,
        }
    }

    /// What is looked for to fill the rest of the page. A page that is nearly full takes no
    /// more, but says whether there is.
    fn wanted(&mut self) -> Past<'_> {
        let max_text_bytes = PAGE_MAX_TEXT_BYTES - self.text_bytes;
        let limit = match max_text_bytes < TEXT_MAX_BYTES {
            true => 0,
            false => self.limit - self.messages.len(),
        };
        let (account, with, since) = (self.account, self.with, self.query.since);
        let (words, from) = (&mut self.words, self.query.from.as_deref());
        Past { account, with, words, from, since, limit, max_text_bytes }
    }

    /// Takes what was found, as far as a line has room for it. Returns the number of the last
    /// one that it took if not all had room, which is the first of the page at least.
    fn take(&mut self, found: Vec<(u64, Message)>, before: u64) -> Option<u64> {
        let mut last = before;
        for (number, message) in found {
            // One that was not confirmed a moment ago.
            self.messages.retain(|it| it.confirmed || it.id != message.id);
            if !self.room.take(&message) {
                return Some(last);
            }
            self.text_bytes += message.text.len();
            self.messages.push(message);
            last = number;
        }
        None
    }

    /// Adds what is not confirmed. Done with whether the page ends with it.
    fn fill_unconfirmed(&mut self, look: &mut Look<'_>, now: Timestamp) -> Step<bool> {
        // Where the last page ended; if that is confirmed by now, all is looked at once more.
        let place = self.query.before_place.map(|place| look.order_of(&place));
        let begin = place.filter(|order| *order > 0).unwrap_or(u64::MAX);
        let before = self.entries_before.unwrap_or(begin);
        let page = look.past_unconfirmed(&mut self.wanted(), now, before);
        let cut = self.take(page.messages, before);
        self.entries_before = Some(cut.unwrap_or(page.scanned_to));
        match page.interrupted {
            _ if cut.is_some() => Step::Done(true),
            true => Step::More,
            false => Step::Done(page.more),
        }
    }

    /// Adds what is confirmed. Done with whether there is more.
    fn fill(&mut self, look: &mut Look<'_>) -> Step<bool> {
        self.looks += 1;
        let before = self.before;
        let page = look.past(&mut self.wanted(), before);
        let cut = self.take(page.messages, before);
        self.before = cut.unwrap_or(page.scanned_to);
        match page.interrupted {
            _ if cut.is_some() => Step::Done(true),
            true => Step::More,
            false => Step::Done(page.more),
        }
    }

    /// Makes what several looks have found true at one moment, which is now.
    fn refresh(&mut self, look: &mut Look<'_>) -> Step<()> {
        let seqs: Vec<u64> = self.messages.iter().filter_map(|it| it.seq).collect();
        let mut standing = look.standings(self.account, &seqs).into_iter();
        self.messages.retain_mut(|message| match message.seq {
            None => true,
            Some(_) => match standing.next().flatten() {
                Some(read) => {
                    message.read = read;
                    true
                }
                None => false,
            },
        });
        Step::Done(())
    }
}
