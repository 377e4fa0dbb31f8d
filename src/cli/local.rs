//! What commands for a local cluster have in common.

use std::fs::File;
use std::time::Duration;

use super::Context;
use crate::cluster::launch::Program;
use crate::cluster::{Description, Limit, Supervisor};
use crate::config::{ClusterFlags, ClusterSettings, Settings};
use crate::error::Error;
use crate::host::Host;

/// How long `up`, `start` and `restart` wait when `--timeout` is not given:
/// loading millions of messages takes longer than a request may.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The cluster, and the lock that keeps other commands from it meanwhile.
pub(super) async fn locked(
    flags: &ClusterFlags,
    context: &Context,
    limit: Limit,
) -> Result<(Description, File), Error> {
    let settings = ClusterSettings::resolve(&context.settings, &flags.given())?;
    locked_by(&settings, limit).await
}

/// The same of a cluster that is known by its settings.
pub(super) async fn locked_by(
    settings: &ClusterSettings,
    limit: Limit,
) -> Result<(Description, File), Error> {
    Description::lock_existing(settings, limit.left()).await
}

/// What starting and stopping may take, from now on.
pub(super) fn limit(settings: &Settings) -> Limit {
    match settings.values.is_set("timeout") {
        true => Limit::together(settings.timeout),
        false => Limit::Each(START_LIMIT),
    }
}

pub(super) fn supervisor<'a>(
    cluster: Description,
    settings: &Settings,
    host: &'a Host,
    limit: Limit,
    progress: &'a dyn Fn(&str),
) -> Result<Supervisor<'a>, Error> {
    let program = Program::current(settings.values.file.as_deref(), settings.verbose)?;
    Ok(Supervisor { cluster, host, program, limit, progress })
}
