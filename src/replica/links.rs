//! The connections to the other replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ReplicaConfig;
use crate::consensus::{self, Links, Pair};
use crate::host::Host;
use crate::peer::{Credentials, Link, LinkTiming, LocalTransport};

/// Starts to connect to every other configured replica.
pub fn connect(
    host: &Host,
    config: &ReplicaConfig,
    credentials: &Credentials,
    local_transport: &LocalTransport,
) -> Links {
    let longest = Duration::from_millis(config.timing.election_timeout_max_ms);
    let timing = LinkTiming {
        connect: longest.max(Duration::from_millis(500)),
        redial: (Duration::from_millis(20), Duration::from_millis(250)),
        // An election has been held by then, and calls to the old leader should not
        // wait longer.
        receive: (2 * longest).max(Duration::from_secs(1)),
    };
    let mut links = BTreeMap::new();
    for member in &config.members {
        if member.id == config.id {
            continue;
        }
        let link = || {
            let (host, credentials) = (host.clone(), credentials.clone());
            let spawn_host = host.clone();
            Link::start(
                host,
                credentials,
                member.clone(),
                timing,
                local_transport.clone(),
                |task| {
                    consensus::spawn(&spawn_host, task);
                },
            )
        };
        links.insert(member.id, Pair { consensus: link(), service: link() });
    }
    Links::new(links)
}
