//! The JSON that every process speaks: newline-delimited objects over TCP.
//!
//! One object a line, UTF-8. The first line of a connection states the
//! protocol version and the role (`client` or `peer`); the server answers with
//! a line that says who it is. Then requests carry an `id` of the sender's
//! choice, may be pipelined, and are answered out of order under that id;
//! events of a running `follow` carry the id of the request that started it.
//! `man/ftchat-protocol.7` is the manual, with examples that a test runs.
//!
//! This module promises bounds: a line is measured before it is buffered, and
//! nesting before it is parsed. It knows shapes, not meanings.
//!
//! - [`client`]: what clients and servers say to each other.
//! - [`replica`]: the status of one replica.
//! - [`peer`]: what replicas say to each other.
//! - [`membership`]: how replicas come and go, and a new key.
//! - [`administration`]: what whoever holds the cluster's key may ask beside that.
//! - [`survivor`]: what a server does that is left without a majority.
//! - [`status`]: a whole cluster, as `status` puts it together.
//! - [`codec`]: lines: reading with a bound, writing, depth.

pub mod administration;
pub mod client;
pub mod codec;
#[cfg(test)]
pub(crate) mod fuzzing;
pub mod membership;
pub mod peer;
pub mod replica;
pub mod status;
pub mod survivor;
