//! One message after the other, each of them a request of its own.
//!
//! What a majority confirms is in order by itself. But a message that a server without a
//! majority took comes into the log later than one that a majority takes meanwhile. So
//! whoever sends the next one names the place of the one before, and no server takes it
//! that does not know what stands there: the server that took that one takes this as well,
//! or the majority has both. It also names the message itself: a majority may have that without
//! the list, from the log of a server that was not alone yet when it was asked for it. Then
//! nothing is waited for.
//!
//! # How it fails
//! The server with the one before may be gone for long, and with it the order. A majority
//! cannot tell whether it comes back: its list is on no other disk. One message
//! that waits for ever would be worse than two that change places. So after [`PATIENCE`]
//! the message is sent without the place, and its sender is told. Whether a server has taken it
//! by then may be unknown, and stays so until one says what became of it.

use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use crate::error::{Error, ErrorCode, Result};
use crate::planted::{self, Bug};
use crate::protocol::client::{After, Answer, Request, Sent};

/// How long a message waits for the one before it, at most; and no longer than half the time
/// that its sender has. A server that is alone comes back a second after its majority did.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a message waits for the one before it, of a sender who has that much time.
pub fn patience(timeout: Duration) -> Duration {
    PATIENCE.min(timeout / 2)
}

/// What became of a message that is sent behind another.
#[derive(Debug)]
pub struct SentBehind {
    /// What the server said of it, or why it was not taken.
    pub sent: Result<Sent>,
    /// Whether it did not wait any longer for the one before it.
    pub overtakes: bool,
}

impl Client {
    /// Sends a message, a [`Request::Send`], behind the sender's last one, `before`, if no
    /// majority has confirmed that. The errors are those of [`Client::request`].
    pub async fn send_behind(&mut self, before: Option<After>, message: Request) -> SentBehind {
        let before = before.filter(|_| !planted::is(Bug::ForgetTheMessageBefore));
        let Some(before) = before else {
            let sent = self.request(message).await.and_then(accepted);
            return SentBehind { sent, overtakes: false };
        };
        let (begun, behind) = (Instant::now(), message.clone().behind(before));
        let ended = self.request_within(patience(self.timeout()), behind, false).await;
        let doubt = match &ended {
            Err(error) if error.code == ErrorCode::OutcomeUnknown => true,
            Err(error) if error.code == ErrorCode::Unavailable => false,
            _ => return SentBehind { sent: ended.and_then(accepted), overtakes: false },
        };
        // A server may have taken it in its place without our knowing: it is taken once.
        let left = self.timeout().saturating_sub(begun.elapsed());
        let ended = self.request_within(left, message.repeated(), doubt).await;
        SentBehind { sent: ended.and_then(accepted), overtakes: true }
    }
}

fn accepted(answer: Answer) -> Result<Sent> {
    match answer {
        Answer::Sent(sent) => Ok(sent),
        other => Err(Error::internal(format!("a message was sent and {other:?} answered"))),
    }
}
