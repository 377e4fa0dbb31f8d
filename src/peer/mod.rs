//! Connections between replicas: authenticated, multiplexed, mended.
//!
//! A [`Link`] is this replica's way to one peer. It keeps one connection open. When
//! that breaks it redials, with a growing pause that ends when the peer itself calls
//! in. It writes calls in the order in which they were made, and the peer begins them
//! in that order: consensus and forwarding rely on it. Replies come in any order.
//!
//! Everything above depends on what it promises about a call that failed:
//! [`CallError::NotSent`] means that no byte of the call left this process,
//! so nothing happened; [`CallError::Lost`] means that it may have happened.
//!
//! [`accept`] is the other end: it makes the caller prove that it holds the
//! cluster's key before a frame is read, and hands calls to a [`Service`] in
//! the order in which they came.
//!
//! How it fails: a peer that is frozen accepts bytes and says nothing. A link
//! on which calls wait and no whole reply has come for [`LinkTiming::receive`]
//! gives the connection up, which fails its calls as lost.

mod addresses;
mod ask;
mod clocks;
mod credentials;
#[cfg(test)]
mod fuzz;
mod handshake;
mod key;
mod keys;
mod link;
mod local_transport;
mod openings;
mod service;

pub use ask::{Conversation, ask};
pub use clocks::Clocks;
pub use credentials::{Credentials, Met};
pub use key::ClusterKey;
pub use keys::Keys;
pub use link::{CallError, Link, LinkTiming, LinkWatch, Unreached};
pub use local_transport::{LocalEndpoint, LocalTransport};
pub use openings::Openings;
pub use service::{Reply, Service, accept};
