//! What is looked for when an account looks back, and a part of what is found.

use super::budget::Budget;
use super::words::Words;
use crate::protocol::client;
use crate::types::{Timestamp, Uuid};

/// Recipients among whom one is looked for in a step.
pub(super) const RECIPIENTS_PER_STEP: usize = 64;

/// Which messages are looked for.
pub struct Past<'a> {
    /// Who looks.
    pub account: Uuid,
    /// Only the conversation with this account.
    pub with: Option<Uuid>,
    /// Only those that have all of these words.
    pub words: &'a mut Words,
    /// Only from this account name, as it was when the message was sent.
    pub from: Option<&'a str>,
    /// Only those sent at or after this instant.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// At most so many bytes of texts, unless the first alone is longer.
    pub max_text_bytes: usize,
}

/// A part of what is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastPage {
    /// The newest first; of unconfirmed ones each with its number in the overlay, else with
    /// its place.
    pub messages: Vec<(u64, client::Message)>,
    /// Whether there is more before [`PastPage::scanned_to`]; only perhaps if it is
    /// [`PastPage::interrupted`].
    pub more: bool,
    /// Whether it ends here because the look did, and not because it is full or nothing is
    /// left.
    pub interrupted: bool,
    /// Everything from here on was looked at.
    pub scanned_to: u64,
    /// What the texts take.
    text_bytes: usize,
}

impl Past<'_> {
    /// Whether a message from an account whose name was `author`, sent at an instant, with a
    /// text, is one of those. `notice`: the cluster itself says it.
    pub(super) fn matches(
        &mut self,
        (author, at, text): (&str, Timestamp, &str),
        notice: bool,
        budget: &mut Budget,
    ) -> bool {
        let from = self.from.is_none_or(|from| author.eq_ignore_ascii_case(from) && !notice);
        if !from || self.since.is_some_and(|since| at < since) {
            return false;
        }
        let (found, steps) = self.words.are_in(text);
        budget.spend(steps);
        found
    }
}

impl PastPage {
    pub(super) fn from(before: u64) -> PastPage {
        PastPage { scanned_to: before, ..PastPage::default() }
    }

    /// Whether a text has room.
    pub(super) fn has_room(&self, past: &Past<'_>, text: &str) -> bool {
        let fits = self.messages.is_empty() || self.text_bytes + text.len() <= past.max_text_bytes;
        self.messages.len() < past.limit && fits
    }

    /// Adds one that has room.
    pub(super) fn push(&mut self, number: u64, message: client::Message) {
        self.text_bytes += message.text.len();
        self.messages.push((number, message));
    }

    /// It ends here, and there is more.
    pub(super) fn cut(mut self, interrupted: bool) -> PastPage {
        (self.interrupted, self.more) = (interrupted, true);
        self
    }
}
