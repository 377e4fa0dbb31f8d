//! Ports, and starting one replica's server.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::net::ToSocketAddrs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpSocket;

use super::description::{Description, LocalReplica};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{SERVICE_VARIABLES, open_private};
use crate::types::ReplicaId;

/// Bytes at the end of a log in which its last lines are looked for.
const TAIL_BYTES: u64 = 16 * 1024;

/// What a server is started with besides what the cluster's description says.
#[derive(Clone, Debug)]
pub struct Program {
    /// This program's file.
    pub executable: PathBuf,
    /// The configuration file in force, absolute.
    pub config_file: Option<PathBuf>,
    /// How much more the server logs.
    pub verbose: u8,
}

impl Program {
    /// This very program.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the system does not tell where it lies.
    pub fn current(config_file: Option<&Path>, verbose: u8) -> Result<Program> {
        let executable = std::env::current_exe()
            .map_err(|error| Error::io("find the program", Path::new("ftchat"), &error))?;
        let config_file = config_file
            .map(|path| {
                std::path::absolute(path)
                    .map_err(|error| Error::io("make an absolute path of", path, &error))
            })
            .transpose()?;
        Ok(Program { executable, config_file, verbose })
    }

    /// The command that runs a replica's server, with absolute paths. Its working
    /// directory is the cluster's folder, so that it keeps no other file system from
    /// being unmounted.
    fn command(&self, cluster: &Description, replica: &LocalReplica) -> Command {
        let mut command = Command::new(&self.executable);
        if let Some(file) = &self.config_file {
            command.arg("--config").arg(file);
        }
        for _ in 0..self.verbose {
            command.arg("-v");
        }
        let peers: Vec<String> =
            cluster.replicas.iter().map(|peer| format!("{}={}", peer.id, peer.address)).collect();
        let survivor = cluster.survivor.as_str();
        command
            .arg("serve")
            .args(["--id", &replica.id.to_string()])
            .args(["--listen", &replica.address.to_string()])
            .args(["--peers", &peers.join(",")])
            .args(["--survivor", survivor])
            .arg("--cluster-key-file")
            .arg(cluster.key_file())
            .arg("--data-dir")
            .arg(cluster.data_dir(replica))
            .arg("--log-file")
            .arg(cluster.log_file(replica))
            .current_dir(cluster.dir())
            // A server needs no secrets of the user.
            .env_remove("FTCHAT_TOKEN")
            .env_remove("FTCHAT_INVITE");
        // What a service manager hears is about the command that it has started.
        for variable in SERVICE_VARIABLES {
            command.env_remove(variable);
        }
        command
    }

    /// Starts a replica's server, detached: in a process group of its own, so
    /// that a Ctrl-C meant for this command does not reach it.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub fn launch(&self, cluster: &Description, replica: &LocalReplica) -> Result<Child> {
        let log = cluster.log_file(replica);
        let open = || {
            let out = open_private(OpenOptions::new().create(true).append(true), &log)?;
            let err = out.try_clone()?;
            Ok((out, err))
        };
        let (out, err) = open().map_err(|error| Error::io("open the log", &log, &error))?;
        self.command(cluster, replica)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| Error::io("start", &self.executable, &error))
    }
}

/// Why a server could not listen at its port.
#[derive(Debug)]
pub enum Taken {
    /// Somebody else does.
    InUse,
    /// The system does not let us.
    Refused(std::io::Error),
}

impl Taken {
    /// As an error. `by`: an ftchat server of another cluster, and its process.
    pub fn error(
        &self,
        LocalReplica { id, address, .. }: &LocalReplica,
        by: Option<Option<u32>>,
    ) -> Error {
        let who = match (self, by) {
            (Taken::Refused(error), _) => {
                let sentence = format!("replica {id} cannot listen on {address}: {error}");
                return Error::new(ErrorCode::Io, sentence);
            }
            (Taken::InUse, None) => "another program".to_string(),
            (Taken::InUse, Some(None)) => "another cluster's server".to_string(),
            (Taken::InUse, Some(Some(pid))) => format!("another cluster's server (process {pid})"),
        };
        Error::new(
            ErrorCode::AddressInUse,
            format!(
                "port {}, which replica {id} needs, is taken by {who}; nothing was started. Stop \
                 that program, or make a cluster elsewhere with --base-port and --name",
                address.port()
            ),
        )
    }
}

/// Looks whether a replica's port is free.
///
/// # Errors
/// Why it is not.
pub fn check_port(replica: &LocalReplica) -> Result<(), Taken> {
    let address = &replica.address;
    match probe((address.host(), address.port())) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Taken::InUse),
        Err(error) => Err(Taken::Refused(error)),
    }
}

/// Proves that nobody listens at an address, by binding to it without listening.
///
/// A process that is started meanwhile, by whichever thread, has the socket as
/// well until it runs its own program. If the socket listened, its address would
/// be taken for that long, and the next look would report the one before it as
/// another program.
///
/// # Errors
/// What the system says when the address cannot be bound to.
pub fn probe(address: impl ToSocketAddrs) -> std::io::Result<TcpSocket> {
    let mut refused = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Ok(()) => return Ok(socket),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The last lines of a replica's log; none when there is no log.
pub fn last_lines(cluster: &Description, id: ReplicaId, count: usize) -> Vec<String> {
    let Ok(replica) = cluster.replica(id) else { return Vec::new() };
    let read = || {
        let mut file = std::fs::File::open(cluster.log_file(replica))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    // The log only illustrates an error that is reported anyway.
    let text = read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| line.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(port: u16) -> LocalReplica {
        LocalReplica {
            id: ReplicaId(2),
            address: format!("127.0.0.1:{port}").parse().expect("valid"),
            data_dir: "replica-2".to_string(),
        }
    }

    #[test]
    fn a_taken_port_is_named_with_its_replica() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let taken_port = check_port(&replica(port)).expect_err("taken");
        let error = taken_port.error(&replica(port), None);
        assert_eq!(error.code, ErrorCode::AddressInUse);
        assert!(error.message.contains(&format!("port {port}, which replica 2")), "{error}");
        let error = taken_port.error(&replica(port), Some(Some(4711)));
        assert!(error.message.contains("another cluster's server (process 4711)"), "{error}");
        drop(taken);
        check_port(&replica(port)).expect("free again");
    }

    #[test]
    fn a_look_at_a_port_does_not_take_it() {
        // Of the system's choice, so that no other test has it.
        let chosen = probe("127.0.0.1:0").expect("a free port");
        let port = chosen.local_addr().expect("bound").port();
        check_port(&replica(port)).expect("only looked at");
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("only looked at");
        check_port(&replica(port)).expect_err("listened at");
        drop((listener, chosen));
    }
}
