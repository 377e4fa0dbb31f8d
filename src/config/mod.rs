//! What the program is told: flag, environment, file, default.
//!
//! Each value comes from the first of four places that has it: a flag of the
//! command line, a variable of the environment (`FTCHAT_…`), the configuration
//! file, a default. The place is kept with the value as its [`Origin`], so that
//! `ftchat config show` can answer "why does it do that" and an error can name
//! the very line to change.
//!
//! One table, [`KEYS`], lists everything that can be set. The parser, the help
//! of the global flags, `config show` and the manual page `ftchat.toml.5` are
//! all made from it, so they cannot disagree.
//!
//! The module promises that nothing passes through unchecked: an unknown key, a
//! value of the wrong type and an impossible value are each one
//! [`InvalidConfig`] error that names where it stands and what is allowed. The
//! whole file is checked whichever command reads it, because a misspelt key in
//! `[serve]` should not wait for the next restart to be noticed.
//!
//! - [`keys`]: the table.
//! - [`file`](mod@file): TOML with line numbers.
//! - [`values`]: the four layers laid over one another.
//! - [`profiles`]: clusters that are kept by name, in a file of their own.
//! - [`settings`]: what every command needs.
//! - [`serve`]: what a server needs.
//! - [`local`]: what a local cluster needs.
//! - [`key_file`]: the cluster's secret key.
//! - [`command_line`]: command lines that are printed for users to type.
//! - [`duration`]: durations as users write them.
//!
//! [`InvalidConfig`]: crate::error::ErrorCode::InvalidConfig

pub mod command_line;
pub mod duration;
pub mod file;
#[cfg(test)]
mod fuzz;
pub mod key_file;
pub mod keys;
pub mod local;
pub mod profiles;
pub mod serve;
pub mod settings;
pub mod values;

pub use command_line::{CommandLines, shell_word};
pub use keys::{KEYS, Key, Kind};
pub use local::{ClusterFlags, ClusterSettings};
pub use profiles::{NO_PROFILE, Profiles};
pub use serve::{PasswordCost, ServeFlags, ServeSettings, Timing};
pub use settings::{ColorChoice, GlobalArgs, Settings, check_environment, process_environment};
pub use values::{Origin, Sourced, Values};
