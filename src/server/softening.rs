//! What becomes of refusals at a server that is alone.

use super::connection::Connection;
use crate::error::{Error, ErrorCode};
use crate::planted::{self, Bug};
use crate::protocol::client::Mode;

impl Connection {
    /// A refusal of a server that is alone decides nothing: what it does not know, a majority
    /// may. Who has never said that a server will do which is alone may be an older program: it
    /// knows no code for that, and would take it for final.
    pub(super) fn soften(&self, error: Error) -> Error {
        let error = self.decide_nothing(error);
        match error.code {
            ErrorCode::NeedsMajority | ErrorCode::Behind if !self.knows_alone => {
                Error { code: ErrorCode::Unavailable, ..error }
            }
            _ => error,
        }
    }

    fn decide_nothing(&self, error: Error) -> Error {
        use ErrorCode::{
            IdConflict, IdForgotten, InboxFull, LoginRefused, SessionExpired, StorageFull,
            UnknownAccount, UnknownMessage,
        };
        let may_be_wrong = matches!(
            error.code,
            IdConflict
                | IdForgotten
                | InboxFull
                | LoginRefused
                | SessionExpired
                | StorageFull
                | UnknownAccount
                | UnknownMessage
        );
        let decides = planted::is(Bug::DecideAlone);
        if !may_be_wrong || decides || self.shared.backend.mode().0 != Mode::Alone {
            return error;
        }
        let message = format!(
            "server {} is alone, and only a majority can tell whether this holds: {}",
            self.shared.backend.id(),
            error.message
        );
        Error::new(ErrorCode::NeedsMajority, message)
    }
}
