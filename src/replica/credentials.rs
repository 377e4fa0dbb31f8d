//! Who a replica says it is, before it has loaded anything.

use super::{ReplicaConfig, level, neighbours};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::feature_level;
use crate::peer::Credentials;
use crate::protocol::peer::Introduction;
use crate::storage::{DataDirectory, ForgottenKeys};

/// The credentials of the replica that a directory belongs to; those of nobody yet if
/// it is empty. Counts the open of the directory, unless it is adopted.
///
/// # Errors
/// [`ErrorCode::WrongCluster`] and [`ErrorCode::NewerFormat`] for a directory that the
/// replica must not run on; what writing to it found.
pub async fn of(
    config: &ReplicaConfig,
    directory: &mut DataDirectory,
    adopted: bool,
) -> Result<Credentials> {
    let mut own =
        Introduction { replica: config.id, cluster: None, lineage: None, incarnation: None };
    // Before the first link: an open connection keeps what it was told, so
    // one made as "nobody yet" would carry another cluster's log into this
    // one, and a peer with an empty directory would take this replica for
    // empty as well and found a second cluster.
    let mut level = config.feature_level_known;
    let mut ready = 0;
    if let Ok(Some(identity)) = directory.identity() {
        directory.expect(None, config.id)?;
        ready = feature_level(identity.format);
        check_known(config, ready)?;
        own.cluster = Some(identity.cluster);
        own.lineage = Some(identity.lineage);
        own.incarnation = Some(identity.incarnation);
        // An adopted one is counted when it has turned out to be whole.
        if !adopted {
            directory.count_open(Some(level)).await?;
        } else {
            level = level::of_owner(identity, level, ready);
        }
    }
    // Before the first link, too: a file may still hold them.
    let forgotten = ForgottenKeys::open(directory).await?;
    config.keys.check_not_all(forgotten.all())?;
    config.keys.forget(forgotten.all());
    let credentials = Credentials::new(config.keys.clone(), own)
        .with_window(config.limits.deduplication_window_entries)
        .with_level(level);
    credentials.require_level(ready);
    credentials.locate_at(directory.location());
    if let Ok(Some(identity)) = directory.identity() {
        credentials.openings().run_on(identity.clone());
        neighbours::recall(credentials.openings(), directory).await?;
    }
    Ok(credentials)
}

/// Whether this replica knows the feature level that its directory is ready for.
fn check_known(config: &ReplicaConfig, ready: u32) -> Result<()> {
    if ready <= config.feature_level_known {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::NewerFormat,
        format!(
            "{} is ready for feature level {ready}, and this program knows levels up to {}; run the \
             newer program that wrote it",
            config.data_dir.display(),
            config.feature_level_known
        ),
    ))
}
