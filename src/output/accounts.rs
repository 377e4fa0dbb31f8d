//! Results of the users' commands, apart from messages.

use std::io::{self, Write};

use serde::Serialize;

use super::{Show, Style, local_time};
use crate::protocol::client::SessionInfo;
use crate::types::{AccountName, Timestamp, Uuid};

// Account names are ASCII letters, digits, '.', '_' and '-' by their type, so
// they need no sanitizing; see [`AccountName`].

/// Of `register` and `login`.
#[derive(Debug, Serialize)]
pub struct LoggedIn {
    /// The account's name.
    pub name: AccountName,
    /// The account.
    pub account: Uuid,
    /// When the session ends.
    pub expires: Timestamp,
    /// Whether the account is new.
    pub registered: bool,
}

impl Show for LoggedIn {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let outcome = if self.registered { "Registered and logged in" } else { "Logged in" };
        let (name, until) = (&self.name, local_time(self.expires));
        writeln!(out, "{outcome} as {name}. The session lasts until {until}.")
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn outcome(&self) -> Option<String> {
        let outcome = if self.registered { "registered and logged in" } else { "logged in" };
        Some(format!("{} is {outcome}", self.name))
    }
}

/// Of `logout` and `delete-account`.
#[derive(Debug, Serialize)]
pub struct LoggedOut {
    /// The account's name.
    pub name: AccountName,
    /// Whether the account itself is gone.
    pub deleted: bool,
    /// Whether a majority knows it.
    pub confirmed: bool,
}

impl Show for LoggedOut {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        match self.deleted {
            false => writeln!(out, "Logged out {}.", self.name),
            true => writeln!(out, "Deleted the account {} and its inbox.", self.name),
        }
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn outcome(&self) -> Option<String> {
        let outcome = if self.deleted { "deleted" } else { "logged out" };
        Some(format!("{} is {outcome}", self.name))
    }
}

/// Of `whoami`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Whoami(pub SessionInfo);

impl Show for Whoami {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.plain(out)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.0.name)
    }
}

/// One line of `accounts`.
#[derive(Debug, Serialize)]
pub struct AccountListed {
    /// The account's name.
    pub name: AccountName,
}

impl Show for AccountListed {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.plain(out)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

/// Of `delete`.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// How many messages were removed.
    pub deleted: u64,
    /// Their ids.
    pub ids: Vec<Uuid>,
    /// Whether a majority knows it.
    pub confirmed: bool,
}

impl Show for Deleted {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        match self.deleted {
            1 => writeln!(out, "Deleted 1 message."),
            count => writeln!(out, "Deleted {count} messages."),
        }
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.ids.iter().try_for_each(|id| writeln!(out, "{id}"))
    }
    fn outcome(&self) -> Option<String> {
        let messages = if self.deleted == 1 { "message is" } else { "messages are" };
        Some(format!("{} {messages} deleted", self.deleted))
    }
}
