//! The client against scripted servers, which `fake.rs` plays.

mod failover;
mod follow;
mod pipeline;
