//! Makes an administrator, who holds the cluster's key, out of the settings.

use super::Context;
use crate::backup::Administrator;
use crate::cluster::Description;
use crate::config::{ClusterFlags, ClusterSettings, key_file};
use crate::error::{Error, ErrorCode, Result};
use crate::peer::ClusterKey;
use crate::types::Address;

/// Flags by which a command finds the cluster's key.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct KeyFlags {
    #[arg(long, value_name = "FILE", help = crate::config::keys::help("serve.cluster_key_file"))]
    #[arg(value_hint = clap::ValueHint::FilePath, conflicts_with_all = ["name", "dir"])]
    cluster_key_file: Option<String>,
    #[command(flatten)]
    cluster: ClusterFlags,
}

impl KeyFlags {
    /// An administrator with the key, and the servers that it is for.
    ///
    /// # Errors
    /// Those of [`KeyFlags::found`]; [`ErrorCode::WrongCluster`] when the servers are
    /// named with another fingerprint than the key's.
    pub(super) fn administrator(&self, context: &Context) -> Result<Administrator> {
        let Found { key, servers, local } = self.found(context)?;
        let here = servers.iter().all(Address::is_loopback);
        let known = key.identity().fingerprint();
        let host = match context.settings.servers.fingerprint.filter(|_| !local) {
            Some(named) if named != known => {
                return Err(Error::new(
                    ErrorCode::WrongCluster,
                    format!(
                        "the servers are named with the fingerprint {named}, and the key is that of \
                         {known}: one of them is another cluster's"
                    ),
                ));
            }
            None if here => context.host.clone(),
            // Whoever has the key knows the cluster.
            _ => context.host_for(known),
        };
        Ok(Administrator { host, key, servers, timeout: context.settings.timeout })
    }

    /// The key: the file that is set, else that of the local cluster. The
    /// servers: those that are set, unless a flag names a local cluster.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when the key cannot be read, and when there
    /// is neither a key nor a local cluster.
    pub(super) fn found(&self, context: &Context) -> Result<Found> {
        let settings = &context.settings;
        let given = self.cluster.given();
        let named = !given.is_empty();
        let key_flag = self.cluster_key_file.clone().map(|file| ("serve.cluster_key_file", file));
        let values = settings.values.with(&key_flag.into_iter().collect::<Vec<_>>())?;
        let (file, cluster) = match values.path("serve.cluster_key_file").filter(|_| !named) {
            Some(file) => (file, None),
            None => {
                let cluster = Description::existing(&ClusterSettings::resolve(settings, &given)?);
                let cluster = cluster.map_err(|error| match error.code {
                    ErrorCode::UnknownCluster if !named => Error::new(
                        ErrorCode::InvalidConfig,
                        format!(
                            "this needs the cluster's key: name its file with \
                             --cluster-key-file, or a local cluster with --name or --dir ({})",
                            error.message
                        ),
                    ),
                    _ => error,
                })?;
                (cluster.key_file(), Some(cluster.addresses()))
            }
        };
        let key = ClusterKey::new(*key_file::read(&file)?);
        let local = cluster.filter(|_| named || !values.is_set("servers"));
        Ok(match local {
            Some(servers) => Found { key, servers, local: true },
            None => Found { key, servers: settings.servers.addresses.clone(), local: false },
        })
    }
}

/// What the flags have led to.
pub(super) struct Found {
    pub(super) key: ClusterKey,
    pub(super) servers: Vec<Address>,
    /// Whether the servers are those of the local cluster.
    local: bool,
}
