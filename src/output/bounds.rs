//! What `cluster limits` prints.

use std::io::{self, Write};

use serde::Serialize;

use super::{Show, Style, Tone};
use crate::types::format_size;

/// Of `cluster limits` and `cluster limits set`.
#[derive(Debug, Serialize)]
pub struct BoundsShown {
    /// What the inbox of an account may hold, in bytes; `None`: as much as there is.
    pub account_bytes: Option<u64>,
    /// What all accounts together may hold, in bytes; `None`: as much as there is.
    pub total_bytes: Option<u64>,
    /// What is stored in all, in bytes.
    pub stored_bytes: u64,
    /// Whether configurations have proposed the first, and no administrator has set it.
    pub account_proposed: bool,
    /// Whether configurations have proposed the second, and no administrator has set it.
    pub total_proposed: bool,
    /// For how many days messages are kept; `None`: for ever.
    pub keep_messages_days: Option<u32>,
    /// Whether the command has set any.
    #[serde(skip)]
    pub is_set: bool,
}

impl Show for BoundsShown {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let BoundsShown { account_bytes, total_bytes, stored_bytes, .. } = self;
        let account = bound(account_bytes.unwrap_or_default());
        let by = |is_proposed| if is_proposed { "  proposed by the servers" } else { "" };
        let (account_by, total_by) = (by(self.account_proposed), by(self.total_proposed));
        writeln!(out, "account_bytes  {}{account_by}", style.paint(Tone::Strong, &account))?;
        let total = bound(total_bytes.unwrap_or_default());
        writeln!(out, "total_bytes    {}{total_by}", style.paint(Tone::Strong, &total))?;
        writeln!(out, "stored_bytes   {}", format_size(*stored_bytes))?;
        let kept = self.keep_messages_days.map_or("for ever".to_string(), format_days);
        writeln!(out, "messages kept  {}", style.paint(Tone::Strong, &kept))
    }
    /// account_bytes, total_bytes (each a number, or `none`), stored_bytes, of each of the
    /// first two `proposed` or `set`, and keep_messages_days (a number, or `none`).
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let number = |bytes: Option<u64>| bytes.map_or("none".to_string(), |it| it.to_string());
        let (account, total) = (number(self.account_bytes), number(self.total_bytes));
        let by = |is_proposed| if is_proposed { "proposed" } else { "set" };
        let (account_by, total_by) = (by(self.account_proposed), by(self.total_proposed));
        let kept = number(self.keep_messages_days.map(u64::from));
        let stored = self.stored_bytes;
        writeln!(out, "{account}\t{total}\t{stored}\t{account_by}\t{total_by}\t{kept}")
    }
    fn outcome(&self) -> Option<String> {
        self.is_set.then(|| "the bounds are set".to_string())
    }
}

/// A number of days as people read it.
pub(super) fn format_days(days: u32) -> String {
    if days == 1 { "1 day".to_string() } else { format!("{days} days") }
}

/// A bound as people read it; 0 is none.
pub(super) fn bound(bytes: u64) -> String {
    if bytes == 0 { "none".to_string() } else { format_size(bytes) }
}
