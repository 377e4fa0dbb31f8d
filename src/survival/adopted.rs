//! Adopts one replica, and lets it go.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::{AdoptedListener, Hosting};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{BoxFuture, FileId, Listener, Stream};
use crate::replica::{Obstacle, Opened, Replica, ReplicaConfig, Subject};
use crate::storage::{DataDirectory, Identity, is_in_place, read_lock};
use crate::types::{Address, ReplicaId};

/// An adopted replica.
pub struct AdoptedReplica {
    /// Its voter.
    pub replica: Replica,
    /// Its data directory.
    pub path: PathBuf,
    /// The `LOCK` that is held.
    pub lock: FileId,
    listener: Option<ListenerHandle>,
}

struct ListenerHandle {
    stop: watch::Sender<bool>,
    unbound: watch::Receiver<()>,
}

/// A listener that says when it is closed.
struct NotifyingListener {
    listener: Box<dyn Listener>,
    /// Dropped after the listener, hence the last of the fields.
    _unbound: watch::Sender<()>,
}

impl Listener for NotifyingListener {
    fn accept(&self) -> BoxFuture<'_, std::io::Result<(Stream, String)>> {
        self.listener.accept()
    }
    fn local_address(&self) -> Address {
        self.listener.local_address()
    }
}

impl AdoptedReplica {
    /// Whether its address is served here.
    pub fn has_listener(&self) -> bool {
        self.listener.is_some()
    }

    /// Stops listening at its address.
    pub fn close_listener(&mut self) {
        if let Some(listener) = &self.listener {
            listener.stop.send_replace(true);
        }
    }

    /// Stops listening, stops the voter, closes and unlocks its directory.
    pub async fn stop(mut self) {
        self.close_listener();
        if let Some(mut listener) = self.listener.take() {
            // Nothing is sent: an error is the end of the listener.
            while listener.unbound.changed().await.is_ok() {}
        }
        self.replica.stop().await;
    }
}

/// Why a neighbour was not adopted.
pub(super) enum NotAdopted {
    /// A process holds its lock.
    Held(Obstacle),
    /// Anything else: nobody knows where its data is, its directory may not be adopted,
    /// its replica does not start, or this server stops.
    Refused(Error),
}

impl From<Error> for NotAdopted {
    fn from(error: Error) -> Self {
        NotAdopted::Refused(error)
    }
}

impl Hosting {
    /// Adopts a neighbour that does not answer, if its process is dead and its
    /// directory is what it should be.
    ///
    /// # Errors
    /// [`NotAdopted::Held`] while a process holds the lock, else [`NotAdopted::Refused`].
    pub(super) async fn adopt(&self, peer: ReplicaId) -> Result<(), NotAdopted> {
        let own = self.identity()?;
        let Some(neighbour) = self.0.own_replica.neighbour(peer).await else {
            return Err(Error::unavailable(
                "it is not known where its data is, as it was never met",
            )
            .into());
        };
        let holder = self.0.config.holder();
        let directory = match DataDirectory::adopt(&self.0.host, &neighbour, &own, holder).await {
            Ok(directory) => directory,
            Err(error) if error.code == ErrorCode::DirectoryInUse => {
                let obstacle = self.held(peer, &neighbour.location.path).await;
                return Err(NotAdopted::Held(obstacle));
            }
            Err(error) => return Err(error.into()),
        };
        let member = self.0.own_replica.member(peer);
        let member = member.ok_or_else(|| Error::unavailable("it has left the cluster"))?;
        let listen = member.address.clone();
        let mut members = self.0.config.members.clone();
        if members.iter().all(|known| known.id != peer) {
            // It came when this server was running.
            members.push(member);
        }
        let config = ReplicaConfig {
            id: peer,
            listen,
            members,
            data_dir: neighbour.location.path.clone(),
            ..self.0.config.clone()
        };
        let (path, lock) = (directory.path().to_path_buf(), directory.lock_file());
        let host_replica = Some(self.0.own_replica.clone());
        let local_transport = self.0.local_transport.clone();
        let opened = Opened { directory, preloaded: self.0.verified.of(peer) };
        let replica = match Replica::start_on(
            self.0.host.clone(),
            config,
            opened,
            local_transport.clone(),
            host_replica,
        )
        .await
        {
            Ok(replica) => replica,
            Err(error) => {
                local_transport.unregister(peer);
                return Err(error.into());
            }
        };
        replica.loaded().await;
        let adopted = AdoptedReplica { replica, path, lock, listener: None };
        let path = adopted.path.clone();
        let refused = match adopted.replica.failure() {
            Some(failure) => Some((adopted, failure)),
            None => {
                let stopping = || Error::unavailable("this server is stopping");
                self.state().add(peer, adopted).map(|adopted| (adopted, stopping()))
            }
        };
        if let Some((adopted, error)) = refused {
            local_transport.unregister(peer);
            adopted.stop().await;
            return Err(error.into());
        }
        tracing::info!(replica = %peer, path = %path.display(), "adopted a dead neighbour");
        self.0.own_replica.note_obstacle(peer, None);
        Ok(())
    }

    fn identity(&self) -> Result<Identity> {
        self.0
            .own_replica
            .identity()
            .ok_or_else(|| Error::unavailable("this replica has no data yet"))
    }

    /// Why a lock cannot be taken.
    async fn held(&self, peer: ReplicaId, path: &std::path::Path) -> Obstacle {
        let (disk, path) = (self.0.host.disk.clone(), path.to_path_buf());
        let holder =
            self.0.host.on_worker("neighbour", async move { read_lock(&*disk, &path).await }).await;
        let server = match holder {
            Some(Ok(content)) => content.holder.map(|holder| holder.server),
            Some(Err(_)) | None => None,
        };
        match server {
            Some(server) if server != peer => Obstacle {
                subject: Subject::Other,
                why: format!("server {server} runs replica {peer} and does not answer: frozen?"),
            },
            _ => Obstacle {
                subject: Subject::Server,
                why: "does not answer but holds its lock: frozen?".into(),
            },
        }
    }

    /// Binds the addresses of adopted replicas that are free.
    pub(super) async fn open_listeners(&self) {
        let closed: Vec<(ReplicaId, Address)> = {
            let state = self.state();
            let closed = state.adopted.iter().filter(|(_, adopted)| !adopted.has_listener());
            closed.map(|(id, adopted)| (*id, adopted.replica.address().clone())).collect()
        };
        for (id, address) in closed {
            let listener = match self.0.host.network.listen(&address).await {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::debug!(%address, %error, "the address of an adopted replica is not free");
                    continue;
                }
            };
            let (stop, stopping) = watch::channel(false);
            let (unbound_sender, unbound) = watch::channel(());
            let listener = Box::new(NotifyingListener { listener, _unbound: unbound_sender });
            let mut state = self.state();
            let Some(adopted) = state.adopted.get_mut(&id) else { continue };
            adopted.listener = Some(ListenerHandle { stop, unbound });
            let served = AdoptedListener { replica: id, listener, stop: stopping };
            // Dropped, and unbound with it, where nobody serves it.
            drop(self.0.listeners.send(served));
        }
    }

    /// Stops an adopted replica and unlocks its directory.
    pub(super) async fn let_go(&self, id: ReplicaId) {
        let adopted = self.state().adopted.remove(&id);
        if let Some(adopted) = adopted {
            adopted.replica.yield_to_host().await;
            self.0.local_transport.unregister(id);
            adopted.stop().await;
            tracing::info!(replica = %id, "let go of an adopted replica");
        }
    }

    /// Whether the path of an adopted replica still leads to the directory that is held.
    pub(super) async fn is_in_place(&self, id: ReplicaId) -> bool {
        let place =
            self.state().adopted.get(&id).map(|adopted| (adopted.path.clone(), adopted.lock));
        let Some((path, lock)) = place else { return false };
        let disk = Arc::clone(&self.0.host.disk);
        let look = async move { is_in_place(&*disk, &path, lock).await };
        self.0.host.on_worker("neighbour", look).await.unwrap_or(false)
    }
}
