//! Makes an administrator, who holds the cluster's key, out of the settings.

use super::Context;
use crate::backup::Administrator;
use crate::cluster::Description;
use crate::config::{ClusterFlags, ClusterSettings, Values};
use crate::error::{Error, ErrorCode, Result};
use crate::peer::Keys;
use crate::types::{Address, Servers};

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
    /// Those of [`KeyFlags::found`].
    pub(super) fn administrator(&self, context: &Context) -> Result<Administrator> {
        let Found { keys, mut servers, local, .. } = self.found(context)?;
        if !local {
            let learned = context.addresses()?;
            let is_new = |it: &Address| !context.settings.servers.addresses.contains(it);
            servers.extend(learned.into_iter().filter(is_new));
        }
        // Whoever has the key knows the cluster. One that is local speaks plain text too.
        let host = match local {
            true => context.host.clone(),
            false => context.host_for_keys(&keys),
        };
        Ok(Administrator { host, keys, servers, timeout: context.settings.timeout })
    }

    /// The local cluster whose key it is, if it is one's.
    ///
    /// # Errors
    /// Those of [`KeyFlags::found`].
    pub(super) fn local(&self, context: &Context) -> Result<Option<ClusterSettings>> {
        match self.found(context)?.local {
            true => ClusterSettings::resolve(&context.settings, &self.cluster.given()).map(Some),
            false => Ok(None),
        }
    }

    /// The key: the file that is set, else that of the local cluster. The servers: those
    /// of a local cluster that is named, or whose key it is; else those that are set; else
    /// those in the configuration of a server.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when the key cannot be read, when there is neither a
    /// key nor a local cluster, and when the local cluster's key would meet the servers of
    /// another. [`ErrorCode::WrongCluster`] when the servers are named with another
    /// fingerprint than the key's.
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
        let keys = Keys::read(&file)?;
        let Servers { addresses, fingerprint } = &settings.servers;
        let are_set = values.is_set("servers");
        let are_all_in = |servers: &[Address]| addresses.iter().all(|it| servers.contains(it));
        match cluster {
            Some(servers)
                if named || !are_set || (fingerprint.is_none() && are_all_in(&servers)) =>
            {
                return Ok(Found { keys, servers, local: true });
            }
            // A key that nobody named is for its own servers only.
            Some(servers) if !are_all_in(&servers) => {
                return Err(values.error(
                    "servers",
                    "these are not the servers of the local cluster, so its key is not theirs: \
                     name theirs with --cluster-key-file, or the local cluster with --name or --dir",
                ));
            }
            // Whoever names servers with a fingerprint wants it to be looked at.
            Some(_) | None => {}
        }
        if let Some(named) = fingerprint.filter(|named| !keys.knows(named)) {
            let known = keys.used();
            return Err(Error::new(
                ErrorCode::WrongCluster,
                format!(
                    "the servers are named with the fingerprint {named}, and the key is that of \
                     {known}: one of them is another cluster's"
                ),
            ));
        }
        // On the machine of a server its configuration names all of them.
        let members = if are_set { None } else { members(&values)? };
        let servers = members.unwrap_or_else(|| addresses.clone());
        Ok(Found { keys, servers, local: false })
    }
}

/// The servers that the configuration of a server names, if there is one.
fn members(values: &Values) -> Result<Option<Vec<Address>>> {
    if values.text("serve.peers").is_none() {
        return Ok(None);
    }
    let members = values.members("serve.peers")?;
    Ok(Some(members.into_iter().map(|member| member.address).collect()))
}

/// What the flags have led to.
pub(super) struct Found {
    /// The cluster's key, or both while it gets a new one.
    pub(super) keys: Keys,
    pub(super) servers: Vec<Address>,
    /// Whether the servers are those of the local cluster.
    local: bool,
}
