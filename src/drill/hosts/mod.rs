//! The drill between machines: three servers, each with a network and a boot of its own, and
//! everything that may go wrong with power, cables and processes.
//!
//! The machines are namespaces of this one ([`Namespaces`]), joined by a [`router`]. Their
//! cluster is the one that is prepared for real machines ([`hosts::prepare`]): they speak TLS
//! and know each other by the cluster's key. At each machine sits somebody who writes lines
//! into one stream without pause, to themselves and to the one at the next machine, who reads
//! what comes there, and who reads at the next machine what is confirmed. What they do is what
//! `send --lines` and `inbox --follow` do, by connections that begin on their machine. So the
//! network parts users from servers as it parts servers from each other, and there is always
//! somebody on both sides.
//!
//! # What a fault is
//! - A power cut: first the machine's cables, so that nobody is told of the end of its
//!   connections, then SIGKILL for its server. It comes back as another boot. What the kernel
//!   had not written to the disk is not lost, as it would be without power: that is what the
//!   simulation tries. Whoever sits at the machine waits.
//! - A partition, a machine that is mute or deaf, a way that is lost in one direction: packets
//!   vanish, and no sender of them is told.
//! - Frozen servers are stopped by SIGSTOP: their system still acknowledges what it receives.
//!
//! While it lasts, everybody must have a new line acknowledged who reaches a server that works,
//! with a majority or without ([`Plan::can_send`]). A server that has heard neither of a majority
//! nor of a leader since it was started waits for that for fifteen seconds before it goes alone:
//! where a fault comes just after a power cut, its pause shows so. Then it is healed, and the next one waits
//! until nothing is unconfirmed any more.
//!
//! # What is judged
//! Every acknowledged line is in the inboxes of both its recipients, once, confirmed, and in
//! the order of its stream, as each server shows them in the end. Those who follow are shown
//! each line once. Their order is judged among lines that they were shown as confirmed only:
//! a server that is alone may show a later line before an earlier one that it does not know
//! yet, which is how it is promised ([`alone`](crate::replica)). Streams are judged each by
//! itself: a separate command that follows another one waits for its place only so long.
//!
//! # How it fails
//! Without the right to make namespaces, or without `ip`, it is refused before anything is
//! made. However this process ends, the machines and all that runs on them are gone with it.

mod machine;
mod plan;
mod router;
mod settling;
mod steps;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use self::machine::Machine;
use self::plan::{MACHINES, Plan};
use self::router::Router;
use super::users::{Shared, USERS, User};
use super::{Dice, News, Options, Report, all_rounds, prove_followed, report};
use crate::cluster::hosts;
use crate::drill::record::Verdict;
use crate::error::{Error, ErrorCode, Result};
#[cfg(doc)]
use crate::host::Namespaces;
use crate::host::{Family, Host};
use crate::protocol::client::Confirm;
use crate::types::Address;

/// Three machines and their network. They are gone with this value.
pub struct Machines {
    host: Host,
    program: PathBuf,
    all: Vec<Machine>,
    router: Router,
    family: Family,
}

/// A drill under way.
struct Drill<'a> {
    machines: &'a mut Machines,
    shared: Arc<Shared>,
    dice: Dice,
}

/// A right that the system gives only to those who may administer it.
pub struct Granted(Family);

/// Whether machines can be made here.
///
/// # Errors
/// [`ErrorCode::Io`] that says what is needed; nothing was made.
pub fn check() -> Result<Granted> {
    router::check_program()?;
    let refused = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Error::new(
            ErrorCode::Io,
            "--hosts makes machines of namespaces, with networks of their own, and needs root for \
             that: the system does not let this user make them; nothing was made",
        ),
        _ => Error::failed("--hosts cannot make namespaces here; nothing was made", error),
    };
    Family::new().map(Granted).map_err(|error| refused(&error))
}

impl Machines {
    /// Three machines whose files are in `dir`, which is made, with a cluster that is prepared
    /// and no server that runs. `program`: what servers are started from.
    ///
    /// # Errors
    /// [`ErrorCode::Io`], and those of [`hosts::prepare`].
    pub fn new(granted: Granted, host: &Host, program: &Path, dir: &Path) -> Result<Machines> {
        let addresses: Vec<String> = (0..MACHINES).map(router::address).collect();
        let named: hosts::Hosts = addresses.join(",").parse()?;
        crate::host::make_private_folders(dir).map_err(|error| Error::io("make", dir, &error))?;
        let prepared = hosts::prepare(host, "drill", &named, &dir.join("new"))?;
        let machine = |number| Machine::new(host, &prepared, number, dir);
        let all: Vec<Machine> = (0..MACHINES).map(machine).collect::<Result<_>>()?;
        let namespaces: Vec<_> = all.iter().map(Machine::namespaces).collect();
        let router = Router::new(&namespaces)?;
        let (host, program) = (host.clone(), program.to_path_buf());
        Ok(Machines { host, program, all, router, family: granted.0 })
    }

    /// Starts all servers, and waits until the cluster works.
    ///
    /// # Errors
    /// When it does not within [`STEP_MAX`](super::STEP_MAX).
    pub async fn start(&mut self) -> Result<()> {
        for machine in &mut self.all {
            machine.start(&self.family, &self.program)?;
        }
        self.settle().await.map(drop)
    }

    /// Ends all servers, at once.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub async fn end(mut self) -> Result<()> {
        let ended = futures::future::join_all(self.all.iter_mut().map(Machine::kill)).await;
        ended.into_iter().collect()
    }

    fn addresses(&self) -> Vec<Address> {
        self.all.iter().map(|machine| machine.address.clone()).collect()
    }
}

/// Runs a drill on machines whose servers all run.
///
/// # Errors
/// When the cluster does not come back within [`STEP_MAX`](super::STEP_MAX) of a fault, or the
/// proof cannot be made. What the proof finds is in the report.
pub async fn run(
    machines: &mut Machines,
    options: &Options,
    tell: &mut dyn FnMut(News<'_>) -> Result<()>,
) -> Result<Report> {
    let servers = machines.addresses();
    let mut users = Vec::new();
    for number in 0..USERS {
        users.push(User::register(&machines.all[number].host, &servers, number).await?);
    }
    let shared = Shared::of(&users, 2 * USERS);
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for (number, user) in users.iter().enumerate() {
        let host = &machines.all[number].host;
        let client = user.patient_client(host, &servers, users::PATIENCE)?;
        let client = client.confirming(Confirm::Any);
        writers.spawn(users::write(client, number, shared.clone()));
    }
    for list in 0..2 * USERS {
        let (confirm, machine) = users::reading(list);
        let user = &users[list % USERS];
        let client = user.client(&machines.all[machine].host, &servers)?.confirming(confirm);
        readers.spawn(user.clone().follow(client, list, shared.clone()));
    }
    let dice = Dice::new(options.seed);
    let mut drill = Drill { machines, shared: shared.clone(), dice };
    drill.wait_for_senders(Instant::now(), &Plan::default()).await?;
    let steps = all_rounds(&mut drill, &shared.record, options, tell).await?;
    writers.shutdown().await;
    tell(News::Proving)?;
    // What a writer did not hear of any more may have been taken a moment ago.
    machines.settle().await?;
    let mut verdict = Verdict::default();
    prove_followed(&shared, &mut verdict).await;
    for (number, user) in users.iter().enumerate() {
        for machine in &machines.all {
            let inbox = user.inbox(&machine.host, &machine.address).await?;
            shared.record.compare(number, &inbox, true, &mut verdict);
        }
    }
    readers.shutdown().await;
    Ok(report(options, &steps, &shared.record, &verdict))
}
