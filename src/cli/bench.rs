//! `ftchat bench`.

use std::time::Duration;

use super::{Context, Exit};
use crate::bench::{Bench, Options, Pace, Report, Work};
use crate::config::duration;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{PAGE_MAX_MESSAGES, RECIPIENTS_MAX, TEXT_MAX_BYTES};
use crate::output::Measured;

/// Parts of the highest rate, in percent, at which a sweep measures.
const SWEEP_PERCENT: [u32; 6] = [10, 25, 50, 75, 90, 95];

/// How long it measures unless told otherwise.
const DURATION: Duration = Duration::from_secs(10);

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat bench\n  \
    ftchat bench --clients 12 --in-flight 256 --duration 30s\n  \
    ftchat bench --rate 1000,5000,20000 --json | jq '[.rate, .latency_ms.p99]'\n  \
    ftchat bench --sweep\n  \
    ftchat bench --inbox 100 --in-flight 16\n  \
    ftchat bench --followers 100 --rate 50\n\n\
    It makes accounts of its own, whose names begin with bench-, and removes them afterwards with\n\
    all that they sent. Every message is a request of its own with an id of its own. Without\n\
    --rate it is a closed loop: the next message begins when one is acknowledged. With --rate it\n\
    is an open loop: messages begin at that rate whatever happens, and each is timed from when it\n\
    was to begin, so that a stall counts for all that it delayed. Messages of the warm-up are not\n\
    counted. Load is what it makes: think before you point it at servers that people use.")]
pub struct BenchArgs {
    /// Connections that ask: to send, the leader; to read, all servers in turn
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = within(1, 100_000))]
    clients: usize,
    /// Accounts that they speak for, in turn
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = within(1, 100_000))]
    accounts: usize,
    /// Messages under way at once, over all clients; by default one a client
    #[arg(long, value_name = "N", value_parser = within(1, 1_000_000))]
    in_flight: Option<usize>,
    /// Measure so many messages; with --duration, whatever comes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Measure for so long; 10s if neither this nor --messages is given
    #[arg(long, value_name = "DUR", value_parser = span)]
    duration: Option<Duration>,
    /// Send for so long before measuring
    #[arg(long, value_name = "DUR", default_value = "1s", value_parser = span)]
    warm_up: Duration,
    /// Bytes of each text
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = within(1, TEXT_MAX_BYTES))]
    size: usize,
    /// Accounts that each message goes to
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1, RECIPIENTS_MAX))]
    recipients: usize,
    /// Messages a second, whatever happens; several rates are measured one after the other
    #[arg(long, value_name = "N[,N...]", value_delimiter = ',', value_parser = rate, conflicts_with = "in_flight")]
    rate: Vec<f64>,
    /// Find the highest rate, then measure at parts of it
    #[arg(long, conflicts_with = "rate")]
    sweep: bool,
    /// Read inboxes instead of sending: pages of so many messages
    #[arg(long, value_name = "N", value_parser = within(1, PAGE_MAX_MESSAGES),
          conflicts_with_all = ["size", "recipients", "followers"])]
    inbox: Option<usize>,
    /// Connections that follow the accounts, in turn, and measure how messages reach them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = within(0, 1_000_000))]
    followers: usize,
    /// Leave the accounts and their messages behind
    #[arg(long)]
    keep: bool,
}

impl BenchArgs {
    /// Whether it plays those who wait for messages as well.
    pub fn has_followers(&self) -> bool {
        self.followers > 0
    }
}

/// Measures, and prints what came of it.
///
/// # Errors
/// A refusal, or no answer within `--timeout`.
pub async fn run(args: &BenchArgs, context: &mut Context) -> Result<Exit> {
    if args.recipients > args.accounts {
        let (recipients, accounts) = (args.recipients, args.accounts);
        return Err(Error::new(
            ErrorCode::WrongUsage,
            format!("--recipients {recipients} needs as many --accounts; there are {accounts}"),
        ));
    }
    let unbounded = args.duration.is_none() && args.messages.is_none();
    let options = Options {
        servers: context.addresses()?,
        timeout: context.settings.timeout,
        clients: args.clients,
        accounts: args.accounts,
        invitation: context.settings.values.text("invite").map(str::to_string),
        work: match args.inbox {
            Some(messages) => Work::Inbox { messages },
            None => Work::Send { size_bytes: args.size, recipients: args.recipients },
        },
        followers: args.followers,
        warm_up: args.warm_up,
        duration: if unbounded { Some(DURATION) } else { args.duration },
        messages: args.messages,
        keep: args.keep,
    };
    // It may ask the user.
    let host = context.host_for_servers().await?;
    // From here on an interruption waits until the accounts are gone.
    let interrupted = super::cluster::interrupted()?;
    tokio::pin!(interrupted);
    let stopped = || Err(Error::new(ErrorCode::Interrupted, "interrupted"));
    let bench = {
        let progress = context.printer.progress("making accounts", None);
        let mut tell = |count| progress.set(count);
        Bench::prepare(&host, options, &mut tell).await?
    };
    let measured = tokio::select! {
        biased;
        () = &mut interrupted => stopped(),
        measured = measure(args, &bench, context) => measured,
    };
    let progress = context.printer.progress("removing accounts", None);
    let finished = bench.finish().await;
    drop(progress);
    let reports = measured?;
    if !context.printer.json() {
        context.printer.show(&Measured(reports));
    }
    finished.map(|()| Exit::Done)
}

/// One measurement after the other. JSON is shown as it comes.
async fn measure(args: &BenchArgs, bench: &Bench, context: &mut Context) -> Result<Vec<Report>> {
    let closed = Pace::Closed { in_flight: args.in_flight.unwrap_or(args.clients) };
    let mut reports = Vec::new();
    if args.rate.is_empty() {
        reports.push(measure_once(closed, bench, context).await?);
    }
    let swept = reports.first().filter(|_| args.sweep).map(|highest: &Report| highest.rate);
    let parts = SWEEP_PERCENT.map(f64::from);
    let sweep = swept.iter().flat_map(|rate| parts.map(|part| (rate * part / 100.0).max(1.0)));
    for rate in args.rate.iter().copied().chain(sweep) {
        reports.push(measure_once(Pace::Open { rate }, bench, context).await?);
    }
    Ok(reports)
}

async fn measure_once(pace: Pace, bench: &Bench, context: &mut Context) -> Result<Report> {
    let what = match pace {
        Pace::Closed { in_flight } => format!("{in_flight} in flight; answered"),
        Pace::Open { rate } => format!("{rate:.0} a second; answered"),
    };
    let report = {
        let progress = context.printer.progress(&what, None);
        bench.run(pace, &mut |count| progress.set(count)).await?
    };
    if context.printer.json() {
        context.printer.show(&report);
        // Numbers that nobody gets are no reason for load on servers.
        context.printer.flush()?;
    }
    Ok(report)
}

fn within(min: usize, max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {min} to {max}")),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "a duration such as 500ms, 10s or 1m30s".to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number of messages a second, from 0.01 to 10000000".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_bounds_are_refused_with_the_bounds() {
        assert_eq!(within(1, 9)("9"), Ok(9));
        for wrong in ["0", "10", "x", ""] {
            assert!(within(1, 9)(wrong).expect_err(wrong).contains("1 to 9"));
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(rate("0").is_err() && rate("-1").is_err() && rate("nan").is_err());
        assert_eq!(span("1m30s"), Ok(Duration::from_secs(90)));
        assert!(span("soon").is_err());
    }
}
