//! Who leads, as far as this node knows; electing another leader at once when that one
//! is dead; giving leadership away.

pub mod fast_election;
pub mod heartbeats;
mod own_disk;
pub mod route;
mod signs_of_life;
mod transfer;
