//! A cluster on this machine: several servers, each a process of its own.
//!
//! A local cluster is a folder:
//!
//! ```text
//! cluster.json    name, replicas and their addresses (mode 0600)
//! cluster.key     the secret by which its replicas know each other (mode 0600)
//! cluster.lock    held by whichever `ftchat cluster` command is at work
//! replica-1/      one data directory a replica
//! replica-1.log   what that replica's server wrote to its outputs
//! ```
//!
//! This module starts `serve` of this same program for each replica and signals
//! those processes. Nothing runs in between: the servers need no supervisor,
//! are not restarted by one, and go on when the command that started them ends.
//!
//! # What it promises
//! - Starting is idempotent: only what does not run is started, and before
//!   anything is started every port that is needed is known to be free.
//! - The process that holds the lock of a replica's `LOCK` runs the replica, by
//!   whatever path the folder was reached and however the server was started
//!   ([`process`]).
//! - A process is signalled only if it is this replica's own server: it has that
//!   very file open, and names itself there as that server. Process ids are
//!   reused, and another server may host a replica whose server died: it must not be
//!   signalled in that one's place.
//! - Purging removes the files named above and nothing else, and only while it
//!   holds the locks of all replicas itself.
//!
//! # How it fails
//! Two commands at once would start servers twice, so each takes the lock of
//! the folder and gives up in time, naming the folder, when another keeps it.
//! A server that ends while it is waited for is reported with the last lines of
//! its log. What was started before a failure keeps running: the same command
//! again goes on from there.
//!
//! - [`description`]: `cluster.json` and the folder.
//! - [`process`]: which process runs a replica; signals. `open_files`: what a process has
//!   open.
//! - [`launch`]: ports and starting a server.
//! - [`supervisor`]: up, start, wait; `limit`: how long.
//! - [`stopping`]: down, stop, kill, purge, restart.
//! - `leader`: asking the leader as an administrator.
//! - [`transfer`]: moving leadership. [`membership`]: replicas that come, go and move.
//! - [`rekey`]: a new key.
//! - [`events`](mod@events): what changed between two looks at a cluster.
//! - [`logs`]: reading logs, also while they grow.
//! - [`hosts`]: folders for the machines of a cluster that is not local.
//! - [`recovered`]: either of both, with what is left of another cluster in it.

pub mod description;
pub mod events;
pub mod hosts;
pub mod launch;
mod leader;
mod limit;
pub mod logs;
pub mod membership;
mod open_files;
pub mod process;
pub mod recovered;
pub mod rekey;
mod rotating;
pub mod stopping;
pub mod supervisor;
pub mod transfer;
mod whole;

pub use description::{Description, LocalReplica};
pub use events::{ClusterEvent, events};
pub use limit::Limit;
pub use logs::LogReader;
pub use rotating::RotatingLog;
pub use stopping::{Ended, Ending, Stopped};
pub use supervisor::{Launched, Started, Supervisor};
pub use transfer::Transferred;
