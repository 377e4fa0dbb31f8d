//! What the commands for a local cluster need, resolved.

use std::path::PathBuf;

use super::command_line::CommandLines;
use super::keys::help;
use super::serve::survivor;
use super::settings::Settings;
use super::values::Values;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::Survivor;

/// Flags by which every `ftchat cluster` command finds its cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterFlags {
    #[allow(missing_docs)]
    #[arg(long, value_name = "NAME", help = help("cluster.name"))]
    pub name: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "DIR", help = help("cluster.dir"))]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub dir: Option<String>,
}

impl ClusterFlags {
    /// The flags given, by the names of their keys.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let texts = [("cluster.name", self.name.clone()), ("cluster.dir", self.dir.clone())];
        texts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

/// What the commands for a local cluster need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The cluster's name.
    pub name: String,
    /// The cluster's folder, absolute.
    pub dir: PathBuf,
    /// How many replicas a new cluster gets.
    pub replicas: u32,
    /// Whether somebody asked for that number.
    pub replicas_given: bool,
    /// The port of replica 1 of a new cluster.
    pub base_port: u16,
    /// Whether somebody asked for that port.
    pub base_port_given: bool,
    /// Whether survivors adopt dead neighbours.
    pub survivor: Survivor,
    /// Whether somebody asked for that.
    pub survivor_given: bool,
    /// Command lines about this cluster.
    pub command_lines: CommandLines,
}

impl ClusterSettings {
    /// Resolves the flags of a `cluster` command over the rest. `flags` are
    /// [`ClusterFlags::given`] and, of `up`, `cluster.replicas`,
    /// `cluster.base_port` and `cluster.survivor`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] that names the place and what is allowed there.
    pub fn resolve(
        settings: &Settings,
        flags: &[(&'static str, String)],
    ) -> Result<ClusterSettings> {
        ClusterSettings::from_values(&settings.values.with(flags)?)
    }

    /// The clusters that a command may be about if it was told servers only: the one that
    /// needs no flag, then all others in the platform's directory.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`].
    pub fn known(settings: &Settings) -> Result<Vec<ClusterSettings>> {
        let usual = ClusterSettings::resolve(settings, &[])?;
        let mut known = vec![usual];
        let folder = directories::ProjectDirs::from("", "", "ftchat");
        // Where there is no such directory there are no clusters in it.
        let entries = folder.and_then(|folder| std::fs::read_dir(folder.data_local_dir()).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let dir = entry.path();
            if known[0].dir == dir || !dir.is_dir() {
                continue;
            }
            let mut other = known[0].clone();
            other.command_lines.add_path("--dir", &dir);
            other.dir = dir;
            known.push(other);
        }
        known[1..].sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(known)
    }

    fn from_values(values: &Values) -> Result<ClusterSettings> {
        let name = values.required("cluster.name", |text| Some(text.to_string()))?;
        let dir = match values.path("cluster.dir") {
            Some(dir) => dir,
            None => directories::ProjectDirs::from("", "", "ftchat")
                .map(|directories| directories.data_local_dir().join(&name))
                .ok_or_else(|| {
                    Error::new(
                        ErrorCode::InvalidConfig,
                        "this machine tells no home directory; say with --dir where the \
                         cluster's folder is",
                    )
                })?,
        };
        let dir = std::path::absolute(&dir)
            .map_err(|error| Error::io("make an absolute path of", &dir, &error))?;
        let replicas: u32 = values.integer("cluster.replicas")?;
        let base_port: u16 = values.integer("cluster.base_port")?;
        let last_port = u32::from(base_port) + replicas - 1;
        if last_port > u32::from(u16::MAX) {
            return Err(values.error(
                "cluster.base_port",
                format!(
                    "{replicas} ports from {base_port} on end at {last_port}, and ports at {}",
                    u16::MAX
                ),
            ));
        }
        Ok(ClusterSettings {
            name,
            dir,
            replicas,
            replicas_given: values.is_set("cluster.replicas"),
            base_port,
            base_port_given: values.is_set("cluster.base_port"),
            survivor: survivor(values, "cluster.survivor")?,
            survivor_given: values.is_set("cluster.survivor"),
            command_lines: CommandLines::new(values, &["cluster.name", "cluster.dir"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(changes: &[(&str, &str)]) -> Result<ClusterSettings> {
        let lookup = |name: &str| {
            changes.iter().find(|(known, _)| *known == name).map(|(_, v)| v.to_string())
        };
        ClusterSettings::from_values(&Values::collect(&[], &lookup, None)?)
    }

    #[test]
    fn a_cluster_is_found_by_folder_or_by_name() {
        let settings = resolve(&[("FTCHAT_CLUSTER_DIR", "/c")]).expect("valid");
        assert_eq!((settings.name.as_str(), settings.dir), ("default", PathBuf::from("/c")));
        assert_eq!((settings.replicas, settings.base_port), (3, 8091));
        assert_eq!(settings.survivor, Survivor::Auto);
        assert!(!settings.replicas_given && !settings.base_port_given);
        let settings = resolve(&[("FTCHAT_CLUSTER_NAME", "dev")]).expect("valid");
        assert!(settings.dir.ends_with("dev") && settings.dir.is_absolute());
    }

    #[test]
    fn the_last_replica_needs_a_port_too() {
        let port = ("FTCHAT_CLUSTER_BASE_PORT", "65534");
        assert!(resolve(&[port, ("FTCHAT_CLUSTER_REPLICAS", "2")]).is_ok());
        let error = resolve(&[port]).expect_err("65536");
        assert!(error.message.contains("end at 65536"), "{}", error.message);
    }
}
