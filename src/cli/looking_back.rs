//! Messages from the newest to the oldest, page by page: what `history` and `search` share.

use std::collections::BTreeSet;

use super::confirming::note_alone;
use super::context::unexpected;
use super::delete::{check_prefix, choose, decided};
use crate::client::Client;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::PAGE_MAX_MESSAGES;
use crate::output::Printer;
use crate::protocol::client::{Answer, Message, PastQuery, Request};
use crate::types::Uuid;

/// Pages that follow each other.
pub(super) struct LookingBack {
    client: Client,
    query: PastQuery,
    /// What was shown unconfirmed, and may be confirmed when the next page is made.
    unconfirmed: BTreeSet<Uuid>,
    told: bool,
    ended: bool,
}

impl LookingBack {
    pub(super) fn new(client: Client, query: PastQuery) -> LookingBack {
        let (unconfirmed, told, ended) = (BTreeSet::new(), false, false);
        LookingBack { client, query, unconfirmed, told, ended }
    }

    /// The next messages, at most `wanted`, the newest first; none where there are no more.
    ///
    /// # Errors
    /// The service's refusal, or no server answers.
    pub(super) async fn next(
        &mut self,
        wanted: u64,
        printer: &mut Printer,
    ) -> Result<Vec<Message>> {
        while !self.ended && wanted > 0 {
            self.query.limit = Some(wanted.min(PAGE_MAX_MESSAGES as u64));
            let request = Request::Past(self.query.clone());
            let Answer::Past { mut messages, more, scanned_to, alone } =
                self.client.request(request).await?
            else {
                return Err(unexpected("messages"));
            };
            if alone.is_some() && !std::mem::replace(&mut self.told, true) {
                note_alone(alone, "messages", &self.client, printer);
            }
            self.ended = !more;
            if scanned_to.is_some() {
                (self.query.before, self.query.before_id) = (scanned_to, None);
            }
            self.query.before_place = messages.iter().rev().find_map(|it| it.place);
            messages.retain(|it| !self.unconfirmed.contains(&it.id));
            self.unconfirmed.extend(messages.iter().filter(|it| !it.confirmed).map(|it| it.id));
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
        Ok(Vec::new())
    }
}

/// The id of a message of which a user gave all of it, or the beginning if it is in the inbox.
///
/// # Errors
/// [`ErrorCode::AmbiguousId`], [`ErrorCode::UnknownMessage`], and in its place
/// [`ErrorCode::NeedsMajority`] where a server answers that is alone.
pub(super) async fn whole_id(client: &mut Client, asked: &str) -> Result<Uuid> {
    if let Ok(id) = asked.parse() {
        return Ok(id);
    }
    let prefixes = vec![asked.to_string()];
    let Answer::Found { matches, alone } =
        client.request(Request::Find { prefixes: prefixes.clone() }).await?
    else {
        return Err(unexpected("ids of messages"));
    };
    let chosen = choose(&prefixes, &matches).map_err(|error| match error.code {
        ErrorCode::UnknownMessage => {
            let message = format!("{}; of one that you have sent give all digits", error.message);
            decided(Error { message, ..error }, alone.is_some())
        }
        _ => error,
    })?;
    chosen.first().copied().ok_or_else(|| unexpected("an id"))
}

/// Whether it is an id or the beginning of one.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] says why not.
pub(super) fn check_id(asked: &str) -> Result<()> {
    match asked.parse::<Uuid>() {
        Ok(_) => Ok(()),
        Err(_) => check_prefix(asked),
    }
}
