//! The simulated network: links between machines, connections over them.
//!
//! A connection is what TCP makes of packets: in order and reliable until it
//! breaks. What a link can do to it is delay (with jitter, and now and then a
//! spike), hold (a cut direction delivers nothing, later everything), and end
//! it (reset, or a retransmission time-out after a long cut). Directions are
//! cut independently.
//!
//! - [`connection`]: one connection: two pipes, two ends.
//! - [`links`]: time and cuts: what is delivered when; connecting.
//! - [`seam`]: the network as a process meets it.

mod connection;
mod links;
mod seam;
mod tests;

pub use links::Network;
pub use seam::SimNetwork;
