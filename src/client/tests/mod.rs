//! The client against scripted servers, which `fake.rs` plays.

mod alone;
mod failover;
mod follow;
mod pipeline;
mod places;
