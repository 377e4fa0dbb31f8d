//! What the commands for a local cluster print.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::{Show, Style, Tone, local_time, sanitize};
use crate::cluster::hosts::Prepared;
use crate::cluster::{ClusterEvent, Ended, Started, Stopped, Transferred};
use crate::config::CommandLines;
use crate::types::{Address, Fingerprint, ReplicaId};

impl Show for Started {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let verb = if self.already_running { "runs already" } else { "runs" };
        let caught_up = if self.caught_up { "has caught up" } else { "is catching up" };
        let pid = self.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        writeln!(out, "Replica {} {verb}{pid} and {caught_up}.", self.id)
    }

    /// id, pid, `started` or `running`, `caught_up` or `behind`.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let started = if self.already_running { "running" } else { "started" };
        let caught_up = if self.caught_up { "caught_up" } else { "behind" };
        writeln!(out, "{}\t{}\t{started}\t{caught_up}", self.id, number(self.pid))
    }
}

impl Show for Stopped {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let id = self.id;
        match (self.ended, self.adopted_by_pid) {
            (Ended::Stopped, _) => writeln!(out, "Replica {id} has stopped."),
            (Ended::Killed, _) => writeln!(out, "Replica {id} was killed."),
            (Ended::NotRunning, Some(pid)) => writeln!(
                out,
                "Replica {id} has no server of its own; the server with pid {pid} runs it and \
                 goes on."
            ),
            (Ended::NotRunning, None) => writeln!(out, "Replica {id} was not running."),
        }
    }

    /// id, pid, `stopped`, `killed` or `not_running`.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let ended = match self.ended {
            Ended::Stopped => "stopped",
            Ended::Killed => "killed",
            Ended::NotRunning => "not_running",
        };
        writeln!(out, "{}\t{}\t{ended}", self.id, number(self.pid))
    }
}

impl Show for Transferred {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let Transferred { leader, previous, term } = self;
        match leader == previous {
            true => writeln!(out, "Replica {leader} leads already, in term {term}."),
            false => writeln!(
                out,
                "Replica {leader} leads now, in term {term}; before it was {previous}."
            ),
        }
    }

    /// leader, leader before, term.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\t{}\t{}", self.leader, self.previous, self.term)
    }
}

/// What became of stopping a cluster.
#[derive(Debug, Serialize)]
pub struct Downed {
    /// Every replica whose server was to stop.
    pub replicas: Vec<Stopped>,
    /// Whether the cluster was removed, its folder included.
    pub purged: bool,
    /// The folder, when it was to be removed.
    pub dir: Option<PathBuf>,
}

impl Show for Downed {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        self.replicas.iter().try_for_each(|stopped| stopped.terminal(out, style))?;
        let Some(dir) = self.dir.as_ref().map(|dir| dir.display().to_string()) else {
            return Ok(());
        };
        let dir = sanitize(&dir);
        if self.purged {
            writeln!(out, "The cluster in {dir} is removed.")
        } else {
            writeln!(out, "The cluster is removed; {dir} holds other files and was left.")
        }
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.replicas.iter().try_for_each(|stopped| stopped.plain(out))
    }
}

/// Servers restarted one after the other.
#[derive(Debug, Serialize)]
pub struct Restarted {
    /// In the order of restarting.
    pub replicas: Vec<Started>,
}

impl Show for Restarted {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        self.replicas.iter().try_for_each(|started| started.terminal(out, style))
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.replicas.iter().try_for_each(|started| started.plain(out))
    }
}

impl Show for ClusterEvent {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let at = style.paint(Tone::Faint, &local_time(self.at));
        writeln!(out, "{at}  {}", sanitize(&self.text))
    }

    /// When, kind, replica, text.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let replica = number(self.replica);
        writeln!(out, "{}\t{}\t{replica}\t{}", self.at, self.event, sanitize(&self.text))
    }
}

/// A line of a server's log.
#[derive(Debug, Serialize)]
pub struct LogLine<'a> {
    /// Whose.
    pub replica: ReplicaId,
    /// Without its end.
    pub line: &'a str,
    /// Whether lines of other replicas come too.
    #[serde(skip)]
    pub among_others: bool,
}

impl Show for LogLine<'_> {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        if self.among_others {
            let name = style.paint(Tone::Faint, &format!("replica-{} |", self.replica));
            return writeln!(out, "{name} {}", sanitize(self.line));
        }
        writeln!(out, "{}", sanitize(self.line))
    }

    /// Into a pipe the line goes as it is: a log is for tools, too.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.among_others {
            write!(out, "{}\t", self.replica)?;
        }
        writeln!(out, "{}", self.line)
    }
}

/// The variables that point the program at a cluster.
#[derive(Debug, Serialize)]
pub struct Environment {
    /// Its servers, with commas between.
    #[serde(rename = "FTCHAT_SERVERS")]
    servers: String,
}

impl Environment {
    /// For servers at these addresses.
    pub fn of(addresses: &[Address]) -> Environment {
        let addresses: Vec<String> = addresses.iter().map(Address::to_string).collect();
        Environment { servers: addresses.join(",") }
    }

    /// One command for a POSIX shell. Between single quotes nothing but a
    /// single quote is special.
    fn shell(&self) -> String {
        format!("export FTCHAT_SERVERS='{}'", self.servers.replace('\'', r"'\''"))
    }
}

impl Show for Environment {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", sanitize(&self.shell()))
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.shell())
    }
}

/// The fingerprint of a cluster.
#[derive(Debug, Serialize)]
pub struct ShownFingerprint {
    /// As people read it to each other.
    pub fingerprint: Fingerprint,
}

impl Show for ShownFingerprint {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.plain(out)
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.fingerprint)
    }
}

/// The word by which a cluster is reached, and no other.
#[derive(Debug, Serialize)]
pub struct Word {
    /// `ftchat://HOST:PORT,…#FINGERPRINT`.
    pub connect: String,
    /// The fingerprint in it.
    pub fingerprint: Fingerprint,
}

impl Show for Word {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", sanitize(&self.connect))
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.connect)
    }
}

/// What was made for the machines of a new cluster.
#[derive(Debug, Serialize)]
pub struct NewHosts {
    name: String,
    fingerprint: Fingerprint,
    connect: String,
    hosts: Vec<NewHost>,
}

#[derive(Debug, Serialize)]
struct NewHost {
    id: ReplicaId,
    host: String,
    dir: PathBuf,
}

impl NewHosts {
    /// Of a cluster that people call so.
    pub fn new(name: &str, prepared: Prepared) -> NewHosts {
        let Prepared { fingerprint, connect, hosts } = prepared;
        let host = |(id, address, dir): (ReplicaId, Address, PathBuf)| NewHost {
            id,
            host: address.host().to_string(),
            dir,
        };
        let hosts = hosts.into_iter().map(host).collect();
        NewHosts { name: name.to_string(), fingerprint, connect, hosts }
    }

    /// How many machines may be lost.
    fn tolerates(&self) -> usize {
        (self.hosts.len() - 1) / 2
    }
}

impl Show for NewHosts {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "Folders for the cluster {}:", sanitize(&self.name))?;
        for NewHost { id, host, dir } in &self.hosts {
            writeln!(out, "  {id}  {}  {}", sanitize(host), sanitize(&dir.to_string_lossy()))?;
        }
        let (connect, tolerates) = (sanitize(&self.connect), self.tolerates());
        let machines = if tolerates == 1 { "machine" } else { "machines" };
        writeln!(out, "Once they run, {tolerates} {machines} may be lost. People need this word:")?;
        writeln!(out, "  {connect}")?;
        writeln!(out, "README.txt beside them says what to do now.")
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for NewHost { id, host, dir } in &self.hosts {
            writeln!(out, "{id}\t{host}\t{}", dir.display())?;
        }
        writeln!(out, "fingerprint\t{}", self.fingerprint)?;
        writeln!(out, "connect\t{}", self.connect)
    }
}

/// What to try next with a cluster that was just started. `reached`: the next
/// command talks to its servers without being told.
pub fn next_steps(addresses: &[Address], reached: bool, cluster: &CommandLines) -> Vec<String> {
    let mut lines = Vec::new();
    if !reached {
        lines.push(format!("  eval \"$({})\"", cluster.line("cluster env", &[])));
    }
    let servers = CommandLines::default();
    lines.push(format!("  {}", servers.line("register", &["alice"])));
    lines.push(format!("  {}", servers.line("send", &["alice", "hello, future me"])));
    lines.push(format!("  {}", servers.line("inbox", &[])));
    if addresses.len() > 1 {
        let kill = cluster.line("cluster kill", &["1"]);
        lines.push(format!("  {kill}    # nobody will notice"));
    }
    lines.push(format!("  {}", cluster.line("cluster down", &[])));
    lines
}

fn number(value: Option<impl ToString>) -> String {
    value.map_or("-".to_string(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(show: &impl Show) -> (String, String, String) {
        let (mut terminal, mut plain) = (Vec::new(), Vec::new());
        show.terminal(&mut terminal, Style::default()).expect("a vector takes everything");
        show.plain(&mut plain).expect("a vector takes everything");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let json = serde_json::to_string(show).expect("plain data");
        (text(terminal), text(plain), json)
    }

    #[test]
    fn stopping_says_what_happened_in_every_form() {
        let stopped =
            |ended, pid, adopted_by_pid| Stopped { id: ReplicaId(2), pid, ended, adopted_by_pid };
        let (terminal, plain, json) = both(&stopped(Ended::Stopped, Some(7), None));
        assert_eq!(
            (terminal.as_str(), plain.as_str()),
            ("Replica 2 has stopped.\n", "2\t7\tstopped\n")
        );
        assert_eq!(json, r#"{"id":2,"pid":7,"ended":"stopped","adopted_by_pid":null}"#);
        let (terminal, plain, _) = both(&stopped(Ended::NotRunning, None, Some(9)));
        assert!(terminal.contains("pid 9 runs it and goes on"), "{terminal}");
        assert_eq!(plain, "2\t-\tnot_running\n");
        assert!(both(&stopped(Ended::NotRunning, None, None)).0.contains("was not running"));
        assert!(both(&stopped(Ended::Killed, Some(7), None)).0.contains("was killed"));
    }

    #[test]
    fn starting_says_whether_it_has_caught_up() {
        let started =
            Started { id: ReplicaId(1), pid: Some(5), already_running: false, caught_up: false };
        let (terminal, plain, json) = both(&started);
        assert_eq!(terminal, "Replica 1 runs (pid 5) and is catching up.\n");
        assert_eq!(plain, "1\t5\tstarted\tbehind\n");
        assert_eq!(json, r#"{"id":1,"pid":5,"already_running":false,"caught_up":false}"#);
    }

    #[test]
    fn a_shell_takes_the_environment_as_it_is() {
        let environment = Environment { servers: "a:1,b'c:2".to_string() };
        let (_, plain, json) = both(&environment);
        assert_eq!(plain, "export FTCHAT_SERVERS='a:1,b'\\''c:2'\n");
        assert_eq!(json, r#"{"FTCHAT_SERVERS":"a:1,b'c:2"}"#);
        let script = format!("{plain}printf %s \"$FTCHAT_SERVERS\"");
        let output =
            std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert_eq!(output.stdout, b"a:1,b'c:2");
    }

    #[test]
    fn logs_are_safe_on_a_terminal_and_whole_in_a_pipe() {
        let line = LogLine { replica: ReplicaId(3), line: "a\x1b[2J", among_others: true };
        let (terminal, plain, json) = both(&line);
        assert_eq!(terminal, "replica-3 | a\\u{1b}[2J\n");
        assert_eq!(plain, "3\ta\x1b[2J\n");
        assert_eq!(json, r#"{"replica":3,"line":"a\u001b[2J"}"#);
        let alone = LogLine { among_others: false, ..line };
        assert_eq!(both(&alone).0, "a\\u{1b}[2J\n");
    }

    #[test]
    fn what_to_try_next_fits_the_cluster() {
        let addresses = ["h:1".parse().expect("valid"), "h:2".parse().expect("valid")];
        let there = CommandLines::of_folder(std::path::Path::new("/a b"));
        let lines = next_steps(&addresses, false, &there).join("\n");
        assert!(lines.contains("eval \"$(ftchat cluster env --dir '/a b')\""), "{lines}");
        assert!(lines.contains("ftchat cluster kill 1 --dir '/a b'  "), "{lines}");
        assert!(lines.contains("ftchat send alice 'hello, future me'"), "{lines}");
        let lines = next_steps(&addresses[..1], true, &CommandLines::default()).join("\n");
        assert!(!lines.contains("eval") && !lines.contains("kill"), "{lines}");
    }
}
