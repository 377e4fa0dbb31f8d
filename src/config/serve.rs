//! What a server needs, resolved and checked.

use std::path::PathBuf;

use super::keys::{help, parse_integer, parse_members};
use super::settings::Settings;
use super::values::Values;
use crate::error::Result;
use crate::host::is_within;
use crate::limits::{
    ACCOUNT_BYTES_DEFAULT, ACCOUNT_BYTES_MIN, CHANGES_PER_ACCOUNT_PER_S_DEFAULT, Limits,
    TOTAL_BYTES_MIN,
};
use crate::protocol::administration::Registration;
use crate::protocol::client::{Member, Survivor};
use crate::types::{Address, ReplicaId};

/// Flags of `ftchat serve`, kept as text like the global ones.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeFlags {
    #[allow(missing_docs)]
    #[arg(long, value_name = "N", help = help("serve.id"))]
    pub id: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "ADDR", help = help("serve.listen"))]
    pub listen: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "LIST", help = help("serve.peers"))]
    pub peers: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "DIR", help = help("serve.data_dir"))]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub data_dir: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "FILE", help = help("serve.cluster_key_file"))]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub cluster_key_file: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "WHEN", help = help("serve.survivor"))]
    #[arg(value_parser = ["auto", "never"], hide_possible_values = true)]
    pub survivor: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "WHO", help = help("serve.registration"))]
    #[arg(value_parser = Registration::NAMES, hide_possible_values = true)]
    pub registration: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "FORM", help = help("serve.log_format"))]
    #[arg(value_parser = ["text", "json"], hide_possible_values = true)]
    pub log_format: Option<String>,
    #[allow(missing_docs)]
    #[arg(long, value_name = "FILE", help = help("serve.log_file"))]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub log_file: Option<String>,
}

impl ServeFlags {
    /// The flags given, by the names of their keys.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let ServeFlags {
            id,
            listen,
            peers,
            data_dir,
            cluster_key_file,
            survivor,
            registration,
            log_format,
            log_file,
        } = self;
        let texts = [
            ("serve.id", id.clone()),
            ("serve.listen", listen.clone()),
            ("serve.peers", peers.clone()),
            ("serve.data_dir", data_dir.clone()),
            ("serve.cluster_key_file", cluster_key_file.clone()),
            ("serve.survivor", survivor.clone()),
            ("serve.registration", registration.clone()),
            ("serve.log_format", log_format.clone()),
            ("serve.log_file", log_file.clone()),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

/// How fast a cluster notices that its leader is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Milliseconds between a leader's signs of life.
    pub heartbeat_interval_ms: u64,
    /// Least milliseconds of silence before a follower asks for votes.
    pub election_timeout_min_ms: u64,
    /// Most milliseconds of it.
    pub election_timeout_max_ms: u64,
}

/// What hashing one password costs, by Argon2id with one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

/// What a server needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// This replica.
    pub id: ReplicaId,
    /// Where it listens.
    pub listen: Address,
    /// Every replica, sorted by number, this one included.
    pub members: Vec<Member>,
    /// This replica's data directory.
    pub data_dir: PathBuf,
    /// The file with the cluster's key.
    pub cluster_key: Option<PathBuf>,
    /// Whether to adopt dead neighbours on this host.
    pub survivor: Survivor,
    /// Who may register, if this server founds a cluster.
    pub registration: Registration,
    /// What an inbox may hold, if no administrator has said so; 0: as much as there is.
    pub account_bytes: u64,
    /// What all accounts may hold together, likewise; `None`: what fits this machine.
    pub total_bytes: Option<u64>,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Bounds.
    pub limits: Limits,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
}

impl ServeSettings {
    /// Resolves the flags of `serve` over the rest, and checks what one value
    /// alone cannot show.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`](crate::error::ErrorCode::InvalidConfig)
    /// that names the place and what is allowed there.
    pub fn resolve(settings: &Settings, flags: &ServeFlags) -> Result<ServeSettings> {
        ServeSettings::from_values(&settings.values.with(&flags.given())?)
    }

    fn from_values(values: &Values) -> Result<ServeSettings> {
        let id = ReplicaId(values.integer("serve.id")?);
        let members = values.required("serve.peers", parse_members)?;
        let Some(own) = members.iter().find(|member| member.id == id) else {
            return Err(values.error(
                "serve.peers",
                format!("replica {id} is not among the peers; list every replica, this one too"),
            ));
        };
        let listen = match values.parsed("serve.listen", |text| text.parse::<Address>().ok())? {
            Some(listen) => listen,
            None => own.address.clone(),
        };
        if listen.port() == 0 {
            return Err(values.error("serve.listen", "a server needs a port that peers can know"));
        }
        let chosen = values.parsed("serve.registration", Registration::named)?;
        let registration = chosen.unwrap_or(match listen.is_loopback() {
            true => Registration::Open,
            false => Registration::Invited,
        });
        let is_local = listen.is_loopback();
        let account_bytes = bound(values, "limits.account_bytes", ACCOUNT_BYTES_MIN)?
            .unwrap_or(if is_local { 0 } else { ACCOUNT_BYTES_DEFAULT });
        let data_dir = values.required("serve.data_dir", |text| Some(PathBuf::from(text)))?;
        let cluster_key = values.path("serve.cluster_key_file");
        let inside = |file: &PathBuf| file.starts_with(&data_dir) || is_within(file, &data_dir);
        if cluster_key.as_ref().is_some_and(inside) {
            return Err(values.error(
                "serve.cluster_key_file",
                "keep the key outside of the data directory, so that a replica whose disk was \
                 wiped can still prove that it belongs",
            ));
        }
        Ok(ServeSettings {
            id,
            listen,
            data_dir,
            cluster_key,
            survivor: survivor(values, "serve.survivor")?,
            registration,
            timing: timing(values)?,
            account_bytes,
            total_bytes: bound(values, "limits.total_bytes", TOTAL_BYTES_MIN)?,
            limits: limits(values, is_local)?,
            password_cost: password_cost(values)?,
            members,
        })
    }
}

/// Reads `auto` or `never`.
pub(super) fn survivor(values: &Values, name: &str) -> Result<Survivor> {
    values.required(name, |text| match text {
        "auto" => Some(Survivor::Auto),
        "adopt" => Some(Survivor::Adopt),
        "never" => Some(Survivor::Never),
        _ => None,
    })
}

fn timing(values: &Values) -> Result<Timing> {
    let timing = Timing {
        heartbeat_interval_ms: values.integer("timing.heartbeat_interval_ms")?,
        election_timeout_min_ms: values.integer("timing.election_timeout_min_ms")?,
        election_timeout_max_ms: values.integer("timing.election_timeout_max_ms")?,
    };
    // One lost or late heartbeat must not cost the leader its office.
    let least_ms = timing.heartbeat_interval_ms * 3;
    if timing.election_timeout_min_ms < least_ms {
        return Err(values.error(
            "timing.election_timeout_min_ms",
            format!(
                "at least three heartbeats of {} ms, {least_ms} ms, and not {} ms",
                timing.heartbeat_interval_ms, timing.election_timeout_min_ms
            ),
        ));
    }
    if timing.election_timeout_max_ms <= timing.election_timeout_min_ms {
        return Err(values.error(
            "timing.election_timeout_max_ms",
            format!(
                "more than the {} ms of timing.election_timeout_min_ms, and not {} ms",
                timing.election_timeout_min_ms, timing.election_timeout_max_ms
            ),
        ));
    }
    Ok(timing)
}

/// A bound on what is stored: none at all, or from `min` on.
fn bound(values: &Values, name: &str, min: u64) -> Result<Option<u64>> {
    let bytes = values.parsed(name, parse_integer)?;
    match bytes {
        Some(bytes) if bytes != 0 && bytes < min => {
            Err(values.error(name, format!("0 for none, or at least {min}, and not {bytes}")))
        }
        bytes => Ok(bytes),
    }
}

/// Without a rest pattern: a new limit does not compile until it can be set. `is_local`:
/// nobody but users of this machine comes in.
fn limits(values: &Values, is_local: bool) -> Result<Limits> {
    let per_s = values.parsed("limits.changes_per_account_per_s", |text| {
        u32::try_from(parse_integer(text)?).ok()
    })?;
    let per_s_default = if is_local { 0 } else { CHANGES_PER_ACCOUNT_PER_S_DEFAULT };
    let limits = Limits {
        connections_max: values.integer("limits.connections_max")?,
        connections_reserved: values.integer("limits.connections_reserved")?,
        connections_per_address_max: values.integer("limits.connections_per_address_max")?,
        first_line_timeout_ms: values.integer("limits.first_line_timeout_ms")?,
        requests_in_flight_max: values.integer("limits.requests_in_flight_max")?,
        write_queue_max_bytes: values.integer("limits.write_queue_max_bytes")?,
        connection_memory_max_bytes: values.integer("limits.connection_memory_max_bytes")?,
        password_hashes_in_parallel: values.integer("limits.password_hashes_in_parallel")?,
        failed_login_burst: values.integer("limits.failed_login_burst")?,
        failed_login_refill_s: values.integer("limits.failed_login_refill_s")?,
        registration_burst: values.integer("limits.registration_burst")?,
        registration_refill_s: values.integer("limits.registration_refill_s")?,
        changes_per_account_per_s: per_s.unwrap_or(per_s_default),
        change_burst: values.integer("limits.change_burst")?,
        follows_per_account_max: values.integer("limits.follows_per_account_max")?,
        deduplication_window_entries: values.integer("limits.deduplication_window_entries")?,
        session_lifetime_s: values.integer("limits.session_lifetime_s")?,
        snapshot_log_min_bytes: values.integer("limits.snapshot_log_min_bytes")?,
        log_entries_kept: values.integer("limits.log_entries_kept")?,
        log_segment_max_bytes: values.integer("limits.log_segment_max_bytes")?,
    };
    if limits.connections_reserved >= limits.connections_max {
        // A smaller total alone should not need a second key to be set.
        if values.is_set("limits.connections_reserved") {
            return Err(values.error(
                "limits.connections_reserved",
                format!(
                    "less than the {} of limits.connections_max, and not {}",
                    limits.connections_max, limits.connections_reserved
                ),
            ));
        }
        return Ok(Limits { connections_reserved: limits.connections_max / 2, ..limits });
    }
    Ok(limits)
}

fn password_cost(values: &Values) -> Result<PasswordCost> {
    Ok(PasswordCost {
        memory_kib: values.integer("passwords.memory_kib")?,
        passes: values.integer("passwords.passes")?,
    })
}

#[cfg(test)]
mod tests;
