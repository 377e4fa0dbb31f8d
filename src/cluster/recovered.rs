//! The folder of a cluster that begins with what is left of another.
//!
//! It is the folder that `cluster up` or `cluster init` would make, with data directories in
//! it. They come first and what makes it a cluster last, all beside its place, so a command that
//! is killed leaves nothing that another takes for a cluster.

use std::path::{Path, PathBuf};

use super::description::{Description, LocalReplica};
use super::hosts::{self, DATA, Data, Hosts, Prepared};
use super::whole::Unfinished;
use crate::config::{ClusterSettings, key_file};
use crate::error::Result;
use crate::host::Host;
use crate::protocol::client::Member;
use crate::recovery::Founding;
use crate::tls::Identity;
use crate::types::{Address, Fingerprint, ReplicaId};

pub use super::whole::check_out;

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The folder.
    pub dir: PathBuf,
    /// How clients know the new cluster.
    pub fingerprint: Fingerprint,
    /// The word for people; `None` of a cluster on this machine.
    pub connect: Option<String>,
    /// By replica: where it is reached, and its folder.
    pub replicas: Vec<(ReplicaId, Address, PathBuf)>,
}

/// Makes a local cluster in `out`, which must not exist or be empty.
///
/// # Errors
/// [`NotEmpty`](crate::error::ErrorCode::NotEmpty); [`Io`](crate::error::ErrorCode::Io) and
/// [`DiskFull`](crate::error::ErrorCode::DiskFull), with nothing left of it.
pub async fn make_local(
    host: &Host,
    settings: &ClusterSettings,
    founding: &Founding,
    out: &Path,
) -> Result<Made> {
    let replicas = LocalReplica::all_of(settings)?;
    let member = |it: &LocalReplica| Member { id: it.id, address: it.address.clone() };
    let members: Vec<Member> = replicas.iter().map(member).collect();
    let unfinished = Unfinished::begin(host, out)?;
    let written = async {
        let beside = unfinished.path();
        for replica in &replicas {
            let folder = beside.join(&replica.data_dir);
            founding.write(host, &folder, replica.id, &members).await?;
        }
        Description::new(settings, beside, &*host.random)?;
        key_file::read(&beside.join("cluster.key"))
    };
    let keys = match written.await {
        Ok(keys) => keys,
        Err(error) => {
            unfinished.abandon();
            return Err(error);
        }
    };
    let dir = unfinished.finish()?;
    let fingerprint = Identity::of(&keys.newest).fingerprint();
    let shown = |it: LocalReplica| (it.id, it.address, dir.join(it.data_dir));
    let replicas = replicas.into_iter().map(shown).collect();
    Ok(Made { fingerprint, connect: None, replicas, dir })
}

/// Makes the folders of a cluster on several machines in `out`, which must not exist or be
/// empty.
///
/// # Errors
/// As [`make_local`].
pub async fn make_hosts(
    host: &Host,
    name: &str,
    machines: &Hosts,
    founding: &Founding,
    out: &Path,
) -> Result<Made> {
    let key = hosts::new_key(host);
    let member = |(id, address): (u32, &Address)| {
        let (id, address) = (ReplicaId(id), address.clone());
        Member { id, address }
    };
    let members: Vec<Member> = (1..).zip(&machines.0).map(member).collect();
    let unfinished = Unfinished::begin(host, out)?;
    let written = async {
        let beside = unfinished.path();
        for Member { id, address } in &members {
            let folder = beside.join(address.host()).join(DATA);
            founding.write(host, &folder, *id, &members).await?;
        }
        hosts::write_all(name, machines, &key, Data::Brought, beside)
    };
    if let Err(error) = written.await {
        unfinished.abandon();
        return Err(error);
    }
    let dir = unfinished.finish()?;
    let Prepared { fingerprint, connect, hosts } = hosts::prepared(machines, &key, &dir);
    Ok(Made { dir, fingerprint, connect: Some(connect), replicas: hosts })
}
