//! What the commands print that change which replicas a cluster has.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Show, Style, sanitize};
use crate::protocol::client::Member;
use crate::protocol::peer::MembersChanged;
use crate::types::ReplicaId;

/// How far a change has come.
#[derive(Debug, Serialize)]
pub struct ChangedMembers {
    id: ReplicaId,
    members: Vec<Member>,
    voters: u32,
    waits_for: Option<String>,
    dir: Option<PathBuf>,
}

impl ChangedMembers {
    /// Of a change as the leader tells it.
    pub fn new(changed: MembersChanged) -> ChangedMembers {
        let MembersChanged { replica, members, waits_for, voters, .. } = changed;
        ChangedMembers { id: replica, members, voters, waits_for, dir: None }
    }

    /// The same with a folder that was made for the new machine.
    pub fn with_folder(self, dir: &Path) -> ChangedMembers {
        ChangedMembers { dir: Some(dir.to_path_buf()), ..self }
    }

    fn address(&self) -> Option<String> {
        let member = self.members.iter().find(|member| member.id == self.id)?;
        Some(member.address.to_string())
    }

    fn even(&self) -> Option<String> {
        let voters = self.voters;
        (voters > 2 && voters.is_multiple_of(2)).then(|| {
            format!(
                "By majority {voters} replicas tolerate as many failures as {} do; one more would \
                 add one.",
                voters - 1
            )
        })
    }
}

impl Show for ChangedMembers {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let id = self.id;
        match self.address() {
            Some(address) => {
                writeln!(out, "Replica {id} belongs to the cluster, at {}.", sanitize(&address))?
            }
            None => writeln!(out, "Replica {id} is removed; its data stays where it is.")?,
        }
        if let Some(dir) = &self.dir {
            let dir = dir.to_string_lossy();
            let dir = sanitize(&dir);
            writeln!(
                out,
                "Copy what is in {dir} to its machine; README.txt there says how to start it."
            )?;
        }
        if let Some(waits_for) = &self.waits_for {
            writeln!(out, "Not done yet: {}.", sanitize(waits_for))?;
        }
        self.even().map_or(Ok(()), |even| writeln!(out, "{even}"))
    }

    /// id, address or `-`, voters, `done` or `waiting`.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = if self.waits_for.is_some() { "waiting" } else { "done" };
        let address = self.address().unwrap_or_else(|| "-".to_string());
        writeln!(out, "{}\t{address}\t{}\t{state}", self.id, self.voters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(voters: u32, waits_for: Option<&str>) -> (String, String, String) {
        let members = vec![Member { id: ReplicaId(4), address: "h:4".parse().expect("valid") }];
        let changed = MembersChanged {
            replica: ReplicaId(4),
            members,
            waits_for: waits_for.map(str::to_string),
            settled: false,
            voters,
        };
        let (mut terminal, mut plain) = (Vec::new(), Vec::new());
        let changed = ChangedMembers::new(changed);
        changed.terminal(&mut terminal, Style::default()).expect("a vector takes everything");
        changed.plain(&mut plain).expect("a vector takes everything");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (text(terminal), text(plain), serde_json::to_string(&changed).expect("plain data"))
    }

    #[test]
    fn what_is_done_and_what_is_not_is_said() {
        let (terminal, plain, json) = shown(4, None);
        assert!(terminal.contains("By majority 4 replicas tolerate as many failures as 3 do"));
        assert_eq!(plain, "4\th:4\t4\tdone\n");
        assert_eq!(
            json,
            r#"{"id":4,"members":[{"id":4,"address":"h:4"}],"voters":4,"waits_for":null,"dir":null}"#
        );
        let (terminal, plain, _) = shown(5, Some("replica 4 is catching up"));
        assert!(terminal.ends_with("Not done yet: replica 4 is catching up.\n"), "{terminal}");
        assert_eq!(plain, "4\th:4\t5\twaiting\n");
    }
}
