//! A server that starts acquires its address and the lock of its directory. A
//! survivor may have adopted its replica while it was dead.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::consensus;
use crate::error::{Error, ErrorCode, Result};
use crate::host::{FileId, Host, Listener};
use crate::peer::{self, CallError};
use crate::protocol::client::Member;
use crate::protocol::peer::{Call, Introduction, Release};
use crate::replica::{Opened, Preloaded, ReplicaConfig, WarmState};
use crate::storage::{DataDirectory, Holder, LOCK_FILE, in_use, read_lock};
use crate::types::Address;

/// How long a holder may take to let go before it is asked again.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// Between two attempts to take the lock.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Between two attempts while the holder does not answer.
const SILENT_PAUSE: Duration = Duration::from_millis(50);

/// How often preloading is begun: the holder may take a snapshot meanwhile,
/// and remove the log that leads up to it.
const READ_ATTEMPTS: u32 = 3;

/// At most so many rounds of catching up with what the holder has written meanwhile.
const CATCH_UPS_MAX: u32 = 20;

/// Log entries that are quickly replayed when the replica is here.
const LITTLE_ENTRIES: u64 = 500;

/// How long a holder may take to write who it is, and how long after its lock the
/// address may take to become free.
const SETTLING_MAX: Duration = Duration::from_secs(1);

/// Binds the address and opens the directory.
///
/// # Errors
/// [`ErrorCode::AddressInUse`]; [`ErrorCode::DirectoryInUse`] when the same
/// server runs already; what the holder answers, such as that it runs this
/// replica from another directory; those of [`DataDirectory::open`].
pub async fn acquire(host: &Host, config: &ReplicaConfig) -> Result<(Box<dyn Listener>, Opened)> {
    let mut listener = match host.network.listen(&config.listen).await {
        Ok(listener) => Some(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
        Err(error) => return Err(cannot_listen(&config.listen, &error)),
    };
    if listener.is_none() && holder(host, config).await?.is_none() {
        // A survivor that does not hold this directory may serve the address
        // for a directory that has been replaced by this one. It must say so
        // before anything here is touched.
        listener = ask_at_own_address(host, config).await?;
    }
    let opened = open(host, config, listener.is_some()).await?;
    let deadline = Instant::now() + SETTLING_MAX;
    loop {
        if let Some(listener) = listener.take() {
            return Ok((listener, opened));
        }
        match host.network.listen(&config.listen).await {
            Ok(bound) => listener = Some(bound),
            Err(error) if Instant::now() < deadline => {
                tracing::debug!(%error, "the address is not free yet");
                sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(cannot_listen(&config.listen, &error)),
        }
    }
}

/// `has_address`: this process listens at the server's address already.
async fn open(host: &Host, config: &ReplicaConfig, has_address: bool) -> Result<Opened> {
    // If two are started at once, one may have the address and the other the
    // directory, and each would wait for the other. The directory decides.
    let limit = if has_address { SETTLING_MAX / 2 } else { SETTLING_MAX };
    let unnamed_until = Instant::now() + limit;
    let mut announced = None;
    let mut preloaded = Preloaded::Nothing;
    loop {
        let taken = match DataDirectory::open(host, &config.data_dir, config.holder()).await {
            Err(error) if error.code == ErrorCode::DirectoryInUse => error,
            result => return result.map(|directory| Opened { directory, preloaded }),
        };
        let Some(holder) = holder(host, config).await? else {
            if Instant::now() > unnamed_until {
                return Err(taken);
            }
            sleep(RETRY_PAUSE).await;
            continue;
        };
        if holder.server == config.id {
            // The text of an owner that died stays until the next holder has
            // written its own.
            let fresh = Instant::now() <= unnamed_until && holder.pid != config.process.pid;
            // If this process listens at the address, nobody else answers there.
            if !fresh || !has_address && is_answering_as_owner(host, config, &holder).await {
                // Not the error from above: since then the holder may have changed.
                return Err(in_use(&config.data_dir, Some(holder)));
            }
            sleep(RETRY_PAUSE).await;
            continue;
        }
        if announced != Some(holder.pid) {
            announced = Some(holder.pid);
            tracing::info!(
                server = %holder.server,
                pid = holder.pid,
                "this replica was adopted; reading its data before asking for it"
            );
            preloaded = preload(host, config).await.map_or(Preloaded::Nothing, Preloaded::State);
        }
        let member = Member { id: holder.server, address: holder.address.clone() };
        match ask_release(host, config, &member, lock_file(host, config).await).await {
            Ok(()) => sleep(RETRY_PAUSE).await,
            Err(CallError::Refused(error)) if error.code == ErrorCode::WrongCluster => {
                return Err(error);
            }
            Err(error) => {
                tracing::debug!(%error, "the holder of the directory did not let go");
                sleep(SILENT_PAUSE).await;
            }
        }
    }
}

/// Loads the data while the holder goes on writing it, until little is missing.
async fn preload(host: &Host, config: &ReplicaConfig) -> Option<WarmState> {
    let window = config.limits.deduplication_window_entries;
    for _ in 0..READ_ATTEMPTS {
        let reading = async {
            let Some(mut state) = WarmState::load(host, &config.data_dir, window).await? else {
                return Ok(None);
            };
            for _ in 0..CATCH_UPS_MAX {
                if state.catch_up().await? <= LITTLE_ENTRIES {
                    break;
                }
            }
            Ok::<_, Error>(Some(state))
        };
        match reading.await {
            Ok(state) => return state,
            Err(error) => tracing::info!(%error, "its data could not be read ahead"),
        }
    }
    // Once the directory is locked, its data is loaded or found to be damaged.
    None
}

/// Whether a live process of this same server answers at its address: then it
/// was started twice.
async fn is_answering_as_owner(host: &Host, config: &ReplicaConfig, holder: &Holder) -> bool {
    let member = Member { id: config.id, address: holder.address.clone() };
    let answer = ask_release(host, config, &member, lock_file(host, config).await).await;
    matches!(answer, Err(CallError::Refused(error)) if error.code == ErrorCode::DirectoryInUse)
}

/// Asks the process that serves this server's address to let go of it. Returns the
/// listener if the address is free by then.
async fn ask_at_own_address(
    host: &Host,
    config: &ReplicaConfig,
) -> Result<Option<Box<dyn Listener>>> {
    let member = Member { id: config.id, address: config.listen.clone() };
    let deadline = Instant::now() + SETTLING_MAX;
    loop {
        match ask_release(host, config, &member, lock_file(host, config).await).await {
            Ok(()) => return Ok(None),
            Err(CallError::Refused(error))
                if matches!(error.code, ErrorCode::DirectoryInUse | ErrorCode::WrongCluster) =>
            {
                return Err(error);
            }
            Err(error) => tracing::debug!(%error, "whoever has the address did not let go"),
        }
        // A survivor may have let go by itself, which looks like no answer.
        match host.network.listen(&config.listen).await {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) if Instant::now() >= deadline => {
                return Err(cannot_listen(&config.listen, &error));
            }
            Err(_) => sleep(SILENT_PAUSE).await,
        }
    }
}

async fn ask_release(
    host: &Host,
    config: &ReplicaConfig,
    member: &Member,
    lock: Option<FileId>,
) -> Result<(), CallError> {
    let from = Introduction { replica: config.id, cluster: None, lineage: None, incarnation: None };
    let release = Release { replica: config.id, path: config.data_dir.clone(), lock };
    let body = serde_json::to_vec(&release).expect("plain data serializes");
    let spawn = |task| consensus::spawn(host, task);
    let keys = &config.keys;
    peer::ask(host, keys, from, member, Call::Release, body.into(), RELEASE_MAX, spawn).await?;
    Ok(())
}

/// Who holds the directory, as `LOCK` says; `None` when nobody does, or it does not say.
/// Just after a change of holders it may still name the one before.
async fn holder(host: &Host, config: &ReplicaConfig) -> Result<Option<Holder>> {
    let (disk, path) = (host.disk.clone(), config.data_dir.clone());
    let read = host.on_worker("neighbour", async move {
        let lock = path.join(LOCK_FILE);
        match disk.is_locked(&lock).await {
            Ok(true) => Ok(read_lock(&*disk, &path).await?.holder),
            Ok(false) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", &lock, &error)),
        }
    });
    read.await.unwrap_or(Ok(None))
}

async fn lock_file(host: &Host, config: &ReplicaConfig) -> Option<FileId> {
    let (disk, path) = (host.disk.clone(), config.data_dir.join(LOCK_FILE));
    // A directory that is empty has none.
    host.on_worker("neighbour", async move { disk.file_id(&path).await.ok() }).await?
}

fn cannot_listen(address: &Address, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        return Error::new(
            ErrorCode::AddressInUse,
            format!("{address} is taken by another process; stop it or choose another --listen"),
        );
    }
    Error::failed(format!("cannot listen on {address}"), error)
}
