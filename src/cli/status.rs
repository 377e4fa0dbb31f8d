//! `ftchat status`.

use std::time::Duration;

use super::{Context, Exit};

use crate::client::survey::{SERVER_LIMIT, survey};
use crate::cluster::Description;
use crate::config::ClusterSettings;
use crate::error::Error;
use crate::output::status::{Frame, Shown};
use crate::protocol::client::UNKNOWN;
use crate::protocol::status::{ClusterStatus, Health};

/// Between two looks with `--watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat status\n  \
    ftchat status --watch\n  \
    ftchat status --check && deploy\n  \
    ftchat status --json | jq .tolerates\n\n\
    Answers in any state of the cluster: every configured replica is listed, also one that does\n\
    not answer, with the reason. A server may take messages without a majority, and has them\n\
    confirmed later: the exit code of --check is then 1. Without --check the exit code is 0 if any server answered, and 3\n\
    if none did. LAG counts the committed entries that a replica has not applied yet. A replica has\n\
    no number where no server answered that could tell it. In a pipe: one line a replica, one a\n\
    notice, and last whether messages are taken.")]
pub struct StatusArgs {
    /// Show it again every second until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// Exit with 0 when healthy, 1 when degraded but taking messages, also where a server takes
    /// them that no majority confirms yet, 3 when not taking messages
    /// or unreachable
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// Those of standard output.
pub async fn run(args: &StatusArgs, context: &mut Context) -> Result<Exit, Error> {
    if args.watch {
        return watch(context).await;
    }
    let (status, local) = look(context).await?;
    let lines = local.as_ref().map(Description::command_lines);
    context.printer.show(&Shown::new(&status, lines).at(context.host.clock.now()));
    Ok(exit(&status, args.check))
}

/// The status, and the local cluster that it is about, if it is one that is known.
async fn look(context: &Context) -> Result<(ClusterStatus, Option<Description>), Error> {
    let settings = &context.settings;
    let limit = SERVER_LIMIT.min(settings.timeout);
    let host = context.host_for_servers().await?;
    let mut status = survey(&host, &context.addresses()?, limit).await;
    // The status itself says which they are.
    drop(context.strangers.news());
    // Of replicas that only their addresses are known of, no server has spoken.
    let numbered = status.replicas.iter().filter(|replica| replica.id != UNKNOWN);
    context.members.note(numbered.map(|replica| replica.address.clone()).collect());
    // A status is shown whatever is wrong with what is configured beside it.
    let known = ClusterSettings::known(settings).unwrap_or_default();
    let local = Description::of(&status, &known);
    if let Some(local) = &local {
        status.number(local.replicas.iter().map(|it| (it.id, &it.address)));
    }
    Ok((status, local))
}

/// Ends when the whole command is interrupted.
async fn watch(context: &mut Context) -> Result<Exit, Error> {
    let output = context.printer.reader();
    loop {
        let (status, local) = look(context).await?;
        let lines = local.as_ref().map(Description::command_lines);
        let shown = Shown::new(&status, lines).at(context.host.clock.now());
        context.printer.show(&Frame(shown));
        context.printer.flush()?;
        tokio::select! {
            () = output.left() => context.printer.reader_left(),
            () = tokio::time::sleep(WATCH_PAUSE) => {}
        }
    }
}

fn exit(status: &ClusterStatus, check: bool) -> Exit {
    match status.health() {
        Health::Healthy => Exit::Done,
        Health::Degraded if check => Exit::Refused,
        Health::Unavailable if check || !status.answered() => Exit::Unavailable,
        _ => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::client::{ReplicaState, ReplicaStatus};
    use crate::types::ReplicaId;

    fn status(writable: bool, confirming: bool, state: ReplicaState) -> ClusterStatus {
        let answers = state != ReplicaState::Unreachable;
        ClusterStatus {
            cluster: None,
            writable,
            confirming,
            unconfirmed: 0,
            tolerates_alone: 0,
            leader: None,
            term: 0,
            commit: 0,
            tolerates: 0,
            feature_level: Some(1),
            stored_bytes: None,
            stored_bytes_max: None,
            replicas: vec![ReplicaStatus {
                id: ReplicaId(1),
                address: "h:1".parse().expect("valid"),
                state,
                term: 0,
                last_log: 0,
                applied: 0,
                lag: 0,
                applied_before: None,
                stalled: false,
                votes: true,
                hosted_by: answers.then_some(ReplicaId(1)),
                pid: None,
                version: None,
                uptime_s: None,
                alone_since: None,
                outbox: 0,
                outbox_unusable: false,
                disk_bytes: None,
                state_hash: None,
                error: None,
            }],
            survivor: None,
            notices: Vec::new(),
        }
    }

    #[test]
    fn exit_codes_tell_healthy_degraded_and_unavailable_apart() {
        use ReplicaState::*;
        for (writable, confirming, state, plain, checked) in [
            (true, true, Leader, Exit::Done, Exit::Done),
            (true, true, Learner, Exit::Done, Exit::Refused),
            (true, false, Follower, Exit::Done, Exit::Refused),
            (false, false, Follower, Exit::Done, Exit::Unavailable),
            (false, false, Unreachable, Exit::Unavailable, Exit::Unavailable),
        ] {
            let status = status(writable, confirming, state);
            assert_eq!((exit(&status, false), exit(&status, true)), (plain, checked), "{state}");
        }
    }
}
