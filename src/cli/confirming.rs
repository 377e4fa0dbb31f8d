//! Who has to confirm what a command asks for.
//!
//! Where only a minority of the servers is left, one of them may go on alone: it takes what
//! is asked and has it confirmed later. Commands of people take that; `--confirm majority`
//! does not. What needs the word of a majority in any case, as a new account does, has no
//! such flag.

use clap::ValueEnum;

use crate::client::Client;
use crate::config::{Settings, keys};
use crate::error::Result;
use crate::output::{Printer, is_alone_since};
use crate::protocol::client::{Alone, Confirm};

/// The flag of commands other than `send`.
#[derive(Debug, clap::Args)]
pub struct ConfirmArgs {
    /// Who has to vouch for the answer: a majority of the servers, or, where none is there,
    /// any server that answers
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Who::Any)]
    #[arg(hide_possible_values = true)]
    confirm: Who,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Who {
    Any,
    Majority,
}

impl ConfirmArgs {
    /// Who it is.
    pub fn confirm(&self) -> Confirm {
        match self.confirm {
            Who::Any => Confirm::Any,
            Who::Majority => Confirm::Majority,
        }
    }
}

/// The flag of `send`, which can also be set.
#[derive(Debug, clap::Args)]
pub struct SendConfirmArgs {
    #[arg(long, value_name = "WHO", help = keys::help("send.confirm"))]
    #[arg(value_parser = ["any", "majority"], hide_possible_values = true)]
    confirm: Option<String>,
}

impl SendConfirmArgs {
    /// Who it is.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::error::ErrorCode::InvalidConfig) for what is not allowed.
    pub fn confirm(&self, settings: &Settings) -> Result<Confirm> {
        settings.confirm_of_send(self.confirm.as_deref())
    }
}

/// Tells that an answer is that of a server without a majority, so that others may know of
/// more; `what` is what there may be more of.
pub(super) fn note_alone(alone: Option<Alone>, what: &str, client: &Client, printer: &mut Printer) {
    if let (Some(Alone { since }), Some((server, _))) = (alone, client.server()) {
        let who = is_alone_since(server, since, Some(client.host().clock.now()));
        printer.notice(&format!("{who}: there may be {what} that it does not know"));
    }
}

/// Tells who has made a change that no majority knows of yet.
pub(super) fn note_unconfirmed(
    confirmed: bool,
    done: &str,
    client: &Client,
    printer: &mut Printer,
) {
    if let (false, Some((server, _))) = (confirmed, client.server()) {
        let until = "the other servers know it when they are back";
        printer.notice(&format!("{done} at server {server} alone; {until}"));
    }
}
