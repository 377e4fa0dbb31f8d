//! Messages that were accepted without a majority and go to nobody: why, and who is told.
//!
//! The author is told by a *notice*, a message with the mark of one ([`State::settle`]).
//! What it says is a part of the state, in the words of [`Reason::to_author`]. Changing them
//! is a change of what an entry means, and takes a feature level.
//!
//! Whoever was shown the message before a majority had it is told as well, if their
//! connection is there ([`Effects::withdrawn`]). Those words are in no state, and say nothing
//! of the author's sessions and rights, which are nobody else's business.
//!
//! [`State::settle`]: super::State::settle
//! [`Effects::withdrawn`]: super::Effects::withdrawn

use super::delivery::Party;
use super::hash::{Encoder, Kind};
use super::remembered::Fate;
use crate::types::Uuid;

/// Names that a notice lists.
const NAMES_LISTED: usize = 3;

/// Why a message goes to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Another try of it was refused.
    Refused,
    /// Its id means something else, or somebody else got it.
    Otherwise,
    /// It may have been delivered to an account that is gone.
    Unclear,
    /// It cannot be told any more whether another try was delivered.
    Forgotten,
    /// The author's account is disabled.
    Disabled,
    /// A majority has ended the session that it was sent with.
    Ended,
    /// The author's account is gone. Nobody is there to be told.
    AuthorGone,
    /// No message can be like it.
    Impossible,
}

impl Reason {
    /// What the author is told.
    pub(super) fn to_author(self) -> &'static str {
        match self {
            Reason::Refused => "was not delivered: another try of it was refused before",
            Reason::Otherwise => {
                "was not delivered: its id means another message, or it went to another owner of \
                 a name"
            }
            Reason::Unclear => "may not have reached everybody: an account that it was for is gone",
            Reason::Forgotten => {
                "may not be delivered: whether another try of it was, too long ago, cannot be \
                 told any more. Ask, and send it again if need be"
            }
            Reason::Disabled => "was not delivered: the account was disabled meanwhile",
            Reason::Ended => "was not delivered: the session that sent it was ended meanwhile",
            Reason::AuthorGone => "was not delivered: the account is gone",
            Reason::Impossible => "was not delivered: no message can be like this",
        }
    }

    /// What those are told who were shown it.
    pub(super) fn to_recipients(self) -> &'static str {
        match self {
            Reason::Refused => "another try of it was refused before",
            Reason::Otherwise => {
                "its id means another message, or it went to another owner of a name"
            }
            Reason::Unclear => "an account that it was for is gone",
            Reason::Forgotten => {
                "whether another try of it was delivered, too long ago, cannot be told any more"
            }
            Reason::Disabled | Reason::Ended => "its author may not send it any more",
            Reason::AuthorGone => "its author has no account any more",
            Reason::Impossible => "no message can be like this",
        }
    }

    /// What is remembered of its id.
    pub(super) fn fate(self) -> Fate {
        match self {
            Reason::Otherwise | Reason::Unclear | Reason::Forgotten => Fate::Unclear,
            Reason::Refused
            | Reason::Disabled
            | Reason::Ended
            | Reason::AuthorGone
            | Reason::Impossible => Fate::Refused,
        }
    }
}

/// The id of the notice about a message. Nobody else can make it, as it takes the identity
/// of the author's account.
pub(super) fn notice_id(author: &Uuid, message: &Uuid) -> Uuid {
    let encoder = Encoder::new(Kind::Notice).fixed(author.as_bytes());
    let digest = encoder.fixed(message.as_bytes()).finish();
    uuid::Builder::from_custom_bytes(digest.to_be_bytes()).into_uuid()
}

/// The first few names.
pub(super) fn listed(parties: &[&Party]) -> String {
    let mut names: Vec<String> =
        parties.iter().take(NAMES_LISTED).map(|party| party.name.to_string()).collect();
    if parties.len() > NAMES_LISTED {
        names.push(format!("{} more", parties.len() - NAMES_LISTED));
    }
    names.join(", ")
}
