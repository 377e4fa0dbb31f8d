//! `ftchat drill`.

use std::cell::RefCell;
use std::time::Duration;

use super::{Context, Exit};
use crate::cluster::launch::{self, Program};
use crate::cluster::{Description, Limit, Supervisor};
use crate::config::{ClusterSettings, CommandLines};
use crate::drill::{self, Fault, News, Options, Report};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::output::drill::Announced;
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
    ftchat drill --seed 7 --faults kill_leader,kill_1_and_2\n\n\
    A cluster of its own is started in a temporary folder and removed afterwards; yours is not\n\
    touched. Three people send, three follow and two shells run one-liners while servers are\n\
    stopped, killed, frozen, wiped and restarted. Then every acknowledged message is looked for in\n\
    the right inbox, on every server. The exit code is 1 when a message was lost, doubled or out\n\
    of order, or when a command failed; then the folder is kept, and its place is printed.")]
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
}

/// Runs the drill and prints its table.
///
/// # Errors
/// When the cluster does not start or does not come back after a fault.
pub async fn run(args: &DrillArgs, context: &mut Context) -> Result<Exit> {
    let faults = match &args.faults {
        None => Fault::ALL.to_vec(),
        Some(list) => Fault::list(list).ok_or_else(|| unknown_fault(list))?,
    };
    let host = context.host.clone();
    let seed = args.seed.unwrap_or_else(|| host.random_u64() % 1_000_000);
    let options = Options { rounds: args.rounds, seed, faults };
    let dir = std::env::temp_dir().join(format!("ftchat-drill-{}", host.uuid()));
    let settings = ClusterSettings {
        name: "drill".to_string(),
        dir: dir.clone(),
        replicas: 3,
        replicas_given: true,
        base_port: free_ports(&host)?,
        base_port_given: true,
        survivor: Survivor::Auto,
        survivor_given: true,
        command_lines: CommandLines::of_folder(&dir),
    };
    let interrupted = super::cluster::interrupted()?;
    tokio::pin!(interrupted);
    let program = Program::current(context.settings.values.file.as_deref(), 0)?;
    let cluster = Description::existing_or_new(&settings, &*host.random)?;
    let silent = |_: &str| {};
    let supervisor = Supervisor { cluster, host: &host, program, limit: LIMIT, progress: &silent };
    context.printer.show_now(&Announced { seed, rounds: options.rounds, dir: dir.clone() });
    let drilled = tokio::select! {
        biased;
        () = &mut interrupted => Err(Error::new(ErrorCode::Interrupted, "interrupted")),
        drilled = drill(&supervisor, &options, context) => drilled,
    };
    // Whatever came of it: no process stays behind. Frozen ones are woken.
    supervisor.down(|_| true).await.all()?;
    let keep = match &drilled {
        Ok(report) => !report.ok,
        Err(error) => error.code != ErrorCode::Interrupted,
    };
    if !keep {
        std::fs::remove_dir_all(&dir).map_err(|error| Error::io("remove", &dir, &error))?;
    }
    let mut report = drilled.map_err(|error| with_place(error, &dir, seed))?;
    report.dir = keep.then_some(dir);
    context.printer.show(&report);
    Ok(if report.ok { Exit::Done } else { Exit::Refused })
}

fn with_place(error: Error, dir: &std::path::Path, seed: u64) -> Error {
    if error.code == ErrorCode::Interrupted {
        return error;
    }
    let message = format!(
        "{}; the cluster's data and logs are left in {}, and --seed {seed} repeats it",
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
    let rounds = options.rounds;
    let mut tell = |news: News<'_>| match news {
        News::Doing { round, fault } => {
            progress
                .describe(&format!("round {round} of {rounds}: {}; acknowledged", fault.text()));
            Ok(())
        }
        News::Acknowledged(count) => {
            progress.set(count);
            Ok(())
        }
        News::Proving => {
            progress.describe("looking for every message on every server; acknowledged");
            Ok(())
        }
        News::Done(step) => {
            progress.aside(|| printer.borrow_mut().show_now(step));
            Ok(())
        }
    };
    drill::run(supervisor, options, &mut tell).await
}

fn unknown_fault(list: &str) -> Error {
    let names: Vec<String> = Fault::ALL.iter().map(|fault| fault.name()).collect();
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
