//! The simulated network: links between machines, connections over them.
//!
//! A connection is what TCP makes of packets: in order and reliable until it breaks. A
//! link can delay it (with jitter, and now and then a spike), hold it (a cut direction
//! delivers nothing, and everything later), and end it (a reset, or a retransmission
//! time-out after a long cut). Directions are cut independently.
//!
//! Packets are lost, doubled and put out of order below TCP. A stream shows only the
//! time that this takes: a lost segment is sent again after 200 ms, 400 ms, …, and holds
//! up what follows it on its connection ([`Network::lost_one_in`]), while other
//! connections overtake it. A doubled segment is dropped by the receiver. An application
//! sees doubled only its own repetitions: it sends a request again elsewhere when a
//! broken connection lost the answer, and users here also repeat requests that were
//! answered (`cluster/users`).
//!
//! - [`connection`]: one connection: two pipes, two ends.
//! - [`links`]: time and cuts: what is delivered when; connecting.
//! - [`seam`]: the network as a process meets it.

mod connection;
mod links;
mod seam;
mod tests;

pub use links::{DELAY_US, Network};
pub use seam::SimNetwork;
