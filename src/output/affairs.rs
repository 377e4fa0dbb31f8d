//! Results of the commands about one's own account.

use std::io::{self, Write};

use serde::Serialize;

use super::{Show, Style};
use crate::types::AccountName;

/// Of `passwd`.
#[derive(Debug, Serialize)]
pub struct PasswordChanged {
    /// The account's name.
    pub name: AccountName,
    /// Always true: for programs that read the results of several commands.
    pub changed: bool,
}

impl Show for PasswordChanged {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "Changed the password of {}. All its other sessions have ended.", self.name)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("the password of {} is changed", self.name))
    }
}
