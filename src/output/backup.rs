//! What `backup` and `restore` print.

use std::io::{self, Write};
use std::path::Path;

use super::{Show, Style, sanitize};
use crate::backup::{Abandoned, Restored, Taken};

fn name(path: &Path) -> String {
    sanitize(&path.display().to_string()).into_owned()
}

impl Show for Taken {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let Taken { head, bytes, .. } = self;
        let file = self.file.as_deref().map(name).unwrap_or_default();
        writeln!(
            out,
            "{file} has {} accounts and {} messages, {bytes} bytes, as of log entry {}.",
            head.accounts, head.messages, head.index
        )
    }

    /// file, accounts, messages, index, bytes.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let Taken { head, bytes, .. } = self;
        let file = self.file.as_deref().map(name).unwrap_or_default();
        writeln!(out, "{file}\t{}\t{}\t{}\t{bytes}", head.accounts, head.messages, head.index)
    }

    fn outcome(&self) -> Option<String> {
        Some(format!("the backup {} is whole", self.file.as_deref().map(name)?))
    }
}

impl Show for Restored {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let (accounts, messages) = (self.head.accounts, self.head.messages);
        let file = match self.file.as_os_str() == "-" {
            true => "The backup".to_string(),
            false => name(&self.file),
        };
        let taken = format!("{file} (taken {})", super::local_time(self.head.at));
        match self.restored_into {
            None => writeln!(out, "{taken} is whole: {accounts} accounts, {messages} messages."),
            Some(_) if self.already => writeln!(out, "{taken} was restored already."),
            Some(_) => writeln!(
                out,
                "{accounts} accounts and {messages} messages are restored from {taken}. People log \
                 in again."
            ),
        }
    }

    /// file, accounts, messages, index, bytes, `verified`, `restored` or `already`.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let Restored { head, bytes, .. } = self;
        let what = match self.restored_into {
            None => "verified",
            Some(_) if self.already => "already",
            Some(_) => "restored",
        };
        let file = name(&self.file);
        let (accounts, messages, index) = (head.accounts, head.messages, head.index);
        writeln!(out, "{file}\t{accounts}\t{messages}\t{index}\t{bytes}\t{what}")
    }

    fn outcome(&self) -> Option<String> {
        let outcome = if self.restored_into.is_some() { "restored" } else { "verified" };
        Some(format!("{} is {outcome}", name(&self.file)))
    }
}

impl Show for Abandoned {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "No backup is being restored any more; the cluster is empty.")
    }

    /// cluster, `abandoned`.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\tabandoned", self.cluster)
    }

    fn outcome(&self) -> Option<String> {
        Some("no backup is being restored any more".to_string())
    }
}
