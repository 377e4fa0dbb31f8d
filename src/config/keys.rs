//! The table of everything that can be set.

use std::time::Duration;

use super::duration;
use crate::error::{Error, ErrorCode};
use crate::limits::{STORED_BYTES_MAX, TIMEOUT_MAX};
use crate::protocol::administration::Registration;
use crate::protocol::client::Member;
use crate::types::{AccountName, Address, Servers};

/// One thing that can be set.
#[derive(Debug)]
pub struct Key {
    /// Its name as in the file, section first: `timeout`, `serve.listen`.
    pub name: &'static str,
    /// The flag that sets it, with its hyphens.
    pub flag: Option<&'static str>,
    /// The variable of the environment that sets it.
    pub environment: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: Fallback,
    /// One or more sentences for users, without the default.
    pub doc: &'static str,
    /// Whether the configuration file may set it.
    pub in_file: bool,
}

/// What holds when nobody sets a key.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This value, as one would write it.
    Value(&'static str),
    /// No value; what that means, in words.
    Words(&'static str),
}

/// What values a key takes. All are written as text on the command line and in
/// the environment; the file has TOML's own types.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A whole number within bounds, both included.
    Integer {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A duration as in [`duration`], from 1 ms to the given bound.
    Duration(Duration),
    /// A path; in the file, a relative one is relative to the file's folder. `~`
    /// and what begins with `~/` is in the home; other names that begin so are
    /// refused, as they may mean another's home.
    Path,
    /// One `HOST:PORT`.
    Address,
    /// One or more `HOST:PORT`, or a word that names a cluster: see [`Servers`].
    Servers,
    /// Replicas and where they listen: `1=HOST:PORT,2=HOST:PORT`.
    Members,
    /// An account's name.
    AccountName,
    /// A local cluster's or a profile's name: 1 to 32 of ASCII letters, digits, `.`, `_`,
    /// `-`, not beginning with a dot, for it names a folder.
    ClusterName,
    /// A filter for the server's log: a level, or levels by target, as
    /// [`tracing_subscriber::filter::Targets`] reads them.
    LogFilter,
    /// Never printed, never in a file.
    Secret,
}

impl Kind {
    /// Whether a text is a value of this kind.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Kind::Flag => parse_flag(text).is_some(),
            Kind::Integer { min, max } => {
                parse_integer(text).is_some_and(|n| (min..=max).contains(&n))
            }
            Kind::Choice(words) => words.contains(&text),
            Kind::Duration(max) => duration::parse(text).is_some_and(|d| !d.is_zero() && d <= max),
            Kind::Path => !text.is_empty() && (!text.starts_with('~') || is_home(text)),
            Kind::Secret => !text.is_empty(),
            Kind::Address => text.parse::<Address>().is_ok(),
            Kind::Servers => text.parse::<Servers>().is_ok(),
            Kind::Members => parse_members(text).is_some(),
            Kind::AccountName => AccountName::new(text).is_ok(),
            Kind::ClusterName => is_cluster_name(text),
            Kind::LogFilter => text.parse::<tracing_subscriber::filter::Targets>().is_ok(),
        }
    }

    /// What is allowed, as the end of the sentence "NAME is …".
    pub fn allowed(self) -> String {
        match self {
            Kind::Flag => "true or false".to_string(),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Choice(words) => match words {
                [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => words.join(", "),
            },
            Kind::Duration(max) => {
                format!("a duration such as 500ms, 10s or 1m30s, at most {}", duration::format(max))
            }
            Kind::Path => "a path (~/ at its beginning is the home, and ./~ no home)".to_string(),
            Kind::Address => "an address of the form HOST:PORT, such as 127.0.0.1:8091".to_string(),
            Kind::Servers => "one or more addresses HOST:PORT with commas between, none twice, \
                such as 127.0.0.1:8091,127.0.0.1:8092, or one word ftchat://HOST:PORT,…#FINGERPRINT"
                .to_string(),
            Kind::Members => "replicas and their addresses, such as \
                1=127.0.0.1:8091,2=127.0.0.1:8092,3=127.0.0.1:8093, no number and no address twice"
                .to_string(),
            Kind::AccountName => {
                "an account name: 1 to 32 ASCII letters, digits, '.', '_' or '-'".to_string()
            }
            Kind::ClusterName => "1 to 32 ASCII letters, digits, '.', '_' or '-', not beginning \
                with a dot"
                .to_string(),
            Kind::LogFilter => {
                "a log filter such as info, debug or ftchat::replica=trace,info".to_string()
            }
            Kind::Secret => "a secret that is not empty".to_string(),
        }
    }

    /// What is wrong with a text that is no value of this kind, where that says more than
    /// [`Kind::allowed`]: nobody sees the slip in a fingerprint.
    pub fn slip(self, text: &str) -> Option<String> {
        let is_word = matches!(self, Kind::Servers) && text.contains('#');
        text.parse::<Servers>().err().filter(|_| is_word).map(|error| error.message)
    }
}

/// Reads what users write for yes and no.
pub(super) fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Reads digits; underscores may part them, as in TOML.
pub(super) fn parse_integer(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Reads `1=HOST:PORT,…`, sorted by number; no number or address twice.
pub(super) fn parse_members(text: &str) -> Option<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    for part in text.split(',') {
        let (id, address) = part.trim().split_once('=')?;
        let member = Member { id: id.parse().ok()?, address: address.parse().ok()? };
        if members.iter().any(|m| m.id == member.id || m.address == member.address) {
            return None;
        }
        members.push(member);
    }
    members.sort_by_key(|member| member.id);
    Some(members)
}

fn is_home(path: &str) -> bool {
    path == "~" || path.starts_with("~/")
}

/// Reads a cluster's name from a flag.
///
/// # Errors
/// A sentence that says what a name has.
pub fn parse_cluster_name(text: &str) -> Result<String, String> {
    match is_cluster_name(text) {
        true => Ok(text.to_string()),
        false => Err(format!("a cluster's name has {}", Kind::ClusterName.allowed())),
    }
}

fn is_cluster_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The key of that name.
///
/// # Panics
/// When the table has none: names in the program are constants, and a test
/// looks every one of them up.
pub fn key(name: &str) -> &'static Key {
    KEYS.iter().find(|key| key.name == name).expect("every key is in the table")
}

/// A key's sentence with its default, for the help of the flag that sets it.
pub fn help(name: &str) -> String {
    let key = key(name);
    match key.default {
        Fallback::Value("false" | "0") => key.doc.to_string(),
        Fallback::Value(value) => format!("{} [default: {value}]", key.doc),
        Fallback::Words(words) => format!("{} [default: {words}]", key.doc),
    }
}

const MILLION: u64 = 1_000_000;
/// A year, in seconds.
const YEAR_S: u64 = 365 * 24 * 3600;

macro_rules! keys {
    ($($name:literal, $flag:expr, $environment:literal, $kind:expr, $default:expr, $in_file:literal, $doc:expr;)*) => {
        &[$(Key {
            name: $name,
            flag: $flag,
            environment: $environment,
            kind: $kind,
            default: $default,
            doc: $doc,
            in_file: $in_file,
        }),*]
    };
}

use Fallback::{Value, Words};
use Kind::Integer;

/// A setting that there is no more. Who still has it is told, not passed over.
pub(super) struct Removed {
    pub(super) name: &'static str,
    pub(super) flag: &'static str,
    pub(super) environment: &'static str,
    /// What is to be done, as the end of the sentence "NAME is gone: …".
    pub(super) instead: &'static str,
}

impl Removed {
    /// To whoever still has it at this place.
    pub(super) fn error(&self, place: &str) -> Error {
        let message = format!("{place} is gone: {}", self.instead);
        Error::new(ErrorCode::InvalidConfig, message)
    }
}

/// What to tell whoever still gives a flag that there is no more.
pub fn removed_flag(flag: &str) -> Option<Error> {
    REMOVED.iter().find(|gone| gone.flag == flag).map(|gone| gone.error(flag))
}

/// All of them.
pub(super) static REMOVED: [Removed; 1] = [Removed {
    name: "serve.insecure",
    flag: "--insecure",
    environment: "FTCHAT_SERVE_INSECURE",
    instead: "servers speak TLS wherever other machines can reach them, so leave it out, and give \
              clients the word ftchat://…#FINGERPRINT that the verb `cluster address` prints",
}];

/// Everything that can be set, in the order in which it is shown.
#[rustfmt::skip]
pub static KEYS: &[Key] = keys![
    // -- every command ------------------------------------------------------
    "config", Some("--config"), "FTCHAT_CONFIG", Kind::Path, Words("ftchat/config.toml in the platform's configuration directory"), false,
        "The configuration file";
    "servers", Some("--servers"), "FTCHAT_SERVERS", Kind::Servers, Value("127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093"), true,
        "The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do";
    "profile", Some("--profile"), "FTCHAT_PROFILE", Kind::ClusterName, Words("the current one, which the verb connect sets"), false,
        "The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration";
    "profiles_file", None, "FTCHAT_PROFILES_FILE", Kind::Path, Words("ftchat/profiles.toml in the platform's configuration directory"), true,
        "The file in which profiles are kept";
    "user", Some("--user"), "FTCHAT_USER", Kind::AccountName, Words("the account logged in last"), true,
        "The account to act as";
    "timeout", Some("--timeout"), "FTCHAT_TIMEOUT", Kind::Duration(TIMEOUT_MAX), Value("10s"), true,
        "How long to keep trying before giving up, such as 500ms, 10s or 1m30s";
    "json", Some("--json"), "FTCHAT_JSON", Kind::Flag, Value("false"), true,
        "Print JSON: one object for a result, one object a line for a list";
    "quiet", Some("--quiet"), "FTCHAT_QUIET", Kind::Flag, Value("false"), true,
        "Print results and errors only, no notices and no progress";
    "verbose", Some("--verbose"), "FTCHAT_VERBOSE", Integer { min: 0, max: 3 }, Value("0"), true,
        "Say more about what is going on; repeat for more still";
    "color", Some("--color"), "FTCHAT_COLOR", Kind::Choice(&["auto", "always", "never"]), Value("auto"), true,
        "When to use colour; auto means on a terminal, unless NO_COLOR is set";
    "token", None, "FTCHAT_TOKEN", Kind::Secret, Words("the session kept by the last login"), false,
        "A session token to use instead of the kept sessions";
    "invite", Some("--invite"), "FTCHAT_INVITE", Kind::Secret, Words("none: asked for on a terminal, if one is needed"), false,
        "The code of an invitation, where one is needed to register";
    "sessions_dir", None, "FTCHAT_SESSIONS_DIR", Kind::Path, Words("ftchat/sessions in the platform's state directory"), true,
        "The folder in which sessions are kept";
    "send.confirm", Some("--confirm"), "FTCHAT_SEND_CONFIRM", Kind::Choice(&["any", "majority"]), Value("any"), true,
        "Who has to have a message before `send` is done: a majority of the servers, or, where none is there, any server that answers, which delivers it later";
    // -- a server -----------------------------------------------------------
    "serve.id", Some("--id"), "FTCHAT_SERVE_ID", Integer { min: 1, max: u32::MAX as u64 }, Words("none: a server must be told"), true,
        "The number of this replica";
    "serve.listen", Some("--listen"), "FTCHAT_SERVE_LISTEN", Kind::Address, Words("this replica's address among the peers"), true,
        "The address to listen on";
    "serve.peers", Some("--peers"), "FTCHAT_SERVE_PEERS", Kind::Members, Words("none: a server must be told"), true,
        "Every replica of the cluster, this one included, as 1=HOST:PORT,2=HOST:PORT and so on";
    "serve.data_dir", Some("--data-dir"), "FTCHAT_SERVE_DATA_DIR", Kind::Path, Words("none: a server must be told"), true,
        "The folder that holds this replica's data; made if it is missing";
    "serve.cluster_key_file", Some("--cluster-key-file"), "FTCHAT_SERVE_CLUSTER_KEY_FILE", Kind::Path, Words("none: a server must be told"), true,
        "The file with the cluster's secret key, by which replicas know each other; mode 0600, outside of the data directory";
    "serve.survivor", Some("--survivor"), "FTCHAT_SERVE_SURVIVOR", Kind::Choice(&["auto", "adopt", "never"]), Value("auto"), true,
        "What a server does that is left without a majority: auto takes over the replicas of dead servers on the same host, and where nothing proves that the others are dead goes on alone, with messages that a majority confirms later; adopt only takes over; never does neither";
    "serve.registration", Some("--registration"), "FTCHAT_SERVE_REGISTRATION", Kind::Choice(&Registration::NAMES), Words("open where the server listens on loopback only, else invited"), true,
        "Who may register in a cluster that this server helps to found: anybody, whoever has an invitation, or nobody. It only proposes: later `cluster registration` shows and changes it";
    "serve.log", None, "FTCHAT_LOG", Kind::LogFilter, Words("info, debug with -v, trace with -vv, warn with --quiet"), true,
        "What the server logs to standard error, as a filter such as info or ftchat::replica=debug,info";
    "serve.log_format", Some("--log-format"), "FTCHAT_SERVE_LOG_FORMAT", Kind::Choice(&["text", "json"]), Value("text"), true,
        "The form of the server's log";
    "serve.log_file", Some("--log-file"), "FTCHAT_SERVE_LOG_FILE", Kind::Path, Words("standard error"), true,
        "The file that the server logs to; when it is full, its content goes to a file with .1 at the end of the name, and it begins anew";
    "serve.log_file_max_bytes", None, "FTCHAT_SERVE_LOG_FILE_MAX_BYTES", Integer { min: 4_096, max: 1 << 40 }, Value("16777216"), true,
        "Size at which the log file counts as full";
    "timing.heartbeat_interval_ms", None, "FTCHAT_TIMING_HEARTBEAT_INTERVAL_MS", Integer { min: 5, max: 60_000 }, Value("100"), true,
        "Milliseconds between a leader's signs of life";
    "timing.election_timeout_min_ms", None, "FTCHAT_TIMING_ELECTION_TIMEOUT_MIN_MS", Integer { min: 15, max: 600_000 }, Value("300"), true,
        "Least milliseconds that a follower waits before it asks for votes, counted from when the lease of its leader ends; at least three heartbeats";
    "timing.election_timeout_max_ms", None, "FTCHAT_TIMING_ELECTION_TIMEOUT_MAX_MS", Integer { min: 15, max: 600_000 }, Value("600"), true,
        "Most milliseconds; each wait is random between the two, so that two followers seldom ask at once. It is also how long the lease of a leader lasts after a sign of life. Greater than the least";
    "limits.connections_max", None, "FTCHAT_LIMITS_CONNECTIONS_MAX", Integer { min: 1, max: MILLION }, Value("12000"), true,
        "Connections of all kinds that one server holds at once";
    "limits.connections_reserved", None, "FTCHAT_LIMITS_CONNECTIONS_RESERVED", Integer { min: 0, max: MILLION }, Value("1024"), true,
        "Of those, slots kept for replicas and for sessions that have logged in; less than the total";
    "limits.connections_per_address_max", None, "FTCHAT_LIMITS_CONNECTIONS_PER_ADDRESS_MAX", Integer { min: 1, max: MILLION }, Value("256"), true,
        "Connections from one remote address; does not apply to loopback";
    "limits.first_line_timeout_ms", None, "FTCHAT_LIMITS_FIRST_LINE_TIMEOUT_MS", Integer { min: 10, max: 600_000 }, Value("5000"), true,
        "Milliseconds within which a connection must send its first line";
    "limits.requests_in_flight_max", None, "FTCHAT_LIMITS_REQUESTS_IN_FLIGHT_MAX", Integer { min: 1, max: MILLION }, Value("1024"), true,
        "Requests of one connection in progress at once; the next line is not read before one is answered";
    "limits.write_queue_max_bytes", None, "FTCHAT_LIMITS_WRITE_QUEUE_MAX_BYTES", Integer { min: 524_288, max: 1 << 32 }, Value("4194304"), true,
        "Bytes that may wait to be written to one client before it counts as a slow reader and is dropped";
    "limits.connection_memory_max_bytes", None, "FTCHAT_LIMITS_CONNECTION_MEMORY_MAX_BYTES", Integer { min: 1_048_576, max: 1 << 40 }, Value("67108864"), true,
        "Bytes that all client connections may hold together, in half lines, requests in progress and answers not yet written; beyond it, whoever holds much without need is dropped; encryption takes up to 48 KiB a connection beside it";
    "limits.password_hashes_in_parallel", None, "FTCHAT_LIMITS_PASSWORD_HASHES_IN_PARALLEL", Integer { min: 1, max: 1024 }, Value("2"), true,
        "Password hashes computed at once; each takes passwords.memory_kib of memory";
    "limits.failed_login_burst", None, "FTCHAT_LIMITS_FAILED_LOGIN_BURST", Integer { min: 1, max: MILLION }, Value("10"), true,
        "Failed logins that an account may have from one address in one burst";
    "limits.failed_login_refill_s", None, "FTCHAT_LIMITS_FAILED_LOGIN_REFILL_S", Integer { min: 1, max: 86_400 }, Value("6"), true,
        "Seconds after which one failed login is forgiven";
    "limits.registration_burst", None, "FTCHAT_LIMITS_REGISTRATION_BURST", Integer { min: 1, max: 1000 * MILLION }, Value("1000"), true,
        "Registrations that one address may make in one burst";
    "limits.registration_refill_s", None, "FTCHAT_LIMITS_REGISTRATION_REFILL_S", Integer { min: 1, max: 86_400 }, Value("1"), true,
        "Seconds after which one registration is forgiven";
    "limits.account_bytes", None, "FTCHAT_LIMITS_ACCOUNT_BYTES", Integer { min: 0, max: STORED_BYTES_MAX }, Words("none where the server listens on loopback only, else 268435456"), true,
        "Bytes that the inbox of an account may hold, of which one sender may fill a quarter, and what others may hold from one account; 0 for none. It only proposes, and the lowest that a server proposes counts, until an administrator sets it: `cluster limits` shows and changes it";
    "limits.total_bytes", None, "FTCHAT_LIMITS_TOTAL_BYTES", Integer { min: 0, max: STORED_BYTES_MAX }, Words("half of this machine's memory, or of what its control group allows, divided by the replicas of this machine"), true,
        "Bytes that all accounts together may hold in the memory of a server, a quarter of it for remembered operation ids; 0 for none. It only proposes, and the lowest that a server proposes counts, until an administrator sets it: `cluster limits` shows and changes it";
    "limits.changes_per_account_per_s", None, "FTCHAT_LIMITS_CHANGES_PER_ACCOUNT_PER_S", Integer { min: 0, max: MILLION }, Words("none where the server listens on loopback only, else 200"), true,
        "Messages, marks as read and deletions that one account may ask of this server in a second, on average; 0 for none";
    "limits.change_burst", None, "FTCHAT_LIMITS_CHANGE_BURST", Integer { min: 1, max: MILLION }, Value("2000"), true,
        "Of those, how many at once after a quiet time";
    "limits.follows_per_account_max", None, "FTCHAT_LIMITS_FOLLOWS_PER_ACCOUNT_MAX", Integer { min: 1, max: MILLION }, Value("256"), true,
        "Follows that one account may have open at this server";
    "limits.deduplication_window_entries", None, "FTCHAT_LIMITS_DEDUPLICATION_WINDOW_ENTRIES", Integer { min: 1_000, max: 1000 * MILLION }, Value("1000000"), true,
        "Log entries for which an operation id is remembered, so that the same id again is the same message. Every replica of a cluster must use the same number";
    "limits.session_lifetime_s", None, "FTCHAT_LIMITS_SESSION_LIFETIME_S", Integer { min: 1, max: 100 * YEAR_S }, Value("7776000"), true,
        "Seconds for which a login is good; 90 days";
    "limits.snapshot_log_min_bytes", None, "FTCHAT_LIMITS_SNAPSHOT_LOG_MIN_BYTES", Integer { min: 1, max: 1024 * 1024 * MILLION }, Value("33554432"), true,
        "A snapshot is taken when the log has grown by so many bytes since the last one, and by three quarters of what that one takes";
    "limits.log_entries_kept", None, "FTCHAT_LIMITS_LOG_ENTRIES_KEPT", Integer { min: 0, max: 1000 * MILLION }, Value("5000"), true,
        "Log entries that are kept although a snapshot contains them, for replicas that were away shortly";
    "limits.log_segment_max_bytes", None, "FTCHAT_LIMITS_LOG_SEGMENT_MAX_BYTES", Integer { min: 4_096, max: 1000 * MILLION }, Value("16777216"), true,
        "Size at which a new file of the log is begun; old entries go by whole files";
    "passwords.memory_kib", None, "FTCHAT_PASSWORDS_MEMORY_KIB", Integer { min: 8, max: 4 * MILLION }, Value("19456"), true,
        "KiB of memory that hashing one password takes (Argon2id). Less than the default is for tests only";
    "passwords.passes", None, "FTCHAT_PASSWORDS_PASSES", Integer { min: 1, max: 1_000 }, Value("2"), true,
        "Passes over that memory";
    // -- a local cluster ----------------------------------------------------
    "cluster.name", Some("--name"), "FTCHAT_CLUSTER_NAME", Kind::ClusterName, Value("default"), true,
        "The local cluster's name";
    "cluster.dir", Some("--dir"), "FTCHAT_CLUSTER_DIR", Kind::Path, Words("ftchat/NAME in the platform's data directory"), true,
        "The local cluster's folder";
    "cluster.replicas", Some("--replicas"), "FTCHAT_CLUSTER_REPLICAS", Integer { min: 1, max: 9 }, Value("3"), true,
        "How many replicas a new local cluster gets";
    "cluster.base_port", Some("--base-port"), "FTCHAT_CLUSTER_BASE_PORT", Integer { min: 1, max: 65_535 }, Value("8091"), true,
        "The port of replica 1 of a new local cluster; the others follow";
    "cluster.survivor", Some("--survivor"), "FTCHAT_CLUSTER_SURVIVOR", Kind::Choice(&["auto", "adopt", "never"]), Value("auto"), true,
        "What a server does that is left without a majority: auto takes over the replicas of dead servers, and where nothing proves that the others are dead goes on alone, with messages that a majority confirms later; adopt only takes over; never does neither";
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_are_unique_and_follow_one_rule() {
        for (n, key) in KEYS.iter().enumerate() {
            for other in &KEYS[n + 1..] {
                assert_ne!(key.name, other.name);
                assert_ne!(key.environment, other.environment);
            }
            let by_rule = format!("FTCHAT_{}", key.name.replace('.', "_").to_uppercase());
            if key.name != "serve.log" {
                assert_eq!(key.environment, by_rule);
            }
            assert!(!key.doc.ends_with('.') && !key.doc.is_empty(), "{}", key.name);
        }
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS {
            if let Fallback::Value(value) = key.default {
                assert!(key.kind.accepts(value), "{} = {value}", key.name);
            }
        }
    }

    #[test]
    fn kinds_accept_what_they_say_and_nothing_else() {
        let cases: [(&str, &[&str], &[&str]); 8] = [
            ("timeout", &["10s", "180"], &["0s", "181s", "soon"]),
            ("servers", &["a:1", "a:1, b:2"], &["", "a", "a:1,a:1", "a:1,"]),
            ("json", &["true", "0"], &["2", "maybe"]),
            ("serve.peers", &["2=b:2,1=a:1"], &["1=a:1,1=b:1", "1=a:1,2=a:1", "0=a:1", "a:1"]),
            ("serve.id", &["1"], &["0", "-1", "4294967296", "x"]),
            ("cluster.name", &["dev.2"], &["", ".hidden", "a/b", "x y"]),
            ("color", &["auto"], &["Auto", "sometimes"]),
            ("serve.log", &["info", "ftchat::replica=debug,info"], &["=x=", "info=very"]),
        ];
        for (name, good, bad) in cases {
            good.iter().for_each(|text| assert!(key(name).kind.accepts(text), "{name} {text}"));
            bad.iter().for_each(|text| assert!(!key(name).kind.accepts(text), "{name} {text:?}"));
            assert!(!key(name).kind.allowed().is_empty());
        }
    }

    #[test]
    fn members_are_sorted_by_number() {
        let members = parse_members("3=c:3,1=a:1,2=b:2").expect("valid");
        assert_eq!(members.iter().map(|m| m.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
