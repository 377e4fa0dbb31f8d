//! One machine: its server, and how somebody who sits at it reaches the others.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::client::survey::ask;
use crate::cluster::hosts::Prepared;
use crate::error::{Error, Result};
use crate::host::{Family, Host, Namespaces, SERVICE_VARIABLES, open_private};
use crate::protocol::client::ServerStatus;
use crate::tls::Pinned;
use crate::types::{Address, ReplicaId};

/// The file that tells one boot of a machine from another, and the one that tells machines
/// apart. Servers adopt no replica of another machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const MACHINE_ID: &str = "/etc/machine-id";

/// How long a server may take to say how it is.
const STATUS_MAX: Duration = Duration::from_secs(1);

/// Within so long a process that was killed is gone.
const GONE_MAX: Duration = Duration::from_secs(10);

/// Between two looks whether it is.
const GONE_PAUSE: Duration = Duration::from_millis(5);

/// See the head of this file.
pub struct Machine {
    /// The replica of its server.
    pub id: ReplicaId,
    /// Where its server listens.
    pub address: Address,
    /// The system, for somebody who sits at it: connections begin there, and only servers of
    /// the cluster are spoken to, in TLS.
    pub host: Host,
    namespaces: Namespaces,
    boot_id: PathBuf,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    server: Option<Child>,
}

impl Machine {
    /// The machine of a folder that was prepared, whose own files are in `dir`.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`], also when the system refuses; see [`Namespaces`].
    pub fn new(host: &Host, prepared: &Prepared, number: usize, dir: &Path) -> Result<Machine> {
        let (id, address, folder) = &prepared.hosts[number];
        let [boot_id, machine_id] = ["boot", "machine"].map(|it| dir.join(format!("{it}-{id}")));
        write_id(&boot_id, &host.uuid().to_string())?;
        write_id(&machine_id, &host.uuid().simple().to_string())?;
        let seen = [(&*boot_id, Path::new(BOOT_ID)), (&*machine_id, Path::new(MACHINE_ID))];
        let namespaces = Namespaces::new(&seen)
            .map_err(|error| Error::failed("cannot make a machine", &error))?;
        let of_machine = namespaces.host();
        let pinned = Pinned::new(Arc::clone(&of_machine.network), prepared.fingerprint);
        Ok(Machine {
            id: *id,
            address: address.clone(),
            host: Host { network: Arc::new(pinned), ..of_machine },
            namespaces,
            boot_id,
            config: folder.join("config.toml"),
            data: dir.join(format!("data-{id}")),
            log: dir.join(format!("server-{id}.log")),
            server: None,
        })
    }

    /// What a cable is put into.
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces.clone()
    }

    /// Starts its server, as one that serves this machine and no other.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`].
    pub fn start(&mut self, family: &Family, program: &Path) -> Result<()> {
        let log = || {
            let log = open_private(OpenOptions::new().create(true).append(true), &self.log)?;
            Ok((log.try_clone()?, log))
        };
        let (out, err) = log().map_err(|error| Error::io("open the log", &self.log, &error))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&self.config).arg("--data-dir").arg(&self.data);
        // What the user has set is about other clusters, apart from what servers log.
        let set = std::env::vars_os().map(|(name, _)| name);
        let ours = |name: &std::ffi::OsString| {
            name.to_string_lossy().starts_with("FTCHAT_") && name != "FTCHAT_LOG"
        };
        for name in set.filter(ours).chain(SERVICE_VARIABLES.map(Into::into)) {
            command.env_remove(name);
        }
        command
            .env("FTCHAT_SERVE_REGISTRATION", "open")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let server = self.namespaces.start(family, &mut command);
        self.server = Some(server.map_err(|error| Error::io("start", program, &error))?);
        Ok(())
    }

    /// Sends a signal to its server, if one was started.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`].
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        match kill_process(Pid::from_child(server), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::failed(
                format!("cannot signal the server of machine {}", self.id),
                &io::Error::from(error),
            )),
        }
    }

    /// Ends its server at once, and waits until it is gone. One that did not run is fine.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`].
    pub async fn kill(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let failed = |error: &io::Error| Error::failed("cannot end a server", error);
        server.kill().map_err(|error| failed(&error))?;
        let deadline = Instant::now() + GONE_MAX;
        while server.try_wait().map_err(|error| failed(&error))?.is_none() {
            if Instant::now() > deadline {
                return Err(failed(&io::ErrorKind::TimedOut.into()));
            }
            sleep(GONE_PAUSE).await;
        }
        Ok(())
    }

    /// The next server is one of another boot.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`].
    pub fn boot(&self, host: &Host) -> Result<()> {
        write_id(&self.boot_id, &host.uuid().to_string())
    }

    /// How its server ended, if it has without being asked to.
    pub fn ended(&mut self) -> Option<String> {
        let ended = self.server.as_mut()?.try_wait().ok()??;
        Some(format!("the server of machine {} has ended ({ended})", self.id))
    }

    /// How much its servers have told their log.
    pub fn logged_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Asks its server how it is, from here: no fault is between.
    pub async fn status(&self) -> Option<ServerStatus> {
        ask(&self.host, &self.address, STATUS_MAX).await.ok()
    }
}

/// Into the same file, never another one of that name: it is what the machine sees.
fn write_id(path: &Path, id: &str) -> Result<()> {
    std::fs::write(path, format!("{id}\n")).map_err(|error| Error::io("write", path, &error))
}
