//! The simulated network: links between machines, connections over them.
//!
//! A connection is what TCP makes of packets: in order and reliable until it
//! breaks. What a link can do to it is delay (with jitter, and now and then a
//! spike), hold (a cut direction delivers nothing, later everything), and end
//! it (reset, or a retransmission time-out after a long cut). Directions are
//! cut independently.
//!
//! Packets are lost, doubled and put out of order below TCP, and a stream shows
//! of that only time: a lost segment is sent again after 200 ms, 400 ms, …, and
//! holds up what follows it on its connection ([`Network::lost_one_in`]), while
//! other connections overtake it; a doubled one is dropped by the receiver.
//! What an application does see doubled are its own repetitions: a request whose
//! answer a broken connection swallowed is sent again elsewhere, and users here
//! repeat requests that were answered (`cluster/users`).
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
