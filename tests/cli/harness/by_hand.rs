//! Three servers that somebody starts one by one with `serve`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::place::{free_ports, write_key};
use super::{Cluster, Place, Run, Running};

/// Three servers started by hand on one host, which share nothing but the
/// cluster's key: their data directories lie in folders that have nothing to
/// do with each other.
pub struct ByHand {
    /// Its servers seen as a cluster. `ftchat cluster` knows nothing of it.
    pub cluster: Cluster,
    flags: Vec<String>,
    /// Whether each has a key file of its own.
    own_keys: bool,
    servers: BTreeMap<u64, Running>,
}

impl ByHand {
    /// Starts three servers with no flag but what a server needs, and waits
    /// until all take part.
    pub fn new() -> ByHand {
        ByHand::with(&[])
    }

    /// The same with these flags.
    pub fn with(flags: &[&str]) -> ByHand {
        ByHand::started(flags, false)
    }

    /// The same of servers that have each a copy of the key, as on machines of their own.
    pub fn with_own_keys(flags: &[&str]) -> ByHand {
        ByHand::started(flags, true)
    }

    fn started(flags: &[&str], own_keys: bool) -> ByHand {
        let mut place = Place::new();
        write_key(&place.path().join("common.key"), 0o600);
        let base_port = free_ports(3);
        let data_dirs = ["here/one", "there/deep/two", "three"].map(|name| place.path().join(name));
        let addresses = (base_port..base_port + 3).map(|port| format!("127.0.0.1:{port}"));
        place.set("FTCHAT_SERVERS", addresses.collect::<Vec<_>>().join(","));
        let cluster = Cluster { place, base_port, data_dirs };
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        let mut by_hand = ByHand { cluster, flags, own_keys, servers: BTreeMap::new() };
        if own_keys {
            let common = by_hand.cluster.place.path().join("common.key");
            for id in 1..=3 {
                std::fs::copy(&common, by_hand.key_file(id)).expect("a copy");
            }
        }
        (1..=3).for_each(|id| by_hand.start(id));
        by_hand.cluster.await_whole();
        by_hand
    }

    /// `serve` for one of them.
    pub fn serve(&self, id: u64) -> Run {
        self.serve_in(id, &self.cluster.data_dir(id))
    }

    /// The key file of one of them.
    pub fn key_file(&self, id: u64) -> PathBuf {
        let name = if self.own_keys { format!("{id}.key") } else { "common.key".to_string() };
        self.cluster.place.path().join(name)
    }

    /// `serve` for one of them in any directory.
    pub fn serve_in(&self, id: u64, data_dir: &Path) -> Run {
        self.serve_among(id, data_dir, &self.cluster.addresses())
    }

    /// `serve` for one of them, which reaches another at this address.
    pub fn serve_with_peer(&self, id: u64, peer: usize, address: &str) -> Run {
        let mut addresses = self.cluster.addresses();
        addresses[peer - 1] = address.to_string();
        self.serve_among(id, &self.cluster.data_dir(id), &addresses)
    }

    fn serve_among(&self, id: u64, data_dir: &Path, addresses: &[String]) -> Run {
        let peers: Vec<String> =
            (1..).zip(addresses).map(|(id, address)| format!("{id}={address}")).collect();
        let key = self.key_file(id);
        self.cluster
            .run(&["serve", "--id", &id.to_string(), "--peers", &peers.join(",")])
            .and(&["--data-dir", &data_dir.display().to_string()])
            .and(&["--cluster-key-file", &key.display().to_string()])
            .and(&self.flags)
    }

    /// Starts one of them and goes on.
    pub fn start(&mut self, id: u64) {
        let server = self.serve(id).start();
        // The one before it has ended, or ends now.
        self.servers.insert(id, server);
    }

    /// The server that was started last for a replica.
    pub fn server(&mut self, id: u64) -> &mut Running {
        self.servers.get_mut(&id).expect("it was started")
    }

    /// Takes such a server out, to wait for its end.
    pub fn take(&mut self, id: u64) -> Running {
        self.servers.remove(&id).expect("it was started")
    }

    /// Kills one of them and waits until it is gone.
    pub fn kill(&mut self, id: u64) {
        let server = self.take(id);
        server.signal(rustix::process::Signal::KILL);
        server.end().code(128 + 9);
    }
}
