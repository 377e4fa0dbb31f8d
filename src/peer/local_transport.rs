//! Connects the replicas of one process to each other, without the network.
//!
//! A survivor runs the replicas of its dead neighbours. They must reach each other
//! also when somebody else has taken the neighbours' addresses, and at once, not with
//! the next redial. The bytes are the same as on the network, handshake included.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::host::Stream;
use crate::types::ReplicaId;

/// Bytes that one side may be ahead of the other.
const BUFFER_BYTES: usize = 256 * 1024;

/// Takes the far end of a new connection.
pub type LocalEndpoint = Arc<dyn Fn(Stream) + Send + Sync>;

/// See the head of this file. Clones share the endpoints.
#[derive(Clone, Default)]
pub struct LocalTransport(Arc<watch::Sender<BTreeMap<ReplicaId, LocalEndpoint>>>);

impl LocalTransport {
    /// From now on links to this replica lead here.
    pub fn register(&self, replica: ReplicaId, endpoint: LocalEndpoint) {
        self.0.send_modify(|endpoints| drop(endpoints.insert(replica, endpoint)));
    }

    /// From now on they lead to its address again. Connections that are open
    /// end with the replica.
    pub fn unregister(&self, replica: ReplicaId) {
        self.0.send_modify(|endpoints| drop(endpoints.remove(&replica)));
    }

    /// Whether this process runs the replica.
    pub fn has(&self, replica: ReplicaId) -> bool {
        self.0.borrow().contains_key(&replica)
    }

    pub(super) fn connect(&self, replica: ReplicaId) -> Option<Stream> {
        let endpoint = self.0.borrow().get(&replica).cloned()?;
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        endpoint(Stream::local(far));
        Some(Stream::local(near))
    }

    pub(super) fn watch(&self) -> Changes {
        Changes(self.0.subscribe())
    }
}

/// Notices of changes.
pub(super) struct Changes(watch::Receiver<BTreeMap<ReplicaId, LocalEndpoint>>);

impl Changes {
    /// Resolves when the endpoints have changed since this was asked last.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The endpoints are gone, and will not change.
            std::future::pending::<()>().await;
        }
    }
}
