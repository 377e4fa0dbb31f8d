//! Everything that reaches a user or a pipe: commands never print by themselves.
//!
//! A result is a value that implements [`Show`]; [`Printer`] decides once, from
//! the settings and from where standard output leads, whether it becomes a line
//! of JSON, a layout for a terminal, or plain tab-separated text. Results go to
//! standard output and nothing else does; notices, progress and errors go to
//! standard error.
//!
//! # What it promises
//! - Text from other users never reaches a terminal raw: everything passes
//!   [`sanitize()`], in results, notices and errors alike. JSON keeps the text
//!   intact, by the escaping that JSON has itself.
//! - Off a terminal there is no colour, no table, no progress bar.
//! - One message is one line of plain output, whatever is in it.
//!
//! # How it fails
//! A command goes on with what it was asked for when its output cannot be written. Only
//! one that works for its output alone asks [`Printer::flush`] on the way, and ends. At
//! the end the loss is an error, unless the reader has gone ([`Printer::pipe_closed`]):
//! then the command ends as it would have.

mod accounts;
mod admission;
mod affairs;
mod backup;
mod bench;
mod bounds;
pub mod cluster;
mod current;
pub mod drill;
pub mod handed_over;
mod inbox;
mod joiners;
pub mod log;
pub mod membership;
mod printer;
mod profiles;
mod progress;
pub mod recovery;
pub mod rekey;
mod sanitize;
mod sent;
mod server_sentence;
pub mod status;
mod wrap;

pub use accounts::{AccountListed, Deleted, LoggedIn, LoggedOut, Whoami};
pub use admission::{AccountChanged, AccountReset, Invited, RegistrationShown, Revoked};
pub use affairs::{
    BlockChanged, PasswordChanged, SessionShown, SessionTable, SessionsEnded, SettingShown,
};
pub use bench::Measured;
pub use bounds::BoundsShown;
pub use inbox::{Days, Listed, UnreadListed, is_alone_since, local_minute, local_time, sender};
#[cfg(test)]
pub(crate) use printer::tests::{Buffer, Closed, Full};
pub use printer::{Printer, Reader, Show, Streams};
pub use profiles::{Connected, ProfileRemoved, ProfileTable, ShownProfile};
pub use progress::Progress;
pub use sanitize::{sanitize, sanitize_bytes};
pub use sent::{SentLine, SentShown, accepted_alone};
pub use server_sentence::server_sentence;

/// How to paint on a terminal; paints nothing where colour is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether to write escape sequences at all.
    pub color: bool,
    /// Columns of the terminal, where they are known.
    pub columns: Option<usize>,
}

/// What a piece of text is, from which follows how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// What the eye looks for first.
    Strong,
    /// What it may pass over.
    Faint,
    /// All is well.
    Good,
    /// Something to look at.
    Warning,
    /// Something is broken.
    Bad,
}

impl Style {
    /// The text in its tone. The text is printed as it is: sanitize it before.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_string();
        }
        // Select Graphic Rendition, ECMA-48 section 8.3.117.
        let code = match tone {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
