//! A page of what an account has without a majority.

use super::entry::Listed;
use super::holdings::Holdings;
use super::shown::{Delivered, STEPS_PER_MESSAGE, Shown};
use crate::chat::budget::Budget;
use crate::chat::chunks::Chunks;
use crate::chat::items::Account;
use crate::chat::mentions::Mentions;
use crate::chat::meter::NAMES_PER_STEP;
use crate::protocol::client::{self, InboxQuery, Which};
use crate::types::{Names, Timestamp, Uuid};

/// Part of an account's unconfirmed messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unconfirmed {
    /// In the order in which they were taken, each with its number in the overlay.
    pub messages: Vec<(u64, client::Message)>,
    /// Whether there is more after [`Unconfirmed::scanned_to`]; only perhaps if it is
    /// [`Unconfirmed::interrupted`].
    pub more: bool,
    /// Whether it ends here because the look did.
    pub interrupted: bool,
    /// Up to where entries were looked at: where to go on. No entry that is on its way to
    /// the disk is passed over.
    pub scanned_to: u64,
}

/// What is asked for; see [`Look::unconfirmed`](crate::chat::Look::unconfirmed).
pub(in crate::chat) struct Question<'a> {
    pub(in crate::chat) account: Uuid,
    pub(in crate::chat) query: &'a InboxQuery,
    /// An entry's number.
    pub(in crate::chat) after: u64,
    pub(in crate::chat) limit: usize,
    pub(in crate::chat) max_text_bytes: usize,
}

impl Shown<'_> {
    pub(in crate::chat) fn unconfirmed(
        &self,
        question: &Question<'_>,
        budget: &mut Budget,
    ) -> Unconfirmed {
        let after = question.after;
        let page = Unconfirmed { scanned_to: after, ..Unconfirmed::default() };
        let text_bytes_left = question.max_text_bytes;
        let hidden_from = self.overlay.first_hidden().unwrap_or(u64::MAX);
        let Some((reader, holdings)) = self.holdings(&question.account) else {
            return Unconfirmed { scanned_to: self.end_of(after), ..page };
        };
        let mut scan =
            Scan { shown: *self, reader, question, text_bytes_left, hidden_from, budget, page };
        let cut = match question.query.which {
            Which::Sent => scan.list(&holdings.sent, holdings),
            Which::Unread | Which::All => scan.list(&holdings.inbox, holdings),
        };
        let mut page = scan.page;
        page.more = cut;
        if !cut {
            page.scanned_to = self.end_of(after);
        }
        page
    }

    /// The last entry that may be shown, if it is behind another one.
    fn end_of(&self, after: u64) -> u64 {
        let hidden_from = self.overlay.first_hidden().unwrap_or(u64::MAX);
        after.max(self.overlay.last().min(hidden_from - 1))
    }

    /// A message as an account that may see it is told of it.
    pub(super) fn told(
        &self,
        (order, message): (u64, &Delivered<'_>),
        reader: &Account,
        read: bool,
        budget: &mut Budget,
    ) -> Option<client::Message> {
        let from = self.state.account_label(message.author.number)?;
        // Each of them is looked up, and named.
        let count = message.parties().len();
        budget.spend(2 * count + count / NAMES_PER_STEP);
        let to = self.state.those_left(message.parties())?;
        let accepted_at = Timestamp::from(message.entry.accepted_at);
        let reply_to = self.state.answered(message.to.reply_to);
        Some(client::Message {
            id: message.entry.id,
            from: from.name.clone(),
            to: to.names(),
            text: message.text.to_string(),
            at: accepted_at,
            seq: None,
            read,
            confirmed: false,
            place: self.overlay.places.place_of(order),
            seen_to: Some(message.entry.context.seen_to),
            accepted_at: Some(accepted_at),
            notice: false,
            mention: Mentions::of(message.text).include(&reader.label.name),
            reply_to,
            answers: reply_to.and_then(|id| self.quote(reader, &id, budget)),
            read_by: None,
        })
    }
}

/// One pass over a list.
struct Scan<'a> {
    shown: Shown<'a>,
    reader: &'a Account,
    question: &'a Question<'a>,
    text_bytes_left: usize,
    hidden_from: u64,
    budget: &'a mut Budget,
    page: Unconfirmed,
}

impl Scan<'_> {
    /// Returns whether it stopped before the end of what may be shown.
    fn list(&mut self, list: &Chunks<Listed>, holdings: &Holdings) -> bool {
        for listed in list.runs_after(self.page.scanned_to).flat_map(|(run, _)| run) {
            if listed.0 >= self.hidden_from {
                return false;
            }
            if !self.budget.lasts() {
                self.page.interrupted = true;
                return true;
            }
            self.budget.spend(STEPS_PER_MESSAGE);
            if !self.take(listed.0, holdings) {
                return true;
            }
            self.page.scanned_to = listed.0;
        }
        false
    }

    /// Takes a message into the page if it matches. `false`: it matches, and the page has no
    /// room for it.
    fn take(&mut self, order: u64, holdings: &Holdings) -> bool {
        let query = self.question.query;
        let (message, read) = match query.which {
            Which::Sent => (self.shown.message(order), true),
            Which::Unread | Which::All => {
                let message = self.shown.received(holdings, order);
                let id = message.as_ref().map(|it| it.entry.id);
                let read = id.is_some_and(|id| self.shown.is_marked(holdings, id, order));
                (message, read)
            }
        };
        let Some(message) = message else { return true };
        if (read && query.which == Which::Unread) || !self.matches(&message) {
            return true;
        }
        let fits = self.page.messages.is_empty() || message.text.len() <= self.text_bytes_left;
        if self.page.messages.len() >= self.question.limit || !fits {
            return false;
        }
        let told = self.shown.told((order, &message), self.reader, read, self.budget);
        // Nobody has it confirmed, so nobody has told that it is read.
        let read_by = (query.read_by && query.which == Which::Sent).then(|| Names::from_iter([]));
        if let Some(shown) = told.map(|told| client::Message { read_by, ..told }) {
            self.text_bytes_left = self.text_bytes_left.saturating_sub(message.text.len());
            self.page.messages.push((order, shown));
        }
        true
    }

    fn matches(&self, message: &Delivered<'_>) -> bool {
        let InboxQuery { from, since, mentions, .. } = self.question.query;
        let author = || self.shown.state.account_label(message.author.number);
        let is_from = |from: &String| {
            author().is_some_and(|author| author.name.as_str().eq_ignore_ascii_case(from))
        };
        from.as_ref().is_none_or(is_from)
            && since.is_none_or(|since| Timestamp::from(message.entry.accepted_at) >= since)
            && (!*mentions || Mentions::of(message.text).include(&self.reader.label.name))
    }
}
