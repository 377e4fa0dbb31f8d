//! What openraft needs: a log, a state machine and a network. Its traits for storage
//! and network are implemented here and nowhere else.

pub mod disk_errors;
pub mod key_log_ids;
pub mod links;
pub mod log_store;
pub mod network;
pub mod recent;
pub mod state_machine;
