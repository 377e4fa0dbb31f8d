//! What openraft asks for, as it wants it: log, state machine, network.
//! Its traits of storage and network are implemented here and nowhere else.

pub mod disk_errors;
pub mod key_log_ids;
pub mod log_store;
pub mod network;
pub mod recent;
pub mod state_machine;
