//! Who has to confirm what a command asks for.
//!
//! Where only a minority of the servers is left, one of them may go on alone: it takes what
//! is asked and has it confirmed later. Commands of people take that; `--confirm majority`
//! does not. What needs the word of a majority in any case, as a new account does, has no
//! such flag.

use clap::ValueEnum;

use crate::config::{Settings, keys};
use crate::error::Result;
use crate::protocol::client::Confirm;

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
