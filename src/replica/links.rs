//! The connections to the other replicas.

use std::time::Duration;

use super::ReplicaConfig;
use crate::consensus::{self, Pair};
use crate::host::Host;
use crate::peer::{Credentials, Link, LinkTiming, LocalTransport};
use crate::types::{Address, ReplicaId};

/// Makes the connections to replicas, as they come.
pub struct Connector {
    host: Host,
    credentials: Credentials,
    local_transport: LocalTransport,
    timing: LinkTiming,
}

impl Connector {
    /// Of a replica.
    pub fn new(
        host: &Host,
        config: &ReplicaConfig,
        credentials: &Credentials,
        local_transport: &LocalTransport,
    ) -> Connector {
        let longest = Duration::from_millis(config.timing.election_timeout_max_ms);
        let timing = LinkTiming {
            connect: longest.max(Duration::from_millis(500)),
            redial: (Duration::from_millis(20), Duration::from_millis(250)),
            // An election has been held by then, and calls to the old leader should not
            // wait longer.
            receive: (2 * longest).max(Duration::from_secs(1)),
        };
        let (host, credentials) = (host.clone(), credentials.clone());
        Connector { host, credentials, local_transport: local_transport.clone(), timing }
    }

    /// Starts to connect to a peer, which is looked for at these addresses.
    pub fn connect(&self, peer: ReplicaId, addresses: &[Address]) -> Pair {
        let link = || {
            Link::start(
                self.host.clone(),
                self.credentials.clone(),
                peer,
                addresses.to_vec(),
                self.timing,
                self.local_transport.clone(),
                |task| {
                    consensus::spawn(&self.host, task);
                },
            )
        };
        Pair { consensus: link(), service: link() }
    }
}
