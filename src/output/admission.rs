//! What the commands about who may come in print.

use std::io::{self, Write};

use serde::Serialize;

use super::bounds::{bound, format_days};
use super::{Show, Style, Tone, local_time, sanitize};
use crate::protocol::administration::{
    AccountRow, AdministrativeAction, Invitation, Recorded, Registration,
};
use crate::types::{AccountName, Timestamp, format_size};

/// Of `cluster invite`. Whoever asked for the code is to see it.
#[derive(Serialize)]
pub struct Invited<'a> {
    /// The code, which nobody else knows.
    pub code: &'a str,
    /// The invitation's number.
    pub id: u64,
    /// How many accounts may be made with it.
    pub uses: u32,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

impl Show for Invited<'_> {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let Invited { code, id, uses, expires, .. } = self;
        let accounts = if *uses == 1 { "one account" } else { &format!("{uses} accounts") };
        writeln!(out, "{}", style.paint(Tone::Strong, code))?;
        writeln!(out, "Invitation {id}, for {accounts}, until {}.", local_time(*expires))
    }
    /// The code alone.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.code)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("invitation {} is made", self.id))
    }
}

/// Of `cluster invites revoke`.
#[derive(Debug, Serialize)]
pub struct Revoked {
    /// The invitation's number.
    pub id: u64,
}

impl Show for Revoked {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "Invitation {} is good for nobody any more.", self.id)
    }
    /// id.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.id)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("invitation {} is revoked", self.id))
    }
}

impl Show for Invitation {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let Invitation { id, uses, used, expires, ended, .. } = self;
        let line = format!("{id:>5}  {used} of {uses} used, good until {}", local_time(*expires));
        let tone = if *ended { Tone::Faint } else { Tone::Strong };
        let ended = if *ended { "  (ended)" } else { "" };
        writeln!(out, "{}", style.paint(tone, &format!("{line}{ended}")))
    }
    /// id, uses, used, expires, created, `good` or `ended`.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let Invitation { id, uses, used, expires, created, ended } = self;
        let ended = if *ended { "ended" } else { "good" };
        writeln!(out, "{id}\t{uses}\t{used}\t{expires}\t{created}\t{ended}")
    }
}

/// Of `cluster registration`.
#[derive(Debug, Serialize)]
pub struct RegistrationShown {
    /// Who may register.
    pub registration: Registration,
    /// Whether the command has set it.
    #[serde(skip)]
    pub is_set: bool,
}

impl Show for RegistrationShown {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let sentence = match self.registration {
            Registration::Open => "anybody may register",
            Registration::Invited => "whoever has the code of an invitation may register",
            Registration::Closed => "nobody may register",
        };
        writeln!(out, "{}: {sentence}.", self.registration.as_str())
    }
    /// The word alone.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.registration.as_str())
    }
    fn outcome(&self) -> Option<String> {
        self.is_set.then(|| format!("registration is {}", self.registration.as_str()))
    }
}

impl Show for AccountRow {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let AccountRow { name, messages, bytes, last_seen, disabled, reset } = self;
        let seen = last_seen.map_or_else(|| "not known".to_string(), local_time);
        let name = style.paint(Tone::Strong, &format!("{:<20}", name.as_str()));
        write!(out, "{name} {messages:>8} messages {:>10}, last seen {seen}", format_size(*bytes))?;
        for (is, what) in [(disabled, "disabled"), (reset, "reset")] {
            if *is {
                write!(out, ", {}", style.paint(Tone::Warning, what))?;
            }
        }
        writeln!(out)
    }
    /// name, messages, bytes, last_seen or nothing, `enabled` or `disabled`, `reset` or
    /// nothing.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let AccountRow { name, messages, bytes, last_seen, disabled, reset } = self;
        let seen = last_seen.map(|at| at.to_string()).unwrap_or_default();
        let disabled = if *disabled { "disabled" } else { "enabled" };
        let reset = if *reset { "reset" } else { "" };
        writeln!(out, "{name}\t{messages}\t{bytes}\t{seen}\t{disabled}\t{reset}")
    }
}

/// Of `cluster account reset`. Whoever asked for the code is to see it.
#[derive(Serialize)]
pub struct AccountReset<'a> {
    /// The code, which nobody else knows.
    pub code: &'a str,
    /// The account.
    pub name: AccountName,
}

impl Show for AccountReset<'_> {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Strong, self.code))
    }
    /// The code alone.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.code)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("the password of {} is taken away", self.name))
    }
}

/// Of `cluster account disable`, `enable` and `delete`.
#[derive(Debug, Serialize)]
pub struct AccountChanged {
    /// Its name.
    pub name: AccountName,
    /// What it is now: `disabled`, `enabled` or `deleted`.
    pub account: &'static str,
}

impl Show for AccountChanged {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "The account {} is {}.", self.name, self.account)
    }
    /// name, what it is now.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\t{}", self.name, self.account)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("the account {} is {}", self.name, self.account))
    }
}

impl Show for AdministrativeAction {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let by = sanitize(&self.by);
        let sentence = match &self.what {
            Recorded::SetRegistration { registration } => {
                format!("set registration to {}", registration.as_str())
            }
            Recorded::Invite { invitation, uses, expires } => format!(
                "made invitation {invitation} for {uses}, good until {}",
                local_time(*expires)
            ),
            Recorded::RevokeInvitation { invitation } => format!("revoked invitation {invitation}"),
            Recorded::ResetAccount { name, .. } => format!("reset the account {name}"),
            Recorded::DisableAccount { name } => format!("disabled the account {name}"),
            Recorded::EnableAccount { name } => format!("enabled the account {name}"),
            Recorded::DeleteAccount { name } => format!("deleted the account {name}"),
            Recorded::SetBounds { account_bytes, total_bytes, keep_messages_days } => {
                let kept = match keep_messages_days {
                    0 => String::new(),
                    days => format!(", and to keep messages for {}", format_days(*days)),
                };
                let (account, total) = (bound(*account_bytes), bound(*total_bytes));
                format!("set the bounds to {account} an account and {total} in all{kept}")
            }
        };
        let at = style.paint(Tone::Faint, &local_time(self.at));
        writeln!(out, "{at}  {by} {sentence}")
    }
    /// id, time, who, what, about what.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let (what, about) = match &self.what {
            Recorded::SetRegistration { registration } => {
                ("set_registration", registration.as_str().to_string())
            }
            Recorded::Invite { invitation, .. } => ("invite", invitation.to_string()),
            Recorded::RevokeInvitation { invitation } => {
                ("revoke_invitation", invitation.to_string())
            }
            Recorded::ResetAccount { name, .. } => ("reset_account", name.to_string()),
            Recorded::DisableAccount { name } => ("disable_account", name.to_string()),
            Recorded::EnableAccount { name } => ("enable_account", name.to_string()),
            Recorded::DeleteAccount { name } => ("delete_account", name.to_string()),
            Recorded::SetBounds { account_bytes, total_bytes, keep_messages_days } => {
                let kept = match keep_messages_days {
                    0 => String::new(),
                    days => format!(",keep_messages_days={days}"),
                };
                let bytes = format!("account_bytes={account_bytes},total_bytes={total_bytes}");
                ("set_bounds", bytes + &kept)
            }
        };
        writeln!(out, "{}\t{}\t{}\t{what}\t{about}", self.id, self.at, sanitize(&self.by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_stand_in_columns_however_long_their_names_are() {
        let row = |name: &str| {
            let name = AccountName::new(name).expect("a name");
            let row = AccountRow {
                name,
                messages: 5,
                bytes: 2048,
                last_seen: None,
                disabled: false,
                reset: false,
            };
            let mut shown = Vec::new();
            row.terminal(&mut shown, Style::default()).expect("a vector takes everything");
            String::from_utf8(shown).expect("text")
        };
        let place = |name: &str| row(name).find(" messages").expect("a column");
        assert_eq!(place("bob"), place("someone-long-name"), "{}", row("bob"));
    }
}
