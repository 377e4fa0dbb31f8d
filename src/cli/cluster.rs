//! `ftchat cluster`: a local cluster.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use super::administrator::{Found, KeyFlags};
use super::admission::{self, AccountArgs, ActionsArgs, InviteArgs, InvitesArgs, RegistrationArgs};
use super::bounds::{self, LimitsArgs};
use super::hand_over::HandOverArgs;
use super::init::InitArgs;
use super::local::{limit, locked, supervisor};
use super::members::{AddArgs, MoveArgs, RemoveArgs, ReplaceArgs};
use super::recover::RecoverArgs;
use super::rekey::RekeyArgs;
use super::service::Told;
use super::signals::Signals;
use super::{Context, Exit};
use crate::cluster::{ClusterEvent, Description, Ending, Limit, LogReader};
use crate::config::{ClusterFlags, ClusterSettings, Settings};
use crate::error::Error;
use crate::output;
use crate::output::cluster::{Downed, Environment, LogLine, Restarted, ShownFingerprint, Word};
use crate::output::status::{Shown, sentence};
use crate::protocol::status::ClusterStatus;
use crate::replica::Keys;
use crate::types::{Fingerprint, ReplicaId, Servers};

/// Between two looks at a log that is followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster up -d\n  \
    ftchat cluster kill 1\n  \
    ftchat cluster start 1 --wait\n  \
    ftchat cluster transfer 2\n  \
    ftchat cluster down --purge\n\n\
    A local cluster lives in one folder: --dir, or a folder of the name --name in the platform's\n\
    data directory. Its servers need no supervisor and go on when the command that started them\n\
    has ended.")]
pub struct ClusterArgs {
    #[command(subcommand)]
    action: Action,
}

impl ClusterArgs {
    /// Whether it asks servers, or tells how to, that are not found by the local cluster
    /// alone.
    pub fn uses_servers(&self) -> bool {
        use Action::{Down, Env, Init, Kill, Logs, Recover, Restart, Start, Stop, Transfer};
        let is_local = matches!(
            self.action,
            Init(_)
                | Recover(_)
                | Down(_)
                | Start(_)
                | Stop(_)
                | Kill(_)
                | Restart(_)
                | Transfer(_)
                | Logs(_)
                | Env(_)
        );
        !is_local
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write what the machines of a new cluster need, a folder for each
    ///
    /// Each gets a configuration for `ftchat serve --config` and the cluster's key.
    Init(InitArgs),
    /// Make a new cluster out of what is left of an old one
    ///
    /// From data directories of stopped servers, when the others are gone for good.
    Recover(RecoverArgs),
    /// Hand over what a machine of the old cluster knows that turns up later
    HandOver(HandOverArgs),
    /// Add a replica to a running cluster
    ///
    /// It votes when it has caught up. With two replicas the second one waits with that for
    /// a third.
    Add(AddArgs),
    /// Remove a replica from a running cluster
    ///
    /// Also a dead one. Its number is never used again, and its data stays where it is.
    Remove(RemoveArgs),
    /// Add a replica that takes the place of another
    ///
    /// The old one, dead or alive, is removed in the moment in which the new one votes.
    Replace(ReplaceArgs),
    /// Have a replica looked for at another address
    Move(MoveArgs),
    /// Give a running cluster a new key
    ///
    /// Messages are taken all the while.
    Rekey(RekeyArgs),
    /// Start every server that does not run
    ///
    /// Makes the cluster if there is none. In the foreground it stays, tells
    /// what happens, and on Ctrl-C stops the servers that it started.
    Up(UpArgs),
    /// Stop all servers at once
    Down(DownArgs),
    /// Start the server of one replica
    ///
    /// Returns when the replica runs on its own server.
    Start(StartArgs),
    /// Stop the server of one replica gracefully
    ///
    /// One that does not run is no error: the exit code is 0.
    Stop(OneArgs),
    /// Kill the server of one replica with SIGKILL
    ///
    /// One that does not run is no error: the exit code is 0.
    Kill(OneArgs),
    /// Restart one server, or all of them one after the other
    ///
    /// Each is stopped only when messages are taken and the one before has
    /// caught up, so no message is refused meanwhile.
    Restart(RestartArgs),
    /// Make an invitation and print its code
    ///
    /// Where registration is by invitation, whoever has the code makes an account with it.
    Invite(InviteArgs),
    /// List invitations, or take one back
    Invites(InvitesArgs),
    /// Show who may register, or change it
    Registration(RegistrationArgs),
    /// Show how much accounts may store, or change it
    Limits(LimitsArgs),
    /// List accounts, reset a password, shut an account out, or delete one
    Account(AccountArgs),
    /// List what administrators have done
    Actions(ActionsArgs),
    /// Give leadership to a replica
    ///
    /// Returns when it leads. No message is refused meanwhile.
    Transfer(OneArgs),
    /// Print what servers wrote to their logs
    Logs(LogsArgs),
    /// Print the shell command that points ftchat at this cluster
    ///
    /// Use it as: eval "$(ftchat cluster env)"
    Env(EnvArgs),
    /// Print the fingerprint by which the cluster is known
    ///
    /// It is that of the key by which servers show in TLS that they belong to the cluster,
    /// and is made from the cluster's key, without asking anybody.
    Fingerprint(IdentityArgs),
    /// Print the word by which others reach this cluster and no other
    ///
    /// It has the servers' addresses and the cluster's fingerprint, and is taken wherever
    /// servers are named: ftchat --servers "$(ftchat cluster address)" status
    Address(IdentityArgs),
}

#[derive(Debug, clap::Args)]
struct UpArgs {
    #[command(flatten)]
    cluster: ClusterFlags,
    #[arg(long, value_name = "N", help = crate::config::keys::help("cluster.replicas"))]
    replicas: Option<String>,
    #[arg(long, value_name = "PORT", help = crate::config::keys::help("cluster.base_port"))]
    base_port: Option<String>,
    #[arg(long, value_name = "WHEN", help = crate::config::keys::help("cluster.survivor"))]
    #[arg(value_parser = ["auto", "never"], hide_possible_values = true)]
    survivor: Option<String>,
    /// Return once messages are taken; the servers go on
    #[arg(long, short)]
    detach: bool,
}

#[derive(Debug, clap::Args)]
struct DownArgs {
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Remove the cluster with all its accounts and messages
    #[arg(long)]
    purge: bool,
}

#[derive(Debug, clap::Args)]
struct StartArgs {
    /// The replica's number
    id: ReplicaId,
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Return when the replica has caught up with the others
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The replica's number
    id: ReplicaId,
    #[command(flatten)]
    cluster: ClusterFlags,
}

#[derive(Debug, clap::Args)]
struct RestartArgs {
    /// The replica's number; without it all, one after the other
    id: Option<ReplicaId>,
    #[command(flatten)]
    cluster: ClusterFlags,
}

#[derive(Debug, clap::Args)]
struct LogsArgs {
    /// The replica's number; without it all
    id: Option<ReplicaId>,
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Stay and print what is added, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only the last N lines of each log
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
}

#[derive(Debug, clap::Args)]
struct EnvArgs {
    #[command(flatten)]
    cluster: ClusterFlags,
}

#[derive(Debug, clap::Args)]
struct IdentityArgs {
    #[command(flatten)]
    key: KeyFlags,
}

/// Runs the command.
///
/// # Errors
/// [`UnknownCluster`](crate::error::ErrorCode::UnknownCluster),
/// [`UnknownReplica`](crate::error::ErrorCode::UnknownReplica), and those of the
/// [`Supervisor`](crate::cluster::Supervisor).
pub async fn run(args: &ClusterArgs, context: &mut Context) -> Result<Exit, Error> {
    match &args.action {
        Action::Init(args) => super::init::run(args, context),
        Action::Recover(args) => super::recover::run(args, context).await,
        Action::HandOver(args) => super::hand_over::run(args, context).await,
        Action::Add(args) => super::members::add(args, context).await,
        Action::Remove(args) => super::members::remove(args, context).await,
        Action::Replace(args) => super::members::replace(args, context).await,
        Action::Move(args) => super::members::move_to(args, context).await,
        Action::Rekey(args) => super::rekey::run(args, context).await,
        Action::Up(args) => up(args, context).await,
        Action::Down(args) => down(args, context).await,
        Action::Start(args) => start(args, context).await,
        Action::Stop(args) => end(args, context, false).await,
        Action::Kill(args) => end(args, context, true).await,
        Action::Restart(args) => restart(args, context).await,
        Action::Invite(args) => admission::invite(args, context).await,
        Action::Invites(args) => admission::invites(args, context).await,
        Action::Registration(args) => admission::registration(args, context).await,
        Action::Limits(args) => bounds::limits(args, context).await,
        Action::Account(args) => admission::account(args, context).await,
        Action::Actions(args) => admission::actions(args, context).await,
        Action::Transfer(args) => transfer(args, context).await,
        Action::Logs(args) => logs(args, context).await,
        Action::Env(args) => {
            let cluster = existing(&args.cluster, context)?;
            context.printer.show(&Environment::of(&cluster.addresses()));
            Ok(Exit::Done)
        }
        Action::Fingerprint(args) => {
            let fingerprint = shown_fingerprint(&args.key.found(context)?.keys, context);
            context.printer.show(&ShownFingerprint { fingerprint });
            Ok(Exit::Done)
        }
        Action::Address(args) => {
            let Found { keys, servers, .. } = args.key.found(context)?;
            let fingerprint = shown_fingerprint(&keys, context);
            let connect = Servers { addresses: servers, fingerprint: Some(fingerprint) };
            context.printer.show(&Word { connect: connect.word(), fingerprint });
            Ok(Exit::Done)
        }
    }
}

/// The fingerprint of the newest key of a file. That is said where the cluster may not use
/// it yet.
fn shown_fingerprint(keys: &Keys, context: &mut Context) -> Fingerprint {
    if keys.fingerprints().len() > 1 {
        context.printer.notice(
            "this is the key that the cluster is being given; servers may show the old one until \
             that change is done",
        );
    }
    keys.newest().identity().fingerprint()
}

fn existing(flags: &ClusterFlags, context: &Context) -> Result<Description, Error> {
    Description::existing(&ClusterSettings::resolve(&context.settings, &flags.given())?)
}

async fn up(args: &UpArgs, context: &mut Context) -> Result<Exit, Error> {
    let mut flags = args.cluster.given();
    for (name, value) in [
        ("cluster.replicas", &args.replicas),
        ("cluster.base_port", &args.base_port),
        ("cluster.survivor", &args.survivor),
    ] {
        flags.extend(value.clone().map(|text| (name, text)));
    }
    let chosen = ClusterSettings::resolve(&context.settings, &flags)?;
    let Context { settings, printer, host, .. } = context;
    let printer = RefCell::new(printer);
    let progress = |line: &str| printer.borrow_mut().notice(line);
    let limit = limit(settings);
    let (cluster, guard) =
        Description::lock_existing_or_new(&chosen, &*host.random, limit.left()).await?;
    let mut supervisor = supervisor(cluster, settings, host, limit, &progress)?;
    if chosen.survivor_given {
        supervisor.choose_survivor(chosen.survivor).await?;
    }
    if args.detach {
        let mut launched = supervisor.launch_missing().await?;
        let status = supervisor.wait_up(&mut launched).await?;
        drop(guard);
        let shown = Shown::new(&status, Some(supervisor.cluster.command_lines()));
        printer.borrow_mut().show_now(&shown);
        next_steps(settings, &supervisor.cluster).iter().for_each(|line| progress(line));
        return Ok(Exit::Done);
    }
    let mut service = Told::from_environment()?;
    // From here on Ctrl-C means "stop what you have started", also while it is
    // still starting.
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let mut launched = supervisor.launch_missing().await?;
    let started = tokio::select! {
        biased;
        () = &mut interrupted => Ok(None),
        status = supervisor.wait_up(&mut launched) => status.map(Some),
    };
    let watched = match started {
        Ok(None) => Ok(()),
        Err(error) => Err(error),
        Ok(Some(status)) => {
            drop(guard);
            let shown = Shown::new(&status, Some(supervisor.cluster.command_lines()));
            printer.borrow_mut().show_now(&shown);
            let written = printer.borrow_mut().flush();
            if let Err(error) = written
                && !printer.borrow().pipe_closed()
            {
                progress(&format!("{}; the servers go on", error.message));
            }
            next_steps(settings, &supervisor.cluster).iter().for_each(|line| progress(line));
            progress("Ctrl-C stops the servers that this command has started.");
            service.running(sentence(&status, None));
            let mut seen = |status: &ClusterStatus| service.running(sentence(status, None));
            let mut tell = |event: ClusterEvent| printer.borrow_mut().show_now(&event);
            supervisor.watch(&mut launched, status, &mut seen, &mut tell, interrupted).await
        }
    };
    progress("Stopping.");
    service.stopping();
    let Ending { stopped: replicas, failed } = supervisor.stop_launched(&mut launched).await?;
    watched?;
    printer.borrow_mut().show(&Downed { replicas, purged: false, dir: None });
    failed.map_or(Ok(Exit::Done), Err)
}

/// One-liners that work with this cluster as they stand.
fn next_steps(settings: &Settings, cluster: &Description) -> Vec<String> {
    let addresses = cluster.addresses();
    // Flags of this command do not hold for the next one.
    let reached = settings.servers.addresses == addresses && settings.command_lines().are_plain();
    let mut lines = vec!["Try:".to_string()];
    lines.extend(output::cluster::next_steps(&addresses, reached, cluster.command_lines()));
    lines
}

async fn down(args: &DownArgs, context: &mut Context) -> Result<Exit, Error> {
    let limit = limit(&context.settings);
    let (cluster, guard) = locked(&args.cluster, context, limit).await?;
    let Context { settings, printer, host, .. } = context;
    let dir = args.purge.then(|| cluster.dir().to_path_buf());
    let lines = RefCell::new(printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let supervisor = supervisor(cluster, settings, host, limit, &progress)?;
    let Ending { stopped: replicas, failed } = supervisor.down(|_| true).await;
    let purged = match (args.purge && failed.is_none()).then_some(supervisor.purge()) {
        Some(purging) => purging.await?,
        None => false,
    };
    drop(guard);
    let dir = dir.filter(|_| failed.is_none());
    lines.into_inner().show(&Downed { replicas, purged, dir });
    failed.map_or(Ok(Exit::Done), Err)
}

async fn start(args: &StartArgs, context: &mut Context) -> Result<Exit, Error> {
    let limit = limit(&context.settings);
    let (cluster, _guard) = locked(&args.cluster, context, limit).await?;
    let Context { settings, printer, host, .. } = context;
    let lines = RefCell::new(printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let started =
        supervisor(cluster, settings, host, limit, &progress)?.start(args.id, args.wait).await?;
    lines.into_inner().show(&started);
    Ok(Exit::Done)
}

async fn end(args: &OneArgs, context: &mut Context, kill: bool) -> Result<Exit, Error> {
    let limit = limit(&context.settings);
    let (cluster, _guard) = locked(&args.cluster, context, limit).await?;
    let Context { settings, printer, host, .. } = context;
    let lines = RefCell::new(printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let supervisor = supervisor(cluster, settings, host, limit, &progress)?;
    let stopped =
        if kill { supervisor.kill(args.id).await? } else { supervisor.stop(args.id).await? };
    lines.into_inner().show(&stopped);
    Ok(Exit::Done)
}

async fn restart(args: &RestartArgs, context: &mut Context) -> Result<Exit, Error> {
    let limit = limit(&context.settings);
    let (cluster, _guard) = locked(&args.cluster, context, limit).await?;
    let Context { settings, printer, host, .. } = context;
    let all = cluster.replicas.iter().map(|replica| replica.id).collect();
    let ids: Vec<ReplicaId> = args.id.map_or(all, |id| vec![id]);
    let lines = RefCell::new(printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let replicas = supervisor(cluster, settings, host, limit, &progress)?.restart(&ids).await?;
    lines.into_inner().show(&Restarted { replicas });
    Ok(Exit::Done)
}

async fn transfer(args: &OneArgs, context: &mut Context) -> Result<Exit, Error> {
    let cluster = existing(&args.cluster, context)?;
    let Context { settings, printer, host, .. } = context;
    let silent = |_: &str| {};
    let limit = Limit::together(settings.timeout);
    let transferred =
        supervisor(cluster, settings, host, limit, &silent)?.transfer(args.id).await?;
    printer.show(&transferred);
    Ok(Exit::Done)
}

async fn logs(args: &LogsArgs, context: &mut Context) -> Result<Exit, Error> {
    let cluster = existing(&args.cluster, context)?;
    let replicas = match args.id {
        Some(id) => vec![cluster.replica(id)?],
        None => cluster.replicas.iter().collect(),
    };
    let mut readers: Vec<LogReader> =
        replicas.iter().map(|r| LogReader::new(r.id, cluster.log_file(r))).collect();
    let among_others = readers.len() > 1;
    let printer = &mut context.printer;
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let mut first = true;
    let output = printer.reader();
    loop {
        for reader in &mut readers {
            let replica = reader.id;
            let mut print = |line: &str| printer.list(&LogLine { replica, line, among_others });
            match args.lines.filter(|_| first) {
                Some(count) => {
                    reader.last(count)?.iter().try_for_each(|line| print(line))?;
                }
                None => reader.read(&mut print)?,
            }
        }
        printer.flush()?;
        if !args.follow {
            return Ok(Exit::Done);
        }
        first = false;
        tokio::select! {
            biased;
            () = &mut interrupted => return Ok(Exit::Interrupted),
            () = output.left() => printer.reader_left(),
            () = tokio::time::sleep(FOLLOW_PAUSE) => {}
        }
    }
}

/// Done when the process is asked to end: by Ctrl-C, by SIGTERM, or because its
/// terminal is gone, unless it was started to outlive that. From the call on,
/// none of them ends the process by itself.
///
/// # Errors
/// [`Io`](crate::error::ErrorCode::Io) when the system does not let us listen.
pub(super) fn interrupted() -> Result<impl Future<Output = ()>, Error> {
    let mut signals = Signals::listen()?;
    Ok(async move { signals.next().await })
}
