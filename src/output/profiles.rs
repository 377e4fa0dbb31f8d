//! Clusters that are kept by name.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::current::write_with_current;
use super::{Show, Style, sanitize};
use crate::types::{Address, Fingerprint, Servers};

/// A cluster that is kept.
#[derive(Clone, Debug, Serialize)]
pub struct ShownProfile {
    /// What it is called.
    pub name: String,
    /// The addresses that name it.
    pub servers: Vec<Address>,
    /// How to know it.
    pub fingerprint: Option<Fingerprint>,
    /// The word that names it to others.
    pub connect: String,
    /// Whether it is the current one.
    pub current: bool,
}

impl ShownProfile {
    /// Of this name and these servers.
    pub fn new(name: &str, servers: Servers, current: bool) -> ShownProfile {
        let (name, connect) = (name.to_string(), servers.word());
        let Servers { addresses, fingerprint } = servers;
        ShownProfile { name, servers: addresses, fingerprint, connect, current }
    }

    fn servers(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(Address::to_string).collect();
        sanitize(&servers.join(",")).into_owned()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.map(|it| it.to_string()).unwrap_or_default()
    }
}

impl Show for ShownProfile {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        ProfileTable(vec![self.clone()]).terminal(out, style)
    }

    /// Name, addresses with commas between, fingerprint, `current` or nothing.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let (name, servers, fingerprint) =
            (sanitize(&self.name), self.servers(), self.fingerprint());
        let current = if self.current { "current" } else { "" };
        writeln!(out, "{name}\t{servers}\t{fingerprint}\t{current}")
    }
}

/// All of them, for a terminal.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ProfileTable(pub Vec<ShownProfile>);

impl Show for ProfileTable {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "NAME", "SERVERS", "FINGERPRINT"]);
        for profile in &self.0 {
            let current = if profile.current { "*" } else { "" };
            // The beginning tells clusters apart; all of it is in the word.
            let fingerprint = match profile.fingerprint() {
                text if text.is_empty() => "-".to_string(),
                text => format!("{}…", text.chars().take(9).collect::<String>()),
            };
            let name = sanitize(&profile.name).into_owned();
            table.add_row([current.to_string(), name, profile.servers(), fingerprint]);
        }
        write_with_current(&table, out, style)
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.iter().try_for_each(|profile| profile.plain(out))
    }
}

/// A cluster that has become the current one.
#[derive(Debug, Serialize)]
pub struct Connected {
    /// Which.
    #[serde(flatten)]
    pub profile: ShownProfile,
    /// Whether it was asked, and kept.
    #[serde(skip)]
    pub kept: bool,
}

impl Show for Connected {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let (name, servers) = (sanitize(&self.profile.name), self.profile.servers());
        if self.kept {
            writeln!(out, "Connected to {servers}, which is kept as the profile {name}.")
        } else if self.profile.name == crate::config::NO_PROFILE {
            writeln!(out, "No profile is the current one. The servers are {servers}.")
        } else {
            writeln!(out, "The current profile is {name}. The servers are {servers}.")
        }
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.profile.plain(out)
    }

    fn outcome(&self) -> Option<String> {
        Some(format!("{} is the current profile", self.profile.name))
    }
}

/// A cluster that is kept no more.
#[derive(Debug, Serialize)]
pub struct ProfileRemoved {
    /// What it was called.
    pub name: String,
    /// Whether it was the current one, so that none is now.
    pub was_current: bool,
}

impl Show for ProfileRemoved {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let now = if self.was_current { ", and no profile is the current one now" } else { "" };
        writeln!(out, "Removed the profile {}{now}.", sanitize(&self.name))
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", sanitize(&self.name))
    }

    fn outcome(&self) -> Option<String> {
        Some(format!("the profile {} is removed", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, list: &str, key: Option<&[u8]>, current: bool) -> ShownProfile {
        let fingerprint = key.map(Fingerprint::of);
        let servers = Servers { fingerprint, ..list.parse().expect("a list") };
        ShownProfile::new(name, servers, current)
    }

    fn text(show: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_table_for_people_and_lines_for_scripts() {
        let (a, b) = (
            profile("a", "h:1,i:2", Some(b"key"), false),
            profile("longer", "127.0.0.1:8091", None, true),
        );
        let table = ProfileTable(vec![a.clone(), b.clone()]);
        assert_eq!(
            text(|out| table.terminal(out, Style::default())),
            "    NAME    SERVERS         FINGERPRINT\n    \
             a       h:1,i:2         FRYO-CK32…\n *  \
             longer  127.0.0.1:8091  -\n"
        );
        let fingerprint = Fingerprint::of(b"key");
        assert_eq!(text(|out| a.plain(out)), format!("a\th:1,i:2\t{fingerprint}\t\n"));
        assert_eq!(text(|out| b.plain(out)), "longer\t127.0.0.1:8091\t\tcurrent\n");
        assert_eq!(
            serde_json::to_value(&b).expect("plain data"),
            serde_json::json!({"name": "longer", "servers": ["127.0.0.1:8091"],
                "fingerprint": null, "connect": "ftchat://127.0.0.1:8091", "current": true})
        );
    }
}
