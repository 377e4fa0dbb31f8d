//! `ftchat serve`: one replica in the foreground.

use std::convert::Infallible;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::maybe_done;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::service::Service;
use super::{Context, Exit};

use crate::cluster::RotatingLog;
use crate::config::key_file::{self, FileKeys};
use crate::config::{ServeFlags, ServeSettings, Settings, Values};
use crate::consensus;
use crate::error::{Error, ErrorCode};
use crate::host::{Host, allow_descriptors, memory_bytes};
use crate::limits::{FEATURE_LEVEL_KNOWN, Limits, TOTAL_BYTES_MIN};
use crate::output::log::{LogForm, LogWriter};
use crate::protocol::administration::Bounds;
use crate::protocol::client::Member;
use crate::replica::{ClusterKey, Keys, ProcessInfo, ReplicaConfig};
use crate::server::{PasswordCost, REJECTIONS_MAX, Server};
use crate::survival::Hosting;

/// Descriptors that a server needs beside its connections, and generously: for
/// its own and adopted replicas' files and links, and for connections that are
/// being told that there is no room.
const DESCRIPTORS_RESERVED: usize = 512;

/// Of those, what it cannot do without. Alone with two adopted replicas it has
/// about 25 open, and up to nine more of each while logs begin new files,
/// snapshots are written and votes are cast.
const DESCRIPTORS_FOR_FILES: usize = 48;

/// With fewer than these there would be no connections for peers and users.
const DESCRIPTORS_MIN: usize = 64;

/// Connections that replicas and users are sure of where there are few: two
/// connections from each of two replicas, and as many again while old ones are
/// timing out, and the same number for users.
const CONNECTIONS_RESERVED_MIN: usize = 16;

/// Pause between two looks into the file of the keys.
const KEY_FILE_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a server that failed may take to close what it can.
const FAILED_STOP_MAX: Duration = Duration::from_secs(2);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    ftchat serve --id 1 --data-dir /var/lib/ftchat --cluster-key-file /etc/ftchat/cluster.key \\\n    \
    --peers 1=127.0.0.1:8091,2=127.0.0.1:8092,3=127.0.0.1:8093\n\n\
    SIGTERM, SIGHUP and Ctrl-C hand leadership over, finish what was taken, and end with exit code 0. The\n\
    log goes to standard error. Everything can stand in the configuration file as well: see\n\
    ftchat.toml(5).")]
pub struct ServeArgs {
    #[command(flatten)]
    flags: ServeFlags,
}

/// Threads for a server's tasks: its share of the processors, of which other
/// replicas on the same host need as much.
///
/// Threads without a processor only wake each other up and take turns. Three
/// servers on two processors spend a fifth less time on each message with one
/// thread than with two, at 16 as at 256 messages in flight.
pub(super) fn threads(args: &ServeArgs, settings: &Settings) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    // What is wrong with the settings is told when the server starts.
    let sharing = ServeSettings::resolve(settings, &args.flags).map_or(1, |settings| {
        let here = |member: &&Member| member.address.host() == settings.listen.host();
        settings.members.iter().filter(here).count()
    });
    (processors / sharing.max(1)).max(1)
}

/// The file with the cluster's key, as far as that is known before the command runs.
pub(super) fn key_file(args: &ServeArgs, settings: &Settings) -> Option<PathBuf> {
    ServeSettings::resolve(settings, &args.flags).ok()?.cluster_key
}

/// Runs the command until it is asked to stop.
///
/// The order of starting is that of the least harm: settings, then the key,
/// then the address, and the data directory last, so that a server which cannot
/// listen has touched nothing. Address and directory may be in the hands of a
/// survivor, which gives them back when asked; see [`crate::survival`].
///
/// # Errors
/// One sentence each: [`ErrorCode::InvalidConfig`], also for a key file that
/// others can read; [`ErrorCode::AddressInUse`]; [`ErrorCode::DirectoryInUse`];
/// [`ErrorCode::WrongCluster`]; [`ErrorCode::NewerFormat`]; [`ErrorCode::Corrupted`].
pub async fn run(args: &ServeArgs, context: &mut Context) -> Result<Exit, Error> {
    let service = Service::from_environment()?;
    let outcome = run_service(args, context, &service).await;
    if let Err(error) = &outcome {
        service.failed(error);
    }
    outcome
}

async fn run_service(
    args: &ServeArgs,
    context: &mut Context,
    service: &Service,
) -> Result<Exit, Error> {
    let settings = ServeSettings::resolve(&context.settings, &args.flags)?;
    let values = context.settings.values.with(&args.flags.given())?;
    start_logging(&context.settings, &values)?;
    if let Some(error) = context.early.take() {
        tracing::info!(
            "the system does not let threads have descriptors of their own ({error}): should this \
             process be killed, that shows only when its memory is free"
        );
    }
    let (key_file, keys) = keys(&settings)?;
    service.watch()?;
    // Before anything else is done, so that a stop during a long start counts.
    let stop = super::cluster::interrupted()?;
    tokio::pin!(stop);
    let host = context.host.clone();
    let limits = fit_connections(settings.limits.clone(), allow_descriptors)?;
    let cost = PasswordCost {
        memory_kib: settings.password_cost.memory_kib,
        iterations: settings.password_cost.passes,
        ..PasswordCost::default()
    };
    let config = replica_config(settings, keys.clone(), limits.clone(), &host)?;
    let started = tokio::select! {
        biased;
        () = &mut stop => {
            service.stopping();
            return Ok(Exit::Done);
        }
        started = Hosting::start(host.clone(), config) => started?,
        // A server whose replica another one runs asks for it by its key, which may be
        // replaced meanwhile.
        never = follow_key_file(&host, &key_file, &keys) => match never {},
    };
    let hosting = started.hosting;
    let server = Server::new(host.clone(), hosting.clone(), limits, cost, keys.shown())?;
    let (stopping, stopped) = watch::channel(false);
    // It may end by itself and is awaited once more at the end.
    let serving = maybe_done(server.run_all(started.listener, started.adopted_listeners, stopped));
    tokio::pin!(serving);
    tokio::select! {
        biased;
        () = &mut stop => {}
        error = hosting.failed() => {
            // Nothing after the sentence that says why. A disk that hangs must
            // not keep a process that is of no use any more.
            drop(tokio::time::timeout(FAILED_STOP_MAX, hosting.stop()).await);
            return Err(error);
        }
        () = &mut serving => {}
        // After the line above: by then it answers.
        never = service.running(&hosting) => match never {},
        never = follow_key_file(&host, &key_file, &keys) => match never {},
    }
    tracing::info!("stopping");
    service.stopping();
    // Leadership first: what is under way is then finished by the new leader.
    hosting.hand_over().await;
    stopping.send_replace(true);
    hosting.close_listeners();
    serving.await;
    hosting.stop().await;
    Ok(Exit::Done)
}

/// What the replica is told of the settings. `limits`: those that hold here.
fn replica_config(
    settings: ServeSettings,
    keys: Keys,
    limits: Limits,
    host: &Host,
) -> Result<ReplicaConfig, Error> {
    let bounds = Some(proposed_bounds(&settings));
    Ok(ReplicaConfig {
        id: settings.id,
        listen: settings.listen,
        members: settings.members,
        data_dir: std::path::absolute(&settings.data_dir)
            .map_err(|error| Error::io("find", &settings.data_dir, &error))?,
        keys,
        timing: settings.timing,
        limits,
        survivor: settings.survivor,
        registration: settings.registration,
        bounds,
        process: ProcessInfo {
            pid: std::process::id(),
            started_at: host.clock.now(),
            started: Instant::now(),
        },
        feature_level_known: FEATURE_LEVEL_KNOWN,
    })
}

/// What this server proposes for how much may be stored: where nothing is set, half of the
/// memory that it may use, shared with the replicas of this machine. The other half is for
/// what is not counted: connections, the log, and a snapshot that is being written.
fn proposed_bounds(settings: &ServeSettings) -> Bounds {
    let own = settings.members.iter().find(|member| member.id == settings.id);
    let here = settings.members.iter().filter(|other| {
        own.is_none_or(|own| {
            own.address.host() == other.address.host()
                || (own.address.is_loopback() && other.address.is_loopback())
        })
    });
    let replicas = here.count().max(1) as u64;
    let fits = || memory_bytes().map(|memory| (memory / 2 / replicas).max(TOTAL_BYTES_MIN));
    let total_bytes = settings.total_bytes.or_else(fits).unwrap_or(0);
    let account_bytes = settings.account_bytes;
    let (account_proposed, total_proposed) = (true, true);
    Bounds { account_bytes, total_bytes, account_proposed, total_proposed, ..Bounds::default() }
}

/// The file of the cluster's keys, and what it holds.
///
/// # Errors
/// [`ErrorCode::InvalidConfig`], also for a file that others can read.
fn keys(settings: &ServeSettings) -> Result<(PathBuf, Keys), Error> {
    let Some(key_path) = &settings.cluster_key else {
        return Err(Error::new(
            ErrorCode::InvalidConfig,
            "a server needs the cluster's key: name its file with --cluster-key-file; \
             `cluster up` makes one for a local cluster",
        ));
    };
    Ok((key_path.clone(), Keys::read(key_path)?))
}

/// Learns what is put into the file of the keys while the server runs.
async fn follow_key_file(host: &Host, file: &Path, keys: &Keys) -> Infallible {
    let mut told = None;
    loop {
        tokio::time::sleep(KEY_FILE_LOOK_INTERVAL).await;
        let path = file.to_path_buf();
        let reading = async move { key_file::read(&path) };
        let wrong = match host.on_worker("key-file", reading).await {
            Some(Ok(FileKeys { newest, older })) => {
                let found = older.into_iter().chain(Some(newest));
                if keys.learn(found.map(|key| ClusterKey::new(*key)).collect()) {
                    tracing::info!("the key file {} holds another key now", file.display());
                }
                None
            }
            Some(Err(error)) => Some(error.message),
            None => None,
        };
        if let Some(wrong) = wrong.as_ref().filter(|wrong| told.as_ref() != Some(*wrong)) {
            tracing::warn!("{wrong}; the server goes on with what it held before");
        }
        told = wrong;
    }
}

/// As many connections as there can be without running out of descriptors:
/// `allow` raises the process's limit and tells what it became.
///
/// # Errors
/// [`ErrorCode::InvalidConfig`] when there are too few for any.
fn fit_connections(limits: Limits, allow: impl FnOnce(u64) -> u64) -> Result<Limits, Error> {
    let wanted = limits.connections_max + DESCRIPTORS_RESERVED;
    let allowed = usize::try_from(allow(wanted as u64)).unwrap_or(usize::MAX);
    if allowed >= wanted {
        return Ok(limits);
    }
    if allowed < DESCRIPTORS_MIN {
        return Err(Error::new(
            ErrorCode::InvalidConfig,
            format!(
                "the system lets this process hold {allowed} files and connections, and a server \
                 needs {DESCRIPTORS_MIN}; raise the limit with ulimit -n, or LimitNOFILE= of its \
                 systemd unit, to {wanted}"
            ),
        ));
    }
    // A part for both where there is little: such a server serves few, and stays up.
    let rejections = (allowed - DESCRIPTORS_FOR_FILES).div_ceil(4);
    let reserved = DESCRIPTORS_RESERVED
        .min(allowed / 2)
        .max(DESCRIPTORS_FOR_FILES + rejections.min(REJECTIONS_MAX));
    let connections_max = (allowed - reserved).min(limits.connections_max);
    tracing::warn!(
        "the system lets this process hold {allowed} files and connections: of {} connections \
         (limits.connections_max) it takes {connections_max}. Raise the limit with ulimit -Hn, or \
         LimitNOFILE= of its systemd unit, to {wanted}",
        limits.connections_max,
    );
    let connections_reserved = (limits.connections_reserved * connections_max
        / limits.connections_max.max(1))
    .max(CONNECTIONS_RESERVED_MIN.min(connections_max - connections_max / 3));
    Ok(Limits { connections_max, connections_reserved, ..limits })
}

/// Sends the log to standard error, one line an event.
fn start_logging(settings: &Settings, values: &Values) -> Result<(), Error> {
    let form = match values.text("serve.log_format") {
        Some("json") => LogForm::Json,
        _ => LogForm::Text,
    };
    let filter: Targets = log_filter(settings, values)
        .parse()
        .map_err(|error| values.error("serve.log", format!("this is no log filter: {error}")))?;
    let file = match values.path("serve.log_file") {
        Some(path) => {
            let max_bytes = values.integer("serve.log_file_max_bytes")?;
            Some(RotatingLog::open(&path, max_bytes)?)
        }
        None => None,
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || {
        let out: Box<dyn io::Write> = match &file {
            Some(file) => Box::new(file.clone()),
            None => Box::new(io::stderr()),
        };
        LogWriter::new(out, form)
    });
    let lines = match form {
        LogForm::Json => lines.json().boxed(),
        LogForm::Text => lines.boxed(),
    };
    let installed = tracing_subscriber::registry().with(lines).with(filter).try_init();
    installed.map_err(|error| {
        Error::new(ErrorCode::Internal, format!("the log was started twice: {error}"))
    })
}

fn log_filter<'a>(settings: &Settings, values: &'a Values) -> &'a str {
    values.text("serve.log").unwrap_or(match (settings.quiet, settings.verbose) {
        (_, 2..) => "trace",
        (_, 1) => consensus::LOG_FILTER_VERBOSE,
        (true, 0) => "warn",
        (false, 0) => consensus::LOG_FILTER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GlobalArgs;

    fn filter(arguments: GlobalArgs, log: Option<&str>) -> String {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let config = Some(file.path().display().to_string());
        let lookup =
            |name: &str| log.filter(|_| name == "FTCHAT_LOG").map(|filter| filter.to_string());
        let settings =
            Settings::resolve(&GlobalArgs { config, ..arguments }, &lookup).expect("valid");
        log_filter(&settings, &settings.values).to_string()
    }

    #[test]
    fn connections_fit_into_what_the_system_allows() {
        let limits =
            || Limits { connections_max: 1_000, connections_reserved: 100, ..Limits::default() };
        let fits = |allowed| {
            let fitted = fit_connections(limits(), |wanted| {
                assert_eq!(wanted, 1_512);
                allowed
            });
            fitted.map(|fitted| (fitted.connections_max, fitted.connections_reserved))
        };
        assert_eq!(fits(1_512), Ok((1_000, 100)));
        assert_eq!(fits(u64::MAX), Ok((1_000, 100)));
        assert_eq!(fits(1_012), Ok((506, 50)));
        assert_eq!(fits(256), Ok((128, 16)), "a part for both");
        assert_eq!(fits(64), Ok((12, 8)), "two for each of the peers, two for people's");
        for allowed in [0, 63] {
            let error = fits(allowed).expect_err("too few");
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.contains("to 1512"), "{error}");
        }
        // Files, connections and those that are being refused never exceed it.
        for allowed in 64..3_000 {
            let (connections, _) = fits(allowed).expect("enough");
            let refused = crate::server::rejections_max(connections);
            assert!(connections + refused + DESCRIPTORS_FOR_FILES <= allowed as usize, "{allowed}");
        }
    }

    #[test]
    fn the_log_is_as_loud_as_asked() {
        let verbose = |verbose| GlobalArgs { verbose, ..GlobalArgs::default() };
        assert_eq!(filter(verbose(0), None), consensus::LOG_FILTER);
        assert_eq!(filter(verbose(1), None), consensus::LOG_FILTER_VERBOSE);
        assert_eq!(filter(verbose(2), None), "trace");
        assert_eq!(filter(GlobalArgs { quiet: true, ..GlobalArgs::default() }, None), "warn");
        assert_eq!(filter(verbose(2), Some("ftchat=error")), "ftchat=error");
    }
}
