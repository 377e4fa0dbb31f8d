//! Who leads, as far as is known here, and how a dead leader is replaced at once.

pub mod fast_election;
pub mod route;
mod transfer;
