//! A cluster that begins with a backup: it is brought in while things go wrong, and
//! users who want to register wait for its end.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ftchat::backup::{self, Administrator, Source, Target, Verified};
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::limits::TEXT_MAX_BYTES;
use ftchat::replica::ClusterKey;
use ftchat::types::Uuid;

use super::key_files::CLUSTER_KEY;
use super::scale::Scale;
use super::users::{Author, Users};
use super::{Cluster, PROGRESS_MAX_MS};
use crate::recipes::ROLLING;
use crate::trace::TraceOptions;
use crate::world::simulate;

/// Messages of the backup. With their texts they are a few log entries' worth.
const MESSAGES: usize = 130;

/// How long the administrator goes on without getting any further.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A buffer that somebody else keeps.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    /// What was written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Somebody who holds the cluster's key.
pub fn administrator(host: &Host, users: &Users, timeout: Duration) -> Administrator {
    let servers = users.servers.to_vec();
    let (host, keys) = (host.clone(), ClusterKey::new(CLUSTER_KEY).into());
    Administrator { host, keys, servers, timeout }
}

/// Ids of the messages in a backup.
///
/// # Errors
/// What is wrong with a line.
pub fn ids_in(bytes: &[u8]) -> Result<BTreeSet<Uuid>, String> {
    let mut ids = BTreeSet::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let wrong = |error: &dyn std::fmt::Display| format!("a line of a backup: {error}");
        let record: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| wrong(&error))?;
        for message in record["data"]["messages"].as_array().into_iter().flatten() {
            let id = message["id"].as_str().unwrap_or_default();
            ids.insert(id.parse::<Uuid>().map_err(|error| wrong(&error))?);
        }
    }
    Ok(ids)
}

/// Brings the backup in, however long it takes.
///
/// # Errors
/// What no fault explains.
pub async fn restore(host: Host, users: Users) -> Result<(), String> {
    let verified = verified()?;
    let progress = |_| users.open.store(true, Ordering::Relaxed);
    loop {
        let administrator = administrator(&host, &users, TIMEOUT);
        match backup::restore(&administrator, &verified, &progress).await {
            Ok(_) => break,
            Err(error)
                if matches!(error.code, ErrorCode::Unavailable | ErrorCode::OutcomeUnknown) =>
            {
                users.count("restores repeated");
            }
            Err(error) => return Err(format!("restoring, {}: {error}", error.code)),
        }
    }
    users.count("restores");
    users.open.store(true, Ordering::Relaxed);
    *users.restored.lock().unwrap_or_else(PoisonError::into_inner) = ids_in(backup())?;
    Ok(())
}

/// The backup, as a file that is read once more by every attempt.
fn verified() -> Result<Verified, String> {
    let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(backup()).map_err(|error| error.to_string())?;
    let folder = file.path().parent().unwrap_or(file.path());
    let source = Source::again(file.path(), folder, 0).map_err(|error| error.to_string())?;
    backup::verify(source, &|_| {}).map_err(|error| error.to_string())
}

/// A backup of a cluster in which nothing went wrong, the same in every world. On a
/// thread of its own: a bug that is planted here is none of it.
fn backup() -> &'static [u8] {
    static BACKUP: OnceLock<Vec<u8>> = OnceLock::new();
    BACKUP.get_or_init(|| {
        let made = std::thread::scope(|scope| scope.spawn(take).join());
        made.expect("a quiet cluster is backed up")
    })
}

fn take() -> Vec<u8> {
    let buffer = Shared::default();
    let history = simulate(1, TraceOptions::default(), |world| {
        let cluster = Cluster::new(world, &ROLLING, &Scale::default());
        let machine = world.add_machine("author");
        let (users, target) = (cluster.users.clone(), buffer.clone());
        let author = world.install(machine, "author", move |host| {
            let (users, target) = (users.clone(), target.clone());
            Box::pin(async move {
                Author::run(&host, &users, MESSAGES, TEXT_MAX_BYTES - 10).await?;
                let administrator = administrator(&host, &users, TIMEOUT);
                let target = Target::Stream(Box::new(target));
                let taken = backup::take(&administrator, target, true, &|_| {}).await;
                taken.map(drop).map_err(|error| error.to_string())
            })
        });
        world.start(author);
        world.run_until(PROGRESS_MAX_MS, |world| world.exit(author).is_some());
        world.exit(author)
    });
    assert_eq!(history.value, Some(Ok(())), "{:?}", history.failures);
    buffer.bytes()
}
