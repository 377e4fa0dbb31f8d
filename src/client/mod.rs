//! The client: many servers that look like one which never fails.
//!
//! Any server takes any request. Servers die and freeze, and users should not notice.
//! This module finds a server that answers, repeats requests with the
//! same operation id when one does not, and follows an inbox from one server
//! to the next.
//!
//! - [`Connection`]: one connection to one server; requests are pipelined.
//! - [`Connections`]: one after the other, for requests of one's own.
//! - [`Client`]: one request at a time, at whichever server answers first;
//!   [`Client::send_behind`]: a message behind another.
//! - [`Follow`]: messages as they come, none missed, none twice.
//! - [`Pipeline`]: many messages under way at once, acknowledged in order.
//! - [`Members`], [`Strangers`], [`identify()`]: which servers there are, and who they are.
//!
//! # What it promises
//! - A request that changes something is sent with one operation id however
//!   often it is repeated, so it happens at most once.
//! - When time is up the error tells the truth: [`Unavailable`] only if no
//!   attempt can have entered the log of any server, else [`OutcomeUnknown`].
//! - A session's token is only ever sent to a server that names the cluster
//!   which the session belongs to.
//! - Lines are bounded before they are buffered, and every wait has an end.
//!
//! # How it fails
//! A frozen process accepts connections and never answers, so waiting for one
//! server is always bounded: another is asked meanwhile, and the first answer
//! counts. A connection that breaks fails everything that waits on it at once.
//! Nothing here sleeps except between rounds of servers that all refused.
//!
//! Network, time and randomness come from [`crate::host::Host`], so that the
//! simulation drives this very code.
//!
//! [`Unavailable`]: crate::error::ErrorCode::Unavailable
//! [`OutcomeUnknown`]: crate::error::ErrorCode::OutcomeUnknown

mod alive;
mod attempt;
mod connection;
mod connections;
mod dial;
mod failover;
#[cfg(test)]
pub(crate) mod fake;
mod follow;
#[cfg(test)]
mod fuzz;
mod identify;
mod in_order;
mod lines;
mod majority;
mod pacing;
mod pipeline;
mod shown;
mod strangers;
pub mod survey;
#[cfg(test)]
mod tests;
mod verdict;

pub use connection::{Answered, Connection, Failure, Pending, Submitted};
pub use connections::Connections;
pub use dial::Members;
pub use failover::Client;
pub use follow::{Follow, FollowNotice};
pub use identify::identify;
pub use in_order::{SentBehind, patience};
pub use pipeline::{Pipeline, PipelineSummary};
pub use strangers::Strangers;
