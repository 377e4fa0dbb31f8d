//! What `cluster hand-over` prints.

use std::io::{self, Write};

use super::{Show, Style, sanitize};
use crate::recovery::HandedOver;

impl HandedOver {
    fn counts(&self) -> [(&'static str, u64); 5] {
        let brought = &self.brought;
        [
            ("accounts", brought.accounts_handed_over.len() as u64),
            ("messages", brought.messages_handed_over),
            ("not_delivered", brought.not_delivered),
            ("read", brought.read),
            ("deleted", brought.deleted),
        ]
    }

    fn sentence(&self) -> String {
        let [(_, accounts), (_, messages), (_, not_delivered), (_, read), (_, deleted)] =
            self.counts();
        let mut sentence = format!(
            "Handed over: {messages} messages and {accounts} accounts that only this machine knew; \
             {read} messages are read and {deleted} deleted as there."
        );
        if not_delivered > 0 {
            sentence += &format!(
                " {not_delivered} messages could not be delivered; whoever sent one and has an \
                 account here finds a notice in the inbox."
            );
        }
        sentence
    }
}

impl Show for HandedOver {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        for directory in &self.found.directories {
            for problem in &directory.problems {
                let dir = directory.dir.to_string_lossy();
                writeln!(out, "{}: {}", sanitize(&dir), sanitize(problem))?;
            }
        }
        writeln!(out, "{}", self.sentence())?;
        for clash in &self.brought.clashes {
            writeln!(out, "{} {}.", sanitize(clash.name.as_str()), sanitize(&clash.what))?;
        }
        Ok(())
    }

    /// A name and a count a line; then problems of directories, and clashes.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, count) in self.counts() {
            writeln!(out, "{name}\t{count}")?;
        }
        for directory in &self.found.directories {
            let dir = directory.dir.to_string_lossy();
            for problem in &directory.problems {
                writeln!(out, "problem\t{}\t{}", sanitize(&dir), sanitize(problem))?;
            }
        }
        for clash in &self.brought.clashes {
            let (name, what) = (sanitize(clash.name.as_str()), sanitize(&clash.what));
            writeln!(out, "clash\t{name}\t{what}")?;
        }
        Ok(())
    }

    fn outcome(&self) -> Option<String> {
        Some(self.sentence())
    }
}
