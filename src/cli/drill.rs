//! `ftchat drill`.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use super::{Context, Exit};
use crate::cluster::launch::{self, Program};
use crate::cluster::{Description, Limit, Supervisor};
use crate::config::{ClusterSettings, CommandLines};
use crate::drill::{self, Fault, News, Options, Report};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::output::drill::Announced;
use crate::output::{Printer, Progress};
use crate::protocol::client::Survivor;

/// How long starting or stopping a server may take.
const LIMIT: Limit = Limit::Each(Duration::from_secs(30));

/// Attempts to find three free ports in a row.
const PORT_ATTEMPTS: u32 = 100;

/// Ports below are more often somebody's.
const PORTS_FROM: u16 = 10_000;

/// Arguments of `drill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat drill\n  \
    ftchat drill --rounds 20 --json | tail -n 1 | jq .total\n  \
    ftchat drill --seed 7 --faults kill_leader,kill_1_and_2\n  \
    sudo ftchat drill --hosts\n\n\
    A cluster of its own is started in a temporary folder and removed afterwards; yours is not\n\
    touched. Three people send, three follow and two shells run one-liners while servers are\n\
    stopped, killed, frozen, wiped and restarted. Then every acknowledged message is looked for in\n\
    the right inbox, on every server. The exit code is 1 when a message was lost, doubled or out\n\
    of order, or when a command failed; then the folder is kept, and its place is printed.\n\n\
    With --hosts the three servers run on machines of their own: namespaces, which Linux lets root\n\
    alone make, and which are gone with this command; it also needs the program ip, of iproute2.\n\
    The power of one and of two is cut, the network falls apart (1|2, 1|1|1, one way only, one\n\
    that is mute, one that is deaf), two are frozen, and each is healed again. At every machine\n\
    somebody writes lines and reads. While a fault lasts, each of them who reaches a server that\n\
    works must be able to send, also to one that is alone. The table gains unconfirmed (messages\n\
    that were acknowledged without a majority), confirmed (how many of these were shown as\n\
    confirmed by the end of the step) and late (how many were not confirmed when their server had\n\
    been with a majority again for a second, or for one more for each further 10,000 of them);\n\
    late ones do not make it fail. Order is judged for each stream of lines, among what is\n\
    confirmed.")]
pub struct DrillArgs {
    /// How often all faults are gone through
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Decides about order and victims; the same seed, the same drill. Without it, a random one
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only these faults, separated by commas, by the names that --json prints
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// On three machines of its own, with power cuts and partitions; needs root
    #[arg(long)]
    hosts: bool,
}

/// Runs the drill and prints its table.
///
/// # Errors
/// When the cluster does not start or does not come back after a fault.
pub async fn run(args: &DrillArgs, context: &mut Context) -> Result<Exit> {
    let among: &[Fault] = if args.hosts { &Fault::HOSTS } else { &Fault::ALL };
    let faults = match &args.faults {
        None => among.to_vec(),
        Some(list) => Fault::list(list, among).ok_or_else(|| unknown_fault(list, among))?,
    };
    let host = context.host.clone();
    let seed = args.seed.unwrap_or_else(|| host.random_u64() % 1_000_000);
    let options = Options { rounds: args.rounds, seed, faults };
    let dir = std::env::temp_dir().join(format!("ftchat-drill-{}", host.uuid()));
    let drilled = match args.hosts {
        true => on_hosts(&options, &dir, context).await?,
        false => on_this_machine(&options, &dir, context).await?,
    };
    let keep = match &drilled {
        Ok(report) => !report.ok,
        Err(error) => error.code != ErrorCode::Interrupted,
    };
    if !keep {
        std::fs::remove_dir_all(&dir).map_err(|error| Error::io("remove", &dir, &error))?;
    }
    let again = if args.hosts { "--hosts --seed" } else { "--seed" };
    let again = format!("{again} {seed}");
    let mut report = drilled.map_err(|error| with_place(error, &dir, &again))?;
    report.dir = keep.then_some(dir);
    context.printer.show(&report);
    Ok(if report.ok { Exit::Done } else { Exit::Refused })
}

/// What became of a drill whose cluster is down again. The outer errors are those of one that
/// was not begun, and of a cluster that is not down.
type Drilled = Result<Result<Report>>;

async fn on_this_machine(options: &Options, dir: &Path, context: &mut Context) -> Drilled {
    let host = context.host.clone();
    let settings = ClusterSettings {
        name: "drill".to_string(),
        dir: dir.to_path_buf(),
        replicas: 3,
        replicas_given: true,
        base_port: free_ports(&host)?,
        base_port_given: true,
        survivor: Survivor::Auto,
        survivor_given: true,
        command_lines: CommandLines::of_folder(dir),
    };
    let interrupted = super::cluster::interrupted()?;
    tokio::pin!(interrupted);
    let program = Program::current(context.settings.values.file.as_deref(), 0)?;
    let cluster = Description::existing_or_new(&settings, &*host.random)?;
    let silent = |_: &str| {};
    let supervisor = Supervisor { cluster, host: &host, program, limit: LIMIT, progress: &silent };
    announce(options, dir, context);
    let drilled = tokio::select! {
        biased;
        () = &mut interrupted => Err(Error::new(ErrorCode::Interrupted, "interrupted")),
        drilled = drill(&supervisor, options, context) => drilled,
    };
    // Whatever came of it: no process stays behind. Frozen ones are woken.
    supervisor.down(|_| true).await.all()?;
    Ok(drilled)
}

#[cfg(target_os = "linux")]
async fn on_hosts(options: &Options, dir: &Path, context: &mut Context) -> Drilled {
    use crate::drill::hosts::{self, Machines};

    let granted = hosts::check()?;
    let interrupted = super::cluster::interrupted()?;
    tokio::pin!(interrupted);
    // Servers are told by their own files alone what to do.
    let program = Program::current(None, 0)?.executable;
    let machines = Machines::new(granted, &context.host, &program, dir);
    let mut machines = machines.inspect_err(|_| {
        // There is nothing to be looked at yet; the first error counts.
        let _ = std::fs::remove_dir_all(dir);
    })?;
    announce(options, dir, context);
    let drilling = async {
        let progress = context.printer.progress("starting three servers", None);
        machines.start().await?;
        let printer = RefCell::new(&mut context.printer);
        let mut tell = |news: News<'_>| show(news, options.rounds, &progress, &printer);
        hosts::run(&mut machines, options, &mut tell).await
    };
    let drilled = tokio::select! {
        biased;
        () = &mut interrupted => Err(Error::new(ErrorCode::Interrupted, "interrupted")),
        drilled = drilling => drilled,
    };
    machines.end().await?;
    Ok(drilled)
}

#[cfg(not(target_os = "linux"))]
async fn on_hosts(_: &Options, _: &Path, _: &mut Context) -> Drilled {
    let told = "--hosts makes machines of namespaces, which only Linux has; nothing was made";
    Err(Error::new(ErrorCode::Io, told))
}

fn announce(options: &Options, dir: &Path, context: &mut Context) {
    let Options { seed, rounds, .. } = *options;
    context.printer.show_now(&Announced { seed, rounds, dir: dir.to_path_buf() });
}

fn with_place(error: Error, dir: &Path, again: &str) -> Error {
    if error.code == ErrorCode::Interrupted {
        return error;
    }
    let message = format!(
        "{}; the cluster's data and logs are left in {}, and {again} repeats it",
        error.message,
        dir.display()
    );
    Error { message, ..error }
}

async fn drill(
    supervisor: &Supervisor<'_>,
    options: &Options,
    context: &mut Context,
) -> Result<Report> {
    let progress = context.printer.progress("starting three servers", None);
    let mut launched = supervisor.launch_missing().await?;
    supervisor.wait_up(&mut launched).await?;
    let printer = RefCell::new(&mut context.printer);
    let mut tell = |news: News<'_>| show(news, options.rounds, &progress, &printer);
    drill::run(supervisor, options, &mut tell).await
}

/// Shows what happens as it happens.
fn show(
    news: News<'_>,
    rounds: u32,
    progress: &Progress,
    printer: &RefCell<&mut Printer>,
) -> Result<()> {
    match news {
        News::Doing { round, fault } => {
            progress.describe(&format!("round {round} of {rounds}: {}; acknowledged", fault.text()))
        }
        News::Acknowledged(count) => progress.set(count),
        News::Proving => {
            progress.describe("looking for every message on every server; acknowledged");
        }
        News::Done(step) => progress.aside(|| printer.borrow_mut().show_now(step)),
    }
    Ok(())
}

fn unknown_fault(list: &str, among: &[Fault]) -> Error {
    let names: Vec<String> = among.iter().map(|fault| fault.name()).collect();
    Error::new(
        ErrorCode::WrongUsage,
        format!("--faults {list:?} names something else than: {}", names.join(", ")),
    )
}

/// The first of three ports in a row on which nobody listens. Somebody may take
/// one a moment later; then the cluster does not start, and says so.
///
/// They are below those that the system gives to outgoing connections: the port of
/// a killed server could otherwise become the other end of a connection between the
/// two that live.
fn free_ports(host: &Host) -> Result<u16> {
    let below = u64::from(ports_end() - PORTS_FROM - 3);
    for _ in 0..PORT_ATTEMPTS {
        let first = PORTS_FROM + (host.random_u64() % below) as u16;
        if (first..first + 3).all(|port| launch::probe(("127.0.0.1", port)).is_ok()) {
            return Ok(first);
        }
    }
    Err(Error::new(ErrorCode::AddressInUse, "there are no three free ports in a row"))
}

/// The first port that an outgoing connection could get, wherever the system
/// leaves enough below it.
fn ports_end() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    // Other systems than Linux begin later.
    let end = range.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    end.unwrap_or(32_768).max(PORTS_FROM + 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_none_that_an_outgoing_connection_could_get() {
        let first = free_ports(&Host::real()).expect("there are some");
        assert!((PORTS_FROM..ports_end()).contains(&(first + 2)), "{first}");
        for port in first..first + 3 {
            drop(launch::probe(("127.0.0.1", port)).expect("free"));
        }
    }
}
